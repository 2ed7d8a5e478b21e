"""The invented statements: exact books, files that read back to the same facts, and lives that a lender tells apart."""

from datetime import date
from itertools import pairwise

import pytest

from node.demo.bank.book import Book
from node.demo.bank.exports import wallet_entries
from node.demo.statements import Format, Profile, make_book, make_statement
from scoring import models
from scoring.features import calculate_features, check_statement
from scoring.ingest.read import read_statement
from scoring.ingest.statement import Statement, WarningCode
from scoring.points import Assessment
from scoring.rows import Category, Provenance
from tests.rules.determinism import assert_same_for_every_hash_seed, outputs_by_hash_seed

END = date(2026, 10, 31)
HOLDER = "周雨桐"
KEY = b"a key of thirty-two secret bytes"
BANK_FORMATS = (Format.OFX, Format.MT940, Format.CSV)
READ_AS = {
    Format.OFX: "ofx",
    Format.MT940: "mt940",
    Format.CSV: "csv",
    Format.ALIPAY: "alipay_csv",
    Format.WECHAT: "wechat",
}
# Two failed debits on one day cost the same charge twice, which a format without times shows as equal rows.
HARMLESS = {
    WarningCode.BALANCES_COMPUTED,
    WarningCode.ORDER_REVERSED,
    WarningCode.NEUTRAL_ROWS,
    WarningCode.SAME_DAY_DUPLICATES,
}


def read(profile: Profile, form: Format, *, seed: int = 1, currency: str = "CNY", end: date = END) -> Statement:
    """The generated file as the product reads it."""
    data = make_statement(profile, format=form, end=end, seed=seed, currency=currency, holder=HOLDER)
    return read_statement(data, name="statement", counterparty_key=KEY)


def book_of(profile: Profile, form: Format, *, seed: int = 1, currency: str = "CNY", end: date = END) -> Book:
    """The book behind the same file."""
    is_wallet = form in (Format.ALIPAY, Format.WECHAT)
    return make_book(profile, end=end, seed=seed, currency=currency, holder=HOLDER, is_wallet=is_wallet)


def assess(statement: Statement, *, principal_major: int) -> Assessment:
    """What the shipped model says on the day after the statement for twelve instalments."""
    model = models.load_model("cashflow-v1-cny")
    features = calculate_features(
        statement.rows,
        as_of=statement.last_day + 1,
        last_day=statement.last_day,
        instalment=-(-principal_major * 100 // 12),
        principal=principal_major * 100,
    )
    return model.assess(model.calculate_bins(features))


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("seed", [1, 2])
def test_the_balance_chain_closes(profile: Profile, seed: int) -> None:
    """Each balance is the one before plus the amount, in the order of time, from opening to closing."""
    book = make_book(profile, end=END, seed=seed, holder=HOLDER)
    balance = book.opening
    for entry in book.entries:
        balance += entry.amount
        assert entry.balance == balance
        assert entry.amount != 0
    assert balance == book.closing == book.opening + book.total_in - book.total_out
    assert all(first.at <= second.at for first, second in pairwise(book.entries))
    assert (book.first_day, book.last_day) == (date(2025, 11, 1), END)
    assert {entry.at.date() for entry in book.entries} <= {
        date.fromordinal(day) for day in range(book.first_day.toordinal(), END.toordinal() + 1)
    }


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("form", BANK_FORMATS)
def test_a_bank_file_reads_back_to_its_book(profile: Profile, form: Format) -> None:
    """Rows, period, totals, opening and closing balance of the file are the book's, without a doubtful warning."""
    statement, book = read(profile, form), book_of(profile, form)
    assert statement.format == READ_AS[form]
    assert statement.currency == "CNY"
    assert [row.amount for row in statement.rows] == [entry.amount for entry in book.entries]
    assert [row.day for row in statement.rows] == [entry.at.toordinal() for entry in book.entries]
    assert (statement.opening_balance, statement.closing_balance) == (book.opening, book.closing)
    assert (statement.total_in, statement.total_out) == (book.total_in, book.total_out)
    assert (statement.first_day, statement.last_day) == (book.first_day.toordinal(), book.last_day.toordinal())
    assert [row.balance for row in statement.rows] == [entry.balance for entry in book.entries]
    assert {each.code for each in statement.warnings} <= HARMLESS


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("form", [Format.ALIPAY, Format.WECHAT])
def test_a_wallet_file_reads_back_to_its_book(profile: Profile, form: Format) -> None:
    """Every movement that passes through the wallet is there; withdrawals count nothing, refunds are money in."""
    statement, entries = read(profile, form), wallet_entries(book_of(profile, form))
    expected = [0 if entry.kind.is_neutral and entry.amount < 0 else entry.amount for entry in entries]
    assert statement.format == READ_AS[form]
    assert [row.amount for row in statement.rows] == expected
    assert statement.total_in == sum(amount for amount in expected if amount > 0)
    assert statement.provenance is Provenance.FILE
    assert {each.code for each in statement.warnings} <= HARMLESS


def test_layouts_are_the_real_ones() -> None:
    """Alipay: GB18030 with the heading at line 25; WeChat: at line 17; OFX 1.0.2 and MT940 are plain ASCII."""
    files = {
        form: make_statement(Profile.SHOPKEEPER, format=form, end=END, months=2, seed=3, holder=HOLDER)
        for form in Format
    }
    assert files[Format.ALIPAY].decode("gb18030").splitlines()[24].startswith("交易时间,交易分类,交易对方,对方账号,")
    assert (
        files[Format.WECHAT].decode("utf-8-sig").splitlines()[16].startswith("交易时间,交易类型,交易对方,商品,收/支,")
    )
    assert files[Format.OFX].startswith(b"OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\n")
    assert max(len(line) for line in files[Format.MT940].decode("ascii").splitlines()) <= 65
    assert files[Format.MT940].count(b":60F:") == 2


@pytest.mark.parametrize("currency", ["USD", "CZK"])
@pytest.mark.parametrize("form", BANK_FORMATS)
def test_other_currencies_read_back(form: Format, currency: str) -> None:
    """The same life at another price level, in a file of that currency."""
    statement = read(Profile.GIG_WORKER, form, currency=currency)
    book = book_of(Profile.GIG_WORKER, form, currency=currency)
    assert (statement.currency, statement.closing_balance) == (currency, book.closing)


def test_what_cannot_be_made_is_refused() -> None:
    """A wallet outside CNY, an unknown price level, a period of no months."""
    with pytest.raises(ValueError, match="CNY only"):
        make_statement(Profile.SHOPKEEPER, format=Format.ALIPAY, end=END, seed=1, currency="USD", holder=HOLDER)
    with pytest.raises(ValueError, match="no price level"):
        make_book(Profile.SHOPKEEPER, end=END, seed=1, currency="JPY", holder=HOLDER)
    with pytest.raises(ValueError, match="0 months"):
        make_book(Profile.SHOPKEEPER, end=END, months=0, seed=1, holder=HOLDER)


@pytest.mark.parametrize("end", [date(2024, 2, 29), date(2025, 12, 31), date(2026, 3, 30)])
def test_any_end_gives_whole_months(end: date) -> None:
    """Months of different length and leap days are no obstacle; the statement reaches exactly to its end."""
    statement = read(Profile.SALARIED_STEADY, Format.OFX, end=end)
    assert statement.last_day == end.toordinal()
    assert 365 <= statement.last_day - statement.first_day + 1 <= 367
    assert check_statement(statement.rows, as_of=end.toordinal() + 1, last_day=statement.last_day) is None


def test_seeds_and_profiles_differ_and_repeat() -> None:
    """One seed, one life; another seed, another life; no result depends on the hash seed of the process."""
    first = make_statement(Profile.GIG_WORKER, format=Format.CSV, end=END, seed=1, holder=HOLDER)
    assert first == make_statement(Profile.GIG_WORKER, format=Format.CSV, end=END, seed=1, holder=HOLDER)
    assert first != make_statement(Profile.GIG_WORKER, format=Format.CSV, end=END, seed=2, holder=HOLDER)
    program = (
        "import hashlib; from datetime import date; from node.demo.statements import *; "
        "print([hashlib.sha256(make_statement(p, format=Format.CSV, end=date(2026, 10, 31), seed=1, holder='x'))"
        ".hexdigest() for p in Profile])"
    )
    assert_same_for_every_hash_seed(program)
    assert len(set(outputs_by_hash_seed("print(hash('x'))").values())) > 1


def test_nobody_else_bears_the_name_of_the_holder() -> None:
    """A namesake's payments would be taken for the holder's own transfers; the name is one the pool does hold."""
    named = make_book(Profile.SHOPKEEPER, end=END, seed=0, holder=HOLDER, is_wallet=True)
    other = make_book(Profile.SHOPKEEPER, end=END, seed=0, holder="x", is_wallet=True)
    assert HOLDER not in {entry.party.zh for entry in named.entries}
    assert HOLDER in {entry.party.zh for entry in other.entries}


def test_words_reach_the_right_categories() -> None:
    """What a life does is recognised in each language: salary, loans, penalties, gambling, interest, own transfers."""
    for form in (Format.OFX, Format.CSV):
        troubled = {row.category for row in read(Profile.OVERSTRETCHED, form).rows}
        assert {
            Category.SALARY,
            Category.LOAN_DISBURSEMENT,
            Category.LOAN_REPAYMENT,
            Category.SANCTION,
            Category.GAMBLING,
            Category.INTEREST,
            Category.CASH,
            Category.HOUSEHOLD,
        } <= troubled
        steady = {row.category for row in read(Profile.SALARIED_STEADY, form).rows}
        assert {Category.SALARY, Category.OWN_TRANSFER, Category.INSURANCE, Category.INTEREST} <= steady
        assert not steady & {Category.SANCTION, Category.GAMBLING, Category.LOAN_DISBURSEMENT, Category.LOAN_REPAYMENT}
    firm = {row.category for row in read(Profile.SMALL_FIRM, Format.MT940).rows}
    assert {Category.BUSINESS_INCOME, Category.TAX, Category.INSURANCE} <= firm
    assert Category.BUSINESS_INCOME in {row.category for row in read(Profile.SHOPKEEPER, Format.ALIPAY).rows}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("principal", [20_000, 60_000])
def test_the_model_tells_the_lives_apart(seed: int, principal: int) -> None:
    """Sound accounts stand in the better bands with little risk; the overstretched one is worst by far."""
    sound = [
        assess(read(profile, form, seed=seed), principal_major=principal)
        for profile, form in (
            (Profile.SALARIED_STEADY, Format.OFX),
            (Profile.SHOPKEEPER, Format.CSV),
            (Profile.SMALL_FIRM, Format.MT940),
        )
    ]
    wallet = assess(read(Profile.SHOPKEEPER, Format.ALIPAY, seed=seed), principal_major=principal)
    troubled = assess(read(Profile.OVERSTRETCHED, Format.CSV, seed=seed), principal_major=principal)
    assert max(each.band for each in sound) <= 1
    assert max(each.pd_ppm for each in sound) < 20_000
    assert troubled.pd_ppm > 200_000
    assert troubled.points < wallet.points < min(each.points for each in sound)
