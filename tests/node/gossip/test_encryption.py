"""What is on the wire between two nodes, and who may be in the middle of it: nobody."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509

from node.gossip.handshake import CloseCode
from node.gossip.link import Socket
from node.gossip.network import PATH
from node.gossip.tls import (
    calculate_certificate_hash,
    find_shown_certificate,
    make_credentials,
    make_dialling_context,
)
from node.setup import find_free_ports
from protocol.ids import BatchDigest
from protocol.messages import GetBatch
from tests.node.gossip.test_mesh import CHAIN, SIGNERS, raw_socket, station, until

SECRET = b"\xa7\x5e\x13\x99" * 8


class Tap:
    """A wire that keeps a copy of every byte, or the man in the middle of it."""

    def __init__(self) -> None:
        self.seen = b""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until they end."""
        while data := await reader.read(65_536):
            self.seen += data
            writer.write(data)
        writer.close()

    @asynccontextmanager
    async def tapped(self, target: int) -> AsyncIterator[int]:
        """A port that leads to `target`."""
        tasks: list[asyncio.Task[None]] = []
        writers: list[asyncio.StreamWriter] = []

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far, out = await asyncio.open_connection("127.0.0.1", target)
            writers.extend((writer, out))
            tasks.extend(asyncio.ensure_future(one) for one in (self.carry(reader, out), self.carry(far, writer)))

        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in writers:
                writer.close()
            await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@asynccontextmanager
async def man_in_the_middle(target: int, codes: list[int]) -> AsyncIterator[int]:
    """A port that ends TLS with a certificate of its own and passes each frame on; `codes` are what it hears."""

    async def pass_on(source: Socket, sink: Socket) -> None:
        async for frame in source:
            await sink.send_bytes(frame.data)
        codes.append(source.close_code or 0)
        await sink.close(code=source.close_code or 1001)

    async def accept(request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse(compress=False)
        await near.prepare(request)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"wss://127.0.0.1:{target}{PATH}", compress=0, ssl=make_dialling_context()) as far,
        ):
            await asyncio.gather(pass_on(near, far), pass_on(far, near))
        return near

    app = web.Application()
    app.router.add_get(PATH, accept)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=make_credentials().listening)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_a_man_in_the_middle_who_passes_every_word_on_is_refused() -> None:
    """Both ends are honest members, both greetings arrive unchanged: the certificate gives him away."""
    heard: list[int] = []
    async with (
        station(0, {}) as listener,
        man_in_the_middle(listener.port, heard) as port,
        station(1, {0: port}) as dialler,
    ):
        await until(lambda: listener.gossip.closed["unproven"] > 0 and dialler.gossip.closed["unproven"] > 0)
        assert CloseCode.UNPROVEN in heard
        assert listener.handler.up == dialler.handler.up == []
        assert not listener.gossip.get_connected()


async def test_a_listener_on_the_wire_hears_nothing_and_the_same_wire_carries_a_link() -> None:
    """Neither keys nor chain nor a word of a message is among the bytes; the tap does not disturb the link."""
    tap = Tap()
    async with station(0, {}) as listener, tap.tapped(listener.port) as port, station(1, {0: port}) as dialler:
        await until(lambda: bool(dialler.gossip.get_connected() and listener.gossip.get_connected()))
        question = GetBatch(digest=BatchDigest(SECRET))
        assert dialler.gossip.send(SIGNERS[0].public_key, question)
        assert listener.gossip.send(SIGNERS[1].public_key, question)
        await until(lambda: bool(listener.handler.heard and dialler.handler.heard))
    assert len(tap.seen) > 1_000
    for word in (SECRET, CHAIN, b"gossip", b"liushui", *(one.public_key for one in SIGNERS)):
        assert word not in tap.seen


async def test_there_is_no_way_in_without_tls_or_with_an_older_one() -> None:
    """A plain websocket and TLS 1.2 are refused; the node goes on."""
    older = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    older.check_hostname, older.verify_mode = False, ssl.CERT_NONE
    older.maximum_version = ssl.TLSVersion.TLSv1_2
    async with station(0, {}) as node, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(f"ws://127.0.0.1:{node.port}{PATH}")
        with pytest.raises(aiohttp.ClientError):
            await session.ws_connect(f"wss://127.0.0.1:{node.port}{PATH}", ssl=older)
        async with raw_socket(node.port) as socket:
            assert socket.get_extra_info("ssl_object").version() == "TLSv1.3"
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY


async def test_a_certificate_lives_for_one_start_never_expires_and_names_nobody() -> None:
    """Two lives of one node show two certificates, valid always, without a name of member or machine."""
    shown = []
    (port,) = find_free_ports(1)
    for instance in range(2):
        async with station(0, {}, instance=instance, listen=port), raw_socket(port) as socket:
            session = socket.get_extra_info("ssl_object")
            der = session.getpeercert(binary_form=True)
            assert find_shown_certificate(session) == calculate_certificate_hash(der)
            shown.append(der)
    assert shown[0] != shown[1]
    certificate = x509.load_der_x509_certificate(shown[0])
    assert certificate.not_valid_before_utc <= datetime(1971, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc >= datetime(9999, 1, 1, tzinfo=UTC)
    assert certificate.subject.rfc4514_string() == "CN=liushui"
    assert len(certificate.extensions) == 0
    assert find_shown_certificate(None) is None
