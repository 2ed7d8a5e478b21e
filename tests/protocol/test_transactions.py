"""Signed transactions at the door: one encoding, one id, and refusals in order of precedence."""

import msgspec
import pytest

from protocol.batch import BatchItem, Sidecar, calculate_transaction_id
from protocol.codec import encode
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import ZERO_DIGEST, AccountId, BoxKey, ChainId, Day, ModelId, ObjectId, TimeMs
from protocol.limits import TRANSACTION_BYTES_MAX
from protocol.loans.terms import PeriodUnit
from protocol.money import Amount, Currency
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.envelope import (
    TRANSACTION_TAG,
    TRANSACTION_VERSION,
    Cosignature,
    Payload,
    SignedTransaction,
    Transaction,
    TransactionBody,
    check_stateless,
    check_valid_to,
    decode_transaction,
    sign_transaction,
)
from protocol.transactions.lending import Apply, LoanPurpose, SidecarCommitment
from protocol.transactions.money import Transfer
from protocol.transactions.products import Segment

CHAIN = ChainId(calculate_hash("chain"))
ANN, BOB, CAI = (KeySigner(bytes((i,)) * 32) for i in (1, 2, 3))
TRANSFER = Transfer(
    to=AccountId(calculate_hash("to")), currency=Currency("CNY"), amount=Amount(5), memo_commit=ZERO_DIGEST
)
SIDECAR = Sidecar(model=ModelId(calculate_hash("model")), salt=calculate_hash("salt"), bins=(1, 2, 300))
APPLY = Apply(
    segment=Segment.PERSONAL,
    product=None,
    currency=Currency("CNY"),
    amount=Amount(5),
    instalments=12,
    period_unit=PeriodUnit.MONTH,
    period_every=1,
    purpose=LoanPurpose.OTHER,
    data=(ObjectId(ZERO_DIGEST),),
    consent=ObjectId(ZERO_DIGEST),
    as_of=Day(1),
    sidecars=(SidecarCommitment(model=SIDECAR.model, commitment=SIDECAR.calculate_commitment()),),
)
OPEN = AccountOpen(
    kind=AccountKind.PERSON, enc_key=BoxKey(ZERO_DIGEST), subject_tag=ZERO_DIGEST, level=1, expires_on=Day(9)
)


def body(
    payload: Payload = TRANSFER,
    *also: KeySigner,
    version: int = TRANSACTION_VERSION,
    chain: ChainId = CHAIN,
) -> TransactionBody:
    """Ann's body, which these sign as well."""
    return TransactionBody(
        version=version,
        chain_id=chain,
        sender=ANN.public_key,
        nonce=3,
        valid_to_ms=TimeMs(1_000),
        payload=payload,
        cosigners=tuple(sorted(one.public_key for one in also)),
    )


def check(raw: bytes, *sidecars: Sidecar) -> Transaction | Rejection:
    """What the door says."""
    return check_stateless(BatchItem(transaction=raw, sidecars=sidecars), CHAIN)


def signed(raw: bytes) -> SignedTransaction:
    """The outer struct of canonical bytes."""
    return msgspec.msgpack.decode(raw, type=SignedTransaction)


def test_a_well_made_transaction_passes() -> None:
    """Its id is the hash of its bytes; co-signers are known by key; sidecars match their commitments."""
    raw = sign_transaction(body(OPEN, CAI, BOB), ANN, (CAI, BOB))
    found = check(raw)
    assert isinstance(found, Transaction)
    assert found.id == calculate_transaction_id(raw)
    assert found.cosigners == tuple(sorted((BOB.public_key, CAI.public_key)))
    assert isinstance(check(sign_transaction(body(APPLY), ANN), SIDECAR), Transaction)


def test_every_changed_byte_is_refused() -> None:
    """Of the bytes at the door none is slack."""
    raw = sign_transaction(body(OPEN, BOB), ANN, (BOB,))
    for position in range(len(raw)):
        for flip in (1, 128):
            changed = raw[:position] + bytes((raw[position] ^ flip,)) + raw[position + 1 :]
            assert isinstance(check(changed), Rejection), position


RAW = sign_transaction(body(), ANN)
TWO = sign_transaction(body(OPEN, BOB, CAI), ANN, (BOB, CAI))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (bytes(TRANSACTION_BYTES_MAX + 1), Rejection.TOO_LARGE),
        (b"", Rejection.MALFORMED),
        (b"\xc1", Rejection.MALFORMED),
        (RAW + b"\x00", Rejection.MALFORMED),
        (encode(msgspec.structs.replace(signed(RAW), body=b"\x90")), Rejection.MALFORMED),
        (b"\xdc\x00\x03" + RAW[1:], Rejection.NOT_CANONICAL),
        (sign_transaction(body(version=2), ANN), Rejection.WRONG_VERSION),
        (sign_transaction(body(chain=ChainId(ZERO_DIGEST)), ANN), Rejection.WRONG_CHAIN),
        (sign_transaction(body(version=2, chain=ChainId(ZERO_DIGEST)), ANN), Rejection.WRONG_VERSION),
        (encode(msgspec.structs.replace(signed(RAW), signature=bytes(64))), Rejection.SIGNATURE_INVALID),
        (
            encode(msgspec.structs.replace(signed(TWO), cosignatures=signed(TWO).cosignatures[::-1])),
            Rejection.COSIGNATURE_INVALID,
        ),
        (
            encode(msgspec.structs.replace(signed(TWO), cosignatures=signed(TWO).cosignatures[:1] * 2)),
            Rejection.COSIGNATURE_INVALID,
        ),
        (sign_transaction(body(OPEN, ANN), ANN, (ANN,)), Rejection.COSIGNATURE_INVALID),
        (
            encode(msgspec.structs.replace(signed(TWO), cosignatures=signed(TWO).cosignatures[:1])),
            Rejection.COSIGNATURE_INVALID,
        ),
        (sign_transaction(body(APPLY), ANN), Rejection.SIDECAR_MISMATCH),
    ],
)
def test_refusals(raw: bytes, code: Rejection) -> None:
    """Size, form, version, chain, signatures, sidecars: the first that fails is named."""
    assert check(raw) is code


def test_nobody_else_can_sign_as_well() -> None:
    """A good signature by a key the body does not name is refused: else anybody could change the transaction's id."""
    outer = signed(RAW)
    mark = Cosignature(key=BOB.public_key, signature=BOB.sign(TRANSACTION_TAG + outer.body))
    assert check(encode(msgspec.structs.replace(outer, cosignatures=(mark,)))) is Rejection.COSIGNATURE_INVALID
    assert isinstance(check(RAW), Transaction)


@pytest.mark.parametrize(
    "fields", [{"bins": (1, 2, 301)}, {"bins": (1, 2)}, {"salt": ZERO_DIGEST}, {"model": ZERO_DIGEST}]
)
def test_a_sidecar_must_be_the_one_committed_to(fields: dict[str, object]) -> None:
    """Another bin, salt or model is not it; nor may a transfer carry one."""
    raw = sign_transaction(body(APPLY), ANN)
    assert check(raw, msgspec.structs.replace(SIDECAR, **fields)) is Rejection.SIDECAR_MISMATCH
    assert check(raw, SIDECAR, SIDECAR) is Rejection.SIDECAR_MISMATCH
    assert check(RAW, SIDECAR) is Rejection.SIDECAR_MISMATCH


@pytest.mark.parametrize(
    ("now_ms", "code"),
    [
        (1_000, None),
        (1_001, Rejection.EXPIRED),
        (0, None),
        (1_000 - 7 * 86_400_000, None),
        (999 - 7 * 86_400_000, Rejection.VALID_TO_TOO_FAR),
    ],
)
def test_valid_to_is_neither_past_nor_far(now_ms: int, code: Rejection | None) -> None:
    """The instant itself is still in time, and seven days ahead is not too far."""
    transaction = decode_transaction(RAW)
    assert isinstance(transaction, Transaction)
    assert check_valid_to(transaction, TimeMs(now_ms)) is code
