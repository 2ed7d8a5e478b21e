"""Sends again, late and to anybody, whatever anybody ever said."""

from typing import Any

from tests.sim.actors.base import Actor

KEPT = 300
PER_TICK = 150


class Replayer(Actor):
    """Remembers everything; a budget per tick keeps two of them from feeding each other without end."""

    def hear(self, source: int, what: str, argument: Any) -> None:
        """Keep it and play something old."""
        memory: list[tuple[str, Any]] = self.__dict__.setdefault("memory", [])
        if what in ("vote", "propose", "certificate", "certificates", "block", "blocks"):
            rng = self.world.rng
            if len(memory) < KEPT:
                memory.append((what, argument))
            else:
                memory[rng.randrange(KEPT)] = (what, argument)
            if self.__dict__.setdefault("budget", PER_TICK) > 0:
                self.__dict__["budget"] -= 1
                old, thing = rng.choice(memory)
                self.world.send(self.place, rng.randrange(len(self.world.nodes)), old, thing)
        super().hear(source, what, argument)

    def tick(self) -> None:
        """A new budget."""
        self.__dict__["budget"] = PER_TICK
        super().tick()
