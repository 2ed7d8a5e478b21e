"""Rows of the books: one struct per kind of object. A change replaces a row by a new one; nothing is changed in place.

Canonical bytes of these rows are what the state root commits to, so fields are append-only. Never a rule here.
"""

from enum import IntEnum, IntFlag
from typing import Annotated

import msgspec

from protocol.ids import (
    AccountIdField,
    BoxKeyField,
    CountField,
    DayField,
    DigestField,
    HeightField,
    ModelIdField,
    ObjectIdField,
    PublicKeyField,
    TimeMsField,
)
from protocol.ledger.records import Assessed, ReasonsField
from protocol.limits import INSTALMENTS_MAX, NONCE_WINDOW
from protocol.loans.accrual import Accrual, AccrualPeriod
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.schedule import Instalment, ScheduleTerms
from protocol.loans.terms import WaterfallOrder
from protocol.loans.waterfall import Row
from protocol.money import Amount, AmountField, CurrencyField, PpmField
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.data import ConsentGrant, DataAnchor
from protocol.transactions.lending import Apply
from protocol.transactions.products import TermProduct


class Role(IntFlag):
    """What a member organisation may do."""

    LENDER = 1
    SETTLEMENT_AGENT = 2
    ISSUER = 4
    OBSERVER = 8
    VALIDATOR = 16


class Tip(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The last executed block as the state itself knows it: with it, rows alone give the exec_root."""

    height: HeightField
    time_ms: TimeMsField
    receipts_root: DigestField
    previous_exec_root: DigestField


class Account(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A person, company or organisation with its credential."""

    kind: AccountKind
    key: PublicKeyField
    enc_key: BoxKeyField
    subject_tag: DigestField
    level: CountField
    expires_on: DayField
    """First day on which the credential no longer holds."""
    roles: int
    """Bits of Role; 0 for anybody who is not a member."""
    frozen: bool
    opened_ms: TimeMsField
    applications: tuple[ObjectIdField, ...] = ()
    """Open ones, oldest first."""


class Key(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A signing key: whom it speaks for, and which nonces it has used."""

    account: AccountIdField | None
    """None while an account could not be opened for it."""
    attester: bool
    """May sign attestations only."""
    top: int
    """Highest nonce used; -1 before the first."""
    used: Annotated[bytes, msgspec.Meta(min_length=NONCE_WINDOW // 8, max_length=NONCE_WINDOW // 8)]
    """Bit i (of a big-endian number) tells whether nonce top - i was used."""


class Redemption(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Money waiting in escrow for an agent to pay fiat out."""

    holder: AccountIdField
    agent: AccountIdField
    currency: CurrencyField
    amount: AmountField
    payout_commit: DigestField
    requested_ms: TimeMsField
    paid: bool | None = None
    """None while open."""


class Reference(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An external reference that an agent has used."""

    height: HeightField


class Pool(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A lender's pool. Net asset value = cash + principal; interest counts when received."""

    owner: AccountIdField
    currency: CurrencyField
    borrower_max: AmountField
    cash: AmountField = Amount(0)
    principal: AmountField = Amount(0)
    """Outstanding on its loans."""
    shares: CountField = 0
    lent: int = 0
    """Principal paid out since the pool was opened."""
    loans_open: CountField = 0
    reserved: AmountField = Amount(0)
    """Part of the cash that is not lent: origination fees that borrowers may still get back."""


class Budget(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What a product has granted automatically so far."""

    used: AmountField
    loans: CountField


class Product(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A published product version: immutable."""

    lender: AccountIdField
    currency: CurrencyField
    terms: TermProduct
    published_ms: TimeMsField


class Data(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A data anchor."""

    owner: AccountIdField
    anchor: DataAnchor
    anchored_ms: TimeMsField


class Consent(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A consent and when it was withdrawn, if it was."""

    owner: AccountIdField
    grant: ConsentGrant
    granted_ms: TimeMsField
    revoked_ms: TimeMsField | None = None


class ApplicationState(IntEnum):
    """Where an application stands. A decline is a lender's record, not a state."""

    OPEN = 1
    TAKEN = 2
    WITHDRAWN = 3
    EXPIRED = 4


class Attestation(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What one organisation said of an application."""

    attester: AccountIdField
    model: ModelIdField
    commitment: DigestField
    capacity30: AmountField
    rows_mark: DigestField
    time_ms: TimeMsField


class Application(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A wish for a loan, what the models said of its sidecars, and who confirmed it."""

    borrower: AccountIdField
    request: Apply
    state: ApplicationState
    opened_ms: TimeMsField
    expires_ms: TimeMsField
    assessed: tuple[Assessed, ...]
    """One per sidecar, in their order; computed from the bins, which the ledger does not keep."""
    attestations: tuple[Attestation, ...] = ()
    """In the order of execution."""
    products: tuple[ObjectIdField, ...] = ()
    """Products that have decided, in the order of decision."""


class Decision(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One product's answer to one application."""

    lender: AccountIdField
    time_ms: TimeMsField
    attesters: tuple[AccountIdField, ...]
    """Those whose equal bodies decided."""
    capacity30: AmountField
    model: ModelIdField
    points: int
    pd_ppm: PpmField
    band: CountField
    offer: ObjectIdField | None
    reasons: ReasonsField
    rule: Rejection | None


class Disclosure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The whole offer as the borrower is shown it; its hash is what an acceptance signs.

    When the money moves after `schedule.start`, interest runs from the later day alone: no instalment is higher.
    """

    application: ObjectIdField
    product: ObjectIdField
    pool: ObjectIdField
    lender: AccountIdField
    borrower: AccountIdField
    currency: CurrencyField
    origination_fee: AmountField
    net_proceeds: AmountField
    """Principal less the origination fee: what the borrower receives."""
    schedule: ScheduleTerms
    instalments: Annotated[tuple[Instalment, ...], msgspec.Meta(min_length=1, max_length=INSTALMENTS_MAX)]
    total_payable: AmountField
    """Sum of all instalments."""
    total_cost: AmountField
    """Interest and fees together."""
    apr_ppm: CountField
    """Effective annual rate, money paid out on schedule.start (protocol.loans.apr)."""
    waterfall: WaterfallOrder
    grace_days: CountField
    late_rate_ppm: PpmField
    late_fee: AmountField
    cost_cap_ppm: PpmField
    """Ceiling of all interest, fees and penalties as a share of the principal."""
    prepayment_fee: AmountField
    """What paying early costs: always 0 in this kind of product."""
    cooling_off_days: CountField
    """Paying all back within so many days also gives the origination fee back."""
    tz_offset_min: int
    expires_on: DayField
    """Last contract day on which the offer can be accepted."""


class OfferState(IntEnum):
    """Where an offer stands."""

    POSTED = 1
    ACCEPTED = 2
    EXPIRED = 3
    CANCELLED = 4


class Offer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A binding offer: it reserves no cash, acceptance checks liquidity."""

    disclosure: Disclosure
    terms_hash: DigestField
    capacity30: AmountField
    """Attested net cash flow of 30 days as it stood at the decision; acceptance counts later attestations too."""
    state: OfferState
    posted_ms: TimeMsField
    expires_ms: TimeMsField
    """First instant at which it can no longer be accepted."""


class LoanState(IntEnum):
    """Where a loan stands. How late it is, is derived (protocol.loans.delinquency), never a state."""

    ACTIVE = 1
    REPAID = 2
    WITHDRAWN = 3


class Contract(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What was agreed when a loan was made: immutable."""

    offer: ObjectIdField
    subject_tag: DigestField
    disclosure: Disclosure
    periods: tuple[AccrualPeriod, ...]
    """Of the schedule's rows, kept so that a payment need not find them again."""
    disbursed_ms: TimeMsField
    disbursed_on: DayField


class Loan(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What changes in a loan's life."""

    state: LoanState
    rows: tuple[Row, ...]
    accrual: Accrual
    """Interest of the running period; its day is the one the loan was last brought to."""
    principal_out: AmountField
    ahead_stale: bool = False
    """Principal differs from the schedule, so interest of rows ahead follows the days and not the first plan."""
    matured_interest: AmountField = Amount(0)
    """Interest of whole periods after the last due date, already posted to the last row."""
    late_days: int = 0
    """Overdue principal times days late, so far."""
    late_charged: AmountField = Amount(0)
    """Late interest posted to rows."""
    fees_charged: tuple[int, ...] = ()
    """Rows that bear a late fee."""
    days_past_due_max: CountField = 0
    bucket: DelinquencyBucket = DelinquencyBucket.CURRENT
    """As last announced."""
    paid: tuple[AmountField, AmountField, AmountField, AmountField] = (Amount(0), Amount(0), Amount(0), Amount(0))
    """Principal, interest, fee and penalty received."""
    due_ms: TimeMsField | None = None
    """When its next event falls due; None once closed."""
    closed_ms: TimeMsField | None = None
    fee_held: AmountField = Amount(0)
    """Origination fee the pool keeps ready while the borrower may still withdraw."""


class Exposure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What one person or company owes across all lenders."""

    account: AccountIdField
    """Its one live account."""
    principal_open: CountField = 0
    loans: tuple[ObjectIdField, ...] = ()
    """Open ones, oldest first."""
    accepts_day: CountField = 0
    """Network day of the last acceptance."""
    accepts: CountField = 0
    """Acceptances on that day."""
