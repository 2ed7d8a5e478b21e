"""The worker that executes final blocks in order, outside the vote path, and saves each in one SQLite transaction.

It works in slices of a few milliseconds, so that votes are answered between two transactions. A block is executed only
after the one before is saved; the books that others read change only when a block ends. Never decide what is final.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from consensus.chain import Floor, make_point
from node.gossip.fetch import NobodyHasItError
from node.mempool import HeldBatch, Mempool
from node.store.chain import ChainStore, StoredTransaction
from node.telemetry import get_logger
from protocol.batch import BatchRef
from protocol.block import Block
from protocol.certificate import Certificate
from protocol.ids import BatchDigest, Height, PublicKey, TransactionId
from protocol.ledger.execute import Execution, Ledger
from protocol.ledger.records import Receipt
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction

SLICE_S: Final = 0.005
DUE_PER_SLICE: Final = 20
"""Events of a day-roll between two looks at the clock: about two milliseconds."""
BLOCKS_GATHERED_MAX: Final = 16
DEAD_KEPT_MAX: Final = 4_096


class BatchSource(Protocol):
    """What is asked of the batch room."""

    async def obtain(self, ref: BatchRef, first: Sequence[PublicKey] = (), *, in_haste: bool = False) -> HeldBatch:
        """The batch a block orders."""


class FinalBlock(NamedTuple):
    """A block to execute, with its own finalization when it has one."""

    block: Block
    finalization: Certificate | None


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
        mempool: Mempool,
        clock_ms: Callable[[], int],
        on_executed: Callable[[Execution, Block], None],
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._batches = batches
        self._mempool = mempool
        self._clock_ms = clock_ms
        self._on_executed = on_executed
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

    def enqueue(self, blocks: Sequence[Block], finalization: Certificate) -> None:
        """Blocks became final, ascending; each comes once."""
        for block in blocks:
            own = finalization if block.header.calculate_digest() == finalization.digest else None
            self._queue.append(FinalBlock(block, own))
        self._filled.set()

    async def run(self) -> None:
        """Execute what is final until cancelled. A save that has begun is always finished."""
        while True:
            while self._queue:
                self._gather_ahead()
                final = self._queue[0]
                await self._execute(final, await self._gathering[final.block.header.height])
                self._queue.popleft()
                del self._gathering[final.block.header.height]
                self._settled.set()
                await asyncio.sleep(0)  # whoever waits for books between two blocks reads now
            self._filled.clear()
            await self._filled.wait()

    def _gather_ahead(self) -> None:
        """Begin to obtain the batches of the next blocks, so that a node that follows does not wait for each."""
        for final in itertools.islice(self._queue, BLOCKS_GATHERED_MAX):
            height = final.block.header.height
            if height not in self._gathering:
                self._gathering[height] = asyncio.ensure_future(self._gather(final.block))

    async def _gather(self, block: Block) -> list[HeldBatch]:
        return list(await asyncio.gather(*(self._obtain(ref) for ref in block.batches)))

    async def _execute(self, final: FinalBlock, held: Sequence[HeldBatch]) -> None:
        block = final.block
        header = block.header
        assert header.height == self.height + 1, "final blocks come in order"
        executed: list[tuple[Transaction, Receipt, BatchDigest]] = []
        dead: list[TransactionId] = []
        ledger = self._ledger
        self._settled.clear()
        ledger.open_block(header)
        until_s = time.monotonic() + SLICE_S
        while ledger.run_due(DUE_PER_SLICE):
            if time.monotonic() > until_s:
                await asyncio.sleep(0)
                until_s = time.monotonic() + SLICE_S
        for batch in held:
            for transaction, item in zip(batch.transactions, batch.batch.items, strict=True):
                receipt = ledger.execute(transaction, item.sidecars)
                if receipt is not None:
                    executed.append((transaction, receipt, batch.digest))
                elif ledger.check_door(transaction, header.time_ms) is Rejection.NONCE_USED:
                    dead.append(transaction.id)
                if time.monotonic() > until_s:
                    await asyncio.sleep(0)
                    until_s = time.monotonic() + SLICE_S
        execution = ledger.end_block()
        await self._save(final, execution, held, executed)
        await self._tell(execution, block, executed)
        self._bury(dead)

    async def _obtain(self, ref: BatchRef) -> HeldBatch:
        while True:
            try:
                return await self._batches.obtain(ref, in_haste=True)
            except NobodyHasItError:
                # A quorum held it when the block was notarized: somebody will come back with it.
                self._log.warning("batch_missing", digest=ref.digest, height=self.height + 1)

    async def _save(
        self,
        final: FinalBlock,
        execution: Execution,
        held: Sequence[HeldBatch],
        executed: Sequence[tuple[Transaction, Receipt, BatchDigest]],
    ) -> None:
        digest = final.block.header.calculate_digest()
        self._point = make_point(final.block.header, digest, self._point)
        await self._store.save_block(
            block=final.block,
            digest=digest,
            finalization=final.finalization,
            mountains=self._point.mountains,
            batches=[(one.digest, one.raw) for one in held],
            execution=execution,
            transactions=executed,
            genesis_rows=self._genesis_rows,
        )
        self._genesis_rows = ()

    async def _tell(
        self,
        execution: Execution,
        block: Block,
        executed: Sequence[tuple[Transaction, Receipt, BatchDigest]],
    ) -> None:
        height = execution.height
        self.height, self.exec_root = height, execution.exec_root
        # A skipped one (its nonce was used, or nobody vouches for its sender yet) is not remembered: it left no trace.
        ids = [transaction.id for transaction, _, _ in executed]
        self._mempool.on_executed([ref.digest for ref in block.batches], ids, height, self._clock_ms())
        self._on_executed(execution, block)
        self._wake(ids)
        async with self._saved:
            self._saved.notify_all()

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
