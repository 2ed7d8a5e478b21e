"""A revenue-share loan's expected rows: a share of sales pays net and discount back, day by day.

    payment per day = volume * share / days of the volume        n = (net + discount) / payment, rounded up
    the daily rate r solves  sum of payments / (1 + r)^k = net   and earns the discount row by row

The discount is earned by what is paid, not by the days that pass: a payment of 24.68 units earns what the first 24 rows
and 0.68 of the next earn. Sales themselves, breaches and minimum payments do not belong here.
"""

from collections.abc import Sequence

import msgspec

from protocol.loans.apr import calculate_discount_factor
from protocol.money import PPM, divide_ceil, divide_half_even

REVENUE_ROWS_MAX = 1_096
"""Three years of days; bounds the work of solving for the rate to about twenty milliseconds."""


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


def calculate_revenue_schedule(terms: RevenueTerms) -> tuple[RevenueRow, ...]:
    """Return the expected rows; empty where the daily payment is zero or the rows would be more than the limit."""
    payment, total = calculate_daily_payment(terms), terms.net + terms.discount
    if payment <= 0 or terms.net <= 0 or divide_ceil(total, payment) > REVENUE_ROWS_MAX:
        return ()
    count = divide_ceil(total, payment)
    payments = [payment] * (count - 1) + [total - payment * (count - 1)]
    factor, one = calculate_discount_factor(terms.net, payments)
    # From the last payment backwards the errors of fixed point shrink; forwards they would grow with the rate. Only
    # what is stated is rounded, so rounding never builds up.
    balances = [0]
    for amount in reversed(payments):
        balances.append((balances[-1] + amount * one) * factor // one)
    balances.reverse()
    rows, paid, earned_before = [], 0, 0
    for index, amount in enumerate(payments, start=1):
        paid += amount
        balance = divide_half_even(balances[index], one)
        earned = balance + paid - terms.net
        rows.append(
            RevenueRow(
                index=index,
                payment=amount,
                earned=earned - earned_before,
                balance=balance,
                unearned=terms.discount - earned,
            )
        )
        earned_before = earned
    return tuple(rows)


def calculate_units_earned(rows: Sequence[RevenueRow], paid: int) -> int:
    """Return the discount that `paid` in all has earned: whole rows, and the share of the row reached, half-even."""
    earned = 0
    for row in rows:
        if paid < row.payment:
            return earned + divide_half_even(row.earned * paid, row.payment)
        earned, paid = earned + row.earned, paid - row.payment
    return earned
