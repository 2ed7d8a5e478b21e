"""Guests: nodes of nobody in the books, that a node lets in to read where its settings say `observers = "open"`.

A guest proves its key as everybody does. It is told where this node stands, and may ask for blocks, batches,
certificates, recorded receipts and snapshots. Nothing else that it says is heard: no votes, no transactions, no claims,
so that it can neither write nor mislead. Batches come to it without the bins of applications, which belong to
persons and to those they were granted to; it executes by the recorded receipts instead. Places are few, a guest's rates
are an eighth of a member's, and no member ever asks a guest for anything. Never serve a document here.
"""

from typing import Final

import msgspec

from node.gossip.link import Link
from protocol.batch import Batch
from protocol.ids import PublicKey
from protocol.limits import GUESTS_MAX
from protocol.messages import (
    Batches,
    BatchReply,
    GetBatch,
    GetBatches,
    GetBlock,
    GetBlocks,
    GetCertificates,
    GetChunk,
    GetManifest,
    GetOutcome,
    GetSnapshots,
    Message,
)

HEARD: Final = frozenset(
    {GetBlocks, GetBlock, GetBatch, GetBatches, GetCertificates, GetOutcome, GetSnapshots, GetManifest, GetChunk}
)
SHARE: Final = 8
STATUS_EVERY_S: Final = 2.0


def make_fit(message: Message) -> Message:
    """What a guest gets of a message: batches without their sidecars, which their digests do not cover."""
    if isinstance(message, Batches):
        return Batches(replies=tuple(map(_strip, message.replies)))
    return _strip(message) if isinstance(message, BatchReply) else message


def _strip(reply: BatchReply) -> BatchReply:
    if reply.batch is None:
        return reply
    items = tuple(msgspec.structs.replace(item, sidecars=()) for item in reply.batch.items)
    return msgspec.structs.replace(reply, batch=Batch(items=items))


class Guests:
    """Those of one node. Without places it has none."""

    def __init__(self, *, is_open: bool, places: int = GUESTS_MAX) -> None:
        self._places = places if is_open else 0
        self.links: dict[PublicKey, Link] = {}

    @property
    def is_open(self) -> bool:
        """Whether anybody may come in."""
        return self._places > 0

    def list_linked(self, now_s: float) -> list[tuple[PublicKey, int]]:
        """Each with the whole seconds it has been linked, in order of key."""
        return [(key, int(now_s - link.since_s)) for key, link in sorted(self.links.items())]

    def has_room(self, peer: PublicKey) -> bool:
        """Whether there is a place for this one; it may take its own again."""
        return peer in self.links or len(self.links) < self._places

    def takes(self, message: Message) -> bool:
        """Whether a guest's word is heard."""
        return type(message) in HEARD
