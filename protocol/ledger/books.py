"""What every rule is given: the books with their clock, and the signed call that is being executed.

Block time is the only clock. Rules read and write rows through `books.state`, move money through `books.post`, and tell
readers through `books.emit`; nothing else leaves a rule.
"""

from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple

from protocol.batch import Sidecar
from protocol.genesis import Genesis, GenesisError
from protocol.ids import AccountId, Day, Height, ModelId, ObjectId, PublicKey, TimeMs
from protocol.ledger.journal import Posting, apply_entry
from protocol.ledger.records import LedgerEvent, Receipt
from protocol.ledger.rows import Account, Governed, Model
from protocol.ledger.state import GOVERNED, GOVERNED_KEY, MODELS, QUEUE, State
from protocol.money import Currency
from scoring.points import PointsModel, decode_model


class EventKind(IntEnum):
    """What can fall due; among events of one instant the smaller number happens first."""

    APPLICATION_EXPIRY = 1
    OFFER_EXPIRY = 2
    LOAN = 3
    PROPOSAL = 4
    RECOVERY = 5
    EXIT = 6
    """An exit's day of being paid, with all others of its pool; the subject is the exit."""
    LINE = 7
    FUNDING = 8
    """A settlement agent's time to pay a loan out is over."""
    DECIDE = 9
    """More products could answer an application than one transaction had room for."""
    ERASURE = 10
    """What an ordered erasure waited for may be over, or the time for its receipts is."""


class Call(NamedTuple):
    """A signed call by a known account."""

    key: PublicKey
    account: AccountId
    row: Account
    """The account as it stands."""
    nonce: int
    cosigners: tuple[PublicKey, ...]
    sidecars: tuple[Sidecar, ...]
    recorded: Receipt | None
    """What came of it when the sidecars were still there; only read once they are erased."""


class Books:
    """State, clock, policy, models and the events of the running block."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.policy = genesis.policy
        """In force; `load_governed` follows what votes have set."""
        self.paused = 0
        self.chain_id = genesis.calculate_chain_id()
        self.currencies = tuple(one.code for one in genesis.currencies)
        self.models: dict[ModelId, PointsModel] = {}
        """Every registered one, retired ones too: what was scored stays checkable."""
        self.state = State()
        self.height = Height(0)
        self.now_ms = genesis.time_ms
        self.today = genesis.day_start
        self.events: list[tuple[str, tuple[bytes, ...], dict[str, Any]]] = []
        self._heap: list[bytes] = []

    def apply_genesis(self) -> None:
        """Write what the validators govern: policy and models of the genesis."""
        self.state.put(GOVERNED, GOVERNED_KEY, Governed(policy=self.genesis.policy, policy_version=1, paused=0))
        for text in self.genesis.models:
            try:
                model = decode_model(text.encode("ascii"))
            except ValueError as error:
                raise GenesisError(f"genesis names a scoring model that cannot be used: {error}") from error
            self.state.put(MODELS, model.id, Model(text=text, registered_ms=self.genesis.time_ms))
        self.load_governed()

    def load_governed(self) -> None:
        """Follow the rows of what is governed, after they were loaded or changed."""
        governed = self.state.need(GOVERNED, GOVERNED_KEY)
        self.policy, self.paused = governed.policy, governed.paused
        for key, row in self.state.items(MODELS):
            if key not in self.models:
                self.models[ModelId(key)] = decode_model(row.text.encode("ascii"))

    @property
    def policy_version(self) -> int:
        """Number of the policy in force, from 1."""
        return self.state.need(GOVERNED, GOVERNED_KEY).policy_version

    def can_score(self, model: ModelId) -> bool:
        """Whether new applications may be scored by a model."""
        row = self.state.get(MODELS, model)
        return row is not None and not row.retired

    def set_time(self, height: Height, now_ms: TimeMs) -> None:
        """Begin a block: `today` is the network's day (offset 0)."""
        self.height, self.now_ms = height, now_ms
        self.today = self.calculate_day(0)

    def calculate_day(self, tz_offset_min: int) -> Day:
        """Contract day of this block in an offset."""
        return Day(self.genesis.calculate_day(self.now_ms, tz_offset_min))

    # ------------------------------------------------------------------ events and money

    def emit(self, kind: str, subjects: tuple[bytes, ...], data: dict[str, Any]) -> None:
        """Tell readers; an event of a transaction that fails is taken back with it."""
        self.events.append((kind, subjects, data))

    def post(
        self,
        kind: str,
        currency: Currency,
        postings: tuple[Posting, ...],
        subjects: tuple[bytes, ...],
        data: dict[str, Any],
    ) -> None:
        """Post a balanced entry and tell readers of it."""
        entry = apply_entry(self.state, currency, postings)
        self.events.append((kind, subjects, {**data, "currency": currency, "postings": entry.to_data()}))

    def take_events(self) -> tuple[LedgerEvent, ...]:
        """The events since the last call, numbered."""
        events = tuple(
            LedgerEvent(height=self.height, index=index, kind=kind, subjects=subjects, data=data)
            for index, (kind, subjects, data) in enumerate(self.events)
        )
        self.events.clear()
        return events

    # ------------------------------------------------------------------ the queue of due events

    def schedule(self, due_ms: TimeMs, kind: EventKind, subject: ObjectId) -> None:
        """Let `kind` happen to `subject` in the first block at or after `due_ms`."""
        key = calculate_queue_key(due_ms, kind, subject)
        self.state.put(QUEUE, key, int(kind))
        heappush(self._heap, key)

    def cancel(self, due_ms: TimeMs, kind: EventKind, subject: ObjectId) -> None:
        """Take a scheduled event back, if it has not happened yet."""
        key = calculate_queue_key(due_ms, kind, subject)
        if self.state.get(QUEUE, key) is not None:
            self.state.delete(QUEUE, key)

    def load_queue(self) -> None:
        """Find the scheduled events after rows were loaded."""
        self._heap = [key for key, _ in self.state.items(QUEUE)]
        heapify(self._heap)

    def next_due(self) -> bytes | None:
        """Queue key of the earliest event; keys without a row are leftovers of what was cancelled."""
        while self._heap and self.state.get(QUEUE, self._heap[0]) is None:
            heappop(self._heap)
        return self._heap[0] if self._heap else None

    def take_due(self) -> tuple[EventKind, ObjectId] | None:
        """Remove and return the earliest event that is due (kind, subject), or None."""
        key = self.next_due()
        if key is None or int.from_bytes(key[:8], "big") > self.now_ms:
            return None
        heappop(self._heap)
        kind = EventKind(self.state.need(QUEUE, key))
        self.state.delete(QUEUE, key)
        return kind, ObjectId(key[9:])


def calculate_queue_key(due_ms: TimeMs, kind: int, subject: ObjectId) -> bytes:
    """due u64 | kind u8 | subject 32: the order of bytes is the order of execution."""
    return due_ms.to_bytes(8, "big") + bytes((kind,)) + subject
