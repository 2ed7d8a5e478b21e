"""`python -m tests.fuzz [TARGET...] [--seconds N] [--seed S] [--case K]`: run fuzzers for longer than the tests do.

Exit code 1 at the first failure, whose bytes are written to the file that --keep names. Without a target: all in turn.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.runner import run
from tests.fuzz.targets import TARGETS


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time for each target")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--case", type=int, default=None, help="run this one case alone")
    parser.add_argument("--keep", type=Path, default=None, help="where to write the bytes of a failure")
    asked = parser.parse_args()
    unknown = [name for name in asked.targets if name not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(TARGETS)}")
    for name in asked.targets or TARGETS:
        if asked.case is None:
            report = run(TARGETS[name], seed=asked.seed, seconds=asked.seconds)
        else:
            report = run(TARGETS[name], seed=asked.seed, cases=1, first=asked.case)
        print(report.describe(), flush=True)
        if report.failure is not None:
            if asked.keep is not None:
                asked.keep.write_bytes(report.failure.data)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
