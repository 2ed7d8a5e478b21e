"""A node without a network, its application on a real socket, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from node.api.app import make_app
from node.client.http import NodeClient
from tests.node.api.harness import DevNode


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[DevNode]:
    """The books of a new network."""
    made = await DevNode.open(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def server(node: DevNode) -> AsyncIterator[TestServer]:
    """Its API on loopback."""
    server = TestServer(make_app(node, now_ms=node.now_ms))
    await server.start_server()
    yield server
    await server.close()


@pytest.fixture
async def client(server: TestServer) -> AsyncIterator[NodeClient]:
    """A client of that API."""
    async with NodeClient(str(server.make_url("/")), timeout_s=5, patience_s=0) as client:
        yield client
