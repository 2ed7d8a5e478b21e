"""The grade of a statement caps what a product grants by itself; providers are admitted by vote like any member."""

from typing import Any

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import BoxKey
from protocol.ledger.providers import is_provider_key
from protocol.ledger.records import Decided
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.state import DATA
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.data import DataAnchor
from protocol.transactions.governance import Freeze, MemberSet
from tests.protocol.ledger.votes import enact
from tests.protocol.ledger.world import World, change, make_signer

LIMITS = (Amount(1_500_000), Amount(900_000), Amount(800_000), Amount(0))


def decide(grade: int, amount: int = 800_000, **terms: Any) -> Decided:
    """What one product answers on a statement of a grade."""
    world = World()
    world.found_lender("harbour", attestations_min=1, **terms)
    assert world.open_account("ann").rejection is None
    application = world.apply("ann", amount=amount)
    for key, row in list(world.ledger.books.state.items(DATA)):
        anchor: DataAnchor = row.anchor
        change(world, DATA, key, anchor=DataAnchor(**{**_fields(anchor), "provenance": grade}))
    (decided,) = world.attest(application, "ann", lenders=("harbour",))
    return decided


def _fields(anchor: DataAnchor) -> dict[str, Any]:
    return {name: getattr(anchor, name) for name in anchor.__struct_fields__}


@pytest.mark.parametrize(
    ("grade", "amount", "granted"),
    [
        (1, 900_001, True),
        (2, 900_000, True),
        (2, 900_001, False),
        (3, 800_000, True),
        (3, 800_001, False),
        (4, 10_000, False),
    ],
)
def test_a_grade_caps_what_is_granted_automatically(grade: int, amount: int, granted: bool) -> None:
    """At the limit an offer, above it a decline that names the limit; a better grade allows more."""
    decided = decide(grade, amount, grade_max=LIMITS)
    assert (decided.offer is not None) == granted
    assert decided.rule is (None if granted else Rejection.CAP_GRADE)


def test_without_limits_every_grade_is_alike() -> None:
    """As products were before."""
    assert decide(4).offer is not None


@pytest.mark.parametrize("limits", [LIMITS[:3], (Amount(1), Amount(2), Amount(0), Amount(0)), LIMITS[:1]])
def test_limits_are_four_and_never_rise_with_a_worse_grade(limits: tuple[Amount, ...]) -> None:
    """Anything else contradicts itself."""
    world = World()
    world.found_lender("harbour", attestations_min=1)
    pool = world.made("pool", "harbour", 0)
    assert world.do("harbour", world.product(pool, grade_max=limits)).rejection is Rejection.PRODUCT_TERMS_INVALID


def admit(name: str, role: Role) -> MemberSet:
    return MemberSet(
        name=name,
        officer_key=make_signer(name).public_key,
        enc_key=BoxKey(calculate_hash("box", name.encode())),
        attester_key=make_signer(f"{name}/attester").public_key,
        roles=int(role),
    )


def test_a_provider_is_one_while_the_validators_say_so() -> None:
    """Both its keys count from its admission on, none once it is frozen or lost the role; no lender's ever does."""
    world = World()
    books = world.ledger.books
    keys = [make_signer(name).public_key for name in ("bank", "bank/attester")]
    assert [is_provider_key(books, key) for key in keys] == [False, False]
    assert enact(world, admit("bank", Role.PROVIDER)) is ProposalState.DONE
    assert [is_provider_key(books, key) for key in keys] == [True, True]
    assert not is_provider_key(books, make_signer("harbour").public_key)
    assert enact(world, Freeze(account=world.account("bank"), frozen=True)) is ProposalState.DONE
    assert [is_provider_key(books, key) for key in keys] == [False, False]
    assert enact(world, Freeze(account=world.account("bank"), frozen=False)) is ProposalState.DONE
    assert enact(world, admit("bank", Role.OBSERVER)) is ProposalState.DONE
    assert [is_provider_key(books, key) for key in keys] == [False, False]
