"""Shows its proposals, votes and certificates to a few only, and serves nothing."""

from typing import Any

from tests.sim.actors.base import Actor, name_of
from tests.sim.node import Message


class Withholder(Actor):
    """Holds back."""

    def twist(self, message: Message) -> None:
        """A changing minority hears it."""
        rng = self.world.rng
        for node in self.world.nodes:
            if node is not self and rng.random() < 0.4:
                self.world.send(self.place, node.place, name_of(message), message)

    def answer(self, source: int, what: str, argument: Any) -> None:
        """No answer, ever."""
