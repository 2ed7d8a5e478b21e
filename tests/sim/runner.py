"""Runs seeds and cases and sums up; a failure is one line with the command that re-runs it identically."""

import time
import traceback
from collections.abc import Iterable, Iterator
from typing import Any
from zlib import crc32

from tests.sim.boundaries import Boundary, BoundaryWorld
from tests.sim.plan import make_plan
from tests.sim.twins import TwinsWorld, make_case
from tests.sim.world import World


class Outcome:
    """One run."""

    def __init__(self, failure: str, world: World) -> None:
        self.failure = failure
        self.events = world.events
        self.trace = world.trace
        for height, digest in sorted(world.judge.finals.items()):
            self.trace = crc32(b"%d" % height + digest, self.trace)
        self.world = world
        self.is_late = (world.views_needed or 0) > world.views_allowed
        """Whether the bound of 4n views was passed, though within the rotation that is forgiven."""


def run_world(world: World, repeat: str) -> Outcome:
    """Run a world to its end; `repeat` are the arguments that re-run it."""
    failure = ""
    try:
        world.run()
    except Exception as error:  # any exception of an engine is a failure of the run
        frame = traceback.extract_tb(error.__traceback__)[-1]
        failure = (
            f"FAILED liushui sim {repeat}: {type(error).__name__}: {error}"
            f" [{frame.name}:{frame.lineno}, {world.now_ms} ms, epoch {max(world.judge.sets)},"
            f" n={world.plan.size} {','.join(name for name in world.plan.byzantine + world.plan.spares if name)}]"
        )
    return Outcome(failure, world)


def run_seed(
    seed: int, *, size: int | None = None, byzantine: str | None = None, changing: bool | None = None
) -> Outcome:
    """Run one seed to its end; `changing` says whether its validators change, instead of the seed."""
    how = "" if size is None else f" --validators {size}"
    how += "" if byzantine is None else f" --byzantine {byzantine}"
    how += "" if changing is None else f" --changes {'yes' if changing else 'no'}"
    plan = make_plan(seed, size=size, byzantine=byzantine, changing=changing)
    return run_world(World(plan), f"--seeds {seed}{how}")


def run_case(seed: int) -> Outcome:
    """Run one case of twins to its end."""
    return run_world(TwinsWorld(make_case(seed)), f"--twins {seed}")


def run_boundary(boundary: Boundary) -> Outcome:
    """Run a scenario that dies at one boundary."""
    return run_world(BoundaryWorld(boundary.scenario, boundary), f"--boundary {boundary}")


def sum_up(outcomes: Iterator[Outcome], *, until_s: float | None = None) -> dict[str, Any]:
    """Take runs one after another, as far as the time goes."""
    began = time.monotonic()
    failures: list[str] = []
    count = events = trace = late = 0
    for outcome in outcomes:
        count += 1
        events += outcome.events
        late += outcome.is_late
        trace = crc32(outcome.trace.to_bytes(4, "big"), trace)
        if outcome.failure:
            failures.append(outcome.failure)
        if until_s is not None and time.monotonic() - began > until_s:
            break
    spent = time.monotonic() - began
    return {
        "runs": count,
        "events": events,
        "failures": failures,
        "late": late,
        "trace_hash": f"{trace:08x}",
        "events_per_second": int(events / spent) if spent else 0,
    }


def run_seeds(
    seeds: Iterable[int],
    *,
    size: int | None = None,
    byzantine: str | None = None,
    changing: bool | None = None,
    until_s: float | None = None,
) -> dict[str, Any]:
    """Run seeds one after another, as far as the time goes."""
    outcomes = (run_seed(seed, size=size, byzantine=byzantine, changing=changing) for seed in seeds)
    return sum_up(outcomes, until_s=until_s)


def run_twins(seeds: Iterable[int], *, until_s: float | None = None) -> dict[str, Any]:
    """Run cases of twins one after another, as far as the time goes."""
    return sum_up((run_case(seed) for seed in seeds), until_s=until_s)


def run_boundaries(boundaries: Iterable[Boundary], *, until_s: float | None = None) -> dict[str, Any]:
    """Run boundaries one after another, as far as the time goes."""
    return sum_up((run_boundary(boundary) for boundary in boundaries), until_s=until_s)
