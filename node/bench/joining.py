"""A new observer with an empty disk joins and verifies the whole chain: how fast, by the clock and by the processor."""

import asyncio
import statistics
import time
from typing import Final

from node.bench.meter import measure_signature_check_us, read_usage
from node.bench.report import Sync
from node.bench.site import NEWCOMER
from node.bench.stage import Stage
from node.client.http import ApiError, NodeClient, NodeUnreachable
from node.demo.network import NetworkError

POLL_S: Final = 0.25  # each question is answered by the processor that is measured
CHECK_EVERY: Final = 4
"""Polls between two looks at how fast the shared cores are."""
SLOWEST_TX_PER_S: Final = 150
START_S: Final = 60.0


async def measure_sync(stage: Stage) -> Sync:
    """Start the newcomer and return when it stands where the others stood. Raises NetworkError."""
    statuses = await stage.read_statuses()
    target = max(int(one["exec_height"]) for one in statuses.values())
    transactions = stage.people.submitted
    pids = [stage.network.get_pid(name) for name in stage.clients]
    began_s = time.perf_counter()
    await stage.network.start([NEWCOMER], probe="/livez")
    answered_s = time.perf_counter()
    pid = stage.network.get_pid(NEWCOMER)
    used_s = read_usage(pid).processor_s
    served_s = sum(read_usage(one).processor_s for one in pids)
    async with NodeClient(stage.network.get_url(NEWCOMER)) as client:
        until_s = answered_s + START_S + transactions / SLOWEST_TX_PER_S
        check_us = [measure_signature_check_us()]
        polls = 0
        while (height := await _read_height(client)) < target:
            polls += 1
            if polls % CHECK_EVERY == 0:
                check_us.append(measure_signature_check_us())
            if time.perf_counter() > until_s:
                raise NetworkError(
                    f"{NEWCOMER} stands at height {height} of {target} and is too slow: see its node.log"
                )
            stage.network.check_alive()
            stage.progress.try_show("sync", height=height, target=target)
            await asyncio.sleep(POLL_S)
        seconds = time.perf_counter() - answered_s
        await client.get("/v1/blocks/1")  # it came from the first block on, by no short cut
    now = read_usage(pid)
    processor_s = max(now.processor_s - used_s, 0.01)
    one_check_us = statistics.fmean(check_us)
    return Sync(
        transactions=transactions,
        blocks=target,
        seconds=round(seconds, 2),
        start_seconds=round(answered_s - began_s, 2),
        processor_s=round(processor_s, 2),
        tx_per_s=round(transactions / seconds, 1),
        tx_per_core_s=round(transactions / processor_s, 1),
        signature_check_us=round(one_check_us, 1),
        signature_checks_per_transaction=round(processor_s * 1e6 / transactions / one_check_us, 2),
        validators_processor_s=round(sum(read_usage(one).processor_s for one in pids) - served_s, 2),
        memory_peak_mb=round(now.memory_peak_mb, 1),
    )


async def _read_height(client: NodeClient) -> int:
    try:
        return int((await client.get("/v1/status"))["exec_height"])
    except (NodeUnreachable, ApiError):
        return 0  # busy with the chain
