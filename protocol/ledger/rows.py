"""Rows of the books: one struct per kind of object. A change replaces a row by a new one; nothing is changed in place.

Canonical bytes of these rows are what the state root commits to, so fields are append-only. Offers, contracts and loans
stand in `contracts`. Never a rule here.
"""

from enum import IntEnum, IntFlag
from typing import Annotated

import msgspec

from protocol.genesis import Policy
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
from protocol.limits import NONCE_WINDOW
from protocol.loans.waterfall import Take
from protocol.money import Amount, AmountField, CurrencyField, Ppm, PpmField
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.data import ConsentGrant, DataAnchor
from protocol.transactions.governance import Action
from protocol.transactions.lending import Apply
from protocol.transactions.products import LoanProduct
from protocol.transactions.servicing import AmendPropose, DisputeCode, DisputeSide


class Role(IntFlag):
    """What a member organisation may do."""

    LENDER = 1
    SETTLEMENT_AGENT = 2
    ISSUER = 4
    OBSERVER = 8
    VALIDATOR = 16
    ARBITER = 32
    """May decide disputes and vouch for evidence."""
    PROVIDER = 64
    """May sign statements, which gives them the best grade."""


class Tip(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The last executed block as the state itself knows it: with it, rows alone give the exec_root."""

    height: HeightField
    time_ms: TimeMsField
    receipts_root: DigestField
    previous_exec_root: DigestField


class Account(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
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
    frozen_by_vote: bool = False
    """The validators froze it, so that no issuer can free it."""


class Key(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """A signing key: whom it speaks for, and which nonces it has used."""

    account: AccountIdField | None
    """None while an account could not be opened for it, and once it is retired."""
    attester: bool
    """May sign attestations only."""
    top: int
    """Highest nonce used; -1 before the first."""
    used: Annotated[bytes, msgspec.Meta(min_length=NONCE_WINDOW // 8, max_length=NONCE_WINDOW // 8)]
    """Bit i (of a big-endian number) tells whether nonce top - i was used."""
    retired_from: AccountIdField | None = None
    """Account it spoke for once; it never speaks for one again, and is kept so that no nonce of it is used twice."""
    waits_for: AccountIdField | None = None
    """Account it will speak for if nobody objects to a recovery that waits."""


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


class ExitRound(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A day's payment of those who wait to leave a pool, at figures of its beginning; over once all were served."""

    due_ms: TimeMsField
    """When it fell due: exits of this instant are its exits."""
    shares: CountField
    """Of all its exits together."""
    assets: CountField
    """Net asset value for leaving, with the virtual unit."""
    issued: CountField
    """Shares of the pool, with the virtual ones."""
    pay: AmountField
    """What its exits share: the free cash, or all they can claim if that is less."""
    shares_left: CountField
    """Of exits not yet served."""
    cash_left: AmountField
    """Not yet paid; reserved in the pool."""


class Leaving(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Who waits to leave a pool: those of the next round, and those of the running one."""

    next_ms: TimeMsField
    shares: CountField = 0
    """Of exits that wait for the next round."""
    round: ExitRound | None = None


class Pool(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A lender's pool. Net asset value = cash + principal + assets; interest counts when received."""

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
    """Part of the cash that is promised: officers' offers, loans an agent pays out, undrawn lines, refundable fees."""
    cover_rate_ppm: PpmField = Ppm(0)
    """First-loss cover asked for, as a share of the principal lent."""
    fee_ppm: PpmField = Ppm(0)
    """The lender's share of interest received."""
    cover: AmountField = Amount(0)
    """The lender's own cash that losses fall on first; not the investors'."""
    haircut: AmountField = Amount(0)
    """What those who leave must leave behind: the loans' haircuts by class, summed."""
    assets: AmountField = Amount(0)
    """Goods taken back or seized, at the value they were taken for."""
    exiting: CountField = 0
    """Shares in escrow of those who asked to leave."""
    leaving: Leaving | None = None
    """None while nobody waits to leave."""
    lost: AmountField = Amount(0)
    """Principal lost on loans in default that are not written off: it may still come back."""


class Budget(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What a product has granted automatically so far."""

    used: AmountField
    loans: CountField


class Product(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A published product version: immutable."""

    lender: AccountIdField
    currency: CurrencyField
    terms: LoanProduct
    published_ms: TimeMsField


class Data(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A data anchor."""

    owner: AccountIdField
    anchor: DataAnchor
    anchored_ms: TimeMsField
    claim_ms: TimeMsField | None = None
    """When a loan or line on it last ended; None while none has."""
    readers: tuple[AccountIdField, ...] = ()
    """Organisations that it was ever granted to, first come first: each may hold it, whatever became of its consent."""


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
    deciding_ms: TimeMsField | None = None
    """When more of them were to decide than there was room for; None while none waits."""


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
    officer: bool = False
    """A person answered; `attesters` are all who confirmed the application's bins by then."""
    declined: ReasonsField = ()
    """Reasons of the decline that an officer's offer has overruled."""
    declined_rule: Rejection | None = None
    """Its limit, where no reason of the score stood against it."""
    offers_ended: CountField = 0
    """Offers of the product on this application that ended before the present answer."""


class Exposure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What one person or company owes across all lenders."""

    account: AccountIdField
    """Its one live account."""
    principal_open: CountField = 0
    """Of loans that are accepted and not closed, defaulted and written-off ones included."""
    loans: tuple[ObjectIdField, ...] = ()
    """Open ones, oldest first."""
    accepts_day: CountField = 0
    """Network day of the last acceptance."""
    accepts: CountField = 0
    """Acceptances on that day."""
    undrawn: CountField = 0
    """What may still be drawn on open lines."""
    lines: tuple[ObjectIdField, ...] = ()
    """Open ones, oldest first."""
    guarantees: tuple[ObjectIdField, ...] = ()
    """Open loans of others that this one stands in for."""


class Line(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A revolving line: what may be drawn of it and until when."""

    offer: ObjectIdField
    subject_tag: DigestField
    limit: AmountField
    undrawn: AmountField
    """Limit less principal open on its draws; 0 for good once closed."""
    draws: tuple[ObjectIdField, ...]
    """Loans drawn that are open, oldest first."""
    opened_on: DayField
    closes_on: DayField
    """First contract day on which nothing can be drawn any more."""
    closes_ms: TimeMsField
    closed: bool = False
    autopay: bool = False
    """Draws begin with automatic payment."""


class Asset(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A registered thing."""

    asset_class: str
    serial_hash: DigestField
    meta_commit: DigestField
    owner: AccountIdField
    """Who holds title: of a leased asset the lessor."""
    currency: CurrencyField
    value: AmountField
    """As stated when it was registered."""
    lien: ObjectIdField | None = None
    """The one open loan it secures, pledged or leased."""
    held: tuple[tuple[ObjectIdField, AmountField], ...] = ()
    """Pools that took it in and at which value, after a return or a seizure."""
    retired: bool = False
    cover_due: tuple[tuple[ObjectIdField, AmountField], ...] = ()
    """What a sale gives to pools' cover once the pools have their value: cover had paid for that part of the claim."""
    advanced: AmountField = Amount(0)
    """What a sale gives its owner after that: what the thing was worth above the claim, which the owner paid out."""
    seized: bool = False
    """Held since a seizure: cover bore its part of the loss when the loan defaulted."""


class Exit(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Shares that wait for a pool's free cash."""

    pool: ObjectIdField
    account: AccountIdField
    shares: CountField
    """Still to be paid; 0 once done or cancelled."""
    requested_ms: TimeMsField
    paid: AmountField = Amount(0)
    due_ms: TimeMsField | None = None
    """Of the round it waits for; None once done or cancelled."""


class Leaver(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An account that waits to leave a pool."""

    exit: ObjectIdField


class Member(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An organisation, in genesis or admitted; what it may do stands in its account."""

    name: str
    attester_key: PublicKeyField | None
    admitted_ms: TimeMsField
    products: tuple[ObjectIdField, ...] = ()
    """Its own that were on sale when it last published one, oldest first."""
    proposals: tuple[ObjectIdField, ...] = ()
    """Its own that are open, oldest first."""
    node_key: PublicKeyField | None = None
    """Identity of its node on the network; None for a member that runs none."""


class Governed(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What the validators' votes have set."""

    policy: Policy
    policy_version: CountField
    """From 1, the genesis' own."""
    paused: CountField
    """Bits of protocol.ledger.rules.Pause."""


class Model(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A registered scoring model."""

    text: str
    """Canonical JSON (scoring.points)."""
    registered_ms: TimeMsField
    retired: bool = False
    card: DigestField | None = None
    """SHA-256 of its card, and of the validation report, as voted last; none of a model of the genesis."""
    report: DigestField | None = None


class ProposalState(IntEnum):
    """Where a proposal stands."""

    OPEN = 1
    PASSED = 2
    """Enough votes; it waits for its day."""
    DONE = 3
    REJECTED = 4
    LAPSED = 5
    """Its day came before enough votes, or it could not be carried out any more."""


class Proposal(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An action before the validators."""

    proposer: AccountIdField
    action: Action
    effective_on: DayField
    effective_ms: TimeMsField
    state: ProposalState
    approved: tuple[AccountIdField, ...]
    """While it is open, of those who have a vote; who loses it, loses it here too."""
    rejected: tuple[AccountIdField, ...] = ()
    voters: CountField = 0
    """Who had a vote when votes decided it; 0 before."""
    needed: CountField = 0
    """Ayes that it took then."""


class Recovery(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A change of key that waits, so that the present key can cancel it."""

    issuer: AccountIdField
    new_key: PublicKeyField
    enc_key: BoxKeyField
    effective_ms: TimeMsField


class Dispute(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A contested amount."""

    loan: ObjectIdField
    side: DisputeSide
    code: DisputeCode
    amount: AmountField
    evidence: DigestField
    answer: DigestField | None
    opened_on: DayField
    hold_until: DayField
    """First contract day on which late charges and default are free again."""
    resolved: bool = False
    waived: AmountField = Amount(0)
    refunded: AmountField = Amount(0)


class Taken(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A payment as it fell on the rows of its loan."""

    number: CountField
    """Among the loan's payments, from 0."""
    paid_on: DayField
    payer: AccountIdField
    takes: tuple[Take, ...]
    prepaid: tuple[int, int, int]
    """Of the loan, as it stood before."""
    fee: AmountField = Amount(0)
    """For paying early: charged by this payment to the first row ahead, paid or not."""
    fee_row: CountField = 0
    """Index of that row."""


class Payments(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A loan's last payments, oldest first, as long as nothing else has changed its rows since."""

    taken: tuple[Taken, ...]


class Amendment(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Other terms proposed for a loan."""

    proposer: AccountIdField
    by_borrower: bool
    terms: AmendPropose
    expires_on: DayField
    """Last contract day on which it can be accepted."""
    accepted: bool | None = None
    """None while open."""
