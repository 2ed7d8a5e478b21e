"""An offer as a borrower must see it: what she receives, every instalment, the whole cost, being late, who lends.

Whatever the signed hash covers and a person reads is here, for every kind of loan. Only translation; a device compares
the figures with the disclosure's own bytes before it signs. Never a figure that the disclosure does not have.
"""

import msgspec

from node.api.answers import Hex32, IsoDay, Minor
from node.api.ports import NodePort
from node.api.reading import view_day
from node.api.state import find_exponent, find_name, find_row
from protocol.codec import encode
from protocol.ids import ObjectId
from protocol.ledger.contracts import (
    Disclosure,
    DrawTold,
    LeaseTold,
    LineTold,
    Offer,
    PurchaseTold,
    RevenueTold,
)
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.reports import name_kind
from protocol.ledger.state import POOLS, PRODUCTS


class InstalmentView(msgspec.Struct, frozen=True, kw_only=True):
    """One instalment of a disclosed schedule."""

    number: int
    due_on: IsoDay
    total_due: Minor
    principal_due: Minor
    interest_due: Minor
    fee_due: Minor
    balance_after: Minor


class FeeView(msgspec.Struct, frozen=True, kw_only=True):
    """A fee of the loan."""

    kind: str
    amount: Minor


class PartnerView(msgspec.Struct, frozen=True, kw_only=True):
    """A pool that lends a share."""

    pool: Hex32
    lender: Hex32
    lender_name: str | None
    share_ppm: int


class RevenueView(msgspec.Struct, frozen=True, kw_only=True):
    """A loan that a share of sales repays."""

    share_ppm: int
    """Of sales."""
    discount: Minor
    """Its whole price."""
    rebate_ppm: int
    """Of the discount not yet earned, what paying everything early spares."""
    volume: Minor
    volume_days: int
    """Days over which the borrower stated that volume of sales."""
    payment: Minor
    """Expected per day."""
    floor_ppm: int
    """Less than this share of what 30 days should bring is a breach."""
    warning_ppm: int
    term_days_max: int
    """Whatever is left falls due so many days after pay-out."""


class LineOfferView(msgspec.Struct, frozen=True, kw_only=True):
    """A revolving line; the schedule shows its whole limit drawn at once, as an example."""

    days: int
    """How long draws may be made."""
    draw_min: Minor


class LeaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A lease of one thing."""

    asset: Hex32
    supplier: Hex32
    deposit: Minor
    residual: Minor
    """What the end option settles."""
    may_return: bool
    may_buy: bool
    extend_instalments: int
    """Instalments over which the residual can be paid; 0 where that is not offered."""


class PurchaseView(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase at a merchant's till, who receives the money less its discount."""

    merchant: Hex32
    discount: Minor


class SpecialView(msgspec.Struct, frozen=True, kw_only=True):
    """What only this kind of loan says; at most one is there."""

    revenue_share: RevenueView | None = None
    line: LineOfferView | None = None
    drawn_on: Hex32 | None = None
    """Of a draw, its line."""
    lease: LeaseView | None = None
    purchase: PurchaseView | None = None


class OfferView(msgspec.Struct, frozen=True, kw_only=True):
    """An offer with the whole disclosure that an acceptance signs."""

    height: int
    id: Hex32
    state: str
    officer: bool
    """A person made it, and its money is reserved."""
    kind: str
    terms_hash: Hex32
    disclosure: str
    """Canonical bytes whose hash an acceptance signs, hex: devices decode, hash and compare what they show."""
    application: Hex32
    product: Hex32
    product_name: str
    pool: Hex32
    lender: Hex32
    lender_name: str | None
    borrower: Hex32
    currency: str
    exponent: int
    principal: Minor
    net_proceeds: Minor
    origination_fee: Minor
    fees: list[FeeView]
    """All that are charged beside interest when nothing is late."""
    rate_ppm: int
    apr_ppm: int
    apr_us_ppm: int | None
    """Nominal annual rate of the US actuarial method, where the policy asks for it."""
    total_payable: Minor
    total_cost: Minor
    start: IsoDay
    instalments: int
    schedule: list[InstalmentView]
    day_count: str
    amortisation: str
    waterfall: str
    grace_days: int
    late_rate_ppm: int
    late_fee: Minor
    materiality: Minor
    """An unpaid rest up to this does not make an instalment late."""
    default_days: int
    """Days past due from which anyone may call it defaulted."""
    cost_cap_ppm: int
    prepayment_fee_ppm: int
    cooling_off_days: int
    partners: list[PartnerView]
    collateral: list[Hex32]
    guarantors: list[Hex32]
    special: SpecialView
    policy_version: int
    expires_on: IsoDay
    posted_ms: int
    expires_ms: int


class QuoteView(msgspec.Struct, frozen=True, kw_only=True):
    """Terms computed for today: their canonical bytes, and the hash that signing them takes."""

    height: int
    terms_hash: Hex32
    disclosure: str


def view_quote(node: NodePort, told: Disclosure) -> QuoteView:
    """Terms as a device decodes, shows and signs them."""
    return QuoteView(
        height=node.status().exec_height,
        terms_hash=calculate_terms_hash(told).hex(),
        disclosure=encode(told).hex(),
    )


def view_special(disclosure: Disclosure) -> SpecialView:
    """What only this kind of loan says."""
    told = disclosure.told
    match told:
        case RevenueTold():
            return SpecialView(revenue_share=_view_revenue(told))
        case LineTold():
            return SpecialView(line=LineOfferView(days=told.kind.days, draw_min=told.kind.draw_min))
        case DrawTold():
            return SpecialView(drawn_on=told.line.hex())
        case LeaseTold():
            return SpecialView(
                lease=LeaseView(
                    asset=told.asset.hex(),
                    supplier=told.supplier.hex(),
                    deposit=told.deposit,
                    residual=disclosure.schedule.residual,
                    may_return=told.kind.may_return,
                    may_buy=told.kind.may_buy,
                    extend_instalments=told.kind.extend_instalments,
                )
            )
        case PurchaseTold():
            return SpecialView(purchase=PurchaseView(merchant=told.merchant.hex(), discount=told.discount))
        case None:
            return SpecialView()


def _view_revenue(told: RevenueTold) -> RevenueView:
    kind = told.kind
    return RevenueView(
        share_ppm=kind.share_ppm,
        discount=told.discount,
        rebate_ppm=told.rebate_ppm,
        volume=told.volume,
        volume_days=kind.volume_days,
        payment=told.payment,
        floor_ppm=kind.floor_ppm,
        warning_ppm=kind.warning_ppm,
        term_days_max=kind.term_days_max,
    )


def view_instalments(told: Disclosure) -> list[InstalmentView]:
    """Every instalment that was disclosed."""
    return [
        InstalmentView(
            number=one.index,
            due_on=view_day(one.due_on),
            total_due=one.total_due,
            principal_due=one.principal_due,
            interest_due=one.interest_due,
            fee_due=one.fee_due,
            balance_after=one.balance_after,
        )
        for one in told.instalments
    ]


def view_partners(node: NodePort, told: Disclosure) -> list[PartnerView]:
    """Other pools that lend a share, with who owns them."""
    found = []
    for one in told.partners:
        pool = find_row(node, POOLS, one.pool)
        assert pool is not None, "partners are pools"
        found.append(
            PartnerView(
                pool=one.pool.hex(),
                lender=pool.owner.hex(),
                lender_name=find_name(node, pool.owner),
                share_ppm=one.share_ppm,
            )
        )
    return found


def view_offer(node: NodePort, offer: ObjectId, row: Offer) -> OfferView:
    """An offer with everything its hash covers that a person reads."""
    told = row.disclosure
    product = find_row(node, PRODUCTS, told.product)
    assert product is not None, "offers are of products"
    return OfferView(
        height=node.status().exec_height,
        id=offer.hex(),
        state=row.state.name.lower(),
        officer=row.officer,
        kind=name_kind(told),
        terms_hash=row.terms_hash.hex(),
        disclosure=encode(told).hex(),
        application=told.application.hex(),
        product=told.product.hex(),
        product_name=product.terms.name,
        pool=told.pool.hex(),
        lender=told.lender.hex(),
        lender_name=find_name(node, told.lender),
        borrower=told.borrower.hex(),
        currency=told.currency,
        exponent=find_exponent(node, told.currency),
        principal=told.schedule.principal,
        net_proceeds=told.net_proceeds,
        origination_fee=told.origination_fee,
        fees=[FeeView(kind="origination", amount=told.origination_fee)] if told.origination_fee else [],
        rate_ppm=told.schedule.rate_ppm,
        apr_ppm=told.apr_ppm,
        apr_us_ppm=told.apr_us_ppm,
        total_payable=told.total_payable,
        total_cost=told.total_cost,
        start=view_day(told.schedule.start),
        instalments=len(told.instalments),
        schedule=view_instalments(told),
        day_count=told.schedule.day_count.name.lower(),
        amortisation=told.schedule.amortisation.name.lower(),
        waterfall=told.waterfall.name.lower(),
        grace_days=told.grace_days,
        late_rate_ppm=told.late_rate_ppm,
        late_fee=told.late_fee,
        materiality=told.materiality,
        default_days=told.default_days,
        cost_cap_ppm=told.cost_cap_ppm,
        prepayment_fee_ppm=told.prepayment_fee_ppm,
        cooling_off_days=told.cooling_off_days,
        partners=view_partners(node, told),
        collateral=[one.hex() for one in told.collateral],
        guarantors=[one.hex() for one in told.guarantors],
        special=view_special(told),
        policy_version=told.policy_version,
        expires_on=view_day(told.expires_on),
        posted_ms=row.posted_ms,
        expires_ms=row.expires_ms,
    )
