"""What may still be drawn of a line: kept ready in its pools, counted as debt, restored by principal that is paid back.

    undrawn           = limit - principal out on the line's draws       while the line is open, else 0
    kept by a pool    = its share of the limit - its part of the draws' principal, if that is not below 0

A part never grows by more than the money that came in, so what is kept is always there. Anything but payment that
changes a draw's principal, and its default, closes the line. Who may draw, and when, is `lines`'; never a check here.
"""

from collections import Counter

from protocol.ids import Day, ObjectId, TimeMs
from protocol.ledger.books import Books, EventKind
from protocol.ledger.contracts import Contract, Disclosure, DrawTold, LineTold, Loan
from protocol.ledger.erasure import free_data
from protocol.ledger.holdings import change_pool, make_holdings
from protocol.ledger.rows import Line
from protocol.ledger.state import EXPOSURES, LINES, LOANS, OFFERS, replace
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount

PAID_BACK = (LoanState.ACTIVE, LoanState.REPAID, LoanState.WITHDRAWN)
"""States of a draw that leave its line open."""
Reserves = tuple[tuple[ObjectId, int], ...]
"""What each pool keeps ready, lead first."""


def get_agreed(books: Books, line: Line) -> Disclosure:
    """What was signed when the line was opened."""
    return books.state.need(OFFERS, line.offer).disclosure


def calculate_reserves(books: Books, line: Line, *, drawn: tuple[ObjectId, Loan] | None = None) -> Reserves:
    """What the pools keep ready for a line; `drawn` is a draw's loan as it will be, where it is not yet saved."""
    if line.closed:
        return ()
    lent: Counter[bytes] = Counter()
    for loan_id in line.draws:
        loan = drawn[1] if drawn is not None and drawn[0] == loan_id else books.state.need(LOANS, loan_id)
        for one in loan.holdings:
            lent[one.pool] += one.principal
    parts = make_holdings(get_agreed(books, line), line.limit)
    return tuple((ObjectId(one.pool), max(0, one.principal - lent[one.pool])) for one in parts)


def open_line(
    books: Books, line_id: ObjectId, offer_id: ObjectId, disclosure: Disclosure, tag: bytes, *, autopay: bool
) -> None:
    """Open the line of an offer, with its limit kept ready, until its last day; exposure is the caller's."""
    told = disclosure.told
    assert isinstance(told, LineTold), "the offer of a line"
    today, tz_offset_min = books.calculate_day(disclosure.tz_offset_min), disclosure.tz_offset_min
    closes_on = Day(today + told.kind.days)
    limit = Amount(disclosure.schedule.principal)
    line = Line(
        offer=offer_id,
        subject_tag=tag,  # type: ignore[arg-type]
        limit=limit,
        undrawn=limit,
        draws=(),
        opened_on=today,
        closes_on=closes_on,
        closes_ms=TimeMs(books.genesis.calculate_day_start_ms(closes_on, tz_offset_min)),
        autopay=autopay,
    )
    books.state.put(LINES, line_id, line)
    _keep(books, calculate_reserves(books, line), 1)
    books.schedule(line.closes_ms, EventKind.LINE, line_id)
    books.emit(
        "line_opened",
        (line_id, disclosure.borrower, disclosure.lender, disclosure.application),
        {
            "line": line_id.hex(),
            "borrower": disclosure.borrower.hex(),
            "lender": disclosure.lender.hex(),
            "product": disclosure.product.hex(),
            "application": disclosure.application.hex(),
            "limit": limit,
            "closes_on": closes_on,
        },
    )


def _keep(books: Books, reserves: Reserves, sign: int) -> None:
    for pool_id, amount in reserves:
        change_pool(books, pool_id, reserved=sign * amount)


def _count_undrawn(books: Books, line: Line, delta: int) -> None:
    if delta:
        exposure = books.state.need(EXPOSURES, line.subject_tag)
        books.state.put(EXPOSURES, line.subject_tag, replace(exposure, undrawn=exposure.undrawn + delta))


def close_line(books: Books, line_id: ObjectId, line: Line, reason: str) -> None:
    """Give up what is undrawn of an open line for good; draws go on."""
    _keep(books, calculate_reserves(books, line), -1)
    _count_undrawn(books, line, -line.undrawn)
    exposure = books.state.need(EXPOSURES, line.subject_tag)
    left = tuple(one for one in exposure.lines if one != line_id)
    books.state.put(EXPOSURES, line.subject_tag, replace(exposure, lines=left))
    books.cancel(line.closes_ms, EventKind.LINE, line_id)
    books.state.put(LINES, line_id, replace(line, undrawn=Amount(0), closed=True))
    agreed = get_agreed(books, line)
    free_data(books, ObjectId(agreed.application), claim=True)
    books.emit(
        "line_closed",
        (line_id, agreed.borrower, agreed.lender),
        {
            "line": line_id.hex(),
            "borrower": agreed.borrower.hex(),
            "lender": agreed.lender.hex(),
            "undrawn": line.undrawn,
            "reason": reason,
        },
    )


def follow_draw(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Let a draw's line follow the draw that is about to be saved: made, paid on, closed, or gone wrong."""
    told = contract.disclosure.told
    if not isinstance(told, DrawTold):
        return
    before, line = books.state.get(LOANS, loan_id), books.state.need(LINES, told.line)
    fell = (0 if before is None else before.principal_out) - loan.principal_out
    paid = loan.paid[0] - (0 if before is None else before.paid[0])
    made = before is None
    if not line.closed and (loan.state not in PAID_BACK or not (made or fell == paid)):
        close_line(books, ObjectId(told.line), line, "default" if loan.state is LoanState.DEFAULTED else "amended")
        line = books.state.need(LINES, told.line)
    draws = tuple(one for one in line.draws if one != loan_id)
    if loan.closed_ms is None:
        draws = line.draws if loan_id in line.draws else (*line.draws, loan_id)
    after = replace(line, draws=draws, undrawn=Amount(line.undrawn + (0 if line.closed else fell)))
    if after == line:
        return
    _keep(books, calculate_reserves(books, line), -1)
    _keep(books, calculate_reserves(books, after, drawn=(loan_id, loan)), 1)
    _count_undrawn(books, line, after.undrawn - line.undrawn)
    books.state.put(LINES, told.line, after)
