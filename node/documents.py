"""Encrypted documents between nodes: asked for by hash over authenticated links, handed only to those granted.

The vault decides who may see what, and the ledger whether its owner withdrew that; the peer's node key says who asks.
Every hand-out is logged. Never open a document here.
"""

from collections.abc import Callable
from typing import Final

from node.batches import Mesh
from node.gossip.fetch import Fetcher, NobodyHasItError
from node.telemetry import get_logger
from node.vault.store import DISK_CODES, Vault, VaultError
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, PublicKey
from protocol.ledger.books import Books
from protocol.ledger.keys import find_signer
from protocol.ledger.state import APPLICATIONS, CONSENTS, DATA
from protocol.messages import DocumentReply, GetDocument
from protocol.transactions.data import Scope
from protocol.vault import VaultEnvelope, check_envelope

FETCH_S: Final = 10.0
ROUNDS_MAX: Final = 2  # a push that is on its way arrives between the two


def is_withdrawn(books: Books, envelope: VaultEnvelope, reader: AccountId) -> bool:
    """Whether the owner's consent to `reader` stood on the ledger and was withdrawn, all of it.

    False while the ledger knows of none: a statement is put into the vault before its consent is ordered, and until
    then the owner's signed grant alone counts. Anchors and consents of other accounts say nothing, and neither do
    consents of another scope: who may still read features gets no rows for it.
    """
    owner = find_signer(books, PublicKey(envelope.owner))
    data = _find_data(books, envelope, owner)
    consents = [
        row
        for _, row in books.state.walk(CONSENTS)
        if row.owner == owner
        and row.grant.scope is envelope.scope
        and reader in row.grant.grantees
        and any(one in data for one in row.grant.data)
    ]
    return bool(consents) and all(row.revoked_ms is not None for row in consents)


def _find_data(books: Books, envelope: VaultEnvelope, owner: AccountId) -> list[bytes]:
    """Data of the owner that a sealed document holds or was computed from."""
    digest = envelope.digest
    if envelope.scope is Scope.RAW:
        return [key for key, row in books.state.walk(DATA) if row.owner == owner and row.anchor.document == digest]
    asked = (row.request for _, row in books.state.walk(APPLICATIONS) if row.borrower == owner)
    return [one for each in asked if each.features and each.features.document == digest for one in each.data]


async def hand_out(vault: Vault, books: Books, digest: Digest, reader: AccountId, *, now_ms: int) -> bytes | None:
    """The envelope as `reader` may see it now, logged; None when not held, not granted, ended or withdrawn."""
    raw = await vault.get_for(digest, reader, now_ms=now_ms)
    if raw is None:
        return None
    envelope = decode(raw, VaultEnvelope)
    if reader != find_signer(books, PublicKey(envelope.owner)) and is_withdrawn(books, envelope, reader):
        return None
    purposes = [one.purpose.name.lower() for one in envelope.grants if one.recipient == reader]
    get_logger("documents").info("document_handed_out", document=digest, reader=reader, purposes=purposes)
    return raw


class DocumentRoom:
    """Serves and fetches documents for one node, that of `find_own`'s member. `now_ms` tells when grants end."""

    def __init__(
        self,
        vault: Vault,
        mesh: Mesh,
        find_account: Callable[[PublicKey], AccountId | None],
        *,
        find_own: Callable[[], AccountId | None],
        books: Books,
        now_ms: Callable[[], int],
    ) -> None:
        self._vault = vault
        self._mesh = mesh
        self._find_account = find_account
        self._find_own = find_own
        self._books = books
        self._now_ms = now_ms
        self._log = get_logger("documents")
        self._fetcher: Fetcher[Digest, bytes] = Fetcher(self._ask, mesh.get_connected)

    async def on_get(self, peer: PublicKey, message: GetDocument) -> DocumentReply:
        """The envelope with the asker's own grants, or nothing, which does not say whether it is held."""
        account = self._find_account(peer)
        if account is None:
            return DocumentReply(digest=message.digest, envelope=None)
        digest = Digest(message.digest)
        envelope = await hand_out(self._vault, self._books, digest, account, now_ms=self._now_ms())
        return DocumentReply(digest=digest, envelope=envelope)

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
        try:
            held = await self._vault.get(digest)
        except VaultError as error:
            self._log.error("document_unread", code=error.code, reason=error.sentence)
            held = None  # others may hold it whole
        if held is not None and self._is_for_us(held, digest):
            return held
        try:
            envelope = await self._fetcher.fetch(digest, give_up_s=FETCH_S, rounds_max=ROUNDS_MAX)
            await self._vault.put(envelope)
        except NobodyHasItError:
            return None
        except VaultError as error:
            if error.code not in DISK_CODES:
                return None
            self._log.error("document_not_kept", code=error.code, reason=error.sentence)
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
        now_ms, own = self._now_ms(), self._find_own()
        return any(one.recipient == own and now_ms <= one.until_ms for one in envelope.grants)

    def _ask(self, peer: PublicKey, digest: Digest) -> bool:
        return self._mesh.send(peer, GetDocument(digest=digest))

    async def close(self) -> None:
        """End all searches."""
        await self._fetcher.close()
