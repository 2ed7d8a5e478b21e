"""Applications: opened with committed features, scored at once, confirmed by attesters, and closed one way or another.

The bins are scored while their transaction executes and are not kept: the ledger holds points, PD, band and reasons,
so that bins can be erased everywhere. Whether a score leads to an offer is `decisions`.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import ObjectId, TimeMs
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.contracts import Offer, OfferState
from protocol.ledger.data import EAST_MOST_MIN, check_consent_covers, check_consent_scope, check_owned_data
from protocol.ledger.decisions import decide_products, find_equal_attestations, find_minority, on_decide_due
from protocol.ledger.erasure import check_usable, free_data
from protocol.ledger.offers import reserve_offer
from protocol.ledger.products import does_product_fit
from protocol.ledger.records import Assessed, Dissented, Fact, Made
from protocol.ledger.rows import Application, ApplicationState, Attestation, Role
from protocol.ledger.rules import Due, Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, ASSETS, CONSENTS, DATA, DECISIONS, OFFERS, PRODUCTS, replace
from protocol.ledger.verdicts import is_convicted
from protocol.limits import APPLICATIONS_OPEN_MAX
from protocol.money import Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.data import Scope
from protocol.transactions.lending import Apply, ApplyWithdraw, Attest, LeaseWish, Purchase, SalesExpected

SIGNIFICANT = 100
"""Capacities are floored to two significant digits."""


def check_apply(books: Books, call: Call, payload: Apply) -> Rejection | None:
    """Why the application is not taken, in order of precedence."""
    if _find_sidecar_fault(books, call, payload):
        return Rejection.SIDECAR_MISMATCH
    if payload.currency not in books.currencies:
        return Rejection.CURRENCY_UNKNOWN
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    product = None if payload.product is None else books.state.get(PRODUCTS, payload.product)
    if payload.product is not None and product is None:
        return Rejection.PRODUCT_UNKNOWN
    if any(not books.can_score(one.model) for one in payload.sidecars):
        return Rejection.MODEL_UNKNOWN
    refused = (
        check_owned_data(books, call.account, payload.data)
        or _check_consents(books, call, payload)
        or check_usable(books, payload.data)
        or _check_scopes(books, payload)
    )
    if refused is not None:
        return refused
    if len(call.row.applications) >= APPLICATIONS_OPEN_MAX:
        return Rejection.APPLICATIONS_TOO_MANY
    if not _is_as_of_current(books, payload) or (product is not None and not does_product_fit(books, product, payload)):
        return Rejection.APPLICATION_TERMS_INVALID
    if any(_is_stale(books, one, payload) for one in payload.data):
        return Rejection.STATEMENT_STALE
    if product is not None and all(one.model != product.terms.model for one in payload.sidecars):
        return Rejection.SIDECAR_MISSING
    if any(books.state.need(DATA, one).anchor.currency != payload.currency for one in payload.data):
        # Cash flow is counted in the statement's units, instalments in the loan's: only equal ones compare.
        return Rejection.STATEMENT_CURRENCY
    return _check_wish(books, call, payload) or _check_security(books, call, payload)


def _list_consents(payload: Apply) -> tuple[tuple[ObjectId, Scope], ...]:
    """The consents that an application names, each with what it is to open."""
    raw = (ObjectId(payload.consent), Scope.RAW)
    if payload.features is None or payload.features.consent is None:
        return (raw,)
    return (raw, (ObjectId(payload.features.consent), Scope.FEATURES))


def _check_consents(books: Books, call: Call, payload: Apply) -> Rejection | None:
    """Whether the consents named are the borrower's and hold for underwriting on this data; the first reason of all."""
    found = [check_consent_covers(books, one, call.account, payload.data) for one, _ in _list_consents(payload)]
    return min((one for one in found if one is not None), default=None)


def _check_scopes(books: Books, payload: Apply) -> Rejection | None:
    """Whether rows are opened by a consent to rows, features by one to features."""
    found = [check_consent_scope(books, one, scope) for one, scope in _list_consents(payload)]
    return next((one for one in found if one is not None), None)


def _check_wish(books: Books, call: Call, payload: Apply) -> Rejection | None:
    """Whether the merchant, asset or sales that the money is for are known."""
    wish, state = payload.wish, books.state
    if isinstance(wish, Purchase):
        merchant = state.get(ACCOUNTS, wish.merchant)
        known = merchant is not None and merchant.kind is AccountKind.MERCHANT and not merchant.frozen
        # A purchase from oneself would be a cash loan under another name.
        known = known and wish.merchant != call.account
        return None if known else Rejection.WISH_UNFIT
    if isinstance(wish, LeaseWish):
        asset = state.get(ASSETS, wish.asset)
        free = asset is not None and not asset.retired and asset.lien is None and not asset.held
        return None if free else Rejection.WISH_UNFIT
    if isinstance(wish, SalesExpected) and wish.volume == 0:
        return Rejection.WISH_UNFIT
    return None


def _check_security(books: Books, call: Call, payload: Apply) -> Rejection | None:
    """Whether collateral is the borrower's own and free, and guarantors are others in good standing."""
    if len(set(payload.collateral)) != len(payload.collateral):
        return Rejection.COLLATERAL_UNFIT
    for one in payload.collateral:
        asset = books.state.get(ASSETS, one)
        if asset is None or asset.owner != call.account or asset.retired or asset.lien is not None or asset.held:
            return Rejection.COLLATERAL_UNFIT
    if len(set(payload.guarantors)) != len(payload.guarantors) or call.account in payload.guarantors:
        return Rejection.GUARANTOR_UNFIT
    for guarantor in payload.guarantors:
        account = books.state.get(ACCOUNTS, guarantor)
        if account is None or account.frozen or account.expires_on <= books.today:
            return Rejection.GUARANTOR_UNFIT
    return None


def _find_sidecar_fault(books: Books, call: Call, payload: Apply) -> bool:
    """Whether bins do not fit their models. Commitments were compared before the vote; a model stands once."""
    if len({one.model for one in payload.sidecars}) != len(payload.sidecars):
        return True
    if not call.sidecars and call.recorded is not None:
        return call.recorded.rejection is Rejection.SIDECAR_MISMATCH
    if len(call.sidecars) != len(payload.sidecars):
        return True
    for wanted, sidecar in zip(payload.sidecars, call.sidecars, strict=True):
        model = books.models.get(wanted.model)
        if sidecar.model != wanted.model or (model is not None and model.check_bins(sidecar.bins) is not None):
            return True
    return False


def _is_as_of_current(books: Books, payload: Apply) -> bool:
    """Whether as_of is today or yesterday, wherever on earth the borrower is."""
    return books.today - 1 <= payload.as_of <= books.calculate_day(EAST_MOST_MIN)


def _is_stale(books: Books, data: ObjectId, payload: Apply) -> bool:
    last_day = books.state.need(DATA, data).anchor.last_day
    return last_day < payload.as_of - books.policy.statement_age_days_max


def _assess(books: Books, call: Call) -> tuple[Assessed, ...]:
    if not call.sidecars:
        assert call.recorded is not None, "checked before"
        return tuple(fact for fact in call.recorded.outcome if isinstance(fact, Assessed))
    found = []
    for sidecar in call.sidecars:
        result = books.models[sidecar.model].assess(sidecar.bins)
        found.append(
            Assessed(
                model=sidecar.model,
                points=result.points,
                pd_ppm=Ppm(result.pd_ppm),
                band=result.band,
                reasons=result.reasons,
            )
        )
    return tuple(found)


def apply_apply(books: Books, call: Call, payload: Apply) -> tuple[Fact, ...]:
    """Open the application with its scores."""
    application = calculate_object_id("application", call.key, call.nonce)
    assessed = _assess(books, call)
    expires_ms = TimeMs(books.now_ms + books.policy.application_days * books.genesis.day_ms)
    books.state.put(
        APPLICATIONS,
        application,
        Application(
            borrower=call.account,
            request=payload,
            state=ApplicationState.OPEN,
            opened_ms=books.now_ms,
            expires_ms=expires_ms,
            assessed=assessed,
        ),
    )
    books.state.put(ACCOUNTS, call.account, replace(call.row, applications=(*call.row.applications, application)))
    books.schedule(expires_ms, EventKind.APPLICATION_EXPIRY, application)
    grantees = [
        grantee for one, _ in _list_consents(payload) for grantee in books.state.need(CONSENTS, one).grant.grantees
    ]
    books.emit(
        "application_opened",
        (application, call.account, *dict.fromkeys(grantees)),
        {
            "application": application.hex(),
            "borrower": call.account.hex(),
            "amount": payload.amount,
            "currency": payload.currency,
            "instalments": payload.instalments,
        },
    )
    return (Made(id=application), *assessed)


def check_apply_withdraw(books: Books, call: Call, payload: ApplyWithdraw) -> Rejection | None:
    """Why the application cannot be withdrawn."""
    application = books.state.get(APPLICATIONS, payload.application)
    if application is None or application.borrower != call.account:
        return Rejection.APPLICATION_UNKNOWN
    return None if application.state is ApplicationState.OPEN else Rejection.APPLICATION_CLOSED


def apply_apply_withdraw(books: Books, call: Call, payload: ApplyWithdraw) -> tuple[Fact, ...]:
    """Withdraw it with its offers."""
    close_application(books, payload.application, ApplicationState.WITHDRAWN, OfferState.CANCELLED)
    return ()


def close_application(books: Books, application_id: ObjectId, state: ApplicationState, offers: OfferState) -> None:
    """End an application; offers that still stand end with it."""
    application = books.state.need(APPLICATIONS, application_id)
    books.state.put(APPLICATIONS, application_id, replace(application, state=state, deciding_ms=None))
    books.cancel(application.expires_ms, EventKind.APPLICATION_EXPIRY, application_id)
    if application.deciding_ms is not None:
        books.cancel(application.deciding_ms, EventKind.DECIDE, application_id)
    borrower = books.state.need(ACCOUNTS, application.borrower)
    open_ones = tuple(one for one in borrower.applications if one != application_id)
    books.state.put(ACCOUNTS, application.borrower, replace(borrower, applications=open_ones))
    free_data(books, application_id, claim=False)
    for product in application.products:
        offer_id = books.state.need(DECISIONS, application_id + product).offer
        offer = None if offer_id is None else books.state.need(OFFERS, offer_id)
        if offer_id is not None and offer is not None and offer.state is OfferState.POSTED:
            end_offer(books, offer_id, offer, offers)
    books.emit(
        f"application_{state.name.lower()}",
        (application_id, application.borrower),
        {"application": application_id.hex(), "borrower": application.borrower.hex()},
    )


def end_offer(books: Books, offer_id: ObjectId, offer: Offer, state: OfferState) -> None:
    """An offer that nobody took is over; an officer's lets its money go."""
    books.state.put(OFFERS, offer_id, replace(offer, state=state))
    books.cancel(offer.expires_ms, EventKind.OFFER_EXPIRY, offer_id)
    if offer.officer:
        reserve_offer(books, offer.disclosure, -1)


def on_application_expiry(books: Books, application_id: ObjectId) -> None:
    """Its days are over."""
    application = books.state.need(APPLICATIONS, application_id)
    if application.state is ApplicationState.OPEN:
        close_application(books, application_id, ApplicationState.EXPIRED, OfferState.EXPIRED)


def on_offer_expiry(books: Books, offer_id: ObjectId) -> None:
    """An offer that nobody took ends."""
    offer = books.state.need(OFFERS, offer_id)
    if offer.state is not OfferState.POSTED:
        return
    end_offer(books, offer_id, offer, OfferState.EXPIRED)
    disclosure = offer.disclosure
    books.emit(
        "offer_expired",
        (offer_id, disclosure.application, disclosure.borrower, disclosure.lender),
        {"offer": offer_id.hex(), "application": disclosure.application.hex()},
    )


def check_attest(books: Books, call: Call, payload: Attest) -> Rejection | None:
    """Why the attestation does not count. One that differs from others is no fault here: it is recorded."""
    application = books.state.get(APPLICATIONS, payload.application)
    if application is None:
        return Rejection.APPLICATION_UNKNOWN
    request = application.request
    refused = check_consent_covers(books, request.consent, application.borrower, request.data)
    if refused is not None:
        return refused
    if application.state is not ApplicationState.OPEN or application.expires_ms <= books.now_ms:
        return Rejection.APPLICATION_CLOSED
    if all(one.model != payload.model for one in request.sidecars):
        return Rejection.SIDECAR_MISSING
    if call.account not in books.state.need(CONSENTS, request.consent).grant.grantees:
        return Rejection.ATTESTER_NOT_GRANTED
    if any(one.attester == call.account and one.model == payload.model for one in application.attestations):
        return Rejection.ATTESTED_ALREADY
    if not is_capacity_floored(payload.capacity30):
        return Rejection.ATTESTATION_MISMATCH
    return Rejection.ATTESTER_CONVICTED if is_convicted(books, call.account) else None


def is_capacity_floored(capacity30: int) -> bool:
    """Whether only the first two digits differ from zero."""
    step = 1
    while capacity30 // step >= SIGNIFICANT:
        step *= 10
    return capacity30 % step == 0


def apply_attest(books: Books, call: Call, payload: Attest) -> tuple[Fact, ...]:
    """Record it; when it completes a quorum of equal ones, the products concerned decide."""
    application = books.state.need(APPLICATIONS, payload.application)
    attestation = Attestation(
        attester=call.account,
        model=payload.model,
        commitment=payload.commitment,
        capacity30=payload.capacity30,
        rows_mark=payload.rows_mark,
        time_ms=books.now_ms,
    )
    blamed = find_minority(books, application, payload.model)
    application = replace(application, attestations=(*application.attestations, attestation))
    books.state.put(APPLICATIONS, payload.application, application)
    committed = next(one.commitment for one in application.request.sidecars if one.model == payload.model)
    equal = find_equal_attestations(books, application, attestation)
    dissenting = tuple(one for one in find_minority(books, application, payload.model) if one not in blamed)
    if payload.commitment != committed:
        dissenting = (*dissenting, call.account)
    told = dissenting if call.account in dissenting else (call.account, *dissenting)
    for attester in told:
        books.emit(
            "attestation_dissented" if attester in dissenting else "application_attested",
            (payload.application, application.borrower, attester),
            {"application": payload.application.hex(), "attester": attester.hex(), "model": payload.model.hex()},
        )
    facts: tuple[Fact, ...] = tuple(Dissented(attester=one) for one in dissenting)
    if payload.commitment != committed:
        return facts
    return facts + decide_products(books, payload.application, attestation, equal)


RULES: Rules = {
    Apply: Rule(check_apply, apply_apply, credential=True, borrower=True, pause=Pause.LENDING),
    ApplyWithdraw: Rule(check_apply_withdraw, apply_apply_withdraw, frozen_may=True),
    Attest: Rule(
        check_attest,
        apply_attest,
        roles=Role.LENDER | Role.VALIDATOR | Role.OBSERVER,
        attester_may=True,
        pause=Pause.LENDING,
    ),
}
DUE: Due = {
    EventKind.APPLICATION_EXPIRY: on_application_expiry,
    EventKind.OFFER_EXPIRY: on_offer_expiry,
    EventKind.DECIDE: on_decide_due,
}
