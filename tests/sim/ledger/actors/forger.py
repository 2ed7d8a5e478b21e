"""Pushes and orders batches that nobody may execute: broken signatures, no transactions, bloated, oversize, expired."""

from protocol.batch import Batch, BatchItem, Sidecar
from protocol.crypto import calculate_hash
from protocol.ids import ModelId
from protocol.messages import BatchReply, Message, Propose
from tests.sim.ledger.actors.base import Liar
from tests.sim.ledger.node import LedgerNode


class Forger(Liar):
    """One bad batch per tick, and one in every second block of its own."""

    def make_bad(self) -> list[BatchItem]:
        """Items of which at least one is wrong."""
        rng = self.world.rng
        items = [rng.choice(self.seen) for _ in range(rng.randint(1, 4))] if self.seen else []
        kind = rng.choice(("altered", "garbage", "bloated", "many", "wild"))
        if kind == "altered" and items:
            return [*items[1:], self.alter(items[0])]
        if kind == "bloated" and items:
            sidecar = Sidecar(model=ModelId(bytes(32)), salt=calculate_hash("salt"), bins=(1, 2, 3))
            return [BatchItem(transaction=items[0].transaction, sidecars=(sidecar,))]
        if kind == "many" and items:
            return items * (2_000 // len(items))  # more than a batch may hold: no link lets it through
        if kind == "wild" and self.world.clients.deeds:
            return [one.item for one in rng.sample(self.world.clients.deeds, 3) if one.what != "plain"] or items
        return [*items, BatchItem(transaction=rng.randbytes(rng.randint(1, 200)))]

    def tick(self) -> None:
        """Push one."""
        items = self.make_bad()
        if items:
            self.push(Batch(items=tuple(items)))

    def remake(self, propose: Propose) -> Propose:
        """Order one, beside what is honest."""
        items = self.make_bad()
        if not items or len(items) > 1_000 or self.world.rng.random() < 0.5:
            return propose
        ref = self.make(items)
        if self.world.rng.random() < 0.5:
            self.push(self.made[ref.digest])
        refs = [one for one in propose.block.batches if one.digest != ref.digest]
        return self.with_batches(propose, [*refs, ref])

    def twist(self, _target: LedgerNode, message: Message) -> Message | None:
        """Answers with another batch than the one that was asked for."""
        if isinstance(message, BatchReply) and message.batch is not None and self.world.rng.random() < 0.5:
            items = message.batch.items
            return BatchReply(digest=message.digest, batch=Batch(items=(*items[1:], self.alter(items[0]))))
        return message
