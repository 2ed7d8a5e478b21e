"""The mutation gate: every injected bug breaks a law within a bounded number of seeds."""

import pytest

from tests.sim.mutations import MUTATIONS, Mutation
from tests.sim.runner import run_seed

SEEDS_MAX = 60


def find_catching_seed(mutation: Mutation) -> int | None:
    """The first seed that fails under the mutation."""
    for seed in range(SEEDS_MAX):
        if run_seed(seed, size=mutation.size, byzantine=mutation.byzantine).failure:
            return seed
    return None


@pytest.mark.long
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.name)
def test_an_injected_bug_is_caught(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that cannot see the bug proves nothing about the engine."""
    mutation.apply(monkeypatch)
    assert find_catching_seed(mutation) is not None, f"{SEEDS_MAX} seeds do not see: {mutation.name}"


@pytest.mark.parametrize("name", ["quorum off by one", "votes are sent without a record", "nothing is fetched"])
def test_the_gate_works(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three bugs that show at once, in every test run."""
    mutation = next(one for one in MUTATIONS if one.name == name)
    mutation.apply(monkeypatch)
    assert find_catching_seed(mutation) is not None
