"""What peers say, sent on to the room it concerns: the engine's queue, the batch room, the sync plan, or an answer.

One method per message, in a table. A peer's request is served from memory or one read of the store; nothing a peer
says can raise here. Never judge blocks or votes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

from consensus.events import ReceivedCertificate, ReceivedCertificates, ReceivedProposal, ReceivedVote
from node.batches import BatchRoom
from node.driver import Driver
from node.duties import EngineDuties
from node.outcomes import OutcomeRoom
from node.roster import Roster
from node.snapshot.room import SnapshotRoom
from node.store.chain import ChainStore, StoreError
from node.sync import SyncPlan
from node.telemetry import get_logger
from node.vault.store import VaultError
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.ids import BlockDigest, Epoch, Height, PublicKey, ValidatorIndex, View
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX, SYNC_HEADERS_PER_REPLY_MAX
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
    GetManifest,
    GetOutcome,
    GetSnapshots,
    ManifestReply,
    Message,
    OutcomeReply,
    Propose,
    PushBatch,
    Snapshots,
    Status,
    ViewWindow,
)

REQUESTS_PER_PEER_MAX: Final = 32  # being answered at once; further ones are not heard, the asker asks elsewhere


class History(Protocol):
    """What is asked of the engine apart from stepping."""

    def certificates_from(self, view: View, epoch: Epoch | None = None) -> tuple[Certificate, ...]:
        """Certificates of an epoch's views from `view` on."""

    def newest_votes_of(self, index: ValidatorIndex) -> tuple[Vote, ...]:
        """What a validator said in the highest view it was heard in."""

    def find_block(self, digest: BlockDigest) -> Block | None:
        """A block that is not final yet."""


class Documents(Protocol):
    """What is asked of the vault's room."""

    async def on_get(self, peer: PublicKey, message: GetDocument) -> DocumentReply:
        """The answer to a peer's request."""

    def on_reply(self, peer: PublicKey, message: DocumentReply) -> None:
        """A peer's answer."""


class Guard(Protocol):
    """What is asked of whoever watches over this node's word."""

    def watch(self, message: Message) -> None:
        """Look for a word of one's own that one never said."""


class Mesh(Protocol):
    """What is asked of the network."""

    def send(self, peer: PublicKey, message: Message) -> bool:
        """Queue a message for one peer."""


class Reception:
    """The handler of one node's links."""

    def __init__(
        self,
        *,
        roster: Roster,
        driver: Driver,
        duties: EngineDuties,
        batches: BatchRoom,
        sync: SyncPlan,
        history: History,
        store: ChainStore,
        documents: Documents,
        outcomes: OutcomeRoom,
        snapshots: SnapshotRoom,
        mesh: Mesh,
        make_status: Callable[[], Status],
        on_sync_news: Callable[[], None],
        guard: Guard,
        on_key_in_use: Callable[[], None],
        clock_ms: Callable[[], int],
    ) -> None:
        self._roster = roster
        self._driver = driver
        self._duties = duties
        self._batches = batches
        self._sync = sync
        self._history = history
        self._store = store
        self._documents = documents
        self._snapshots = snapshots
        self._mesh = mesh
        self._make_status = make_status
        self._on_sync_news = on_sync_news
        self._guard = guard
        self._on_key_in_use = on_key_in_use
        self._clock_ms = clock_ms
        self._serving: dict[PublicKey, set[asyncio.Task[None]]] = {}
        self._log = get_logger("reception")
        self.requests_dropped = 0
        self._table: dict[type[object], Callable[[PublicKey, Any], Awaitable[None] | None]] = {
            Vote: lambda peer, message: driver.post_from_peer(peer, ReceivedVote(vote=message)),
            Propose: lambda peer, message: driver.post_from_peer(peer, ReceivedProposal(propose=message)),
            Certificate: lambda peer, message: driver.post_from_peer(peer, ReceivedCertificate(certificate=message)),
            Certificates: lambda peer, message: driver.post_from_peer(peer, ReceivedCertificates(certificates=message)),
            Status: self._on_status,
            PushBatch: batches.on_push,
            BatchReply: batches.on_reply,
            Batches: batches.on_replies,
            BlockReply: duties.on_block_reply,
            Blocks: self._on_blocks,
            DocumentReply: documents.on_reply,
            GetCertificates: self._on_get_certificates,
            GetBlock: lambda peer, message: self._serve(peer, self._answer_block(peer, message)),
            GetBlocks: lambda peer, message: self._serve(peer, self._answer_blocks(peer, message)),
            GetBatch: lambda peer, message: self._serve(peer, batches.on_get(peer, message)),
            GetBatches: lambda peer, message: self._serve(peer, batches.on_get_several(peer, message)),
            GetDocument: lambda peer, message: self._serve(peer, self._answer_document(peer, message)),
            GetSnapshots: snapshots.on_get_snapshots,
            GetManifest: snapshots.on_get_manifest,
            GetChunk: lambda peer, message: self._serve(peer, snapshots.on_get_chunk(peer, message)),
            Snapshots: snapshots.on_offers,
            ManifestReply: snapshots.on_manifest,
            ChunkReply: snapshots.on_chunk,
            GetOutcome: lambda peer, message: self._serve(peer, outcomes.on_get(peer, message)),
            OutcomeReply: outcomes.on_reply,
        }

    # ------------------------------------------------------------------ links

    async def on_message(self, peer: PublicKey, message: Message) -> None:
        """Send a message on; only the engine's queue may make the peer wait."""
        self._guard.watch(message)
        answer = self._table[type(message)](peer, message)
        if answer is not None:
            await answer

    def on_link_up(self, peer: PublicKey) -> None:
        """Say where we stand, give what it may have missed, and first of all tell it what it said last itself."""
        if peer in self._roster.validators:
            for vote in self._history.newest_votes_of(ValidatorIndex(self._roster.validators.index(peer))):
                self._send(peer, vote)
        self._send(peer, self._make_status())
        self._batches.push_to(peer)

    def on_guest(self, peer: PublicKey) -> None:
        """Say where we stand; what it may have missed it asks for."""
        self._send(peer, self._make_status())

    def on_link_down(self, peer: PublicKey) -> None:
        """Forget what was asked of it."""
        self._sync.on_gone(peer)
        self._snapshots.on_gone(peer)

    def on_key_in_use(self) -> None:
        """Another live process has our node key: neither may vote."""
        self._on_key_in_use()

    def _send(self, peer: PublicKey, message: Message) -> None:
        self._mesh.send(peer, message)

    # ------------------------------------------------------------------ where peers stand

    def _on_status(self, peer: PublicKey, message: Status) -> None:
        self._sync.on_status(peer, message, self._clock_ms())
        self._on_sync_news()

    def _on_blocks(self, peer: PublicKey, message: Blocks) -> None:
        self._sync.on_blocks(peer, message, self._clock_ms())
        self._on_sync_news()

    # ------------------------------------------------------------------ requests

    def _serve(self, peer: PublicKey, answer: Awaitable[None]) -> None:
        serving = self._serving.setdefault(peer, set())
        if len(serving) >= REQUESTS_PER_PEER_MAX:
            self.requests_dropped += 1
            if asyncio.iscoroutine(answer):
                answer.close()
            return
        task = asyncio.ensure_future(self._answer(answer))
        serving.add(task)
        task.add_done_callback(lambda done: self._forget(peer, serving, done))

    def _forget(self, peer: PublicKey, serving: set[asyncio.Task[None]], done: asyncio.Task[None]) -> None:
        serving.discard(done)
        if not serving and self._serving.get(peer) is serving:
            del self._serving[peer]  # guests come under ever new keys

    async def _answer(self, answer: Awaitable[None]) -> None:
        """Answer a peer; where the disk is damaged it hears nothing and asks elsewhere."""
        try:
            await answer
        except (StoreError, VaultError) as error:
            self._log.error("answer_failed", code=error.code, reason=error.sentence)

    def _on_get_certificates(self, peer: PublicKey, message: GetCertificates) -> None:
        held = self._history.certificates_from(message.view_from, message.epoch)
        self._send(peer, Certificates(certificates=tuple(held)[: 2 * ViewWindow]))

    async def _answer_block(self, peer: PublicKey, message: GetBlock) -> None:
        block = self._history.find_block(message.digest) or await self._store.find_block(message.digest)
        self._send(peer, BlockReply(digest=message.digest, block=block))

    async def _answer_blocks(self, peer: PublicKey, message: GetBlocks) -> None:
        if message.height_from <= self._store.base:
            self._send(peer, Blocks(blocks=(), finalization=None))  # before its history here
            return
        self._send(peer, await read_stretch(self._store, message))

    async def _answer_document(self, peer: PublicKey, message: GetDocument) -> None:
        self._send(peer, await self._documents.on_get(peer, message))

    async def close(self) -> None:
        """End the answers under way."""
        tasks = [task for serving in self._serving.values() for task in serving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Saved(Protocol):
    """What is asked of the store for peers that catch up."""

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """Consecutive saved blocks."""

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """The lowest saved finalization at or above a height."""


async def read_stretch(store: Saved, wanted: GetBlocks) -> Blocks:
    """Up to `count` saved blocks from `height_from` on that end at a block with its own finalization.

    When the last of them has none, the stretch goes on to the next that has, or, where that is too far for one reply,
    ends at the one before. When there is none before either, headers lead on to it, or to what the asker knows.
    A stretch never goes on beyond the end of an epoch.
    """
    first, last = wanted.height_from, Height(wanted.height_from + wanted.count - 1)
    found = await store.read_finalization(last)
    if found is None or found[0] > first + SYNC_BLOCKS_PER_REPLY_MAX - 1:
        found, at = None, first
        while (one := await store.read_finalization(at)) is not None and one[0] <= last:
            found, at = one, Height(one[0] + 1)
    if found is None:
        beyond = await store.read_finalization(first)
        return Blocks(blocks=(), finalization=None) if beyond is None else await _read_led(store, wanted, *beyond)
    blocks = await store.read_blocks(first, found[0] - first + 1)
    end = next((block.header.height for block in blocks if block.header.is_boundary), found[0])
    if end < found[0]:  # what follows stands under the finalizations of another set
        found, blocks = await store.read_finalization(end), blocks[: end - first + 1]
        assert found is not None, "a block that ends its epoch is finalised directly"
    return Blocks(blocks=blocks, finalization=found[1])


async def _read_led(store: Saved, wanted: GetBlocks, height: Height, finalization: Certificate) -> Blocks:
    """Blocks with headers up to the finalised `height` or the known one; the topmost page of headers when too far."""
    first = wanted.height_from
    top = wanted.known if first <= wanted.known < height else height
    last = min(top, first + wanted.count - 1)
    if top - last > SYNC_HEADERS_PER_REPLY_MAX:
        page = await store.read_blocks(Height(top - SYNC_HEADERS_PER_REPLY_MAX + 1), SYNC_HEADERS_PER_REPLY_MAX)
        return Blocks(blocks=(), finalization=finalization, trailing=tuple(block.header for block in page))
    found = await store.read_blocks(first, top - first + 1)
    count = last - first + 1
    return Blocks(
        blocks=found[:count], finalization=finalization, trailing=tuple(block.header for block in found[count:])
    )
