"""Signs with its own key what it says in others' names."""

import msgspec

from protocol.certificate import Vote
from protocol.ids import ValidatorIndex, View
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class Impersonator(Actor):
    """Speaks as everybody."""

    def twist(self, message: Message) -> None:
        """The same vote from every index, and proposals in others' views."""
        self.world.broadcast(self, message, True)
        if isinstance(message, Vote):
            for index in range(len(self.engine.validators.keys) + 2):
                if index != self.index:
                    false = msgspec.structs.replace(message, index=ValidatorIndex(index))
                    self.world.broadcast(self, false, False)
        elif isinstance(message, Propose):
            for ahead in (1, 2, 3):
                view = message.view + ahead
                header = {"view": view, "proposer": self.engine.validators.calculate_leader(View(view))}
                self.world.broadcast(self, msgspec.structs.replace(self.remake(message, **header), view=view), True)
