"""The worker that executes final blocks in order, outside the vote path, and saves them.

It works in slices of a few milliseconds, so that votes are answered between two transactions and within a block's
commitment. A block is saved in one SQLite transaction; when more wait they are executed first, up to a bound, and all
are saved in one: pages that they have in common are written once. Nobody is told of a block, and nobody reads the
books, before it is saved. Never decide what is final.
"""

import asyncio
import contextlib
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar

from consensus.chain import Floor, make_point
from node.gossip.fetch import NobodyHasItError
from node.mempool import HeldBatch, Mempool
from node.meters import DISK_S, WORK_S, Buckets
from node.store.chain import ChainStore, StoredTransaction
from node.store.outcome import Outcome
from node.store.parts import Executed
from node.telemetry import get_logger
from node.upgrading import find_unknown
from protocol.batch import BatchRef, Sidecar
from protocol.block import Block, Header
from protocol.certificate import Certificate
from protocol.ids import Height, TransactionId
from protocol.ledger.execute import Execution, Ledger
from protocol.ledger.records import Receipt
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, is_bare

T = TypeVar("T")

SLICE_S: Final = 0.005
DUE_PER_SLICE: Final = 20
"""Events of a day-roll between two looks at the clock: about two milliseconds."""
BLOCKS_GATHERED_MAX: Final = 16
SAVED_TOGETHER_MAX: Final = 1_024
"""Transactions in blocks that are saved at once, the last block's apart: what readers of the books may wait for."""
SAVED_BEHIND_MAX: Final = 4_096
"""The same while this node is behind: a row that many blocks change is written once. A crash costs half a second."""
BLOCKS_BEHIND_MAX: Final = 64
"""And so many blocks, which may be empty."""
SAVED_BEHIND_S: Final = 0.25
"""How long executed blocks wait for more to be saved with, while this node is behind."""
DEAD_KEPT_MAX: Final = 4_096


class BatchSource(Protocol):
    """What is asked of the batch room."""

    async def obtain_final(self, refs: Sequence[BatchRef]) -> list[HeldBatch]:
        """The batches that a final block orders."""


class OutcomeSource(Protocol):
    """What is asked of the outcome room."""

    async def fetch(
        self, transaction: TransactionId, height: Height, naming: Header, *, rounds_max: int | None = None
    ) -> Receipt:
        """The certified receipt of an application whose sidecars are erased."""


class Pictures(Protocol):
    """What is told of heights at which a picture of the books is taken."""

    def is_due(self, height: Height) -> bool:
        """Whether nothing later may be saved together with this height."""

    async def on_saved(self, height: Height) -> None:
        """It is the last one saved until this returns."""


class FinalBlock(NamedTuple):
    """A block to execute, with its own finalization when it has one."""

    block: Block
    finalization: Certificate | None


class _Executed(NamedTuple):
    """A block that is executed and not saved yet."""

    outcome: Outcome
    dead: list[TransactionId]
    """Transactions of it whose nonce another one had used."""


class _Slice:
    """A few milliseconds of work between two looks at what else waits."""

    __slots__ = ("_until_s",)

    def __init__(self) -> None:
        self._until_s = time.monotonic() + SLICE_S

    @property
    def is_over(self) -> bool:
        """Whether others should have their turn."""
        return time.monotonic() > self._until_s

    async def look(self) -> None:
        """Let others have their turn if it is time."""
        if self.is_over:
            await asyncio.sleep(0)
            self._until_s = time.monotonic() + SLICE_S


async def _is_ready(task: "asyncio.Task[T]", until_s: float) -> bool:
    """Whether a task has ended, now or by a time of the loop's clock that may have passed."""
    left_s = until_s - asyncio.get_running_loop().time()
    if not task.done() and left_s > 0:
        await asyncio.wait((task,), timeout=left_s)
    return task.done()


class Executor:
    """Executes and saves the chain of one node."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        store: ChainStore,
        floor: Floor,
        genesis_rows: Sequence[tuple[int, bytes, bytes]],
        batches: BatchSource,
        outcomes: OutcomeSource,
        mempool: Mempool,
        clock_ms: Callable[[], int],
        on_executed: Callable[[Execution, Block], None],
        pictures: Pictures | None = None,
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._batches = batches
        self._outcomes = outcomes
        self._recorded: dict[TransactionId, Receipt] = {}
        """Certified receipts of applications whose sidecars are erased, until they are executed."""
        self._grown = asyncio.Event()
        self._mempool = mempool
        self._clock_ms = clock_ms
        self._on_executed = on_executed
        self._pictures = pictures
        self._genesis_rows = genesis_rows
        self._point = floor.point
        self._queue: deque[FinalBlock] = deque()
        self._gathering: dict[Height, asyncio.Task[list[HeldBatch]]] = {}
        self._filled = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._saved = asyncio.Condition()
        self._waiters: dict[TransactionId, list[asyncio.Future[None]]] = {}
        self._dead: dict[TransactionId, None] = {}
        """The latest transactions whose nonce another one used; nothing will come of them."""
        self._log = get_logger("executor")
        self.height = floor.exec_height
        """The last block executed and saved."""
        self.exec_root = floor.exec_root
        self.not_recomputed = 0
        """Applications since the start whose score was taken from its certified receipt."""
        self.outcomes: Counter[Rejection | None] = Counter()
        """Executed transactions by reason of rejection; None is success."""
        self.executing, self.saving = Buckets(WORK_S), Buckets(DISK_S)

    def enqueue(self, blocks: Sequence[Block], finalization: Certificate) -> None:
        """Blocks became final, ascending; each comes once."""
        for block in blocks:
            own = finalization if block.header.calculate_digest() == finalization.digest else None
            self._queue.append(FinalBlock(block, own))
        self._gather_ahead()
        self._filled.set()
        self._grown.set()
        self._grown = asyncio.Event()

    async def run(self) -> None:
        """Execute what is final until cancelled. A save that has begun is always finished."""
        while True:
            while self._queue:
                await self._save(await self._execute_some())
                self._settled.set()
                await asyncio.sleep(0)  # whoever waits for books between two blocks reads now
            self._filled.clear()
            await self._filled.wait()

    def _gather_ahead(self, executed: int = 0) -> None:
        """Begin to obtain the batches of the next blocks, so that a node that follows does not wait for each.

        So many of the queue are `executed` and not saved.
        """
        for final in itertools.islice(self._queue, executed, executed + BLOCKS_GATHERED_MAX):
            height = final.block.header.height
            if height not in self._gathering:
                self._gathering[height] = asyncio.ensure_future(self._gather(final.block))

    async def _gather(self, block: Block) -> list[HeldBatch]:
        held = await self._obtain(block)
        bare = [
            transaction.id
            for batch in held
            if batch.bare
            for transaction, item in zip(batch.transactions, batch.batch.items, strict=True)
            if is_bare(transaction, item.sidecars)
        ]
        if bare:
            # Each that was executed and not skipped has a receipt; of the others every peer says that it has none.
            found = (self._find_recorded(one, block.header.height, rounds_max=1) for one in bare)
            await asyncio.gather(*found)
        return held

    async def _find_recorded(self, transaction: TransactionId, height: Height, rounds_max: int | None = None) -> None:
        naming = await self._find_naming(height)
        with contextlib.suppress(NobodyHasItError):
            self._recorded[transaction] = await self._outcomes.fetch(transaction, height, naming, rounds_max=rounds_max)

    async def _find_naming(self, height: Height) -> Header:
        """The first final header that names the state after `height` or a later one; it may be yet to come."""
        while True:
            grown = self._grown
            for final in self._queue:
                if final.block.header.exec_height >= height:
                    return final.block.header
            await grown.wait()

    async def _take_recorded(self, transaction: Transaction, sidecars: Sequence[Sidecar]) -> Receipt | None:
        """The certified receipt of an application that must be executed and cannot be scored any more, else None."""
        if not is_bare(transaction, sidecars) or self._ledger.would_skip(transaction):
            return None
        while (found := self._recorded.pop(transaction.id, None)) is None:
            self._log.warning("outcome_missing", transaction=transaction.id, height=self._ledger.books.height)
            await self._find_recorded(transaction.id, self._ledger.books.height)
        return found

    async def _execute_some(self) -> list[_Executed]:
        """Execute the next block, and those behind it that are ready too, within bounds.

        A node with more blocks to execute than it gathers is behind: nobody waits for its books, and it waits a moment
        for more blocks.
        """
        behind = len(self._queue) > BLOCKS_GATHERED_MAX
        blocks_max, count_max = (
            (BLOCKS_BEHIND_MAX, SAVED_BEHIND_MAX) if behind else (len(self._queue), SAVED_TOGETHER_MAX)
        )
        done: list[_Executed] = []
        count, until_s = 0, 0.0
        while len(done) < min(blocks_max, len(self._queue)) and count < count_max:
            self._gather_ahead(len(done))
            final = self._queue[len(done)]
            needed = find_unknown(self._ledger.rules, final.block.header.height, self._ledger.rules_known)
            if needed is not None and not done:
                raise needed
            if needed is not None:
                break  # what comes before is saved first
            gathering = self._gathering[final.block.header.height]
            if done and not await _is_ready(gathering, until_s):
                break
            done.append(await self._execute(final, await gathering))
            count += len(done[-1].outcome.transactions)
            if behind and len(done) == 1:
                until_s = asyncio.get_running_loop().time() + SAVED_BEHIND_S
            if self._pictures is not None and self._pictures.is_due(final.block.header.height):
                break
        return done

    async def _execute(self, final: FinalBlock, held: Sequence[HeldBatch]) -> _Executed:
        block = final.block
        header = block.header
        ledger = self._ledger
        assert header.height == ledger.height + 1, "final blocks come in order"
        executed: list[Executed] = []
        dead: list[TransactionId] = []
        self._settled.clear()
        began_s = time.monotonic()
        ledger.open_block(header)
        slice_ = _Slice()
        while ledger.run_due(DUE_PER_SLICE):
            await slice_.look()
        for batch in held:
            for transaction, item in zip(batch.transactions, batch.batch.items, strict=True):
                recorded = await self._take_recorded(transaction, item.sidecars) if batch.bare else None
                receipt = ledger.execute(transaction, item.sidecars, recorded)
                self.not_recomputed += recorded is not None
                if receipt is not None:
                    executed.append((transaction, receipt, batch.digest))
                elif ledger.check_door(transaction, header.time_ms) is Rejection.NONCE_USED:
                    dead.append(transaction.id)
                if slice_.is_over:
                    await slice_.look()
        closing = ledger.close_block()
        execution: Execution | None = None
        while execution is None:
            await slice_.look()
            try:
                next(closing)
            except StopIteration as end:
                execution = end.value
        self.executing.observe(time.monotonic() - began_s)
        digest = header.calculate_digest()
        self._point = make_point(header, digest, self._point)
        batches = [(one.digest, one.raw) for one in held]
        outcome = Outcome(block, digest, final.finalization, self._point.mountains, batches, execution, executed)
        return _Executed(outcome, dead)

    async def _obtain(self, block: Block) -> list[HeldBatch]:
        while True:
            try:
                return await self._batches.obtain_final(block.batches)
            except NobodyHasItError:
                # A quorum held them when the block was notarized: somebody will come back with them.
                self._log.warning("batch_missing", height=block.header.height)

    async def _save(self, done: Sequence[_Executed]) -> None:
        began_s = time.monotonic()
        await self._store.save_blocks([one.outcome for one in done], self._genesis_rows)
        self.saving.observe(time.monotonic() - began_s)
        self._genesis_rows = ()
        if self._pictures is not None:
            await self._pictures.on_saved(done[-1].outcome.execution.height)
        for one in done:
            self._queue.popleft()
            del self._gathering[one.outcome.execution.height]
            self._tell(one.outcome)
            self._bury(one.dead)
        async with self._saved:
            self._saved.notify_all()

    def _tell(self, outcome: Outcome) -> None:
        block, execution = outcome.block, outcome.execution
        height = execution.height
        self.height, self.exec_root = height, execution.exec_root
        # A skipped one (its nonce was used, or nobody vouches for its sender yet) is not remembered: it left no trace.
        ids = [transaction.id for transaction, _, _ in outcome.transactions]
        self.outcomes.update([receipt.rejection for _, receipt, _ in outcome.transactions])
        self._mempool.on_executed([ref.digest for ref in block.batches], ids, height, self._clock_ms())
        self._on_executed(execution, block)
        self._wake(ids)

    def _bury(self, ids: Sequence[TransactionId]) -> None:
        for one in ids:
            self._dead[one] = None
            if len(self._dead) > DEAD_KEPT_MAX:
                del self._dead[next(iter(self._dead))]
        self._wake(ids)

    def _wake(self, ids: Sequence[TransactionId]) -> None:
        for one in ids:
            for waiter in self._waiters.get(one, ()):
                if not waiter.done():
                    waiter.set_result(None)

    async def close(self) -> None:
        """End what is being obtained."""
        for task in self._gathering.values():
            task.cancel()
        await asyncio.gather(*self._gathering.values(), return_exceptions=True)

    # ------------------------------------------------------------------ waiting

    async def wait_settled(self) -> None:
        """Return when the books stand between two blocks, both executed and saved; they do until the next await."""
        while not self._settled.is_set():
            await self._settled.wait()

    async def wait_beyond(self, height: Height, timeout_s: float) -> Height:
        """The saved height as soon as it passes `height`, or the present one when time is up."""
        try:
            async with asyncio.timeout(timeout_s), self._saved:
                await self._saved.wait_for(lambda: self.height > height)
        except TimeoutError:
            pass
        return self.height

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        """The transaction once it is saved; None when time is up, or when its nonce was used by another."""
        saved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiters = self._waiters.setdefault(transaction_id, [])
        waiters.append(saved)
        try:
            # Looked up after the waiter stands, so that a save in between is not missed.
            found = await self._store.find_transaction(transaction_id)
            if found is None and transaction_id not in self._dead:
                await asyncio.wait((saved,), timeout=timeout_s)
            if found is None and (saved.done() or transaction_id in self._dead):
                # Also of a dead one: a second copy of it may be what died, after the first was saved.
                found = await self._store.find_transaction(transaction_id)
        finally:
            waiters.remove(saved)
            if not waiters and self._waiters.get(transaction_id) is waiters:
                del self._waiters[transaction_id]
        return found
