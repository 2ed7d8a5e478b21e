"""More than a node can take: it says so of each transaction, drops none silently, stays within bounds and goes on.

Whoever comes back when told gets everything through, once.
"""

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from node.api.answers import SubmitResult
from node.client.http import ApiError, NodeClient
from node.client.wallet import Intent
from tests.e2e.faults.scene import Scene, open_scene

pytestmark = [pytest.mark.process, pytest.mark.long]

NAME: Final = "brook"
GROUPS: Final = 11
GROUP: Final = 900  # of 64 senders, each within its window of nonces
FINAL_WITHIN_MS: Final = 20_000
GIVE_UP_S: Final = 90.0
MEMORY_MAX_MB: Final = 900


def read_memory_mb(scene: Scene, name: str) -> int:
    """Resident memory of a node's process."""
    status = Path(f"/proc/{scene.processes.get_pid(name)}/status").read_text(encoding="utf-8")
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS:")).split()[1]) // 1_024


class Pusher:
    """One client that sends a group to a busy node until all of it is final, and counts what it is told."""

    def __init__(self, scene: Scene, told: Counter[str]) -> None:
        self._scene = scene
        self._told = told

    async def push(self, client: NodeClient, group: list[Intent]) -> None:
        """Send again, byte for byte, what was not taken or is not final."""
        left = {one.id.hex(): one for one in group}
        until_s = time.monotonic() + GIVE_UP_S
        while left:
            assert time.monotonic() < until_s, f"{len(left)} are not final; told {dict(self._told)}"
            items = [one.item for one in left.values()]
            try:
                results = await client.submit(items, wait_final=True, timeout_ms=FINAL_WITHIN_MS)
            except ApiError as error:
                if error.code != "busy" or error.retry_after_s is None:
                    raise
                self._told[str(error.problem["reason"])] += len(items)
                await asyncio.sleep(error.retry_after_s)
                continue
            self._count(left, results)
            for one in self._scene.load.note(NAME, [one for one in results if one.status != "busy"]):
                left.pop(one, None)

    def _count(self, left: dict[str, Intent], results: list[SubmitResult]) -> None:
        assert [one.id for one in results] == list(left), "one answer per transaction, in order"
        self._told.update(one.status for one in results)


async def test_an_overloaded_node_says_busy_of_each_it_does_not_take_and_loses_none_it_took(tmp_path: Path) -> None:
    """Ten thousand at once: some are taken, the others told to come back, and all become final once."""
    async with open_scene(tmp_path, seed=71, clients=16, group=1) as scene:
        load, told = scene.load, Counter[str]()
        await load.end()
        groups = [load.make_transfers(GROUP) for _ in range(GROUPS)]
        pusher = Pusher(scene, told)
        began_s = time.monotonic()
        async with NodeClient(scene.processes.get_url(NAME), timeout_s=60, patience_s=0) as client:
            await asyncio.gather(*(pusher.push(client, group) for group in groups))
        scene.note(f"{GROUPS * GROUP} at once, told {dict(told)}", time.monotonic() - began_s)
        assert told["saturated"] + told["verifying"] + told["pool_full"] + told["busy"] > 0, "it was not overloaded"
        assert told["finalised"] == GROUPS * GROUP
        assert read_memory_mb(scene, NAME) < MEMORY_MAX_MB
        load.begin()
        await scene.expect_service("service after the rush")
        await scene.judge()
