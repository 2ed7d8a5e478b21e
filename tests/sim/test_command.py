"""`liushui sim`: the simulator as a command, from the source tree only, the same in one process and in several."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from node.cli import sim as command
from node.cli.main import main
from tests.sim import campaign
from tests.sim.actors.table import ACTORS
from tests.sim.boundaries import SCENARIOS
from tests.sim.runner import Outcome, run_seed


def call(*arguments: str) -> Result:
    """The command line."""
    return CliRunner().invoke(main, ["sim", *arguments])


def summarise(*arguments: str) -> dict[str, Any]:
    """What it prints as JSON, without its speed."""
    answer = call(*arguments, "--json")
    assert answer.exit_code == 0, answer.output
    summary: dict[str, Any] = json.loads(answer.output)
    assert summary.pop("events_per_second") > 0
    return summary


def test_any_number_of_processes_gives_the_same_summary() -> None:
    """Results are folded in the order of the seeds, whoever is done first."""
    alone = summarise("--seeds", "3-5", "--validators", "4", "--byzantine", "forker")
    assert (alone["runs"], alone["seeds"], alone["failures"]) == (3, "3-5", 0)
    assert alone["events"] > 1_000
    assert summarise("--seeds", "3-5", "--validators", "4", "--byzantine", "forker", "--processes", "3") == alone
    assert summarise("--seeds", "3-6", "--validators", "4", "--byzantine", "forker") != alone


def test_everything_that_can_be_named_is_listed() -> None:
    """With what each does."""
    names = json.loads(call("--list", "--json").output)
    assert sorted(names["actors"]) == sorted(ACTORS)
    assert sorted(names["scenarios"]) == sorted(SCENARIOS)
    assert all(text for known in names.values() for text in known.values())
    assert "liar" in call("--list").output


def break_seed(patch: pytest.MonkeyPatch, broken: int, error: BaseException | None = None) -> None:
    """One seed that fails, or in which something is raised."""

    def run(seed: int, **how: Any) -> Outcome:
        if seed == broken and error is not None:
            raise error
        outcome = run_seed(seed, **how)
        outcome.failure = f"FAILED liushui sim --seeds {seed}: broken" if seed == broken else ""
        return outcome

    patch.setattr(campaign, "run_seed", run)


def test_a_failure_is_exit_code_1_and_a_line_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """For people on stderr, for machines within the object."""
    break_seed(monkeypatch, 1)
    told = call("--seeds", "0-2", "--validators", "1")
    assert told.exit_code == 1
    assert "FAILED liushui sim --seeds 1: broken\n" in told.output
    found = json.loads(call("--seeds", "0-2", "--validators", "1", "--json").output)
    assert (found["failures"], found["failed"]) == (1, ["FAILED liushui sim --seeds 1: broken"])
    assert found["runs"] == 3


def test_an_interrupt_ends_it_cleanly_and_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was reached by then counts."""
    break_seed(monkeypatch, 2, KeyboardInterrupt())
    told = call("--seeds", "0-9", "--validators", "1", "--lang", "en")
    assert told.exit_code == command.INTERRUPTED
    assert "Stopped after 2 of 10 runs" in told.output
    assert "2 runs" in told.output.splitlines()[-1]
    assert "已停止：完成 2/10 次运行" in call("--seeds", "0-9", "--validators", "1", "--lang", "zh").output


def test_without_the_source_it_says_where_the_simulator_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A wheel holds no tests."""
    monkeypatch.setattr(command, "ROOT", tmp_path)
    told = call("--seeds", "1", "--json")
    assert told.exit_code == 1
    assert json.loads(told.output)["error"]["code"] == "simulator_not_installed"


@pytest.mark.parametrize(
    "wrong",
    [
        ("--seeds", "5-1"),
        ("--seeds", "x"),
        ("--seeds", "1", "--twins", "1"),
        ("--byzantine", "nobody"),
        ("--validators", "0"),
        ("--boundaries", "nowhere"),
        ("--boundary", "nowhere"),
        ("--ledger", "--twins", "1"),
        ("--ledger", "--byzantine", "forger of worlds"),
    ],
)
def test_what_cannot_be_run_is_wrong_use(wrong: tuple[str, ...]) -> None:
    """Exit code 2, and a sentence."""
    told = call(*wrong)
    assert told.exit_code == click.UsageError.exit_code
    assert "Error: " in told.output


def test_boundaries_and_twins_are_run_by_the_same_command() -> None:
    """One door to everything."""
    assert summarise("--twins", "0-1")["runs"] == 2
    assert summarise("--boundary", "slow/1/write/9/votes-half/power")["runs"] == 1
