"""`ledger.sqlite`: finalised blocks, their batches, receipts, events, and the state rows after the last of them.

One writer (`node.store.blockwriter`) and a few readers through aiosqlite (WAL). A block is saved in one transaction
with everything that follows from it, so a crash leaves the block saved or not there at all. Never save what is not
finalised, and never cancel inside a transaction.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiosqlite
import msgspec

from node.store.blockwriter import BlockWriter, Rows
from node.store.faults import StoreError, explain, lock_database
from node.store.forgetting import forget, let_shrink
from node.store.migrations import migrate
from node.store.outcome import Outcome, make_state_rows, make_tables
from node.store.parts import (
    PART,
    POSITION_BITS,
    POSITION_MASK,
    Era,
    Eras,
    EventRow,
    Executed,
    Place,
    read_events,
    read_receipts,
    shorten,
)
from node.store.schema import PRAGMAS, READER_PRAGMAS, SCHEMA_VERSION, TABLES
from node.store.sidecars import COUNT_OF_DATA, KEPT_FROM, READ_OF, empty_journal, erase_of_data, erase_up_to, join_batch
from protocol.batch import Batch, calculate_transaction_id
from protocol.block import Block, Header, calculate_genesis_digest
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode
from protocol.epochs import EpochProof
from protocol.genesis import Genesis
from protocol.ids import (
    BatchDigest,
    BlockDigest,
    Digest,
    Epoch,
    Height,
    ObjectId,
    PublicKeyField,
    TransactionId,
    View,
)
from protocol.ledger.execute import Execution
from protocol.ledger.records import Receipt
from protocol.merkle import NO_MOUNTAINS, Mountains

__all__ = [
    "ChainStore",
    "ExecRow",
    "SavedTip",
    "StoreError",
    "StoredEvent",
    "StoredTransaction",
    "explain",
    "lock_database",
]

T = TypeVar("T")

READERS = 2
_LAST_TRANSACTIONS = (
    "SELECT era, COUNT(*) FROM transaction_places WHERE era = (SELECT MAX(era) FROM transaction_places)"
)
_LAST_SUBJECTS = "SELECT era, COUNT(*) FROM subject_places WHERE era = (SELECT MAX(era) FROM subject_places)"


class SavedTip(NamedTuple):
    """The last saved block; height 0 stands for the genesis."""

    height: Height
    view: View
    digest: BlockDigest
    header: Header | None
    finalization: Certificate | None
    mountains: Mountains
    exec_root: Digest


class StoredTransaction(msgspec.Struct, frozen=True):
    """An executed transaction with its receipt."""

    id: TransactionId
    height: Height
    index: int
    batch: BatchDigest
    raw: bytes
    receipt: bytes


class StoredEvent(msgspec.Struct, frozen=True):
    """A ledger event as subscribers see it; `data` is JSON."""

    height: Height
    index: int
    kind: str
    data: bytes


class ExecRow(NamedTuple):
    """What executing one block came to; links its exec_root to the one before."""

    height: Height
    state_root: Digest
    receipts_root: Digest
    exec_root: Digest


class ChainStore:
    """The open database of one node."""

    def __init__(self, writer: BlockWriter, readers: list[aiosqlite.Connection], lock: int) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self._turn = 0
        self._writing = asyncio.Lock()
        self._genesis_digest = BlockDigest(bytes(32))
        self._eras = Eras(Era(0, 0), Era(0, 0))
        self.base = Height(0)
        """Nothing is here of the blocks up to this one: the chain began with a snapshot. 0: the whole history is."""

    @classmethod
    async def open(cls, path: Path, genesis: Genesis, *, shrinks: bool = False) -> "ChainStore":
        """Open or create the database for `genesis`; a file that `shrinks` gives back what is forgotten.

        Raises StoreError with the fix named.
        """
        lock = lock_database(path.with_suffix(".lock"))
        connections: list[aiosqlite.Connection] = []
        writer: BlockWriter | None = None
        try:
            await asyncio.to_thread(migrate, path, genesis.calculate_chain_id())
            if shrinks:
                await asyncio.to_thread(let_shrink, path)
            for _ in range(READERS):
                connection = await aiosqlite.connect(path, isolation_level=None)
                connections.append(connection)
                for pragma in READER_PRAGMAS:
                    await connection.execute(pragma)
                if len(connections) == 1:
                    for table in TABLES:
                        await connection.execute(table)
            writer = BlockWriter(path, PRAGMAS)
            store = cls(writer, connections, lock)
            await store._check_identity(genesis)
        except BaseException as error:
            for connection in connections:
                await connection.close()
            if writer is not None:
                await writer.close()
            os.close(lock)
            if isinstance(error, sqlite3.Error):
                raise explain(error, path) from error
            raise
        return store

    async def _check_identity(self, genesis: Genesis) -> None:
        chain_id = genesis.calculate_chain_id()
        self._genesis_digest = calculate_genesis_digest(chain_id)
        held = await self._read_meta("chain_id")
        if held is None:
            schema = str(SCHEMA_VERSION).encode()
            await self._writer.write([Rows("INSERT INTO meta VALUES", [("chain_id", chain_id), ("schema", schema)])])
        elif held != chain_id:
            raise StoreError(
                "wrong_genesis",
                "This data directory belongs to another network: its chain id differs from genesis.json."
                " Use the right genesis.json, or an empty data directory.",
            )
        self._eras = Eras(await self._find_era(_LAST_TRANSACTIONS), await self._find_era(_LAST_SUBJECTS))

    async def _find_era(self, query: str) -> Era:
        (row,) = await self._fetch(query, ())
        return Era(row[0] or 0, row[1])

    async def _read_meta(self, key: str) -> bytes | None:
        rows = await self._fetch("SELECT value FROM meta WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    async def _fetch(self, sql: str, parameters: tuple[object, ...]) -> list[sqlite3.Row]:
        """Rows of a query. Raises StoreError, as every read does, when the disk or the file is damaged."""
        self._turn = (self._turn + 1) % len(self._readers)
        try:
            return list(await self._readers[self._turn].execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise explain(error, None) from error

    async def _fetch_of(self, sql: str, keys: Sequence[bytes]) -> list[sqlite3.Row]:
        """Rows of a query about several keys, which stand at its `{places}`."""
        return await self._fetch(sql.format(places=", ".join("?" * len(keys))), tuple(keys)) if keys else []

    async def load_tip(self) -> SavedTip:
        """The last saved block; at height 0 the exec_root is empty, since only the ledger knows the genesis state."""
        base = await self._read_meta("base")
        self.base = Height(0 if base is None else int(base))
        rows = await self._fetch("SELECT height, digest, block, exec_root FROM blocks ORDER BY height DESC LIMIT 1", ())
        if not rows:
            return SavedTip(Height(0), View(0), self._genesis_digest, None, None, NO_MOUNTAINS, Digest(b""))
        height, digest, raw, exec_root = rows[0]
        header = _decode_row(raw, Block).header
        mountains = await self._read_meta("mountains")
        assert mountains is not None, "saved with every block"
        size, peaks = msgspec.msgpack.decode(mountains, type=tuple[int, tuple[Digest, ...]])
        found = await self.read_finalization(Height(height))
        if found is None:
            newest = await self._read_meta("finalization")
            found = (height, _decode_row(newest, Certificate)) if newest is not None else None
        finalization = found[1] if found else None
        view = finalization.view if finalization is not None else header.view
        return SavedTip(height, view, digest, header, finalization, Mountains(size, peaks), exec_root)

    async def load_rows(self) -> list[tuple[int, bytes, bytes]]:
        """All state rows after the last saved block: (family, key, value)."""
        return [(row[0], row[1], row[2]) for row in await self._fetch("SELECT family, key, value FROM state", ())]

    async def save_block(
        self,
        *,
        block: Block,
        digest: BlockDigest,
        finalization: Certificate | None,
        mountains: Mountains,
        batches: Sequence[tuple[BatchDigest, bytes]],
        execution: Execution,
        transactions: Sequence[Executed],
        genesis_rows: Iterable[tuple[int, bytes, bytes]] = (),
    ) -> None:
        """Save one block; see `save_blocks`."""
        outcome = Outcome(block, digest, finalization, mountains, batches, execution, transactions)
        await self.save_blocks((outcome,), genesis_rows)

    async def save_blocks(
        self, outcomes: Sequence[Outcome], genesis_rows: Iterable[tuple[int, bytes, bytes]] = ()
    ) -> None:
        """Save consecutive finalised, executed blocks in one durable transaction. `genesis_rows` go with the first.

        Raises StoreError("disk_full" ...) when the disk refuses; nothing of them is saved then.
        """
        genesis = list(genesis_rows)

        def make() -> list[Rows]:
            return [make_state_rows(genesis), *make_tables(outcomes, self._eras)]

        # The lock belongs to the write, not to whoever waits: a cancelled waiter must not let the next save in.
        await asyncio.shield(asyncio.ensure_future(self._write(make)))

    async def _write(self, make: Callable[[], Sequence[Rows]]) -> None:
        async with self._writing:
            try:
                await self._writer.write_made(make)
            except sqlite3.Error as error:
                raise explain(error, None) from error

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """Up to `count` consecutive saved blocks from `height_from` on."""
        rows = await self._fetch(
            "SELECT block FROM blocks WHERE height >= ? ORDER BY height LIMIT ?", (height_from, count)
        )
        return tuple(_decode_row(row[0], Block) for row in rows)

    async def read_block(self, height: Height) -> Block | None:
        """The saved block of `height`."""
        blocks = await self.read_blocks(height, 1)
        return blocks[0] if blocks and blocks[0].header.height == height else None

    async def find_block(self, digest: BlockDigest) -> Block | None:
        """The saved block with this digest."""
        rows = await self._fetch("SELECT block FROM blocks WHERE digest = ?", (digest,))
        return _decode_row(rows[0][0], Block) if rows else None

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """The lowest saved finalization at or above a height; it covers all blocks up to its own."""
        rows = await self._fetch(
            "SELECT height, finalization FROM blocks WHERE height >= ? AND finalization IS NOT NULL"
            " ORDER BY height LIMIT 1",
            (height_at_least,),
        )
        return (rows[0][0], _decode_row(rows[0][1], Certificate)) if rows else None

    async def read_epochs(self, first: Epoch, count: int) -> tuple[EpochProof, ...]:
        """How so many epochs ended, from `first` on, as far as they have."""
        rows = await self._fetch(
            "SELECT header, finalization, validators FROM epochs WHERE epoch >= ? ORDER BY epoch LIMIT ?",
            (first, count),
        )
        return tuple(
            EpochProof(
                header=_decode_row(row[0], Header),
                finalization=_decode_row(row[1], Certificate),
                validators=_decode_row(row[2], tuple[PublicKeyField, ...]),
            )
            for row in rows
        )

    async def read_batch(self, digest: BatchDigest) -> bytes | None:
        """Canonical bytes of a batch that a saved block orders, with those of its sidecars that are not erased."""
        return (await self.read_batches((digest,))).get(digest)

    async def read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
        """The same of several, by digest; what no saved block orders is left out."""
        query = "SELECT digest, raw FROM batches WHERE digest IN ({places})"
        found = {row[0]: row[1] for row in await self._fetch_of(query, digests)}
        left: dict[bytes, list[tuple[int, bytes]]] = {digest: [] for digest in found}
        for digest, position, raw in await self._fetch_of(READ_OF, tuple(found)):
            left[digest].append((position, raw))
        try:
            return {digest: join_batch(raw, left[digest]) for digest, raw in found.items()}
        except CodecError as error:
            raise _damaged(error) from error

    async def count_sidecars(self, data: ObjectId) -> int:
        """How many sets of bins that were computed from the data are not erased."""
        return int((await self._fetch(COUNT_OF_DATA, (data,)))[0][0])

    async def erase_sidecars(self, data: ObjectId) -> int:
        """Erase all bins and salts computed from the data, in the file and its journal; how many applications' they
        were. Raises StoreError("journal_busy") while a reader holds the journal: then it is to be tried again.
        """
        return await self._erase(lambda connection: erase_of_data(connection, data))

    async def erase_sidecars_up_to(self, first: Height, last: Height) -> int:
        """The same of all that blocks from `first` to `last` brought; the next time `first` is above `last`."""
        return await self._erase(lambda connection: erase_up_to(connection, first, last))

    async def _erase(self, work: Callable[[sqlite3.Connection], int]) -> int:
        async def erase() -> int:
            async with self._writing:
                try:
                    count, emptied = await self._writer.run(work), await self._writer.run(empty_journal)
                except sqlite3.Error as error:
                    raise explain(error, None) from error
            if not emptied:
                raise StoreError("journal_busy", "A reader holds the journal of the database: try again.")
            return count

        return await asyncio.shield(asyncio.ensure_future(erase()))

    async def read_sidecars_from(self) -> Height:
        """The first height whose bins were not erased for their age."""
        held = await self._read_meta(KEPT_FROM)
        return Height(self.base + 1 if held is None else int(held))

    async def prune(self, up_to: Height) -> None:
        """Forget what blocks up to a height brought, but for their rows. Raises StoreError, and all is still there."""

        async def prune() -> None:
            async with self._writing:
                try:
                    await self._writer.run(lambda connection: forget(connection, self.base, up_to))
                except sqlite3.Error as error:
                    raise explain(error, None) from error
                self.base = up_to

        if up_to > self.base:
            await asyncio.shield(asyncio.ensure_future(prune()))

    async def find_transaction(self, transaction_id: TransactionId) -> StoredTransaction | None:
        """An executed transaction by id, with its signed bytes and receipt."""
        rows = await self._fetch(
            "WITH RECURSIVE eras(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM eras WHERE n < ?)"
            " SELECT p.place, r.raw FROM eras CROSS JOIN transaction_places p ON p.era = eras.n AND p.short = ?"
            " JOIN receipts r ON r.height = p.place >> ? AND r.part = (p.place & ?) / ?",
            (self._eras.transactions.number, shorten(transaction_id), POSITION_BITS, POSITION_MASK, PART),
        )
        for number, raw in rows:  # almost always one: others have the first eight bytes of their id in common
            place = Place.from_number(number)
            batch, receipt = _pick(list(_read(read_receipts, [raw])), place)
            if _decode_row(receipt, Receipt).transaction_id == transaction_id:
                signed = await self._find_signed(batch, transaction_id)
                return StoredTransaction(transaction_id, place.height, place.position, batch, signed, receipt)
        return None

    async def _find_signed(self, digest: BatchDigest, transaction_id: TransactionId) -> bytes:
        raw = await self.read_batch(digest)
        items = () if raw is None else _decode_row(raw, Batch).items
        for item in items:
            if calculate_transaction_id(item.transaction) == transaction_id:
                return item.transaction
        raise StoreError("database_damaged", "A batch does not hold a transaction it is listed with: restore a backup.")

    async def read_block_receipts(self, height: Height) -> list[bytes]:
        """Canonical receipts of one block, in order."""
        rows = await self._fetch("SELECT raw FROM receipts WHERE height = ? ORDER BY part", (height,))
        return [receipt for _, receipt in _read(read_receipts, [row[0] for row in rows])]

    async def read_exec_rows(self, height_from: Height, height_to: Height) -> list[ExecRow]:
        """What executing the blocks of an inclusive range came to."""
        rows = await self._fetch(
            "SELECT height, state_root, receipts_root, exec_root FROM blocks WHERE height BETWEEN ? AND ?"
            " ORDER BY height",
            (height_from, height_to),
        )
        return [ExecRow(*row) for row in rows]

    async def read_events(self, after_height: Height, after_index: int, limit: int) -> list[StoredEvent]:
        """Events after a position, oldest first."""
        found: list[StoredEvent] = []
        height, part, parts = after_height, (after_index + 1) // PART, limit // PART + 2
        while True:
            rows = await self._fetch(
                "SELECT height, part, raw FROM events WHERE (height, part) >= (?, ?) ORDER BY height, part LIMIT ?",
                (height, part, parts),
            )
            for height, part, raw in rows:
                for i, row in enumerate(_read(read_events, [raw]), part * PART):
                    if (height, i) > (after_height, after_index):
                        found.append(StoredEvent(height, i, row.kind, row.data))
            if len(found) >= limit or len(rows) < parts:
                return found[:limit]
            part, parts = part + 1, 2 * parts  # small blocks fill their parts badly

    async def read_subject_events(
        self, subject: bytes, limit: int, *, after: tuple[int, int] = (0, -1)
    ) -> list[StoredEvent]:
        """Events about one object (loan, application, account, ...) after a position, oldest first: its history."""
        found: list[StoredEvent] = []
        last = Place(Height(after[0]), after[1] + 1).to_number() - 1
        last = max(last, Place(self.base, POSITION_MASK).to_number())  # an index may still name what is forgotten
        while len(found) < limit:
            rows = await self._fetch(
                "WITH RECURSIVE eras(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM eras WHERE n < ?)"
                " SELECT p.place FROM eras CROSS JOIN subject_places p"
                " ON p.era = eras.n AND p.short = ? AND p.place > ? LIMIT ?",
                (self._eras.subjects.number, shorten(subject), last, limit),
            )
            places = [Place.from_number(row[0]) for row in rows]
            assert places == sorted(places), "an era's places follow those of the era before"
            parts = await self._read_parts(dict.fromkeys([(one.height, one.part) for one in places]))
            for one in places:
                row = _pick(parts[one.height, one.part], one)
                if subject in row.subjects:
                    found.append(StoredEvent(one.height, one.position, row.kind, row.data))
            if len(places) < limit:
                break
            last = places[-1].to_number()
        return found[:limit]

    async def _read_parts(self, wanted: Iterable[tuple[Height, int]]) -> dict[tuple[Height, int], list[EventRow]]:
        parts: dict[tuple[Height, int], list[EventRow]] = {}
        for height, part in wanted:
            rows = await self._fetch("SELECT raw FROM events WHERE height = ? AND part = ?", (height, part))
            parts[height, part] = list(_read(read_events, [row[0] for row in rows]))
        return parts

    async def close(self) -> None:
        """Finish a running save, then close every connection (their threads would keep the process alive)."""
        async with self._writing:
            for connection in self._readers:
                await connection.close()
            await self._writer.close()
            os.close(self._lock)


def _read(reader: Callable[[Iterable[bytes]], Iterator[T]], parts: Iterable[bytes]) -> Iterator[T]:
    """What rows of several things hold. Raises StoreError for bytes that were never written so."""
    try:
        yield from reader(parts)
    except CodecError as error:
        raise _damaged(error) from error


def _pick(part: Sequence[T], place: Place) -> T:
    """One of a part. Raises StoreError when the part is too short for it."""
    at = place.position % PART
    if at >= len(part):
        raise _damaged(f"nothing stands at {place.height}-{place.position}")
    return part[at]


def _damaged(reason: object) -> StoreError:
    return StoreError(
        "database_damaged", f"A row of the database is damaged ({reason}): restore a backup, or sync anew."
    )


def _decode_row(raw: bytes, kind: type[T]) -> T:
    """What a row holds. Raises StoreError for bytes that were never written so."""
    try:
        return decode(raw, kind)
    except CodecError as error:
        raise _damaged(error) from error
