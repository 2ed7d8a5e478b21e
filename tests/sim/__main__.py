"""`python -m tests.sim --seeds A-B`: run seeds, print one line per failure and a summary."""

import argparse
import json
import sys

from tests.sim.runner import run_seeds


def main() -> int:
    """Exit 1 when any seed fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__)
    parser.add_argument("--seeds", default="0-99", help="first and last seed, or one seed")
    parser.add_argument("--validators", type=int, default=None, help="size of the set, instead of the seed's choice")
    parser.add_argument("--byzantine", default=None, help="name of an actor, instead of the seed's choice")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    seeds = range(int(first), int(last or first) + 1)
    summary = run_seeds(seeds, size=arguments.validators, byzantine=arguments.byzantine)
    for failure in summary["failures"]:
        print(failure, file=sys.stderr)
    if arguments.json:
        print(json.dumps(summary))
    else:
        print(
            f"{summary['seeds']} seeds, {summary['events']} events, {len(summary['failures'])} failures,"
            f" trace {summary['trace_hash']}, {summary['events_per_second']} events/s"
        )
    return 1 if summary["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
