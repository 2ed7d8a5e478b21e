"""`python -m scoring.train DATA_DIR --out DIR`: fits the shipped models and writes them with their card."""

import argparse
import json
import sys
from pathlib import Path

from scoring.points import encode_model
from scoring.train.run import train


def main() -> int:
    """Writes NAME.json and the report into --out; prints the report."""
    parser = argparse.ArgumentParser(prog="python -m scoring.train")
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=20, help="repeats of the cross-validation")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    model, report = train(options.data_dir, repeats=options.repeats)
    (options.out / f"{model.name}.json").write_bytes(encode_model(model))
    json.dump(report, sys.stdout, indent=1)
    sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
