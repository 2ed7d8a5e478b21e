"""Reads of loans: where one stands on the day of the last block, its schedule, its payoff, its history.

The loan is brought to the day by the ledger's own functions and nothing is written. Never an interest formula here.
"""

import msgspec
from aiohttp import web

from node.api.answers import EventView, Hex32, IsoDay, Minor
from node.api.books import make_page
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import get_id, get_node, parse_hex32, respond
from node.api.state import find_exponent, find_name, find_row, list_rows
from node.api.views import view_day
from protocol.ids import ObjectId
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.loans import load_loan
from protocol.ledger.servicing import calculate_loan_payoff
from protocol.ledger.state import CONTRACTS, LOANS
from protocol.limits import PAGE_ITEMS_MAX
from protocol.loans.delinquency import calculate_days_past_due


class PaidView(msgspec.Struct, frozen=True, kw_only=True):
    """What was received on a loan."""

    principal: Minor
    interest: Minor
    fee: Minor
    penalty: Minor


class LoanRowView(msgspec.Struct, frozen=True, kw_only=True):
    """One instalment as it stands now."""

    number: int
    due_on: IsoDay
    due: Minor
    paid: Minor
    principal_due: Minor
    interest_due: Minor
    fee_due: Minor
    penalty_due: Minor
    unpaid: Minor


class LoanSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loan stands."""

    id: Hex32
    state: str
    borrower: Hex32
    lender: Hex32
    lender_name: str | None
    product: Hex32
    currency: str
    exponent: int
    principal: Minor
    principal_out: Minor
    rate_ppm: int
    apr_ppm: int
    total_cost: Minor
    disbursed_on: IsoDay
    today: IsoDay
    days_past_due: int
    days_past_due_max: int
    bucket: str
    overdue: Minor
    """Unpaid of instalments whose day has passed."""
    next_due_on: IsoDay | None
    next_due: Minor
    """Asked for by the end of `next_due_on`, overdue amounts included."""
    payoff: Minor
    """What closes the loan today."""
    paid: PaidView


class LoanView(msgspec.Struct, frozen=True, kw_only=True):
    """A loan with its instalments and what has happened to it."""

    height: int
    loan: LoanSummary
    offer: Hex32
    schedule: list[LoanRowView]
    history: list[EventView]


def view_summary(node: NodePort, loan_id: ObjectId) -> tuple[LoanSummary, Contract, Loan]:
    """A loan on the day of the last block."""
    contract, loan = load_loan(node.ledger.books, loan_id)
    told, today = contract.disclosure, loan.accrual.as_of
    still_open = loan.closed_ms is None
    unpaid = [(row.due_on, row.unpaid) for row in loan.rows if row.unpaid]
    overdue = sum(amount for due_on, amount in unpaid if due_on < today)
    ahead = [due_on for due_on, _ in unpaid if due_on >= today]
    next_due_on = min(ahead) if ahead and still_open else None
    next_due = 0 if next_due_on is None else sum(amount for due_on, amount in unpaid if due_on <= next_due_on)
    principal, interest, fee, penalty = loan.paid
    summary = LoanSummary(
        id=loan_id.hex(),
        state=loan.state.name.lower(),
        borrower=told.borrower.hex(),
        lender=told.lender.hex(),
        lender_name=find_name(node, told.lender),
        product=told.product.hex(),
        currency=told.currency,
        exponent=find_exponent(node, told.currency),
        principal=told.schedule.principal,
        principal_out=loan.principal_out,
        rate_ppm=told.schedule.rate_ppm,
        apr_ppm=told.apr_ppm,
        total_cost=told.total_cost,
        disbursed_on=view_day(contract.disbursed_on),
        today=view_day(today),
        days_past_due=calculate_days_past_due(loan.rows, today, materiality=told.materiality) if still_open else 0,
        days_past_due_max=loan.days_past_due_max,
        bucket=loan.bucket.name.lower(),
        overdue=overdue if still_open else 0,
        next_due_on=None if next_due_on is None else view_day(next_due_on),
        next_due=next_due,
        payoff=calculate_loan_payoff(contract, loan) if still_open else 0,
        paid=PaidView(principal=principal, interest=interest, fee=fee, penalty=penalty),
    )
    return summary, contract, loan


async def get_loan(request: web.Request) -> web.Response:
    """GET /v1/loans/{id}."""
    node, loan_id = get_node(request), ObjectId(get_id(request))
    if find_row(node, LOANS, loan_id) is None:
        raise ProblemError("not_found", "No loan has this id at this height.")
    summary, contract, loan = view_summary(node, loan_id)
    height = node.status().exec_height
    events = await node.store.read_subject_events(loan_id, PAGE_ITEMS_MAX)
    view = LoanView(
        height=height,
        loan=summary,
        offer=contract.offer.hex(),
        schedule=[
            LoanRowView(
                number=row.index,
                due_on=view_day(row.due_on),
                due=row.principal_due + row.interest_due + row.fee_due + row.penalty_due,
                paid=row.principal_paid + row.interest_paid + row.fee_paid + row.penalty_paid,
                principal_due=row.principal_due,
                interest_due=row.interest_due,
                fee_due=row.fee_due,
                penalty_due=row.penalty_due,
                unpaid=row.unpaid,
            )
            for row in loan.rows
        ],
        history=[
            EventView(height=one.height, index=one.index, kind=one.kind, data=msgspec.json.decode(one.data))
            for one in events
        ],
    )
    return respond(view, height=height)


async def list_loans(request: web.Request) -> web.Response:
    """GET /v1/loans[?borrower=][&lender=][&state=]."""
    node = get_node(request)
    borrower, lender = request.query.get("borrower"), request.query.get("lender")
    by_borrower = None if borrower is None else parse_hex32(borrower)
    by_lender = None if lender is None else parse_hex32(lender)
    state = request.query.get("state")
    wanted: list[tuple[bytes, Loan]] = []
    for key, loan in list_rows(node, LOANS):
        contract = find_row(node, CONTRACTS, key)
        assert contract is not None, "every loan has its contract"
        told = contract.disclosure
        if by_borrower not in (None, told.borrower) or by_lender not in (None, told.lender):
            continue
        if state in (None, loan.state.name.lower()):
            wanted.append((key, loan))
    return make_page(request, node, wanted, lambda key, _: view_summary(node, ObjectId(key))[0])
