"""Payload that publishes a loan product as an immutable version. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import DayField, ModelIdField, ObjectIdField
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import AmountField, PpmField


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


class TermProduct(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=11):
    """Publish a term-loan product version. Id: object "product". Signer: lender organisation that owns the pool."""

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
