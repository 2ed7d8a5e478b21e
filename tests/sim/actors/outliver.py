"""Goes on when it should not: votes with a key that has no seat any more, and in epochs that are over."""

from typing import Any

from protocol.certificate import VoteKind
from protocol.ids import Epoch
from tests.sim.actors.base import NO_BLOCK, Actor


class Outliver(Actor):
    """Every proposal gets votes of this epoch from any seat, and of the one before."""

    def hear(self, source: int, what: str, argument: Any) -> None:
        """Truly signed by its first key, in the wrong time."""
        rng = self.world.rng
        if what == "propose" and rng.random() < 0.5:
            digest, view = argument.block.header.calculate_digest(), argument.view
            for epoch in (argument.epoch, max(0, argument.epoch - 1), argument.epoch + 1):
                seat = rng.randrange(len(self.engine.validators.keys))
                for kind, said in (
                    (VoteKind.NOTARIZE, digest),
                    (VoteKind.FINALIZE, digest),
                    (VoteKind.NULLIFY, NO_BLOCK),
                ):
                    if epoch != argument.epoch or self.index is None:
                        self.world.broadcast(self, self.make_vote(kind, view, said, seat, Epoch(epoch)), False)
        super().hear(source, what, argument)
