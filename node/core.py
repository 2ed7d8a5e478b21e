"""The rooms of one node without its face to clients: wired here once, run together, closed in order.

The wiring is the whole content: which room hands what to which. A fault in any room ends `run`, and with it the node:
half a node is worse than none. Never decide anything here.
"""

import asyncio
import secrets
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from consensus.effects import RaiseAlarm
from consensus.engine import Engine
from consensus.events import Event, Executed, ReceivedBlock, Started, WorkChanged
from consensus.pacemaker import Timing
from node.alone import Alone
from node.api.ports import BusyReason
from node.bans import BanRoom
from node.batches import BatchRoom
from node.catchup import CatchUp
from node.conduct import Conduct, SignatureWatch
from node.config import NodeConfig
from node.documents import DocumentRoom
from node.door import Door
from node.driver import Driver
from node.duties import EngineDuties, Tip
from node.eraser import ErasureDesk
from node.evidence import EvidenceDesk
from node.executor import Executor
from node.following import Following
from node.gossip.handshake import Identity
from node.gossip.network import Gossip
from node.guard import VotingGuard
from node.mempool import Mempool
from node.meters import Meters
from node.opening import DATABASE, Opened
from node.outcomes import OutcomeRoom
from node.progress import ProgressWatch
from node.pruning import Pruner
from node.reception import Reception
from node.roster import Roster
from node.snapshot.incoming import Incoming
from node.snapshot.maker import SnapshotMaker
from node.snapshot.room import SnapshotRoom
from node.standing import Standing
from node.store.appendlog import LogError
from node.store.chain import StoreError
from node.sync import SyncPlan
from node.telemetry import get_logger
from node.upgrading import make_params
from node.verifier import Verifier
from node.verifypool import choose_processes
from node.why import WhyWatch
from node.work import WorkWatch
from protocol.block import Block
from protocol.crypto import check_signature
from protocol.ids import Digest, Height, PublicKey
from protocol.ledger.records import Execution
from protocol.messages import Status

HOUSEKEEPING_EVERY_S: Final = 5.0
RECORDS_KEPT_MAX: Final = 20_000  # about 8 MB of vote log, replayed in a second
LEVEL_WITHIN_S: Final = 2.0  # what is final is executed in a fraction of this, unless the node is overloaded


def read_clock_ms() -> int:
    """Wall-clock milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def read_steady_ms() -> int:
    """Milliseconds of a clock that never steps: for how long something took or is to rest, never for a date."""
    return time.monotonic_ns() // 1_000_000


class Core:
    """One node's rooms over what `open_everything` opened."""

    def __init__(self, config: NodeConfig, opened: Opened) -> None:
        self.config = config
        self.opened = opened
        genesis, keys, tip = opened.genesis, opened.keys, opened.tip
        self.chain_id = genesis.calculate_chain_id()
        own = keys.node.public_key
        self.roster = Roster(own)
        self.tip = Tip(tip.height, tip.digest)
        self.mempool = Mempool()
        self.verifier = Verifier(self.chain_id, processes=choose_processes(config.verify_processes))
        self.sync = SyncPlan(())
        instance, is_open = Digest(secrets.token_bytes(32)), config.observers == "open"
        identity = Identity(self.chain_id, keys.node, instance, "", self.roster.names, is_open=is_open)
        self.gossip = Gossip(identity, config.peers)
        self.meters = Meters()
        self.watch = SignatureWatch(check_signature)
        self.bans = BanRoom(Path(config.data_dir), self.gossip, read_clock_ms)
        self.conduct = Conduct(self.gossip, read_steady_ms, self.bans)
        self.engine = Engine(
            chain_id=self.chain_id,
            signers=opened.signers,
            verify=self.watch,
            floor=opened.floor,
            timing=Timing(),
        )
        self._wire_batches(own)
        self._wire_driver()
        self._wire_peers()
        self._wire_watches(own)

    def _wire_batches(self, own: PublicKey) -> None:
        """Pool, batches, execution: the way of a transaction apart from its order."""
        opened = self.opened
        self.work = WorkWatch(
            self.mempool, opened.ledger, read_clock_ms, lambda has_work: self._post(WorkChanged(has_work=has_work))
        )
        self.batches = BatchRoom(
            mempool=self.mempool,
            verifier=self.verifier,
            store=opened.store,
            mesh=self.gossip,
            validators=(),
            clock_ms=read_steady_ms,
            on_held=self.work.refresh,
            is_pushed_to=False,
        )
        self.maker = SnapshotMaker(
            database=Path(self.config.data_dir) / DATABASE,
            store=opened.store,
            shelf=opened.shelf,
            interval=self.config.snapshot_interval,
        )
        self.erasures = ErasureDesk()
        self.outcomes = OutcomeRoom(opened.store, self.gossip, opened.genesis_root)
        self.executor = Executor(
            ledger=opened.ledger,
            store=opened.store,
            floor=opened.floor,
            genesis_rows=opened.genesis_rows,
            batches=self.batches,
            outcomes=self.outcomes,
            mempool=self.mempool,
            clock_ms=read_steady_ms,
            on_executed=self._on_executed,
            pictures=self.maker,
        )
        self.standing = Standing(plan=self.sync, own=own, tip=self.tip, executor=self.executor, clock_ms=read_steady_ms)
        self.door = Door(
            verifier=self.verifier,
            mempool=self.mempool,
            books=opened.ledger,
            archive=opened.store,
            clock_ms=read_clock_ms,
            on_submitted=self.batches.on_submitted,
            wait_settled=self.executor.wait_settled,
            wait_level=self._wait_level,
            find_hindrance=self._find_busy,
            calculate_wait_ms=lambda: self.mempool.calculate_wait_ms(read_steady_ms()),
        )

    def _find_busy(self) -> BusyReason | None:
        """Why this node takes no transactions now."""
        is_guest = self.opened.keys.node.public_key not in self.roster.names
        return self.standing.find_hindrance() or ("guest" if is_guest else None)

    def _wire_driver(self) -> None:
        """The engine's shell and what it asks for."""
        opened = self.opened
        self.evidence = EvidenceDesk(self.engine)
        self.duties = EngineDuties(
            roster=self.roster,
            mesh=self.gossip,
            mempool=self.mempool,
            batches=self.batches,
            payloads=opened.payloads,
            executor=self.executor,
            sync=self.sync,
            tip=self.tip,
            post=self._post,
            on_ordered=self._on_ordered,
            on_alarm=self._on_alarm,
            on_evidence=self.evidence.on_report,
        )
        self.guard = VotingGuard(
            chain_id=self.chain_id,
            seat=self.engine,
            file=opened.stops,
            log=opened.votes,
            records=opened.records,
            clock_ms=read_clock_ms,
            silence=self._silence,
            resume=self._resume,
        )
        self.alone = Alone(
            reasons=opened.stops,
            roster=self.roster,
            mesh=self.gossip,
            quorum=lambda: self.engine.validators.quorum,
            wall_ms=read_clock_ms,
            steady_ms=read_steady_ms,
            silence=self._silence,
            resume=self._resume,
        )
        self.following = Following(
            machine=self.engine,
            roster=self.roster,
            ledger=opened.ledger,
            sync=self.sync,
            batches=self.batches,
            mesh=self.gossip,
            guard=self.guard,
        )
        self.driver = Driver(
            self.following,
            self.guard,
            self.duties,
            read_clock_ms,
            watch=self.watch,
            on_falsehood=self.conduct.on_falsehood,
        )
        self._recall()

    def _on_ordered(self) -> None:
        """Blocks became final."""
        self.work.refresh()
        if not self.catchup.behind:
            self.meters.finality.observe(max(0, read_clock_ms() - self.tip.time_ms) / 1000)

    def _silence(self, code: str) -> None:
        self.driver.silence(code)

    def _resume(self, code: str) -> None:
        self.driver.resume(code)
        self._recall()

    def _recall(self) -> None:
        """Be silent for whatever reason not to vote is left."""
        opened = self.opened
        self.guard.recall(opened.keys.validators)
        if opened.keys.validators and opened.returning.code:
            self.driver.silence(opened.returning.code)

    async def _on_alarm(self, alarm: RaiseAlarm) -> None:
        """The driver is silent already; what must outlive this process is kept."""
        at, log = alarm.header.exec_height, get_logger("guard")
        try:
            rows = await self.opened.store.read_exec_rows(at, at)
        except StoreError as error:
            log.error("own_root_unread", code=error.code, reason=error.sentence)
            rows = []
        try:
            self.guard.on_alarm(alarm, rows[0].exec_root if rows else None)
        except LogError as error:
            log.error("evidence_not_kept", code=error.code, reason=error.sentence)

    def _wire_peers(self) -> None:
        """What peers say and are told."""
        opened = self.opened
        self.documents = DocumentRoom(
            opened.vault,
            self.gossip,
            self.roster.find_account,
            find_own=lambda: self.roster.own_account,
            books=opened.ledger.books,
            now_ms=read_clock_ms,
        )
        self.pruner = Pruner(
            store=opened.store,
            keep=self.config.history_blocks if self.config.history == "pruned" else 0,
            find_height=lambda: self.executor.height,
            find_snapshot=self._find_oldest_snapshot,
        )
        self.snapshots = SnapshotRoom(
            genesis=opened.genesis,
            shelf=opened.shelf,
            maker=self.maker,
            incoming=Incoming(Path(self.config.data_dir)),
            claims=self.sync,
            saved=self.executor,
            mesh=self.gossip,
            behind_min=self.config.snapshot_behind,
            clock_ms=read_steady_ms,
        )
        self.catchup = CatchUp(
            plan=self.sync,
            driver=self.driver,
            tip=self.tip,
            executor=self.executor,
            mesh=self.gossip,
            roster=self.roster,
            is_between=lambda: self.engine.is_between_epochs,
            is_held=lambda: self.snapshots.holds_blocks,
            make_status=self.make_status,
            clock_ms=read_steady_ms,
        )
        self.reception = Reception(
            roster=self.roster,
            driver=self.driver,
            duties=self.duties,
            batches=self.batches,
            sync=self.sync,
            history=self.engine,
            store=opened.store,
            documents=self.documents,
            outcomes=self.outcomes,
            snapshots=self.snapshots,
            mesh=self.gossip,
            make_status=self.make_status,
            on_sync_news=self.catchup.on_news,
            guard=self.guard,
            on_key_in_use=self.alone.on_key_in_use,
            clock_ms=read_steady_ms,
        )

    def _wire_watches(self, own: PublicKey) -> None:
        """What people are told of it."""
        self.why = WhyWatch(
            machine=self.engine,
            roster=self.roster,
            mesh=self.gossip,
            own=own,
            find_stop=lambda: self.driver.silenced,
            clock_ms=read_steady_ms,
        )
        self.progress = ProgressWatch(
            claims=self.sync,
            own=own,
            tip=self.tip,
            saved=self.executor,
            snapshot=self.snapshots.plan,
            find_hindrance=self.standing.find_hindrance,
            clock_ms=read_steady_ms,
            lag=self.meters.lag,
            on_look=self.why.look,
        )

    def _post(self, event: Event) -> None:
        self.driver.post(event)

    async def _wait_level(self) -> bool:
        """Whether everything that is final now is executed, as soon as it is and within a bound."""
        goal = self.tip.height
        return await self.executor.wait_beyond(Height(goal - 1), LEVEL_WITHIN_S) >= goal

    def _on_executed(self, execution: Execution, block: Block) -> None:
        self.following.on_executed(execution.changes)
        self.driver.post(
            Executed(
                height=execution.height,
                exec_root=execution.exec_root,
                next_validators=execution.next_validators,
                suspects=execution.suspects,
                params=make_params(self.opened.genesis, execution.rules, self.opened.ledger.rules_known),
            )
        )
        self.erasures.on_executed(execution)
        self.guard.on_saved(execution.height, block.header.calculate_digest(), execution.exec_root)
        self.opened.returning.on_saved(block.header)
        self.work.refresh()

    def _find_oldest_snapshot(self) -> Height | None:
        """The oldest own snapshot; 0 while the first is still to be made, None where none ever is."""
        if not self.config.snapshot_interval:
            return None
        return min((Height(one.height) for one in self.opened.shelf.offers), default=Height(0))

    def make_status(self) -> Status:
        """Where this node stands, as peers hear it."""
        return Status(
            epoch=self.engine.epoch,
            view=self.engine.view,
            final_height=self.tip.height,
            final_digest=self.tip.digest,
            exec_height=self.executor.height,
            exec_root=self.executor.exec_root,
            base=self.opened.store.base,
        )

    # ------------------------------------------------------------------ life

    async def start(self, stack: AsyncExitStack) -> int:
        """Remember what was voted, take back what was logged, and listen. Returns the gossip port."""
        opened = self.opened
        stack.push_async_callback(self.verifier.close)
        stack.push_async_callback(self._close_rooms)
        await self._restore_batches()
        await self.guard.review(opened.store, opened.tip.height)
        if opened.signers and self.engine.seat is None:
            get_logger("epochs").info("standing_by", epoch=self.engine.epoch, keys=len(opened.signers))
        self.engine.replay(opened.records)
        self.bans.look()
        port = await self.gossip.start(self.reception, self.config.listen_host, self.config.listen_port)
        stack.push_async_callback(self.gossip.stop)
        for block in opened.logged_blocks.values():
            if block.header.height > opened.tip.height:
                self.driver.post(ReceivedBlock(block=block))
        self.work.refresh()
        self.driver.post(Started())
        return port

    async def _restore_batches(self) -> None:
        """Batches of blocks that were notarized and not saved: nobody else may hold them after a common crash."""
        needed = {
            ref.digest
            for block in self.opened.logged_blocks.values()
            if block.header.height > self.opened.tip.height
            for ref in block.batches
        }
        for digest in sorted(needed):
            raw = self.opened.logged_batches.get(digest)
            if raw is not None:
                await self.batches.restore(digest, raw)

    async def run(self, more: Sequence[Callable[[], Coroutine[None, None, None]]] = ()) -> None:
        """Run all rooms until cancelled, or until one of them fails."""
        async with asyncio.TaskGroup() as group:
            for room in (
                self.driver.run,
                self.executor.run,
                self.gossip.run,
                self.batches.run_sealing,
                self.batches.run_intake,
                self.catchup.run,
                self.catchup.run_status,
                self.snapshots.run,
                self.bans.run,
                self.alone.run,
                self.progress.run,
                self._keep_house,
                self.pruner.run,
                *more,
            ):
                group.create_task(room())

    async def _keep_house(self) -> None:
        """Forget what saved blocks have made useless in the two logs."""
        pruned = 0
        while True:
            await asyncio.sleep(HOUSEKEEPING_EVERY_S)
            await self.opened.payloads.prune(self.executor.height)
            if self.driver.records_written - pruned > RECORDS_KEPT_MAX:
                pruned = self.driver.records_written
                block = await self.opened.store.read_block(self.executor.height)
                if block is not None:
                    await self.guard.prune((block.header.epoch, block.header.view))

    async def _close_rooms(self) -> None:
        self.driver.close()
        self.work.close()
        await self.reception.close()
        await self.duties.close()
        await self.executor.close()
        await self.batches.close()
        await self.documents.close()
        await self.outcomes.close()
        await self.snapshots.close()
