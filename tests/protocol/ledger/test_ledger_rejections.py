"""Every payload's own refusals, each provoked on books where the payload would otherwise pass."""

from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, BoxKey, Day, ObjectId, TimeMs
from protocol.ledger.state import ACCOUNTS, CONSENTS, POOLS, PRODUCTS
from protocol.limits import PRODUCTS_PER_LENDER_MAX
from protocol.loans.terms import Amortisation, ExcessRule
from protocol.money import AMOUNT_MAX, Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor, Purpose
from protocol.transactions.lending import ApplyWithdraw, Attest
from protocol.transactions.money import Mint, RedeemOutcome, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import PoolDeposit, PoolOpen
from protocol.transactions.products import BandPrice
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import (
    BEST_BINS,
    CNY,
    DAY_MS,
    DAY_START,
    World,
    change,
    refused,
)

NOTHING = ObjectId(ZERO_DIGEST)


@pytest.fixture
def world() -> World:
    """Two lenders, Ann with money, Bob."""
    made = World()
    for lender in ("harbour", "jade"):
        made.found_lender(lender)
    for person in ("ann", "bob"):
        assert made.open_account(person).rejection is None
    made.mint("ann", 1_000_000, "first")
    return made


# ---------------------------------------------------------------------- standing


def test_standing(world: World) -> None:
    """Roles, credentials and frozen accounts are looked at before a payload's own rules; payments always pass."""
    loan = world.borrow("ann")
    mint = Mint(to=world.account("bob"), currency=CNY, amount=Amount(1), ext_ref=calculate_hash("x"))
    assert refused(world, "harbour", mint) is Rejection.ROLE_MISSING
    assert refused(world, "ann", PoolOpen(currency=CNY, borrower_max=Amount(1))) is Rejection.ROLE_MISSING
    deposit = PoolDeposit(pool=NOTHING, amount=Amount(1))
    assert refused(world, "harbour/attester", deposit) is Rejection.ROLE_MISSING
    data, consent = world.anchor("ann")
    apply_ = world.application("ann", data, consent)
    assert refused(world, "harbour", apply_, sidecars=(world.sidecar("ann"),)) is Rejection.ROLE_MISSING
    change(world, ACCOUNTS, world.account("ann"), expires_on=world.today)
    assert refused(world, "ann", apply_, sidecars=(world.sidecar("ann"),)) is Rejection.CREDENTIAL_EXPIRED
    pay = Pay(loan=loan, amount=Amount(10), excess=ExcessRule.LAST)
    assert refused(world, "ann", pay) is None
    change(world, ACCOUNTS, world.account("ann"), frozen=True)
    transfer = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=ZERO_DIGEST)
    assert refused(world, "ann", transfer) is Rejection.ACCOUNT_FROZEN
    assert refused(world, "ann", pay) is None
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is None


def test_time_and_nonce(world: World) -> None:
    """Too late or too far ahead is a receipt; a used or far nonce, or a stranger, is skipped."""
    pay = Pay(loan=NOTHING, amount=Amount(1), excess=ExcessRule.LAST)
    assert refused(world, "ann", pay, valid_for_ms=10) is Rejection.EXPIRED
    assert refused(world, "ann", pay, valid_for_ms=8 * DAY_MS) is Rejection.VALID_TO_TOO_FAR
    top = world.nonces["ann"]
    assert refused(world, "ann", pay, nonce=top + 256) is Rejection.LOAN_UNKNOWN
    world.nonces["ann"] = top + 256
    ledger, now = world.ledger, TimeMs(world.now_ms)
    for nonce, code in ((top, Rejection.NONCE_USED), (top + 513, Rejection.NONCE_TOO_FAR)):
        call = world.transaction("ann", pay, nonce=nonce)
        assert world.block((call, ())) == [None]
        assert ledger.check_door(call, now) is code
    assert refused(world, "ann", pay, nonce=top + 1) is Rejection.LOAN_UNKNOWN
    stranger = world.transaction("eve", pay)
    assert world.block((stranger, ())) == [None]
    assert ledger.check_door(stranger, now) is Rejection.ACCOUNT_UNKNOWN
    change(world, ACCOUNTS, world.account("bob"), frozen=True)
    transfer = Transfer(to=world.account("ann"), currency=CNY, amount=Amount(1), memo_commit=ZERO_DIGEST)
    assert ledger.check_door(world.transaction("bob", transfer), now) is Rejection.ACCOUNT_FROZEN
    assert ledger.check_door(world.transaction("bob", pay), now) is None
    late = world.transaction("bob", pay, valid_for_ms=-1)
    assert ledger.check_door(late, TimeMs(world.now_ms)) is Rejection.EXPIRED


def test_account_open(world: World) -> None:
    """One key, one person; an issuer must sign; without one nothing is even recorded."""
    payload = AccountOpen(
        kind=AccountKind.PERSON,
        enc_key=BoxKey(calculate_hash("box")),
        subject_tag=calculate_hash("tag", b"cai"),
        level=1,
        expires_on=Day(DAY_START + 100),
    )
    taken = msgspec.structs.replace(payload, subject_tag=calculate_hash("tag", b"ann"))
    assert refused(world, "ann", payload, cosigners=("issuer",)) is Rejection.KEY_TAKEN
    assert refused(world, "cai", taken, cosigners=("issuer",)) is Rejection.TAG_TAKEN
    expired = msgspec.structs.replace(payload, expires_on=world.today)
    assert refused(world, "cai", expired, cosigners=("issuer",)) is Rejection.CREDENTIAL_EXPIRED
    organisation = msgspec.structs.replace(payload, kind=AccountKind.ORGANISATION)
    assert refused(world, "cai", organisation, cosigners=("issuer",)) is Rejection.ROLE_MISSING
    pay = Pay(loan=NOTHING, amount=Amount(1), excess=ExcessRule.LAST)
    assert refused(world, "cai", pay) is Rejection.ACCOUNT_UNKNOWN
    assert refused(world, "cai", payload) is Rejection.ISSUER_UNKNOWN
    assert refused(world, "cai", payload, cosigners=("issuer",)) is None
    for cosigners in ((), ("harbour",), ("issuer/node",)):
        stranger = world.transaction("dan", payload, cosigners=cosigners)
        assert world.block((stranger, ())) == [None]
        assert world.ledger.check_door(stranger, TimeMs(world.now_ms)) is Rejection.ISSUER_UNKNOWN


# ---------------------------------------------------------------------- money and pools


def test_mint(world: World) -> None:
    """Known currency, an amount, a fresh reference, an account, and no more than the ledger can count."""

    def mint(**fields: Any) -> Rejection | None:
        plain: dict[str, Any] = {
            "to": world.account("bob"),
            "currency": CNY,
            "amount": Amount(5),
            "ext_ref": calculate_hash("fresh", str(world.now_ms).encode()),
        }
        return refused(world, "agent", Mint(**{**plain, **fields}))

    assert mint(currency=Currency("USD")) is Rejection.CURRENCY_UNKNOWN
    assert mint(amount=Amount(0)) is Rejection.AMOUNT_ZERO
    assert mint(ext_ref=calculate_hash("ref", b"first")) is Rejection.REFERENCE_USED
    assert mint(to=calculate_hash("nobody")) is Rejection.RECIPIENT_UNKNOWN
    assert mint(amount=Amount(AMOUNT_MAX)) is Rejection.AMOUNT_TOO_LARGE
    assert mint() is None


def test_redeem(world: World) -> None:
    """Asked of an agent within one's balance; settled once, by that agent, with a fresh reference."""

    def ask(**fields: Any) -> Rejection | None:
        plain: dict[str, Any] = {
            "agent": world.account("agent"),
            "currency": CNY,
            "amount": Amount(500),
            "payout_commit": ZERO_DIGEST,
        }
        return refused(world, "ann", RedeemRequest(**{**plain, **fields}))

    def settle(redemption: ObjectId, outcome: RedeemOutcome, name: str, who: str = "agent") -> Rejection | None:
        payload = RedeemSettle(redemption=redemption, outcome=outcome, ext_ref=calculate_hash("ref", name.encode()))
        return refused(world, who, payload)

    assert ask(currency=Currency("USD")) is Rejection.CURRENCY_UNKNOWN
    assert ask(amount=Amount(0)) is Rejection.AMOUNT_ZERO
    assert ask(agent=world.account("harbour")) is Rejection.RECIPIENT_UNKNOWN
    assert ask(amount=Amount(2_000_000)) is Rejection.FUNDS_SHORT
    assert ask() is None
    redemption = world.made("redemption", "ann")
    assert settle(NOTHING, RedeemOutcome.PAID, "a") is Rejection.REDEMPTION_UNKNOWN
    assert settle(redemption, RedeemOutcome.PAID, "first") is Rejection.REFERENCE_USED
    assert settle(redemption, RedeemOutcome.PAID, "a", who="ann") is Rejection.REDEMPTION_UNKNOWN
    assert settle(redemption, RedeemOutcome.FAILED, "a") is None
    assert settle(redemption, RedeemOutcome.PAID, "b") is Rejection.REDEMPTION_CLOSED
    assert ask() is None
    assert settle(world.made("redemption", "ann"), RedeemOutcome.PAID, "c") is None


def test_transfer(world: World) -> None:
    """Between two accounts in good standing, within the balance."""

    def transfer(**fields: Any) -> Rejection | None:
        plain: dict[str, Any] = {
            "to": world.account("bob"),
            "currency": CNY,
            "amount": Amount(5),
            "memo_commit": ZERO_DIGEST,
        }
        return refused(world, "ann", Transfer(**{**plain, **fields}))

    assert transfer(currency=Currency("USD")) is Rejection.CURRENCY_UNKNOWN
    assert transfer(amount=Amount(0)) is Rejection.AMOUNT_ZERO
    assert transfer(to=calculate_hash("nobody")) is Rejection.RECIPIENT_UNKNOWN
    assert transfer(to=world.account("ann")) is Rejection.RECIPIENT_UNKNOWN
    assert transfer(amount=Amount(1_000_001)) is Rejection.FUNDS_SHORT
    assert transfer() is None
    change(world, ACCOUNTS, world.account("bob"), expires_on=world.today)
    assert transfer() is Rejection.CREDENTIAL_EXPIRED
    change(world, ACCOUNTS, world.account("bob"), frozen=True)
    assert transfer() is Rejection.ACCOUNT_FROZEN


def test_pools(world: World) -> None:
    """A known currency; a deposit one can pay and that buys at least one share."""
    usd = PoolOpen(currency=Currency("USD"), borrower_max=Amount(1))
    assert refused(world, "harbour", usd) is Rejection.CURRENCY_UNKNOWN
    pool = next(key for key, _ in world.ledger.books.state.items(POOLS))
    for payload, code in (
        (PoolDeposit(pool=ObjectId(pool), amount=Amount(0)), Rejection.AMOUNT_ZERO),
        (PoolDeposit(pool=NOTHING, amount=Amount(5)), Rejection.POOL_UNKNOWN),
        (PoolDeposit(pool=ObjectId(pool), amount=Amount(2_000_000)), Rejection.FUNDS_SHORT),
        (PoolDeposit(pool=ObjectId(pool), amount=Amount(5)), None),
    ):
        assert refused(world, "ann", payload) is code


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"amount_min": 0}, Rejection.PRODUCT_TERMS_INVALID),
        ({"amount_min": 3_000_000}, Rejection.PRODUCT_TERMS_INVALID),
        ({"instalments_min": 53}, Rejection.PRODUCT_TERMS_INVALID),
        ({"instalments_max": 480, "period_every": 366}, Rejection.PRODUCT_TERMS_INVALID),
        ({"amortisation": Amortisation.BALLOON}, Rejection.PRODUCT_TERMS_INVALID),
        ({"origination_fee_ppm": 1_000_000}, Rejection.PRODUCT_TERMS_INVALID),
        ({"expires_on": DAY_START - 1}, Rejection.PRODUCT_TERMS_INVALID),
        ({"bands": (BandPrice(rate_ppm=Ppm(360_001), amount_max=Amount(1)),)}, Rejection.POLICY_BROKEN),
        ({"late_rate_ppm": 400_000}, Rejection.POLICY_BROKEN),
        ({"model": calculate_hash("no model")}, Rejection.MODEL_UNKNOWN),
        ({}, None),
    ],
)
def test_products(world: World, terms: dict[str, Any], code: Rejection | None) -> None:
    """Terms that contradict themselves or the policy are refused, one by one."""
    pool = next(k for k, one in world.ledger.books.state.items(POOLS) if one.owner == world.account("harbour"))
    assert refused(world, "harbour", world.product(ObjectId(pool), **terms)) is code


def test_products_need_a_pool_of_ones_own_in_the_first_currency(world: World) -> None:
    """Another's pool, no pool, a second currency, one product on sale too many; one's limit is not another's."""
    state = world.ledger.books.state
    pool = ObjectId(next(k for k, one in world.ledger.books.state.items(POOLS) if one.owner == world.account("jade")))
    assert refused(world, "harbour", world.product(NOTHING)) is Rejection.POOL_UNKNOWN
    assert refused(world, "harbour", world.product(pool)) is Rejection.POOL_NOT_YOURS
    world.must("harbour", PoolOpen(currency=Currency("EUR"), borrower_max=Amount(1)))
    assert refused(world, "harbour", world.product(world.made("pool", "harbour"))) is Rejection.POLICY_BROKEN
    for _ in range(PRODUCTS_PER_LENDER_MAX - 1):
        world.must("jade", world.product(pool, expires_on=Day(world.today + 1)))
    assert world.do("jade", world.product(pool)).rejection is Rejection.PRODUCT_LIMIT_REACHED
    others = [k for k, one in state.items(POOLS) if (one.owner, one.currency) == (world.account("harbour"), CNY)]
    assert world.do("harbour", world.product(ObjectId(others[0]))).rejection is None
    world.pass_days(2)
    assert world.do("jade", world.product(pool)).rejection is None


# ---------------------------------------------------------------------- data, consent, applications


def test_data_and_consent(world: World) -> None:
    """A period that is one; consent over one's own data to members, withdrawn once, by its giver."""
    data, consent = world.anchor("ann")
    anchor = DataAnchor(
        rows_root=ZERO_DIGEST,
        document=ZERO_DIGEST,
        currency=CNY,
        first_day=Day(10),
        last_day=Day(9),
        provenance=1,
    )
    assert refused(world, "ann", anchor) is Rejection.PERIOD_INVALID
    usd = msgspec.structs.replace(anchor, currency=Currency("USD"))
    assert refused(world, "ann", usd) is Rejection.CURRENCY_UNKNOWN
    grant = ConsentGrant(
        grantees=(world.account("jade"),),
        data=(data,),
        purpose=Purpose.UNDERWRITE,
        until_ms=TimeMs(world.now_ms + DAY_MS),
        text_hash=ZERO_DIGEST,
    )
    for who, fields, code in (
        ("ann", {"data": (data, NOTHING)}, Rejection.DATA_UNKNOWN),
        ("bob", {}, Rejection.DATA_NOT_YOURS),
        ("ann", {"until_ms": TimeMs(0)}, Rejection.PERIOD_INVALID),
        ("ann", {"grantees": (world.account("bob"),)}, Rejection.GRANTEE_UNKNOWN),
        ("ann", {}, None),
    ):
        assert refused(world, who, msgspec.structs.replace(grant, **fields)) is code
    assert refused(world, "ann", ConsentRevoke(consent=NOTHING)) is Rejection.CONSENT_UNKNOWN
    assert refused(world, "bob", ConsentRevoke(consent=consent)) is Rejection.CONSENT_NOT_YOURS
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is None
    assert refused(world, "ann", ConsentRevoke(consent=consent)) is Rejection.CONSENT_ENDED


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"currency": "USD"}, Rejection.CURRENCY_UNKNOWN),
        ({"amount": 0}, Rejection.AMOUNT_ZERO),
        ({"product": NOTHING}, Rejection.PRODUCT_UNKNOWN),
        ({"data": (NOTHING,)}, Rejection.DATA_UNKNOWN),
        ({"consent": NOTHING}, Rejection.CONSENT_UNKNOWN),
        ({"as_of": DAY_START - 2}, Rejection.APPLICATION_TERMS_INVALID),
        ({"as_of": DAY_START + 2}, Rejection.APPLICATION_TERMS_INVALID),
        ({"product": "harbour", "instalments": 53}, Rejection.APPLICATION_TERMS_INVALID),
        ({"product": "harbour", "amount": 9_999}, Rejection.APPLICATION_TERMS_INVALID),
        ({"product": "harbour", "period_every": 2}, Rejection.APPLICATION_TERMS_INVALID),
        ({"product": "harbour"}, None),
        ({"as_of": DAY_START - 1}, None),
    ],
)
def test_apply(world: World, fields: dict[str, Any], code: Rejection | None) -> None:
    """What is asked must exist, be one's own, be current and fit the product named."""
    data, consent = world.anchor("ann")
    if fields.get("product") == "harbour":
        named = [k for k, one in world.ledger.books.state.items(PRODUCTS) if one.lender == world.account("harbour")]
        fields = {**fields, "product": ObjectId(named[0])}
    payload = msgspec.structs.replace(world.application("ann", data, consent), **fields)
    assert refused(world, "ann", payload, sidecars=(world.sidecar("ann"),)) is code


def test_apply_with_anothers_or_stale_data_or_ended_consent(world: World) -> None:
    """Data and consent must be the applicant's, the statement fresh, the consent in force and of the right purpose."""
    data, consent = world.anchor("ann")
    bobs, bobs_consent = world.anchor("bob")
    sidecar = world.sidecar("ann")

    def ask(**fields: Any) -> Rejection | None:
        payload = msgspec.structs.replace(world.application("ann", data, consent), **fields)
        return refused(world, "ann", payload, sidecars=(sidecar,))

    assert ask(data=(bobs,)) is Rejection.DATA_NOT_YOURS
    assert ask(consent=bobs_consent) is Rejection.CONSENT_NOT_YOURS
    change(world, CONSENTS, consent, grant=msgspec.structs.replace(grant_of(world, consent), purpose=Purpose.MONITOR))
    assert ask() is Rejection.CONSENT_ENDED
    change(
        world, CONSENTS, consent, grant=msgspec.structs.replace(grant_of(world, consent), purpose=Purpose.UNDERWRITE)
    )
    assert ask() is None
    world.pass_days(4)
    assert ask() is Rejection.STATEMENT_STALE
    world.must("ann", ConsentRevoke(consent=consent))
    assert ask() is Rejection.CONSENT_ENDED


def grant_of(world: World, consent: bytes) -> ConsentGrant:
    """What a consent says."""
    return world.ledger.books.state.need(CONSENTS, consent).grant


def test_apply_needs_lawful_sidecars_and_at_most_three_are_open(world: World) -> None:
    """Bins that no model has, a model nobody registered, the wrong model for a product, a fourth application."""
    data, consent = world.anchor("ann")
    for bins in (BEST_BINS[:-1], (*BEST_BINS[:-1], 99)):
        bad = world.sidecar("ann", bins)
        payload = world.application("ann", data, consent, sidecar=bad)
        assert refused(world, "ann", payload, sidecars=(bad,)) is Rejection.SIDECAR_MISMATCH
    foreign = msgspec.structs.replace(world.sidecar("ann"), model=calculate_hash("foreign"))
    payload = world.application("ann", data, consent, sidecar=foreign)
    assert refused(world, "ann", payload, sidecars=(foreign,)) is Rejection.MODEL_UNKNOWN
    good = world.sidecar("ann")
    product, row = next(world.ledger.books.state.items(PRODUCTS))
    change(world, PRODUCTS, product, terms=msgspec.structs.replace(row.terms, model=calculate_hash("other")))
    named = world.application("ann", data, consent, product=ObjectId(product))
    assert refused(world, "ann", named, sidecars=(good,)) is Rejection.SIDECAR_MISSING
    payload = world.application("ann", data, consent)
    for _ in range(3):
        assert refused(world, "ann", payload, sidecars=(good,)) is None
    assert refused(world, "ann", payload, sidecars=(good,)) is Rejection.APPLICATIONS_TOO_MANY


def test_attest(world: World) -> None:
    """Only who was granted, once, on an open application, in the form that others can equal."""
    application = world.apply("ann")
    commitment = world.sidecar("ann").calculate_commitment()
    good = world.attestation("jade", application, commitment)

    def attest(who: str, **fields: Any) -> Rejection | None:
        payload: Attest = msgspec.structs.replace(good, **fields)
        return refused(world, who, payload)

    assert attest("agent") is Rejection.ROLE_MISSING
    assert attest("jade", application=NOTHING) is Rejection.APPLICATION_UNKNOWN
    assert attest("jade", model=calculate_hash("foreign")) is Rejection.SIDECAR_MISSING
    assert attest("jade", capacity30=Amount(123_456)) is Rejection.ATTESTATION_MISMATCH
    assert attest("jade") is None
    assert attest("jade/attester") is Rejection.ATTESTED_ALREADY
    state = world.ledger.books.state
    consent = next(key for key, _ in state.items(CONSENTS))
    only_jade = msgspec.structs.replace(grant_of(world, consent), grantees=(world.account("jade"),))
    change(world, CONSENTS, consent, grant=only_jade)
    assert attest("harbour") is Rejection.ATTESTER_NOT_GRANTED
    world.must("ann", ConsentRevoke(consent=ObjectId(consent)))
    assert attest("harbour") is Rejection.CONSENT_ENDED
    other = world.apply("bob")
    assert refused(world, "ann", ApplyWithdraw(application=other)) is Rejection.APPLICATION_UNKNOWN
    world.must("bob", ApplyWithdraw(application=other))
    assert attest("harbour", application=other) is Rejection.APPLICATION_CLOSED
    assert refused(world, "bob", ApplyWithdraw(application=other)) is Rejection.APPLICATION_CLOSED
