"""How long a score takes: `python tests/bench/bench_scoring.py` prints JSON. Bars: 10 ms and 50 microseconds."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scoring.features import calculate_features, calculate_net_cashflow30, check_statement
from scoring.models import load_default
from scoring.rows import Row, decode_row, encode_row
from scoring.selftest import run_selftest
from tests.scoring.synthetic import AS_OF, make_rows

TERMS = {"instalment": 100_000, "principal": 1_200_000}


def measure_us(action: Callable[[], object], *, rounds: int) -> dict[str, float]:
    """Median and 99th percentile of `rounds` runs by the clock, and the mean by processor time, microseconds.

    On a busy machine the clock counts others' work too: processor time is what the code costs.
    """
    times = []
    begin = time.process_time_ns()
    for _ in range(rounds):
        start = time.perf_counter_ns()
        action()
        times.append((time.perf_counter_ns() - start) / 1000)
    spent = (time.process_time_ns() - begin) / rounds / 1000
    times.sort()
    return {
        "p50_us": round(statistics.median(times), 1),
        "p99_us": round(times[int(len(times) * 0.99)], 1),
        "cpu_us": round(spent, 1),
    }


def main() -> None:
    """Twelve months of a quiet, a usual and a busy account."""
    model = load_default()
    report: dict[str, object] = {"python": sys.version.split()[0]}
    for name, per_day in (("quiet", 1), ("usual", 5), ("busy", 25)):
        rows = make_rows(7, per_day=per_day)
        raw = [encode_row(row) for row in rows]

        def score_rows(rows: list[Row] = rows) -> object:
            check_statement(rows, as_of=AS_OF, last_day=AS_OF - 1)
            features = calculate_features(rows, as_of=AS_OF, last_day=AS_OF - 1, **TERMS)
            return model.assess(model.calculate_bins(features))

        def score(raw: list[bytes] = raw) -> object:
            decoded = [decode_row(item) for item in raw]
            calculate_net_cashflow30(decoded, as_of=AS_OF)
            return score_rows(decoded)

        report[f"rows_to_score_{name}"] = {"rows": len(rows), **measure_us(score_rows, rounds=60)}
        report[f"bytes_to_score_and_capacity_{name}"] = {"rows": len(rows), **measure_us(score, rounds=60)}
    features = calculate_features(make_rows(7), as_of=AS_OF, last_day=AS_OF - 1, **TERMS)
    bins = model.calculate_bins(features)
    report["bins"] = measure_us(lambda: model.calculate_bins(features), rounds=5000)
    report["assess"] = measure_us(lambda: model.assess(bins), rounds=5000)
    report["selftest"] = measure_us(run_selftest, rounds=20)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
