"""Payloads that would pass, and the ways in which each can be made to fail: the material of the test of precedence.

A fault changes the payload or rows behind the ledger's back, so that several can hold at once. Nothing is executed.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, Day, ObjectId, PublicKey, TimeMs
from protocol.ledger.books import Call
from protocol.ledger.erasurerows import Erased, Erasure
from protocol.ledger.execute import RULES, _check_signer
from protocol.ledger.journal import Book, calculate_balance_key
from protocol.ledger.pools import calculate_assets
from protocol.ledger.state import (
    ACCOUNTS,
    BALANCES,
    CONSENTS,
    DATA,
    ERASURES,
    KEYS,
    MEMBERS,
    MODELS,
    POOLS,
    PRODUCTS,
    REDEMPTIONS,
    REFERENCES,
    Table,
)
from protocol.money import AMOUNT_MAX, PPM, Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor, DataErase, ErasureReceipt
from protocol.transactions.money import Mint, RedeemOutcome, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import PoolDeposit, PoolOpen
from protocol.transactions.products import LoanProduct, Partner
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.world import CNY, MODEL_ID, make_signer

NOTHING = ObjectId(ZERO_DIGEST)
R = Rejection


class Scene:
    """Books, and a payload that somebody is about to sign."""

    def __init__(self, world: Goods, who: str, payload: Any, *, cosigners: tuple[str, ...] = (), **names: Any) -> None:
        self.world, self.who, self.payload = world, who, payload
        self.cosigners = tuple(make_signer(one).public_key for one in cosigners)
        self.sidecars = names.pop("sidecars", ())
        self.names: dict[str, Any] = names
        """Ids that faults need."""

    @property
    def books(self) -> Any:
        """The ledger's."""
        return self.world.ledger.books

    def say(self, **fields: Any) -> None:
        """Let the payload say something else."""
        self.payload = msgspec.structs.replace(self.payload, **fields)

    def put(self, table: Table[Any], key: bytes, **fields: Any) -> None:
        """Alter a row."""
        row = self.books.state.need(table, key)
        self.books.state.put(table, key, msgspec.structs.replace(row, **fields))

    def own(self, **fields: Any) -> None:
        """Alter the signer's account."""
        self.put(ACCOUNTS, self.world.account(self.who), **fields)

    def rule(self, **fields: Any) -> None:
        """Let another policy be in force."""
        self.books.policy = msgspec.structs.replace(self.books.policy, **fields)

    def set_balance(self, owner: bytes, book: Book, amount: int) -> None:
        """Alter a balance; debits positive."""
        self.books.state.put(BALANCES, calculate_balance_key(owner, book, CNY), amount)

    def find_refusal(self) -> Rejection | None:
        """What the ledger would say, as it executes: first of the signer's standing, then of the payload."""
        state, key = self.books.state, make_signer(self.who).public_key
        account = self.world.account(self.who)
        row = state.need(ACCOUNTS, account)
        call = Call(PublicKey(key), account, row, 10_000, self.cosigners, self.sidecars, None)
        rule = RULES[type(self.payload)]
        return _check_signer(self.books, call, state.need(KEYS, key), rule) or rule.check(
            self.books, call, self.payload
        )

    def try_with(self, *faults: Callable[["Scene"], None]) -> Rejection | None:
        """The refusal with some faults; everything is as before afterwards."""
        before = (self.payload, self.cosigners, self.sidecars, self.books.policy, self.books.paused)
        try:
            for fault in faults:
                fault(self)
            return self.find_refusal()
        finally:
            self.payload, self.cosigners, self.sidecars, self.books.policy, self.books.paused = before
            self.books.state.undo()


Fault = Callable[[Scene], None]


class Case(NamedTuple):
    """A scene, its faults by what they lead to, and which faults leave nothing for smaller ones to be about."""

    build: Callable[[], Scene]
    faults: dict[Rejection, Fault]
    moot: Mapping[Rejection, tuple[Rejection, ...]] = MappingProxyType({})
    """Where the key holds, these do not, though their numbers are smaller: of what is unknown nothing else is wrong."""


def find_standing_faults(payload: type) -> dict[Rejection, Fault]:
    """What can be wrong with the signer, as the payload's rule has it."""
    rule = RULES[payload]
    faults: dict[Rejection, Fault] = {}
    if not rule.frozen_may:
        faults[R.ACCOUNT_FROZEN] = lambda s: s.own(frozen=True)
    if rule.roles:
        faults[R.ROLE_MISSING] = lambda s: s.own(roles=0)
    if rule.credential:
        faults[R.CREDENTIAL_EXPIRED] = lambda s: s.own(expires_on=s.world.today)
    if rule.pause:
        faults[R.PAUSED] = lambda s: setattr(s.books, "paused", int(rule.pause))
    return faults


# ---------------------------------------------------------------------- money and pools


def build_money() -> Goods:
    """Ann with 1,000."""
    world = Goods()
    world.mint("ann", 1_000, "first")
    return world


def build_transfer() -> Scene:
    world = build_money()
    to = world.account("bob")
    return Scene(world, "ann", Transfer(to=to, currency=CNY, amount=Amount(5), memo_commit=ZERO_DIGEST))


def build_mint() -> Scene:
    world = build_money()
    fresh = calculate_hash("ref", b"fresh")
    return Scene(world, "agent", Mint(to=world.account("ann"), currency=CNY, amount=Amount(5), ext_ref=fresh))


def build_redeem_request() -> Scene:
    world = build_money()
    agent = world.account("agent")
    payload = RedeemRequest(agent=agent, currency=CNY, amount=Amount(5), payout_commit=ZERO_DIGEST)
    return Scene(world, "ann", payload)


def build_redeem_settle() -> Scene:
    world, asked = build_money(), build_redeem_request().payload
    world.must("ann", asked)
    made = world.made("redemption", "ann")
    fresh = calculate_hash("ref", b"fresh")
    return Scene(world, "agent", RedeemSettle(redemption=made, outcome=RedeemOutcome.PAID, ext_ref=fresh), made=made)


def build_pool_deposit() -> Scene:
    world = build_money()
    pool = next(ObjectId(key) for key, _ in world.ledger.books.state.items(POOLS))
    return Scene(world, "ann", PoolDeposit(pool=pool, amount=Amount(5)), pool=pool)


def use_reference(scene: Scene) -> None:
    """The reference stands already."""
    scene.say(ext_ref=calculate_hash("ref", b"first"))
    row = next(one for _, one in scene.books.state.items(REFERENCES))
    scene.books.state.put(REFERENCES, scene.world.account(scene.who) + scene.payload.ext_ref, row)


def lose_half(scene: Scene) -> None:
    """Half of what a deposit into the pool would pay for may never come back."""
    pool = scene.books.state.need(POOLS, scene.names["pool"])
    scene.put(POOLS, scene.names["pool"], lost=Amount(calculate_assets(pool)))


def empty_cash(scene: Scene) -> None:
    """The signer has no cash."""
    scene.set_balance(scene.world.account(scene.who), Book.CASH, 0)


def empty_fiat(scene: Scene) -> None:
    """The agent holds nothing."""
    scene.set_balance(scene.world.account(scene.who), Book.FIAT, 0)


USD = Currency("USD")
MONEY: dict[type, Case] = {
    Transfer: Case(
        build_transfer,
        {
            R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD),
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.RECIPIENT_UNKNOWN: lambda s: s.say(to=s.world.account("ann")),
            R.FUNDS_SHORT: empty_cash,
        },
    ),
    Mint: Case(
        build_mint,
        {
            R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD),
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.REFERENCE_USED: use_reference,
            R.RECIPIENT_UNKNOWN: lambda s: s.say(to=calculate_hash("nobody")),
            R.AMOUNT_TOO_LARGE: lambda s: s.set_balance(s.world.account("agent"), Book.FIAT, AMOUNT_MAX),
        },
    ),
    RedeemRequest: Case(
        build_redeem_request,
        {
            R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD),
            R.AMOUNT_ZERO: lambda s: s.say(amount=Amount(0)),
            R.RECIPIENT_UNKNOWN: lambda s: s.say(agent=s.world.account("bob")),
            R.FUNDS_SHORT: empty_cash,
        },
    ),
    RedeemSettle: Case(
        build_redeem_settle,
        {
            R.REFERENCE_USED: use_reference,
            R.REDEMPTION_UNKNOWN: lambda s: s.say(redemption=NOTHING),
            R.REDEMPTION_CLOSED: lambda s: s.put(REDEMPTIONS, s.names["made"], paid=False),
            R.AGENT_FUNDS_SHORT: empty_fiat,
        },
    ),
    PoolDeposit: Case(
        build_pool_deposit,
        {
            # Five units buy no share of a pool whose shares are dear.
            R.AMOUNT_ZERO: lambda s: s.put(POOLS, s.names["pool"], cash=Amount(AMOUNT_MAX)),
            R.FUNDS_SHORT: empty_cash,
            R.AMOUNT_TOO_LARGE: lambda s: s.put(POOLS, s.names["pool"], shares=AMOUNT_MAX),
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.POOL_LOST: lose_half,
        },
        {
            R.POOL_UNKNOWN: (R.AMOUNT_ZERO, R.FUNDS_SHORT, R.AMOUNT_TOO_LARGE),
            R.AMOUNT_TOO_LARGE: (R.AMOUNT_ZERO,),
        },
    ),
    PoolOpen: Case(
        lambda: Scene(build_money(), "harbour", PoolOpen(currency=CNY, borrower_max=Amount(1))),
        {R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD), R.POLICY_BROKEN: lambda s: s.say(fee_ppm=Ppm(PPM + 1))},
    ),
}


# ---------------------------------------------------------------------- products and data


def build_product() -> Scene:
    world = Goods()
    owned = {row.owner: ObjectId(key) for key, row in world.ledger.books.state.items(POOLS)}
    lead, partner = owned[world.account("harbour")], owned[world.account("jade")]
    payload = world.product(lead, partners=(Partner(pool=partner, share_ppm=Ppm(100_000)),))
    return Scene(world, "harbour", payload, cosigners=("jade",), pool=lead)


def fill_shelf(scene: Scene) -> None:
    """The lender has as many products on sale as it may."""
    lender = scene.world.account(scene.who)
    row = next(one for _, one in scene.books.state.items(PRODUCTS) if one.lender == lender)
    shelf = tuple(calculate_hash("product", bytes((index,))) for index in range(32))
    for product_id in shelf:
        scene.books.state.put(PRODUCTS, product_id, row)
    scene.put(MEMBERS, lender, products=shelf)


def build_data_anchor() -> Scene:
    payload = DataAnchor(
        rows_root=ZERO_DIGEST, document=ZERO_DIGEST, currency=CNY, first_day=Day(9), last_day=Day(10), provenance=1
    )
    return Scene(Goods(), "ann", payload)


def build_consent_grant() -> Scene:
    world = Goods()
    data, consent = world.anchor("ann")
    return Scene(world, "ann", world.ledger.books.state.need(CONSENTS, consent).grant, data=data)


def build_consent_revoke() -> Scene:
    world = Goods()
    _, consent = world.anchor("ann")
    return Scene(world, "ann", ConsentRevoke(consent=consent), consent=consent)


def build_data_erase() -> Scene:
    world = Goods()
    data, _ = world.anchor("ann")
    successor, _ = world.anchor("ann")
    return Scene(world, "ann", DataErase(data=(data,), successor=successor), data=data, successor=successor)


def build_erasure_receipt() -> Scene:
    world = Goods()
    data, _ = world.anchor("ann")
    world.must("ann", DataErase(data=(data,)))
    return Scene(world, "harbour", ErasureReceipt(data=data, documents=1, sidecars=0), data=data)


def erase_data(scene: Scene) -> None:
    """Its erasure was ordered."""
    row = Erasure(owner=scene.world.account("ann"), ordered_ms=TimeMs(1))
    scene.books.state.put(ERASURES, scene.names["data"], row)


def leave_node(scene: Scene) -> None:
    """The member owes nothing, and runs no node."""
    scene.put(ERASURES, scene.names["data"], holders=())
    scene.put(MEMBERS, scene.world.account("harbour"), node_key=None)


def receipt_it(scene: Scene) -> None:
    """The member has said so before."""
    member = scene.world.account("harbour")
    given = Erased(account=member, time_ms=TimeMs(1), documents=0, sidecars=0)
    scene.put(ERASURES, scene.names["data"], receipts=(given,))


def own_data(scene: Scene) -> None:
    """The statement is Bob's."""
    scene.put(DATA, scene.names["data"], owner=scene.world.account("bob"))


def forget_data(scene: Scene) -> None:
    """One anchor more than there is."""
    scene.say(data=(*scene.payload.data, NOTHING))


RECORDS: dict[type, Case] = {
    LoanProduct: Case(
        build_product,
        {
            R.POOL_UNKNOWN: lambda s: s.say(pool=NOTHING),
            R.POOL_NOT_YOURS: lambda s: s.put(POOLS, s.names["pool"], owner=s.world.account("plum")),
            R.PRODUCT_TERMS_INVALID: lambda s: s.say(amount_min=Amount(0)),
            R.POLICY_BROKEN: lambda s: s.rule(late_cap_ppm=Ppm(0)),
            R.MODEL_UNKNOWN: lambda s: s.put(MODELS, MODEL_ID, retired=True),
            R.PRODUCT_LIMIT_REACHED: fill_shelf,
            R.PARTNER_MISSING: lambda s: setattr(s, "cosigners", ()),
        },
    ),
    DataAnchor: Case(
        build_data_anchor,
        {
            R.CURRENCY_UNKNOWN: lambda s: s.say(currency=USD),
            R.PERIOD_INVALID: lambda s: s.say(last_day=Day(8)),
        },
    ),
    ConsentGrant: Case(
        build_consent_grant,
        {
            R.DATA_UNKNOWN: forget_data,
            R.DATA_NOT_YOURS: own_data,
            R.PERIOD_INVALID: lambda s: s.say(until_ms=TimeMs(0)),
            R.GRANTEE_UNKNOWN: lambda s: s.say(grantees=(s.world.account("bob"),)),
            R.DATA_ERASED: erase_data,
        },
    ),
    DataErase: Case(
        build_data_erase,
        {
            R.DATA_UNKNOWN: forget_data,
            R.DATA_NOT_YOURS: own_data,
            R.DATA_ERASED: erase_data,
            R.SUCCESSOR_UNFIT: lambda s: s.say(successor=NOTHING),
        },
    ),
    ErasureReceipt: Case(
        build_erasure_receipt,
        {
            R.ERASURE_UNKNOWN: lambda s: s.say(data=NOTHING),
            R.ERASURE_WAITS: lambda s: s.put(ERASURES, s.names["data"], due_ms=None),
            R.ERASURE_NOT_YOURS: leave_node,
            R.ERASED_ALREADY: receipt_it,
        },
    ),
    ConsentRevoke: Case(
        build_consent_revoke,
        {
            R.CONSENT_UNKNOWN: lambda s: s.say(consent=NOTHING),
            R.CONSENT_NOT_YOURS: lambda s: s.put(CONSENTS, s.names["consent"], owner=s.world.account("bob")),
            R.CONSENT_ENDED: lambda s: s.put(CONSENTS, s.names["consent"], revoked_ms=TimeMs(1)),
        },
    ),
}
