"""`vault.sqlite`: encrypted statements and who was granted them, apart from the ledger so that they can be erased.

    put(envelope)        check, keep, merge grants        -> digest of the ciphertext
    get_for(digest, to)  the envelope with the live grants of one recipient alone, or None
    erase(digest)        ciphertext and wrapped keys gone; SQLite overwrites the pages (secure_delete)

The vault holds ciphertext only; it never has a data key. What the disk does to it is a VaultError with its fix: a write
that was not made durable was never acknowledged, and a damaged page is never taken for a document that is not here.
Never write a plain row here.
"""

import asyncio
import contextlib
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
S = TypeVar("S", bound=msgspec.Struct)

DOCUMENTS_PER_OWNER_MAX: Final = 128
"""A borrower's statements of years with the features of as many applications; beyond it an owner erases old ones."""

DISK_CODES: Final = frozenset({"vault_full", "vault_failed", "vault_unwritable", "vault_damaged"})
CHECKED_BYTES_MAX: Final = 268_435_456  # a vault up to this size is read through at each start, in about a second

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
    "CREATE TABLE IF NOT EXISTS gone (digest BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS erasures (
        data BLOB PRIMARY KEY,
        documents INTEGER NOT NULL,
        sidecars INTEGER NOT NULL) WITHOUT ROWID""",
)


class VaultError(Exception):
    """A document the vault does not take, or a vault that cannot be used; `code` is stable.

    The codes of the disk are in DISK_CODES; all others are the caller's.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Vault:
    """The open vault of one node."""

    def __init__(self, database: aiosqlite.Connection, path: Path) -> None:
        self._database = database
        self._path = path
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path) -> "Vault":
        """Open or create the vault. Raises VaultError with the fix named."""
        database: aiosqlite.Connection | None = None
        try:
            _check_length(path)
            database = await aiosqlite.connect(path, isolation_level=None)
            for line in (*_PRAGMAS, *_TABLES):
                await database.execute(line)
            await _check_pages(database)
        except sqlite3.Error as error:
            if database is not None:
                await database.close()
            raise _explain(error, path) from error
        return cls(database, path)

    async def close(self) -> None:
        """Finish a running write, then close (the connection's thread would keep the process alive)."""
        async with self._writing:
            await self._database.close()

    async def put(self, raw: bytes) -> Digest:
        """Keep an envelope whose owner signed it; grants of one kept before are added. Returns its digest.

        Raises VaultError: document_too_large, document_malformed, document_quota, document_erased, or what
        `check_envelope` says.
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
        if await self._read_one("SELECT 1 FROM gone WHERE digest = ?", (digest,)) is not None:
            raise VaultError("document_erased", "Its owner had this document erased: it is not taken in again.")
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
        grants = tuple(self._decode(row[1], Grant) for row in rows)
        if recipient is not None and recipient != calculate_account_id(PublicKey(found[0])):
            grants = tuple(one for one in grants if one.recipient == recipient and now_ms <= one.until_ms)
            if not grants:
                return None
        envelope = self._decode(found[1], VaultEnvelope)
        if envelope.digest != digest:
            raise _explain(sqlite3.DatabaseError("a document is not what its digest says"), self._path)
        return encode(msgspec.structs.replace(envelope, grants=grants))

    async def erase(self, digest: Digest, *, for_ever: bool = False) -> bool:
        """Forget a document and its wrapped keys; False when it was not held. The access log stays.

        `for_ever` refuses it from then on, whoever brings it. Raises VaultError("vault_busy") while somebody reads:
        then it is to be tried again.
        """
        return await self._run(self._forget(digest, for_ever=for_ever))

    async def note_erasure(self, data: ObjectId, documents: int, sidecars: int) -> None:
        """Keep what an order takes out of this node, for its receipt; where it is looked again, the most it was."""
        row = (data, documents, sidecars)
        sql = (
            "INSERT INTO erasures VALUES (?, ?, ?) ON CONFLICT (data) DO UPDATE SET"
            " documents = max(documents, excluded.documents), sidecars = max(sidecars, excluded.sidecars)"
        )
        await self._run(self._write((sql, [row])))

    async def read_erasure(self, data: ObjectId) -> tuple[int, int] | None:
        """Documents and sidecars that an order took out of this node; None while it did not."""
        row = await self._read_one("SELECT documents, sidecars FROM erasures WHERE data = ?", (data,))
        return None if row is None else (row[0], row[1])

    async def holds(self, digest: Digest) -> bool:
        """Whether the document is here, whoever may see it."""
        return await self._read_one("SELECT 1 FROM documents WHERE digest = ?", (digest,)) is not None

    async def list_documents(self) -> list[Digest]:
        """Digests of all documents held."""
        return [Digest(row[0]) for row in await self._read("SELECT digest FROM documents ORDER BY digest", ())]

    async def _forget(self, digest: Digest, *, for_ever: bool) -> bool:
        known = await self._read_one("SELECT 1 FROM documents WHERE digest = ?", (digest,))
        await self._write(
            ("DELETE FROM documents WHERE digest = ?", [(digest,)]),
            ("DELETE FROM grants WHERE digest = ?", [(digest,)]),
            ("INSERT OR IGNORE INTO gone VALUES (?)", [(digest,)] if for_ever else []),
        )
        ((busy, _, _),) = await self._database.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise VaultError("vault_busy", "A reader holds the journal of the vault: try again.")
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
                last=None if last is None else self._decode(last[0], SignedAccess),
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
        return [self._decode(row[0], SignedAccess) for row in rows]

    async def count_documents(self) -> int:
        """How many documents are kept."""
        row = await self._read_one("SELECT COUNT(*) FROM documents INDEXED BY documents_by_owner", ())
        return 0 if row is None else int(row[0])

    async def _read(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        try:
            return list(await self._database.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise _explain(error, self._path) from error

    def _decode(self, raw: bytes, kind: type[S]) -> S:
        """What was saved in canonical form; anything else was damaged on the disk."""
        try:
            return decode(raw, kind)
        except CodecError as error:
            raise _explain(sqlite3.DatabaseError(f"a row cannot be decoded: {error}"), self._path) from error

    async def _read_one(self, sql: str, parameters: tuple[object, ...]) -> sqlite3.Row | None:
        rows = await self._read(sql, parameters)
        return rows[0] if rows else None

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Writes come one after the other, and a caller that goes away does not stop one midway."""

        async def inside() -> T:
            async with self._writing:
                try:
                    return await work
                except sqlite3.Error as error:
                    raise _explain(error, self._path) from error

        return await asyncio.shield(asyncio.ensure_future(inside()))

    async def _write(self, *statements: tuple[str, Sequence[tuple[object, ...]]]) -> None:
        await self._database.execute("BEGIN IMMEDIATE")
        try:
            for sql, rows in statements:
                if rows:
                    await self._database.executemany(sql, rows)
            await self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a failed disk may have rolled it back already
                await self._database.execute("ROLLBACK")
            raise


def _check_length(path: Path) -> None:
    """Raises sqlite3.DatabaseError when the file is shorter than it says (SQLite's file format, section 1.3).

    Pages of the journal beside it may not be in it yet; whoever stopped in good order left none.
    """
    journal = path.with_name(path.name + "-wal")
    if not path.exists() or (journal.exists() and journal.stat().st_size):
        return
    with path.open("rb") as file:
        head = file.read(100)
    size = int.from_bytes(head[16:18], "big")
    pages = int.from_bytes(head[28:32], "big")
    is_known = len(head) == 100 and head[24:28] == head[92:96]
    if is_known and path.stat().st_size < pages * (65_536 if size == 1 else size):
        raise sqlite3.DatabaseError("its end is missing")


async def _check_pages(database: aiosqlite.Connection) -> None:
    """Raises sqlite3.DatabaseError when the file's pages do not hang together, or its end is missing."""
    ((pages,),) = await database.execute_fetchall("PRAGMA page_count")
    ((size,),) = await database.execute_fetchall("PRAGMA page_size")
    if pages * size > CHECKED_BYTES_MAX:
        return
    found = [str(row[0]) for row in await database.execute_fetchall("PRAGMA quick_check(1)")]
    if found != ["ok"]:
        raise sqlite3.DatabaseError("; ".join(found).splitlines()[-1][:200])


def _explain(error: sqlite3.Error, path: Path) -> VaultError:
    """The sentence for what SQLite says; its primary result code decides, since the words differ by version."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return VaultError("vault_full", f"The disk of {path} is full: free space; nothing that was kept is lost.")
    if code == sqlite3.SQLITE_IOERR:
        named = getattr(error, "sqlite_errorname", str(error))
        return VaultError(
            "vault_failed", f"The disk of {path} failed ({named}): free space or repair it; what was kept is not lost."
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return VaultError("vault_unwritable", f"Cannot use {path} ({error}): fix its owner or permissions.")
    return VaultError(
        "vault_damaged",
        f"{path} is damaged ({error}): restore a backup, or move it away, and statements come back from their owners"
        " and the other members.",
    )
