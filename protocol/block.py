"""Headers and blocks: what validators agree on. A block orders batch digests; it carries no transaction.

Never put execution here: a header only *names* an executed state (exec_height, exec_root) of a finalised ancestor.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated

import msgspec

from protocol.batch import BatchRef
from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import (
    BlockDigest,
    BlockDigestField,
    ChainId,
    ChainIdField,
    Digest,
    DigestField,
    Epoch,
    EpochField,
    Height,
    HeightField,
    IndexField,
    TimeMsField,
    View,
    ViewField,
)
from protocol.limits import BLOCK_BATCHES_MAX, BLOCK_TRANSACTIONS_MAX
from protocol.merkle import calculate_root

HEADER_VERSION = 1


class Header(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a certificate vouches for."""

    version: int
    chain_id: ChainIdField
    """SHA-256 of the genesis."""
    epoch: EpochField
    height: HeightField
    """Global; the genesis is height 0 and has no header on the wire."""
    view: ViewField
    """The view it was first proposed in."""
    parent_digest: BlockDigestField
    """Digest of the parent header; the genesis digest at height 1."""
    time_ms: TimeMsField
    """Strictly later than the parent's; the only clock of execution."""
    batches_root: DigestField
    """Merkle root over the encoded batch references."""
    batch_count: Annotated[int, msgspec.Meta(ge=0, le=BLOCK_BATCHES_MAX)]
    tx_count: Annotated[int, msgspec.Meta(ge=0, le=BLOCK_TRANSACTIONS_MAX)]
    exec_height: HeightField
    """A finalised ancestor whose execution is vouched for here."""
    exec_root: DigestField
    """State and receipts after `exec_height`."""
    history_root: DigestField
    """Mountain range over the headers of heights 1 .. height-1."""
    next_validators_hash: DigestField
    """Of the validators that the state after `exec_height` plans to follow; of the present ones when it plans none."""
    epoch_end: HeightField
    """Height of the block that ends this epoch, once a header announced other validators; 0 before."""
    params_hash: DigestField
    proposer: IndexField

    @property
    def is_boundary(self) -> bool:
        """Whether it ends its epoch."""
        return self.epoch_end == self.height > GENESIS_HEIGHT

    def calculate_digest(self) -> BlockDigest:
        """The block's identity: H(header)."""
        return BlockDigest(calculate_hash("header", encode(self)))


class Block(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A header and the batches it orders."""

    header: Header
    batches: Annotated[tuple[BatchRef, ...], msgspec.Meta(max_length=BLOCK_BATCHES_MAX)]


def is_chain(headers: Sequence[Header]) -> bool:
    """Whether each header is the child of the one before."""
    return all(
        child.height == parent.height + 1 and child.parent_digest == parent.calculate_digest()
        for parent, child in pairwise(headers)
    )


def calculate_batches_root(batches: Sequence[BatchRef]) -> Digest:
    """Merkle root over the encoded references, in order."""
    return calculate_root([encode(ref) for ref in batches])


def calculate_genesis_digest(chain_id: ChainId) -> BlockDigest:
    """The digest that stands for height 0: parent of the first block."""
    return BlockDigest(calculate_hash("genesis-block", chain_id))


GENESIS_HEIGHT = Height(0)
FIRST_EPOCH = Epoch(0)
GENESIS_VIEW = View(0)
