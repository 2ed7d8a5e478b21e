"""The door: what a client submits is checked once and pooled, or refused with a reason.

Stateless checks first (form, signatures, sidecars), then time, then what the books can say without executing. Passing
the door promises nothing: failures after it become receipts. A node that does not know, or is full, refuses nothing:
it is busy; so is one whose network takes longer and longer for what it took, because each transaction more would cost
everybody a check and bring none nearer. Never execute here.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from node.api.ports import Busy, BusyReason, Submission
from node.mempool import Mempool
from node.verifier import Verdict, Verifier
from protocol.batch import BatchItem, calculate_transaction_id
from protocol.ids import TimeMs, TransactionId
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_valid_to

RETRY_AFTER_MS: Final = 1_000
SATURATED_MS: Final = 2_000
"""An own batch that has waited so long to be executed shows that more comes in than the network can do."""
CHECKED_AT_ONCE_MAX: Final = 8_192  # transactions; half a second of one core, and what a client waits at least
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
        wait_level: Callable[[], Awaitable[bool]],
        find_hindrance: Callable[[], BusyReason | None],
        calculate_wait_ms: Callable[[], int],
    ) -> None:
        """`calculate_wait_ms`: for how long what was taken here and is to be executed next has waited."""
        self._verifier = verifier
        self._mempool = mempool
        self._books = books
        self._archive = archive
        self._clock_ms = clock_ms
        self._on_submitted = on_submitted
        self._wait_settled = wait_settled
        self._wait_level = wait_level
        self._find_hindrance = find_hindrance
        self._calculate_wait_ms = calculate_wait_ms
        self._checking = 0
        self.closed = False

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        """One answer per item, in order; those accepted keep their order, and what there is no room for is `busy`.

        Raises Busy when nothing of it was taken because of this node.
        """
        reason: BusyReason | None = "stopping" if self.closed else self._find_hindrance()
        if reason is not None:
            raise Busy(RETRY_AFTER_MS, reason)
        if self._calculate_wait_ms() > SATURATED_MS:
            raise Busy(RETRY_AFTER_MS, "saturated")
        room = min(self._mempool.calculate_room(), CHECKED_AT_ONCE_MAX - self._checking)
        if room <= 0:
            raise Busy(RETRY_AFTER_MS, "verifying" if self._mempool.calculate_room() else "pool_full")
        verdicts = await self._check(items[:room])  # the rest is to come back, and costs no signatures now
        now_ms = TimeMs(self._clock_ms())
        answers = [self._take(item, verdict, now_ms) for item, verdict in zip(items, verdicts, strict=False)]
        self._on_submitted()
        answers = [await self._look_again(*one) for one in zip(items, verdicts, answers, strict=False)]
        answers += [_make_busy(item) for item in items[len(answers) :]]
        if all(one.status == "busy" for one in answers):
            raise Busy(RETRY_AFTER_MS)
        return answers

    async def _check(self, items: Sequence[BatchItem]) -> list[Verdict]:
        self._checking += len(items)
        try:
            return await self._verifier.check(items)
        finally:
            self._checking -= len(items)

    async def _look_again(self, item: BatchItem, verdict: Verdict, answer: Submission) -> Submission:
        """The answer, unless books that are behind gave it: the reason is looked for again when they are level.

        The very transaction may have been executed, whose own nonce, or time, refuses it now; the store is asked when
        it is level with the books. Or what it needs is final and not executed here yet.
        """
        if answer.status != "rejected" or isinstance(verdict, Rejection):
            return answer
        is_level = await self._wait_level()
        await self._wait_settled()
        if await self._archive.find_transaction(verdict.id) is not None:
            return Submission(id=verdict.id, status="known")
        again = self._take(item, verdict, TimeMs(self._clock_ms()))
        if again.status == "accepted":
            self._on_submitted()
        return _make_busy(item) if again.status == "rejected" and not is_level else again

    def _take(self, item: BatchItem, verdict: Verdict, now_ms: TimeMs) -> Submission:
        if isinstance(verdict, Rejection):
            named = None if verdict in _NO_TRANSACTION else calculate_transaction_id(item.transaction)
            return Submission(id=named, status="rejected", rejection=verdict)
        if self._mempool.is_known(verdict.id):
            return Submission(id=verdict.id, status="known")
        reason = check_valid_to(verdict, now_ms) or self._books.check_door(verdict, now_ms)
        if reason is not None:
            return Submission(id=verdict.id, status="rejected", rejection=reason)
        if not self._mempool.calculate_room():  # others came in meanwhile
            return _make_busy(item)
        return Submission(id=verdict.id, status="accepted" if self._mempool.try_add(verdict, item) else "known")


def _make_busy(item: BatchItem) -> Submission:
    return Submission(id=calculate_transaction_id(item.transaction), status="busy")
