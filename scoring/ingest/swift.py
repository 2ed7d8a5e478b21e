"""MT940 (SWIFT customer statement message) into a draft.

The mt-940 library's tag patterns split the fields; values are read here, because the library moves 30 February to
the 28th and merges a line without a type code into the one before. Source: SWIFT MT940 format specification,
fields 25, 28C, 60a, 61, 62a, 86. Never print a line of the statement in a log.
"""

import logging
import re
from datetime import date
from typing import Any

from mt940 import tags
from mt940.models import Transactions

from scoring.ingest.dates import make_day
from scoring.ingest.draft import Draft, RawRow
from scoring.ingest.money import EXPONENTS, parse_amount, parse_currency
from scoring.ingest.statement import BadValue, ErrorCode, UnreadableFile, UnsupportedContent, WarningCode
from scoring.rows import Category

# The library logs whole statement lines on a mismatch; a borrower's data stays out of logs.
logging.getLogger("mt940").setLevel(logging.CRITICAL + 1)

_TAG = re.compile(r"^:(\d{2}[A-Z]?|NS):(.*)$", re.ASCII | re.DOTALL)
_START = re.compile(r"^[ \t]{0,8}(?:\{4:\s{0,8})?:20:", re.MULTILINE)
_BALANCE = re.compile(r"^:60[FM]:", re.MULTILINE)
_SUBFIELD = re.compile(r"[?](\d{2})")
_SLASHES = re.compile(r"/(NAME|BENM|ORDP|REMI|IBAN|CNTP|TRCD)/")
_FIELD_LINES_MAX = 60
_STATEMENT_TAGS: tuple[Any, ...] = (tags.Statement(), tags.StatementASNB())
_BALANCE_TAG: Any = tags.FinalOpeningBalance()
_NO_CONTEXT = Transactions()


def is_mt940(text: str) -> bool:
    """Whether the text is an MT940 message, with or without envelope."""
    return _START.search(text[:65536]) is not None and _BALANCE.search(text) is not None


def read_mt940(text: str) -> Draft:
    """The draft of the messages of one account. Raises StatementError."""
    draft: Draft | None = None
    account: str | None = None
    last: RawRow | None = None
    in_rows = False
    for line, tag, value in _fields(text):
        if tag.startswith("25"):
            found = value.strip()
            if account is not None and found != account:
                reason = "the file holds messages of more than one account"
                raise UnsupportedContent(ErrorCode.MULTIPLE_ACCOUNTS, reason, line=line)
            account = found
        elif tag in ("60F", "60M"):
            currency, balance, day = _read_balance(value, line)
            draft = _open_message(draft, currency, balance, day, line)
            in_rows = True
        elif tag in ("62F", "62M"):
            if draft is None:
                raise BadValue(ErrorCode.BAD_ROW, "a closing balance without an opening balance", line=line)
            currency, draft.closing, draft.last_day = _read_balance(value, line, draft.currency)
            in_rows = False
        elif tag == "61":
            if draft is None:
                raise BadValue(ErrorCode.BAD_ROW, "a row before the opening balance (field 60)", line=line)
            last = _read_row(value, draft.currency, line)
            draft.add(last)
            in_rows = True
        elif tag == "86" and in_rows and last is not None and draft is not None and draft.rows[-1] is last:
            draft.rows[-1] = last = _with_details(last, value)
    if draft is None:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "no opening balance (field 60F) in the message")
    if in_rows:
        raise UnreadableFile(
            ErrorCode.BROKEN_FILE,
            "the message breaks off before its closing balance (field 62)",
            line=draft.rows[-1].line if draft.rows else None,
        )
    draft.account = account
    draft.carry_balances = draft.closing is not None
    return draft


def _fields(text: str) -> list[tuple[int, str, str]]:
    """(line, tag, value) of every field; a field ends where the next tag or the end of the message begins."""
    found: list[tuple[int, str, str]] = []
    current: list[str] | None = None
    for number, raw in enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), start=1):
        stripped = raw.rstrip()
        if stripped.startswith("{4:"):
            stripped = stripped[3:].lstrip()
        match = _TAG.match(stripped)
        if match is not None:
            found.append((number, match.group(1), ""))
            current = [match.group(2)]
        elif stripped.startswith(("-}", "-XXX")) or stripped == "-" or current is None:
            current = None
        else:
            current.append(stripped)
            if len(current) > _FIELD_LINES_MAX:
                raise UnreadableFile(ErrorCode.BROKEN_FILE, "a field runs on for too many lines", line=number)
        if current is not None:
            line, tag, _ = found[-1]
            found[-1] = (line, tag, "\n".join(current).strip())
    return found


def _split(tag: Any, value: str) -> dict[str, str | None] | None:
    try:
        groups: dict[str, str | None] = tag.parse(_NO_CONTEXT, value)
    except RuntimeError:
        return None
    return groups


def _read_balance(value: str, line: int, currency: str | None = None) -> tuple[str, int, int]:
    groups = _split(_BALANCE_TAG, value)
    if groups is None or not re.fullmatch(r"[A-Za-z]\d{6}[A-Za-z]{3}[\d,]+", value.strip(), re.ASCII):
        raise BadValue(ErrorCode.BAD_ROW, f"balance field {value[:40]!r} is not in MT940 form", line=line)
    found = parse_currency(groups["currency"] or "", line=line)
    if currency is not None and found != currency:
        reason = f"balances in {currency} and {found} in one message"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason, line=line)
    amount = _amount(groups["amount"], found, line)
    day = _day(groups["year"], groups["month"], groups["day"], value, line)
    return found, (-amount if (groups["status"] or "").upper() == "D" else amount), day


def _open_message(draft: Draft | None, currency: str, balance: int, day: int, line: int) -> Draft:
    if draft is None:
        return Draft(
            format="mt940",
            currency=currency,
            exponent=EXPONENTS[currency],
            opening=balance,
            first_day=day,
            last_day=day,
        )
    if currency != draft.currency:
        reason = f"messages in {draft.currency} and {currency} in one file"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason, line=line)
    if draft.closing is not None and draft.closing != balance:
        draft.warn(
            WarningCode.CHAIN_BREAK,
            f"The opening balance at line {line} is not the closing balance of the message before it.",
        )
    return draft


def _read_row(value: str, currency: str, line: int) -> RawRow:
    groups: dict[str, str | None] | None = None
    for tag in _STATEMENT_TAGS:
        groups = groups or _split(tag, value)
    if groups is None:
        raise BadValue(ErrorCode.BAD_ROW, f"statement line {value[:40]!r} is not in MT940 form", line=line)
    value_day = _day(groups["year"], groups["month"], groups["day"], value, line)
    day = value_day
    month, day_of_month = (groups.get("entry_month") or "").strip(), (groups.get("entry_day") or "").strip()
    if month and day_of_month:
        day = _entry_day(value_day, month, day_of_month, value, line)
    amount = _amount(groups["amount"], currency, line)
    status = (groups["status"] or "").upper()
    if status not in ("C", "D", "RC", "RD"):
        raise BadValue(ErrorCode.BAD_ROW, f"mark {status!r} is neither credit nor debit", line=line)
    text = " ".join(filter(None, (groups.get("customer_reference"), groups.get("extra_details"))))
    return RawRow(
        line=line,
        day=day,
        amount=-amount if status in ("D", "RC") else amount,
        text="" if text.strip().upper() == "NONREF" else text,
        category=Category.REVERSAL if status.startswith("R") else None,
    )


def _with_details(row: RawRow, value: str) -> RawRow:
    """The row with its field 86: German ?nn subfields, slash codes (/NAME/...), or free text."""
    name = account = ""
    text = value.replace("\n", "" if _SUBFIELD.search(value) else " ")
    parts = _SUBFIELD.split(text)
    if len(parts) > 2:
        subfields: dict[str, str] = {}
        for number, content in zip(parts[1::2], parts[2::2], strict=True):
            subfields[number] = subfields.get(number, "") + content
        name = (subfields.get("32", "") + subfields.get("33", "")).strip()
        account = subfields.get("31", "").strip()
        purpose = "".join(subfields[key] for key in sorted(subfields) if "20" <= key <= "29" or "60" <= key <= "63")
        text = f"{subfields.get('00', '')} {purpose}"
    else:
        codes = _SLASHES.split(text)
        found = dict(zip(codes[1::2], codes[2::2], strict=True))
        name = found.get("NAME", "").strip(" /")
        account = found.get("IBAN", "").strip(" /")
    return RawRow(
        line=row.line,
        day=row.day,
        amount=row.amount,
        name=name or row.name,
        account=account or row.account,
        text=" ".join(filter(None, (row.text, text.strip()))),
        category=row.category,
    )


def _amount(text: str | None, currency: str, line: int) -> int:
    # SWIFT 15d: digits with exactly one comma; some banks leave it out for whole amounts.
    plain = (text or "").strip()
    if plain.count(",") > 1:
        raise BadValue(ErrorCode.BAD_AMOUNT, f"{plain!r} is not an amount", line=line)
    return parse_amount(plain, currency, mark=",", line=line, signed=False)


def _day(year: str | None, month: str | None, day: str | None, text: str, line: int) -> int:
    # SWIFT: YY of 80-99 is 19YY, 00-79 is 20YY.
    number = int(year or 0)
    return make_day(number + (1900 if number >= 80 else 2000), int(month or 0), int(day or 0), text=text, line=line)


def _entry_day(value_day: int, month: str, day: str, text: str, line: int) -> int:
    """The booking date, which has no year: the one nearest to the value date (31 December booked on 2 January)."""
    year = date.fromordinal(value_day).year
    nearest: int | None = None
    for candidate in (year - 1, year, year + 1):
        if int(month) == 2 and int(day) == 29 and (candidate % 4 or (candidate % 100 == 0 and candidate % 400)):
            continue
        ordinal = make_day(candidate, int(month), int(day), text=text, line=line)
        if nearest is None or abs(ordinal - value_day) < abs(nearest - value_day):
            nearest = ordinal
    if nearest is None:
        raise BadValue(ErrorCode.BAD_DATE, f"there is no day {month}-{day} near the value date", line=line)
    return nearest
