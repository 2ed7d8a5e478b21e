"""Sends again, late and to anybody, whatever anybody ever said, in this epoch or in one that is long over."""

from typing import Any

from tests.sim.actors.base import Actor

KEPT = 300
PER_TICK = 150


class Replayer(Actor):
    """Remembers everything; a budget per tick keeps two of them from feeding each other without end."""

    def recall(self) -> tuple[str, Any]:
        """Something old; once an epoch is over, what was kept of it is played like the rest."""
        memory, kept = self.__dict__["memory"], self.__dict__.setdefault("former", [])
        if self.engine.epoch != self.__dict__.setdefault("epoch", self.engine.epoch):
            self.__dict__["epoch"] = self.engine.epoch
            kept += memory[-KEPT // 2 :]
            del kept[: -2 * KEPT]
        thing: tuple[str, Any] = self.world.rng.choice(kept if kept and self.world.rng.random() < 0.5 else memory)
        return thing

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
                old, thing = self.recall()
                self.world.send(self.place, rng.randrange(len(self.world.nodes)), old, thing)
        super().hear(source, what, argument)

    def tick(self) -> None:
        """A new budget."""
        self.__dict__["budget"] = PER_TICK
        super().tick()
