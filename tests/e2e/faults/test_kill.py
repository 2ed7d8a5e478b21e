"""SIGKILL: of one, of all, again and again; and SIGSTOP, which is a death that comes back with its connections."""

import asyncio
import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.faults.processes import OBSERVER, VALIDATORS
from tests.e2e.faults.scene import open_scene

pytestmark = pytest.mark.process

ROUNDS: Final = 10
FROZEN_S: Final = 12.0  # longer than the longest view (3 x 4 s) and than the links' heartbeats


async def test_one_and_then_all_are_killed_under_load_and_come_back(tmp_path: Path) -> None:
    """One death interrupts nobody for long; after the death of all, everything answered is still there."""
    async with open_scene(tmp_path, seed=1) as scene:
        processes = scene.processes
        await processes.kill("ridge")
        await scene.expect_service("service after one of four was killed")
        await scene.restart(["ridge"])
        await scene.expect_level("the killed one level again", ["ridge"])
        for name in processes.names:
            await processes.kill(name)
        quorum_s = await scene.restart(processes.names)
        await scene.expect_service("service after all five were killed and a quorum answered", quorum_s)
        await scene.judge()


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_killed_at_ten_random_instants_under_heavy_load(tmp_path: Path, seed: int) -> None:
    """One to four nodes at a time, at any instant, even while they start: nothing final is lost or done twice."""
    chance = random.Random(seed)
    async with open_scene(tmp_path, seed=seed, clients=6, group=25) as scene:
        processes = scene.processes
        for turn in range(ROUNDS):
            await asyncio.sleep(chance.uniform(0.2, 1.5))
            victims = chance.sample(processes.names, chance.choice((1, 1, 1, 2, 2, 3, 5)))
            for name in victims:
                await processes.kill(name)
            if chance.random() < 0.4:  # killed again while it starts
                await processes.spawn(victims[0])
                await asyncio.sleep(chance.uniform(0.1, 2.0))
                await processes.kill(victims[0])
            quorum_s = await scene.restart(victims)
            await scene.expect_service(f"round {turn + 1}: service after {len(victims)} were killed", quorum_s)
        await scene.judge()


@pytest.mark.long
async def test_one_stands_still_for_longer_than_the_timers_and_goes_on(tmp_path: Path) -> None:
    """A stopped process holds its connections: the others go on without it, and it finds its way back by itself."""
    async with open_scene(tmp_path, seed=4) as scene:
        processes = scene.processes
        for name in ("delta", OBSERVER):
            processes.freeze(name)
            await scene.expect_service(f"service after {name} was stopped")
            await asyncio.sleep(FROZEN_S)
            await scene.expect_service(f"service while {name} stands still")
            processes.thaw(name)
            await scene.expect_level(f"{name} level after it goes on", [name])
        await scene.judge()


@pytest.mark.long
async def test_a_majority_stands_still_and_goes_on(tmp_path: Path) -> None:
    """Without a quorum nothing is final; when it goes on, service does, with no restart."""
    async with open_scene(tmp_path, seed=5) as scene:
        processes = scene.processes
        for name in VALIDATORS[:2]:
            processes.freeze(name)
        await asyncio.sleep(FROZEN_S)
        for name in VALIDATORS[:2]:
            processes.thaw(name)
        await scene.expect_service("service after two of four went on", time.monotonic())
        await scene.judge()
