"""Rows of lending: the disclosure that is signed, the offer, the contract it becomes, and the loan that changes.

Canonical bytes of these rows are what the state root commits to, so fields are append-only. Never a rule here.
"""

from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import (
    AccountIdField,
    CountField,
    DayField,
    DigestField,
    ObjectIdField,
    TimeMsField,
)
from protocol.limits import COLLATERAL_MAX, GUARANTORS_MAX, INSTALMENTS_MAX, PARTNERS_MAX
from protocol.loans.accrual import Accrual, AccrualPeriod
from protocol.loans.delinquency import AssetClass, DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import Instalment, ScheduleTerms
from protocol.loans.terms import WaterfallOrder
from protocol.loans.waterfall import Row
from protocol.money import Amount, AmountField, CurrencyField, Ppm, PpmField
from protocol.transactions.products import LeaseKind, LineKind, Partner, RevenueKind


class RevenueTold(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """What a revenue share adds: the one row of the schedule falls due at the latest day."""

    kind: RevenueKind
    discount: AmountField
    volume: AmountField
    payment: AmountField
    """Expected per day."""
    factor: bytes
    """Daily discount factor in fixed point (protocol.loans.revenue), big-endian."""
    rebate_ppm: PpmField = Ppm(0)
    """Of the discount not yet earned, what paying everything early spares."""


class LineTold(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """What a line adds: the schedule shows the whole limit drawn on the first day, as an example."""

    kind: LineKind


class DrawTold(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """A draw names its line."""

    line: ObjectIdField


class LeaseTold(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """What a lease adds: the last row is the residual with its interest, which the end option settles."""

    kind: LeaseKind
    asset: ObjectIdField
    supplier: AccountIdField
    """Owner of the asset before the lease; receives the money."""
    deposit: AmountField


class PurchaseTold(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """What a purchase adds: the merchant receives the money, less its discount."""

    merchant: AccountIdField
    discount: AmountField


Told = RevenueTold | LineTold | DrawTold | LeaseTold | PurchaseTold


class Disclosure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The whole offer as the borrower is shown it; its hash is what an acceptance signs.

    When the money moves after `schedule.start`, interest runs from the later day alone: no instalment is higher.
    """

    application: ObjectIdField
    product: ObjectIdField
    pool: ObjectIdField
    """Of the lead lender."""
    lender: AccountIdField
    borrower: AccountIdField
    currency: CurrencyField
    origination_fee: AmountField
    net_proceeds: AmountField
    """Principal less the origination fee: what the borrower, or who is paid for her, receives."""
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
    prepayment_fee_ppm: PpmField
    """Of principal paid before it is due; never more than the interest saved."""
    cooling_off_days: CountField
    """Paying all back within so many days also gives the origination fee back."""
    tz_offset_min: int
    expires_on: DayField
    """Last contract day on which the offer can be accepted."""
    default_days: CountField = 90
    """Days past due from which anyone may trigger default."""
    partners: Annotated[tuple[Partner, ...], msgspec.Meta(max_length=PARTNERS_MAX)] = ()
    """Other pools that lend a share; the lead has the rest."""
    collateral: Annotated[tuple[ObjectIdField, ...], msgspec.Meta(max_length=COLLATERAL_MAX)] = ()
    guarantors: Annotated[tuple[AccountIdField, ...], msgspec.Meta(max_length=GUARANTORS_MAX)] = ()
    told: Told | None = None
    """What only this kind of product says; None for a term loan."""
    policy_version: CountField = 1
    """Version of the policy it was made under."""
    apr_us_ppm: CountField | None = None
    """Nominal annual rate of the US actuarial method, where the policy asks for it (12 CFR 1026, Appendix J)."""
    materiality: AmountField = Amount(0)
    """An unpaid rest up to this does not make an instalment late; a later policy does not change it."""


class OfferState(IntEnum):
    """Where an offer stands."""

    POSTED = 1
    ACCEPTED = 2
    EXPIRED = 3
    CANCELLED = 4


class Offer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A binding offer. An automatic one reserves no cash, acceptance checks liquidity; an officer's reserves it."""

    disclosure: Disclosure
    terms_hash: DigestField
    capacity30: AmountField
    """Attested net cash flow of 30 days as it stood at the decision; acceptance counts later attestations too."""
    state: OfferState
    posted_ms: TimeMsField
    expires_ms: TimeMsField
    """First instant at which it can no longer be accepted."""
    officer: bool = False
    """Made by an officer: its principal is reserved while it stands."""


class Contract(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What was agreed: immutable, but for an amendment that both sides signed, which is a new version."""

    offer: ObjectIdField
    subject_tag: DigestField
    disclosure: Disclosure
    """Of an amended loan, with the amended schedule and instalments."""
    periods: tuple[AccrualPeriod, ...]
    """Of the schedule's rows, kept so that a payment need not find them again."""
    disbursed_ms: TimeMsField
    """Of a loan that an agent pays out: when it was accepted, until the agent has paid."""
    disbursed_on: DayField
    principal: AmountField
    """Paid out in the beginning; the base of the cost cap."""
    agent: AccountIdField | None = None
    """Settlement agent that pays out, if one does."""
    version: CountField = 1
    agent_until_ms: TimeMsField | None = None
    """First instant at which the agent can no longer pay out."""


class Holding(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One pool's part of a loan."""

    pool: ObjectIdField
    share_ppm: PpmField
    principal: AmountField
    """Its part of the principal out; after default its part of the claim."""
    haircut: AmountField = Amount(0)
    """By the loan's class; counted in the pool."""
    covered: AmountField = Amount(0)
    """Of the claim, what the pool's cover has paid and not got back."""
    lost: AmountField = Amount(0)
    """Of the claim, what the pool itself has lost and not got back."""


class SalesTally(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """How a revenue share goes."""

    reported_to: DayField
    """Last day whose sales were reported; the day of pay-out before any."""
    gross: CountField = 0
    shared: CountField = 0
    """Share of the sales reported: what should have been paid."""
    window_start: DayField
    window_paid: CountField = 0
    """Paid since the running 30 days began."""
    near_breaches: CountField = 0
    breached_on: DayField | None = None
    """Days past due count from here."""


class DefaultGround(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Why a loan could be called defaulted."""

    days_past_due: CountField
    """On that day."""
    arbiter: AccountIdField | None = None
    """Who vouched for an early default; None where the days past due were enough."""
    evidence: DigestField | None = None
    """Commitment to what an early default rests on."""
    principal_paid: AmountField = Amount(0)
    """Principal received by then; what comes after it is recovery."""


class Loan(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What changes in a loan's life."""

    state: LoanState
    rows: tuple[Row, ...]
    accrual: Accrual
    """Interest of the running period; its day is the one the loan was last brought to."""
    principal_out: AmountField
    """Disbursed and capitalised, less paid, less forgiven; a default or write-off does not shrink it."""
    holdings: tuple[Holding, ...]
    """Lead first, then the partners in order of pool id."""
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
    """Principal, interest, fee and penalty received, less what was given back."""
    due_ms: TimeMsField | None = None
    """When its next event falls due; None when time alone changes nothing any more."""
    closed_ms: TimeMsField | None = None
    fee_held: AmountField = Amount(0)
    """Origination fee the pools keep ready while the borrower may still withdraw."""
    dropped: tuple[AmountField, AmountField, AmountField, AmountField] = (Amount(0), Amount(0), Amount(0), Amount(0))
    """What was paid on rows that an amendment has replaced: principal, interest, fee, penalty."""
    capitalised: AmountField = Amount(0)
    """Unpaid interest and charges that an amendment made principal."""
    forgiven: AmountField = Amount(0)
    """Principal given up, or settled by a returned asset."""
    restructured_on: DayField | None = None
    restructures: CountField = 0
    days_past_due_before: CountField = 0
    """Days past due when it was last amended."""
    impaired: AssetClass | None = None
    """Class its lender has worsened it to."""
    hold_until: DayField | None = None
    """First day on which late charges and default are free again; an open dispute holds them."""
    dispute: ObjectIdField | None = None
    """The open one."""
    autopay: bool = False
    defaulted_on: DayField | None = None
    costs: AmountField = Amount(0)
    """Costs of recovery stated and not yet recovered."""
    deposit: AmountField = Amount(0)
    """Of a lease, held for the lessee."""
    sales: SalesTally | None = None
    """Of a revenue share."""
    payments: CountField = 0
    """How many were taken."""
    carried: AmountField = Amount(0)
    """Interest that an amendment let stand on the first of its rows, on top of that row's own."""
    contested: AmountField = Amount(0)
    """Of the open dispute: overdue principal up to it bears no late interest while the hold lasts."""
    holds_from: DayField | None = None
    """First day on which another dispute of the borrower holds; None before the first."""
    prepaid: tuple[int, int, int] = (0, 0, 0)
    """Since the beginning: principal paid before its due day, interest that saved, fees charged for it."""
    costs_stated: AmountField = Amount(0)
    """Costs of recovery stated so far, recovered ones too."""
    amend_lender: ObjectIdField | None = None
    """The lender's amendment that waits for the borrower."""
    amend_borrower: ObjectIdField | None = None
    """The borrower's amendment that waits for the lender."""
    default_ground: DefaultGround | None = None
    """Of the last default."""
