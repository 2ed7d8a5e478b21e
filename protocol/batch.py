"""Batches: groups of signed transactions that travel apart from their order.

A batch digest is the Merkle root over transaction ids, so a sidecar can be erased later and the digest still
verifies. Blocks carry references only. Never execute or order anything here.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from protocol.crypto import calculate_hash
from protocol.ids import BatchDigest, BatchDigestField, Digest, DigestField, ModelIdField, TransactionId
from protocol.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    SIDECAR_BINS_MAX,
    SIDECARS_PER_APPLICATION_MAX,
    TRANSACTION_BYTES_MAX,
)
from protocol.merkle import calculate_root

# `gc=False` below and on other small frozen structs: they hold nothing that could refer back to them, thousands of them
# wait at once, and the collector of cycles would walk them all for nothing.

BinField = Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class Sidecar(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """The binned features one model scores, beside the transaction that commits to them; erasable."""

    model: ModelIdField
    """Which model's bins these are."""
    salt: DigestField
    """Random, so that the commitment of a few small integers cannot be searched."""
    bins: Annotated[tuple[BinField, ...], msgspec.Meta(max_length=SIDECAR_BINS_MAX)]
    """Bin index per feature of the model, in the model's order. No amounts."""

    def calculate_commitment(self) -> Digest:
        """What the ledger keeps for ever: H(model | salt | bins as big-endian u16)."""
        packed = b"".join(b.to_bytes(2, "big") for b in self.bins)
        return calculate_hash("sidecar", self.model, self.salt, packed)


class BatchItem(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One signed transaction with its sidecars."""

    transaction: Annotated[bytes, msgspec.Meta(max_length=TRANSACTION_BYTES_MAX)]
    """Canonical bytes of a SignedTransaction."""
    sidecars: Annotated[tuple[Sidecar, ...], msgspec.Meta(max_length=SIDECARS_PER_APPLICATION_MAX)] = ()
    """Matched to the transaction's commitments by value; empty once erased."""


class Batch(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Transactions sealed together by the node that received them."""

    items: Annotated[tuple[BatchItem, ...], msgspec.Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX)]


class BatchRef(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What a block says of a batch."""

    digest: BatchDigestField
    """Merkle root over the transaction ids, in order."""
    tx_count: Annotated[int, msgspec.Meta(ge=1, le=BATCH_TRANSACTIONS_MAX)]
    size: Annotated[int, msgspec.Meta(ge=1, le=BATCH_BYTES_MAX + TRANSACTION_BYTES_MAX + 65_536)]
    """Bytes of the batch with its sidecars when it was sealed: for budgeting, not for identity."""


def calculate_transaction_id(raw: bytes) -> TransactionId:
    """H(body | all signatures): the id of a signed transaction is the hash of its canonical bytes."""
    return TransactionId(calculate_hash("transaction", raw))


def calculate_batch_digest(ids: Sequence[TransactionId]) -> BatchDigest:
    """Merkle root over transaction ids (RFC 6962)."""
    return BatchDigest(calculate_root(ids))
