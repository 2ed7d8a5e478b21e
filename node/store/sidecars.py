"""Bins and their salts in `ledger.sqlite`, apart from the batches they travelled in, so that they can be erased.

    sidecars        one row for each application in a saved batch: what `split_batch` took out of it
    sidecar_uses    data -> the rows that were computed from it

A row is written once, at the end of its table, and erased in place by zeros of the same length: no page is split or
merged meanwhile, so that no copy stays behind in one. What is erased here is gone once the journal was emptied as well.
Never decide here what is to be erased.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from node.store.blockwriter import Rows
from protocol.batch import Batch, BatchItem, Sidecar
from protocol.codec import CodecError, decode, encode
from protocol.ids import BatchDigest, Height, ObjectId
from protocol.rejections import Rejection
from protocol.transactions.envelope import decode_transaction
from protocol.transactions.lending import Apply

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS sidecars (
        serial INTEGER PRIMARY KEY,
        batch BLOB NOT NULL,
        position INTEGER NOT NULL,
        height INTEGER NOT NULL,
        raw BLOB NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS sidecars_by_batch ON sidecars (batch, position)",
    "CREATE INDEX IF NOT EXISTS sidecars_by_height ON sidecars (height)",
    """CREATE TABLE IF NOT EXISTS sidecar_uses (
        data BLOB NOT NULL,
        batch BLOB NOT NULL,
        position INTEGER NOT NULL,
        PRIMARY KEY (data, batch, position)) WITHOUT ROWID""",
)
READ_OF: Final = "SELECT batch, position, raw FROM sidecars WHERE batch IN ({places}) ORDER BY batch, position"
"""Of so many batches as have a place."""
_READ: Final = "SELECT position, raw FROM sidecars WHERE batch = ? ORDER BY position"
KEPT_FROM: Final = "sidecars_from"
"""Key in `meta`: the first height whose bins were not erased for their age."""
ERASED: Final = b"\0"
"""First byte of a row that was erased: no list of sidecars begins with it."""
_GONE: Final = "UPDATE sidecars SET raw = zeroblob(length(raw)) WHERE substr(raw, 1, 1) <> x'00' AND "
_OF_DATA: Final = (
    "serial IN (SELECT s.serial FROM sidecar_uses u CROSS JOIN sidecars s"
    " ON s.batch = u.batch AND s.position = u.position WHERE u.data = ?)"
)
COUNT_OF_DATA: Final = (
    "SELECT COUNT(*) FROM sidecar_uses u CROSS JOIN sidecars s ON s.batch = u.batch AND s.position = u.position"
    " WHERE u.data = ? AND substr(s.raw, 1, 1) <> x'00'"
)
_BATCHES: Final = msgspec.msgpack.Decoder(Batch)
"""Of bytes that were checked before."""


class Taken(NamedTuple):
    """What was taken out of one transaction of a batch."""

    position: int
    data: tuple[ObjectId, ...]
    raw: bytes


def split_batch(raw: bytes) -> tuple[bytes, list[Taken]]:
    """A batch without its sidecars, which are beside it; the bytes as they are where it has none."""
    batch = _BATCHES.decode(raw)
    if not any(item.sidecars for item in batch.items):
        return raw, []
    taken = [
        Taken(position, _list_data(item), encode(item.sidecars))
        for position, item in enumerate(batch.items)
        if item.sidecars
    ]
    bare = tuple(msgspec.structs.replace(item, sidecars=()) if item.sidecars else item for item in batch.items)
    return encode(Batch(items=bare)), taken


def _list_data(item: BatchItem) -> tuple[ObjectId, ...]:
    transaction = decode_transaction(item.transaction)
    assert not isinstance(transaction, Rejection), "verified before it was saved"
    payload = transaction.body.payload
    return tuple(ObjectId(one) for one in dict.fromkeys(payload.data)) if isinstance(payload, Apply) else ()


def make_batch_tables(height: Height, batches: Sequence[tuple[BatchDigest, bytes]]) -> list[Rows]:
    """Rows of the batches of one block."""
    bare: list[tuple[bytes, int, bytes]] = []
    sidecars: list[tuple[bytes, int, int, bytes]] = []
    uses: list[tuple[bytes, bytes, int]] = []
    for digest, raw in batches:
        rest, taken = split_batch(raw)
        bare.append((digest, height, rest))
        sidecars += [(digest, one.position, height, one.raw) for one in taken]
        uses += [(data, digest, one.position) for one in taken for data in one.data]
    return [
        Rows("INSERT OR IGNORE INTO batches (digest, height, raw) VALUES", bare),
        Rows("INSERT OR IGNORE INTO sidecars (batch, position, height, raw) VALUES", sidecars),
        Rows("INSERT OR IGNORE INTO sidecar_uses VALUES", sorted(uses)),
    ]


def join_batch(raw: bytes, sidecars: Iterable[tuple[int, bytes]]) -> bytes:
    """The batch with what is left of its sidecars. Raises CodecError for bytes that were never written so."""
    left = {position: row for position, row in sidecars if row[:1] != ERASED}
    if not left:
        return raw
    items = list(decode(raw, Batch).items)
    for position, row in left.items():
        if position >= len(items):
            raise CodecError("sidecars of no transaction")
        items[position] = msgspec.structs.replace(items[position], sidecars=decode(row, tuple[Sidecar, ...]))
    return encode(Batch(items=tuple(items)))


def read_whole_batch(connection: sqlite3.Connection, digest: bytes) -> bytes | None:
    """Canonical bytes of a saved batch with what is left of its sidecars, for checks from outside.

    None when it is not there. Raises CodecError for what was never written so.
    """
    row = connection.execute("SELECT raw FROM batches WHERE digest = ?", (digest,)).fetchone()
    return None if row is None else join_batch(row[0], connection.execute(_READ, (digest,)).fetchall())


def erase_of_data(connection: sqlite3.Connection, data: ObjectId) -> int:
    """Erase all that was computed from the data; how many rows. The journal is emptied by `empty_journal`."""
    return _erase(connection, _OF_DATA, (data,))


def count_of_data(connection: sqlite3.Connection, data: ObjectId) -> int:
    """How many rows that were computed from the data are not erased."""
    (count,) = connection.execute(COUNT_OF_DATA, (data,)).fetchone()
    return int(count)


def erase_up_to(connection: sqlite3.Connection, first: Height, last: Height) -> int:
    """Erase what blocks from `first` to `last` brought; how many rows."""
    count = _erase(connection, "height BETWEEN ? AND ?", (first, last))
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (KEPT_FROM, str(last + 1).encode()))
    return count


def _erase(connection: sqlite3.Connection, which: str, parameters: tuple[object, ...]) -> int:
    connection.execute("BEGIN IMMEDIATE")
    try:
        count = connection.execute(_GONE + which, parameters).rowcount
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return count


def empty_journal(connection: sqlite3.Connection) -> bool:
    """Write the journal (WAL) into the database and cut it to nothing; False while a reader still needs it."""
    busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy
