"""What goes wrong in one run of the whole ledger, and how big everything is: all of it drawn from the seed.

Weather and crashes are those of the consensus simulator. Data only. Never draw chance anywhere but from the seed.
"""

from random import Random
from typing import NamedTuple

from tests.sim.plan import CALM, Crash, Weather, _make_weather

SIZES = (4, 4, 4, 4, 5, 7, 1)
LAST_CRASH_MS = 400
"""Before the heal: whoever dies has come back by then, or is started."""


class LedgerPlan(NamedTuple):
    """One run."""

    seed: int
    size: int
    observers: int
    byzantine: tuple[str, ...]
    """Names of actors; they take the last places."""
    phases: tuple[tuple[int, Weather], ...]
    crashes: tuple[Crash, ...]
    heal_ms: int
    skews_ms: tuple[int, ...]
    disk_ms_max: int
    execute_ms: tuple[int, ...]
    """How long saving a block takes at most, by place: executors are unequal."""
    day_ms: int
    steps: int
    """Of the random lives."""
    in_flight: int
    """How many transactions people have under way at a time."""
    sizes: tuple[tuple[str, int], ...]
    """Bounds of the pool that are smaller than the product's, so that they are reached."""


def make_plan(
    seed: int, *, size: int | None = None, byzantine: str | None = None, actors: tuple[str, ...] = ()
) -> LedgerPlan:
    """The run that `seed` stands for; `actors` are those that may be drawn."""
    rng = Random(f"ledger {seed}")
    count = size if size is not None else rng.choice(SIZES)
    faults = (count - 1) // 3
    names: tuple[str, ...] = ()
    if byzantine is not None:
        names = (byzantine,) * faults
    elif faults and actors and rng.random() < 0.7:
        names = tuple(rng.choice(actors) for _ in range(rng.randint(1, faults)))
    observers = rng.choice((0, 0, 1))
    nodes = count + observers
    heal_ms = rng.choice((3_000, 5_000, 9_000))
    phases: list[tuple[int, Weather]] = [(0, CALM)] if rng.random() < 0.5 else []
    at = rng.choice((500, 1_500)) if phases else 0
    while at < heal_ms:
        phases.append((at, _make_weather(rng, nodes)))
        at += rng.choice((300, 1_000, 2_000))
    phases.append((heal_ms, CALM))
    crashes = [
        Crash(
            rng.randrange(heal_ms), rng.randrange(nodes), rng.choice(("now", "write")), rng.choice((1, 50, 500, 2_000))
        )
        for _ in range(rng.choice((0, 0, 1, 2, 5)))
    ]
    if rng.random() < 0.15:  # the power fails everywhere at once
        moment, down_ms = rng.randrange(heal_ms), rng.choice((1, 500))
        crashes += [Crash(moment, node, rng.choice(("now", "write")), down_ms) for node in range(nodes)]
    skew_ms = rng.choice((0, 0, 50, 200))
    slow_ms = rng.choice((2, 2, 30, 300))
    return LedgerPlan(
        seed=seed,
        size=count,
        observers=observers,
        byzantine=names,
        phases=tuple(phases),
        crashes=tuple(sorted(crashes)),
        heal_ms=heal_ms,
        skews_ms=tuple(rng.randint(-skew_ms, skew_ms) for _ in range(nodes)),
        disk_ms_max=rng.choice((0, 1, 4, 20)),
        execute_ms=tuple(rng.choice((2, 2, slow_ms)) for _ in range(nodes)),
        day_ms=rng.choice((200, 500, 2_000)),
        steps=rng.choice((10, 40, 90)),
        in_flight=rng.choice((1, 4, 16, 64, 64)),
        sizes=_draw_sizes(rng, forgetful="doubler" not in names),
    )


def _draw_sizes(rng: Random, *, forgetful: bool) -> tuple[tuple[str, int], ...]:
    """Batches of few transactions, pools that are full at a hundred, answers of few blocks; short memories, where
    nobody makes batches of old transactions without end.
    """
    sizes = {"node.mempool.BATCH_TRANSACTIONS_MAX": rng.choice((1, 3, 16, 1_024))}
    if rng.random() < 0.4:
        held = rng.choice((16, 48))
        sizes |= {
            "node.mempool.POOL_TRANSACTIONS_MAX": rng.choice((30, 80)),
            "node.mempool.BATCHES_HELD_MAX": held,
            "node.mempool.ORIGIN_BATCHES_MAX": max(4, held // 4),
        }
    if rng.random() < 0.5:
        sizes |= {
            "node.mempool.BLOCK_BATCHES_MAX": rng.choice((1, 3, 8)),
            "node.mempool.BLOCK_TRANSACTIONS_MAX": 2_048,
            "node.sync.SYNC_BLOCKS_PER_REPLY_MAX": rng.choice((3, 8)),
            "node.reception.SYNC_BLOCKS_PER_REPLY_MAX": 8,
        }
    if rng.random() < 0.3 and forgetful:
        sizes |= {"node.mempool.EXECUTED_REMEMBERED_MAX": rng.choice((8, 40))}
    return tuple(sorted(sizes.items()))
