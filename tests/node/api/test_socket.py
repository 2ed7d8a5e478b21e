"""The websocket stream: the events of the other stream, from the same positions, and an honest word at its end."""

import asyncio
import contextlib
import socket as sockets
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer

from node.api import events
from node.api.socket import SLOW_CLIENT
from node.client.http import ApiError, NodeClient
from protocol.ids import Height
from protocol.money import Amount
from tests.node.api.harness import CNY, DevNode


async def collect(server: TestServer, **query: str) -> tuple[list[dict[str, Any]], int | None]:
    """All messages of a stream that ends, and the code it was closed with."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.make_url("/v1/events/ws").with_query(query)) as socket,
    ):
        return [one.json() async for one in socket], socket.close_code


async def wait_open(server: TestServer) -> None:
    """Until a stream is served; it says so to nobody."""
    for _ in range(2_000):
        if server.app[events.STREAMS]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("no stream was opened")


async def test_it_resumes_where_the_other_stream_does(node: DevNode, server: TestServer) -> None:
    """From every position the same events come, and the end of what is saved is said."""
    await node.open_market()
    stored = await node.store.read_events(Height(0), 0, 200)
    whole, code = await collect(server, after="0-0", follow="false")
    assert [(one["height"], one["index"]) for one in whole] == [(one.height, one.index) for one in stored]
    assert code == aiohttp.WSCloseCode.OK
    for cut in (0, 3, len(whole) - 2):
        rest, _ = await collect(server, after=f"{whole[cut]['height']}-{whole[cut]['index']}", follow="false")
        assert rest == whole[cut + 1 :]
    minted, _ = await collect(server, after="0-0", follow="false", kind="minted")
    assert minted == [one for one in whole if one["kind"] == "minted"] != []


async def test_new_events_arrive_and_hearts_beat(
    node: DevNode, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent stream stays open over many heartbeats, and then brings what happens."""
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.1)
    wallet = await node.open_borrower("li-na")
    async with aiohttp.ClientSession() as session, session.ws_connect(server.make_url("/v1/events/ws")) as socket:
        receiving = asyncio.create_task(socket.receive())
        await asyncio.sleep(0.4)
        assert not receiving.done()
        await node.do(wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(7)))
        event = (await asyncio.wait_for(receiving, 20)).json()
    assert event["height"] == node.ledger.height


async def test_a_slow_client_is_told_and_where_to_resume(
    node: DevNode, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes nothing for a while finds, behind what was on its way, a code and a position."""
    monkeypatch.setattr(events, "SLOW_WRITE_S", 0.05)
    await node.open_market()
    stored = await node.store.read_events(Height(0), 0, 200)

    asked = [0]

    async def read_for_ever(height: int, index: int, limit: int) -> list[Any]:
        await asyncio.sleep(0)
        asked[0] += 1
        return stored

    monkeypatch.setattr(node.store, "read_events", read_for_ever)
    raw = sockets.socket()
    raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 65_536)
    raw.setblocking(False)
    loop, url = asyncio.get_running_loop(), server.make_url("/")
    with contextlib.closing(raw):
        await loop.sock_connect(raw, (url.host, url.port))
        await loop.sock_sendall(
            raw,
            b"GET /v1/events/ws?after=0-0 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
        async with asyncio.timeout(60):
            await wait_open(server)
            before = -1
            while asked[0] != before:  # until nothing more fits between the two
                before = asked[0]
                await asyncio.sleep(0.5)
            tail = b""
            while b"slow_client: resume after " not in tail:
                piece = await loop.sock_recv(raw, 65_536)
                assert piece, "it was closed without a word"
                tail = tail[-200:] + piece
    assert SLOW_CLIENT.to_bytes(2, "big") + b"slow_client: resume after " in tail


async def test_a_node_that_stops_says_so(node: DevNode, server: TestServer) -> None:
    """Every open stream ends with the code of going away."""
    await node.open_borrower("li-na")
    async with aiohttp.ClientSession() as session, session.ws_connect(server.make_url("/v1/events/ws")) as socket:
        await wait_open(server)
        stopping = asyncio.create_task(events.close_streams(server.app))
        await socket.receive(timeout=20)
        assert socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
        await stopping
    assert not server.app[events.STREAMS]


async def test_what_is_no_websocket_is_told(node: DevNode, client: NodeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain request, a broken position and one stream too many are problems."""
    for query, status, code in (({}, 426, "upgrade_required"), ({"after": "x"}, 400, "malformed_request")):
        with pytest.raises(ApiError) as caught:
            await client.get("/v1/events/ws", **query)
        assert (caught.value.status, caught.value.code) == (status, code)
    monkeypatch.setattr(events, "STREAMS_MAX", 0)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(client.url / "v1/events/ws")
        assert refused.value.status == 503
