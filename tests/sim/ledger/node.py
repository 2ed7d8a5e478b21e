"""One whole node: the product's own `Core` with all its rooms, over a simulated disk, network and clock.

A life is one start. A crash ends all its coroutines where they wait and forgets everything but the disk; what a dead
life still says or writes reaches nobody. Never help the node here: it opens, runs and answers by its own code.
"""

import asyncio
import contextvars
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from node import core as core_module
from node import opening
from node.api.ports import Busy, Submission
from node.batches import BatchInvalidError
from node.config import NodeConfig
from node.core import Core
from node.gossip.fetch import NobodyHasItError
from node.keystore import NodeKeys
from node.opening import Opened, find_signers
from node.returning import Returning
from node.snapshot.plan import Stage
from protocol.batch import BatchItem
from protocol.certificate import Vote, VoteKind
from protocol.ids import Height, PublicKey
from protocol.messages import Message, Propose
from tests.sim.keys import SimSigner
from tests.sim.ledger.disk import Disk, Life, SavedBlock, SimStops, SimStore, SimVoteLog, open_payload_log
from tests.sim.ledger.loop import OWNER, Owner
from tests.sim.ledger.mesh import Mesh

if TYPE_CHECKING:
    from tests.sim.ledger.world import LedgerWorld

ORDINARY = (asyncio.CancelledError, NobodyHasItError, BatchInvalidError, Busy)
"""What a task of a healthy node may end with."""


class LedgerNode:
    """A validator or an observer."""

    honest = True

    def __init__(self, world: "LedgerWorld", place: int, name: str, *, validates: bool) -> None:
        self.world = world
        self.place = place
        self.member = name
        self.name = f"node{place}"
        self.signer: SimSigner = world.keys.get(f"{name}/node")
        self.voter: SimSigner = world.keys.get(f"{name}/validator")
        self.key = self.signer.public_key
        self.validates = validates
        self.skew_ms = world.plan.skews_ms[place]
        self.disk = Disk(world.genesis)
        self.life = Life(self.draw_write_ms)
        self.life.alive = False
        self.lives = 0
        self.is_listening = False
        self.dying = ""
        self.down_ms = 0
        self.banned: dict[int, int] = {}
        self.core: Core

    def __repr__(self) -> str:
        return self.name

    # ------------------------------------------------------------------ life

    def boot(self) -> None:
        """Start over whatever is durable."""
        if self.life.alive:
            return
        self.lives += 1
        self.dying = ""
        self.life = Life(self.draw_write_ms)
        self.banned = {}
        self.mesh = Mesh(self)
        self.owner = Owner()
        self.context = contextvars.copy_context()
        self.context.run(OWNER.set, self.owner)
        self.start_task(self._live(self.life))

    async def _live(self, life: Life) -> None:
        try:
            self.core = self._make_core(await self._open(life))
            async with AsyncExitStack() as stack:
                await self.core.start(stack)
                await self.core.run()
        except Exception as error:  # any end of a living node is a failure of the run
            if life.alive:
                self.world.fail(f"{self.name} ended: {_describe(error)}")

    async def _open(self, life: Life) -> Opened:
        """As `open_everything` does, with each file in its place."""
        disk, genesis = self.disk, self.world.genesis
        store: Any = SimStore(life, disk, self.on_saved)
        tip = await store.load_tip()
        ledger, genesis_root, genesis_rows = await opening._load_ledger(genesis, store, tip)
        floor = await opening.load_floor(genesis, store, tip, ledger, genesis_root)
        keys: Any = NodeKeys(
            node=self.signer,  # type: ignore[arg-type]
            enc=None,  # type: ignore[arg-type]
            validators=(self.voter,) if self.validates else (),  # type: ignore[arg-type]
            attester=None,
            officer=None,
        )
        stops, votes = SimStops(disk), SimVoteLog(life, disk)
        payloads, blocks, batches = open_payload_log(life, disk)
        fields: dict[str, Any] = dict.fromkeys(Opened._fields)  # what has no part here: vault, snapshots
        fields |= {
            "genesis": genesis,
            "keys": keys,
            "store": store,
            "tip": tip,
            "floor": floor,
            "ledger": ledger,
            "genesis_root": genesis_root,
            "genesis_rows": genesis_rows,
            "votes": votes,
            "records": disk.read_records(),
            "stops": stops,
            "returning": Returning(stops=stops, votes=votes, tip=tip.header),
            "signers": find_signers(keys, stops),
            "payloads": payloads,
            "logged_blocks": blocks,
            "logged_batches": batches,
        }
        return Opened(**fields)

    def _make_core(self, opened: Opened) -> Core:
        """The product's wiring; only the mesh and the two clocks are put in its hands."""
        loop, begin_ms = self.world.loop, self.world.begin_ms + self.skew_ms
        replaced: dict[str, Any] = {
            "Gossip": lambda *_: self.mesh,
            "read_clock_ms": lambda: begin_ms + loop.now_ms,
            "read_steady_ms": lambda: loop.now_ms,
            "SnapshotMaker": _NoSnapshots,
            "SnapshotRoom": _NoSnapshots,
            "Incoming": _NoSnapshots,
            "BanRoom": _Bans,
        }
        held = {name: getattr(core_module, name) for name in replaced if hasattr(core_module, name)}
        try:
            for name in held:
                setattr(core_module, name, replaced[name])
            config = NodeConfig(
                name=self.member, role="validator" if self.validates else "observer", verify_processes=0
            )
            return Core(config, opened)
        finally:
            for name, value in held.items():
                setattr(core_module, name, value)

    def start_task(self, coro: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Something of this life, which ends with it."""
        task = self.world.loop.create_task(coro, context=self.context)
        task.add_done_callback(self._on_end)
        return task

    def _on_end(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, ORDINARY):
            self.world.fail(f"{self.name}: {_describe(error)}")

    def on_listening(self) -> None:
        """Peers can reach it; they notice a moment later."""
        self.is_listening = True
        self.world.later(1 + self.world.rng.random() * 20, self.world.network.look)

    def crash(self) -> None:
        """Lose everything that is not durable."""
        if not self.life.alive:
            return
        self.life.alive = False
        self.is_listening = False
        self.dying = ""
        self.world.network.cut(self.place)
        self.world.on_crash(self)
        core = self.__dict__.get("core")
        if core is not None:
            core.driver.close()
            core.work.close()
        for task in list(self.owner.tasks):
            task.cancel()
        self.world.later(self.down_ms, self.boot)

    def die(self, how: str, down_ms: int) -> None:
        """Crash now, or within the next write."""
        self.down_ms = down_ms
        if how == "now":
            self.crash()
        elif self.life.alive:
            self.dying = how

    def draw_write_ms(self) -> tuple[int, int]:
        """How long a write takes before and after it is durable; whoever is to die within a write dies in this one."""
        world = self.world
        limit = world.plan.disk_ms_max
        before_ms, after_ms = int(world.rng.random() * (limit + 1)), int(world.rng.random() * (limit + 1)) // 2
        if self.dying:
            self.dying = ""
            before_ms, after_ms = before_ms + 2, after_ms + 2
            world.later(before_ms + world.rng.choice((-1, 1)), self.crash)
        return before_ms, after_ms

    # ------------------------------------------------------------------ what it does, judged

    def on_saved(self, saved: SavedBlock, outcome: Any) -> None:
        """A block with everything that follows from it is durable."""
        self.world.on_saved(self, saved, outcome)

    def speak(self, target: "LedgerNode", message: Message) -> bool:
        """One message to one peer."""
        return self.world.network.send(self, target, message)

    def speak_to_all(self, targets: Sequence["LedgerNode"], message: Message) -> int:
        """One message to several."""
        if isinstance(message, Vote):
            self.world.judge.on_word(self, message.epoch, message.view, message.kind, message.digest)
        elif isinstance(message, Propose):
            digest = message.block.header.calculate_digest()
            self.world.judge.on_word(self, message.epoch, message.view, VoteKind.PROPOSE, digest)
            self.world.judge.on_proposal(self, message.block)
        return sum([self.world.network.send(self, one, message) for one in targets])

    def hear(self, source: "LedgerNode", message: Message) -> None:
        """A message arrives, if somebody is there and the link still is."""
        if self.life.alive and self.world.network.is_up(source.place, self.place):
            self.world.on_heard(self, message)
            self.mesh.take(source, message)

    def on_link(self, other: "LedgerNode", up: bool) -> None:
        """A link came up or went down."""
        if self.life.alive:
            self.context.run(self.mesh.on_link, other, up)

    def ban(self, other: "LedgerNode", seconds: int) -> None:
        """It wants nothing of a peer for a while."""
        if self.honest and other.honest:
            self.world.fail(f"{self.name} bans honest {other.name}")
        self.banned[other.place] = self.world.now_ms + 1000 * seconds
        self.world.later(1, self.world.network.look)
        self.world.later(1000 * seconds + 1, self.world.network.look)

    def bans(self, other: "LedgerNode", now_ms: int) -> bool:
        """Whether it takes no link of a peer now."""
        return self.banned.get(other.place, 0) > now_ms

    # ------------------------------------------------------------------ its face to clients

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        """Through its door, within this life: whoever waits when it ends hears nothing."""
        if not self.is_listening:
            raise Busy(500, "starting")
        return await self.core.door.submit(items)

    @property
    def height(self) -> Height:
        """The last block saved."""
        return self.disk.height

    def describe(self) -> str:
        """Where it stands."""
        mark = "" if self.honest else "*"
        if not self.is_listening:
            return f"{self.name}{mark} down at {self.height}"
        core = self.core
        return (
            f"{self.name}{mark} view {core.engine.view} final {core.tip.height} saved {self.height}"
            f" pool {core.mempool.transactions} ({core.describe_waiting()}{core.driver.silenced})"
        )


class _Bans:
    """Bans of one life, in place of the room that keeps them in a file."""

    def __init__(self, *_: Any) -> None:
        self._times: Counter[PublicKey] = Counter()

    def count(self, peer: PublicKey) -> int:
        """How often this life banned a peer."""
        return self._times[peer]

    def record(self, peer: PublicKey, _name: str, _seconds: int) -> None:
        """Once more."""
        self._times[peer] += 1

    def look(self) -> None:
        """There is no file."""

    async def run(self) -> None:
        """Nobody writes one."""


class _NoSnapshots:
    """In place of the rooms of snapshots: they are threads and files, and the chains here are short."""

    holds_blocks = False
    plan = SimpleNamespace(stage=Stage.RESTING, snapshot=None, bytes_missing=0)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *_: None

    def is_due(self, _height: Height) -> bool:
        """Never."""
        return False

    async def on_saved(self, _height: Height) -> None:
        """Nothing to do."""

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing to close."""


def _describe(error: BaseException) -> str:
    """The first cause within a group, with its place."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "" if trace is None else f" [{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}]"
    return f"{type(error).__name__}: {error}{place}"
