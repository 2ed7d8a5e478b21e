"""One encrypted websocket to one peer: greet, prove, then read and write frames until either side ends it.

Every await on the peer has a deadline, and whatever a peer sends ends in a close code, never in an exception. Which
peers to have and what their messages mean is not decided here.
"""

import asyncio
import contextlib
import secrets
import socket as sockets
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from aiohttp import ClientWebSocketResponse, WebSocketError, WSMessage, WSMsgType, web

from node.gossip.frames import KINDS, decode_frame
from node.gossip.handshake import (
    CloseCode,
    Greetings,
    Identity,
    LinkFacts,
    Role,
    check_hello,
    check_proof,
    make_hello,
    make_proof,
)
from node.gossip.sendqueue import SendQueue
from protocol.codec import CodecError, encode
from protocol.ids import Digest, PublicKey
from protocol.messages import Hello, HelloProof, KeyUse, Message, decode_message

Socket = ClientWebSocketResponse | web.WebSocketResponse
OnMessage = Callable[[PublicKey, Message], Awaitable[None]]

HANDSHAKE_TIMEOUT_S: Final = 5.0
SEND_TIMEOUT_S: Final = 10.0
CLOSE_TIMEOUT_S: Final = 1.0
HEARTBEAT_S: Final = 10.0

_GONE = (ConnectionError, OSError, RuntimeError, TimeoutError)
"""What a websocket raises once its other end, or the socket below it, is no more."""


class Greeted(NamedTuple):
    """The outcome of a handshake that succeeded."""

    peer: PublicKey
    facts: LinkFacts


class Traffic:
    """Bytes of frames on one node's established links, their websocket heads included.

    Greetings, pings and what TCP and IP add are left out: they grow with time, not with what is said. So are the 22
    bytes that encryption adds to each piece of up to 16 KiB.
    """

    __slots__ = ("bytes_in", "bytes_out", "frames_in", "frames_out", "received", "sent")

    def __init__(self) -> None:
        self.received = 0
        self.sent = 0
        self.frames_in: Counter[type[object]] = Counter()
        """Messages received, by kind."""
        self.bytes_in: Counter[type[object]] = Counter()
        """Of those, without the websocket's heads."""
        self.frames_out: Counter[type[object]] = Counter()
        """Messages queued for peers, by kind."""
        self.bytes_out: Counter[type[object]] = Counter()


def calculate_frame_bytes(payload: int, *, masked: bool) -> int:
    """Length of a whole binary frame (RFC 6455, section 5.2); what a dialler sends is masked."""
    head = 2 if payload < 126 else 4 if payload < 65_536 else 10
    return head + (4 if masked else 0) + payload


class RefusedError(Exception):
    """The handshake failed; `code` is what the peer hears, or what the peer said when `theirs`."""

    def __init__(self, code: int, *, theirs: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.theirs = theirs


async def _receive_greeting(socket: Socket) -> Message:
    frame = await socket.receive()
    if frame.type is not WSMsgType.BINARY:
        if frame.type is WSMsgType.CLOSE:
            raise RefusedError(int(frame.data or 0), theirs=True)
        raise RefusedError(CloseCode.MALFORMED if frame.type is WSMsgType.TEXT else socket.close_code or 0)
    try:
        return decode_message(frame.data)
    except CodecError:
        raise RefusedError(CloseCode.MALFORMED) from None


def _bars_nobody(_: PublicKey) -> bool:
    return False


async def greet(
    socket: Socket,
    identity: Identity,
    certificate: Digest,
    expected: PublicKey | None,
    *,
    is_barred: Callable[[PublicKey], bool] = _bars_nobody,
) -> Greeted:
    """Exchange greetings and proofs; `expected` is the key dialled, None when the peer dialled us.

    `certificate` is the hash of what the listener showed. Who is barred is sent away before anything of it is verified:
    who says so falsely harms itself alone. Raises RefusedError, which names the close code.
    """
    own = make_hello(identity, Digest(secrets.token_bytes(32)))
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            await socket.send_bytes(encode(own))
            theirs = await _receive_greeting(socket)
            if not isinstance(theirs, Hello):
                raise RefusedError(CloseCode.MALFORMED)
            if (reason := check_hello(identity, theirs, expected)) is not None:
                raise RefusedError(reason)
            if is_barred(theirs.node_key):
                raise RefusedError(CloseCode.PENALTY)
            if expected is None:  # no proof of ours before theirs holds: a caller gets nothing to send back to us
                said = Greetings(theirs, own, certificate)
                await _receive_proof(socket, Role.DIALLER, said)
                await socket.send_bytes(encode(make_proof(identity.signer, Role.LISTENER, said)))
            else:
                said = Greetings(own, theirs, certificate)
                await socket.send_bytes(encode(make_proof(identity.signer, Role.DIALLER, said)))
                await _receive_proof(socket, Role.LISTENER, said)
    except TimeoutError:
        raise RefusedError(CloseCode.TIMEOUT) from None
    except (ConnectionError, OSError, RuntimeError):
        raise RefusedError(CloseCode.GOING_AWAY, theirs=True) from None
    return Greeted(theirs.node_key, LinkFacts(theirs.instance, said.dialler.node_key))


async def _receive_proof(socket: Socket, role: Role, said: Greetings) -> None:
    proof = await _receive_greeting(socket)
    if not isinstance(proof, HelloProof):
        raise RefusedError(CloseCode.MALFORMED)
    signer = said.dialler.node_key if role is Role.DIALLER else said.listener.node_key
    if (reason := check_proof(proof, signer, role, said)) is not None:
        raise RefusedError(reason)


async def hear_key_use(socket: Socket) -> KeyUse | None:
    """The word that a greeted peer was asked for, whatever else it says meanwhile; None when it leaves.

    The caller sets the deadline.
    """
    while True:
        frame = await socket.receive()
        if frame.type is not WSMsgType.BINARY:
            return None
        try:
            message = decode_frame(frame.data)
        except CodecError:
            return None
        if isinstance(message, KeyUse):
            return message


async def close_socket(socket: Socket, code: int) -> None:
    """Say why and close, within a deadline; a peer that does not answer is cut off."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await socket.close(code=code, message=b"")
    except _GONE:
        _cut(socket)


def _cut(socket: Socket) -> None:
    """End the connection below the websocket, so that nothing waits on a peer that does not read."""
    raw = socket.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.shutdown(sockets.SHUT_RDWR)


class Link:
    """An established link."""

    def __init__(
        self, socket: Socket, peer: PublicKey, facts: LinkFacts, clock: Callable[[], float], traffic: Traffic
    ) -> None:
        self.peer = peer
        self.facts = facts
        self.since_s = clock()
        self.heard_s = self.since_s
        self.frames_in = 0
        self._clock = clock
        self._traffic = traffic
        self._is_dialler = facts.dialled_by != peer
        self._socket = socket
        self._queue = SendQueue()
        self._verdict: CloseCode | None = None
        self._closer: asyncio.Task[None] | None = None

    def send(self, message_type: type[object], raw: bytes) -> bool:
        """Queue one encoded message. False, and the link is dropped, when the peer reads too slowly."""
        if self._verdict is not None:
            return False
        if self._queue.try_put(KINDS[message_type].priority, raw):
            self._traffic.frames_out[message_type] += 1
            self._traffic.bytes_out[message_type] += len(raw)
            return True
        self.drop(CloseCode.SLOW)
        return False

    def drop(self, code: CloseCode) -> None:
        """End the link soon, for the reason given; the first reason stays."""
        if self._verdict is None:
            self._verdict = code
            self._closer = asyncio.ensure_future(close_socket(self._socket, code))

    def retire(self, successor: "Link", linger_s: float) -> None:
        """Hand over what waits and close a little later: the peer may still be sending on this one."""
        self._queue.move_into(successor._queue)
        self._closer = asyncio.ensure_future(self._close_later(linger_s))

    async def _close_later(self, linger_s: float) -> None:
        await asyncio.sleep(linger_s)
        await close_socket(self._socket, CloseCode.DUPLICATE)

    async def run(self, on_message: OnMessage) -> int:
        """Serve the link until it ends; returns the close code, ours when we ended it."""
        writer = asyncio.ensure_future(self._write())
        try:
            code = await self._read(on_message)
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            if self._closer is not None:
                self._closer.cancel()
                await asyncio.gather(self._closer, return_exceptions=True)
            await close_socket(self._socket, self._verdict or CloseCode.GOING_AWAY)
        return self._verdict or code

    async def _read(self, on_message: OnMessage) -> int:
        while True:
            try:
                frame: WSMessage = await self._socket.receive()
            except _GONE:
                return CloseCode.GOING_AWAY
            if frame.type is not WSMsgType.BINARY:
                return self._end_code(frame)
            self.heard_s = self._clock()
            self.frames_in += 1
            self._traffic.received += calculate_frame_bytes(len(frame.data), masked=not self._is_dialler)
            try:
                message = decode_frame(frame.data)
            except CodecError:
                self.drop(CloseCode.MALFORMED)
                return CloseCode.MALFORMED
            self._traffic.frames_in[type(message)] += 1
            self._traffic.bytes_in[type(message)] += len(frame.data)
            await on_message(self.peer, message)

    def _end_code(self, frame: WSMessage) -> int:
        if frame.type is WSMsgType.CLOSE:
            return int(frame.data or CloseCode.GOING_AWAY)
        # Text, and what the websocket layer itself refused (oversized, bad framing), is malformed; the rest has gone.
        if frame.type is WSMsgType.TEXT or isinstance(frame.data, WebSocketError):
            self.drop(CloseCode.MALFORMED)
            return CloseCode.MALFORMED
        return self._socket.close_code or CloseCode.GOING_AWAY

    async def _write(self) -> None:
        while True:
            await self._queue.wait_filled()
            raw = self._queue.pop()
            assert raw is not None, "filled"
            try:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._socket.send_bytes(raw)
            except TimeoutError:
                self.drop(CloseCode.SLOW)
                return
            except (ConnectionError, OSError, RuntimeError):
                return  # the reader sees the end too
            self._traffic.sent += calculate_frame_bytes(len(raw), masked=self._is_dialler)
