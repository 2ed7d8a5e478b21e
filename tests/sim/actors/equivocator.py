"""Proposes two blocks, to two halves or both to all, and notarizes both."""

from protocol.certificate import Vote, VoteKind
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class Equivocator(Actor):
    """Two faces."""

    def twist(self, message: Message) -> None:
        """Two of everything it leads."""
        if isinstance(message, Propose):
            other = self.make_twin(message)
            if self.world.rng.random() < 0.5:
                self.send_to_half(message, 0)
                self.send_to_half(other, 1)
            else:
                self.world.broadcast(self, message, True)
                self.world.broadcast(self, other, True)
            for digest in (message.block.header.calculate_digest(), other.block.header.calculate_digest()):
                vote = self.make_vote(VoteKind.NOTARIZE, message.view, digest)
                self.send_to_half(vote, self.world.rng.randrange(2))
                self.world.broadcast(self, self.make_vote(VoteKind.FINALIZE, message.view, digest), False)
        elif isinstance(message, Vote) and self.world.rng.random() < 0.5:
            self.send_to_half(message, self.world.rng.randrange(2))
        else:
            self.world.broadcast(self, message, True)
