"""What processes use, read from /proc: processor, memory, disk, and how busy the machine is besides.

Linux only; `node.bench.site.check_machine` says so before. Never a figure that a process tells about itself.
"""

import contextlib
import os
import statistics
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from node.keystore import KEYS_DIRECTORY
from protocol.crypto import KeySigner, check_signature

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
MEGA: Final = 1_000_000
CHECKS: Final = 500
LOG: Final = "node.log"
MESSAGE: Final = bytes(200)  # about a transfer


class Usage(NamedTuple):
    """What one node has used since it began: its process and those that it started itself."""

    processor_s: float
    """All threads, user and system, of processes that live and of children that have ended (proc(5), stat)."""
    memory_now_mb: float
    """Resident, MB of 10^6 bytes; pages that its processes share count for each."""
    memory_peak_mb: float
    disk_written_bytes: int
    """Handed to the disk (proc(5), io)."""


def list_session(leader: int) -> list[int]:
    """The processes of a session, its leader first: every node is started in a session of its own (setsid(2)).

    Raises ProcessLookupError when the leader has gone.
    """
    members = [leader] if (PROC / str(leader)).exists() else []
    for entry in PROC.iterdir():
        if entry.name.isdecimal() and int(entry.name) != leader:
            with contextlib.suppress(OSError):
                if int(_read_stat(int(entry.name))[3]) == leader:
                    members.append(int(entry.name))
    if members[:1] != [leader]:
        raise ProcessLookupError(leader)
    return members


def _read_stat(pid: int) -> list[str]:
    """Fields of proc(5)'s stat from the third on: behind the name, which may hold anything."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def read_usage(leader: int) -> Usage:
    """What a node has used, by the process that was started for it. Raises OSError when that has gone."""
    used = [_read_process(leader)]
    for pid in list_session(leader)[1:]:
        with contextlib.suppress(OSError):  # one of its helpers that has just ended: counted with the leader's children
            used.append(_read_process(pid))
    return Usage(
        processor_s=sum(one.processor_s for one in used),
        memory_now_mb=sum(one.memory_now_mb for one in used),
        memory_peak_mb=sum(one.memory_peak_mb for one in used),
        disk_written_bytes=sum(one.disk_written_bytes for one in used),
    )


def _read_process(pid: int) -> Usage:
    memory = _read_fields(PROC / str(pid) / "status", "VmRSS", "VmHWM")
    written = _read_fields(PROC / str(pid) / "io", "write_bytes")
    return Usage(
        processor_s=sum(int(ticks) for ticks in _read_stat(pid)[11:15]) / TICKS_PER_S,
        memory_now_mb=memory.get("VmRSS", 0) * 1_024 / MEGA,
        memory_peak_mb=memory.get("VmHWM", 0) * 1_024 / MEGA,
        disk_written_bytes=written["write_bytes"],
    )


def _read_fields(path: Path, *names: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in names:
            found[name] = int(value.split()[0])
    return found


def read_machine_s() -> tuple[float, float]:
    """(busy, all) processor seconds of the machine since it began, over all its cores (proc(5), stat)."""
    ticks = [int(one) for one in (PROC / "stat").read_text().splitlines()[0].split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / TICKS_PER_S, sum(ticks) / TICKS_PER_S


def measure_signature_check_us() -> float:
    """Processor time of one Ed25519 verification, median of many: how fast a core is while others share the machine."""
    signer = KeySigner(bytes(32))
    signature = signer.sign(MESSAGE)
    took: list[float] = []
    for _ in range(CHECKS):
        began_s = time.thread_time()
        assert check_signature(signer.public_key, MESSAGE, signature), "it was signed a moment ago"
        took.append((time.thread_time() - began_s) * 1e6)
    return statistics.median(took)


def measure_files(directory: Path) -> dict[str, int]:
    """Bytes of each file a node keeps, snapshots too; its keys and what it says in its log are not the ledger."""
    found: dict[str, int] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and name != LOG and not name.startswith(f"{KEYS_DIRECTORY}/"):
            found[name] = path.stat().st_size
    return found


class Mark(NamedTuple):
    """The state of things at one moment."""

    at_s: float
    usage: Mapping[str, Usage]
    own_s: float
    machine_s: tuple[float, float]


def take_mark(pids: Mapping[str, int]) -> Mark:
    """Read everything now, by node."""
    return Mark(
        at_s=time.perf_counter(),
        usage={name: read_usage(pid) for name, pid in pids.items()},
        own_s=time.process_time(),
        machine_s=read_machine_s(),
    )
