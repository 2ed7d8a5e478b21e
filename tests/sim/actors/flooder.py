"""Sends truly signed votes for random blocks in every view of the window, again and again, and six blocks for one."""

from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, TimeMs
from protocol.messages import Propose
from tests.sim.actors.base import NO_BLOCK, Actor
from tests.sim.node import Message


class Flooder(Actor):
    """Fills what can be filled."""

    def tick(self) -> None:
        """Two hundred useless votes."""
        rng = self.world.rng
        view = self.engine.view
        for _ in range(200):
            kind = rng.choice((VoteKind.NOTARIZE, VoteKind.FINALIZE, VoteKind.NULLIFY))
            digest = NO_BLOCK if kind is VoteKind.NULLIFY else BlockDigest(rng.randbytes(32))
            vote = self.make_vote(kind, max(1, view + rng.randint(-30, 30)), digest)
            self.world.send(self.place, rng.randrange(len(self.world.nodes)), "vote", vote)
        super().tick()

    def twist(self, message: Message) -> None:
        """Many blocks instead of one."""
        self.world.broadcast(self, message, True)
        if isinstance(message, Propose):
            for later in range(1, 6):
                other = self.remake(message, time_ms=TimeMs(message.block.header.time_ms + later))
                self.world.broadcast(self, other, True)
