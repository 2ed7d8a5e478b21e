"""ISO 20022 camt.053 (bank to customer statement), all versions, into a draft.

Source: ISO 20022 message definition camt.053.001.02 to .13: BkToCstmrStmt/Stmt/(Acct, Bal, Ntry). The direction is
CdtDbtInd alone; RvslInd only says that the entry undoes another one. Never sum transaction details: an entry is
what moved the balance.
"""

from scoring.ingest.dates import parse_date
from scoring.ingest.draft import Draft, RawRow, list_numbers
from scoring.ingest.money import EXPONENTS, parse_amount, parse_currency
from scoring.ingest.statement import BadValue, ErrorCode, UnknownFormat, UnsupportedContent, WarningCode
from scoring.ingest.xml import Node, parse_xml
from scoring.rows import Category

_OPENING = ("OPBD", "PRCD")
_CLOSING = ("CLBD",)


def read_camt(data: bytes) -> Draft:
    """The draft of the one account of a camt.053 document. Raises StatementError."""
    root = parse_xml(data)
    if root.tag == "OFX":
        raise UnknownFormat(ErrorCode.UNKNOWN_FORMAT, "an OFX document with a broken start", line=root.line)
    message = root if root.tag == "BkToCstmrStmt" else root.find("BkToCstmrStmt")
    if message is None:
        raise UnknownFormat(
            ErrorCode.UNKNOWN_FORMAT, f"XML, but no camt.053 statement (root <{root.tag[:40]}>)", line=root.line
        )
    statements = message.find_all("Stmt")
    if not statements:
        raise UnsupportedContent(ErrorCode.NO_ROWS, "the camt.053 document holds no statement", line=message.line)
    draft = _open(statements[0])
    pending: list[int] = []
    by_value_date: list[int] = []
    for index, node in enumerate(statements):
        if index:
            _check_same(draft, statements[0], node)
        _read_balances(draft, node, index == 0)
        _read_period(draft, node)
        for entry in node.find_all("Ntry"):
            status = entry.value("Sts/Cd", "Sts/Prtry", "Sts").upper()
            if status not in ("", "BOOK"):
                pending.append(entry.line)
            else:
                draft.add(_read_entry(entry, draft.currency, by_value_date))
    if pending:
        draft.warn(WarningCode.PENDING_ROWS, f"Entries at lines {list_numbers(pending)} are not booked; left out.")
    if by_value_date:
        sentence = f"Entries at lines {list_numbers(by_value_date)} have no booking date; the value date was used."
        draft.warn(WarningCode.VALUE_DATE_USED, sentence)
    draft.carry_balances = draft.opening is not None and draft.closing is not None
    return draft


def _account(node: Node) -> str:
    return node.value("Acct/Id/IBAN", "Acct/Id/Othr/Id")


def _currency(node: Node) -> str:
    """The account's currency: its own, else that of its first balance, else that of its first entry."""
    found = node.value("Acct/Ccy")
    for tag in ("Bal", "Ntry"):
        amount = node.find(f"{tag}/Amt")
        if not found and amount is not None:
            found = amount.attributes.get("Ccy", "")
    return parse_currency(found, line=node.line)


def _open(node: Node) -> Draft:
    currency = _currency(node)
    return Draft(
        format="camt053",
        currency=currency,
        exponent=EXPONENTS[currency],
        account=_account(node) or None,
        holder=node.value("Acct/Ownr/Nm", "Acct/Nm") or None,
    )


def _check_same(draft: Draft, first: Node, node: Node) -> None:
    currency = _currency(node)
    if currency != draft.currency:
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_CURRENCIES,
            f"statements in {draft.currency} and in {currency}; export one account at a time",
            line=node.line,
        )
    if _account(node) != _account(first):
        reason = "statements of more than one account; export one account at a time"
        raise UnsupportedContent(ErrorCode.MULTIPLE_ACCOUNTS, reason, line=node.line)


def _read_balances(draft: Draft, node: Node, is_first: bool) -> None:
    found: dict[str, tuple[int, int | None]] = {}
    for balance in node.find_all("Bal"):
        kind = balance.value("Tp/CdOrPrtry/Cd").upper()
        if kind in _OPENING + _CLOSING:
            text = balance.value("Dt/Dt", "Dt/DtTm")
            day = parse_date(text, line=balance.line)[0] if text else None
            found.setdefault(kind, (_amount(balance, draft.currency), day))
    opening = next((found[kind] for kind in _OPENING if kind in found), None)
    closing = next((found[kind] for kind in _CLOSING if kind in found), None)
    if opening is not None:
        if is_first:
            draft.opening = opening[0]
            draft.first_day = opening[1]
        elif draft.closing is not None and draft.closing != opening[0]:
            draft.warn(
                WarningCode.CHAIN_BREAK,
                f"The opening balance of the statement at line {node.line} is not the closing balance before it.",
            )
    draft.closing = closing[0] if closing is not None else None
    if closing is not None:
        draft.last_day = closing[1]


def _read_period(draft: Draft, node: Node) -> None:
    start, end = node.value("FrToDt/FrDtTm", "FrToDt/FrDt"), node.value("FrToDt/ToDtTm", "FrToDt/ToDt")
    if start and draft.first_day is None:
        draft.first_day = parse_date(start, line=node.line)[0]
    if end and draft.last_day is None:
        draft.last_day = parse_date(end, line=node.line)[0]


def _amount(node: Node, currency: str) -> int:
    """The signed amount of a balance or entry."""
    amount = node.find("Amt")
    if amount is None:
        raise BadValue(ErrorCode.BAD_ROW, f"{node.tag} without an amount", line=node.line)
    found = amount.attributes.get("Ccy", "")
    if found and parse_currency(found, line=amount.line) != currency:
        reason = f"an amount in {found} within an account in {currency}"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason, line=amount.line)
    minor = parse_amount(amount.text, currency, line=amount.line, signed=False)
    mark = node.value("CdtDbtInd").upper()
    if mark not in ("CRDT", "DBIT"):
        raise BadValue(ErrorCode.BAD_ROW, f"{node.tag} is neither credit nor debit", line=node.line)
    return minor if mark == "CRDT" else -minor


def _read_entry(entry: Node, currency: str, by_value_date: list[int]) -> RawRow:
    amount = _amount(entry, currency)
    booked = entry.value("BookgDt/Dt", "BookgDt/DtTm")
    if not booked:
        by_value_date.append(entry.line)
        booked = entry.value("ValDt/Dt", "ValDt/DtTm")
    if not booked:
        raise BadValue(ErrorCode.BAD_DATE, "an entry without booking or value date", line=entry.line)
    day, second = parse_date(booked, line=entry.line)
    details = entry.find("NtryDtls/TxDtls") or Node("", entry.line)
    other = "Dbtr" if amount >= 0 else "Cdtr"
    words = [each.text.strip() for each in details.descendants("Ustrd")]
    words += [entry.value("AddtlNtryInf"), details.value("AddtlTxInf"), entry.value("BkTxCd/Prtry/Cd")]
    is_batch = sum(len(each.find_all("TxDtls")) for each in entry.find_all("NtryDtls")) > 1
    return RawRow(
        line=entry.line,
        day=day,
        second=second,
        amount=amount,
        # A batch has many parties, so it has none that could be named.
        name="" if is_batch else details.value(f"RltdPties/{other}/Nm", f"RltdPties/{other}/Pty/Nm"),
        account=""
        if is_batch
        else details.value(f"RltdPties/{other}Acct/Id/IBAN", f"RltdPties/{other}Acct/Id/Othr/Id"),
        text=" ".join(filter(None, words)),
        category=Category.REVERSAL if entry.value("RvslInd").lower() in ("true", "1") else None,
    )
