"""Twins: two instances of the honest code share one key, and the network is cut differently in every view.

After Bano et al., *Twins: BFT Systems Made Robust* (OPODIS 2021): a twin equivocates, forgets and votes twice without
a line of hostile code, and a case is a table of (leader, partitions) per view, drawn from one seed. Never judge a twin;
the honest keys must agree whatever the twins and the cuts do, and go on once the cuts are over.
"""

from random import Random
from typing import Any, NamedTuple

from protocol.block import calculate_genesis_digest
from protocol.certificate import Certificate, Vote
from protocol.ids import PublicKey, ValidatorIndex, View
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Propose
from protocol.validators import ValidatorSet, make_validator_set
from tests.sim.actors.base import Actor
from tests.sim.invariants import BrokenLawError
from tests.sim.node import SimNode
from tests.sim.plan import CALM, Change, Plan
from tests.sim.seats import Step
from tests.sim.world import World

SIZES = (4, 4, 4, 4, 5, 7)
STUCK_MS_MAX = 2_500
"""A view whose cut leaves no quorum anywhere is joined after this long, so that the table goes on."""
TABLE_MS_MAX = 200_000
EVENTS_MAX = 150_000
FINALS_AFTER_CUTS = 3

SAID = ("propose", "notarize", "finalize", "nullify", "other")
"""What is cut by itself: a proposal may reach one half of the network and the votes for it the other."""


class Round(NamedTuple):
    """One view of a case."""

    leader: ValidatorIndex
    cuts: tuple[tuple[int, ...], ...]
    """For each of `SAID` the group of every instance, the second ones last: what is said stays within a group."""


class Case(NamedTuple):
    """One table."""

    seed: int
    size: int
    twins: int
    """How many keys have two instances: the last ones of the set."""
    rounds: tuple[Round, ...]
    delay_ms_max: int
    steps: tuple[Step, ...] = ()
    """How the seats change on the way."""
    notice: int = EPOCH_NOTICE


def make_case(seed: int) -> Case:
    """The case that `seed` stands for."""
    rng = Random(f"twins {seed}")
    size = rng.choice(SIZES)
    twins = rng.randint(1, (size - 1) // 3)
    rounds = tuple(_make_round(rng, size, twins) for _ in range(rng.randint(4, 9)))
    case = Case(seed, size, twins, rounds, rng.choice((1, 5, 5, 60)))
    return _add_change(rng, case) if rng.random() < 0.4 else case


def _add_change(rng: Random, case: Case) -> Case:
    """The set turns over within a longer table: keys rotate, a twin's among them, or somebody gets up."""
    kinds = rng.choice((("rotate",), ("rotate", "rotate"), ("remove",), ("rotate", "remove")))
    steps = tuple(Step(kind, rng.randrange(case.size)) for kind in kinds)
    more = tuple(_make_round(rng, case.size, case.twins) for _ in range(rng.randint(5, 9)))
    return case._replace(rounds=case.rounds + more, steps=steps, notice=rng.choice((1, 2, 2, 3)))


def _make_round(rng: Random, size: int, twins: int) -> Round:
    leader = rng.randrange(size - twins, size) if rng.random() < 0.5 else rng.randrange(size)
    cut = _make_cut(rng, size, twins)
    if rng.random() < 0.4:
        return Round(ValidatorIndex(leader), (cut,) * len(SAID))
    return Round(
        ValidatorIndex(leader), tuple(cut if rng.random() < 0.5 else _make_cut(rng, size, twins) for _ in SAID)
    )


def _make_cut(rng: Random, size: int, twins: int) -> tuple[int, ...]:
    quorum = (size + (size - 1) // 3) // 2 + 1
    count = rng.choice((1, 2, 2, 2, 2, 3))
    groups: tuple[int, ...] = ()
    for _ in range(6):  # most views should decide something, so that the next one has a past
        groups = tuple(rng.randrange(count) for _ in range(size + twins))
        if max(_count_keys(groups, group, size, twins) for group in range(count)) >= quorum:
            break
    return groups


def _count_keys(groups: tuple[int, ...], group: int, size: int, twins: int) -> int:
    """How many different keys speak in a group."""
    return len({place if place < size else place - twins for place, own in enumerate(groups) if own == group})


class Schedule(ValidatorSet):
    """A set whose first leaders stand in a table."""

    table: tuple[ValidatorIndex, ...] = ()

    def calculate_leader(self, view: View) -> ValidatorIndex:
        """From the table, and in turn behind its end."""
        return self.table[view - 1] if 1 <= view <= len(self.table) else super().calculate_leader(view)


class TwinsWorld(World):
    """One case."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.joined = 0
        """Views up to this one are cut no more."""
        count = case.size + case.twins
        skews_ms = tuple((place * 7) % 11 for place in range(count))  # twins' blocks differ at least in their time
        plan = Plan(case.seed, case.size, 0, (), ((0, CALM),), (), 0, skews_ms, 1, 0, 2, 40)
        changes = (Change(1, case.steps),) if case.steps else ()
        super().__init__(plan._replace(changes=changes, notice=case.notice))
        self.events_max = EVENTS_MAX
        self.finals_wanted = FINALS_AFTER_CUTS

    def make_validators(self, keys: tuple[PublicKey, ...]) -> ValidatorSet:
        """Leaders as the case says."""
        plain = make_validator_set(keys, calculate_genesis_digest(self.chain_id))
        made = Schedule(plain.keys, plain.offset)
        made.table = tuple(one.leader for one in self.case.rounds)
        return made

    def count_nodes(self) -> int:
        """Second instances last."""
        return self.case.size + self.case.twins

    @property
    def voters(self) -> int:
        """Every instance hears votes."""
        return self.count_nodes()

    def make_node(self, place: int) -> SimNode:
        """The honest, the first instances, the second ones."""
        case = self.case
        index = place if place < case.size else place - case.twins
        kind = Actor if index >= case.size - case.twins else SimNode
        return kind(self, place, self.rings[index])

    def convict(self, key: PublicKey) -> None:
        """Twins stay."""

    def send(self, source: int, target: int, what: str, argument: Any) -> None:
        """A message belongs to the view it speaks of, or to the one its sender is in."""
        said, engine = "other", self.nodes[source].engine
        epoch, at = engine.epoch, engine.view
        if isinstance(argument, Vote | Propose | Certificate):
            epoch, at = argument.epoch, argument.view
            if not isinstance(argument, Certificate):
                said = "propose" if isinstance(argument, Propose) else argument.kind.name.lower()
        view = self.count_views(epoch, at)
        if self.joined < view <= len(self.case.rounds):
            groups = self.case.rounds[view - 1].cuts[SAID.index(said)]
            if groups[source] != groups[target]:
                return
        delay_ms = 1 + int(self.rng.random() * self.case.delay_ms_max)
        self.schedule(delay_ms, self.deliver, source, target, what, argument)

    def run(self) -> None:
        """The table, and then the healed network. Raises BrokenLawError."""
        for node in self.nodes:
            self.schedule(0, node.boot)
        self.schedule(1, self.submit)
        for change in self.plan.changes:
            self.schedule(change.at_ms, self.change, change.steps)
        self.run_until(1)
        furthest, since_ms = 0, 0
        while (view := self.find_furthest()) <= len(self.case.rounds):
            if view > furthest:
                furthest, since_ms = view, self.now_ms
            elif self.now_ms - since_ms > STUCK_MS_MAX:
                self.joined, since_ms = view, self.now_ms
            if self.now_ms > TABLE_MS_MAX:
                raise BrokenLawError(f"liveness: view {view} of the table does not end: {self.describe()}")
            self.run_until(self.now_ms + 20)
        self.joined = len(self.case.rounds)
        self.check_liveness()

    def find_furthest(self) -> int:
        """How many views the honest have seen."""
        return max(self.count_views(node.engine.epoch, node.engine.view) for node in self.honest)
