"""Keeps back its Finalize votes and all finalizations: with one node away nothing becomes final, then much at once."""

from typing import Any

from protocol.certificate import Certificate, Vote, VoteKind
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class FinalityWithholder(Actor):
    """Until shortly before the network heals it neither finalizes nor proposes; it never serves."""

    @property
    def withholds(self) -> bool:
        """Whether the time has not come."""
        return self.world.now_ms < self.world.plan.heal_ms - 3_000

    def twist(self, message: Message) -> None:
        """No step towards finality."""
        if self.withholds and (
            isinstance(message, Propose)
            or (isinstance(message, Vote | Certificate) and message.kind is VoteKind.FINALIZE)
        ):
            return
        super().twist(message)

    def answer(self, source: int, what: str, argument: Any) -> None:
        """It alone has a finalization for every block, and never shows one."""
