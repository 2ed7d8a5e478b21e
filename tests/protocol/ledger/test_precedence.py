"""When several reasons hold at once, the one with the smallest number is given: every pair of every payload."""

from functools import cache
from itertools import combinations

import pytest

from protocol.ledger.execute import RULES
from protocol.rejections import Rejection
from protocol.transactions.accounts import CredentialSet, KeyRecover, KeyRecoverCancel, KeyRotate
from protocol.transactions.assets import AssetRegister, AssetRetire, AssetSeize, AssetSell, AssetTransfer, LeaseEnd
from protocol.transactions.governance import Propose, Vote
from protocol.transactions.lending import Draw, LineClose
from protocol.transactions.servicing import (
    AmendAnswer,
    AmendPropose,
    Assign,
    DisputeAnswer,
    DisputeOpen,
    DisputeResolve,
    LoanAdjust,
    LoanDistress,
    SalesReport,
)
from tests.protocol.ledger.precedence import MONEY, RECORDS, Case, Fault, Scene, find_standing_faults
from tests.protocol.ledger.precedence_evidence import EVIDENCE
from tests.protocol.ledger.precedence_lending import LENDING
from tests.protocol.ledger.precedence_trouble import TROUBLE

CASES: dict[type, Case] = {**MONEY, **RECORDS, **LENDING, **TROUBLE, **EVIDENCE}
ELSEWHERE = (
    # accounts and governance
    CredentialSet,
    KeyRotate,
    KeyRecover,
    KeyRecoverCancel,
    Propose,
    Vote,
    # goods
    AssetRegister,
    AssetTransfer,
    AssetRetire,
    AssetSeize,
    AssetSell,
    LeaseEnd,
    # a loan's life
    Draw,
    LineClose,
    SalesReport,
    LoanAdjust,
    LoanDistress,
    AmendPropose,
    AmendAnswer,
    Assign,
    DisputeOpen,
    DisputeAnswer,
    DisputeResolve,
)
"""Their order is proved beside their own rules."""


@cache
def build(payload: type) -> Scene:
    """The scene of a payload, made once: nothing that is tried on it stays."""
    return CASES[payload].build()


def list_faults(payload: type) -> dict[Rejection, Fault]:
    """The signer's and the payload's own."""
    return {**find_standing_faults(payload), **CASES[payload].faults}


def test_every_payload_has_its_order_proved_somewhere() -> None:
    """A new payload comes with its pairs, here or beside its rules."""
    assert {*CASES, *ELSEWHERE} >= set(RULES)
    assert not {*CASES} & {*ELSEWHERE}


@pytest.mark.parametrize("payload", CASES, ids=lambda one: one.__name__)
def test_without_a_fault_there_is_no_reason(payload: type) -> None:
    """Each scene would pass, before and after faults were tried on it."""
    scene = build(payload)
    assert scene.try_with() is None
    scene.try_with(*list_faults(payload).values())
    assert scene.try_with() is None


@pytest.mark.parametrize(
    ("payload", "code"), [(payload, code) for payload in CASES for code in list_faults(payload)], ids=str
)
def test_each_fault_is_named(payload: type, code: Rejection) -> None:
    """Alone it gives its own reason."""
    assert build(payload).try_with(list_faults(payload)[code]) is code


@pytest.mark.parametrize("payload", CASES, ids=lambda one: one.__name__)
def test_of_two_reasons_the_smaller_number_is_given(payload: type) -> None:
    """Every pair of faults, in both orders of coming about, but where one leaves nothing for the other."""
    faults, moot = list_faults(payload), CASES[payload].moot
    wrong = []
    for first, second in combinations(sorted(faults), 2):
        wanted = second if first in moot.get(second, ()) else first
        for pair in ((first, second), (second, first)):
            found = build(payload).try_with(*(faults[one] for one in pair))
            if found is not wanted:
                wrong.append((first.code, second.code, found and found.code))
    assert wrong == []


def test_a_signer_who_may_not_hears_nothing_of_the_payload() -> None:
    """Frozen before role, role before credential, credential before pause, and all of them before anything else."""
    for payload in CASES:
        faults = list_faults(payload)
        standing = find_standing_faults(payload)
        if standing:
            assert build(payload).try_with(*faults.values()) is min(standing)
