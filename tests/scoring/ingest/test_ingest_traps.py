"""The traps of real statement files: each is read exactly, warned about, or refused; never guessed in silence."""

import random
from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.ingest.assemble import calculate_counterparty
from scoring.ingest.categories import categorise
from scoring.ingest.money import EXPONENTS, decimal_mark, float_text, parse_amount
from scoring.ingest.read import read_statement
from scoring.ingest.statement import BadValue, Statement, StatementError, mask_account, view
from scoring.rows import NO_COUNTERPARTY, Category, Provenance

KEY = bytes(range(32))
HEADER = "date,amount,balance,description,counterparty,currency\n"
CHAIN = [
    "2024-03-01,100.00,1100.00,a,x,EUR",
    "2024-03-02,-50.00,1050.00,b,y,EUR",
    "2024-03-02,-25.00,1025.00,c,z,EUR",
    "2024-03-02,10.00,1035.00,d,w,EUR",
    "2024-03-05,-35.00,1000.00,e,v,EUR",
]


def own(*rows: str) -> str:
    return HEADER + "\n".join(rows) + "\n"


def codes(statement: Statement) -> set[str]:
    return {str(each.code) for each in statement.warnings}


def sentence(statement: Statement, code: str) -> str:
    return next(each.sentence for each in statement.warnings if each.code == code)


@pytest.mark.parametrize(
    ("text", "mark", "minor"),
    [
        ("1,234.56", ".", 123456),
        ("1.234,56", ",", 123456),
        ("1 234,56", ",", 123456),
        ("1'234.56", ".", 123456),
        ("-0.05", ".", -5),
        ("+7", ".", 700),
        (".5", ".", 50),
        ("50.0", ".", 5000),
        ("34.500", ".", 3450),
        ("(12.00)", ".", -1200),
        ("12.00-", ".", -1200),
        ("−12.00", ".", -1200),
        ("１２．５０", ".", 1250),
        ("€ 12.50", ".", 1250),
        ("12.50 EUR", ".", 1250),
    ],
)
def test_amount_texts(text: str, mark: str, minor: int) -> None:
    """Every way to write an amount gives the same exact minor units."""
    assert parse_amount(text, "EUR", mark=mark, grouped=True, symbols=True) == minor


@pytest.mark.parametrize(
    "text", ["", "-", "1,23.45", "12,34,567.00", "1.2.3", "1e5", "NaN", "$120", "--5", "1O0.00", "0x10", "١٢", "9" * 30]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """What is not plainly an amount is refused, not repaired."""
    with pytest.raises(BadValue) as caught:
        parse_amount(text, "EUR", grouped=True, line=7)
    assert caught.value.line == 7


def test_grouping_is_refused_where_a_format_has_none() -> None:
    """ISO and SWIFT amounts have no thousands separator, so a comma there is damage and not grouping."""
    with pytest.raises(BadValue):
        parse_amount("1,234", "EUR")


def test_another_currencys_sign_is_refused() -> None:
    """A dollar amount within a euro statement is another currency, not a typo."""
    with pytest.raises(BadValue) as caught:
        parse_amount("$5.00", "EUR", symbols=True)
    assert caught.value.code == "multiple_currencies"


@given(minor=st.integers(-(10**12), 10**12), currency=st.sampled_from(sorted(EXPONENTS)))
def test_amounts_round_trip(minor: int, currency: str) -> None:
    """Printing minor units with either decimal mark and grouping, then reading them, changes nothing."""
    exponent = EXPONENTS[currency]
    digits = str(abs(minor)).rjust(exponent + 1, "0")
    whole, fraction = (digits[:-exponent], digits[-exponent:]) if exponent else (digits, "")
    sign = "-" if minor < 0 else ""
    for mark, group in ((".", ","), (",", ".")):
        grouped = f"{int(whole):,}".replace(",", group)
        for text in (whole, grouped):
            printed = sign + text + (mark + fraction if fraction else "")
            assert parse_amount(printed, currency, mark=mark, grouped=True) == minor


@given(minor=st.integers(-(10**13), 10**13))
def test_float_cells_are_exact(minor: int) -> None:
    """A spreadsheet's float for an amount of up to fifteen digits is read as exactly that amount."""
    assert parse_amount(float_text(minor / 100), "EUR") == minor


@pytest.mark.parametrize(
    ("texts", "mark"),
    [(["1,234.56"], "."), (["1.234,56"], ","), (["12,5", "1.000"], ","), (["1.234.567"], ","), (["5", "100"], None)],
)
def test_decimal_mark_needs_evidence(texts: list[str], mark: str | None) -> None:
    """The decimal mark of a column follows from what is in it."""
    assert decimal_mark(texts) == mark


@pytest.mark.parametrize("texts", [["1,234"], ["1.234", "2.345"], ["1,5", "1.5"]])
def test_decimal_mark_without_evidence_is_refused(texts: list[str]) -> None:
    """1,234 is a thousand or one point two: a column that never shows which is refused."""
    with pytest.raises(BadValue) as caught:
        decimal_mark(texts)
    assert caught.value.code == "ambiguous_amount"


@pytest.mark.parametrize("bad", ["2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "0024-01-01", "2124-01-01"])
def test_impossible_days_are_refused(bad: str, refusal: Callable[..., StatementError]) -> None:
    """A day that does not exist is refused with its line, never moved to the next real one."""
    error = refusal(own(CHAIN[0], f"{bad},1.00,1101.00,x,y,EUR"), "march.csv")
    assert (str(error.code), error.line, error.file) == ("bad_date", 3, "march.csv")


def test_ambiguous_dates_are_refused(refusal: Callable[..., StatementError], read: Callable[..., Statement]) -> None:
    """03/04/2024 in English is two days; one date that decides it settles the whole column."""
    head = "Date,Amount,Memo,Currency\n"
    assert refusal(head + "03/04/2024,1.00,a,USD\n05/06/2024,1.00,b,USD\n").code == "ambiguous_date"
    settled = read(head + "03/04/2024,1.00,a,USD\n03/25/2024,1.00,b,USD\n")
    assert [row.day for row in settled.rows] == [date(2024, 3, 4).toordinal(), date(2024, 3, 25).toordinal()]
    assert refusal(head + "13/04/2024,1.00,a,USD\n03/25/2024,1.00,b,USD\n").code == "ambiguous_date"


def test_day_first_is_assumed_aloud_in_languages_that_write_so(read: Callable[..., Statement]) -> None:
    """French headings put the day first; where no date proves it, the statement says that it was assumed."""
    statement = read("Date;Libellé;Montant\n03/04/2024;a;1,50\n05/04/2024;b;2,50\n")
    assert statement.rows[0].day == date(2024, 4, 3).toordinal()
    assert {"day_first_assumed", "decimal_comma", "currency_assumed"} <= codes(statement)


def test_surplus_digits_are_refused(refusal: Callable[..., StatementError]) -> None:
    """A tenth of a cent is not dropped: the amount is refused."""
    error = refusal(own("2024-03-01,1.005,,a,b,EUR"))
    assert (str(error.code), error.line) == ("surplus_digits", 2)
    assert refusal("Date,Amount,Memo,Ccy\n2024-01-31,100.5,a,JPY\n").code == "surplus_digits"


def test_unknown_currency_is_refused(refusal: Callable[..., StatementError]) -> None:
    """Without its exponent a currency's minor units are unknown."""
    assert refusal(own("2024-03-01,1.00,,a,b,ZZZ")).code == "unknown_currency"
    assert refusal("Date,Amount,Memo\n2024-01-31,100.5,a\n").code == "unknown_currency"


def test_two_currencies_are_refused(refusal: Callable[..., StatementError]) -> None:
    """Rows in two currencies cannot be one chain; the refusal names the first foreign line."""
    error = refusal(own("2024-03-01,1.00,,a,b,EUR", "2024-03-02,1.00,,a,b,USD"))
    assert (str(error.code), error.line) == ("multiple_currencies", 3)


def test_garbled_row_is_refused_not_skipped(refusal: Callable[..., StatementError]) -> None:
    """A row that cannot be read refuses the file: leaving it out would change the books."""
    error = refusal(own(CHAIN[0], "2024-03-02,-5O.00,1050.00,b,y,EUR"))
    assert (str(error.code), error.line) == ("bad_amount", 3)
    error = refusal(own(CHAIN[0], "nonsense,-50.00,1050.00,b,y,EUR"))
    assert (str(error.code), error.line) == ("bad_date", 3)


def test_line_numbers_survive_quoted_line_breaks(refusal: Callable[..., StatementError]) -> None:
    """The line of a refusal is the file's, also after a cell that holds a line break."""
    error = refusal(own('2024-03-01,1.00,,"two\nlines",b,EUR', "2024-03-02,x,,a,b,EUR"))
    assert error.line == 4


def test_same_day_duplicates_are_kept_and_warned(read: Callable[..., Statement]) -> None:
    """Two equal coffees on one day are two coffees; the lender is told."""
    statement = read(own("2024-03-01,-3.50,,Coffee,Bar,EUR", "2024-03-01,-3.50,,Coffee,Bar,EUR"))
    assert [row.amount for row in statement.rows] == [-350, -350]
    assert "Rows 2 repeat" in sentence(statement, "same_day_duplicates")


def test_reversed_file_is_turned_and_warned(read: Callable[..., Statement]) -> None:
    """Newest first gives the same rows as oldest first, and says so."""
    statement = read(own(*reversed(CHAIN)))
    assert statement.rows == read(own(*CHAIN)).rows
    assert "order_reversed" in codes(statement)
    assert "order_reversed" not in codes(read(own(*CHAIN)))


@given(seed=st.integers(0, 10_000))
def test_any_order_of_lines_gives_the_one_chain(seed: int) -> None:
    """However the lines are shuffled, rows come out in the order in which the balances close."""
    shuffled = list(CHAIN)
    random.Random(seed).shuffle(shuffled)
    statement = read_statement(own(*shuffled).encode(), name="f", counterparty_key=KEY)
    assert [row.balance for row in statement.rows] == [110000, 105000, 102500, 103500, 100000]
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert (statement.opening_balance, statement.closing_balance) == (100000, 100000)


@given(index=st.integers(0, 4), column=st.sampled_from([1, 2]), change=st.integers(1, 10**6), data=st.data())
def test_every_edit_of_an_amount_or_balance_breaks_the_chain(
    index: int, column: int, change: int, data: st.DataObject
) -> None:
    """One edited amount or balance is noticed: the grade falls and the row is named. Only the first row's amount,
    which no earlier balance pins down, moves the opening balance instead."""
    rows = [row.split(",") for row in CHAIN]
    sign = data.draw(st.sampled_from([-1, 1]))
    cents = parse_amount(rows[index][column], "EUR") + sign * change
    rows[index][column] = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
    statement = read_statement(own(*(",".join(row) for row in rows)).encode(), name="f", counterparty_key=KEY)
    if (index, column) == (0, 1):
        assert statement.opening_balance != 100000
        return
    assert statement.provenance is Provenance.FILE
    assert "chain_break" in codes(statement)


def test_a_break_in_the_middle_names_its_row(read: Callable[..., Statement]) -> None:
    """A chain that breaks is reported with the row's number and left as it is."""
    rows = [CHAIN[0], CHAIN[1], "2024-03-03,-25.00,2025.00,c,z,EUR", "2024-03-04,10.00,2035.00,d,w,EUR"]
    statement = read(own(*rows))
    assert "row 3 is not" in sentence(statement, "chain_break")
    assert [row.balance for row in statement.rows] == [110000, 105000, 202500, 203500]
    assert statement.provenance is Provenance.FILE


def test_a_chain_that_closes_only_against_the_dates_keeps_its_order(read: Callable[..., Statement]) -> None:
    """Banks that print the day of purchase list rows in booking order: the chain decides, and the statement says so."""
    statement = read(own("2024-03-02,10,110,a,x,EUR", "2024-03-01,5,115,b,y,EUR", "2024-03-03,1,116,c,z,EUR"))
    assert [row.amount for row in statement.rows] == [1000, 500, 100]
    assert statement.provenance is Provenance.BALANCE_CHAIN
    assert "days_out_of_order" in codes(statement)


def test_repeated_transaction_ids_are_kept_and_warned(read: Callable[..., Statement]) -> None:
    """An OFX row whose id was there before is kept, and its line is named."""
    row = "<STMTTRN><TRNTYPE>POS<DTPOSTED>20240301<TRNAMT>-5.00<FITID>1<NAME>A</STMTTRN>\n"
    text = "<OFX><STMTRS><CURDEF>USD\n<BANKTRANLIST>\n" + row * 2 + "</BANKTRANLIST></STMTRS></OFX>"
    statement = read(text)
    assert [each.amount for each in statement.rows] == [-500, -500]
    assert "Lines 4 repeat" in sentence(statement, "duplicate_ids")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("<OFX>\n<STMTRS><CURDEF>USD</STMTRS>\n<STMTRS><CURDEF>USD</STMTRS>\n</OFX>", 3),
        (":20:A\n:25:1\n:60F:C240301EUR1,\n:62F:C240302EUR1,\n:20:B\n:25:2\n:60F:C240301EUR1,\n:62F:C240302EUR1,\n", 6),
    ],
)
def test_two_accounts_are_refused(text: str, line: int, refusal: Callable[..., StatementError]) -> None:
    """Two accounts in one file are two statements; the refusal names where the second begins."""
    error = refusal(text)
    assert (str(error.code), error.line) == ("multiple_accounts", line)


def test_given_closing_balance_must_be_met() -> None:
    """MT940's closing balance that the rows do not add up to costs the grade and every computed balance."""
    text = ":20:X\n:25:1\n:28C:1\n:60F:C240301EUR10,00\n:61:2403020302D1,00NTRFX\n:62F:C240331EUR8,99\n"
    statement = read_statement(text.encode(), name="f", counterparty_key=KEY)
    assert statement.provenance is Provenance.FILE
    assert "balance_mismatch" in codes(statement)
    assert statement.rows[0].balance is None
    assert statement.closing_balance == 899


def test_missing_balances_are_bridged_but_not_a_full_chain(read: Callable[..., Statement]) -> None:
    """Where only some rows show a balance, amounts between them must still add up; the grade stays FILE."""
    gap = [CHAIN[0], "2024-03-02,-50.00,,b,y,EUR", *CHAIN[2:]]
    statement = read(own(*gap))
    assert "chain_break" not in codes(statement)
    assert statement.provenance is Provenance.FILE
    broken = read(own(CHAIN[0], "2024-03-02,-51.00,,b,y,EUR", *CHAIN[2:]))
    assert "chain_break" in codes(broken)


def test_statement_end_is_the_documents_own(read: Callable[..., Statement]) -> None:
    """The last day is the one the document names; where it names none the last row stands in, with a warning."""
    text = ":20:X\n:25:1\n:28C:1\n:60F:C240301EUR10,00\n:61:2403020302D1,00NTRFX\n:62F:C240331EUR9,00\n"
    assert view(read(text))["last_date"] == "2024-03-31"
    statement = read(own(*CHAIN))
    assert view(statement)["last_date"] == "2024-03-05"
    assert "period_from_rows" in codes(statement)


def test_encodings(read: Callable[..., Statement], refusal: Callable[..., StatementError]) -> None:
    """UTF-8, UTF-16 with mark, GB18030 and Windows-1252 (aloud) give the same rows; a broken mark is refused."""
    text = "Datum;Text;Betrag;Währung\n31.01.2024;Büro;-1,50;EUR\n"
    rows = read(text).rows
    assert read(b"\xef\xbb\xbf" + text.encode()).rows == rows
    assert read(b"\xff\xfe" + text.encode("utf-16-le")).rows == rows
    western = read(text.encode("cp1252"))
    assert western.rows == rows
    assert "encoding_assumed" in codes(western)
    chinese = "日期,摘要,金额,余额\n2024-01-31,工资,1.00,2.00\n"
    assert read(chinese.encode("gb18030")).rows == read(chinese).rows
    assert refusal(b"\xff\xfe" + text.encode("utf-16-le") + b"\x00").code == "bad_encoding"


def test_counterparty_ids_are_keyed_and_normalised() -> None:
    """The id of a party depends on the key, not on case, width or spacing; placeholders and masks are nobody."""
    party = calculate_counterparty("ACME  GmbH", "", KEY)
    assert party == calculate_counterparty("Ａcme gmbh ", "", KEY)
    assert party != calculate_counterparty("ACME GmbH", "", bytes(32))
    assert party != calculate_counterparty("ACME AG", "", KEY)
    assert len(party) == 16
    assert calculate_counterparty("/", "1234****9876", KEY) == NO_COUNTERPARTY
    assert (
        calculate_counterparty("", "DE89 3704", KEY) == calculate_counterparty("", "de893704", KEY) != NO_COUNTERPARTY
    )


@pytest.mark.parametrize(
    ("text", "amount", "category"),
    [
        ("代发工资", 1, Category.SALARY),
        ("结息", 1, Category.INTEREST),
        ("贷款发放", 1, Category.LOAN_DISBURSEMENT),
        ("花呗还款", -1, Category.LOAN_REPAYMENT),
        ("ATM取现", -1, Category.CASH),
        ("手续费", -1, Category.FEE),
        ("冲正", 1, Category.REVERSAL),
        ("中国体彩", -1, Category.GAMBLING),
        ("代扣个人所得税", -1, Category.TAX),
        ("SBA LOAN; PAYMENT", -1, Category.LOAN_REPAYMENT),
        ("NSF FEE", -1, Category.SANCTION),
        ("taxi to parents", -1, Category.OTHER),
        ("Gehalt März", 1, Category.SALARY),
        ("car insurance", -1, Category.INSURANCE),
        ("", 1, Category.OTHER),
    ],
)
def test_categories(text: str, amount: int, category: Category) -> None:
    """Words and direction give the category; a word inside another word is no word."""
    assert categorise(text, "", amount) is category


def test_accounts_are_shown_masked(read: Callable[..., Statement]) -> None:
    """No account number leaves through the view or the repr."""
    statement = read("Date,Amount,Memo,Ccy,Account Number\n2024-01-31,1.00,a,EUR,DE89370400440532013000\n")
    assert statement.account_ref == "DE89370400440532013000"
    assert view(statement)["account"] == "****3000"
    assert "0440532013" not in f"{view(statement)}{statement!r}"
    assert mask_account("123") == "****"
    assert mask_account(None) is None


def test_the_name_in_a_refusal_is_safe_to_print(refusal: Callable[..., StatementError]) -> None:
    """Folders and terminal escapes in a file name do not reach the screen."""
    error = refusal(b"", "some/folder/\x1b[31mx.csv")
    assert error.file == "?[31mx.csv"
    assert error.code == "empty_file"
