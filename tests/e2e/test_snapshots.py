"""Real processes under load: an observer that comes late begins with a snapshot, also when it dies in the middle of it.

The chain goes on all the time. What lies on the disks at the end is compared height by height.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest
from nacl.utils import random as draw_bytes

from node.client.wallet import Wallet
from node.config import CONFIG_FILE, NodeConfig, format_config, load_config
from node.snapshot.incoming import INCOMING
from node.snapshot.shelf import DIRECTORY, MANIFEST
from node.store.inspect import read_exec_roots, read_picture
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import BoxKey, Day, Height
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.transactions.accounts import AccountKind
from tests.e2e.faults.load import Load, read_now_ms
from tests.e2e.faults.processes import OBSERVER, VALIDATORS, Processes, found
from tests.e2e.faults.scene import Scene
from tests.e2e.faults.wires import Wires

pytestmark = pytest.mark.process

GROUP: Final = 200
BEHIND: Final = 80
"""Blocks; on a busy machine the chain goes on by many while a node starts."""
SLOW_BYTES: Final = 300_000
"""A second, from each validator: a chunk of half a megabyte takes almost two."""


@asynccontextmanager
async def open_late_scene(
    directory: Path, *, interval: int, people: int, seed: int
) -> AsyncIterator[tuple[Scene, Wires]]:
    """Validators under load over books of some size, and an observer that was not started yet."""
    processes = Processes(found(directory))
    async with Wires(processes) as wires:
        for name in processes.names:
            tune(processes, name, snapshot_interval=interval, snapshot_behind=BEHIND)
        load = Load(processes, seed=seed)
        async with processes:
            try:
                await processes.start(VALIDATORS)
                await load.open()
                await open_many_accounts(load, people)
                load.begin()
                yield Scene(processes, load), wires
            finally:
                await load.close()


def tune(processes: Processes, name: str, **values: int) -> None:
    """Other settings of a node."""
    directory = processes.get_directory(name)
    config = load_config(directory, environment={})
    written: NodeConfig = msgspec.structs.replace(config, data_dir=".", genesis="genesis.json", **values)
    (directory / CONFIG_FILE).write_text(format_config(written), encoding="utf-8")


async def open_many_accounts(load: Load, people: int) -> None:
    """So that the books need several chunks."""
    wallets = [
        Wallet(KeySigner(draw_bytes(32)), load._chain_id, nonce_next=0, now_ms=read_now_ms) for _ in range(people)
    ]
    for start in range(0, people, GROUP):
        group = [
            one.open_account(
                issuer=load._issuer,
                kind=AccountKind.PERSON,
                enc_key=BoxKey(draw_bytes(32)),
                subject_tag=calculate_hash("snapshots-subject", one.public_key),
                level=2,
                expires_on=Day(load._today + 3_650),
            )
            for one in wallets[start : start + GROUP]
        ]
        assert await load._finish(group, tries=60)


async def read_height(scene: Scene, name: str) -> int:
    """What a node has executed."""
    return int(str((await scene.load.get(name, "/v1/status"))["exec_height"]))


async def wait_height(scene: Scene, height: int, within_s: float = 90.0) -> None:
    """Return when the chain is so high."""
    began_s = time.monotonic()
    while await read_height(scene, VALIDATORS[0]) < height:
        assert time.monotonic() - began_s < within_s, await scene.load.describe()
        await asyncio.sleep(0.1)


async def wait_said(scene: Scene, event: str, within_s: float = 40.0) -> list[dict[str, Any]]:
    """The observer's lines of a kind, once there is one."""
    began_s = time.monotonic()
    while not (lines := list_said(scene, event)):
        assert time.monotonic() - began_s < within_s, scene.processes.read_log(OBSERVER)[-20:]
        await asyncio.sleep(0.05)
    return lines


def list_said(scene: Scene, event: str) -> list[dict[str, Any]]:
    """The observer's lines of a kind."""
    lines = [json.loads(line) for line in scene.processes.read_log(OBSERVER) if line.startswith("{")]
    return [one for one in lines if one["event"] == event]


async def judge(scene: Scene, base: int) -> None:
    """All level and stopped: equal roots at every height, the observer's from its snapshot on; books that hold."""
    await scene.load.end()
    await scene.expect_level("level at the end")
    codes = await scene.processes.stop(scene.processes.names)
    assert set(codes.values()) == {0}, codes
    assert not scene.load.problems
    roots = {
        name: read_exec_roots(scene.processes.get_directory(name) / "ledger.sqlite") for name in scene.processes.names
    }
    own = roots[OBSERVER]
    assert base - 64 < min(own) <= base < max(own)
    for height, root in own.items():
        assert {one[height] for one in roots.values() if height in one} == {root}, height
    assert max(own) >= min(max(one) for one in roots.values())
    picture = read_picture(scene.processes.get_directory(OBSERVER) / "ledger.sqlite")
    assert picture is not None
    ledger = Ledger.from_rows(
        scene.processes.testnet.genesis, picture.rows, height=picture.height, exec_root=picture.exec_root
    )
    assert not find_violations(ledger)
    assert not any("Traceback" in line for name in scene.processes.names for line in scene.processes.read_log(name))


async def test_a_late_observer_begins_with_a_snapshot_and_follows_under_load(tmp_path: Path) -> None:
    """Hundreds of blocks are behind it; it executes none of them, says so of the old ones, and has equal roots."""
    async with open_late_scene(tmp_path, interval=50, people=200, seed=11) as (scene, _):
        await wait_height(scene, 220)
        began_s = time.monotonic()
        await scene.processes.start([OBSERVER])
        await wait_said(scene, "snapshot_installed")
        scene.note("snapshot installed after", time.monotonic() - began_s)
        await scene.processes.wait_answering(OBSERVER)
        await scene.expect_level("observer level", [OBSERVER])
        # On a busy machine it may have been far behind once more meanwhile: the last one counts.
        base = int(list_said(scene, "snapshot_installed")[-1]["height"])
        assert base >= 200
        assert base % 50 == 0
        await scene.expect_service("service")
        for path, status in ((f"/v1/blocks/{base}", 410), (f"/v1/blocks/{base + 1}", 200)):
            assert await read_status(scene, path) == status
        synced = [int(one["height_from"]) for one in list_said(scene, "blocks_synced")]
        assert min(synced, default=201) > 200
        await wait_height(scene, base + 55)
        await judge(scene, base)
        assert Height(base + 50) in {Height(int(one["height"])) for one in list_said(scene, "snapshot_made")}


async def read_status(scene: Scene, path: str) -> int:
    """The HTTP status of the observer's answer."""
    async with aiohttp.ClientSession() as session, session.get(scene.processes.get_url(OBSERVER) + path) as answer:
        return answer.status


async def test_an_observer_that_is_killed_while_it_fetches_goes_on_with_what_it_has(tmp_path: Path) -> None:
    """Slow wires; SIGKILL when some chunks are there and some are not; the rest is fetched by the next process."""
    async with open_late_scene(tmp_path, interval=100, people=3_000, seed=12) as (scene, wires):
        await wait_height(scene, 110)
        await scene.load.end()  # so that no newer snapshot takes the place of the one that is half there
        wires.slow(*((name, OBSERVER) for name in VALIDATORS), bytes_per_s=SLOW_BYTES)
        incoming = scene.processes.get_directory(OBSERVER) / DIRECTORY / INCOMING
        await scene.processes.start([OBSERVER])
        began_s = time.monotonic()
        while not (held := list_chunks(incoming)):
            assert time.monotonic() - began_s < 30, scene.processes.read_log(OBSERVER)[-20:]
            await asyncio.sleep(0.01)
        await scene.processes.kill(OBSERVER)
        chunks = int(list_said(scene, "snapshot_fetch_began")[0]["chunks"])
        held = list_chunks(incoming)
        assert 0 < len(held) < chunks
        assert list_said(scene, "snapshot_installed") == []
        await scene.processes.start([OBSERVER])
        installed = (await wait_said(scene, "snapshot_installed"))[0]
        second = list_said(scene, "snapshot_fetch_began")[1]
        assert int(second["held"]) > 0
        told = f"{second['held']} of {second['chunks']} chunks were there; installed after"
        scene.note(told, time.monotonic() - began_s)
        wires.heal()
        await scene.processes.wait_answering(OBSERVER)
        await scene.expect_level("observer level", [OBSERVER])
        assert not incoming.exists()
        scene.load.begin()
        await wait_height(scene, int(installed["height"]) + 30)
        await judge(scene, int(installed["height"]))


def list_chunks(incoming: Path) -> list[str]:
    """Whole chunks that lie there."""
    if not incoming.is_dir():
        return []
    return sorted(one.name for one in incoming.iterdir() if one.name != MANIFEST and one.suffix == "")
