"""Votes and certificates: the fixed bytes that validators sign, and the proof that a quorum of them did.

Signed bytes have a fixed layout and never pass through msgpack (consensus.md, "Signed bytes").
Quorum arithmetic lives in `protocol.validators`; which vote may be cast is consensus' business, never this file's.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Annotated

import msgspec

from protocol.ids import (
    BlockDigest,
    BlockDigestField,
    ChainId,
    Epoch,
    EpochField,
    IndexField,
    PublicKey,
    Signature,
    SignatureField,
    ValidatorIndex,
    View,
    ViewField,
)
from protocol.limits import VALIDATORS_MAX
from protocol.validators import ValidatorSet

VOTE_TAG = b"LS1"
VerifySignature = Callable[[PublicKey, bytes, Signature], bool]


class VoteKind(IntEnum):
    """What a signature says; PROPOSE is signed only by the leader and never forms a certificate."""

    PROPOSE = 1
    NOTARIZE = 2
    NULLIFY = 3
    FINALIZE = 4


def calculate_vote_bytes(kind: VoteKind, chain_id: ChainId, epoch: Epoch, view: View, digest: BlockDigest) -> bytes:
    """The 80 bytes signed: tag 3 | kind u8 | chain_id 32 | epoch u32 | view u64 | digest 32 (zero for nullify)."""
    return VOTE_TAG + kind.to_bytes(1, "big") + chain_id + epoch.to_bytes(4, "big") + view.to_bytes(8, "big") + digest


class Vote(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """One validator's Notarize, Nullify or Finalize."""

    kind: VoteKind
    epoch: EpochField
    view: ViewField
    digest: BlockDigestField
    """The block voted for; 32 zero bytes for Nullify."""
    index: IndexField
    """Position of the voter in the epoch's ordered validator set."""
    signature: SignatureField


class Certificate(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """Exactly a quorum of equal votes: a notarization, nullification or finalization."""

    kind: VoteKind
    epoch: EpochField
    view: ViewField
    digest: BlockDigestField
    signers: Annotated[int, msgspec.Meta(ge=1, le=2**VALIDATORS_MAX - 1)]
    """Bit i stands for validator i."""
    signatures: Annotated[tuple[SignatureField, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    """One per set bit, in ascending order of index."""


def calculate_signers(certificate: Certificate) -> tuple[ValidatorIndex, ...]:
    """Indices of the set bits, ascending."""
    bits = certificate.signers
    return tuple(ValidatorIndex(i) for i in range(bits.bit_length()) if bits >> i & 1)


def check_certificate(
    certificate: Certificate, validators: ValidatorSet, chain_id: ChainId, verify: VerifySignature
) -> str | None:
    """Why the certificate proves nothing, or None when exactly a quorum of `validators` signed it.

    Surplus signatures and bits beyond the set are refused, so that one decision has bounded encodings.
    """
    if certificate.kind is VoteKind.PROPOSE:
        return "certificate_kind"
    if certificate.kind is VoteKind.NULLIFY and any(certificate.digest):
        return "certificate_digest"
    indices = calculate_signers(certificate)
    if len(indices) != validators.quorum or len(certificate.signatures) != len(indices):
        return "certificate_quorum"
    if indices[-1] >= len(validators.keys):
        return "certificate_signer"
    message = calculate_vote_bytes(certificate.kind, chain_id, certificate.epoch, certificate.view, certificate.digest)
    for index, signature in zip(indices, certificate.signatures, strict=True):
        if not verify(validators.keys[index], message, signature):
            return "certificate_signature"
    return None
