"""Laws of the annual percentage rate, and the worked examples of 12 CFR 1026 (Regulation Z), Appendix J (c)."""

import datetime
import time
from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.apr import (
    AprInterval,
    UnitFlow,
    UnitPeriod,
    calculate_apr_effective_ppm,
    calculate_apr_us_actuarial_ppm,
    calculate_unit_flows,
    calculate_unit_periods,
)
from protocol.loans.calendar import Period, calculate_due_dates, calculate_whole_months
from protocol.loans.terms import PeriodUnit

START = datetime.date(2024, 1, 10).toordinal()
MONTH = Period(unit=PeriodUnit.MONTH, every=1)


def day(text: str) -> int:
    return datetime.date.fromisoformat(text).toordinal()


def series(first: str, period: Period, amounts: list[int]) -> list[tuple[int, int]]:
    """Equally spaced payments from a first date on."""
    start = day(first)
    return list(zip([start, *calculate_due_dates(start, period, len(amounts))], amounts, strict=False))


def semimonths(first: str, count: int, amount: int) -> list[tuple[int, int]]:
    """Payments on the 1st and the 16th."""
    date, flows = datetime.date.fromisoformat(first), []
    for _ in range(count):
        flows.append((date.toordinal(), amount))
        date = date.replace(day=16) if date.day == 1 else (date + datetime.timedelta(20)).replace(day=1)
    return flows


def months(every: int) -> Period:
    return Period(unit=PeriodUnit.MONTH, every=every)


def weeks(every: int) -> Period:
    return Period(unit=PeriodUnit.WEEK, every=every)


EXAMPLES = {
    "(c)(1)(i) monthly": ("1978-01-10", 500_000, series("1978-02-10", MONTH, [23_000] * 24), months(1), "9.69"),
    "(c)(1)(ii) long first": ("1978-02-10", 600_000, series("1978-04-01", MONTH, [20_000] * 36), months(1), "11.82"),
    "(c)(1)(iv) quarterly": (
        "1978-05-23",
        1_000_000,
        series("1978-10-01", months(3), [38_500] * 40),
        months(3),
        "8.97",
    ),
    "(c)(1)(v) weekly": ("1978-03-20", 50_000, series("1978-04-21", weeks(1), [1_760] * 30), weeks(1), "14.96"),
    "(c)(2)(i) odd first payment": (
        "1978-01-10",
        500_000,
        series("1978-02-10", MONTH, [25_000] + [23_000] * 23),
        months(1),
        "10.08",
    ),
    "(c)(2)(ii) every 4 weeks": (
        "1978-03-18",
        40_000,
        series("1978-04-20", weeks(4), [3_950] + [3_831] * 11),
        weeks(4),
        "28.50",
    ),
    "(c)(3)(i) odd final payment": (
        "1978-01-10",
        500_000,
        series("1978-02-10", MONTH, [23_000] * 23 + [28_000]),
        months(1),
        "10.50",
    ),
    "(c)(3)(ii) every 2 weeks": (
        "1978-04-03",
        20_000,
        series("1978-04-11", weeks(2), [950] * 19 + [3_000]),
        weeks(2),
        "12.22",
    ),
    "(c)(4)(i) odd first and final": (
        "1978-01-10",
        500_000,
        series("1978-02-10", MONTH, [25_000] + [23_000] * 22 + [28_000]),
        months(1),
        "10.90",
    ),
    "(c)(4)(ii) every 2 months": (
        "1978-01-10",
        800_000,
        series("1978-03-01", months(2), [44_936] + [46_500] * 18 + [20_000]),
        months(2),
        "7.30",
    ),
    "(c)(5)(i) single payment": (
        "1978-01-03",
        100_000,
        [(day("1978-09-15"), 108_000)],
        Period(unit=PeriodUnit.DAY, every=255),
        "11.45",
    ),
}


def percent(apr_ppm: int | None) -> str:
    assert apr_ppm is not None
    return str(round(Decimal(apr_ppm) / 10_000, 2))


@pytest.mark.parametrize("name", EXAMPLES)
def test_appendix_j_examples_from_their_dates(name: str) -> None:
    """Each worked example, dates in and the stated rate out, to the hundredth of a per cent."""
    advanced, amount, payments, period, expected = EXAMPLES[name]
    unit = UnitPeriod(unit=period.unit, every=period.every)
    flows = calculate_unit_flows(unit, day(advanced), payments)
    advances = calculate_unit_flows(unit, day(advanced), [(day(advanced), amount)])
    assert percent(calculate_apr_us_actuarial_ppm(advances, flows, unit)) == expected


def test_appendix_j_semimonthly_example() -> None:
    """(c)(1)(iii): 24 payments on the 1st and 16th after a short first period."""
    unit = UnitPeriod(unit=PeriodUnit.MONTH, every=1, semimonth=True)
    payments = calculate_unit_flows(unit, day("1978-02-23"), semimonths("1978-03-01", 24, 21_917))
    assert [flow.full for flow in payments] == list(range(24))
    assert {(flow.num, flow.den) for flow in payments} == {(6, 15)}
    advances = [UnitFlow(amount=500_000, full=0)]
    assert percent(calculate_apr_us_actuarial_ppm(advances, payments, unit)) == "10.34"


@pytest.mark.parametrize(
    ("unit", "earlier", "later", "expected"),
    [
        (UnitPeriod(unit=PeriodUnit.MONTH, every=1), "1978-02-10", "1978-04-01", (1, 19, 30)),
        (UnitPeriod(unit=PeriodUnit.MONTH, every=3), "1978-05-23", "1978-10-01", (1, 39, 90)),
        (UnitPeriod(unit=PeriodUnit.MONTH, every=2), "1978-01-10", "1978-03-01", (0, 52, 60)),
        (UnitPeriod(unit=PeriodUnit.WEEK, every=1), "1978-03-20", "1978-04-21", (4, 4, 7)),
        (UnitPeriod(unit=PeriodUnit.WEEK, every=4), "1978-03-18", "1978-04-20", (1, 5, 28)),
        (UnitPeriod(unit=PeriodUnit.MONTH, every=12), "2023-01-15", "2025-04-15", (2, 3, 12)),
        (UnitPeriod(unit=PeriodUnit.MONTH, every=12), "2023-10-26", "2024-11-30", (1, 35, 365)),
        (UnitPeriod(unit=PeriodUnit.DAY, every=1), "2023-10-26", "2023-11-30", (35, 0, 1)),
    ],
)
def test_unit_periods_between_dates(unit: UnitPeriod, earlier: str, later: str, expected: tuple[int, int, int]) -> None:
    """Appendix J (b)(5): whole months are measured back from the later date, the rest in days."""
    assert calculate_unit_periods(unit, day(earlier), day(later)) == expected


def test_months_between_last_days_of_months_are_whole() -> None:
    """Appendix J (b)(3)(iv): payments on last days are whole months apart, and so are 29ths and 30ths over February."""
    unit = UnitPeriod(unit=PeriodUnit.MONTH, every=1)
    for first in ("2023-01-31", "2023-01-30", "2023-01-29"):
        flows = calculate_unit_flows(unit, day(first), series(first, MONTH, [1] * 14)[1:])
        assert [(flow.full, flow.num) for flow in flows] == [(i, 0) for i in range(1, 14)]
    flows = calculate_unit_flows(unit, day("2023-01-31"), [(day("2023-02-28"), 1)])
    assert [(flow.full, flow.num) for flow in flows] == [(1, 0)]


def test_several_advances() -> None:
    """Two advances a month apart, repaid at once at 1 % a month, have an actuarial rate of 12 %."""
    unit = UnitPeriod(unit=PeriodUnit.MONTH, every=1)
    advances = [UnitFlow(amount=10_000_000, full=0), UnitFlow(amount=10_000_000, full=1)]
    payments = [UnitFlow(amount=10_000_000 * 10_201 // 10_000 + 10_000_000 * 101 // 100, full=2)]
    assert calculate_apr_us_actuarial_ppm(advances, payments, unit) == 120_000


def test_effective_rate_of_a_year_is_the_interest() -> None:
    """1,000 now against 1,240 in a year is 24 %; in two years a square root of it."""
    assert calculate_apr_effective_ppm([(START, 1000)], [(day("2025-01-10"), 1240)]) == 240_000
    assert calculate_apr_effective_ppm([(START, 10_000)], [(day("2026-01-10"), 12_100)]) == 100_000


def test_no_rate_where_there_is_none() -> None:
    """Less paid than lent, nothing lent, or a payment before the money: None. Exactly repaid: zero."""
    assert calculate_apr_effective_ppm([(START, 1000)], [(START + 30, 999)]) is None
    assert calculate_apr_effective_ppm([], [(START, 1)]) is None
    assert calculate_apr_effective_ppm([(START, 1000)], []) is None
    assert calculate_apr_effective_ppm([(START, 1000)], [(START - 1, 2000)]) is None
    assert calculate_apr_effective_ppm([(START, 1000)], [(START, 2000)]) is None
    assert calculate_apr_effective_ppm([(START, 1000)], [(START + 1, 2000)]) is None
    assert calculate_apr_effective_ppm([(START, 1000)], [(START + 30, 400), (START + 60, 600)]) == 0


def value_at(rate: Decimal, advances: list[tuple[int, int]], payments: list[tuple[int, int]], by_days: bool) -> Decimal:
    """Advances less payments at present value, in 60 digits: the equation as the directive writes it."""
    origin, value = min(when for when, _ in advances), Decimal(0)
    for sign, flows in ((1, advances), (-1, payments)):
        for when, amount in flows:
            whole = None if by_days else calculate_whole_months(origin, when)
            years = Decimal(when - origin) / 365 if whole is None else Decimal(whole) / 12
            value += sign * amount / (1 + rate) ** years
    return value


@settings(deadline=None)
@given(
    advance=st.integers(10_000, 10**9),
    gaps=st.lists(st.integers(1, 120), min_size=1, max_size=24),
    shares=st.data(),
    interval=st.sampled_from(AprInterval),
)
def test_effective_rate_is_the_nearest_ppm(
    advance: int, gaps: list[int], shares: st.DataObject, interval: AprInterval
) -> None:
    """Half a ppm below the answer the payments are worth more than the advance, half a ppm above less."""
    part = advance // len(gaps) + 1
    payments, when = [], START
    for gap in gaps:
        when += gap
        payments.append((when, part + shares.draw(st.integers(0, part))))
    apr_ppm = calculate_apr_effective_ppm([(START, advance)], payments, interval=interval)
    if apr_ppm is None:
        return
    by_days = interval is AprInterval.DAYS
    with localcontext() as context:
        context.prec = 60
        below, above = (Decimal(2 * apr_ppm + sign) / 2_000_000 for sign in (-1, 1))
        assert (
            value_at(below, [(START, advance)], payments, by_days)
            < 0
            < value_at(above, [(START, advance)], payments, by_days)
        )


def test_thirty_six_rows_take_under_two_milliseconds() -> None:
    """The rate of an offer is recomputed by every node, so it has to be quick, also with unequal days."""
    payments = [(due + i % 3, 35_000) for i, due in enumerate(calculate_due_dates(START, MONTH, 36))]
    assert min(_seconds(payments) for _ in range(7)) < 0.006  # three times the aim, for slow machines


def _seconds(payments: list[tuple[int, int]]) -> float:
    begun = time.process_time()
    assert calculate_apr_effective_ppm([(START, 1_000_000)], payments) is not None
    return time.process_time() - begun
