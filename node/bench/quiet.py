"""The network without load: what it uses while nothing happens, and how long one transaction takes."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from node.bench.accounts import SetUpError
from node.bench.report import Idle, Lone
from node.bench.stage import Stage

SETTLE_S: Final = 2.0
IDLE_S: Final = 10.0
LONE_ROUNDS: Final = 20
LONE_PAUSE_S: Final = 0.15  # long enough for the empty block that carries the last root


def pick(ordered: Sequence[float], percent: int) -> float | None:
    """Nearest-rank percentile of sorted values, one decimal; None of nothing."""
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 1) if ordered else None


async def measure_idle(stage: Stage) -> Idle:
    """Share of one core that each node uses while nothing happens."""
    stage.progress.show("idle", seconds=SETTLE_S + IDLE_S)
    await asyncio.sleep(SETTLE_S)
    before = await stage.mark()
    await asyncio.sleep(IDLE_S)
    after = await stage.mark()
    seconds = after.at_s - before.at_s
    share = {
        name: round(100 * (now.processor_s - before.usage[name].processor_s) / seconds, 2)
        for name, now in after.usage.items()
    }
    return Idle(
        seconds=round(seconds, 2),
        processor_percent_of_core_per_node=share,
        processor_percent_of_core_max=max(share.values()),
    )


async def measure_lone(stage: Stage) -> Lone:
    """Submit one transaction at a time to the idle network, at each node in turn, and wait for it."""
    took: list[float] = []
    clients = list(stage.clients.values())
    for index in range(LONE_ROUNDS):
        stage.progress.try_show("lone", done=index, count=LONE_ROUNDS)
        await asyncio.sleep(LONE_PAUSE_S)
        intent = stage.people.make_transfer()
        began = time.perf_counter()
        (result,) = await clients[index % len(clients)].submit([intent.item], wait_final=True)
        took.append((time.perf_counter() - began) * 1_000)
        if result.status != "finalised":
            raise SetUpError(f"A lone transaction was {result.status}.")
    stage.people.submitted += LONE_ROUNDS
    took.sort()
    return Lone(
        rounds=LONE_ROUNDS,
        latency_p50_ms=pick(took, 50) or 0.0,
        latency_p95_ms=pick(took, 95) or 0.0,
        latency_max_ms=pick(took, 100) or 0.0,
    )
