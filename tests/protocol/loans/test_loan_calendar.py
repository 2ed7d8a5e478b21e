"""Laws of due dates and day counts."""

import datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.calendar import (
    Period,
    calculate_due_dates,
    calculate_row_fractions,
    calculate_whole_months,
    calculate_year_fraction,
    shift_months,
)
from protocol.loans.terms import DayCount, PeriodUnit

MONTH = Period(unit=PeriodUnit.MONTH, every=1)
days = st.integers(datetime.date(1950, 1, 1).toordinal(), datetime.date(2150, 12, 31).toordinal())
periods = st.builds(Period, unit=st.sampled_from(PeriodUnit), every=st.integers(1, 12))


def day(text: str) -> int:
    return datetime.date.fromisoformat(text).toordinal()


def iso(ordinals: tuple[int, ...]) -> list[str]:
    return [datetime.date.fromordinal(ordinal).isoformat() for ordinal in ordinals]


@settings(deadline=None)
@given(start=days, period=periods, n=st.integers(1, 40))
def test_due_dates_increase_and_never_exceed_the_anchor_day(start: int, period: Period, n: int) -> None:
    """Due dates are strictly increasing; monthly ones fall on the anchor's day or on a shorter month's last day."""
    dates = calculate_due_dates(start, period, n)
    assert len(dates) == n
    assert all(a < b for a, b in zip((start, *dates), dates, strict=False))
    if period.unit is PeriodUnit.MONTH:
        anchor = datetime.date.fromordinal(start).day
        for date in map(datetime.date.fromordinal, dates):
            last = (date.replace(day=28) + datetime.timedelta(4)).replace(day=1) - datetime.timedelta(1)
            assert date.day == min(anchor, last.day)


@settings(deadline=None)
@given(start=days, period=periods, n=st.integers(1, 20))
def test_first_due_equal_to_the_generated_one_changes_nothing(start: int, period: Period, n: int) -> None:
    """Naming the first due date that would come anyway keeps the start's day as the anchor."""
    dates = calculate_due_dates(start, period, n)
    assert calculate_due_dates(start, period, n, first_due=dates[0]) == dates


def test_first_due_becomes_the_anchor() -> None:
    """A first due date that is no whole number of months away sets the day for all later ones."""
    dates = calculate_due_dates(day("2024-01-15"), MONTH, 3, first_due=day("2024-01-31"))
    assert iso(dates) == ["2024-01-31", "2024-02-29", "2024-03-31"]


@settings(deadline=None)
@given(start=days, k=st.integers(0, 60))
def test_whole_months_are_recognised(start: int, k: int) -> None:
    """A date shifted by k months is k whole months away."""
    assert calculate_whole_months(start, shift_months(start, k)) == k


def test_a_month_less_a_day_is_not_whole() -> None:
    """29 days after 1 January is no number of months."""
    assert calculate_whole_months(day("2024-01-01"), day("2024-01-30")) is None
    assert calculate_whole_months(day("2024-02-01"), day("2024-01-01")) is None


@settings(deadline=None)
@given(start=days, first=st.integers(0, 2000), second=st.integers(0, 2000), count=st.sampled_from(DayCount))
def test_actual_day_counts_are_additive(start: int, first: int, second: int, count: DayCount) -> None:
    """Splitting an interval at any day does not change its fraction, for every count of actual days."""
    if count is DayCount.THIRTY_360:
        return
    middle, end = start + first, start + first + second
    whole = Fraction(*calculate_year_fraction(count, start, end))
    parts = Fraction(*calculate_year_fraction(count, start, middle)) + Fraction(
        *calculate_year_fraction(count, middle, end)
    )
    assert whole == parts


def test_act_act_gives_each_year_its_own_length() -> None:
    """31 December belongs to its own year: one day of 365 in 2023, one of 366 in 2024."""
    fraction = Fraction(*calculate_year_fraction(DayCount.ACT_ACT, day("2023-12-31"), day("2024-01-02")))
    assert fraction == Fraction(1, 365) + Fraction(1, 366)
    assert Fraction(*calculate_year_fraction(DayCount.ACT_ACT, day("2024-01-01"), day("2025-01-01"))) == 1


@settings(deadline=None)
@given(start=days, every=st.integers(1, 12), n=st.integers(1, 12))
def test_thirty_360_rows_of_a_generated_schedule_are_whole(start: int, every: int, n: int) -> None:
    """Every row of a schedule on its own anchor is a whole period, whatever the month ends do."""
    period = Period(unit=PeriodUnit.MONTH, every=every)
    fractions = calculate_row_fractions(DayCount.THIRTY_360, period, start, calculate_due_dates(start, period, n))
    assert all(Fraction(*fraction) == Fraction(every, 12) for fraction in fractions)


@pytest.mark.parametrize(
    ("start", "dues", "expected"),
    [
        ("2024-01-15", ["2024-02-01", "2024-03-01"], [Fraction(17, 31 * 12), Fraction(1, 12)]),
        ("2024-01-15", ["2024-03-01", "2024-04-01"], [Fraction(31 + 17, 31 * 12), Fraction(1, 12)]),
        ("2025-01-31", ["2025-02-28", "2025-03-31", "2025-04-30"], [Fraction(1, 12)] * 3),
        ("2025-01-31", ["2025-03-01", "2025-03-31", "2025-05-01"], [Fraction(1, 12)] * 3),
        # The period would begin on 30 April, 31 days before; the loan has 30 of them.
        ("2024-05-01", ["2024-05-31", "2024-06-30"], [Fraction(30, 31 * 12), Fraction(1, 12)]),
    ],
)
def test_thirty_360_stubs(start: str, dues: list[str], expected: list[Fraction]) -> None:
    """A stub is its actual days over those of the full period it lies in; later rows are whole periods."""
    due_dates = tuple(day(text) for text in dues)
    found = calculate_row_fractions(DayCount.THIRTY_360, MONTH, day(start), due_dates)
    assert [Fraction(*fraction) for fraction in found] == expected


def test_thirty_360_rows_of_days_are_days_over_360() -> None:
    """A row of 15 days under 30/360 is 15 days of 360."""
    period = Period(unit=PeriodUnit.DAY, every=15)
    start = day("2024-02-20")
    fractions = calculate_row_fractions(DayCount.THIRTY_360, period, start, calculate_due_dates(start, period, 2))
    assert [Fraction(*fraction) for fraction in fractions] == [Fraction(15, 360)] * 2
