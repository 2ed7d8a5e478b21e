"""Brings what consensus saw of a validator that contradicts itself before the ledger: one signed transaction for a key.

Every honest node sees it; they take turns by their places, so that mostly one speaks. Once the books have convicted the
key, nobody says it again, in this life or a later one. Never judge here whether two words exclude each other: the
engine found them, and the ledger checks them anew.
"""

import asyncio
from collections import deque
from typing import Final, NamedTuple, Protocol

from consensus.effects import ReportEvidence
from node.api.ports import Busy, Submission
from node.client.wallet import Wallet
from node.store.chain import StoredTransaction
from node.telemetry import get_logger
from protocol.batch import BatchItem
from protocol.certificate import Vote, VoteKind
from protocol.codec import decode
from protocol.ids import Epoch, PublicKey, TransactionId, ValidatorIndex
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Receipt
from protocol.ledger.state import CONVICTIONS, KEYS
from protocol.messages import Propose
from protocol.rejections import Rejection
from protocol.transactions.governance import Evidence, SignedFact
from protocol.validators import ValidatorSet

CASES_MAX: Final = 64  # validators of two epochs
TURN_S: Final = 1.0  # between two validators' turns to speak
FINAL_S: Final = 10.0
RETRY_S: Final = 2.0
TRIES_MAX: Final = 30
PASSING: Final = (Rejection.EXPIRED, Rejection.VALID_TO_TOO_FAR, Rejection.NONCE_USED, Rejection.NONCE_TOO_FAR)
"""Of the clock and the nonce: the next attempt signs both anew."""


class Validators(Protocol):
    """What is asked of the engine."""

    @property
    def epoch(self) -> Epoch:
        """The present epoch."""

    @property
    def validators(self) -> ValidatorSet:
        """Of that epoch."""

    @property
    def seat(self) -> ValidatorIndex | None:
        """My own place among them."""


class Port(Protocol):
    """What is asked of the node."""

    @property
    def ledger(self) -> Ledger:
        """The books after the last executed block."""

    async def submit(self, items: list[BatchItem]) -> list[Submission]:
        """Check at the door and pool. Raises Busy."""

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        """The transaction once it is executed and saved, or None when time is up."""


class Case(NamedTuple):
    """A validator key and what it signed."""

    key: PublicKey
    evidence: Evidence
    turn: int
    """After how many others this node speaks."""


def read_fact(message: Vote | Propose) -> SignedFact:
    """What was signed, without what no signature covers."""
    if isinstance(message, Vote):
        return SignedFact(kind=message.kind, view=message.view, digest=message.digest, signature=message.signature)
    digest = message.block.header.calculate_digest()
    return SignedFact(kind=VoteKind.PROPOSE, view=message.view, digest=digest, signature=message.signature)


class EvidenceDesk:
    """Cases as the engine reports them, until somebody with a key takes them up."""

    def __init__(self, validators: Validators) -> None:
        self._validators = validators
        self._known: set[PublicKey] = set()
        self._cases: deque[Case] = deque(maxlen=CASES_MAX)
        self._filled = asyncio.Event()

    def on_report(self, report: ReportEvidence) -> None:
        """Two words of one validator, in the step that found them. One case for a key; what this node's own key said
        elsewhere is for others to report."""
        here, first = self._validators, report.first
        index = first.index if isinstance(first, Vote) else here.validators.calculate_leader(first.view)
        if first.epoch != here.epoch or index == here.seat:
            return
        key = here.validators.keys[index]
        if key in self._known or len(self._known) >= CASES_MAX:
            return
        self._known.add(key)
        evidence = Evidence(epoch=first.epoch, index=index, first=read_fact(first), second=read_fact(report.second))
        self._cases.append(Case(key, evidence, 0 if here.seat is None else here.seat))
        self._filled.set()

    async def take(self) -> Case:
        """The next case."""
        while not self._cases:
            self._filled.clear()
            await self._filled.wait()
        return self._cases.popleft()


class EvidenceRoom:
    """Signs and submits with the node's attester key. `wallet` is shared with the attester: one key, one nonce."""

    def __init__(self, *, desk: EvidenceDesk, port: Port, wallet: Wallet) -> None:
        self._desk = desk
        self._port = port
        self._wallet = wallet
        self._log = get_logger("evidence")

    async def run(self) -> None:
        """Bring cases before the ledger until cancelled."""
        while True:
            await self._bring(await self._desk.take())

    async def _bring(self, case: Case) -> None:
        await asyncio.sleep(TURN_S * case.turn)
        for _ in range(TRIES_MAX):
            if self._port.ledger.books.state.get(CONVICTIONS, case.key) is not None:
                return
            if await self._submit(case):
                return
            await asyncio.sleep(RETRY_S)
        self._log.error("evidence_not_brought", validator_key=case.key, reason="the network did not take it in time")

    async def _submit(self, case: Case) -> bool:
        """Whether nothing more is to be done: it is executed, or refused for good."""
        intent = self._wallet.build(case.evidence)
        try:
            (submission,) = await self._port.submit([intent.item])
        except Busy:
            return False
        rejection = submission.rejection
        if rejection is None and submission.status != "busy":
            stored = await self._port.wait_final(intent.id, FINAL_S)
            if stored is None:
                return False
            rejection = decode(stored.receipt, Receipt).rejection
            if rejection is None:
                self._log.warning("validator_convicted", validator_key=case.key, epoch=case.evidence.epoch)
                return True
        if rejection is None or rejection in PASSING:
            row = self._port.ledger.books.state.get(KEYS, self._wallet.public_key)
            self._wallet.nonce_next = max(self._wallet.nonce_next, 0 if row is None else row.top + 1)
            return False
        if rejection is not Rejection.CONVICTED_ALREADY:
            self._log.error("evidence_rejected", validator_key=case.key, reason=rejection.code)
        return True
