"""The fee for paying early: of principal paid before its day, never more than the interest that saves."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import BALANCES, LOANS, POOLS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation, ExcessRule, WaterfallOrder
from protocol.money import PPM, Amount, Ppm
from protocol.transactions.lending import Purchase
from protocol.transactions.products import MerchantKind
from protocol.transactions.servicing import Pay, PaymentSource
from tests.protocol.ledger.changes import bring, pay, payoff
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import lend
from tests.protocol.ledger.world import DAY_MS

FEE = Ppm(10_000)


def interest_ahead(world: Goods, loan: ObjectId) -> int:
    """Interest of the rows that are not due."""
    today = bring(world, loan)
    return sum(row.interest_due for row in today.rows if row.due_on > today.accrual.as_of)


def test_a_hundredth_of_what_is_paid_early() -> None:
    """On the due day the row itself bears no fee; 20,000 more, which saves more than 200, costs 200, and no more."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=FEE)
        world.pass_days(7)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        assert world.loan(loan).prepaid == (0, 0, 0)
        before = interest_ahead(world, loan)
        pay(world, "ann", loan, 20_000)
        saved = before - interest_ahead(world, loan)
        assert saved > 200
        assert world.loan(loan).prepaid == (20_000, saved, 200)
        # It stands on the next row and falls due with it.
        assert [row.penalty_due for row in world.loan(loan).rows] == [0, 200, *([0] * 10)]


def test_never_more_than_the_interest_saved() -> None:
    """Near the end little interest is left: that is all the fee."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=FEE)
        for index in range(1, 11):
            world.pay_row("ann", loan, index)
        before = interest_ahead(world, loan)
        left = world.loan(loan).principal_out
        assert before < left // 100
        most = payoff(world, loan)
        # The two last rows are paid on a due day: all interest ahead is saved, and all of it is the fee.
        assert most == left + before
        pay(world, "ann", loan, most)
        assert (world.loan(loan).state, world.loan(loan).paid[3]) == (LoanState.REPAID, before)


def test_the_payoff_contains_the_fee_and_closes_the_loan() -> None:
    """Not a unit more is taken, and a unit less leaves it open."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=Ppm(5_000))
        world.pass_days(5)
        most = payoff(world, loan)
        # Five days at 7.2 % a year of 364 days, and half a hundredth; all interest still ahead is more than that.
        assert most == 600_000 + 593 + 3_000
        pay(world, "ann", loan, most - 1)
        assert (world.loan(loan).state, payoff(world, loan)) == (LoanState.ACTIVE, 1)
        world.mint("ann", 1_000)
        cash = world.cash("ann")
        world.pay("ann", loan, 1_000)
        assert (world.loan(loan).state, world.cash("ann")) == (LoanState.REPAID, cash - 1)


def test_whoever_withdraws_pays_no_fee() -> None:
    """Within the cooling-off days principal and interest alone are owed, and the origination fee comes back."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=FEE)
        world.pass_days(3)
        most = payoff(world, loan)
        assert most - 600_000 < 6_000 // 10
        pay(world, "ann", loan, most)
        assert (world.loan(loan).state, world.loan(loan).paid[3]) == (LoanState.WITHDRAWN, 0)


def test_a_merchants_refund_is_nobodys_prepayment() -> None:
    """The goods went back: the borrower did not wish to pay early."""
    with lawful() as world:
        kind = MerchantKind(discount_ppm=Ppm(30_000))
        product = world.publish("harbour", kind=kind, origination_fee_ppm=Ppm(0), prepayment_fee_ppm=FEE)
        offer = world.ask("ann", product, wish=Purchase(merchant=world.account("shop")))
        assert world.take("ann", offer).rejection is None
        loan = world.made("loan", "ann")
        world.pass_days(5)
        world.mint("shop", 100_000)
        payload = Pay(loan=loan, amount=Amount(100_000), excess=ExcessRule.LAST, source=PaymentSource.MERCHANT_REFUND)
        world.must("shop", payload)
        assert world.loan(loan).prepaid == (0, 0, 0)


def test_without_a_fee_nothing_is_counted() -> None:
    """The default leaves every loan as it was."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(5)
        pay(world, "ann", loan, 300_000)
        assert world.loan(loan).prepaid == (0, 0, 0)
        assert all(row.penalty_due == 0 for row in world.loan(loan).rows)


FORMS = st.fixed_dictionaries(
    {
        "waterfall": st.sampled_from(WaterfallOrder),
        "amortisation": st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
        "prepayment_fee_ppm": st.sampled_from((Ppm(1), Ppm(5_000), Ppm(10_000))),
        "grace_days": st.integers(0, 3),
    }
)


@settings(max_examples=60, deadline=None)
@given(
    form=FORMS,
    excess=st.sampled_from((ExcessRule.NEXT, ExcessRule.LAST)),
    days=st.tuples(st.integers(0, 110), st.integers(0, 30)),
    parts=st.lists(st.one_of(st.integers(1, 700_000), st.integers(1, 99)), min_size=2, max_size=3),
)
def test_paying_in_parts_on_a_day_costs_what_paying_once_costs(
    form: dict[str, Any], excess: ExcessRule, days: tuple[int, int], parts: list[int]
) -> None:
    """Rows, balances and pools are equal, also after later days; whoever pays the payoff is done."""
    ends = []
    for amounts in (parts, [sum(parts)]):
        world = Goods()
        loan = lend(world, **form)
        world.mint("ann", 3_000_000, "wealth")
        world.block(ms=days[0] * DAY_MS + 1)
        for amount in amounts:
            world.pay("ann", loan, amount, excess)
        world.block(ms=days[1] * DAY_MS + 1)
        world.pay("ann", loan, 1, excess)
        assert find_violations(world.ledger) == {}
        state = world.ledger.books.state
        after = msgspec.structs.replace(state.need(LOANS, loan), closed_ms=None, due_ms=None, payments=0)
        ends.append((after, list(state.items(BALANCES)), list(state.items(POOLS))))
        if state.need(LOANS, loan).closed_ms is None:
            world.pay("ann", loan, payoff(world, loan))
        assert world.loan(loan).closed_ms is not None
        assert find_violations(world.ledger) == {}
    assert ends[0] == ends[1]


@settings(max_examples=40, deadline=None)
@given(
    form=FORMS,
    life=st.lists(st.tuples(st.integers(0, 20), st.integers(1, 200_000), st.sampled_from(ExcessRule)), max_size=6),
)
def test_all_fees_together_stay_below_rate_and_saving(
    form: dict[str, Any], life: list[tuple[int, int, ExcessRule]]
) -> None:
    """Over any life of payments: at most the rate of all principal paid early, and at most all interest saved."""
    world = Goods()
    loan = lend(world, **form)
    world.mint("ann", 3_000_000, "wealth")
    for days, amount, excess in life:
        world.block(ms=days * DAY_MS)
        world.pay("ann", loan, amount, excess)
        assert find_violations(world.ledger) == {}
        principal, saved, charged = world.loan(loan).prepaid
        assert 0 <= charged <= max(0, min(principal * form["prepayment_fee_ppm"] // PPM, saved))


@pytest.mark.parametrize("excess", ExcessRule)
def test_paying_a_unit_at_a_time_costs_no_less(excess: ExcessRule) -> None:
    """Rounding down each time would make dust free: the fee is counted over the whole life."""
    with lawful() as world:
        loan = lend(world, prepayment_fee_ppm=FEE)
        world.pass_days(7)
        pay(world, "ann", loan, bring(world, loan).rows[0].unpaid)
        world.mint("ann", 400)
        for _ in range(100):
            world.pay("ann", loan, 4, excess)
        principal, saved, charged = world.loan(loan).prepaid
        assert (principal, charged) == (400, min(4, saved))
