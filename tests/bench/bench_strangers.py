"""Honest clients' waiting while strangers attack every port of a network, against the same without them.

    python -m tests.bench.bench_strangers [seconds] [transfers per second] [attack...]

Four validators and an observer as real processes; single transfers to the validators in turn; the strangers run in a
process of their own beside them, each attack at its pace (`tests.strangers.attacks`) against each of the five nodes.
Prints a JSON object; `ratio_p99` is the aim's figure (at most 2 on two cores).
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.strangers.attacks import ATTACKS
from tests.strangers.field import Measured, open_field, swarm


def tell(measured: Measured) -> dict[str, Any]:
    """Figures of one measure."""
    return {
        "transfers": len(measured.waits_s),
        "p50_ms": round(1_000 * measured.pick(0.5)),
        "p99_ms": round(1_000 * measured.pick(0.99)),
        "descriptors_max": measured.heaviest.descriptors,
        "memory_mb_max": measured.heaviest.memory_mb,
    }


async def bench(seconds: float, per_s: int, names: list[str]) -> dict[str, Any]:
    """Normal, under attack, and normal again: the second normal shows what the machine itself changed."""
    with tempfile.TemporaryDirectory() as directory:
        async with open_field(Path(directory), seed=1) as field:
            victims = await field.make_victims()
            await field.measure(3, per_s)
            normal = await field.measure(seconds, per_s)
            attacking = asyncio.create_task(swarm(victims, seconds + 3, names))
            await asyncio.sleep(2)
            attacked = await field.measure(seconds, per_s)
            said = await attacking
            await asyncio.sleep(2)
            after = await field.measure(seconds, per_s)
            strikes = {name: sum(told.values()) for name, told in said["said"].items()}
            return {
                "cores": os.cpu_count(),
                "load_average": os.getloadavg()[0],
                "normal": tell(normal),
                "attacked": tell(attacked),
                "after": tell(after),
                "ratio_p99": round(attacked.pick(0.99) / max(normal.pick(0.99), after.pick(0.99)), 2),
                "ratio_p50": round(attacked.pick(0.5) / max(normal.pick(0.5), after.pick(0.5)), 2),
                "strikes_per_s": round(sum(strikes.values()) / (seconds + 3), 1),
                "strikes": strikes,
                "strangers_processor_share": round(said["processor_s"] / (seconds + 3), 2),
                "said": said["said"],
            }


if __name__ == "__main__":
    asked = sys.argv[1:]
    wanted = asked[2:] or list(ATTACKS)
    result = asyncio.run(bench(float(asked[0]) if asked else 15.0, int(asked[1]) if asked[1:] else 20, wanted))
    print(json.dumps(result, indent=2))
