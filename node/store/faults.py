"""What a database that cannot be used says: a stable code and a sentence with the fix; and who may use it.

Never a query here.
"""

import fcntl
import os
import sqlite3
from pathlib import Path


class StoreError(Exception):
    """A database that cannot be used; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def lock_database(path: Path) -> int:
    """Hold a data directory for this process alone, by its lock file. Raises StoreError when another one has it."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(
            "directory_unwritable", f"Cannot write to {path.parent} ({error.strerror}): fix its owner or permissions."
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise StoreError(
            "database_locked", f"Another process uses {path.parent}: stop it first; two nodes must never share keys."
        ) from error
    return handle


def explain(error: sqlite3.Error, path: Path | None) -> StoreError:
    """The sentence for what SQLite says; its primary result code decides, since the words differ by version."""
    words = str(error)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreError("disk_full", "The disk is full: free space, then start the node again; nothing is lost.")
    if code == sqlite3.SQLITE_IOERR:
        named = getattr(error, "sqlite_errorname", words)
        return StoreError(
            "disk_failed",
            f"The disk did not do what the database asked ({named}): free space or repair it, then start the node"
            " again; what is final elsewhere comes back from the peers.",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        place = "the database" if path is None else str(path)
        return StoreError("directory_unwritable", f"Cannot write {place}: fix its owner or permissions.")
    return StoreError("database_damaged", f"The database refused to work ({words}): restore a backup, or sync anew.")
