"""JSON of account aggregators into a draft: Plaid transactions and Berlin Group NextGenPSD2.

A file a borrower hands in is no aggregator's answer: it is graded like any other file, never PROVIDER_SIGNED.
Numbers are kept as their text. Sources: Plaid API reference, /transactions/get and Sandbox custom users ("amount:
positive values when money moves out of the account"); Berlin Group NextGenPSD2 XS2A 1.3, account data types
(amounts signed, debit negative). Never let a number become a float here.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from scoring.ingest.dates import parse_date
from scoring.ingest.draft import Draft, RawRow
from scoring.ingest.money import EXPONENTS, parse_amount, parse_currency
from scoring.ingest.statement import (
    BadValue,
    ErrorCode,
    StatementError,
    UnknownFormat,
    UnreadableFile,
    UnsupportedContent,
    WarningCode,
)

_EXPONENT = re.compile(r"[eE]")


class _Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def read_json(text: str) -> Draft:
    """The draft of the one account in a JSON document. Raises StatementError with the line of the element at fault."""
    document = _load(text)
    if isinstance(document, dict):
        if "override_accounts" in document or "added" in document:
            return _read_plaid(document, text)
        transactions = document.get("transactions")
        if isinstance(transactions, dict) and ("booked" in transactions or "pending" in transactions):
            return _read_berlin(document, transactions, text)
        if isinstance(transactions, list) and transactions:
            first = transactions[0]
            if isinstance(first, dict) and "transactionAmount" in first:
                return _read_berlin(document, {"booked": transactions}, text)
        if isinstance(transactions, list):
            return _read_plaid(document, text)
        if "booked" in document:
            return _read_berlin(document, document, text)
    raise UnknownFormat(ErrorCode.UNKNOWN_FORMAT, "JSON, but neither Plaid nor Berlin Group transactions", line=1)


def _load(text: str) -> Any:
    try:
        return _DECODER.decode(text.strip("\ufeff"))
    except json.JSONDecodeError as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, f"not valid JSON: {error.msg}", line=error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "not valid JSON") from error


def _refuse_constant(text: str) -> str:
    raise ValueError(text)


_DECODER = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_refuse_constant)


def _line_of(text: str, key: str, index: int) -> int | None:
    """The line where the index-th element of all arrays called `key` begins; only needed for a refusal."""
    seen = 0
    for match in re.finditer(rf'"{key}"\s*:\s*\[', text):
        at = match.end()
        while True:
            while at < len(text) and text[at] in " \t\r\n,":
                at += 1
            if at >= len(text) or text[at] == "]":
                break
            if seen == index:
                return text.count("\n", 0, at) + 1
            try:
                at = _DECODER.raw_decode(text, at)[1]
            except ValueError:
                return None
            seen += 1
    return None


def _each(items: Any, text: str, key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """(index, object) of an array; refuses what is no object."""
    if not isinstance(items, list):
        raise BadValue(ErrorCode.BAD_ROW, f"{key!r} is not a list")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            raise BadValue(
                ErrorCode.BAD_ROW, f"an element of {key!r} is not an object", line=_line_of(text, key, index)
            )
        yield index, item


def _text(item: Any, *path: str) -> str:
    """The string or number at `path`, or an empty string."""
    for key in path:
        item = item.get(key) if isinstance(item, dict) else None
    return item if isinstance(item, str) else ""


def _amount(value: Any, currency: str) -> int:
    if not isinstance(value, str) or _EXPONENT.search(value):
        raise BadValue(ErrorCode.BAD_AMOUNT, f"{str(value)[:40]!r} is not an amount")
    return parse_amount(value, currency)


def _read_plaid(document: dict[str, Any], text: str) -> Draft:
    key, account, items = _plaid_account(document)
    currencies = {
        _text(item, field)
        for _, item in _each(items, text, key)
        for field in ("iso_currency_code", "currency")
        if _text(item, field)
    }
    for path in (("currency",), ("balances", "iso_currency_code")):
        if _text(account, *path):
            currencies.add(_text(account, *path))
    if len(currencies) > 1:
        reason = f"amounts in {' and '.join(sorted(currencies))}; export one account at a time"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason)
    currency = parse_currency(next(iter(currencies), ""))
    draft = Draft(
        format="plaid",
        currency=currency,
        exponent=EXPONENTS[currency],
        account=_text(account, "numbers", "account") or _text(account, "mask") or None,
        holder=_holder(account),
    )
    pending = 0
    for index, item in _each(items, text, key):
        if item.get("pending") is True:
            pending += 1
            continue
        try:
            draft.add(_read_plaid_row(item, currency))
        except StatementError as error:
            error.line = error.line or _line_of(text, key, index)
            raise
    if pending:
        draft.warn(WarningCode.PENDING_ROWS, f"Pending transactions left out: {pending}.")
    if _text(account, "balances", "current"):
        draft.closing = _amount(account["balances"]["current"], currency)
        draft.warn(
            WarningCode.BALANCE_OUTSIDE_PERIOD,
            "The current balance carries no date; it was taken as the closing balance.",
        )
    elif _text(account, "starting_balance"):
        draft.closing = _amount(account["starting_balance"], currency)
        draft.warn(
            WarningCode.BALANCE_OUTSIDE_PERIOD,
            "starting_balance is by Plaid's reference the account's current balance; taken as the closing balance.",
        )
    return draft


def _plaid_account(document: dict[str, Any]) -> tuple[str, dict[str, Any], Any]:
    """(name of the list, the one account with transactions, its transactions)."""
    if "override_accounts" in document:
        accounts = [each for each in _objects(document["override_accounts"]) if each.get("transactions")]
        if len(accounts) != 1:
            code = ErrorCode.MULTIPLE_ACCOUNTS if accounts else ErrorCode.NO_ROWS
            raise UnsupportedContent(code, f"{len(accounts)} accounts have transactions; one is needed")
        return "transactions", accounts[0], accounts[0]["transactions"]
    key = "added" if "added" in document else "transactions"
    items = document[key]
    ids = sorted({_text(item, "account_id") for item in _objects(items)})
    if len(ids) > 1:
        reason = f"transactions of {len(ids)} accounts; export one account at a time"
        raise UnsupportedContent(ErrorCode.MULTIPLE_ACCOUNTS, reason)
    accounts = _objects(document.get("accounts"))
    mine = [each for each in accounts if ids and _text(each, "account_id") == ids[0]] or accounts
    return key, mine[0] if len(mine) == 1 else {}, items


def _objects(items: Any) -> list[dict[str, Any]]:
    return [each for each in items if isinstance(each, dict)] if isinstance(items, list) else []


def _holder(account: dict[str, Any]) -> str | None:
    identity = account.get("identity")
    names = identity.get("names") if isinstance(identity, dict) else None
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _read_plaid_row(item: dict[str, Any], currency: str) -> RawRow:
    posted = _text(item, "date_posted") or _text(item, "date") or _text(item, "date_transacted")
    amount = -_amount(item.get("amount"), currency)
    day, _ = parse_date(posted)
    second = parse_date(_text(item, "datetime"))[1] if _text(item, "datetime").startswith(posted) else -1
    description = _text(item, "description") or _text(item, "original_description") or _text(item, "name")
    described, _, merchant = description.partition("Merchant name:")
    kind = _text(item, "personal_finance_category", "primary").replace("_", " ")
    words = (described, merchant, _text(item, "name") if described != _text(item, "name") else "", kind)
    return RawRow(
        line=None,
        day=day,
        second=second,
        amount=amount,
        name=_text(item, "merchant_name") or merchant.strip() or described.strip(),
        text=" ".join(filter(None, (word.strip() for word in words))),
    )


def _read_berlin(document: dict[str, Any], transactions: dict[str, Any], text: str) -> Draft:
    items = transactions.get("booked") or []
    key = "booked" if "booked" in transactions and '"booked"' in text else "transactions"
    balances = _objects(document.get("balances") or transactions.get("balances"))
    found = {_text(item, "transactionAmount", "currency") for _, item in _each(items, text, key)}
    found |= {_text(each, "balanceAmount", "currency") for each in balances} | {_text(document, "account", "currency")}
    found.discard("")
    if len(found) > 1:
        reason = f"amounts in {' and '.join(sorted(found))}; export one account at a time"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason)
    currency = parse_currency(next(iter(found), ""))
    draft = Draft(
        format="berlin_group",
        currency=currency,
        exponent=EXPONENTS[currency],
        account=_text(document, "account", "iban") or _text(document, "account", "bban") or None,
        holder=_text(document, "account", "ownerName") or None,
    )
    by_value_date = 0
    for index, item in _each(items, text, key):
        try:
            by_value_date += not _text(item, "bookingDate")
            draft.add(_read_berlin_row(item, currency))
        except StatementError as error:
            error.line = error.line or _line_of(text, key, index)
            raise
    if by_value_date:
        draft.warn(
            WarningCode.VALUE_DATE_USED, f"Rows without a booking date, where the value date was used: {by_value_date}."
        )
    if transactions.get("pending"):
        draft.warn(WarningCode.PENDING_ROWS, f"Pending rows left out: {len(_objects(transactions['pending']))}.")
    _read_berlin_balances(draft, balances)
    return draft


def _read_berlin_balances(draft: Draft, balances: list[dict[str, Any]]) -> None:
    for balance in balances:
        kind = _text(balance, "balanceType")
        if kind not in ("closingBooked", "openingBooked"):
            continue
        amount = _amount(_text(balance, "balanceAmount", "amount"), draft.currency)
        text = _text(balance, "referenceDate")
        day = parse_date(text)[0] if text else None
        if kind == "closingBooked":
            draft.closing, draft.last_day = amount, day
        else:
            draft.opening, draft.first_day = amount, day
    draft.carry_balances = draft.opening is not None and draft.closing is not None


def _read_berlin_row(item: dict[str, Any], currency: str) -> RawRow:
    amount = _amount(_text(item, "transactionAmount", "amount"), currency)
    day, _ = parse_date(_text(item, "bookingDate") or _text(item, "valueDate"))
    after = _text(item, "balanceAfterTransaction", "balanceAmount", "amount")
    side = "debtor" if amount >= 0 else "creditor"
    lines = item.get("remittanceInformationUnstructuredArray")
    words = [_text(item, "remittanceInformationUnstructured"), _text(item, "additionalInformation")]
    words += [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
    return RawRow(
        line=None,
        day=day,
        amount=amount,
        balance=_amount(after, currency) if after else None,
        name=_text(item, f"{side}Name"),
        account=_text(item, f"{side}Account", "iban") or _text(item, f"{side}Account", "bban"),
        text=" ".join(filter(None, words)),
    )
