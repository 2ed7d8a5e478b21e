"""Makes the database of a stopped node anew from the blocks that lie in it: to an earlier height, or without damage.

    await rebuild(directory, genesis, to)      executes block after block into a file beside, which then takes its place

Every block is verified and executed as an audit does; receipts, events, indexes and books are made again and are never
copied. The database that was there stays beside under another name. The vote log is never touched: a validator whose
books are older than its votes follows until it has come past them (`node.returning`). Never run beside a node.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from node.audit import SENTENCES, Audit, FaultError
from node.examine import open_read_only
from node.opening import DATABASE, load_epoch
from node.snapshot.incoming import RowsError, read_content
from node.snapshot.install import write_snapshot
from node.snapshot.shelf import Shelf
from node.store.appendlog import sync_directory
from node.store.chain import ChainStore, StoreError, explain, lock_database
from node.store.outcome import Outcome
from protocol.block import Block
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode, encode
from protocol.epochs import is_finalised
from protocol.genesis import Genesis
from protocol.ids import BatchDigest, BlockDigest, Digest, Epoch, Height
from protocol.ledger.execute import Ledger
from protocol.snapshot import Row, SnapshotContent, VerifiedSnapshot, check_manifest
from protocol.validators import make_validator_set

FRESH: Final = "rebuilt.sqlite"
SIDE_FILES: Final = ("-wal", "-shm")
GROUP_BLOCKS: Final = 64
"""Saved in one transaction."""


class RebuildError(Exception):
    """What cannot be made anew; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Rebuilt(NamedTuple):
    """What stands in the database's place now."""

    height: int
    height_before: int
    started_from: int
    """0: the genesis; else the height of a snapshot, below which no history is kept."""
    exec_root: Digest
    set_aside: str
    """Name of the file that holds what was there."""


class Start(NamedTuple):
    """Where executing again begins."""

    height: Height
    snapshot: VerifiedSnapshot | None


def find_start(directory: Path, genesis: Genesis, base: Height, to: Height) -> Start:
    """The genesis where the whole history is there, else the newest own snapshot. Raises RebuildError."""
    if base == 0:
        return Start(Height(0), None)
    shelf = Shelf.open(directory)
    for offer in shelf.offers:
        manifest = shelf.find_manifest(Digest(offer.digest))
        found = None if manifest is None else check_manifest(manifest, genesis)
        if isinstance(found, VerifiedSnapshot) and base <= found.height <= to:
            return Start(found.height, found)
    raise RebuildError(
        "nothing_to_start_from",
        f"This node's history begins at height {base}, and it has no snapshot of its own up to height {to}: move"
        f" {DATABASE}* away and start, and the node syncs anew.",
    )


class _Replay(Audit):
    """An audit that keeps what it executes, and trusts nothing but blocks and batches."""

    def __init__(self, genesis: Genesis, path: Path, save: Callable[[list[Outcome]], None]) -> None:
        super().__init__(genesis, path)
        self._save = save
        self._kept: list[Outcome] = []

    @property
    def ledger(self) -> Ledger:
        """The books after the last block."""
        return self._ledger

    async def begin_at(self, store: ChainStore, snapshot: VerifiedSnapshot) -> None:
        """Go on from a snapshot that the new database holds already."""
        rows, last, header = await store.load_rows(), snapshot.roots[-1], snapshot.content.header
        self._ledger = Ledger.from_rows(self._genesis, rows, height=last.height, exec_root=last.exec_root)
        self._parent, self._digest = header, header.calculate_digest()
        self._mountains = snapshot.mountains
        self._roots = {one.height: one.exec_root for one in snapshot.roots}
        self._roots[header.exec_height] = Digest(header.exec_root)
        self._validators, _ = await load_epoch(self._genesis, store, Epoch(header.epoch + header.is_boundary))

    def replay(self, last: Height, progress: Callable[[int, int], None] | None) -> None:
        """Execute up to `last`. Raises FaultError where a block or batch does not hold, and sqlite3.Error."""
        with closing(open_read_only(self._path)) as connection:
            for height in range(self._ledger.height + 1, last + 1):
                self._replay_one(connection, Height(height))
                if progress is not None:
                    progress(height, last)
        self.flush()

    def _replay_one(self, connection: sqlite3.Connection, height: Height) -> None:
        row = connection.execute(
            "SELECT digest, block, finalization FROM blocks WHERE height = ?", (height,)
        ).fetchone()
        if row is None:
            raise FaultError("block_missing")
        try:
            block = decode(row[1], Block)
        except CodecError as error:
            raise FaultError("block_damaged", str(error)) from error
        digest = BlockDigest(row[0])
        self._check_place(block, digest)
        outcome = self._execute_kept(connection, block, digest, self._read_proof(block, row[2]))
        self._roots[height] = outcome.execution.exec_root
        self._mountains, self._parent, self._digest = outcome.mountains, block.header, digest
        self._kept.append(outcome)
        if block.header.is_boundary:
            self._validators = make_validator_set(self._ledger.next_validators, digest)
        if len(self._kept) >= GROUP_BLOCKS:
            self.flush()

    def _read_proof(self, block: Block, raw: bytes | None) -> Certificate | None:
        """The block's own finalization, if it holds: one that was damaged is left out, as if it had never come."""
        try:
            proof = None if raw is None else decode(raw, Certificate)
        except CodecError:
            proof = None
        holds = proof is not None and is_finalised(block.header, proof, self._validators)
        if block.header.is_boundary and not holds:
            raise FaultError("finalization_invalid")
        return proof if holds else None

    def _execute_kept(
        self, connection: sqlite3.Connection, block: Block, digest: BlockDigest, proof: Certificate | None
    ) -> Outcome:
        ledger, raw, executed = self._ledger, [], []
        ledger.open_block(block.header)
        while ledger.run_due(1_000):
            pass
        for ref in block.batches:
            batch = self._read_batch(connection, ref.digest, ref.tx_count)
            raw.append((BatchDigest(ref.digest), encode(batch)))
            for item in batch.items:
                transaction = self._check_item(item)
                receipt = self._execute_one(connection, transaction, item.sidecars)
                if receipt is not None:
                    executed.append((transaction, receipt, BatchDigest(ref.digest)))
        execution = ledger.end_block()
        return Outcome(block, digest, proof, self._mountains.append(digest), raw, execution, executed)

    def flush(self) -> None:
        """Save what was executed."""
        kept, self._kept = self._kept, []
        if kept:
            self._save(kept)


async def rebuild(
    directory: Path,
    genesis: Genesis,
    to: Height | None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Rebuilt:
    """Put a new database in the place of the old one: up to height `to`, or as far as blocks and batches are whole.

    Raises RebuildError, and the old one is where it was then.
    """
    path, fresh = directory / DATABASE, directory / FRESH
    try:
        lock = lock_database(path.with_suffix(".lock"))
    except StoreError as error:
        raise RebuildError(error.code, error.sentence) from error
    try:
        remove_database(fresh)
        base, before = _read_ends(path)
        if to is not None and not max(base, 1) <= to < before:
            raise RebuildError("height_invalid", f"Name a height from {max(base, 1)} to {before - 1}.")
        start = find_start(directory, genesis, base, before if to is None else to)
        last = before if to is None else to
        ledger = await _write(directory, genesis, start, last, lenient=to is None, progress=progress)
        aside = _swap(path, fresh)
    except (StoreError, RowsError) as error:
        raise RebuildError("rebuild_failed", f"{error}") from error
    except sqlite3.Error as error:
        failed = explain(error, path)
        raise RebuildError(failed.code, failed.sentence) from error
    except OSError as error:
        raise RebuildError("rebuild_failed", f"The disk refused: {error.strerror}.") from error
    finally:
        remove_database(fresh)
        fresh.with_suffix(".lock").unlink(missing_ok=True)
        os.close(lock)
    return Rebuilt(ledger.height, before, start.height, ledger.exec_root, aside)


def _read_ends(path: Path) -> tuple[Height, Height]:
    """Where a database begins and ends."""
    if not path.is_file():
        raise RebuildError("database_missing", f"{path} is missing: there is nothing to make anew.")
    with closing(open_read_only(path)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = 'base'").fetchone()
        (last,) = connection.execute("SELECT COALESCE(MAX(height), 0) FROM blocks").fetchone()
    return Height(0 if row is None else int(row[0])), Height(last)


async def _write(
    directory: Path,
    genesis: Genesis,
    start: Start,
    last: Height,
    *,
    lenient: bool,
    progress: Callable[[int, int], None] | None,
) -> Ledger:
    """Fill the new database. `lenient`: end before what does not hold, instead of refusing."""
    fresh = directory / FRESH
    store = await ChainStore.open(fresh, genesis)
    if start.snapshot is not None:
        await store.close()
        write_snapshot(fresh, ShelfRows(Shelf.open(directory)), start.snapshot)
        store = await ChainStore.open(fresh, genesis)
    loop = asyncio.get_running_loop()
    first = [] if start.snapshot is not None else list(Ledger.from_genesis(genesis).rows())

    def save(outcomes: list[Outcome]) -> None:
        rows = tuple(first)
        first.clear()
        asyncio.run_coroutine_threadsafe(store.save_blocks(outcomes, rows), loop).result()

    try:
        await store.load_tip()
        replay = _Replay(genesis, directory / DATABASE, save)
        if start.snapshot is not None:
            await replay.begin_at(store, start.snapshot)
        try:
            await asyncio.to_thread(replay.replay, last, progress)
        except (FaultError, sqlite3.Error) as error:
            height = replay.ledger.height
            fault = isinstance(error, FaultError) and error.code == "named_root_differs"
            if not lenient or fault:
                said = SENTENCES[error.code] if isinstance(error, FaultError) else str(error)
                raise RebuildError(
                    "block_unusable",
                    f"Height {height + 1} cannot be executed again: {said} Roll back to {height} or below, or let"
                    " liushui check --repair keep what is whole.",
                ) from error
            await asyncio.to_thread(replay.flush)
        return replay.ledger
    finally:
        await store.close()


class ShelfRows:
    """A snapshot's rows where this node put them when it made it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def read_rows(self, content: SnapshotContent) -> Iterator[Row]:
        """All rows, in order. Raises RowsError."""
        return read_content(content, lambda digest: self._shelf.read_chunk(digest) or b"")


def _swap(path: Path, fresh: Path) -> str:
    """The new file in the place of the old, which keeps its bytes under another name. Durable on return."""
    with closing(sqlite3.connect(fresh)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert not fresh.with_name(fresh.name + SIDE_FILES[0]).exists(), "the file is whole by itself"
    kept = path.with_name(f"{path.name}.before-{time.time_ns() // 1_000_000}")
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    kept.hardlink_to(path)
    for suffix in SIDE_FILES:  # a log that could not be taken over belongs to the file that is kept
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(kept.with_name(kept.name + suffix))
    fresh.replace(path)
    sync_directory(path.parent)
    return kept.name


def set_aside(path: Path) -> str:
    """Put a database that nothing can be made of out of the way, so that the node syncs anew. Its new name."""
    kept = path.with_name(f"{path.name}.damaged-{time.time_ns() // 1_000_000}")
    for suffix in ("", *SIDE_FILES):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(kept.with_name(kept.name + suffix))
    sync_directory(path.parent)
    return kept.name


def remove_database(path: Path) -> None:
    """Away with a file and what SQLite keeps beside it."""
    for suffix in ("", *SIDE_FILES):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
