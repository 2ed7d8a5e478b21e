"""Contract dates: due dates anchored on the original day, and day counts as exact fractions of a year.

    start + i periods -> due dates          calculate_due_dates
    [start, end)      -> (num, den) years   calculate_year_fraction

A date is a proleptic Gregorian ordinal (`datetime.date.toordinal`), so that dates subtract to days. There must never
be a clock, a time zone or a business-day calendar here: the caller has already turned block time into a day.
"""

import datetime
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import msgspec

from protocol.loans.terms import DayCount, PeriodUnit
from protocol.money import divide_ceil

DAY_MIN = datetime.date(1900, 1, 1).toordinal()
"""No contract starts earlier; also keeps a shift backwards inside the proleptic calendar."""
DAY_MAX = datetime.date(2299, 12, 31).toordinal()
"""No contract ends later; keeps every shift forwards inside the range of `datetime.date`."""
EVERY_MAX = 366
"""The longest period in units; a year of days is the longest that a product needs."""


class Period(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The distance between two due dates: `every` units."""

    unit: PeriodUnit
    every: int
    """1 to EVERY_MAX."""

    @property
    def days(self) -> int:
        """Length in days of a period counted in days or weeks; a month has no length of its own."""
        assert self.unit is not PeriodUnit.MONTH, "months have no fixed number of days"
        return self.every * (7 if self.unit is PeriodUnit.WEEK else 1)


def get_day_of_month(day: int) -> int:
    """Return 1 to 31."""
    return datetime.date.fromordinal(day).day


def _month_number(day: int) -> int:
    date = datetime.date.fromordinal(day)
    return date.year * 12 + date.month - 1


@lru_cache(maxsize=8_192)
def _first_of_month(month_number: int) -> int:
    year, month = divmod(month_number, 12)
    return datetime.date(year, month + 1, 1).toordinal()


def _day_in_month(month_number: int, anchor_day: int) -> int:
    """Return the anchor day in that month, or the month's last day where the month is shorter."""
    first = _first_of_month(month_number)
    length = _first_of_month(month_number + 1) - first
    return first + min(anchor_day, length) - 1


def shift_months(day: int, months: int, *, anchor_day: int | None = None) -> int:
    """Return the day `months` later (or earlier), on `anchor_day` (else the day's own), clamped to the month's end."""
    return _day_in_month(_month_number(day) + months, anchor_day or get_day_of_month(day))


def calculate_whole_months(start: int, end: int) -> int | None:
    """Return k where end is exactly k months after start (month ends clamped), else None. k may be 0."""
    months = _month_number(end) - _month_number(start)
    return months if months >= 0 and shift_months(start, months) == end else None


def count_months_apart(start: int, end: int) -> int:
    """Return the difference of the two days' calendar months; whole months between them are this or one less."""
    return _month_number(end) - _month_number(start)


def calculate_due_dates(start: int, period: Period, n: int, *, first_due: int | None = None) -> tuple[int, ...]:
    """Return n due dates, strictly increasing.

    Months are anchored on the original day and clamped at month end (31 January, 29 February, 31 March): each date is
    counted from the anchor, never from the date before it. With `first_due` the anchor is the first due date, unless
    that date is itself a whole number of months after the start; then the start's day stays the anchor, so that a
    28 February which stands for a 31st does not pull the later dates down.
    """
    assert n > 0, "a schedule has at least one due date"
    assert 0 < period.every <= EVERY_MAX, "the period's length was checked at the door"
    if period.unit is not PeriodUnit.MONTH:
        first = start + period.days if first_due is None else first_due
        return tuple(first + i * period.days for i in range(n))
    if first_due is None:
        return tuple(shift_months(start, i * period.every) for i in range(1, n + 1))
    whole = calculate_whole_months(start, first_due)
    anchor_day = get_day_of_month(start if whole else first_due)
    return tuple(shift_months(first_due, i * period.every, anchor_day=anchor_day) for i in range(n))


def calculate_anchor_day(start: int, period: Period, due_dates: Sequence[int]) -> int:
    """Return the day of the month the due dates hang on.

    The start's own day where the start generates the dates; otherwise the largest day among them, because clamping
    only ever lowers a day (28 February among 31sts stands for a 31st).
    """
    own = get_day_of_month(start)
    if period.unit is not PeriodUnit.MONTH:
        return own
    months = range(period.every, period.every * len(due_dates) + 1, period.every)
    if all(shift_months(start, m) == due for m, due in zip(months, due_dates, strict=True)):
        return own
    return max(get_day_of_month(due) for due in due_dates)


def calculate_thirty_360_days(start: int, end: int) -> int:
    """Return days by the bond basis (ISDA 2006 section 4.16(f)): 31sts count as 30ths, February is not adjusted."""
    first, last = datetime.date.fromordinal(start), datetime.date.fromordinal(end)
    first_day = min(first.day, 30)
    last_day = 30 if last.day == 31 and first_day == 30 else last.day
    return (last.year - first.year) * 360 + (last.month - first.month) * 30 + last_day - first_day


def _act_act(start: int, end: int) -> tuple[int, int]:
    """Return the ISDA fraction over the common denominator of both year lengths."""
    numerator, day = 0, start
    while day < end:
        year = datetime.date.fromordinal(day).year
        year_start = datetime.date(year, 1, 1).toordinal()
        year_end = datetime.date(year + 1, 1, 1).toordinal()
        until = min(year_end, end)
        other_length = 731 - (year_end - year_start)
        numerator += (until - day) * other_length
        day = until
    return numerator, 365 * 366


def _thirty_360_in_schedule(start: int, end: int, months: int, anchor_day: int) -> tuple[int, int]:
    """Return whole periods counted back from the end, plus the stub as its share of the period it lies in."""
    slot = _month_number(end)
    whole, period_end = 0, end
    while True:
        slot -= months
        period_start = _day_in_month(slot, anchor_day)
        if period_start == start:
            return 30 * months * (whole + 1), 360
        if period_start < start:
            length = period_end - period_start
            return 30 * months * (whole * length + period_end - start), 360 * length
        whole, period_end = whole + 1, period_start


def calculate_year_fraction(
    day_count: DayCount, start: int, end: int, *, period: Period | None = None, anchor_day: int | None = None
) -> tuple[int, int]:
    """Return the years in [start, end) as an exact fraction (numerator, denominator), not reduced.

    ACT/ACT is ISDA's: the days of each calendar year over that year's own length, 31 December in its own year. 7/364
    is a year of 52 weeks. With a `period` the interval is read as a row of a schedule. That only matters for 30/360:
    monthly rows count 30 days for each whole month, and a stub counts its actual days over the actual days of the full
    period it is part of (disbursed on 15 January, due on 1 February: 17 days of 31); rows of days or weeks are days
    over 360. Without a period 30/360 is the bond basis. `anchor_day` is what `calculate_anchor_day` returns; the end's
    own day by default.
    """
    assert start <= end, "an interval does not run backwards"
    days = end - start
    match day_count:
        case DayCount.ACT_365F:
            return days, 365
        case DayCount.ACT_360:
            return days, 360
        case DayCount.SEVEN_364:
            return days, 364
        case DayCount.ACT_ACT:
            return _act_act(start, end)
        case DayCount.THIRTY_360:
            if period is None:
                return calculate_thirty_360_days(start, end), 360
            if period.unit is not PeriodUnit.MONTH or days == 0:
                return days, 360
            return _thirty_360_in_schedule(start, end, period.every, anchor_day or get_day_of_month(end))


def calculate_row_fractions(
    day_count: DayCount, period: Period, start: int, due_dates: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Return the year fraction of each row of a schedule; the due dates are strictly increasing and after the start.

    Some lenders move a due day that a month lacks to the first of the next month. Under 30/360 such a date still ends
    the shorter month's period (it is read as that month's last day), so that the row is a whole period.
    """
    if day_count is not DayCount.THIRTY_360 or period.unit is not PeriodUnit.MONTH:
        bounds = (start, *due_dates)
        return tuple(calculate_year_fraction(day_count, a, b, period=period) for a, b in pairwise(bounds))
    anchor_day = calculate_anchor_day(start, period, due_dates)
    moved = [get_day_of_month(due) == 1 and get_day_of_month(due - 1) < anchor_day for due in due_dates]
    bounds = (start, *(due - 1 if late else due for due, late in zip(due_dates, moved, strict=True)))
    return tuple(
        calculate_year_fraction(day_count, a, max(a, b), period=period, anchor_day=anchor_day)
        for a, b in pairwise(bounds)
    )


def calculate_monthly_instalment(amount: int, instalments: int, period: Period) -> int:
    """What a loan of `amount` takes out of a month, before interest, in minor units; rounded up, never above `amount`.

    The proxy instalment of scoring.md (ceil(principal / n)) for any period: months count as they are, days and weeks
    by a month of 30 days.
    """
    assert amount > 0
    assert instalments > 0
    if period.unit is PeriodUnit.MONTH:
        return min(amount, divide_ceil(amount, instalments * period.every))
    return min(amount, divide_ceil(30 * amount, instalments * period.days))
