"""What the engine's effects ask of the rest of the node: build, check, fetch, commit, log a payload, speak to peers.

Each duty is begun at once and answers with an event; nothing here may hold up the driver. Never decide about blocks.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Protocol

from consensus.effects import (
    BuildPayload,
    CheckPayload,
    Commit,
    Effect,
    FetchBlock,
    FetchBlocks,
    FetchCertificates,
    RaiseAlarm,
    ReportEvidence,
)
from consensus.events import Event, PayloadBuilt, PayloadChecked, ReceivedBlock, Verdict
from node.batches import BatchInvalidError, BatchRoom, Mesh
from node.gossip.fetch import Fetcher, NobodyHasItError
from node.mempool import Mempool
from node.roster import Roster
from node.store.chain import StoreError
from node.store.payloadlog import PayloadLog
from node.sync import SyncPlan
from node.telemetry import get_logger
from protocol.batch import BatchRef
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.ids import BatchDigest, BlockDigest, Epoch, Height, PublicKey, View
from protocol.messages import BlockReply, GetBlock, GetCertificates, Propose

CERTIFICATE_PEERS = 2


class Tip:
    """The last final block that this node knows of."""

    def __init__(self, height: Height, digest: BlockDigest) -> None:
        self.height = height
        self.digest = digest
        self.time_ms = 0
        """The block's own time; 0 until one became final since the start."""


class FinalBlocks(Protocol):
    """What is asked of the executor."""

    def enqueue(self, blocks: Sequence[Block], finalization: Certificate) -> None:
        """Blocks became final, ascending."""


class EngineDuties:
    """Carries out one engine's effects."""

    def __init__(
        self,
        *,
        roster: Roster,
        mesh: Mesh,
        mempool: Mempool,
        batches: BatchRoom,
        payloads: PayloadLog,
        executor: FinalBlocks,
        sync: SyncPlan,
        tip: Tip,
        post: Callable[[Event], None],
        on_ordered: Callable[[], None],
        on_alarm: Callable[[RaiseAlarm], Coroutine[None, None, None]],
        on_evidence: Callable[[ReportEvidence], None],
    ) -> None:
        self._roster = roster
        self._mesh = mesh
        self._mempool = mempool
        self._batches = batches
        self._payloads = payloads
        self._executor = executor
        self._sync = sync
        self._post = post
        self._on_ordered = on_ordered
        self._on_alarm = on_alarm
        self._on_evidence = on_evidence
        self._checks: dict[BlockDigest, tuple[Height, asyncio.Task[None]]] = {}
        self._asks: set[asyncio.Task[None]] = set()
        self._blocks: Fetcher[BlockDigest, Block] = Fetcher(self._ask_block, mesh.get_connected)
        self._turn = 0
        self._log = get_logger("duties")
        self.tip = tip
        self.committed = 0

    # ------------------------------------------------------------------ the driver's side

    async def persist_payload(self, blocks: Sequence[Block]) -> None:
        """Log blocks with the batches they order; a batch the store holds already needs no second place."""
        payloads: list[tuple[Block, list[tuple[BatchDigest, bytes]]]] = []
        for block in blocks:
            self._mempool.pin([ref.digest for ref in block.batches], block.header.height)
            held = [self._mempool.get(ref.digest) for ref in block.batches]
            payloads.append((block, [(one.digest, one.raw) for one in held if one is not None]))
        await self._payloads.append(payloads)

    def broadcast(self, message: Propose | Vote | Certificate) -> None:
        """Votes to validators; proposals and certificates to everybody, since observers follow by them."""
        if isinstance(message, Propose):
            block = message.block
            self._mempool.pin([ref.digest for ref in block.batches], block.header.height)
        self._mesh.broadcast(message, self._roster.others if isinstance(message, Vote) else self._roster.everybody)

    def on_effect(self, effect: Effect) -> None:
        """Begin what the effect asks for."""
        match effect:
            case BuildPayload():
                self._build(effect)
            case CheckPayload(block=block):
                self._check(block)
            case FetchBlock(digest=digest):
                self._keep(self._fetch_block(digest))
            case FetchCertificates(view_from=view_from, epoch=epoch):
                self._fetch_certificates(view_from, epoch)
            case FetchBlocks(known=known):
                self._sync.on_wanted(self.tip.height, known)
            case Commit():
                self._commit(effect)
            case RaiseAlarm():
                self._keep(self._on_alarm(effect))
            case ReportEvidence():
                self._on_evidence(effect)
            case _:
                raise AssertionError(f"no duty for {type(effect).__name__}")

    def _keep(self, duty: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(duty)
        self._asks.add(task)
        task.add_done_callback(self._asks.discard)

    # ------------------------------------------------------------------ payloads

    def _build(self, effect: BuildPayload) -> None:
        batches: tuple[BatchRef, ...] = () if effect.empty else self._mempool.choose(effect.excluded)
        self._post(PayloadBuilt(view=effect.view, parent_digest=effect.parent_digest, batches=batches))

    def _check(self, block: Block) -> None:
        digest = block.header.calculate_digest()
        held = self._checks.get(digest)
        if held is None or held[1].done():
            self._checks[digest] = (block.header.height, asyncio.ensure_future(self._check_payload(digest, block)))

    async def _check_payload(self, digest: BlockDigest, block: Block) -> None:
        proposer = self._roster.validators[block.header.proposer : block.header.proposer + 1]
        while True:
            try:
                held = await asyncio.gather(*(self._batches.obtain(ref, proposer) for ref in block.batches))
            except BatchInvalidError:
                self._post(PayloadChecked(digest=digest, verdict=Verdict.BAD))
                return
            except NobodyHasItError:
                continue  # until the block is final without us, or never
            except StoreError as error:
                self._log.error("payload_unchecked", code=error.code, reason=error.sentence)
                return  # no vote; the executor stops the node when it needs what is damaged
            honest = all(len(one.transactions) == ref.tx_count for one, ref in zip(held, block.batches, strict=True))
            self._mempool.pin([ref.digest for ref in block.batches], block.header.height)
            self._post(PayloadChecked(digest=digest, verdict=Verdict.OK if honest else Verdict.BAD))
            return

    # ------------------------------------------------------------------ what is missing

    def _ask_block(self, peer: PublicKey, digest: BlockDigest) -> bool:
        return self._mesh.send(peer, GetBlock(digest=digest))

    async def _fetch_block(self, digest: BlockDigest) -> None:
        try:
            block = await self._blocks.fetch(digest)
        except NobodyHasItError:
            return  # the engine asks again while it still wants it
        self._post(ReceivedBlock(block=block))

    def on_block_reply(self, peer: PublicKey, reply: BlockReply) -> None:
        """A peer's answer; only the block with that digest counts."""
        block = reply.block
        if block is not None and block.header.calculate_digest() != reply.digest:
            block = None
        self._blocks.offer(reply.digest, peer, block)

    def _fetch_certificates(self, view_from: View, epoch: Epoch) -> None:
        connected = [peer for peer in self._roster.others if self._mesh.is_connected(peer)]
        for _ in range(min(CERTIFICATE_PEERS, len(connected))):
            self._turn += 1
            peer = connected[self._turn % len(connected)]
            self._mesh.send(peer, GetCertificates(epoch=epoch, view_from=view_from))

    # ------------------------------------------------------------------ final blocks

    def _commit(self, effect: Commit) -> None:
        last = effect.blocks[-1].header
        assert effect.blocks[0].header.height == self.tip.height + 1, "the engine commits in order"
        self.tip.height, self.tip.digest, self.tip.time_ms = last.height, last.calculate_digest(), last.time_ms
        self.committed += len(effect.blocks)
        for block in effect.blocks:
            self._mempool.on_ordered([ref.digest for ref in block.batches])
        self._executor.enqueue(effect.blocks, effect.finalization)
        for digest, (height, task) in list(self._checks.items()):
            if height <= last.height:
                task.cancel()  # final without us: the executor obtains what it needs
                del self._checks[digest]
        self._on_ordered()

    async def close(self) -> None:
        """End what is under way."""
        tasks = [task for _, task in self._checks.values()] + list(self._asks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._blocks.close()
