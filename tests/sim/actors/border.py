"""Lies where an epoch ends: two boundary blocks, children of one, others announced, another end, altered copies."""

import msgspec

from consensus.leading import Parent, make_block
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, Digest, Height, TimeMs
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class BorderEquivocator(Actor):
    """Honest far from any boundary, two-faced at it."""

    def twist(self, message: Message) -> None:
        """Its own votes go out; its proposals are multiplied where an epoch ends."""
        if not isinstance(message, Propose):
            self.world.broadcast(self, message, True)
            return
        header, rng = message.block.header, self.world.rng
        if header.is_boundary:
            self.world.broadcast(self, message, True)
            other = self.copy(message, time_ms=TimeMs(header.time_ms + 1))
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

    def copy(self, propose: Propose, **changes: object) -> Propose:
        """The same proposal, in the same view, of a changed block."""
        header = msgspec.structs.replace(propose.block.header, **changes)
        block = Block(header=header, batches=propose.block.batches)
        self.world.judge.on_foreign_block(block)
        return self.sign(msgspec.structs.replace(propose, block=block))

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

    def tick(self) -> None:
        """Now and then: what may be built on a boundary that is not final yet."""
        for digest, entry in list(self.engine._machine.chain.entries.items()):
            if entry.header.is_boundary:
                self.build_on(digest)
        super().tick()
