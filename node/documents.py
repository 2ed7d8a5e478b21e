"""Encrypted documents between nodes: asked for by hash over authenticated links, handed only to those granted.

The vault decides who may see what; the peer's node key says who asks. Never open a document here.
"""

from collections.abc import Callable, Mapping
from typing import Final

from node.batches import Mesh
from node.gossip.fetch import Fetcher, NobodyHasItError
from node.vault.store import Vault, VaultError
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, PublicKey
from protocol.messages import DocumentReply, GetDocument
from protocol.vault import VaultEnvelope, check_envelope

FETCH_S: Final = 10.0
ROUNDS_MAX: Final = 2  # a push that is on its way arrives between the two


class DocumentRoom:
    """Serves and fetches documents for one node: that of the member `own`. `now_ms` is the clock for grants' ends."""

    def __init__(
        self,
        vault: Vault,
        mesh: Mesh,
        accounts: Mapping[PublicKey, AccountId],
        *,
        own: AccountId,
        now_ms: Callable[[], int],
    ) -> None:
        self._vault = vault
        self._mesh = mesh
        self._accounts = accounts
        self._own = own
        self._now_ms = now_ms
        self._fetcher: Fetcher[Digest, bytes] = Fetcher(self._ask, mesh.get_connected)

    async def on_get(self, peer: PublicKey, message: GetDocument) -> DocumentReply:
        """The envelope with the asker's own grants, or nothing, which does not say whether it is held."""
        account = self._accounts.get(peer)
        envelope = None if account is None else await self._vault.get_for(message.digest, account)
        return DocumentReply(digest=message.digest, envelope=envelope)

    def on_reply(self, peer: PublicKey, message: DocumentReply) -> None:
        """A peer's answer; only one that was asked for, with that digest and a grant to this member, counts."""
        if not self._fetcher.was_asked(message.digest, peer):
            return
        envelope = message.envelope
        if envelope is not None and not self._is_for_us(envelope, message.digest):
            envelope = None
        self._fetcher.offer(message.digest, peer, envelope)

    async def fetch(self, digest: Digest) -> bytes | None:
        """The envelope: from the vault, else from peers and then kept; None when nobody has it for us.

        One that is held without a grant to this member is no answer: its owner may have given the grant elsewhere.
        """
        held = await self._vault.get(digest)
        if held is not None and self._is_for_us(held, digest):
            return held
        try:
            envelope = await self._fetcher.fetch(digest, give_up_s=FETCH_S, rounds_max=ROUNDS_MAX)
            await self._vault.put(envelope)
        except (NobodyHasItError, VaultError):
            return None
        return envelope

    def _is_for_us(self, raw: bytes, digest: Digest) -> bool:
        """Whether this is the envelope of that digest, true in itself, with a grant to this member that has not ended.

        The digest leaves grants out, so a copy without them, or with old ones, would pass by its name alone.
        """
        try:
            envelope = decode(raw, VaultEnvelope)
        except CodecError:
            return False
        if envelope.digest != digest or check_envelope(envelope) is not None:
            return False
        now_ms = self._now_ms()
        return any(one.recipient == self._own and now_ms <= one.until_ms for one in envelope.grants)

    def _ask(self, peer: PublicKey, digest: Digest) -> bool:
        return self._mesh.send(peer, GetDocument(digest=digest))

    async def close(self) -> None:
        """End all searches."""
        await self._fetcher.close()
