"""Payloads of a loan that was made: pay, sales, distress, amendment, assignment. Wire shapes only, no rules."""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import CountField, DayField, DigestField, ObjectIdField
from protocol.loans.delinquency import AssetClass
from protocol.loans.terms import ExcessRule
from protocol.money import AmountField, PpmField

_ShareField = Annotated[PpmField, msgspec.Meta(ge=1, le=1_000_000)]


class PaymentSource(IntEnum):
    """Whose money a payment is; a fact for the record, and what decides where a merchant's refund falls."""

    BORROWER = 1
    GUARANTOR = 2
    COLLATERAL = 3
    INSURER = 4
    MERCHANT_REFUND = 5
    """From the merchant of the purchase: takes the last rows first, and what is over goes to the borrower."""


class Pay(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=21):
    """Pay on a loan; never takes more than the payoff. Signer: any account, frozen ones too."""

    loan: ObjectIdField
    amount: AmountField
    excess: ExcessRule
    source: PaymentSource = PaymentSource.BORROWER


class AutopaySet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=39):
    """Allow or stop automatic payment of instalments on their due days. Signer: borrower."""

    loan: ObjectIdField
    on: bool


class SettleOutcome(IntEnum):
    """What a settlement agent says of a pay-out in fiat."""

    DISBURSED = 1
    FAILED = 2


class LoanSettle(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=31):
    """The agent paid a loan out, or could not. Signer: the agent named in the acceptance."""

    loan: ObjectIdField
    outcome: SettleOutcome
    ext_ref: DigestField


class SalesReport(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=33):
    """Gross sales of whole days, in sequence. Signer: the loan's lender, its settlement agent, or the borrower with
    the lender's co-signature."""

    loan: ObjectIdField
    first_day: DayField
    """The day after the last one reported."""
    last_day: DayField
    gross: AmountField
    commit: DigestField
    """Salted commitment to the acquirer's own report."""


class AdjustKind(IntEnum):
    """What an adjustment does to a loan."""

    WAIVE = 1
    """The lender gives up unpaid interest, fees or penalties, oldest row first."""
    REFUND = 2
    """The lender's pools give back interest, fees or penalties that were paid."""
    REVERSAL = 3
    """The settlement agent takes back a fiat receipt that its bank reversed; re-opens within the policy's days."""
    COST = 4
    """The lender states what recovering a defaulted loan has cost, within policy."""


class LoanAdjust(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=34):
    """Correct a loan. Signer: the lender; of a REVERSAL the settlement agent."""

    loan: ObjectIdField
    kind: AdjustKind
    amount: AmountField
    reference: DigestField
    """Hash of what it rests on; of a reversal the agent's bank reference, used once."""
    payment: CountField = 0
    """Of a reversal: which of the loan's payments, counted from 0."""


class DistressKind(IntEnum):
    """Steps of a loan in trouble."""

    IMPAIR = 1
    UNIMPAIR = 2
    DEFAULT = 3
    DEFAULT_EARLY = 4
    WRITE_OFF = 5


class LoanDistress(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=35):
    """Impair, default or write off. Signer: the lender; DEFAULT by any organisation; DEFAULT_EARLY with an arbiter, and
    so IMPAIR while somebody waits to leave a pool that holds the loan."""

    loan: ObjectIdField
    kind: DistressKind
    asset_class: AssetClass | None = None
    """Of IMPAIR: the class the lender sees; only ever worse than the rule's."""
    evidence: DigestField | None = None


class Treatment(IntEnum):
    """What an amendment does with an unpaid part."""

    CAPITALISE = 1
    CARRY = 2
    WAIVE = 3


class AmendPropose(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=36):
    """Propose other terms for what is left of a loan, or settle it for less. Id: object "amendment".

    Signer: lender or borrower; the other side answers. Co-signers of the lender: all others who hold a share.
    """

    loan: ObjectIdField
    settle: AmountField | None = None
    """Amount that settles the loan in full; the rest is forgiven and all other fields are ignored."""
    instalments: Annotated[int, msgspec.Meta(ge=1, le=480)] = 1
    first_due: DayField | None = None
    """None keeps the period after the day of the amendment."""
    rate_ppm: PpmField
    forgiven: AmountField
    """Principal given up."""
    interest: Treatment
    fees: Treatment
    penalties: Treatment
    valid_days: Annotated[int, msgspec.Meta(ge=1, le=30)]


class AmendAnswer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=37):
    """Accept or reject an amendment. Signer: the side that did not propose it; the proposer may only reject.

    Co-signers of a lender that accepts: all others who hold a share; of whoever accepts more than guarantors signed
    for: the guarantors.
    """

    amendment: ObjectIdField
    accept: bool
    terms_hash: DigestField
    """Hash of the amended schedule, computed for today; zero when rejecting."""


class Assign(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=38):
    """Sell a pool's whole share of a loan to another pool, against cash in the same step.

    Signer: owner of the selling pool; co-signer: owner of the buying pool. The borrower is told.
    """

    loan: ObjectIdField
    seller: ObjectIdField
    """Pool."""
    buyer: ObjectIdField
    """Pool."""
    price: AmountField


class DisputeSide(IntEnum):
    """Who opened a dispute."""

    BORROWER = 1
    LENDER = 2


class DisputeCode(IntEnum):
    """What a dispute is about."""

    AMOUNT = 1
    SERVICE = 2
    """Goods or service not as agreed (consumer, lease)."""
    UNAUTHORISED = 3
    DATA = 4
    HARDSHIP = 5
    OTHER = 6


class DisputeOpen(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=45):
    """Contest an amount of a loan: late charges and default on it hold for the policy's days. Id: object "dispute"."""

    loan: ObjectIdField
    code: DisputeCode
    amount: AmountField
    evidence: DigestField


class DisputeAnswer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=46):
    """The other side's answer, once. Signer: the side that did not open it."""

    dispute: ObjectIdField
    evidence: DigestField


class DisputeResolve(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=47):
    """Decide a dispute and carry out its remedy (0: none). Signer: an arbiter, or who opened it, to give it up."""

    dispute: ObjectIdField
    waive: AmountField
    """Unpaid interest, fees and penalties given up."""
    refund: AmountField
    """Interest, fees and penalties given back."""
