"""Which files the rules are about. Never a rule in here."""

import subprocess
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("node", "protocol", "consensus", "scoring")
VERIFIED_SCORING: Final = ("rows", "feature_table", "series", "matching", "points", "reasons", "selftest")
"""The files of scoring that every checker repeats byte for byte, besides `features*`."""


def python_files(*tops: str) -> list[Path]:
    """Every Python file on disk under the named top-level directories, sorted."""
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py") if "__pycache__" not in path.parts)


def verified_core() -> list[Path]:
    """The files in which two honest nodes must agree on every bit."""
    scoring = [
        path
        for path in (ROOT / "scoring").glob("*.py")
        if path.stem in VERIFIED_SCORING or path.stem.startswith("features")
    ]
    return python_files("protocol", "consensus") + sorted(scoring)


def tracked_files() -> list[Path]:
    """Files under version control that are on disk; without git, the files of the source tree."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
        paths = [ROOT / name for name in listed.decode().split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        tops = [*PACKAGES, "tests", "docs", "docker", "requirements"]
        paths = [path for top in tops for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]
        paths += ROOT.glob("*.md")
        paths += [ROOT / "dev", ROOT / "pyproject.toml"]
    return sorted(path for path in paths if path.is_file())


def read_text(path: Path) -> str | None:
    """The text of a file, None for a binary one."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None
