"""Puts a fetched snapshot into the database: all of it in one transaction, before anything else of the node runs.

A crash before the commit leaves the database as it was and the snapshot where it lies; one after it leaves a database
that is there already, and the rest is removed at the next start. History below the snapshot is not kept: `base` says
so. Never install over newer state, and never without hashing the rows to the finalised root first.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

import msgspec

from node.snapshot.incoming import Incoming
from node.snapshot.shelf import NoRoomError
from node.store.schema import PRAGMAS
from node.telemetry import get_logger
from protocol.codec import encode
from protocol.genesis import Genesis
from protocol.ids import Height
from protocol.snapshot import Row, SnapshotContent, SnapshotFault, VerifiedSnapshot, check_manifest

GROUP_ROWS: Final = 512
NO_ROOM: Final = (
    "the disk has too little room: free some; the next start installs it, and blocks are fetched until then"
)
EMPTIED: Final = (
    "DELETE FROM blocks",
    "DELETE FROM epochs",
    "DELETE FROM batches",
    "DELETE FROM sidecars",
    "DELETE FROM sidecar_uses",
    "DELETE FROM receipts",
    "DELETE FROM transaction_places",
    "DELETE FROM state",
    "DELETE FROM events",
    "DELETE FROM subject_places",
)
"""Everything of the chain: the snapshot stands in its place."""


def try_install(data_dir: Path, database: Path, genesis: Genesis, height: Height) -> VerifiedSnapshot | None:
    """Install what was fetched whole, if it is newer than the database's `height`; else leave or remove it.

    The database exists, is of this genesis and nobody uses it. On a disk that is too full the snapshot stays where it
    lies. Raises sqlite3.Error and OSError.
    """
    incoming, log = Incoming(data_dir), get_logger("snapshot")
    manifest = incoming.read_manifest()
    if manifest is None:
        return None
    found = check_manifest(manifest, genesis)
    if isinstance(found, VerifiedSnapshot) and found.height > height:
        if not incoming.is_complete(found.content):
            return None  # to be gone on with
        fault = incoming.check_state(found)
        if fault is None:
            if not _try_write(database, incoming, found):
                log.warning("snapshot_waits", height=found.height, reason=NO_ROOM)
                return None
            log.info("snapshot_installed", height=found.height, rows=found.content.rows, height_before=height)
            incoming.remove()
            return found
    else:
        fault = found if isinstance(found, SnapshotFault) else None
    if fault is not None:
        log.warning("snapshot_refused", code=fault.code, reason=fault.sentence)
    incoming.remove()
    return None


def _try_write(database: Path, incoming: Incoming, snapshot: VerifiedSnapshot) -> bool:
    """Install it, if the disk has room; else all is as it was. Raises sqlite3.Error and OSError for other failures."""
    try:
        incoming.check_room_to_install(snapshot.content)
        write_snapshot(database, incoming, snapshot)
    except NoRoomError:
        return False
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_FULL:
            raise
        with closing(sqlite3.connect(database)) as connection:  # the journal of the attempt gives its room back
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return False
    return True


class RowSource(Protocol):
    """Where the rows of a snapshot lie."""

    def read_rows(self, content: SnapshotContent) -> Iterator[Row]:
        """All rows, in order. Raises RowsError, perhaps after some, and OSError."""


def write_snapshot(database: Path, incoming: RowSource, snapshot: VerifiedSnapshot) -> None:
    """One transaction: the chain's tables emptied and filled anew. Raises sqlite3.Error, RowsError, OSError."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
        connection.execute("PRAGMA secure_delete=ON")  # bins that were here leave no trace in freed pages
        connection.execute("BEGIN IMMEDIATE")
        for statement in EMPTIED:
            connection.execute(statement)
        for group in _group(incoming.read_rows(snapshot.content)):
            connection.executemany("INSERT INTO state VALUES (?, ?, ?)", group)
        connection.executemany("INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?)", _make_block_rows(snapshot))
        connection.executemany("INSERT INTO epochs VALUES (?, ?, ?, ?, ?)", _make_epoch_rows(snapshot))
        mountains = msgspec.msgpack.encode((snapshot.mountains.size, snapshot.mountains.peaks))
        meta = [("mountains", mountains), ("base", str(snapshot.height).encode())]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta)
        connection.execute("DELETE FROM meta WHERE key = 'finalization'")  # of a block that is gone
        commit(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()  # rolls back what is not committed


def commit(connection: sqlite3.Connection) -> None:
    """From here on the node stands at the snapshot."""
    connection.execute("COMMIT")


def _group(rows: Iterator[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    for row in rows:
        group.append(row)
        if len(group) == GROUP_ROWS:
            yield group
            group = []
    yield group


def _make_block_rows(snapshot: VerifiedSnapshot) -> Iterator[tuple[object, ...]]:
    """The blocks whose roots later headers may name; one that ended an epoch brings its finalization."""
    ends = {one.header.height: encode(one.finalization) for one in snapshot.epochs}
    for block, roots in zip(snapshot.content.blocks, snapshot.roots, strict=True):
        digest = block.header.calculate_digest()
        end = ends.get(roots.height)
        yield (roots.height, digest, encode(block), end, roots.state_root, roots.receipts_root, roots.exec_root)


def _make_epoch_rows(snapshot: VerifiedSnapshot) -> Iterator[tuple[object, ...]]:
    for one in snapshot.epochs:
        header = one.header
        yield (header.epoch, header.height, encode(header), encode(one.finalization), encode(one.validators))
