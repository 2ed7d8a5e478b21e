"""Builds on any block it knows but the one it should: a final one, one with others above, one nobody vouched for."""

import msgspec

from consensus.leading import Parent, make_block
from protocol.certificate import Certificate
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class Forker(Actor):
    """Every proposal is in the wrong place, with all the certificates there are."""

    def twist(self, message: Message) -> None:
        """Its votes are honest."""
        self.world.broadcast(self, self.misplace(message) if isinstance(message, Propose) else message, True)

    def misplace(self, propose: Propose) -> Propose:
        """The same view on another parent, a recent one rather than an old one."""
        machine = self.engine._machine
        if machine.view != propose.view:
            return propose
        chain, right = machine.chain, propose.block.header.parent_digest
        points = [chain.final, *(chain.find_point(digest) for digest in chain.entries)]
        above = [one for one in points if one is not None and one.digest != right and one.view < propose.view]
        if not above:
            return propose
        point = self.world.rng.choice(sorted(above)[-4:])
        entry = chain.entries.get(point.digest)
        claim = None if entry is None else entry.header
        block = make_block(machine, Parent(point, claim, point.view, None, ()), (), self.now_ms)
        self.world.judge.on_foreign_block(block)
        slots = [machine.slots[view] for view in sorted(machine.slots) if point.view < view < propose.view]
        known = [one for slot in slots for one in (slot.notarization, slot.nullification) if one is not None]
        proofs: tuple[Certificate, ...] = tuple(known[:16])
        return self.sign(
            msgspec.structs.replace(
                propose, block=block, parent_view=point.view, parent_cert=None, nullifications=proofs
            )
        )
