"""Opening refreshed statements: fetched by hash, logged, opened, compared with their anchor.

The access log is written before the opening, and a statement without a consent that holds is never fetched. Never keep
a row, and never log one.
"""

import asyncio
from collections.abc import Callable

from node.api.ports import NodePort
from node.attester import check_anchor
from node.keystore import NodeKeys
from node.monitor.facts import Anchored
from node.vault.crypto import OpenError, open_document
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, PublicKey, TimeMs
from protocol.ledger.keys import find_signer
from protocol.ledger.providers import is_provider_key
from protocol.transactions.data import Purpose
from protocol.vault import VaultEnvelope, VaultPlain


class StatementError(Exception):
    """A statement that cannot be believed; `code` is stable."""

    def __init__(self, code: str, data: bytes) -> None:
        super().__init__(code)
        self.code = code
        self.data = data


class StatementReader:
    """Opens what borrowers let one member read for monitoring."""

    def __init__(self, node: NodePort, keys: NodeKeys, now_ms: Callable[[], TimeMs]) -> None:
        self._node = node
        self._keys = keys
        self._now_ms = now_ms

    async def open(self, anchored: Anchored, reader: AccountId) -> VaultPlain | None:
        """The statement; None while nobody hands it out. Raises StatementError."""
        anchor = anchored.data.anchor
        raw = await self._node.fetch_document(Digest(anchor.document))
        if raw is None:
            return None
        try:
            envelope = decode(raw, VaultEnvelope)
        except CodecError as error:
            raise StatementError("envelope_malformed", anchored.id) from error
        await self._node.vault.log_access(
            self._keys.node,
            data=anchored.id,
            document=Digest(anchor.document),
            reader=reader,
            purpose=Purpose.MONITOR,
            time_ms=self._now_ms(),
        )
        sealer = find_signer(self._node.ledger.books, PublicKey(envelope.owner))
        try:
            plain = await asyncio.to_thread(open_document, envelope, account=reader, key=self._keys.enc)
        except OpenError as error:
            raise StatementError(error.code, anchored.id) from error
        if reason := check_anchor(plain, envelope, anchored.data, sealer):
            raise StatementError(reason, anchored.id)
        if plain.provider is not None and not is_provider_key(self._node.ledger.books, PublicKey(plain.provider.key)):
            raise StatementError("provider_unknown", anchored.id)
        return plain
