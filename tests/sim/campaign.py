"""A campaign: many runs, here or in several processes, folded into one summary that does not depend on how many.

What `liushui sim` loads from the source tree, and `python -m tests.sim` too. Each run is a job by name; results come
back in the order of the jobs, so the trace hash of a campaign is the same in one process and in eight. Never print
here.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple
from zlib import crc32

from tests.sim.actors.table import ACTORS
from tests.sim.boundaries import SCENARIOS, find_boundaries, parse_boundary
from tests.sim.ledger.actors.table import ACTORS as LEDGER_ACTORS
from tests.sim.ledger.runner import LedgerOutcome, run_ledger_seed
from tests.sim.runner import Outcome, run_boundary, run_case, run_seed

VALIDATORS_MAX = 20


class Job(NamedTuple):
    """One run by what names it: a seed, a case of twins, or a boundary."""

    kind: str
    """seeds, ledger, twins or boundary."""
    name: str
    validators: int | None = None
    byzantine: str | None = None
    changing: bool | None = None


class Result(NamedTuple):
    """What one run came to, small enough to come from another process."""

    failure: str
    events: int
    trace: int
    is_late: bool
    processor_s: float


class CampaignError(ValueError):
    """A wish that cannot be met; the message says which."""


def run_job(job: Job) -> Result:
    """Run one job to its end."""
    began = time.process_time()
    outcome = _run(job)
    return Result(outcome.failure, outcome.events, outcome.trace, outcome.is_late, time.process_time() - began)


def _run(job: Job) -> Outcome | LedgerOutcome:
    match job.kind:
        case "ledger":
            return run_ledger_seed(int(job.name), size=job.validators, byzantine=job.byzantine)
        case "twins":
            return run_case(int(job.name))
        case "boundary":
            return run_boundary(parse_boundary(job.name))
        case _:
            return run_seed(int(job.name), size=job.validators, byzantine=job.byzantine, changing=job.changing)


# ---------------------------------------------------------------------- what is asked for


def list_jobs(
    *,
    seeds: str | None = None,
    twins: str | None = None,
    boundaries: str | None = None,
    boundary: str | None = None,
    validators: int | None = None,
    byzantine: str | None = None,
    changes: str | None = None,
    ledger: bool = False,
) -> list[Job]:
    """The jobs of the one campaign that is named; seeds are of consensus, or of the `ledger`. Raises CampaignError."""
    if ledger and (seeds is None or changes is not None):
        raise CampaignError("the whole ledger is run by --seeds, and its people alone change its validators")
    if byzantine is not None and byzantine not in (LEDGER_ACTORS if ledger else ACTORS):
        raise CampaignError(f"there is no actor {byzantine!r}: --list names them")
    if validators is not None and not 1 <= validators <= VALIDATORS_MAX:
        raise CampaignError(f"a set has 1 to {VALIDATORS_MAX} validators")
    if twins is not None:
        return [Job("twins", str(seed)) for seed in parse_range(twins)]
    if boundary is not None:
        try:
            return [Job("boundary", str(parse_boundary(boundary)))]
        except ValueError as error:
            raise CampaignError(f"{boundary!r} is no boundary: copy it from a failure's line") from error
    if boundaries is not None:
        names = list(SCENARIOS) if boundaries == "all" else [boundaries]
        if boundaries != "all" and boundaries not in SCENARIOS:
            raise CampaignError(f"there is no scenario {boundaries!r}: --list names them")
        return [Job("boundary", str(one)) for name in names for one in find_boundaries(name)]
    changing = None if changes is None else changes == "yes"
    kind = "ledger" if ledger else "seeds"
    return [Job(kind, str(seed), validators, byzantine, changing) for seed in parse_range(seeds or "")]


def parse_range(text: str) -> range:
    """`A-B` or `A`. Raises CampaignError."""
    first, dash, last = text.partition("-")
    if not first.isdecimal() or not (last.isdecimal() if dash else True):
        raise CampaignError(f"{text!r} is not a range like 0-99")
    found = range(int(first), int(last or first) + 1)
    if not found:
        raise CampaignError(f"{text!r} is empty")
    return found


def list_names() -> dict[str, dict[str, str]]:
    """Everything that can be named: actors and scenarios, each with what it does."""
    return {
        "actors": {name: _read_doc(actor) for name, actor in sorted(ACTORS.items())},
        "ledger_actors": {name: _read_doc(actor) for name, actor in sorted(LEDGER_ACTORS.items())},
        "scenarios": {name: SCENARIO_TEXTS[name] for name in SCENARIOS},
    }


def _read_doc(kind: type) -> str:
    """First sentence of the module a class stands in: an actor is a file."""
    text = import_module(kind.__module__).__doc__ or ""
    return " ".join(text.split("\n\n")[0].split()).rstrip(".")


SCENARIO_TEXTS = {
    "calm": "nothing happens",
    "absent": "one validator comes late",
    "slow": "long delays and loss",
    "two-faced": "one validator proposes two blocks and votes for both",
    "change": "a key rotates, a validator leaves, another comes",
}


# ---------------------------------------------------------------------- running


class Tally:
    """The sum so far; equal for equal jobs, however they were run."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.runs = self.events = self.trace = self.late = 0
        self.failures: list[str] = []
        self.processor_s = 0.0
        self.interrupted = False

    def add(self, result: Result) -> None:
        """The next job's result, in the order of jobs."""
        self.runs += 1
        self.events += result.events
        self.late += result.is_late
        self.processor_s += result.processor_s
        self.trace = crc32(result.trace.to_bytes(4, "big"), self.trace)
        if result.failure:
            self.failures.append(result.failure)

    def make_summary(self) -> dict[str, Any]:
        """As one JSON object."""
        return {
            "runs": self.runs,
            "planned": self.planned,
            "interrupted": self.interrupted,
            "events": self.events,
            "failures": len(self.failures),
            "failed": self.failures,
            "late": self.late,
            "trace_hash": f"{self.trace:08x}",
            "events_per_second": int(self.events / self.processor_s) if self.processor_s else 0,
        }


def run_campaign(
    jobs: Sequence[Job], *, processes: int = 1, on_result: Callable[[Tally], None] = lambda _: None
) -> Tally:
    """Run the jobs; an interrupt ends it between two results, with what was reached by then."""
    tally = Tally(len(jobs))
    results = _run_here(jobs) if processes <= 1 else _run_elsewhere(jobs, processes)
    try:
        for result in results:
            tally.add(result)
            on_result(tally)
    except KeyboardInterrupt:
        tally.interrupted = True
    return tally


def _run_here(jobs: Iterable[Job]) -> Iterator[Result]:
    return (run_job(job) for job in jobs)


def _run_elsewhere(jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """In the order of the jobs, whoever is done first; the workers end with the generator, however it ends."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(min(processes, len(jobs)), initializer=_ignore_interrupts) as pool:
        yield from pool.imap(run_job, jobs)


def _ignore_interrupts() -> None:
    """Ctrl-C reaches the whole group of processes; only the one that folds may answer it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
