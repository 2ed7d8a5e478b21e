"""Repayment schedules in exact integers: terms in, rows or one refusal out.

    ScheduleTerms -> calculate_schedule -> (Instalment, ...) | ScheduleFault

The level payment needs neither a power function nor a cancellation, and it holds for periods of unequal length:
with r_i the rate of period i, Pi = product of (1 + r_i), f_1 = 1 and f_i = 1 + f_(i-1) * (1 + r_i), the exact payment
is E* = (P * Pi - R) / f_n. (The form is Apache Fineract's; P principal, R residual.) All of it is kept as integers over
a common denominator and rounded once.

    Profile A  E and the interest of each row half-even; the last row takes the rest and may be a few units higher.
    Profile B  interest rounded down and E the smallest integer for which the last row is not higher than the others.

    LEVEL            equal payments; a residual is paid on top of the last one (lease, hire purchase)
    EQUAL_PRINCIPAL  equal parts of principal, falling interest; a residual is added to the last part
    BULLET           interest only, all principal in the last row
    BALLOON          equal payments down to the residual by the last row but one; the last principal is the residual

A schedule that was signed is authoritative and must never be recalculated to something else; this file must never
read a loan's state, a payment or a clock.
"""

from collections.abc import Callable, Sequence
from enum import Enum
from itertools import pairwise

import msgspec

from protocol.limits import INSTALMENTS_MAX
from protocol.loans.calendar import DAY_MAX, DAY_MIN, EVERY_MAX, Period, calculate_row_fractions
from protocol.loans.terms import Amortisation, DayCount, RoundingProfile
from protocol.money import AMOUNT_MAX, PPM, divide_ceil, divide_floor, divide_half_even

RATE_PPM_MAX = 100 * PPM
"""10,000 % a year: far above any policy, low enough that no intermediate value is a burden."""
UNIT_DAYS_MAX = 2**63 - 1
"""What an accrual holds at most, minor units times days: the largest integer that every decoder reads."""
DAYS_MIN = 31 * EVERY_MAX
"""The longest period: principal that is late may stay out for it whatever the schedule says."""


class ScheduleFault(Enum):
    """Why terms have no schedule, in order of precedence. The value is a stable code."""

    PRINCIPAL_RANGE = "principal_range"
    """Principal below 1, above AMOUNT_MAX, or out for more unit-days than an accrual can hold."""
    RATE_RANGE = "rate_range"
    """Rate below 0 or above RATE_PPM_MAX."""
    RESIDUAL_RANGE = "residual_range"
    """Residual below 0 or above the principal, missing in a balloon, or a part of the principal in a bullet."""
    PERIOD_RANGE = "period_range"
    """Period shorter than 1 unit or longer than EVERY_MAX."""
    ROWS_RANGE = "rows_range"
    """No row, more than INSTALMENTS_MAX, or a balloon with a single row."""
    DATES_ORDER = "dates_order"
    """Due dates not strictly increasing, or the first not after the start."""
    DATES_RANGE = "dates_range"
    """A date before DAY_MIN or after DAY_MAX."""
    PAYMENT_ZERO = "payment_zero"
    """The payment, or the equal part of principal, rounds to nothing."""
    PAYMENT_BELOW_INTEREST = "payment_below_interest"
    """The payment does not exceed the first row's interest: the principal would never fall."""
    ROW_NEGATIVE = "row_negative"
    """Rounding exhausts the principal before the last row; a part of some row would be negative."""
    ROW_EMPTY = "row_empty"
    """A row on which nothing is due."""


class ScheduleTerms(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Everything a schedule follows from."""

    principal: int
    """Minor units, 1 to AMOUNT_MAX."""
    rate_ppm: int
    """Millionths per year, 0 to RATE_PPM_MAX."""
    start: int
    """Ordinal of the day from which interest runs."""
    due_dates: tuple[int, ...]
    """Ordinals, strictly increasing, the first after the start."""
    day_count: DayCount
    period: Period
    """The nominal distance of due dates; only 30/360 reads it."""
    profile: RoundingProfile
    amortisation: Amortisation
    residual: int = 0
    """Minor units left for the last row; all of the principal makes the loan interest only."""


class Instalment(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One row of a schedule; money in minor units."""

    index: int
    """From 1."""
    due_on: int
    """Ordinal."""
    principal_due: int
    interest_due: int
    fee_due: int = 0
    balance_after: int
    """Principal that remains when the row is paid."""

    @property
    def total_due(self) -> int:
        """Principal, interest and fee together."""
        return self.principal_due + self.interest_due + self.fee_due


PeriodRate = tuple[int, int]
"""Exact rate of one row: numerator over denominator of the balance."""


def calculate_period_rates(terms: ScheduleTerms) -> tuple[PeriodRate, ...]:
    """Return rate_ppm * year fraction of each row, as (numerator, denominator)."""
    fractions = calculate_row_fractions(terms.day_count, terms.period, terms.start, terms.due_dates)
    return tuple((terms.rate_ppm * num, PPM * den) for num, den in fractions)


def calculate_level_payment(principal: int, residual: int, rates: Sequence[PeriodRate]) -> tuple[int, int]:
    """Return E* as an exact fraction (numerator, denominator), minor units; the residual stays after the last row.

    Takes rates of any denominator, so a rate that no integer ppm holds (say per second) is exact here too.
    """
    growth, annuity, scale = 1, 0, 1
    for num, den in rates:
        # growth over scale is the product of (1 + r), annuity over scale is f; both take the next factor at once.
        growth, annuity, scale = growth * (den + num), annuity * (den + num) + scale * den, scale * den
    return principal * growth - residual * scale, annuity


def _rows_of_payment(
    principal: int, payment: int, rates: Sequence[PeriodRate], divide: Callable[[int, int], int]
) -> list[tuple[int, int]]:
    """Return (principal, interest) of each row when every row but the last pays `payment`."""
    rows, balance = [], principal
    for num, den in rates[:-1]:
        interest = divide(balance * num, den)
        rows.append((payment - interest, interest))
        balance -= payment - interest
    num, den = rates[-1]
    rows.append((balance, divide(balance * num, den)))
    return rows


def _smallest_payment(principal: int, residual: int, rates: Sequence[PeriodRate]) -> int:
    """Return the smallest payment whose last row (less the residual) is not higher than it; interest rounded down.

    A larger payment leaves a balance that is smaller in every row, so the condition holds from one payment upwards.
    The exact E* bounds the search from above: floored interest never asks for more, and rarely for much less, so the
    search goes down from there, in steps that double until one is too long.
    """
    numerator, denominator = calculate_level_payment(principal, residual, rates)
    low, high, step = 0, max(divide_ceil(numerator, denominator), 0), 1
    while low < high:
        middle = max(high - step, (low + high) // 2)
        last_principal, last_interest = _rows_of_payment(principal, middle, rates, divide_floor)[-1]
        if last_principal + last_interest <= middle + residual:
            high, step = middle, 2 * step
        else:
            low = middle + 1
    return low


def _level_rows(
    principal: int, residual: int, rates: Sequence[PeriodRate], profile: RoundingProfile
) -> list[tuple[int, int]] | ScheduleFault:
    divide = divide_half_even if profile is RoundingProfile.A else divide_floor
    if profile is RoundingProfile.B:
        payment = _smallest_payment(principal, residual, rates)
    else:
        numerator, denominator = calculate_level_payment(principal, residual, rates)
        # Without interest the parts are equal and the last one smaller, in either profile.
        free = all(num == 0 for num, _ in rates)
        payment = (divide_ceil if free else divide_half_even)(numerator, denominator)
    if payment <= 0:
        return ScheduleFault.PAYMENT_ZERO
    if len(rates) > 1 and payment <= divide(principal * rates[0][0], rates[0][1]):
        return ScheduleFault.PAYMENT_BELOW_INTEREST
    return _rows_of_payment(principal, payment, rates, divide)


def _balloon_rows(
    principal: int, residual: int, rates: Sequence[PeriodRate], profile: RoundingProfile
) -> list[tuple[int, int]] | ScheduleFault:
    """Return level rows down to the residual, then the residual with its own interest."""
    level = _level_rows(principal, residual, rates[:-1], profile)
    if isinstance(level, ScheduleFault):
        return level
    divide = divide_half_even if profile is RoundingProfile.A else divide_floor
    last_principal, last_interest = level[-1]
    num, den = rates[-1]
    return [*level[:-1], (last_principal - residual, last_interest), (residual, divide(residual * num, den))]


def _rows_of_principal(
    principal: int, part: int, rates: Sequence[PeriodRate], profile: RoundingProfile
) -> list[tuple[int, int]]:
    """Return (principal, interest) of each row when every row but the last pays `part` of principal."""
    divide = divide_half_even if profile is RoundingProfile.A else divide_floor
    rows, balance = [], principal
    for index, (num, den) in enumerate(rates, start=1):
        paid = part if index < len(rates) else balance
        rows.append((paid, divide(balance * num, den)))
        balance -= paid
    return rows


def _amortised_rows(terms: ScheduleTerms) -> list[tuple[int, int]] | ScheduleFault:
    rates = calculate_period_rates(terms)
    if terms.residual == terms.principal:
        return _rows_of_principal(terms.principal, 0, rates, terms.profile)
    match terms.amortisation:
        case Amortisation.LEVEL:
            return _level_rows(terms.principal, terms.residual, rates, terms.profile)
        case Amortisation.BALLOON:
            return _balloon_rows(terms.principal, terms.residual, rates, terms.profile)
        case Amortisation.BULLET:
            return _rows_of_principal(terms.principal, 0, rates, terms.profile)
        case Amortisation.EQUAL_PRINCIPAL:
            divide = divide_half_even if terms.profile is RoundingProfile.A else divide_ceil
            part = divide(terms.principal - terms.residual, len(rates))
            if part == 0:
                return ScheduleFault.PAYMENT_ZERO
            return _rows_of_principal(terms.principal, part, rates, terms.profile)


def check_schedule_terms(terms: ScheduleTerms) -> ScheduleFault | None:
    """Return the first fault that shows before any row is calculated, or None."""
    balloon = terms.amortisation is Amortisation.BALLOON
    days = max(DAYS_MIN, terms.due_dates[-1] - terms.start) if terms.due_dates else DAYS_MIN
    if not 1 <= terms.principal <= min(AMOUNT_MAX, divide_floor(UNIT_DAYS_MAX, days)):
        return ScheduleFault.PRINCIPAL_RANGE
    if not 0 <= terms.rate_ppm <= RATE_PPM_MAX:
        return ScheduleFault.RATE_RANGE
    if not (1 if balloon else 0) <= terms.residual <= terms.principal:
        return ScheduleFault.RESIDUAL_RANGE
    if terms.amortisation is Amortisation.BULLET and terms.residual not in {0, terms.principal}:
        return ScheduleFault.RESIDUAL_RANGE
    if not 1 <= terms.period.every <= EVERY_MAX:
        return ScheduleFault.PERIOD_RANGE
    if not (2 if balloon else 1) <= len(terms.due_dates) <= INSTALMENTS_MAX:
        return ScheduleFault.ROWS_RANGE
    bounds = (terms.start, *terms.due_dates)
    if any(before >= after for before, after in pairwise(bounds)):
        return ScheduleFault.DATES_ORDER
    if not DAY_MIN <= terms.start < terms.due_dates[-1] <= DAY_MAX:
        return ScheduleFault.DATES_RANGE
    return None


def calculate_schedule(terms: ScheduleTerms) -> tuple[Instalment, ...] | ScheduleFault:
    """Return the rows of the schedule, or the first reason why there is none.

    Guaranteed of every schedule: the principal parts sum to the principal, no part is negative, every row asks for
    something, and the last balance is zero.
    """
    fault = check_schedule_terms(terms)
    if fault is not None:
        return fault
    rows = _amortised_rows(terms)
    if isinstance(rows, ScheduleFault):
        return rows
    if any(principal < 0 or interest < 0 for principal, interest in rows):
        return ScheduleFault.ROW_NEGATIVE
    if any(principal + interest == 0 for principal, interest in rows):
        return ScheduleFault.ROW_EMPTY
    balance, instalments = terms.principal, []
    for index, (due_on, (principal, interest)) in enumerate(zip(terms.due_dates, rows, strict=True), start=1):
        balance -= principal
        instalments.append(
            Instalment(
                index=index, due_on=due_on, principal_due=principal, interest_due=interest, balance_after=balance
            )
        )
    assert balance == 0, "the last row pays the whole balance"
    return tuple(instalments)
