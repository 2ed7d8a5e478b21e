"""Seals batches and shows them to few or nobody, orders them all the same, and answers that it has nothing."""

from protocol.messages import BatchReply, Message, Propose, PushBatch
from tests.sim.ledger.actors.base import Liar
from tests.sim.ledger.node import LedgerNode


class Hoarder(Liar):
    """Withholds what others need to vote and to execute."""

    def twist(self, target: LedgerNode, message: Message) -> Message | None:
        """Who gets a batch is a matter of luck, and changes with every batch."""
        rng = self.world.rng
        if isinstance(message, PushBatch):
            return message if rng.random() < 0.2 else None
        if isinstance(message, BatchReply):
            if rng.random() < 0.3:
                return None
            return BatchReply(digest=message.digest, batch=None) if rng.random() < 0.8 else message
        if isinstance(message, Propose) and rng.random() < 0.1 and target.place % 2:
            return None
        return message

    def remake(self, propose: Propose) -> Propose:
        """Order a batch of others' transactions that nobody else holds, and show it to one or to nobody."""
        rng = self.world.rng
        if not self.seen or rng.random() < 0.6:
            return propose
        ref = self.make([rng.choice(self.seen) for _ in range(rng.randint(1, 3))])
        self.push(self.made[ref.digest], self.choose_others(0.3))
        if rng.random() < 0.5:
            del self.made[ref.digest]
        return self.with_batches(propose, [ref])
