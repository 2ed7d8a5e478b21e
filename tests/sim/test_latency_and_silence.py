"""A calm cluster with links of exactly ten milliseconds: how fast a batch is final, and how quiet an idle chain is."""

import pytest

from tests.sim.plan import Plan, Weather
from tests.sim.world import World

LINK_MS = 10
STEADY = Weather(0, 0, LINK_MS, LINK_MS, 0, (), ())


def make_calm_world(size: int) -> World:
    """Booted nodes, no faults, disks and executors that take no time, no clients."""
    plan = Plan(1, size, 0, (), ((0, STEADY),), (), 10**9, (0,) * size, 0, 0, 0, 10**9)
    world = World(plan)
    world.set_weather(STEADY)
    for node in world.nodes:
        world.schedule(0, node.boot)
    world.run_until(100)
    return world


@pytest.mark.parametrize("size", [4, 7, 10])
def test_a_batch_is_final_everywhere_after_three_message_delays(size: int) -> None:
    """Propose, Notarize, Finalize: 30 ms over links of 10 ms, in an idle network that all hold the batch in."""
    world = make_calm_world(size)
    digest = world.make_batch()
    for node in world.nodes:
        node.add_batch(digest)
    world.run_until(100 + 3 * LINK_MS)
    assert [node.final for node in world.nodes] == [0] * size
    world.run_until(100 + 3 * LINK_MS + 1)
    assert [node.final for node in world.nodes] == [1] * size


def test_one_batch_costs_two_blocks_then_silence() -> None:
    """The empty block carries the root; then no engine steps until the heartbeat."""
    world = make_calm_world(4)
    digest = world.make_batch()
    for node in world.nodes:
        node.add_batch(digest)
    world.run_until(1_000)
    assert [node.final for node in world.nodes] == [2] * 4
    assert world.judge.blocks[world.judge.finals[2]].header.exec_height == 1  # type: ignore[index]
    before = world.events
    world.run_until(9_000)
    assert world.events == before


def test_an_idle_chain_beats_every_ten_seconds() -> None:
    """One empty block per heartbeat, and nothing between."""
    world = make_calm_world(4)
    world.run_until(9_900)
    assert [node.final for node in world.nodes] == [0] * 4
    world.run_until(35_000)
    assert [node.final for node in world.nodes] == [3] * 4


def test_a_dead_leader_costs_one_timeout_and_later_none() -> None:
    """With one of four dead, batches go on being final; after 2n views its turns are skipped at once."""
    world = make_calm_world(4)
    world.nodes[3].die("now", 10**8)
    spans = []
    for _ in range(24):
        began = world.now_ms
        digest = world.make_batch()
        final = world.nodes[0].final
        for node in world.nodes[:3]:
            node.add_batch(digest)
        while world.nodes[0].pool:
            world.run_until(world.now_ms + 1)
            assert world.now_ms < began + 10_000, f"no progress from height {final}"
        spans.append(world.now_ms - began)
    assert max(spans[12:]) <= 120
