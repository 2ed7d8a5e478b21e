"""Claims to be ahead, and answers whoever catches up with blocks that were never final."""

import msgspec

from protocol.block import Block, calculate_batches_root
from protocol.ids import Digest, Height, TimeMs
from protocol.messages import BlockReply, Blocks, Message, Status
from tests.sim.ledger.actors.base import Liar
from tests.sim.ledger.node import LedgerNode


class SyncLiar(Liar):
    """A lie per answer."""

    def twist(self, _target: LedgerNode, message: Message) -> Message | None:
        """Statuses claim more, stretches of blocks are altered, cut, turned round or proven by something else."""
        rng = self.world.rng
        if isinstance(message, Status) and rng.random() < 0.7:
            height = Height(message.final_height + rng.choice((1, 20, 1_000)))
            return msgspec.structs.replace(message, final_height=height)
        if isinstance(message, Blocks):
            return self._alter(message)
        if isinstance(message, BlockReply) and message.block is not None and rng.random() < 0.7:
            return BlockReply(digest=message.digest, block=self._alter_block(message.block))
        return message

    def _alter(self, blocks: Blocks) -> Blocks | None:
        rng, held = self.world.rng, list(blocks.blocks)
        if not held:
            return None if rng.random() < 0.5 else blocks
        at = rng.randrange(len(held))
        match rng.choice(("altered", "swapped", "turned", "cut", "mute", "bare", "proof", "honest")):
            case "altered":
                held[at] = self._alter_block(held[at])
            case "swapped":  # the header stands, and under it lie other batches
                other = rng.choice(self.disk.saved).block if self.disk.saved else held[at]
                held[at] = Block(header=held[at].header, batches=other.batches)
            case "turned":
                held = held[::-1]
            case "cut":
                held = held[: max(1, at)]
            case "mute":
                return None
            case "bare":
                return Blocks(blocks=(), finalization=blocks.finalization)
            case "proof":
                proofs = [one.finalization for one in self.disk.saved if one.finalization is not None]
                return Blocks(blocks=tuple(held), finalization=rng.choice(proofs) if proofs else None)
        return msgspec.structs.replace(blocks, blocks=tuple(held))

    def _alter_block(self, block: Block) -> Block:
        rng, header = self.world.rng, block.header
        batches = block.batches[1:] if block.batches else ()
        changes = rng.choice(
            (
                {"time_ms": TimeMs(header.time_ms + 1)},
                {"exec_root": Digest(rng.randbytes(32))},
                {
                    "batches_root": calculate_batches_root(batches),
                    "batch_count": len(batches),
                    "tx_count": sum(one.tx_count for one in batches),
                },
            )
        )
        header = msgspec.structs.replace(header, **changes)
        return Block(header=header, batches=batches if "batch_count" in changes else block.batches)
