"""The mutation gate of the whole ledger: every injected bug is caught by the bounded campaign that its line names."""

import pytest

from tests.sim.gate import Mutation, check_caught, check_list
from tests.sim.ledger.mutations import MUTATIONS
from tests.sim.ledger.runner import run_ledger_seed

MUTATIONS_MIN = 15
CHUNK = 10
SAMPLE = ("a batch is ordered again", "receipts in disorder", "money is made", "the door keeps no promise")
"""Bugs that show at once: in every test run."""
QUICK = [one for one in MUTATIONS if one.name in SAMPLE]
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
        (one.campaign.byzantine or "", one.campaign.size, at)
        for one in MUTATIONS
        for at in range(0, one.campaign.count, CHUNK)
    }
)


@pytest.mark.long
@pytest.mark.parametrize(("byzantine", "size", "first"), SEEDS)
def test_the_gates_seeds_are_clean_without_a_bug(byzantine: str, size: int, first: int) -> None:
    """A campaign that fails by itself would catch anything."""
    seeds = range(first, first + CHUNK)
    failures = [run_ledger_seed(seed, size=size, byzantine=byzantine or None).failure for seed in seeds]
    assert failures == [""] * CHUNK
