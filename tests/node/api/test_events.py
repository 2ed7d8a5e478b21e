"""The event stream: without a gap, without a repetition, resumable from any position, and honest to slow clients."""

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from node.api import events
from node.client.http import ApiError, ClientError, NodeClient
from protocol.ids import Height
from protocol.money import Amount
from tests.node.api.harness import CNY, DevNode


async def collect(client: NodeClient, count: int, after: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with contextlib.aclosing(client.stream_events(after)) as stream:  # type: ignore[type-var]
        async for event in stream:
            found.append(event)
            if len(found) == count:
                break
    return found


def position(event: dict[str, Any]) -> str:
    return f"{event['height']}-{event['index']}"


async def test_a_stream_can_be_resumed_anywhere(node: DevNode, client: NodeClient) -> None:
    """From every position the rest comes, in order, with nothing missing and nothing twice."""
    await node.open_market()
    stored = await node.store.read_events(Height(0), 0, 200)
    everything = await collect(client, len(stored), "0-0")
    assert [(one["height"], one["index"]) for one in everything] == [(one.height, one.index) for one in stored]
    for cut in (0, 3, len(everything) - 2):
        rest = await collect(client, len(everything) - cut - 1, position(everything[cut]))
        assert rest == everything[cut + 1 :]


async def test_new_events_arrive_as_they_happen(node: DevNode, client: NodeClient) -> None:
    """Without a position the stream begins now: only what happens later comes."""
    wallet = await node.open_borrower("li-na")
    listening = asyncio.create_task(collect(client, 1, None))
    await asyncio.sleep(0.05)
    await node.do(wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(7)))
    async with asyncio.timeout(30):
        (event,) = await listening
    assert event["height"] == node.ledger.height
    assert wallet.account.hex() in str(event["data"])


@pytest.mark.parametrize("after", ["", "x", "1", "1-", "-1", "1-x", "99999999999999999-0"])
async def test_a_broken_position_is_a_problem(client: NodeClient, after: str) -> None:
    """A position is height-index and nothing else."""
    with pytest.raises(ApiError) as caught:
        await collect(client, 1, after)
    assert (caught.value.status, caught.value.code) == (400, "malformed_request")


async def test_streams_are_counted(node: DevNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit a new stream is refused as busy, and one that ended makes room."""
    monkeypatch.setattr(events, "STREAMS_MAX", 1)
    wallet = await node.open_borrower("li-na")
    first = asyncio.create_task(collect(client, 1, None))
    await asyncio.sleep(0.05)
    with pytest.raises(ApiError) as caught:
        await collect(client, 1, None)
    assert (caught.value.status, caught.value.code) == (503, "busy")
    await node.do(wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(7)))
    await first
    await asyncio.sleep(0.05)
    assert await collect(client, 1, "0-0")


async def test_a_slow_client_is_told_and_closed(
    node: DevNode, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes nothing finds, behind what was on its way, the word that it was dropped and where to resume."""
    monkeypatch.setattr(events, "SLOW_WRITE_S", 0.2)
    await node.open_market()
    many = await node.store.read_events(Height(0), 0, 200)

    async def read_again(height: int, index: int, limit: int) -> Any:
        await asyncio.sleep(0)
        return many * 20

    monkeypatch.setattr(node.store, "read_events", read_again)
    loop = asyncio.get_running_loop()
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        assert server.port is not None
        await loop.sock_connect(raw, ("127.0.0.1", server.port))
        await loop.sock_sendall(raw, b"GET /v1/events?after=0-0 HTTP/1.1\r\nHost: x\r\n\r\n")
        await asyncio.sleep(1.5)
        taken = b""
        async with asyncio.timeout(20):
            while chunk := await loop.sock_recv(raw, 1_048_576):
                taken = (taken + chunk)[-4_096:]
    assert b"event: dropped" in taken
    assert b"resume_after" in taken
    assert taken.endswith(b"0\r\n\r\n")


async def test_a_client_that_was_dropped_hears_where_to_resume() -> None:
    """The farewell of a node is an error of the client, never a silent end."""

    async def part(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b'id: 3-1\nevent: paid\ndata: {"height":3}\n\n')
        await response.write(b'event: dropped\ndata: {"reason":"slow_client","resume_after":"3-1"}\n\n')
        return response

    app = web.Application()
    app.router.add_get("/v1/events", part)
    server = TestServer(app)
    await server.start_server()
    found: list[dict[str, Any]] = []
    async with NodeClient(str(server.make_url("/"))) as client:
        stream = client.stream_events()
        found.append(await anext(stream))
        with pytest.raises(ClientError, match="3-1") as caught:
            await anext(stream)
    assert (caught.value.code, found) == ("stream_dropped", [{"height": 3}])
    await server.close()
