"""Invented labelled loans in the layout of the training data: nothing here comes from a bank."""

import csv
import gzip
from datetime import date
from pathlib import Path

from tests.scoring.synthetic import AS_OF, make_rows

LOANS = ("loan_id", "account_id", "date", "amount_minor", "duration", "payment_minor", "bad")
ROWS = ("loan_id", "date", "seq", "amount_minor", "balance_minor", "operation", "k_symbol", "bank", "account")


def write_loans(folder: Path, thrifts: list[int], bad: list[bool], **groups: list[str]) -> Path:
    """One loan per entry, all of one day; `thrifts` are percents of the salary spent, `groups` columns group_NAME."""
    loans, rows = [], []
    for loan_id, (thrift, flag) in enumerate(zip(thrifts, bad, strict=True)):
        told = [column[loan_id] for column in groups.values()]
        loans.append((loan_id, loan_id, date.fromordinal(AS_OF), 2_400_000, 12, 200_000, int(flag), *told))
        for row in make_rows(loan_id, thrift=thrift):
            kind = "COLLECT_IN" if row.amount > 0 else "CASH_OUT"
            rows.append((loan_id, date.fromordinal(row.day), row.seq, row.amount, row.balance, kind, "", "", ""))
    with (folder / "loans.csv").open("w", newline="") as file:
        csv.writer(file).writerows(((*LOANS, *(f"group_{name}" for name in groups)), *loans))
    with gzip.open(folder / "transactions.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows((ROWS, *rows))
    return folder
