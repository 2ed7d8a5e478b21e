"""Copies of a node's databases that lie beside them (set aside by a rebuild, kept before a repair) are erased as well.

A copy is any file of the data directory in SQLite's format that has the tables concerned. Never touch the databases
that are open: their own rooms erase in them.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from node.store.sidecars import count_of_data, empty_journal, erase_of_data
from protocol.ids import Digest, ObjectId

MAGIC: Final = b"SQLite format 3\0"
OPEN: Final = frozenset({"ledger.sqlite", "vault.sqlite", "alerts.sqlite"})
SIDE_FILES: Final = ("-wal", "-shm")
LEDGER: Final = {"sidecars", "sidecar_uses"}
VAULT: Final = {"documents", "grants"}


Order = tuple[ObjectId, tuple[Digest, ...]]
"""Data, and the documents to go with it: the statement, and the feature vectors of applications on it."""


def find_copies(directory: Path) -> Iterator[Path]:
    """Databases in the directory and below it that no room holds open."""
    for path in sorted(directory.rglob("*")):
        is_open = path.parent == directory and path.name in OPEN
        if not is_open and path.is_file() and not path.name.endswith(SIDE_FILES):
            with path.open("rb") as file:
                is_database = file.read(len(MAGIC)) == MAGIC
            if is_database:
                yield path


def erase_copies(directory: Path, orders: Sequence[Order]) -> int:
    """Erase data and their documents in every copy; how often something was there. Raises OSError alone.

    A copy in which there is nothing is not written to. One that cannot be opened is damaged: it is named in an OSError,
    so that the erasure is not called complete while it lies there.
    """
    count = 0
    for path in find_copies(directory):
        try:
            held = _find_held(path, orders)
            if held:
                with closing(sqlite3.connect(path, isolation_level=None)) as connection:
                    _erase_in(connection, held)
        except sqlite3.Error as error:
            raise OSError(f"{path} is a copy that cannot be opened ({error}): remove it") from error
        count += len(held)
    return count


def _list_tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _find_held(path: Path, orders: Sequence[Order]) -> list[Order]:
    journal = path.with_name(path.name + "-wal").exists()
    with closing(sqlite3.connect(f"file:{path}?{'mode=rw' if journal else 'immutable=1'}", uri=True)) as connection:
        tables = _list_tables(connection)
        return [one for one in orders if _holds(connection, tables, *one)]


def _holds(connection: sqlite3.Connection, tables: set[str], data: ObjectId, documents: tuple[Digest, ...]) -> bool:
    if tables >= LEDGER and count_of_data(connection, data):
        return True
    if not tables >= VAULT:
        return False
    asked = ("SELECT COUNT(*) FROM documents WHERE digest = ?", "SELECT COUNT(*) FROM grants WHERE digest = ?")
    return any(connection.execute(sql, (one,)).fetchone()[0] for one in documents for sql in asked)


def _erase_in(connection: sqlite3.Connection, held: Sequence[Order]) -> None:
    connection.execute("PRAGMA secure_delete=ON")
    tables = _list_tables(connection)
    for data, documents in held:
        if tables >= LEDGER:
            erase_of_data(connection, data)
        if tables >= VAULT:
            connection.executemany("DELETE FROM documents WHERE digest = ?", [(one,) for one in documents])
            connection.executemany("DELETE FROM grants WHERE digest = ?", [(one,) for one in documents])
    empty_journal(connection)
