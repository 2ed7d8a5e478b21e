"""Documents between nodes: handed to those granted over authenticated links, refused to others, checked on arrival."""

import asyncio
from pathlib import Path

from node.documents import DocumentRoom
from node.vault.store import Vault
from protocol.ids import AccountId, Digest, PublicKey
from protocol.messages import DocumentReply, GetDocument, Message

A, B, C = (PublicKey(bytes([one]) * 32) for one in (1, 2, 3))
ACCOUNTS = {A: AccountId(b"\x0a" * 32), B: AccountId(b"\x0b" * 32)}
DIGEST = Digest(b"\x05" * 32)


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
    room = DocumentRoom(vault, mesh, ACCOUNTS)
    try:
        room.on_reply(A, DocumentReply(digest=DIGEST, envelope=b"unasked"))
        wanted = asyncio.create_task(room.fetch(DIGEST))
        answered = 0
        async with asyncio.timeout(5):
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
    room = DocumentRoom(vault, Around(), ACCOUNTS)
    try:
        for peer in (A, C):
            reply = await room.on_get(peer, GetDocument(digest=DIGEST))
            assert reply == DocumentReply(digest=DIGEST, envelope=None)
    finally:
        await room.close()
        await vault.close()
