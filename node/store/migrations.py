"""How a database of an earlier release becomes one of this release: forward only, all steps in one transaction.

    MIGRATIONS[4]      leads from schema 3 to schema 4; one step for each change of tables, never changed afterwards

A step that fails leaves the database as it was, and the node does not start. There is no way back but a backup, so a
step must not lose anything that an earlier release needs only to be kept. Never repair damage here.
"""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from node.store.faults import StoreError
from node.store.schema import SCHEMA_VERSION, TABLES
from node.store.sidecars import split_batch
from node.telemetry import get_logger
from protocol.ids import ChainId

Migration = Callable[[sqlite3.Connection], None]


def _take_bins_out(connection: sqlite3.Connection) -> None:
    """Schema 4: bins and salts stand in rows of their own, where they can be erased, and no longer inside batches."""
    for table in TABLES:
        connection.execute(table)
    serial = 0
    while True:
        row = connection.execute(
            "SELECT serial, digest, height, raw FROM batches WHERE serial > ? ORDER BY serial LIMIT 1", (serial,)
        ).fetchone()
        if row is None:
            return
        serial, digest, height, raw = row
        rest, taken = split_batch(raw)
        if taken:
            connection.execute("UPDATE batches SET raw = ? WHERE serial = ?", (rest, serial))
            connection.executemany(
                "INSERT OR IGNORE INTO sidecars (batch, position, height, raw) VALUES (?, ?, ?, ?)",
                [(digest, one.position, height, one.raw) for one in taken],
            )
            connection.executemany(
                "INSERT OR IGNORE INTO sidecar_uses VALUES (?, ?, ?)",
                [(data, digest, one.position) for one in taken for data in one.data],
            )


MIGRATIONS: Final[dict[int, Migration]] = {4: _take_bins_out}
"""By the schema that a step leads to."""


def read_schema(connection: sqlite3.Connection) -> int | None:
    """The schema of a database; None for one that nothing was written to."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
        return None
    row = connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchone()
    return None if row is None else int(row[0])


def migrate(
    path: Path, chain_id: ChainId, steps: dict[int, Migration] = MIGRATIONS, target: int = SCHEMA_VERSION
) -> int | None:
    """Bring a database that nobody uses to `target`; the schema it had, None when nothing was to be done.

    One of another network is left alone: whoever opened it is told so by name.

    Raises StoreError for one that is newer, or too old, and sqlite3.Error; the database is as it was then.
    """
    if not path.exists():
        return None
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        held = read_schema(connection)
        if held is None or held == target or not _is_of(connection, chain_id):
            return None
        if held > target:
            raise StoreError(
                "schema_newer",
                f"The database was written by a newer release (schema {held}; this one reads {target}): install that"
                " release again, or restore a backup from before.",
            )
        wanted = range(held + 1, target + 1)
        if any(number not in steps for number in wanted):
            raise StoreError(
                "schema_too_old",
                f"The database has schema {held}, from which this release (schema {target}) knows no way: install a"
                " release in between first, or move it away and sync anew.",
            )
        _run(connection, path, [steps[number] for number in wanted], target)
    get_logger("store").info("schema_migrated", schema_before=held, schema=target)
    return held


def _is_of(connection: sqlite3.Connection, chain_id: ChainId) -> bool:
    row = connection.execute("SELECT value FROM meta WHERE key = 'chain_id'").fetchone()
    return row is not None and row[0] == chain_id


def _run(connection: sqlite3.Connection, path: Path, steps: list[Migration], target: int) -> None:
    if shutil.disk_usage(path.parent).free < path.stat().st_size:
        raise StoreError("disk_full", f"Changing the database for this release needs {path.stat().st_size} free bytes.")
    connection.execute("PRAGMA secure_delete=ON")  # what a step moves leaves no copy where it was
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            step(connection)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(target).encode(),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
