"""Whatever a pool loses, its lender's cover bears its rate of it first, and the rest binds cover for the policy's days.

No way of losing investors' money spares the lender's own: not forgiving, settling, selling goods or selling loans.
"""

from collections.abc import Iterator

import pytest

from protocol.ids import ObjectId
from protocol.ledger.cover import calculate_losses_since
from protocol.ledger.journal import Book
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetSeize, AssetSell, LeaseEnd, LeaseEndOption
from protocol.transactions.pools import CoverWithdraw
from tests.protocol.ledger.changes import amend, answer, assign, lawful_do, proposal
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, lend_and_default, set_pool


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three pools with cover of a tenth and 100,000 of it."""
    with lawful() as goods:
        for lender in ("harbour", "jade", "plum"):
            set_pool(goods, lender, rate=100_000)
            give_cover(goods, 100_000, lender)
        yield goods


def figures(world: Goods, lender: str = "harbour") -> tuple[int, int, int]:
    """Cover left, the pool's losses in the books, and what of them binds cover."""
    pool = world.pool_id(lender)
    return world.pool(lender).cover, world.book(pool, Book.LOSS), calculate_losses_since(world.ledger.books, pool, 365)


def run_out(world: Goods, loan: ObjectId) -> ObjectId:
    """Let the borrower's days of withdrawal pass."""
    world.pass_days(4)
    assert not world.loan(loan).fee_held
    return loan


def settle(world: Goods, loan: ObjectId, amount: int) -> None:
    """Both sides agree on an amount that ends the loan."""
    lawful_do(world, "harbour", proposal(loan, settle=Amount(amount)))
    lawful_do(world, "ann", answer(world, world.made("amendment", "harbour")))


# ---------------------------------------------------------------------- principal given up


def test_a_running_loan_settled_for_one_unit_costs_cover_what_a_default_would(world: Goods) -> None:
    """The unit is interest: of 600,000 given up cover bears 60,000, and 540,000 bind what is left of it."""
    cash = world.pool("harbour").cash
    loan = run_out(world, lend(world))
    settle(world, loan, 1)
    assert figures(world) == (40_000, 540_000, 540_000)
    assert world.pool("harbour").cash == cash - 600_000 + 3_000 + 60_000 + 1


def test_forgiven_principal_is_borne_by_each_pools_cover(world: Goods) -> None:
    """Of 100,000 forgiven Jade's third is 33,333: cover bears 3,334 of it, rounded up, and 6,667 of Harbour's part."""
    loan = run_out(world, lend(world, partner_ppm=333_333))
    amend(world, proposal(loan, forgiven=Amount(100_000)), partners=("jade",))
    assert figures(world) == (100_000 - 6_667, 60_000, 60_000)
    assert figures(world, "jade") == (100_000 - 3_334, 29_999, 29_999)


def test_what_is_settled_after_default_still_binds_cover(world: Goods) -> None:
    """Cover bore its part at default; a settlement for nothing frees none of what is left."""
    loan = lend_and_default(world)
    assert figures(world) == (40_000, 540_000, 540_000)
    settle(world, loan, 0)
    assert figures(world) == (40_000, 540_000, 540_000)
    assert world.pool("harbour").lost == 0


def test_a_cured_loan_binds_nothing(world: Goods) -> None:
    """An amended claim is principal again: nothing was lost, and cover has its part back."""
    loan = lend_and_default(world)
    amend(world, proposal(loan))
    assert figures(world) == (100_000, 0, 0)


# ---------------------------------------------------------------------- goods below their value


def returned(world: Goods) -> ObjectId:
    """A leased car that is back, at its residual of 300,000."""
    loan = world.lease()
    for index in (1, 2, 3):
        world.pay_row("ann", loan, index)
    world.mint("ann", 10_000)
    lawful_do(
        world, "ann", LeaseEnd(loan=loan, option=LeaseEndOption.RETURN, terms_hash=bytes(32)), cosigners=("harbour",)
    )
    assert world.pool("harbour").assets == 300_000
    return world.leased(loan)


def test_returned_goods_sold_for_one_unit_cost_cover_its_part(world: Goods) -> None:
    """Of 299,999 lost cover bears 30,000, rounded up; until then so much stays bound."""
    thing = returned(world)
    payload = CoverWithdraw(pool=world.pool_id("harbour"), amount=Amount(70_001))
    assert world.do("harbour", payload).rejection is Rejection.COVER_SHORT
    world.mint("bob", 1)
    lawful_do(world, "harbour", AssetSell(asset=thing, price=Amount(1)), cosigners=("bob", "court"))
    assert figures(world) == (70_000, 269_999, 269_999)


def test_seized_goods_cost_cover_nothing_twice(world: Goods) -> None:
    """Cover bore 60,000 of 600,000 when the loan defaulted: that the car brings 1, not 500,000, is its recovery."""
    car = world.register("ann")
    loan = world.secured("ann", car)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    world.must("harbour", AssetSeize(loan=loan, asset=car, value=Amount(500_000)), cosigners=("court",))
    assert figures(world) == (40_000, 40_000, 40_000)
    world.mint("bob", 1)
    lawful_do(world, "harbour", AssetSell(asset=car, price=Amount(1)), cosigners=("bob", "court"))
    assert figures(world) == (40_000, 539_999, 539_999)


# ---------------------------------------------------------------------- loans below their value


def test_a_loan_sold_below_its_face_costs_the_sellers_cover(world: Goods) -> None:
    """600,000 for 100,000: cover bears 50,000 of what is lost."""
    loan = run_out(world, lend(world))
    lawful_do(world, "harbour", assign(world, loan, 100_000), cosigners=("plum",))
    assert figures(world) == (50_000, 450_000, 450_000)
    assert figures(world, "plum") == (100_000, 0, 0)


def test_a_loan_bought_above_its_face_costs_the_buyers_cover(world: Goods) -> None:
    """100,000 for 600,000 is no investment: cover bears 50,000 of the difference."""
    loan = run_out(world, lend(world, amount=100_000))
    lawful_do(world, "harbour", assign(world, loan, 600_000), cosigners=("plum",))
    assert figures(world) == (100_000, 0, 0)
    assert figures(world, "plum") == (50_000, 450_000, 450_000)


def test_a_claim_bought_costs_the_buyers_cover_as_a_default_would(world: Goods) -> None:
    """400,000 for a claim: cover bears 40,000, and what comes back is the pool's 560,000 first, then cover's."""
    loan = lend_and_default(world)
    lawful_do(world, "harbour", assign(world, loan, 400_000), cosigners=("plum",))
    # Harbour's loss came back as far as the price goes; the rest is lost for good and binds on.
    assert figures(world) == (40_000, 140_000, 140_000)
    assert figures(world, "plum") == (60_000, 560_000, 560_000)
    (held,) = world.loan(loan).holdings
    assert (held.lost, held.covered) == (560_000, 40_000)
    world.mint("bob", 600_000)
    assert world.pay("bob", loan, 600_000).rejection is None
    assert figures(world, "plum") == (100_000, 0, 0)
    assert figures(world) == (40_000, 140_000, 140_000)
