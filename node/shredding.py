"""Copies of a node's databases that lie beside them (set aside by a rebuild, kept before a repair) are erased as well.

A copy is any file of the data directory in SQLite's format that has the tables concerned. Never touch the databases
that are open: their own rooms erase in them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from node.store.sidecars import empty_journal, erase_of_data
from protocol.ids import Digest, ObjectId

MAGIC: Final = b"SQLite format 3\0"
OPEN: Final = frozenset({"ledger.sqlite", "vault.sqlite", "alerts.sqlite"})


def find_copies(directory: Path) -> Iterator[Path]:
    """Databases in the directory, and in those right below it, that no room holds open."""
    for path in sorted([*directory.iterdir(), *directory.glob("*/*")]):
        if path.name not in OPEN and path.is_file() and not path.name.endswith(("-wal", "-shm")):
            with path.open("rb") as file:
                is_database = file.read(len(MAGIC)) == MAGIC
            if is_database:
                yield path


def erase_copies(directory: Path, data: ObjectId, document: Digest) -> int:
    """Erase the data in every copy; in how many something was. Raises OSError, and sqlite3.Error never.

    A copy that cannot be opened as a database is damaged: it is named in an OSError, so that the erasure is not called
    complete while it lies there.
    """
    count = 0
    for path in find_copies(directory):
        try:
            with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                count += _erase_in(connection, data, document)
        except sqlite3.Error as error:
            raise OSError(f"{path} is a copy that cannot be opened ({error}): remove it") from error
    return count


def _erase_in(connection: sqlite3.Connection, data: ObjectId, document: Digest) -> bool:
    connection.execute("PRAGMA secure_delete=ON")
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    changed = 0
    if {"sidecars", "sidecar_uses"} <= tables:
        changed += erase_of_data(connection, data)
    if {"documents", "grants"} <= tables:
        changed += connection.execute("DELETE FROM documents WHERE digest = ?", (document,)).rowcount
        changed += connection.execute("DELETE FROM grants WHERE digest = ?", (document,)).rowcount
    empty_journal(connection)
    return changed > 0
