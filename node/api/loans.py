"""Reads of loans: where they stand, their history page by page, and the disputes and amendments about them.

Never an interest formula here, and never a change of a row.
"""

import msgspec
from aiohttp import web

from node.api.answers import EventView, Hex32, IsoDay, ListView, Minor
from node.api.books import make_page
from node.api.events import parse_position
from node.api.loanviews import HISTORY_ITEMS, view_event, view_loan, view_summary
from node.api.offers import view_quote
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_id, get_limit, get_node, parse_hex32, respond, view_day
from node.api.state import find_name, find_row, list_rows
from protocol.ids import ObjectId
from protocol.ledger.contracts import LeaseTold, Loan
from protocol.ledger.holdings import find_holders
from protocol.ledger.leases import calculate_extension
from protocol.ledger.loans import load_loan
from protocol.ledger.restructure import calculate_amended
from protocol.ledger.rows import Amendment, Dispute
from protocol.ledger.state import AMENDMENTS, CONTRACTS, DISPUTES, LOANS
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import ScheduleFault


class DisputeView(msgspec.Struct, frozen=True, kw_only=True):
    """A contested amount of a loan."""

    height: int
    id: Hex32
    loan: Hex32
    side: str
    """Who opened it."""
    code: str
    amount: Minor
    evidence: Hex32
    answer: Hex32 | None
    opened_on: IsoDay
    hold_until: IsoDay
    """First day on which late charges and default are free again."""
    resolved: bool
    waived: Minor
    refunded: Minor


class AmendmentView(msgspec.Struct, frozen=True, kw_only=True):
    """Other terms proposed for a loan. What they come to today is the amendment's quote."""

    height: int
    id: Hex32
    loan: Hex32
    proposer: Hex32
    proposer_name: str | None
    by_borrower: bool
    state: str
    """open, accepted or gone."""
    expires_on: IsoDay
    settle: Minor | None
    """Amount that settles the loan in full; then no new schedule follows."""
    instalments: int
    first_due: IsoDay | None
    rate_ppm: int
    forgiven: Minor
    interest: str
    fees: str
    penalties: str
    """Capitalise, carry or waive."""


def _need_loan(node: NodePort, loan_id: ObjectId) -> Loan:
    row = find_row(node, LOANS, loan_id)
    if row is None:
        raise ProblemError("not_found", "No loan has this id at this height.")
    return row


async def _read_history(
    node: NodePort, loan_id: ObjectId, limit: int, after: tuple[int, int] = (0, -1)
) -> tuple[list[EventView], str | None]:
    """Events of a loan after a position, and the position to go on from; None when there are no more."""
    events = await node.store.read_subject_events(loan_id, limit + 1, after=after)
    more = f"{events[limit - 1].height}-{events[limit - 1].index}" if len(events) > limit else None
    return [view_event(one) for one in events[:limit]], more


async def _check_whole(node: NodePort, loan_id: ObjectId, from_the_start: bool, after: int) -> None:
    """Raise ProblemError(history_pruned) where this node lacks some of what was asked for."""
    base = node.store.base
    if from_the_start and base:
        contract, block = find_row(node, CONTRACTS, loan_id), await node.store.read_block(base)
        is_older = contract is None or block is None or contract.disbursed_ms <= block.header.time_ms
    else:
        is_older = after < base
    if is_older:
        detail = f"The history of this node begins after block {base}: ask for what came later with after={base}-0."
        raise ProblemError("history_pruned", detail)


async def get_loan(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}."""
    node, loan_id = get_node(request), ObjectId(get_id(request))
    _need_loan(node, loan_id)
    history, more = await _read_history(node, loan_id, HISTORY_ITEMS)
    await node.wait_settled()
    view = view_loan(node, loan_id, history=history, more=more)
    return respond(view, height=view.height)


async def list_loan_history(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}/history[?after=height-index]: all its events, oldest first, with their postings."""
    node, loan_id, limit = get_node(request), ObjectId(get_id(request)), get_limit(request)
    _need_loan(node, loan_id)
    given, height = request.query.get("after"), node.status().exec_height
    after = (0, -1) if given is None else parse_position(given)
    await _check_whole(node, loan_id, given is None, after[0])
    history, more = await _read_history(node, loan_id, limit, after)
    return respond(ListView(height=height, items=history, next=more), height=height)


async def list_loans(request: web.Request) -> web.Response:
    """GET /v1/loans[?borrower=][&lender=][&state=]; of a lender all that it holds a part of."""
    node = get_node(request)
    borrower, lender = request.query.get("borrower"), request.query.get("lender")
    by_borrower = None if borrower is None else parse_hex32(borrower)
    by_lender = None if lender is None else parse_hex32(lender)
    state = request.query.get("state")
    wanted: list[tuple[bytes, Loan]] = []
    for key, loan in list_rows(node, LOANS):
        contract = find_row(node, CONTRACTS, key)
        assert contract is not None, "every loan has its contract"
        if by_borrower not in (None, contract.disclosure.borrower):
            continue
        if by_lender is not None and by_lender not in find_holders(node.ledger.books, loan):
            continue
        if state in (None, loan.state.name.lower()):
            wanted.append((key, loan))
    return make_page(request, node, wanted, lambda key, _: view_summary(node, ObjectId(key)))


# ---------------------------------------------------------------------- disputes and amendments


def view_dispute(node: NodePort, dispute_id: ObjectId, row: Dispute) -> DisputeView:
    """A dispute."""
    return DisputeView(
        height=node.status().exec_height,
        id=dispute_id.hex(),
        loan=row.loan.hex(),
        side=row.side.name.lower(),
        code=row.code.name.lower(),
        amount=row.amount,
        evidence=row.evidence.hex(),
        answer=None if row.answer is None else row.answer.hex(),
        opened_on=view_day(row.opened_on),
        hold_until=view_day(row.hold_until),
        resolved=row.resolved,
        waived=row.waived,
        refunded=row.refunded,
    )


def view_amendment(node: NodePort, amendment_id: ObjectId, row: Amendment) -> AmendmentView:
    """An amendment as it was proposed."""
    terms = row.terms
    return AmendmentView(
        height=node.status().exec_height,
        id=amendment_id.hex(),
        loan=terms.loan.hex(),
        proposer=row.proposer.hex(),
        proposer_name=find_name(node, row.proposer),
        by_borrower=row.by_borrower,
        state=_name_state(node, amendment_id, row),
        expires_on=view_day(row.expires_on),
        settle=terms.settle,
        instalments=terms.instalments,
        first_due=None if terms.first_due is None else view_day(terms.first_due),
        rate_ppm=terms.rate_ppm,
        forgiven=terms.forgiven,
        interest=terms.interest.name.lower(),
        fees=terms.fees.name.lower(),
        penalties=terms.penalties.name.lower(),
    )


def _name_state(node: NodePort, amendment_id: ObjectId, row: Amendment) -> str:
    """Where it stands: one that is past its days, was replaced or rejected, or whose loan has ended, is gone."""
    if row.accepted is not None:
        return "accepted" if row.accepted else "gone"
    contract, loan = load_loan(node.ledger.books, ObjectId(row.terms.loan))
    today = node.ledger.books.calculate_day(contract.disclosure.tz_offset_min)
    waits = amendment_id in (loan.amend_lender, loan.amend_borrower)
    return "open" if waits and loan.closed_ms is None and today <= row.expires_on else "gone"


async def list_loan_disputes(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}/disputes: all that were ever opened about the loan."""
    node, loan_id = get_node(request), ObjectId(get_id(request))
    _need_loan(node, loan_id)
    rows = ((key, row) for key, row in list_rows(node, DISPUTES) if row.loan == loan_id)
    return make_page(request, node, rows, lambda key, row: view_dispute(node, ObjectId(key), row))


async def list_loan_amendments(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}/amendments: all that were ever proposed for the loan."""
    node, loan_id = get_node(request), ObjectId(get_id(request))
    _need_loan(node, loan_id)
    rows = ((key, row) for key, row in list_rows(node, AMENDMENTS) if row.terms.loan == loan_id)
    return make_page(request, node, rows, lambda key, row: view_amendment(node, ObjectId(key), row))


async def get_dispute(request: web.Request) -> web.Response:
    """GET /v1/disputes/{id}."""
    node, dispute_id = get_node(request), ObjectId(get_id(request))
    row = find_row(node, DISPUTES, dispute_id)
    if row is None:
        raise ProblemError("not_found", "No dispute has this id at this height.")
    view = view_dispute(node, dispute_id, row)
    return respond(view, height=view.height)


def _need_amendment(node: NodePort, amendment_id: ObjectId) -> Amendment:
    row = find_row(node, AMENDMENTS, amendment_id)
    if row is None:
        raise ProblemError("not_found", "No amendment has this id at this height.")
    return row


async def get_amendment(request: web.Request) -> web.Response:
    """GET /v1/amendments/{id}."""
    node, amendment_id = get_node(request), ObjectId(get_id(request))
    view = view_amendment(node, amendment_id, _need_amendment(node, amendment_id))
    return respond(view, height=view.height)


async def get_amendment_quote(request: web.Request) -> web.Response:
    """GET /v1/amendments/{id}/quote: the terms that accepting it today would sign."""
    node, amendment_id = get_node(request), ObjectId(get_id(request))
    row = _need_amendment(node, amendment_id)
    contract, loan = load_loan(node.ledger.books, ObjectId(row.terms.loan))
    today = node.ledger.books.calculate_day(contract.disclosure.tz_offset_min)
    settles = row.terms.settle is not None
    amended = None if settles or loan.closed_ms is not None else calculate_amended(contract, loan, row.terms, today)
    if amended is None:
        raise ProblemError("no_terms", "A settlement has no schedule, and not every proposal has a lawful one today.")
    view = view_quote(node, amended.disclosure)
    return respond(view, height=view.height)


async def get_extension_quote(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}/extension: the terms of a lease whose residual is paid on from today."""
    node, loan_id = get_node(request), ObjectId(get_id(request))
    _need_loan(node, loan_id)
    contract, loan = load_loan(node.ledger.books, loan_id)
    told = contract.disclosure
    today = node.ledger.books.calculate_day(told.tz_offset_min)
    lease = told.told
    offered = isinstance(lease, LeaseTold) and lease.kind.extend_instalments > 0 and loan.state is LoanState.ACTIVE
    found = calculate_extension(told, loan.rows[-1].principal_unpaid, today) if offered else None
    if found is None or isinstance(found, ScheduleFault):
        raise ProblemError("no_terms", "This loan cannot be extended today.")
    view = view_quote(node, found)
    return respond(view, height=view.height)
