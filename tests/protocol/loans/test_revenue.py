"""Laws of the revenue share: what a payment earns, what it costs a year, and the rows both of them follow from."""

import datetime
import time
from collections.abc import Sequence
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.loans.apr import DISCOUNT_BITS, AprInterval, calculate_apr_effective_ppm
from protocol.loans.revenue import (
    REVENUE_FACTOR_BYTES,
    REVENUE_ROWS_MAX,
    RevenueRow,
    RevenueTerms,
    calculate_daily_payment,
    calculate_revenue_apr_ppm,
    calculate_revenue_count,
    calculate_revenue_earned,
    calculate_revenue_factor,
    calculate_revenue_schedule,
)
from protocol.money import AMOUNT_MAX

START = datetime.date(2024, 1, 31).toordinal()


def make_terms(net: int, discount: int, payment: int) -> RevenueTerms:
    """Terms whose daily payment is the given one."""
    return RevenueTerms(net=net, discount=discount, volume=payment * 360, share_ppm=1_000_000, volume_days=360)


@st.composite
def draw_terms(draw: st.DrawFn, rows_max: int = 400, net_max: int = 10**9) -> RevenueTerms:
    """Terms that have rows: the payment is drawn so that the rows stay within the limit."""
    net = draw(st.integers(1, net_max))
    discount = draw(st.one_of(st.just(0), st.integers(0, 10), st.integers(0, net)))
    lowest = -(-(net + discount) // rows_max)
    return make_terms(net, discount, draw(st.integers(lowest, max(lowest, net + discount + 5))))


W01 = make_terms(900_000, 100_000, 5_000)


@settings(deadline=None)
@given(terms=draw_terms(), cuts=st.lists(st.integers(0, 2**40), max_size=20))
@example(terms=W01, cuts=[])
@example(terms=make_terms(1, 0, 1), cuts=[])
@example(terms=make_terms(1, 1, 2), cuts=[1])
def test_what_a_payment_earns_is_what_the_rows_say(terms: RevenueTerms, cuts: list[int]) -> None:
    """At every row's end what the rows add up to; between, the share of the row, never more than a unit off it."""
    rows, factor, total = calculate_revenue_schedule(terms), calculate_revenue_factor(terms), terms.net + terms.discount
    assert len(rows) == calculate_revenue_count(terms) > 0
    paid = earned = 0
    for row in rows:
        paid, earned = paid + row.payment, earned + row.earned
        assert calculate_revenue_earned(terms, factor, paid) == earned
        assert row.balance == terms.net + earned - paid
    for cut in cuts:
        paid = cut % (total + 1)
        exact = earned_of_rows(rows, paid)
        assert abs(calculate_revenue_earned(terms, factor, paid) - exact) <= 1


def earned_of_rows(rows: Sequence[RevenueRow], paid: int) -> Fraction:
    """The rounded rows' discount by payment unit, the slow way."""
    earned = Fraction(0)
    for row in rows:
        share = min(paid, row.payment)
        earned, paid = earned + Fraction(row.earned * share, row.payment), paid - share
    return earned


def exact_rate_earned(terms: RevenueTerms, factor: int, paid: int) -> Fraction:
    """The discount earned by the definition, in fractions: each row earns the daily rate on what is still out."""
    rate = Fraction(1 << DISCOUNT_BITS, factor) - 1
    payment, out, earned = calculate_daily_payment(terms), Fraction(terms.net), Fraction(0)
    while paid > 0:
        row = min(payment, paid)
        earned += out * rate * Fraction(row, payment)
        out, paid = out * (1 + rate) - payment, paid - row
    return earned


@pytest.mark.parametrize("paid", [1, 2_500, 5_000, 12_345, 123_400, 128_400, 999_999])
def test_the_discount_is_earned_at_the_daily_rate(paid: int) -> None:
    """The closed form gives what the daily rate earns day by day on what is still out."""
    factor = calculate_revenue_factor(W01)
    assert calculate_revenue_earned(W01, factor, paid) == round(exact_rate_earned(W01, factor, paid))


@settings(deadline=None)
@given(terms=draw_terms(rows_max=REVENUE_ROWS_MAX, net_max=AMOUNT_MAX >> 1), cuts=st.lists(st.integers(0, AMOUNT_MAX)))
@example(terms=make_terms(AMOUNT_MAX - 1, 1, AMOUNT_MAX // 1_000), cuts=[])
def test_the_discount_is_earned_once_and_never_falls(terms: RevenueTerms, cuts: list[int]) -> None:
    """Nothing at nothing, all of it at the end and beyond, and a larger payment never earns less."""
    factor, total = calculate_revenue_factor(terms), terms.net + terms.discount
    assert calculate_revenue_earned(terms, factor, 0) == 0
    assert calculate_revenue_earned(terms, factor, total) == terms.discount
    assert calculate_revenue_earned(terms, factor, total + 1) == terms.discount
    payment = calculate_daily_payment(terms)
    points = sorted({cut % (total + 1) for cut in cuts} | {0, 1, payment, min(total, payment + 1), total - 1, total})
    earned = [calculate_revenue_earned(terms, factor, point) for point in points]
    assert earned == sorted(earned)
    assert 0 <= earned[0] <= earned[-1] <= terms.discount


@settings(deadline=None)
@given(terms=draw_terms(rows_max=REVENUE_ROWS_MAX, net_max=AMOUNT_MAX >> 1))
def test_the_factor_fits_its_bytes(terms: RevenueTerms) -> None:
    """A row of the store holds every factor, and one that is whole only where there is no discount."""
    factor = calculate_revenue_factor(terms)
    assert int.from_bytes(factor.to_bytes(REVENUE_FACTOR_BYTES)) == factor
    assert (factor == 1 << DISCOUNT_BITS) is (terms.discount == 0)


def test_terms_without_rows() -> None:
    """No daily payment, or more rows than the limit: no factor and no rows. At the limit there are both."""
    for terms in (make_terms(REVENUE_ROWS_MAX, 1, 1), make_terms(5, 5, 0), make_terms(0, 5, 1)):
        assert calculate_revenue_count(terms) == calculate_revenue_factor(terms) == 0
        assert calculate_revenue_schedule(terms) == ()
    assert len(calculate_revenue_schedule(make_terms(REVENUE_ROWS_MAX - 1, 1, 1))) == REVENUE_ROWS_MAX


@settings(deadline=None)
@given(terms=draw_terms())
@example(terms=W01)
def test_the_annual_rate_is_that_of_the_payments(terms: RevenueTerms) -> None:
    """By days, the rate equals the general solution for the same payments to the ppm."""
    rows = calculate_revenue_schedule(terms)
    payments = [(START + row.index, row.payment) for row in rows]
    expected = calculate_apr_effective_ppm([(START, terms.net)], payments, interval=AprInterval.DAYS)
    found = calculate_revenue_apr_ppm(calculate_revenue_factor(terms))
    assert (found is None) is (expected is None)
    if found is not None and expected is not None:
        assert abs(found - expected) <= 1


def test_months_as_twelfths_hardly_change_the_annual_rate() -> None:
    """Counting the payments that fall on whole months as twelfths moves the rate by less than a thousandth of it."""
    payments = [(START + row.index, row.payment) for row in calculate_revenue_schedule(W01)]
    by_months = calculate_apr_effective_ppm([(START, W01.net)], payments)
    by_days = calculate_revenue_apr_ppm(calculate_revenue_factor(W01))
    assert by_months is not None
    assert by_days is not None
    assert abs(by_months - by_days) * 1_000 < by_days


def test_without_a_discount_the_rate_is_zero() -> None:
    """A free advance costs nothing a year and earns nothing."""
    terms = make_terms(1_000, 0, 7)
    assert calculate_revenue_apr_ppm(calculate_revenue_factor(terms)) == 0
    assert {row.earned for row in calculate_revenue_schedule(terms)} == {0}


@pytest.mark.parametrize(("name", "seconds_max"), [("factor", 0.003), ("earned", 0.00015)])
def test_questions_about_three_years_of_days_are_quick(name: str, seconds_max: float) -> None:
    """Solving takes a millisecond, a payment's discount a few microseconds; three times that for slow machines."""
    terms = make_terms(90_000_000_000, 10_000_000_000, 91_300_000)
    assert calculate_revenue_count(terms) == REVENUE_ROWS_MAX
    factor = calculate_revenue_factor(terms)

    def run() -> float:
        begun = time.process_time()
        calculate_revenue_factor(terms) if name == "factor" else calculate_revenue_earned(terms, factor, 10**9 + 1)
        return time.process_time() - begun

    assert min(run() for _ in range(15)) < seconds_max


@settings(deadline=None)
@given(
    net=st.integers(1, 10**8),
    discount=st.integers(0, 10**7),
    volume=st.integers(1, 10**10),
    share_ppm=st.integers(1, 10**6),
)
def test_revenue_rows_pay_net_and_discount_back(net: int, discount: int, volume: int, share_ppm: int) -> None:
    """Payments sum to net and discount, the discount is earned once and whole, all of it by the last row."""
    terms = RevenueTerms(net=net, discount=discount, volume=volume, share_ppm=share_ppm, volume_days=360)
    rows = calculate_revenue_schedule(terms)
    if not rows:
        return
    assert sum(row.payment for row in rows) == net + discount
    assert sum(row.earned for row in rows) == discount
    assert (rows[-1].balance, rows[-1].unearned) == (0, 0)
    assert all(row.earned >= 0 for row in rows)
