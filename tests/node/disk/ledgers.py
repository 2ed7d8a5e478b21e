"""Stopped nodes with real ledgers, and damage done to them with SQLite's own tools or by overwriting pages."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

from node import setup
from node.opening import DATABASE

PAGE = 4_096


def find_database(net: setup.Testnet, name: str = "solo") -> Path:
    """A node's `ledger.sqlite`, all of it in one file."""
    path = net.directory / name / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def change(path: Path, statement: str, *values: object) -> int:
    """Do what no node does; how many rows it hit."""
    with closing(sqlite3.connect(path)) as connection:
        count = connection.execute(statement, values).rowcount
        connection.commit()
    return count


def find_pages(path: Path, table: str) -> list[int]:
    """Numbers, from 0, of the pages that hold rows of a table."""
    with closing(sqlite3.connect(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()
    raw, found, waiting = path.read_bytes(), [], [root - 1]
    while waiting:
        page = waiting.pop()
        at = page * PAGE
        kind, cells = raw[at], int.from_bytes(raw[at + 3 : at + 5], "big")
        if kind in (2, 5):  # inner pages of an index or a table: each cell begins with a child's number
            waiting.append(int.from_bytes(raw[at + 8 : at + 12], "big") - 1)
            for i in range(cells):
                cell = at + int.from_bytes(raw[at + 12 + 2 * i : at + 14 + 2 * i], "big")
                waiting.append(int.from_bytes(raw[cell : cell + 4], "big") - 1)
        else:
            found.append(page)
    return sorted(found)


def ruin(path: Path, page: int, seed: int = 1) -> None:
    """Overwrite a page as a failing disk does."""
    raw = path.read_bytes()
    junk = random.Random(seed).randbytes(PAGE)
    path.write_bytes(raw[: page * PAGE] + junk + raw[(page + 1) * PAGE :])
