"""Makes a snapshot at fixed heights, from a picture of the database, while blocks go on being saved.

The executor stops for the moment in which the picture is taken: a read transaction begins right after the height is
saved. Its rows are read in a thread that rests as long as it works. The proof needs headers that come later, so the
draft waits for them. A snapshot that cannot be made is skipped with a line of log; the chain never waits for one.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from node.snapshot.shelf import Draft, NoRoomError, Shelf
from node.store.chain import ChainStore, StoreError
from node.telemetry import get_logger
from protocol.block import FIRST_EPOCH, Block
from protocol.codec import CodecError, decode, encode
from protocol.ids import Digest, Height
from protocol.ledger.records import ExecLink
from protocol.limits import (
    SNAPSHOT_BLOCKS_MAX,
    SNAPSHOT_CHUNKS_MAX,
    SNAPSHOT_EPOCHS_MAX,
    SNAPSHOT_HEADERS_MAX,
    SNAPSHOT_MANIFEST_BYTES_MAX,
)
from protocol.snapshot import SNAPSHOT_VERSION, SnapshotContent, SnapshotManifest, SnapshotProof, split_rows

PAGE_ROWS: Final = 256


class UnfitError(Exception):
    """The chain as it stands has no snapshot of this height; the words say why."""


class _Picture(NamedTuple):
    """A read transaction that stands right after a height, and what else it says of it."""

    connection: sqlite3.Connection
    blocks: tuple[Block, ...]
    links: tuple[ExecLink, ...]
    peaks: tuple[Digest, ...]


class SnapshotMaker:
    """The one who makes snapshots for a node's shelf."""

    def __init__(
        self,
        *,
        database: Path,
        store: ChainStore,
        shelf: Shelf,
        interval: int,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rest` is told between two pages how many seconds the last one took, and lets others work."""
        self._database = database
        self._store = store
        self._shelf = shelf
        self._interval = interval
        self._rest = rest
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshot")
        self._reading: Future[SnapshotContent] | None = None
        self._content: SnapshotContent | None = None
        self._began_s = 0.0
        self._closing = False
        self._news = asyncio.Event()
        self._looking = asyncio.Lock()
        self._log = get_logger("snapshot")

    def is_due(self, height: Height) -> bool:
        """Whether the state after `height` is one that all nodes make a snapshot of."""
        return self._interval > 0 and height % self._interval == 0

    async def on_saved(self, height: Height) -> None:
        """`height` is the last block saved, and the next waits until this returns: a few milliseconds."""
        self._news.set()
        if not self.is_due(height):
            return
        await self.look()
        if self._reading is not None or self._content is not None:
            reason = "the one before is still being read" if self._reading else "the one before has no proof yet"
            self._log.warning("snapshot_skipped", height=height, reason=reason)
            return
        self._began_s = time.monotonic()
        try:
            picture = await asyncio.get_running_loop().run_in_executor(self._thread, self._take_picture, height)
        except (sqlite3.Error, CodecError, UnfitError) as error:
            self._log.warning("snapshot_skipped", height=height, reason=str(error))
            return
        self._reading = self._thread.submit(self._read, picture)
        loop = asyncio.get_running_loop()
        self._reading.add_done_callback(lambda _: loop.call_soon_threadsafe(self._news.set))

    async def run(self) -> None:
        """Finish what was begun, until cancelled."""
        while True:
            self._news.clear()
            await self.look()
            await self._news.wait()

    async def look(self) -> None:
        """Take over rows that have been read, and publish them as soon as they are proven."""
        async with self._looking:
            if self._reading is not None and self._reading.done():
                reading, self._reading = self._reading, None
                self._content = self._take_content(reading)
            if self._content is not None:
                await self._try_publish(self._content)

    def _take_content(self, reading: Future[SnapshotContent]) -> SnapshotContent | None:
        try:
            return reading.result()
        except NoRoomError:
            reason = "the disk has too little room"
        except (sqlite3.Error, OSError, UnfitError) as error:
            reason = str(error)
        self._skip(reason)
        return None

    def _skip(self, reason: str) -> None:
        self._log.warning("snapshot_skipped", reason=reason)
        self._content = None
        try:
            self._shelf.abandon()
        except OSError as error:
            self._log.warning("snapshot_not_removed", reason=str(error))

    async def _try_publish(self, content: SnapshotContent) -> None:
        try:
            proof = await find_proof(self._store, content)
            if proof is None:
                return
            manifest = SnapshotManifest(content=content, proof=proof)
            if len(encode(manifest)) > SNAPSHOT_MANIFEST_BYTES_MAX:
                raise UnfitError("the manifest is larger than a frame")
            await asyncio.get_running_loop().run_in_executor(self._thread, self._shelf.publish, manifest)
        except NoRoomError:
            self._skip("the disk has too little room")
        except (UnfitError, OSError) as error:
            self._skip(str(error))
        except StoreError as error:
            self._skip(error.sentence)
        else:
            self._content = None
            took_s = round(time.monotonic() - self._began_s, 1)
            told = {"rows": content.rows, "bytes": content.size, "chunks": len(content.chunks), "seconds": took_s}
            self._log.info("snapshot_made", height=content.height, **told)

    async def close(self) -> None:
        """End at the next page; a draft that is not published is removed at the next start."""
        self._closing = True
        await asyncio.to_thread(self._thread.shutdown, wait=True)

    # ------------------------------------------------------------------ in the thread

    def _take_picture(self, height: Height) -> _Picture:
        connection = sqlite3.connect(
            f"file:{self._database}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("BEGIN")
            return read_picture(connection, height)
        except BaseException:
            connection.close()
            raise

    def _read(self, picture: _Picture) -> SnapshotContent:
        try:
            with self._shelf.begin() as draft:
                count = self._write_rows(picture.connection, draft)
                draft.finish()
                return SnapshotContent(
                    version=SNAPSHOT_VERSION,
                    blocks=picture.blocks,
                    links=picture.links,
                    peaks=picture.peaks,
                    rows=count,
                    chunks=tuple(draft.chunks),
                )
        finally:
            picture.connection.close()

    def _write_rows(self, connection: sqlite3.Connection, draft: Draft) -> int:
        total = 0
        for count, chunk in split_rows(self._read_rows(connection)):
            if len(draft.chunks) == SNAPSHOT_CHUNKS_MAX:
                raise UnfitError("the state is larger than a snapshot may be")
            draft.write(chunk)
            total += count
        return total

    def _read_rows(self, connection: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes]]:
        """All rows in the order of table and key, with rests."""
        cursor = connection.execute("SELECT family, key, value FROM state ORDER BY family, key")
        began_s = time.monotonic()
        while page := cursor.fetchmany(PAGE_ROWS):
            yield from page
            if self._closing:
                raise UnfitError("the node is stopping")
            self._rest(time.monotonic() - began_s)
            began_s = time.monotonic()


def read_picture(connection: sqlite3.Connection, height: Height) -> _Picture:
    """What a read transaction that has begun says of its last block. Raises UnfitError when that is not `height`."""
    row = connection.execute("SELECT height, block FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
    if row is None or row[0] != height:
        raise UnfitError("the database stands at another height")
    named = decode(row[1], Block).header.exec_height
    rows = connection.execute(
        "SELECT block, state_root, receipts_root FROM blocks WHERE height > ? ORDER BY height", (named,)
    ).fetchall()
    if len(rows) != height - named or len(rows) > SNAPSHOT_BLOCKS_MAX:
        raise UnfitError("its header names a state too far back")
    (mountains,) = connection.execute("SELECT value FROM meta WHERE key = 'mountains'").fetchone()
    _, peaks = msgspec.msgpack.decode(mountains, type=tuple[int, tuple[Digest, ...]])
    return _Picture(
        connection,
        tuple(decode(raw, Block) for raw, _, _ in rows),
        tuple(ExecLink(state_root=state, receipts_root=receipts) for _, state, receipts in rows),
        peaks,
    )


async def find_proof(store: ChainStore, content: SnapshotContent) -> SnapshotProof | None:
    """Why a quorum stands behind a content; None while later headers do not say so yet. Raises UnfitError, StoreError.

    The first later header that names the state, or one after it, and its line to the next finalization.
    """
    height = content.height
    blocks = await store.read_blocks(Height(height + 1), SNAPSHOT_HEADERS_MAX)
    naming = next((block.header for block in blocks if block.header.exec_height >= height), None)
    if naming is None:
        if len(blocks) == SNAPSHOT_HEADERS_MAX:
            raise UnfitError("no header names the state soon enough")
        return None
    found = await store.read_finalization(naming.height)
    if found is None:
        return None
    last, finalization = found
    if last - height > SNAPSHOT_HEADERS_MAX or finalization.epoch > SNAPSHOT_EPOCHS_MAX:
        raise UnfitError("the finalization that covers the state is too far")
    headers = tuple(block.header for block in blocks[: last - height])
    rows = await store.read_exec_rows(Height(height + 1), naming.exec_height)
    if len(headers) != last - height or len(rows) != naming.exec_height - height:
        return None
    epochs = await store.read_epochs(FIRST_EPOCH, headers[-1].epoch)
    return SnapshotProof(
        links=tuple(ExecLink(state_root=row.state_root, receipts_root=row.receipts_root) for row in rows),
        headers=headers,
        finalization=finalization,
        epochs=epochs,
    )
