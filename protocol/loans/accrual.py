"""Interest between due dates, late charges, and what ends a loan early: amounts by whole days, exact until the end.

    AccrualPeriod   a row's stretch of days and its share of a year
    Accrual         principal * days inside that stretch: an exact integer, turned into money once

An accumulator of unit-days has no remainder to lose: splitting a stretch, or paying in dust, changes nothing. Inside a
row interest follows the row's own fraction (days gone over days of the row), so that the last day reaches the row's
interest exactly. Nothing here must ever round an accrual and go on from the rounded figure.
"""

from collections.abc import Sequence

import msgspec

from protocol.loans.calendar import (
    Period,
    calculate_anchor_day,
    calculate_row_fractions,
    calculate_year_fraction,
    count_months_apart,
    shift_months,
)
from protocol.loans.schedule import ScheduleTerms
from protocol.loans.terms import PeriodUnit, RoundingProfile
from protocol.money import PPM, divide_floor, divide_half_even, share_floor

LATE_DAYS_PER_YEAR = 365


class AccrualPeriod(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The days [start, end) and the fraction num/den of a year that they are together."""

    start: int
    """Ordinal."""
    end: int
    """Ordinal, after start."""
    num: int
    den: int

    @property
    def days(self) -> int:
        """Days of the stretch, at least one."""
        return self.end - self.start


class Accrual(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one period has gathered so far."""

    as_of: int
    """Ordinal up to which days are counted (that day itself not)."""
    principal_days: int = 0
    """Sum over the days of the principal that was outstanding, minor units times days."""


def calculate_accrual_periods(terms: ScheduleTerms) -> tuple[AccrualPeriod, ...]:
    """Return the accrual period of each row of a schedule whose terms have no fault."""
    fractions = calculate_row_fractions(terms.day_count, terms.period, terms.start, terms.due_dates)
    starts = (terms.start, *terms.due_dates[:-1])
    return tuple(
        AccrualPeriod(start=start, end=end, num=num, den=den)
        for start, end, (num, den) in zip(starts, terms.due_dates, fractions, strict=True)
    )


def calculate_accrual_period_at(terms: ScheduleTerms, day: int) -> AccrualPeriod:
    """Return the period that contains the day; a due date begins the next one.

    After the last due date the product's period goes on from that date, because interest keeps running on principal
    that is not paid.
    """
    assert day >= terms.start, "interest runs from the start"
    if day < terms.due_dates[-1]:
        return next(period for period in calculate_accrual_periods(terms) if day < period.end)
    anchor_day = calculate_anchor_day(terms.start, terms.period, terms.due_dates)
    start, end = _nominal_stretch(terms.due_dates[-1], terms.period, anchor_day, day)
    num, den = calculate_year_fraction(terms.day_count, start, end, period=terms.period, anchor_day=anchor_day)
    return AccrualPeriod(start=start, end=end, num=num, den=den)


def _nominal_stretch(last_due: int, period: Period, anchor_day: int, day: int) -> tuple[int, int]:
    """Return the period after the last due date which contains the day."""
    if period.unit is not PeriodUnit.MONTH:
        start = last_due + (day - last_due) // period.days * period.days
        return start, start + period.days

    def shift(count: int) -> int:
        return shift_months(last_due, count * period.every, anchor_day=anchor_day) if count else last_due

    passed = count_months_apart(last_due, day) // period.every
    # The day may still lie before that month's date.
    passed -= shift(passed) > day
    return shift(passed), shift(passed + 1)


def apply_days(accrual: Accrual, principal: int, day: int) -> Accrual:
    """Return the accrual carried to `day` with `principal` outstanding since its last day."""
    assert day >= accrual.as_of, "an accrual does not run backwards"
    assert principal >= 0, "principal is not negative"
    return Accrual(as_of=day, principal_days=accrual.principal_days + principal * (day - accrual.as_of))


def calculate_interest_accrued(
    accrual: Accrual, period: AccrualPeriod, *, rate_ppm: int, profile: RoundingProfile
) -> int:
    """Return the interest of the whole accrual in minor units: half-even in profile A, down in profile B.

    Interest already paid of the period is the caller's to subtract; the accrual itself is never reset inside it.
    """
    assert period.start <= accrual.as_of <= period.end, "an accrual belongs to one period"
    divide = divide_half_even if profile is RoundingProfile.A else divide_floor
    return divide(rate_ppm * period.num * accrual.principal_days, PPM * period.den * period.days)


def calculate_interest_ahead(
    terms: ScheduleTerms,
    principal_unpaid: Sequence[int],
    accrual: Accrual,
    *,
    periods: Sequence[AccrualPeriod] | None = None,
) -> tuple[int, ...]:
    """Return the interest of every row that is not due on the accrual's day, in row order.

    `principal_unpaid` holds the unpaid principal of each row of the terms, and `periods` their periods where a contract
    keeps them. The row that runs now bears interest on everything unpaid, what is overdue included; each later row on
    what stays when all rows before it are paid on their days. So a prepayment lowers the interest of later rows
    wherever it was placed, and unpaid principal goes on bearing the contract's interest; principal parts, which were
    signed, stay as they are.
    """
    assert len(principal_unpaid) == len(terms.due_dates), "one figure for each row"
    today, balance, interest = accrual.as_of, sum(principal_unpaid), []
    passed = 0
    for period, unpaid in zip(periods or calculate_accrual_periods(terms), principal_unpaid, strict=True):
        passed += unpaid
        if period.end <= today:
            continue
        begun = accrual if period.start <= today else Accrual(as_of=period.start)
        whole = apply_days(begun, balance, period.end)
        interest.append(calculate_interest_accrued(whole, period, rate_ppm=terms.rate_ppm, profile=terms.profile))
        # What was overdue is taken to be paid with this row.
        balance, passed = balance - passed, 0
    return tuple(interest)


def calculate_cooling_off_amount(terms: ScheduleTerms, day: int) -> int:
    """Return what a borrower gives back who withdraws on `day` before paying anything: principal and daily interest.

    Fees are refunded in full, so they are no part of it (Directive 2008/48/EC Article 14(3)(b)).
    """
    interest = 0
    for period in calculate_accrual_periods(terms):
        if period.start >= day:
            break
        accrual = apply_days(Accrual(as_of=period.start), terms.principal, min(day, period.end))
        interest += calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
    return terms.principal + interest


def calculate_days_late(due_on: int, today: int, *, grace_days: int) -> int:
    """Return the days for which late charges run. On the due date itself nothing is late."""
    return max(0, today - due_on - grace_days)


def calculate_late_interest(principal_days: int, late_rate_ppm: int) -> int:
    """Return simple late interest, rounded down, on overdue principal only: minor units times days late, over 365.

    The caller adds up principal * days with `apply_days` from the day after grace ends, and starts anew never.
    """
    return divide_floor(principal_days * late_rate_ppm, PPM * LATE_DAYS_PER_YEAR)


def calculate_late_fee(
    *, due_on: int, today: int, grace_days: int, unpaid: int, fee: int, charged: bool, held: bool
) -> int:
    """Return the flat late fee to charge a row now: once per row, after grace, never while a dispute holds it."""
    late = unpaid > 0 and calculate_days_late(due_on, today, grace_days=grace_days) > 0
    return fee if late and not charged and not held else 0


def calculate_prepayment_fee(principal: int, *, product_ppm: int, policy_ppm: int, interest_saved: int) -> int:
    """Return the fee for paying `principal` early: the lower of both rates, and never more than the interest saved."""
    return min(share_floor(principal, min(product_ppm, policy_ppm)), interest_saved)


def calculate_cost_room(principal: int, *, cost_cap_ppm: int, charged: int) -> int:
    """Return how much interest, fees and penalties may still be charged under a cap on the total cost."""
    return max(0, share_floor(principal, cost_cap_ppm) - charged)
