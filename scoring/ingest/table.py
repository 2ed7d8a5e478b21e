"""Tables (CSV and spreadsheets) into a draft, driven by a profile that names the columns.

A profile is data (profiles.py); this file is the one reader for all of them. Never name a bank here.
"""

import re
from dataclasses import dataclass

from scoring.ingest.dates import DAY_FIRST, date_order, looks_like_date, parse_date, parse_time
from scoring.ingest.draft import Draft, RawRow, list_numbers
from scoring.ingest.limits import HEADER_LINE_MAX
from scoring.ingest.money import EXPONENTS, decimal_mark, parse_amount, parse_currency
from scoring.ingest.profiles import Profile, Sign, pick_profile
from scoring.ingest.statement import BadValue, ErrorCode, UnsupportedContent, WarningCode
from scoring.ingest.text import Grid, GridRow
from scoring.rows import Category

_MASK = re.compile(r"[xyzXYZ*•#.,\s]+")
_BLANK = re.compile(r"[-—–/\s]*")
_TOTAL = re.compile("合计|总计|total", re.IGNORECASE)
_MINUS = re.compile(r"^\s*\(|[-\u2212]")
_FOOTER = re.compile(
    r"合计|总计|小计|共计|^共|以上|仅供参考|为准|^注|说明|记录|导出|打印|第.{0,6}页|终止|结束|笔数|已收入|已支出|待支出|"
    r"[-=*]{4,}|\btotal\b|\bsum(?:me|a)?\b|\bend of\b|\bsaldo\b|\bpage\b|closing balance|opening balance|\bsolde\b",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"(?:起始|开始|起止)?(?:时间|日期)[^0-9]{0,6}(\d{4}[-/.年]?\d{1,2}[-/.月]?\d{1,2})日?[^0-9年月]{0,4}(?:\d{1,2}:\d{2}(?::\d{2})?)?"
    r".{0,40}?(?:终止|结束|截止|至|~|—|-)[^0-9]{0,12}(\d{4}[-/.年]?\d{1,2}[-/.月]?\d{1,2})"
)
_HOLDER = re.compile(
    r"(?:姓名|户名|客户姓名|客户名称|账户名称|account holder|kontoinhaber)[:：\s]+\[?([^\],;\s][^\],;]{0,60})",
    re.IGNORECASE,
)
_ACCOUNT = re.compile(
    r"(?:卡号|账号|帐号|账户|account(?: number)?|iban|konto(?:nummer)?)[:：\s]+\[?([A-Za-z0-9*@._ -]{4,40})",
    re.IGNORECASE,
)


@dataclass(slots=True, kw_only=True)
class Table:
    """A grid whose header was recognised."""

    profile: Profile
    header: GridRow
    columns: dict[str, list[int]]
    """Role -> indices of its columns."""
    preamble: Grid
    body: Grid


@dataclass(slots=True, kw_only=True)
class _Reading:
    table: Table
    draft: Draft
    mark: str
    order: str | None
    minus_out: bool
    """The column of outflows prints every amount with a minus; otherwise a minus there undoes an outflow."""
    masked: int = 0
    closed: int = 0
    neutral: int = 0


def find_table(grid: Grid) -> Table | None:
    """The table in `grid`, under the first line near its top that is a header we know, or None."""
    top = [row for row in grid[: HEADER_LINE_MAX * 2] if row.line <= HEADER_LINE_MAX]
    for index, row in enumerate(top):
        picked = pick_profile(row.cells)
        if picked is not None:
            profile, columns = picked
            return Table(profile=profile, header=row, columns=columns, preamble=grid[:index], body=grid[index + 1 :])
    return None


def count_chinese_headings(table: Table) -> int:
    """How many recognised headings are Chinese: mojibake of another encoding is recognised as nothing."""
    indices = {index for found in table.columns.values() for index in found}
    return sum(any("\u4e00" <= char <= "\u9fff" for char in table.header.cells[index]) for index in indices)


def read_table(table: Table) -> Draft:
    """The draft of a recognised table. Raises StatementError with the line at fault."""
    rows, skipped = _split_body(table)
    preamble = " ; ".join(" ".join(filter(None, row.cells)) for row in table.preamble)
    draft = _open_draft(table, rows, preamble)
    outflows = [cell for row in rows if (cell := _cell(table, row, "out")) and re.search("[1-9]", cell)]
    reading = _Reading(
        table=table,
        draft=draft,
        mark=_find_mark(table, rows, draft),
        order=_find_order(table, rows, draft),
        minus_out=bool(outflows) and all(_MINUS.search(cell) for cell in outflows),
    )
    for row in rows:
        _read_row(reading, row)
    _read_preamble(draft, preamble, [" ".join(filter(None, row.cells)) for row in table.preamble])
    _warn_reading(reading, skipped)
    _check_totals(reading, skipped)
    return draft


def _cell(table: Table, row: GridRow, role: str) -> str:
    """The first filled cell of a role, or an empty string."""
    for index in table.columns.get(role, ()):
        if index < len(row.cells) and row.cells[index]:
            return row.cells[index]
    return ""


def _split_body(table: Table) -> tuple[Grid, list[int]]:
    """Rows that carry a date, and the lines of notes and totals among them; anything else is refused."""
    rows: Grid = []
    skipped: list[int] = []
    for row in table.body:
        if not any(row.cells) or row.cells == table.header.cells:
            continue
        if looks_like_date(_cell(table, row, "date")):
            rows.append(row)
            continue
        filled = [cell for cell in row.cells if cell]
        note = _FOOTER.search(" ".join(filled)) is not None or len(filled) == 1
        if note and not any(looks_like_date(cell) for cell in filled[:1]):
            skipped.append(row.line)
            continue
        text = _cell(table, row, "date") or filled[0]
        raise BadValue(ErrorCode.BAD_DATE, f"{text[:40]!r} is not a date", line=row.line)
    return rows, skipped


def _open_draft(table: Table, rows: Grid, preamble: str) -> Draft:
    profile = table.profile
    found: dict[str, int] = {}
    for row in rows:
        text = _cell(table, row, "currency")
        if text and not _BLANK.fullmatch(text):
            found.setdefault(parse_currency(text, line=row.line), row.line)
    if len(found) > 1:
        first, second = list(found)[:2]
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_CURRENCIES,
            f"rows in {first} and in {second}; export one currency at a time",
            line=found[second],
        )
    assumed = None
    if found:
        currency = next(iter(found))
    else:
        currency = _currency_of_header(table, rows, preamble) or ""
        if not currency:
            assumed = currency = _default_currency(table)
    draft = Draft(format=profile.format, currency=currency, exponent=EXPONENTS[currency])
    if assumed:
        draft.warn(WarningCode.CURRENCY_ASSUMED, f"The file names no currency; {currency} was assumed.")
    accounts = {_cell(table, row, "own_account") for row in rows}
    if len(accounts) > 1 and profile.one_account:
        raise UnsupportedContent(ErrorCode.MULTIPLE_ACCOUNTS, "the file holds rows of more than one account")
    draft.account = (accounts.pop() or None) if len(accounts) == 1 else None
    _place_iban(table, rows, draft)
    return draft


def _place_iban(table: Table, rows: Grid, draft: Draft) -> None:
    """A column called just IBAN: the own account when it never changes, else the other party's."""
    ibans = {_cell(table, row, "iban") for row in rows}
    if not ibans - {""}:
        return
    if len(ibans) == 1 and draft.account is None:
        draft.account = ibans.pop()
        draft.warn(WarningCode.COLUMN_ASSUMED, "The column IBAN never changes; it was taken as the own account.")
    elif "account" not in table.columns and len(ibans) > 1:
        table.columns["account"] = table.columns["iban"]
        draft.warn(WarningCode.COLUMN_ASSUMED, "The column IBAN changes; it was taken as the other party's account.")


def _currency_of_header(table: Table, rows: Grid, preamble: str) -> str | None:
    """A code in a heading such as "Amount (EUR)", in the preamble, or a sign that belongs to one currency only."""
    headings = " ".join(table.header.cells)
    places = [headings, preamble]
    places += [_cell(table, row, role) for row in rows[:50] for role in ("amount", "in", "out", "balance")]
    found: dict[str, None] = {}
    for place in places:
        for code in re.findall(r"(?<![A-Za-z])([A-Z]{3})(?![A-Za-z])", place):
            if code in EXPONENTS and code != "ALL":
                found.setdefault(code)
        for sign, code in (("€", "EUR"), ("£", "GBP"), ("人民币", "CNY"), ("(元)", "CNY"), ("（元）", "CNY")):
            if sign in place:
                found.setdefault(code)
        if len(found) == 1:
            return next(iter(found))
    if len(found) > 1:
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_CURRENCIES, f"the file names {' and '.join(found)}", line=table.header.line
        )
    return None


def _default_currency(table: Table) -> str:
    if table.profile.currency is not None:
        return table.profile.currency
    raise BadValue(
        ErrorCode.UNKNOWN_CURRENCY, "the file names no currency; add a column 'currency'", line=table.header.line
    )


def _find_mark(table: Table, rows: Grid, draft: Draft) -> str:
    if table.profile.mark is not None:
        return table.profile.mark
    texts = [
        cell
        for row in rows
        for role in ("amount", "in", "out", "balance")
        if (cell := _cell(table, row, role)) and not _MASK.fullmatch(cell)
    ]
    mark = decimal_mark(texts, line=table.header.line)
    if mark == ",":
        draft.warn(WarningCode.DECIMAL_COMMA, "Amounts are written with a decimal comma.")
    return mark or "."


def _find_order(table: Table, rows: Grid, draft: Draft) -> str | None:
    try:
        return date_order((_cell(table, row, "date") for row in rows), line=table.header.line)
    except BadValue:
        if not table.profile.day_first:
            raise
        draft.warn(
            WarningCode.DAY_FIRST_ASSUMED,
            "No date shows whether day or month comes first; the day was read first, as the headings' language does.",
        )
        return DAY_FIRST


def _read_row(reading: _Reading, row: GridRow) -> None:
    table, draft = reading.table, reading.draft
    day, second = parse_date(_cell(table, row, "date"), order=reading.order, line=row.line)
    if second < 0 and table.columns.get("time"):
        second = parse_time(_cell(table, row, "time"), line=row.line)
    amount = _read_amount(reading, row)
    category = None
    if table.profile.sign is Sign.WALLET:
        amount, category = _wallet_meaning(reading, row, amount)
    balance = None
    text = _cell(table, row, "balance")
    if text and not _BLANK.fullmatch(text):
        if _MASK.fullmatch(text):
            reading.masked += 1
        else:
            balance = parse_amount(text, draft.currency, mark=reading.mark, grouped=True, line=row.line, symbols=True)
    words = [row.cells[index] for index in table.columns.get("text", ()) if index < len(row.cells)]
    name = _cell(table, row, "name")
    draft.add(
        RawRow(
            line=row.line,
            day=day,
            second=second,
            amount=amount,
            balance=balance,
            name="" if _BLANK.fullmatch(name) else name,
            account="" if _BLANK.fullmatch(_cell(table, row, "account")) else _cell(table, row, "account"),
            text=" ".join(word for word in words if not _BLANK.fullmatch(word)),
            category=category,
        )
    )


def _read_amount(reading: _Reading, row: GridRow) -> int:
    table, draft = reading.table, reading.draft
    profile = table.profile

    def parse(role: str) -> int | None:
        text = _cell(table, row, role)
        if not text or _BLANK.fullmatch(text):
            return None
        return parse_amount(text, draft.currency, mark=reading.mark, grouped=True, line=row.line, symbols=True)

    if "amount" not in table.columns:
        money_in, money_out = parse("in"), parse("out")
        if money_in is None and money_out is None:
            raise BadValue(ErrorCode.BAD_AMOUNT, "the row has neither an amount in nor an amount out", line=row.line)
        if money_in and money_out:
            raise BadValue(ErrorCode.BAD_ROW, "the row has both an amount in and an amount out", line=row.line)
        return (money_in or 0) + (money_out or 0) * (1 if reading.minus_out else -1)
    amount = parse("amount")
    if amount is None:
        raise BadValue(ErrorCode.BAD_AMOUNT, "the row has no amount", line=row.line)
    if profile.sign is Sign.MARKED or (profile.sign is Sign.SIGNED and "direction" in table.columns):
        direction = _cell(table, row, "direction").casefold()
        sign = profile.direction_of(direction)
        if sign is None:
            raise BadValue(ErrorCode.BAD_ROW, f"{direction[:20]!r} is neither in nor out", line=row.line)
        return sign * abs(amount)
    return amount


def _wallet_meaning(reading: _Reading, row: GridRow, amount: int) -> tuple[int, Category | None]:
    """Amount and category of a wallet's row, by its own column of income, expense or neither.

    A neutral row ("/", 不计收支) moves money between the person's own pockets, or was closed unpaid: it counts 0,
    but a refund that arrived is money in.
    """
    table = reading.table
    direction = _cell(table, row, "direction")
    words = " ".join(_cell(table, row, role) for role in ("kind", "status"))
    if amount < 0:
        raise BadValue(ErrorCode.BAD_AMOUNT, "a wallet's amount has no sign of its own", line=row.line)
    status = _cell(table, row, "status")
    if direction == "支出":
        reading.closed += status == "交易关闭"
        return -amount, None
    if direction == "收入":
        return amount, Category.REFUND if "退款" in words else None
    if direction not in ("/", "不计收支", "其他", "中性交易", "不计入收支", "", "-"):
        raise BadValue(ErrorCode.BAD_ROW, f"{direction[:20]!r} is neither income nor expense", line=row.line)
    if "退款" in words and ("成功" in status or "已" in status):
        return amount, Category.REFUND
    reading.neutral += 1
    return 0, Category.LOAN_REPAYMENT if "还款" in words else Category.OWN_TRANSFER


def _read_preamble(draft: Draft, preamble: str, lines: list[str]) -> None:
    match = _PERIOD.search(preamble)
    if match is not None:
        draft.first_day = parse_date(match.group(1))[0]
        draft.last_day = parse_date(match.group(2))[0]
    for line in lines:
        holder, account = _HOLDER.search(line), _ACCOUNT.search(line)
        if holder is not None and draft.holder is None:
            draft.holder = holder.group(1).strip()
        if account is not None and draft.account is None:
            draft.account = account.group(1).strip()


def _warn_reading(reading: _Reading, skipped: list[int]) -> None:
    draft = reading.draft
    if reading.masked:
        sentence = f"Rows whose balance is masked, taken as missing: {reading.masked}."
        draft.warn(WarningCode.BALANCE_MASKED, sentence)
    if reading.neutral:
        draft.warn(
            WarningCode.NEUTRAL_ROWS,
            f"Rows neither income nor expense by the provider's own column: {reading.neutral}; they count 0.",
        )
    if reading.closed:
        draft.warn(
            WarningCode.CLOSED_ROWS,
            f"Rows closed but listed as expense: {reading.closed}; they count, since a refund is a row of its own.",
        )
    if skipped:
        draft.warn(WarningCode.LINES_SKIPPED, f"Lines {list_numbers(skipped)} are notes or totals, not rows.")


def _check_totals(reading: _Reading, skipped: list[int]) -> None:
    """A line of totals under columns for in and out must be the sum of the rows above it."""
    table, draft = reading.table, reading.draft
    lines = set(skipped)
    for row in table.body:
        if row.line not in lines or "amount" in table.columns or not _TOTAL.search("".join(row.cells)):
            continue
        for role, total in (
            ("in", sum(each.amount for each in draft.rows if each.amount > 0)),
            ("out", -sum(each.amount for each in draft.rows if each.amount < 0)),
        ):
            text = _cell(table, row, role)
            if not re.search(r"\d", text):
                continue
            printed = parse_amount(text, draft.currency, mark=reading.mark, grouped=True, line=row.line, symbols=True)
            if abs(printed) != total:
                sentence = f"The total of money {role} at line {row.line} is not the sum of the rows."
                draft.warn(WarningCode.TOTALS_MISMATCH, sentence)
