"""A network of whole nodes in one thread: seeded people, weather, crashes, liars, and at the end a healed network.

Everything drawn comes from the seed, time is virtual, and two runs of one plan are equal turn by turn. Never iterate a
set here.
"""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from zlib import crc32

from protocol.ledger.execute import Ledger
from protocol.messages import Message
from tests.protocol.ledger.lives.core import POLICY
from tests.protocol.ledger.world import TIME_MS
from tests.sim.invariants import BrokenLawError
from tests.sim.keys import Scheme
from tests.sim.ledger.clients import Clients
from tests.sim.ledger.disk import SavedBlock
from tests.sim.ledger.judge import LedgerJudge
from tests.sim.ledger.loop import VirtualLoop
from tests.sim.ledger.mesh import Network
from tests.sim.ledger.node import LedgerNode
from tests.sim.ledger.patches import unreal
from tests.sim.ledger.plan import LedgerPlan
from tests.sim.ledger.script import Keys, make_late, make_network, make_script
from tests.sim.plan import CALM, Weather

HEALED_MS_MAX = 90_000
"""By then everything is final, executed everywhere and out of every pool. A link that was banned, or a peer that was
silent before the heal, may be left alone for most of it."""
LATE_DEEDS = 6
MEMORY_EVERY_MS = 250
BATCH_MAKERS = ("doubler", "forger", "hoarder")
EVENTS_MAX = 600_000


class LedgerWorld:
    """One run."""

    def __init__(self, plan: LedgerPlan) -> None:
        self.plan = plan
        self.rng = Random(f"network {plan.seed}")
        self.client_rng = Random(f"clients {plan.seed}")
        self.begin_ms = TIME_MS
        self.loop = VirtualLoop()
        self.scheme = Scheme()
        self.keys = Keys(self.scheme)
        self.genesis = make_network(plan.size, plan.day_ms, **{**POLICY, "statement_age_days_max": 30})
        self.weather: Weather = CALM
        self.network = Network(self)
        self.events = 0
        self.trace = 0
        self.failure: Exception | None = None
        self.is_over = False

    # ------------------------------------------------------------------ who takes part

    def _found(self) -> None:
        from tests.sim.ledger.actors.table import ACTORS

        plan = self.plan
        self.judge = LedgerJudge(self.genesis, Ledger.from_genesis(self.genesis).exec_root, self.scheme)
        validators = [one.name for one in self.genesis.members if one.validator_key is not None]
        others = [one.name for one in self.genesis.members if one.validator_key is None]
        names = ("",) * (plan.size - len(plan.byzantine)) + plan.byzantine
        self.nodes: list[LedgerNode] = []
        for place, name in enumerate(validators):
            kind = ACTORS[names[place]] if names[place] else LedgerNode
            self.nodes.append(kind(self, place, name, validates=True))
        for place, name in enumerate(others[: plan.observers], len(validators)):
            self.nodes.append(LedgerNode(self, place, name, validates=False))
        self.honest = [node for node in self.nodes if node.honest]
        self.by_key = {node.key: node for node in self.nodes}
        self.clients = Clients(self, make_script(plan.seed, self.genesis, self.keys, plan.steps))

    # ------------------------------------------------------------------ time

    @property
    def now_ms(self) -> int:
        """Virtual milliseconds since the beginning."""
        return self.loop.now_ms

    def later(self, delay_ms: float, what: Callable[..., object], *args: Any) -> None:
        """Call `what` after a delay."""
        self.loop.call_later(max(0.0, delay_ms) / 1000, self._call, what, args)

    def _call(self, what: Callable[..., object], args: tuple[Any, ...]) -> None:
        try:
            if not self.is_over:
                what(*args)
        except Exception as error:
            self.fail(error)

    def start(self, coro: Coroutine[Any, Any, None]) -> None:
        """Something that belongs to no node."""
        task = self.loop.create_task(coro)
        task.add_done_callback(self._on_end)

    def _on_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)

    def fail(self, reason: str | BaseException) -> None:
        """A law is broken; the first one counts."""
        if self.failure is None and not self.is_over:
            self.failure = reason if isinstance(reason, Exception) else BrokenLawError(str(reason))

    # ------------------------------------------------------------------ what happens

    def on_heard(self, node: LedgerNode, message: Message) -> None:
        """A message arrived."""
        self.events += 1
        self.trace = crc32(b"%d %d %s" % (self.now_ms, node.place, type(message).__name__.encode()), self.trace)

    def on_saved(self, node: LedgerNode, saved: SavedBlock, outcome: Any) -> None:
        """A block is durable."""
        self.events += 1
        self.trace = crc32(saved.exec_root + b"%d %d" % (self.now_ms, node.place), self.trace)
        if node.honest:
            try:
                self.judge.on_saved(node, saved, outcome)
            except Exception as error:
                self.fail(error)
                raise

    def on_crash(self, node: LedgerNode) -> None:
        """A node lost everything that is not durable."""
        self.clients.on_crash(node)

    def set_weather(self, weather: Weather) -> None:
        """The next phase begins; links notice cuts a moment later, unlike messages."""
        self.weather = weather
        self.later(self.rng.random() * 300, self.network.look)

    def _watch_memory(self) -> None:
        for node in self.honest:
            if node.is_listening:
                self.judge.check_memory(node)
        self.later(MEMORY_EVERY_MS, self._watch_memory)

    # ------------------------------------------------------------------ the run

    def run(self) -> None:
        """Faults, heal, and everything comes to its end. Raises BrokenLawError, or what a node ended with."""
        asyncio.set_event_loop(None)
        self.loop.set_exception_handler(lambda _, context: self.fail(context.get("exception") or context["message"]))
        with unreal(self.loop, self.scheme, Random(f"clock {self.plan.seed}"), self.begin_ms, dict(self.plan.sizes)):
            self._found()
            try:
                self.loop.run_until_complete(self._run())
            finally:
                self._end()

    async def _run(self) -> None:
        plan = self.plan
        for at_ms, weather in plan.phases:
            self.later(at_ms, self.set_weather, weather)
        for crash in plan.crashes:
            self.later(crash.at_ms, self.nodes[crash.node].die, crash.how, crash.down_ms)
        for node in self.nodes:
            self.later(0, node.boot)
        self.later(MEMORY_EVERY_MS, self._watch_memory)
        self.start(self.clients.run(plan.heal_ms))
        await self.pass_until(lambda: self.now_ms >= plan.heal_ms)
        for node in self.nodes:
            node.dying = ""
            node.boot()
        self.network.look()
        await self._settle()

    async def pass_until(self, reached: Callable[[], bool]) -> None:
        """Let time pass. Raises what broke meanwhile."""
        while not reached():
            await asyncio.sleep(0.01)
            self._check_alive()

    def _check_alive(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.events > EVENTS_MAX:
            raise BrokenLawError(f"more than {EVENTS_MAX} events by {self.now_ms} ms: {self.describe()}")

    async def _settle(self) -> None:
        """What people submit from now on becomes final, what was accepted comes to its end, and pools run empty."""
        await self.pass_until(lambda: self.clients.finished)
        late = [
            self.clients.start(make_late(self.genesis, self.keys, number, self.now_ms)) for number in range(LATE_DEEDS)
        ]
        deadline = self.now_ms + HEALED_MS_MAX
        while not (all(map(self.clients.is_settled, late)) and not self.clients.find_open() and self._is_level()):
            await asyncio.sleep(0.02)
            self._check_alive()
            if self.now_ms > deadline:
                raise BrokenLawError(f"liveness: {self._find_lacking(late)}: {self.describe()}")
        self._check_end()

    def _is_level(self) -> bool:
        """All honest nodes have saved the same, and no transaction waits in a pool."""
        heights = [node.height for node in self.honest]
        if min(heights) != max(heights) or not all(node.is_listening for node in self.honest):
            return False
        return all(self._count_waiting(node) == 0 for node in self.honest)

    def _count_waiting(self, node: LedgerNode) -> int:
        """What a node still means to bring into a block: batches with a transaction that has not come to its end.

        Where nobody makes batches of old transactions, any batch with one that is not executed counts.
        """
        pool, judge = node.core.mempool, self.judge
        ended = self.makers_of_batches and {**judge.executed, **judge.passed}
        waiting = [one for one in pool._held.values() if one.live > 0 and one.height <= node.height]
        if ended:
            waiting = [one for one in waiting if any(each.id not in ended for each in one.transactions)]
        return len(pool._pending_ids) + len(waiting)

    @property
    def makers_of_batches(self) -> bool:
        """Whether somebody pushes old transactions in new batches, without end."""
        return any(name in BATCH_MAKERS for name in self.plan.byzantine)

    def _find_lacking(self, late: list[Any]) -> str:
        still = [case for case in late if not self.clients.is_settled(case)]
        opened = self.clients.find_open()
        what = [f"{len(still)} of {len(late)} late transactions are not final"] if still else []
        for case in [*still, *opened][:4]:
            told = (
                f"{type(case.deed.transaction.body.payload).__name__} ({case.deed.what}, {case.refused}, {case.busy})"
            )
            what.append(f"{told} accepted by {[f'{one}/{life}' for one, life in case.promises]}")
        if not still and not opened:
            what.append(f"pools do not run empty {[self._count_waiting(node) for node in self.honest]}")
        return "; ".join(what)

    def _check_end(self) -> None:
        last = self.honest[0].disk
        for node in self.honest:
            if node.disk.rows != last.rows or node.disk.transactions.keys() != last.transactions.keys():
                raise BrokenLawError(f"{node.name} has other rows than {self.honest[0].name} at height {node.height}")
            if node.core.driver.silenced:
                raise BrokenLawError(f"{node.name} has fallen silent: {node.core.driver.silenced}")
        self.judge.check_books(self.honest[0])
        if any(self.judge.executed.keys() ^ node.disk.transactions.keys() for node in self.honest):
            raise BrokenLawError("what is saved is not what was executed")

    def _end(self) -> None:
        """End every life where it stands; what it still does counts no more."""
        self.is_over = True
        for node in self.nodes:
            node.down_ms = 0
            node.crash()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        for _ in range(50):
            if not asyncio.all_tasks(self.loop):
                break
            self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        gc.collect(0)

    def describe(self) -> str:
        """Where every node stands."""
        return "; ".join(node.describe() for node in self.nodes)
