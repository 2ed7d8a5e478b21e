"""Votes and proposes in views far beyond everybody's, to move or to fill them."""

import msgspec

from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, View
from protocol.messages import Propose
from tests.sim.actors.base import NO_BLOCK, Actor
from tests.sim.node import Message


class HugeViews(Actor):
    """Lives in the future."""

    def twist(self, message: Message) -> None:
        """Beside the honest word, one from the future."""
        self.world.broadcast(self, message, True)
        rng = self.world.rng
        view = self.engine.view + rng.choice((5, 15, 16, 17, 100, 10**6, 2**52))
        digest = BlockDigest(rng.randbytes(32))
        self.world.broadcast(self, self.make_vote(VoteKind.NULLIFY, view, NO_BLOCK), False)
        self.world.broadcast(self, self.make_vote(VoteKind.FINALIZE, view, digest), False)
        if isinstance(message, Propose) and self.index is not None:
            while self.engine.validators.calculate_leader(View(view)) != self.index:
                view += 1
            header = msgspec.structs.replace(message.block.header, view=View(view))
            block = msgspec.structs.replace(message.block, header=header)
            self.world.judge.on_foreign_block(block)
            future = msgspec.structs.replace(message, view=View(view), block=block)
            self.world.broadcast(self, self.sign(future), True)
