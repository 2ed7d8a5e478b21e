"""Puts the same transactions into many batches, in any order, again and again, executed ones too."""

from protocol.messages import Propose
from tests.sim.ledger.actors.base import Liar


class Doubler(Liar):
    """Every transaction it hears of comes several times."""

    def tick(self) -> None:
        """Some batches of what was said lately, each to others."""
        rng = self.world.rng
        for _ in range(rng.randint(1, 5)):
            if self.seen:
                ref = self.make([rng.choice(self.seen) for _ in range(rng.randint(1, 6))])
                self.push(self.made[ref.digest], self.choose_others(0.7))

    def remake(self, propose: Propose) -> Propose:
        """Its blocks order such batches, some of them ordered before."""
        rng = self.world.rng
        if not self.made or rng.random() < 0.5:
            return propose
        known = list(self.made)[-40:]
        refs = {one.digest: one for one in propose.block.batches}
        for digest in rng.sample(known, min(3, len(known))):
            ref = self.make(self.made[digest].items)
            refs[ref.digest] = ref
        return self.with_batches(propose, list(refs.values())[:32])
