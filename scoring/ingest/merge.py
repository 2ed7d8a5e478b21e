"""Several statements of one account become one: joined where they meet, compared where they overlap, else refused.

    whole = merge([("january.csv", one), ("february.csv", other)])

Banks hand out months, lenders ask for a year. Where two files tell of the same days they must tell the same, row by
row; where days lie between them, or balances do not meet, a file is missing or one was altered: nothing is guessed.
Never read a file here: statements come from `read_statement`, all with one counterparty key.
"""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from typing import NamedTuple

import msgspec

from scoring.ingest.chain import find_breaks
from scoring.ingest.limits import MEETING_ROWS_MAX, ROWS_MAX
from scoring.ingest.statement import (
    ErrorCode,
    Statement,
    StatementError,
    StatementWarning,
    UnreadableFile,
    UnsupportedContent,
    WarningCode,
)
from scoring.rows import NO_COUNTERPARTY, Provenance, Row

Named = tuple[str, Statement]
"""A file's name, which is only shown in refusals, and what it says."""


def merge(files: Sequence[Named]) -> Statement:
    """One statement of all `files`, whatever their order; a single one comes back as it is.

    Raises StatementError, naming the later of two files: multiple_currencies, multiple_accounts, period_gap,
    overlap_differs, balances_differ, too_large.
    """
    assert files, "at least one statement"
    ordered = sorted(files, key=lambda each: (each[1].first_day, each[1].last_day, each[0]))
    whole = ordered[0][1]
    for (earlier, _), (name, later) in pairwise(ordered):
        try:
            _check_one_account(whole, later)
            whole = _join(whole, later)
        except StatementError as error:
            error.file = f"{name} after {earlier}"
            raise
    return whole


def _check_one_account(whole: Statement, later: Statement) -> None:
    if whole.currency != later.currency:
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_CURRENCIES, f"one statement is in {whole.currency}, the other in {later.currency}"
        )
    accounts = {"".join(each.account_ref.split()).upper() for each in (whole, later) if each.account_ref}
    if len(accounts) > 1:
        raise UnsupportedContent(
            ErrorCode.MULTIPLE_ACCOUNTS, "the statements are of different accounts; give those of one account"
        )


def _join(whole: Statement, later: Statement) -> Statement:
    seam = _find_seam(whole, later)
    rows = whole.rows + seam.fresh
    if len(rows) > ROWS_MAX:
        raise UnreadableFile(ErrorCode.TOO_LARGE, f"together more than {ROWS_MAX} rows")
    is_met = _check_meeting(whole, later, seam)
    goes_on = later.last_day > whole.last_day or bool(seam.fresh)
    provenance = max([each.provenance for each in (whole, later) if each.rows], default=whole.provenance)
    if provenance == Provenance.BALANCE_CHAIN and (not is_met or find_breaks(rows, whole.opening_balance)):
        provenance = Provenance.FILE
    total_in = sum(row.amount for row in rows if row.amount > 0)
    return Statement(
        format=whole.format if whole.format == later.format else "several",
        currency=whole.currency,
        exponent=whole.exponent,
        account_ref=whole.account_ref or later.account_ref,
        holder=whole.holder or later.holder,
        opening_balance=whole.opening_balance,
        closing_balance=later.closing_balance if goes_on else whole.closing_balance,
        first_day=whole.first_day,
        last_day=max(whole.last_day, later.last_day),
        provenance=provenance,
        rows=tuple(msgspec.structs.replace(row, seq=seq) for seq, row in enumerate(rows)),
        warnings=_join_warnings(whole, later, is_met=is_met),
        total_in=total_in,
        total_out=total_in - sum(row.amount for row in rows),
    )


class _Seam(NamedTuple):
    """Where two statements meet."""

    common: int
    """Rows that both have."""
    fresh: tuple[Row, ...]
    """Rows of the later one that come after all of the earlier."""


def _find_seam(whole: Statement, later: Statement) -> _Seam:
    """How the later one continues. Raises UnsupportedContent where the two tell the same days differently.

    A file may begin or end within a day: on the first day of the later one the earlier may have more rows before, and
    on the day that one of them ends the other may have more rows after. All else must be equal.
    """
    first, last = later.first_day, min(whole.last_day, later.last_day)
    old = [row for row in whole.rows if first <= row.day <= last]
    new = [row for row in later.rows if row.day <= last]
    beyond = tuple(row for row in later.rows if row.day > last)
    for start in range(min(len(old), MEETING_ROWS_MAX) + 1):
        common = min(len(old) - start, len(new))
        if (not common and old and new) or (start and old[start - 1].day > first):
            break
        if not all(_is_same(row, copy) for row, copy in zip(old[start:], new, strict=False)):
            continue
        more_old, more_new = old[start + common :], new[common:]
        if any(row.day < last for row in (*more_old, *more_new)):
            continue
        if (more_old and later.last_day > whole.last_day) or (more_new and whole.last_day > later.last_day):
            continue
        return _Seam(common, (*more_new, *beyond))
    if first == whole.last_day and whole.closing_balance is not None and whole.closing_balance == later.opening_balance:
        return _Seam(0, later.rows)  # cut within a day, with no row in common
    raise _differ(old, new)


def _is_same(row: Row, copy: Row) -> bool:
    """Whether two rows can be one movement: what either file leaves out is no difference."""
    return (
        row.day == copy.day
        and row.amount == copy.amount
        and (row.balance == copy.balance or None in (row.balance, copy.balance))
        and (row.minute == copy.minute or -1 in (row.minute, copy.minute))
        and (row.counterparty == copy.counterparty or NO_COUNTERPARTY in (row.counterparty, copy.counterparty))
    )


def _differ(old: Sequence[Row], new: Sequence[Row]) -> UnsupportedContent:
    for day in sorted({row.day for row in (*old, *new)}):
        left, right = ([row for row in rows if row.day == day] for rows in (old, new))
        if len(left) != len(right) or not all(map(_is_same, left, right)):
            break
    return UnsupportedContent(
        ErrorCode.OVERLAP_DIFFERS,
        f"the two tell {date.fromordinal(day).isoformat()} differently ({len(left)} rows and {len(right)} rows): "
        "one of them was altered, or they are not of one account",
    )


def _check_meeting(whole: Statement, later: Statement, seam: _Seam) -> bool:
    """Whether rows or balances prove that nothing is missing in between. Raises where they prove that something is.

    Without balances on both sides, days in between are refused: an unseen month may hold anything.
    """
    if seam.common or (later.last_day <= whole.last_day and not seam.fresh):
        return True
    days = later.first_day - whole.last_day - 1
    ends, begins = whole.closing_balance, later.opening_balance
    if ends is not None and begins is not None:
        if ends != begins:
            raise UnsupportedContent(
                ErrorCode.BALANCES_DIFFER,
                "the closing balance of the one is not the opening balance of the other; a statement between them is "
                "missing, or one was altered",
            )
        return True
    if days > 0:
        raise UnsupportedContent(
            ErrorCode.PERIOD_GAP,
            f"{days} days from {date.fromordinal(whole.last_day + 1).isoformat()} on are in neither, and no balance "
            "shows that nothing happened; add the statement between them",
        )
    return False


def _join_warnings(whole: Statement, later: Statement, *, is_met: bool) -> tuple[StatementWarning, ...]:
    warnings = list(whole.warnings)
    warnings += [each for each in later.warnings if each not in warnings]
    if not (whole.account_ref and later.account_ref):
        warnings.append(
            StatementWarning(
                code=WarningCode.ACCOUNT_ASSUMED,
                sentence="Not every file names its account; they were taken for statements of one account.",
            )
        )
    if not is_met:
        warnings.append(
            StatementWarning(
                code=WarningCode.MEETING_UNPROVEN,
                sentence="No balances show that the files follow one another; their days do.",
            )
        )
    return tuple(dict.fromkeys(warnings))
