"""Schedules, accruals and revenue rows that other projects publish, each with its source; ours equal them to the cent.

Sources, by the letter used below: F is apache/fineract, M maple-labs/fixed-term-loan, X XRPLF/rippled. Where a source
has another rule than the ledger, docs/vectors.md says so; such a figure must not stand here as if it were ours.
"""

import datetime
from decimal import Decimal

import pytest

from protocol.loans.accrual import (
    Accrual,
    AccrualPeriod,
    apply_days,
    calculate_accrual_period_at,
    calculate_interest_accrued,
    calculate_late_interest,
)
from protocol.loans.apr import calculate_annual_ppm
from protocol.loans.calendar import Period, calculate_due_dates
from protocol.loans.revenue import (
    RevenueTerms,
    calculate_revenue_count,
    calculate_revenue_earned,
    calculate_revenue_factor,
    calculate_revenue_schedule,
)
from protocol.loans.schedule import Instalment, ScheduleTerms, calculate_level_payment, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile

MONTH = Period(unit=PeriodUnit.MONTH, every=1)
WEEK = Period(unit=PeriodUnit.WEEK, every=1)


def days(every: int) -> Period:
    return Period(unit=PeriodUnit.DAY, every=every)


def day(text: str) -> int:
    return datetime.date.fromisoformat(text).toordinal()


def units(text: str, digits: int = 2) -> int:
    """A printed amount in minor units."""
    return int(Decimal(text.replace("_", "")).scaleb(digits))


def make_terms(
    principal: str,
    rate_ppm: int,
    day_count: DayCount,
    period: Period,
    due_dates: tuple[int, ...],
    *,
    start: str = "2024-01-01",
    amortisation: Amortisation = Amortisation.LEVEL,
    residual: str = "0",
    digits: int = 2,
) -> ScheduleTerms:
    return ScheduleTerms(
        principal=units(principal, digits),
        rate_ppm=rate_ppm,
        start=day(start),
        due_dates=due_dates,
        day_count=day_count,
        period=period,
        profile=RoundingProfile.A,
        amortisation=amortisation,
        residual=units(residual, digits),
    )


def dates(start: str, period: Period, n: int) -> tuple[int, ...]:
    return calculate_due_dates(day(start), period, n)


def rows_of(terms: ScheduleTerms) -> tuple[Instalment, ...]:
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple), rows
    return rows


LEVEL = {
    "F ProgressiveEMICalculatorTest, every 15 days, 360 days": (
        make_terms("100", 94_822, DayCount.ACT_360, days(15), dates("2024-01-01", days(15), 6)),
        (
            "16.90 0.40 16.50 83.50, 16.90 0.33 16.57 66.93, 16.90 0.26 16.64 50.29, "
            "16.90 0.20 16.70 33.59, 16.90 0.13 16.77 16.82, 16.89 0.07 16.82 0"
        ),
    ),
    "F ProgressiveEMICalculatorTest, one row": (
        make_terms("1000", 70_000, DayCount.THIRTY_360, MONTH, dates("2024-01-01", MONTH, 1)),
        "1005.83 5.83 1000 0",
    ),
    "F ProgressiveEMICalculatorTest, no interest": (
        make_terms("1000", 0, DayCount.ACT_ACT, MONTH, dates("2024-01-01", MONTH, 4)),
        "250 0 250 750, 250 0 250 500, 250 0 250 250, 250 0 250 0",
    ),
    "F LoanScheduleGeneratorTest, what a down payment of a quarter leaves": (
        make_terms("75", 99_900, DayCount.THIRTY_360, MONTH, dates("2024-01-01", MONTH, 6)),
        (
            "12.87 0.62 12.25 62.75, 12.87 0.52 12.35 50.40, 12.87 0.42 12.45 37.95, "
            "12.87 0.32 12.55 25.40, 12.87 0.21 12.66 12.74, 12.85 0.11 12.74 0"
        ),
    ),
    "F LoanMonthEndDueDateStrategy UC3, due days moved to the 1st": (
        make_terms(
            "10000",
            120_000,
            DayCount.THIRTY_360,
            MONTH,
            (day("2025-03-01"), day("2025-03-31"), day("2025-05-01")),
            start="2025-01-31",
        ),
        "3400.22 100 3300.22 6699.78, 3400.22 67 3333.22 3366.56, 3400.23 33.67 3366.56 0",
    ),
    "F LoanMonthEndDueDateStrategy UC3, due days kept in the month": (
        make_terms("10000", 120_000, DayCount.THIRTY_360, MONTH, dates("2025-01-31", MONTH, 3), start="2025-01-31"),
        "3400.22 100 3300.22 6699.78, 3400.22 67 3333.22 3366.56, 3400.23 33.67 3366.56 0",
    ),
    "F ClientLoanIntegrationTest, weekly": (
        make_terms("10000", 240_000, DayCount.SEVEN_364, WEEK, dates("2024-01-01", WEEK, 4)),
        (
            "2528.91 46.15 2482.76 7517.24, 2528.91 34.69 2494.22 5023.02, "
            "2528.91 23.18 2505.73 2517.29, 2528.91 11.62 2517.29 0"
        ),
    ),
    "F ProgressiveEMICalculatorTest, the rest of a loan at a new rate": (
        make_terms("83.57", 40_000, DayCount.THIRTY_360, MONTH, dates("2024-02-01", MONTH, 5), start="2024-02-01"),
        (
            "16.88 0.28 16.60 66.97, 16.88 0.22 16.66 50.31, 16.88 0.17 16.71 33.60, "
            "16.88 0.11 16.77 16.83, 16.89 0.06 16.83 0"
        ),
    ),
    "F ProgressiveEMICalculatorTest, the rest of a loan after a second draw": (
        make_terms("167.19", 94_822, DayCount.THIRTY_360, MONTH, dates("2024-03-01", MONTH, 4), start="2024-03-01"),
        "42.63 1.32 41.31 125.88, 42.63 0.99 41.64 84.24, 42.63 0.67 41.96 42.28, 42.61 0.33 42.28 0",
    ),
}


@pytest.mark.parametrize("name", LEVEL)
def test_level_schedules(name: str) -> None:
    """Due, interest, principal and balance of every row."""
    terms, expected = LEVEL[name]
    found = [(row.total_due, row.interest_due, row.principal_due, row.balance_after) for row in rows_of(terms)]
    assert found == [tuple(units(cell) for cell in row.split()) for row in expected.split(", ")]


def test_twelve_rows_have_the_published_payment() -> None:
    """F ProgressiveEMICalculatorTest, performance case: 100 at 7 % over a year is 8.65 a month."""
    rows = rows_of(make_terms("100", 70_000, DayCount.THIRTY_360, MONTH, dates("2024-01-01", MONTH, 12)))
    assert {row.total_due for row in rows[:-1]} == {865}


def test_fixed_parts_of_principal_and_the_rest_last() -> None:
    """F LoanFixedPrincipalPercentageAmortizationTest: twelve parts of 5 %, then 40 %, interest by the day."""
    terms = make_terms(
        "100000",
        240_000,
        DayCount.ACT_365F,
        MONTH,
        dates("2011-09-20", MONTH, 13),
        start="2011-09-20",
        amortisation=Amortisation.EQUAL_PRINCIPAL,
        residual="35000",
    )
    rows = rows_of(terms)
    for index, principal, interest in (
        (1, "5000", "1972.60"),
        (2, "5000", "1936.44"),
        (3, "5000", "1775.34"),
        (12, "5000", "917.26"),
        (13, "40000", "789.04"),
    ):
        row = rows[index - 1]
        assert (row.principal_due, row.interest_due) == (units(principal), units(interest)), index


SIX_DECIMALS = {
    "M Payments.t.sol closing case 1": (
        30,
        130_000,
        "800000",
        "43138.893875",
        "32453.962368 32800.730733 33151.204295",
    ),
    "M Payments.t.sol closing case 2": (15, 130_000, "0", "169796.942404", "164454.476651 165333.069060"),
    "M Payments.t.sol fully amortised case 2": (
        15,
        150_000,
        "0",
        "170280.971987",
        "164116.588425 165128.266025 166146.179994 167170.368775 168200.871048 169237.725733",
    ),
    "M Payments.t.sol partially amortised case 1": (
        30,
        100_000,
        "800000",
        "40874.120631",
        "32654.942548 32923.339337 33193.942126 33466.769047 33741.838382 834019.168560",
    ),
    "M Payments.t.sol interest only case 1": (30, 100_000, "1000000", "8219.178082", "0 0 0 0 0 1000000"),
    "M Payments.t.sol interest only case 2": (15, 150_000, "1000000", "6164.383562", "0 0 0 0 0 1000000"),
}


@pytest.mark.parametrize("name", SIX_DECIMALS)
def test_schedules_at_six_decimals(name: str) -> None:
    """The payment is equal; parts of principal differ by the rounding of rows alone, as docs/vectors.md says of M01."""
    every, rate_ppm, residual, payment, parts = SIX_DECIMALS[name]
    terms = make_terms(
        "1000000",
        rate_ppm,
        DayCount.ACT_365F,
        days(every),
        dates("2024-01-01", days(every), 6),
        residual=residual,
        digits=6,
    )
    rows = rows_of(terms)
    assert rows[0].total_due == units(payment, 6)
    for row, part in zip(rows, parts.split(), strict=False):
        assert abs(row.principal_due - units(part, 6)) <= 3, row.index


@pytest.mark.parametrize(
    ("principal", "late_days", "rate_ppm", "expected"),
    [("785638.095288", 1, 180_000, "387.437964"), ("1000000", 2, 150_000, "821.917808")],
)
def test_late_interest(principal: str, late_days: int, rate_ppm: int, expected: str) -> None:
    """M Payments.t.sol: simple late interest by whole days, rounded down; the base is the source's, all principal."""
    assert calculate_late_interest(units(principal, 6) * late_days, rate_ppm) == units(expected, 6)


def test_factor_of_a_level_payment() -> None:
    """X LendingHelpers_test, computePaymentFactor: 5 % over three and over one payment; no interest over four."""
    for rate, n, expected in (((5, 100), 3, "0.3672085646312450436"), ((5, 100), 1, "1.05"), ((0, 1), 4, "0.25")):
        numerator, denominator = calculate_level_payment(1, 0, [rate] * n)
        assert abs(Decimal(numerator) / denominator - Decimal(expected)) < Decimal("1e-18")


def test_interest_inside_a_period() -> None:
    """X LendingHelpers_test, loanAccruedInterest: 5 % of 1,000 per 30 days, after 1,000 seconds of it."""
    period = AccrualPeriod(start=2_000, end=2_000 + 30 * 24 * 60 * 60, num=1, den=1)
    accrual = apply_days(Accrual(as_of=2_000), units("1000", 20), 3_000)
    found = calculate_interest_accrued(accrual, period, rate_ppm=50_000, profile=RoundingProfile.A)
    assert found == units("0.01929012345679012346", 20)


def accrued(terms: ScheduleTerms, draws: tuple[tuple[str, str], ...], on: int) -> int:
    """Interest of the first row to a day, the draws being (amount, date)."""
    period = calculate_accrual_period_at(terms, terms.start)
    accrual, principal = Accrual(as_of=terms.start), 0
    for amount, drawn_on in draws:
        if day(drawn_on) < on:
            accrual, principal = apply_days(accrual, principal, day(drawn_on)), principal + units(amount)
    accrual = apply_days(accrual, principal, on)
    return calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)


def test_interest_of_every_day_of_a_month() -> None:
    """F ProgressiveEMICalculatorTest, dailyInterest: the running total of 31 days, and with a second draw on day 14."""
    terms = make_terms("1000", 70_000, DayCount.THIRTY_360, MONTH, dates("2024-01-01", MONTH, 1))
    one, two = (("1000", "2024-01-01"),), (("1000", "2024-01-01"), ("1000", "2024-01-15"))
    expected = (
        "0.19 0.38 0.56 0.75 0.94 1.13 1.32 1.51 1.69 1.88 2.07 2.26 2.45 2.63 2.82 3.01 3.20 3.39 3.58 3.76 3.95 "
        "4.14 4.33 4.52 4.70 4.89 5.08 5.27 5.46 5.65 5.83"
    )
    found = [accrued(terms, one, terms.start + elapsed) for elapsed in range(1, 32)]
    assert found == [units(cell) for cell in expected.split()]
    later = "3.01 3.39 3.76 4.14 4.52 4.89 5.27 5.65 6.02 6.40 6.77 7.15 7.53 7.90 8.28 8.66 9.03"
    found = [accrued(terms, two, terms.start + elapsed) for elapsed in range(15, 32)]
    assert found == [units(cell) for cell in later.split()]


def test_interest_on_a_day_of_payoff() -> None:
    """F ProgressiveEMICalculatorTest, payoff: 100 at 7 % has earned 0.26 after 14 of 31 days."""
    terms = make_terms("100", 70_000, DayCount.THIRTY_360, MONTH, dates("2024-01-01", MONTH, 6))
    assert accrued(terms, (("100", "2024-01-01"),), day("2024-01-15")) == 26


def make_revenue(
    net: str, discount: str, volume: str, share: str, volume_days: int, *, digits: int = 2
) -> RevenueTerms:
    return RevenueTerms(
        net=units(net, digits),
        discount=units(discount, digits),
        volume=units(volume, digits),
        share_ppm=units(share, 4),
        volume_days=volume_days,
    )


REVENUE = {
    "F matrix 1, 365 days": (
        make_revenue("9000", "1000", "100000", "18", 365),
        203,
        "1 49.32 8960.16 990.52, 2 49.32 8920.28 981.08, 203 37.36 0 0",
    ),
    "F matrix 1, half the discount": (
        make_revenue("9000", "500", "100000", "18", 360),
        190,
        "1 50 8955.14 494.86, 2 50 8910.26 489.74, 190 50 0 0",
    ),
    "F matrix 1, no discount": (
        make_revenue("10000", "0", "100000", "18", 360),
        200,
        "1 50 9950 0, 2 50 9900 0, 200 50 0 0",
    ),
    "F matrix 1, a smaller last payment": (
        make_revenue("9000", "1000", "100000", "17", 360),
        212,
        "1 47.22 8961.86 990.92, 2 47.22 8923.68 981.88, 211 47.22 36.54 0.04, 212 36.58 0 0",
    ),
    "F matrix 1, one day": (make_revenue("100", "0", "36000", "100", 360), 1, "1 100 0 0"),
    "F matrix 2, a thousand days": (
        make_revenue("90", "10", "10000", "0.36", 360),
        1_000,
        "1 0.10 89.92 9.98, 2 0.10 89.84 9.96, 1000 0.10 0 0",
    ),
    "F matrix 2, a payment of 50.015 is 50.02": (
        make_revenue("10000", "0", "100000", "18.0054", 360),
        200,
        "1 50.02 9949.98 0, 2 50.02 9899.96 0, 199 50.02 46.02 0, 200 46.02 0 0",
    ),
    "F matrix 2, half the share": (
        make_revenue("9000", "1000", "100000", "9", 360),
        400,
        "1 25 8979.82 995.18, 2 25 8959.62 990.38, 400 25 0 0",
    ),
}


@pytest.mark.parametrize("name", REVENUE)
def test_revenue_rows(name: str) -> None:
    """F WorkingCapitalAmortizationScheduleMatrixPt1 and Pt2: payment, balance and unearned discount of named rows."""
    terms, count, expected = REVENUE[name]
    rows = calculate_revenue_schedule(terms)
    assert len(rows) == calculate_revenue_count(terms) == count
    for line in expected.split(", "):
        index, *cells = line.split()
        row = rows[int(index) - 1]
        assert [row.payment, row.balance, row.unearned] == [units(cell) for cell in cells], index


@pytest.mark.parametrize(
    ("terms", "digits", "payments", "expected"),
    [
        (make_revenue("9000", "1000", "100000", "18", 360), 2, "50 50", "9.61 9.57"),
        (make_revenue("9000", "1000", "100000", "18", 360), 2, "25", "4.81"),
        (make_revenue("9000", "1000", "100000", "18", 360), 2, "10000", "1000"),
        (make_revenue("9000", "1000", "100000", "17", 365, digits=3), 3, "9907.994 46 46", "999.855 0.090 0.055"),
    ],
)
def test_what_revenue_payments_earn(terms: RevenueTerms, digits: int, payments: str, expected: str) -> None:
    """F matrix 1 and 2: each payment earns the difference of two running totals, also in a currency of three digits."""
    factor, paid, earned, found = calculate_revenue_factor(terms), 0, 0, []
    for payment in payments.split():
        paid += units(payment, digits)
        before, earned = earned, calculate_revenue_earned(terms, factor, paid)
        found.append(earned - before)
    assert found == [units(cell, digits) for cell in expected.split()]


def test_annual_rate_of_a_revenue_loan_over_360_days() -> None:
    """F matrix 2 compounds over the days of the volume: 46.8451 %. The ledger states the rate of 365 days."""
    factor = calculate_revenue_factor(make_revenue("9000", "1000", "100000", "18", 360))
    assert calculate_annual_ppm(factor, 360) == 468_451
    assert calculate_annual_ppm(factor, 365) == 476_308
