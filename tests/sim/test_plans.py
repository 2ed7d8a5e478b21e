"""What may be asked of a plan."""

import pytest

from tests.sim.plan import make_plan


@pytest.mark.parametrize(("size", "faults"), [(1, 0), (3, 0), (4, 1), (7, 2), (10, 3)])
def test_no_set_has_more_byzantine_nodes_than_its_size_permits(size: int, faults: int) -> None:
    """A set of one, whose only node would be the liar, has none; the seed still runs."""
    assert make_plan(8, size=size, byzantine="invalid").byzantine == ("invalid",) * faults
