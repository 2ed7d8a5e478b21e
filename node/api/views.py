"""Rows of the books as the API shows them: hex, ISO dates, names of members, reasons in words.

What a borrower signs is shown in full. Only translation here; no figure is computed that the ledger does not have.
"""

from typing import Any, Final, Literal

import msgspec

from node.api.answers import Hex32, IsoDay, Minor, RejectionView
from node.api.offers import OfferView, view_offer
from node.api.ports import NodePort
from node.api.reading import to_plain, view_day, view_every
from node.api.state import find_exponent, find_name, find_row, is_auditor
from node.api.submit import view_rejection
from protocol.ids import ObjectId
from protocol.ledger.cover import calculate_cover_needed
from protocol.ledger.pools import calculate_assets, calculate_assets_out
from protocol.ledger.rows import Application, Decision, Pool, Product
from protocol.ledger.state import BUDGETS, DECISIONS, OFFERS, PRODUCTS
from protocol.ledger.verdicts import is_struck
from protocol.limits import DECISIONS_PER_LENDER_MAX, GRANTEES_MAX
from protocol.transactions.lending import FeaturesCommitment
from protocol.transactions.products import LeaseKind, LineKind, MerchantKind, RevenueKind, TermKind
from scoring.reasons import REASONS


class ReasonView(msgspec.Struct, frozen=True, kw_only=True):
    """A principal reason of a decision."""

    code: int
    key: str
    text: str


class PoolView(msgspec.Struct, frozen=True, kw_only=True):
    """A lender's pool."""

    height: int
    id: Hex32
    lender: Hex32
    lender_name: str | None
    currency: str
    exponent: int
    cash: Minor
    reserved: Minor
    """Part of the cash that is promised: it is neither lent nor paid out."""
    principal_out: Minor
    assets: Minor
    """Goods taken back or seized, at the value they were taken for."""
    net_asset_value: Minor
    """For those who come: cash, principal and goods."""
    haircut: Minor
    """What those who leave must leave behind, by the classes of the loans."""
    net_asset_value_out: Minor
    """For those who leave."""
    lost: Minor
    """Principal lost on defaulted loans that may still come back."""
    shares: int
    exiting: int
    """Shares that wait for the pool's free cash."""
    exits_due_ms: int | None
    """When those who wait are paid next; None while nobody waits."""
    cover: Minor
    """The lender's own money that losses fall on first."""
    cover_rate_ppm: int
    cover_needed: Minor
    """What of it cannot be taken out."""
    fee_ppm: int
    """The lender's share of interest received."""
    lent: Minor
    loans_open: int
    borrower_max: Minor


class BandView(msgspec.Struct, frozen=True, kw_only=True):
    """Price and limit of one score band."""

    band: int
    rate_ppm: int
    amount_max: Minor


class ShareOfPool(msgspec.Struct, frozen=True, kw_only=True):
    """A pool and its share."""

    pool: Hex32
    share_ppm: int


KINDS: Final[dict[type, str]] = {
    TermKind: "term",
    RevenueKind: "revenue_share",
    LineKind: "line",
    LeaseKind: "lease",
    MerchantKind: "purchase",
}
"""What products are called, as their loans are."""


class ProductView(msgspec.Struct, frozen=True, kw_only=True):
    """A published product version."""

    height: int
    id: Hex32
    name: str
    lender: Hex32
    lender_name: str | None
    pool: Hex32
    segment: str
    kind: str
    special: dict[str, Any]
    """What only this kind of product has, by the names of the wire."""
    currency: str
    exponent: int
    amount_min: Minor
    amount_max: Minor
    instalments_min: int
    instalments_max: int
    every: str
    amortisation: str
    day_count: str
    origination_fee_ppm: int
    grace_days: int
    late_rate_ppm: int
    late_fee: Minor
    prepayment_fee_ppm: int
    default_days: int
    grade_max: list[Minor]
    """Largest principal granted automatically by the statement's grade, best first; empty without such limits."""
    partners: list[ShareOfPool]
    """Other pools that lend a share of each loan."""
    model: Hex32
    bands: list[BandView]
    attestations_min: int
    auto_budget: Minor
    auto_used: Minor
    offer_days: int
    expires_on: IsoDay


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """One product's answer to an application."""

    product: Hex32
    product_name: str
    lender: Hex32
    lender_name: str | None
    outcome: Literal["offer", "decline"]
    points: int
    pd_ppm: int
    band: int
    capacity30: Minor
    model: Hex32
    attesters: list[str]
    offer: Hex32 | None
    reasons: list[ReasonView]
    rule: RejectionView | None
    """The limit that stood against it where no reason of the score did."""
    time_ms: int


class AssessedView(msgspec.Struct, frozen=True, kw_only=True):
    """What one model said."""

    model: Hex32
    points: int
    pd_ppm: int
    band: int
    reasons: list[ReasonView]


class AttestationView(msgspec.Struct, frozen=True, kw_only=True):
    """Who confirmed what the rows determine."""

    attester: Hex32
    attester_name: str | None
    model: Hex32
    capacity30: Minor
    time_ms: int
    own: bool
    """It confirms the application's own bins; one that does not is dissenting, and decides nothing."""
    struck: bool
    """Its attester was convicted of a false attestation since: it counts no more."""
    auditor: bool
    """Its attester watches and neither lends nor validates."""


class FeaturesView(msgspec.Struct, frozen=True, kw_only=True):
    """What an application commits to for readers who see no rows."""

    root: Hex32
    """Merkle root over the salted features; whoever attests has confirmed it from the rows."""
    document: Hex32
    """The sealed vector in the vault."""
    consent: Hex32 | None
    """Under which features alone were granted with the application; null when they were not."""


class ApplicationView(msgspec.Struct, frozen=True, kw_only=True):
    """An application with its scores, decisions, and offers cheapest first."""

    height: int
    id: Hex32
    transaction: Hex32 | None = None
    """What opened it, whose receipt proves it; of a single application alone, and null where history begins later."""
    automated: bool
    """False where the borrower refused automated decisions: only a lender's officer may answer."""
    borrower: Hex32
    state: str
    segment: str
    purpose: str
    product: Hex32 | None
    currency: str
    exponent: int
    amount: Minor
    instalments: int
    every: str
    as_of: IsoDay
    data: list[Hex32]
    consent: Hex32
    features: FeaturesView | None
    opened_ms: int
    expires_ms: int
    assessed: list[AssessedView]
    attestations: list[AttestationView]
    decisions: list[DecisionView]
    offers: list[OfferView]


def view_reasons(codes: tuple[int, ...], language: str) -> list[ReasonView]:
    """Reason codes in words; one that this release does not know keeps its number."""
    found = []
    for code in codes:
        reason = REASONS.get(code)
        text = "" if reason is None else reason.text_zh if language == "zh" else reason.text_en
        found.append(ReasonView(code=code, key="unknown" if reason is None else reason.key, text=text))
    return found


def view_pool(node: NodePort, pool: ObjectId, row: Pool) -> PoolView:
    """A pool."""
    return PoolView(
        height=node.status().exec_height,
        id=pool.hex(),
        lender=row.owner.hex(),
        lender_name=find_name(node, row.owner),
        currency=row.currency,
        exponent=find_exponent(node, row.currency),
        cash=row.cash,
        reserved=row.reserved,
        principal_out=row.principal,
        assets=row.assets,
        net_asset_value=calculate_assets(row),
        haircut=row.haircut,
        net_asset_value_out=calculate_assets_out(row),
        lost=row.lost,
        shares=row.shares,
        exiting=row.exiting,
        exits_due_ms=None if row.leaving is None else row.leaving.next_ms,
        cover=row.cover,
        cover_rate_ppm=row.cover_rate_ppm,
        cover_needed=calculate_cover_needed(node.ledger.books, pool),
        fee_ppm=row.fee_ppm,
        lent=row.lent,
        loans_open=row.loans_open,
        borrower_max=row.borrower_max,
    )


def view_product(node: NodePort, product: ObjectId, row: Product) -> ProductView:
    """A product."""
    terms, budget = row.terms, find_row(node, BUDGETS, product)
    return ProductView(
        height=node.status().exec_height,
        id=product.hex(),
        name=terms.name,
        lender=row.lender.hex(),
        lender_name=find_name(node, row.lender),
        pool=terms.pool.hex(),
        segment=terms.segment.name.lower(),
        kind=KINDS[type(terms.kind)],
        special=to_plain(terms.kind),
        currency=row.currency,
        exponent=find_exponent(node, row.currency),
        amount_min=terms.amount_min,
        amount_max=terms.amount_max,
        instalments_min=terms.instalments_min,
        instalments_max=terms.instalments_max,
        every=view_every(terms.period_unit, terms.period_every),
        amortisation=terms.amortisation.name.lower(),
        day_count=terms.day_count.name.lower(),
        origination_fee_ppm=terms.origination_fee_ppm,
        grace_days=terms.grace_days,
        late_rate_ppm=terms.late_rate_ppm,
        late_fee=terms.late_fee,
        prepayment_fee_ppm=terms.prepayment_fee_ppm,
        default_days=terms.default_days,
        grade_max=list(terms.grade_max),
        partners=[ShareOfPool(pool=one.pool.hex(), share_ppm=one.share_ppm) for one in terms.partners],
        model=terms.model.hex(),
        bands=[
            BandView(band=band, rate_ppm=one.rate_ppm, amount_max=one.amount_max)
            for band, one in enumerate(terms.bands)
        ],
        attestations_min=terms.attestations_min,
        auto_budget=terms.auto_budget,
        auto_used=0 if budget is None else budget.used,
        offer_days=terms.offer_days,
        expires_on=view_day(terms.expires_on),
    )


def view_decision(node: NodePort, product: ObjectId, row: Decision, language: str) -> DecisionView:
    """One product's answer."""
    sold = find_row(node, PRODUCTS, product)
    assert sold is not None, "decisions are of products"
    return DecisionView(
        product=product.hex(),
        product_name=sold.terms.name,
        lender=row.lender.hex(),
        lender_name=find_name(node, row.lender),
        outcome="decline" if row.offer is None else "offer",
        points=row.points,
        pd_ppm=row.pd_ppm,
        band=row.band,
        capacity30=row.capacity30,
        model=row.model.hex(),
        attesters=[find_name(node, one) or one.hex() for one in row.attesters],
        offer=None if row.offer is None else row.offer.hex(),
        reasons=view_reasons(row.reasons, language),
        rule=None if row.rule is None else view_rejection(row.rule),
        time_ms=row.time_ms,
    )


def _view_features(features: FeaturesCommitment | None) -> FeaturesView | None:
    if features is None:
        return None
    consent = None if features.consent is None else features.consent.hex()
    return FeaturesView(root=features.root.hex(), document=features.document.hex(), consent=consent)


def view_application(node: NodePort, application: ObjectId, row: Application, language: str) -> ApplicationView:
    """An application with all that came of it."""
    request = row.request
    assert len(row.products) <= GRANTEES_MAX * DECISIONS_PER_LENDER_MAX
    decisions: list[DecisionView] = []
    offers: list[OfferView] = []
    committed = {one.model: one.commitment for one in request.sidecars}
    for product in row.products:
        decision = find_row(node, DECISIONS, application + product)
        assert decision is not None, "listed products have decided"
        decisions.append(view_decision(node, ObjectId(product), decision, language))
        offer = None if decision.offer is None else find_row(node, OFFERS, decision.offer)
        if offer is not None and decision.offer is not None:
            offers.append(view_offer(node, ObjectId(decision.offer), offer))
    return ApplicationView(
        height=node.status().exec_height,
        id=application.hex(),
        borrower=row.borrower.hex(),
        state=row.state.name.lower(),
        automated=request.automated,
        segment=request.segment.name.lower(),
        purpose=request.purpose.name.lower(),
        product=None if request.product is None else request.product.hex(),
        currency=request.currency,
        exponent=find_exponent(node, request.currency),
        amount=request.amount,
        instalments=request.instalments,
        every=view_every(request.period_unit, request.period_every),
        as_of=view_day(request.as_of),
        data=[one.hex() for one in request.data],
        consent=request.consent.hex(),
        features=_view_features(request.features),
        opened_ms=row.opened_ms,
        expires_ms=row.expires_ms,
        assessed=[
            AssessedView(
                model=one.model.hex(),
                points=one.points,
                pd_ppm=one.pd_ppm,
                band=one.band,
                reasons=view_reasons(one.reasons, language),
            )
            for one in row.assessed
        ],
        attestations=[
            AttestationView(
                attester=one.attester.hex(),
                attester_name=find_name(node, one.attester),
                model=one.model.hex(),
                capacity30=one.capacity30,
                time_ms=one.time_ms,
                own=one.commitment == committed[one.model],
                struck=is_struck(node.ledger.books, one),
                auditor=is_auditor(node, one.attester),
            )
            for one in row.attestations
        ],
        decisions=decisions,
        offers=sorted(offers, key=lambda one: (one.apr_ppm, one.id)),
    )
