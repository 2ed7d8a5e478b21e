"""A disk that takes no more: the node stops in one sentence before anything is harmed, and goes on when there is room.

Twice, because not every machine allows both: a small file system of its own (tmpfs; needs the right to mount), and a
limit on the size of any file of the process, which the kernel enforces on everybody.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.faults.processes import ENDS, VALIDATORS, Processes, found
from tests.e2e.faults.scene import Scene, open_scene
from tests.node.core.chaintools import until

pytestmark = [pytest.mark.process, pytest.mark.long]

ROOM_MB: Final = 48
LEFT_BYTES: Final = 200_000
LOG_BYTES: Final = 500_000
"""Far more than the database's own log takes after a start, so that the vote or payload log is refused first."""
CODES: Final = frozenset({"disk_full", "disk_failed", "log_write_failed", "log_rewrite_failed"})


@contextmanager
def small_disk(directory: Path) -> Iterator[None]:
    """A node's directory on a small file system of its own; skipped where nobody may mount one."""
    kept = directory.with_name(directory.name + ".kept")
    directory.rename(kept)
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m", "tmpfs", str(directory)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no small file system: mounting one is not permitted here ({done.stderr.strip()})")
    try:
        shutil.copytree(kept, directory, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(ballast: Path, left: int) -> None:
    """Leave at most so many bytes of the file system of `ballast`; its node may be faster."""
    space = os.statvfs(ballast.parent)
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as handle:
        handle.write(bytes(max(0, space.f_bavail * space.f_frsize - left)))


async def expect_end(scene: Scene, name: str) -> str:
    """The node ends by itself, with a sentence about its disk, whose code this is; the others serve on."""
    began_s = time.monotonic()
    said = await scene.processes.read_end(name, ENDS)
    scene.note(f"{name} ended ({said['event']}, {said['code']})", time.monotonic() - began_s)
    assert said["code"] in CODES, said
    assert "disk" in said["reason"], said
    await scene.expect_service(f"service without {name}")
    return str(said["code"])


@pytest.mark.parametrize("left", [LEFT_BYTES, 0])
async def test_a_full_disk_stops_a_node_cleanly_and_room_brings_it_back(tmp_path: Path, left: int) -> None:
    """Full at once or a little later: it stops before damage, says so again when started, and comes back with room."""
    processes = Processes(found(tmp_path))
    directory = processes.get_directory("delta")
    with small_disk(directory):
        async with open_scene(tmp_path, seed=21, clients=6, group=20, prepared=processes) as scene:
            await scene.expect_service("service to begin with")
            ballast = directory / "ballast"
            for _ in range(2):  # once is luck
                fill(ballast, left)
                await expect_end(scene, "delta")
                fill(ballast, 0)
                await processes.spawn("delta")
                await expect_end(scene, "delta")
                ballast.unlink()
                await scene.restart(["delta"])
                await scene.expect_level("level after there was room again", ["delta"])
            await scene.judge()


def forbid_growth(scene: Scene, name: str, *, beyond: int) -> None:
    """No file of the node's process may grow beyond this size."""
    resource.prlimit(scene.processes.get_pid(name), resource.RLIMIT_FSIZE, (beyond, beyond))


async def test_a_database_that_may_not_grow_stops_a_node_cleanly(tmp_path: Path) -> None:
    """SQLite is refused a write in the middle of a block: nothing of it is saved, and the node says why it stops."""
    async with open_scene(tmp_path, seed=22, clients=4, group=10) as scene:
        name = VALIDATORS[0]
        await scene.expect_service("service to begin with")
        size = (scene.processes.get_directory(name) / "ledger.sqlite-wal").stat().st_size
        forbid_growth(scene, name, beyond=size + 20_000)
        assert await expect_end(scene, name) == "disk_failed"
        await scene.restart([name])
        await scene.expect_level("level after the limit was lifted", [name])
        await scene.judge()


async def test_logs_that_may_not_grow_stop_a_node_cleanly(tmp_path: Path) -> None:
    """A vote or a payload that is not durable is never followed by a word: the node stops and says why."""
    async with open_scene(tmp_path, seed=23, clients=4, group=10) as scene:
        name, load = VALIDATORS[0], scene.load
        logs = [scene.processes.get_directory(name) / log for log in ("votes.wal", "payload.log")]
        await until(lambda: max(log.stat().st_size for log in logs) > LOG_BYTES, 100, "logs that have grown")
        await load.end()  # and a fresh start leaves the database's own log short, so that the others come first
        assert await scene.processes.stop([name]) == {name: 0}
        await scene.restart([name])
        forbid_growth(scene, name, beyond=max(log.stat().st_size for log in logs) + 100)
        load.begin()
        assert await expect_end(scene, name) == "log_write_failed"
        await scene.restart([name])
        await scene.expect_level("level after the limit was lifted", [name])
        await scene.judge()
