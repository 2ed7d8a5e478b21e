"""What officers decide by hand: offers that reserve their money, cancellations, declines with reasons.

A person may choose another amount, time and price than the ledger would, and overrule its decline; consent, attested
cash flow, policy and caps bind her alike. What she overrules stays on record. Never an automatic decision here.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.accept import check_cover, check_liquidity, check_may_lend, check_pool_limits
from protocol.ledger.applications import end_offer
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Disclosure, OfferState
from protocol.ledger.data import check_consent_covers
from protocol.ledger.decisions import (
    calculate_capacity30,
    count_answers,
    find_counted_attesters,
    find_score,
    post_offer,
    record_decision,
)
from protocol.ledger.exposure import calculate_new_due30
from protocol.ledger.offers import make_disclosure
from protocol.ledger.products import calculate_attestations_floor, does_product_suit, is_on_sale, is_within_range
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Application, ApplicationState, Decision, Product, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, CONSENTS, DECISIONS, OFFERS, PRODUCTS, replace
from protocol.limits import DECISIONS_PER_LENDER_MAX, OFFERS_PER_LENDER_MAX
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from protocol.transactions.lending import OfferCancel, OfferDecline, OfferPost
from scoring.reasons import REASONS


def check_offer_post(books: Books, call: Call, payload: OfferPost) -> Rejection | None:
    """Why the offer cannot stand, in order of precedence."""
    if payload.principal == 0:
        return Rejection.AMOUNT_ZERO
    product = books.state.get(PRODUCTS, payload.product)
    refused = _check_product(call, product)
    if refused is not None:
        return refused
    application = books.state.get(APPLICATIONS, payload.application)
    if application is None:
        return Rejection.APPLICATION_UNKNOWN
    assert product is not None, "checked above"
    disclosure = _make_disclosure(books, payload, product, application)
    refused = _check_answer(books, call, payload, product, application)
    if isinstance(disclosure, Rejection):
        return disclosure if refused is None else min(disclosure, refused)
    return refused or _check_terms(books, payload, application, disclosure)


def _check_answer(
    books: Books, call: Call, payload: OfferPost, product: Product, application: Application
) -> Rejection | None:
    """Whether the application waits for an answer like this one."""
    request = application.request
    refused = check_consent_covers(books, request.consent, application.borrower, request.data)
    refused = refused or _check_open(books, application)
    if refused is not None:
        return refused
    if not _is_answer(books, payload, product, application):
        return Rejection.APPLICATION_TERMS_INVALID
    return _check_scored(books, call, product, application) or _check_place(books, payload, application)


def _check_product(call: Call, product: Product | None) -> Rejection | None:
    """Whether the product is the signer's own."""
    if product is None:
        return Rejection.PRODUCT_UNKNOWN
    return None if product.lender == call.account else Rejection.POOL_NOT_YOURS


def _check_open(books: Books, application: Application) -> Rejection | None:
    """Whether the application still waits for answers."""
    open_ = application.state is ApplicationState.OPEN and application.expires_ms > books.now_ms
    return None if open_ else Rejection.APPLICATION_CLOSED


def _is_answer(books: Books, payload: OfferPost, product: Product, application: Application) -> bool:
    """Whether it answers what was asked: this kind of product, no more than was wanted, within its ranges."""
    request = application.request
    return (
        _is_asked(payload, product, application)
        and is_on_sale(books, product.terms)
        and payload.principal <= request.amount
        and is_within_range(product.terms, payload.principal, payload.instalments)
    )


def _is_asked(payload: OfferPost | OfferDecline, product: Product, application: Application) -> bool:
    """Whether the product, or any of its kind, was asked for."""
    request = application.request
    return request.product in {None, payload.product} and does_product_suit(product, request)


def _check_scored(books: Books, call: Call, product: Product, application: Application) -> Rejection | None:
    """Whether the product's model has scored it, and the lender was granted its data: rows, or features alone."""
    if all(one.model != product.terms.model for one in application.request.sidecars):
        return Rejection.SIDECAR_MISSING
    return None if _is_granted(books, call.account, application) else Rejection.ATTESTER_NOT_GRANTED


def _is_granted(books: Books, lender: AccountId, application: Application) -> bool:
    """Whether the lender may know of the application what it decides on.

    Who reads features alone cannot attest: what it counts on, others have confirmed from the rows.
    """
    request, state = application.request, books.state
    if lender in state.need(CONSENTS, request.consent).grant.grantees:
        return True
    features = request.features
    if features is None or features.consent is None:
        return False
    consent = ObjectId(features.consent)
    holds = check_consent_covers(books, consent, application.borrower, request.data) is None
    return holds and lender in state.need(CONSENTS, consent).grant.grantees


def _check_place(books: Books, payload: OfferPost, application: Application) -> Rejection | None:
    """Whether no offer of the product stands, and enough organisations have confirmed what the caps count on."""
    decision = books.state.get(DECISIONS, payload.application + payload.product)
    if decision is not None and _does_offer_stand(books, decision):
        return Rejection.DECIDED_ALREADY
    few = len(find_counted_attesters(books, application)) < calculate_attestations_floor(books)
    return Rejection.ATTESTATION_MISSING if few else None


def _does_offer_stand(books: Books, decision: Decision) -> bool:
    return decision.offer is not None and books.state.need(OFFERS, decision.offer).state is OfferState.POSTED


def _check_terms(
    books: Books, payload: OfferPost, application: Application, disclosure: Disclosure
) -> Rejection | None:
    """Whether the offer could be accepted today as far as its own terms go: an offer that cannot, is none."""
    due30 = calculate_new_due30(disclosure, Day(disclosure.schedule.start))
    if due30 > share_floor(calculate_capacity30(books, application), books.policy.instalment_share_ppm):
        return Rejection.CAP_INSTALMENTS
    borrower = books.state.need(ACCOUNTS, application.borrower)
    refused = check_liquidity(books, disclosure) or check_pool_limits(books, borrower.subject_tag, disclosure)
    refused = refused or check_cover(books, disclosure)
    if refused is not None:
        return refused
    answers, offers = count_answers(books, payload.application, application).get(disclosure.lender, (0, 0))
    new = payload.product not in application.products
    full = offers >= OFFERS_PER_LENDER_MAX or answers + new > DECISIONS_PER_LENDER_MAX
    return Rejection.ANSWERS_TOO_MANY if full else check_may_lend(books, disclosure)


def _make_disclosure(
    books: Books, payload: OfferPost, product: Product, application: Application
) -> Disclosure | Rejection:
    return make_disclosure(
        books,
        payload.product,
        product,
        payload.application,
        application.request,
        borrower=application.borrower,
        rate_ppm=payload.rate_ppm,
        amount=payload.principal,
        instalments=payload.instalments,
    )


def apply_offer_post(books: Books, call: Call, payload: OfferPost) -> tuple[Fact, ...]:
    """Let the offer stand with its money reserved; a decline that it overrules stays on record beside it."""
    product = books.state.need(PRODUCTS, payload.product)
    application = books.state.need(APPLICATIONS, payload.application)
    disclosure = _make_disclosure(books, payload, product, application)
    assert isinstance(disclosure, Disclosure), "checked before"
    offer_id = calculate_object_id("offer", call.key, call.nonce)
    post_offer(books, offer_id, disclosure, calculate_capacity30(books, application), officer=True)
    decision = _make_decision(books, payload, product, application)
    fact = _record(books, payload, application, replace(decision, offer=offer_id), disclosure.apr_ppm)
    return (Made(id=offer_id), fact)


def _make_decision(
    books: Books, payload: OfferPost | OfferDecline, product: Product, application: Application
) -> Decision:
    """An officer's answer without offer or reasons yet, after whatever the product has answered before."""
    score, attesters = find_score(application, product), find_counted_attesters(books, application)
    before = books.state.get(DECISIONS, payload.application + payload.product)
    decision = Decision(
        lender=product.lender,
        time_ms=books.now_ms,
        attesters=attesters,
        capacity30=calculate_capacity30(books, application) if attesters else Amount(0),
        model=score.model,
        points=score.points,
        pd_ppm=score.pd_ppm,
        band=score.band,
        offer=None,
        reasons=(),
        rule=None,
        officer=True,
    )
    if before is None:
        return decision
    ended = before.offers_ended + (before.offer is not None)
    if before.offer is None:
        return replace(decision, declined=before.reasons, declined_rule=before.rule, offers_ended=ended)
    return replace(decision, declined=before.declined, declined_rule=before.declined_rule, offers_ended=ended)


def _record(
    books: Books,
    payload: OfferPost | OfferDecline,
    application: Application,
    decision: Decision,
    apr_ppm: int | None,
) -> Fact:
    if payload.product not in application.products:
        answered = replace(application, products=(*application.products, payload.product))
        books.state.put(APPLICATIONS, payload.application, answered)
    return record_decision(books, payload.application, payload.product, decision, apr_ppm)


def check_offer_cancel(books: Books, call: Call, payload: OfferCancel) -> Rejection | None:
    """Why the offer cannot be taken back: only an officer's can, and only while it stands."""
    offer = books.state.get(OFFERS, payload.offer)
    if offer is None:
        return Rejection.OFFER_UNKNOWN
    if offer.state is OfferState.EXPIRED or offer.expires_ms <= books.now_ms:
        return Rejection.OFFER_EXPIRED
    if offer.state is not OfferState.POSTED:
        return Rejection.OFFER_TAKEN
    own = offer.officer and offer.disclosure.lender == call.account
    return None if own else Rejection.OFFER_NOT_YOURS


def apply_offer_cancel(books: Books, call: Call, payload: OfferCancel) -> tuple[Fact, ...]:
    """End it and let its money go."""
    offer = books.state.need(OFFERS, payload.offer)
    end_offer(books, payload.offer, offer, OfferState.CANCELLED)
    disclosure = offer.disclosure
    books.emit(
        "offer_cancelled",
        (payload.offer, disclosure.application, disclosure.borrower, disclosure.lender),
        {"offer": payload.offer.hex(), "application": disclosure.application.hex()},
    )
    return ()


def check_offer_decline(books: Books, call: Call, payload: OfferDecline) -> Rejection | None:
    """Why the decline is not recorded. Consent that has ended hinders nobody from giving reasons."""
    product = books.state.get(PRODUCTS, payload.product)
    refused = _check_product(call, product)
    if refused is not None:
        return refused
    application = books.state.get(APPLICATIONS, payload.application)
    if application is None:
        return Rejection.APPLICATION_UNKNOWN
    assert product is not None, "checked above"
    refused = _check_open(books, application)
    if refused is not None:
        return refused
    if not _is_asked(payload, product, application):
        return Rejection.APPLICATION_TERMS_INVALID
    refused = _check_scored(books, call, product, application)
    if refused is not None:
        return refused
    decision = books.state.get(DECISIONS, payload.application + payload.product)
    if decision is not None and (decision.offer is None or _does_offer_stand(books, decision)):
        return Rejection.DECIDED_ALREADY
    known = len(set(payload.reasons)) == len(payload.reasons) and all(one in REASONS for one in payload.reasons)
    if not known:
        return Rejection.REASONS_INVALID
    answers, _ = count_answers(books, payload.application, application).get(call.account, (0, 0))
    full = decision is None and answers >= DECISIONS_PER_LENDER_MAX
    return Rejection.ANSWERS_TOO_MANY if full else None


def apply_offer_decline(books: Books, call: Call, payload: OfferDecline) -> tuple[Fact, ...]:
    """Keep the reasons."""
    product = books.state.need(PRODUCTS, payload.product)
    application = books.state.need(APPLICATIONS, payload.application)
    decision = replace(_make_decision(books, payload, product, application), reasons=payload.reasons)
    return (_record(books, payload, application, decision, None),)


RULES: Rules = {
    OfferPost: Rule(check_offer_post, apply_offer_post, roles=Role.LENDER, pause=Pause.LENDING),
    # Of the offer's or product's own lender alone; one that lends no more still lets money go and gives reasons.
    OfferCancel: Rule(check_offer_cancel, apply_offer_cancel),
    OfferDecline: Rule(check_offer_decline, apply_offer_decline),
}
