"""Hostile files: whatever the bytes, ingest ends soon, in bounded memory, with a statement or a StatementError."""

import io
import json
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoring.ingest.limits import BYTES_MAX, ROWS_MAX
from scoring.ingest.read import read_statement
from scoring.ingest.statement import Statement, StatementError, view

KEY = bytes(range(32))
CAMT = (
    '<Document><BkToCstmrStmt><Stmt><Acct><Id><IBAN>DE1</IBAN></Id></Acct><Ntry><Amt Ccy="EUR">1.50</Amt>'
    "<CdtDbtInd>DBIT</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>2024-01-31</Dt></BookgDt></Ntry></Stmt></BkToCstmrStmt></Document>"
)
SEEDS = {
    "csv": b"date,amount,balance,description,counterparty,currency\n2024-03-01,100.00,1100.00,a,x,EUR\n2024-03-02,-50.00,1050.00,b,y,EUR\n",  # noqa: E501
    "german": "Buchungstag;Text;Soll;Haben;Saldo\n31.01.2024;Miete;1.000,50;;99,50\n".encode("cp1252"),
    "ofx": b"<OFX><STMTRS><CURDEF>USD<BANKTRANLIST><DTSTART>20240301<DTEND>20240331<STMTTRN><TRNTYPE>POS<DTPOSTED>20240301"  # noqa: E501
    b"<TRNAMT>-5.00<FITID>1<NAME>A</STMTTRN></BANKTRANLIST><LEDGERBAL><BALAMT>1.00<DTASOF>20240331</LEDGERBAL></STMTRS></OFX>",
    "mt940": b":20:X\n:25:1\n:28C:1\n:60F:C240301EUR10,00\n:61:2403020302D1,00NTRFX\n:86:166?00A?32B\n:62F:C240331EUR9,00\n-\n",  # noqa: E501
    "camt": CAMT.encode(),
    "alipay": "交易时间,交易对方,收/支,金额,交易状态,交易订单号\n2024-03-20 12:00:00,某,支出,9.00,交易成功,1\n".encode(
        "gb18030"
    ),
    "plaid": json.dumps(
        {"transactions": [{"amount": 12.5, "date": "2024-03-02", "name": "x", "iso_currency_code": "USD"}]}
    ).encode(),
    "berlin": json.dumps(
        {"booked": [{"transactionAmount": {"currency": "EUR", "amount": "-2.6"}, "bookingDate": "2024-03-02"}]}
    ).encode(),
}


def read_or_refuse(data: bytes) -> Statement | StatementError:
    """A statement or its refusal; any other exception passes through and fails the test."""
    try:
        statement = read_statement(data, name="f", counterparty_key=KEY)
    except StatementError as error:
        str(error)
        return error
    json.dumps(view(statement))
    return statement


@pytest.mark.parametrize("name", sorted(SEEDS))
def test_seeds_are_valid(name: str) -> None:
    """Mutations start from files that are read, so that they reach deep into each parser."""
    assert isinstance(read_or_refuse(SEEDS[name]), Statement)


@pytest.mark.parametrize("name", sorted(SEEDS))
@settings(max_examples=150, deadline=None)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 2000), st.sampled_from(["set", "cut", "insert", "double"]), st.binary(max_size=4)),
        min_size=1,
        max_size=6,
    )
)
def test_mutated_files_raise_nothing_but_statement_errors(name: str, edits: list[tuple[int, str, bytes]]) -> None:
    """Bytes changed, cut, inserted or doubled anywhere give a statement or a StatementError, nothing else."""
    data = bytearray(SEEDS[name])
    for place, kind, content in edits:
        at = place % (len(data) + 1)
        if kind == "set":
            data[at : at + len(content)] = content
        elif kind == "cut":
            del data[at : at + 1 + len(content)]
        elif kind == "insert":
            data[at:at] = content
        else:
            data[at:at] = data[at : at + 40]
    read_or_refuse(bytes(data))


@settings(max_examples=300, deadline=None)
@given(
    data=st.binary(max_size=300),
    start=st.sampled_from([b"", b"{", b"[", b"<", b"<OFX>", b":20:\n:60F:", b"PK\x03\x04"]),
)
def test_random_bytes_raise_nothing_but_statement_errors(data: bytes, start: bytes) -> None:
    """Random bytes behind any format's first bytes give a StatementError, nothing else."""
    read_or_refuse(start + data)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=200), name=st.sampled_from(sorted(SEEDS)))
def test_random_text_in_a_file_raises_nothing_but_statement_errors(text: str, name: str) -> None:
    """Any Unicode within a valid file gives a statement or a StatementError."""
    seed = SEEDS[name].decode("gb18030" if name == "alipay" else "cp1252")
    half = len(seed) // 2
    read_or_refuse((seed[:half] + text + seed[half:]).encode("utf-8", errors="replace"))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 100_000), content=st.binary(min_size=1, max_size=6), kind=st.sampled_from(["xls", "xlsx"]))
def test_mutated_workbooks_raise_nothing_but_statement_errors(
    place: int,
    content: bytes,
    kind: str,
    make_xls: Callable[..., bytes],
    make_xlsx: Callable[..., bytes],
) -> None:
    """A damaged workbook is refused as such, even where the spreadsheet library panics."""
    rows = [["date", "amount", "balance", "description", "counterparty"], ["2024-03-01", 1.5, 2.5, "a", "b"]]
    data = bytearray((make_xls if kind == "xls" else make_xlsx)(rows))
    at = place % len(data)
    data[at : at + len(content)] = content
    read_or_refuse(bytes(data))


def test_size_limit(refusal: Callable[..., StatementError]) -> None:
    """A file beyond the limit is refused before it is looked at."""
    started = time.process_time()
    assert refusal(b"a" * (BYTES_MAX + 1)).code == "too_large"
    assert time.process_time() - started < 1


def test_row_limit(refusal: Callable[..., StatementError]) -> None:
    """One row too many refuses the file; nothing is cut off."""
    row = "2024-03-01,1.00,,a,b,EUR\n"
    error = refusal("date,amount,balance,description,counterparty,currency\n" + row * (ROWS_MAX + 1))
    assert (str(error.code), error.line) == ("too_large", ROWS_MAX + 2)


@pytest.mark.parametrize(
    "prolog",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://example.invalid/x">%p;]>',
    ],
)
def test_xml_entities_are_refused(prolog: str, refusal: Callable[..., StatementError]) -> None:
    """Entity expansion and external references never start."""
    assert refusal('<?xml version="1.0"?>' + prolog + CAMT).code == "forbidden_xml"


def test_deep_documents_are_refused(refusal: Callable[..., StatementError]) -> None:
    """Nesting beyond any real statement is refused, in XML, OFX and JSON alike."""
    assert refusal("<a>" * 5000).code == "too_large"
    assert refusal("<OFX>" + "<A>" * 5000).code == "too_large"
    assert refusal("[" * 200_000).code == "broken_file"


def test_nul_bytes_are_refused_with_their_line(refusal: Callable[..., StatementError]) -> None:
    """NUL bytes are no text; the refusal says where they are."""
    error = refusal(SEEDS["csv"] + b"2024-03-03,\x00,,,,\n")
    assert (str(error.code), error.line) == ("binary_content", 4)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"%PDF-1.7 ...", "unsupported_format"),
        (b"<!DOCTYPE html><html></html>", "unsupported_format"),
        (b"hello, world\nthis is a letter\n", "unknown_format"),
        (b"   \n", "empty_file"),
        (b'{"a": 1}', "unknown_format"),
        (b"<a/>", "unknown_format"),
        (b"\x81\x8d\xff\x90", "bad_encoding"),
    ],
)
def test_other_files_are_refused_by_kind(data: bytes, code: str, refusal: Callable[..., StatementError]) -> None:
    """What is no statement is refused as what it is."""
    assert refusal(data).code == code


def _zip(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_zip_bomb_is_refused_in_bounded_memory(refusal: Callable[..., StatementError]) -> None:
    """A workbook that unpacks to gigabytes is refused after the limit, not after the gigabytes."""
    bomb = _zip({f"xl/part{index}.bin": bytes(40 * 1024 * 1024) for index in range(4)})
    assert len(bomb) < 1024 * 1024
    tracemalloc.start()
    assert refusal(bomb).code == "too_large"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400 * 1024 * 1024


def test_workbook_part_larger_than_it_says_is_refused(
    make_xlsx: Callable[..., bytes], refusal: Callable[..., StatementError]
) -> None:
    """A part whose stated size is a lie is refused before the spreadsheet library sees it."""
    data = bytearray(make_xlsx([["x"] * 5] * 50))
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 10)
    assert refusal(bytes(data)).code == "broken_file"


def test_sparse_sheet_is_refused(make_xlsx: Callable[..., bytes], refusal: Callable[..., StatementError]) -> None:
    """Two cells at the far corners would be laid out as 17 thousand million; refused before."""
    sheet = '<worksheet><sheetData><row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'
    assert refusal(make_xlsx([], sheet)).code == "too_large"


def test_workbook_entities_are_refused(make_xlsx: Callable[..., bytes], refusal: Callable[..., StatementError]) -> None:
    """A document type within a workbook's XML is refused like in any XML."""
    assert refusal(make_xlsx([], '<!DOCTYPE x [<!ENTITY a "b">]><worksheet/>')).code == "forbidden_xml"


@pytest.mark.parametrize(
    "data",
    [
        b'date,amount,balance,description,counterparty\n"' + b"a" * (5 * 1024 * 1024),
        b"<OFX>" + b"<A><![CDATA[" * 300_000,
        b"<OFX>" + b"<A>1" * 1_000_000,
        b":20:X\n:60F:C240301EUR1,00\n" + b":86:?20\n" * 300_000,
        b'{"transactions": "' + b'\\"' * 2_000_000,
        b"date,amount,balance,description,counterparty\n" + b"," * 5_000_000,
        b"<Document>" + b"<a/>" * 1_000_000 + b"</Document>",
        b"\n" * 5_000_000 + b"x",
    ],
    ids=["quote", "cdata", "tags", "fields", "escapes", "columns", "elements", "breaks"],
)
def test_work_is_bounded_in_time(data: bytes) -> None:
    """Megabytes made to provoke quadratic work are refused within seconds."""
    started = time.process_time()
    assert isinstance(read_or_refuse(data), StatementError)
    assert time.process_time() - started < 20


def test_a_full_statement_is_read_in_seconds() -> None:
    """The largest chain that is allowed is ordered and checked in linear time."""
    head = "date,amount,balance,description,counterparty,currency\n"
    rows = [f"2024-03-{1 + index // 1700:02d},1.00,{index + 1}.00,a,b{index % 50},EUR" for index in range(50_000)]
    started = time.process_time()
    statement = read_or_refuse((head + "\n".join(reversed(rows))).encode())
    assert isinstance(statement, Statement)
    assert len(statement.rows) == 50_000
    assert time.process_time() - started < 30
