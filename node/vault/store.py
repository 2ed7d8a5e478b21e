"""`vault.sqlite`: encrypted statements and who was granted them, apart from the ledger so that they can be erased.

    put(envelope)        check, keep, merge grants        -> digest of the ciphertext
    get_for(digest, to)  the envelope with the live grants of one recipient alone, or None
    erase(digest)        ciphertext and wrapped keys gone; SQLite overwrites the pages (secure_delete)

The vault holds ciphertext only; it never has a data key. Never write a plain row here.
"""

import asyncio
import sqlite3
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import msgspec

from node.vault.accesslog import SignedAccess, sign_access
from protocol.codec import CodecError, decode, encode
from protocol.crypto import Signer, calculate_account_id
from protocol.ids import AccountId, Digest, ObjectId, PublicKey, TimeMs
from protocol.limits import DOCUMENT_BYTES_MAX
from protocol.transactions.data import Purpose
from protocol.vault import Grant, VaultEnvelope, check_envelope

T = TypeVar("T")

DOCUMENTS_PER_OWNER_MAX: Final = 64
"""A borrower's statements of years; beyond it an owner erases old ones first."""

_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA secure_delete=ON",  # erased pages are overwritten, not only freed
    "PRAGMA busy_timeout=5000",
)
_TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS documents (
        digest BLOB PRIMARY KEY,
        owner BLOB NOT NULL,
        body BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS documents_by_owner ON documents (owner)",
    """CREATE TABLE IF NOT EXISTS grants (
        digest BLOB NOT NULL,
        recipient BLOB NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (digest, recipient)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS access (
        data BLOB NOT NULL,
        serial INTEGER NOT NULL,
        raw BLOB NOT NULL,
        PRIMARY KEY (data, serial)) WITHOUT ROWID""",
)


class VaultError(Exception):
    """A document the vault does not take, or a vault that cannot be used; `code` is stable."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Vault:
    """The open vault of one node."""

    def __init__(self, database: aiosqlite.Connection) -> None:
        self._database = database
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Vault":
        """Open or create the vault. Raises VaultError with the fix named."""
        database: aiosqlite.Connection | None = None
        try:
            database = await aiosqlite.connect(path, isolation_level=None)
            for line in (*_PRAGMAS, *_TABLES):
                await database.execute(line)
        except sqlite3.Error as error:
            if database is not None:
                await database.close()
            raise VaultError(
                "vault_unusable", f"{path} cannot be opened ({error}): fix its permissions, or restore it."
            ) from error
        return cls(database)

    async def close(self) -> None:
        """Finish a running write, then close (the connection's thread would keep the process alive)."""
        async with self._writing:
            await self._database.close()

    async def put(self, raw: bytes) -> Digest:
        """Keep an envelope whose owner signed it; grants of one kept before are added. Returns its digest.

        Raises VaultError: document_too_large, document_malformed, document_quota, or what `check_envelope` says.
        """
        if len(raw) > DOCUMENT_BYTES_MAX:
            raise VaultError("document_too_large", f"A document holds at most {DOCUMENT_BYTES_MAX // 2**20} MiB.")
        try:
            envelope = decode(raw, VaultEnvelope)
        except CodecError as error:
            raise VaultError("document_malformed", f"The bytes are not a sealed document: {error}.") from error
        if reason := check_envelope(envelope):
            raise VaultError(reason, "The sealed document's signatures or digest do not hold.")
        digest = envelope.digest
        owner = PublicKey(envelope.owner)
        body = encode(msgspec.structs.replace(envelope, grants=()))
        await self._run(self._keep(digest, owner, body, envelope.grants))
        return digest

    async def _keep(self, digest: Digest, owner: PublicKey, body: bytes, grants: Sequence[Grant]) -> None:
        known = await self._read_one("SELECT 1 FROM documents WHERE digest = ?", (digest,))
        count = await self._read_one("SELECT count(*) FROM documents WHERE owner = ?", (owner,))
        assert count is not None
        if known is None and count[0] >= DOCUMENTS_PER_OWNER_MAX:
            raise VaultError("document_quota", f"An owner keeps at most {DOCUMENTS_PER_OWNER_MAX} documents here.")
        await self._write(
            ("INSERT OR IGNORE INTO documents VALUES (?, ?, ?)", [(digest, owner, body)]),
            (
                "INSERT OR REPLACE INTO grants VALUES (?, ?, ?)",
                [(digest, one.recipient, encode(one)) for one in grants],
            ),
        )

    async def get(self, digest: Digest) -> bytes | None:
        """The envelope with all its grants."""
        return await self._assemble(digest, None, 0)

    async def get_for(self, digest: Digest, recipient: AccountId, *, now_ms: int) -> bytes | None:
        """The envelope as one recipient may see it at `now_ms`: its own grants that have not ended.

        All grants for the owner; None for strangers and for whoever's grants have ended.
        """
        return await self._assemble(digest, recipient, now_ms)

    async def _assemble(self, digest: Digest, recipient: AccountId | None, now_ms: int) -> bytes | None:
        found = await self._read_one("SELECT owner, body FROM documents WHERE digest = ?", (digest,))
        if found is None:
            return None
        rows = await self._read("SELECT recipient, raw FROM grants WHERE digest = ? ORDER BY recipient", (digest,))
        grants = tuple(decode(row[1], Grant) for row in rows)
        if recipient is not None and recipient != calculate_account_id(PublicKey(found[0])):
            grants = tuple(one for one in grants if one.recipient == recipient and now_ms <= one.until_ms)
            if not grants:
                return None
        return encode(msgspec.structs.replace(decode(found[1], VaultEnvelope), grants=grants))

    async def erase(self, digest: Digest) -> bool:
        """Forget a document and its wrapped keys; False when it was not held. The access log stays."""
        return await self._run(self._forget(digest))

    async def _forget(self, digest: Digest) -> bool:
        known = await self._read_one("SELECT 1 FROM documents WHERE digest = ?", (digest,))
        await self._write(
            ("DELETE FROM documents WHERE digest = ?", [(digest,)]),
            ("DELETE FROM grants WHERE digest = ?", [(digest,)]),
        )
        await self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return known is not None

    async def log_access(
        self,
        signer: Signer,
        *,
        data: ObjectId,
        document: Digest,
        reader: AccountId,
        purpose: Purpose,
        time_ms: TimeMs,
    ) -> SignedAccess:
        """Append to the chained access log of `data`; durable on return, so it is called before the opening."""

        async def append() -> SignedAccess:
            last = await self._read_one("SELECT raw FROM access WHERE data = ? ORDER BY serial DESC LIMIT 1", (data,))
            entry = sign_access(
                signer,
                last=None if last is None else decode(last[0], SignedAccess),
                data=data,
                document=document,
                reader=reader,
                purpose=purpose,
                time_ms=time_ms,
            )
            await self._write(("INSERT INTO access VALUES (?, ?, ?)", [(data, entry.record.serial, encode(entry))]))
            return entry

        return await self._run(append())

    async def read_access_log(self, data: ObjectId) -> list[SignedAccess]:
        """All openings of `data` by this node, oldest first."""
        rows = await self._read("SELECT raw FROM access WHERE data = ? ORDER BY serial", (data,))
        return [decode(row[0], SignedAccess) for row in rows]

    async def _read(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        return list(await self._database.execute_fetchall(sql, parameters))

    async def _read_one(self, sql: str, parameters: tuple[object, ...]) -> sqlite3.Row | None:
        rows = await self._read(sql, parameters)
        return rows[0] if rows else None

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Writes come one after the other, and a caller that goes away does not stop one midway."""

        async def inside() -> T:
            async with self._writing:
                return await work

        return await asyncio.shield(asyncio.ensure_future(inside()))

    async def _write(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        await self._database.execute("BEGIN IMMEDIATE")
        try:
            for sql, rows in statements:
                if rows:
                    await self._database.executemany(sql, rows)
        except BaseException:
            await self._database.execute("ROLLBACK")
            raise
        await self._database.execute("COMMIT")
