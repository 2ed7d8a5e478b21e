"""Damaged files of a node that is down: a torn end is cut off, anything else is refused in one sentence that helps.

After each refusal the way out that the sentence names is taken, and the node comes back level with the others.
"""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from node.client.http import ApiError, NodeUnreachable
from tests.e2e.faults.processes import ENDS
from tests.e2e.faults.scene import Scene, open_scene

pytestmark = pytest.mark.process

LOGS: Final = ("votes.wal", "payload.log")
DATABASE: Final = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")
PAGE: Final = 4_096
PAGES_TRIED: Final = 10
ASKED: Final = 20
DAMAGED_LIFE_S: Final = 1.5


@contextmanager
def damaged(path: Path, at: int, junk: bytes) -> Iterator[None]:
    """The file with other bytes at a place; as it was afterwards."""
    kept = path.read_bytes()
    with path.open("r+b") as handle:
        handle.seek(at)
        handle.write(junk)
    try:
        yield
    finally:
        path.write_bytes(kept)


def flip_middle(path: Path) -> tuple[int, bytes]:
    """A place in the middle of a file and its byte, changed."""
    raw = path.read_bytes()
    return len(raw) // 2, bytes((raw[len(raw) // 2] ^ 0x55,))


async def test_torn_logs_are_cut_off_and_damaged_ones_refused(tmp_path: Path) -> None:
    """Half a group at the end is what a crash leaves: the node comes back. A changed byte before it is not: a payload
    log is refused, and a node whose vote log is damaged follows, says why it does not vote, and what to do.
    """
    async with open_scene(tmp_path, seed=11) as scene:
        processes = scene.processes
        directory = processes.get_directory("delta")
        await scene.expect_service("service to begin with")
        await processes.kill("delta")
        for log in LOGS:
            path = directory / log
            with path.open("r+b") as handle:
                handle.truncate(path.stat().st_size - 7)
        with (directory / LOGS[0]).open("ab") as handle:
            handle.write(b"LSG1" + bytes(9))
        await scene.restart(["delta"])
        await scene.expect_level("level after torn logs were cut off", ["delta"])
        await scene.load.end()
        assert await processes.stop(["delta"]) == {"delta": 0}
        log = directory / LOGS[1]
        with damaged(log, *flip_middle(log)):
            said = await processes.refuse("delta")
        assert said["code"] == "log_damaged"
        assert said["reason"].startswith(f"{LOGS[1]} is damaged at byte ")
        assert "restore it" in said["reason"]
        at, junk = flip_middle(directory / LOGS[0])
        with (directory / LOGS[0]).open("r+b") as handle:
            handle.seek(at)
            handle.write(junk)
        for _ in range(2):
            await scene.restart(["delta"])
            told = await scene.load.get("delta", "/v1/status")
            assert (told["voting_stopped"], told["sync_state"]) == ("vote_log_damaged", "stopped")
            assert "make another key" in str(told["voting_advice"])
            await scene.expect_level("level without voting", ["delta"])
            assert await processes.stop(["delta"]) == {"delta": 0}
        await scene.restart(["delta"])
        await scene.judge()


@pytest.mark.long
async def test_a_damaged_page_of_the_ledger_is_refused_or_does_no_harm_and_syncing_anew_repairs(tmp_path: Path) -> None:
    """Any page of ledger.sqlite overwritten: refused by name and with the fix, or not needed; never a traceback.

    A node whose damage shows later stops then, or says so to whoever asks for what is damaged.
    """
    chance = random.Random(12)
    async with open_scene(tmp_path, seed=12, clients=6, group=20) as scene:
        processes, directory = scene.processes, scene.processes.get_directory("delta")
        await scene.expect_service("service to begin with")
        assert await processes.stop(["delta"]) == {"delta": 0}
        pages = (directory / DATABASE[0]).stat().st_size // PAGE
        assert pages > PAGES_TRIED
        ends: Counter[str] = Counter()
        for page in (0, 1, 2, *chance.sample(range(3, pages), PAGES_TRIED - 3)):
            with damaged(directory / DATABASE[0], page * PAGE, chance.randbytes(PAGE)):
                ends[await live_with_damage(scene)] += 1
                drop_database(directory)
        print(f"{pages} pages, {PAGES_TRIED} tried: {dict(ends)}")
        assert ends["refused"] > 0
        drop_database(directory)
        await scene.restart(["delta"])
        await scene.expect_level("level after syncing anew", ["delta"])
        await scene.judge()


def drop_database(directory: Path) -> None:
    """What `sync anew` asks for: keys and logs stay."""
    for one in DATABASE:
        (directory / one).unlink(missing_ok=True)


async def live_with_damage(scene: Scene) -> str:
    """How a node ends whose database is damaged: refused, stopped, or none of both."""
    processes = scene.processes
    await processes.spawn("delta")
    if not await processes.comes_up("delta"):
        said = await processes.read_end("delta", ENDS)
    else:
        for one in sorted(scene.load.final)[:ASKED]:
            with contextlib.suppress(NodeUnreachable, ApiError):
                await scene.load.get("delta", f"/v1/transactions/{one}")
        await asyncio.sleep(DAMAGED_LIFE_S)
        if "delta" in processes.alive:
            await processes.kill("delta")
            return "unharmed"
        said = await processes.read_end("delta", ENDS)
    assert said["code"] == "database_damaged", said
    assert "restore a backup" in said["reason"]
    assert "sync anew" in said["reason"]
    return "refused" if said["event"] == "start_refused" else "stopped"
