"""`python -m scoring.train DATA_DIR --out DIR` fits the shipped models and writes them with their card (needs the
training extra); with `--evaluate` it measures the shipped model instead, with the standard library alone.
"""

import argparse
import json
import sys
from pathlib import Path

from scoring.models import load_model
from scoring.train.evaluate import evaluate


def main() -> int:
    """Writes NAME.json and the card into --out; prints the report as JSON."""
    parser = argparse.ArgumentParser(prog="python -m scoring.train")
    parser.add_argument("data_dir", type=Path)
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--out", type=Path, help="directory for the models and the card")
    task.add_argument("--evaluate", metavar="MODEL", help="name of a shipped model to measure, e.g. cashflow-v1")
    parser.add_argument("--repeats", type=int, default=20, help="repeats of the cross-validation")
    parser.add_argument("--maker", choices=("scorecard", "ebm"), default="scorecard")
    options = parser.parse_args()
    if options.evaluate:
        report = evaluate(load_model(options.evaluate), options.data_dir)
    else:
        from scoring.train.run import write_models

        report = write_models(options.data_dir, options.out, repeats=options.repeats, maker=options.maker)
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
