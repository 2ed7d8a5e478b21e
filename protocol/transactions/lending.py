"""Payloads of a loan's life: apply, attest, accept, pay. Wire shapes only; rules live in `protocol.ledger`."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import DayField, DigestField, ModelIdField, ObjectIdField
from protocol.limits import DATA_PER_APPLICATION_MAX, SIDECARS_PER_APPLICATION_MAX
from protocol.loans.terms import ExcessRule, PeriodUnit
from protocol.money import AmountField, CurrencyField
from protocol.transactions.products import Segment


class SidecarCommitment(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Which binned features, for which model, stand behind an application."""

    model: ModelIdField
    commitment: DigestField


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


class ApplyWithdraw(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=18):
    """Withdraw an open application. Signer: borrower."""

    application: ObjectIdField


class Attest(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=19):
    """A granted organisation confirms what the rows determine. Signer: its attester key or officer key.

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


class Accept(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=20):
    """Take an offer: the loan is made, the caps are checked and the money moves in this block. Id: object "loan"."""

    offer: ObjectIdField
    terms_hash: DigestField
    """Hash of the whole disclosure the borrower saw: what is seen is what is signed."""


class Pay(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=21):
    """Pay on a loan; never takes more than the payoff. Signer: any account, frozen ones too."""

    loan: ObjectIdField
    amount: AmountField
    excess: ExcessRule
