"""Crashes between persisting, sending and saving: a sample in every run, every boundary in the long tier."""

from random import Random

import pytest

from node.store.appendlog import encode_group, parse_groups
from protocol.ids import Epoch
from tests.sim.boundaries import (
    SCENARIOS,
    SHUFFLED,
    TORN,
    VIEWS,
    BoundaryWorld,
    find_boundaries,
    mangle,
    parse_boundary,
)
from tests.sim.runner import run_boundaries, run_boundary
from tests.sim.share import find_base, find_seconds

BOUNDARIES_MIN = {"calm": 4_000, "absent": 3_500, "slow": 4_000, "two-faced": 2_500, "change": 3_700}
"""A run that is cut short has few boundaries, and would pass."""
PARTS = 16
"""Of a scenario's boundaries: no test may take longer than pytest's own limit, however busy the machine."""


def test_the_laws_hold_at_a_sample_of_boundaries() -> None:
    """Drawn by this commit from all scenarios."""
    found = [boundary for name in SCENARIOS for boundary in find_boundaries(name)]
    Random(find_base()).shuffle(found)
    summary = run_boundaries(found, until_s=find_seconds(15))
    print(f"{summary['runs']} of {len(found)} boundaries, {summary['events']} events")
    assert summary["failures"] == []


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", SCENARIOS)
def test_the_laws_hold_at_every_boundary(name: str, part: int) -> None:
    """The long tier."""
    summary = run_boundaries(find_boundaries(name)[part::PARTS])
    print(
        f"{name}, part {part}: {summary['runs']} boundaries, {summary['events']} events, trace {summary['trace_hash']}"
    )
    assert summary["failures"] == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_has_twenty_views_and_every_kind_of_boundary(name: str) -> None:
    """Every honest validator's writes, words and saved blocks, and every way in which a write can end."""
    world = BoundaryWorld(name, None)
    world.run()
    assert world.furthest > VIEWS
    assert len(world.found) >= BOUNDARIES_MIN[name]
    assert {one.node for one in world.found} == {node.place for node in world.honest}
    cuts = {f"{log}-{cut}" for log in ("votes", "payload") for cut in (*TORN, *SHUFFLED)}
    hows = cuts | {"lost", "payload", "unsent", "after", "before"}
    assert {(one.what, one.how) for one in world.found} >= {("word", "after"), ("save", "before"), ("save", "after")}
    assert {one.how for one in world.found} == hows


def test_a_boundary_is_named_by_its_text_and_reached_where_it_was_counted() -> None:
    """The line of a failure repeats it."""
    for name in SCENARIOS:
        boundary = find_boundaries(name)[-1]
        assert parse_boundary(str(boundary)) == boundary
        first, second = run_boundary(boundary), run_boundary(boundary)
        assert first.failure == ""
        assert (first.trace, first.events) == (second.trace, second.events)
    assert "is not in the run" in run_boundary(parse_boundary("calm/0/write/999999/lost/alone")).failure


@pytest.mark.parametrize("how", [*TORN, *SHUFFLED])
@pytest.mark.parametrize("size", [1, 40, 700])
def test_an_unfinished_write_is_cut_off_as_a_whole(how: str, size: int) -> None:
    """Whatever part of the last group is on the disk, what stood before it is read back and nothing else."""
    whole = encode_group(0, [b"first"])
    raw = mangle(encode_group(1, [bytes((7,)) * size]), how)
    groups, end, following = parse_groups(whole + raw, "log")
    assert (groups, end, following) == ([[b"first"]], len(whole), 1)


def test_the_changing_scenario_crosses_two_epochs_among_its_boundaries() -> None:
    """A key rotates, one validator leaves and another comes, all within the views that count."""
    world = BoundaryWorld("change", None)
    world.run()
    assert sorted(world.judge.sets) == [0, 1, 2]
    assert len({world.judge.sets[epoch] for epoch in world.judge.sets}) == 3  # type: ignore[index]
    assert world.judge.began[Epoch(2)] < len(world.judge.finals)
