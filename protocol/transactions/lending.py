"""Payloads from application to money: apply, attest, offer, accept. Wire shapes only; rules in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import AccountIdField, DayField, DigestField, ModelIdField, ObjectIdField
from protocol.limits import (
    COLLATERAL_MAX,
    DATA_PER_APPLICATION_MAX,
    GUARANTORS_MAX,
    REASONS_MAX,
    SIDECARS_PER_APPLICATION_MAX,
)
from protocol.loans.terms import PeriodUnit
from protocol.money import AmountField, CurrencyField, PpmField
from protocol.transactions.products import Segment


class SidecarCommitment(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Which binned features, for which model, stand behind an application."""

    model: ModelIdField
    commitment: DigestField


class FeaturesCommitment(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Which feature vector stands behind an application, for readers who see no rows."""

    root: DigestField
    """Merkle root over the salted features (`protocol.vault`). Whoever attests confirms it with the bins."""
    document: DigestField
    """Hash of the sealed vector, by which readers of features fetch it."""
    consent: ObjectIdField | None = None
    """Consent of scope FEATURES whose grantees are told of the application; their officers may make offers on it."""


class LoanPurpose(IntEnum):
    """What the borrower wants the money for."""

    OTHER = 0
    LIVING = 1
    EDUCATION = 2
    MEDICAL = 3
    HOME = 4
    WORKING_CAPITAL = 5
    EQUIPMENT = 6
    PURCHASE = 7


class Purchase(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """The money goes to a merchant for goods (products of kind MerchantKind)."""

    merchant: AccountIdField


class LeaseWish(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """The money buys one registered asset, which the lessor keeps (products of kind LeaseKind)."""

    asset: ObjectIdField


class SalesExpected(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """What a share of shall repay the advance (products of kind RevenueKind)."""

    volume: AmountField
    """Sales expected over the product's `volume_days`."""


Wish = Purchase | LeaseWish | SalesExpected


class Apply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=17):
    """Ask for a loan from every automatic product of a segment, or from one product. Id: object "application"."""

    segment: Segment
    product: ObjectIdField | None
    """One product, or None for all products of the segment whose lender was granted."""
    currency: CurrencyField
    amount: AmountField
    instalments: Annotated[int, msgspec.Meta(ge=1, le=480)]
    period_unit: PeriodUnit
    period_every: Annotated[int, msgspec.Meta(ge=1, le=366)]
    """Time between instalments; only products with this very period answer. Scores use the monthly equivalent
    (`protocol.loans.calendar.calculate_monthly_instalment`), so they need no price and no product."""
    purpose: LoanPurpose
    data: Annotated[tuple[ObjectIdField, ...], msgspec.Meta(min_length=1, max_length=DATA_PER_APPLICATION_MAX)]
    consent: ObjectIdField
    as_of: DayField
    """Today or yesterday; features use rows before it."""
    sidecars: Annotated[
        tuple[SidecarCommitment, ...], msgspec.Meta(min_length=1, max_length=SIDECARS_PER_APPLICATION_MAX)
    ]
    wish: Wish | None = None
    """What special kinds of product need to know; only products of its kind answer."""
    collateral: Annotated[tuple[ObjectIdField, ...], msgspec.Meta(max_length=COLLATERAL_MAX)] = ()
    """Registered assets of the borrower that a loan would be secured on."""
    guarantors: Annotated[tuple[AccountIdField, ...], msgspec.Meta(max_length=GUARANTORS_MAX)] = ()
    """Who would stand in for the borrower; each co-signs the acceptance."""
    automated: bool = True
    """False refuses automated decisions: officers decide alone (PIPL 24, GDPR 22)."""
    features: FeaturesCommitment | None = None
    """None keeps the features from everybody who reads no rows."""


class ApplyWithdraw(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=18):
    """Withdraw an open application. Signer: borrower."""

    application: ObjectIdField


class Attest(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=19):
    """A granted organisation confirms what the rows determine. Signer: its attester key or officer key.

    It confirms with the bins the root of the features, where the application commits to one: both follow from the rows.
    A grant of features alone lets nobody attest.

    Bodies (all fields but `rows_mark`) must be equal to decide; each attester's mark differs, so that nobody can copy
    the first answer without having read the rows.
    """

    application: ObjectIdField
    model: ModelIdField
    commitment: DigestField
    """Of the sidecar the attester recomputed from the rows; equal to the application's."""
    capacity30: AmountField
    """Net cash flow of 30 days, floored to two significant digits (the caps need no more)."""
    rows_mark: DigestField
    """H(attester | canonical rows)."""


class OfferPost(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=28):
    """An officer's offer on an application; its principal is reserved in the pools. Id: object "offer"."""

    application: ObjectIdField
    product: ObjectIdField
    principal: AmountField
    """Within the product's range, at most what was asked for."""
    instalments: Annotated[int, msgspec.Meta(ge=1, le=480)]
    rate_ppm: PpmField


class OfferCancel(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=29):
    """Take back an officer's offer that nobody took. Signer: the lender."""

    offer: ObjectIdField


class OfferDecline(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=30):
    """An officer's decline with its principal reasons (codes of scoring.reasons). Signer: the product's lender."""

    application: ObjectIdField
    product: ObjectIdField
    reasons: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=65_535)], ...], msgspec.Meta(min_length=1, max_length=REASONS_MAX)
    ]


class Accept(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=20):
    """Take an offer: the loan is made, the caps are checked and the money moves in this block. Id: object "loan".

    Signer: borrower; co-signers: the guarantors named in the application.
    """

    offer: ObjectIdField
    terms_hash: DigestField
    """Hash of the whole disclosure the borrower saw: what is seen is what is signed."""
    agent: AccountIdField | None = None
    """Settlement agent that pays the money out in fiat; None pays out on the ledger."""
    autopay: bool = False
    """Let the ledger take each instalment from the borrower's cash on its due day."""


class Draw(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=32):
    """Draw on a line: a loan on the line's terms, within what is undrawn. Id: object "loan". Signer: borrower."""

    line: ObjectIdField
    amount: AmountField
    instalments: Annotated[int, msgspec.Meta(ge=1, le=480)]
    terms_hash: DigestField
    """Hash of the draw's whole disclosure, computed for today."""


class LineClose(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=48):
    """Give up what is undrawn of a line; draws made go on. Signer: borrower."""

    line: ObjectIdField
