"""Answers every question falsely: blocks that do not follow, finalizations of other blocks, certificates shuffled."""

from typing import Any

import msgspec

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
        elif what == "get_certificates":
            found = self.engine.certificates_from(argument)[::-1]
            moved = tuple(msgspec.structs.replace(one, view=one.view + 1) for one in found[:8])
            send(self.place, source, "certificates", Certificates(certificates=moved + found[:8]))
        elif what == "get_block":
            recent = list(self.engine._machine.chain.recent.values())
            if recent:
                send(self.place, source, "block", rng.choice(recent))

    def tick(self) -> None:
        """Claims a height it does not have."""
        self.ask_some(2, "status", self.final + self.world.rng.randrange(100))
        super().tick()
