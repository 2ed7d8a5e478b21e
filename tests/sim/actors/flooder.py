"""Sends truly signed votes for random blocks in every view of the window, again and again."""

from protocol.certificate import VoteKind
from protocol.ids import BlockDigest
from tests.sim.actors.base import NO_BLOCK, Actor


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
