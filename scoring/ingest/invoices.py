"""Invoice lists (CSV, Chinese or English headings) into invoices, strictly: every row right, or the file is refused.

    found = read_invoices(data, name="sales.csv", buyer_key=key)

Read by heading: number [code], date, buyer [tax number], amount [tax] [total], status, [currency]. What counts is the
total with tax: the column itself, or amount plus tax; all three must agree where all three stand. Never put features
here, and never a guess: a status, a date or an amount that could mean two things is a refusal with file, line, reason.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from scoring.ingest.assemble import calculate_counterparty
from scoring.ingest.dates import date_order, parse_date
from scoring.ingest.limits import BYTES_MAX, HEADER_LINE_MAX, MINOR_UNITS_MAX, ROWS_MAX
from scoring.ingest.money import EXPONENTS, decimal_mark, parse_amount, parse_currency
from scoring.ingest.profiles import normalise_heading
from scoring.ingest.read import shown_name
from scoring.ingest.statement import (
    BadValue,
    ErrorCode,
    StatementError,
    UnknownFormat,
    UnreadableFile,
    UnsupportedContent,
)
from scoring.ingest.text import Grid, GridRow, decode, pick_delimiters, split_delimited
from scoring.invoices import Invoice
from scoring.rows import NO_COUNTERPARTY

DEFAULT_CURRENCY: Final = "CNY"
HEADINGS: Final[dict[str, str]] = {
    "number": r"发票号码?|数电(发?票)?号码?|invoice(no|number|id)",
    "code": r"发票代码|invoicecode",
    "date": r"开票日期|开票时间|日期|(invoice|issue)?date|issuedon",
    "buyer": r"(购方|购买方|购货方|买方|客户)(单位)?(名称|代号|企业名称)?|(buyer|customer)(name)?",
    "buyer_id": r"(购方|购买方|购货方)(纳税人)?(识别号|税号)|(buyer|customer)(tax)?(id|number)",
    "amount": r"(合计)?金额(\(不含税\))?|不含税金额|(net)?amount|net",
    "tax": r"(合计)?税额|tax(amount)?|vat",
    "total": r"价税合计|含税金额|total(amount)?|gross(amount)?",
    "status": r"(发票|开票)?状态|是否作废|作废标志|(invoice)?status|void",
    "currency": r"币种|currency",
}
"""Role -> its headings, over the text that `normalise_heading` leaves: lower case, no blanks."""
REQUIRED: Final = ("number", "date", "buyer", "status")
STANDING: Final = frozenset(
    {"有效", "有效发票", "正常", "已开具", "红字", "红冲", "红字发票", "否", "n", "no", "false", "0"}
    | {"valid", "issued", "normal", "ok", "paid", "unpaid", "creditnote", "credit"}
)
VOIDED: Final = frozenset(
    {"作废", "作废发票", "已作废", "空白作废", "是", "y", "yes", "true", "1", "void", "voided", "cancelled", "canceled"}
)
_FOOTER: Final = re.compile(r"^(合计|总计|小计|共|total|sum)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceFile:
    """The invoices of one file, in its order."""

    currency: str
    exponent: int
    invoices: tuple[Invoice, ...]

    @property
    def first_day(self) -> int:
        """Ordinal of the oldest invoice."""
        return min(invoice.day for invoice in self.invoices)

    @property
    def last_day(self) -> int:
        """Ordinal of the newest invoice."""
        return max(invoice.day for invoice in self.invoices)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    columns: dict[str, int]
    rows: Grid
    currency: str
    mark: str
    order: str | None

    def read(self, row: GridRow, role: str) -> str:
        index = self.columns.get(role)
        return "" if index is None or index >= len(row.cells) else row.cells[index]


def read_invoices(data: bytes, *, name: str, buyer_key: bytes) -> InvoiceFile:
    """The invoices in `data`. `name` is only shown in refusals; `buyer_key` (16-64 bytes) keys the buyers' ids.

    Raises StatementError, and nothing else, whatever the bytes are.
    """
    try:
        sheet = _open(data)
        invoices = tuple(_read_rows(sheet, buyer_key))
        if not invoices:
            raise UnsupportedContent(ErrorCode.NO_ROWS, "the file holds a heading and no invoice")
        return InvoiceFile(currency=sheet.currency, exponent=EXPONENTS[sheet.currency], invoices=invoices)
    except StatementError as error:
        error.file = shown_name(name)
        raise


def _open(data: bytes) -> _Sheet:
    if len(data) > BYTES_MAX:
        raise UnreadableFile(ErrorCode.TOO_LARGE, f"the file is larger than {BYTES_MAX // 1024 // 1024} MiB")
    if not data.strip():
        raise UnreadableFile(ErrorCode.EMPTY_FILE, "the file is empty")
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"%PDF")):
        raise UnknownFormat(ErrorCode.UNSUPPORTED_FORMAT, "a workbook or PDF; export the invoices as CSV")
    failure: StatementError | None = None
    for _, text in decode(data):
        for delimiter in pick_delimiters(text):
            try:
                grid = split_delimited(text, delimiter)
            except StatementError as error:
                failure = failure or error
                continue
            for index, row in enumerate(grid[:HEADER_LINE_MAX]):
                columns = _map_columns(row)
                if len(columns.keys() & REQUIRED) >= 2 and columns.keys() & {"amount", "total"}:
                    _check_columns(columns, row)
                    return _make_sheet(columns, grid[index + 1 :])
    raise failure or UnknownFormat(ErrorCode.UNKNOWN_FORMAT, "no heading line of an invoice list was found", line=1)


def _map_columns(header: GridRow) -> dict[str, int]:
    """Role -> index. Raises BadValue when two columns claim one role."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(header.cells):
        heading = normalise_heading(cell)
        role = next((role for role, pattern in HEADINGS.items() if re.fullmatch(pattern, heading)), None)
        if role is None or not heading:
            continue
        if role in columns:
            first = header.cells[columns[role]]
            reason = f"the columns {first!r} and {cell!r} both give the {role}"
            raise BadValue(ErrorCode.BAD_ROW, reason, line=header.line)
        columns[role] = index
    return columns


def _check_columns(columns: dict[str, int], header: GridRow) -> None:
    for role in REQUIRED:
        if role not in columns:
            raise UnknownFormat(ErrorCode.MISSING_COLUMN, f"no column gives the {role}", line=header.line)
    if "total" not in columns and "tax" not in columns:
        reason = "no column gives the total with tax, nor the tax beside the amount"
        raise UnknownFormat(ErrorCode.MISSING_COLUMN, reason, line=header.line)


def _make_sheet(columns: dict[str, int], body: Grid) -> _Sheet:
    rows = [row for row in body if any(row.cells)]
    if rows and _is_footer(columns, rows[-1]):
        rows.pop()
    if len(rows) > ROWS_MAX:
        raise UnreadableFile(ErrorCode.TOO_LARGE, f"more than {ROWS_MAX} invoices", line=rows[ROWS_MAX].line)
    width = max(columns.values()) + 1
    for row in rows:
        if len(row.cells) < width:
            reason = f"{len(row.cells)} cells where the heading has at least {width}"
            raise BadValue(ErrorCode.BAD_ROW, reason, line=row.line)
    money = [row.cells[columns[role]] for row in rows for role in ("amount", "tax", "total") if role in columns]
    dates = [row.cells[columns["date"]] for row in rows]
    first_line = rows[0].line if rows else None
    return _Sheet(
        columns=columns,
        rows=rows,
        currency=_find_currency(columns, rows),
        mark=decimal_mark(money, line=first_line) or ".",
        order=date_order(dates, line=first_line),
    )


def _is_footer(columns: dict[str, int], row: GridRow) -> bool:
    """A last line that adds up: it begins with a word for a sum and has no date."""
    first = next(cell for cell in row.cells if cell)
    place = columns["date"]
    return bool(_FOOTER.match(first)) and not (place < len(row.cells) and row.cells[place])


def _find_currency(columns: dict[str, int], rows: Grid) -> str:
    if "currency" not in columns:
        return DEFAULT_CURRENCY
    found = DEFAULT_CURRENCY
    for index, row in enumerate(rows):
        currency = parse_currency(row.cells[columns["currency"]], line=row.line)
        if index and currency != found:
            raise UnsupportedContent(
                ErrorCode.MULTIPLE_CURRENCIES, f"an invoice in {currency} among those in {found}", line=row.line
            )
        found = currency
    return found


def _read_rows(sheet: _Sheet, buyer_key: bytes) -> Iterator[Invoice]:
    lines: dict[tuple[str, str], int] = {}
    for seq, row in enumerate(sheet.rows):
        number = sheet.read(row, "number")
        if not number:
            raise BadValue(ErrorCode.BAD_ROW, "an invoice without a number", line=row.line)
        key = (sheet.read(row, "code"), number)
        if key in lines:
            reason = f"invoice {number[:40]!r} stands at line {lines[key]} too"
            raise BadValue(ErrorCode.BAD_ROW, reason, line=row.line)
        lines[key] = row.line
        day, _ = parse_date(sheet.read(row, "date"), order=sheet.order, line=row.line)
        name, tax_id = sheet.read(row, "buyer"), sheet.read(row, "buyer_id")
        # A tax number is one buyer however the name is written.
        buyer = calculate_counterparty("" if tax_id else name, tax_id, buyer_key)
        is_void = _read_status(sheet, row)
        yield Invoice(day=day, seq=seq, amount=_read_total(sheet, row, is_void=is_void), buyer=buyer, is_void=is_void)


def _read_status(sheet: _Sheet, row: GridRow) -> bool:
    """Whether it is void. Raises BadValue for a word that is not known to mean either."""
    status = sheet.read(row, "status")
    plain = normalise_heading(status)
    if plain in VOIDED:
        return True
    if plain in STANDING:
        return False
    raise BadValue(ErrorCode.BAD_ROW, f"status {status[:40]!r} is neither valid nor void", line=row.line)


def _read_total(sheet: _Sheet, row: GridRow, *, is_void: bool) -> int:
    """Total with tax, minor units. Raises BadValue when what stands there does not add up."""
    parts: dict[str, int] = {}
    for role in ("amount", "tax", "total"):
        text = sheet.read(row, role)
        if text:
            parts[role] = parse_amount(text, sheet.currency, mark=sheet.mark, grouped=True, line=row.line, symbols=True)
    if is_void and not parts:
        return 0  # a blank form that was voided
    if {"amount", "tax", "total"} <= parts.keys() and parts["amount"] + parts["tax"] != parts["total"]:
        raise BadValue(ErrorCode.BAD_ROW, "amount and tax do not make the total", line=row.line)
    if "total" in parts:
        total = parts["total"]
    elif {"amount", "tax"} <= parts.keys():
        total = parts["amount"] + parts["tax"]
    else:
        raise BadValue(ErrorCode.BAD_AMOUNT, "an invoice without a total, or an amount without its tax", line=row.line)
    if abs(total) > MINOR_UNITS_MAX:
        raise BadValue(ErrorCode.BAD_AMOUNT, "a total beyond all measure", line=row.line)
    return total


def view_invoices(found: InvoiceFile) -> dict[str, object]:
    """The facts `liushui invoices check --json` prints: JSON values only, amounts in minor units."""
    standing = [invoice for invoice in found.invoices if not invoice.is_void]
    return {
        "currency": found.currency,
        "exponent": found.exponent,
        "invoices": len(found.invoices),
        "void": len(found.invoices) - len(standing),
        "credit_notes": sum(1 for invoice in standing if invoice.amount < 0),
        "buyers": len({invoice.buyer for invoice in standing if invoice.buyer != NO_COUNTERPARTY}),
        "first_date": date.fromordinal(found.first_day).isoformat(),
        "last_date": date.fromordinal(found.last_day).isoformat(),
        "sales": sum(invoice.amount for invoice in standing),
    }
