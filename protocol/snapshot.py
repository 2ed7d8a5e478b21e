"""A snapshot: all rows of the books after one height, in chunks, and the proof from the genesis that they are those.

    genesis -> boundary headers -> validators of an epoch -> finalization of a header -> its ancestors
      -> one that names an executed state -> links back to the state after the snapshot's height -> its rows

What the content says depends on the chain alone, so honest nodes make equal ones and chunks of several mix. The proof
may differ from node to node. A checked manifest vouches for the roots and the place in the chain; that its chunks are
the rows under those roots shows when all of them are there. Never read or write a file here.
"""

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Annotated, NamedTuple

import msgspec

from protocol.block import Block, Header, calculate_batches_root, is_chain
from protocol.certificate import Certificate
from protocol.codec import decode, encode
from protocol.crypto import calculate_hash
from protocol.epochs import EpochProof, find_last_set, is_finalised
from protocol.genesis import Genesis
from protocol.ids import CountField, Digest, DigestField, Height
from protocol.ledger.records import ExecLink, calculate_exec_root, carry_exec_root
from protocol.ledger.tree import TableField
from protocol.limits import (
    SNAPSHOT_BLOCKS_MAX,
    SNAPSHOT_CHUNK_BYTES_MAX,
    SNAPSHOT_CHUNKS_MAX,
    SNAPSHOT_EPOCHS_MAX,
    SNAPSHOT_HEADERS_MAX,
)
from protocol.merkle import Mountains

SNAPSHOT_VERSION = 1
ROW_BYTES = 13
"""What msgpack adds to a row at most: an array of three, a table number, two lengths."""
_HEAD_BYTES = 5

Row = tuple[TableField, bytes, bytes]
"""(table, key, canonical bytes)."""


class ChunkRef(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One chunk, by what its bytes hash to."""

    digest: DigestField
    size: Annotated[int, msgspec.Meta(ge=1, le=SNAPSHOT_CHUNK_BYTES_MAX)]


class SnapshotContent(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """What every honest node says of the same height."""

    version: int
    blocks: Annotated[tuple[Block, ...], msgspec.Meta(min_length=1, max_length=SNAPSHOT_BLOCKS_MAX)]
    """The snapshot's block, and those before it whose roots later headers may still name: all above the height that
    its own header names."""
    links: Annotated[tuple[ExecLink, ...], msgspec.Meta(min_length=1, max_length=SNAPSHOT_BLOCKS_MAX)]
    """What executing those blocks came to; the last is the state that the rows are of."""
    peaks: Annotated[tuple[DigestField, ...], msgspec.Meta(max_length=53)]
    """Of the mountain range over the headers up to the snapshot's."""
    rows: CountField
    chunks: Annotated[tuple[ChunkRef, ...], msgspec.Meta(min_length=1, max_length=SNAPSHOT_CHUNKS_MAX)]

    @property
    def header(self) -> Header:
        """Of the snapshot's block."""
        return self.blocks[-1].header

    @property
    def height(self) -> Height:
        """The rows are the state after this one."""
        return self.header.height

    @property
    def size(self) -> int:
        """Bytes of all chunks."""
        return sum(one.size for one in self.chunks)

    def calculate_digest(self) -> Digest:
        """Which snapshot it is: H(content)."""
        return calculate_hash("snapshot", encode(self))


class SnapshotProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Why a quorum stands behind a content."""

    links: Annotated[tuple[ExecLink, ...], msgspec.Meta(max_length=SNAPSHOT_HEADERS_MAX)]
    """Heights after the snapshot's, up to the one that a header names."""
    headers: Annotated[tuple[Header, ...], msgspec.Meta(min_length=1, max_length=SNAPSHOT_HEADERS_MAX)]
    """From the child of the snapshot's block to the finalised one."""
    finalization: Certificate
    """Of the last header."""
    epochs: Annotated[tuple[EpochProof, ...], msgspec.Meta(max_length=SNAPSHOT_EPOCHS_MAX)]
    """How each epoch before the finalization's ended, the first one first; none in the first epoch."""


class SnapshotManifest(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A content with its proof."""

    content: SnapshotContent
    proof: SnapshotProof


class SnapshotFault(Enum):
    """Why a manifest, or what came for it, is no snapshot: a stable code and a sentence."""

    VERSION = ("snapshot_version", "The snapshot is of a version this release does not read.")
    CHAIN = ("snapshot_wrong_network", "The snapshot is of another network.")
    BLOCKS = ("snapshot_blocks", "The snapshot's blocks do not follow from one another.")
    HISTORY = ("snapshot_history", "The snapshot's history is not that of its block.")
    HEADERS = ("snapshot_headers", "The headers after the snapshot do not follow from one another.")
    EXECUTION = ("snapshot_execution", "No header names the executed state of the snapshot.")
    EPOCHS = ("snapshot_epochs", "The changes of validators before the snapshot do not hold.")
    FINALIZATION = ("snapshot_finalization", "No quorum of validators stands behind the snapshot.")
    CHUNK = ("snapshot_chunk", "A chunk is not the one that the snapshot names.")
    ROWS = ("snapshot_rows", "The rows are not in order, or not as many as the snapshot says.")
    STATE = ("snapshot_state", "The rows are not the state that the validators finalised.")

    @property
    def code(self) -> str:
        """Stable code."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """For people."""
        return self.value[1]


class ExecutedRoots(NamedTuple):
    """What executing one block came to."""

    height: Height
    state_root: Digest
    receipts_root: Digest
    exec_root: Digest


class VerifiedSnapshot(NamedTuple):
    """A manifest that holds: everything but the rows is proven."""

    content: SnapshotContent
    digest: Digest
    roots: tuple[ExecutedRoots, ...]
    """One for each block of the content."""
    epochs: tuple[EpochProof, ...]
    """Of the epochs that have ended at the snapshot's height."""

    @property
    def height(self) -> Height:
        """The rows are the state after this one."""
        return self.content.height

    @property
    def state_root(self) -> Digest:
        """What the rows must hash to."""
        return self.roots[-1].state_root

    @property
    def mountains(self) -> Mountains:
        """Over the headers up to the snapshot's block."""
        return Mountains(self.height, self.content.peaks)


# ---------------------------------------------------------------------- rows and chunks


def split_rows(
    rows: Iterable[tuple[int, bytes, bytes]], bytes_max: int = SNAPSHOT_CHUNK_BYTES_MAX
) -> Iterator[tuple[int, bytes]]:
    """Rows in ascending order of table and key -> (count of rows, bytes) of one chunk after another.

    A chunk is closed when the next row may not fit; where chunks end follows from the rows alone.
    """
    kept: list[tuple[int, bytes, bytes]] = []
    size = _HEAD_BYTES
    for row in rows:
        weight = ROW_BYTES + len(row[1]) + len(row[2])
        assert _HEAD_BYTES + weight <= bytes_max, "a row is bounded by what a transaction may say"
        if size + weight > bytes_max:
            yield len(kept), encode(kept)
            kept, size = [], _HEAD_BYTES
        kept.append(row)
        size += weight
    if kept:
        yield len(kept), encode(kept)


def read_rows(chunk: bytes) -> tuple[Row, ...]:
    """The rows of a chunk. Raises CodecError for other bytes."""
    return decode(chunk, tuple[Row, ...])


def calculate_chunk_digest(chunk: bytes) -> Digest:
    """What a manifest calls a chunk by."""
    return calculate_hash("snapshot-chunk", chunk)


# ---------------------------------------------------------------------- manifests


def calculate_exec_roots(content: SnapshotContent) -> tuple[ExecutedRoots, ...]:
    """The roots of the content's blocks, from the one that the last header names on."""
    height, root = content.header.exec_height, Digest(content.header.exec_root)
    found: list[ExecutedRoots] = []
    for link in content.links:
        height = Height(height + 1)
        root = calculate_exec_root(height, Digest(link.state_root), Digest(link.receipts_root), root)
        found.append(ExecutedRoots(height, Digest(link.state_root), Digest(link.receipts_root), root))
    return tuple(found)


def check_manifest(manifest: SnapshotManifest, genesis: Genesis) -> VerifiedSnapshot | SnapshotFault:
    """What a manifest proves with the genesis alone, or its first fault. Costs a few signatures per epoch."""
    content, proof = manifest.content, manifest.proof
    fault = _check_content(content, genesis) or _check_headers(content, proof)
    if fault is not None:
        return fault
    roots = calculate_exec_roots(content)
    if not _is_named(proof, roots[-1]):
        return SnapshotFault.EXECUTION
    fault = _check_finalization(proof, genesis)
    if fault is not None:
        return fault
    ended = tuple(one for one in proof.epochs if one.header.height <= content.height)
    if len(ended) != content.header.epoch + content.header.is_boundary:
        return SnapshotFault.EPOCHS
    return VerifiedSnapshot(content, content.calculate_digest(), roots, ended)


def _check_content(content: SnapshotContent, genesis: Genesis) -> SnapshotFault | None:
    if content.version != SNAPSHOT_VERSION:
        return SnapshotFault.VERSION
    chain_id = genesis.calculate_chain_id()
    if any(block.header.chain_id != chain_id for block in content.blocks):
        return SnapshotFault.CHAIN
    if content.blocks[0].header.height != content.header.exec_height + 1 or len(content.links) != len(content.blocks):
        return SnapshotFault.BLOCKS
    if not is_chain([block.header for block in content.blocks]):
        return SnapshotFault.BLOCKS
    for block in content.blocks:
        header = block.header
        if header.batch_count != len(block.batches) or header.batches_root != calculate_batches_root(block.batches):
            return SnapshotFault.BLOCKS
    return None


def _check_headers(content: SnapshotContent, proof: SnapshotProof) -> SnapshotFault | None:
    if any(header.chain_id != content.header.chain_id for header in proof.headers):
        return SnapshotFault.CHAIN
    if not is_chain([content.header, *proof.headers]):
        return SnapshotFault.HEADERS
    mountains = Mountains(content.height, content.peaks)
    if len(content.peaks) != content.height.bit_count():
        return SnapshotFault.HISTORY
    return None if mountains.calculate_root() == proof.headers[0].history_root else SnapshotFault.HISTORY


def _is_named(proof: SnapshotProof, last: ExecutedRoots) -> bool:
    """Whether the state after the snapshot's height, carried on by the links, is one that a final header names."""
    named = carry_exec_root(last.height, last.exec_root, proof.links)
    return any((header.exec_height, header.exec_root) == named for header in proof.headers)


def _check_finalization(proof: SnapshotProof, genesis: Genesis) -> SnapshotFault | None:
    last = proof.headers[-1]
    validators = find_last_set(genesis, proof.epochs, last.epoch)
    if validators is None:
        return SnapshotFault.EPOCHS
    return None if is_finalised(last, proof.finalization, validators) else SnapshotFault.FINALIZATION
