"""A seed is a run: on every start, whatever Python's hashes are salted with, and in every Python there is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CAMPAIGNS = (
    ("--seeds", "0-2"),
    ("--twins", "0-9"),
    ("--boundary", "slow/1/write/9/votes-half/power"),
)
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")


def run(python: str, campaign: tuple[str, ...], salt: str) -> dict[str, object]:
    """The summary of a campaign in a process of its own, without its speed."""
    answer = subprocess.run(
        [python, "-m", "tests.sim", *campaign, "--json"],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    summary: dict[str, object] = json.loads(answer.stdout)
    del summary["events_per_second"]
    return summary


def find_other_pythons() -> list[str]:
    """Interpreters that can run the simulator: from the PATH, and what LIUSHUI_PYTHONS lists."""
    named = [one for one in os.environ.get("LIUSHUI_PYTHONS", "").split(os.pathsep) if one]
    found = [*named, *(path for name in OTHERS if (path := shutil.which(name)) is not None)]
    able = []
    for python in found:
        code = "import sys; sys.version_info >= (3, 11) or sys.exit(1); import tests.sim.runner"
        tried = subprocess.run(
            [python, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0 and Path(python).resolve() != Path(sys.executable).resolve():
            able.append(python)
    return able


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda one: one[0])
def test_a_campaign_is_the_same_in_every_process(campaign: tuple[str, ...]) -> None:
    """No order of a set, no hash of an object and no clock reaches a run."""
    first = run(sys.executable, campaign, "0")
    assert first["failures"] == 0
    assert first["trace_hash"] != "00000000"
    assert run(sys.executable, campaign, "4242") == first


@pytest.mark.parametrize("campaign", CAMPAIGNS, ids=lambda one: one[0])
def test_a_campaign_is_the_same_in_every_python(campaign: tuple[str, ...]) -> None:
    """A seed found on one machine repeats on another."""
    others = find_other_pythons()
    if not others:
        pytest.skip("no other Python here has the packages; name some in LIUSHUI_PYTHONS")
    first = run(sys.executable, campaign, "0")
    assert {python: run(python, campaign, "1") for python in others} == dict.fromkeys(others, first)
