"""Says Notarize, Nullify and Finalize to everything it hears of."""

from typing import Any

from protocol.certificate import VoteKind
from tests.sim.actors.base import NO_BLOCK, Actor


class EverythingVoter(Actor):
    """Never refuses."""

    def hear(self, source: int, what: str, argument: Any) -> None:
        """Each proposal gets every vote there is."""
        if what == "propose" and self.world.rng.random() < 0.8:
            digest = argument.block.header.calculate_digest()
            for kind, named in (
                (VoteKind.NULLIFY, NO_BLOCK),
                (VoteKind.NOTARIZE, digest),
                (VoteKind.FINALIZE, digest),
            ):
                self.world.broadcast(self, self.make_vote(kind, argument.view, named), False)
        super().hear(source, what, argument)
