"""What may be asked of a plan."""

import pytest

from tests.sim.plan import make_plan
from tests.sim.runner import run_seed


@pytest.mark.parametrize(("size", "faults"), [(1, 0), (3, 0), (4, 1), (7, 2), (10, 3)])
def test_no_set_has_more_byzantine_nodes_than_its_size_permits(size: int, faults: int) -> None:
    """A set of one, whose only node would be the liar, has none; the seed still runs."""
    assert make_plan(8, size=size, byzantine="invalid").byzantine == ("invalid",) * faults


def test_half_of_the_seeds_change_their_validators_in_every_way() -> None:
    """Keys are added, removed and rotated, alone and several in a row, with long and short notice and with storms."""
    plans = [make_plan(seed) for seed in range(120)]
    changing = [plan for plan in plans if plan.changes]
    assert 40 <= len(changing) <= 80
    steps = [step for plan in changing for change in plan.changes for step in change.steps]
    assert {step.kind for step in steps} == {"add", "remove", "rotate"}
    assert any(len(plan.changes) > 1 for plan in changing)
    assert any(plan.spares != ("",) * len(plan.spares) for plan in changing)
    assert {plan.notice for plan in changing} >= {2, 32}
    assert any(plan.storm is not None and plan.storm.crash is not None for plan in changing)
    assert make_plan(3, changing=True).changes
    assert not make_plan(3, changing=False).changes


def test_changing_seeds_really_switch_sets_and_propose_boundaries_again() -> None:
    """Epochs really pass, keys really rotate, and some boundary block needs a later leader: else nothing is tried."""
    worlds = []
    for seed in range(12):
        outcome = run_seed(seed, size=4, changing=True)
        assert outcome.failure == ""
        worlds.append(outcome.world)
    assert sum(max(world.judge.sets) for world in worlds) >= 8
    assert any(len(world.judge.sets[1]) != 4 for world in worlds if 1 in world.judge.sets)  # type: ignore[index]
    rotated = [
        world for world in worlds for ring in world.rings for one in ring[1:] if one.public_key in world.seats.keys
    ]
    assert rotated
    assert sum(world.judge.again for world in worlds) > 0
