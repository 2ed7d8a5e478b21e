"""Proposes blocks that no honest node may accept: false roots and history, bad or unobtainable batches, odd times."""

import msgspec

from consensus.leading import Parent, make_block
from protocol.batch import BatchRef
from protocol.block import calculate_batches_root
from protocol.ids import Digest, Height, TimeMs
from protocol.messages import Propose
from tests.sim.actors.base import Actor
from tests.sim.node import Message


class InvalidProposer(Actor):
    """Breaks one rule per proposal."""

    def skip(self, propose: Propose) -> Propose:
        """A child of the last final block that passes over what was notarized since."""
        machine = self.engine._machine
        final = machine.chain.final
        block = make_block(machine, Parent(final, None, final.view, machine.chain.finalization, ()), (), self.now_ms)
        if block.header.view != propose.view:
            return propose
        self.world.judge.on_foreign_block(block)
        return self.sign(
            msgspec.structs.replace(
                propose,
                block=block,
                parent_view=final.view,
                parent_cert=machine.chain.finalization,
                nullifications=(),
            )
        )

    def swap(self, propose: Propose) -> None:
        """One signed header, but every node is shown batches of its own under it."""
        for node in self.world.nodes:
            if node is not self:
                digest = self.world.make_batch()
                self.held[digest] = True
                batches = (BatchRef(digest=digest, tx_count=1, size=100),)
                block = msgspec.structs.replace(propose.block, batches=batches)
                false = msgspec.structs.replace(propose, block=block)
                self.world.send(self.place, node.place, "propose", false)

    def twist(self, message: Message) -> None:
        """A different lie each time."""
        if not isinstance(message, Propose):
            self.world.broadcast(self, message, True)
            return
        rng, header = self.world.rng, message.block.header
        lie = rng.choice(
            (
                "root",
                "height",
                "history",
                "late",
                "early",
                "bad_batch",
                "no_batch",
                "parent",
                "exec_height",
                "order",
                "skip",
                "swap",
                "equal",
                "foreign",
            )
        )
        match lie:
            case "root":
                false = self.remake(message, exec_root=Digest(rng.randbytes(32)))
            case "height":
                false = self.remake(message, height=Height(header.height + 1))
            case "history":
                false = self.remake(message, history_root=Digest(rng.randbytes(32)))
            case "late":
                false = self.remake(message, time_ms=TimeMs(header.time_ms + 60_000))
            case "early":
                false = self.remake(message, time_ms=TimeMs(max(0, header.time_ms - 600_000)))
            case "exec_height":
                false = self.remake(message, exec_height=Height(header.height - 1))
            case "parent":
                false = self.sign(msgspec.structs.replace(message, parent_view=max(0, message.parent_view - 1)))
            case "order":
                false = self.remake(message, exec_height=Height(0), exec_root=self.world.genesis_root)
            case "skip":
                false = self.skip(message)
            case "swap":
                self.swap(message)
                return
            case "foreign":
                name = rng.choice(("params_hash", "next_validators_hash", "chain_id"))
                false = self.remake(message, **{name: rng.randbytes(32)})
            case "equal":
                parent = self.world.judge.blocks.get(header.parent_digest)
                false = self.remake(message, time_ms=parent.header.time_ms) if parent is not None else message
            case _:
                digest = self.world.make_batch()
                if lie == "bad_batch":
                    self.held[digest] = True
                    self.world.invalid[digest] = True
                batches = (BatchRef(digest=digest, tx_count=1, size=100),)
                block = msgspec.structs.replace(message.block, batches=batches)
                changes = {"batches_root": calculate_batches_root(batches), "batch_count": 1, "tx_count": 1}
                false = self.remake(msgspec.structs.replace(message, block=block), **changes)
        self.world.broadcast(self, false, True)
