"""What processes use, read from /proc: processor, memory, disk, and how busy the machine is besides.

Linux only; `node.bench.site.check_machine` says so before. Never a figure that a process tells about itself.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
PROC: Final = Path("/proc")
MEGA: Final = 1_000_000


class Usage(NamedTuple):
    """What one process has used since it began."""

    processor_s: float
    """All its threads, user and system (proc(5), stat fields 14 and 15)."""
    memory_now_mb: float
    """Resident, MB of 10^6 bytes."""
    memory_peak_mb: float
    disk_written_bytes: int
    """Handed to the disk (proc(5), io)."""


def read_processor_s(pid: int) -> float:
    """Processor seconds of a process."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def read_usage(pid: int) -> Usage:
    """What a process has used. Raises OSError when it has gone."""
    memory = _read_fields(PROC / str(pid) / "status", "VmRSS", "VmHWM")
    written = _read_fields(PROC / str(pid) / "io", "write_bytes")
    return Usage(
        processor_s=read_processor_s(pid),
        memory_now_mb=memory["VmRSS"] * 1_024 / MEGA,
        memory_peak_mb=memory["VmHWM"] * 1_024 / MEGA,
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


def measure_files(directory: Path) -> dict[str, int]:
    """Bytes of each file a node keeps; what it says in its log is not the ledger."""
    return {
        one.name: one.stat().st_size for one in sorted(directory.iterdir()) if one.is_file() and one.suffix != ".log"
    }


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
