"""Corrections, disputes, amendments and sales name their first reason: each alone, of every two the smaller number."""

from functools import cache
from itertools import combinations

import pytest

from protocol.rejections import Rejection
from tests.protocol.ledger.precedence import Fault, Scene, find_standing_faults
from tests.protocol.ledger.precedence_changes import CHANGES


@cache
def build(name: str) -> Scene:
    """The scene of a name, made once: nothing that is tried on it stays."""
    return CHANGES[name].build()


def list_faults(name: str) -> dict[Rejection, Fault]:
    """The signer's and the payload's own."""
    return {**find_standing_faults(type(build(name).payload)), **CHANGES[name].faults}


@pytest.mark.parametrize("name", CHANGES)
def test_each_fault_is_named(name: str) -> None:
    """And without a fault there is no reason, before and after."""
    scene, faults = build(name), list_faults(name)
    assert scene.try_with() is None
    assert {code: scene.try_with(fault) for code, fault in faults.items()} == {code: code for code in faults}
    assert scene.try_with() is None


@pytest.mark.parametrize("name", CHANGES)
def test_of_two_reasons_the_smaller_number_is_given(name: str) -> None:
    """Every pair of faults, in both orders of coming about, but where one leaves nothing for the other."""
    scene, faults, moot = build(name), list_faults(name), CHANGES[name].moot
    wrong = []
    for first, second in combinations(sorted(faults), 2):
        wanted = second if first in moot.get(second, ()) else first
        for pair in ((first, second), (second, first)):
            found = scene.try_with(*(faults[one] for one in pair))
            if found is not wanted:
                wrong.append((first.code, second.code, found and found.code))
    assert wrong == []
