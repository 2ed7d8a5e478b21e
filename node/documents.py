"""Encrypted documents between nodes: asked for by hash over authenticated links, handed only to those granted.

The vault decides who may see what; the peer's node key says who asks. Never open a document here.
"""

from collections.abc import Mapping
from typing import Final

from node.batches import Mesh
from node.gossip.fetch import Fetcher, NobodyHasItError
from node.vault.store import Vault, VaultError
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, PublicKey
from protocol.messages import DocumentReply, GetDocument
from protocol.vault import VaultEnvelope

FETCH_S: Final = 10.0
ROUNDS_MAX: Final = 2  # a push that is on its way arrives between the two


class DocumentRoom:
    """Serves and fetches documents for one node."""

    def __init__(self, vault: Vault, mesh: Mesh, accounts: Mapping[PublicKey, AccountId]) -> None:
        self._vault = vault
        self._mesh = mesh
        self._accounts = accounts
        self._fetcher: Fetcher[Digest, bytes] = Fetcher(self._ask, mesh.get_connected)

    async def on_get(self, peer: PublicKey, message: GetDocument) -> DocumentReply:
        """The envelope with the asker's own grants, or nothing, which does not say whether it is held."""
        account = self._accounts.get(peer)
        envelope = None if account is None else await self._vault.get_for(message.digest, account)
        return DocumentReply(digest=message.digest, envelope=envelope)

    def on_reply(self, peer: PublicKey, message: DocumentReply) -> None:
        """A peer's answer; only an envelope with that digest counts."""
        if not self._fetcher.is_wanted(message.digest):
            return
        envelope = message.envelope
        if envelope is not None and not _is_document(envelope, message.digest):
            envelope = None
        self._fetcher.offer(message.digest, peer, envelope)

    async def fetch(self, digest: Digest) -> bytes | None:
        """The envelope: from the vault, else from peers and then kept; None when nobody has it for us."""
        held = await self._vault.get(digest)
        if held is not None:
            return held
        try:
            envelope = await self._fetcher.fetch(digest, give_up_s=FETCH_S, rounds_max=ROUNDS_MAX)
            await self._vault.put(envelope)
        except (NobodyHasItError, VaultError):
            return None
        return envelope

    def _ask(self, peer: PublicKey, digest: Digest) -> bool:
        return self._mesh.send(peer, GetDocument(digest=digest))

    async def close(self) -> None:
        """End all searches."""
        await self._fetcher.close()


def _is_document(raw: bytes, digest: Digest) -> bool:
    try:
        return decode(raw, VaultEnvelope).digest == digest
    except CodecError:
        return False
