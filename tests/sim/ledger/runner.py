"""Runs seeds of the whole ledger; a failure is one line with the command that re-runs it identically."""

import traceback
from zlib import crc32

from tests.sim.ledger.actors.table import ACTORS
from tests.sim.ledger.plan import make_plan
from tests.sim.ledger.world import LedgerWorld


class LedgerOutcome:
    """One run."""

    is_late = False
    """Views say nothing of whole nodes: what takes too long after the heal is a failure."""

    def __init__(self, failure: str, world: LedgerWorld) -> None:
        self.failure = failure
        self.world = world
        self.events = world.events
        self.trace = world.trace
        for height, digest in sorted(world.judge.finals.items()):
            self.trace = crc32(b"%d" % height + digest, self.trace)


def run_ledger_seed(seed: int, *, size: int | None = None, byzantine: str | None = None) -> LedgerOutcome:
    """Run one seed to its end."""
    plan = make_plan(seed, size=size, byzantine=byzantine, actors=tuple(sorted(ACTORS)))
    world = LedgerWorld(plan)
    failure = ""
    try:
        world.run()
    except Exception as error:  # any exception is a failure of the run
        how = "" if size is None else f" --validators {size}"
        how += "" if byzantine is None else f" --byzantine {byzantine}"
        frame = traceback.extract_tb(error.__traceback__)[-1]
        failure = (
            f"FAILED liushui sim --ledger --seeds {seed}{how}: {type(error).__name__}: {error}"
            f" [{frame.name}:{frame.lineno}, {world.now_ms} ms, n={plan.size} {','.join(plan.byzantine)}]"
        )
    return LedgerOutcome(failure, world)
