"""The envelope of every signed intent, and the stateless checks made once at a node's door.

Ed25519 over a tag and the body's canonical bytes; PyNaCl alone verifies. What needs the books is checked by
`protocol.ledger`, never here.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, NamedTuple

import msgspec

from protocol.batch import BatchItem, Sidecar, calculate_transaction_id
from protocol.codec import CodecError, decode, encode
from protocol.crypto import Signer, check_signed
from protocol.ids import (
    ChainId,
    ChainIdField,
    CountField,
    PublicKey,
    PublicKeyField,
    SignatureField,
    TimeMs,
    TimeMsField,
    TransactionId,
)
from protocol.limits import COSIGNATURES_MAX, TRANSACTION_BYTES_MAX, VALID_FOR_MS_MAX
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountOpen, CredentialSet, KeyRecover, KeyRecoverCancel, KeyRotate
from protocol.transactions.assets import AssetRegister, AssetRetire, AssetSeize, AssetSell, AssetTransfer, LeaseEnd
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataAnchor, DataErase, ErasureReceipt
from protocol.transactions.governance import Evidence, Propose, Vote
from protocol.transactions.lending import (
    Accept,
    Apply,
    ApplyWithdraw,
    Attest,
    Draw,
    LineClose,
    OfferCancel,
    OfferDecline,
    OfferPost,
)
from protocol.transactions.money import Mint, RedeemRequest, RedeemSettle, Transfer
from protocol.transactions.pools import (
    CoverDeposit,
    CoverWithdraw,
    PoolDeposit,
    PoolExit,
    PoolExitCancel,
    PoolOpen,
    PoolSet,
)
from protocol.transactions.products import LoanProduct
from protocol.transactions.servicing import (
    AmendAnswer,
    AmendPropose,
    Assign,
    AutopaySet,
    DisputeAnswer,
    DisputeOpen,
    DisputeResolve,
    LoanAdjust,
    LoanDistress,
    LoanSettle,
    Pay,
    SalesReport,
)

TRANSACTION_VERSION = 1
TRANSACTION_TAG = b"LST1"

Payload = (
    # accounts and governance
    AccountOpen
    | CredentialSet
    | KeyRotate
    | KeyRecover
    | KeyRecoverCancel
    | Propose
    | Vote
    | Evidence
    # money and pools
    | Mint
    | RedeemRequest
    | RedeemSettle
    | Transfer
    | PoolOpen
    | PoolSet
    | PoolDeposit
    | PoolExit
    | PoolExitCancel
    | CoverDeposit
    | CoverWithdraw
    # from product to money
    | LoanProduct
    | DataAnchor
    | ConsentGrant
    | ConsentRevoke
    | DataErase
    | ErasureReceipt
    | Apply
    | ApplyWithdraw
    | Attest
    | OfferPost
    | OfferCancel
    | OfferDecline
    | Accept
    | Draw
    | LineClose
    # a loan that was made
    | LoanSettle
    | Pay
    | AutopaySet
    | SalesReport
    | LoanAdjust
    | LoanDistress
    | AmendPropose
    | AmendAnswer
    | Assign
    | DisputeOpen
    | DisputeAnswer
    | DisputeResolve
    # things
    | AssetRegister
    | AssetTransfer
    | AssetRetire
    | LeaseEnd
    | AssetSeize
    | AssetSell
)


class TransactionBody(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What the sender signs."""

    version: int
    chain_id: ChainIdField
    sender: PublicKeyField
    nonce: CountField
    """Any unused number in the key's sliding window of 256: parallel submission needs no order."""
    valid_to_ms: TimeMsField
    """Block time after which it must not execute."""
    payload: Payload
    cosigners: Annotated[tuple[PublicKeyField, ...], msgspec.Meta(max_length=COSIGNATURES_MAX)] = ()
    """Who signs as well, in ascending order: nobody can add or drop a signature and so change the transaction's id."""


class Cosignature(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A further party's signature over the same bytes."""

    key: PublicKeyField
    signature: SignatureField


class SignedTransaction(
    msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False
):
    """A body's canonical bytes with the signatures over them; its own canonical bytes give the transaction id."""

    body: Annotated[bytes, msgspec.Meta(max_length=TRANSACTION_BYTES_MAX)]
    signature: SignatureField
    cosignatures: Annotated[tuple[Cosignature, ...], msgspec.Meta(max_length=COSIGNATURES_MAX)] = ()
    """Exactly of the body's co-signers, in their order."""


class Transaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A decoded signed transaction, ready to be executed."""

    id: TransactionId
    raw: bytes
    body: TransactionBody
    cosigners: tuple[PublicKeyField, ...]


def sign_transaction(body: TransactionBody, signer: Signer, cosigners: tuple[Signer, ...] = ()) -> bytes:
    """Canonical bytes of the signed transaction. Sender and co-signers of the body must be those that sign here."""
    assert body.sender == signer.public_key, "the sender signs"
    assert set(body.cosigners) == {one.public_key for one in cosigners}, "the body names who signs as well"
    raw = encode(body)
    message = TRANSACTION_TAG + raw
    ordered = sorted(cosigners, key=lambda one: one.public_key)
    return encode(
        SignedTransaction(
            body=raw,
            signature=signer.sign(message),
            cosignatures=tuple(Cosignature(key=one.public_key, signature=one.sign(message)) for one in ordered),
        )
    )


class Opened(NamedTuple):
    """A transaction of canonical bytes, and what its signatures say that is still to be verified."""

    transaction: Transaction
    signed: SignedTransaction

    def list_signed(self) -> list[tuple[PublicKey, bytes]]:
        """Of the sender and then of each co-signer the key, and the signature with the message behind it."""
        signed = self.signed
        message = TRANSACTION_TAG + signed.body
        return [
            (self.transaction.body.sender, signed.signature + message),
            *((one.key, one.signature + message) for one in signed.cosignatures),
        ]


def open_transaction(raw: bytes, transaction_id: TransactionId | None = None) -> Opened | Rejection:
    """What canonical bytes hold, or why they are refused; `transaction_id` saves hashing them again."""
    if len(raw) > TRANSACTION_BYTES_MAX:
        return Rejection.TOO_LARGE
    try:
        signed = decode(raw, SignedTransaction)
        body = decode(signed.body, TransactionBody)
    except CodecError as error:
        return Rejection.NOT_CANONICAL if "canonical" in str(error) else Rejection.MALFORMED
    transaction = Transaction(
        id=calculate_transaction_id(raw) if transaction_id is None else transaction_id,
        raw=raw,
        body=body,
        cosigners=tuple([one.key for one in signed.cosignatures]),
    )
    return Opened(transaction, signed)


def decode_transaction(raw: bytes) -> Transaction | Rejection:
    """The transaction of canonical bytes, or why they are refused. Signatures are not verified here."""
    opened = open_transaction(raw)
    return opened if isinstance(opened, Rejection) else opened.transaction


def check_signatures(transaction: Transaction) -> Rejection | None:
    """Verify the sender's and each named co-signer's signature (about 55 us each); nobody else may have signed."""
    return check_opened(Opened(transaction, decode(transaction.raw, SignedTransaction)))


def check_opened(opened: Opened) -> Rejection | None:
    """The same of what was opened."""
    signed, body = opened.signed, opened.transaction.body
    if not signed.cosignatures and not body.cosigners:  # nearly all of them: one signature and nothing to compare
        good = check_signed(body.sender, b"".join((signed.signature, TRANSACTION_TAG, signed.body)))
        return None if good else Rejection.SIGNATURE_INVALID
    return judge_signatures(opened, (check_signed(key, signed) for key, signed in opened.list_signed()))


def judge_signatures(opened: Opened, good: Iterable[bool]) -> Rejection | None:
    """What the verdicts on `list_signed`, in its order, come to; they are asked for no further than needed."""
    verdicts, keys, body = iter(good), opened.transaction.cosigners, opened.transaction.body
    if not next(verdicts):
        return Rejection.SIGNATURE_INVALID
    if keys or body.cosigners:
        if keys != body.cosigners or keys != tuple(sorted(set(keys))) or body.sender in keys:
            return Rejection.COSIGNATURE_INVALID
        if not all(verdicts):
            return Rejection.COSIGNATURE_INVALID
    return None


def is_bare(transaction: Transaction, sidecars: Sequence[Sidecar]) -> bool:
    """Whether this is an application whose sidecars are erased: its result can only be taken from its receipt."""
    return not sidecars and isinstance(transaction.body.payload, Apply)


def check_sidecars(transaction: Transaction, item: BatchItem, *, may_be_bare: bool = False) -> Rejection | None:
    """Sidecars must match the application's commitments one to one, in order; others carry none.

    `may_be_bare` lets all of an application's be erased: of what is final and executed, never of what is voted on.
    """
    if may_be_bare and is_bare(transaction, item.sidecars):
        return None
    payload = transaction.body.payload
    wanted = payload.sidecars if isinstance(payload, Apply) else ()
    if len(wanted) != len(item.sidecars):
        return Rejection.SIDECAR_MISMATCH
    for commitment, sidecar in zip(wanted, item.sidecars, strict=True):
        if commitment.model != sidecar.model or commitment.commitment != sidecar.calculate_commitment():
            return Rejection.SIDECAR_MISMATCH
    return None


def open_item(item: BatchItem, chain_id: ChainId, transaction_id: TransactionId | None = None) -> Opened | Rejection:
    """What can be said of a transaction before any signature is verified, in order of precedence."""
    opened = open_transaction(item.transaction, transaction_id)
    if isinstance(opened, Rejection):
        return opened
    body = opened.transaction.body
    if body.version != TRANSACTION_VERSION:
        return Rejection.WRONG_VERSION
    return opened if body.chain_id == chain_id else Rejection.WRONG_CHAIN


def check_stateless(item: BatchItem, chain_id: ChainId, *, may_be_bare: bool = False) -> Transaction | Rejection:
    """Everything about a transaction that needs neither books nor clock, in order of precedence."""
    opened = open_item(item, chain_id)
    if isinstance(opened, Rejection):
        return opened
    refused = check_opened(opened) or check_sidecars(opened.transaction, item, may_be_bare=may_be_bare)
    return refused or opened.transaction


def check_valid_to(transaction: Transaction, now_ms: TimeMs) -> Rejection | None:
    """Whether `valid_to_ms` has passed or lies too far ahead at `now_ms` (block time, or local time at the door)."""
    if transaction.body.valid_to_ms < now_ms:
        return Rejection.EXPIRED
    if transaction.body.valid_to_ms > now_ms + VALID_FOR_MS_MAX:
        return Rejection.VALID_TO_TOO_FAR
    return None
