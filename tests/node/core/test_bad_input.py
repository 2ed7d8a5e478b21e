"""Bad input from clients at the door and from members on their links: a stable answer each, and the network goes on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest

from node import conduct
from node.api.ports import Busy, Submission
from node.gossip.handshake import Greetings, Identity, Role, make_hello, make_proof
from node.gossip.tls import find_shown_certificate, make_dialling_context
from node.keystore import load_node_keys
from node.mempool import Mempool
from protocol.batch import Batch, BatchItem
from protocol.block import Block
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.codec import encode
from protocol.ids import (
    ZERO_DIGEST,
    BatchDigest,
    BlockDigest,
    ChainId,
    Digest,
    Epoch,
    Height,
    PublicKey,
    Signature,
    TransactionId,
    ValidatorIndex,
    View,
)
from protocol.messages import (
    Batches,
    BatchReply,
    BlockReply,
    Blocks,
    Certificates,
    ChunkReply,
    DocumentReply,
    GetBatch,
    GetBatches,
    GetBlock,
    GetBlocks,
    GetCertificates,
    GetChunk,
    GetDocument,
    GetKeyUse,
    GetManifest,
    GetOutcome,
    GetSnapshots,
    Hello,
    KeyUse,
    ManifestReply,
    Message,
    OutcomeReply,
    Propose,
    PushBatch,
    SnapshotOffer,
    Snapshots,
    Status,
    decode_message,
)
from protocol.rejections import Rejection
from tests.node.core.chaintools import make_item
from tests.node.core.cluster import LENDERS, OBSERVER, Cluster, cluster
from tests.node.core.test_driver import HEADER, make_certificate, make_vote
from tests.node.gossip.largest import RECORDED
from tests.protocol.snapshots import make_snapshot

HUGE = 2**53 - 1
NOWHERE = BlockDigest(b"\x07" * 32)


async def ask(net: Cluster, *items: BatchItem) -> list[Submission]:
    """What one node's door says."""
    return await net.ask("ada", *items)


async def test_the_door_gives_a_stable_reason_for_everything_it_refuses(tmp_path: Path) -> None:
    """Form, chain, signature, time, replay, stranger: each its own code; a repeat is known and no fault."""
    async with cluster(tmp_path, start=LENDERS) as net:
        purse, agent = net.purses["ada"], net.agent
        mint = agent.mint(purse.account, 1_000)
        first = await ask(net, mint, mint)
        assert [one.status for one in first] == ["accepted", "known"]
        await net.finish("ada", [one.id for one in first[:1] if one.id is not None])
        good = purse.pay(net.purses["bo"].account, 1)
        broken = BatchItem(transaction=good.transaction[:-1] + bytes([good.transaction[-1] ^ 1]))
        answers = await ask(
            net,
            mint,
            BatchItem(transaction=b"\xc1"),
            BatchItem(transaction=bytes(16_384)),
            make_item(1),
            broken,
            make_item(1, chain=net.chain_id, valid_to_ms=1),
            make_item(1, chain=net.chain_id, valid_to_ms=HUGE),
            good,
        )
        assert [(one.status, one.rejection) for one in answers] == [
            ("known", None),
            ("rejected", Rejection.MALFORMED),
            ("rejected", Rejection.MALFORMED),
            ("rejected", Rejection.WRONG_CHAIN),
            ("rejected", answers[4].rejection),
            ("rejected", Rejection.EXPIRED),
            ("rejected", Rejection.VALID_TO_TOO_FAR),
            ("accepted", None),
        ]
        assert answers[4].rejection in (Rejection.SIGNATURE_INVALID, Rejection.MALFORMED, Rejection.NOT_CANONICAL)
        assert [one.id is None for one in answers[1:3]] == [True, True]


async def test_a_full_pool_says_busy_of_each_that_it_does_not_take(tmp_path: Path) -> None:
    """Beyond the bound clients hear when to come back, and in a group what was taken is said one by one, in order."""
    async with cluster(tmp_path, start=LENDERS) as net:
        door, account = net.nodes["ada"].door, net.purses["ada"].account
        await net.ask("ada", net.agent.mint(account, 1))
        door._mempool = Tight()
        with pytest.raises(Busy) as caught:
            await door.submit([net.agent.mint(account, 2)])
        assert (caught.value.reason, caught.value.retry_after_ms > 0) == ("pool_full", True)
        door._mempool.room = 2
        mints = [net.agent.mint(account, 3 + i) for i in range(4)]
        assert [one.status for one in await door.submit(mints)] == ["accepted", "accepted", "busy", "busy"]
        with pytest.raises(Busy):
            await door.submit(mints[2:])


class Tight(Mempool):
    """A pool near its bound."""

    room = 0

    def calculate_room(self) -> int:
        """What is left."""
        return max(0, self.room - self.transactions)


class TurnedAwayError(Exception):
    """The node took no link; `code` says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@asynccontextmanager
async def impostor(net: Cluster, at: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A link to a node, proven with the observer's own key, to say anything on."""
    place = next(one for one in net.testnet.nodes if one.name == at)
    signer = load_node_keys(net.testnet.directory / OBSERVER).node
    identity = Identity(net.chain_id, signer, Digest(b"\x01" * 32), "", {})
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            f"wss://127.0.0.1:{place.listen_port}/gossip", compress=0, ssl=make_dialling_context()
        ) as socket,
    ):
        own = make_hello(identity, Digest(bytes(32)))
        await socket.send_bytes(encode(own))
        theirs = decode_message(await socket.receive_bytes())
        assert isinstance(theirs, Hello)
        shown = find_shown_certificate(socket.get_extra_info("ssl_object"))
        assert shown is not None
        await socket.send_bytes(encode(make_proof(signer, Role.DIALLER, Greetings(own, theirs, shown))))
        frame = await socket.receive()
        if frame.type is aiohttp.WSMsgType.CLOSE:
            raise TurnedAwayError(int(frame.data))
        yield socket


def make_batch_nonsense(batch: Batch) -> list[Message]:
    """A batch that nobody wants, and questions for one that nobody has."""
    reply = BatchReply(digest=BatchDigest(NOWHERE), batch=batch)
    question = GetBatch(digest=reply.digest)
    return [
        PushBatch(batch=batch),
        reply,
        Batches(replies=(reply,) * 2),
        question,
        GetBatches(digests=(question.digest,) * 2),
    ]


def make_nonsense(chain_id: ChainId) -> list[Message]:
    """One or more messages of every kind that are well formed and wrong."""
    headers = [
        HEADER,
        msgspec.structs.replace(HEADER, chain_id=chain_id),
        msgspec.structs.replace(HEADER, chain_id=chain_id, height=Height(HUGE), view=View(HUGE)),
        msgspec.structs.replace(HEADER, chain_id=chain_id, proposer=ValidatorIndex(255), exec_height=Height(HUGE)),
    ]
    lone = make_certificate(1)
    wide = msgspec.structs.replace(lone, signers=2**32 - 1, signatures=(Signature(bytes(64)),) * 32, view=View(HUGE))
    finalization = msgspec.structs.replace(lone, kind=VoteKind.FINALIZE)
    certificates: list[Certificate] = [lone, wide, finalization]
    votes: list[Vote] = [
        make_vote(1),
        make_vote(HUGE),
        msgspec.structs.replace(make_vote(1), index=ValidatorIndex(255), epoch=Epoch(2**32 - 1)),
        msgspec.structs.replace(make_vote(1), kind=VoteKind.PROPOSE),
    ]
    blocks = [Block(header=header, batches=()) for header in headers]
    batch = Batch(items=(BatchItem(transaction=b"\xc1"), make_item(1)))
    proposals = [
        Propose(
            epoch=Epoch(0),
            view=block.header.view,
            block=block,
            parent_view=View(HUGE),
            parent_cert=lone,
            finalization=finalization,
            nullifications=(lone,) * 4,
            signature=Signature(bytes(64)),
        )
        for block in blocks
    ]
    status = Status(
        epoch=Epoch(0),
        view=View(HUGE),
        final_height=Height(HUGE),
        final_digest=NOWHERE,
        exec_height=Height(HUGE),
        exec_root=ZERO_DIGEST,
    )
    return [
        *votes,
        *certificates,
        *proposals,
        status,
        Certificates(certificates=tuple(certificates) * 8),
        *(Blocks(blocks=(block,), finalization=finalization) for block in blocks),
        Blocks(blocks=(), finalization=None),
        *(BlockReply(digest=NOWHERE, block=block) for block in (*blocks, None)),
        *make_batch_nonsense(batch),
        DocumentReply(digest=Digest(NOWHERE), envelope=b"\xc1"),
        GetCertificates(epoch=Epoch(7), view_from=View(HUGE)),
        GetBlocks(height_from=Height(HUGE), count=64),
        GetBlocks(height_from=Height(0), count=1),
        GetBlock(digest=NOWHERE),
        GetDocument(digest=Digest(NOWHERE)),
        GetSnapshots(),
        Snapshots(offers=(SnapshotOffer(height=Height(HUGE), digest=Digest(NOWHERE)),) * 2),
        GetManifest(digest=Digest(NOWHERE)),
        ManifestReply(digest=Digest(NOWHERE), manifest=make_snapshot().manifest),
        GetChunk(digest=Digest(NOWHERE)),
        ChunkReply(digest=Digest(NOWHERE), chunk=b"\xc1"),
        *(GetOutcome(transaction=TransactionId(NOWHERE), height=Height(at), named=Height(at)) for at in (0, HUGE)),
        *(OutcomeReply(transaction=TransactionId(NOWHERE), recorded=one) for one in (RECORDED, None)),
        GetKeyUse(other=Digest(NOWHERE)),
        KeyUse(node_key=PublicKey(NOWHERE), instance=ZERO_DIGEST, other=ZERO_DIGEST, signature=Signature(bytes(64))),
    ]


async def test_a_member_that_talks_nonsense_is_heard_out_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Well-formed lies of every kind: no node fails, none is silenced, questions are answered, blocks go on.

    Here no ban spares the nodes the rest of it.
    """
    monkeypatch.setattr(conduct, "FALSEHOODS_MAX", 10**6)
    async with cluster(tmp_path, start=LENDERS) as net:
        async with impostor(net, "ada") as socket:
            nonsense = make_nonsense(net.chain_id)
            assert {type(one) for one in nonsense} | {Hello} >= set(Message.__args__) - _GREETINGS
            for message in nonsense * 3:
                await socket.send_bytes(encode(message))
            heard: set[type] = set()
            async with asyncio.timeout(30):
                while not heard >= _ANSWERS:
                    heard.add(type(decode_message(await socket.receive_bytes())))
            ids = await net.submit("ada", net.agent.mint(net.purses["ada"].account, 5))
            for name in LENDERS:
                await net.finish(name, ids)
        assert len(await net.read_roots(await net.meet())) == 1
        assert [core.driver.silenced for core in net.nodes.values()] == [""] * 4
        assert net.nodes["ada"].mempool.transactions == 0


_ANSWERS = {
    Certificates,
    Blocks,
    BlockReply,
    BatchReply,
    Batches,
    DocumentReply,
    Snapshots,
    ManifestReply,
    ChunkReply,
}
_GREETINGS = {Hello, *(kind for kind in Message.__args__ if kind.__name__ == "HelloProof")}
