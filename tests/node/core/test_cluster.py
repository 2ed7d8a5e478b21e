"""Four validators and an observer over real websockets: agreement, catching up, and recovery from one's own logs."""

import asyncio
import statistics
import time
from pathlib import Path

import pytest

from node import core as core_module
from node.core import Core
from node.proving import prove_transaction
from node.store import payloadlog
from protocol.ids import Height, TransactionId
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from protocol.receipt import VerifiedReceipt, verify_receipt_file
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster


async def fund(net: Cluster, at: str = "ada") -> None:
    """Every lender gets money, in one group."""
    items = [net.agent.mint(net.purses[name].account, 1_000_000) for name in LENDERS]
    await net.finish(at, await net.submit(at, *items))


async def test_what_any_node_takes_in_every_node_executes_to_one_root(tmp_path: Path) -> None:
    """Validators and the observer take submissions; all end with equal roots, and money is neither made nor lost."""
    async with cluster(tmp_path) as net:
        await fund(net)
        purse = net.purses
        ids = []
        for i, name in enumerate((*LENDERS, OBSERVER) * 6):
            payer, payee = LENDERS[i % 4], LENDERS[(i + 1) % 4]
            ids += await net.submit(name, purse[payer].pay(purse[payee].account, 10 + i))
        for name in net.nodes:
            await net.finish(name, ids)
        height = await net.meet()
        for each in range(1, height + 1):
            assert len(await net.read_roots(Height(each))) == 1
        assert {core.mempool.transactions for core in net.nodes.values()} == {0}
        await _check_receipts(net, [ids[0], ids[-1]])


async def _check_receipts(net: Cluster, ids: list[TransactionId]) -> None:
    """Every node can prove an outcome to somebody who has the genesis alone."""
    for core in net.nodes.values():
        for one in ids:
            raw = None
            async with asyncio.timeout(30):
                while raw is None:  # the header that names the outcome comes a block later
                    raw = await prove_transaction(core.opened.store, one, core.opened.genesis_root)
                    await asyncio.sleep(0.02)
            proved = verify_receipt_file(raw, net.testnet.genesis)
            assert isinstance(proved, VerifiedReceipt), proved
            assert (proved.transaction.id, proved.rejection) == (one, None)
            assert len(proved.signers) == 3


async def test_a_lone_transaction_is_final_soon_and_then_the_chain_rests(tmp_path: Path) -> None:
    """On an idle network one transaction needs no timer; afterwards views stop until there is work."""
    async with cluster(tmp_path) as net:
        await fund(net)
        took_ms: list[float] = []
        for i in range(12):
            await asyncio.sleep(0.15)
            name = LENDERS[i % 4]
            began_s = time.monotonic()
            ids = await net.submit(name, net.purses["ada"].pay(net.purses["bo"].account, 1))
            await net.finish(name, ids)
            took_ms.append((time.monotonic() - began_s) * 1000)
        print(f"lone transaction: p50 {statistics.median(took_ms):.0f} ms, max {max(took_ms):.0f} ms")
        assert statistics.median(took_ms) < 500, took_ms
        await asyncio.sleep(0.5)
        views = [core.engine.view for core in net.nodes.values()]
        await asyncio.sleep(1.0)
        assert [core.engine.view for core in net.nodes.values()] == views


async def test_a_node_that_was_down_catches_up_while_the_others_go_on(tmp_path: Path) -> None:
    """Three of four go on; the fourth comes back over its files, syncs more than one page, and votes again."""
    async with cluster(tmp_path) as net:
        await fund(net)
        await net.stop("di", OBSERVER)
        purse = net.purses
        for i in range(60):
            ids = await net.submit("ada", purse["ada"].pay(purse["bo"].account, 1 + i))
            await net.finish("ada", ids)
        await net.start("di", OBSERVER)
        ids = await net.submit("bo", purse["bo"].pay(purse["ada"].account, 5))
        await net.finish("di", ids)
        await net.finish(OBSERVER, ids)
        height = await net.meet()
        assert height > SYNC_BLOCKS_PER_REPLY_MAX
        assert len(await net.read_roots(height)) == 1
        await net.stop("cy")  # now the one that was down is needed for a quorum
        ids = await net.submit("di", purse["ada"].pay(purse["bo"].account, 7))
        await net.finish("di", ids)


async def test_final_blocks_that_were_not_saved_come_back_from_the_nodes_own_logs(tmp_path: Path) -> None:
    """A crash between commit and save loses nothing, even when no peer can be reached afterwards."""
    async with cluster(tmp_path, start=("ada", "bo", "cy")) as net:
        await fund(net)
        await net.meet()
        stuck = net.nodes["bo"]
        await _stop_saving(stuck)
        saved = stuck.executor.height
        ids = await net.submit("ada", net.purses["ada"].pay(net.purses["cy"].account, 5))
        await net.finish("ada", ids)
        stored = await net.nodes["ada"].opened.store.find_transaction(ids[0])
        assert stored is not None
        height = stored.height
        await until(lambda: stuck.tip.height >= height, what="the stuck node commits")
        assert stuck.executor.height == saved < height
        root = (await net.nodes["ada"].opened.store.read_exec_rows(height, height))[0].exec_root
        await net.stop("ada", "bo", "cy")
        await net.start("bo")
        alone = net.nodes["bo"]
        assert await alone.executor.wait_beyond(Height(height - 1), 5.0) >= height
        assert (await alone.opened.store.read_exec_rows(height, height))[0].exec_root == root


async def _stop_saving(core: Core) -> None:
    """From now on final blocks pile up in memory, as when the database's disk hangs."""
    hanging = asyncio.Event()

    async def hang(*_: object) -> None:
        await hanging.wait()

    core.opened.store.save_blocks = hang  # type: ignore[method-assign]


async def test_every_node_crashing_at_once_loses_no_final_transaction(tmp_path: Path) -> None:
    """All stop without draining in the middle of traffic; what one had called final is there for all afterwards."""
    async with cluster(tmp_path) as net:
        await fund(net)
        purse = net.purses
        ids = await net.submit("ada", *[purse["ada"].pay(purse["bo"].account, 1 + i) for i in range(50)])
        await net.finish("ada", ids[:1])
        final = net.nodes["ada"].executor.height
        await net.stop(*LENDERS, OBSERVER)
        await net.start(*LENDERS, OBSERVER)
        await net.meet(final)
        assert len(await net.read_roots(final)) == 1
        ids = await net.submit("cy", purse["bo"].pay(purse["ada"].account, 3))
        for name in net.nodes:
            await net.finish(name, ids)
        assert len(await net.read_roots(await net.meet())) == 1


async def test_pruned_logs_still_bring_every_node_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Housekeeping forgets only what saved blocks have made useless: after a restart of all, the network goes on."""
    monkeypatch.setattr(core_module, "HOUSEKEEPING_EVERY_S", 0.05)
    monkeypatch.setattr(core_module, "RECORDS_KEPT_MAX", 10)
    monkeypatch.setattr(payloadlog, "REWRITE_BYTES", 1)
    async with cluster(tmp_path) as net:
        await fund(net)
        purse = net.purses
        sizes: list[int] = []
        for i in range(20):
            await net.finish("ada", await net.submit("ada", purse["ada"].pay(purse["bo"].account, 1 + i)))
            await asyncio.sleep(0.02)
            sizes.append((net.testnet.directory / "ada" / "votes.wal").stat().st_size)
        assert min(sizes[1:]) < max(sizes), "the vote log was never pruned"
        before = await net.meet()
        await net.stop(*LENDERS, OBSERVER)
        await net.start(*LENDERS, OBSERVER)
        ids = await net.submit("di", purse["bo"].pay(purse["ada"].account, 2))
        for name in net.nodes:
            await net.finish(name, ids)
        after = await net.meet()
        assert after > before
        assert len(await net.read_roots(after)) == 1


async def test_a_wall_clock_that_goes_back_delays_no_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour back at one node: what it takes in is sealed, pushed and final all the same."""
    back_ms = 0
    honest = core_module.read_clock_ms
    async with cluster(tmp_path, start=("ada", "bo", "cy")) as net:
        monkeypatch.setattr(core_module, "read_clock_ms", lambda: honest() - back_ms)
        await net.start("di")
        await fund(net, "di")
        back_ms = 3_600_000
        for i in range(3):
            ids = await net.submit("di", net.purses["ada"].pay(net.purses["bo"].account, 1 + i))
            await net.finish("ada", ids)
            await net.finish("di", ids)
