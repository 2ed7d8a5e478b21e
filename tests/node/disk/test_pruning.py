"""A pruned node forgets old batches, receipts and events, keeps what proofs need, and its file becomes smaller."""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from node import setup
from node.audit import Audit
from node.check import Check
from node.examine import find_genesis
from node.opening import DATABASE
from node.proving import prove_transaction
from node.pruning import STEP_BLOCKS, Pruner
from node.store.chain import ChainStore, StoreError
from node.store.forgetting import let_shrink
from node.sync import SyncPlan
from protocol.codec import decode
from protocol.ids import BlockDigest, Digest, Epoch, Height, PublicKey, TransactionId, View
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Receipt
from protocol.messages import Status
from protocol.receipt import VerifiedReceipt, verify_receipt_file
from tests.node.core.cluster import LENDERS, cluster
from tests.node.disk.ledgers import find_database
from tests.node.disk.test_check_and_repair import kept, net
from tests.node.disk.test_returning import make_blocks

__all__ = ["kept", "net"]  # fixtures


async def open_store(place: setup.Testnet, stack: AsyncExitStack) -> ChainStore:
    """The ledger of the stopped node, ready to shrink."""
    directory = place.directory / "solo"
    store = await ChainStore.open(directory / DATABASE, find_genesis(directory), shrinks=True)
    stack.push_async_callback(store.close)
    await store.load_tip()
    return store


async def test_what_is_forgotten_is_gone_and_the_rest_is_whole(net: setup.Testnet) -> None:
    """Receipts, events and batches up to the height; headers, proofs of the present and made receipts stay good."""
    directory = net.directory / "solo"
    genesis, path = find_genesis(directory), find_database(net)
    with closing(sqlite3.connect(path)) as connection:
        (last,) = connection.execute("SELECT MAX(height) FROM blocks").fetchone()
    up_to = Height(last // 2)
    async with AsyncExitStack() as stack:
        store = await open_store(net, stack)
        old = await find_transaction(store, 1)
        new = await find_transaction(store, up_to + 1)
        made = await prove_transaction(store, old, await read_genesis_root(net))
        events = await store.read_events(0, -1, 10_000)
        await store.prune(up_to)
        assert store.base == up_to
        assert await store.find_transaction(old) is None
        assert await store.find_transaction(new) is not None
        assert len(await store.read_blocks(Height(1), last)) == last, "headers stay"
        assert await store.read_block_receipts(up_to) == []
        left = await store.read_events(0, -1, 10_000)
        assert left == [one for one in events if one.height > up_to]
        assert made is not None
        assert isinstance(verify_receipt_file(made, genesis), VerifiedReceipt)
    report = Check(genesis, path).run()
    assert (report.faults, report.base) == ((), up_to)
    audited = Audit(genesis, path).run()
    assert (audited.fault, audited.is_whole, audited.height) == (None, False, last)
    assert [one[1:4] for one in audited.gaps] == [
        (1, up_to, "history_pruned"),
        (up_to + 1, last, "executed_nowhere"),
    ]


async def read_genesis_root(net: setup.Testnet) -> Digest:
    """Of the state before the first block."""
    return Ledger.from_genesis(find_genesis(net.directory / "solo")).exec_root


async def find_transaction(store: ChainStore, height: int) -> TransactionId:
    """The first executed transaction from a height on."""
    while True:
        for raw in await store.read_block_receipts(Height(height)):
            return decode(raw, Receipt).transaction_id
        height += 1


async def test_the_file_gives_back_what_is_forgotten(net: setup.Testnet) -> None:
    """A file of an archive is prepared once, then shrinks; a full disk leaves it as it is."""
    path = find_database(net)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (0,)
        connection.execute("UPDATE events SET raw = zeroblob(60000) WHERE height <= 10")
        connection.execute("UPDATE receipts SET raw = zeroblob(60000) WHERE height <= 10")
        connection.commit()
    before = find_database(net).stat().st_size
    async with AsyncExitStack() as stack:
        store = await open_store(net, stack)
        await store.prune(Height(10))
    assert find_database(net).stat().st_size < before - 300_000


def test_without_room_for_a_copy_the_file_stays_as_it_is(net: setup.Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten leaves room inside it then."""
    monkeypatch.setattr("node.store.forgetting.SPARE_BYTES", 1 << 60)
    path = find_database(net)
    whole = path.read_bytes()
    assert let_shrink(path) is False
    assert path.read_bytes() == whole
    monkeypatch.undo()
    assert let_shrink(path) is True
    assert let_shrink(path) is True


class Book:
    """A store that counts."""

    def __init__(self) -> None:
        self.base = Height(0)
        self.fails = False

    async def prune(self, up_to: Height) -> None:
        if self.fails:
            raise StoreError("disk_full", "")
        self.base = up_to


@pytest.mark.parametrize(
    ("keep", "height", "snapshot", "limit"),
    [(0, 10**6, None, 0), (1_000, 900, None, 0), (1_000, 5_000, None, 4_000), (1_000, 5_000, 2_000, 2_000),
     (1_000, 5_000, 0, 0), (1_000, 5_000, 4_900, 4_000)],
)  # fmt: skip
async def test_how_far_is_forgotten(keep: int, height: int, snapshot: int | None, limit: int) -> None:
    """Never what is to be kept, nor what an own snapshot is gone on from; in steps, and again after a full disk."""
    book = Book()
    pruner = Pruner(
        store=book,
        keep=keep,
        find_height=lambda: Height(height),
        find_snapshot=lambda: None if snapshot is None else Height(snapshot),
    )
    assert pruner.find_limit() == limit
    book.fails = True
    await pruner.look()
    assert book.base == 0
    book.fails = False
    await pruner.look()
    assert book.base == limit // STEP_BLOCKS * STEP_BLOCKS


async def test_a_newcomer_that_wants_every_block_among_pruned_peers_says_so(tmp_path: Path) -> None:
    """Nobody has the first blocks any more: the log and the status name it, and nothing is asked for in vain."""
    async with cluster(tmp_path, start=LENDERS[:3]) as net:
        await make_blocks(net, 8)
        await net.meet()
        for core in net.nodes.values():
            await core.opened.store.prune(Height(5))
        late = net.testnet.directory / "di" / "config.toml"
        late.write_text(late.read_text().replace("snapshot_behind = 2048", "snapshot_behind = 0"))
        assert "snapshot_behind = 0" in late.read_text()
        await net.start("di")
        core = net.nodes["di"]
        async with asyncio.timeout(20):
            while not core.catchup.cut_off:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "snapshot_behind" in core.catchup.cut_off
        assert core.executor.height == 0
        assert all(one.catchup.cut_off == "" for name, one in net.nodes.items() if name != "di")


def test_one_peer_with_the_block_is_enough() -> None:
    """Cut off is who has nobody; and not who is ahead."""
    keys = [PublicKey(bytes([one]) * 32) for one in range(3)]
    plan = SyncPlan(keys)

    def hear(key: PublicKey, base: int) -> None:
        status = Status(
            epoch=Epoch(0),
            view=View(9),
            final_height=Height(100),
            final_digest=BlockDigest(bytes(32)),
            exec_height=Height(100),
            exec_root=Digest(bytes(32)),
            base=Height(base),
        )
        plan.on_status(key, status, 0)

    assert not plan.is_cut_off(Height(0), 10_000)
    hear(keys[0], 50)
    assert plan.is_cut_off(Height(49), 10_000)
    assert not plan.is_cut_off(Height(50), 10_000)
    assert not plan.is_cut_off(Height(100), 10_000)
    hear(keys[1], 0)
    assert not plan.is_cut_off(Height(0), 10_000)
