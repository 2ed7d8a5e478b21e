"""The network between the nodes fails: cut, split, one-sided, slow, flapping; and it heals, under load all the time.

Without a quorum nothing is final and nothing forks; with one again, service is back within seconds. A node that cannot
know refuses nobody: it is busy. What the files say afterwards is the judge's.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from node.client.http import ApiError, NodeClient
from tests.e2e.faults.processes import OBSERVER, VALIDATORS, Processes, found
from tests.e2e.faults.scene import Scene, open_scene
from tests.e2e.faults.test_damage import drop_database
from tests.e2e.faults.wires import Wires, both_ways

pytestmark = pytest.mark.process

SPLIT_S: Final = 4.0
HEALED_S: Final = 5.0  # by when service must be back once a quorum can speak again
ON_ITS_WAY_S: Final = 1.0  # what was said before may still become final
NOTICED_S: Final = 12.0  # a half-open link is noticed by silence: four statuses, and a margin
FLAPS: Final = 20
SIDES: Final = (VALIDATORS[:2], VALIDATORS[2:])


@asynccontextmanager
async def open_wired(
    directory: Path, *, seed: int, clients: int = 3, group: int = 6
) -> AsyncIterator[tuple[Scene, Wires]]:
    """A network under load whose nodes reach each other through wires."""
    processes = Processes(found(directory))
    async with (
        Wires(processes) as wires,
        open_scene(directory, seed=seed, clients=clients, group=group, prepared=processes) as scene,
    ):
        yield scene, wires


async def read_state(scene: Scene, name: str) -> str:
    """What a node says of itself."""
    return str((await scene.load.get(name, "/v1/status"))["sync_state"])


async def wait_state(scene: Scene, name: str, states: Sequence[str], within_s: float) -> None:
    """Return when the node's state is one of these; readiness must then say the same."""
    began_s = time.monotonic()
    while (state := await read_state(scene, name)) not in states:
        assert time.monotonic() - began_s < within_s, f"{name} is still {state}: {await scene.load.describe()}"
        await asyncio.sleep(0.05)
    scene.note(f"{name} {state}", time.monotonic() - began_s)


async def is_ready(scene: Scene, name: str) -> bool:
    """What the readiness probe hears."""
    try:
        return bool((await scene.load.get(name, "/readyz"))["ready"])
    except ApiError as error:
        if error.status != 503:
            raise
        return False


async def measure_progress(scene: Scene, seconds: float) -> int:
    """By how much the highest final height grows."""

    async def read_best() -> int:
        return max([int(str((await scene.load.get(name, "/v1/status"))["height"])) for name in VALIDATORS])

    before = await read_best()
    await asyncio.sleep(seconds)
    return await read_best() - before


async def test_one_is_cut_off_and_then_two_from_two_and_service_comes_back(tmp_path: Path) -> None:
    """One alone is missed by nobody and knows that it is alone; two and two make nothing final, on either side."""
    async with open_wired(tmp_path, seed=31) as (scene, wires):
        await scene.expect_service("service to begin with")
        wires.cut(*wires.list_from("delta"))
        await scene.expect_service("service after one of four was cut off")
        await wait_state(scene, "delta", ["isolated"], 3.0)
        assert not await is_ready(scene, "delta")
        wires.heal()
        await wait_state(scene, "delta", ["participating"], 8.0)
        await scene.expect_level("the one that was cut off level again", ["delta"])
        wires.cut(*wires.list_between([*SIDES[0], OBSERVER]))
        await asyncio.sleep(ON_ITS_WAY_S)
        assert await measure_progress(scene, SPLIT_S) == 0, "something became final without a quorum"
        assert {await read_state(scene, name) for name in VALIDATORS} == {"isolated"}
        wires.heal()
        await scene.expect_service("service after two and two were one network again", within_s=HEALED_S)
        await scene.judge()


async def test_a_node_that_syncs_anew_refuses_nobody_and_is_not_ready_before_it_is_level(tmp_path: Path) -> None:
    """Emptied, far behind, on slow wires: clients hear `busy` until it knows what the others know, never a refusal."""
    async with open_wired(tmp_path, seed=32, clients=4, group=10) as (scene, wires):
        processes, load = scene.processes, scene.load
        await asyncio.sleep(SPLIT_S)
        await processes.kill("delta")
        drop_database(processes.get_directory("delta"))
        wires.slow(*both_ways(wires.list_to("delta")), delay_s=0.4)
        await processes.spawn("delta")
        assert await processes.comes_up("delta")
        told: Counter[str] = Counter()
        intent = load.make_probe()
        async with NodeClient(processes.get_url("delta"), patience_s=0) as client:
            while True:
                ready = await is_ready(scene, "delta")
                try:
                    (result,) = await client.submit([intent.item])
                except ApiError as error:
                    if (error.code, error.status, error.retry_after_s) != ("busy", 503, 1.0):
                        raise
                    told[str(error.problem["reason"])] += 1
                else:
                    assert result.rejection is None, result
                    break
                assert not ready or await is_ready(scene, "delta"), "ready, and then busy"
                await asyncio.sleep(0.02)
        scene.note(f"busy answers until level {dict(told)}", 0.0)
        assert told["starting"] > 0
        assert told["syncing"] > 0
        wires.heal()
        await scene.expect_level("level after syncing anew", ["delta"])
        await scene.judge()


@pytest.mark.long
@pytest.mark.parametrize("seed", [41, 42])
async def test_two_and_two_on_half_open_links_go_on_when_packets_pass_again(tmp_path: Path, seed: int) -> None:
    """No connection ends, nothing arrives: longer than the longest view; then all of it arrives."""
    async with open_wired(tmp_path, seed=seed) as (scene, wires):
        await scene.expect_service("service to begin with")
        wires.hold(*wires.list_between([*SIDES[0], OBSERVER]))
        await asyncio.sleep(ON_ITS_WAY_S)
        assert await measure_progress(scene, 2 * SPLIT_S) == 0, "something became final without a quorum"
        for name in VALIDATORS:
            await wait_state(scene, name, ["isolated"], NOTICED_S)
        wires.heal()
        await scene.expect_service("service after packets passed again", within_s=HEALED_S)
        await scene.judge()


@pytest.mark.long
async def test_links_that_carry_one_way_only_stop_nobody_else(tmp_path: Path) -> None:
    """One that hears nothing, one that nobody hears, and each of two that one other does not hear: service goes on."""
    async with open_wired(tmp_path, seed=43) as (scene, wires):
        await scene.expect_service("service to begin with")
        for what, pairs in (
            ("one hears nothing", wires.list_to("delta")),
            ("one is heard by nobody", wires.list_from("brook")),
            ("each is unheard by its neighbour", list(zip(VALIDATORS, (*VALIDATORS[1:], VALIDATORS[0]), strict=True))),
        ):
            wires.hold(*pairs)
            await scene.expect_service(f"service while {what}")
            await asyncio.sleep(SPLIT_S)
            await scene.expect_service(f"service some seconds later while {what}")
            wires.heal()
            await scene.expect_level(f"level after {what}")
        await scene.judge()


@pytest.mark.long
async def test_a_link_that_dribbles_holds_up_nobody_else(tmp_path: Path) -> None:
    """A few kilobytes a second to and from one validator, then a second each way between all: slow, and never wrong."""
    async with open_wired(tmp_path, seed=44) as (scene, wires):
        await scene.expect_service("service to begin with")
        wires.slow(*wires.list_between(["ridge"]), bytes_per_s=4_000)
        for turn in range(3):
            await scene.expect_service(f"service beside a dribbling link ({turn + 1})")
            await asyncio.sleep(SPLIT_S)
        wires.heal()
        await scene.expect_level("level after the dribbling", ["ridge"])
        wires.slow(*wires.list_between(SIDES[0]), delay_s=0.5)
        await asyncio.sleep(SPLIT_S)
        await scene.expect_service("service with half a second between two and two")
        wires.heal()
        await scene.judge()


@pytest.mark.long
@pytest.mark.parametrize("seed", [51, 52])
async def test_links_that_flap_lose_nothing(tmp_path: Path, seed: int) -> None:
    """Any pairs, cut or held or slow, again and again; then it is quiet and service is back."""
    chance = random.Random(seed)
    async with open_wired(tmp_path, seed=seed) as (scene, wires):
        every = both_ways((a, b) for a in scene.processes.names for b in scene.processes.names if a < b)
        for _ in range(FLAPS):
            pairs = chance.sample(every, chance.randrange(2, len(every)))
            fault = chance.choice((wires.cut, wires.hold, wires.slow))
            if fault == wires.slow:
                wires.slow(*pairs, delay_s=chance.uniform(0, 0.6), bytes_per_s=chance.choice((None, 2_000, 50_000)))
            else:
                fault(*pairs)
            await asyncio.sleep(chance.uniform(0.1, 1.5))
            wires.heal()
            await asyncio.sleep(chance.uniform(0.0, 0.7))
        await scene.expect_service("service after the links stopped flapping", within_s=HEALED_S)
        await scene.judge()
