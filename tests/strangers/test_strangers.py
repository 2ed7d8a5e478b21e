"""Strangers at a running node: each hears why it is sent away, and nobody else notices that it was there."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from structlog.testing import capture_logs

from node.client.http import NodeClient
from node.config import load_config
from node.core import read_clock_ms
from node.keystore import read_seed
from node.runtime import Node
from node.setup import make_testnet
from protocol.codec import encode
from protocol.ids import TimeMs
from tests.node.core.cluster import Purse
from tests.strangers.attacks import ATTACKS, Stranger, Victim

STRIKES: Final = 6
DESCRIPTORS_LEFT_MAX: Final = 4
SERVED_WITHIN_S: Final = 60.0
SERVED_MS: Final = 30_000
HEARD_WITHIN_S: Final = 180.0
SLOW: Final = ("dribble", "slow_body")
"""They are cut off after the node's patience of half a minute: they are left to themselves here."""


class Stage(NamedTuple):
    """A network of one, an honest client of it, and the node as strangers see it."""

    node: Node
    client: NodeClient
    clearing: Purse
    solo: Purse
    victim: Victim

    async def serve(self) -> None:
        """An honest client's transaction becomes final."""
        item = self.clearing.mint(self.solo.account, 1)
        async with asyncio.timeout(SERVED_WITHIN_S):
            (result,) = await self.client.submit([item], wait_final=True, timeout_ms=SERVED_MS)
        assert result.status == "finalised", result

    async def read_cash(self) -> int:
        """What the honest client's account holds."""
        view = await self.client.get(f"/v1/accounts/{self.solo.account.hex()}")
        return int(view["balances"][0]["amount"])


@asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    """A running node with both ports open, and its network's keys."""
    net = make_testnet(directory / "net", lenders=("solo",), observers=("eye",), time_ms=TimeMs(read_clock_ms()))
    chain_id = net.genesis.calculate_chain_id()
    clearing, solo = (Purse(net.directory / one, chain_id) for one in ("authorities/clearing", "solo"))
    node = Node(load_config(net.directory / "solo", environment={}))
    await node.start()
    try:
        seed = read_seed(net.directory / "eye", "node")
        assert seed is not None
        first = clearing.mint(solo.account, 1)
        victim = Victim(node.listen_port, node.api_port, chain_id, seed, encode([first]))
        async with NodeClient(victim.api, timeout_s=10, patience_s=8) as client:
            await client.submit([first], wait_final=True, timeout_ms=SERVED_MS)
            yield Stage(node, client, clearing, solo, victim)
    finally:
        await node.stop(drain_s=0)


def count_descriptors() -> int:
    """Open files and sockets of this process."""
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_each_stranger_hears_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Every attack at once: the codes that fit, an honest client served meanwhile, no descriptor and no error left."""
    async with staged(tmp_path) as stage:
        await stage.serve()
        before = count_descriptors()
        names = [name for name in ATTACKS if name not in SLOW]
        strangers = {name: Stranger(f"127.0.1.{i + 1}", seed=i) for i, name in enumerate(names)}
        with capture_logs() as logs:
            running = [
                asyncio.create_task(one.run(stage.victim, ATTACKS[name]._replace(at_once=STRIKES)))
                for name, one in strangers.items()
            ]
            try:
                async with asyncio.timeout(HEARD_WITHIN_S):
                    while min(one.said.total() for one in strangers.values()) < STRIKES:
                        await stage.serve()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        assert [one for one in logs if one["log_level"] == "error"] == []
        for name, stranger in strangers.items():
            expected = ATTACKS[name].expected
            assert set(stranger.said) <= expected, (name, stranger.said)
            assert set(stranger.said) != {"ended"} or expected == {"ended"}, f"{name} is told nothing"
        async with asyncio.timeout(SERVED_WITHIN_S):
            while count_descriptors() > before + DESCRIPTORS_LEFT_MAX:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await stage.serve()
        assert not stage.node.core.driver.silenced


async def test_ten_thousand_repetitions_of_one_transaction_cost_little_and_change_nothing(tmp_path: Path) -> None:
    """The same signed bytes, ten thousand times in one second's worth of requests: known each time, executed once."""
    async with staged(tmp_path) as stage:
        item = stage.clearing.mint(stage.solo.account, 5)
        await stage.client.submit([item], wait_final=True, timeout_ms=SERVED_MS)
        had = await stage.read_cash()
        told: set[str] = set()
        for _ in range(20):
            told |= {one.status for one in await stage.client.submit([item] * 500)}
        assert told == {"finalised"}
        assert stage.node.core.mempool.transactions == 0
        await stage.serve()
        assert await stage.read_cash() == had + 1


@pytest.mark.parametrize("port", ["gossip", "api"])
async def test_a_flood_from_one_address_fills_its_own_share_alone(tmp_path: Path, port: str) -> None:
    """As many connections as one address may hold, and more: others are let in, and the flood's places come back."""
    async with staged(tmp_path) as stage:
        number = stage.victim.gossip_port if port == "gossip" else stage.victim.api_port
        stranger, held = Stranger("127.0.2.1", seed=1), []
        for _ in range(600):
            try:
                held.append(await stranger.connect(number, tls=False))
            except OSError:
                break
        await stage.serve()
        other = Stranger("127.0.2.2", seed=2)
        attack = ATTACKS["introduce"]
        assert await attack.strike(stage.victim, other) == "4403"
        for _, writer in held:
            writer.transport.abort()
        await stage.serve()
