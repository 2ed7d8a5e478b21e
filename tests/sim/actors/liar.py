"""Answers every question falsely: blocks that do not follow, finalizations of other blocks, certificates shuffled."""

from typing import Any

import msgspec

from protocol.block import Block
from protocol.ids import Digest, TimeMs
from protocol.messages import Blocks, Certificates
from tests.sim.actors.base import Actor


class SyncLiar(Actor):
    """Serves only lies, and claims to be ahead."""

    def answer(self, source: int, what: str, argument: Any) -> None:
        """One lie per kind of question."""
        rng, send = self.world.rng, self.world.send
        saved = self.disk.saved
        if what == "get_blocks" and len(saved) > argument[0]:
            stretch = saved[argument[0] : argument[0] + 20]
            blocks = [one.block for one in stretch]
            at = rng.randrange(len(blocks))
            false = rng.choice(
                (
                    {"time_ms": TimeMs(blocks[at].header.time_ms + 1)},
                    {"exec_root": Digest(rng.randbytes(32))},
                )
            )
            header = msgspec.structs.replace(blocks[at].header, **false)
            blocks[at] = msgspec.structs.replace(blocks[at], header=header)
            send(self.place, source, "blocks", Blocks(blocks=tuple(blocks), finalization=stretch[-1].finalization))
            send(self.place, source, "blocks", Blocks(blocks=tuple(blocks[::-1]), finalization=saved[-1].finalization))
            self.answer_by_headers(source, argument[0])
        elif what == "get_certificates":
            epoch, view_from = argument
            found = self.engine.certificates_from(view_from, epoch)[::-1]
            moved = tuple(msgspec.structs.replace(one, view=one.view + 1) for one in found[:8])
            send(self.place, source, "certificates", Certificates(certificates=moved + found[:8]))
        elif what == "get_block":
            recent = list(self.engine._machine.chain.recent.values())
            if recent:
                send(self.place, source, "block", rng.choice(recent))

    def answer_by_headers(self, source: int, height: int) -> None:
        """A page of headers under a true finalization, as if it ended there, and then blocks that lead up to it."""
        saved = self.disk.saved
        blocks: list[Block] = []
        for one in saved[height : height + 10]:
            header = one.block.header
            parent = blocks[-1].header.calculate_digest() if blocks else header.parent_digest
            header = msgspec.structs.replace(header, parent_digest=parent, time_ms=TimeMs(header.time_ms + 1))
            blocks.append(msgspec.structs.replace(one.block, header=header))
        final = next((one.finalization for one in reversed(saved) if one.finalization is not None), None)
        last = blocks[-1].header
        above = msgspec.structs.replace(last, height=last.height + 1, parent_digest=last.calculate_digest())
        self.world.send(self.place, source, "blocks", Blocks(blocks=(), finalization=final, trailing=(above,)))
        self.world.send(self.place, source, "blocks", Blocks(blocks=tuple(blocks), finalization=final))

    def tick(self) -> None:
        """Claims a height it does not have."""
        self.ask_some(2, "status", self.final + self.world.rng.randrange(100))
        super().tick()
