"""Amounts: from the text of a statement to integer minor units, exactly or not at all.

No float ever holds an amount here: a spreadsheet's float cell arrives as the shortest decimal text that means it
(`float_text`) and is then checked like any other text. Never put rounding in this file.
"""

import re
import unicodedata
from collections.abc import Iterable
from decimal import Decimal

from scoring.ingest.limits import MINOR_UNITS_MAX
from scoring.ingest.statement import BadValue, ErrorCode

# ISO 4217, list one (2024): currencies that a lender of this network may meet. Unknown ones are refused, since a
# wrong exponent multiplies every amount by ten or a hundred.
EXPONENTS: dict[str, int] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("AED", "ALL", "AMD", "ARS", "AUD", "AZN", "BAM", "BDT", "BGN", "BND", "BOB", "BRL", "BYN"), 2),
    **dict.fromkeys(("CAD", "CHF", "CNY", "COP", "CRC", "CZK", "DKK", "DOP", "DZD", "EGP", "ETB", "EUR", "GBP"), 2),
    **dict.fromkeys(("GEL", "GHS", "GTQ", "HKD", "HNL", "HUF", "IDR", "ILS", "INR", "JMD", "KES", "KGS", "KHR"), 2),
    **dict.fromkeys(("KZT", "LAK", "LBP", "LKR", "MAD", "MDL", "MKD", "MMK", "MNT", "MOP", "MUR", "MXN", "MYR"), 2),
    **dict.fromkeys(("MZN", "NAD", "NGN", "NIO", "NOK", "NPR", "NZD", "PAB", "PEN", "PHP", "PKR", "PLN", "QAR"), 2),
    **dict.fromkeys(("RON", "RSD", "RUB", "SAR", "SEK", "SGD", "THB", "TJS", "TRY", "TTD", "TWD", "TZS", "UAH"), 2),
    **dict.fromkeys(("USD", "UYU", "UZS", "XCD", "ZAR", "ZMW"), 2),
}

# What documents write instead of the code.
_CURRENCY_NAMES: dict[str, str] = {
    "人民币": "CNY", "人民币元": "CNY", "元": "CNY", "rmb": "CNY", "cnh": "CNY", "美元": "USD", "欧元": "EUR",
    "英镑": "GBP", "日元": "JPY", "港币": "HKD", "港元": "HKD", "澳元": "AUD", "加元": "CAD", "新加坡元": "SGD",
    "瑞士法郎": "CHF", "€": "EUR", "£": "GBP", "euro": "EUR", "us$": "USD", "hk$": "HKD",
}  # fmt: skip

_SYMBOLS: dict[str, frozenset[str]] = {
    "¥": frozenset({"CNY", "JPY"}),
    "€": frozenset({"EUR"}),
    "£": frozenset({"GBP"}),
    "$": frozenset({"USD", "CAD", "AUD", "HKD", "SGD", "NZD", "MXN", "TWD", "CLP", "COP", "ARS", "BND", "TTD"}),
}
_POINT = re.compile(r"(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d*))?|\.(\d+)", re.ASCII)
_COMMA = re.compile(r"(?:\d+|\d{1,3}(?:\.\d{3})+)(?:,(\d*))?|,(\d+)", re.ASCII)
_CODE = re.compile(r"^([A-Za-z]{3})(?=[\s\d.,+-])|(?<=[\s\d.,])([A-Za-z]{3})$", re.ASCII)
_BLANKS = re.compile(r"[\s'\u2019_]")


def parse_currency(text: str, *, line: int | None = None) -> str:
    """The ISO 4217 code that `text` names. Raises BadValue `unknown_currency`."""
    plain = unicodedata.normalize("NFKC", text).strip().strip("()[]")
    code = _CURRENCY_NAMES.get(plain.casefold(), plain.upper())
    if code not in EXPONENTS:
        raise BadValue(ErrorCode.UNKNOWN_CURRENCY, f"currency {_shown(text)} is not known", line=line)
    return code


def decimal_mark(texts: Iterable[str], *, line: int | None = None) -> str | None:
    """The decimal mark that all `texts` agree on: ".", "," or None when no text has either.

    Evidence: the last of two different marks, or a single mark not followed by exactly three digits. A column whose
    every amount could be read both ways is refused (`ambiguous_amount`), never guessed.
    """
    found: set[str] = set()
    doubtful = False
    for text in texts:
        plain = re.sub(r"[^\d.,]", "", unicodedata.normalize("NFKC", text))
        marks = [char for char in plain if char in ".,"]
        if not marks:
            continue
        other = "," if marks[-1] == "." else "."
        if len(marks) == 1:
            if len(plain) - plain.rindex(marks[0]) - 1 == 3 and plain[0] not in "0.,":
                doubtful = True
            else:
                found.add(marks[0])
        else:
            # The same mark twice groups thousands, so the other one would be the decimal mark.
            found.add(marks[-1] if other in marks else other)
    if len(found) > 1:
        raise BadValue(ErrorCode.AMBIGUOUS_AMOUNT, "amounts use both comma and point as decimal mark", line=line)
    if found:
        return found.pop()
    if doubtful:
        raise BadValue(
            ErrorCode.AMBIGUOUS_AMOUNT, "amounts such as 1,234 can be read as thousands or as decimals", line=line
        )
    return None


def parse_amount(
    text: str,
    currency: str,
    *,
    mark: str = ".",
    grouped: bool = False,
    line: int | None = None,
    symbols: bool = False,
    signed: bool = True,
) -> int:
    """Minor units of `text`, exactly.

    `mark` is the decimal mark; with `grouped` the other one may group thousands. `symbols` allows a
    currency sign or code beside the number. Raises BadValue: `bad_amount`, `surplus_digits`, `multiple_currencies`.
    """
    plain = unicodedata.normalize("NFKC", text).strip().replace("\u2212", "-").replace("\u2013", "-")
    if len(plain) > 40:
        raise _bad(text, line)
    if symbols:
        plain = _without_symbol(plain, currency, line)
    sign = 1
    if plain.startswith("(") and plain.endswith(")"):
        sign, plain = -1, plain[1:-1]
    elif plain.endswith("-") and not plain.startswith(("-", "+")):
        sign, plain = -1, plain[:-1]
    elif plain.startswith(("-", "+")):
        sign, plain = (-1 if plain[0] == "-" else 1), plain[1:]
    if sign < 0 and not signed:
        raise _bad(text, line)
    if symbols:
        plain = _without_symbol(plain.strip(), currency, line)
    plain = _BLANKS.sub("", plain)
    match = (_COMMA if mark == "," else _POINT).fullmatch(plain)
    if match is None or (not grouped and ("," if mark == "." else ".") in plain):
        raise _bad(text, line)
    fraction = (match.group(1) or match.group(2) or "").rstrip("0")
    whole = plain.split(mark)[0].replace("," if mark == "." else ".", "")
    exponent = EXPONENTS[currency]
    if len(fraction) > exponent:
        raise BadValue(
            ErrorCode.SURPLUS_DIGITS,
            f"amount {_shown(text)} has more decimals than {currency} allows ({exponent})",
            line=line,
        )
    minor = int((whole or "0") + fraction.ljust(exponent, "0"))
    if minor > MINOR_UNITS_MAX:
        raise _bad(text, line)
    return sign * minor


def float_text(value: float) -> str:
    """The shortest decimal text that means this spreadsheet cell, without exponent: 12.5 -> "12.5", 3.0 -> "3".

    Raises ValueError for a cell that is no number.
    """
    exact = Decimal(repr(value))
    if not exact.is_finite() or exact.adjusted() > 30 or exact.adjusted() < -30:
        raise ValueError("not a number")
    text = format(exact, "f")
    return text.removesuffix(".0")


def _without_symbol(plain: str, currency: str, line: int | None) -> str:
    for symbol, currencies in _SYMBOLS.items():
        if plain.startswith(symbol) or plain.endswith(symbol):
            if currency not in currencies:
                raise BadValue(ErrorCode.MULTIPLE_CURRENCIES, f"{_shown(plain)} is not in {currency}", line=line)
            return plain.removeprefix(symbol).removesuffix(symbol).strip()
    match = _CODE.search(plain)
    if match is not None:
        code = match.group(1) or match.group(2)
        if code.upper() != currency and code.upper() in EXPONENTS:
            raise BadValue(ErrorCode.MULTIPLE_CURRENCIES, f"{_shown(plain)} is not in {currency}", line=line)
        if code.upper() == currency:
            return (plain[: match.start()] + plain[match.end() :]).strip()
    return plain.removesuffix("元").strip() if currency == "CNY" else plain


def _bad(text: str, line: int | None) -> BadValue:
    return BadValue(ErrorCode.BAD_AMOUNT, f"{_shown(text)} is not an amount", line=line)


def _shown(text: str) -> str:
    return repr(text.strip()[:40])
