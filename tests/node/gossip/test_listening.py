"""Strangers at a port: half a request, none at all, too many of them, gone in the middle. Nobody else notices."""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from node.gossip.network import BOUNDS, HANDSHAKES_PER_ADDRESS_MAX
from node.gossip.tls import make_credentials, make_dialling_context
from node.listening import Bounds, Gatekeeper, Listener, Tls
from tests.node.gossip.test_mesh import SIGNERS, raw_socket, station, until

UPGRADE: Final = (
    b"GET /gossip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
RESET: Final = struct.pack("ii", 1, 0)
FEW: Final = Bounds(connections=8, per_address=3, idle_s=30.0, arrivals_per_s=2, arrivals_at_once=100)


@asynccontextmanager
async def listening(bounds: Bounds, tls: Tls | None = None) -> AsyncIterator[tuple[Listener, int]]:
    """A port that answers every request with one word."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    listener = Listener(app, bounds, lambda: 0, tls=tls)
    port = await listener.start("127.0.0.1", 0)
    try:
        yield listener, port
    finally:
        await listener.close()


async def is_served(port: int) -> bool:
    """Whether a new connection gets its answer."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/", headers={"Connection": "close"}) as answer,
        ):
            return await answer.text() == "here"
    except (aiohttp.ClientError, ConnectionError):
        return False


async def test_connections_beyond_the_bound_of_an_address_are_ended_and_room_comes_back() -> None:
    """The first ones are served on; one more is not; when one has gone, the next is."""
    async with listening(FEW) as (listener, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert not await is_served(port)
        assert listener.keeper.refused > 0
        held[0][1].close()
        await held[0][1].wait_closed()
        await until(lambda: listener.keeper._open.total() == 2)
        assert await is_served(port)
        for _, writer in held[1:]:
            writer.close()
            await writer.wait_closed()
        await until(lambda: not listener.keeper._open)


@pytest.mark.parametrize("said", [b"", UPGRADE[:40]])
async def test_who_brings_no_whole_request_is_sent_away_after_a_time(said: bytes) -> None:
    """Nothing, or half of the headers: the connection ends, and does not hold its place for ever."""
    async with listening(FEW._replace(idle_s=0.2)) as (listener, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(30):
            assert await reader.read() == b""
        await until(lambda: not listener.keeper._open)
        writer.close()


async def test_who_does_not_finish_the_tls_handshake_is_counted_at_once_and_sent_away_after_a_time() -> None:
    """Half-open handshakes fill an address' share, not the whole port, and do not hold their places for ever."""
    credentials = make_credentials()
    async with listening(FEW, Tls(credentials.listening, 0.5, 0.2)) as (listener, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(FEW.per_address + 1)]
        held[0][1].write(b"\x16\x03\x01\x02\x00")  # the head of a greeting that never comes
        await until(lambda: listener.keeper.refused == 1)
        assert listener.keeper._open.total() == FEW.per_address
        async with asyncio.timeout(30):
            for reader, writer in held:
                with contextlib.suppress(ConnectionError):
                    assert await reader.read() == b""
                writer.close()
        await until(lambda: not listener.keeper._open)
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"https://127.0.0.1:{port}/", ssl=make_dialling_context()) as answer,
        ):
            assert await answer.text() == "here"


async def test_a_request_that_comes_with_the_last_words_of_the_handshake_is_answered() -> None:
    """The first bytes may be decrypted before anybody is there to read them: none is lost."""
    credentials = make_credentials()
    request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    async with listening(FEW, Tls(credentials.listening, 5, 0.2)) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = make_dialling_context().wrap_bio(incoming, outgoing)
        while True:
            try:
                session.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
            else:
                break
        session.write(request)
        writer.write(outgoing.read())  # finished and request in one piece
        said = b""
        async with asyncio.timeout(30):
            while not said.endswith(b"here"):
                incoming.write(await reader.read(65_536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    said += session.read(65_536)
        writer.close()


def test_addresses_are_counted_apart_and_arrivals_in_time() -> None:
    """One address cannot take another's place, nor come and go without end; a /64 of IPv6 is one address."""
    now_ms = 0
    keeper = Gatekeeper(FEW._replace(connections=5, per_address=2), lambda: now_ms)
    assert [keeper.admit("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert [keeper.admit(one) for one in ("2001:db8::1", "2001:db8::2", "2001:db8::3")] == [True, True, False]
    assert [keeper.admit(one) for one in ("2001:db8:0:1::1", "192.0.2.2")] == [True, False]  # five in all
    for one in ("192.0.2.1", "192.0.2.1", "2001:db8::2", "2001:db8::1", "2001:db8:0:1::1"):
        keeper.leave(one)
    served = 0
    for _ in range(2 * FEW.arrivals_at_once):
        if keeper.admit("192.0.2.9"):
            served += 1
            keeper.leave("192.0.2.9")
    assert served == FEW.arrivals_at_once
    assert keeper.admit("192.0.2.10")
    now_ms += 1_000
    assert keeper.admit("192.0.2.9")


async def test_peers_that_go_away_in_the_middle_of_an_upgrade_leave_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """Whole and half upgrade requests, garbage, resets at any moment: nothing is logged, and a real peer is let in."""
    chance = random.Random(7)
    with capture_logs() as logs, caplog.at_level(logging.WARNING):
        async with station(0, {}) as node:
            for _ in range(150):
                context = make_dialling_context() if chance.random() < 0.7 else None
                _, writer = await asyncio.open_connection("127.0.0.1", node.port, ssl=context)
                said = chance.choice((UPGRADE, UPGRADE, UPGRADE[: chance.randrange(60)], chance.randbytes(40)))
                writer.write(said)
                for _ in range(chance.randrange(6)):
                    await asyncio.sleep(0)
                if chance.random() < 0.2:
                    await asyncio.sleep(chance.uniform(0, 0.003))
                stranger = writer.get_extra_info("socket")
                if chance.random() < 0.7 and stranger is not None and not writer.is_closing():
                    stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
            async with raw_socket(node.port):
                pass
            await until(lambda: not node.gossip._listener.keeper._open)  # type: ignore[union-attr]
            assert not node.task.done()
            async with station(1, {0: node.port}):
                await until(lambda: node.gossip.is_connected(SIGNERS[1].public_key))
    assert caplog.records == []
    assert [one for one in logs if one["log_level"] in ("error", "warning")] == []
    assert BOUNDS.per_address > 2 * 32


async def test_half_greetings_of_one_address_leave_room_for_others() -> None:
    """Beyond its share an address hears 503 at once, and when the others have given up it is greeted again."""
    async with station(0, {}) as node, aiohttp.ClientSession() as session:
        address = f"wss://127.0.0.1:{node.port}/gossip"
        tls = make_dialling_context()
        held = [await session.ws_connect(address, ssl=tls) for _ in range(HANDSHAKES_PER_ADDRESS_MAX)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect(address, ssl=tls)
        assert caught.value.status == 503
        for one in held:
            await one.close()
        await until(lambda: not node.gossip._greeting_from)
        async with raw_socket(node.port) as socket:
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY


class Accepted(asyncio.Transport):
    """A connection that the system accepted, as far as a port looks at one."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.aborted = False

    def pause_reading(self) -> None:
        """Nothing is read before TLS begins."""

    def abort(self) -> None:
        self.aborted = True


async def test_who_was_accepted_in_the_moment_a_port_closes_is_not_left_open() -> None:
    """Before the handshake's first step, and after the port was closed: both connections end, none counts any more."""
    tls = Tls(make_credentials().listening, 5.0, 1.0)
    first, second = Accepted(), Accepted()
    async with listening(FEW, tls) as (listener, _):
        early, late = listener._make_connection(), listener._make_connection()
        early.connection_made(first)
        assert listener.keeper._open.total() == 1
        await listener.close()
        late.connection_made(second)
        assert (first.aborted, second.aborted) == (True, True)
        assert not listener.keeper._open
        assert not listener._opening
