"""Lies where an epoch ends: two boundary blocks, children of one, others announced, another end, altered copies."""

from typing import Any

import msgspec

from consensus.leading import Parent, make_block
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, Digest, Epoch, Height, TimeMs, View
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class BorderEquivocator(Actor):
    """Honest far from any boundary, two-faced at it."""

    built: tuple[Epoch, View] | None = None
    """Where it last showed a child of a boundary block."""

    def twist(self, message: Message) -> None:
        """Its own votes go out; its proposals are multiplied where an epoch ends."""
        if not isinstance(message, Propose):
            self.world.broadcast(self, message, True)
            return
        header, rng = message.block.header, self.world.rng
        if header.is_boundary:
            self.world.broadcast(self, message, True)
            other = self.remake(message, time_ms=TimeMs(header.time_ms + 1))
            self.send_to_half(other, rng.randrange(2))
            for digest in (header.calculate_digest(), other.block.header.calculate_digest()):
                for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE):
                    self.send_to_half(self.make_vote(kind, message.view, digest), rng.randrange(2))
            return
        false = self.lie(message)
        if false is None or rng.random() < 0.5:
            self.world.broadcast(self, message, True)
            if false is not None:
                self.send_to_half(false, rng.randrange(2))
        else:
            self.world.broadcast(self, false, True)

    def lie(self, message: Propose) -> Propose | None:
        """Other validators, or another end."""
        header, rng = message.block.header, self.world.rng
        match rng.choice(("honest", "others", "nobody", "sooner", "later", "over")):
            case "others":
                return self.remake(message, next_validators_hash=Digest(rng.randbytes(32)))
            case "nobody":
                own = self.engine.validators.calculate_hash()
                return self.remake(message, next_validators_hash=own, epoch_end=Height(0))
            case "sooner":
                return self.remake(message, epoch_end=Height(max(header.height, header.epoch_end - 1)))
            case "later":
                return self.remake(message, epoch_end=Height((header.epoch_end or header.height) + EPOCH_NOTICE))
            case "over":
                return self.remake(message, epoch_end=header.height)
            case _:
                return None

    def build_on(self, digest: BlockDigest) -> None:
        """A child of a boundary block, with every proof there is, when it leads a later view."""
        machine = self.engine._machine
        entry = machine.chain.entries.get(digest)
        point = machine.chain.find_point(digest)
        if entry is None or point is None or not machine.is_leader or machine.view <= point.view:
            return
        block = make_block(machine, Parent(point, entry.header, point.view, None, ()), (), self.now_ms)
        block = msgspec.structs.replace(block, header=msgspec.structs.replace(block.header, epoch_end=Height(0)))
        self.world.judge.on_foreign_block(block)
        slot = machine.slots.get(point.view)
        propose = Propose(
            epoch=machine.epoch,
            view=machine.view,
            block=block,
            parent_view=point.view,
            parent_cert=slot.notarization if slot is not None else None,
            finalization=machine.chain.finalization,
            nullifications=(),
            signature=self.signer.sign(b""),
        )
        self.world.broadcast(self, self.sign(propose), True)

    def hear(self, source: int, what: str, argument: Any) -> None:
        """As soon as it leads a view above a boundary block that is not final yet, it shows a child of it, once."""
        super().hear(source, what, argument)
        machine = self.engine._machine
        place = (machine.epoch, machine.view)
        if self.built == place or not machine.is_leader or not machine.chain.final.epoch_end:
            return
        for digest, entry in list(machine.chain.entries.items()):
            if entry.header.is_boundary and entry.view < machine.view:
                self.built = place
                self.build_on(digest)
