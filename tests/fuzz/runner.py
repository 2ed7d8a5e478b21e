"""Feeds a target hostile bytes and watches it: only typed refusals, within bounded time and memory, case by case.

    run(target, seed=7, cases=300) -> Report          the same seed gives the same cases
    run(target, seed=7, seconds=60.0)

A case is told by seed and number, so that a failure is run again alone. Never a target here.
"""

import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, NamedTuple

from tests.fuzz.mutate import Mutate

Feed = Callable[[bytes], str]
"""Bytes in; `taken`, or the stable code with which they were refused. Whatever it raises is a fault of ours."""

TAKEN: Final = "taken"
CASE_SECONDS_MAX: Final = 1.0
"""Of processor time, for inputs of at most a megabyte: a hundred times what the slowest honest one takes."""
CASE_BYTES_MAX: Final = 48 * 1024 * 1024
"""Memory of one case at its highest."""
WEIGH_EVERY: Final = 16
"""Weighing makes a case several times slower."""


class Target(NamedTuple):
    """One decoder that strangers reach."""

    name: str
    what: str
    """In words, for the list."""
    make_seeds: Callable[[], Sequence[bytes]]
    """Valid bytes: each of them must be taken."""
    open: Callable[[], AbstractContextManager[Feed]]
    vary: Mutate


class Failure(NamedTuple):
    """A case that a target did not stand."""

    number: int
    reason: str
    data: bytes


class Report(NamedTuple):
    """What came of one run."""

    target: str
    seed: int
    cases: int
    outcomes: Counter[str]
    failure: Failure | None

    def describe(self) -> str:
        """For people; a failure names the command that runs it again."""
        told = ", ".join(f"{count} {code}" for code, count in self.outcomes.most_common(12))
        if self.failure is None:
            return f"{self.target}: {self.cases} cases, seed {self.seed}: {told}"
        again = f"python -m tests.fuzz {self.target} --seed {self.seed} --case {self.failure.number}"
        return (
            f"{self.target}: {self.failure.reason}\n  {len(self.failure.data)} bytes:"
            f" {self.failure.data[:200].hex()}\n  again: {again}"
        )


def make_case(target: Target, seeds: Sequence[bytes], seed: int, number: int) -> bytes:
    """The bytes of one case."""
    return target.vary(random.Random(f"{target.name} {seed} {number}"), seeds)


def run(target: Target, *, seed: int, cases: int | None = None, seconds: float | None = None, first: int = 0) -> Report:
    """Run cases until there were so many, or so long, or until one fails. Time is processor time."""
    outcomes: Counter[str] = Counter()
    seeds = target.make_seeds()
    number, failure = first, None
    began_s = time.process_time()
    with target.open() as feed:
        while failure is None:
            if cases is not None and number - first >= cases:
                break
            if seconds is not None and time.process_time() - began_s >= seconds:
                break
            data = make_case(target, seeds, seed, number)
            code, reason = watch(feed, data, weigh=number % WEIGH_EVERY == 0)
            outcomes[code] += 1
            if reason is not None:
                failure = Failure(number, reason, data)
            number += 1
    return Report(target.name, seed, number - first, outcomes, failure)


def watch(feed: Feed, data: bytes, *, weigh: bool) -> tuple[str, str | None]:
    """The outcome of one case, and why it is a failure, if it is one."""
    if weigh:
        tracemalloc.start()
    began_s = time.process_time()
    try:
        code = feed(data)
    except Exception as error:
        return "raised", f"raised {type(error).__name__}: {str(error)[:300]}"
    finally:
        took_s = time.process_time() - began_s
        peak = tracemalloc.get_traced_memory()[1] if weigh else 0
        if weigh:
            tracemalloc.stop()
    if took_s > (CASE_SECONDS_MAX if not weigh else 8 * CASE_SECONDS_MAX):
        return code, f"took {took_s:.1f} s of processor time"
    if peak > CASE_BYTES_MAX:
        return code, f"took {peak // 2**20} MiB of memory"
    return code, None
