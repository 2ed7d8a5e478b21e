"""The annual percentage rate, in integers: the EU and UK effective rate, and the US actuarial rate.

    calculate_apr_effective_ppm      sum of advances * v^t = sum of payments * v^t, v = 1 / (1 + APR)
                                     (Directive 2008/48/EC Annex I, 2023/2225 Annex III; UK CONC App 1.2)
    calculate_apr_us_actuarial_ppm   the same by unit-periods, a fraction of a period at simple interest
                                     (12 CFR 1026, Regulation Z, Appendix J)

Both narrow an interval in fixed-point integers of 96 bits until it is far below one ppm, and round once, to the nearest
ppm. All nodes therefore state the same figure. What a payment contains is the caller's business: nothing here must
ever decide whether a fee belongs to the cost of credit.
"""

import math
from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import lru_cache

import msgspec

from protocol.loans.calendar import Period, calculate_whole_months, count_months_apart, get_day_of_month, shift_months
from protocol.loans.terms import PeriodUnit
from protocol.money import PPM, divide_half_even

APR_PPM_MAX = 10**12
"""100,000,000 %; a loan dearer than that has no stated rate (and no policy under which it could be made)."""

Flow = tuple[int, int]
"""(day ordinal, amount in minor units)."""

DISCOUNT_BITS = 96
"""Bits after the point of a discount factor. One itself needs a bit more."""

_BITS = DISCOUNT_BITS
_ONE = 1 << _BITS
_STEPS = 64
"""Bits of a factor that are found. What is left moves the rate by less than 10^-3 ppm even at APR_PPM_MAX."""
_UNITS_PER_YEAR = 4380
"""The least common multiple of 12 months and 365 days."""


class AprInterval(IntEnum):
    """How the time between two dates is measured for the effective rate."""

    MONTHS_ELSE_DAYS = 1
    """Whole months count as twelfths of a year, anything else as days of 365. The rule of this ledger."""
    DAYS = 2
    """Always days of 365, as in the first example of Annex II of COM(96) 79."""


class UnitPeriod(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A unit-period of Appendix J: what the US rate counts time in."""

    unit: PeriodUnit
    every: int
    """Units in the unit-period: 1 to 12 months, or any number of weeks or days."""
    semimonth: bool = False
    """Half a month (then unit is MONTH and every is 1)."""

    def __post_init__(self) -> None:
        assert self.every > 0, "a unit-period has a length"
        assert self.unit is not PeriodUnit.MONTH or self.every <= 12, "a unit-period does not exceed one year"
        assert not self.semimonth or (self.unit is PeriodUnit.MONTH and self.every == 1), "half of one month"


class UnitFlow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An amount at a time counted in unit-periods: full ones and a fraction num/den of one."""

    amount: int
    """Minor units."""
    full: int
    num: int = 0
    den: int = 1


def _check_flows(origin: int, advances: Sequence[Flow], payments: Sequence[Flow]) -> bool:
    """Return whether the flows are of a shape that has no rate."""
    lent, paid = sum(amount for _, amount in advances), sum(amount for _, amount in payments)
    backwards = any(day < origin for day, _ in payments)
    return lent <= 0 or paid < lent or backwards or any(amount < 0 for _, amount in (*advances, *payments))


def _power(base: int, exponent: int) -> int:
    """Return base**exponent in fixed point, rounded down at each multiplication."""
    result = _ONE
    while exponent:
        if exponent & 1:
            result = result * base >> _BITS
        exponent >>= 1
        if exponent:
            base = base * base >> _BITS
    return result


def _present_value(factor: int, steps: Sequence[tuple[int, int]]) -> int:
    """Return the sum of amount * factor^time, scaled, by Horner; each step is (time to the next flow, amount).

    The steps run from the last flow to the first. Distances between flows repeat, so their powers are kept.
    """
    powers: dict[int, int] = {}
    value = 0
    for distance, amount in steps:
        power = powers.get(distance)
        if power is None:
            power = powers[distance] = _power(factor, distance)
        value = (value * power >> _BITS) + amount * _ONE
    return value


def _find_crossing(value: Callable[[int], int], high: int) -> int:
    """Return the smallest whole number up to `high` at which a falling value is not above zero; it is above zero at 0.

    The chord tells where to look (and twice on one side, half of it), every third time the middle: a dozen values where
    halving alone needs as many as the number has bits.
    """
    low, above, below, side, turn = 0, value(0), value(high), 0, 0
    while high - low > 1:
        turn += 1
        middle = (low + high) >> 1 if turn % 3 == 0 else low + (high - low) * above // (above - below)
        middle = min(max(middle, low + 1), high - 1)
        found = value(middle)
        if found > 0:
            low, above, below, side = middle, found, below >> (side > 0), 1
        else:
            high, below, above, side = middle, found, max(1, above >> (side < 0)), -1
    return high


def _solve_factor(steps: Sequence[tuple[int, int]]) -> int:
    """Return the smallest factor found at which the present value is not above zero; it is above zero at factor 0."""
    bits = _BITS - _STEPS
    return _find_crossing(lambda at: _present_value(at << bits, steps), 1 << _STEPS) << bits


def _calculate_geometric(factor: int, count: int) -> tuple[int, int]:
    """Return (factor^count, factor + factor^2 + ... + factor^count), scaled, by doubling the count.

    No division and no difference, so nothing is lost for a factor that is very near to one, nor at one itself.
    """
    power, total = _ONE, 0
    for bit in format(count, "b"):
        total, power = total + (total * power >> _BITS), power * power >> _BITS
        if bit == "1":
            total, power = (total + _ONE) * factor >> _BITS, power * factor >> _BITS
    return power, total


def calculate_even_value(factor: int, *, payment: int, count: int, last: int) -> int:
    """Return the value one period before the first of `count` equally spaced payments, over 2^DISCOUNT_BITS.

    All are `payment` but the last, which is `last`. No payments are worth nothing. Never falls with the factor.
    """
    if count == 0:
        return 0
    power, total = _calculate_geometric(factor, count - 1)
    return payment * total + last * (power * factor >> _BITS)


def calculate_even_factor(advance: int, *, payment: int, count: int, last: int) -> int:
    """Return the smallest factor per period, over 2^DISCOUNT_BITS, at which the payments are worth the advance.

    The payments (as in `calculate_even_value`) sum to at least the advance; where they sum to it, the factor is one.
    """
    assert 0 < advance <= payment * (count - 1) + last, "payments return the advance"
    if advance == payment * (count - 1) + last:
        return _ONE
    low, high = 0, _ONE
    while high - low > 1:
        middle = (low + high) >> 1
        if calculate_even_value(middle, payment=payment, count=count, last=last) < advance * _ONE:
            low = middle
        else:
            high = middle
    return high


def calculate_effective_time(origin: int, day: int, interval: AprInterval) -> int:
    """Return the time between two days in units of 1/4380 year."""
    if interval is AprInterval.MONTHS_ELSE_DAYS:
        months = calculate_whole_months(origin, day)
        if months is not None:
            return months * (_UNITS_PER_YEAR // 12)
    return (day - origin) * (_UNITS_PER_YEAR // 365)


def calculate_apr_effective_ppm(
    advances: Sequence[Flow], payments: Sequence[Flow], *, interval: AprInterval = AprInterval.MONTHS_ELSE_DAYS
) -> int | None:
    """Return the effective APR in ppm, nearest; None where there is none between 0 and APR_PPM_MAX.

    Advances are what the borrower receives net of fees kept back, payments what the borrower pays; time runs from the
    earliest advance. There is no rate when less is paid than was advanced, or when a payment precedes every advance.
    """
    origin = min((day for day, _ in advances), default=0)
    if _check_flows(origin, advances, payments):
        return None
    if sum(amount for _, amount in advances) == sum(amount for _, amount in payments):
        return 0
    steps, unit = _find_steps(origin, advances, payments, interval)
    return calculate_annual_ppm(_solve_factor(steps), _UNITS_PER_YEAR // unit) if steps else None


def is_apr_within(advances: Sequence[Flow], payments: Sequence[Flow], cap_ppm: int) -> bool:
    """Return whether the effective APR of these flows is there and not above a cap: one present value, nothing solved.

    The same answer, to the unit, as comparing `calculate_apr_effective_ppm` of any flows that have one rate.
    """
    origin = min((day for day, _ in advances), default=0)
    if _check_flows(origin, advances, payments):
        return False
    if sum(amount for _, amount in advances) == sum(amount for _, amount in payments):
        return True
    steps, unit = _find_steps(origin, advances, payments, AprInterval.MONTHS_ELSE_DAYS)
    lawful = _find_lawful_factor(cap_ppm, _UNITS_PER_YEAR // unit)
    return bool(steps) and _present_value((lawful - 1) << (_BITS - _STEPS), steps) > 0


@lru_cache(maxsize=64)
def _find_lawful_factor(cap_ppm: int, periods_per_year: int) -> int:
    """Return the smallest factor per period, over 2^_STEPS, whose annual rate is not above a cap."""
    low, high = 0, 1 << _STEPS
    while high - low > 1:
        middle = (low + high) >> 1
        apr_ppm = calculate_annual_ppm(middle << (_BITS - _STEPS), periods_per_year)
        if apr_ppm is None or apr_ppm > cap_ppm:
            low = middle
        else:
            high = middle
    return high


def _find_steps(
    origin: int, advances: Sequence[Flow], payments: Sequence[Flow], interval: AprInterval
) -> tuple[list[tuple[int, int]], int]:
    """Return the flows as steps from the last to the first, and the time unit they count; none where nothing is lent.

    Nothing is lent where a first payment takes all of the first advance.
    """
    net: dict[int, int] = {}
    for sign, flows in ((1, advances), (-1, payments)):
        for day, amount in flows:
            time = calculate_effective_time(origin, day, interval)
            net[time] = net.get(time, 0) + sign * amount
    times = sorted(net)
    unit = math.gcd(*times, _UNITS_PER_YEAR)
    if net[0] <= 0:
        return [], unit
    following = [*times[1:], times[-1]]
    return [((after - time) // unit, net[time]) for time, after in zip(times, following, strict=True)][::-1], unit


def calculate_annual_ppm(factor: int, periods_per_year: int) -> int | None:
    """Return factor^-periods_per_year - 1 in ppm, nearest; None above APR_PPM_MAX.

    The factor is the discount over one period, over 2^DISCOUNT_BITS.
    """
    if factor == 0:
        return None
    growth = (_ONE << _BITS) // factor
    if (growth.bit_length() - _BITS - 1) * periods_per_year > 40:
        return None
    apr_ppm = divide_half_even(PPM * (_power(growth, periods_per_year) - _ONE), _ONE)
    return apr_ppm if apr_ppm <= APR_PPM_MAX else None


def get_unit_period(period: Period) -> UnitPeriod:
    """Return the unit-period of payments one period apart: the common period, at most a year (Appendix J (b)(4))."""
    year = {PeriodUnit.MONTH: 12, PeriodUnit.WEEK: 52, PeriodUnit.DAY: 365}[period.unit]
    if period.every > year:
        return UnitPeriod(unit=PeriodUnit.MONTH, every=12)
    return UnitPeriod(unit=period.unit, every=period.every)


def get_unit_periods_per_year(unit: UnitPeriod) -> tuple[int, int]:
    """Return the unit-periods in a year as a fraction (num, den): 12 months, 24 semimonths, 52 weeks or 365 days."""
    if unit.semimonth:
        return 24, 1
    return {PeriodUnit.MONTH: 12, PeriodUnit.WEEK: 52, PeriodUnit.DAY: 365}[unit.unit], unit.every


def calculate_unit_periods(
    unit: UnitPeriod, earlier: int, later: int, *, anchor_day: int | None = None
) -> tuple[int, int, int]:
    """Return (full, num, den): the unit-periods between two dates, Appendix J (b)(5).

    Full months are measured back from the later date, on its own day or on `anchor_day`. With unit-periods of a month
    the rest is days of 30; with semimonths or several months every full month is 30 days; with a year the rest is
    months of 12 where it is whole months, else days of 365; days and weeks are counted as they are.
    """
    assert earlier <= later, "time runs from the earlier date"
    if unit.unit is not PeriodUnit.MONTH:
        length = unit.every * (7 if unit.unit is PeriodUnit.WEEK else 1)
        full, rest = divmod(later - earlier, length)
        return full, rest, length
    months = max(0, count_months_apart(earlier, later) - 1)
    while shift_months(later, -(months + 1), anchor_day=anchor_day) >= earlier:
        months += 1
    rest = shift_months(later, -months, anchor_day=anchor_day) - earlier
    if unit.every == 12:
        full, rest_months = divmod(months, 12)
        if rest == 0:
            return full, rest_months, 12
        return full, shift_months(later, -12 * full, anchor_day=anchor_day) - earlier, 365
    if unit.every == 1 and not unit.semimonth:
        return months, rest, 30
    length = 15 if unit.semimonth else 30 * unit.every
    full, rest = divmod(30 * months + rest, length)
    return full, rest, length


def _get_anchor_day(days: Sequence[int]) -> int | None:
    """Return the day of the month the days hang on, or None where they hang on no common one."""
    if all(get_day_of_month(day + 1) == 1 for day in days):
        return 31
    anchor_day = max(get_day_of_month(day) for day in days)
    common = all(shift_months(day, 0, anchor_day=anchor_day) == day for day in days)
    return anchor_day if common else None


def calculate_unit_flows(unit: UnitPeriod, origin: int, flows: Sequence[Flow]) -> tuple[UnitFlow, ...]:
    """Return dated flows as flows in unit-periods after the origin, which is the day of the first advance.

    Where they all fall on one day of the month, or on the last day of a month that lacks it, months are measured on
    that day; where all are last days of months, from last day to last day (Appendix J (b)(3)(iv)).
    """
    anchor_day = _get_anchor_day([day for day, _ in flows])
    timed = ((amount, *calculate_unit_periods(unit, origin, day, anchor_day=anchor_day)) for day, amount in flows)
    return tuple(UnitFlow(amount=amount, full=full, num=num, den=den) for amount, full, num, den in timed)


def _balance_at(rate: int, flows: Sequence[tuple[int, UnitFlow]], fractions: Sequence[tuple[int, int]]) -> int:
    """Return advances less payments at present value, scaled; rate is per unit-period, scaled."""
    factor = (_ONE << _BITS) // (_ONE + rate)
    # (1 + f * i) below the line: a fraction of a unit-period bears simple interest.
    simple = {(num, den): (_ONE << _BITS) // (_ONE + rate * num // den) for num, den in fractions}
    value, at, power = 0, 0, _ONE
    steps: dict[int, int] = {}
    for sign, flow in flows:
        distance = flow.full - at
        if distance:
            if distance not in steps:
                steps[distance] = _power(factor, distance)
            power, at = power * steps[distance] >> _BITS, flow.full
        value += sign * flow.amount * (power * simple[flow.num, flow.den] >> _BITS)
    return value


def calculate_apr_us_actuarial_ppm(
    advances: Sequence[UnitFlow], payments: Sequence[UnitFlow], unit: UnitPeriod
) -> int | None:
    """Return the actuarial APR in ppm, nearest; None where there is none between 0 and APR_PPM_MAX.

    The general equation of Appendix J (b)(8): each amount over (1 + f*i) * (1 + i)^t, with t full unit-periods and f
    the fraction left; the APR is i times the unit-periods in a year.
    """
    lent, paid = sum(flow.amount for flow in advances), sum(flow.amount for flow in payments)
    if lent <= 0 or paid < lent or any(flow.amount < 0 for flow in (*advances, *payments)):
        return None
    if paid == lent:
        return 0
    flows = sorted(
        [(1, flow) for flow in advances] + [(-1, flow) for flow in payments], key=lambda item: (item[1].full, item[0])
    )
    fractions = sorted({(flow.num, flow.den) for _, flow in flows})
    per_year_num, per_year_den = get_unit_periods_per_year(unit)
    bits = _BITS - _STEPS
    highest = APR_PPM_MAX * per_year_den * _ONE // (PPM * per_year_num) >> bits
    if _balance_at(highest << bits, flows, fractions) < 0:
        return None
    rate = _find_crossing(lambda at: -_balance_at(at << bits, flows, fractions), highest) << bits
    return divide_half_even(PPM * per_year_num * rate, per_year_den << _BITS)


def calculate_apr_us_dated_ppm(advances: Sequence[Flow], payments: Sequence[Flow], period: Period) -> int | None:
    """Return the actuarial APR in ppm of dated flows whose payments are one period apart, but perhaps for the first.

    None where there is none between 0 and APR_PPM_MAX. Time runs from the earliest advance.
    """
    unit, origin = get_unit_period(period), min(day for day, _ in advances)
    later = [flow for flow in advances if flow[0] > origin]
    first = UnitFlow(amount=sum(amount for day, amount in advances if day == origin), full=0)
    flows = calculate_unit_flows(unit, origin, [*later, *payments])
    return calculate_apr_us_actuarial_ppm([first, *flows[: len(later)]], flows[len(later) :], unit)
