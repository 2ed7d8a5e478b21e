"""A network in one process: nodes make equal snapshots while they go on, and whoever is far behind begins with one."""

import asyncio
import re
from pathlib import Path

from consensus.effects import FetchBlock
from node import setup
from protocol.ids import Height
from protocol.messages import SnapshotOffer
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster

INTERVAL = 8


def tune(testnet: setup.Testnet, **values: int) -> None:
    """Other settings in every node's file."""
    for place in testnet.nodes:
        path = place.directory / "config.toml"
        text = path.read_text()
        for name, value in values.items():
            text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
            assert count == 1, name
        path.write_text(text)


def lose_blocks(net: Cluster, name: str) -> None:
    """A short chain may come block by block before a snapshot does: here those are lost, and the snapshot must come."""
    duties = net.nodes[name].duties
    carry_out = duties.on_effect
    duties.on_effect = lambda effect: None if isinstance(effect, FetchBlock) else carry_out(effect)  # type: ignore[method-assign]


async def grow(net: Cluster, height: int) -> Height:
    """Pay to and fro until the chain is so high; the height everybody saved."""
    purse, to = net.purses["ada"], net.purses["bo"].account
    await net.finish("ada", await net.submit("ada", net.agent.mint(purse.account, 1_000_000)))
    while net.nodes["ada"].executor.height < height:
        await net.finish("ada", await net.submit("ada", purse.pay(to, 1)))
    return await net.meet()


def get_offers(net: Cluster, name: str) -> list[SnapshotOffer]:
    """The snapshots a node has, the newest first."""
    return list(net.nodes[name].opened.shelf.offers)


async def have(net: Cluster, height: int, *names: str) -> None:
    """Wait until nodes have a snapshot of a height."""
    await until(
        lambda: all(height in [one.height for one in get_offers(net, name)] for name in names), what="snapshots"
    )


async def test_all_nodes_make_equal_snapshots_and_a_newcomer_begins_with_one(tmp_path: Path) -> None:
    """The observer joins late, fetches the newest, installs it at its next start, follows, and makes equal ones."""
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
        await net.start(*LENDERS)
        await grow(net, 3 * INTERVAL + 2)
        await have(net, 3 * INTERVAL, *LENDERS)
        offers = get_offers(net, "ada")
        assert [one.height for one in offers] == [3 * INTERVAL, 2 * INTERVAL]
        assert all(get_offers(net, name) == offers for name in LENDERS)
        await net.start(OBSERVER)
        async with asyncio.timeout(30):
            await net.nodes[OBSERVER].snapshots.ready.wait()
        assert net.nodes[OBSERVER].executor.height == 0
        await net.stop(OBSERVER)
        await net.start(OBSERVER)
        assert net.nodes[OBSERVER].opened.tip.height == net.nodes[OBSERVER].opened.store.base == 3 * INTERVAL
        assert len(await net.read_roots(await net.meet())) == 1
        await grow(net, 4 * INTERVAL + 2)
        assert len(await net.read_roots(await net.meet())) == 1
        await have(net, 4 * INTERVAL, *LENDERS, OBSERVER)
        assert get_offers(net, OBSERVER)[0] == get_offers(net, "ada")[0]


async def test_a_newcomer_that_is_not_far_behind_executes_the_blocks(tmp_path: Path) -> None:
    """Snapshots there are, and yet the whole history comes: it is short."""
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=1_000)
        await net.start(*LENDERS)
        await grow(net, INTERVAL + 2)
        await have(net, INTERVAL, *LENDERS)
        await net.start(OBSERVER)
        assert len(await net.read_roots(await net.meet())) == 1
        assert net.nodes[OBSERVER].opened.store.base == 0
        assert not net.nodes[OBSERVER].snapshots.ready.is_set()


async def test_peers_of_a_node_without_old_blocks_ask_others_and_think_no_worse_of_it(tmp_path: Path) -> None:
    """A validator that was away begins again with a snapshot and has no blocks below; the rest have them.

    What it promised before stands in its vote log; its vote is needed afterwards, and given.
    """
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
        await net.start(*LENDERS)
        await grow(net, 4)
        await net.stop("di")
        await grow(net, 3 * INTERVAL + 2)
        await have(net, 3 * INTERVAL, "ada", "bo", "cy")
        await net.start("di")
        lose_blocks(net, "di")
        async with asyncio.timeout(30):
            await net.nodes["di"].snapshots.ready.wait()
        await net.stop("di")
        await net.start("di")
        await net.meet()
        tune(net.testnet, snapshot_behind=0)
        await net.start(OBSERVER)
        assert len(await net.read_roots(await net.meet())) == 1
        observer = net.nodes[OBSERVER]
        assert observer.opened.store.base == 0
        assert observer.sync._distrusted_until_ms == {}
        key = net.nodes["di"].opened.keys.node.public_key
        await until(lambda: observer.sync._bases.get(key) == 3 * INTERVAL, what="the status of di")
        for name in ("ada", "bo"):  # with cy and the one that began with a snapshot there is a quorum no more
            await net.stop(name)
        await net.start("ada")
        await grow(net, 4 * INTERVAL + 2)
        assert net.nodes["di"].driver.silenced == ""
