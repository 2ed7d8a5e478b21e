"""What flowed through the account in the last 180 days: the rows sorted out once, for every feature to sum up.

Part of the verified zone: never a float, a true division, a set iteration, a clock or a text here. No feature's own
rule either: this file only says what is income and what is spending.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scoring.rows import Row
from scoring.series import FIXED, NOT_INCOME, NOT_SPENDING, DaySums, Series

FLOW_DAYS: Final = 180
"""The six windows of 30 days: nothing older is a flow to any feature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flows:
    """Rows of the last 180 days, each list in chain order."""

    income: Sequence[Row]
    """Money earned, as `is_income`."""
    unearned: Sequence[Row]
    """All other money in: interest, refunds, own transfers, loans paid out."""
    outgoing: Sequence[Row]
    """All money out, own transfers and reversals too."""
    spending: Sequence[Row]
    """Money spent, as `is_spending`."""
    fixed: Sequence[Row]
    """Spending that cannot be put off."""
    income_sums: DaySums
    income_windows: tuple[int, ...]
    """Income per whole window, newest window first."""
    fixed_windows: tuple[int, ...]
    """Fixed spending per whole window, as positive amounts."""


def calculate_flows(series: Series) -> Flows:
    """The flows of a series."""
    recent = series.since(FLOW_DAYS)
    incoming = [row for row in recent if row.amount > 0]
    income = [row for row in incoming if row.category not in NOT_INCOME]
    outgoing = [row for row in recent if row.amount < 0]
    spending = [row for row in outgoing if row.category not in NOT_SPENDING]
    fixed = [row for row in spending if row.category in FIXED]
    income_sums = DaySums(income)
    return Flows(
        income=income,
        unearned=[row for row in incoming if row.category in NOT_INCOME] if len(income) < len(incoming) else (),
        outgoing=outgoing,
        spending=spending,
        fixed=fixed,
        income_sums=income_sums,
        income_windows=income_sums.windows(series.windows(), as_of=series.as_of),
        fixed_windows=calculate_spent(fixed, series),
    )


def calculate_spent(rows: Sequence[Row], series: Series) -> tuple[int, ...]:
    """What rows of money out, in chain order, come to per whole window, as positive amounts, newest window first."""
    return tuple([-amount for amount in DaySums(rows).windows(series.windows(), as_of=series.as_of)])
