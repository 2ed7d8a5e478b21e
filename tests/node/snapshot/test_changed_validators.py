"""Snapshots where validators have changed: a newcomer knows the genesis alone and stands in the present epoch."""

import asyncio
from pathlib import Path
from typing import Any

from node.opening import DATABASE
from node.snapshot.incoming import Incoming
from node.snapshot.install import try_install
from node.store.chain import ChainStore
from protocol.ids import Height
from protocol.transactions.governance import SeatSet
from tests.node.core.cluster import LENDERS, OBSERVER, cluster
from tests.node.core.test_epochs import DAY_MS, govern, pay, prove, reach_epoch
from tests.node.snapshot.test_joining import INTERVAL, get_offers, grow, have, tune
from tests.protocol.snapshots import make_snapshot


async def test_a_newcomer_follows_the_epochs_from_the_genesis_to_its_snapshot(tmp_path: Path) -> None:
    """One validator was removed meanwhile: the floor is of the second epoch, and receipts prove themselves by it."""
    async with cluster(tmp_path, start=(), day_ms=DAY_MS) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
        await net.start(*LENDERS)
        await govern(net, SeatSet(account=net.purses["di"].account, validator_key=None, proof=None))
        await reach_epoch(net, 1)
        height = Height(await grow(net, net.nodes["ada"].executor.height + 2))
        due = (height + INTERVAL - 1) // INTERVAL * INTERVAL
        await grow(net, due + 2)
        await have(net, due, "ada", "bo", "cy")
        await net.start(OBSERVER)
        async with asyncio.timeout(30):
            await net.nodes[OBSERVER].snapshots.ready.wait()
        await net.stop(OBSERVER)
        await net.start(OBSERVER)
        eye = net.nodes[OBSERVER]
        assert eye.opened.store.base >= due
        assert (eye.opened.floor.epoch, eye.engine.epoch) == (1, 1)
        assert eye.engine.validators == net.nodes["ada"].engine.validators
        assert len(eye.roster.validators) == 3
        one = await pay(net, "ada", seen_by=(OBSERVER,))
        assert (await prove(net, eye, one)).epoch == 1
        assert len(await net.read_roots(await net.meet())) == 1
        assert get_offers(net, "ada") != []


async def test_the_block_that_ends_an_epoch_is_installed_with_its_own_finalization(tmp_path: Path) -> None:
    """The engine that stands on it begins the next epoch and shows it to those left behind."""
    made = make_snapshot(epoch=1, ends=True)
    store = await ChainStore.open(tmp_path / DATABASE, made.genesis)
    incoming = Incoming(tmp_path)
    incoming.keep_manifest(made.manifest)
    for digest, raw in made.chunks.items():
        incoming.keep_chunk(digest, raw)
    assert try_install(tmp_path, tmp_path / DATABASE, made.genesis, Height(0)) is not None
    tip = await store.load_tip()
    proofs: Any = await store.read_epochs(made.manifest.proof.epochs[0].header.epoch, 9)
    await store.close()
    assert proofs == made.manifest.proof.epochs
    assert (tip.height, store.base) == (made.manifest.content.height,) * 2
    assert tip.finalization == made.manifest.proof.epochs[-1].finalization
    assert tip.finalization.digest == tip.digest
