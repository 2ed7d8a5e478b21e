"""The one writer of `ledger.sqlite`: many rows, one transaction, one job of a thread of its own.

The interpreter's lock changes hands at every step of SQLite and at every hand-over to a thread; beside a busy event
loop each change may wait for milliseconds. So a block is one hand-over, and rows are inserted by the hundred. Never
decide here what is saved.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

T = TypeVar("T")
Row = Sequence[object]
GROUP_SIZES: Final = (512, 64, 8, 1)
"""Rows in one statement: few sizes, so that the prepared statements are used again."""


class Rows(NamedTuple):
    """Rows for one table: `head (?, ...), (?, ...) tail`."""

    head: str
    rows: Sequence[Row]
    tail: str = ""


def split_rows(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """The rows in order, in groups of GROUP_SIZES, largest first."""
    at = 0
    for size in GROUP_SIZES:
        while len(rows) - at >= size:
            yield rows[at : at + size]
            at += size


class BlockWriter:
    """A connection that saves whole blocks. One save at a time: the caller holds the lock."""

    def __init__(self, path: Path, pragmas: Sequence[str]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="blockwriter")
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in pragmas:
            self._connection.execute(pragma)

    async def write(self, tables: Sequence[Rows]) -> None:
        """Return when all rows are durable. Raises sqlite3.Error, and nothing is saved then."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._write, tables)

    async def write_made(self, make: Callable[[], Sequence[Rows]]) -> None:
        """The same of rows that are made in the thread: encoding a large block would hold up the loop."""
        await asyncio.get_running_loop().run_in_executor(self._thread, lambda: self._write(make()))

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Let something else be done with the connection, in its thread. Raises sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, self._connection)

    def _write(self, tables: Sequence[Rows]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            for head, rows, tail in tables:
                for group in split_rows(rows):
                    places = ", ".join(["(" + ", ".join("?" * len(group[0])) + ")"] * len(group))
                    connection.execute(f"{head} {places} {tail}", list(chain.from_iterable(group)))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:  # a full disk ends the transaction by itself
                connection.execute("ROLLBACK")
            raise

    async def close(self) -> None:
        """Close the connection and end the thread."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown(wait=True)
