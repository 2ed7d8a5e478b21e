"""Accepting an offer: every cap is checked and the money moves in this one step, or nothing happens (ledger 2.10).

The checks stand in the order of the rejections' numbers, so that all nodes name the same first reason.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import Day, Digest, ObjectId
from protocol.ledger.applications import close_application
from protocol.ledger.assets import bind_things, check_things_free
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.contracts import Disclosure, LineTold, Offer, OfferState
from protocol.ledger.cover import is_cover_short
from protocol.ledger.decisions import calculate_capacity30, check_still_attested
from protocol.ledger.exposure import (
    add_guarantee,
    apply_line_made,
    apply_loan_made,
    calculate_pool_exposure,
    check_caps,
)
from protocol.ledger.funding import calculate_funding_end, check_agent, reserve_funding
from protocol.ledger.guarantees import check_counts, check_guarantor_caps, check_guarantors
from protocol.ledger.holdings import make_holdings
from protocol.ledger.leases import check_supplier, is_deposit_short, take_deposit
from protocol.ledger.loans import save_loan
from protocol.ledger.offers import (
    calculate_instalments,
    calculate_rates,
    calculate_terms_hash,
    is_apr_within_from,
    reserve_offer,
)
from protocol.ledger.payout import calculate_proceeds, make_loan, pay_out
from protocol.ledger.products import may_lend
from protocol.ledger.records import Disbursed, Fact, Made
from protocol.ledger.rows import ApplicationState, Budget
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, BUDGETS, CONTRACTS, LOANS, OFFERS, POOLS, PRODUCTS, replace
from protocol.ledger.undrawn import open_line
from protocol.loans.accrual import Accrual, apply_days, calculate_accrual_periods, calculate_interest_accrued
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept

RATES_RECOMPUTED_ROWS_MAX = 36
"""Longer offers are held to their hash alone: their rates take milliseconds, and the hash covers the rates."""


def check_accept(books: Books, call: Call, payload: Accept) -> Rejection | None:
    """Why no loan is made, in order of precedence."""
    offer = books.state.get(OFFERS, payload.offer)
    if offer is None or offer.disclosure.borrower != call.account:
        return Rejection.OFFER_UNKNOWN
    if (missing := check_still_attested(books, offer)) is not None:
        return missing
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
    capacity30 = calculate_capacity30(books, application)
    refused = check_caps(books, call.row.subject_tag, disclosure, capacity30)
    refused = refused or _check_lenders(books, call, offer)
    if refused is not None:
        return refused
    # Late, because it costs a hundred times the caps: nobody gets it for a refusal.
    assert_recomputes(disclosure, offer.terms_hash)
    if not _is_rate_lawful(books, call, payload, offer):
        return Rejection.RATE_TOO_HIGH
    return (
        check_guarantors(books, call, disclosure)
        or check_things_free(books, disclosure)
        or check_agent(books, disclosure, payload.agent)
        or check_cover(books, disclosure, reserved=offer.officer)
        or check_guarantor_caps(books, disclosure)
        or check_may_lend(books, disclosure)
        or check_counts(books, call, disclosure)
        or check_supplier(books, call, disclosure)
    )


def check_may_lend(books: Books, disclosure: Disclosure) -> Rejection | None:
    """Whether everybody who would lend still may."""
    pools = (disclosure.pool, *(one.pool for one in disclosure.partners))
    return None if all(may_lend(books, ObjectId(one)) for one in pools) else Rejection.LENDER_UNFIT


def assert_recomputes(disclosure: Disclosure, terms_hash: Digest) -> None:
    """A stored disclosure still says what its terms give; a difference is a fault of these books, not of a user."""
    assert calculate_instalments(disclosure.schedule, disclosure.told) == disclosure.instalments, (
        "a schedule recomputes"
    )
    assert calculate_terms_hash(disclosure) == terms_hash, "a disclosure hashes to its terms"
    if len(disclosure.instalments) <= RATES_RECOMPUTED_ROWS_MAX:
        us = disclosure.apr_us_ppm is not None
        rates = calculate_rates(
            disclosure.schedule, disclosure.instalments, disclosure.net_proceeds, disclosure.told, us=us
        )
        assert rates == (disclosure.apr_ppm, disclosure.apr_us_ppm), "the rates recompute"


def _is_rate_lawful(books: Books, call: Call, payload: Accept, offer: Offer) -> bool:
    """Whether the effective rate stays within the policy's cap on every day on which the money may move.

    A fee weighs more over a shorter time; what was lawful on the day of the offer may not be any more.
    """
    disclosure, cap_ppm = offer.disclosure, books.policy.apr_cap_ppm
    today, start = books.calculate_day(disclosure.tz_offset_min), disclosure.schedule.start
    end = today + 1 if payload.agent is None else calculate_funding_end(books, disclosure)
    if today == start and disclosure.apr_ppm > cap_ppm:
        # The policy has changed since the offer was made.
        return False
    late = [Day(day) for day in range(max(today, start + 1), end)]
    if not late:
        return True
    schedule, first = disclosure.schedule, calculate_accrual_periods(disclosure.schedule)[0]
    for day in late:
        accrual = apply_days(Accrual(as_of=day), schedule.principal, first.end)
        interest = calculate_interest_accrued(accrual, first, rate_ppm=schedule.rate_ppm, profile=schedule.profile)
        if not is_apr_within_from(disclosure, day, interest, cap_ppm):
            return False
    return True


def _check_lenders(books: Books, call: Call, offer: Offer) -> Rejection | None:
    """The product's budget, the pools' cash, and their limits for one borrower."""
    disclosure = offer.disclosure
    principal = disclosure.schedule.principal
    # An officer's offer has its money reserved, and no budget.
    if not offer.officer and books.state.need(BUDGETS, disclosure.product).used + principal > _read_budget(
        books, disclosure
    ):
        return Rejection.BUDGET_SPENT
    refused = None if offer.officer else check_liquidity(books, disclosure)
    return refused or check_pool_limits(books, call.row.subject_tag, disclosure)


def check_liquidity(books: Books, disclosure: Disclosure) -> Rejection | None:
    """Whether each pool has its share of the principal in cash that is promised to nobody else."""
    for one in make_holdings(disclosure, disclosure.schedule.principal):
        pool = books.state.need(POOLS, one.pool)
        if pool.cash - pool.reserved < one.principal:
            return Rejection.LIQUIDITY_SHORT
    return None


def check_pool_limits(books: Books, tag: Digest, disclosure: Disclosure) -> Rejection | None:
    """Whether the borrower would owe each pool no more than it lends to one."""
    for one in make_holdings(disclosure, disclosure.schedule.principal):
        limit = books.state.need(POOLS, one.pool).borrower_max
        if calculate_pool_exposure(books, tag, one.pool) + one.principal > limit:
            return Rejection.CAP_POOL
    return None


def check_cover(books: Books, disclosure: Disclosure, *, reserved: bool = False) -> Rejection | None:
    """No new loans from a pool whose first-loss cover is too small for them; `reserved` money is counted already."""
    holdings = make_holdings(disclosure, disclosure.schedule.principal)
    short = any(is_cover_short(books, ObjectId(one.pool), more=0 if reserved else one.principal) for one in holdings)
    return Rejection.COVER_LOW if short else None


def _read_budget(books: Books, disclosure: Disclosure) -> int:
    return books.state.need(PRODUCTS, disclosure.product).terms.auto_budget


def apply_accept(books: Books, call: Call, payload: Accept) -> tuple[Fact, ...]:
    """Make the loan: principal out of the pools, proceeds to the payee, fees to the pools, exposure counted.

    Of a line's offer nothing moves: its limit is kept ready and counted.
    """
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
    if isinstance(disclosure.told, LineTold):
        line_id = calculate_object_id("line", call.key, call.nonce)
        open_line(books, line_id, payload.offer, disclosure, call.row.subject_tag, autopay=payload.autopay)
        apply_line_made(books, call.row.subject_tag, line_id, principal)
        return (Made(id=line_id),)
    contract, loan = make_loan(
        payload.offer, disclosure, call.row.subject_tag, books, agent=payload.agent, autopay=payload.autopay
    )
    books.state.put(CONTRACTS, loan_id, contract)
    apply_loan_made(books, call.row.subject_tag, loan_id, principal)
    for guarantor in disclosure.guarantors:
        add_guarantee(books, books.state.need(ACCOUNTS, guarantor).subject_tag, loan_id)
    bind_things(books, loan_id, disclosure)
    loan = take_deposit(books, loan_id, disclosure, loan)
    if payload.agent is not None:
        books.state.put(CONTRACTS, loan_id, reserve_funding(books, loan_id, contract, loan))
        books.state.put(LOANS, loan_id, loan)
        return (Made(id=loan_id),)
    pay_out(books, loan_id, contract, loan)
    save_loan(books, loan_id, contract, loan)
    return (
        Made(id=loan_id),
        Disbursed(loan=loan_id, principal=Amount(principal), proceeds=calculate_proceeds(disclosure)),
    )


RULES: Rules = {Accept: Rule(check_accept, apply_accept, credential=True, borrower=True, pause=Pause.LENDING)}
