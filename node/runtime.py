"""A running node: its rooms, its face to clients, and its life from start to a clean end. It decides nothing.

`Node.start` returns when peers and clients can reach it; `run_node` runs one under SIGTERM and SIGINT and gives the
exit code: 0 after a clean stop, 1 after a fault, 2 when it could not start. Each error is one sentence with its fix.
"""

import asyncio
import errno
import os
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Final

from node.api.access import ApiSettings
from node.api.app import make_app
from node.api.ports import Busy, NodeStatus, PeerStatus, Submission, SyncState
from node.attester import Attester
from node.client.keyfile import Passphrase
from node.client.wallet import Wallet
from node.config import NodeConfig
from node.core import Core, read_clock_ms, read_steady_ms
from node.eraser import Eraser, Places
from node.evidence import EvidenceRoom
from node.gossip.network import GossipError
from node.listening import Bounds, Listener
from node.metrics.readings import Readings, read_alerts, read_node
from node.monitor.desk import AlertDesk, open_desk
from node.monitor.webhook import SecretError
from node.opening import StartError, open_everything
from node.operating import OperatorDesk
from node.proving import prove_transaction
from node.service import Service
from node.store.appendlog import LogError
from node.store.chain import ChainStore, StoredTransaction, StoreError
from node.telemetry import configure_logging, get_logger
from node.tokens import TokenRoom
from node.vault.store import Vault
from protocol.batch import BatchItem
from protocol.genesis import Genesis
from protocol.ids import ChainId, Digest, Height, PublicKey, TimeMs, TransactionId
from protocol.ledger.execute import Ledger

API_BOUNDS: Final = Bounds(connections=1_024, per_address=512, idle_s=30.0, arrivals_per_s=500, arrivals_at_once=5_000)
"""A gateway in front may open a connection for every request."""
DRAIN_S: Final = 2.0  # how long a stopping node lets its own transactions reach the others
EXIT_CLEAN: Final = 0
EXIT_FAULT: Final = 1
EXIT_NOT_STARTED: Final = 2


def _read_time_ms() -> TimeMs:
    return TimeMs(read_clock_ms())


class Node:
    """One node of the network; implements `node.api.ports.NodePort`."""

    def __init__(self, config: NodeConfig, passphrase: Passphrase | None = None) -> None:
        self._config = config
        self._passphrase = passphrase
        self._stack = AsyncExitStack()
        self._core: Core | None = None
        self._running: asyncio.Task[None] | None = None
        self._state: SyncState = "starting"
        self._version = version("liushui")  # read once: it looks through the installed distributions
        self._log = get_logger("node")
        self.alerts: AlertDesk | None = None
        """Early warnings; None on a node that speaks for no member."""
        self._listener: Listener | None = None
        self.listen_port = 0
        self.api_port = 0

    # ------------------------------------------------------------------ what clients see

    @property
    def core(self) -> Core:
        """The rooms; there from `start` on."""
        assert self._core is not None, "started"
        return self._core

    @property
    def genesis(self) -> Genesis:
        """The network's founding document."""
        return self.core.opened.genesis

    @property
    def chain_id(self) -> ChainId:
        """SHA-256 of the genesis."""
        return self.core.chain_id

    @property
    def name(self) -> str:
        """The member's name."""
        return self._config.name

    @property
    def role(self) -> str:
        """`validator` or `observer`."""
        return self._config.role

    @property
    def node_key(self) -> PublicKey:
        """The node's own key."""
        return self.core.opened.keys.node.public_key

    @property
    def ledger(self) -> Ledger:
        """The books after the last executed block."""
        return self.core.opened.ledger

    @property
    def store(self) -> ChainStore:
        """Finalised blocks, receipts and events."""
        return self.core.opened.store

    @property
    def vault(self) -> Vault:
        """Encrypted documents this node keeps."""
        return self.core.opened.vault

    @property
    def operator(self) -> OperatorDesk:
        """What whoever runs this node may see and do of its peers."""
        core = self.core
        named = {PublicKey(bytes.fromhex(one.node_key)): one.name for one in self._config.peers}
        return OperatorDesk(
            own=self.node_key,
            bans=core.bans,
            peers=self._list_peers(),
            names={**named, **core.roster.names},
            mesh=core.gossip,
            find_height=core.sync.get_claim,
            list_guests=lambda: core.gossip.guests.list_linked(time.monotonic()),
        )

    def _list_peers(self) -> list[PublicKey]:
        """Members without a node of their own (authorities) are no peers to speak of."""
        core = self.core
        known = {bytes.fromhex(one.node_key) for one in self._config.peers}.union(core.roster.validators)
        return [one for one in core.roster.everybody if one in known or core.gossip.is_connected(one)]

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        """Check at the door and pool. Raises Busy."""
        meters = self.core.meters
        try:
            answers = await self.core.door.submit(items)
        except Busy as busy:
            meters.submitted["busy"] += len(items)
            meters.busy[busy.reason] += len(items)
            raise
        meters.submitted.update([one.status for one in answers])
        meters.rejected.update([one.rejection for one in answers if one.rejection is not None])
        return answers

    async def wait_height_beyond(self, height: Height, timeout_s: float) -> Height:
        """The saved height as soon as it passes `height`, or the present one when time is up."""
        return await self.core.executor.wait_beyond(height, timeout_s)

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        """The transaction once it is executed and saved, or None when time is up."""
        return await self.core.executor.wait_final(transaction_id, timeout_s)

    async def make_receipt_file(self, transaction_id: TransactionId) -> bytes | None:
        """A receipt that verifies offline, or None while the transaction is not covered by a finalization."""
        return await prove_transaction(self.store, transaction_id, self.core.opened.genesis_root)

    async def wait_settled(self) -> None:
        """Return when the books stand between two saved blocks."""
        await self.core.executor.wait_settled()

    async def fetch_document(self, digest: Digest) -> bytes | None:
        """The envelope by its digest, from the vault or from peers."""
        return await self.core.documents.fetch(digest)

    def status(self) -> NodeStatus:
        """Where the node stands at this moment."""
        core = self.core
        now, why = core.make_status(), core.why.describe()
        peers: list[PeerStatus] = []
        for key in self._list_peers():
            link, height = core.gossip.get_status(key), core.sync.get_claim(key)
            peers.append(PeerStatus(name=link.name, connected=link.connected, height=height, silent_ms=link.silent_ms))
        return NodeStatus(
            name=self.name,
            role=self.role,
            height=now.final_height,
            view=now.view,
            exec_height=now.exec_height,
            exec_root=now.exec_root,
            final_digest=now.final_digest,
            peers=tuple(peers),
            leader=core.roster.get_name(core.engine.leader),
            waiting_for=core.catchup.cut_off or ("" if why is None else why.sentence),
            why=why,
            progress=core.progress.describe(),
            sync_state=self._calculate_sync_state(),
            pool_transactions=core.mempool.transactions,
            version=self._version,
            epoch=core.engine.epoch,
            voting_stopped=core.driver.silenced,
            guests=len(core.gossip.guests.links),
            not_recomputed=core.executor.not_recomputed,
            gossip_bytes_sent=core.gossip.traffic.sent,
            gossip_bytes_received=core.gossip.traffic.received,
        )

    def describe(self) -> str:
        """Where the node stands, in a few words for whoever runs services."""
        core = self.core
        peers = len(core.gossip.get_connected())
        return f"{self._calculate_sync_state()}, height {core.executor.height}, {peers} peers"

    async def read_metrics(self) -> Readings:
        """What its rooms count and measure."""
        keeper = None if self._listener is None else self._listener.keeper
        turned_away = (0, 0) if keeper is None else (keeper.refused, keeper.malformed)
        readings = await read_node(self.core, sync_state=self._calculate_sync_state(), turned_away=turned_away)
        if self.alerts is not None:
            read_alerts(self.alerts, readings)
        return readings

    def _calculate_sync_state(self) -> SyncState:
        core = self.core
        if self._state != "participating":
            return self._state
        if core.driver.silenced:
            return "stopped"
        hindrance = core.standing.find_hindrance()
        if hindrance is not None:
            return "syncing" if hindrance == "executing" else hindrance
        return "participating" if core.engine.seat is not None else "following"

    # ------------------------------------------------------------------ life

    async def start(self) -> None:
        """Open, wire and listen. Raises StartError; whatever was opened is closed then."""
        try:
            opened = await open_everything(self._config, self._stack, self._passphrase)
            self._core = Core(self._config, opened)
            self.listen_port = await self._core.start(self._stack)
            if opened.keys.attester is not None:
                self.alerts = await open_desk(self._config, self, opened.keys, self._stack, now_ms=_read_time_ms)
            self.api_port = await self._serve_api()
        except SecretError as error:
            await self._stack.aclose()
            raise StartError(error.code, error.sentence) from error
        except GossipError as error:
            await self._stack.aclose()
            raise StartError(error.code, error.sentence) from error
        except BaseException:
            await self._stack.aclose()
            raise
        more: list[Callable[[], Coroutine[None, None, None]]] = []
        wallet: Wallet | None = None
        if opened.keys.attester is not None:
            attester = Attester(self, opened.keys, now_ms=_read_time_ms)
            self._core.meters.attestations = attester.results
            evidence = EvidenceRoom(desk=self._core.evidence, port=self, wallet=attester.wallet)
            wallet = attester.wallet
            more += [attester.run, evidence.run]
            more += () if self.alerts is None else self.alerts.rooms
        more.append(self._make_eraser(wallet).run)
        self._running = asyncio.create_task(self._core.run(more))
        self._state = "participating"
        self._log.info(
            "node_started",
            name=self.name,
            role=self.role,
            chain_id=self.chain_id,
            height=opened.tip.height,
            listen_port=self.listen_port,
            api_port=self.api_port,
        )

    def _make_eraser(self, wallet: Wallet | None) -> Eraser:
        core, opened = self.core, self.core.opened
        alerts = None if self.alerts is None else self.alerts.store.forget
        places = Places(opened.store, opened.vault, opened.payloads, Path(self._config.data_dir), alerts)
        return Eraser(
            desk=core.erasures,
            port=self,
            places=places,
            wallet=wallet,
            find_height=lambda: core.executor.height,
        )

    def _make_settings(self) -> ApiSettings:
        config = self._config
        return ApiSettings(
            tokens=TokenRoom(Path(config.data_dir)),
            status_for=config.status_for,
            cors_origins=config.cors_origins,
            units_per_s=config.api_units_per_s,
        )

    async def _serve_api(self) -> int:
        host, port = self._config.api_host, self._config.api_port
        listener = self._listener = Listener(make_app(self, self._make_settings()), API_BOUNDS, read_steady_ms)
        try:
            bound = await listener.start(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartError(
                    "port_in_use", f"Port {port} on {host} is in use: stop the other program, or set another api_port."
                ) from error
            raise StartError(
                "address_unusable", f"Cannot serve {host}:{port} ({error.strerror}): set api_host and api_port."
            ) from error
        self._stack.push_async_callback(listener.close)
        return bound

    async def wait(self) -> None:
        """Return only by the fault of a room, which is raised, or when stopped."""
        assert self._running is not None, "started"
        await asyncio.shield(self._running)

    async def wait_anew(self) -> None:
        """Return when another node over the same directory should take this one's place: a snapshot lies ready to be
        installed, or validator keys that had to wait may vote.
        """
        core = self.core
        waiting = [asyncio.ensure_future(one.wait()) for one in (core.snapshots.ready, core.opened.returning.ready)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def stop(self, *, drain_s: float = DRAIN_S) -> None:
        """Take nothing in, let what was taken reach the others, end the rooms, close what was opened."""
        self._state = "stopped"
        if self._running is not None:
            if not self._running.done():
                await self._drain(drain_s)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        await self._stack.aclose()
        self._log.info("node_stopped", name=self.name)

    async def _drain(self, drain_s: float) -> None:
        """Wait until own transactions are sealed and final blocks are saved, within bounds."""
        core = self.core
        core.door.closed = True
        loop = asyncio.get_running_loop()
        until_s = loop.time() + drain_s
        while loop.time() < until_s and (  # noqa: ASYNC110
            core.mempool.calculate_seal_due_ms() is not None or core.executor.height < core.tip.height
        ):
            await asyncio.sleep(0.02)  # two rooms must come to rest; neither has an event for it


async def run_node(config: NodeConfig, passphrase: Passphrase | None = None) -> int:
    """Run a node until SIGTERM, SIGINT or a fault; `passphrase` opens sealed keys. Returns the exit code."""
    configure_logging(json=config.log_json, level=config.log_level)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:  # before anything is opened: a stop during the start is a clean stop as well
        loop.add_signal_handler(number, stopping.set)
    service = Service.take(os.environ)
    try:
        return await _run_until(config, stopping, passphrase, service)
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _run_until(
    config: NodeConfig, stopping: asyncio.Event, passphrase: Passphrase | None, service: Service
) -> int:
    """One node after another over the same directory: what one fetched or found out changes how the next starts."""
    while (code := await _run_one(config, stopping, passphrase, service)) is None:
        pass
    return code


async def _run_one(
    config: NodeConfig, stopping: asyncio.Event, passphrase: Passphrase | None, service: Service
) -> int | None:
    """The exit code, or None when another node is to start over the same directory."""
    log = get_logger("node")
    node = Node(config, passphrase)
    try:
        await node.start()
    except StartError as error:
        log.error("start_refused", code=error.code, reason=error.sentence)
        return EXIT_NOT_STARTED
    waiting = asyncio.create_task(stopping.wait())
    running = asyncio.create_task(node.wait())
    anew = asyncio.create_task(node.wait_anew())
    telling = asyncio.create_task(service.run(node.describe))
    tasks = (waiting, running, anew)
    service.tell_ready()
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if running.done() and (fault := running.exception()) is not None:
            _log_fault(fault)
            return EXIT_FAULT
        return None if anew.done() and not waiting.done() else EXIT_CLEAN
    finally:
        if not anew.done() or waiting.done():
            service.tell_stopping()
        for task in (*tasks, telling):
            task.cancel()
        await node.stop()
        await asyncio.gather(*tasks, telling, return_exceptions=True)


def _log_fault(fault: BaseException) -> None:
    """A known failure of disk or database is one sentence; a bug of ours comes with its trace."""
    log = get_logger("node")
    causes = fault.exceptions if isinstance(fault, BaseExceptionGroup) else (fault,)
    for cause in causes:
        if isinstance(cause, LogError | StoreError):
            log.error("node_failed", code=cause.code, reason=cause.sentence)
        else:
            log.error("node_failed", code="fault", exc_info=cause)
