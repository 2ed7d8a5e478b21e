"""A Byzantine whole node: the honest rooms with a tongue of their own. Never judged, never believed.

It may send anything, but what cannot be read on the wire never arrives: a real link would close.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from protocol.batch import Batch, BatchItem, BatchRef, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block, calculate_batches_root
from protocol.certificate import VoteKind, calculate_vote_bytes
from protocol.codec import encode
from protocol.ids import BatchDigest
from protocol.messages import Batches, BatchReply, GetBatch, GetBatches, Message, Propose, PushBatch
from tests.sim.ledger.node import LedgerNode

TICK_MS = 300
SEEN_MAX = 200


class Liar(LedgerNode):
    """What Byzantine nodes share: what they say to whom is theirs to twist, and batches of their own are served."""

    honest = False

    def boot(self) -> None:
        """A life with a tick."""
        if not self.life.alive:
            self.seen: list[BatchItem] = []
            """Transactions it heard of."""
            self.made: dict[BatchDigest, Batch] = {}
            """Batches it made up."""
            super().boot()
            self.world.later(TICK_MS, self._tick, self.life)

    def _tick(self, life: Any) -> None:
        if life is self.life and life.alive and not self.world.is_over:
            if self.is_listening:
                self.tick()
            self.world.later(TICK_MS, self._tick, life)

    def tick(self) -> None:
        """Now and then."""

    # ------------------------------------------------------------------ speaking

    def speak(self, target: LedgerNode, message: Message) -> bool:
        """One message to one peer, twisted."""
        twisted = self.twist(target, message)
        return twisted is None or self.world.network.send(self, target, twisted)

    def speak_to_all(self, targets: Sequence[LedgerNode], message: Message) -> int:
        """The same to several: it may say another thing to each."""
        if isinstance(message, Propose):
            message = self.remake(message)
        return sum([self.speak(one, message) for one in targets])

    def twist(self, _target: LedgerNode, message: Message) -> Message | None:
        """What it says instead; None for nothing."""
        return message

    def remake(self, propose: Propose) -> Propose:
        """What it proposes instead."""
        return propose

    def hear(self, source: LedgerNode, message: Message) -> None:
        """It listens to everything, and answers for what it made up itself."""
        if isinstance(message, PushBatch):
            self.seen += message.batch.items
            del self.seen[:-SEEN_MAX]
        if isinstance(message, GetBatch) and (batch := self.made.get(BatchDigest(message.digest))) is not None:
            self.world.network.send(self, source, BatchReply(digest=message.digest, batch=batch))
            return
        if isinstance(message, GetBatches) and any(BatchDigest(one) in self.made for one in message.digests):
            replies = [BatchReply(digest=one, batch=self.made.get(BatchDigest(one))) for one in message.digests]
            self.world.network.send(self, source, Batches(replies=tuple(replies)))
            return
        super().hear(source, message)

    def push(self, batch: Batch, targets: Sequence[LedgerNode] | None = None) -> None:
        """Give a batch to everybody, or to some."""
        for one in self.world.nodes if targets is None else targets:
            if one is not self:
                self.world.network.send(self, one, PushBatch(batch=batch))

    # ------------------------------------------------------------------ making things up

    def make(self, items: Sequence[BatchItem]) -> BatchRef:
        """A batch of anything, and what a block says of it."""
        batch = Batch(items=tuple(items))
        digest = calculate_batch_digest([calculate_transaction_id(one.transaction) for one in items])
        self.made[digest] = batch
        return BatchRef(digest=digest, tx_count=len(items), size=max(1, len(encode(batch))))

    def with_batches(self, propose: Propose, refs: Sequence[BatchRef]) -> Propose:
        """The same proposal over other batches, truly signed."""
        batches = tuple(refs)
        header = msgspec.structs.replace(
            propose.block.header,
            batches_root=calculate_batches_root(batches),
            batch_count=len(batches),
            tx_count=sum(one.tx_count for one in batches),
        )
        return self.sign(msgspec.structs.replace(propose, block=Block(header=header, batches=batches)))

    def sign(self, propose: Propose) -> Propose:
        """Sign whatever a proposal says now."""
        digest = propose.block.header.calculate_digest()
        chain_id = self.world.genesis.calculate_chain_id()
        raw = calculate_vote_bytes(VoteKind.PROPOSE, chain_id, propose.epoch, propose.view, digest)
        return msgspec.structs.replace(propose, signature=self.voter.sign(raw))

    def choose_others(self, share: float) -> list[LedgerNode]:
        """Some of the other nodes."""
        return [one for one in self.world.nodes if one is not self and self.world.rng.random() < share]

    def alter(self, item: BatchItem) -> BatchItem:
        """One byte of a transaction is another; most often it is one of a signature."""
        raw = bytearray(item.transaction)
        place = self.world.rng.randrange(max(0, len(raw) - 40), len(raw))
        raw[place] ^= 1 + self.world.rng.randrange(255)
        return BatchItem(transaction=bytes(raw), sidecars=item.sidecars)
