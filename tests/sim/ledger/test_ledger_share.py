"""The whole ledger's share of every test run, its long tier, and that a seed is a run."""

import json
import os
import subprocess
import sys

import pytest

from tests.sim.ledger.actors.table import ACTORS
from tests.sim.ledger.plan import make_plan
from tests.sim.ledger.runner import run_ledger_seed
from tests.sim.runner import sum_up
from tests.sim.share import find_base, find_seconds, split
from tests.sim.test_determinism import ROOT

LONG_SEEDS = 1_000


def test_the_laws_hold_in_this_commits_share_of_whole_networks() -> None:
    """After every block: equal states and receipts, nothing executed twice, money conserved; and all of it in the end.

    In the end every transaction that a living honest node accepted is final once, or has a reason not to be.
    """
    base = find_base()
    summary = sum_up(map(run_ledger_seed, range(base, base + 100_000)), until_s=find_seconds(25))
    print(f"{summary['runs']} seeds from {base}, {summary['events']} events")
    assert summary["failures"] == []
    assert summary["events"] > 500


@pytest.mark.long
@pytest.mark.parametrize("seeds", split(LONG_SEEDS, 20), ids=str)
def test_the_laws_hold_in_a_thousand_whole_networks(seeds: range) -> None:
    """The long tier."""
    summary = sum_up(map(run_ledger_seed, seeds))
    print(f"{summary['runs']} seeds, {summary['events']} events, trace {summary['trace_hash']}")
    assert summary["failures"] == []


@pytest.mark.parametrize("name", sorted(ACTORS))
def test_the_laws_hold_beside_every_actor(name: str) -> None:
    """Each Byzantine actor by name."""
    outcome = run_ledger_seed(1, size=4, byzantine=name)
    assert outcome.failure == ""
    assert len(outcome.world.judge.executed) >= 6


def test_a_seed_runs_identically_in_every_process() -> None:
    """No order of a set, no hash of an object and no clock reaches a run."""

    def run(salt: str) -> dict[str, object]:
        command = [sys.executable, "-m", "tests.sim", "--ledger", "--seeds", "2-3", "--json"]
        environment = {**os.environ, "PYTHONHASHSEED": salt, "PYTHONPATH": str(ROOT)}
        answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        summary: dict[str, object] = json.loads(answer.stdout)
        del summary["events_per_second"]
        return summary

    first = run("0")
    assert first["failures"] == 0
    assert run("4242") == first


def test_what_people_do_is_worth_trying() -> None:
    """Transactions succeed and fail, nonces are used twice, nodes are busy and die, and pools are small."""
    outcomes = [run_ledger_seed(seed, size=4) for seed in range(6)]
    assert [one.failure for one in outcomes] == [""] * 6
    worlds = [one.world for one in outcomes]
    assert sum(world.judge.rejected["ok"] for world in worlds) > 100
    assert sum(sum(world.judge.rejected.values()) - world.judge.rejected["ok"] for world in worlds) > 20
    cases = [case for world in worlds for case in world.clients.cases]
    assert any(case.busy for case in cases)
    assert any(len(case.promises) > 1 for case in cases)
    assert {case.deed.what for case in cases} > {"plain", "late"}
    assert any(node.lives > 1 for world in worlds for node in world.nodes)
    assert all(world.judge.looked_at for world in worlds)


def test_plans_really_fault() -> None:
    """Weather, crashes, small pools and liars, in a hundred plans."""
    plans = [make_plan(seed, actors=tuple(sorted(ACTORS))) for seed in range(100)]
    assert any(one.byzantine for one in plans)
    assert any(one.crashes for one in plans)
    assert any(dict(one.sizes).get("node.mempool.POOL_TRANSACTIONS_MAX") for one in plans)
    assert any(weather.loss_permille for one in plans for _, weather in one.phases)
    assert {one.size for one in plans} == {1, 4, 5, 7}
