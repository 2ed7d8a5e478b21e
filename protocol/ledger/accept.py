"""Accepting an offer: every cap is checked and the money moves in this one step, or nothing happens (ledger 2.10).

The checks stand in the order of the rejections' numbers, so that all nodes name the same first reason.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import Digest, ObjectId
from protocol.ledger.applications import close_application
from protocol.ledger.assets import bind_things, check_things_free
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.contracts import Disclosure, Offer, OfferState
from protocol.ledger.cover import is_cover_short
from protocol.ledger.decisions import calculate_capacity30
from protocol.ledger.exposure import add_guarantee, apply_loan_made, calculate_pool_exposure, check_caps
from protocol.ledger.funding import check_agent, reserve_funding
from protocol.ledger.guarantees import check_guarantor_caps, check_guarantors
from protocol.ledger.holdings import make_holdings
from protocol.ledger.leases import check_supplier, is_deposit_short, take_deposit
from protocol.ledger.loans import save_loan
from protocol.ledger.offers import calculate_apr_from, calculate_instalments, calculate_terms_hash, reserve_offer
from protocol.ledger.payout import calculate_proceeds, make_loan, pay_out
from protocol.ledger.records import Disbursed, Fact, Made
from protocol.ledger.rows import ApplicationState, Budget
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, BUDGETS, CONTRACTS, LOANS, OFFERS, POOLS, PRODUCTS, replace
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
    if is_deposit_short(books, disclosure):
        # Only an offer that can still be taken asks for its deposit.
        return Rejection.FUNDS_SHORT
    if payload.terms_hash != offer.terms_hash:
        return Rejection.TERMS_MISMATCH
    capacity30 = calculate_capacity30(application)
    refused = check_caps(books, call.row.subject_tag, disclosure, capacity30)
    refused = refused or _check_lenders(books, call, offer)
    if refused is not None:
        return refused
    # Late, because it costs a hundred times the caps: nobody gets it for a refusal.
    assert_recomputes(disclosure, offer.terms_hash)
    if today > disclosure.schedule.start and not _is_rate_lawful(books, payload.offer, offer, call):
        # A fee weighs more over a shorter time; what was lawful on the day of the offer may not be any more.
        return Rejection.RATE_TOO_HIGH
    return (
        check_guarantors(books, call, disclosure)
        or check_things_free(books, disclosure)
        or check_agent(books, disclosure, payload.agent)
        or _check_cover(books, disclosure)
        or check_guarantor_caps(books, disclosure)
        or check_supplier(books, call, disclosure)
    )


def assert_recomputes(disclosure: Disclosure, terms_hash: Digest) -> None:
    """A stored disclosure still says what its terms give; a difference is a fault of these books, not of a user."""
    assert calculate_instalments(disclosure.schedule, disclosure.told) == disclosure.instalments, (
        "a schedule recomputes"
    )
    assert calculate_terms_hash(disclosure) == terms_hash, "a disclosure hashes to its terms"


def _is_rate_lawful(books: Books, offer_id: ObjectId, offer: Offer, call: Call) -> bool:
    """Whether the effective rate of a loan that starts today stays within the policy's cap."""
    contract, loan = make_loan(offer_id, offer, call.row.subject_tag, books, agent=None, autopay=False)
    apr_ppm = calculate_apr_from(offer.disclosure, contract.disbursed_on, loan.rows[0].interest_due)
    return apr_ppm is not None and apr_ppm <= books.policy.apr_cap_ppm


def _check_lenders(books: Books, call: Call, offer: Offer) -> Rejection | None:
    """The product's budget, the pools' cash, and their limits for one borrower."""
    disclosure = offer.disclosure
    principal = disclosure.schedule.principal
    if not offer.officer and books.state.need(BUDGETS, disclosure.product).used + principal > _read_budget(
        books, disclosure
    ):
        return Rejection.BUDGET_SPENT
    holdings = make_holdings(disclosure, principal)
    pools = [books.state.need(POOLS, one.pool) for one in holdings]
    # Proceeds go out now; what is reserved for others must stay. An officer's offer has its own part reserved already.
    if not offer.officer and any(
        pool.cash - pool.reserved < one.principal for pool, one in zip(pools, holdings, strict=True)
    ):
        return Rejection.LIQUIDITY_SHORT
    for pool, one in zip(pools, holdings, strict=True):
        if calculate_pool_exposure(books, call.row.subject_tag, one.pool) + one.principal > pool.borrower_max:
            return Rejection.CAP_POOL
    return None


def _check_cover(books: Books, disclosure: Disclosure) -> Rejection | None:
    """No new loans from a pool whose first-loss cover would be too small for them."""
    holdings = make_holdings(disclosure, disclosure.schedule.principal)
    short = any(is_cover_short(books, ObjectId(one.pool), more=one.principal) for one in holdings)
    return Rejection.COVER_LOW if short else None


def _read_budget(books: Books, disclosure: Disclosure) -> int:
    return books.state.need(PRODUCTS, disclosure.product).terms.auto_budget


def apply_accept(books: Books, call: Call, payload: Accept) -> tuple[Fact, ...]:
    """Make the loan: principal out of the pools, proceeds to the payee, fees to the pools, exposure counted."""
    loan_id = calculate_object_id("loan", call.key, call.nonce)
    offer = books.state.need(OFFERS, payload.offer)
    disclosure = offer.disclosure
    principal = disclosure.schedule.principal
    books.state.put(OFFERS, payload.offer, replace(offer, state=OfferState.ACCEPTED))
    books.cancel(offer.expires_ms, EventKind.OFFER_EXPIRY, payload.offer)
    if offer.officer:
        reserve_offer(books, disclosure, -1)
    else:
        budget = books.state.need(BUDGETS, disclosure.product)
        spent = Budget(used=Amount(budget.used + principal), loans=budget.loans + 1)
        books.state.put(BUDGETS, disclosure.product, spent)
    close_application(books, disclosure.application, ApplicationState.TAKEN, OfferState.CANCELLED)
    contract, loan = make_loan(
        payload.offer, offer, call.row.subject_tag, books, agent=payload.agent, autopay=payload.autopay
    )
    books.state.put(CONTRACTS, loan_id, contract)
    apply_loan_made(books, call.row.subject_tag, loan_id, principal)
    for guarantor in disclosure.guarantors:
        add_guarantee(books, books.state.need(ACCOUNTS, guarantor).subject_tag, loan_id)
    bind_things(books, loan_id, disclosure)
    loan = take_deposit(books, loan_id, disclosure, loan)
    if payload.agent is not None:
        reserve_funding(books, loan_id, contract, loan)
        books.state.put(LOANS, loan_id, loan)
        return (Made(id=loan_id),)
    pay_out(books, loan_id, contract, loan)
    save_loan(books, loan_id, contract, loan)
    return (
        Made(id=loan_id),
        Disbursed(loan=loan_id, principal=Amount(principal), proceeds=calculate_proceeds(disclosure)),
    )


RULES: Rules = {Accept: Rule(check_accept, apply_accept, credential=True, borrower=True, pause=Pause.LENDING)}
