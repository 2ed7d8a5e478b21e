"""The mutation gate: every injected bug is caught by the bounded campaign that its line names."""

import pytest

from tests.sim.gate import Mutation, check_caught, check_list
from tests.sim.mutations import MUTATIONS, Law, Seeds
from tests.sim.runner import run_seeds

MUTATIONS_MIN = 117
CHUNK = 30
"""Seeds of one test: no test may take longer than pytest's own limit, however busy the machine."""
SAMPLE = (
    "quorum off by one",
    "votes are sent without a record",
    "nothing is fetched",
    "S1 dropped",
    "a notarization commits",
    "a restart forgets every Nullify",
    "a restart forgets proposals",
    "only the view right below must be given up",
    "Notarize without holding the batches",
    "every contradiction is kept",
)
"""Bugs that show at once: in every test run, beside all that need the engine alone."""

QUICK = [one for one in MUTATIONS if one.name in SAMPLE or isinstance(one.campaign, Law)]
SLOW = [one for one in MUTATIONS if one not in QUICK]


@pytest.mark.parametrize("mutation", QUICK, ids=lambda one: one.name)
def test_the_gate_works(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bugs of every kind are caught in every run."""
    check_caught(mutation, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("mutation", SLOW, ids=lambda one: one.name)
def test_an_injected_bug_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """All the others."""
    check_caught(mutation, monkeypatch)


def test_no_bug_was_dropped() -> None:
    """The gate only grows, no bug stands in it twice, and the sample is in it."""
    check_list(MUTATIONS, SAMPLE, least=MUTATIONS_MIN)


SEEDS = sorted(
    {
        (one.campaign.byzantine or "", one.campaign.size, at, "" if one.campaign.changing is None else "changes")
        for one in MUTATIONS
        if isinstance(one.campaign, Seeds)
        for at in range(0, one.campaign.count, CHUNK)
    }
)


@pytest.mark.long
@pytest.mark.parametrize(("byzantine", "size", "first", "changes"), SEEDS)
def test_the_gates_seeds_are_clean_without_a_bug(byzantine: str, size: int, first: int, changes: str) -> None:
    """A campaign that fails by itself would catch anything. (Twins and boundaries have their own long tiers.)"""
    seeds = range(first, first + CHUNK)
    summary = run_seeds(seeds, size=size, byzantine=byzantine or None, changing=True if changes else None)
    assert summary["failures"] == []


@pytest.mark.parametrize("law", [one for one in MUTATIONS if isinstance(one.campaign, Law)], ids=lambda one: one.name)
def test_every_law_holds_without_its_bug(law: Mutation) -> None:
    """Nor may a law."""
    assert law.campaign.find() is None
