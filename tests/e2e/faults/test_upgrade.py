"""A rolling upgrade of real processes under load: each node is stopped, started with the next release, and is missed by
nobody; then other rules begin by vote, and who was not upgraded stops by name.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

import pytest

from node.upgrading import RULES_UNKNOWN
from protocol.genesis import RULES_VERSION
from protocol.ids import Height
from protocol.limits import RULES_NOTICE
from protocol.transactions.governance import RulesUpgrade
from tests.e2e.faults.government import AHEAD_DAYS, Government
from tests.e2e.faults.newrelease import NEW
from tests.e2e.faults.processes import ENDS, OBSERVER, VALIDATORS, Processes, found
from tests.e2e.faults.scene import Scene, open_scene

pytestmark = [pytest.mark.process, pytest.mark.long]

RELEASE: Final = "tests.e2e.faults.newrelease"
DAY_MS: Final = 1_000
VOTES_S: Final = AHEAD_DAYS * DAY_MS / 1_000
PATIENCE_S: Final = 60.0
TRIES: Final = 3


async def read_rules(government: Government, name: str) -> dict[str, Any]:
    """What a node says of rules; nothing while it does not answer."""
    told = await government.ask(name, "/v1/status")
    rules: dict[str, Any] = told.get("rules", {})
    return rules


async def upgrade(scene: Scene, name: str) -> None:
    """Stop a node cleanly, and start it with the next release; the network serves meanwhile, and it comes level."""
    processes = scene.processes
    assert await processes.stop([name]) == {name: 0}
    await scene.expect_service(f"service while {name} is being upgraded")
    processes.releases[name] = RELEASE
    await scene.restart([name])
    await scene.expect_level(f"{name} level with the next release", [name])


async def decide(scene: Scene, government: Government, blocks_per_s: float) -> Height:
    """The height from which on the next rules hold, by vote; later by as many blocks as the votes may take."""
    for tried in range(1, TRIES + 1):
        ahead = RULES_NOTICE + 20 + int(1.5 * tried * VOTES_S * blocks_per_s)
        since = Height(int(str((await scene.load.get("brook", "/v1/status"))["exec_height"])) + ahead)
        await government.decide(RulesUpgrade(version=NEW, activation_height=since))
        until_s = time.monotonic() + 2 * VOTES_S
        while time.monotonic() < until_s:
            planned = (await read_rules(government, "brook")).get("next")
            if planned is not None:
                assert planned == {"version": NEW, "since": since}
                return since
            await asyncio.sleep(0.2)
    raise AssertionError("no vote was in time")


async def test_a_rolling_upgrade_under_load_loses_nothing_and_other_rules_begin_without_a_stop(tmp_path: Path) -> None:
    """Four validators one after the other; the observer is forgotten, ends below the height, and comes back whole."""
    async with open_scene(tmp_path, seed=91, prepared=Processes(found(tmp_path, DAY_MS))) as scene:
        processes, government = scene.processes, Government(scene)
        began_s, first = time.monotonic(), await scene.load.get("brook", "/v1/status")
        for name in VALIDATORS:
            await upgrade(scene, name)
        last = await scene.load.get("brook", "/v1/status")
        pace = (int(str(last["exec_height"])) - int(str(first["exec_height"]))) / (time.monotonic() - began_s)
        known = {name: (await read_rules(government, name))["known"] for name in processes.names}
        assert known == {**dict.fromkeys(VALIDATORS, NEW), OBSERVER: RULES_VERSION}
        since = await decide(scene, government, pace)
        end = await processes.read_end(OBSERVER, ENDS, timeout_s=PATIENCE_S)
        assert end["code"] == RULES_UNKNOWN, end
        assert (await processes.refuse(OBSERVER))["code"] == RULES_UNKNOWN
        until_s = time.monotonic() + PATIENCE_S
        while (await read_rules(government, "brook")).get("version") != NEW:
            assert time.monotonic() < until_s, await scene.load.describe()
            await asyncio.sleep(0.2)
        await scene.expect_service("service by the next rules")
        processes.releases[OBSERVER] = RELEASE
        await scene.restart([OBSERVER])
        await scene.expect_level("the observer level by the next rules", [OBSERVER])
        for name in processes.names:
            told = await scene.load.get(name, "/v1/status")
            assert int(str(told["exec_height"])) >= since
            assert told["voting_stopped"] == ""
        await scene.judge()
