"""Databases of other releases: older ones are brought forward as a whole or not at all, newer ones are not touched."""

import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from node.store.chain import ChainStore, StoreError
from node.store.migrations import MIGRATIONS, migrate, read_schema
from node.store.schema import SCHEMA_VERSION
from node.store.sidecars import join_batch
from protocol.batch import Batch, BatchItem, Sidecar, calculate_batch_digest, calculate_transaction_id
from protocol.codec import encode
from protocol.ids import BatchDigest, Digest, ModelId
from tests.node.api.harness import make_genesis
from tests.node.core.chaintools import make_item

GENESIS = make_genesis()
CHAIN = GENESIS.calculate_chain_id()


async def make_old(path: Path, schema: int = 3) -> tuple[BatchDigest, bytes]:
    """A database of an earlier release: a batch with its bins inside, and no tables for them."""
    async with AsyncExitStack() as stack:
        store = await ChainStore.open(path, GENESIS)
        stack.push_async_callback(store.close)
    item = make_item(1)
    sidecar = Sidecar(model=ModelId(b"\x07" * 32), salt=Digest(b"\x5a" * 32), bins=(1, 2, 3))
    raw = encode(Batch(items=(BatchItem(transaction=item.transaction, sidecars=(sidecar,)),)))
    digest = calculate_batch_digest([calculate_transaction_id(item.transaction)])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE sidecars")
        connection.execute("DROP TABLE sidecar_uses")
        connection.execute("INSERT INTO batches (digest, height, raw) VALUES (?, 1, ?)", (digest, raw))
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(schema).encode(),))
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return digest, raw


async def test_an_older_database_is_brought_forward_at_the_first_start(tmp_path: Path) -> None:
    """Bins move to rows of their own and leave no copy where they were; peers get the batch as it was."""
    path = tmp_path / "ledger.sqlite"
    digest, raw = await make_old(path)
    async with AsyncExitStack() as stack:
        store = await ChainStore.open(path, GENESIS)
        stack.push_async_callback(store.close)
        assert await store.read_batch(digest) == raw
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert read_schema(connection) == SCHEMA_VERSION
        (bare,) = connection.execute("SELECT raw FROM batches").fetchone()
        assert bare != raw
        rows = connection.execute("SELECT position, raw FROM sidecars").fetchall()
        assert join_batch(bare, rows) == raw
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute("UPDATE sidecars SET raw = zeroblob(length(raw))")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert b"\x5a" * 32 not in path.read_bytes(), "erasing the row erases the salt"
    assert migrate(path, CHAIN) is None


async def test_a_step_that_fails_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    """Whatever the first steps did is taken back with it."""
    path = tmp_path / "ledger.sqlite"
    await make_old(path)
    before = path.read_bytes()

    def fail(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM batches")
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError):
        migrate(path, CHAIN, {**MIGRATIONS, SCHEMA_VERSION + 1: fail}, SCHEMA_VERSION + 1)
    with closing(sqlite3.connect(path)) as connection:
        assert read_schema(connection) == 3
        assert connection.execute("SELECT COUNT(*) FROM batches").fetchone() == (1,)
    assert path.read_bytes() == before


@pytest.mark.parametrize(("schema", "code"), [(SCHEMA_VERSION + 1, "schema_newer"), (1, "schema_too_old")])
async def test_what_this_release_cannot_bring_forward_is_refused_and_not_touched(
    tmp_path: Path, schema: int, code: str
) -> None:
    """A newer database, and one from which no steps lead here, each by its own code."""
    path = tmp_path / "ledger.sqlite"
    await make_old(path, schema)
    before = path.read_bytes()
    with pytest.raises(StoreError) as caught:
        await ChainStore.open(path, GENESIS)
    assert (caught.value.code, path.read_bytes()) == (code, before)


async def test_a_disk_without_room_for_the_change_is_told_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was begun."""
    path = tmp_path / "ledger.sqlite"
    await make_old(path)
    before = path.read_bytes()
    monkeypatch.setattr("node.store.migrations.shutil.disk_usage", lambda _: type("Usage", (), {"free": 0}))
    with pytest.raises(StoreError) as caught:
        migrate(path, CHAIN)
    assert (caught.value.code, path.read_bytes()) == ("disk_full", before)


def test_every_schema_since_the_first_step_has_a_way_here() -> None:
    """Steps lead on one after the other, up to the present."""
    assert sorted(MIGRATIONS) == list(range(min(MIGRATIONS), SCHEMA_VERSION + 1))
