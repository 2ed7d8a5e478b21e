"""OFX and QFX, versions 1 (SGML) and 2 (XML), into a draft.

The markup is split here and not by a library, because a refusal has to name the line, real files often lack the
header, and dates must stay local (a library's conversion to UTC moves evening rows to the next day). Source: OFX
2.3 specification, sections 3.2.8 (dates), 11.4 (bank statements). Never guess a sign: TRNAMT carries it.
"""

import re

from scoring.ingest.dates import make_day
from scoring.ingest.draft import Draft, RawRow, list_numbers
from scoring.ingest.limits import DEPTH_MAX, NODES_MAX
from scoring.ingest.money import EXPONENTS, parse_amount, parse_currency
from scoring.ingest.statement import BadValue, ErrorCode, UnreadableFile, UnsupportedContent, WarningCode
from scoring.ingest.xml import Node
from scoring.rows import Category

_TOKEN = re.compile(r"<(/?)([A-Za-z0-9_.]+)\s*(/?)>([^<]*)")
_ROOT = re.compile(r"<OFX>", re.IGNORECASE)
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})(\d{2})?)?(?:\.\d+)?\s*(?:\[[^\]]{0,20}\]?)?", re.ASCII)
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&nbsp;", " "), ("&amp;", "&"))
_TYPES = {
    "INT": Category.INTEREST,
    "ATM": Category.CASH,
    "CASH": Category.CASH,
    "FEE": Category.FEE,
    "SRVCHG": Category.FEE,
}
_WORDS = {
    "POS": "pos purchase",
    "DIRECTDEBIT": "direct debit",
    "DIRECTDEP": "direct dep",
    "XFER": "transfer",
    "DIV": "dividend",
}


def is_ofx(text: str) -> bool:
    """Whether the text is an OFX document, with or without its header."""
    return "OFXHEADER" in text[:2048].upper() or _ROOT.search(text[:65536]) is not None


def read_ofx(text: str) -> Draft:
    """The draft of the one account of an OFX document. Raises StatementError."""
    root = _parse(text)
    if root.descendants("INVSTMTRS", "LOANSTMTRS"):
        node = root.descendants("INVSTMTRS", "LOANSTMTRS")[0]
        raise UnsupportedContent(ErrorCode.UNSUPPORTED_FORMAT, "an investment or loan statement", line=node.line)
    statements = root.descendants("STMTRS", "CCSTMTRS")
    if not statements:
        for status in root.descendants("STATUS"):
            if status.value("SEVERITY").upper() == "ERROR":
                reason = f"the bank answered with an error: {status.value('MESSAGE', 'CODE')[:120]}"
                raise UnsupportedContent(ErrorCode.NO_ROWS, reason, line=status.line)
        raise UnsupportedContent(ErrorCode.NO_ROWS, "the OFX document holds no account statement")
    if len(statements) > 1:
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_ACCOUNTS,
            f"the file holds {len(statements)} statements; export one account at a time",
            line=statements[1].line,
        )
    return _read_statement(statements[0])


def _read_statement(node: Node) -> Draft:
    currency = parse_currency(node.value("CURDEF"), line=node.line)
    account = node.find("BANKACCTFROM") or node.find("CCACCTFROM") or Node("", 0)
    draft = Draft(
        format="ofx",
        currency=currency,
        exponent=EXPONENTS[currency],
        account=account.value("ACCTID") or None,
    )
    if node.tag == "CCSTMTRS":
        draft.warn(WarningCode.CREDIT_CARD, "This is a credit card's statement, not a current account's.")
    transactions = node.find("BANKTRANLIST")
    if transactions is not None:
        for tag, field in (("DTSTART", "first_day"), ("DTEND", "last_day")):
            day = transactions.find(tag)
            if day is not None and day.text.strip():
                setattr(draft, field, _parse_day(day)[0])
        ids: set[str] = set()
        repeated: list[int] = []
        for each in transactions.find_all("STMTTRN"):
            row_id = each.value("FITID")
            if row_id and row_id in ids:
                repeated.append(each.line)
            ids.add(row_id)
            draft.add(_read_row(each, currency))
        if repeated:
            sentence = f"Lines {list_numbers(repeated)} repeat the transaction id of an earlier row; all were kept."
            draft.warn(WarningCode.DUPLICATE_IDS, sentence)
    _read_balance(node, draft)
    return draft


def _read_row(node: Node, currency: str) -> RawRow:
    amount_node = _require(node, "TRNAMT")
    other = node.value("CURRENCY/CURSYM")
    if other and parse_currency(other, line=node.line) != currency:
        reason = f"a row in {other} within a statement in {currency}"
        raise UnsupportedContent(ErrorCode.MULTIPLE_CURRENCIES, reason, line=node.line)
    amount = _parse_ofx_amount(amount_node, currency)
    day, second = _parse_day(_require(node, "DTPOSTED"))
    kind = node.value("TRNTYPE").upper()
    category = _TYPES.get(kind)
    if category in (Category.FEE, Category.INTEREST) and ("FEE" in kind) and amount > 0:
        category = None
    name = node.value("NAME", "PAYEE/NAME")
    return RawRow(
        line=node.line,
        day=day,
        second=second,
        amount=amount,
        name=name,
        account=node.value("BANKACCTTO/ACCTID", "CCACCTTO/ACCTID"),
        text=" ".join(filter(None, (_WORDS.get(kind, ""), name, node.value("MEMO")))),
        category=category,
    )


def _read_balance(node: Node, draft: Draft) -> None:
    balance = node.find("LEDGERBAL")
    if balance is None or not balance.value("BALAMT"):
        return
    draft.closing = _parse_ofx_amount(_require(balance, "BALAMT"), draft.currency)
    day_node = balance.find("DTASOF")
    if day_node is None or draft.last_day is None:
        return
    day = _parse_day(day_node)[0]
    # The ledger balance closes exactly these rows only if the list reaches to its date.
    if day == draft.last_day and all(row.day <= day for row in draft.rows):
        draft.carry_balances = True
    else:
        draft.warn(
            WarningCode.BALANCE_OUTSIDE_PERIOD,
            "The balance's date is not the end of the list of rows, so rows between them may be missing.",
        )


def _parse_ofx_amount(node: Node, currency: str) -> int:
    # The specification allows comma or point as decimal mark and no grouping (3.2.9.2), but some banks group.
    text = node.text.strip()
    mark = "," if text.rfind(",") > text.rfind(".") else "."
    return parse_amount(text, currency, mark=mark, grouped="," in text and "." in text, line=node.line)


def _parse_day(node: Node) -> tuple[int, int]:
    text = node.text.strip()
    match = _DATE.fullmatch(text)
    if match is None:
        raise BadValue(ErrorCode.BAD_DATE, f"{text[:40]!r} is not an OFX date", line=node.line)
    year, month, day = (int(match.group(index)) for index in (1, 2, 3))
    ordinal = make_day(year, month, day, text=text, line=node.line)
    if match.group(4) is None:
        return ordinal, -1
    hour, minute, second = (int(match.group(index) or 0) for index in (4, 5, 6))
    if hour > 23 or minute > 59 or second > 60:
        raise BadValue(ErrorCode.BAD_DATE, f"{text[:40]!r} is not a time of day", line=node.line)
    return ordinal, hour * 3600 + minute * 60 + min(second, 59)


def _require(node: Node, tag: str) -> Node:
    found = node.find(tag)
    if found is None or not found.text.strip():
        raise BadValue(ErrorCode.BAD_ROW, f"{node.tag} without {tag}", line=node.line if found is None else found.line)
    return found


def _parse(text: str) -> Node:
    """The element tree of SGML or XML: a tag followed by text is a value, closed or not; others nest."""
    opening = _ROOT.search(text)
    if opening is None:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, "the OFX header is not followed by an <OFX> element")
    start = opening.start()
    body = _plain_cdata(text[start:])
    line = text.count("\n", 0, start) + 1
    root = Node("", line)
    stack = [root]
    count = at = 0
    leaf: Node | None = None
    for match in _TOKEN.finditer(body):
        line += body.count("\n", at, match.start())
        at = match.start()
        closing, tag, empty, content = match.group(1), match.group(2).upper(), match.group(3), match.group(4)
        if closing:
            _close(stack, tag, leaf, line)
            leaf = None
            continue
        count += 1
        if count > NODES_MAX or len(stack) > DEPTH_MAX:
            raise UnreadableFile(ErrorCode.TOO_LARGE, "the OFX is nested too deep or has too many elements", line=line)
        node = Node(tag, line)
        stack[-1].children.append(node)
        node.text = _unescape(content.strip())
        leaf = node if node.text or empty else None
        if leaf is None:
            stack.append(node)
    if len(stack) > 1:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, f"<{stack[-1].tag}> is never closed", line=stack[-1].line)
    return root


def _plain_cdata(text: str) -> str:
    """The text with each CDATA section written as escaped characters; an open one is left and refused later."""
    parts: list[str] = []
    at = 0
    while (start := text.find("<![CDATA[", at)) >= 0 and (end := text.find("]]>", start)) >= 0:
        parts += text[at:start], text[start + 9 : end].replace("&", "&amp;").replace("<", "&lt;")
        at = end + 3
    return "".join(parts) + text[at:]


def _close(stack: list[Node], tag: str, leaf: Node | None, line: int) -> None:
    if leaf is not None and leaf.tag == tag:
        return
    while len(stack) > 1 and stack[-1].tag != tag:
        # An empty value that was never closed, as SGML allows; what seemed to be inside follows it.
        void = stack.pop()
        stack[-1].children.extend(void.children)
        void.children = []
    if len(stack) == 1:
        raise UnreadableFile(ErrorCode.BROKEN_FILE, f"</{tag}> closes nothing", line=line)
    stack.pop()


def _unescape(text: str) -> str:
    if "&" in text:
        for entity, char in _ENTITIES:
            text = text.replace(entity, char)
    return text
