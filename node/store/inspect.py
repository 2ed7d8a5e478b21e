"""Read another process's database without disturbing it: one read-only transaction, one consistent picture.

For checks from outside (demonstration, audits). Never write through this.
"""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from node.store.parts import PART, Place, read_events, read_receipts
from protocol.codec import decode
from protocol.ids import BatchDigest, Digest, Height, TransactionId
from protocol.ledger.records import Receipt


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


def read_block_receipts(connection: sqlite3.Connection, height: Height) -> list[bytes]:
    """Canonical receipts of one block, in order. Raises CodecError for what was never written so."""
    rows = connection.execute("SELECT raw FROM receipts WHERE height = ? ORDER BY part", (height,)).fetchall()
    return [receipt for _, receipt in read_receipts(row[0] for row in rows)]


def read_block_events(connection: sqlite3.Connection, height: Height) -> list[tuple[int, str, bytes]]:
    """Position, kind and JSON of each event of one block, in order. Raises CodecError for what was never written so."""
    rows = connection.execute("SELECT raw FROM events WHERE height = ? ORDER BY part", (height,)).fetchall()
    return [(i, row.kind, row.data) for i, row in enumerate(read_events(row[0] for row in rows))]


def read_transactions(connection: sqlite3.Connection) -> list[tuple[TransactionId, Place, BatchDigest, bytes]]:
    """Every executed transaction: its id, where it stands, the batch it came in, its canonical receipt."""
    found: list[tuple[TransactionId, Place, BatchDigest, bytes]] = []
    for height, part, raw in connection.execute("SELECT height, part, raw FROM receipts ORDER BY height, part"):
        for i, (batch, receipt) in enumerate(read_receipts([raw])):
            place = Place(Height(height), part * PART + i)
            found.append((decode(receipt, Receipt).transaction_id, place, batch, receipt))
    return found
