"""The systemd unit: what it starts exists, systemd takes it, and it leaves the machine alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from node.cli.start import CREDENTIAL
from tests.rules import tree

UNIT = tree.ROOT / "docker" / "systemd" / "liushui.service"
EXPOSURE_MAX = 15
"""In tenths of systemd's own measure, of which 0 is the best and 100 the worst."""


def read_values(name: str) -> list[str]:
    """All values of a setting."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)


def test_it_starts_a_command_that_exists_with_options_that_exist() -> None:
    """What the unit calls is in the command line's own help; the credential is the one that the command looks for."""
    (called,) = read_values("ExecStart")
    words = called.split()
    assert words[0].endswith("/bin/liushui")
    call = [sys.executable, "-m", "node.cli.main", words[1], "--help"]
    answer = subprocess.run(call, cwd=tree.ROOT, capture_output=True, text=True, check=True)
    assert {one for one in words if one.startswith("--")} <= set(re.findall(r"--[a-z-]+", answer.stdout))
    assert words[-1] == read_values("WorkingDirectory")[0]
    assert [one.partition(":")[0] for one in read_values("LoadCredential")] == [CREDENTIAL]


def test_it_waits_for_the_nodes_own_word_and_never_starts_what_cannot_start() -> None:
    """sd_notify with a watchdog; exit code 2 wants a person, and a person's time is not used up by restarts."""
    assert (read_values("Type"), read_values("NotifyAccess")) == (["notify"], ["main"])
    assert read_values("WatchdogSec")
    assert (read_values("Restart"), read_values("RestartPreventExitStatus")) == (["on-failure"], ["2 CREDENTIALS"])
    assert read_values("LimitCORE") == ["0"]
    assert read_values("User") == ["liushui"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_it_and_finds_it_little_exposed(tmp_path: Path) -> None:
    """No unknown setting, and an exposure that systemd calls OK."""
    copy = tmp_path / UNIT.name
    copy.write_text(re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/bin/true", UNIT.read_text("utf-8")), "utf-8")
    taken = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (taken.returncode, taken.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE_MAX}", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert judged.returncode == 0, judged.stdout[-400:]
