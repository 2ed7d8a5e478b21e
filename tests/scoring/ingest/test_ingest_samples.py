"""The real samples beside the repository: each gives exactly these figures or this refusal."""

import json
from collections.abc import Callable
from decimal import Decimal

import pytest

from scoring.ingest.statement import Statement, StatementError, view
from scoring.rows import Category, Provenance

# file: (format, currency, rows, opening, closing, money in, money out), minor units
READ = {
    "ofx_bank_medium.ofx": ("ofx", "CAD", 3, 72761, 38234, 0, 34527),
    "mt940_ing.sta": ("mt940", "EUR", 7, 0, 347, 468, 5027),
    "csv_european_decimals.csv": ("csv", "EUR", 3, None, None, 350000, 123906),
    "cn_alipay.csv": ("alipay_csv", "CNY", 10, None, None, 22229453, 21164),
    "cn_wechat.csv": ("wechat", "CNY", 27, None, None, 2849, 290453),
    "cn_icbc_debit.csv": ("icbc", "CNY", 11, None, None, 284174, 424108),
    "cn_cmb_debit.csv": ("cmb", "CNY", 5, 3766, 8122, 123400, 201314),
    "plaid_business_account.json": ("plaid", "USD", 36, None, 15285423, 3964070, 5706164),
}
# file: (code, line)
REFUSED = {
    "ofx_bad_decimal.ofx": ("bad_amount", 37),
    "mt940_february_30.sta": ("bad_date", 6),
    "camt053_multicurrency.xml": ("multiple_currencies", 93),
}
WARNED = {
    "ofx_bank_medium.ofx": {"balances_computed"},
    "mt940_ing.sta": {"balance_mismatch"},
    "csv_european_decimals.csv": {"decimal_comma", "column_assumed", "period_from_rows"},
    "cn_alipay.csv": {"currency_assumed", "neutral_rows", "closed_rows", "order_sorted", "row_outside_period"},
    "cn_wechat.csv": {"neutral_rows", "order_sorted", "row_outside_period"},
    "cn_icbc_debit.csv": {"balance_masked", "lines_skipped", "totals_mismatch", "order_reversed", "period_from_rows"},
    "cn_cmb_debit.csv": {"order_sorted", "chain_break", "period_from_rows"},
    "plaid_business_account.json": {"balance_outside_period", "order_reversed", "period_from_rows"},
}


@pytest.mark.parametrize("name", sorted(READ))
def test_sample_gives_exact_figures(name: str, sample: Callable[[str], bytes], read: Callable[..., Statement]) -> None:
    """A real statement becomes exactly the rows, balances and totals that a person reads off it."""
    statement = read(sample(name), name)
    found = (
        statement.format,
        statement.currency,
        len(statement.rows),
        statement.opening_balance,
        statement.closing_balance,
        statement.total_in,
        statement.total_out,
    )
    assert found == READ[name]
    assert {str(each.code) for each in statement.warnings} == WARNED[name]
    assert statement.provenance is Provenance.FILE
    assert [row.seq for row in statement.rows] == list(range(len(statement.rows)))
    json.dumps(view(statement))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_bad_sample_is_refused_with_file_line_and_reason(
    name: str, sample: Callable[[str], bytes], refusal: Callable[..., StatementError]
) -> None:
    """A broken statement is refused, and the refusal names the file, the line and the reason."""
    error = refusal(sample(name), name)
    assert (str(error.code), error.line) == REFUSED[name]
    assert error.file == name
    assert name in str(error)
    assert f"line {error.line}" in str(error)
    assert error.reason in str(error)


def test_plaid_totals_equal_an_independent_sum(sample: Callable[[str], bytes], read: Callable[..., Statement]) -> None:
    """Plaid's positive amounts are money out: the totals are those of a plain sum over the JSON."""
    data = sample("plaid_business_account.json")
    items = json.loads(data, parse_float=Decimal)["override_accounts"][0]["transactions"]
    statement = read(data)
    assert statement.total_out == sum(int(Decimal(item["amount"]) * 100) for item in items if item["amount"] > 0)
    assert statement.total_in == -sum(int(Decimal(item["amount"]) * 100) for item in items if item["amount"] < 0)


def test_known_movements_get_their_category(sample: Callable[[str], bytes], read: Callable[..., Statement]) -> None:
    """Wages, refunds, card repayments and own transfers of a real account are told apart."""
    statement = read(sample("cn_icbc_debit.csv"))
    by_amount = {(row.amount, row.day): row.category for row in statement.rows}
    assert list(by_amount.values()).count(Category.SALARY) == 1
    assert by_amount[(104, statement.rows[0].day)] is Category.REFUND
    assert Category.LOAN_REPAYMENT in by_amount.values()
    assert Category.OWN_TRANSFER in by_amount.values()
