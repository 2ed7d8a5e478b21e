"""How long the command line takes to start, by processor time: `python tests/bench/bench_start.py`. Bar: 200 ms."""

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (
    ("--help",),
    ("version",),
    ("status", "--help"),
    ("doctor", "--help"),
    ("apply", "--help"),
    ("loan", "--help"),
    ("gov", "propose", "--help"),
)
BAR_MS = 200
ROUNDS = 9


def measure_ms(words: tuple[str, ...]) -> float:
    """Processor time of one run, the interpreter's own start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call = [sys.executable, "-m", "node.cli.main", *words]
    subprocess.run(call, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000


def main() -> None:
    """Least and median of some runs of each; the first fills the caches and does not count."""
    report: dict[str, object] = {"python": sys.version.split()[0], "bar_ms": BAR_MS}
    for words in COMMANDS:
        measure_ms(words)
        times = [measure_ms(words) for _ in range(ROUNDS)]
        report["liushui " + " ".join(words)] = {
            "least_ms": round(min(times)),
            "median_ms": round(statistics.median(times)),
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
