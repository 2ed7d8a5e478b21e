"""Real websockets on loopback: greeting, refusal, malformed frames, slow and dead peers, reconnection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256

import aiohttp
import msgspec
import pytest

from node.config import PeerAddress
from node.gossip.frames import KINDS
from node.gossip.handshake import (
    CloseCode,
    Greetings,
    Identity,
    Role,
    check_key_use,
    make_hello,
    make_key_use,
    make_proof,
)
from node.gossip.network import PATH, Gossip, GossipError
from node.gossip.tls import find_shown_certificate, make_dialling_context
from node.setup import find_free_ports
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import BatchDigest, ChainId, Digest, PublicKey
from protocol.limits import FRAME_BYTES_MAX
from protocol.messages import GetBatch, GetKeyUse, Hello, HelloProof, KeyUse, Message, decode_message

CHAIN = ChainId(sha256(b"chain").digest())
SIGNERS = sorted((KeySigner(bytes([one]) * 32) for one in range(1, 5)), key=lambda one: one.public_key)
MEMBERS = {one.public_key: f"node-{i}" for i, one in enumerate(SIGNERS)}
QUESTION = GetBatch(digest=BatchDigest(bytes(32)))


class Recorder:
    """A handler that remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[PublicKey, Message]] = []
        self.up: list[PublicKey] = []
        self.down: list[PublicKey] = []
        self.guests: list[PublicKey] = []
        self.key_in_use = 0
        self.fault: Exception | None = None

    async def on_message(self, peer: PublicKey, message: Message) -> None:
        if self.fault is not None:
            raise self.fault
        self.heard.append((peer, message))

    def on_link_up(self, peer: PublicKey) -> None:
        self.up.append(peer)

    def on_link_down(self, peer: PublicKey) -> None:
        self.down.append(peer)

    def on_guest(self, peer: PublicKey) -> None:
        self.guests.append(peer)

    def on_key_in_use(self) -> None:
        self.key_in_use += 1


class Station:
    """One running mesh node."""

    def __init__(self, gossip: Gossip, handler: Recorder, task: asyncio.Task[None], port: int) -> None:
        self.gossip, self.handler, self.task, self.port = gossip, handler, task, port


def make_identity(index: int, chain: ChainId = CHAIN, instance: int = 0) -> Identity:
    """Member `index`, in its `instance`-th life."""
    return Identity(chain, SIGNERS[index], Digest(bytes([instance, index]) + bytes(30)), "", MEMBERS)


@asynccontextmanager
async def station(
    index: int, ports: dict[int, int], *, chain: ChainId = CHAIN, instance: int = 0, listen: int = 0
) -> AsyncIterator[Station]:
    """Node `index`, dialling the members whose ports are given."""
    peers = [
        PeerAddress(name=f"node-{i}", node_key=SIGNERS[i].public_key.hex(), url=f"wss://127.0.0.1:{port}{PATH}")
        for i, port in ports.items()
    ]
    handler = Recorder()
    gossip = Gossip(make_identity(index, chain, instance), peers)
    port = await gossip.start(handler, "127.0.0.1", listen)
    task = asyncio.create_task(gossip.run())
    try:
        yield Station(gossip, handler, task, port)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gossip.stop()


async def until(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    """Wait for a condition; fails the test when it does not come true in time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (conditions over foreign state have no event)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def raw_socket(port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A websocket without any greeting of ours."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"wss://127.0.0.1:{port}{PATH}", compress=0, max_msg_size=0, ssl=make_dialling_context()
        ) as socket,
    ):
        yield socket


async def greet_alone(socket: aiohttp.ClientWebSocketResponse, own: Hello) -> Greetings:
    """Say hello; what there is to be signed."""
    await socket.send_bytes(encode(own))
    theirs = decode_message(await socket.receive_bytes())
    assert isinstance(theirs, Hello)
    shown = find_shown_certificate(socket.get_extra_info("ssl_object"))
    assert shown is not None
    return Greetings(own, theirs, shown)


async def greet_by_hand(socket: aiohttp.ClientWebSocketResponse, index: int, instance: int = 0) -> None:
    """Say and prove a member's identity frame by frame."""
    own = make_hello(make_identity(index, instance=instance), Digest(bytes(32)))
    said = await greet_alone(socket, own)
    await socket.send_bytes(encode(make_proof(SIGNERS[index], Role.DIALLER, said)))
    await socket.receive_bytes()


async def read_close_code(socket: aiohttp.ClientWebSocketResponse, timeout_s: float = 5.0) -> int:
    """The code the node closes with, whatever it says before."""
    async with asyncio.timeout(timeout_s):
        while True:
            frame = await socket.receive()
            if frame.type is aiohttp.WSMsgType.CLOSE:
                return int(frame.data)
            assert frame.type is aiohttp.WSMsgType.BINARY, frame


async def test_two_members_meet_whoever_dials_and_messages_arrive() -> None:
    """Both ends configure each other; one link remains and carries messages both ways, in order."""
    ports = find_free_ports(2)
    async with (
        station(0, {1: ports[1]}, listen=ports[0]) as low,
        station(1, {0: ports[0]}, listen=ports[1]) as high,
    ):
        await until(lambda: bool(low.gossip.get_connected() and high.gossip.get_connected()))
        await asyncio.sleep(1.2)  # crossing dials have been settled by now
        assert (len(low.handler.up), len(high.handler.up)) == (1, 1)
        for i in range(100):
            message = GetBatch(digest=BatchDigest(bytes([i]) * 32))
            assert low.gossip.send(SIGNERS[1].public_key, message)
            assert high.gossip.broadcast(message, list(MEMBERS)) == 1
        await until(lambda: len(low.handler.heard) == len(high.handler.heard) == 100)
        assert [one.digest[0] for _, one in low.handler.heard if isinstance(one, GetBatch)] == list(range(100))
        assert {peer for peer, _ in low.handler.heard} == {SIGNERS[1].public_key}


async def test_a_node_that_comes_back_is_found_again() -> None:
    """A restarted peer, in a new life on the same port, is linked within the back-off."""
    ports = find_free_ports(2)
    async with station(0, {1: ports[1]}, listen=ports[0]) as low:
        async with station(1, {0: ports[0]}, listen=ports[1]):
            await until(lambda: low.gossip.is_connected(SIGNERS[1].public_key))
        await until(lambda: not low.gossip.is_connected(SIGNERS[1].public_key))
        async with station(1, {0: ports[0]}, listen=ports[1], instance=1):
            await until(lambda: low.gossip.is_connected(SIGNERS[1].public_key))
        assert len(low.handler.up) == 2


async def _say_nothing_useful(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(b"\xc1garbage")


async def _say_text(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_str("hello")


async def _be_a_stranger(socket: aiohttp.ClientWebSocketResponse) -> None:
    stranger = make_identity(0)._replace(signer=KeySigner(b"\x63" * 32))
    await socket.send_bytes(encode(make_hello(stranger, Digest(bytes(32)))))


async def _be_of_another_chain(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(encode(make_hello(make_identity(1, ChainId(bytes(32))), Digest(bytes(32)))))


async def _prove_with_another_key(socket: aiohttp.ClientWebSocketResponse) -> None:
    own = make_hello(make_identity(1), Digest(bytes(32)))
    said = await greet_alone(socket, own)
    await socket.send_bytes(encode(make_proof(SIGNERS[2], Role.DIALLER, said)))


async def _speak_before_greeting(socket: aiohttp.ClientWebSocketResponse) -> None:
    await socket.send_bytes(encode(QUESTION))


@pytest.mark.parametrize(
    ("misbehave", "code"),
    [
        (_say_nothing_useful, CloseCode.MALFORMED),
        (_say_text, CloseCode.MALFORMED),
        (_be_a_stranger, CloseCode.STRANGER),
        (_be_of_another_chain, CloseCode.WRONG_CHAIN),
        (_prove_with_another_key, CloseCode.UNPROVEN),
        (_speak_before_greeting, CloseCode.MALFORMED),
    ],
)
async def test_who_does_not_greet_rightly_is_told_why_and_counted(
    misbehave: Callable[[aiohttp.ClientWebSocketResponse], Awaitable[None]], code: CloseCode
) -> None:
    """Every wrong greeting ends in its own close code; nobody is linked and nothing reaches the handler."""
    async with station(0, {}) as node, raw_socket(node.port) as socket:
        await misbehave(socket)
        assert await read_close_code(socket) == code
        assert node.gossip.closed[code.name.lower()] == 1
        assert (node.handler.up, node.handler.heard) == ([], [])


async def test_a_caller_that_claims_our_own_key_gets_no_proof_to_send_back_and_silences_nobody() -> None:
    """The listener proves last, and a proof in its own role is not one of the dialler: only the key itself is proof."""
    async with station(0, {}) as node:
        for signer, role in ((SIGNERS[0], Role.LISTENER), (SIGNERS[1], Role.DIALLER)):
            async with raw_socket(node.port) as socket:
                own = make_hello(make_identity(0, instance=7), Digest(bytes(32)))
                said = await greet_alone(socket, own)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.2):
                        await socket.receive()
            async with raw_socket(node.port) as socket:
                said = await greet_alone(socket, own)
                await socket.send_bytes(encode(make_proof(signer, role, said)))
                assert await read_close_code(socket) == CloseCode.UNPROVEN
        assert node.handler.key_in_use == 0
        async with raw_socket(node.port) as socket:  # whoever does hold the key is believed
            own = make_hello(make_identity(0, instance=7), Digest(bytes(32)))
            said = await greet_alone(socket, own)
            await socket.send_bytes(encode(make_proof(SIGNERS[0], Role.DIALLER, said)))
            assert isinstance(decode_message(await socket.receive_bytes()), HelloProof)
            word = decode_message(await socket.receive_bytes())
            assert isinstance(word, KeyUse)
            assert check_key_use(CHAIN, word, SIGNERS[0].public_key, Digest(own.instance))
            assert await read_close_code(socket) == CloseCode.KEY_IN_USE
        assert node.handler.key_in_use == 1


async def test_talk_of_keys_costs_a_peer_that_floods_no_more_than_a_few_signatures() -> None:
    """Each question is answered with a signature; a flood of them is not."""
    async with station(0, {}) as node, raw_socket(node.port) as socket:
        await greet_by_hand(socket, 1)
        for i in range(1, 201):  # 0 would be the node itself
            await socket.send_bytes(encode(GetKeyUse(other=Digest(i.to_bytes(32, "big")))))
        await socket.send_bytes(encode(QUESTION))
        await until(lambda: len(node.handler.heard) == 1)
        node.gossip.send(SIGNERS[1].public_key, QUESTION)
        answers = 0
        while not isinstance(decode_message(await socket.receive_bytes()), GetBatch):
            answers += 1
        bound = KINDS[GetKeyUse].at_once
        assert bound <= answers <= bound + 10
        assert node.gossip.unheard == 200 - answers


async def test_who_is_a_member_no_more_is_parted_from_unless_the_settings_name_it() -> None:
    """Members come and go while links stand: a link ends with the membership, and a member that is new may link."""
    members = dict(MEMBERS)
    gone, kept = SIGNERS[1].public_key, SIGNERS[2].public_key
    ports = find_free_ports(1)
    async with station(0, {2: ports[0]}) as node, station(2, {}, listen=ports[0]):
        node.gossip._identity = node.gossip._identity._replace(members=members)
        async with raw_socket(node.port) as socket:
            await greet_by_hand(socket, 1)
            await until(lambda: len(node.gossip.get_connected()) == 2)
            del members[gone], members[kept]
            node.gossip.on_members_changed()
            assert await read_close_code(socket) == CloseCode.STRANGER
            await until(lambda: node.gossip.get_connected() == (kept,))
        async with raw_socket(node.port) as socket:
            await socket.send_bytes(encode(make_hello(make_identity(1), Digest(bytes(32)))))
            assert await read_close_code(socket) == CloseCode.STRANGER
        members[gone] = "again"
        async with raw_socket(node.port) as socket:
            await greet_by_hand(socket, 1)
            await until(lambda: gone in node.gossip.get_connected())


@pytest.mark.parametrize("frame", [b"\xc1", b"\x92\x0c", bytes(FRAME_BYTES_MAX + 1), encode(QUESTION) + b"\x00"])
async def test_a_malformed_frame_ends_the_link_and_earns_a_pause(frame: bytes) -> None:
    """Garbage, a truncated message, an oversized frame, trailing bytes: closed, counted, refused for a while."""
    async with station(0, {}) as node:
        async with raw_socket(node.port) as socket:
            await greet_by_hand(socket, 1)
            await socket.send_bytes(encode(QUESTION))
            await until(lambda: len(node.handler.heard) == 1)
            await socket.send_bytes(frame)
            assert await read_close_code(socket) == CloseCode.MALFORMED
        await until(lambda: not node.gossip.get_connected())
        async with raw_socket(node.port) as socket:
            await greet_alone(socket, make_hello(make_identity(1), Digest(bytes(32))))
            assert await read_close_code(socket) == CloseCode.PENALTY
        assert not node.task.done()
        assert node.handler.down == [SIGNERS[1].public_key]


async def test_a_frame_beyond_every_limit_is_refused_by_the_websocket_layer() -> None:
    """Eight mebibytes are never assembled in memory; the link ends and the node goes on."""
    async with station(0, {}) as node, raw_socket(node.port) as socket:
        await greet_by_hand(socket, 1)
        await until(lambda: bool(node.gossip.get_connected()))
        with contextlib.suppress(ConnectionError):  # the node hangs up before it has all of it
            await socket.send_bytes(bytes(8 * 1024 * 1024))
        await until(lambda: not node.gossip.get_connected())
        assert node.gossip.closed["malformed"] == 1
        assert not node.task.done()


async def test_a_peer_that_does_not_read_is_dropped_and_others_do_not_wait() -> None:
    """A full queue ends the slow peer's link at once; sending to it never blocks."""
    async with station(0, {}) as node, raw_socket(node.port) as slow, raw_socket(node.port) as good:
        await greet_by_hand(slow, 1)
        await greet_by_hand(good, 2)
        await until(lambda: len(node.gossip.get_connected()) == 2)
        key = SIGNERS[1].public_key
        sent = 0
        while node.gossip.send(key, QUESTION):
            sent += 1
            assert sent < 100_000
        assert node.gossip.send(SIGNERS[2].public_key, QUESTION)
        assert decode_message(await good.receive_bytes()) == QUESTION
        await until(lambda: not node.gossip.is_connected(key))
        assert node.gossip.closed["slow"] == 1


async def test_two_live_instances_of_a_key_are_told_of_each_other_by_whoever_meets_both() -> None:
    """They never meet, and the one in the middle only carries: each hears the other's own signed word, once proven."""
    async with (
        station(0, {}) as middle,
        station(1, {0: middle.port}) as first,
    ):
        await until(lambda: bool(middle.gossip.get_connected() and first.gossip.get_connected()))
        async with station(1, {0: middle.port}, instance=9) as second:
            await until(lambda: first.handler.key_in_use > 0 and second.handler.key_in_use > 0)
            assert middle.handler.key_in_use == 0
            assert first.gossip.is_connected(SIGNERS[0].public_key), "the older one goes on to follow"
            assert middle.gossip.closed["key_in_use"] >= 1


async def test_a_word_about_a_key_stops_nobody_unless_the_key_itself_spoke_to_this_very_life() -> None:
    """A member can replay what an earlier life said, or what was said to one; can send a node's word back to it; and
    can sign with its own key. None of that is another live process.
    """
    async with station(0, {}, instance=5) as node:
        here = make_identity(0, instance=5)
        earlier, other = make_identity(0, instance=4), Digest(b"\x77" * 32)
        own_word = make_key_use(here, other)
        thief = make_identity(1, instance=7)._replace(signer=SIGNERS[1])
        lies = [
            make_key_use(earlier, other),  # said by an earlier life, to somebody else
            make_key_use(make_identity(0, instance=3), earlier.instance),  # said to an earlier life
            own_word,
            msgspec.structs.replace(own_word, other=here.instance),
            msgspec.structs.replace(own_word, instance=other, other=here.instance),
            msgspec.structs.replace(make_key_use(thief, here.instance), node_key=SIGNERS[0].public_key),
            make_key_use(here, here.instance),
        ]
        async with raw_socket(node.port) as socket:
            await greet_by_hand(socket, 1)
            for lie in lies:
                await socket.send_bytes(encode(lie))
            await socket.send_bytes(encode(GetKeyUse(other=here.instance)))
            await socket.send_bytes(encode(QUESTION))
            await until(lambda: len(node.handler.heard) == 1)
            assert node.handler.key_in_use == 0
            await socket.send_bytes(encode(make_key_use(make_identity(0, instance=6), here.instance)))
            await until(lambda: node.handler.key_in_use == 1)


async def test_a_new_instance_takes_over_from_one_that_fell_silent() -> None:
    """A peer that crashed without closing its socket is replaced as soon as it proves to be silent."""
    async with station(0, {}) as node, raw_socket(node.port) as first:
        await greet_by_hand(first, 1)
        await until(lambda: bool(node.gossip.get_connected()))
        async with station(1, {0: node.port}, instance=9) as second:
            await until(lambda: bool(second.gossip.get_connected()), 30.0)
            second.gossip.send(SIGNERS[0].public_key, QUESTION)
            await until(lambda: len(node.handler.heard) == 1)


async def test_who_is_banned_is_neither_let_in_nor_dialled_until_the_ban_ends_or_is_lifted() -> None:
    """The link ends; a greeting is refused before a proof is looked at; no connection leaves for it; then it links."""
    (port,) = find_free_ports(1)
    key = SIGNERS[1].public_key
    async with station(1, {}, listen=port) as peer, station(0, {1: port}) as node:
        await until(lambda: node.gossip.is_connected(key))
        node.gossip.ban(key, 3_600)
        await until(lambda: not node.gossip.is_connected(key) and not peer.gossip.get_connected())
        admitted = peer.gossip.closed.total()
        async with raw_socket(node.port) as socket:
            await greet_alone(socket, make_hello(make_identity(1), Digest(bytes(32))))
            assert await read_close_code(socket) == CloseCode.PENALTY
        await asyncio.sleep(1.2)
        assert peer.gossip.closed.total() == admitted, "nobody was dialled"
        node.gossip.unban(key)
        await until(lambda: node.gossip.is_connected(key))


async def test_a_port_in_use_is_said_in_one_sentence() -> None:
    """The error has a stable code and names the fix."""
    async with station(0, {}) as node:
        with pytest.raises(GossipError) as caught:
            await Gossip(make_identity(1), []).start(Recorder(), "127.0.0.1", node.port)
        assert caught.value.code == "port_in_use"
        assert "listen_port" in caught.value.sentence


async def test_an_own_fault_while_handling_stops_the_mesh() -> None:
    """A bug in the handler is not swallowed by the web server: `run` raises it."""
    async with station(0, {}) as node, raw_socket(node.port) as socket:
        node.handler.fault = ZeroDivisionError("a bug")
        await greet_by_hand(socket, 1)
        await socket.send_bytes(encode(QUESTION))
        await until(node.task.done)
        error = node.task.exception()
        assert isinstance(error, ExceptionGroup)
        assert isinstance(error.exceptions[0], ZeroDivisionError)
