"""Documents between nodes: handed to those granted over authenticated links, refused to others, checked on arrival."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from nacl.public import PrivateKey
from structlog.testing import capture_logs

from node.documents import DocumentRoom
from node.vault.crypto import Recipient, seal_document
from node.vault.store import Vault
from protocol.codec import decode, encode
from protocol.crypto import KeySigner
from protocol.ids import AccountId, BoxKey, Day, Digest, PublicKey, TimeMs
from protocol.ledger.execute import Ledger
from protocol.messages import DocumentReply, GetDocument, Message
from protocol.money import Currency
from protocol.transactions.data import Purpose
from protocol.vault import VaultEnvelope, VaultPlain
from tests.node.api.harness import make_genesis

A, B, C = (PublicKey(bytes([one]) * 32) for one in (1, 2, 3))
ACCOUNTS = {A: AccountId(b"\x0a" * 32), B: AccountId(b"\x0b" * 32)}
DIGEST = Digest(b"\x05" * 32)
OWNER, OWN, BOX = KeySigner(bytes([9]) * 32), AccountId(b"\x0c" * 32), PrivateKey(bytes([8]) * 32)
NOW = TimeMs(1_800_000_000_000)
BOOKS = Ledger.from_genesis(make_genesis()).books
PLAIN = VaultPlain(
    currency=Currency("CNY"),
    opening_balance=None,
    first_day=Day(739_000),
    last_day=Day(739_001),
    provenance=3,
    salt_key=DIGEST,
    rows=(),
)


def seal(*recipients: AccountId, until_ms: int = NOW + 1) -> VaultEnvelope:
    """A document that its owner granted to these."""
    named = [Recipient(one, BoxKey(bytes(BOX.public_key))) for one in recipients]
    return seal_document(
        PLAIN, owner=OWNER, recipients=named, purpose=Purpose.UNDERWRITE, until_ms=TimeMs(until_ms)
    ).envelope


def make_room(vault: Vault, mesh: "Around") -> DocumentRoom:
    return DocumentRoom(vault, mesh, ACCOUNTS.get, find_own=lambda: OWN, books=BOOKS, now_ms=lambda: NOW)


class Around:
    """The mesh of one room, with what it was asked to send."""

    def __init__(self) -> None:
        self.sent: list[tuple[PublicKey, Message]] = []

    def send(self, peer: PublicKey, message: Message) -> bool:
        self.sent.append((peer, message))
        return True

    def broadcast(self, message: Message, peers: object) -> int:
        return 0

    def get_connected(self) -> tuple[PublicKey, ...]:
        return (A, B)

    def is_connected(self, peer: PublicKey) -> bool:
        return True


async def test_what_nobody_has_is_soon_said_to_be_missing_and_lies_are_not_kept(tmp_path: Path) -> None:
    """Every peer is asked; bytes that are no such document count as nothing; the search ends by itself."""
    vault = await Vault.open(tmp_path / "vault.sqlite")
    mesh = Around()
    room = make_room(vault, mesh)
    try:
        room.on_reply(A, DocumentReply(digest=DIGEST, envelope=b"unasked"))
        wanted = asyncio.create_task(room.fetch(DIGEST))
        answered = 0
        async with asyncio.timeout(30):
            while not wanted.done():
                await asyncio.sleep(0.01)
                for peer, message in mesh.sent[answered:]:
                    assert message == GetDocument(digest=DIGEST)
                    room.on_reply(peer, DocumentReply(digest=DIGEST, envelope=b"\xc1" if peer == A else None))
                answered = len(mesh.sent)
        assert await wanted is None
        assert {peer for peer, _ in mesh.sent} == {A, B}
        assert await vault.get(DIGEST) is None
    finally:
        await room.close()
        await vault.close()


async def test_a_peer_that_is_nobody_gets_the_answer_of_a_room_that_has_nothing(tmp_path: Path) -> None:
    """The answer does not say whether a document is held."""
    vault = await Vault.open(tmp_path / "vault.sqlite")
    room = make_room(vault, Around())
    try:
        for peer in (A, C):
            reply = await room.on_get(peer, GetDocument(digest=DIGEST))
            assert reply == DocumentReply(digest=DIGEST, envelope=None)
    finally:
        await room.close()
        await vault.close()


@pytest.mark.parametrize("fault", ["stripped", "ended", "forged", "other_owner", "not_asked"])
async def test_only_an_asked_peers_true_envelope_with_our_own_grant_is_taken(tmp_path: Path, fault: str) -> None:
    """Without our grant, with an ended or forged one, of another owner, or from a peer nobody asked: not kept."""
    good = seal(OWN, until_ms=NOW - 1 if fault == "ended" else NOW + 1)
    grant = good.grants[0]
    bad = {
        "stripped": msgspec.structs.replace(good, grants=()),
        "ended": good,
        "forged": msgspec.structs.replace(good, grants=(msgspec.structs.replace(grant, until_ms=NOW + 2),)),
        "other_owner": msgspec.structs.replace(good, owner=KeySigner(bytes([7]) * 32).public_key, grants=()),
        "not_asked": good,
    }[fault]
    vault, mesh = await Vault.open(tmp_path / "vault.sqlite"), Around()
    room = make_room(vault, mesh)
    try:
        wanted = asyncio.create_task(room.fetch(good.digest))
        await asyncio.sleep(0)
        answered = 0
        async with asyncio.timeout(30):
            while not wanted.done():
                await asyncio.sleep(0.01)
                for peer, _ in mesh.sent[answered:]:
                    brought = DocumentReply(digest=good.digest, envelope=encode(bad))
                    room.on_reply(C if fault == "not_asked" else peer, brought)
                    room.on_reply(peer, DocumentReply(digest=good.digest, envelope=None))
                answered = len(mesh.sent)
        assert await wanted is None
        assert await vault.get(good.digest) is None
    finally:
        await room.close()
        await vault.close()


async def test_a_copy_that_is_not_granted_to_us_does_not_end_the_search(tmp_path: Path) -> None:
    """A held copy with another's grant alone is asked for again, and the grant that comes is added to it."""
    both = seal(ACCOUNTS[A], OWN)
    theirs = msgspec.structs.replace(both, grants=tuple(one for one in both.grants if one.recipient != OWN))
    ours = msgspec.structs.replace(both, grants=tuple(one for one in both.grants if one.recipient == OWN))
    vault, mesh = await Vault.open(tmp_path / "vault.sqlite"), Around()
    room = make_room(vault, mesh)
    try:
        await vault.put(encode(theirs))
        wanted = asyncio.create_task(room.fetch(both.digest))
        await asyncio.sleep(0.05)
        room.on_reply(mesh.sent[0][0], DocumentReply(digest=both.digest, envelope=encode(ours)))
        assert await wanted == encode(ours)
        kept = await vault.get(both.digest)
        assert kept is not None
        assert decode(kept, VaultEnvelope) == both
        asked = len(mesh.sent)
        assert await room.fetch(both.digest) == kept
        assert len(mesh.sent) == asked
    finally:
        await room.close()
        await vault.close()


async def test_a_grantee_is_handed_the_document_until_its_grant_ends(tmp_path: Path) -> None:
    """A live grant is served and the hand-out logged; an ended one gets the answer of a room that has nothing."""
    live, ended = seal(ACCOUNTS[A]), seal(ACCOUNTS[A], until_ms=NOW - 1)
    vault = await Vault.open(tmp_path / "vault.sqlite")
    room = make_room(vault, Around())
    try:
        for one in (live, ended):
            await vault.put(encode(one))
        with capture_logs() as logs:
            served = await room.on_get(A, GetDocument(digest=live.digest))
            refused = await room.on_get(A, GetDocument(digest=ended.digest))
            stranger = await room.on_get(B, GetDocument(digest=live.digest))
        assert served.envelope == encode(live)
        assert refused.envelope is None
        assert stranger.envelope is None
        (line,) = [one for one in logs if one["event"] == "document_handed_out"]
        assert (line["document"], line["reader"], line["purposes"]) == (live.digest, ACCOUNTS[A], ["underwrite"])
    finally:
        await room.close()
        await vault.close()
