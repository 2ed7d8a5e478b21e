"""Strangers at a node's two ports: each attack goes on at a pace until it is cancelled, and counts what it was told.

They come from loopback addresses of their own, as strangers do, so that bounds per address are theirs alone. They hold
no member's key but the one whose recorded greeting is replayed. Nothing here reaches beyond loopback. Never a check.
"""

import asyncio
import io
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import aiohttp

from node.gossip.handshake import Greetings, Identity, Role, make_hello, make_proof
from node.gossip.tls import make_dialling_context
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import ChainId, Digest, PublicKey
from protocol.limits import FRAME_BYTES_MAX, SUBMIT_BODY_BYTES_MAX
from protocol.messages import Hello, decode_message

GOSSIP: Final = "/gossip"
GONE: Final = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError, asyncio.IncompleteReadError)
"""How a connection ends that a node refuses."""
PATIENCE_S: Final = 20.0
UPGRADE: Final = (
    b"GET /gossip HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Victim(NamedTuple):
    """A node as strangers know it."""

    gossip_port: int
    api_port: int
    chain_id: ChainId
    replayed: bytes
    """Seed of a member's node key, to make a greeting that was recorded earlier; it signs nothing fresh."""
    duplicate: bytes
    """Body of a submission that the node has executed already (msgpack)."""

    @property
    def api(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.api_port}"


class Attack(NamedTuple):
    """One way of being a nuisance."""

    strike: Callable[[Victim, "Stranger"], Awaitable[str]]
    """Do it once; what the node said: a close code, a status with its code, or how it ended the connection."""
    pace: int
    """Strikes begun per second."""
    at_once: int
    expected: frozenset[str]
    """What a node may say, of which each run must hear at least one."""


class Stranger:
    """One attacker with an address of its own."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.chance = random.Random(seed)
        self.said: Counter[str] = Counter()
        self.signer = KeySigner(self.chance.randbytes(32))

    async def run(self, victim: Victim, attack: Attack) -> None:
        """Strike at the attack's pace until cancelled."""
        under_way: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        try:
            while True:
                if len(under_way) < attack.at_once:
                    task = asyncio.create_task(self._strike(victim, attack))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                due_s = max(due_s + 1 / attack.pace, loop.time())
                await asyncio.sleep(due_s - loop.time())
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _strike(self, victim: Victim, attack: Attack) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                said = await attack.strike(victim, self)
        except GONE:
            said = "ended"
        self.said[said] += 1

    # ------------------------------------------------------------------ ways in

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """HTTP and websockets from this address."""
        connector = aiohttp.TCPConnector(local_addr=(self.address, 0), limit=0, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            yield session

    @asynccontextmanager
    async def socket(self, victim: Victim) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """An encrypted websocket on which nothing was said yet."""
        async with (
            self.session() as session,
            session.ws_connect(
                f"wss://127.0.0.1:{victim.gossip_port}{GOSSIP}",
                compress=0,
                max_msg_size=0,
                ssl=make_dialling_context(),
                timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
            ) as socket,
        ):
            yield socket

    async def connect(self, port: int, *, tls: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        context = make_dialling_context() if tls else None
        return await asyncio.open_connection("127.0.0.1", port, local_addr=(self.address, 0), ssl=context)


async def _read_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
    """How the node ends a connection on which it is told nothing more."""
    try:
        said = await reader.read(1 << 16)
        while said and await reader.read(1 << 16):
            pass
    finally:
        writer.transport.abort()
    return said.split(b"\r\n", 1)[0].decode("ascii", errors="replace") if said.startswith(b"HTTP/") else "ended"


async def _read_code(socket: aiohttp.ClientWebSocketResponse) -> str:
    """The code with which the node closes, whatever it says before."""
    while True:
        frame = await socket.receive()
        if frame.type is aiohttp.WSMsgType.CLOSE:
            return str(frame.data)
        if frame.type is not aiohttp.WSMsgType.BINARY:
            return "ended"


async def _ask(session: aiohttp.ClientSession, method: str, url: str, **more: Any) -> str:
    async with session.request(method, url, **more) as answer:
        said = await answer.json(content_type=None) if "json" in answer.content_type else {}
        return f"{answer.status} {said['code']}" if "code" in said else str(answer.status)


# ---------------------------------------------------------------------- at the door of peers


async def flood(victim: Victim, stranger: Stranger) -> str:
    """Open a connection and hold it, saying nothing."""
    return await _read_end(*await stranger.connect(victim.gossip_port, tls=False))


async def half_open(victim: Victim, stranger: Stranger) -> str:
    """Encrypt, ask for a websocket, and never greet."""
    reader, writer = await stranger.connect(victim.gossip_port, tls=True)
    writer.write(UPGRADE[: stranger.chance.choice((0, 20, len(UPGRADE)))])
    return await _read_end(reader, writer)


async def garbage(victim: Victim, stranger: Stranger) -> str:
    """Chance bytes, in TLS or instead of it."""
    reader, writer = await stranger.connect(victim.gossip_port, tls=stranger.chance.random() < 0.5)
    writer.write(stranger.chance.randbytes(stranger.chance.choice((1, 100, 10_000))))
    return await _read_end(reader, writer)


async def babble(victim: Victim, stranger: Stranger) -> str:
    """A frame that is no greeting."""
    async with stranger.socket(victim) as socket:
        await socket.send_bytes(stranger.chance.randbytes(stranger.chance.choice((1, 40, 4_000))))
        return await _read_code(socket)


async def oversize(victim: Victim, stranger: Stranger) -> str:
    """A frame larger than any that may be sent."""
    async with stranger.socket(victim) as socket:
        with suppress(ConnectionError):
            await socket.send_bytes(bytes(4 * FRAME_BYTES_MAX))
        return await _read_code(socket)


async def introduce(victim: Victim, stranger: Stranger) -> str:
    """A greeting that is well formed, of somebody whom nobody admitted."""
    return await _greet(victim, stranger, victim.chain_id, stranger.signer.public_key)


async def wrong_genesis(victim: Victim, stranger: Stranger) -> str:
    """A greeting of another network."""
    other = ChainId(stranger.chance.randbytes(32))
    return await _greet(victim, stranger, other, KeySigner(victim.replayed).public_key)


async def _greet(victim: Victim, stranger: Stranger, chain_id: ChainId, key: PublicKey) -> str:
    hello = make_hello(_identify(stranger, chain_id), Digest(bytes(32)))
    async with stranger.socket(victim) as socket:
        await socket.send_bytes(encode(Hello(**{**_fields(hello), "node_key": key})))
        return await _read_code(socket)


def _fields(hello: Hello) -> dict[str, Any]:
    return {name: getattr(hello, name) for name in Hello.__struct_fields__}


def _identify(stranger: Stranger, chain_id: ChainId, seed: bytes | None = None) -> Identity:
    signer = stranger.signer if seed is None else KeySigner(seed)
    return Identity(chain_id, signer, Digest(stranger.chance.randbytes(32)), "", {})


async def replay(victim: Victim, stranger: Stranger) -> str:
    """A member's greeting and proof, word for word as they were recorded from another link."""
    member = KeySigner(victim.replayed)
    identity = _identify(stranger, victim.chain_id, victim.replayed)
    own = make_hello(identity, Digest(bytes(32)))
    async with stranger.socket(victim) as socket:
        theirs = decode_message(await socket.receive_bytes())
        assert isinstance(theirs, Hello)
        earlier = Hello(**{**_fields(theirs), "challenge": bytes(32)})
        proof = make_proof(member, Role.DIALLER, Greetings(own, earlier, Digest(bytes(32))))
        await socket.send_bytes(encode(own))
        await socket.send_bytes(encode(proof))
        return await _read_code(socket)


# ---------------------------------------------------------------------- at the door of clients


async def dribble(victim: Victim, stranger: Stranger) -> str:
    """A request's head, a byte at a time."""
    reader, writer = await stranger.connect(victim.api_port, tls=False)
    ending = asyncio.ensure_future(_read_end(reader, writer))
    try:
        for byte in b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 10_000:
            writer.write(bytes([byte]))
            await asyncio.wait((ending,), timeout=0.2)
            if ending.done():
                break
        return await ending
    finally:
        ending.cancel()
        writer.transport.abort()


async def slow_body(victim: Victim, stranger: Stranger) -> str:
    """A body that is announced and comes a byte at a time."""
    reader, writer = await stranger.connect(victim.api_port, tls=False)
    ending = asyncio.ensure_future(_read_end(reader, writer))
    try:
        writer.write(
            b"POST /v1/transactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000\r\n\r\n"
        )
        while not ending.done():
            writer.write(b" ")
            await asyncio.wait((ending,), timeout=0.2)
        return await ending
    finally:
        ending.cancel()
        writer.transport.abort()


async def heavy_body(victim: Victim, stranger: Stranger) -> str:
    """A body beyond the limit, announced or in pieces without end."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(4 * SUBMIT_BODY_BYTES_MAX // 65_536):
            yield bytes(65_536)

    body: Any = io.BytesIO(bytes(SUBMIT_BODY_BYTES_MAX + 1)) if stranger.chance.random() < 0.5 else pieces()
    async with stranger.session() as session:
        head = {"Content-Type": "application/json"}
        return await _ask(session, "POST", victim.api + "/v1/transactions", data=body, headers=head)


async def junk(victim: Victim, stranger: Stranger) -> str:
    """Requests of every kind of nonsense."""
    chance = stranger.chance
    method = chance.choice(("GET", "POST", "PUT", "DELETE"))
    path = chance.choice(
        ("/v1/transactions", "/v1/blocks/-1", "/v1/accounts/x", "/v1/events?after=9", "/v1/\x7f", "/%00")
    )
    data = chance.choice((b"", b"{}", b"[" * 50_000, chance.randbytes(1_000)))
    kind = chance.choice(("application/json", "application/msgpack", "text/plain"))
    async with stranger.session() as session:
        return await _ask(session, method, victim.api + path, data=data, headers={"Content-Type": kind})


async def repeat(victim: Victim, stranger: Stranger) -> str:
    """What was executed long ago, again."""
    async with stranger.session() as session:
        head = {"Content-Type": "application/msgpack"}
        return await _ask(session, "POST", victim.api + "/v1/transactions", data=victim.duplicate, headers=head)


async def deaf(victim: Victim, stranger: Stranger) -> str:
    """Subscribe to all events and read none of them."""
    reader, writer = await stranger.connect(victim.api_port, tls=False)
    try:
        writer.write(b"GET /v1/events?after=0-0 HTTP/1.1\r\nHost: x\r\n\r\n")
        said = await reader.read(12)
        await asyncio.sleep(2)
        return said.decode("ascii", errors="replace")
    finally:
        writer.transport.abort()


def _expect(*said: str) -> frozenset[str]:
    return frozenset(said)


_HTTP_REFUSED: Final = ("HTTP/1.0 400 Bad Request", "HTTP/1.1 400 Bad Request")

ATTACKS: Final[dict[str, Attack]] = {
    "flood": Attack(flood, 40, 400, _expect("ended")),
    "half_open": Attack(half_open, 20, 100, _expect("ended", "4408", "HTTP/1.1 101 Switching Protocols")),
    "garbage": Attack(garbage, 40, 40, _expect("ended", *_HTTP_REFUSED)),
    "babble": Attack(babble, 20, 20, _expect("4400", "ended")),
    "oversize": Attack(oversize, 4, 4, _expect("4400", "1009", "ended")),
    "introduce": Attack(introduce, 20, 20, _expect("4403", "ended")),
    "wrong_genesis": Attack(wrong_genesis, 20, 20, _expect("4450", "ended")),
    "replay": Attack(replay, 20, 20, _expect("4401", "ended")),
    "dribble": Attack(dribble, 20, 60, _expect("ended", *_HTTP_REFUSED, "HTTP/1.1 408 Request Timeout")),
    "slow_body": Attack(slow_body, 10, 40, _expect("ended", "HTTP/1.1 408 Request Timeout")),
    "heavy_body": Attack(heavy_body, 10, 4, _expect("413 too_large", "ended")),
    "junk": Attack(
        junk,
        40,
        20,
        _expect(
            "400 malformed_request", "400 malformed_id", "404 not_found", "405 method_not_allowed",
            "415 unsupported_media", "410 history_pruned", "200", "ended", "400",
        ),
    ),
    "repeat": Attack(repeat, 40, 20, _expect("200", "202", "429 busy", "503 busy", "429 rate_limited", "ended")),
    "deaf": Attack(deaf, 10, 40, _expect("HTTP/1.1 200", "ended")),
}  # fmt: skip
