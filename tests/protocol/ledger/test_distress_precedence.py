"""Every step of a loan in trouble names its first reason: each alone, and of every two the smaller number."""

from functools import cache
from itertools import combinations

import pytest

from protocol.rejections import Rejection
from protocol.transactions.servicing import DistressKind, LoanDistress
from tests.protocol.ledger.precedence import Fault, Scene, find_standing_faults
from tests.protocol.ledger.precedence_trouble import DISTRESS


@cache
def build(kind: DistressKind) -> Scene:
    """The scene of a kind, made once: nothing that is tried on it stays."""
    return DISTRESS[kind].build()


def list_faults(kind: DistressKind) -> dict[Rejection, Fault]:
    """The signer's and the payload's own."""
    return {**find_standing_faults(LoanDistress), **DISTRESS[kind].faults}


@pytest.mark.parametrize("kind", DistressKind)
def test_each_fault_is_named_and_of_two_the_smaller_number(kind: DistressKind) -> None:
    """And without a fault there is no reason, before and after."""
    scene, faults = build(kind), list_faults(kind)
    assert scene.try_with() is None
    assert {code: scene.try_with(fault) for code, fault in faults.items()} == {code: code for code in faults}
    for first, second in combinations(sorted(faults), 2):
        for pair in ((first, second), (second, first)):
            assert scene.try_with(*(faults[one] for one in pair)) is first, pair
    assert scene.try_with() is None
