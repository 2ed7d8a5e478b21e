"""Execution of final blocks: what waits is saved together, nobody hears of a block before it is saved, votes get in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
import pytest

from consensus.chain import Floor, make_genesis_floor
from node import executor as executor_module
from node.executor import Executor, OutcomeSource
from node.mempool import HeldBatch, Mempool
from node.store.chain import ChainStore
from node.store.outcome import Outcome
from protocol.batch import Batch, BatchItem, BatchRef
from protocol.block import Block, Header
from protocol.certificate import Certificate, VoteKind
from protocol.codec import encode
from protocol.ids import ZERO_DIGEST, BatchDigest, BlockDigest, Epoch, Height, TimeMs, View
from protocol.ledger.execute import Execution
from protocol.money import Amount
from protocol.transactions.envelope import Transaction
from protocol.transactions.money import Transfer
from protocol.validators import make_validator_set
from tests.node.core.chaintools import until
from tests.protocol.ledger.world import CNY, World

FINALIZATION = Certificate(
    kind=VoteKind.FINALIZE, epoch=Epoch(0), view=View(1), digest=BlockDigest(ZERO_DIGEST), signers=1, signatures=()
)


class Bench:
    """An executor over a real ledger; batches come and saves end when the test says so."""

    def __init__(self) -> None:
        self.world = World()
        for name in ("ann", "ben"):
            self.world.open_account(name)
            self.world.mint(name, 1_000_000)
        self.held: dict[BatchDigest, HeldBatch] = {}
        self.saves: list[list[Outcome]] = []
        self.told: list[tuple[Height, int]] = []
        self.may_save = asyncio.Event()
        self.missing: dict[BatchDigest, asyncio.Event] = {}
        ledger = self.world.ledger
        keys = tuple(member.validator_key for member in self.world.genesis.members if member.validator_key is not None)
        floor: Floor = make_genesis_floor(
            ledger.chain_id, ledger.exec_root, make_validator_set(keys, BlockDigest(ZERO_DIGEST))
        )
        self.executor = Executor(
            ledger=ledger,
            store=cast("ChainStore", self),
            floor=msgspec.structs.replace(floor, exec_height=ledger.height),
            genesis_rows=((1, b"", b"genesis"),),
            batches=self,
            outcomes=cast("OutcomeSource", None),
            mempool=Mempool(),
            clock_ms=lambda: self.world.now_ms,
            on_executed=self.on_executed,
        )
        self.height = int(ledger.height)

    async def obtain_final(self, refs: Sequence[BatchRef]) -> list[HeldBatch]:
        for ref in refs:
            if ref.digest in self.missing:
                await self.missing[ref.digest].wait()
        return [self.held[ref.digest] for ref in refs]

    async def save_blocks(self, outcomes: Sequence[Outcome], genesis_rows: Sequence[Any]) -> None:
        await self.may_save.wait()
        assert bool(genesis_rows) is (not self.saves), "with the first save, once"
        self.saves.append(list(outcomes))

    def on_executed(self, execution: Execution, block: Block) -> None:
        assert any(one.execution is execution for save in self.saves for one in save), "told before it was saved"
        self.told.append((execution.height, len(execution.receipts)))

    def transfer(self, amount: int) -> Transaction:
        """Ann pays Ben."""
        to = self.world.account("ben")
        return self.world.transaction(
            "ann", Transfer(to=to, currency=CNY, amount=Amount(amount), memo_commit=ZERO_DIGEST)
        )

    def block(self, count: int) -> Block:
        """The next block, of one batch of so many transfers."""
        self.height += 1
        self.world.now_ms = TimeMs(self.world.now_ms + 10)
        transactions = tuple(self.transfer(1 + i) for i in range(count))
        batch = Batch(items=tuple(BatchItem(transaction=one.raw) for one in transactions))
        refs: tuple[BatchRef, ...] = ()
        if count:
            held = HeldBatch(batch, transactions, b"peer", 0, encode(batch))
            self.held[held.digest] = held
            refs = (held.ref,)
        header: Header = self.world.header(height=self.height)
        return Block(header=header, batches=refs)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Executor]:
        """Execute within."""
        task = asyncio.create_task(self.executor.run())
        try:
            yield self.executor
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            await self.executor.close()


async def test_blocks_that_wait_are_saved_together_and_told_in_order() -> None:
    """The first is saved alone, those that came meanwhile in one write; each is told once, after its save."""
    here = Bench()
    blocks = [here.block(3), here.block(0), here.block(2)]
    async with here.running() as executor:
        executor.enqueue(blocks[:1], FINALIZATION)
        await asyncio.sleep(0.05)
        executor.enqueue(blocks[1:], FINALIZATION)
        await asyncio.sleep(0.05)
        settled = asyncio.create_task(executor.wait_settled())
        await asyncio.sleep(0.02)
        assert not settled.done(), "books of a block that is not saved are nobody's to read"
        assert here.told == []
        assert executor.height == blocks[0].header.height - 1
        here.may_save.set()
        await until(lambda: len(here.told) == 3)
        await settled
        assert [[one.execution.height for one in save] for save in here.saves] == [
            [blocks[0].header.height],
            [blocks[1].header.height, blocks[2].header.height],
        ]
        assert here.told == [(block.header.height, count) for block, count in zip(blocks, (3, 0, 2), strict=True)]
        assert executor.height == here.height
        assert executor.exec_root == here.world.ledger.exec_root


async def test_a_batch_that_is_missing_holds_up_its_own_block_alone() -> None:
    """What was executed before it is saved and told; the rest follows when it comes."""
    here = Bench()
    here.may_save.set()
    blocks = [here.block(1), here.block(1), here.block(1)]
    late = blocks[1].batches[0].digest
    here.missing[late] = asyncio.Event()
    async with here.running() as executor:
        executor.enqueue(blocks, FINALIZATION)
        await until(lambda: len(here.told) == 1)
        await asyncio.sleep(0.05)
        assert len(here.told) == 1
        await executor.wait_settled()
        here.missing[late].set()
        await until(lambda: len(here.told) == 3)
    assert [count for _, count in here.told] == [1, 1, 1]


async def test_only_so_many_transactions_are_saved_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers wait for a bounded time: the bound is reached by the block that goes beyond it, and no further."""
    monkeypatch.setattr(executor_module, "SAVED_TOGETHER_MAX", 5)
    here = Bench()
    here.may_save.set()
    blocks = [here.block(count) for count in (2, 2, 2, 5, 1, 1)]
    async with here.running() as executor:
        executor.enqueue(blocks, FINALIZATION)
        await until(lambda: len(here.told) == 6)
    sizes = [[len(one.transactions) for one in save] for save in here.saves]
    assert [one for size in sizes for one in size] == [2, 2, 2, 5, 1, 1]
    assert all(sum(size[:-1]) < 5 for size in sizes)
    assert max(len(size) for size in sizes) > 1, "some were saved together"


async def test_a_node_that_is_behind_saves_more_at_once_and_waits_a_moment_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More blocks wait than are gathered: one that comes late is still saved with those before it, within bounds."""
    monkeypatch.setattr(executor_module, "BLOCKS_GATHERED_MAX", 3)
    monkeypatch.setattr(executor_module, "BLOCKS_BEHIND_MAX", 4)
    monkeypatch.setattr(executor_module, "SAVED_TOGETHER_MAX", 1)
    monkeypatch.setattr(executor_module, "SAVED_BEHIND_S", 30.0)
    here = Bench()
    here.may_save.set()
    blocks = [here.block(1) for _ in range(6)]
    late = here.missing[blocks[1].batches[0].digest] = asyncio.Event()
    async with here.running() as executor:
        executor.enqueue(blocks, FINALIZATION)
        await until(lambda: here.world.ledger.height == blocks[0].header.height)
        await asyncio.sleep(0)
        assert not here.saves, "it waits for the next one"
        late.set()
        await until(lambda: len(here.told) == 6)
    assert [len(save) for save in here.saves] == [4, 1, 1]


async def test_a_node_that_is_behind_saves_what_it_has_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch that nobody brings holds up its own block alone here too."""
    monkeypatch.setattr(executor_module, "BLOCKS_GATHERED_MAX", 1)
    monkeypatch.setattr(executor_module, "SAVED_BEHIND_S", 0.01)
    here = Bench()
    here.may_save.set()
    blocks = [here.block(1) for _ in range(3)]
    late = here.missing[blocks[1].batches[0].digest] = asyncio.Event()
    async with here.running() as executor:
        executor.enqueue(blocks, FINALIZATION)
        await until(lambda: len(here.told) == 1)
        await executor.wait_settled()
        late.set()
        await until(lambda: len(here.told) == 3)
    assert len(here.saves[0]) == 1


async def test_a_blocks_commitment_lets_others_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces of it everybody has a turn, so that a vote never waits for all of a large block."""
    monkeypatch.setattr(executor_module, "SLICE_S", -1.0)
    here = Bench()
    here.may_save.set()
    pieces = 0
    turns = 0
    closing = here.world.ledger.close_block

    def counted() -> Any:
        nonlocal pieces
        steps = closing()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            pieces += 1
            before = turns
            yield
            assert turns > before, "nobody had a turn"

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(here.world.ledger, "close_block", counted)
    block = here.block(200)
    other = asyncio.create_task(count_turns())
    async with here.running() as executor:
        executor.enqueue([block], FINALIZATION)
        await until(lambda: len(here.told) == 1)
    other.cancel()
    assert pieces >= 1
