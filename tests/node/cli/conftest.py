"""The desk that tests of commands sit at."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from node.api.app import make_app
from node.cli import remote
from protocol.ids import BoxKey
from tests.node.api.harness import DevNode
from tests.node.cli.terminal import Desk


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """A market with two lenders, a borrower with an account, and the borrower's desk."""
    node = await DevNode.open(tmp_path)
    server = TestServer(make_app(node, now_ms=node.now_ms))
    await server.start_server()
    monkeypatch.setattr(remote, "read_clock_ms", node.now_ms)
    desk = Desk(tmp_path, node, str(server.make_url("/")))
    await node.open_market()
    await node.open_borrower("li-na", BoxKey(bytes(desk.enc_key.public_key)))
    with capture_logs():  # the node's log would else go to the command's own output
        yield desk
    await server.close()
    await node.close()
