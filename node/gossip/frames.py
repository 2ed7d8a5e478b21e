"""What each message may weigh and how urgent it is: the table behind every send queue. No IO, no meaning of messages.

A message that is not in the table cannot be sent after the handshake: a missing key is the refusal.
"""

from enum import IntEnum
from typing import Final

from protocol.certificate import Certificate, Vote
from protocol.codec import CodecError
from protocol.limits import DOCUMENT_BYTES_MAX, FRAME_BYTES_MAX
from protocol.messages import (
    BatchReply,
    BlockReply,
    Blocks,
    Certificates,
    ChunkReply,
    DocumentReply,
    GetBatch,
    GetBlock,
    GetBlocks,
    GetCertificates,
    GetChunk,
    GetDocument,
    GetKeyUse,
    GetManifest,
    GetSnapshots,
    Hello,
    HelloProof,
    KeyUse,
    ManifestReply,
    Message,
    Propose,
    PushBatch,
    Snapshots,
    Status,
    decode_message,
)

DOCUMENT_FRAME_BYTES_MAX: Final = DOCUMENT_BYTES_MAX + 64  # tag, digest and length around the envelope
_DOCUMENT_REPLY_HEAD: Final = b"\x93\x0f"  # msgpack array of three, tag 15


class Priority(IntEnum):
    """Lower goes first: a vote never waits behind a batch."""

    VOTE = 0
    PROPOSAL = 1
    CERTIFICATE = 2
    BATCH = 3
    DOCUMENT = 4
    SYNC = 5


PRIORITIES: Final[dict[type[object], Priority]] = {
    Vote: Priority.VOTE,
    Propose: Priority.PROPOSAL,
    GetBlock: Priority.PROPOSAL,
    BlockReply: Priority.PROPOSAL,
    Certificate: Priority.CERTIFICATE,
    GetCertificates: Priority.CERTIFICATE,
    Certificates: Priority.CERTIFICATE,
    Status: Priority.CERTIFICATE,
    GetKeyUse: Priority.CERTIFICATE,
    KeyUse: Priority.CERTIFICATE,
    PushBatch: Priority.BATCH,
    GetBatch: Priority.BATCH,
    BatchReply: Priority.BATCH,
    GetDocument: Priority.DOCUMENT,
    DocumentReply: Priority.DOCUMENT,
    GetBlocks: Priority.SYNC,
    Blocks: Priority.SYNC,
    GetSnapshots: Priority.SYNC,
    Snapshots: Priority.SYNC,
    GetManifest: Priority.SYNC,
    ManifestReply: Priority.SYNC,
    GetChunk: Priority.SYNC,
    ChunkReply: Priority.SYNC,
}


def decode_frame(raw: bytes) -> Message:
    """The message of a frame on an established link. Raises CodecError for anything that may not be said there."""
    limit = DOCUMENT_FRAME_BYTES_MAX if raw.startswith(_DOCUMENT_REPLY_HEAD) else FRAME_BYTES_MAX
    if len(raw) > limit:
        raise CodecError("the frame is larger than its kind may be")
    message = decode_message(raw)
    if isinstance(message, Hello | HelloProof):
        raise CodecError("a greeting after the handshake")
    return message
