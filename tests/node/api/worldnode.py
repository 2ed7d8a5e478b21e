"""A node over the ledger tests' own world: their scenes (leases, shared loans, defaults) behind the real API.

Nothing is stored or ordered: the world executes, and its events are the store. Shared by tests of views and reports.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp.test_utils import TestServer

from node.api.app import make_app
from node.api.ports import NodeStatus
from node.client.http import NodeClient
from node.store.chain import StoredEvent
from protocol.ids import BlockDigest, Height, TimeMs, View
from tests.protocol.ledger.world import World


class WorldNode:
    """As much of a NodePort as reads need."""

    base = 0

    def __init__(self, world: World) -> None:
        self.world = world
        self.genesis, self.ledger = world.genesis, world.ledger
        self.chain_id = world.ledger.chain_id
        self.name, self.role = "harbour", "validator"
        self.store = self
        self.alerts = None

    def now_ms(self) -> TimeMs:
        return TimeMs(self.world.now_ms)

    async def wait_settled(self) -> None:
        """Blocks are executed at once here."""

    async def read_subject_events(
        self, subject: bytes, limit: int, *, after: tuple[int, int] = (0, -1)
    ) -> list[StoredEvent]:
        found = [one for one in self.world.events if subject in one.subjects and (one.height, one.index) > after]
        return [StoredEvent(one.height, one.index, one.kind, msgspec.json.encode(one.data)) for one in found[:limit]]

    def status(self) -> NodeStatus:
        height = Height(self.ledger.height)
        return NodeStatus(
            name=self.name,
            role=self.role,
            height=height,
            view=View(height),
            exec_height=height,
            exec_root=self.ledger.exec_root,
            final_digest=BlockDigest(bytes(32)),
            peers=(),
            leader="jade",
            waiting_for="",
            sync_state="participating",
            pool_transactions=0,
            version="0.0-test",
            gossip_bytes_sent=0,
            gossip_bytes_received=0,
        )


@asynccontextmanager
async def serving(world: World) -> AsyncIterator[NodeClient]:
    """A client of the world's API."""
    node: Any = WorldNode(world)
    server = TestServer(make_app(node, now_ms=node.now_ms))
    await server.start_server()
    try:
        async with NodeClient(str(server.make_url("/")), timeout_s=30) as client:
            yield client
    finally:
        await server.close()
