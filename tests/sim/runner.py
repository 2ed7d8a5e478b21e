"""Runs seeds and sums up; a failure is one line with the seed that re-runs it identically."""

import time
import traceback
from collections.abc import Iterable
from typing import Any
from zlib import crc32

from tests.sim.plan import make_plan
from tests.sim.world import World


class Outcome:
    """One seed."""

    def __init__(self, seed: int, failure: str, world: World) -> None:
        self.seed = seed
        self.failure = failure
        self.events = world.events
        self.trace = world.trace
        self.world = world


def run_seed(seed: int, *, size: int | None = None, byzantine: str | None = None) -> Outcome:
    """Run one seed to its end."""
    plan = make_plan(seed, size=size, byzantine=byzantine)
    world = World(plan)
    failure = ""
    try:
        world.run()
    except Exception as error:  # any exception of an engine is a failure of the seed
        frame = traceback.extract_tb(error.__traceback__)[-1]
        how = "" if size is None else f" --validators {size}"
        how += "" if byzantine is None else f" --byzantine {byzantine}"
        failure = (
            f"FAILED python -m tests.sim --seeds {seed}{how}: {type(error).__name__}: {error}"
            f" [{frame.name}:{frame.lineno}, {world.now_ms} ms, n={plan.size} {','.join(plan.byzantine)}]"
        )
    return Outcome(seed, failure, world)


def run_seeds(
    seeds: Iterable[int], *, size: int | None = None, byzantine: str | None = None, until_s: float | None = None
) -> dict[str, Any]:
    """Run seeds one after another, as far as the time goes."""
    began = time.monotonic()
    failures: list[str] = []
    count = events = trace = 0
    for seed in seeds:
        outcome = run_seed(seed, size=size, byzantine=byzantine)
        count += 1
        events += outcome.events
        trace = crc32(outcome.trace.to_bytes(4, "big"), trace)
        if outcome.failure:
            failures.append(outcome.failure)
        if until_s is not None and time.monotonic() - began > until_s:
            break
    spent = time.monotonic() - began
    return {
        "seeds": count,
        "events": events,
        "failures": failures,
        "trace_hash": f"{trace:08x}",
        "events_per_second": int(events / spent) if spent else 0,
    }
