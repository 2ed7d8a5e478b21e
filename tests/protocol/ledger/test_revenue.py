"""Advances that a share of sales repays: vector W01 and its payments on the ledger, breaches, and what ends them."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import Day, ObjectId
from protocol.ledger.contracts import Loan, RevenueTold
from protocol.ledger.exposure import calculate_due30
from protocol.ledger.records import Repaid
from protocol.ledger.servicing import calculate_loan_at, calculate_loan_payoff
from protocol.ledger.state import BALANCES, CONTRACTS, DECISIONS, OFFERS, PRODUCTS
from protocol.loans.apr import calculate_apr_us_dated_ppm
from protocol.loans.calendar import Period
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.revenue import (
    REVENUE_FACTOR_BYTES,
    RevenueTerms,
    calculate_revenue_apr_ppm,
    calculate_revenue_factor,
)
from protocol.loans.terms import ExcessRule, PeriodUnit, WaterfallOrder
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from protocol.transactions.products import BandPrice, Partner
from protocol.transactions.servicing import DistressKind, LoanDistress, LoanSettle, SettleOutcome
from tests.protocol.ledger.kinds import DISCOUNT, NET, PAYMENT, VOLUME, Kinds, lawful_kinds
from tests.protocol.ledger.world import DAY_MS, DAY_START, change

R = Rejection
W01 = RevenueTerms(net=NET, discount=DISCOUNT, volume=VOLUME, share_ppm=180_000, volume_days=360)

# ---------------------------------------------------------------------- the offer


def test_the_offer_of_w01() -> None:
    """9,000.00 at 1,000.00 out of 50.00 a day: one row on the last day, the rate of two hundred daily payments."""
    with lawful_kinds() as world:
        offer = world.ask_revenue("ann", world.publish_revenue())
        assert offer is not None
        shown = world.ledger.books.state.need(OFFERS, offer).disclosure
        factor = calculate_revenue_factor(W01)
        assert shown.told == RevenueTold(
            kind=shown.told.kind,  # type: ignore[union-attr]
            discount=Amount(DISCOUNT),
            volume=Amount(VOLUME),
            payment=Amount(PAYMENT),
            factor=factor.to_bytes(REVENUE_FACTOR_BYTES, "big"),
        )
        (row,) = shown.instalments
        assert (row.due_on, row.principal_due, row.interest_due) == (DAY_START + 360, NET, DISCOUNT)
        assert (shown.schedule.rate_ppm, shown.total_cost) == (0, DISCOUNT)
        # (1 + r)^365 - 1 of the daily rate that discounts 200 payments of 50.00 to 9,000.00.
        assert shown.apr_ppm == calculate_revenue_apr_ppm(factor) == 476_308


def test_a_fee_makes_the_rate_of_what_is_really_received() -> None:
    """One percent less comes in, and the same is paid."""
    with lawful_kinds(us_rate=True) as world:
        offer = world.ask_revenue("ann", world.publish_revenue(origination_fee_ppm=Ppm(10_000)))
        assert offer is not None
        shown = world.ledger.books.state.need(OFFERS, offer).disclosure
        terms = msgspec.structs.replace(W01, net=NET - 9_000, discount=DISCOUNT + 9_000)
        assert shown.apr_ppm == calculate_revenue_apr_ppm(calculate_revenue_factor(terms))
        payments = [(DAY_START + 1 + day, PAYMENT) for day in range(200)]
        period = Period(unit=PeriodUnit.DAY, every=1)
        assert shown.apr_us_ppm == calculate_apr_us_dated_ppm([(DAY_START, NET - 9_000)], payments, period)


@pytest.mark.parametrize(("volume", "days"), [(VOLUME // 2, 360), (VOLUME, 199), (1, 360)])
def test_sales_that_do_not_repay_in_time_get_no_offer(volume: int, days: int) -> None:
    """Four hundred days of payments, or two hundred in a day less, or no payment at all."""
    with lawful_kinds() as world:
        product = world.publish_revenue(kind={"term_days_max": days})
        assert world.ask_revenue("ann", product, volume=volume) is None
        application = world.made("application", "ann")
        assert world.ledger.books.state.need(DECISIONS, application + product).rule is R.WISH_UNFIT


def test_an_offer_stands_while_the_payments_still_repay_in_time() -> None:
    """Two days to spare, not the product's five."""
    with lawful_kinds() as world:
        offer = world.ask_revenue("ann", world.publish_revenue(kind={"term_days_max": 202}))
        assert offer is not None
        assert world.ledger.books.state.need(OFFERS, offer).disclosure.expires_on == DAY_START + 2
        world.pass_days(2)
        assert world.sound(world.take("ann", offer)) is None


def test_an_offer_taken_late_costs_the_same() -> None:
    """The discount is earned by payments: the days before take none of it away; the first 30 days begin then."""
    with lawful_kinds() as world:
        offer = world.ask_revenue("ann", world.publish_revenue())
        world.pass_days(3)
        assert world.sound(world.take("ann", offer)) is None
        loan_id = world.made("loan", "ann")
        assert world.loan(loan_id).rows[0].interest_due == DISCOUNT
        assert world.loan(loan_id).rows[0].due_on == DAY_START + 360
        assert world.tally(loan_id).window_start == DAY_START + 3


def test_sales_are_counted_from_the_day_an_agent_paid_out() -> None:
    """Until then there is nothing to count."""
    with lawful_kinds() as world:
        offer = world.ask_revenue("ann", world.publish_revenue())
        assert offer is not None
        terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
        world.must("ann", Accept(offer=offer, terms_hash=terms_hash, agent=world.account("agent")))
        loan_id = world.made("loan", "ann")
        assert world.loan(loan_id).sales is None
        world.pass_days(1)
        settled = LoanSettle(loan=loan_id, outcome=SettleOutcome.DISBURSED, ext_ref=bytes(31) + b"1")  # type: ignore[arg-type]
        assert world.sound(world.do("agent", settled)) is None
        assert world.tally(loan_id).window_start == DAY_START + 1
        world.pass_days(3)
        assert world.report("agent", loan_id) is None


def test_what_a_month_is_expected_to_bring_weighs_on_cash_flow() -> None:
    """31 payments; once in breach, what is missing as well; near the end, all that is left."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        assert calculate_due30(world.ledger.books, world.exposure("ann")) == 31 * PAYMENT
        world.pass_days(30)
        assert calculate_due30(world.ledger.books, world.exposure("ann")) == 31 * PAYMENT + 45_000
        world.settle("ann", loan_id, 900_000)
        assert calculate_due30(world.ledger.books, world.exposure("ann")) == 100_000
    with lawful_kinds(instalment_share_ppm=Ppm(172_222)) as world:
        # 900,000 of cash flow, and 154,999 may be due of it.
        assert world.ask_revenue("ann", world.publish_revenue()) is None


# ---------------------------------------------------------------------- payments


def read_fact(world: Kinds, loan_id: ObjectId, amount: int) -> Repaid:
    """How a payment of Ann's fell."""
    (fact,) = world.settle("ann", loan_id, amount).outcome
    assert isinstance(fact, Repaid)
    return fact


def test_a_payment_earns_the_discount_by_the_unit() -> None:
    """W04: 1,234.00 are 24.68 payments of 50.00 and earn 224.47, on whatever day they come."""
    with lawful_kinds(cooling_off_days=0) as world:
        loan_id = world.advance()
        world.pass_days(1)
        fact = read_fact(world, loan_id, 123_400)
        assert (fact.interest, fact.principal, fact.principal_left) == (22_447, 100_953, NET - 100_953)
        world.pass_days(20)
        # The vector's next row: 50.00 more earn 8.54 of it.
        assert world.loan(loan_id).rows[0].interest_paid == 22_447
        assert calculate_loan_payoff(world.contract(loan_id), world.loan(loan_id)) == 876_600
        fact = read_fact(world, loan_id, 900_000)
        assert (fact.interest, fact.principal, fact.closed) == (DISCOUNT - 22_447, NET - 100_953, True)
        assert world.loan(loan_id).state is LoanState.REPAID


def test_two_hundred_payments_earn_all_of_it() -> None:
    """Each day's fifty: falling interest, nothing left over, nothing late."""
    with lawful_kinds(cooling_off_days=0) as world:
        loan_id = world.advance()
        world.mint("ann", 200 * PAYMENT)
        earned = []
        for _ in range(200):
            world.pass_days(1)
            (fact,) = world.pay("ann", loan_id, PAYMENT).outcome
            assert isinstance(fact, Repaid)
            earned.append(fact.interest)
        loan = world.loan(loan_id)
        assert (loan.state, loan.paid, loan.days_past_due_max) == (LoanState.REPAID, (NET, DISCOUNT, 0, 0), 0)
        assert earned[0] > earned[100] > earned[-1]
        assert world.tally(loan_id).near_breaches == 0


def shared_kinds(**policy: Any) -> tuple[Kinds, ObjectId]:
    """Ann's advance, a third of it Jade's."""
    world = Kinds(**policy)
    partner = Partner(pool=world.pool_id("jade"), share_ppm=Ppm(333_333))
    product = world.publish("harbour", cosigners=("jade",), **revenue_terms(world), partners=(partner,))
    assert world.sound(world.take("ann", world.ask_revenue("ann", product))) is None
    return world, world.made("loan", "ann")


def revenue_terms(world: Kinds) -> dict[str, Any]:
    """What is special in the terms of a published revenue share."""
    terms = world.ledger.books.state.need(PRODUCTS, world.publish_revenue()).terms
    names = ("kind", "period_unit", "amortisation", "instalments_max", "origination_fee_ppm", "bands")
    return {name: getattr(terms, name) for name in names}


@settings(deadline=None, max_examples=12)
@given(
    days=st.sampled_from((0, 2, 40, 95, 200, 361, 400)),
    before=st.integers(0, 300_000),
    parts=st.lists(st.integers(1, 400_000), min_size=2, max_size=4),
    waterfall=st.sampled_from(WaterfallOrder),
)
def test_paying_in_parts_is_paying_once(days: int, before: int, parts: list[int], waterfall: WaterfallOrder) -> None:
    """On any day, while it can be withdrawn, in breach, or after the last day: rows and books are the same."""
    ends = []
    for amounts in (parts, [sum(parts)]):
        world, loan_id = shared_kinds()
        contract = world.contract(loan_id)
        disclosure = msgspec.structs.replace(contract.disclosure, waterfall=waterfall)
        change(world, CONTRACTS, loan_id, disclosure=disclosure)
        world.mint("ann", 2_000_000)
        if before:
            assert world.pay("ann", loan_id, before).rejection is None
        if days:
            world.block(ms=days * DAY_MS)
        for amount in amounts:
            if world.loan(loan_id).closed_ms is None:
                assert world.sound(world.pay("ann", loan_id, amount, ExcessRule.NEXT)) is None
        loan = msgspec.structs.replace(world.loan(loan_id), closed_ms=None, due_ms=None, payments=0)
        ends.append((loan, list(world.ledger.books.state.items(BALANCES))))
    assert ends[0] == ends[1]


def test_withdrawing_costs_nothing_of_the_discount() -> None:
    """What was paid out goes back, in parts or whole, with the fee; nothing was earned."""
    with lawful_kinds() as world:
        loan_id = world.advance(origination_fee_ppm=Ppm(10_000))
        world.settle("ann", loan_id, 400_000)
        assert world.loan(loan_id).paid == (400_000, 0, 0, 0)
        world.pass_days(3)
        fact = read_fact(world, loan_id, 900_000)
        assert (fact.principal, fact.interest, fact.refunded, fact.closed) == (500_000, 0, 9_000, True)
        assert world.loan(loan_id).state is LoanState.WITHDRAWN


def test_what_was_paid_while_it_could_be_withdrawn_earns_afterwards() -> None:
    """The first payment after those days catches up: in the end the unit decides, not the day."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.settle("ann", loan_id, 100_000)
        world.pass_days(4)
        fact = read_fact(world, loan_id, 23_400)
        assert (fact.interest, fact.principal) == (22_447, 953)


def test_paying_all_early_spares_what_policy_says_of_the_rest() -> None:
    """Half of what was not earned, rounded up for the borrower; it was disclosed, so a later policy changes nothing."""
    with lawful_kinds(cooling_off_days=0, revenue_rebate_ppm=Ppm(500_000)) as world:
        loan_id = world.advance()
        world.pass_days(1)
        world.settle("ann", loan_id, 123_400)
        # 1,000.00 - 224.47 = 775.53, of which 387.77 are spared.
        payoff = calculate_loan_payoff(world.contract(loan_id), world.loan(loan_id))
        assert payoff == 876_600 - 38_777
        fact = read_fact(world, loan_id, 876_600)
        assert (fact.principal, fact.interest, fact.closed) == (NET - 100_953, 77_553 - 38_777, True)
        assert world.loan(loan_id).rows[0].unpaid == 0


# ---------------------------------------------------------------------- sales


def test_sales_say_what_should_have_been_paid() -> None:
    """18 % of all sales, to the unit, in however many reports; nothing is late for it."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.pass_days(4)
        assert world.report("harbour", loan_id, gross=5) is None
        assert world.report("ann", loan_id, gross=6, cosigners=("harbour",)) is None
        assert world.tally(loan_id).shared == 1
        assert world.last("sales_reported").data["arrears"] == 1
        world.settle("ann", loan_id, 1)
        assert world.report("harbour", loan_id, gross=0) is None
        event, tally = world.last("sales_reported").data, world.tally(loan_id)
        assert (event["paid"], event["arrears"]) == (1, 0)
        assert (tally.reported_to, tally.gross) == (DAY_START + 3, 11)
        assert world.loan(loan_id).bucket is DelinquencyBucket.CURRENT


def test_reports_come_in_sequence_of_days_that_have_passed() -> None:
    """No gap, no day twice, not today's sales, no empty report; and not from just anybody."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.pass_days(3)
        assert world.report("harbour", loan_id, skip=1) is R.SALES_GAP
        assert world.report("harbour", loan_id, days=3) is R.SALES_DAYS_INVALID
        assert world.report("harbour", loan_id, days=0) is R.SALES_DAYS_INVALID
        assert world.report("jade", loan_id) is R.LOAN_NOT_YOURS
        assert world.report("agent", loan_id) is R.LOAN_NOT_YOURS
        assert world.report("ann", loan_id) is R.COSIGNER_MISSING
        assert world.report("ann", loan_id, cosigners=("jade",)) is R.COSIGNER_MISSING
        assert world.report("harbour", loan_id, days=2) is None
        assert world.report("harbour", loan_id, skip=-1) is R.SALES_GAP
        world.pass_days(1)
        assert world.report("harbour", loan_id, gross=AMOUNT_MAX) is R.AMOUNT_TOO_LARGE


# ---------------------------------------------------------------------- too little


def test_thirty_days_below_the_floor_are_a_breach() -> None:
    """30 % of 1,500.00 by the thirtieth day: a unit less is a breach, from which the days past due count."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.settle("ann", loan_id, 44_999)
        world.pass_days(29)
        assert world.tally(loan_id).breached_on is None
        world.pass_days(1)
        assert world.tally(loan_id).breached_on == DAY_START + 30
        assert world.loan(loan_id).bucket is DelinquencyBucket.CURRENT
        breach = world.last("loan_breached").data
        assert (breach["paid"], breach["least"], breach["breached_on"]) == (44_999, 45_000, DAY_START + 30)
        world.pass_days(1)
        loan = world.loan(loan_id)
        assert (loan.bucket, loan.days_past_due_max) == (DelinquencyBucket.TO_7, 1)
        assert world.last("loan_late").data["days_past_due"] == 1
        world.pass_days(8)
        assert world.loan(loan_id).bucket is DelinquencyBucket.TO_30
        # No late fee and no late interest before the last day.
        assert world.loan(loan_id).rows[0].penalty_due == 0


def test_a_breach_is_over_once_payments_have_caught_up() -> None:
    """30 % of what 35 days were to bring, to the unit; the worst lateness stays on record."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.pass_days(35)
        world.settle("ann", loan_id, 52_499)
        assert world.loan(loan_id).bucket is DelinquencyBucket.TO_7
        world.settle("ann", loan_id, 1)
        loan = world.loan(loan_id)
        assert (world.tally(loan_id).breached_on, loan.bucket) == (None, DelinquencyBucket.CURRENT)
        assert loan.days_past_due_max == 5
        assert [one.kind for one in world.events if one.kind.startswith("loan_")][-2:] == [
            "loan_breach_over",
            "loan_current",
        ]
        # The next window counts for itself: 52,500 came in it, and that is enough.
        world.pass_days(25)
        assert world.tally(loan_id).breached_on is None
        world.pass_days(30)
        assert world.tally(loan_id).breached_on == DAY_START + 90


def test_nearly_too_little_is_told_and_counted() -> None:
    """Between 30 and 80 percent: nothing is late."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.settle("ann", loan_id, 119_999)
        world.pass_days(30)
        tally = world.tally(loan_id)
        assert (tally.near_breaches, tally.breached_on, tally.window_paid) == (1, None, 0)
        assert world.last("loan_near_breach").data["paid"] == 119_999
        world.settle("ann", loan_id, 120_001)
        world.pass_days(30)
        assert world.tally(loan_id).near_breaches == 1


def test_whoever_has_paid_ahead_may_rest() -> None:
    """A window without a payment is no breach while all that was to come to date has come."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.settle("ann", loan_id, 300_000)
        world.pass_days(60)
        assert (world.tally(loan_id).breached_on, world.tally(loan_id).near_breaches) == (None, 0)
        # 300,000 of the 450,000 of ninety days, below 80 % and above 30 %.
        world.pass_days(30)
        assert world.tally(loan_id).near_breaches == 1


def test_the_last_thirty_days_may_end_on_the_last_day() -> None:
    """Day 210 ends the seventh window as well: 900,000 of 1,000,000 are below 95 %."""
    with lawful_kinds() as world:
        loan_id = world.advance(kind={"term_days_max": 210, "warning_ppm": Ppm(950_000)})
        world.settle("ann", loan_id, 890_000)
        world.pass_days(200)
        world.settle("ann", loan_id, 10_000)
        world.pass_days(10)
        assert world.tally(loan_id).near_breaches == 1
        assert world.tally(loan_id).window_start == DAY_START + 210


def test_a_breach_of_next_to_nothing_is_not_late() -> None:
    """Where everything is asked for, what policy calls immaterial is not counted in days."""
    with lawful_kinds() as world:
        loan_id = world.advance(kind={"floor_ppm": Ppm(1_000_000), "warning_ppm": Ppm(1_000_000)})
        world.pass_days(210)
        world.settle("ann", loan_id, 999_899)
        assert world.loan(loan_id).bucket is DelinquencyBucket.TO_180
        world.settle("ann", loan_id, 1)
        assert world.tally(loan_id).breached_on == DAY_START + 30
        assert world.loan(loan_id).bucket is DelinquencyBucket.CURRENT


def test_what_is_left_falls_due_on_the_last_day() -> None:
    """From then on it is late like any row: one late fee, late interest on principal, days past due from there."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.pass_days(4)
        world.settle("ann", loan_id, 990_000)
        world.pass_days(356)
        loan = world.loan(loan_id)
        assert (loan.days_past_due_max, loan.rows[0].penalty_due) == (0, 0)
        world.pass_days(10)
        left = loan.principal_out
        late_interest = left * 60_000 * 10 // (365 * 1_000_000)
        loan = world.loan(loan_id)
        assert (loan.bucket, loan.days_past_due_max) == (DelinquencyBucket.TO_30, 8)
        fact = read_fact(world, loan_id, 20_000)
        assert (fact.principal + fact.interest, fact.penalty) == (10_000, 2_000 + late_interest)
        assert fact.closed


@settings(deadline=None, max_examples=20)
@given(paid=st.integers(0, 300_000), days=st.lists(st.integers(1, 120), min_size=1, max_size=8))
def test_an_advance_brought_to_a_day_in_steps_is_the_one_brought_there_at_once(paid: int, days: list[int]) -> None:
    """Windows, breaches, lateness and late charges depend on the days alone."""
    world = Kinds()
    loan_id = world.advance()
    if paid:
        world.settle("ann", loan_id, paid)
    contract, start = world.contract(loan_id), world.loan(loan_id)
    stepped: Loan = start
    for day in days:
        stepped = calculate_loan_at(contract, stepped, Day(stepped.accrual.as_of + day), 100)
    assert stepped == calculate_loan_at(contract, start, Day(stepped.accrual.as_of), 100)


def test_a_breach_can_become_a_default() -> None:
    """Ninety days after it; the claim is what would have closed it, and principal comes first."""
    with lawful_kinds(cooling_off_days=0) as world:
        loan_id = world.advance()
        world.pass_days(1)
        world.settle("ann", loan_id, 23_400)
        earned = world.loan(loan_id).paid[1]
        default = LoanDistress(loan=loan_id, kind=DistressKind.DEFAULT)
        world.pass_days(118)
        assert world.sound(world.do("jade", default)) is R.TOO_SOON
        world.pass_days(1)
        assert world.sound(world.do("jade", default)) is None
        loan = world.loan(loan_id)
        assert (loan.state, loan.rows[0].unpaid) == (LoanState.DEFAULTED, 1_000_000 - 23_400)
        fact = read_fact(world, loan_id, 2_000_000)
        assert (fact.principal, fact.interest, fact.closed) == (NET - 23_400 + earned, DISCOUNT - earned, True)
        assert world.report("harbour", loan_id) is R.LOAN_CLOSED


def test_principal_comes_first_once_it_was_substandard() -> None:
    """As with any loan: more than ninety days late turn the order, and it stays so."""
    with lawful_kinds() as world:
        loan_id = world.advance()
        world.pass_days(121)
        fact = read_fact(world, loan_id, 500_000)
        assert (fact.principal, fact.interest) == (500_000, 0)
        assert world.tally(loan_id).breached_on is None
        fact = read_fact(world, loan_id, 500_000)
        assert (fact.principal, fact.interest, fact.closed) == (400_000, 100_000, True)


def test_an_advance_without_a_price_is_paid_back_as_it_was_paid_out() -> None:
    """A discount of nothing earns nothing."""
    with lawful_kinds() as world:
        free = (BandPrice(rate_ppm=Ppm(0), amount_max=Amount(2_000_000)),)
        loan_id = world.advance(bands=free)
        assert world.contract(loan_id).disclosure.apr_ppm == 0
        world.pass_days(5)
        assert read_fact(world, loan_id, 500_000).interest == 0
        assert read_fact(world, loan_id, 500_000).closed
