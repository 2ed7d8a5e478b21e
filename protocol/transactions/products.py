"""Payload that publishes a loan product as an immutable version. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import DayField, ModelIdField, ObjectIdField
from protocol.limits import PARTNERS_MAX
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import AmountField, Ppm, PpmField


class Segment(IntEnum):
    """Whom a product is for."""

    PERSONAL = 1
    SMALL_BUSINESS = 2
    CONSUMER = 3


class BandPrice(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Price and limit for one score band (band 0 is the best)."""

    rate_ppm: PpmField
    """Nominal annual rate."""
    amount_max: AmountField
    """Largest principal automatically granted in this band."""


class TermKind(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """A loan of instalments by date: level, equal principal, interest only, or balloon."""

    residual_ppm: PpmField = Ppm(0)
    """Share of the principal left for the last row; above 0 for a balloon, 0 for all others."""


class RevenueKind(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """An advance repaid by a share of sales. A band's rate is the discount: its price as a share of the net advance."""

    share_ppm: PpmField
    """Share of sales that repays."""
    volume_days: Annotated[int, msgspec.Meta(ge=360, le=365)]
    """Days over which the borrower states the volume of sales: 360 or 365."""
    floor_ppm: PpmField
    """Least share of the expected payments that each 30 days must bring; less is a breach."""
    warning_ppm: PpmField
    """Below this share of the expected payments a near breach is told; not below the floor."""
    term_days_max: Annotated[int, msgspec.Meta(ge=30, le=1_096)]
    """Whatever is left falls due so many days after pay-out."""


class LineKind(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """A revolving line: its limit is reserved in the pool, each draw is a loan on the product's terms."""

    days: Annotated[int, msgspec.Meta(ge=1, le=1_096)]
    """How long draws may be made after acceptance."""
    draw_min: AmountField


class LeaseKind(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """Finance of one unique asset whose title stays with the lessor until the end option is carried out."""

    residual_ppm: PpmField
    """Share of the principal that the last row leaves for the end option."""
    deposit_ppm: PpmField
    """Share of the principal the lessee pays in advance as a deposit, given back at the end."""
    may_return: bool
    may_buy: bool
    extend_instalments: Annotated[int, msgspec.Meta(ge=0, le=480)]
    """Instalments over which the residual is paid when the lessee extends; 0 where that is not offered."""


class MerchantKind(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """Instalments at a merchant's till (buy now, pay later): the merchant is paid, less its discount."""

    discount_ppm: PpmField
    """What the merchant pays of the purchase price, taken out of the pay-out to it."""


ProductKind = TermKind | RevenueKind | LineKind | LeaseKind | MerchantKind


class Partner(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Another lender's pool that takes a share of every loan; its owner co-signs the product."""

    pool: ObjectIdField
    share_ppm: PpmField


class LoanProduct(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=11):
    """Publish a product version. Id: object "product". Signer: lender that owns the pool; co-signers: the partners'."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    segment: Segment
    pool: ObjectIdField
    amount_min: AmountField
    amount_max: AmountField
    instalments_min: Annotated[int, msgspec.Meta(ge=1, le=480)]
    instalments_max: Annotated[int, msgspec.Meta(ge=1, le=480)]
    period_unit: PeriodUnit
    period_every: Annotated[int, msgspec.Meta(ge=1, le=366)]
    amortisation: Amortisation
    day_count: DayCount
    profile: RoundingProfile
    origination_fee_ppm: PpmField
    """Of the principal, taken out of the pay-out; rounded down."""
    grace_days: Annotated[int, msgspec.Meta(ge=0, le=30)]
    late_rate_ppm: PpmField
    """Simple annual rate on overdue principal, beside ordinary interest (ledger 2.6)."""
    late_fee: AmountField
    """Once per late instalment."""
    waterfall: WaterfallOrder
    model: ModelIdField
    bands: Annotated[tuple[BandPrice, ...], msgspec.Meta(min_length=1, max_length=16)]
    """Bands that are granted, best first; a score in a later band is declined."""
    attestations_min: Annotated[int, msgspec.Meta(ge=1, le=16)]
    """Equal attestations by distinct organisations, the paying lender's among them, that decide."""
    auto_budget: AmountField
    """Principal that may be granted automatically in all; 0 means officers decide each one."""
    tz_offset_min: Annotated[int, msgspec.Meta(ge=-720, le=840)]
    """Offset of the contract's days from UTC, in minutes."""
    offer_days: Annotated[int, msgspec.Meta(ge=1, le=30)]
    """How long an offer stands, in contract days."""
    expires_on: DayField
    """No application after this day."""
    kind: ProductKind = TermKind()
    """What only this kind of product has."""
    partners: Annotated[tuple[Partner, ...], msgspec.Meta(max_length=PARTNERS_MAX)] = ()
    """Pools that share each loan, in order of pool id; the lead has the rest, of shares and of rounding alike."""
    prepayment_fee_ppm: PpmField = Ppm(0)
    """Of principal paid before it is due; within policy, and never more than the interest saved."""
    default_days: Annotated[int, msgspec.Meta(ge=30, le=360)] = 90
    """Days past due from which anyone may trigger default."""
    grade_max: Annotated[tuple[AmountField, ...], msgspec.Meta(max_length=4)] = ()
    """Largest principal granted automatically by the statement's grade: signed by its provider, with a balance chain, a
    file without one, a scan. None for no such limit; 0 for a grade that only an officer decides on."""
