"""Invoice lists as firms export them: read right, or refused with file, line and reason."""

from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoring.ingest.invoices import InvoiceFile, read_invoices, view_invoices
from scoring.ingest.limits import BYTES_MAX
from scoring.ingest.statement import ErrorCode, StatementError
from scoring.rows import NO_COUNTERPARTY

KEY = b"k" * 32
ZH = """企业进销项发票 导出时间,2027-01-05
发票代码,发票号码,开票日期,购方名称,购方识别号,金额,税额,价税合计,发票状态
0440,00012,2026-12-01,东方贸易有限公司,91310000A,"1,000.00",130.00,"1,130.00",有效发票
0440,00013,2026/12/03,东方贸易（有限）公司,91310000A,-100.00,-13.00,-113.00,红字发票
0440,00014,2026年12月4日,,,,,,作废发票
0441,00014,2026-12-05,李四,,200,0,200,正常
合计,,,,,"1,100.00",117.00,"1,217.00",
"""
EN = """Invoice No.;Issue date;Customer name;Net amount;VAT;Status;Currency
A-1;31.12.2026;Acme Ltd;1.000,50;190,10;issued;EUR
A-2;30.12.2026;Acme Ltd;10,00;1,90;Credit note;EUR
A-3;30.12.2026;;5,00;0,95;void;EUR
"""


def read(text: str | bytes) -> InvoiceFile:
    data = text.encode() if isinstance(text, str) else text
    return read_invoices(data, name="sales.csv", buyer_key=KEY)


def refuse(text: str | bytes) -> tuple[str, int | None, str]:
    """(code, line, reason) of a file that must be refused."""
    with pytest.raises(StatementError) as caught:
        read(text)
    assert caught.value.file == "sales.csv"
    return str(caught.value.code), caught.value.line, caught.value.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_a_chinese_list_is_read(encoding: str) -> None:
    """Title line, sum line, full dates, groups of thousands, credit notes and void forms, in the usual encodings."""
    found = read(ZH.encode(encoding))
    assert [one.amount for one in found.invoices] == [113_000, -11_300, 0, 20_000]
    assert [one.is_void for one in found.invoices] == [False, False, True, False]
    assert [one.day for one in found.invoices] == [date(2026, 12, day).toordinal() for day in (1, 3, 4, 5)]
    first, second, blank, other = (one.buyer for one in found.invoices)
    assert first == second != other
    assert blank == NO_COUNTERPARTY != other
    facts = view_invoices(found)
    assert facts["currency"] == "CNY"
    assert {"invoices": 4, "void": 1, "credit_notes": 1, "buyers": 2, "sales": 121_700}.items() <= facts.items()


def test_a_european_list_is_read() -> None:
    """Semicolons, decimal commas, days first, the tax beside the net amount, and the currency it names."""
    found = read(EN)
    assert (found.currency, found.exponent) == ("EUR", 2)
    assert [one.amount for one in found.invoices] == [119_060, 1_190, 595]
    assert (found.first_day, found.last_day) == (date(2026, 12, 30).toordinal(), date(2026, 12, 31).toordinal())


@pytest.mark.parametrize(
    ("before", "after", "code", "line"),
    [
        ("2026-12-05", "2026-02-30", ErrorCode.BAD_DATE, 6),
        ("正常", "不明", ErrorCode.BAD_ROW, 6),
        ("200,0,200", "200,0,201", ErrorCode.BAD_ROW, 6),
        ("200,0,200", "200,,", ErrorCode.BAD_AMOUNT, 6),
        ("200,0,200", "二百,0,200", ErrorCode.BAD_AMOUNT, 6),
        ("200,0,200", "200.001,0,200.001", ErrorCode.SURPLUS_DIGITS, 6),
        ("0441,00014", "0440,00014", ErrorCode.BAD_ROW, 6),
        ("0441,00014", "0441,", ErrorCode.BAD_ROW, 6),
        (",正常", "", ErrorCode.BAD_ROW, 6),
        ("发票状态", "备注", ErrorCode.MISSING_COLUMN, 2),
        ("税额,价税合计", "x,y", ErrorCode.MISSING_COLUMN, 2),
        ("税额,价税合计", "税额,含税金额,价税合计", ErrorCode.BAD_ROW, 2),
        ("李四", '"李四', ErrorCode.BAD_ROW, 6),
    ],
)
def test_what_is_wrong_is_named_by_line(before: str, after: str, code: ErrorCode, line: int) -> None:
    """Every fault stops the whole file, and says where."""
    assert before in ZH
    found = refuse(ZH.replace(before, after))
    assert found[:2] == (code, line), found


def test_files_that_are_no_list_are_refused() -> None:
    """Nothing, a workbook, another table, a heading alone, several currencies, too many bytes, control bytes."""
    head, *rows = EN.splitlines(keepends=True)
    cases: list[tuple[str | bytes, ErrorCode]] = [
        (b" \n", ErrorCode.EMPTY_FILE),
        (b"PK\x03\x04rest", ErrorCode.UNSUPPORTED_FORMAT),
        ("a,b\n1,2\n", ErrorCode.UNKNOWN_FORMAT),
        (head, ErrorCode.NO_ROWS),
        (head + rows[0] + rows[1].replace("EUR", "USD"), ErrorCode.MULTIPLE_CURRENCIES),
        (head + rows[0].replace("EUR", "XXX"), ErrorCode.UNKNOWN_CURRENCY),
        (b"x" * (BYTES_MAX + 1), ErrorCode.TOO_LARGE),
        (b"a,b\x00c\n", ErrorCode.BINARY_CONTENT),
        (head + rows[0].replace("31.12.2026", "03/04/2026"), ErrorCode.AMBIGUOUS_DATE),
    ]
    for data, code in cases:
        assert refuse(data)[0] == code


@given(st.binary(max_size=300), st.integers(0, len(ZH.encode()) - 1))
def test_any_bytes_are_read_or_refused(noise: bytes, place: int) -> None:
    """Nothing but a refusal ever leaves the reader, whatever stands in the middle of a good file."""
    raw = ZH.encode()
    for data in (noise, raw[:place] + noise + raw[place:]):
        with suppress(StatementError):
            assert read(data).invoices
