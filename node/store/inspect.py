"""Read another process's database without disturbing it: one read-only transaction, one consistent picture.

For checks from outside (demonstration, audits). Never write through this.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from protocol.ids import Digest, Height


class Picture(NamedTuple):
    """State rows after block `height`, and the root that was saved for it."""

    height: Height
    exec_root: Digest
    rows: list[tuple[int, bytes, bytes]]


def read_picture(path: Path) -> Picture | None:
    """A consistent picture of `ledger.sqlite`, or None before the first block. Raises sqlite3.Error when unreadable."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        connection.execute("BEGIN")
        tip = connection.execute("SELECT height, exec_root FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
        if tip is None:
            return None
        rows = connection.execute("SELECT family, key, value FROM state").fetchall()
        return Picture(Height(tip[0]), Digest(tip[1]), rows)
    finally:
        connection.close()


def read_exec_roots(path: Path) -> dict[Height, Digest]:
    """The root saved for each height."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT height, exec_root FROM blocks ORDER BY height").fetchall()
        return {Height(height): Digest(root) for height, root in rows}
    finally:
        connection.close()
