"""`python -m tests.sim`: run seeds, cases of twins or crash boundaries; one line per failure, and a summary.

    python -m tests.sim --seeds 0-999 [--validators N] [--byzantine NAME]
    python -m tests.sim --twins 0-4999
    python -m tests.sim --boundaries calm      (or absent, slow, two-faced, all)
    python -m tests.sim --boundary calm/2/write/17/votes-half/alone

Each failure's line is the command that repeats it, event by event.
"""

import argparse
import json
import sys
from typing import Any

from tests.sim.boundaries import SCENARIOS, find_boundaries, parse_boundary
from tests.sim.runner import run_boundaries, run_seeds, run_twins


def parse_range(text: str) -> range:
    """`A-B` or `A`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The one campaign that was asked for."""
    if arguments.twins is not None:
        return run_twins(parse_range(arguments.twins))
    if arguments.boundary is not None:
        return run_boundaries([parse_boundary(arguments.boundary)])
    if arguments.boundaries is not None:
        names = list(SCENARIOS) if arguments.boundaries == "all" else [arguments.boundaries]
        return run_boundaries(boundary for name in names for boundary in find_boundaries(name))
    return run_seeds(parse_range(arguments.seeds), size=arguments.validators, byzantine=arguments.byzantine)


def main() -> int:
    """Exit 1 when anything fails."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sim", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--seeds", default="0-99", help="first and last seed, or one seed")
    what.add_argument("--twins", help="first and last case, or one case")
    what.add_argument("--boundaries", choices=[*SCENARIOS, "all"], help="every crash boundary of a scenario")
    what.add_argument("--boundary", help="one crash boundary, as a failure names it")
    parser.add_argument("--validators", type=int, default=None, help="size of the set, instead of the seed's choice")
    parser.add_argument("--byzantine", default=None, help="name of an actor, instead of the seed's choice")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    arguments = parser.parse_args()
    summary = run(arguments)
    for failure in summary["failures"]:
        print(failure, file=sys.stderr)
    if arguments.json:
        print(json.dumps(summary))
    else:
        print(
            f"{summary['runs']} runs, {summary['events']} events, {len(summary['failures'])} failures,"
            f" {summary['late']} beyond 4n views,"
            f" trace {summary['trace_hash']}, {summary['events_per_second']} events/s"
        )
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
