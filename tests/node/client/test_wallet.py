"""Wallet builders: each makes a transaction that passes the stateless door and announces the right object id."""

import pytest

from node.client.wallet import OBJECT_KINDS, Intent, Wallet
from protocol.batch import Sidecar
from protocol.crypto import KeySigner, calculate_account_id, calculate_object_id
from protocol.ids import AccountId, BoxKey, ChainId, Day, Digest, ModelId, ObjectId, TimeMs
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.money import Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.data import ConsentGrant, Purpose
from protocol.transactions.envelope import Transaction, check_stateless
from protocol.transactions.lending import Apply, Attest, LoanPurpose, SidecarCommitment
from protocol.transactions.money import RedeemOutcome
from protocol.transactions.products import BandPrice, LoanProduct, Segment
from tests.protocol.payloads import PAYLOADS, make_sample

CHAIN = ChainId(bytes([7]) * 32)
NOW = TimeMs(1_800_000_000_000)
ONE, TWO = Digest(bytes([1]) * 32), Digest(bytes([2]) * 32)
MODEL = ModelId(bytes([3]) * 32)
ISSUER = KeySigner(bytes([9]) * 32)
SIDECAR = Sidecar(model=MODEL, salt=ONE, bins=(1, 2, 3))


def make_wallet() -> Wallet:
    return Wallet(KeySigner(bytes(range(32))), CHAIN, nonce_next=5, now_ms=lambda: NOW)


def make_product() -> LoanProduct:
    return LoanProduct(
        name="Personal 12",
        segment=Segment.PERSONAL,
        pool=ObjectId(ONE),
        amount_min=Amount(100),
        amount_max=Amount(1_000),
        instalments_min=1,
        instalments_max=12,
        period_unit=PeriodUnit.MONTH,
        period_every=1,
        amortisation=Amortisation.LEVEL,
        day_count=DayCount.THIRTY_360,
        profile=RoundingProfile.A,
        origination_fee_ppm=Ppm(0),
        grace_days=0,
        late_rate_ppm=Ppm(0),
        late_fee=Amount(0),
        waterfall=WaterfallOrder.IPF,
        model=MODEL,
        bands=(BandPrice(rate_ppm=Ppm(100_000), amount_max=Amount(1_000)),),
        attestations_min=1,
        auto_budget=Amount(10_000),
        tz_offset_min=480,
        offer_days=7,
        expires_on=Day(740_000),
    )


def make_application() -> Apply:
    return Apply(
        segment=Segment.PERSONAL,
        product=None,
        currency=Currency("CNY"),
        amount=Amount(1_000),
        instalments=12,
        period_unit=PeriodUnit.MONTH,
        period_every=1,
        purpose=LoanPurpose.LIVING,
        data=(ObjectId(ONE),),
        consent=ObjectId(TWO),
        as_of=Day(739_000),
        sidecars=(SidecarCommitment(model=MODEL, commitment=SIDECAR.calculate_commitment()),),
    )


def build_all(wallet: Wallet) -> list[Intent]:
    money, cny, account = Amount(100), Currency("CNY"), AccountId(ONE)
    attest = Attest(
        application=ObjectId(ONE),
        model=MODEL,
        commitment=SIDECAR.calculate_commitment(),
        capacity30=money,
        rows_mark=TWO,
    )
    grant = ConsentGrant(
        grantees=(account,), data=(ObjectId(ONE),), purpose=Purpose.UNDERWRITE, until_ms=NOW, text_hash=TWO
    )
    return [
        wallet.open_account(
            issuer=ISSUER,
            kind=AccountKind.PERSON,
            enc_key=BoxKey(ONE),
            subject_tag=TWO,
            level=1,
            expires_on=Day(740_000),
        ),
        wallet.mint(to=account, currency=cny, amount=money, ext_ref=TWO),
        wallet.request_redemption(agent=account, currency=cny, amount=money, payout_commit=TWO),
        wallet.settle_redemption(redemption=ObjectId(ONE), outcome=RedeemOutcome.PAID, ext_ref=TWO),
        wallet.transfer(to=account, currency=cny, amount=money),
        wallet.open_pool(currency=cny, borrower_max=money),
        wallet.deposit(pool=ObjectId(ONE), amount=money),
        wallet.publish_product(make_product()),
        wallet.anchor_data(
            rows_root=ONE, document=TWO, currency=cny, first_day=Day(738_000), last_day=Day(738_999), provenance=2
        ),
        wallet.grant_consent(grant),
        wallet.revoke_consent(ObjectId(ONE)),
        wallet.apply(make_application(), (SIDECAR,)),
        wallet.withdraw_application(ObjectId(ONE)),
        wallet.attest(attest),
        wallet.accept(offer=ObjectId(ONE), terms_hash=TWO),
        wallet.pay(loan=ObjectId(ONE), amount=money, excess=ExcessRule.LAST),
    ]


def test_every_builder_passes_the_stateless_door() -> None:
    """What a wallet builds is canonical, rightly signed and for this chain; ids and nonces are those announced."""
    wallet = make_wallet()
    for offset, intent in enumerate(build_all(wallet)):
        found = check_stateless(intent.item, CHAIN)
        assert isinstance(found, Transaction)
        assert found.id == intent.id
        assert found.body.nonce == intent.nonce == 5 + offset
        assert found.body.valid_to_ms > NOW


@pytest.mark.parametrize("kind", PAYLOADS)
def test_any_payload_can_be_built(kind: type) -> None:
    """`build` signs every type of the envelope: what it makes passes the stateless door."""
    sidecars = (SIDECAR,) if kind is Apply else ()
    payload = make_application() if kind is Apply else make_sample(kind)
    intent = make_wallet().build(payload, sidecars=sidecars)
    assert type(_decode(intent).body.payload) is kind


def test_objects_have_the_announced_id() -> None:
    """An object's id is H(kind | sender | nonce) of the transaction that makes it, for those kinds and no other."""
    wallet = make_wallet()
    for intent in build_all(wallet):
        kind = OBJECT_KINDS.get(type(_decode(intent).body.payload))
        expected = None if kind is None else calculate_object_id(kind, wallet.public_key, intent.nonce)
        assert intent.object_id == expected


def test_a_builder_for_another_chain_is_refused_here() -> None:
    """A wallet of one network signs nothing that another would take."""
    intent = make_wallet().deposit(pool=ObjectId(ONE), amount=Amount(1))
    assert check_stateless(intent.item, ChainId(bytes(32))) is Rejection.WRONG_CHAIN


def test_asking_for_an_object_that_is_not_made_is_our_own_fault() -> None:
    """`made` is only for payloads that make something."""
    with pytest.raises(AssertionError):
        _ = make_wallet().deposit(pool=ObjectId(ONE), amount=Amount(1)).made


def test_the_account_is_of_the_first_key() -> None:
    """A wallet's account is the one its key opens."""
    wallet = make_wallet()
    assert wallet.account == calculate_account_id(wallet.public_key)


def _decode(intent: Intent) -> Transaction:
    found = check_stateless(intent.item, CHAIN)
    assert isinstance(found, Transaction)
    return found
