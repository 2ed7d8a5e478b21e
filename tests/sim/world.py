"""The whole cluster in one thread: virtual clock, one heap of what is to come, a network with weather.

Everything drawn comes from the seed; two runs of one plan are equal event by event. Never iterate a set here.
"""

from heapq import heappop, heappush
from random import Random
from typing import Any
from zlib import crc32

from protocol.block import FIRST_EPOCH, calculate_genesis_digest
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.crypto import calculate_hash
from protocol.ids import BatchDigest, ChainId, Digest, Epoch, Height, PublicKey, View
from protocol.messages import Propose
from protocol.validators import ValidatorSet, make_validator_set
from tests.sim.checks import check_memory
from tests.sim.invariants import BrokenLawError, Judge
from tests.sim.keys import Scheme, SimSigner
from tests.sim.node import SimNode
from tests.sim.plan import CALM, Plan, Storm, Weather
from tests.sim.seats import Keys, Seats, Step

FINALS_AFTER_HEAL = 10
HEALED_MS_MAX = 60_000
SETTLED_MS_MAX = 60_000
EVENTS_MAX = 2_000_000
CONVICTED_AFTER_MS = 300
CONVICTS_LEAVE_MIN = 4
"""A convicted key loses its seat by itself only in a set larger than this."""
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
        self.phase: Weather = CALM
        self.storming = False
        self.stormed: dict[Epoch, bool] = {}
        self.lost: tuple[VoteKind, ...] = ()
        """Kinds of votes that a storm takes."""
        self.chain_id = ChainId(calculate_hash("simulation", plan.seed.to_bytes(8, "big")))
        self.genesis_root = Digest(calculate_hash("simulation-root"))
        self.scheme = Scheme()
        self.rings = self.make_rings()
        """The keys of every place that may ever have a seat, each one's successors behind it."""
        self.owners = {one.public_key: place for place, ring in enumerate(self.rings) for one in ring}
        self.validators = self.make_validators(tuple(ring[0].public_key for ring in self.rings[: plan.size]))
        genesis = calculate_genesis_digest(self.chain_id)
        self.genesis_seats = Seats(FIRST_EPOCH, genesis, self.validators.keys)
        self.judge = Judge(self.scheme, self.chain_id, self.genesis_seats, plan.notice, self.decide)
        self.judge.roots[Height(0)] = self.genesis_root
        self.changes = self.judge.changes
        self.accused: dict[PublicKey, bool] = {}
        self.invalid = self.judge.invalid
        self.batches = 0
        self.bases = [0]
        """How many views had passed when each epoch began."""
        self.passed = 0
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

    def make_rings(self) -> list[tuple[SimSigner, ...]]:
        """Validators in the order of their set, then spares; with as many keys as a plan may ask for."""
        plan = self.plan
        names = [f"{plan.seed} {place}" for place in range(plan.size + len(plan.spares))]
        rotations = sum(step.kind == "rotate" for change in plan.changes for step in change.steps)
        rings = [
            tuple(self.scheme.make_signer(f"{name}{f' {at}' if at else ''}") for at in range(rotations + 1))
            for name in names
        ]
        first = sorted(rings[: plan.size], key=lambda ring: ring[0].public_key)
        return [*first, *rings[plan.size :]]

    def count_nodes(self) -> int:
        """Validators first, then spares, then observers."""
        return self.voters + self.plan.observers

    @property
    def voters(self) -> int:
        """The places below this one hear votes."""
        return self.plan.size + len(self.plan.spares)

    def make_node(self, place: int) -> SimNode:
        """Honest validators, then Byzantine ones, then spares, then observers."""
        from tests.sim.actors.table import ACTORS

        plan = self.plan
        if place >= self.voters:
            return SimNode(self, place, ())
        names = ("",) * (plan.size - len(plan.byzantine)) + plan.byzantine + plan.spares
        kind = ACTORS[names[place]] if names[place] else SimNode
        return kind(self, place, self.rings[place])

    # ------------------------------------------------------------------ changes of seats

    def decide(self, step: Step, keys: Keys) -> Keys:
        """What a step does to the seats; nothing when it cannot be, or would seat more liars than the set can bear."""
        if step.place >= len(self.rings):
            return keys
        ring = [one.public_key for one in self.rings[step.place]]
        held = next((key for key in ring if key in keys), None)
        match step.kind:
            case "add":
                found = (*keys, ring[0]) if held is None else keys
            case "rotate":
                at = ring.index(held) + 1 if held is not None else 0
                found = tuple(ring[at] if key == held else key for key in keys) if 0 < at < len(ring) else keys
            case "convict":
                found = tuple(key for key in keys if key != held) if len(keys) > CONVICTS_LEAVE_MIN else keys
            case _:
                found = tuple(key for key in keys if key != held)
        liars = sum(not self.nodes[self.owners[key]].honest for key in found)
        return found if found and liars <= (len(found) - 1) // 3 else keys

    def find_author(self, said: Vote | Propose) -> PublicKey:
        """Whose words they are."""
        keys = self.judge.sets[said.epoch]
        return keys[said.index if isinstance(said, Vote) else self.find_leader(said.epoch, said.view)]

    def find_leader(self, epoch: Epoch, view: View) -> int:
        """Who leads a view of an epoch."""
        if epoch == FIRST_EPOCH:
            return self.validators.calculate_leader(view)
        first = int.from_bytes(self.judge.geneses[epoch][:8], "big")
        return (view + first) % len(self.judge.sets[epoch])

    def convict(self, key: PublicKey) -> None:
        """Evidence comes into the ledger, once per key, where seats change at all and before the network heals."""
        if self.plan.changes and key not in self.accused and self.now_ms + CONVICTED_AFTER_MS < self.plan.heal_ms:
            self.accused[key] = True
            self.schedule(CONVICTED_AFTER_MS, self.change, (Step("convict", self.owners[key], key),))

    def change(self, steps: tuple[Step, ...]) -> None:
        """A batch that changes seats, given to everybody who is up."""
        digest = self.make_batch()
        self.changes[digest] = steps
        for node in self.nodes:
            if node.up:
                node.add_batch(digest)

    @property
    def seats(self) -> Seats:
        """After the highest final block anywhere."""
        return self.judge.states[max(self.judge.states)]

    def count_views(self, epoch: Epoch, view: View) -> int:
        """Views since the genesis, over all epochs, as they first came."""
        while len(self.bases) <= epoch:
            self.bases.append(self.passed)
        self.passed = max(self.passed, self.bases[epoch] + view)
        return self.bases[epoch] + view

    @property
    def is_settled(self) -> bool:
        """Every change is carried out, and every honest node with a seat has come to the epoch that gives it one."""
        if self.seats.next or any(digest in node.pool for node in self.honest for digest in self.changes):
            return False
        return all(node.engine.epoch == self.seats.epoch for node in self.honest if node.holds(self.seats.keys))

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
            check_memory(node)

    # ------------------------------------------------------------------ network

    def broadcast(self, node: SimNode, message: Propose | Vote | Certificate, to_observers: bool) -> None:
        """To every validator, and to observers what they follow by."""
        if isinstance(message, Propose) and message.block.header.is_boundary:
            self.on_boundary_proposed(message.epoch)
        what = "vote" if isinstance(message, Vote) else "propose" if isinstance(message, Propose) else "certificate"
        last = len(self.nodes) if to_observers else self.voters
        for place in range(last):
            if place != node.place:
                self.send(node.place, place, what, message)

    def send(self, source: int, target: int, what: str, argument: Any) -> None:
        """One message through the weather."""
        weather, rng = self.weather, self.rng
        if self.lost and isinstance(argument, Vote | Certificate) and argument.kind in self.lost and rng.random() < 0.9:
            return
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
        self.phase = weather
        if not self.storming:
            self.weather = weather

    def on_boundary_proposed(self, epoch: Epoch) -> None:
        """The first block that ends an epoch is on its way."""
        storm = self.plan.storm
        if storm is not None and epoch not in self.stormed:
            self.stormed[epoch] = True
            if self.now_ms + storm.after_ms + storm.lasts_ms < self.plan.heal_ms:
                self.schedule(storm.after_ms, self.begin_storm, storm)

    def begin_storm(self, storm: Storm) -> None:
        """Whatever the phase is."""
        self.storming, self.weather, self.lost = True, storm.weather, storm.lost
        self.schedule(storm.lasts_ms, self.end_storm)
        if storm.crash is not None:
            self.schedule(storm.crash.at_ms, self.nodes[storm.crash.node].die, storm.crash.how, storm.crash.down_ms)

    def end_storm(self) -> None:
        """Back to the phase."""
        self.storming, self.weather, self.lost = False, self.phase, ()

    def run(self) -> None:
        """Faults, heal, and then ten finalised blocks within 4n views of work. Raises BrokenLawError."""
        plan = self.plan
        for at_ms, weather in plan.phases:
            self.schedule(at_ms, self.set_weather, weather)
        for crash in plan.crashes:
            self.schedule(crash.at_ms, self.nodes[crash.node].die, crash.how, crash.down_ms)
        for change in plan.changes:
            self.schedule(change.at_ms, self.change, change.steps)
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
        return max(4 * len(self.seats.keys), 3 * self.finals_wanted // 2)

    def wait_settled(self) -> None:
        """A node enters an epoch by its own execution, which no count of views bounds: this much time does."""
        deadline = self.now_ms + SETTLED_MS_MAX
        while not self.is_settled:
            self.run_until(self.now_ms + 10)
            if self.now_ms > deadline:
                raise BrokenLawError(f"liveness: no settled epoch {SETTLED_MS_MAX} ms after heal: {self.describe()}")

    def check_liveness(self) -> None:
        """From the heal on, every honest validator gets ten blocks beyond the highest final one within 4n views.

        One more rotation is forgiven before it is a broken law, since messages and views of before are still under
        way; `views_needed` says what it took, in whole views: those that began after the heal and ended before the last
        validator was there. Observers have no part in views: they get there in bounded time.
        """
        if self.plan.disk_stall_permille:  # a write that stalls since before the heal keeps its node away until it ends
            self.run_until(self.now_ms + STALL_MS_MAX)
        self.wait_settled()
        deadline = self.now_ms + HEALED_MS_MAX
        validators = [node for node in self.honest if node.holds(self.seats.keys)]
        views, furthest = 0, self.find_furthest_view()
        goal = max(node.final for node in self.honest) + self.finals_wanted
        while self.now_ms < deadline:
            self.run_until(self.now_ms + 10)
            before, furthest = furthest, self.find_furthest_view()
            views += furthest[1] - before[1] if furthest[0] == before[0] else furthest[1]
            lowest = min(node.final for node in validators)
            if self.views_needed is None and lowest >= goal:
                self.views_needed = max(0, views - 1)  # of the views entered, the last is under way
            if self.views_needed is not None and all(node.final >= goal for node in self.honest):
                return
            if self.views_needed is None and views > self.views_allowed + len(self.seats.keys):
                raise BrokenLawError(f"liveness: {lowest - goal} blocks of the goal {views} views after heal")
        raise BrokenLawError(f"liveness: height {goal} not reached {HEALED_MS_MAX} ms after heal: {self.describe()}")

    def find_furthest_view(self) -> tuple[Epoch, View]:
        """Where the furthest honest node is."""
        return max((node.engine.epoch, node.engine.view) for node in self.honest)

    def describe(self) -> str:
        """Where every node stands."""
        return "; ".join(
            f"{node.name}{'' if node.honest else '*'} epoch {node.engine.epoch} view {node.engine.view} "
            f"final {node.final} executed {len(node.disk.saved)} "
            f"({node.engine.waiting_for()})"
            for node in self.nodes
        )
