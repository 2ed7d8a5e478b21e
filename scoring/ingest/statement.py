"""A statement as values: the parsed document, what was assumed on the way, and the refusals.

Shape: a reader builds a `Statement`, or raises a `StatementError` that names file, line and reason.

    StatementError
     +-- UnreadableFile       the bytes: size, encoding, broken container
     +-- UnknownFormat        readable, but no statement format we know
     +-- BadValue             one field is not what it must be: amount, date, currency
     +-- UnsupportedContent   well-formed, but not one account in one currency

Never put parsing here, and never show an account number unmasked.
"""

from datetime import date
from enum import StrEnum

import msgspec

from scoring.rows import Provenance, Row


class ErrorCode(StrEnum):
    """Stable codes of refusals; texts may change, codes may not."""

    EMPTY_FILE = "empty_file"
    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"
    BINARY_CONTENT = "binary_content"
    BROKEN_FILE = "broken_file"
    FORBIDDEN_XML = "forbidden_xml"
    UNKNOWN_FORMAT = "unknown_format"
    UNSUPPORTED_FORMAT = "unsupported_format"
    MISSING_COLUMN = "missing_column"
    BAD_AMOUNT = "bad_amount"
    SURPLUS_DIGITS = "surplus_digits"
    AMBIGUOUS_AMOUNT = "ambiguous_amount"
    BAD_DATE = "bad_date"
    AMBIGUOUS_DATE = "ambiguous_date"
    BAD_ROW = "bad_row"
    UNKNOWN_CURRENCY = "unknown_currency"
    MULTIPLE_CURRENCIES = "multiple_currencies"
    MULTIPLE_ACCOUNTS = "multiple_accounts"
    NO_ROWS = "no_rows"
    PERIOD_GAP = "period_gap"
    OVERLAP_DIFFERS = "overlap_differs"
    BALANCES_DIFFER = "balances_differ"


class WarningCode(StrEnum):
    """Stable codes of warnings: every assumption made, everything found that a lender should know."""

    CHAIN_BREAK = "chain_break"
    BALANCE_MISMATCH = "balance_mismatch"
    BALANCES_COMPUTED = "balances_computed"
    BALANCE_MASKED = "balance_masked"
    BALANCE_OUTSIDE_PERIOD = "balance_outside_period"
    TOTALS_MISMATCH = "totals_mismatch"
    ORDER_REVERSED = "order_reversed"
    ORDER_SORTED = "order_sorted"
    DAYS_OUT_OF_ORDER = "days_out_of_order"
    SAME_DAY_DUPLICATES = "same_day_duplicates"
    DUPLICATE_IDS = "duplicate_ids"
    NEUTRAL_ROWS = "neutral_rows"
    PENDING_ROWS = "pending_rows"
    LINES_SKIPPED = "lines_skipped"
    PERIOD_FROM_ROWS = "period_from_rows"
    ROW_OUTSIDE_PERIOD = "row_outside_period"
    CURRENCY_ASSUMED = "currency_assumed"
    DECIMAL_COMMA = "decimal_comma"
    DAY_FIRST_ASSUMED = "day_first_assumed"
    ENCODING_ASSUMED = "encoding_assumed"
    VALUE_DATE_USED = "value_date_used"
    CLOSED_ROWS = "closed_rows"
    COLUMN_ASSUMED = "column_assumed"
    CREDIT_CARD = "credit_card"
    EMPTY_STATEMENT = "empty_statement"
    ACCOUNT_ASSUMED = "account_assumed"
    MEETING_UNPROVEN = "meeting_unproven"


class StatementError(Exception):
    """A refused file: `code` is stable, `file`, `line` (1-based or None) and `reason` are for the person."""

    def __init__(self, code: ErrorCode, reason: str, *, line: int | None = None, file: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.line = line
        self.file = file

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        return f"{place}: {self.reason} [{self.code}]"


class UnreadableFile(StatementError):  # noqa: N818  (the tree is named after what is wrong)
    """The bytes cannot be read: too large, wrong encoding, broken container."""


class UnknownFormat(StatementError):  # noqa: N818
    """Readable, but not a statement format we know."""


class BadValue(StatementError):  # noqa: N818
    """A field is not what it must be; the whole file is refused, since a guess would change the books."""


class UnsupportedContent(StatementError):  # noqa: N818
    """Well-formed, but not the statement of one account in one currency."""


class StatementWarning(msgspec.Struct, frozen=True, kw_only=True):
    """One assumption or finding: a stable code and a sentence."""

    code: WarningCode
    sentence: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One document, or several joined, of one account in one currency: rows in the order of its balance chain."""

    format: str
    """One of `read.list_formats()`, or "several" of files in different formats."""
    currency: str
    """ISO 4217 code."""
    exponent: int
    """Decimal places of the currency; all amounts are integers in 10^-exponent units."""
    account_ref: str | None
    """The account as the document names it. Never show it: `mask_account` first."""
    holder: str | None
    opening_balance: int | None
    closing_balance: int | None
    first_day: int
    """Proleptic ordinal of the first day the document covers."""
    last_day: int
    """Proleptic ordinal of the document's own end, not of its last row."""
    provenance: Provenance
    rows: tuple[Row, ...]
    warnings: tuple[StatementWarning, ...]
    total_in: int
    total_out: int
    """Sum of the negative rows, as a positive number."""

    def __repr__(self) -> str:
        return f"Statement({self.format}, {self.currency}, {len(self.rows)} rows)"


def mask_account(account: str | None) -> str | None:
    """The account with all but its last four characters hidden, or None."""
    if not account:
        return None
    plain = "".join(account.split())
    return "****" + plain[-4:] if len(plain) > 4 else "****"


def view(statement: Statement) -> dict[str, object]:
    """The facts `liushui statement check --json` prints: JSON values only, amounts in minor units."""
    return {
        "format": statement.format,
        "currency": statement.currency,
        "exponent": statement.exponent,
        "account": mask_account(statement.account_ref),
        "rows": len(statement.rows),
        "first_date": date.fromordinal(statement.first_day).isoformat(),
        "last_date": date.fromordinal(statement.last_day).isoformat(),
        "opening_balance": statement.opening_balance,
        "closing_balance": statement.closing_balance,
        "total_in": statement.total_in,
        "total_out": statement.total_out,
        "provenance": statement.provenance.name.lower(),
        "warnings": [{"code": str(each.code), "sentence": each.sentence} for each in statement.warnings],
    }


def view_error(error: StatementError) -> dict[str, object]:
    """The facts of a refusal as JSON values."""
    return {"code": str(error.code), "file": error.file, "line": error.line, "reason": error.reason}
