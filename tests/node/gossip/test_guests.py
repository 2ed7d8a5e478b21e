"""A node that its settings open lets anybody read who proves a key, in few places, and hears nothing else from them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from node.gossip.frames import KINDS
from node.gossip.guests import HEARD, SHARE, make_fit
from node.gossip.handshake import CloseCode, Identity, Role, make_hello, make_proof
from node.gossip.network import Gossip
from protocol.batch import Batch, BatchItem, Sidecar, calculate_batch_digest, calculate_transaction_id
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import BatchDigest, Digest, ModelId, PublicKey
from protocol.limits import GUESTS_MAX
from protocol.messages import Batches, BatchReply, DocumentReply, GetBatch, HelloProof, PushBatch, decode_message
from tests.node.gossip.largest import LARGEST
from tests.node.gossip.test_mesh import (
    MEMBERS,
    QUESTION,
    SIGNERS,
    Recorder,
    Station,
    greet_alone,
    greet_by_hand,
    make_identity,
    raw_socket,
    read_close_code,
    until,
)

BINS = Sidecar(model=ModelId(bytes(32)), salt=Digest(bytes(32)), bins=(1, 2, 3))


@asynccontextmanager
async def open_house(members: dict[PublicKey, str] | None = None) -> AsyncIterator[Station]:
    """A node that is open to readers."""
    identity = make_identity(0)._replace(is_open=True, members=MEMBERS if members is None else members)
    handler, gossip = Recorder(), Gossip(identity, [])
    port = await gossip.start(handler, "127.0.0.1", 0)
    task = asyncio.create_task(gossip.run())
    try:
        yield Station(gossip, handler, task, port)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await gossip.stop()


def make_stranger(number: int) -> Identity:
    """Somebody whom no books name."""
    return make_identity(0)._replace(signer=KeySigner(bytes([200, number]) * 16), instance=Digest(bytes([number]) * 32))


async def come_in(socket: aiohttp.ClientWebSocketResponse, identity: Identity) -> None:
    """Greet and prove as anybody does."""
    said = await greet_alone(socket, make_hello(identity, Digest(bytes(32))))
    await socket.send_bytes(encode(make_proof(identity.signer, Role.DIALLER, said)))
    assert isinstance(decode_message(await socket.receive_bytes()), HelloProof)


async def test_a_guest_may_ask_and_nothing_else_that_it_says_is_heard() -> None:
    """Every kind of message is said; the questions arrive, the rest is counted; members do not see the guest."""
    async with open_house() as node, raw_socket(node.port) as socket:
        guest = make_stranger(1)
        await come_in(socket, guest)
        await until(lambda: node.handler.guests == [guest.signer.public_key])
        for message in LARGEST:
            if not isinstance(message, DocumentReply):
                await socket.send_bytes(encode(message))
        await socket.send_bytes(encode(QUESTION))
        await until(lambda: bool(node.handler.heard) and node.handler.heard[-1][1] == QUESTION)
        asked = [one for one in LARGEST if type(one) in HEARD]
        assert [one for _, one in node.handler.heard] == [*asked, QUESTION]
        assert node.gossip.unheard == len(LARGEST) - 1 - len(asked)
        assert (node.gossip.get_connected(), node.handler.up) == ((), [])
        assert not node.gossip.is_connected(guest.signer.public_key)


async def test_a_guest_gets_batches_without_bins_and_their_digest_holds() -> None:
    """What belongs to persons stays with members; a member gets the whole."""
    batch = Batch(items=(BatchItem(transaction=b"one", sidecars=(BINS,)), BatchItem(transaction=b"two")))
    digest = calculate_batch_digest([calculate_transaction_id(one.transaction) for one in batch.items])
    reply = BatchReply(digest=digest, batch=batch)
    async with open_house() as node, raw_socket(node.port) as reader, raw_socket(node.port) as member:
        guest = make_stranger(1)
        await come_in(reader, guest)
        await greet_by_hand(member, 1)
        await until(lambda: bool(node.handler.guests and node.gossip.get_connected()))
        for key in (guest.signer.public_key, SIGNERS[1].public_key):
            assert node.gossip.send(key, reply)
        got = decode_message(await reader.receive_bytes())
        assert isinstance(got, BatchReply)
        assert got.batch is not None
        assert [one.sidecars for one in got.batch.items] == [(), ()]
        assert calculate_batch_digest([calculate_transaction_id(one.transaction) for one in got.batch.items]) == digest
        assert decode_message(await member.receive_bytes()) == reply
    nothing = BatchReply(digest=digest, batch=None)
    assert make_fit(nothing) == nothing
    assert make_fit(Batches(replies=(reply, nothing))) == Batches(replies=(make_fit(reply), nothing))
    assert make_fit(PushBatch(batch=batch)) == PushBatch(batch=batch)


async def test_guests_have_few_places_and_a_place_that_is_left_is_free() -> None:
    """One more than there are hears `full`; members come in all the same; who comes again takes its own place."""
    async with open_house() as node:
        held = [raw_socket(node.port) for _ in range(GUESTS_MAX)]
        sockets = [await one.__aenter__() for one in held]
        for number, socket in enumerate(sockets):
            await come_in(socket, make_stranger(number))
        await until(lambda: len(node.gossip.guests.links) == GUESTS_MAX)
        async with raw_socket(node.port) as late:
            await come_in(late, make_stranger(99))
            assert await read_close_code(late) == CloseCode.FULL
        async with raw_socket(node.port) as member:
            await greet_by_hand(member, 1)
            await until(lambda: bool(node.gossip.get_connected()))
        async with raw_socket(node.port) as again:
            await come_in(again, make_stranger(0))
            assert await read_close_code(sockets[0]) == CloseCode.DUPLICATE
        for one in held:
            await one.__aexit__(None, None, None)
        await until(lambda: not node.gossip.guests.links)
        assert node.gossip._rates.keys() <= set(MEMBERS)
        async with raw_socket(node.port) as late:
            await come_in(late, make_stranger(99))
            await until(lambda: len(node.gossip.guests.links) == 1)


async def test_a_guest_that_is_admitted_comes_again_as_a_member() -> None:
    """Its link ends, and the next one is a member's."""
    guest, members = make_stranger(1), dict(MEMBERS)
    async with open_house(members) as node:
        async with raw_socket(node.port) as socket:
            await come_in(socket, guest)
            await until(lambda: bool(node.gossip.guests.links))
            members[guest.signer.public_key] = "new"
            node.gossip.on_members_changed()
            assert await read_close_code(socket) == CloseCode.GOING_AWAY
        async with raw_socket(node.port) as socket:
            await come_in(socket, guest)
            await until(lambda: node.gossip.is_connected(guest.signer.public_key))


async def test_a_guest_that_asks_much_waits_sooner_than_a_member() -> None:
    """An eighth of the table's rates is a guest's."""
    row = KINDS[GetBatch]
    async with open_house() as node, raw_socket(node.port) as socket:
        await come_in(socket, make_stranger(1))
        for i in range(row.at_once // SHARE + 500):
            await socket.send_bytes(encode(GetBatch(digest=BatchDigest(i.to_bytes(32, "big")))))
        await until(lambda: len(node.handler.heard) >= row.at_once // SHARE)
        assert len(node.handler.heard) < row.at_once // SHARE + 400
        await until(lambda: len(node.handler.heard) == row.at_once // SHARE + 500, 30.0)
