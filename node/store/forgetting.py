"""What is taken out of `ledger.sqlite` when history is forgotten, and how the file becomes smaller.

Rows of blocks stay: headers, finalizations, roots. Indexes go by whole eras; what is left of one names rows that are
gone, and readers pass over it. Bins are overwritten before their rows go. Never decide here how far.
"""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from node.store.parts import POSITION_MASK, Place
from protocol.ids import Height

BATCHES_AT_ONCE: Final = 4_096
INCREMENTAL: Final = 2
SPARE_BYTES: Final = 64 * 1024 * 1024
_ERAS: Final = (
    (
        "SELECT MIN(era), MAX(era) FROM transaction_places",
        "SELECT MAX(place) FROM transaction_places WHERE era = ?",
        "DELETE FROM transaction_places WHERE era = ?",
    ),
    (
        "SELECT MIN(era), MAX(era) FROM subject_places",
        "SELECT MAX(place) FROM subject_places WHERE era = ?",
        "DELETE FROM subject_places WHERE era = ?",
    ),
)


def forget(connection: sqlite3.Connection, base: Height, up_to: Height) -> None:
    """One transaction: nothing of the blocks above `base` up to `up_to` but their rows, and `base` says so."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(
            "UPDATE sidecars SET raw = zeroblob(length(raw)) WHERE height BETWEEN ? AND ?", (base, up_to)
        )
        connection.execute(
            "DELETE FROM sidecar_uses WHERE (batch, position) IN"
            " (SELECT batch, position FROM sidecars WHERE height <= ?)",
            (up_to,),
        )
        connection.execute("DELETE FROM sidecars WHERE height <= ?", (up_to,))
        while connection.execute(
            "DELETE FROM batches WHERE height <= ? AND serial IN (SELECT serial FROM batches ORDER BY serial LIMIT ?)",
            (up_to, BATCHES_AT_ONCE),
        ).rowcount:
            pass
        connection.execute("DELETE FROM receipts WHERE height <= ?", (up_to,))
        connection.execute("DELETE FROM events WHERE height <= ?", (up_to,))
        last = Place(up_to, POSITION_MASK).to_number()
        for statements in _ERAS:
            _forget_eras(connection, *statements, last)
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('base', ?)", (str(up_to).encode(),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    # As a script: `execute` would stop after the first page. 2,048 pages are eight megabytes given back.
    connection.executescript("PRAGMA incremental_vacuum(2048)")


def _forget_eras(connection: sqlite3.Connection, ends: str, find: str, forget: str, last: int) -> None:
    """The oldest eras of an index, as long as all of one is forgotten; never the one that rows fall into now."""
    while True:
        first, present = connection.execute(ends).fetchone()
        if first is None or first == present or connection.execute(find, (first,)).fetchone()[0] > last:
            return
        connection.execute(forget, (first,))


def let_shrink(path: Path) -> bool:
    """Prepare a file that nobody uses to give pages back; whether that was done or needed not be. Raises sqlite3.Error.

    Costs nothing for a new one. A large one is copied once; where there is no room for that, it stays as it is, and
    what is forgotten leaves room inside it.
    """
    size = path.stat().st_size if path.exists() else 0
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if connection.execute("PRAGMA auto_vacuum").fetchone() == (INCREMENTAL,):
            return True
        if shutil.disk_usage(path.parent).free < 2 * size + SPARE_BYTES:
            return False
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("VACUUM")
        return True
