"""`snapshots/incoming/`: a snapshot that is being fetched, chunk by chunk: a restart goes on with what is there.

    manifest          of the snapshot that is fetched now, checked against the genesis
    <hex digest>      a chunk; those that two snapshots have in common are fetched once

Nothing here is trusted after a restart: bytes are hashed again, and the rows again to the state root before they are
installed. Reading and writing block.
"""

import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

from node.snapshot.shelf import DIRECTORY, MANIFEST, check_room
from node.store.appendlog import sync_directory
from protocol.codec import CodecError, decode, encode
from protocol.ids import Digest
from protocol.ledger.tree import StateTree
from protocol.snapshot import (
    Row,
    SnapshotContent,
    SnapshotFault,
    SnapshotManifest,
    VerifiedSnapshot,
    calculate_chunk_digest,
    read_rows,
)

INCOMING: Final = "incoming"


class RowsError(Exception):
    """Chunks that are not the rows of a snapshot."""

    def __init__(self, fault: SnapshotFault) -> None:
        super().__init__(fault.sentence)
        self.fault = fault


def read_content(content: SnapshotContent, read_chunk: Callable[[Digest], bytes]) -> Iterator[Row]:
    """All rows of a content, strictly ascending by table and key. Raises RowsError, perhaps after some."""
    last: tuple[int, bytes] | None = None
    count = 0
    for ref in content.chunks:
        raw = read_chunk(Digest(ref.digest))
        if calculate_chunk_digest(raw) != ref.digest:
            raise RowsError(SnapshotFault.CHUNK)
        try:
            rows = read_rows(raw)
        except CodecError as error:
            raise RowsError(SnapshotFault.ROWS) from error
        places = [(row[0], row[1]) for row in rows]
        if last is not None:
            places.insert(0, last)
        if any(first >= second for first, second in pairwise(places)):
            raise RowsError(SnapshotFault.ROWS)
        last = places[-1] if places else last
        count += len(rows)
        yield from rows
    if count != content.rows:
        raise RowsError(SnapshotFault.ROWS)


class Incoming:
    """What has been fetched so far."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / DIRECTORY / INCOMING

    def read_manifest(self) -> SnapshotManifest | None:
        """The manifest, if there is a whole one."""
        try:
            return decode((self._directory / MANIFEST).read_bytes(), SnapshotManifest)
        except (OSError, CodecError):
            return None

    def find_held(self, content: SnapshotContent) -> frozenset[Digest]:
        """Chunks of a content that lie here whole; whatever else lies here goes."""
        named = {one.digest.hex(): Digest(one.digest) for one in content.chunks}
        held: set[Digest] = set()
        for path in self._list():
            digest = named.get(path.name)
            if digest is not None and calculate_chunk_digest(path.read_bytes()) == digest:
                held.add(digest)
            elif path.name != MANIFEST:
                path.unlink()
        return frozenset(held)

    def keep_manifest(self, manifest: SnapshotManifest) -> None:
        """Fetch this one from now on; chunks that it does not name go. Raises OSError or NoRoomError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(MANIFEST, encode(manifest))
        named = {MANIFEST, *(one.digest.hex() for one in manifest.content.chunks)}
        for path in self._list():
            if path.name not in named:
                path.unlink()

    def keep_chunk(self, digest: Digest, chunk: bytes) -> None:
        """One more chunk, whose digest is right. Raises OSError or NoRoomError."""
        self._write(digest.hex(), chunk)

    def _write(self, name: str, raw: bytes) -> None:
        """A whole file or none. Not forced to disk: whatever is there after a crash is hashed again."""
        check_room(self._directory, len(raw))
        fresh = self._directory / f"{name}.new"
        fresh.write_bytes(raw)
        fresh.replace(self._directory / name)

    def _list(self) -> list[Path]:
        return sorted(self._directory.iterdir()) if self._directory.is_dir() else []

    def check_room_to_install(self, content: SnapshotContent) -> None:
        """Raises NoRoomError where the rows do not fit into database and journal at once."""
        check_room(self._directory, 2 * content.size)

    def is_complete(self, content: SnapshotContent) -> bool:
        """Whether a file lies here for each chunk."""
        return all((self._directory / one.digest.hex()).is_file() for one in content.chunks)

    def read_rows(self, content: SnapshotContent) -> Iterator[Row]:
        """All rows, strictly ascending by table and key. Raises RowsError, perhaps after some, and OSError."""
        return read_content(content, lambda digest: (self._directory / digest.hex()).read_bytes())

    def check_state(self, snapshot: VerifiedSnapshot) -> SnapshotFault | None:
        """Whether the rows here hash to the root that validators finalised. Seconds for a large state."""
        tree = StateTree()
        try:
            root = tree.update(self.read_rows(snapshot.content))
        except RowsError as error:
            return error.fault
        except OSError:
            return SnapshotFault.CHUNK
        return None if root == snapshot.state_root else SnapshotFault.STATE

    def remove(self) -> None:
        """Away with all of it."""
        if self._directory.is_dir():
            shutil.rmtree(self._directory)
            sync_directory(self._directory.parent)
