"""Who must agree to an amendment besides its two sides: partners to any, guarantors to more than they signed for."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol.ids import ObjectId
from protocol.ledger.state import LOANS
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from tests.protocol.ledger.changes import amend, answer, assign, bring, lawful_do, pay, proposal, refusal
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import lend, lend_and_default

R = Rejection


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders with pools."""
    with lawful() as goods:
        yield goods


def shared(world: Goods) -> ObjectId:
    """Harbour leads with a thousandth; the rest of 600,000 is Jade's."""
    loan = lend(world, partner_ppm=999_000)
    world.pass_days(4)
    return loan


@pytest.mark.parametrize(
    "terms", [{"settle": Amount(1)}, {"forgiven": Amount(1)}, {"rate_ppm": Ppm(0), "instalments": 480}]
)
def test_a_lead_gives_up_no_partners_money_alone(world: Goods, terms: dict[str, Any]) -> None:
    """Whichever side proposes: the partner signs beside the lead."""
    loan = shared(world)
    assert refusal(world, "harbour", proposal(loan, **terms)) is R.COSIGNER_MISSING
    lawful_do(world, "ann", proposal(loan, **terms))
    payload = answer(world, world.made("amendment", "ann"))
    assert refusal(world, "harbour", payload) is R.COSIGNER_MISSING
    assert refusal(world, "harbour", payload, cosigners=("plum",)) is R.COSIGNER_MISSING
    lawful_do(world, "harbour", payload, cosigners=("jade",))


def test_a_claim_of_two_is_settled_by_both(world: Goods) -> None:
    """What was lost at default is given up for good by those who lost it."""
    loan = lend_and_default(world, partner_ppm=333_333)
    terms = proposal(loan, settle=Amount(0))
    assert refusal(world, "harbour", terms) is R.COSIGNER_MISSING
    lawful_do(world, "harbour", terms, cosigners=("jade",))
    lawful_do(world, "ann", answer(world, world.made("amendment", "harbour")))


def test_who_buys_a_share_has_signed_nothing_yet(world: Goods) -> None:
    """A proposal that waits ends with the sale of any share of its loan."""
    loan = shared(world)
    lawful_do(world, "harbour", proposal(loan, settle=Amount(1)), cosigners=("jade",))
    lawful_do(world, "jade", assign(world, loan, 599_000, seller="jade"), cosigners=("plum",))
    assert world.ledger.books.state.need(LOANS, loan).amend_lender is None


def test_guarantors_sign_again_for_more_than_they_signed_for(world: Goods) -> None:
    """Interest made principal lifts it above the 600,000 that Bob stands in for; below that nobody asks him."""
    offer = world.ask("ann", world.publish("harbour", late_rate_ppm=Ppm(0)), guarantors=(world.account("bob"),))
    assert world.take("ann", offer, cosigners=("bob",)).rejection is None
    loan = world.made("loan", "ann")
    world.pass_days(8)
    lawful_do(world, "harbour", proposal(loan))
    payload = answer(world, world.made("amendment", "harbour"))
    assert refusal(world, "ann", payload) is R.GUARANTOR_MISSING
    lawful_do(world, "ann", payload, cosigners=("bob",))
    assert world.loan(loan).principal_out > 600_000
    pay(world, "ann", loan, 100_000)
    world.pass_days(8)
    assert bring(world, loan).principal_out < 600_000
    amend(world, proposal(loan))
    assert world.loan(loan).restructures == 2
