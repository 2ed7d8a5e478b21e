"""The PKDD'99 bank's loans as labelled statements. Standard library only; never a file of the data in the package.

Source: Petr Berka, Marta Sochorova, PKDD'99 Discovery Challenge: `loans.csv` and `transactions.csv.gz` as described
beside them. A loan's statement is every movement of its account strictly before the day of granting.
"""

import csv
import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from scoring.features import calculate_features
from scoring.rows import NO_COUNTERPARTY, Category, Channel, Row

CURRENCY: Final = "CZK"
GROUP_PREFIX: Final = "group_"
CATEGORIES: Final = {
    "INTEREST": Category.INTEREST,
    "SANCTION_INTEREST": Category.SANCTION,
    "HOUSEHOLD": Category.HOUSEHOLD,
    "INSURANCE": Category.INSURANCE,
    "STATEMENT_FEE": Category.FEE,
    "LOAN_REPAYMENT": Category.LOAN_REPAYMENT,
    "LOAN": Category.LOAN_REPAYMENT,
    "PENSION": Category.SALARY,
}
CHANNELS: Final = {
    "CASH_IN": Channel.CASH,
    "CASH_OUT": Channel.CASH,
    "COLLECT_IN": Channel.TRANSFER,
    "REMIT_OUT": Channel.TRANSFER,
    "CARD_OUT": Channel.CARD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledLoan:
    """One granted loan, its statement and its outcome."""

    loan_id: int
    as_of: int
    """Day of granting, proleptic ordinal; `last_day` of the statement is the day before."""
    principal: int
    instalment: int
    """ceil(principal / number of instalments), minor units."""
    bad: bool
    rows: tuple[Row, ...]
    groups: tuple[tuple[str, str], ...] = ()
    """(attribute, value) of every column `group_ATTRIBUTE`: for the fairness table, never for a fit."""

    def features(self) -> dict[str, int | None]:
        """The features as they stood when the loan was granted."""
        return calculate_features(
            self.rows,
            as_of=self.as_of,
            last_day=self.as_of - 1,
            instalment=self.instalment,
            principal=self.principal,
        )


def _calculate_row(record: dict[str, str]) -> Row:
    """One movement. The counterparty's id is a digest of bank and account: the data names nobody."""
    symbol, operation, amount = record["k_symbol"], record["operation"], int(record["amount_minor"])
    category = CATEGORIES.get(symbol)
    channel = CHANNELS.get(operation, Channel.UNKNOWN)
    if category in (Category.INTEREST, Category.SANCTION, Category.FEE):
        channel = Channel.BANK_CHARGE
    if category is None:
        category = {
            Channel.CASH: Category.CASH,
            Channel.CARD: Category.SHOPPING,
            Channel.TRANSFER: Category.TRANSFER,
        }.get(channel, Category.OTHER)
    party = NO_COUNTERPARTY
    if record["account"]:
        party = hashlib.sha256(f"{record['bank']}|{record['account']}".encode()).digest()[:16]
    return Row(
        day=date.fromisoformat(record["date"]).toordinal(),
        seq=int(record["seq"]),
        amount=amount,
        balance=int(record["balance_minor"]),
        counterparty=party,
        category=category,
        channel=channel,
        minute=-1,
    )


def load_loans(data_dir: Path) -> tuple[LabelledLoan, ...]:
    """Every loan of `data_dir`/loans.csv with its statement, in order of (day, loan_id).

    Raises FileNotFoundError when a file is absent, KeyError or ValueError when one is not of this form.
    """
    rows: dict[int, list[Row]] = {}
    with gzip.open(data_dir / "transactions.csv.gz", "rt", encoding="utf-8", newline="") as source:
        for record in csv.DictReader(source):
            rows.setdefault(int(record["loan_id"]), []).append(_calculate_row(record))
    with (data_dir / "loans.csv").open(encoding="utf-8", newline="") as source:
        loans = [_calculate_loan(record, rows) for record in csv.DictReader(source)]
    return tuple(sorted(loans, key=lambda loan: (loan.as_of, loan.loan_id)))


def _calculate_loan(record: dict[str, str], rows: dict[int, list[Row]]) -> LabelledLoan:
    principal, periods, loan_id = int(record["amount_minor"]), int(record["duration"]), int(record["loan_id"])
    return LabelledLoan(
        loan_id=loan_id,
        as_of=date.fromisoformat(record["date"]).toordinal(),
        principal=principal,
        instalment=-(-principal // periods),
        bad=record["bad"] == "1",
        rows=tuple(rows.get(loan_id, ())),
        groups=tuple(
            (name.removeprefix(GROUP_PREFIX), (record[name] or "").strip())
            for name in record
            if str(name).startswith(GROUP_PREFIX)  # cells beyond the header stand under no name
        ),
    )


def iterate_features(loans: tuple[LabelledLoan, ...]) -> Iterator[tuple[LabelledLoan, dict[str, int | None]]]:
    """Each loan with its features."""
    for loan in loans:
        yield loan, loan.features()
