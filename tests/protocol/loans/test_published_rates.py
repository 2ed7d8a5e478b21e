"""Rates and day counts that regulators and other projects publish, each with its source; ours equal them.

EC is the European Commission's examples for the annual percentage rate of charge (aprc-examples-calculation_en.pdf, as
rimas-kudelis/php-apr-calculator states them, six decimals), COM is COM(1996) 79, Annex III, FS is
simontreanor/FSharp.Finance.Personal, CFA is the Consumer Finance Association's figures in the same PHP project, D is
digital-asset/daml-finance.
"""

import datetime
from decimal import Decimal

import pytest

from protocol.loans.apr import (
    AprInterval,
    UnitPeriod,
    calculate_apr_effective_ppm,
    calculate_apr_us_actuarial_ppm,
    calculate_unit_flows,
)
from protocol.loans.calendar import Period, calculate_due_dates, calculate_year_fraction
from protocol.loans.schedule import ScheduleTerms, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile

MONTH = Period(unit=PeriodUnit.MONTH, every=1)
START = datetime.date(2024, 1, 1).toordinal()


def day(text: str) -> int:
    return datetime.date.fromisoformat(text).toordinal()


def cents(text: str) -> int:
    return int(Decimal(text).scaleb(2))


def percent(apr_ppm: int | None, digits: int) -> Decimal:
    """A rate as a source prints it."""
    assert apr_ppm is not None
    return round(Decimal(apr_ppm) / 10_000, digits)


def growing(first: str, growth: str) -> list[str]:
    """Twenty years of twelve payments, each year's by a factor, rounded when paid."""
    amount, payments = Decimal(first), []
    for _ in range(20):
        payments += [str(round(amount, 2))] * 12
        amount *= Decimal(growth)
    return payments


def falling() -> list[str]:
    """Equal principal over 240 months at 6 %, interest to the cent."""
    owed, part, payments = Decimal(200_000), Decimal(200_000) / 240, []
    for _ in range(240):
        payments.append(str(round(part + round(owed * 6 / 1_200, 2), 2)))
        owed -= part
    return payments


def with_last(payments: list[str], extra: str) -> list[str]:
    """The same payments and something more with the last."""
    return [*payments[:-1], str(Decimal(payments[-1]) + Decimal(extra))]


COMMISSION = {
    "EC 1 annuity": (["1432.86"] * 240, "6.434412"),
    "EC 3 a yearly fee by the month": (["1449.53"] * 240, "6.588554"),
    "EC 4 insurance by the month": (["1599.53"] * 240, "7.946625"),
    "EC 5": (["1490.18"] * 240, "6.961575"),
    "EC 6 a fee at the end": (with_last(["1432.86"] * 240, "100"), "6.436359"),
    "EC 7 a residual after 15 years": (with_last(["1199.10"] * 180, "142097.69"), "6.409523"),
    "EC 8 interest only": (with_last(["1166.67"] * 240, "200000"), "7.430479"),
    "EC 8 with savings from month 7": (with_last(["1166.67"] * 6 + ["1398.33"] * 234, "200000"), "8.869280"),
    "EC 9 growing by 3 % a year": (growing("1130.33", "1.03"), "6.406400"),
    "EC 10 falling by 3 % a year": (growing("1778.58", "0.97"), "6.468360"),
    "EC 11 a round payment": (["1500"] * 220 + ["407.70"], "6.452756"),
    "EC 13 equal principal": (falling(), "6.476009"),
}


@pytest.mark.parametrize("name", COMMISSION)
def test_examples_of_the_commission(name: str) -> None:
    """200,000 and a fee of 4,000 on the first day, then monthly payments: the rate to the ppm."""
    amounts, expected = COMMISSION[name]
    due_dates = calculate_due_dates(START, MONTH, len(amounts))
    payments = [(START, 400_000), *zip(due_dates, map(cents, amounts), strict=True)]
    apr_ppm = calculate_apr_effective_ppm([(START, 20_000_000)], payments)
    assert apr_ppm is not None
    assert abs(Decimal(apr_ppm) - Decimal(expected) * 10_000) <= Decimal("0.6")


@pytest.mark.parametrize(
    ("advance", "payments", "expected"),
    [
        ("10000", [("222.44", 60)], "12.7"),
        ("200", [("350", 1)], "82400.5"),
        ("200", [("250", 1)], "1355.2"),
    ],
)
def test_monthly_examples_of_the_lenders(advance: str, payments: list[tuple[str, int]], expected: str) -> None:
    """CFA: whole months are twelfths of a year."""
    amounts = [cents(amount) for amount, count in payments for _ in range(count)]
    flows = list(zip(calculate_due_dates(START, MONTH, len(amounts)), amounts, strict=True))
    assert percent(calculate_apr_effective_ppm([(START, cents(advance))], flows), 1) == Decimal(expected)


@pytest.mark.parametrize(
    ("advance", "payment", "after", "expected"),
    [
        ("100", "101", 365, "1.0"),
        ("100", "100", 1, "0.0"),
        ("500", "510", 5, "324.436"),
        ("1000", "1200", 546, "12.96"),
        ("950", "1200", 546, "16.9"),
    ],
)
def test_single_payments_by_the_day(advance: str, payment: str, after: int, expected: str) -> None:
    """PHP, FS and COM: one payment after so many days of 365."""
    apr_ppm = calculate_apr_effective_ppm(
        [(START, cents(advance))], [(START + after, cents(payment))], interval=AprInterval.DAYS
    )
    assert percent(apr_ppm, -int(Decimal(expected).as_tuple().exponent)) == Decimal(expected)


@pytest.mark.parametrize(
    ("advance", "payment", "after", "expected"),
    [
        ("100", "125", 31, "1286.2"),
        ("250", "319.97", 28, "2400.3"),
        ("350", "447.97", 23, "4935.9"),
        ("150", "191.99", 36, "1123.2"),
        ("100", "127.99", 26, "3103.4"),
        ("280", "358.40", 25, "3584.2"),
        ("400", "511.96", 36, "1122.9"),
        ("250", "319.97", 27, "2716.8"),
        ("150", "191.99", 9, "2238723.9"),
        ("200", "255.98", 27, "2717.4"),
        ("300", "383.97", 16, "27865.8"),
        ("364.54", "450", 30, "1199.0"),
        ("250", "319.98", 16, "27875.8"),
    ],
)
def test_a_year_of_365_days_where_the_source_has_a_quarter_more(
    advance: str, payment: str, after: int, expected: str
) -> None:
    """PHP counts days of 365.25, which Directive 2008/48/EC no longer names; ours differs by that alone."""
    growth = Decimal(payment) / Decimal(advance)
    assert round((growth ** (Decimal("365.25") / after) - 1) * 100, 1) == Decimal(expected)
    apr_ppm = calculate_apr_effective_ppm(
        [(START, cents(advance))], [(START + after, cents(payment))], interval=AprInterval.DAYS
    )
    assert apr_ppm == round((growth ** (Decimal(365) / after) - 1) * 1_000_000)
    assert percent(apr_ppm, 1) < Decimal(expected)


def test_two_payments_after_one_and_two_years() -> None:
    """COM, third example: 600 and 600 for 1,000 is 13.07 %."""
    payments = [(day("1995-01-01"), 60_000), (day("1996-01-01"), 60_000)]
    assert percent(calculate_apr_effective_ppm([(day("1994-01-01"), 100_000)], payments), 2) == Decimal("13.07")


def test_the_rate_that_depends_on_how_time_is_counted() -> None:
    """FS counts 270 and 270 for 500 after one and two months by days: 84.63 %. By months it is 85.59 %."""
    lent, payments = [(day("2012-10-10"), 50_000)], [(day("2012-11-10"), 27_000), (day("2012-12-10"), 27_000)]
    assert percent(calculate_apr_effective_ppm(lent, payments, interval=AprInterval.DAYS), 2) == Decimal("84.63")
    assert percent(calculate_apr_effective_ppm(lent, payments), 2) == Decimal("85.59")


SHORT_LOANS = {
    "FS EU, first payment on day 32, 4 payments": (
        "317.26",
        2_912_700,
        "2025-04-01",
        "2025-05-03",
        4,
        "134.23 134.23 134.23 134.21",
        "1246.3",
    ),
    "FS settlement 001, 0.8 % a day": (
        "250",
        2_920_000,
        "2023-11-28",
        "2023-12-22",
        4,
        "100.53 100.53 100.53 100.48",
        "1293.1",
    ),
}


@pytest.mark.parametrize("name", SHORT_LOANS)
def test_short_loans_with_a_last_payment_never_higher(name: str) -> None:
    """Profile B: the payments, and the effective rate of them."""
    principal, rate_ppm, start, first_due, n, expected, apr = SHORT_LOANS[name]
    rows = calculate_schedule(
        ScheduleTerms(
            principal=cents(principal),
            rate_ppm=rate_ppm,
            start=day(start),
            due_dates=calculate_due_dates(day(start), MONTH, n, first_due=day(first_due)),
            day_count=DayCount.ACT_365F,
            period=MONTH,
            profile=RoundingProfile.B,
            amortisation=Amortisation.LEVEL,
        )
    )
    assert isinstance(rows, tuple)
    assert [row.total_due for row in rows] == [cents(cell) for cell in expected.split()]
    payments = [(row.due_on, row.total_due) for row in rows]
    assert percent(calculate_apr_effective_ppm([(day(start), cents(principal))], payments), 1) == Decimal(apr)


def months(every: int) -> UnitPeriod:
    return UnitPeriod(unit=PeriodUnit.MONTH, every=every)


def weeks(every: int) -> UnitPeriod:
    return UnitPeriod(unit=PeriodUnit.WEEK, every=every)


DAY_UNIT = UnitPeriod(unit=PeriodUnit.DAY, every=1)


@pytest.mark.parametrize(
    ("unit", "advanced", "first", "amounts", "expected"),
    [
        (months(3), "1978-06-23", "1978-10-01", ("10000", "385", 40), "9.15"),
        (months(3), "1978-07-23", "1978-10-01", ("10000", "385", 40), "9.32"),
        (DAY_UNIT, "2023-10-26", "2023-11-30", ("1000", "220", 5), "94.15"),
        (weeks(1), "2023-10-28", "2023-11-30", ("1000", "250", 5), "176.52"),
        (weeks(1), "2023-11-23", "2023-11-30", ("1000", "250", 5), "412.40"),
        (weeks(1), "2023-11-24", "2023-11-30", ("1000", "250", 5), "434.30"),
        (months(12), "2023-10-26", "2023-11-30", ("1000", "500", 5), "78.34"),
    ],
)
def test_us_rates_of_odd_first_periods(
    unit: UnitPeriod, advanced: str, first: str, amounts: tuple[str, str, int], expected: str
) -> None:
    """FS AprUsActuarialTests, the examples beside those of the regulation."""
    advance, payment, count = amounts
    period = Period(unit=unit.unit, every=unit.every)
    due_dates = [day(first), *calculate_due_dates(day(first), period, count - 1)]
    flows = calculate_unit_flows(unit, day(advanced), [(due, cents(payment)) for due in due_dates])
    advances = calculate_unit_flows(unit, day(advanced), [(day(advanced), cents(advance))])
    assert percent(calculate_apr_us_actuarial_ppm(advances, flows, unit), 2) == Decimal(expected)


@pytest.mark.parametrize(
    ("day_count", "start", "end", "expected"),
    [
        (DayCount.ACT_ACT, "2003-11-01", "2004-05-01", "0.4977243806"),
        (DayCount.ACT_ACT, "1999-02-01", "1999-07-01", "0.4109589041"),
        (DayCount.ACT_ACT, "1999-07-01", "2000-07-01", "1.0013773486"),
        (DayCount.ACT_ACT, "2002-08-15", "2003-07-15", "0.9150684931"),
        (DayCount.ACT_ACT, "2003-07-15", "2004-01-15", "0.5040047908"),
        (DayCount.ACT_ACT, "1999-07-30", "2000-01-30", "0.5038925069"),
        (DayCount.ACT_ACT, "2000-01-30", "2000-06-30", "0.4153005464"),
        (DayCount.ACT_ACT, "1999-11-30", "2000-04-30", "0.4155400854"),
        (DayCount.THIRTY_360, "2022-02-23", "2023-02-23", "1"),
        (DayCount.THIRTY_360, "2022-02-23", "2026-02-23", "4"),
        (DayCount.THIRTY_360, "2022-04-30", "2022-07-30", "0.25"),
        (DayCount.THIRTY_360, "2022-08-30", "2023-02-28", "0.4944444444"),
        (DayCount.THIRTY_360, "2019-08-31", "2020-02-28", "0.4944444444"),
        (DayCount.THIRTY_360, "2020-02-28", "2020-08-30", "0.5055555556"),
        (DayCount.THIRTY_360, "2020-02-28", "2020-08-31", "0.5083333333"),
        (DayCount.THIRTY_360, "2019-08-31", "2020-02-29", "0.4972222222"),
        (DayCount.THIRTY_360, "2020-02-29", "2020-08-30", "0.5027777778"),
        (DayCount.THIRTY_360, "2020-02-29", "2020-08-31", "0.5055555556"),
    ],
)
def test_day_counts(day_count: DayCount, start: str, end: str, expected: str) -> None:
    """D DayCount.daml: year fractions to ten digits, of which its sums of rounded years may miss the last."""
    num, den = calculate_year_fraction(day_count, day(start), day(end))
    assert abs(Decimal(num) / den - Decimal(expected)) < Decimal("1e-10")
