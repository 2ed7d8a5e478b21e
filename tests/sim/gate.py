"""What a mutation gate is: bugs injected by hand, each with the one campaign that must catch it.

The lists stand in `tests/sim/mutations.py` (the engine) and `tests/sim/ledger/mutations.py` (whole nodes). A bug that
no campaign catches is a finding about the simulator: strengthen it, never drop the bug.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, Protocol

import pytest


class Campaign(Protocol):
    """Bounded, and the same on every run."""

    def find(self) -> str | None:
        """What caught the bug, or None."""


class Mutation(NamedTuple):
    """One bug, and the campaign that must catch it."""

    name: str
    apply: Callable[[pytest.MonkeyPatch], None]
    campaign: Campaign


def check_caught(mutation: Mutation, patch: pytest.MonkeyPatch) -> None:
    """A simulator that cannot see the bug proves nothing."""
    mutation.apply(patch)
    assert mutation.campaign.find() is not None, f"{mutation.campaign} does not see: {mutation.name}"


def check_list(mutations: Sequence[Mutation], sample: Collection[str], *, least: int) -> None:
    """The gate only grows, no bug stands in it twice, and the sample is in it."""
    names = [one.name for one in mutations]
    assert len(names) >= least
    assert len(set(names)) == len(names)
    assert set(sample) <= set(names)
