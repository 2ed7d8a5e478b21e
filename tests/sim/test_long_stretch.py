"""A node that was away comes back after very many blocks became final at once, under one finalization."""

from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from tests.sim.plan import CALM, Crash, Plan
from tests.sim.world import World

HEAL_MS = 60_000


def test_a_node_that_was_away_follows_across_a_stretch_longer_than_a_reply() -> None:
    """One of four away, one that keeps finality back: hundreds of blocks commit at once, and all four go on."""
    away = Crash(at_ms=500, node=0, how="now", down_ms=HEAL_MS - 1_000)
    world = World(Plan(1, 4, 0, ("finality",), ((0, CALM),), (away,), HEAL_MS, (0,) * 4, 1, 0, 5, 100))
    longest = 0
    honest = world.judge.on_commit

    def on_commit(name: str, height_before: int, blocks: tuple[object, ...], proof: object, latest_ms: int) -> None:
        nonlocal longest
        longest = max(longest, len(blocks))
        honest(name, height_before, blocks, proof, latest_ms)  # type: ignore[arg-type]

    world.judge.on_commit = on_commit  # type: ignore[assignment,method-assign]
    world.run()
    assert longest > 2 * SYNC_BLOCKS_PER_REPLY_MAX
    assert min(node.final for node in world.honest) > longest
