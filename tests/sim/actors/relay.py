"""Passes others' proposals on with everything altered that their leader did not sign, over links faster than any."""

from typing import Any

import msgspec

from protocol.ids import View
from tests.sim.actors.base import Actor


class AlteringRelay(Actor):
    """Its copies come first; it hears what is sent to it at once, too, unless the weather cuts it off."""

    near = True

    def hear(self, source: int, what: str, argument: Any) -> None:
        """One lie per proposal, the same to everybody."""
        if what == "propose" and argument.block.header.proposer != self.index:
            relayed: dict[bytes, bool] = self.__dict__.setdefault("relayed", {})
            if argument.signature not in relayed:
                relayed[argument.signature] = True
                false = self.alter(argument)
                for node in self.world.nodes:
                    if node is not self:
                        self.world.schedule(0, self.world.deliver, self.place, node.place, "propose", false)
        super().hear(source, what, argument)

    def alter(self, propose: Any) -> Any:
        """The header as it was signed; beside it a lie."""
        lie = self.world.rng.choice(("late", "early", "bare", "bare and late", "shuffled"))
        changes: dict[str, Any] = {}
        if lie in ("late", "bare and late"):
            changes["parent_view"] = propose.view
        if lie == "early":
            changes["parent_view"] = View(max(0, propose.parent_view - 1))
        if lie in ("bare", "bare and late"):
            changes.update(parent_cert=None, finalization=None, nullifications=())
        if lie == "shuffled":
            changes.update(parent_cert=propose.finalization, finalization=None)
            changes["nullifications"] = propose.nullifications[::-1]
        return msgspec.structs.replace(propose, **changes)
