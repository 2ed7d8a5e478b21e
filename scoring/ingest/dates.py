"""Dates and times: from the text of a statement to proleptic ordinals and seconds of the day.

A day that does not exist (30 February) is refused, never moved. Never read a clock here: "today" plays no part.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import date

from scoring.ingest.limits import YEAR_MAX, YEAR_MIN
from scoring.ingest.statement import BadValue, ErrorCode

DAY_FIRST = "dmy"
MONTH_FIRST = "mdy"

_TAIL = r"(?:[T\s]+(\d{1,2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?(?:\s*(?:Z|[+-]\d{2}:?\d{2}))?)?"
_YEAR_FIRST = re.compile(r"(\d{4})[-/.年]\s?(\d{1,2})[-/.月]\s?(\d{1,2})日?" + _TAIL, re.ASCII)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})" + _TAIL, re.ASCII)
_NUMERIC = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4}|\d{2})" + _TAIL, re.ASCII)
_DAY_MONTH = re.compile(r"(\d{1,2})[\s-]+([^\W\d_]{3,12})\.?[\s,-]+(\d{4})" + _TAIL)
_MONTH_DAY = re.compile(r"([^\W\d_]{3,12})\.?\s+(\d{1,2}),?\s+(\d{4})" + _TAIL)
_TIME = re.compile(r"(\d{1,2}):?(\d{2})(?::?(\d{2}))?(?:\.\d+)?", re.ASCII)
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero",
            "feb february februar fevrier febrero",
            "mar march marz mars marzo",
            "apr april avril abril",
            "may mai mayo",
            "jun june juni juin junio",
            "jul july juli juillet julio",
            "aug august aout agosto",
            "sep sept september septembre septiembre",
            "oct okt october oktober octobre octubre",
            "nov november novembre noviembre",
            "dec dez december dezember decembre diciembre",
        ),
        start=1,
    )
    for name in names.split()
}


def make_day(year: int, month: int, day: int, *, text: str, line: int | None) -> int:
    """The ordinal of a calendar day. Raises BadValue `bad_date` when there is no such day."""
    if not YEAR_MIN <= year <= YEAR_MAX:
        raise BadValue(ErrorCode.BAD_DATE, f"date {text.strip()[:40]!r}: the year {year} is out of range", line=line)
    try:
        return date(year, month, day).toordinal()
    except ValueError:
        raise BadValue(
            ErrorCode.BAD_DATE,
            f"date {text.strip()[:40]!r}: there is no day {year:04d}-{month:02d}-{day:02d}",
            line=line,
        ) from None


def date_order(texts: Iterable[str], *, line: int | None = None) -> str | None:
    """Whether numeric dates such as 03/04/2024 put the day or the month first, from the whole column.

    None when no date is of this kind, DAY_FIRST or MONTH_FIRST when some date decides it. Raises BadValue
    `ambiguous_date` when none does or when they contradict each other. Dots always mean day first (DIN 5008).
    """
    day_first = month_first = seen = False
    for text in texts:
        match = _NUMERIC.fullmatch(unicodedata.normalize("NFKC", text).strip())
        if match is None:
            continue
        seen = True
        first, second = int(match.group(1)), int(match.group(2))
        day_first |= first > 12 or "." in text
        month_first |= second > 12
    if not seen:
        return None
    if day_first == month_first:
        raise BadValue(
            ErrorCode.AMBIGUOUS_DATE, "dates such as 03/04/2024 do not show whether day or month comes first", line=line
        )
    return DAY_FIRST if day_first else MONTH_FIRST


def looks_like_date(text: str) -> bool:
    """Whether `text` has the form of a date, existing or not."""
    plain = unicodedata.normalize("NFKC", text).strip()
    return any(each.fullmatch(plain) for each in (_YEAR_FIRST, _COMPACT, _NUMERIC, _DAY_MONTH, _MONTH_DAY))


def parse_date(text: str, *, order: str | None = None, line: int | None = None) -> tuple[int, int]:
    """(ordinal, second of the day or -1) of `text`. Raises BadValue `bad_date` or `ambiguous_date`."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if len(plain) > 60:
        raise BadValue(ErrorCode.BAD_DATE, f"{plain[:40]!r} is not a date", line=line)
    match = _YEAR_FIRST.fullmatch(plain) or _COMPACT.fullmatch(plain)
    if match is not None:
        year, month, day = (int(match.group(index)) for index in (1, 2, 3))
        return make_day(year, month, day, text=text, line=line), _second(match.groups()[3:], text, line)
    match = _NUMERIC.fullmatch(plain)
    if match is not None:
        if order is None:
            raise BadValue(ErrorCode.AMBIGUOUS_DATE, f"date {plain!r}: day or month first?", line=line)
        first, second, year = (int(match.group(index)) for index in (1, 2, 3))
        day, month = (first, second) if order == DAY_FIRST else (second, first)
        year += 2000 if year < 100 else 0
        return make_day(year, month, day, text=text, line=line), _second(match.groups()[3:], text, line)
    match = _DAY_MONTH.fullmatch(plain)
    if match is not None:
        day_text, name, year_text = match.groups()[:3]
    else:
        match = _MONTH_DAY.fullmatch(plain)
        if match is None:
            raise BadValue(ErrorCode.BAD_DATE, f"{plain[:40]!r} is not a date", line=line)
        name, day_text, year_text = match.groups()[:3]
    number = _MONTHS.get(_unaccented(name))
    if number is None:
        raise BadValue(ErrorCode.BAD_DATE, f"{plain[:40]!r} is not a date", line=line)
    return make_day(int(year_text), number, int(day_text), text=text, line=line), _second(
        match.groups()[3:], text, line
    )


def parse_time(text: str, *, line: int | None = None) -> int:
    """The second of the day of "HH:MM[:SS]" or "HHMMSS", -1 for a blank. Raises BadValue `bad_date`."""
    plain = unicodedata.normalize("NFKC", text).strip()
    if not plain or set(plain) <= {"-"}:
        return -1
    match = _TIME.fullmatch(plain)
    if match is None:
        raise BadValue(ErrorCode.BAD_DATE, f"{plain[:40]!r} is not a time of day", line=line)
    return _second(match.groups(), text, line)


def _second(parts: tuple[str | None, ...], text: str, line: int | None) -> int:
    if parts[0] is None:
        return -1
    hour, minute, second = (int(part or 0) for part in parts[:3])
    if hour > 23 or minute > 59 or second > 60:
        raise BadValue(ErrorCode.BAD_DATE, f"{text.strip()[:40]!r} is not a time of day", line=line)
    return hour * 3600 + minute * 60 + min(second, 59)


def _unaccented(name: str) -> str:
    return "".join(char for char in unicodedata.normalize("NFD", name) if char.isalpha()).casefold()
