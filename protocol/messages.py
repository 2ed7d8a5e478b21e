"""What nodes say to each other: one frame is one message, canonical msgpack of a tagged array.

Each message has a named size limit through its fields. Who may send what, and when, is the gossip layer's and the
engine's business; never put behaviour here.
"""

from typing import Annotated, cast

import msgspec

from protocol.batch import Batch
from protocol.block import GENESIS_HEIGHT, Block, Header
from protocol.certificate import Certificate, Vote
from protocol.codec import decode
from protocol.ids import (
    BatchDigestField,
    BlockDigestField,
    ChainIdField,
    DigestField,
    EpochField,
    HeightField,
    PublicKeyField,
    SignatureField,
    TransactionIdField,
    ViewField,
)
from protocol.limits import (
    BATCHES_PER_REPLY_MAX,
    DOCUMENT_BYTES_MAX,
    SNAPSHOT_CHUNK_BYTES_MAX,
    SNAPSHOTS_KEPT,
    SYNC_BLOCKS_PER_REPLY_MAX,
    SYNC_HEADERS_PER_REPLY_MAX,
    VIEW_WINDOW_AHEAD,
    VIEW_WINDOW_PAST,
)
from protocol.recorded import RecordedReceipt
from protocol.snapshot import SnapshotManifest

ViewWindow = VIEW_WINDOW_PAST + VIEW_WINDOW_AHEAD


class Propose(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """The leader's block for a view, with what a voter needs to accept its parent."""

    epoch: EpochField
    view: ViewField
    block: Block
    parent_view: ViewField
    """View of the parent's notarization; 0 when the parent is the epoch's genesis. For a boundary block proposed again
    (view > header.view) the block's own last notarization stands here and in `parent_cert`."""
    parent_cert: Certificate | None
    """Notarization (or finalization) of the parent; None only for the epoch's genesis."""
    finalization: Certificate | None
    """A recent finalization, so that a lagging voter can verify exec_height."""
    nullifications: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=ViewWindow)]
    """Of the views skipped between parent_view and view: the first page; the rest is asked for."""
    signature: SignatureField
    """Leader's, over the PROPOSE vote bytes with the header's digest."""


class Status(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """Where a node stands; sent on connecting and every few seconds."""

    epoch: EpochField
    view: ViewField
    final_height: HeightField
    final_digest: BlockDigestField
    exec_height: HeightField
    exec_root: DigestField
    base: HeightField = GENESIS_HEIGHT
    """It has no block up to this height, and nothing of what they came to; 0 for the whole history."""


class GetCertificates(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """Ask for the certificates of views from `view_from` on, in the current epoch."""

    epoch: EpochField
    view_from: ViewField


class Certificates(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """Certificates in ascending order of view."""

    certificates: Annotated[tuple[Certificate, ...], msgspec.Meta(max_length=2 * ViewWindow)]


class GetBlocks(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=7):
    """Ask for finalised blocks from `height_from` on."""

    height_from: HeightField
    count: Annotated[int, msgspec.Meta(ge=1, le=SYNC_BLOCKS_PER_REPLY_MAX)]
    known: HeightField = GENESIS_HEIGHT
    """A height above, whose final digest the asker knows already: headers may end there; 0 when it knows none."""


class Blocks(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=8):
    """Consecutive finalised blocks, the headers that go on from them, and one finalization that covers them all.

    No blocks but headers: the page right below what the asker knows, when that is too far above to be reached at once.
    """

    blocks: Annotated[tuple[Block, ...], msgspec.Meta(max_length=SYNC_BLOCKS_PER_REPLY_MAX)]
    finalization: Certificate | None
    """Of the last block or header, or of a descendant of the `known` one they end at; None for an empty reply."""
    trailing: Annotated[tuple[Header, ...], msgspec.Meta(max_length=SYNC_HEADERS_PER_REPLY_MAX)] = ()


class GetBlock(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=9):
    """Ask for one, perhaps not yet finalised, block by digest."""

    digest: BlockDigestField


class BlockReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=10):
    """A block asked for by digest, or None when the node does not hold it."""

    digest: BlockDigestField
    block: Block | None


class PushBatch(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=11):
    """A freshly sealed batch, pushed to every validator once."""

    batch: Batch


class GetBatch(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=12):
    """Ask for a batch by digest."""

    digest: BatchDigestField


class BatchReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=13):
    """A batch asked for, or None when the node does not hold it."""

    digest: BatchDigestField
    batch: Batch | None


class GetDocument(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=14):
    """Ask for an encrypted document by the hash of its ciphertext, with the asker's own grant."""

    digest: DigestField


class DocumentReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=15):
    """The stored envelope (ciphertext and the asker's sealed grants), or None when not held or not granted."""

    digest: DigestField
    envelope: Annotated[bytes, msgspec.Meta(max_length=DOCUMENT_BYTES_MAX)] | None


class Hello(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=16):
    """First frame each way: who speaks, on which chain, and a challenge."""

    version: int
    chain_id: ChainIdField
    node_key: PublicKeyField
    challenge: DigestField
    instance: DigestField
    """Random per process start: two live nodes with one key notice each other."""
    listen: Annotated[str, msgspec.Meta(max_length=128)]
    """Address others can dial, or empty."""


class HelloProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=17):
    """Second frame each way: the node key's signature over both hellos."""

    signature: SignatureField


class GetKeyUse(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=18):
    """Another process proved your node key: say that you live, to it."""

    other: DigestField
    """Its instance."""


class KeyUse(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=19):
    """One live process of a node key says to another that it lives: both must stop voting."""

    node_key: PublicKeyField
    instance: DigestField
    """Of the one that speaks."""
    other: DigestField
    """Of the one spoken to; drawn at its start, so what names it was signed while, or after, it lived."""
    signature: SignatureField


class GetSnapshots(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=20):
    """Ask which snapshots a node has."""


class SnapshotOffer(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A snapshot that a node has."""

    height: HeightField
    digest: DigestField
    """Of its content: equal on all honest nodes."""


class Snapshots(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=21):
    """The snapshots a node has."""

    offers: Annotated[tuple[SnapshotOffer, ...], msgspec.Meta(max_length=SNAPSHOTS_KEPT)]


class GetManifest(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=22):
    """Ask what a snapshot consists of, and for its proof."""

    digest: DigestField


class ManifestReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=23):
    """A manifest asked for, or None when the node does not hold it (any more)."""

    digest: DigestField
    manifest: SnapshotManifest | None


class GetChunk(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=24):
    """Ask for a chunk of any snapshot by its digest."""

    digest: DigestField


class ChunkReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=25):
    """A chunk asked for, or None when the node does not hold it (any more)."""

    digest: DigestField
    chunk: Annotated[bytes, msgspec.Meta(max_length=SNAPSHOT_CHUNK_BYTES_MAX)] | None


class GetOutcome(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=26):
    """Ask for the receipt of an application whose sidecars are erased, proved by the state after a height."""

    transaction: TransactionIdField
    height: HeightField
    """At which it was executed."""
    named: HeightField
    """Whose executed state a final header of the asker's names."""


class OutcomeReply(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=27):
    """A receipt asked for, or None when the node does not have it."""

    transaction: TransactionIdField
    recorded: RecordedReceipt | None


class GetBatches(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=28):
    """Ask for several batches by digest: whoever executes what is final wants all of a block."""

    digests: Annotated[tuple[BatchDigestField, ...], msgspec.Meta(min_length=1, max_length=BATCHES_PER_REPLY_MAX)]


class Batches(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=29):
    """Several batches asked for; no batch for one that the node does not hold, or has no room for in this frame."""

    replies: Annotated[tuple[BatchReply, ...], msgspec.Meta(min_length=1, max_length=BATCHES_PER_REPLY_MAX)]


Message = (
    Propose
    | Vote
    | Certificate
    | Status
    | GetCertificates
    | Certificates
    | GetBlocks
    | Blocks
    | GetBlock
    | BlockReply
    | PushBatch
    | GetBatch
    | BatchReply
    | GetDocument
    | DocumentReply
    | Hello
    | HelloProof
    | GetKeyUse
    | KeyUse
    | GetSnapshots
    | Snapshots
    | GetManifest
    | ManifestReply
    | GetChunk
    | ChunkReply
    | GetOutcome
    | OutcomeReply
    | GetBatches
    | Batches
)
"""Any frame between nodes."""


def decode_message(raw: bytes) -> Message:
    """The message of one frame. Raises CodecError for anything else."""
    return decode(raw, cast("type[Message]", Message))
