"""Every kind of message between nodes, in one table: how urgent it is, what it may weigh, how many one peer may send.

A message that is not in the table cannot be sent after the handshake: a missing key is the refusal. Sizes follow from
the limits of the protocol and hold before anything is decoded. Rates are a peer's own, kept across its links: beyond
them its next words wait unread, so that TCP holds it up and it alone, or, where nobody waits for an answer, go
unheard. They lie far above what the quickest network needs; what a message costs beyond its reading is bounded where
that work is done (`node.turns`, `node.batches`, `node.reception`). No IO, no meaning of messages.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple

from node.allowance import Allowance
from protocol.certificate import Certificate, Vote
from protocol.codec import CodecError
from protocol.limits import BATCHES_PER_REPLY_MAX, DOCUMENT_BYTES_MAX, FRAME_BYTES_MAX, SNAPSHOT_CHUNK_BYTES_MAX
from protocol.messages import (
    Batches,
    BatchReply,
    BlockReply,
    Blocks,
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
    ManifestReply,
    Message,
    OutcomeReply,
    Propose,
    PushBatch,
    Snapshots,
    Status,
    decode_message,
)


class Priority(IntEnum):
    """Lower goes first: a vote never waits behind a batch."""

    VOTE = 0
    PROPOSAL = 1
    CERTIFICATE = 2
    BATCH = 3
    DOCUMENT = 4
    SYNC = 5


class Kind(NamedTuple):
    """What holds for one kind of message."""

    priority: Priority
    bytes_max: int
    """Of a frame; the largest that is well formed fits."""
    per_s: int
    """Of one peer, in the long run."""
    at_once: int
    """And after a rest."""
    is_dropped: bool = False
    """Beyond its rate it goes unheard, instead of making its sender wait."""


_ASKING: Final = 64
"""Bytes of a question: a tag, a digest or two numbers."""
_REPLY_HEAD: Final = 64
"""What stands around the bytes that a reply brings."""
_RECORDED: Final = 20_480
"""A receipt with its path and RECORDED_LINKS_MAX links."""
_CERTIFICATE: Final = 2_304
"""Thirty-two signatures with their head."""

KINDS: Final[dict[type[object], Kind]] = {
    Vote: Kind(Priority.VOTE, 144, 1_000, 4_096),
    Propose: Kind(Priority.PROPOSAL, 90_112, 200, 1_024),
    GetBlock: Kind(Priority.PROPOSAL, _ASKING, 200, 1_024),
    BlockReply: Kind(Priority.PROPOSAL, 4_096, 200, 1_024),
    Certificate: Kind(Priority.CERTIFICATE, _CERTIFICATE, 1_000, 4_096),
    GetCertificates: Kind(Priority.CERTIFICATE, _ASKING, 50, 256),
    Certificates: Kind(Priority.CERTIFICATE, 64 * _CERTIFICATE, 50, 256),
    Status: Kind(Priority.CERTIFICATE, 144, 20, 128),
    GetKeyUse: Kind(Priority.CERTIFICATE, _ASKING, 2, 16, is_dropped=True),
    KeyUse: Kind(Priority.CERTIFICATE, 192, 2, 16, is_dropped=True),
    PushBatch: Kind(Priority.BATCH, FRAME_BYTES_MAX, 400, 2_048),
    GetBatch: Kind(Priority.BATCH, _ASKING, 2_000, 8_192),
    BatchReply: Kind(Priority.BATCH, FRAME_BYTES_MAX, 2_000, 8_192),
    GetBatches: Kind(Priority.BATCH, _ASKING + 34 * BATCHES_PER_REPLY_MAX, 200, 1_024),
    Batches: Kind(Priority.BATCH, FRAME_BYTES_MAX, 200, 1_024),
    GetDocument: Kind(Priority.DOCUMENT, _ASKING, 20, 128),
    DocumentReply: Kind(Priority.DOCUMENT, DOCUMENT_BYTES_MAX + _REPLY_HEAD, 20, 128),
    GetBlocks: Kind(Priority.SYNC, _ASKING, 200, 1_024),
    Blocks: Kind(Priority.SYNC, FRAME_BYTES_MAX, 200, 1_024),
    GetSnapshots: Kind(Priority.SYNC, 16, 5, 32),
    Snapshots: Kind(Priority.SYNC, 128, 5, 32),
    GetManifest: Kind(Priority.SYNC, _ASKING, 5, 32),
    ManifestReply: Kind(Priority.SYNC, FRAME_BYTES_MAX, 5, 32),
    GetChunk: Kind(Priority.SYNC, _ASKING, 400, 2_048),
    ChunkReply: Kind(Priority.SYNC, SNAPSHOT_CHUNK_BYTES_MAX + _REPLY_HEAD, 400, 2_048),
    GetOutcome: Kind(Priority.SYNC, _ASKING, 400, 2_048),
    OutcomeReply: Kind(Priority.SYNC, _RECORDED, 400, 2_048),
}

FRAME_LIMIT: Final = max(kind.bytes_max for kind in KINDS.values())
"""The websocket layer assembles nothing larger."""


def _find_tag(kind: type[object]) -> int:
    """The number that a frame of this kind begins with, behind one byte that says how many fields there are."""
    tag: int = kind.__struct_config__.tag  # type: ignore[attr-defined]
    assert tag in range(128), "one byte on the wire"
    return tag


_BYTES_MAX: Final = {_find_tag(kind): row.bytes_max for kind, row in KINDS.items()}


def decode_frame(raw: bytes) -> Message:
    """The message of a frame on an established link. Raises CodecError for anything that may not be said there."""
    limit = _BYTES_MAX.get(raw[1]) if len(raw) > 1 else None
    if limit is None:
        raise CodecError("no kind of message that may be said on a link")
    if len(raw) > limit:
        raise CodecError("the frame is larger than its kind may be")
    return decode_message(raw)


class Rates:
    """What one peer may still say of each kind. `clock_ms` never steps; `share` divides the rates of the table."""

    def __init__(self, clock_ms: Callable[[], int], *, share: int = 1) -> None:
        self._clock_ms = clock_ms
        self._share = share
        self._held: dict[type[object], Allowance] = {}

    def take(self, kind: type[object]) -> int:
        """Milliseconds for which a message of this kind must wait; 0, and it counts, when it need not."""
        now_ms, row = self._clock_ms(), KINDS[kind]
        held = self._held.get(kind)
        if held is None:
            held = self._held[kind] = Allowance(
                max(1, row.per_s // self._share), max(1, row.at_once // self._share), now_ms
            )
        wait_ms = held.calculate_wait_ms(now_ms)
        if not wait_ms:
            held.spend(1, now_ms)
        return wait_ms
