"""Liars and failing disks in a real network: a newcomer finds them out, leaves them aside, and comes to be level."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from node.snapshot.incoming import Incoming
from node.snapshot.room import SnapshotRoom
from protocol.messages import GetChunk
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster
from tests.node.snapshot.test_joining import INTERVAL, grow, have, lose_blocks, tune


async def begin(net: Cluster) -> None:
    """A chain with snapshots, and an observer that is far behind and not started."""
    tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
    await net.start(*LENDERS)
    await grow(net, 2 * INTERVAL + 2)
    await have(net, 2 * INTERVAL, *LENDERS)


async def test_one_that_sends_other_bytes_and_one_that_sends_none_cost_seconds(tmp_path: Path) -> None:
    """The chunk comes from whoever is left; the liars are not asked again."""
    async with cluster(tmp_path, start=()) as net:
        await begin(net)
        asked: list[str] = []
        for name in LENDERS[:3]:
            room: Any = net.nodes[name].snapshots

            async def lie(peer: Any, message: GetChunk, name: str = name, room: SnapshotRoom = room) -> None:
                asked.append(name)
                if name == "ada":
                    return
                room._shelf.read_chunk = lambda _: b"\x00" * 100  # type: ignore[method-assign]
                await SnapshotRoom.on_get_chunk(room, peer, message)

            room.on_get_chunk = lie
        await net.start(OBSERVER)
        lose_blocks(net, OBSERVER)
        async with asyncio.timeout(30):
            await net.nodes[OBSERVER].snapshots.ready.wait()
        eye = net.nodes[OBSERVER].snapshots
        keys = {name: net.nodes[name].opened.keys.node.public_key for name in LENDERS}
        found = set(eye.plan.get_distrusted(eye._clock_ms()))
        assert found == {keys[name] for name in asked}
        assert len(asked) == len(set(asked))
        await net.stop(OBSERVER)
        await net.start(OBSERVER)
        assert len(await net.read_roots(await net.meet())) == 1
        assert net.nodes[OBSERVER].opened.store.base == 2 * INTERVAL


@pytest.mark.parametrize("what", ["keep_manifest", "keep_chunk", "check_room_to_install"])
async def test_a_disk_that_refuses_a_snapshot_leaves_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The attempt ends at once, and the whole history comes instead."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with cluster(tmp_path, start=()) as net:
        await begin(net)
        monkeypatch.setattr(Incoming, what, refuse)
        await net.start(OBSERVER)
        await until(lambda: net.nodes[OBSERVER].executor.height >= 2 * INTERVAL + 2, what="the blocks")
        assert len(await net.read_roots(await net.meet())) == 1
        assert net.nodes[OBSERVER].opened.store.base == 0
        assert not net.nodes[OBSERVER].snapshots.plan.is_active
