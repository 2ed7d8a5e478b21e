"""Automatic payment: what is due leaves the borrower's cash on the due day, never more, and never what is not there."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, OFFERS
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import DayCount, ExcessRule, PeriodUnit
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from protocol.transactions.servicing import AutopaySet
from tests.protocol.ledger.changes import bring, lawful_do, pay, payoff, refusal, transfer
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import lend, lend_and_default
from tests.protocol.ledger.world import DAY_MS, change

R = Rejection


def order(world: Goods, loan: ObjectId, *, on: bool = True) -> None:
    """Ann allows or stops it."""
    lawful_do(world, "ann", AutopaySet(loan=loan, on=on))


def lend_paid(world: Goods, **terms: Any) -> ObjectId:
    """A loan whose instalments the ledger takes."""
    loan = lend(world, **terms)
    order(world, loan)
    return loan


def payments(world: Goods) -> list[int]:
    """What payments took, in order."""
    return [one.data["taken"] for one in world.events if one.kind == "paid"]


def test_it_pays_what_is_due_on_its_day_and_no_day_earlier() -> None:
    """Twelve rows on twelve days, to the unit, without a late charge; the last one ends the loan."""
    with lawful() as world:
        loan = lend_paid(world)
        world.mint("ann", 100_000)
        rows = world.loan(loan).rows
        for row in rows:
            paid = len(payments(world))
            world.pass_days(6)
            assert len(payments(world)) == paid
            world.pass_days(1)
            assert payments(world)[paid:] == [row.principal_due + row.interest_due]
            assert find_violations(world.ledger) == {}
        assert world.loan(loan).state is LoanState.REPAID
        assert (world.loan(loan).days_past_due_max, world.loan(loan).paid[3]) == (0, 0)


def test_it_can_be_ordered_with_the_acceptance() -> None:
    """The borrower need not sign twice."""
    with lawful() as world:
        offer = world.ask("ann", world.products["harbour"])
        assert offer is not None
        terms_hash = world.ledger.books.state.need(OFFERS, offer).terms_hash
        world.must("ann", Accept(offer=offer, terms_hash=terms_hash, autopay=True))
        loan = world.made("loan", "ann")
        world.pass_days(7)
        assert world.loan(loan).rows[0].unpaid == 0


def test_it_never_overdraws_and_comes_back_when_there_is_cash() -> None:
    """On the due day 1,000 are there and go; the day after, late, the rest is taken with its charges."""
    with lawful() as world:
        loan = lend_paid(world)
        spare = world.cash("ann")
        lawful_do(world, "ann", _give(world, spare - 1_000))
        world.pass_days(7)
        assert (payments(world), world.cash("ann")) == ([1_000], 0)
        world.mint("ann", 60_000)
        world.pass_days(1)
        assert world.loan(loan).rows[0].unpaid == 0
        assert (world.loan(loan).bucket, world.loan(loan).days_past_due_max) == (DelinquencyBucket.CURRENT, 1)
        # A late fee, and a day's interest on 49,451 of principal, rounded down.
        assert world.loan(loan).rows[0].penalty_paid == 2_000 + 8


def _give(world: Goods, amount: int) -> Any:
    return transfer(world, "bob", amount)


def test_cash_that_comes_on_a_later_event_day_is_taken_then() -> None:
    """Nothing for eight days; on day 15 the next bucket begins, and everything due is paid at once."""
    with lawful() as world:
        loan = lend_paid(world)
        lawful_do(world, "ann", _give(world, world.cash("ann")))
        world.pass_days(9)
        assert payments(world) == []
        world.mint("ann", 200_000)
        owed = None
        for _ in range(6):
            owed = sum(row.unpaid for row in bring(world, loan).rows if row.due_on <= bring(world, loan).accrual.as_of)
            world.pass_days(1)
            if payments(world):
                break
        assert owed is not None
        assert world.loan(loan).bucket is DelinquencyBucket.CURRENT
        assert all(row.unpaid == 0 for row in world.loan(loan).rows[:2])


def test_it_stops_when_it_is_switched_off() -> None:
    """From then on the borrower pays by hand."""
    with lawful() as world:
        loan = lend_paid(world)
        world.mint("ann", 100_000)
        world.pass_days(7)
        order(world, loan, on=False)
        world.pass_days(7)
        assert len(payments(world)) == 1
        assert bring(world, loan).rows[1].unpaid > 0
        assert world.last("autopay_set").data["on"] is False


def test_who_paid_early_owes_only_the_small_rest_and_it_is_taken() -> None:
    """The shown instalment a day before its day stops its principal's interest, and a day's interest on the rest
    remains: 109 on the day itself, taken without anybody's doing."""
    with lawful() as world:
        loan = lend_paid(world)
        first = world.loan(loan).rows[0]
        world.pass_days(6)
        world.pay("ann", loan, first.principal_due + first.interest_due, ExcessRule.NEXT)
        assert world.loan(loan).rows[0].principal_paid == first.principal_due
        world.pass_days(1)
        assert payments(world)[1:] == [109]
        assert world.loan(loan).rows[0].unpaid == 0
        assert world.loan(loan).days_past_due_max == 0


def test_a_rest_too_small_to_be_late_does_not_keep_the_last_row_open() -> None:
    """Below what the policy calls material no row is late, but an order pays it on its day: the loan ends."""
    with lawful(materiality=Amount(100)) as world:
        loan = lend(world, amount=100_000)
        for index in range(1, 12):
            world.pay_row("ann", loan, index)
        order(world, loan)
        world.pass_days(6)
        today = bring(world, loan)
        pay(world, "ann", loan, payoff(world, loan) - 50)
        assert 0 < world.loan(loan).rows[-1].unpaid <= 100
        world.mint("ann", 100)
        world.pass_days(1)
        assert world.loan(loan).state is LoanState.REPAID
        assert today.days_past_due_max == 0


def test_the_last_unit_of_cash_goes_to_the_older_loan_first() -> None:
    """Two loans due on one day: events of one instant run in the order of their ids, and neither overdraws."""
    with lawful() as world:
        loans = sorted((lend_paid(world, amount=200_000), lend_paid(world, amount=200_000)))
        lawful_do(world, "ann", _give(world, world.cash("ann")))
        due = world.loan(loans[0]).rows[0].unpaid
        world.mint("ann", due + 5)
        world.pass_days(7)
        assert (payments(world), world.cash("ann")) == ([due, 5], 0)


def test_a_frozen_borrower_still_pays() -> None:
    """Freezing never stops a repayment."""
    with lawful() as world:
        loan = lend_paid(world)
        change(world, ACCOUNTS, world.account("ann"), frozen=True)
        world.pass_days(7)
        assert world.loan(loan).rows[0].unpaid == 0
        order(world, loan, on=False)


def test_a_claim_is_not_collected_by_the_order() -> None:
    """After default nothing is due on a day: recoveries come by hand or from what secures the loan."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(1)
        lawful_do(world, "ann", _give(world, world.cash("ann")))
        order(world, loan)
        del loan
    with lawful() as world:
        claim = lend_and_default(world)
        order(world, claim)
        cash = world.cash("ann")
        world.pass_days(30)
        assert world.cash("ann") == cash


def test_only_the_borrower_orders_it_and_only_on_an_open_loan() -> None:
    """Of every two reasons the smaller number is given."""
    with lawful() as world:
        loan = lend(world)
        assert refusal(world, "ann", AutopaySet(loan=ObjectId(bytes(32)), on=True)) is R.LOAN_UNKNOWN
        assert refusal(world, "harbour", AutopaySet(loan=loan, on=True)) is R.LOAN_NOT_YOURS
        world.pass_days(4)
        pay(world, "ann", loan, payoff(world, loan))
        for who in ("ann", "harbour"):
            assert refusal(world, who, AutopaySet(loan=loan, on=True)) is R.LOAN_CLOSED


CALENDARS = st.fixed_dictionaries(
    {
        "period": st.sampled_from(
            (
                (PeriodUnit.MONTH, 1),
                (PeriodUnit.MONTH, 3),
                (PeriodUnit.WEEK, 2),
                (PeriodUnit.DAY, 1),
                (PeriodUnit.DAY, 10),
            )
        ),
        "day_count": st.sampled_from(DayCount),
        "tz_offset_min": st.sampled_from((-720, -300, 0, 345, 480, 840)),
        "instalments": st.integers(1, 12),
        "wait": st.integers(0, 40),
        "hour": st.integers(0, 23),
    }
)


@settings(max_examples=40, deadline=None)
@given(case=CALENDARS)
def test_on_every_calendar_it_pays_each_row_on_its_own_day(case: dict[str, Any]) -> None:
    """Months of any length, any offset, any hour of the block: with cash there no day is ever late."""
    world = Goods()
    world.block(ms=case["wait"] * DAY_MS + case["hour"] * 3_600_000)
    unit, every = case["period"]
    terms = {"period_unit": unit, "period_every": every}
    product = world.publish(
        "harbour",
        **terms,
        day_count=case["day_count"],
        tz_offset_min=case["tz_offset_min"],
        expires_on=world.today + 99,
    )
    wish = {**terms, "instalments": case["instalments"]}
    offer = world.ask("ann", product, amount=100_000, **wish)
    if offer is None:
        return
    assert world.take("ann", offer).rejection is None
    loan = world.made("loan", "ann")
    order(world, loan)
    world.mint("ann", 200_000)
    rows = world.loan(loan).rows
    for row in rows:
        start = world.genesis.calculate_day_start_ms(row.due_on, case["tz_offset_min"])
        world.block(ms=start - 1 - world.now_ms)
        before = len(payments(world))
        world.block(ms=1)
        assert payments(world)[before:] == [row.principal_due + row.interest_due]
    assert world.loan(loan).state is LoanState.REPAID
    assert world.loan(loan).days_past_due_max == 0
    assert find_violations(world.ledger) == {}


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(
        st.one_of(
            st.tuples(st.just("cash"), st.integers(1, 80_000)),
            st.tuples(st.just("days"), st.integers(1, 20)),
            st.tuples(st.just("pay"), st.integers(1, 60_000)),
            st.tuples(st.just("switch"), st.integers(0, 1)),
        ),
        max_size=14,
    )
)
def test_whatever_comes_between_it_takes_no_more_than_is_due(events: list[tuple[str, int]]) -> None:
    """Cash in drops, payments by hand, switched on and off: each automatic payment leaves nothing prepaid."""
    world = Goods()
    loan = lend_paid(world)
    for what, number in events:
        if what == "cash":
            world.mint("ann", number)
        elif what == "days":
            _pass_and_look(world, loan, number)
        elif what == "pay":
            world.pay("ann", loan, number, ExcessRule.NEXT)
        elif world.loan(loan).closed_ms is None:
            world.must("ann", AutopaySet(loan=loan, on=bool(number)))
        assert find_violations(world.ledger) == {}
        assert world.cash("ann") >= 0


def _pass_and_look(world: Goods, loan: ObjectId, days: int) -> None:
    for _ in range(days):
        before = world.loan(loan)
        world.block(ms=DAY_MS)
        after = world.loan(loan)
        for was, row in zip(before.rows, after.rows, strict=True):
            if row.due_on > after.accrual.as_of:
                assert (was.principal_paid, was.interest_paid) == (row.principal_paid, row.interest_paid)


@pytest.mark.parametrize("on", [True, False])
def test_an_order_kept_twice_is_kept_once(on: bool) -> None:
    """Signing it again changes nothing."""
    with lawful() as world:
        loan = lend(world)
        order(world, loan, on=on)
        before = world.loan(loan)
        order(world, loan, on=on)
        assert world.loan(loan) == before
