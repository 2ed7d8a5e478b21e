"""The largest well-formed message of each kind, as far as the protocol's own limits say what that is."""

from typing import Any, Final

from protocol.batch import BatchRef
from protocol.block import Block, Header
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import (
    BatchDigest,
    BlockDigest,
    ChainId,
    Digest,
    Epoch,
    Height,
    ModelId,
    ObjectId,
    PublicKey,
    Signature,
    TimeMs,
    TransactionId,
    View,
)
from protocol.ledger.records import Assessed, ExecLink, Made, Receipt
from protocol.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    BATCHES_PER_REPLY_MAX,
    BLOCK_BATCHES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    DOCUMENT_BYTES_MAX,
    REASONS_MAX,
    RECORDED_LINKS_MAX,
    SIDECARS_PER_APPLICATION_MAX,
    SNAPSHOT_CHUNK_BYTES_MAX,
    SNAPSHOTS_KEPT,
    SYNC_BLOCKS_PER_REPLY_MAX,
    VALIDATORS_MAX,
)
from protocol.messages import (
    BlockReply,
    Certificates,
    ChunkReply,
    DocumentReply,
    GetBatch,
    GetBatches,
    GetBlock,
    GetBlocks,
    GetCertificates,
    GetChunk,
    GetDocument,
    GetKeyUse,
    GetManifest,
    GetOutcome,
    GetSnapshots,
    KeyUse,
    Message,
    OutcomeReply,
    Propose,
    SnapshotOffer,
    Snapshots,
    Status,
    ViewWindow,
)
from protocol.money import PPM, Ppm
from protocol.recorded import RecordedReceipt

U53: Final = 2**53 - 1
U32: Final = 2**32 - 1
BYTES: Final = bytes([255]) * 32
SIGNATURE: Final = Signature(bytes(64))
HEADER: Final = Header(
    version=2**16,
    chain_id=ChainId(BYTES),
    epoch=Epoch(U32),
    height=Height(U53),
    view=View(U53),
    parent_digest=BlockDigest(BYTES),
    time_ms=TimeMs(U53),
    batches_root=Digest(BYTES),
    batch_count=BLOCK_BATCHES_MAX,
    tx_count=BLOCK_TRANSACTIONS_MAX,
    exec_height=Height(U53),
    exec_root=Digest(BYTES),
    history_root=Digest(BYTES),
    next_validators_hash=Digest(BYTES),
    epoch_end=Height(U53),
    params_hash=Digest(BYTES),
    proposer=255,  # type: ignore[arg-type]
)
REFERENCE: Final = BatchRef(digest=BatchDigest(BYTES), tx_count=BATCH_TRANSACTIONS_MAX, size=BATCH_BYTES_MAX)
BLOCK: Final = Block(header=HEADER, batches=(REFERENCE,) * BLOCK_BATCHES_MAX)
CERTIFICATE: Final = Certificate(
    kind=VoteKind.FINALIZE,
    epoch=Epoch(U32),
    view=View(U53),
    digest=BlockDigest(BYTES),
    signers=2**VALIDATORS_MAX - 1,
    signatures=(SIGNATURE,) * VALIDATORS_MAX,
)
_DIGEST: Final[Any] = BYTES

RECORDED: Final = RecordedReceipt(
    receipt=Receipt(
        transaction_id=TransactionId(BYTES),
        height=Height(U53),
        index=U53,
        rejection=None,
        outcome=(
            Made(id=ObjectId(BYTES)),
            *(
                Assessed(model=ModelId(BYTES), points=-U53, pd_ppm=Ppm(PPM), band=U53, reasons=(65_535,) * REASONS_MAX)
                for _ in range(SIDECARS_PER_APPLICATION_MAX)
            ),
        ),
    ),
    receipts_count=BLOCK_TRANSACTIONS_MAX,
    receipts_tree_root=Digest(BYTES),
    path=(Digest(BYTES),) * 16,
    state_root=Digest(BYTES),
    previous_exec_root=Digest(BYTES),
    links=(ExecLink(state_root=Digest(BYTES), receipts_root=Digest(BYTES)),) * RECORDED_LINKS_MAX,
)

LARGEST: Final[tuple[Message, ...]] = (
    Vote(
        kind=VoteKind.FINALIZE,
        epoch=Epoch(U32),
        view=View(U53),
        digest=BlockDigest(BYTES),
        index=255,  # type: ignore[arg-type]
        signature=SIGNATURE,
    ),
    Propose(
        epoch=Epoch(U32),
        view=View(U53),
        block=BLOCK,
        parent_view=View(U53),
        parent_cert=CERTIFICATE,
        finalization=CERTIFICATE,
        nullifications=(CERTIFICATE,) * ViewWindow,
        signature=SIGNATURE,
    ),
    GetBlock(digest=_DIGEST),
    BlockReply(digest=_DIGEST, block=BLOCK),
    CERTIFICATE,
    GetCertificates(epoch=Epoch(U32), view_from=View(U53)),
    Certificates(certificates=(CERTIFICATE,) * (2 * ViewWindow)),
    Status(
        epoch=Epoch(U32),
        view=View(U53),
        final_height=Height(U53),
        final_digest=BlockDigest(BYTES),
        exec_height=Height(U53),
        exec_root=Digest(BYTES),
        base=Height(U53),
    ),
    GetKeyUse(other=Digest(BYTES)),
    KeyUse(node_key=PublicKey(BYTES), instance=Digest(BYTES), other=Digest(BYTES), signature=SIGNATURE),
    GetBatch(digest=_DIGEST),
    GetBatches(digests=(_DIGEST,) * BATCHES_PER_REPLY_MAX),
    GetDocument(digest=_DIGEST),
    DocumentReply(digest=_DIGEST, envelope=bytes(DOCUMENT_BYTES_MAX)),
    GetBlocks(height_from=Height(U53), count=SYNC_BLOCKS_PER_REPLY_MAX, known=Height(U53)),
    GetSnapshots(),
    Snapshots(offers=(SnapshotOffer(height=Height(U53), digest=Digest(BYTES)),) * SNAPSHOTS_KEPT),
    GetManifest(digest=_DIGEST),
    GetChunk(digest=_DIGEST),
    ChunkReply(digest=_DIGEST, chunk=bytes(SNAPSHOT_CHUNK_BYTES_MAX)),
    GetOutcome(transaction=TransactionId(BYTES), height=Height(U53), named=Height(U53)),
    OutcomeReply(transaction=TransactionId(BYTES), recorded=RECORDED),
)
"""Missing are those that a whole frame bounds alone: PushBatch, BatchReply, Batches, Blocks, ManifestReply."""
