"""The whole cluster in one thread: virtual clock, one heap of what is to come, a network with weather.

Everything drawn comes from the seed; two runs of one plan are equal event by event. Never iterate a set here.
"""

from heapq import heappop, heappush
from random import Random
from typing import Any
from zlib import crc32

from protocol.block import calculate_genesis_digest
from protocol.certificate import Certificate, Vote
from protocol.crypto import calculate_hash
from protocol.ids import BatchDigest, ChainId, Digest, Height, PublicKey
from protocol.messages import Propose
from protocol.validators import ValidatorSet, make_validator_set
from tests.sim.invariants import BrokenLawError, Judge
from tests.sim.keys import Scheme, SimSigner
from tests.sim.node import SimNode
from tests.sim.plan import CALM, Plan, Weather

FINALS_AFTER_HEAL = 10
HEALED_MS_MAX = 60_000
EVENTS_MAX = 2_000_000
STALL_MS_MAX = 1_700
EXECUTE_MS_HEALED = 50
"""Slowest execution of a block after the heal. Before it, up to 400 ms: nodes of unequal speed waste views, since a
voter waits for its own execution before it vouches for a root; what that costs is no matter of the heal."""


class World:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rng = Random(f"world {plan.seed}")
        self.now_ms = 0
        self.heap: list[tuple[int, int, Any, tuple[Any, ...]]] = []
        self.count = 0
        self.trace = 0
        self.events = 0
        self.weather: Weather = CALM
        self.chain_id = ChainId(calculate_hash("simulation", plan.seed.to_bytes(8, "big")))
        self.genesis_root = Digest(calculate_hash("simulation-root"))
        self.scheme = Scheme()
        signers = [self.scheme.make_signer(f"{plan.seed} {place}") for place in range(plan.size)]
        keys = tuple(signer.public_key for signer in signers)
        self.validators = self.make_validators(keys)
        by_key: dict[bytes, SimSigner] = {signer.public_key: signer for signer in signers}
        self.signers = [by_key[key] for key in self.validators.keys]
        self.judge = Judge(plan.size, self.scheme, self.validators.keys, self.chain_id)
        self.judge.roots[Height(0)] = self.genesis_root
        self.invalid = self.judge.invalid
        self.batches = 0
        self.finals_wanted = FINALS_AFTER_HEAL
        self.events_max = EVENTS_MAX
        self.views_needed: int | None = None
        """After the heal, until the last honest validator had the blocks that are asked for."""
        self.nodes: list[SimNode] = []
        for place in range(self.count_nodes()):
            self.nodes.append(self.make_node(place))
        self.honest = [node for node in self.nodes if node.honest]

    # ------------------------------------------------------------------ who takes part

    def make_validators(self, keys: tuple[PublicKey, ...]) -> ValidatorSet:
        """The set; leaders follow one another."""
        return make_validator_set(keys, calculate_genesis_digest(self.chain_id))

    def count_nodes(self) -> int:
        """Validators first, then observers."""
        return self.plan.size + self.plan.observers

    @property
    def voters(self) -> int:
        """The places below this one hear votes."""
        return self.plan.size

    def make_node(self, place: int) -> SimNode:
        """Honest validators, then Byzantine ones, then observers."""
        from tests.sim.actors.table import ACTORS

        plan = self.plan
        if place >= plan.size:
            return SimNode(self, place, None, None)
        actor = place - (plan.size - len(plan.byzantine))
        kind = SimNode if actor < 0 else ACTORS[plan.byzantine[actor]]
        return kind(self, place, place, self.signers[place])

    # ------------------------------------------------------------------ time

    def schedule(self, delay_ms: int, what: Any, *args: Any) -> None:
        """Call `what` after a delay."""
        self.count += 1
        heappush(self.heap, (self.now_ms + delay_ms, self.count, what, args))

    def on_turn(self, node: SimNode, count: int) -> None:
        """A node took a turn."""
        self.events += count
        self.trace = crc32(b"%d %d %d" % (self.now_ms, node.place, count), self.trace)
        if not node.turns % 64 and node.honest:
            node.check_memory()

    # ------------------------------------------------------------------ network

    def broadcast(self, node: SimNode, message: Propose | Vote | Certificate, to_observers: bool) -> None:
        """To every validator, and to observers what they follow by."""
        what = "vote" if isinstance(message, Vote) else "propose" if isinstance(message, Propose) else "certificate"
        last = len(self.nodes) if to_observers else self.voters
        for place in range(last):
            if place != node.place:
                self.send(node.place, place, what, message)

    def send(self, source: int, target: int, what: str, argument: Any) -> None:
        """One message through the weather."""
        weather, rng = self.weather, self.rng
        if weather.groups and weather.groups[source] != weather.groups[target]:
            return
        if weather.deaf and (source, target) in weather.deaf:
            return
        if weather.loss_permille and rng.random() * 1000 < weather.loss_permille:
            return
        copies = 2 if weather.duplicate_permille and rng.random() * 1000 < weather.duplicate_permille else 1
        for _ in range(copies):
            low, high = weather.delay_ms_min, weather.delay_ms_max
            delay_ms = 0 if self.nodes[target].near else low + int(rng.random() * (high - low + 1))
            if weather.slow_permille and rng.random() * 1000 < weather.slow_permille:
                delay_ms += int(rng.random() * 2000)
            self.schedule(delay_ms, self.deliver, source, target, what, argument)

    def deliver(self, source: int, target: int, what: str, argument: Any) -> None:
        """A message arrives, if somebody is there."""
        node = self.nodes[target]
        if node.up:
            node.hear(source, what, argument)

    # ------------------------------------------------------------------ disks, executors, clients

    def draw_disk_ms(self) -> int:
        """How long a group commit takes."""
        plan, rng = self.plan, self.rng
        if plan.disk_stall_permille and self.now_ms < plan.heal_ms and rng.random() * 1000 < plan.disk_stall_permille:
            return rng.randrange(STALL_MS_MAX)
        return int(rng.random() * (plan.disk_ms_max + 1))

    def draw_execute_ms(self) -> int:
        """How long a block takes to execute and save."""
        slowest = self.plan.execute_ms_max
        if self.now_ms >= self.plan.heal_ms:  # a healed world has healthy processors, as it has healthy disks
            slowest = min(slowest, EXECUTE_MS_HEALED)
        return int(self.rng.random() * (slowest + 1))

    def make_batch(self) -> BatchDigest:
        """A new batch's digest."""
        self.batches += 1
        return BatchDigest(calculate_hash("simulation-batch", self.batches.to_bytes(8, "big")))

    def submit(self) -> None:
        """A client gives a batch to some node, which pushes it to all."""
        place = self.rng.randrange(len(self.nodes))
        node = self.nodes[place]
        if node.up:
            digest = self.make_batch()
            for other in self.nodes:
                if other is not node:
                    self.send(place, other.place, "batch", digest)
            node.add_batch(digest)
        self.schedule(self.draw_pause_ms(), self.submit)

    def draw_pause_ms(self) -> int:
        """Until clients submit again."""
        return 1 + int(self.rng.random() * 2 * self.plan.batch_every_ms)

    # ------------------------------------------------------------------ the run

    def set_weather(self, weather: Weather) -> None:
        """The next phase begins."""
        self.weather = weather

    def run(self) -> None:
        """Faults, heal, and then ten finalised blocks within 4n views of work. Raises BrokenLawError."""
        plan = self.plan
        for at_ms, weather in plan.phases:
            self.schedule(at_ms, self.set_weather, weather)
        for crash in plan.crashes:
            self.schedule(crash.at_ms, self.nodes[crash.node].die, crash.how, crash.down_ms)
        for node in self.nodes:
            self.schedule(0, node.boot)
        self.schedule(1, self.submit)
        self.run_until(plan.heal_ms)
        for node in self.nodes:
            node.dying = ""
            if not node.up:
                node.boot()
        self.check_liveness()

    def run_until(self, until_ms: int) -> None:
        """Everything that is due before a moment."""
        heap = self.heap
        while heap and heap[0][0] < until_ms:
            self.now_ms, _, what, args = heappop(heap)
            what(*args)
            if self.events > self.events_max:
                raise BrokenLawError(f"more than {self.events_max} events by {self.now_ms} ms")
        self.now_ms = until_ms

    @property
    def views_allowed(self) -> int:
        """4n, or 15 where 4n views could not hold ten blocks."""
        return max(4 * self.plan.size, 3 * self.finals_wanted // 2)

    def check_liveness(self) -> None:
        """From the heal on, every honest validator gets ten blocks beyond the highest final one within 4n views.

        One more rotation is forgiven before it is a broken law, since messages and views of before are still under
        way; `views_needed` says what it took. Observers have no part in views: they get there in bounded time.
        """
        if self.plan.disk_stall_permille:  # a write that stalls since before the heal keeps its node away until it ends
            self.run_until(self.now_ms + STALL_MS_MAX)
        deadline = self.now_ms + HEALED_MS_MAX
        validators = [node for node in self.honest if node.index is not None]
        view_healed = max(node.engine.view for node in self.honest)
        goal = max(node.final for node in self.honest) + self.finals_wanted
        while self.now_ms < deadline:
            self.run_until(self.now_ms + 10)
            views = max(node.engine.view for node in self.honest) - view_healed
            lowest = min(node.final for node in validators)
            if self.views_needed is None and lowest >= goal:
                self.views_needed = views
            if self.views_needed is not None and all(node.final >= goal for node in self.honest):
                return
            if self.views_needed is None and views > self.views_allowed + self.plan.size:
                raise BrokenLawError(f"liveness: {lowest - goal} blocks of the goal {views} views after heal")
        raise BrokenLawError(f"liveness: height {goal} not reached {HEALED_MS_MAX} ms after heal: {self.describe()}")

    def describe(self) -> str:
        """Where every node stands."""
        return "; ".join(
            f"{node.name}{'' if node.honest else '*'} view {node.engine.view} final {node.final} "
            f"({node.engine.waiting_for()})"
            for node in self.nodes
        )
