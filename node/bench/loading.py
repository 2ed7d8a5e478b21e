"""One load measured from its first group to its last transaction, and turned into figures."""

import asyncio
import os
import statistics
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from node.bench.layout import Layout
from node.bench.load import Lane, Load
from node.bench.meter import Mark
from node.bench.plan import Kind
from node.bench.quiet import pick
from node.bench.report import LoadFigures, NodeUse, Signing
from node.bench.signing import read_spool
from node.bench.spooling import Spooled, sign_load
from node.bench.stage import Stage
from node.bench.tally import PaymentNames, Tally, TransferNames
from node.bench.watch import Watcher
from node.client.http import ApiError, NodeClient
from protocol.batch import BatchItem, calculate_transaction_id
from protocol.codec import decode

LOOK_EVERY_S: Final = 0.05
STILL_S_MAX: Final = 15.0
"""Without one more final transaction for so long, what is missing is looked for one by one."""
DRAIN_S_MAX: Final = 180.0


class _Moment(NamedTuple):
    """The network at one instant."""

    mark: Mark
    statuses: Mapping[str, Any]


async def measure_load(stage: Stage, dead: int) -> LoadFigures:
    """Kill down to `dead`, sign, submit, wait, count. Raises LoadError, NetworkError, PlanError."""
    await stage.kill_down_to(dead)
    names = stage.validators
    plan = stage.plan
    layout = Layout(plan.transactions, len(names), plan.pick_group(len(names)))
    stage.progress.show("signing", count=layout.transactions)
    lanes = [
        [(one.loan.hex(), one.paid) for one in people if one.loan is not None]
        for people in stage.people.split(layout.lanes)
    ]
    spooled = await sign_load(stage.people, plan.kind, layout, stage.work)
    try:
        tally = Tally(layout)
        found = TransferNames(spooled.first_amount) if plan.kind is Kind.TRANSFER else PaymentNames(tally, lanes)
        load = Load(
            layout,
            [Lane(stage.clients[name], spool) for name, spool in zip(names, spooled.spools, strict=True)],
            tally,
            rate=plan.rate,
            check_alive=stage.network.check_alive,
        )
        watcher = Watcher(stage.network.get_url(names[0]), plan.kind, tally, found)
        return await _run(stage, load, tally, watcher, spooled)
    finally:
        spooled.remove()


async def _run(stage: Stage, load: Load, tally: Tally, watcher: Watcher, spooled: Spooled) -> LoadFigures:
    before = await _look(stage)
    first = stage.clients[stage.validators[0]]
    watching = asyncio.create_task(watcher.run(before.statuses[stage.validators[0]]["exec_height"]))
    submitting = asyncio.create_task(load.run())
    try:
        while not submitting.done():
            await asyncio.wait((submitting, watching), timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            if watching.done():
                watching.result()
            stage.network.check_alive()
            _tell(stage, load, tally)
        submitting.result()
        submit_s = time.perf_counter() - load.began_s
        backlog = tally.accepted - tally.matched
        await _drain(stage, load, tally)
    finally:
        for task in (submitting, watching):
            task.cancel()
        await asyncio.gather(submitting, watching, return_exceptions=True)
    after = await _look(stage)
    failed, lost = await _find_missing(first, tally, spooled)
    stage.people.submitted += tally.final + failed.total()
    outcome = _Outcome(submit_s, backlog, failed, lost, spooled.signing, watcher.reconnected)
    return _calculate(stage, load, tally, outcome, (before, after))


class _Outcome(NamedTuple):
    """What is known besides the tally."""

    submit_s: float
    backlog: int
    failed: Counter[str]
    lost: int
    signing: Signing
    stream_breaks: int


async def _look(stage: Stage) -> _Moment:
    return _Moment(await stage.mark(), await stage.read_statuses())


def _tell(stage: Stage, load: Load, tally: Tally) -> None:
    elapsed = time.perf_counter() - load.began_s
    stage.progress.try_show(
        "load",
        dead=len(stage.site.validators) - len(stage.validators),
        seconds=elapsed,
        planned=stage.plan.seconds,
        accepted=tally.accepted,
        final=tally.final,
        rate=tally.final / max(elapsed, 0.001),
    )


async def _drain(stage: Stage, load: Load, tally: Tally) -> None:
    """Wait until all that was accepted is final, or nothing moves any more."""
    began = moved = time.perf_counter()
    seen = tally.final
    while not tally.is_complete and time.perf_counter() < min(moved + STILL_S_MAX, began + DRAIN_S_MAX):
        await asyncio.sleep(LOOK_EVERY_S)
        stage.network.check_alive()
        _tell(stage, load, tally)
        if tally.final > seen:
            seen, moved = tally.final, time.perf_counter()


async def _find_missing(client: NodeClient, tally: Tally, spooled: Spooled) -> tuple[Counter[str], int]:
    """What the ledger refused after the door had taken it, by code, and how many are nowhere."""
    failed: Counter[str] = Counter()
    missing = tally.accepted - tally.matched
    listed = set(tally.list_missing())
    if not listed:
        return failed, missing
    for lane, spool in enumerate(spooled.spools):
        for (first, count), body in zip(tally.layout.list_groups(lane), read_spool(spool), strict=True):
            wanted = [serial for serial in range(first, first + count) if serial in listed]
            if wanted:
                items = decode(body, list[BatchItem])
                for serial in wanted:
                    code = await _ask(client, items[serial - first])
                    if code is not None:
                        failed[code] += 1
    return failed, missing - failed.total()


async def _ask(client: NodeClient, item: BatchItem) -> str | None:
    """Why the ledger refused a transaction; None for one that it does not know, or executed without an event."""
    try:
        found = await client.get(f"/v1/transactions/{calculate_transaction_id(item.transaction).hex()}")
    except ApiError as error:
        if error.code != "not_found":
            raise
        return None
    return None if found["rejection"] is None else str(found["rejection"]["code"])


# ---------------------------------------------------------------------- figures


def _calculate(
    stage: Stage, load: Load, tally: Tally, outcome: _Outcome, moments: tuple[_Moment, _Moment]
) -> LoadFigures:
    before, after = moments
    seconds = max(tally.last_s - load.began_s, 0.001)
    took = tally.calculate_latencies_ms(load.due_s)
    each = max(1, tally.final)
    nodes = {name: _use(stage, name, moments, each) for name in stage.clients}
    first = stage.validators[0]
    blocks, views = (int(after.statuses[first][key] - before.statuses[first][key]) for key in ("exec_height", "view"))
    measured_s = after.mark.at_s - before.mark.at_s
    own_s = after.mark.own_s - before.mark.own_s
    bench_s = own_s + sum(one.processor_s for one in nodes.values())
    busy_s, all_s = (now - then for now, then in zip(after.mark.machine_s, before.mark.machine_s, strict=True))
    live = [nodes[name] for name in stage.validators]

    def mean(name: str) -> float:
        return round(statistics.fmean(getattr(one, name) for one in live) / each, 1)

    return LoadFigures(
        validators_dead=len(stage.site.validators) - len(stage.validators),
        group_transactions=tally.layout.group,
        planned=tally.layout.transactions,
        submitted=tally.accepted + tally.refused.total(),
        not_taken=tally.not_taken,
        accepted=tally.accepted,
        refused=tally.refused.total(),
        refused_by_code=dict(sorted(tally.refused.items())),
        final=tally.matched,
        failed=outcome.failed.total(),
        failed_by_code=dict(sorted(outcome.failed.items())),
        lost=outcome.lost,
        executed_twice=tally.twice,
        final_without_answer=tally.final - tally.matched,
        events_of_others=tally.strange,
        stream_breaks=outcome.stream_breaks,
        busy_answers=load.busy_answers,
        unanswered_requests=load.unanswered_requests,
        submit_seconds=round(outcome.submit_s, 2),
        seconds=round(seconds, 2),
        backlog_at_end_of_submission=outcome.backlog,
        final_tx_per_s=round(tally.final / seconds, 1),
        latency_p50_ms=pick(took, 50),
        latency_p95_ms=pick(took, 95),
        latency_p99_ms=pick(took, 99),
        latency_max_ms=pick(took, 100),
        sent_late_max_ms=round(load.late_s_max * 1_000, 1),
        blocks=blocks,
        views=views,
        blocks_per_s=round(blocks / measured_s, 2),
        views_per_s=round(views / measured_s, 2),
        signing=outcome.signing,
        nodes=nodes,
        validator_processor_us_per_transaction=round(statistics.fmean(one.processor_s for one in live) * 1e6 / each, 1),
        validator_gossip_sent_bytes_per_transaction=mean("gossip_sent_bytes"),
        validator_gossip_received_bytes_per_transaction=mean("gossip_received_bytes"),
        validator_disk_written_bytes_per_transaction=mean("disk_written_bytes"),
        generator_processor_s=round(own_s, 2),
        generator_processor_percent_of_core=round(100 * own_s / measured_s, 1),
        bench_processor_percent_of_machine=round(100 * bench_s / (measured_s * (os.cpu_count() or 1)), 1),
        machine_processor_percent=round(100 * busy_s / max(all_s, 0.01), 1),
    )


def _use(stage: Stage, name: str, moments: tuple[_Moment, _Moment], each: int) -> NodeUse:
    before, after = moments
    then, now = before.mark.usage[name], after.mark.usage[name]
    processor_s = now.processor_s - then.processor_s

    def grown(key: str) -> int:
        return int(after.statuses[name][key] - before.statuses[name][key])

    return NodeUse(
        role=stage.get_role(name),
        processor_s=round(processor_s, 2),
        processor_us_per_transaction=round(processor_s * 1e6 / each, 1),
        memory_now_mb=round(now.memory_now_mb, 1),
        memory_peak_mb=round(now.memory_peak_mb, 1),
        disk_written_bytes=now.disk_written_bytes - then.disk_written_bytes,
        gossip_sent_bytes=grown("gossip_bytes_sent"),
        gossip_received_bytes=grown("gossip_bytes_received"),
    )
