"""What a bench is asked for: defaults that follow from the validators, and every wish that cannot be met refused."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from node.bench import site
from node.bench.plan import Kind, Plan, PlanError, make_plan
from node.cli.common import EXIT_REFUSED, EXIT_USAGE
from node.cli.main import main

ROOT = Path(__file__).resolve().parents[3]


def plan(**wishes: Any) -> Plan:
    """A plan with the command's defaults."""
    usual: dict[str, Any] = {"validators": 4, "rate": 500, "seconds": None, "transactions": None, "dead": None}
    rest: dict[str, Any] = {"kind": Kind.TRANSFER, "group": None, "observer": False, "sync": False, "load_only": False}
    return make_plan(**{**usual, **rest, **wishes})


@pytest.mark.parametrize(
    ("validators", "dead"), [(1, (0,)), (2, (0,)), (3, (0,)), (4, (0, 1)), (7, (0, 2)), (10, (0, 3))]
)
def test_a_load_is_measured_with_all_validators_and_with_as_many_dead_as_may_be(
    validators: int, dead: tuple[int, ...]
) -> None:
    """f = (n - 1) // 3; with f = 0 there is one load."""
    assert plan(validators=validators).dead == dead


def test_a_load_of_a_given_size_is_measured_once() -> None:
    """A million transactions are not run twice unless that is asked for."""
    made = plan(transactions=1_000_000, rate=1_500)
    assert (made.dead, made.transactions, round(made.seconds)) == ((0,), 1_000_000, 667)
    assert plan(transactions=10, dead=1).dead == (1,)


def test_a_group_is_what_a_gateway_collects_in_fifty_milliseconds() -> None:
    """At 1,500 a second over four nodes 19; at least one; at most what a request may hold; or what was asked for."""
    assert plan(rate=1_500).pick_group(4) == 19
    assert plan(rate=1).pick_group(4) == 1
    assert plan(rate=20_000, group=None).pick_group(1) == 1_000
    assert plan(group=7).pick_group(4) == 7


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--validators", "0"), "--validators must be from 1 to 32"),
        (("--validators", "33"), "--validators must be from 1 to 32"),
        (("--rate", "0"), "--rate must be from 1 to 20000"),
        (("--seconds", "0"), "--seconds must be from 1 to 3600"),
        (("--groups-of", "1025"), "--groups-of must be from 1 to 1024"),
        (("--transactions", "0"), "--transactions must be from 1 to 5000000"),
        (("--dead", "2"), "Of 4 validators at most 1 may be dead"),
        (("--dead", "-1"), "Of 4 validators at most 1 may be dead"),
        (("--validators", "3", "--dead", "1"), "Of 3 validators at most 0 may be dead"),
        (("--seconds", "5", "--transactions", "5"), "Give --seconds or --transactions"),
        (("--rate", "1", "--transactions", "4000"), "take over an hour"),
        (("--kind", "pay", "--transactions", "600001"), "At most 600000 payments"),
        (("--kind", "pay", "--validators", "1"), "Payments need at least 2 validators"),
        (("--kind", "swap"), "'swap' is not one of"),
        (("--rate", "many"), "'many' is not a valid integer"),
        (("--frobnicate",), "No such option"),
    ],
)
def test_a_wrong_wish_is_refused_before_anything_starts(flags: tuple[str, ...], told: str) -> None:
    """One sentence and exit code 2."""
    done = CliRunner().invoke(main, ["bench", *flags], env={"LANG": "C"})
    assert done.exit_code == EXIT_USAGE
    assert told in done.stderr


def test_a_directory_with_something_in_it_is_never_used(tmp_path: Path) -> None:
    """Exit code 1 and its code; what lies there stays."""
    (tmp_path / "thesis.txt").write_text("mine")
    done = CliRunner().invoke(main, ["bench", "--data-dir", str(tmp_path), "--json"], env={"LANG": "C"})
    assert done.exit_code == EXIT_REFUSED
    assert '"code": "directory_taken"' in done.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["thesis.txt"]


def test_disk_is_asked_for_before_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too little is refused, scarce is told, plenty is not mentioned; need grows with nodes and transactions."""
    wanted = plan(transactions=1_000_000, rate=1_500, sync=True)
    assert 5 * 2.5e9 < wanted.disk_bytes < 5 * 3e9
    free = wanted.disk_bytes - 1
    monkeypatch.setattr(site.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(PlanError) as refused:
        site.check_disk(tmp_path, wanted)
    assert refused.value.code == "disk_short"
    free = wanted.disk_bytes + 1
    assert "scarce" in str(site.check_disk(tmp_path, wanted))
    free = 2 * wanted.disk_bytes
    assert site.check_disk(tmp_path, wanted) is None


def test_without_free_ports_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port somebody holds is not used; when there is none left, the sentence names the fix."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        taken = holder.getsockname()[1]
        monkeypatch.setattr(site, "PORTS", range(taken - 1, taken + 1))
        with pytest.raises(PlanError) as refused:
            site.find_base_port(2)
        assert refused.value.code == "ports_taken"


def test_the_file_system_of_a_directory_is_the_nearest_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The longest mount point above it, whatever the order; a memory file system is known by its type."""
    mounts = tmp_path / "mounts"
    monkeypatch.setattr(site, "MOUNTS", mounts)
    inner = tmp_path / "a disk"
    inner.mkdir()
    mounts.write_text(
        f"x {str(inner).replace(' ', chr(92) + '040')} tmpfs rw 0 0\n/dev/a / ext4 rw 0 0\ny /proc proc rw 0 0\n"
    )
    assert site.find_filesystem(inner) in site.MEMORY_FILESYSTEMS
    assert site.find_filesystem(tmp_path) == "ext4"


def test_the_development_script_runs_the_same_command(tmp_path: Path) -> None:
    """`./dev bench consensus FLAGS` is `liushui bench FLAGS`, from wherever it is called; other names are looked up."""
    environment = Path(sys.prefix)
    stamp = environment / ".liushui-dev"
    if not stamp.exists() or f" {ROOT} " not in stamp.read_text():  # the script would make it another tree's
        pytest.skip("not run inside this tree's development environment")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(ROOT / "dev"), "bench", *arguments]
        env = {**os.environ, "LIUSHUI_VENV": str(environment), "LANG": "C"}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False)

    wrong = run("consensus", "--validators", "4", "--dead", "2")
    assert (wrong.returncode, "at most 1 may be dead" in wrong.stderr) == (EXIT_USAGE, True)
    unknown = run("network")
    assert (unknown.returncode, unknown.stderr) == (
        1,
        "dev: there is no benchmark 'network': './dev bench' lists them\n",
    )
