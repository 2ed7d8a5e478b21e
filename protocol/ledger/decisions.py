"""The ledger decides: once enough equal attestations stand, each product concerned answers with an offer or reasons.

Every node computes the same answer from the same score. A decline is a record of one lender's product, never a state
of the application, and carries at most four specific reasons.
"""

from collections import Counter
from typing import NamedTuple

from protocol.crypto import calculate_hash
from protocol.ids import AccountId, Day, ModelId, ObjectId, TimeMs
from protocol.ledger.books import Books, EventKind
from protocol.ledger.contracts import Disclosure, Offer, OfferState
from protocol.ledger.data import check_consent_covers
from protocol.ledger.exposure import calculate_new_due30
from protocol.ledger.offers import calculate_terms_hash, make_disclosure, reserve_offer
from protocol.ledger.products import calculate_attestations_floor, calculate_grade_max, does_product_fit
from protocol.ledger.records import Assessed, Decided, Fact
from protocol.ledger.rows import Application, Attestation, Decision, Product
from protocol.ledger.state import APPLICATIONS, BUDGETS, DATA, DECISIONS, MEMBERS, OFFERS, PRODUCTS, replace
from protocol.ledger.verdicts import is_struck
from protocol.limits import DECIDED_ROWS_MAX, DECISIONS_PER_LENDER_MAX, OFFERS_PER_LENDER_MAX
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from scoring.reasons import AFFORDABILITY, AMOUNT_REQUESTED


def find_equal_attestations(books: Books, application: Application, like: Attestation) -> tuple[Attestation, ...]:
    """Attestations with the same body; one organisation stands among them once."""
    return tuple(
        one
        for one in application.attestations
        if not is_struck(books, one)
        and (one.model, one.commitment, one.capacity30) == (like.model, like.commitment, like.capacity30)
    )


def find_minority(books: Books, application: Application, model: ModelId) -> tuple[AccountId, ...]:
    """Who attested the application's own bins but said another cash flow than most did, as it stands.

    A tie blames nobody: whoever spoke first has no better claim than the second.
    """
    committed = {one.model: one.commitment for one in application.request.sidecars}
    own = (model, committed[model])
    alike = [one for one in application.attestations if (one.model, one.commitment) == own]
    counted = [one for one in alike if not is_struck(books, one)]
    votes = Counter(one.capacity30 for one in counted)
    most = max(votes.values(), default=0)
    return tuple(AccountId(one.attester) for one in counted if votes[one.capacity30] < most)


def calculate_capacity30(books: Books, application: Application) -> Amount:
    """The smallest net cash flow that anybody attested whose bins were the application's own.

    Who confirmed the same bins read the same rows, so the larger of two figures is nobody's to lend on. Of a line that
    was agreed on words that were all struck since, theirs.
    """
    return min(one.capacity30 for one in _find_counted(books, application) or _find_own(application))


def find_counted_attesters(books: Books, application: Application) -> tuple[AccountId, ...]:
    """Who confirmed the application's own bins, each organisation once, in the order of their word."""
    return tuple(dict.fromkeys(AccountId(one.attester) for one in _find_counted(books, application)))


def check_still_attested(books: Books, offer: Offer) -> Rejection | None:
    """Whether enough of the words an offer stands on still count, and of an automatic one its own lender's."""
    told = offer.disclosure
    decision = books.state.need(DECISIONS, told.application + told.product)
    counted = find_counted_attesters(books, books.state.need(APPLICATIONS, told.application))
    kept = [one for one in decision.attesters if one in counted]
    if len(kept) == len(decision.attesters):
        return None
    floor = calculate_attestations_floor(books)
    if not offer.officer:
        floor = max(floor, books.state.need(PRODUCTS, told.product).terms.attestations_min)
    enough = len(kept) >= floor and (offer.officer or told.lender in kept)
    return None if enough else Rejection.ATTESTATION_MISSING


def _find_counted(books: Books, application: Application) -> list[Attestation]:
    return [one for one in _find_own(application) if not is_struck(books, one)]


def _find_own(application: Application) -> list[Attestation]:
    """Attestations of the application's own bins."""
    committed = {one.model: one.commitment for one in application.request.sidecars}
    return [one for one in application.attestations if one.commitment == committed[one.model]]


def decide_products(
    books: Books, application_id: ObjectId, like: Attestation, equal: tuple[Attestation, ...]
) -> tuple[Fact, ...]:
    """Let every product that can decide now do so; offers first, cheapest first, then declines.

    Who has no room any more answers at the beginning of the next block.
    """
    application = books.state.need(APPLICATIONS, application_id)
    room = max(1, DECIDED_ROWS_MAX // application.request.instalments)
    attesters = tuple(one.attester for one in equal)
    floor = calculate_attestations_floor(books)
    answered = count_answers(books, application_id, application)
    facts: list[Decided] = []
    for product_id in _find_candidates(books, application, attesters):
        product = books.state.need(PRODUCTS, product_id)
        terms = product.terms
        ready = (
            terms.model == like.model
            and product.lender in attesters
            and len(equal) >= max(terms.attestations_min, floor)
            and terms.auto_budget > 0
            and application.request.automated
            and does_product_fit(books, product, application.request)
            and _has_place(answered.get(product.lender, (0, 0)))
        )
        if not ready:
            continue
        if len(facts) == room:
            application = _decide_later(books, application_id, application)
            break
        application = replace(application, products=(*application.products, product_id))
        case = Case(application_id, application, product_id, product, equal)
        facts.append(_decide(books, case))
        answers, offers = answered.get(product.lender, (0, 0))
        answered[product.lender] = (answers + 1, offers + (facts[-1].offer is not None))
    books.state.put(APPLICATIONS, application_id, application)
    return tuple(sorted(facts, key=_rank))


def _decide_later(books: Books, application_id: ObjectId, application: Application) -> Application:
    """The application with an event that lets other products answer."""
    if application.deciding_ms is not None:
        return application
    books.schedule(TimeMs(books.now_ms), EventKind.DECIDE, application_id)
    return replace(application, deciding_ms=TimeMs(books.now_ms))


def on_decide_due(books: Books, application_id: ObjectId) -> None:
    """Let products answer that had no room before, as far as there is room now and the data may still be used."""
    application = replace(books.state.need(APPLICATIONS, application_id), deciding_ms=None)
    books.state.put(APPLICATIONS, application_id, application)
    request = application.request
    if check_consent_covers(books, request.consent, application.borrower, request.data) is not None:
        return
    for body in dict.fromkeys((one.model, one.capacity30) for one in _find_counted(books, application)):
        like = next(one for one in _find_counted(books, application) if (one.model, one.capacity30) == body)
        decide_products(books, application_id, like, find_equal_attestations(books, application, like))
        if books.state.need(APPLICATIONS, application_id).deciding_ms is not None:
            return


def _has_place(answered: tuple[int, int]) -> bool:
    answers, offers = answered
    return answers < DECISIONS_PER_LENDER_MAX and offers < OFFERS_PER_LENDER_MAX


def count_answers(books: Books, application_id: ObjectId, application: Application) -> dict[AccountId, tuple[int, int]]:
    """By lender: its products that have answered, and the offers it has made. Nobody fills the others' places."""
    counted: dict[AccountId, tuple[int, int]] = {}
    for product_id in application.products:
        one = books.state.need(DECISIONS, application_id + product_id)
        answers, offers = counted.get(one.lender, (0, 0))
        counted[one.lender] = (answers + 1, offers + (one.offer is not None) + one.offers_ended)
    return counted


def _rank(fact: Decided) -> tuple[bool, int, bytes]:
    return (fact.offer is None, fact.apr_ppm or 0, fact.product)


def _find_candidates(books: Books, application: Application, attesters: tuple[AccountId, ...]) -> list[ObjectId]:
    """Products that have not answered yet: the one named, or the attesters' own, in the order of their ids."""
    named = application.request.product
    published = (books.state.need(MEMBERS, one).products for one in attesters) if named is None else ((named,),)
    answered = frozenset(application.products)
    return sorted(ObjectId(one) for each in published for one in each if one not in answered)


class Case(NamedTuple):
    """What one product decides on."""

    application_id: ObjectId
    application: Application
    product_id: ObjectId
    product: Product
    equal: tuple[Attestation, ...]

    @property
    def score(self) -> Assessed:
        """What the product's model said."""
        return find_score(self.application, self.product)


def find_score(application: Application, product: Product) -> Assessed:
    """What a product's model said of an application that brought its sidecar."""
    return next(one for one in application.assessed if one.model == product.terms.model)


def _decide(books: Books, case: Case) -> Decided:
    """One product's answer, recorded."""
    application_id, _, product_id, product, equal = case
    score, capacity30 = case.score, calculate_capacity30(books, case.application)
    answer = _answer(books, case)
    offer_id = None
    apr_ppm = None
    if isinstance(answer, Disclosure):
        offer_id = ObjectId(calculate_hash("object/offer", application_id, product_id))
        apr_ppm = answer.apr_ppm
        post_offer(books, offer_id, answer, capacity30, officer=False)
    reasons, rule = ((), None) if isinstance(answer, Disclosure) else answer
    decision = Decision(
        lender=product.lender,
        time_ms=books.now_ms,
        attesters=tuple(one.attester for one in equal),
        capacity30=capacity30,
        model=score.model,
        points=score.points,
        pd_ppm=score.pd_ppm,
        band=score.band,
        offer=offer_id,
        reasons=reasons,
        rule=rule,
    )
    return record_decision(books, application_id, product_id, decision, apr_ppm)


def record_decision(
    books: Books, application_id: ObjectId, product_id: ObjectId, decision: Decision, apr_ppm: int | None
) -> Decided:
    """Keep one product's answer, tell readers, and say it in the receipt."""
    books.state.put(DECISIONS, application_id + product_id, decision)
    borrower = books.state.need(APPLICATIONS, application_id).borrower
    subjects = (application_id, product_id, borrower, decision.lender)
    offer_id = decision.offer
    books.emit(
        "application_decided",
        subjects if offer_id is None else (*subjects, offer_id),
        {
            "application": application_id.hex(),
            "product": product_id.hex(),
            "lender": decision.lender.hex(),
            "borrower": borrower.hex(),
            "outcome": "decline" if offer_id is None else "offer",
            "offer": None if offer_id is None else offer_id.hex(),
            "apr_ppm": apr_ppm,
            "points": decision.points,
            "pd_ppm": decision.pd_ppm,
            "band": decision.band,
            "reasons": list(decision.reasons),
            "rule": None if decision.rule is None else decision.rule.code,
            "officer": decision.officer,
        },
    )
    return Decided(
        product=product_id,
        lender=decision.lender,
        model=decision.model,
        points=decision.points,
        pd_ppm=decision.pd_ppm,
        band=decision.band,
        offer=offer_id,
        apr_ppm=apr_ppm,
        reasons=decision.reasons,
        rule=decision.rule,
    )


Decline = tuple[tuple[int, ...], Rejection | None]
"""Reasons of the score, and the limit when no reason of the score stood against it."""


def _answer(books: Books, case: Case) -> Disclosure | Decline:
    """Band, limit of the band, budget, terms within policy, and an instalment that cash flow can carry."""
    application_id, application, product_id, product, _ = case
    score = case.score
    terms, request = product.terms, application.request
    if score.band >= len(terms.bands):
        return score.reasons, None
    band = terms.bands[score.band]
    if request.amount > band.amount_max:
        return (AMOUNT_REQUESTED,), None
    grade = max(books.state.need(DATA, one).anchor.provenance for one in request.data)
    grade_max = calculate_grade_max(terms, grade)
    if grade_max is not None and request.amount > grade_max:
        return (), Rejection.CAP_GRADE
    if books.state.need(BUDGETS, product_id).used + request.amount > terms.auto_budget:
        return (), Rejection.BUDGET_SPENT
    disclosure = make_disclosure(
        books, product_id, product, application_id, request, borrower=application.borrower, rate_ppm=band.rate_ppm
    )
    if isinstance(disclosure, Rejection):
        return (), disclosure
    due30 = calculate_new_due30(disclosure, Day(disclosure.schedule.start))
    if due30 > share_floor(calculate_capacity30(books, application), books.policy.instalment_share_ppm):
        # It could never be accepted, so it is no offer.
        return (AFFORDABILITY,), None
    return disclosure


def post_offer(books: Books, offer_id: ObjectId, disclosure: Disclosure, capacity30: Amount, *, officer: bool) -> None:
    """Let an offer stand until its last day is over; an officer's keeps its money ready in the pools."""
    expires_ms = TimeMs(books.genesis.calculate_day_start_ms(disclosure.expires_on + 1, disclosure.tz_offset_min))
    books.state.put(
        OFFERS,
        offer_id,
        Offer(
            disclosure=disclosure,
            terms_hash=calculate_terms_hash(disclosure),
            capacity30=capacity30,
            state=OfferState.POSTED,
            posted_ms=books.now_ms,
            expires_ms=expires_ms,
            officer=officer,
        ),
    )
    books.schedule(expires_ms, EventKind.OFFER_EXPIRY, offer_id)
    if officer:
        reserve_offer(books, disclosure, 1)
