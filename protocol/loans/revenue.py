"""A revenue-share loan's expected rows: a share of sales pays net and discount back, day by day.

    payment per day = volume * share / days of the volume        n = (net + discount) / payment, rounded up
    the daily rate r solves  sum of payments / (1 + r)^k = net   and earns the discount row by row

The discount is earned by what is paid, not by the days that pass: a payment of 24.68 units earns what the first 24 rows
and 0.68 of the next earn. Sales themselves, breaches and minimum payments do not belong here.
"""

import msgspec

from protocol.loans.apr import DISCOUNT_BITS, calculate_annual_ppm, calculate_even_factor, calculate_even_value
from protocol.money import PPM, divide_ceil, divide_half_even

REVENUE_ROWS_MAX = 1_096
"""Three years of days; bounds the work of a whole schedule to about ten milliseconds."""
REVENUE_FACTOR_BYTES = DISCOUNT_BITS // 8 + 1
"""What holds any daily factor: 96 bits after the point, and the one before it."""
DAYS_PER_YEAR = 365
"""Of the annual rate (Directive 2008/48/EC Annex I: a year is presumed to have 365 days)."""


class RevenueTerms(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the expected rows follow from; money in minor units."""

    net: int
    """Paid out, above zero."""
    discount: int
    """The price, earned over the life; not negative."""
    volume: int
    """Expected sales over `volume_days`."""
    share_ppm: int
    """Share of sales that repays."""
    volume_days: int
    """Days over which the volume is expected (360 or 365)."""


class RevenueRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One expected payment; minor units."""

    index: int
    """From 1; the day after disbursement."""
    payment: int
    earned: int
    """Discount that this payment earns."""
    balance: int
    """Net amount still out after the payment."""
    unearned: int
    """Discount still to be earned after it."""


def calculate_daily_payment(terms: RevenueTerms) -> int:
    """Return the expected payment per day, half-even."""
    return divide_half_even(terms.volume * terms.share_ppm, PPM * terms.volume_days)


def calculate_revenue_count(terms: RevenueTerms) -> int:
    """Return the number of expected rows; 0 where the terms have none (no daily payment, or rows above the limit)."""
    payment, total = calculate_daily_payment(terms), terms.net + terms.discount
    if payment <= 0 or terms.net <= 0 or terms.discount < 0 or divide_ceil(total, payment) > REVENUE_ROWS_MAX:
        return 0
    return divide_ceil(total, payment)


def calculate_revenue_factor(terms: RevenueTerms) -> int:
    """Return the daily discount factor 1 / (1 + r) over 2^DISCOUNT_BITS, in REVENUE_FACTOR_BYTES; 0 without rows.

    Solved once, at the contract (under a millisecond); all later questions take it from there. It is 2^DISCOUNT_BITS
    where there is no discount.
    """
    count, payment = calculate_revenue_count(terms), calculate_daily_payment(terms)
    if count == 0:
        return 0
    last = terms.net + terms.discount - payment * (count - 1)
    return calculate_even_factor(terms.net, payment=payment, count=count, last=last)


def _earned_scaled(terms: RevenueTerms, factor: int, count: int, payment: int, index: int) -> int:
    """Return the discount earned when row `index` is paid, over 2^DISCOUNT_BITS: what is out and paid, less the net.

    What is still out is the value of the rows that are left, calculated for each row by itself, so that no error grows.
    """
    if index == 0:
        return 0
    total = terms.net + terms.discount
    last = total - payment * (count - 1)
    out = calculate_even_value(factor, payment=payment, count=count - index, last=last)
    return out + ((min(index * payment, total) - terms.net) << DISCOUNT_BITS)


def calculate_revenue_earned(terms: RevenueTerms, factor: int, paid: int) -> int:
    """Return the discount earned when `paid` in all has been paid: whole rows, and the share of the row reached.

    The running total is exact and rounded once, half-even, so a payment earns the difference of two of them and no
    rounding builds up. Never falls with `paid`; 0 at 0; the whole discount from net + discount on. The factor is
    `calculate_revenue_factor` of the terms; the cost is that of a few multiplications.
    """
    assert factor > 0, "terms without rows earn nothing that could be asked for"
    assert paid >= 0, "what is paid is not negative"
    total = terms.net + terms.discount
    if paid >= total:
        return terms.discount
    count, payment = calculate_revenue_count(terms), calculate_daily_payment(terms)
    index, part = divmod(paid, payment)
    earned = _earned_scaled(terms, factor, count, payment, index)
    if part == 0:
        return divide_half_even(earned, 1 << DISCOUNT_BITS)
    row = min(payment, total - index * payment)
    earned_after = _earned_scaled(terms, factor, count, payment, index + 1)
    return divide_half_even(earned * (row - part) + earned_after * part, row << DISCOUNT_BITS)


def calculate_revenue_apr_ppm(factor: int) -> int | None:
    """Return the effective APR of the expected rows, ppm, nearest: one payment a day from the day after pay-out.

    That is (1 + r)^365 - 1, every interval in days; None above APR_PPM_MAX. The factor is `calculate_revenue_factor`'s.
    """
    assert factor > 0, "terms without rows have no rate"
    return calculate_annual_ppm(factor, DAYS_PER_YEAR)


def calculate_revenue_schedule(terms: RevenueTerms) -> tuple[RevenueRow, ...]:
    """Return the expected rows; empty where `calculate_revenue_count` is 0."""
    count, payment = calculate_revenue_count(terms), calculate_daily_payment(terms)
    factor = calculate_revenue_factor(terms)
    rows, paid, earned = [], 0, 0
    for index in range(1, count + 1):
        amount = min(payment, terms.net + terms.discount - paid)
        paid += amount
        earned_before, earned = earned, calculate_revenue_earned(terms, factor, paid)
        rows.append(
            RevenueRow(
                index=index,
                payment=amount,
                earned=earned - earned_before,
                balance=terms.net + earned - paid,
                unearned=terms.discount - earned,
            )
        )
    return tuple(rows)
