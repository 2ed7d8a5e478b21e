"""A loan as the API shows it, on the day of the last block: state, class, who holds it, instalments, trouble.

The loan is brought to the day and rated by the ledger's own functions, and nothing is written. Only translation here;
never an interest formula.
"""

from typing import Final

import msgspec

from node.api.answers import EventView, Hex32, IsoDay, Minor
from node.api.offers import SpecialView, view_special
from node.api.ports import NodePort
from node.api.reading import view_day
from node.api.state import find_exponent, find_name
from node.store.chain import StoredEvent
from protocol.ids import ObjectId
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.holdings import get_lender, get_owner
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.reports import Position, calculate_back_since_default, name_kind, rate_loan
from protocol.ledger.servicing import calculate_loan_payoff
from protocol.loans.lifecycle import CLAIMED, LoanState
from protocol.loans.waterfall import Row

HISTORY_ITEMS: Final = 100
"""Events that come with a loan; its history has them all."""


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
    principal_paid: Minor
    interest_due: Minor
    interest_paid: Minor
    fee_due: Minor
    fee_paid: Minor
    penalty_due: Minor
    penalty_paid: Minor
    unpaid: Minor


class HoldingView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool's part of a loan; the first one's owner services it."""

    pool: Hex32
    lender: Hex32
    lender_name: str | None
    share_ppm: int
    principal: Minor
    """After default its part of the claim."""
    haircut: Minor
    covered: Minor
    """Of the claim, what the pool's cover has paid and not got back."""
    lost: Minor
    """Of the claim, what the pool itself has lost and not got back."""


class DefaultView(msgspec.Struct, frozen=True, kw_only=True):
    """A default, and what came of it."""

    on: IsoDay
    days_past_due: int
    """On that day."""
    arbiter: Hex32 | None
    """Who vouched for a default before the rule's days."""
    evidence: Hex32 | None
    covered: Minor
    lost: Minor
    costs: Minor
    """Stated costs of recovery that have not come back."""
    recovered: Minor
    """Principal that has come back since."""


class SalesView(msgspec.Struct, frozen=True, kw_only=True):
    """How a loan that sales repay goes."""

    reported_to: IsoDay
    gross: Minor
    """Of all sales reported."""
    shared: Minor
    """What should have been paid of them."""
    window_start: IsoDay
    window_paid: Minor
    """Paid since the running 30 days began."""
    near_breaches: int
    breached_on: IsoDay | None


class LoanSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a loan stands."""

    id: Hex32
    state: str
    kind: str
    borrower: Hex32
    lender: Hex32
    """Who services it now: owner of the lead's pool."""
    lender_name: str | None
    pool: Hex32
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
    asset_class: str
    """normal, special_mention, substandard, doubtful or loss."""
    stage: int
    """Of IFRS 9."""
    overdue: Minor
    """Unpaid of instalments whose day has passed; of a defaulted loan all that is claimed."""
    next_due_on: IsoDay | None
    next_due: Minor
    """Asked for by the end of `next_due_on`, overdue amounts included."""
    payoff: Minor
    """What closes the loan today."""
    restructures: int
    on_hold: bool
    """A dispute holds late charges and default."""
    paid: PaidView


class LoanView(msgspec.Struct, frozen=True, kw_only=True):
    """A loan with its instalments and what has happened to it."""

    height: int
    loan: LoanSummary
    offer: Hex32
    terms_version: int
    """From 1; an amendment that both sides signed is a new one."""
    special: SpecialView
    holdings: list[HoldingView]
    schedule: list[LoanRowView]
    collateral: list[Hex32]
    guarantors: list[Hex32]
    deposit: Minor
    """Of a lease, held for the lessee."""
    autopay: bool
    agent: Hex32 | None
    """Settlement agent that pays out, or has paid out, in fiat."""
    agent_name: str | None
    agent_until_ms: int | None
    """Until when the agent can pay out; None once it has, or where none does."""
    cooling_off_until: IsoDay
    """Last day on which paying all back also gives the origination fee back."""
    restructured_on: IsoDay | None
    days_past_due_before: int
    """When it was last amended."""
    capitalised: Minor
    forgiven: Minor
    impaired: str | None
    """Class its lender has worsened it to."""
    hold_until: IsoDay | None
    dispute: Hex32 | None
    amendments: list[Hex32]
    """Proposed and not answered."""
    default: DefaultView | None
    sales: SalesView | None
    closed_ms: int | None
    history: list[EventView]
    """The first events, oldest first, each with its postings."""
    history_next: str | None
    """Pass as `after` to the loan's history for the events behind; None when these are all."""


def view_summary(node: NodePort, loan_id: ObjectId) -> LoanSummary:
    """A loan on the day of the last block."""
    return summarise(node, loan_id, rate_loan(node.ledger.books, loan_id))


def summarise(node: NodePort, loan_id: ObjectId, at: Position) -> LoanSummary:
    """A loan that was rated."""
    books = node.ledger.books
    contract, loan = at.contract, at.loan
    told, today = contract.disclosure, books.calculate_day(contract.disclosure.tz_offset_min)
    lender = get_lender(books, loan)
    next_due_on, next_due = _calculate_next_due(loan, today)
    principal, interest, fee, penalty = loan.paid
    return LoanSummary(
        id=loan_id.hex(),
        state=loan.state.name.lower(),
        kind=name_kind(told),
        borrower=told.borrower.hex(),
        lender=lender.hex(),
        lender_name=find_name(node, lender),
        pool=loan.holdings[0].pool.hex(),
        product=told.product.hex(),
        currency=told.currency,
        exponent=find_exponent(node, told.currency),
        principal=contract.principal,
        principal_out=loan.principal_out,
        rate_ppm=told.schedule.rate_ppm,
        apr_ppm=told.apr_ppm,
        total_cost=told.total_cost,
        disbursed_on=view_day(contract.disbursed_on),
        today=view_day(today),
        days_past_due=at.days_past_due,
        days_past_due_max=max(loan.days_past_due_max, at.days_past_due),
        bucket=at.bucket.name.lower(),
        asset_class=at.asset_class.name.lower(),
        stage=at.stage,
        overdue=_calculate_overdue(loan, today),
        next_due_on=None if next_due_on is None else view_day(next_due_on),
        next_due=next_due,
        payoff=calculate_closing_amount(contract, loan),
        restructures=loan.restructures,
        on_hold=loan.hold_until is not None and today < loan.hold_until,
        paid=PaidView(principal=principal, interest=interest, fee=fee, penalty=penalty),
    )


def calculate_closing_amount(contract: Contract, loan: Loan) -> int:
    """What closes the loan today: its payoff, or its claim; nothing while or where no money was paid out."""
    if loan.state in CLAIMED:
        return calculate_claim(loan)
    return calculate_loan_payoff(contract, loan) if loan.state is LoanState.ACTIVE else 0


def _calculate_overdue(loan: Loan, today: int) -> int:
    if loan.state in CLAIMED:
        return calculate_claim(loan)
    return sum(row.unpaid for row in loan.rows if row.due_on < today) if loan.state is LoanState.ACTIVE else 0


def _calculate_next_due(loan: Loan, today: int) -> tuple[int | None, int]:
    """The next day on which something falls due, and all that is asked for by then."""
    ahead = [row.due_on for row in loan.rows if row.unpaid and row.due_on >= today]
    if not ahead or loan.state not in (LoanState.ACTIVE, LoanState.FUNDED):
        return None, 0
    day = min(ahead)
    return day, sum(row.unpaid for row in loan.rows if row.due_on <= day)


def view_row(row: Row) -> LoanRowView:
    """An instalment."""
    return LoanRowView(
        number=row.index,
        due_on=view_day(row.due_on),
        due=row.principal_due + row.interest_due + row.fee_due + row.penalty_due,
        paid=row.principal_paid + row.interest_paid + row.fee_paid + row.penalty_paid,
        principal_due=row.principal_due,
        principal_paid=row.principal_paid,
        interest_due=row.interest_due,
        interest_paid=row.interest_paid,
        fee_due=row.fee_due,
        fee_paid=row.fee_paid,
        penalty_due=row.penalty_due,
        penalty_paid=row.penalty_paid,
        unpaid=row.unpaid,
    )


def view_loan(node: NodePort, loan_id: ObjectId, *, history: list[EventView], more: str | None) -> LoanView:
    """A loan with all that belongs to it."""
    at = rate_loan(node.ledger.books, loan_id)
    contract, loan, told = at.contract, at.loan, at.contract.disclosure
    waits = loan.state is LoanState.FUNDED
    return LoanView(
        height=node.status().exec_height,
        loan=summarise(node, loan_id, at),
        offer=contract.offer.hex(),
        terms_version=contract.version,
        special=view_special(told),
        holdings=_view_holdings(node, loan),
        schedule=[view_row(row) for row in loan.rows],
        collateral=[one.hex() for one in told.collateral],
        guarantors=[one.hex() for one in told.guarantors],
        deposit=loan.deposit,
        autopay=loan.autopay,
        agent=None if contract.agent is None else contract.agent.hex(),
        agent_name=None if contract.agent is None else find_name(node, contract.agent),
        agent_until_ms=contract.agent_until_ms if waits else None,
        cooling_off_until=view_day(contract.disbursed_on + told.cooling_off_days),
        restructured_on=_view_day(loan.restructured_on),
        days_past_due_before=loan.days_past_due_before,
        capitalised=loan.capitalised,
        forgiven=loan.forgiven,
        impaired=None if loan.impaired is None else loan.impaired.name.lower(),
        hold_until=_view_day(loan.hold_until),
        dispute=None if loan.dispute is None else loan.dispute.hex(),
        amendments=[one.hex() for one in (loan.amend_lender, loan.amend_borrower) if one is not None],
        default=_view_default(loan),
        sales=_view_sales(loan),
        closed_ms=loan.closed_ms,
        history=history,
        history_next=more,
    )


def _view_day(day: int | None) -> str | None:
    return None if day is None else view_day(day)


def _view_holdings(node: NodePort, loan: Loan) -> list[HoldingView]:
    found = []
    for one in loan.holdings:
        owner = get_owner(node.ledger.books, ObjectId(one.pool))
        found.append(
            HoldingView(
                pool=one.pool.hex(),
                lender=owner.hex(),
                lender_name=find_name(node, owner),
                share_ppm=one.share_ppm,
                principal=one.principal,
                haircut=one.haircut,
                covered=one.covered,
                lost=one.lost,
            )
        )
    return found


def _view_default(loan: Loan) -> DefaultView | None:
    ground = loan.default_ground
    if ground is None or loan.defaulted_on is None:
        return None
    return DefaultView(
        on=view_day(loan.defaulted_on),
        days_past_due=ground.days_past_due,
        arbiter=None if ground.arbiter is None else ground.arbiter.hex(),
        evidence=None if ground.evidence is None else ground.evidence.hex(),
        covered=sum(one.covered for one in loan.holdings),
        lost=sum(one.lost for one in loan.holdings),
        costs=loan.costs,
        recovered=calculate_back_since_default(loan),
    )


def _view_sales(loan: Loan) -> SalesView | None:
    tally = loan.sales
    if tally is None:
        return None
    return SalesView(
        reported_to=view_day(tally.reported_to),
        gross=tally.gross,
        shared=tally.shared,
        window_start=view_day(tally.window_start),
        window_paid=tally.window_paid,
        near_breaches=tally.near_breaches,
        breached_on=_view_day(tally.breached_on),
    )


def view_event(event: StoredEvent) -> EventView:
    """An event with its postings, if money moved."""
    return EventView(height=event.height, index=event.index, kind=event.kind, data=msgspec.json.decode(event.data))
