"""How much of the simulator every test run gets: a base that changes with the commit, and sixty seconds in all."""

import os
import shutil
import subprocess
from pathlib import Path
from zlib import crc32

BASE = 20_231_109
SECONDS = 60


def split(count: int, size: int) -> list[range]:
    """A long tier in parts: no test may take longer than pytest's own limit, however busy the machine."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def find_base() -> int:
    """A seed base of this very commit, or a fixed one without git."""
    git = shutil.which("git")
    if git is None:
        return BASE
    answer = subprocess.run(
        [git, "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return crc32(answer.stdout.strip().encode()) if answer.returncode == 0 and answer.stdout.strip() else BASE


def find_seconds(percent: int) -> float:
    """A part of the time; LIUSHUI_SIM_SECONDS names another whole."""
    return float(os.environ.get("LIUSHUI_SIM_SECONDS", str(SECONDS))) * percent / 100
