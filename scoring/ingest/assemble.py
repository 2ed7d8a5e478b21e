"""From a draft to a statement: order, balance chain, provenance grade, categories, keyed counterparties.

Every format comes through here, so that a rule about trust is written once. Never put a format's habits here.
"""

from collections.abc import Sequence
from hashlib import blake2b

import msgspec

from scoring.ingest.categories import categorise, is_same_account, is_same_party, normalise_party, pick_channel
from scoring.ingest.chain import choose_order, find_breaks, is_ascending
from scoring.ingest.draft import Draft, RawRow, list_numbers
from scoring.ingest.limits import MINOR_UNITS_MAX
from scoring.ingest.statement import BadValue, ErrorCode, Statement, UnsupportedContent, WarningCode
from scoring.rows import NO_COUNTERPARTY, Category, Provenance, Row


def assemble(draft: Draft, counterparty_key: bytes) -> Statement:
    """The statement of `draft`. Raises UnsupportedContent `no_rows` when it covers no day at all."""
    assert 16 <= len(counterparty_key) <= 64, "the counterparty key is 16 to 64 secret bytes"
    rows, how = choose_order(draft.rows, draft.opening)
    _warn_order(draft, rows, how)
    first_day, last_day = _settle_period(draft, rows)
    rows, computed = _carry_balances(draft, rows)
    is_closed = _check_chain(draft, rows, computed)
    _warn_duplicates(draft, rows)
    opening, closing = draft.opening, draft.closing
    if rows and opening is None and rows[0].balance is not None:
        opening = rows[0].balance - rows[0].amount
    if rows and closing is None:
        closing = rows[-1].balance
    _check_magnitude(rows, opening, closing)
    total_in = sum(row.amount for row in rows if row.amount > 0)
    return Statement(
        format=draft.format,
        currency=draft.currency,
        exponent=draft.exponent,
        account_ref=draft.account or None,
        holder=draft.holder or None,
        opening_balance=opening,
        closing_balance=closing,
        first_day=first_day,
        last_day=last_day,
        provenance=Provenance.BALANCE_CHAIN if is_closed else Provenance.FILE,
        rows=tuple(_normalise(draft, row, seq, counterparty_key) for seq, row in enumerate(rows)),
        warnings=tuple(draft.warnings),
        total_in=total_in,
        total_out=total_in - sum(row.amount for row in rows),
    )


def calculate_counterparty(name: str, account: str, counterparty_key: bytes) -> bytes:
    """The 16-byte keyed id of a party: BLAKE2b over its normalised name, or its account when it has no name.

    The key keeps a peer from trying all names; a masked account ("1234****9876") identifies nobody.
    """
    party = normalise_party(name)
    kind = b"name|"
    if not party:
        party = "" if "*" in account else normalise_party(account)
        kind = b"account|"
    if not party:
        return NO_COUNTERPARTY
    return blake2b(kind + party.encode(), key=counterparty_key, digest_size=16).digest()


def _normalise(draft: Draft, row: RawRow, seq: int, counterparty_key: bytes) -> Row:
    category = row.category
    if category is None:
        category = categorise(row.text, row.name, row.amount)
        own = is_same_party(row.name, draft.holder) or is_same_account(row.account, draft.account)
        if own and category in (Category.OTHER, Category.TRANSFER, Category.BUSINESS_INCOME, Category.SHOPPING):
            category = Category.OWN_TRANSFER
    return Row(
        day=row.day,
        seq=seq,
        amount=row.amount,
        balance=row.balance,
        counterparty=calculate_counterparty(row.name, row.account, counterparty_key),
        category=category,
        channel=pick_channel(row.text, row.name, category),
        minute=row.second // 60 if row.second >= 0 else -1,
    )


def _warn_order(draft: Draft, rows: Sequence[RawRow], how: str) -> None:
    if how == "reversed":
        draft.warn(WarningCode.ORDER_REVERSED, "The file lists the newest row first; the rows were turned round.")
    elif how == "sorted":
        draft.warn(WarningCode.ORDER_SORTED, "The file is not in the order of time; the rows were sorted.")
    if not is_ascending([msgspec.structs.replace(row, second=-1) for row in rows]):
        draft.warn(WarningCode.DAYS_OUT_OF_ORDER, "The balance chain closes only in an order in which dates go back.")


def _settle_period(draft: Draft, rows: Sequence[RawRow]) -> tuple[int, int]:
    days = [row.day for row in rows]
    if not days and (draft.first_day is None or draft.last_day is None):
        raise UnsupportedContent(ErrorCode.NO_ROWS, "the file holds no row and names no period")
    if draft.first_day is None or draft.last_day is None:
        draft.warn(
            WarningCode.PERIOD_FROM_ROWS,
            "The file does not name its whole period; first or last row stands for the missing end.",
        )
    first_day = draft.first_day if draft.first_day is not None else min(days)
    last_day = draft.last_day if draft.last_day is not None else max(days)
    if first_day > last_day and draft.first_day is not None and draft.last_day is not None:
        raise BadValue(ErrorCode.BAD_DATE, "the period of the file ends before it starts")
    outside = [seq + 1 for seq, day in enumerate(days) if not first_day <= day <= last_day]
    if outside:
        draft.warn(
            WarningCode.ROW_OUTSIDE_PERIOD,
            f"Rows {list_numbers(outside)} lie outside the period that the file names; the period was widened.",
        )
    if not days:
        draft.warn(WarningCode.EMPTY_STATEMENT, "The file holds no row.")
    return min([first_day, *days]), max([last_day, *days])


def _carry_balances(draft: Draft, rows: list[RawRow]) -> tuple[list[RawRow], bool]:
    """Balances for rows that show none, from a balance that holds for exactly these rows; (rows, whether done)."""
    if not rows or not draft.carry_balances or any(row.balance is not None for row in rows):
        return rows, False
    net = sum(row.amount for row in rows)
    if draft.opening is None:
        if draft.closing is None:
            return rows, False
        draft.opening = draft.closing - net
        sentence = "The file shows no balance per row; balances were computed back from the closing balance."
        draft.warn(WarningCode.BALANCES_COMPUTED, sentence)
        balance, proven = draft.opening, False
    elif draft.closing is None or draft.opening + net != draft.closing:
        return rows, False
    else:
        sentence = "The file shows no balance per row; balances were computed from opening to closing balance."
        draft.warn(WarningCode.BALANCES_COMPUTED, sentence)
        balance, proven = draft.opening, True
    carried = []
    for row in rows:
        balance += row.amount
        carried.append(msgspec.structs.replace(row, balance=balance))
    return carried, proven


def _check_chain(draft: Draft, rows: Sequence[RawRow], computed: bool) -> bool:
    """Whether the chain closes over all rows, given opening and closing balance included; warns where it does not."""
    breaks = find_breaks(rows, draft.opening)
    if breaks:
        draft.warn(
            WarningCode.CHAIN_BREAK,
            f"The balance after row {list_numbers([index + 1 for index in breaks])} is not the balance before plus "
            "the amount.",
        )
    is_matched = True
    if draft.closing is not None:
        if rows and rows[-1].balance is not None:
            is_matched = rows[-1].balance == draft.closing
        elif draft.opening is not None:
            is_matched = draft.opening + sum(row.amount for row in rows) == draft.closing
        if not is_matched:
            draft.warn(
                WarningCode.BALANCE_MISMATCH,
                "The closing balance of the file is not its opening balance plus all rows.",
            )
    is_complete = bool(rows) and all(row.balance is not None for row in rows)
    was_carried = any(each.code == WarningCode.BALANCES_COMPUTED for each in draft.warnings)
    return is_complete and not breaks and is_matched and (computed or not was_carried)


def _warn_duplicates(draft: Draft, rows: Sequence[RawRow]) -> None:
    seen: set[tuple[object, ...]] = set()
    twins: list[int] = []
    for seq, row in enumerate(rows):
        facts = (row.day, row.second, row.amount, normalise_party(row.name), row.account, row.text)
        if row.amount and facts in seen:
            twins.append(seq + 1)
        seen.add(facts)
    if twins:
        draft.warn(
            WarningCode.SAME_DAY_DUPLICATES,
            f"Rows {list_numbers(twins)} repeat an earlier row of the same day in every detail; all were kept.",
        )


def _check_magnitude(rows: Sequence[RawRow], opening: int | None, closing: int | None) -> None:
    balances = [row.balance for row in rows if row.balance is not None]
    total = sum(abs(row.amount) for row in rows)
    if max((abs(each) for each in (*balances, opening or 0, closing or 0, total)), default=0) > MINOR_UNITS_MAX:
        raise BadValue(ErrorCode.BAD_AMOUNT, "the amounts of the file add up beyond every real account")
