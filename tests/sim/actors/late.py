"""Proposes at the last moment, or after it, and votes late."""

from protocol.certificate import Certificate
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class LateProposer(Actor):
    """Always nearly too late."""

    def twist(self, message: Message) -> None:
        """Everything but certificates waits."""
        if isinstance(message, Certificate):
            self.world.broadcast(self, message, True)
        else:
            self.later(self.world.rng.randrange(50, 1_500), self.world.broadcast, self, message, True)
