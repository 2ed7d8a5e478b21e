"""The import contracts of pyproject.toml can fail: a planted import against the chain is reported."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rules import tree

pytest.importorskip("importlinter", reason="import-linter is not installed: run through ./dev test")

_RUN = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    """import-linter with the project's own configuration on the packages under `root`."""
    return subprocess.run([sys.executable, "-c", _RUN], cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The four packages and the configuration, to spoil."""
    shutil.copy(tree.ROOT / "pyproject.toml", tmp_path)
    for name in tree.PACKAGES:
        shutil.copytree(tree.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.json"))
    return tmp_path


def test_the_contracts_hold_and_can_break(copy: Path) -> None:
    """Kept as the tree stands; broken by an upward import, by a clock or a socket in the core."""
    kept = lint(copy)
    assert kept.returncode == 0, kept.stdout
    for victim, line in {
        "scoring/rows.py": "import protocol.money",
        "protocol/money.py": "import consensus.events",
        "consensus/events.py": "import node",
        "protocol/ids.py": "import time",
        "consensus/effects.py": "from asyncio import sleep",
        "protocol/codec.py": "import os.path",
    }.items():
        path = copy / victim
        before = path.read_text("utf-8")
        path.write_text(f"{before}\n{line}\n", "utf-8")
        broken = lint(copy)
        path.write_text(before, "utf-8")
        assert broken.returncode == 1, f"{victim}: {line}\n{broken.stdout}"
        assert "BROKEN" in broken.stdout
