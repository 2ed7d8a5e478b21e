"""The full mesh: listens, dials every configured peer, keeps one link per peer, and passes messages on.

Everything a peer can do wrong ends here as a closed link, a count and a longer wait. Never interpret a message here.
"""

import asyncio
import contextlib
import errno
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import aiohttp
from aiohttp import web

from node.config import PeerAddress
from node.gossip.backoff import Backoff
from node.gossip.frames import FRAME_LIMIT, KINDS, Rates
from node.gossip.guests import SHARE, STATUS_EVERY_S, Guests, make_fit
from node.gossip.handshake import Choice, CloseCode, Identity, check_key_use, choose_link, make_key_use
from node.gossip.link import (
    HEARTBEAT_S,
    Greeted,
    Link,
    RefusedError,
    Socket,
    Traffic,
    close_socket,
    greet,
    hear_key_use,
)
from node.gossip.tls import (
    TLS_HANDSHAKE_TIMEOUT_S,
    TLS_SHUTDOWN_TIMEOUT_S,
    Credentials,
    find_shown_certificate,
    make_credentials,
)
from node.listening import Bounds, Listener, Tls
from node.telemetry import get_logger
from protocol.codec import encode
from protocol.ids import Digest, PublicKey
from protocol.messages import GetKeyUse, KeyUse, Message

PATH: Final = "/gossip"
CONNECT_TIMEOUT_S: Final = 5.0
LINGER_S: Final = 1.0
PROBE_S: Final = 2.5  # a live peer answers at once; one that is stalled by its disk within this
INTRODUCTION_S: Final = 1.0
PENALTY_S: Final = 5.0
PENALTIES_MAX: Final = 2_048  # remembered, before those that have ended are forgotten
BANNED_LOOK_S: Final = 0.5
HANDSHAKES_MAX: Final = 64
HANDSHAKES_PER_ADDRESS_MAX: Final = 32  # so that one address cannot take every place
BOUNDS: Final = Bounds(connections=512, per_address=128, idle_s=5.0, arrivals_per_s=20, arrivals_at_once=200)
"""A network of 32 on one machine has one address, and each pair may dial crosswise."""
HIGHER_KEY_WAITS_S: Final = 0.5  # so that crossing dials are rare

_CAUSES = frozenset({CloseCode.MALFORMED, CloseCode.UNPROVEN, CloseCode.SLOW})
"""A peer's faults, which earn it a pause."""
_REFUSALS = frozenset(
    {
        CloseCode.WRONG_CHAIN,
        CloseCode.WRONG_VERSION,
        CloseCode.STRANGER,
        CloseCode.UNPROVEN,
        CloseCode.PENALTY,
        CloseCode.KEY_IN_USE,
        CloseCode.SELF,
    }
)
"""Answers that dialling again at once will not change."""


class GossipError(Exception):
    """The mesh cannot be served; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Handler(Protocol):
    """What the node does with what peers say."""

    async def on_message(self, peer: PublicKey, message: Message) -> None:
        """A message of an authenticated peer; the peer's next one waits until this returns."""

    def on_link_up(self, peer: PublicKey) -> None:
        """A peer can be reached."""

    def on_link_down(self, peer: PublicKey) -> None:
        """A peer can no longer be reached."""

    def on_guest(self, peer: PublicKey) -> None:
        """A node that only reads wants to hear where we stand."""

    def on_key_in_use(self) -> None:
        """It is proven that another live process uses our node key."""


class LinkStatus(NamedTuple):
    """A member as this node sees it."""

    name: str
    connected: bool
    silent_ms: int


class Gossip:
    """The mesh of one node: `start`, then `run` until cancelled, then `stop`."""

    def __init__(self, identity: Identity, peers: Sequence[PeerAddress]) -> None:
        self._identity = identity
        self._own = identity.signer.public_key
        self._peers = peers
        self._configured = {PublicKey(bytes.fromhex(one.node_key)): one.name for one in peers}
        self._handler: Handler
        self._links: dict[PublicKey, Link] = {}
        self._heard_s: dict[PublicKey, float] = {}
        self._penalty_until_s: dict[PublicKey, float] = {}
        self._released: dict[PublicKey, asyncio.Event] = {}
        self._probes: dict[PublicKey, tuple[Digest, asyncio.Future[KeyUse | None]]] = {}
        """By key that two processes proved: the newcomer's instance, and the word of the one held."""
        self._rates: dict[PublicKey, Rates] = {}
        self.guests = Guests(is_open=identity.is_open)
        self._fault: asyncio.Future[None] | None = None
        self._listener: Listener | None = None
        self._session: aiohttp.ClientSession | None = None
        self._greeting = 0
        self._greeting_from: Counter[str] = Counter()
        self._stopping = False
        self._credentials: Credentials
        self._log = get_logger("gossip")
        self.closed: Counter[str] = Counter()
        """How many links ended, by the name of the close code; for metrics."""
        self.unheard = 0
        """How many messages were beyond their peer's rate and dropped."""
        self.traffic = Traffic()

    async def start(self, handler: Handler, host: str, port: int) -> int:
        """Listen, and tell `handler` what peers say; returns the port. Raises GossipError."""
        self._handler = handler
        self._fault = asyncio.get_running_loop().create_future()
        app = web.Application()
        app.router.add_get(PATH, self._accept)
        self._credentials = make_credentials()
        tls = Tls(self._credentials.listening, TLS_HANDSHAKE_TIMEOUT_S, TLS_SHUTDOWN_TIMEOUT_S)
        listener = Listener(app, BOUNDS, _read_steady_ms, tls=tls)
        try:
            bound = await listener.start(host, port)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise GossipError(
                    "port_in_use",
                    f"Port {port} on {host} is in use: stop the other program, or set another listen_port.",
                ) from error
            raise GossipError(
                "address_unusable",
                f"Cannot listen on {host}:{port} ({error.strerror}): set listen_host and listen_port.",
            ) from error
        self._listener = listener
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
        connector = aiohttp.TCPConnector(ssl=self._credentials.dialling)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        return bound

    async def run(self) -> None:
        """Keep links to all peers until cancelled. Raises the first own fault met while handling a message."""
        assert self._fault is not None, "started"
        async with asyncio.TaskGroup() as group:
            group.create_task(self._raise_fault(self._fault))
            for peer in self._peers:
                key = PublicKey(bytes.fromhex(peer.node_key))
                if key != self._own:
                    group.create_task(self._dial(peer, key))

    async def _raise_fault(self, fault: asyncio.Future[None]) -> None:
        await fault

    async def stop(self) -> None:
        """Close every link and the port."""
        self._stopping = True
        for link in (*self._links.values(), *self.guests.links.values()):
            link.drop(CloseCode.GOING_AWAY)
        if self._session is not None:
            await self._session.close()
        if self._listener is not None:
            await self._listener.close()

    # ------------------------------------------------------------------ sending

    def send(self, peer: PublicKey, message: Message) -> bool:
        """Queue a message for one peer; False when it cannot be reached (or was just dropped as too slow)."""
        if (link := self._links.get(peer)) is not None:
            return link.send(type(message), encode(message))
        guest = self.guests.links.get(peer)
        return guest is not None and guest.send(type(message), encode(make_fit(message)))

    def broadcast(self, message: Message, peers: Sequence[PublicKey]) -> int:
        """Queue a message for each reachable peer of `peers`; encoded once. Returns how many."""
        raw, kind = encode(message), type(message)
        reached = 0
        for peer in peers:
            link = self._links.get(peer)
            if link is not None and link.send(kind, raw):
                reached += 1
        return reached

    def ban(self, peer: PublicKey, seconds: float) -> None:
        """End the link to a peer, take none for a while, and dial it as little."""
        self._penalise(peer, seconds)
        for links in (self._links, self.guests.links):
            if (link := links.get(peer)) is not None:
                link.drop(CloseCode.PENALTY)

    def unban(self, peer: PublicKey) -> None:
        """Take links from a peer again."""
        self._penalty_until_s.pop(peer, None)

    def is_banned(self, peer: PublicKey) -> bool:
        """Whether no link to this peer is taken now."""
        return self._penalty_until_s.get(peer, 0.0) > time.monotonic()

    def _penalise(self, peer: PublicKey, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        self._penalty_until_s[peer] = max(until_s, self._penalty_until_s.get(peer, until_s))
        if len(self._penalty_until_s) > PENALTIES_MAX:
            now_s = time.monotonic()
            self._penalty_until_s = {key: end_s for key, end_s in self._penalty_until_s.items() if end_s > now_s}

    def get_connected(self) -> tuple[PublicKey, ...]:
        """Peers that can be reached, in order of key."""
        return tuple(sorted(self._links))

    @property
    def turned_away(self) -> tuple[int, int]:
        """Connections refused at the port, and those that brought no sound request."""
        keeper = self._listener.keeper if self._listener is not None else None
        return (0, 0) if keeper is None else (keeper.refused, keeper.malformed)

    def is_connected(self, peer: PublicKey) -> bool:
        """Whether a peer can be reached."""
        return peer in self._links

    def get_name(self, peer: PublicKey) -> str:
        """The member's name."""
        return self._identity.members.get(peer) or self._configured.get(peer) or peer.hex()[:16]

    def get_status(self, peer: PublicKey) -> LinkStatus:
        """How a member looks from here; silence is -1 when nothing was ever heard."""
        link = self._links.get(peer)
        heard_s = link.heard_s if link is not None else self._heard_s.get(peer)
        silent_ms = -1 if heard_s is None else int((time.monotonic() - heard_s) * 1000)
        return LinkStatus(self.get_name(peer), link is not None, silent_ms)

    # ------------------------------------------------------------------ links

    def on_members_changed(self) -> None:
        """Part from those that are members no more, unless the settings name them."""
        for peer, link in list(self._links.items()):
            if not self._is_member(peer):
                link.drop(CloseCode.STRANGER)
        for guest, link in list(self.guests.links.items()):
            if guest in self._identity.members:
                link.drop(CloseCode.GOING_AWAY)  # it comes again, as a member

    async def _dial(self, peer: PeerAddress, key: PublicKey) -> None:
        backoff = Backoff(random.random)
        if self._own > key:
            await asyncio.sleep(HIGHER_KEY_WAITS_S)
        while not self._stopping:
            if key in self._links:
                released = self._released.setdefault(key, asyncio.Event())
                released.clear()
                await released.wait()
            elif self.is_banned(key):
                backoff = Backoff(random.random)  # what came before the ban does not count after it
                await asyncio.sleep(BANNED_LOOK_S)
            else:
                began_s = time.monotonic()
                code = await self._dial_once(peer, key)
                if code in _REFUSALS:
                    self._log.warning("peer_refused", peer=peer.name, reason=_name(code))
                lived_s = time.monotonic() - began_s
                backoff.on_link_ended(lived_s, refused=code in _CAUSES or code in _REFUSALS)
            if key not in self._links and not self.is_banned(key):
                await asyncio.sleep(backoff.next_s())

    async def _dial_once(self, peer: PeerAddress, key: PublicKey) -> int:
        assert self._session is not None, "started"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                socket = await self._session.ws_connect(
                    peer.url,
                    compress=0,
                    heartbeat=HEARTBEAT_S,
                    max_msg_size=FRAME_LIMIT + 1,
                    timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
                )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError):
            return CloseCode.GOING_AWAY
        shown = find_shown_certificate(socket.get_extra_info("ssl_object"))
        try:
            return CloseCode.UNPROVEN if shown is None else await self._serve(socket, shown, key)
        finally:
            await close_socket(socket, CloseCode.GOING_AWAY)

    async def _accept(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(
            compress=False, heartbeat=HEARTBEAT_S, max_msg_size=FRAME_LIMIT + 1, timeout=1.0, decode_text=True
        )
        address = request.remote or ""
        is_full = self._greeting >= HANDSHAKES_MAX or self._greeting_from[address] >= HANDSHAKES_PER_ADDRESS_MAX
        if self._stopping or is_full or not socket.can_prepare(request).ok:
            return web.Response(status=503 if self._stopping or is_full else 426)
        try:
            await socket.prepare(request)
        except (ConnectionError, web.HTTPException):
            return web.Response(status=400)  # the peer left during the upgrade: nobody hears this
        try:
            await self._serve(socket, self._credentials.certificate, None, address)
        except ConnectionError:
            pass  # the peer has gone
        except Exception as error:  # our own fault: the node must stop and say so, the web server would only log it
            if self._fault is not None and not self._fault.done():
                self._fault.set_exception(error)
        return socket

    async def _serve(self, socket: Socket, certificate: Digest, expected: PublicKey | None, address: str = "") -> int:
        """Greet, settle which link to keep, and serve it; returns the close code. `address` of one that dialled us."""
        self._greeting += 1
        self._greeting_from[address] += bool(address)
        try:
            greeted = await greet(socket, self._identity, certificate, expected, is_barred=self.is_banned)
            await self._settle(greeted, socket)
        except RefusedError as refused:
            self.closed[_name(refused.code)] += 1
            if not refused.theirs:
                await close_socket(socket, refused.code)
            return refused.code
        finally:
            self._greeting -= 1
            self._greeting_from[address] -= bool(address)
            self._greeting_from += Counter()  # drops what is nought
        link = Link(socket, greeted.peer, greeted.facts, time.monotonic, self.traffic)
        return await (self._serve_link(link) if self._is_member(link.peer) else self._serve_guest(link))

    def _is_member(self, peer: PublicKey) -> bool:
        return peer in self._identity.members or peer in self._configured

    async def _settle(self, greeted: Greeted, socket: Socket) -> None:
        """Return when the fresh link may take its place. Raises RefusedError."""
        peer = greeted.peer
        if peer == self._own:
            self._handler.on_key_in_use()
            with contextlib.suppress(ConnectionError, OSError, RuntimeError):
                await socket.send_bytes(encode(make_key_use(self._identity, greeted.facts.instance)))
            raise RefusedError(CloseCode.KEY_IN_USE)
        if self.is_banned(peer):
            raise RefusedError(CloseCode.PENALTY)
        if not self._is_member(peer) and not self.guests.has_room(peer):
            raise RefusedError(CloseCode.FULL)
        held = self._links.get(peer)
        choice = choose_link(self._own, peer, None if held is None else held.facts, greeted.facts)
        if choice is Choice.KEEP_HELD:
            raise RefusedError(CloseCode.DUPLICATE)
        if choice is Choice.PROBE_HELD and held is not None:
            word = await self._probe(held, greeted.facts.instance)
            if word is not None:
                self._log.warning("peer_key_used_twice", peer=self.get_name(peer))
                await self._introduce(held, socket, greeted.facts.instance, word)
                raise RefusedError(CloseCode.KEY_IN_USE)

    async def _probe(self, held: Link, newcomer: Digest) -> KeyUse | None:
        """What the held process says to a newcomer with its key; None, and its link is dropped, when it is dead."""
        if held.peer in self._probes:
            raise RefusedError(CloseCode.DUPLICATE)  # one newcomer at a time; this one dials again
        word: asyncio.Future[KeyUse | None] = asyncio.get_running_loop().create_future()
        self._probes[held.peer] = newcomer, word
        try:
            async with asyncio.timeout(PROBE_S):
                held.send(GetKeyUse, encode(GetKeyUse(other=newcomer)))
                return await word
        except TimeoutError:
            held.drop(CloseCode.TIMEOUT)
            return None
        finally:
            del self._probes[held.peer]

    async def _introduce(self, held: Link, socket: Socket, newcomer: Digest, word: KeyUse) -> None:
        """Tell two live processes of one key of each other: each hears the other's own signed word, none hears ours."""
        try:
            async with asyncio.timeout(INTRODUCTION_S):
                await socket.send_bytes(encode(word))
                await socket.send_bytes(encode(GetKeyUse(other=held.facts.instance)))
                answer = await hear_key_use(socket)
        except (ConnectionError, OSError, RuntimeError, TimeoutError):
            return
        if answer is not None and check_key_use(self._identity.chain_id, answer, held.peer, held.facts.instance):
            held.send(KeyUse, encode(answer))

    async def _serve_guest(self, link: Link) -> int:
        """Let one read that belongs to no member, and tell it again and again where we stand."""
        peer, held = link.peer, self.guests.links.get(link.peer)
        if held is not None:
            held.drop(CloseCode.DUPLICATE)
        self.guests.links[peer] = link
        self._log.info("guest_connected", peer=peer.hex()[:16])
        telling = asyncio.ensure_future(self._tell_guest(link))
        code: int = CloseCode.GOING_AWAY
        try:
            code = await link.run(self._on_guest_message)
        finally:
            telling.cancel()
            self.closed[_name(code)] += 1
            if code in _CAUSES:
                self._penalise(peer, PENALTY_S)
            if self.guests.links.get(peer) is link:
                del self.guests.links[peer]
                self._rates.pop(peer, None)  # guests come under ever new keys
                self._log.info("guest_disconnected", peer=peer.hex()[:16], reason=_name(code))
        return code

    async def _tell_guest(self, link: Link) -> None:
        while True:
            self._handler.on_guest(link.peer)
            await asyncio.sleep(STATUS_EVERY_S)

    async def _on_guest_message(self, peer: PublicKey, message: Message) -> None:
        if self.guests.takes(message) and peer in self.guests.links:
            await self._on_message(peer, message, share=SHARE)
        else:
            self.unheard += 1

    async def _on_message(self, peer: PublicKey, message: Message, share: int = 1) -> None:
        """Hand a message on, at its peer's rate: beyond it the peer waits, or is not heard."""
        kind = type(message)
        rates = self._rates.setdefault(peer, Rates(_read_steady_ms, share=share))
        while wait_ms := rates.take(kind):
            if KINDS[kind].is_dropped:
                self.unheard += 1
                return
            await asyncio.sleep(wait_ms / 1000)
        if isinstance(message, KeyUse):
            self._on_key_use(peer, message)
        elif not isinstance(message, GetKeyUse):
            await self._handler.on_message(peer, message)
        elif message.other != self._identity.instance:
            self.send(peer, make_key_use(self._identity, Digest(message.other)))

    def _on_key_use(self, peer: PublicKey, use: KeyUse) -> None:
        """The word of another process with our key, or a peer's word to another process with its key."""
        if check_key_use(self._identity.chain_id, use, self._own, self._identity.instance):
            self._handler.on_key_in_use()
            return
        newcomer, word = self._probes.get(peer, (None, None))
        if newcomer is None or word is None or word.done():
            return
        if check_key_use(self._identity.chain_id, use, peer, newcomer):
            word.set_result(use)

    async def _serve_link(self, link: Link) -> int:
        peer = link.peer
        held = self._links.get(peer)
        self._links[peer] = link
        if held is None:
            self._log.info("peer_connected", peer=self.get_name(peer))
            self._handler.on_link_up(peer)
        else:
            held.retire(link, LINGER_S)
        code: int = CloseCode.GOING_AWAY
        try:
            code = await link.run(self._on_message)
        finally:
            self.closed[_name(code)] += 1
            self._heard_s[peer] = link.heard_s
            if code in _CAUSES:
                self._penalise(peer, PENALTY_S)
            if self._links.get(peer) is link:
                del self._links[peer]
                if peer in self._probes and not self._probes[peer][1].done():
                    self._probes[peer][1].set_result(None)
                self._log.info("peer_disconnected", peer=self.get_name(peer), reason=_name(code))
                self._handler.on_link_down(peer)
                if (released := self._released.get(peer)) is not None:
                    released.set()
        return code


def _read_steady_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _name(code: int) -> str:
    return CloseCode(code).name.lower() if code in CloseCode._value2member_map_ else "other"
