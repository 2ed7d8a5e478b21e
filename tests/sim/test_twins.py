"""Twins: a share of cases in every run, five thousand in the long tier, and that cases are what they claim to be."""

import pytest

from protocol.certificate import VoteKind
from tests.sim.runner import run_case, run_twins
from tests.sim.share import find_base, find_seconds, split
from tests.sim.twins import SAID, TwinsWorld, make_case

LONG_CASES = 5_000


def test_the_laws_hold_in_this_commits_share_of_twins() -> None:
    """Agreement, S1 and S2 of every honest key, and blocks again once the cuts are over."""
    base = find_base()
    summary = run_twins(range(base, base + 100_000), until_s=find_seconds(15))
    print(f"{summary['runs']} cases from {base}, {summary['events']} events")
    assert summary["failures"] == []


@pytest.mark.long
@pytest.mark.parametrize("cases", split(LONG_CASES, 250), ids=str)
def test_the_laws_hold_in_five_thousand_cases_of_twins(cases: range) -> None:
    """The long tier."""
    summary = run_twins(cases)
    print(f"{summary['runs']} cases, {summary['events']} events, trace {summary['trace_hash']}")
    assert summary["failures"] == []


@pytest.mark.parametrize("seed", range(40))
def test_a_case_has_twins_up_to_f_and_a_cut_for_every_view(seed: int) -> None:
    """More twins than f would prove nothing, fewer views than leaders neither."""
    case = make_case(seed)
    assert 1 <= case.twins <= (case.size - 1) // 3
    assert all(len(one.cuts) == len(SAID) for one in case.rounds)
    assert all(len(cut) == case.size + case.twins for one in case.rounds for cut in one.cuts)
    world = TwinsWorld(case)
    assert len(world.honest) == case.size - case.twins
    assert [world.validators.calculate_leader(view) for view, _ in enumerate(case.rounds, 1)] == [  # type: ignore[arg-type]
        one.leader for one in case.rounds
    ]


def test_twins_really_contradict_each_other_and_cuts_really_split_views() -> None:
    """Two blocks of one view, two votes of one key, views both notarized and given up: else nothing is tried."""
    doubled = split = accused = 0
    for seed in range(60):
        outcome = run_case(seed)
        assert outcome.failure == ""
        world = outcome.world
        views = [(block.header.epoch, block.header.view) for block in world.judge.blocks.values()]
        doubled += len(set(views)) < len(views)
        kinds = [dict(node.disk.certificates) for node in world.honest]
        given_up = {(era, view) for one in kinds for era, kind, view in one if kind is VoteKind.NULLIFY}
        split += any((era, view) in given_up for one in kinds for era, kind, view in one if kind is VoteKind.NOTARIZE)
        accused += any(node.evidence for node in world.honest)
    assert min(doubled, split, accused) >= 5, (doubled, split, accused)


def test_some_cases_cross_the_end_of_an_epoch_within_their_table() -> None:
    """The set turns over while proposals and votes are cut: two in five cases ask for it, and many get there."""
    cases = [make_case(seed) for seed in range(60)]
    assert 12 <= sum(bool(case.steps) for case in cases) <= 36
    worlds = [run_case(case.seed).world for case in cases[:40] if case.steps]
    crossed = [world for world in worlds if isinstance(world, TwinsWorld) and len(world.bases) > 1]
    assert sum(world.bases[1] < len(world.case.rounds) for world in crossed) >= 5


def test_a_case_runs_identically() -> None:
    """Two runs of one case are equal, event by event."""
    first, second = run_case(11), run_case(11)
    assert (first.trace, first.events, first.failure) == (second.trace, second.events, second.failure)
