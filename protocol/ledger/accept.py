"""Accepting an offer: every cap is checked and the money moves in this one step, or nothing happens (ledger 2.10).

The checks stand in the order of the rejections' numbers, so that all nodes name the same first reason.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import ObjectId
from protocol.ledger.applications import close_application
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.decisions import calculate_capacity30
from protocol.ledger.exposure import apply_loan_made, calculate_pool_exposure, check_caps
from protocol.ledger.journal import Book, Posting
from protocol.ledger.loans import save_loan
from protocol.ledger.offers import calculate_apr_from, calculate_terms_hash
from protocol.ledger.records import Disbursed, Fact, Made
from protocol.ledger.rows import (
    ApplicationState,
    Budget,
    Contract,
    Disclosure,
    Loan,
    LoanState,
    Offer,
    OfferState,
)
from protocol.ledger.servicing import calculate_rows_ahead
from protocol.ledger.state import APPLICATIONS, BUDGETS, CONTRACTS, OFFERS, POOLS, PRODUCTS, replace
from protocol.loans.accrual import Accrual, calculate_accrual_periods
from protocol.loans.schedule import calculate_schedule
from protocol.loans.waterfall import open_row
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept


def check_accept(books: Books, call: Call, payload: Accept) -> Rejection | None:
    """Why no loan is made, in order of precedence."""
    offer = books.state.get(OFFERS, payload.offer)
    if offer is None or offer.disclosure.borrower != call.account:
        return Rejection.OFFER_UNKNOWN
    disclosure = offer.disclosure
    today = books.calculate_day(disclosure.tz_offset_min)
    if offer.state is OfferState.EXPIRED or offer.expires_ms <= books.now_ms or today > disclosure.expires_on:
        return Rejection.OFFER_EXPIRED
    application = books.state.need(APPLICATIONS, disclosure.application)
    if application.expires_ms <= books.now_ms:
        # Its event may still wait behind a thousand others of the day.
        return Rejection.OFFER_EXPIRED
    if offer.state is not OfferState.POSTED or application.state is not ApplicationState.OPEN:
        return Rejection.OFFER_TAKEN
    if payload.terms_hash != offer.terms_hash:
        return Rejection.TERMS_MISMATCH
    refused = check_caps(books, call.row.subject_tag, disclosure, calculate_capacity30(application))
    refused = refused or _check_lender(books, call, disclosure)
    if refused is not None:
        return refused
    # Last, because it costs a hundred times the caps: nobody gets it for a refusal.
    _assert_recomputes(offer)
    if today > disclosure.schedule.start:
        contract, loan = make_loan(payload.offer, offer, call, books)
        apr_ppm = calculate_apr_from(disclosure, contract.disbursed_on, loan.rows[0].interest_due)
        if apr_ppm is None or apr_ppm > books.policy.apr_cap_ppm:
            # A fee weighs more over a shorter time; what was lawful on the day of the offer may not be any more.
            return Rejection.RATE_TOO_HIGH
    return None


def _assert_recomputes(offer: Offer) -> None:
    """The stored offer still says what its terms give; a difference is a fault of these books, not of a user."""
    disclosure = offer.disclosure
    assert calculate_schedule(disclosure.schedule) == disclosure.instalments, "a schedule recomputes"
    assert calculate_terms_hash(disclosure) == offer.terms_hash, "a disclosure hashes to its terms"


def _check_lender(books: Books, call: Call, disclosure: Disclosure) -> Rejection | None:
    """The product's budget, the pool's cash, and its limit for one borrower."""
    principal = disclosure.schedule.principal
    if books.state.need(BUDGETS, disclosure.product).used + principal > _read_budget(books, disclosure):
        return Rejection.BUDGET_SPENT
    pool = books.state.need(POOLS, disclosure.pool)
    # Proceeds go out now; the origination fee must stay ready until the borrower can withdraw no more.
    if pool.cash - pool.reserved < principal:
        return Rejection.LIQUIDITY_SHORT
    if calculate_pool_exposure(books, call.row.subject_tag, disclosure.pool) + principal > pool.borrower_max:
        return Rejection.CAP_POOL
    return None


def _read_budget(books: Books, disclosure: Disclosure) -> int:
    return books.state.need(PRODUCTS, disclosure.product).terms.auto_budget


def make_loan(offer_id: ObjectId, offer: Offer, call: Call, books: Books) -> tuple[Contract, Loan]:
    """Contract and loan of an offer taken today; interest runs from today, whatever day the offer was made."""
    disclosure = offer.disclosure
    today = books.calculate_day(disclosure.tz_offset_min)
    contract = Contract(
        offer=offer_id,
        subject_tag=call.row.subject_tag,
        disclosure=disclosure,
        periods=calculate_accrual_periods(disclosure.schedule),
        disbursed_ms=books.now_ms,
        disbursed_on=today,
    )
    accrual = Accrual(as_of=today)
    rows = tuple(open_row(one) for one in disclosure.instalments)
    if today > disclosure.schedule.start:
        rows = calculate_rows_ahead(contract, rows, accrual)
    loan = Loan(
        state=LoanState.ACTIVE,
        rows=rows,
        accrual=accrual,
        principal_out=Amount(disclosure.schedule.principal),
        fee_held=disclosure.origination_fee,
    )
    return contract, loan


def apply_accept(books: Books, call: Call, payload: Accept) -> tuple[Fact, ...]:
    """Make the loan: principal out of the pool, proceeds to the borrower, the fee to the pool, exposure counted."""
    loan_id = calculate_object_id("loan", call.key, call.nonce)
    offer = books.state.need(OFFERS, payload.offer)
    disclosure = offer.disclosure
    contract, loan = make_loan(payload.offer, offer, call, books)
    principal = disclosure.schedule.principal
    books.state.put(OFFERS, payload.offer, replace(offer, state=OfferState.ACCEPTED))
    books.cancel(offer.expires_ms, EventKind.OFFER_EXPIRY, payload.offer)
    close_application(books, disclosure.application, ApplicationState.TAKEN, OfferState.CANCELLED)
    budget = books.state.need(BUDGETS, disclosure.product)
    books.state.put(
        BUDGETS,
        disclosure.product,
        Budget(used=Amount(budget.used + principal), loans=budget.loans + 1),
    )
    pool = books.state.need(POOLS, disclosure.pool)
    books.state.put(
        POOLS,
        disclosure.pool,
        replace(
            pool,
            cash=pool.cash - disclosure.net_proceeds,
            principal=pool.principal + principal,
            lent=pool.lent + principal,
            loans_open=pool.loans_open + 1,
            reserved=pool.reserved + disclosure.origination_fee,
        ),
    )
    books.state.put(CONTRACTS, loan_id, contract)
    apply_loan_made(books, call.row.subject_tag, loan_id, principal)
    _post_loan(books, loan_id, disclosure)
    save_loan(books, loan_id, contract, loan)
    return (
        Made(id=loan_id),
        Disbursed(loan=loan_id, principal=Amount(principal), proceeds=disclosure.net_proceeds),
    )


def _post_loan(books: Books, loan_id: ObjectId, disclosure: Disclosure) -> None:
    principal = disclosure.schedule.principal
    books.post(
        "loan_made",
        disclosure.currency,
        (
            Posting(disclosure.pool, Book.PRINCIPAL, principal),
            Posting(disclosure.borrower, Book.CASH, -disclosure.net_proceeds),
            Posting(disclosure.pool, Book.FEES, -disclosure.origination_fee),
        ),
        (loan_id, disclosure.borrower, disclosure.lender, disclosure.application),
        {
            "loan": loan_id.hex(),
            "borrower": disclosure.borrower.hex(),
            "lender": disclosure.lender.hex(),
            "product": disclosure.product.hex(),
            "application": disclosure.application.hex(),
            "principal": principal,
            "proceeds": disclosure.net_proceeds,
            "apr_ppm": disclosure.apr_ppm,
        },
    )
