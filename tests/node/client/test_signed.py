"""A bank signs its customer's statement: the file comes back as it was signed, or is refused."""

from datetime import date

import msgspec
import pytest

from node.client.borrower import prepare_statement, prepare_statements
from node.client.signed import MAGIC, make_signed_file, read_signed_file
from node.demo.statements import Format, Profile, make_statement
from node.vault.crypto import check_plain
from protocol.codec import decode, encode
from protocol.crypto import KeySigner
from protocol.ids import ZERO_DIGEST, TimeMs
from protocol.vault import VaultPlain, check_provider, sign_statement
from scoring.ingest.statement import StatementError
from scoring.rows import Provenance

BANK = KeySigner(bytes([8]) * 32)
SECRET = bytes([9]) * 32


def make_export(format: Format = Format.OFX, end: date = date(2026, 10, 31)) -> bytes:  # noqa: A002
    return make_statement(Profile.SALARIED_STEADY, format=format, end=end, seed=5, holder="Li Na")


def sign(data: bytes | None = None, *, secret: bytes = SECRET, account: str | None = None) -> bytes:
    return make_signed_file(
        make_export() if data is None else data,
        name="statement",
        provider=BANK,
        secret=secret,
        account=account,
        time_ms=TimeMs(5),
    )


def test_a_signed_statement_is_read_as_it_was_signed_under_a_salt_of_the_borrowers_own() -> None:
    """Rows and facts as the bank had them, the best grade, and a root that the bank cannot recognise."""
    data = sign()
    plain = read_signed_file(data, name="x")
    assert plain.provenance == Provenance.PROVIDER_SIGNED
    assert plain.salt_key == ZERO_DIGEST
    prepared = prepare_statement(data, name="x", secret=b"mine")
    assert prepared.plain.rows == plain.rows
    assert prepared.plain.salt_key != ZERO_DIGEST
    assert check_plain(prepared.plain) is None
    own = prepare_statement(make_export(), name="x", secret=b"mine")
    assert [(one.day, one.amount) for one in own.plain.rows] == [(one.day, one.amount) for one in plain.rows]
    assert prepared.statement.format == "signed"
    assert prepared.statement.closing_balance == own.statement.closing_balance
    assert own.plain.provenance != Provenance.PROVIDER_SIGNED


def test_ids_are_stable_by_account_and_differ_between_banks() -> None:
    """The next month's statement has the same account and counterparties; another bank's keys hide them."""
    first = read_signed_file(sign(), name="x")
    later = read_signed_file(sign(make_export(end=date(2026, 11, 1))), name="x")
    other = read_signed_file(sign(secret=bytes([1]) * 32), name="x")
    assert first.provider is not None
    assert later.provider is not None
    assert other.provider is not None
    assert first.provider.account == later.provider.account != other.provider.account
    assert {one.counterparty for one in first.rows} & {one.counterparty for one in later.rows} - {bytes(16)}
    assert not {one.counterparty for one in first.rows} & {one.counterparty for one in other.rows} - {bytes(16)}


def edit(plain: VaultPlain, **changes: object) -> VaultPlain:
    return msgspec.structs.replace(plain, **changes)


def test_every_edit_breaks_the_signature() -> None:
    """One amount, one category, the period, the currency, the opening balance, the time: all are signed."""
    plain = read_signed_file(sign(), name="x")
    rows, mark = list(plain.rows), plain.provider
    assert mark is not None
    row = rows[7]
    edits = [
        edit(plain, rows=(*rows[:7], msgspec.structs.replace(row, amount=row.amount + 1), *rows[8:])),
        edit(plain, rows=(*rows[:7], msgspec.structs.replace(row, category=9), *rows[8:])),
        edit(plain, rows=tuple(rows[:-1])),
        edit(plain, first_day=plain.first_day - 1),
        edit(plain, last_day=plain.last_day + 1),
        edit(plain, currency="USD"),
        edit(plain, opening_balance=123),
        edit(plain, provider=msgspec.structs.replace(mark, time_ms=6)),
        edit(plain, provider=msgspec.structs.replace(mark, account=ZERO_DIGEST)),
        edit(plain, provider=msgspec.structs.replace(mark, key=KeySigner(bytes(32)).public_key)),
    ]
    assert [check_provider(one) for one in edits] == ["provider_signature"] * len(edits)
    for one in edits:
        with pytest.raises(StatementError) as caught:
            read_signed_file(MAGIC + encode(one), name="x")
        assert caught.value.code == "broken_file"


def test_grade_and_mark_belong_together() -> None:
    """The best grade without a mark is a claim; a mark under another grade contradicts itself."""
    plain = read_signed_file(sign(), name="x")
    assert check_provider(edit(plain, provider=None)) == "provenance_unproven"
    assert check_provider(edit(plain, provenance=3)) == "provenance_differs"
    assert check_provider(edit(plain, provenance=3, provider=None)) is None
    assert check_plain(edit(plain, provider=None)) == "provenance_unproven"
    again = sign_statement(BANK, edit(plain, provenance=3, provider=None), account=ZERO_DIGEST, time_ms=TimeMs(1))
    assert check_provider(again) is None


def test_a_damaged_file_and_a_mixture_are_refused() -> None:
    """Cut, prolonged or joined with another file: refused with its name."""
    data = sign()
    for broken in (data[:-1], data + b"\0", MAGIC, MAGIC + b"x"):
        with pytest.raises(StatementError) as caught:
            read_signed_file(broken, name="march")
        assert (caught.value.code, caught.value.file) == ("broken_file", "march")
    with pytest.raises(StatementError) as caught:
        prepare_statements([("march", data), ("april", make_export())], secret=b"s")
    assert caught.value.code == "unsupported_format"
    assert decode(data[len(MAGIC) :], VaultPlain).provider is not None


def test_an_account_must_be_known() -> None:
    """An export that names no account needs --account."""
    with pytest.raises(StatementError) as caught:
        sign(make_export(Format.WECHAT))
    assert caught.value.code == "missing_column"
    named = read_signed_file(sign(make_export(Format.WECHAT), account="62 22"), name="x")
    same = read_signed_file(sign(make_export(Format.WECHAT), account="6222"), name="x")
    assert named.provider is not None
    assert same.provider is not None
    assert named.provider.account == same.provider.account
