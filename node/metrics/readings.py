"""What the rooms of a node stand at, read when somebody asks and written nowhere.

Every reading is named in the catalogue. Never count anything here, and never wait for consensus.
"""

import asyncio
import contextlib
import platform
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Final

from node.api.ports import SyncState
from node.core import Core, read_clock_ms
from node.meters import Buckets, Requests
from node.metrics.catalog import MESSAGES, OTHER, SUCCESS, name_close, name_family, name_result
from node.monitor.desk import AlertDesk
from node.opening import DATABASE, PAYLOADS, VAULT
from node.snapshot.shelf import DIRECTORY as SNAPSHOTS
from node.store.votelog import VOTES
from node.vault.store import VaultError
from protocol.limits import POOL_TRANSACTIONS_MAX
from protocol.rejections import Rejection

_FILES: Final = {"ledger": DATABASE, "vault": VAULT, "votes": VOTES, "payload": PAYLOADS, "snapshots": SNAPSHOTS}


class Readings:
    """Values by name and labels; what is not here is zero."""

    def __init__(self) -> None:
        self.values: dict[str, dict[tuple[str, ...], float]] = {}
        self.buckets: dict[str, Buckets] = {}

    def put(self, name: str, value: float, *labels: str) -> None:
        """One value; further ones under the same labels are added to it."""
        found = self.values.setdefault(name, {})
        found[labels] = found.get(labels, 0) + value

    def put_buckets(self, name: str, buckets: Buckets) -> None:
        """A distribution."""
        self.buckets[name] = buckets


async def read_node(core: Core, *, sync_state: SyncState, turned_away: tuple[int, int]) -> Readings:
    """All readings of a node but its API's. `turned_away` is of the API's port: refused, malformed."""
    into = Readings()
    _read_consensus(core, into)
    _read_transactions(core, into)
    _read_network(core, into, turned_away)
    into.put("sync_state", 1, sync_state)
    for name, size in (await asyncio.to_thread(_measure_disk, Path(core.config.data_dir))).items():
        into.put(name[0], size, *name[1:])
    with contextlib.suppress(VaultError):
        into.put("vault_documents", await core.opened.vault.count_documents())
    heights = [int(one.height) for one in core.opened.shelf.offers]
    into.put("snapshots_kept", len(heights))
    into.put("snapshot_height", max(heights, default=0))
    into.put("build", 1, version("liushui"), platform.python_version())
    return into


def read_alerts(desk: AlertDesk, into: Readings) -> None:
    """Early warnings of this node's member, and how far those are who want to hear of them."""
    states = list(desk.webhooks.states.values())
    newest = desk.store.newest
    into.put("early_warnings", newest)
    into.put("webhooks", len(desk.hooks))
    into.put("webhooks_failing", sum(one.failing_since_ms is not None for one in states))
    into.put("webhook_backlog", max((newest - one.delivered for one in states), default=0))
    into.put("webhook_dropped", sum(one.dropped for one in states))


def read_requests(requests: Requests, into: Readings) -> None:
    """What the API counted."""
    for (route, status), count in requests.answered.items():
        into.put("api_requests", count, route, status)
    into.put("api_limited", requests.limited)
    into.put_buckets("api_read_seconds", requests.reading)


def _read_consensus(core: Core, into: Readings) -> None:
    engine, driver = core.engine, core.driver
    waiting = engine.waiting_for()
    time_ms = core.tip.time_ms or core.opened.floor.point.time_ms
    for name, value in (
        ("height_finalised", core.tip.height),
        ("height_executed", core.executor.height),
        ("last_block_age_seconds", max(0, read_clock_ms() - time_ms) / 1000),
        ("view", engine.view),
        ("epoch", engine.epoch),
        ("validators", len(core.roster.validators)),
        ("validating", engine.seat is not None and not driver.silenced),
        ("waiting_validators", 0 if waiting is None else len(waiting.silent)),
        ("consensus_delay_seconds", engine.delay_ms / 1000),
        ("blocks_finalised", core.duties.committed),
        ("equivocations_seen", driver.evidence),
        ("false_signatures", driver.falsehoods),
        ("vote_log_records", driver.records_written),
    ):
        into.put(name, value)
    if driver.silenced:
        into.put("voting_stopped", 1, driver.silenced)
    for why, count in engine.departures.items():
        into.put("views_left", count, why.value)
    into.put_buckets("block_finality_seconds", core.meters.finality)
    into.put_buckets("vote_log_sync_seconds", core.opened.votes.syncing)
    into.put_buckets("event_loop_lag_seconds", core.meters.lag)


def _read_transactions(core: Core, into: Readings) -> None:
    pool, meters = core.mempool, core.meters
    for answer, count in meters.submitted.items():
        into.put("submissions", count, answer)
    for why, count in meters.busy.items():
        into.put("submissions_busy", count, why)
    for number, count in meters.rejected.items():
        into.put("submissions_rejected", count, name_family(number))
    for reason, count in core.executor.outcomes.items():
        into.put("transactions_executed", count, _name_outcome(reason))
    into.put("pool_transactions", pool.transactions)
    into.put("pool_transactions_max", POOL_TRANSACTIONS_MAX)
    into.put("pool_batches", pool.batches)
    into.put("pool_bytes", pool.size)
    into.put("batches_sealed", pool.sealed)
    into.put("batches_dropped", core.batches.pushes_dropped)
    into.put("execution_lag_blocks", core.tip.height - core.executor.height)
    into.put_buckets("batch_final_seconds", pool.waited)
    into.put_buckets("block_execution_seconds", core.executor.executing)
    into.put_buckets("block_save_seconds", core.executor.saving)
    for code, count in meters.attestations.items():
        into.put("attestations", count, name_result(code))


def _name_outcome(reason: Rejection | None) -> str:
    return SUCCESS if reason is None else name_family(reason)


def _read_network(core: Core, into: Readings, turned_away: tuple[int, int]) -> None:
    gossip, progress = core.gossip, core.progress.describe()
    into.put("sync_stage", 1, progress.stage)
    into.put("sync_target_height", progress.target)
    into.put("snapshot_fetch_bytes", progress.bytes_done)
    into.put("snapshot_fetch_size_bytes", progress.bytes_size)
    into.put("peers_connected", len(gossip.get_connected()))
    into.put("peers_known", len(core.config.peers))
    traffic = gossip.traffic
    for direction, frames, sizes in (
        ("sent", traffic.frames_out, traffic.bytes_out),
        ("received", traffic.frames_in, traffic.bytes_in),
    ):
        for kind, name in MESSAGES.items():
            into.put("gossip_frames", frames[kind], direction, name)
            into.put("gossip_frame_bytes", sizes[kind], direction, name)
    for reason, count in gossip.closed.items():
        into.put("links_closed", count, name_close(reason) if reason else OTHER)
    into.put("peers_banned", core.conduct.bans)
    into.put("peer_messages_unheard", gossip.unheard)
    into.put("peer_requests_dropped", core.reception.requests_dropped)
    for port, (refused, malformed) in (("gossip", gossip.turned_away), ("api", turned_away)):
        into.put("connections_refused", refused, port)
        into.put("connections_malformed", malformed, port)


def _measure_disk(directory: Path) -> dict[tuple[str, ...], int]:
    """Room on the disk and bytes of what a node keeps there, journals included. Blocks."""
    found: dict[tuple[str, ...], int] = {}
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(directory)
        found["disk_free_bytes",], found["disk_size_bytes",] = usage.free, usage.total
    for label, name in _FILES.items():
        place = directory / name
        paths = place.rglob("*") if place.is_dir() else directory.glob(name + "*")
        found["file_bytes", label] = sum(_measure(path) for path in paths)
    return found


def _measure(path: Path) -> int:
    try:
        return path.stat().st_size if path.is_file() else 0
    except OSError:  # it was replaced meanwhile
        return 0
