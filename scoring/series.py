"""Integer statistics and the day-by-day view of one statement, on which every feature stands.

Part of the verified zone: never a float, a true division, a set iteration, a clock or a text here. All divisions are
floor divisions; a denominator that is not positive gives None, which is MISSING.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
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

NOT_INCOME: Final = (
    Category.INTEREST,
    Category.REFUND,
    Category.REVERSAL,
    Category.OWN_TRANSFER,
    Category.LOAN_DISBURSEMENT,
)
NOT_SPENDING: Final = (Category.OWN_TRANSFER, Category.REVERSAL)
FIXED: Final = (
    Category.HOUSEHOLD,
    Category.INSURANCE,
    Category.LOAN_REPAYMENT,
    Category.TAX,
    Category.FEE,
    Category.SANCTION,
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


def select_since(rows: Sequence[Row], day: int) -> Sequence[Row]:
    """The rows on and after a day; `rows` ascend by day."""
    return rows[bisect_left(rows, day, key=_DAY) :]


def is_income(row: Row) -> bool:
    """Money earned: positive, and not interest, refund, reversal, own transfer or a loan paid out."""
    return row.amount > 0 and row.category not in NOT_INCOME


def is_spending(row: Row) -> bool:
    """Money gone: negative, and neither moved to an own account nor a reversal."""
    return row.amount < 0 and row.category not in NOT_SPENDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The rows before `as_of`, in chain order, with the end-of-day balances of at most the last year."""

    rows: tuple[Row, ...]
    as_of: int
    first_day: int
    end_day: int
    eod_day: int
    """Day of the first entry of `eod`: first_day, or 365 days before as_of when that is later."""
    eod: tuple[int, ...]
    """Balance at the end of eod_day, eod_day + 1, ... end_day; empty when no row shows a balance."""
    lowest: int | None
    """Least end-of-day balance of the whole history."""

    def since(self, days: int) -> Sequence[Row]:
        """Rows of the last `days` days before as_of."""
        return select_since(self.rows, self.as_of - days)

    def balances(self, days: int) -> tuple[int, ...]:
        """End-of-day balances of the last `days` days (D_n), back to the first row or the year at most."""
        start = max(0, self.as_of - days - self.eod_day)
        return self.eod[start:]

    def windows(self) -> int:
        """How many of the six 30-day windows before as_of lie wholly within the history."""
        return min(WINDOWS, (self.as_of - self.first_day) // WINDOW_DAYS)

    def window_sums(self, rows: Sequence[Row]) -> tuple[int, ...]:
        """Absolute amounts of `rows` summed per whole window, newest window first; W_k = [asof-30(k+1), asof-30k).

        `rows` are some of this series', in its order.
        """
        count = self.windows()
        sums = [0] * count
        newest = self.as_of - 1
        for row in select_since(rows, self.as_of - WINDOW_DAYS * count):
            sums[(newest - row.day) // WINDOW_DAYS] += abs(row.amount)
        return tuple(sums)


def calculate_balances(rows: Sequence[Row]) -> list[int] | None:
    """Balance after each row: what the row shows, else what its neighbours' amounts imply; None when none shows one.

    Filling in by arithmetic means that masking a low balance gains nothing.
    """
    known = next((index for index, row in enumerate(rows) if row.balance is not None), None)
    if known is None:
        return None
    shown = rows[known].balance
    assert shown is not None
    balance = shown - sum(row.amount for row in rows[: known + 1])
    balances = []
    for row in rows:
        found = row.balance
        balance = balance + row.amount if found is None else found
        balances.append(balance)
    return balances


def calculate_series(rows: Sequence[Row], *, as_of: int, last_day: int) -> Series | None:
    """The series of the rows with day < as_of; None when there is none.

    Balances are carried forward up to the statement's own last day, never past as_of - 1.
    """
    ordered = [row for row in rows if row.day < as_of]
    if not ordered:
        return None
    # Two stable sorts by one integer make (day, seq), in half the time of one by pairs.
    ordered.sort(key=_SEQ)
    ordered.sort(key=_DAY)
    kept = tuple(ordered)
    first_day = kept[0].day
    end_day = max(kept[-1].day, min(last_day, as_of - 1))
    eod_day = max(first_day, as_of - YEAR_DAYS)
    eod: list[int] = []
    lowest: int | None = None
    days = [row.day for row in kept]
    nexts = [*days[1:], end_day + 1]
    for balance, day, next_day in zip(calculate_balances(kept) or (), days, nexts, strict=False):
        if next_day > day:
            if lowest is None or balance < lowest:
                lowest = balance
            eod.extend([balance] * (next_day - max(eod_day, day)))
    return Series(
        rows=kept,
        as_of=as_of,
        first_day=first_day,
        end_day=end_day,
        eod_day=eod_day,
        eod=tuple(eod),
        lowest=lowest,
    )
