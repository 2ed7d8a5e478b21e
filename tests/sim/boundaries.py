"""A crash at every boundary between persisting, sending and saving of a short run, over the bytes of the real logs.

A scenario runs once undisturbed and is counted; then it runs again for every boundary of every honest node, dies there,
and comes back over what its disk shows: without the last write, with a torn or shuffled one, or with all of it and
nothing said. Never draw chance here: the run up to the boundary must be the one that was counted.
"""

from typing import NamedTuple

from consensus.effects import Broadcast, Effect, Persist, PersistPayload
from consensus.records import Record
from node.store.appendlog import encode_groups, parse_groups
from node.store.payloadlog import PayloadRecord
from protocol.block import Block
from protocol.codec import decode, encode
from protocol.ids import BatchDigest, ChainId, Digest
from tests.sim.disk import Disk
from tests.sim.invariants import BrokenLawError
from tests.sim.keys import SimSigner
from tests.sim.node import SimNode
from tests.sim.plan import CALM, Change, Plan, Weather
from tests.sim.seats import Seats, Step
from tests.sim.world import World

VIEWS = 20
EVENTS_MAX = 150_000
FINALS_AFTER_CRASH = 3
COUNTING_MS_MAX = 600_000
CHANGED_MS = 20
NOTICE = 5
"""Blocks from the announcement to the boundary, so that it lies in the middle of the views that count."""
SECTOR = 64
"""Bytes that reach the disk together; small, so that a group of votes has several."""
TORN = ("head", "half", "byte")
SHUFFLED = ("first", "middle", "last")
DOWN_MS = {"alone": (1, 90, 1_200), "power": (1, 300)}
BY_POWER = ("lost", "unsent", "payload", "payload-half", "votes-half", "after", "before")
"""The ends that are also tried while everybody else dies."""
PAUSE_MS = 300
"""Clients wait this long between batches after the crash: what counts then is that the network goes on."""


class Scenario(NamedTuple):
    """One short run of four validators at a time."""

    weather: Weather
    byzantine: tuple[str, ...] = ()
    absent_ms: int = 0
    """The last honest validator starts this late: its views are given up."""
    disk_ms_max: int = 3
    steps: tuple[Step, ...] = ()
    """How the seats change on the way; a fifth node has a key and no seat at first."""


SCENARIOS = {
    "calm": Scenario(CALM),
    "absent": Scenario(CALM, absent_ms=900),
    "slow": Scenario(Weather(100, 50, 50, 600, 50, (), ())),
    "two-faced": Scenario(CALM, byzantine=("equivocator",)),
    "change": Scenario(CALM, steps=(Step("rotate", 1), Step("remove", 2), Step("add", 4))),
}


class Boundary(NamedTuple):
    """Where a run dies, and how."""

    scenario: str
    node: int
    what: str
    """write (the n-th group commit), word (behind the n-th message), save (around the n-th saved block)."""
    number: int
    how: str
    """write: lost, payload, votes-CUT, payload-CUT or unsent; word: after; save: before or after."""
    extent: str
    """alone, or power: everybody dies in the same moment."""

    def __str__(self) -> str:
        return "/".join(map(str, self))


def parse_boundary(text: str) -> Boundary:
    """What `str` gave."""
    scenario, node, what, number, how, extent = text.split("/")
    return Boundary(scenario, int(node), what, int(number), how, extent)


class LoggedDisk(Disk):
    """A disk whose logs are bytes in the format of the node's own."""

    def __init__(self, chain_id: ChainId, genesis_root: Digest, seats: Seats) -> None:
        super().__init__(chain_id, genesis_root, seats)
        self.logs = {"votes": b"", "payload": b""}
        self.sequences = {"votes": 0, "payload": 0}

    def _write(self, log: str, records: list[bytes], how: str = "") -> None:
        raw, following = encode_groups(self.sequences[log], records)
        self.logs[log] += mangle(raw, how) if how else raw
        self.sequences[log] = following

    def append(self, records: list[Record]) -> None:
        """As the vote log does."""
        if records:
            self._write("votes", [encode(record) for record in records])
        super().append(records)

    def append_payload(self, blocks: tuple[Block, ...], held: dict[BatchDigest, bool]) -> None:
        """As the payload log does."""
        self._write("payload", pack_payload(blocks, held))
        super().append_payload(blocks, held)

    def write_badly(self, log: str, records: list[bytes], how: str) -> None:
        """The power fails during a write."""
        if records:
            self._write(log, records, how)

    def recover(self) -> None:
        """What a node finds when it opens its logs: whole groups only, and the saved blocks."""
        for log, raw in self.logs.items():
            groups, whole, self.sequences[log] = parse_groups(raw, log)
            self.logs[log] = raw[:whole]
            if log == "votes":
                self.records, self.votes, self.certificates, self.proposals = [], {}, {}, {}
                Disk.append(self, [decode(one, Record) for group in groups for one in group])  # type: ignore[arg-type]
            else:
                self.blocks, self.batches = {}, {ref.digest: True for s in self.saved for ref in s.block.batches}
                for record in (decode(one, PayloadRecord) for group in groups for one in group):
                    Disk.append_payload(self, (record.block,), {digest: True for digest, _ in record.batches})


def pack_payload(blocks: tuple[Block, ...], held: dict[BatchDigest, bool]) -> list[bytes]:
    """The records of a payload write."""
    return [
        encode(
            PayloadRecord(block=block, batches=tuple((ref.digest, b"") for ref in block.batches if ref.digest in held))
        )
        for block in blocks
    ]


def mangle(raw: bytes, how: str) -> bytes:
    """What a disk shows of a write that it did not finish: cut off, or with a sector that never came."""
    last = (len(raw) - 1) // SECTOR * SECTOR
    match how:
        case "head":
            return raw[:9]
        case "half":
            return raw[: len(raw) // 2]
        case "byte":
            return raw[:-1]
        case "first":
            return bytes(min(SECTOR, len(raw))) + raw[SECTOR:]
        case "middle":
            at = last // SECTOR // 2 * SECTOR
            return raw[:at] + bytes(len(raw[at : at + SECTOR])) + raw[at + SECTOR :]
        case _:
            return raw[:last] + bytes(len(raw) - last)


class BoundaryNode(SimNode):
    """Counts its boundaries in its first life and dies at the one that is wanted."""

    world: "BoundaryWorld"

    def __init__(self, world: World, place: int, signers: tuple[SimSigner, ...]) -> None:
        super().__init__(world, place, signers)
        self.disk: LoggedDisk = LoggedDisk(world.chain_id, world.genesis_root, world.genesis_seats)
        self.counts = {"write": 0, "word": 0, "save": 0}

    def boot(self) -> None:
        """Over recovered logs, which must hold whatever was ever said."""
        self.disk.recover()
        judge = self.world.judge
        for (key, epoch, view, kind), digest in judge.said.items():
            if key in self.keys and self.disk.votes.get((epoch, kind, view)) != digest:
                raise BrokenLawError(f"S5: {self.name} said {kind.name} in view {view} and its log does not know")
        for (place, epoch, view), digest in judge.proposed.items():
            if place == self.place and self.disk.proposals.get((epoch, view)) != digest:
                raise BrokenLawError(f"S5: {self.name} proposed in view {view} and its log does not know")
        super().boot()

    def reach(self, what: str, hows: tuple[str, ...]) -> str:
        """A boundary: how to die here, or nothing."""
        if self.life:
            return ""
        self.counts[what] += 1
        return self.world.on_boundary(self, what, self.counts[what], hows)

    def carry_out(self, effects: list[Effect]) -> None:
        """Each group commit is a boundary with several ends."""
        payload = any(isinstance(effect, PersistPayload) for effect in effects)
        votes = any(isinstance(effect, Persist) for effect in effects)
        if payload or votes:
            hows = ("lost", "unsent")
            if payload:
                hows += ("payload", *(f"payload-{cut}" for cut in (*TORN, *SHUFFLED)))
            if votes:
                hows += tuple(f"votes-{cut}" for cut in (*TORN, *SHUFFLED))
            self.dying = self.reach("write", hows) or self.dying
        super().carry_out(effects)

    def on_durable(self, effects: list[Effect]) -> None:
        """The logs' own bytes are torn."""
        log, _, cut = self.dying.partition("-")
        if not cut:
            super().on_durable(effects)
            return
        blocks = tuple(block for one in effects if isinstance(one, PersistPayload) for block in one.blocks)
        if log == "votes":
            if blocks:
                self.disk.append_payload(blocks, self.held)
            self.disk.write_badly("votes", [encode(one.record) for one in effects if isinstance(one, Persist)], cut)
        else:
            self.disk.write_badly("payload", pack_payload(blocks, self.held), cut)
        self.crash()

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            super()._perform([effect])
            if isinstance(effect, Broadcast) and self.reach("word", ("after",)):
                self.crash()
            if not self.up:
                return

    def execute(self) -> None:
        """Saving is one transaction: before it or after it."""
        how = self.reach("save", ("before", "after")) if self.is_ready_to_execute() else ""
        if how == "before":
            self.crash()
            return
        super().execute()
        if how == "after":
            self.crash()

    def is_ready_to_execute(self) -> bool:
        """Whether the oldest final block is about to be saved."""
        block, _ = self.to_execute[0]
        return all(ref.digest in self.held for ref in block.batches)


class BoundaryWorld(World):
    """A scenario, undisturbed or with one boundary at which it dies."""

    def __init__(self, name: str, boundary: Boundary | None) -> None:
        self.name = name
        self.scenario = SCENARIOS[name]
        self.boundary = boundary
        self.reached = False
        self.found: list[Boundary] = []
        scenario = self.scenario
        phases = ((0, scenario.weather),)
        plan = Plan(20, 4, 0, scenario.byzantine, phases, (), 10**9, (0, 3, -5, 9, 1), scenario.disk_ms_max, 0, 5, 60)
        if scenario.steps:
            plan = plan._replace(spares=("",), changes=(Change(CHANGED_MS, scenario.steps),), notice=NOTICE)
        super().__init__(plan)
        self.events_max = EVENTS_MAX
        self.finals_wanted = FINALS_AFTER_CRASH
        self.weather = scenario.weather

    def make_node(self, place: int) -> SimNode:
        """Honest nodes have real logs."""
        made = super().make_node(place)
        return BoundaryNode(self, place, made.signers) if made.honest else made

    def on_boundary(self, node: BoundaryNode, what: str, number: int, hows: tuple[str, ...]) -> str:
        """Note it, or die there."""
        wanted = self.boundary
        if wanted is None:
            for how in hows:
                for extent in ("alone", "power") if how in BY_POWER else ("alone",):
                    self.found.append(Boundary(self.name, node.place, what, number, how, extent))
            return ""
        if (wanted.node, wanted.what, wanted.number) != (node.place, what, number):
            return ""
        self.reached = True
        downs = DOWN_MS[wanted.extent]
        node.down_ms = downs[(number + len(wanted.how)) % len(downs)]
        if wanted.extent == "power":
            self.schedule(self.plan.disk_ms_max + 1, self.fail_power, node)
        return wanted.how

    def fail_power(self, first: BoundaryNode) -> None:
        """Everybody else dies too, with whatever is being written."""
        for node in self.honest:
            if node is not first and node.up:
                node.die("now", first.down_ms + node.place)

    def run(self) -> None:
        """Up to the boundary, or to the last view that counts; then on, until the network is well again."""
        for node in self.nodes:
            late = node is self.honest[-1] and self.scenario.absent_ms
            self.schedule(late or 0, node.boot_again, 0)
        self.schedule(1, self.submit)
        for change in self.plan.changes:
            self.schedule(change.at_ms, self.change, change.steps)
        while not self.reached and self.furthest <= VIEWS:
            self.run_until(self.now_ms + 1)
            if self.now_ms > COUNTING_MS_MAX:
                raise BrokenLawError(f"no {VIEWS} views in {COUNTING_MS_MAX} ms")
        if self.boundary is None:
            return
        if not self.reached:
            raise BrokenLawError(f"boundary {self.boundary} is not in the run")
        self.run_until(self.now_ms + 10 + self.nodes[self.boundary.node].down_ms)
        self.weather = CALM
        for node in self.nodes:
            if not node.up:
                node.boot()
        self.check_liveness()

    def draw_pause_ms(self) -> int:
        """Busy before the crash."""
        return PAUSE_MS if self.reached else super().draw_pause_ms()

    @property
    def furthest(self) -> int:
        """How many views anybody honest has seen."""
        return max(
            (self.count_views(node.engine.epoch, node.engine.view) for node in self.honest if node.up), default=0
        )


def find_boundaries(name: str) -> list[Boundary]:
    """Every boundary of a scenario's undisturbed run, in the order of the run."""
    world = BoundaryWorld(name, None)
    world.run()
    return world.found
