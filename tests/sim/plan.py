"""What goes wrong in one run, all of it drawn from the seed: weather of the network, disks, crashes, clocks, actors.

Data only; the world carries it out. Never draw chance anywhere but from the seed.
"""

from random import Random
from typing import NamedTuple

from protocol.certificate import VoteKind
from protocol.limits import EPOCH_NOTICE
from tests.sim.seats import Step

SIZES = (4, 4, 4, 5, 7, 10, 1)


class Weather(NamedTuple):
    """The network during one phase."""

    loss_permille: int
    duplicate_permille: int
    delay_ms_min: int
    delay_ms_max: int
    slow_permille: int
    """Messages that take up to two seconds."""
    groups: tuple[int, ...]
    """Group of each node: nodes of different groups do not hear each other."""
    deaf: tuple[tuple[int, int], ...]
    """Ordered pairs (from, to) that are cut, one way only."""


class Crash(NamedTuple):
    """A node dies and comes back."""

    at_ms: int
    node: int
    how: str
    """now, lost, payload, unsent or partly: where between persisting and sending it dies."""
    down_ms: int


class Change(NamedTuple):
    """A batch that changes seats."""

    at_ms: int
    steps: tuple[Step, ...]


class Storm(NamedTuple):
    """What breaks loose whenever a block is proposed that ends an epoch."""

    after_ms: int
    lasts_ms: int
    weather: Weather
    lost: tuple[VoteKind, ...]
    """Nine of ten votes and certificates of these kinds are lost."""
    crash: Crash | None
    """`at_ms` counts from the storm."""


class Plan(NamedTuple):
    """One run."""

    seed: int
    size: int
    observers: int
    byzantine: tuple[str, ...]
    """Names of actors; they take the last places of the set."""
    phases: tuple[tuple[int, Weather], ...]
    """(start in ms, weather), ascending; the last one is calm."""
    crashes: tuple[Crash, ...]
    heal_ms: int
    skews_ms: tuple[int, ...]
    disk_ms_max: int
    disk_stall_permille: int
    execute_ms_max: int
    batch_every_ms: int
    spares: tuple[str, ...] = ()
    """Nodes with keys and without a seat at first: the name of an actor, or empty for an honest one."""
    changes: tuple["Change", ...] = ()
    notice: int = EPOCH_NOTICE
    """Blocks from the header that announces other validators to the one that ends the epoch."""
    storm: Storm | None = None


HOWS = ("now", "lost", "payload", "unsent", "partly")
CALM = Weather(0, 0, 1, 12, 0, (), ())


def make_plan(
    seed: int, *, size: int | None = None, byzantine: str | None = None, changing: bool | None = None
) -> Plan:
    """The run that `seed` stands for; `changing` says whether its validators change, instead of the seed."""
    from tests.sim.actors.table import ACTORS

    rng = Random(f"plan {seed}")
    count = size if size is not None else rng.choice(SIZES)
    faults = (count - 1) // 3
    names: tuple[str, ...] = ()
    if byzantine is not None:
        names = (byzantine,) * faults  # a set too small for a fault has none, whatever is asked
    elif faults and rng.random() < 0.6:
        names = tuple(rng.choice(sorted(ACTORS)) for _ in range(rng.randint(1, faults)))
    observers = rng.choice((0, 0, 1))
    heal_ms = rng.choice((4_000, 8_000, 15_000, 25_000))
    spares, changes, notice = make_changes(seed, count, heal_ms, wanted=changing)
    nodes = count + len(spares) + observers
    phases: list[tuple[int, Weather]] = []
    at = 0
    while at < heal_ms:
        phases.append((at, _make_weather(rng, nodes)))
        at += rng.choice((300, 1_000, 3_000, 6_000))
    phases.append((heal_ms, CALM))
    crashes = [
        Crash(
            at_ms=rng.randrange(heal_ms),
            node=rng.randrange(nodes),
            how=rng.choice(HOWS),
            down_ms=rng.choice((1, 50, 500, 3_000)),
        )
        for _ in range(rng.choice((0, 0, 1, 2, 4, 10)))
    ]
    if rng.random() < 0.15:  # the power fails everywhere at once
        moment, down_ms = rng.randrange(heal_ms), rng.choice((1, 500))
        crashes += [Crash(moment, node, rng.choice(("now", "lost", "unsent")), down_ms) for node in range(nodes)]
    skew_ms = rng.choice((0, 0, 50, 200))
    return Plan(
        seed=seed,
        size=count,
        observers=observers,
        byzantine=names,
        phases=tuple(phases),
        crashes=tuple(sorted(crashes)),
        heal_ms=heal_ms,
        skews_ms=tuple(rng.randint(-skew_ms, skew_ms) for _ in range(nodes)),
        disk_ms_max=rng.choice((0, 1, 4, 20)),
        disk_stall_permille=rng.choice((0, 0, 5)),
        execute_ms_max=rng.choice((1, 5, 50, 400)),
        batch_every_ms=rng.choice((20, 100, 700, 3_000)),
        spares=spares,
        changes=changes,
        notice=notice,
        storm=_make_storm(seed, nodes) if changes else None,
    )


def _make_storm(seed: int, nodes: int) -> Storm | None:
    """Seven of ten boundaries are hard."""
    rng = Random(f"storm {seed}")
    if rng.random() > 0.7:
        return None
    kinds = rng.choice(((), (VoteKind.FINALIZE,), (VoteKind.FINALIZE,), (VoteKind.NOTARIZE,), tuple(VoteKind)))
    crash = Crash(rng.choice((0, 5, 20)), rng.randrange(nodes), rng.choice(HOWS), rng.choice((1, 50, 500, 3_000)))
    return Storm(
        after_ms=rng.choice((0, 3, 12, 30)),
        lasts_ms=rng.choice((20, 100, 500, 2_000)),
        weather=_make_weather(rng, nodes),
        lost=kinds,
        crash=crash if rng.random() < 0.5 else None,
    )


def make_changes(
    seed: int, size: int, heal_ms: int, *, wanted: bool | None
) -> tuple[tuple[str, ...], tuple[Change, ...], int]:
    """Spare nodes and what happens to the seats, by chance of its own: half of the seeds change nothing."""
    from tests.sim.actors.table import ACTORS

    rng = Random(f"changes {seed}")
    is_chosen = rng.random() < 0.5
    if not (is_chosen if wanted is None else wanted):
        return (), (), EPOCH_NOTICE
    spares = tuple(rng.choice(sorted(ACTORS)) if rng.random() < 0.15 else "" for _ in range(rng.choice((1, 1, 2, 3))))
    places = size + len(spares)
    changes: list[Change] = []
    at_ms = rng.randrange(heal_ms)
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        kinds = rng.choice((("add",), ("remove",), ("rotate",), ("remove", "add"), ("rotate",) * 3, ("add", "add")))
        steps = tuple(
            Step(kind, rng.randrange(size, places) if kind == "add" else rng.randrange(places)) for kind in kinds
        )
        changes.append(Change(at_ms, steps))
        at_ms = min(heal_ms - 1, at_ms + rng.choice((0, 5, 200, 2_000)))
    return spares, tuple(changes), rng.choice((2, 3, 6, 12, EPOCH_NOTICE))


def _make_weather(rng: Random, nodes: int) -> Weather:
    low = rng.choice((0, 1, 1, 10, 100))
    groups: tuple[int, ...] = ()
    deaf: tuple[tuple[int, int], ...] = ()
    kind = rng.random()
    if kind < 0.2:
        groups = tuple(rng.randrange(2) for _ in range(nodes))
    elif kind < 0.25:
        groups = tuple(range(nodes))
    elif kind < 0.4:
        deaf = tuple((a, b) for a in range(nodes) for b in range(nodes) if a != b and rng.random() < 0.3)
    return Weather(
        loss_permille=rng.choice((0, 0, 10, 100, 400)),
        duplicate_permille=rng.choice((0, 0, 50, 600)),
        delay_ms_min=low,
        delay_ms_max=low + rng.choice((0, 5, 50, 300)),
        slow_permille=rng.choice((0, 0, 10, 100)),
        groups=groups,
        deaf=deaf,
    )
