"""The door: what a client submits is checked once and pooled, or refused with a reason.

Stateless checks first (form, signatures, sidecars), then time, then what the books can say without executing. Passing
the door promises nothing: failures after it become receipts. Never execute here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from node.api.ports import Busy, Submission
from node.mempool import Mempool
from node.verifier import Verifier
from protocol.batch import BatchItem, calculate_transaction_id
from protocol.ids import TimeMs, TransactionId
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_valid_to

RETRY_AFTER_MS: Final = 1_000
_NO_TRANSACTION: Final = frozenset({Rejection.TOO_LARGE, Rejection.MALFORMED, Rejection.NOT_CANONICAL})


class Books(Protocol):
    """What is asked of the ledger."""

    def check_door(self, transaction: Transaction, now_ms: TimeMs) -> Rejection | None:
        """Why it could not execute as the books stand now."""


class Archive(Protocol):
    """What is asked of the store."""

    async def find_transaction(self, transaction_id: TransactionId) -> object | None:
        """An executed transaction."""


class Door:
    """Takes submissions for one node."""

    def __init__(
        self,
        *,
        verifier: Verifier,
        mempool: Mempool,
        books: Books,
        archive: Archive,
        clock_ms: Callable[[], int],
        on_submitted: Callable[[], None],
        wait_settled: Callable[[], Awaitable[None]],
    ) -> None:
        self._verifier = verifier
        self._mempool = mempool
        self._books = books
        self._archive = archive
        self._clock_ms = clock_ms
        self._on_submitted = on_submitted
        self._wait_settled = wait_settled
        self.closed = False

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        """One answer per item, in order; those accepted keep their order. Raises Busy and takes none of them then."""
        self._check_room(len(items))
        verdicts = await self._verifier.check(items)
        self._check_room(len(items))  # others came in meanwhile
        now_ms = TimeMs(self._clock_ms())
        answers = [self._take(item, verdict, now_ms) for item, verdict in zip(items, verdicts, strict=True)]
        self._on_submitted()
        return [await self._recall(verdict, answer) for verdict, answer in zip(verdicts, answers, strict=True)]

    def _check_room(self, count: int) -> None:
        if self.closed or not self._mempool.has_room(count):
            raise Busy(RETRY_AFTER_MS)

    async def _recall(self, verdict: Transaction | Rejection, answer: Submission) -> Submission:
        """The answer, unless the very transaction was executed: then its own nonce, or time, refuses it now.

        The books may be ahead of what is saved while a block is executed; the store is asked when they are level.
        """
        if answer.status != "rejected" or isinstance(verdict, Rejection):
            return answer
        await self._wait_settled()
        executed = await self._archive.find_transaction(verdict.id) is not None
        return Submission(id=verdict.id, status="known") if executed else answer

    def _take(self, item: BatchItem, verdict: Transaction | Rejection, now_ms: TimeMs) -> Submission:
        if isinstance(verdict, Rejection):
            named = None if verdict in _NO_TRANSACTION else calculate_transaction_id(item.transaction)
            return Submission(id=named, status="rejected", rejection=verdict)
        if self._mempool.is_known(verdict.id):
            return Submission(id=verdict.id, status="known")
        reason = check_valid_to(verdict, now_ms) or self._books.check_door(verdict, now_ms)
        if reason is not None:
            return Submission(id=verdict.id, status="rejected", rejection=reason)
        return Submission(id=verdict.id, status="accepted" if self._mempool.try_add(verdict, item) else "known")
