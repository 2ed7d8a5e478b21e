"""The writer of blocks: every row once and in order, all of a block or nothing of it."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.blockwriter import GROUP_SIZES, BlockWriter, Rows, split_rows
from node.store.schema import PRAGMAS

UPSERT = ("INSERT INTO state VALUES", "ON CONFLICT (key) DO UPDATE SET value = excluded.value")


@pytest.fixture
async def writer(tmp_path: Path) -> AsyncIterator[BlockWriter]:
    """A writer over an empty table."""
    with sqlite3.connect(tmp_path / "one.sqlite") as connection:
        connection.execute("CREATE TABLE state (key INTEGER PRIMARY KEY, value BLOB NOT NULL)")
    connection.close()
    writer = BlockWriter(tmp_path / "one.sqlite", PRAGMAS)
    yield writer
    await writer.close()


def read(tmp_path: Path) -> dict[int, bytes]:
    """What another connection sees."""
    connection = sqlite3.connect(tmp_path / "one.sqlite")
    try:
        return dict(connection.execute("SELECT key, value FROM state"))
    finally:
        connection.close()


@given(st.integers(min_value=0, max_value=3_000))
def test_groups_hold_every_row_once_in_order(count: int) -> None:
    """Cut into groups of the known sizes, the rows are the same rows in the same order."""
    rows = [(index,) for index in range(count)]
    groups = list(split_rows(rows))
    assert [row for group in groups for row in group] == rows
    assert all(len(group) in GROUP_SIZES for group in groups)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 63, 64, 65, 511, 512, 513, 1_234])
async def test_rows_of_any_number_are_saved(writer: BlockWriter, tmp_path: Path, count: int) -> None:
    """Another connection sees exactly the rows written, whatever their number."""
    rows = [(index, index.to_bytes(4, "big")) for index in range(count)]
    await writer.write([Rows(UPSERT[0], rows, UPSERT[1])])
    assert read(tmp_path) == dict(rows)


async def test_the_last_row_of_a_key_counts(writer: BlockWriter, tmp_path: Path) -> None:
    """Rows of one statement are applied in order: an upsert keeps the last value; a deletion removes its keys alone."""
    await writer.write(
        [Rows(UPSERT[0], [(1, b"old"), (2, b"two"), *[(1, b"%d" % turn) for turn in range(70)]], UPSERT[1])]
    )
    assert read(tmp_path) == {1: b"69", 2: b"two"}
    await writer.write([Rows("DELETE FROM state WHERE (key) IN (VALUES", [(1,), (3,)], ")")])
    assert read(tmp_path) == {2: b"two"}


async def test_a_failure_saves_nothing_and_the_next_block_is_saved(writer: BlockWriter, tmp_path: Path) -> None:
    """A row that the table refuses takes the whole block back, earlier tables too; the writer goes on."""
    await writer.write([Rows("INSERT INTO state VALUES", [(1, b"one")])])
    rows = [(index, b"new") for index in range(2, 100)]
    with pytest.raises(sqlite3.IntegrityError):
        await writer.write([Rows("INSERT INTO state VALUES", rows), Rows("INSERT INTO state VALUES", [(1, b"again")])])
    assert read(tmp_path) == {1: b"one"}
    await writer.write([Rows("INSERT INTO state VALUES", rows)])
    assert len(read(tmp_path)) == 99


async def test_the_pragmas_of_durability_hold_for_the_writer(writer: BlockWriter) -> None:
    """The writer's own connection is in WAL mode with synchronous=FULL (2): a saved block survives a power cut."""
    assert writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
