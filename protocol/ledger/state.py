"""The rows of the books in memory: one dict per table, an undo log per transaction, the dirty rows of a block.

Rows are replaced, never changed. Nothing here knows what a row means, and nothing here hashes.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final, Generic, TypeVar

import msgspec

from protocol.codec import decode, encode
from protocol.ledger.contracts import Contract, Loan, Offer
from protocol.ledger.erasurerows import Erasure
from protocol.ledger.rows import (
    Account,
    Amendment,
    Application,
    Asset,
    Budget,
    Consent,
    Data,
    Decision,
    Dispute,
    Exit,
    Exposure,
    Governed,
    Key,
    Leaver,
    Line,
    Member,
    Model,
    Payments,
    Pool,
    Product,
    Proposal,
    Recovery,
    Redemption,
    Reference,
    Tip,
)
from protocol.ledger.rulesrow import RulesRow
from protocol.ledger.seatrows import Conviction, EpochRow
from protocol.ledger.verdictrows import Verdict
from protocol.limits import PAST_BLOCKS_MAX, PAST_ROWS_MAX

R = TypeVar("R")
Place = tuple[int, bytes]
"""A table's number and a key."""


class Table(Generic[R]):
    """A table's number (part of every row's commitment) and the type of its rows."""

    __slots__ = ("kind", "name", "number")

    def __init__(self, number: int, name: str, kind: type[R]) -> None:
        self.number = number
        self.name = name
        self.kind = kind


TIP: Final = Table(1, "tip", Tip)
ACCOUNTS: Final = Table(2, "accounts", Account)
KEYS: Final = Table(3, "keys", Key)
BALANCES: Final = Table(4, "balances", int)
"""Key: owner 32 | book u8 | currency 3. Debits positive, credits negative."""
REFERENCES: Final = Table(5, "references", Reference)
"""Key: agent 32 | reference 32."""
REDEMPTIONS: Final = Table(6, "redemptions", Redemption)
POOLS: Final = Table(7, "pools", Pool)
SHARES: Final = Table(8, "shares", int)
"""Key: pool 32 | account 32."""
PRODUCTS: Final = Table(9, "products", Product)
BUDGETS: Final = Table(10, "budgets", Budget)
DATA: Final = Table(11, "data", Data)
CONSENTS: Final = Table(12, "consents", Consent)
APPLICATIONS: Final = Table(13, "applications", Application)
DECISIONS: Final = Table(14, "decisions", Decision)
"""Key: application 32 | product 32."""
OFFERS: Final = Table(15, "offers", Offer)
CONTRACTS: Final = Table(16, "contracts", Contract)
"""Key: loan."""
LOANS: Final = Table(17, "loans", Loan)
EXPOSURES: Final = Table(18, "exposures", Exposure)
"""Key: subject tag."""
QUEUE: Final = Table(19, "queue", int)
"""Key: due instant u64 ms | event kind u8 | object 32. The row is the event kind."""
GOVERNED: Final = Table(20, "governed", Governed)
"""One row."""
MEMBERS: Final = Table(21, "members", Member)
"""Key: account."""
MODELS: Final = Table(22, "models", Model)
PROPOSALS: Final = Table(23, "proposals", Proposal)
RECOVERIES: Final = Table(24, "recoveries", Recovery)
"""Key: account whose key is to change."""
EXITS: Final = Table(25, "exits", Exit)
LINES: Final = Table(26, "lines", Line)
ASSETS: Final = Table(27, "assets", Asset)
AMENDMENTS: Final = Table(28, "amendments", Amendment)
DISPUTES: Final = Table(29, "disputes", Dispute)
LEAVERS: Final = Table(30, "leavers", Leaver)
"""Key: pool 32 | account 32; only while the account's exit is open."""
LOSSES: Final = Table(31, "losses", int)
"""Key: pool 32 | day of default u32. What the pool lost then and has not got back; no row for nothing."""
PAYMENTS: Final = Table(32, "payments", Payments)
"""Key: loan. Its last payments, while they could still be taken back."""
EPOCH: Final = Table(33, "epoch", EpochRow)
"""One row."""
CONVICTIONS: Final = Table(34, "convictions", Conviction)
"""Key: validator key."""
ERASURES: Final = Table(35, "erasures", Erasure)
"""Key: data."""
VERDICTS: Final = Table(36, "verdicts", Verdict)
"""Key: account of a member that was convicted of a false attestation."""
RULES: Final = Table(37, "rules", RulesRow)
"""One row."""

TABLES: Final[dict[int, Table[Any]]] = {
    table.number: table
    for table in (
        TIP,
        ACCOUNTS,
        KEYS,
        BALANCES,
        REFERENCES,
        REDEMPTIONS,
        POOLS,
        SHARES,
        PRODUCTS,
        BUDGETS,
        DATA,
        CONSENTS,
        APPLICATIONS,
        DECISIONS,
        OFFERS,
        CONTRACTS,
        LOANS,
        EXPOSURES,
        QUEUE,
        GOVERNED,
        MEMBERS,
        MODELS,
        PROPOSALS,
        RECOVERIES,
        EXITS,
        LINES,
        ASSETS,
        AMENDMENTS,
        DISPUTES,
        LEAVERS,
        LOSSES,
        PAYMENTS,
        EPOCH,
        CONVICTIONS,
        ERASURES,
        VERDICTS,
        RULES,
    )
}
TIP_KEY: Final = b""
GOVERNED_KEY: Final = b""
EPOCH_KEY: Final = b""
RULES_KEY: Final = b""


class State:
    """All rows. Changes are kept (`keep`) or taken back (`undo`) as one; kept ones are dirty until the block ends."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[bytes, Any]] = {number: {} for number in TABLES}
        self._undo: list[tuple[Place, Any]] = []
        self._dirty: dict[Place, Any] = {}
        """Rows that changed since the block began, as they were then (None: not there)."""
        self._past: deque[dict[Place, Any]] = deque(maxlen=PAST_BLOCKS_MAX)
        """The same of the last blocks, oldest first; of large blocks nothing is kept, nor of those before them."""

    def get(self, table: Table[R], key: bytes) -> R | None:
        """The row, or None."""
        row: R | None = self._rows[table.number].get(key)
        return row

    def need(self, table: Table[R], key: bytes) -> R:
        """The row of a key that another row refers to."""
        row: R = self._rows[table.number][key]
        return row

    def put(self, table: Table[R], key: bytes, row: R) -> None:
        """Insert or replace a row."""
        number = table.number
        rows = self._rows[number]
        self._undo.append(((number, key), rows.get(key)))
        rows[key] = row

    def delete(self, table: Table[R], key: bytes) -> None:
        """Remove a row that is there."""
        self._undo.append(((table.number, key), self._rows[table.number].pop(key)))

    def count(self, table: Table[R]) -> int:
        """How many rows a table has."""
        return len(self._rows[table.number])

    def items(self, table: Table[R]) -> Iterator[tuple[bytes, R]]:
        """All rows of a table in the order of their keys."""
        rows = self._rows[table.number]
        return ((key, rows[key]) for key in sorted(rows))

    def walk(self, table: Table[R]) -> Iterator[tuple[bytes, R]]:
        """All rows of a table in no promised order, unsorted: for sums of many rows alone."""
        rows = self._rows[table.number]
        return iter(rows.items())

    def copy(self, tables: Iterable[Table[Any]]) -> "State":
        """Some tables as they are now: later changes of either do not reach the other. Rows are shared, none copied."""
        assert not self._undo, "a copy is taken between two transactions"
        copied = State()
        for table in tables:
            copied._rows[table.number] = dict(self._rows[table.number])
        return copied

    def keep(self) -> None:
        """Make what was changed since the last call final."""
        dirty = self._dirty
        for place, old in self._undo:
            dirty.setdefault(place, old)
        self._undo.clear()

    def undo(self) -> None:
        """Take back what was changed since the last `keep`."""
        for (number, key), old in reversed(self._undo):
            if old is None:
                self._rows[number].pop(key, None)
            else:
                self._rows[number][key] = old
        self._undo.clear()

    @property
    def changed(self) -> bool:
        """Whether anything waits to be kept or taken back."""
        return bool(self._undo)

    def take_changes(self) -> tuple[tuple[int, bytes, bytes | None], ...]:
        """Dirty rows as (table, key, canonical bytes or None), in the order they first changed; then none is dirty."""
        assert not self._undo, "a transaction is kept or undone before the block ends"
        rows = self._rows
        changes = tuple(
            [
                (number, key, None if (row := rows[number].get(key)) is None else encode(row))
                for number, key in self._dirty
            ]
        )
        if len(self._dirty) > PAST_ROWS_MAX:
            self._past.clear()
        else:
            self._past.append(self._dirty)
        self._dirty = {}
        return changes

    def look_back(self, blocks: int) -> dict[Place, Any] | None:
        """Rows that the last so many blocks changed, as they were before (None: not there); None when not kept."""
        if blocks > len(self._past):
            return None
        found: dict[Place, Any] = {}
        for past in islice(reversed(self._past), blocks):
            found.update(past)  # the older one stands
            if len(found) > PAST_ROWS_MAX:
                return None
        return found

    def encode_rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Every row as (table, key, canonical bytes), in the order of table and key."""
        for number, rows in self._rows.items():
            for key in sorted(rows):
                yield number, key, encode(rows[key])

    def load(self, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Take in rows of a snapshot. Raises CodecError or KeyError for what is no row of these books."""
        for number, key, raw in rows:
            self._rows[number][key] = decode(raw, TABLES[number].kind)


def replace(row: R, **fields: object) -> R:
    """A copy of a row struct with some fields changed."""
    return msgspec.structs.replace(row, **fields)  # type: ignore[type-var]
