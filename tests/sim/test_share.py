"""The simulator's share of every test run, the long tier, and that a seed is a run."""

import pytest

from tests.sim.actors.table import ACTORS
from tests.sim.runner import run_seed, run_seeds
from tests.sim.share import find_base, find_seconds, split

LONG_SEEDS = 2_000


def test_the_laws_hold_in_this_commits_share_of_seeds() -> None:
    """Safety after every event and liveness after heal, for as many seeds as the time allows."""
    base = find_base()
    summary = run_seeds(range(base, base + 100_000), until_s=find_seconds(70))
    print(f"{summary['runs']} seeds from {base}, {summary['events']} events")
    assert summary["failures"] == []
    assert summary["events"] > 3_000


@pytest.mark.long
@pytest.mark.parametrize("seeds", split(LONG_SEEDS, 50), ids=str)
def test_the_laws_hold_in_two_thousand_seeds(seeds: range) -> None:
    """The long tier; and every honest validator of each has its ten blocks within 4n views of the heal."""
    summary = run_seeds(seeds)
    print(f"{summary['runs']} seeds, {summary['events']} events, trace {summary['trace_hash']}")
    assert summary["failures"] == []
    assert summary["late"] == 0


@pytest.mark.parametrize("name", sorted(ACTORS))
def test_the_laws_hold_beside_every_actor(name: str) -> None:
    """Each Byzantine actor by name, at n = 4 and n = 7, f of them."""
    for size, seed in ((4, 1), (7, 2)):
        summary = run_seeds((seed,), size=size, byzantine=name)
        assert summary["failures"] == []


@pytest.mark.parametrize("size", [1, 4, 5, 7, 10])
def test_every_size_finalises(size: int) -> None:
    """The set may have any size, one included."""
    outcome = run_seed(7, size=size)
    assert outcome.failure == ""
    assert len(outcome.world.judge.finals) >= 10


def test_a_seed_runs_identically() -> None:
    """Two runs of one seed are equal, event by event."""
    first, second = run_seed(42), run_seed(42)
    assert (first.trace, first.events, first.failure) == (second.trace, second.events, second.failure)
    assert first.world.judge.finals == second.world.judge.finals


def test_the_weather_reaches_the_network() -> None:
    """The plans really lose, delay, cut and crash: a simulator of fair weather would prove nothing."""
    plans = [run_seed(seed).world.plan for seed in range(12)]
    weathers = [weather for plan in plans for _, weather in plan.phases]
    assert any(one.loss_permille >= 400 for one in weathers)
    assert any(one.duplicate_permille for one in weathers)
    assert any(one.slow_permille for one in weathers)
    assert any(one.groups for one in weathers)
    assert any(one.deaf for one in weathers)
    assert any(plan.crashes for plan in plans)
    assert any(plan.byzantine for plan in plans)
