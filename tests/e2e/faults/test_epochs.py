"""Validators join, leave and change keys by vote while clients pay and nodes are killed around the boundary."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import pytest

from node.keystore import write_key
from protocol.receipt import VerifiedReceipt, verify_receipt_file
from tests.e2e.faults.government import DAY_MS, Government
from tests.e2e.faults.processes import OBSERVER, VALIDATORS, Processes, found
from tests.e2e.faults.scene import Scene, open_scene
from tests.e2e.faults.test_damage import drop_database

pytestmark = pytest.mark.process

NEW: Final = "crest"
CHANGES: Final = 4


async def check_receipts(scene: Scene, name: str, epochs: set[int]) -> None:
    """Outcomes of these epochs are proved by one node's receipts with the genesis alone."""
    await scene.load.end()
    await scene.expect_level("the one that proves level", [name])
    ids = sorted(scene.load.final, key=lambda one: scene.load.final[one].height)
    seen = set()
    for one in (ids[0], ids[len(ids) // 2], ids[-1]):
        proved = verify_receipt_file(await scene.load.get_receipt(name, one), scene.processes.testnet.genesis)
        assert isinstance(proved, VerifiedReceipt), proved
        assert proved.transaction.id.hex() == one
        seen.add(int(proved.epoch))
    assert seen >= epochs, (seen, epochs)


async def join(scene: Scene, government: Government) -> None:
    """A newcomer is admitted and follows."""
    member = await government.lay_out(NEW)
    await government.decide(government.admit(member))
    await scene.restart([NEW])
    await scene.expect_level("the newcomer level", [NEW])


async def test_one_joins_one_leaves_one_changes_its_key_and_one_is_killed_at_the_boundary(tmp_path: Path) -> None:
    """All in one change under load. Afterwards every one of the new validators is needed, and votes."""
    prepared = Processes(found(tmp_path, DAY_MS))
    write_key(prepared.get_directory("spring"), "validator-next")
    async with open_scene(tmp_path, seed=61, clients=2, group=4, prepared=prepared) as scene:
        processes, government = scene.processes, Government(scene)
        await join(scene, government)
        began = time.monotonic()
        await government.decide(
            government.seat(NEW), government.seat("spring", "validator-next"), government.unseat("delta")
        )
        await government.wait_planned("brook", 1)
        await processes.kill("ridge")
        await government.wait_epoch(1, ["brook"])
        scene.note("from the proposals to the new epoch", time.monotonic() - began)
        await scene.restart(["ridge"])
        await government.wait_epoch(1, [name for name in processes.names if name != "ridge"])
        await scene.expect_level("the killed one level in the new epoch", ["ridge"])
        states = {name: (await government.ask(name, "/v1/status"))["sync_state"] for name in (NEW, "spring", "delta")}
        assert states == {NEW: "participating", "spring": "participating", "delta": "following"}
        await processes.kill(
            "brook"
        )  # of four, three make a quorum: the newcomer, the new key, and the one that came back
        await scene.expect_service("service by the new validators alone")
        await processes.kill(OBSERVER)
        drop_database(processes.get_directory(OBSERVER))
        await scene.restart(["brook", OBSERVER])
        await scene.expect_level("an observer level from the first block on", [OBSERVER, "brook"])
        await check_receipts(scene, OBSERVER, {0, 1})
        await scene.judge()


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_at_random_around_every_boundary(tmp_path: Path, seed: int) -> None:
    """A seat comes and goes four times; around each change nodes die at any instant and come back."""
    chance = random.Random(seed)
    async with open_scene(tmp_path, seed=seed, prepared=Processes(found(tmp_path, DAY_MS))) as scene:
        processes, government = scene.processes, Government(scene)
        await join(scene, government)
        for change in range(CHANGES):
            if change % 2 == 0:
                await government.decide(government.seat(NEW))
            else:
                await government.decide(government.unseat(NEW), votes_needed=4)
            await government.wait_planned("brook", change + 1)
            victims = chance.sample([name for name in processes.names if name != "brook"], chance.choice((1, 1, 2)))
            for name in victims:
                await asyncio.sleep(chance.uniform(0.0, 1.5))
                await processes.kill(name)
            await asyncio.sleep(chance.uniform(0.0, 2.0))
            quorum_s = await scene.restart(victims)
            await scene.expect_service(f"change {change + 1}: service after {len(victims)} were killed", quorum_s)
            took = await government.wait_epoch(change + 1, processes.names)
            scene.note(f"change {change + 1}: all in the new epoch", took)
        for name in VALIDATORS:
            assert (await government.ask(name, "/v1/status"))["voting_stopped"] == ""
        await check_receipts(scene, OBSERVER, {0, CHANGES})
        await scene.judge()
