"""What a reader hands over before rows are ordered, checked and categorised.

Never put format knowledge here, and never rules about order (chain.py) or meaning (categories.py).
"""

from dataclasses import dataclass, field

import msgspec

from scoring.ingest.limits import ROWS_MAX, WARNING_ROWS_MAX
from scoring.ingest.statement import ErrorCode, StatementWarning, UnreadableFile, WarningCode
from scoring.rows import Category


class RawRow(msgspec.Struct, frozen=True, kw_only=True):
    """One movement as the file tells it, amounts already in minor units."""

    line: int | None
    day: int
    second: int = -1
    """Second of the day, or -1."""
    amount: int
    balance: int | None = None
    name: str = ""
    """The other party as printed."""
    account: str = ""
    """The other party's account as printed."""
    text: str = ""
    """All that is said about the movement; categories are made from it."""
    category: Category | None = None
    """Set only where the format itself says what the row is."""


@dataclass(slots=True, kw_only=True)
class Draft:
    """A document being read."""

    format: str
    currency: str
    exponent: int
    account: str | None = None
    holder: str | None = None
    opening: int | None = None
    closing: int | None = None
    first_day: int | None = None
    last_day: int | None = None
    carry_balances: bool = False
    """The document gives an opening or closing balance that holds for exactly these rows."""
    rows: list[RawRow] = field(default_factory=list)
    warnings: list[StatementWarning] = field(default_factory=list)

    def add(self, row: RawRow) -> None:
        """Take one more row. Raises UnreadableFile `too_large` past the limit."""
        if len(self.rows) >= ROWS_MAX:
            raise UnreadableFile(ErrorCode.TOO_LARGE, f"more than {ROWS_MAX} rows", line=row.line)
        self.rows.append(row)

    def warn(self, code: WarningCode, sentence: str) -> None:
        """Note an assumption or a finding; the same sentence is noted once."""
        warning = StatementWarning(code=code, sentence=sentence)
        if warning not in self.warnings:
            self.warnings.append(warning)


def list_numbers(numbers: list[int]) -> str:
    """ "1, 2, 3 and 7 more": row or line numbers for a sentence, bounded."""
    shown = ", ".join(str(number) for number in numbers[:WARNING_ROWS_MAX])
    rest = len(numbers) - WARNING_ROWS_MAX
    return f"{shown} and {rest} more" if rest > 0 else shown
