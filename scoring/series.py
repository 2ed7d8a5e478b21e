"""Integer statistics and the day-by-day view of one statement, on which every feature stands.

Part of the verified zone: never a float, a true division, a set iteration, a clock or a text here. All divisions are
floor divisions; a denominator that is not positive gives None, which is MISSING.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import isqrt
from operator import attrgetter
from typing import Final

from scoring.rows import Category, Row

WINDOW_DAYS: Final = 30
YEAR_DAYS: Final = 365
WINDOWS: Final = 6
WINDOWS_MIN: Final = 3
"""Fewer whole windows of history than this say nothing about regularity."""
BPS_LIMIT: Final = 10_000_000

_DAY: Final = attrgetter("day")
_SEQ: Final = attrgetter("seq")

# Sets for looking a category up, never to be iterated.
NOT_INCOME: Final = frozenset(
    (
        Category.INTEREST,
        Category.REFUND,
        Category.REVERSAL,
        Category.OWN_TRANSFER,
        Category.LOAN_DISBURSEMENT,
    )
)
NOT_SPENDING: Final = frozenset((Category.OWN_TRANSFER, Category.REVERSAL))
FIXED: Final = frozenset(
    (
        Category.HOUSEHOLD,
        Category.INSURANCE,
        Category.LOAN_REPAYMENT,
        Category.TAX,
        Category.FEE,
        Category.SANCTION,
    )
)
"""Spending a household or firm cannot put off."""


def calculate_clip(value: int) -> int:
    """`value` held within +-BPS_LIMIT."""
    return max(-BPS_LIMIT, min(BPS_LIMIT, value))


def calculate_bps(numerator: int, denominator: int | None) -> int | None:
    """floor(numerator * 10000 / denominator) clipped to +-10^7; None when the denominator is None or not positive."""
    if denominator is None or denominator <= 0:
        return None
    return calculate_clip(numerator * 10_000 // denominator)


def calculate_mean(values: Sequence[int]) -> int | None:
    """Floor of the arithmetic mean; None of nothing."""
    return sum(values) // len(values) if values else None


def calculate_sd(values: Sequence[int]) -> int | None:
    """isqrt of the floored population variance around the floored mean; None of nothing."""
    mean = calculate_mean(values)
    if mean is None:
        return None
    return isqrt(sum((value - mean) * (value - mean) for value in values) // len(values))


def calculate_median(values: Sequence[int]) -> int | None:
    """Median; of an even count the floor of the mean of the middle two; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


def is_income(row: Row) -> bool:
    """Money earned: positive, and not interest, refund, reversal, own transfer or a loan paid out."""
    return row.amount > 0 and row.category not in NOT_INCOME


def is_spending(row: Row) -> bool:
    """Money gone: negative, and neither moved to an own account nor a reversal."""
    return row.amount < 0 and row.category not in NOT_SPENDING


class DaySums:
    """Amounts of rows that ascend by day, summed over any span of days in O(log n) by running totals."""

    __slots__ = ("_days", "_totals")

    def __init__(self, rows: Sequence[Row]) -> None:
        self._days = [row.day for row in rows]
        self._totals = [0, *accumulate([row.amount for row in rows])]

    def since(self, day: int) -> int:
        """Sum on and after a day."""
        return self._totals[-1] - self._totals[bisect_left(self._days, day)]

    def by_day(self) -> dict[int, int]:
        """Sum of each day that has a row, in ascending order."""
        ends = dict(zip(self._days, self._totals[1:], strict=True))  # of a day's totals the last one stays
        return dict(zip(ends, [after - before for before, after in pairwise((0, *ends.values()))], strict=True))

    def windows(self, count: int, *, as_of: int) -> tuple[int, ...]:
        """Sum per 30-day window, newest window first; W_k = [asof-30(k+1), asof-30k)."""
        places = [bisect_left(self._days, as_of - WINDOW_DAYS * window) for window in range(count + 1)]
        return tuple(self._totals[end] - self._totals[begin] for end, begin in pairwise(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The rows before `as_of`, in chain order, with the end-of-day balances of at most the last year."""

    rows: tuple[Row, ...]
    days: tuple[int, ...]
    """The day of each row."""
    amounts: tuple[int, ...]
    """The amount of each row."""
    shown: tuple[int | None, ...]
    """The balance that each row shows."""
    as_of: int
    first_day: int
    end_day: int
    eod_day: int
    """Day of the first entry of `eod`: first_day, or 365 days before as_of when that is later."""
    eod: tuple[int, ...]
    """Balance at the end of eod_day, eod_day + 1, ... end_day; empty when no row shows a balance."""
    lowest: int | None
    """Least end-of-day balance of the whole history."""

    def since(self, days: int) -> tuple[Row, ...]:
        """Rows of the last `days` days before as_of."""
        return self.rows[bisect_left(self.days, self.as_of - days) :]

    def balances(self, days: int) -> tuple[int, ...]:
        """End-of-day balances of the last `days` days (D_n), back to the first row or the year at most."""
        start = max(0, self.as_of - days - self.eod_day)
        return self.eod[start:]

    def windows(self) -> int:
        """How many of the six 30-day windows before as_of lie wholly within the history."""
        return min(WINDOWS, (self.as_of - self.first_day) // WINDOW_DAYS)


def calculate_balances(amounts: Sequence[int], shown: Sequence[int | None]) -> list[int] | None:
    """Balance after each row: what the row shows, else what its neighbours' amounts imply; None when none shows one.

    Filling in by arithmetic means that masking a low balance gains nothing.
    """
    known = next(((index, balance) for index, balance in enumerate(shown) if balance is not None), None)
    if known is None:
        return None
    place, first = known
    balance = first - sum(amounts[: place + 1])
    balances = []
    for amount, found in zip(amounts, shown, strict=True):
        balance = balance + amount if found is None else found
        balances.append(balance)
    return balances


def calculate_series(rows: Sequence[Row], *, as_of: int, last_day: int) -> Series | None:
    """The series of the rows with day < as_of; None when there is none.

    Balances are carried forward up to the statement's own last day, never past as_of - 1.
    """
    kept = [row for row in rows if row.day < as_of]
    if not kept:
        return None
    # Two stable sorts by one integer make (day, seq), in half the time of one by pairs.
    kept.sort(key=_SEQ)
    kept.sort(key=_DAY)
    days = [row.day for row in kept]
    amounts = [row.amount for row in kept]
    shown = [row.balance for row in kept]
    first_day = days[0]
    end_day = max(days[-1], min(last_day, as_of - 1))
    eod_day = max(first_day, as_of - YEAR_DAYS)
    # In ascending order; of a day's balances the last one stays.
    ends = dict(zip(days, calculate_balances(amounts, shown) or (), strict=False))
    eod: list[int] = []
    for (day, balance), next_day in zip(ends.items(), [*list(ends)[1:], end_day + 1], strict=False):
        if next_day > eod_day:
            eod += [balance] * (next_day - max(eod_day, day))
    return Series(
        rows=tuple(kept),
        days=tuple(days),
        amounts=tuple(amounts),
        shown=tuple(shown),
        as_of=as_of,
        first_day=first_day,
        end_day=end_day,
        eod_day=eod_day,
        eod=tuple(eod),
        lowest=min(ends.values(), default=None),
    )
