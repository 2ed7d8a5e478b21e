"""What is exported, column by column, whatever the format and wherever it is read from. Never a file or a request here.

A subject's tag is in no table: with it one person's accounts could be found.
"""

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec

What = Literal["loans", "events", "postings", "transactions", "accounts", "balances"]
Kind = Literal["text", "int", "flag", "json"]
Row = tuple[Any, ...]


class Column(NamedTuple):
    """One column; money is in minor units, ids are hex, days are ISO dates, `json` is a JSON text."""

    name: str
    kind: Kind


def _make(text: str) -> tuple[Column, ...]:
    """Columns of `name:kind` separated by spaces; without a kind it is text."""
    parts = (one.partition(":") for one in text.split())
    return tuple(Column(name, kind or "text") for name, _, kind in parts)  # type: ignore[arg-type]


COLUMNS: Final[dict[What, tuple[Column, ...]]] = {
    "loans": _make(
        "id state kind borrower lender lender_name pool product currency exponent:int principal:int principal_out:int"
        " rate_ppm:int apr_ppm:int total_cost:int disbursed_on today days_past_due:int days_past_due_max:int bucket"
        " asset_class stage:int overdue:int next_due_on next_due:int payoff:int restructures:int on_hold:flag paid:json"
    ),
    "events": _make("height:int index:int kind data:json"),
    "postings": _make("height:int index:int line:int kind loan owner book currency debit:int credit:int"),
    "transactions": _make("height:int index:int id success:flag rejection:int rejection_code outcome:json"),
    "accounts": _make("id name kind roles level:int expires_on frozen:flag opened_ms:int key"),
    "balances": _make("owner book currency debit:int credit:int"),
}


def write_json(value: object) -> str:
    """The JSON text of a cell."""
    return msgspec.json.encode(value).decode()


def make_loan_row(summary: dict[str, Any]) -> Row:
    """A loan as the API sums it up."""
    values = (summary[one.name] for one in COLUMNS["loans"])
    return tuple(write_json(each) if isinstance(each, dict) else each for each in values)


def make_event_row(height: int, index: int, kind: str, data: bytes) -> Row:
    """One event of the ledger."""
    return height, index, kind, data.decode()


def make_posting_rows(height: int, index: int, kind: str, data: dict[str, Any]) -> Iterator[Row]:
    """The postings of one event; most events have some, and every posting belongs to one."""
    loan = data.get("loan")
    for line, one in enumerate(data.get("postings", ())):
        shown = loan if isinstance(loan, str) else None
        yield height, index, line, kind, shown, one["owner"], one["book"], one["currency"], one["debit"], one["credit"]
