"""`snapshots/` of a data directory: the newest few snapshots, and at most one in the making.

    snapshots/<height>/rows        the chunks, one behind the other
    snapshots/<height>/manifest    what they are, and the proof
    snapshots/making/              rows that wait for their proof; a start removes it

A snapshot appears whole by a rename, or not at all. It never takes the last of a disk, which the chain needs. Never
judge here whether a snapshot is right: whoever fetches it does.
"""

import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from node.store.appendlog import sync_directory
from protocol.codec import CodecError, decode, encode
from protocol.ids import Digest, Height
from protocol.limits import SNAPSHOT_MANIFEST_BYTES_MAX, SNAPSHOTS_KEPT
from protocol.messages import SnapshotOffer
from protocol.snapshot import ChunkRef, SnapshotManifest, calculate_chunk_digest

DIRECTORY: Final = "snapshots"
MAKING: Final = "making"
ROWS: Final = "rows"
MANIFEST: Final = "manifest"
SPARE_BYTES: Final = 64 * 1024 * 1024
"""Left free whatever happens: a database that finds no room ends its node."""


class NoRoomError(Exception):
    """The disk has too little left for a snapshot beside the chain."""


class ChunkPlace(NamedTuple):
    """Where a chunk lies."""

    path: Path
    offset: int
    size: int


class _Kept(NamedTuple):
    directory: Path
    digest: Digest
    manifest: SnapshotManifest


class Draft:
    """Rows that are being written. Left alone when its block ends by an error, removed by the next one."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.chunks: list[ChunkRef] = []
        self._file = (directory / ROWS).open("wb")

    def write(self, chunk: bytes) -> None:
        """One more chunk. Raises NoRoomError or OSError."""
        check_room(self.directory, len(chunk))
        self._file.write(chunk)
        self.chunks.append(ChunkRef(digest=calculate_chunk_digest(chunk), size=len(chunk)))

    def finish(self) -> None:
        """Make the rows durable. Raises OSError."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> "Draft":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()


class Shelf:
    """The snapshots of one node. Reading and writing block; only one thread writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._kept: list[_Kept] = []
        self._places: dict[Digest, ChunkPlace] = {}

    @classmethod
    def open(cls, data_dir: Path) -> "Shelf":
        """What lies there; what is not whole is removed. Raises OSError."""
        shelf = cls(data_dir / DIRECTORY)
        if shelf._directory.is_dir():
            shelf._remove(shelf._directory / MAKING)
            for path in sorted(shelf._directory.iterdir()):
                if path.name.isdecimal() and (manifest := read_manifest(path)) is not None:
                    shelf._kept.append(_Kept(path, manifest.content.calculate_digest(), manifest))
                elif path.name.isdecimal() or path.name.startswith(MAKING):
                    shelf._remove(path)
            shelf._settle()
        return shelf

    # ------------------------------------------------------------------ what peers ask for

    @property
    def offers(self) -> tuple[SnapshotOffer, ...]:
        """The snapshots there are, the newest first."""
        return tuple(SnapshotOffer(height=one.manifest.content.height, digest=one.digest) for one in self._kept)

    def find_manifest(self, digest: Digest) -> SnapshotManifest | None:
        """The manifest of a snapshot."""
        return next((one.manifest for one in self._kept if one.digest == digest), None)

    def read_chunk(self, digest: Digest) -> bytes | None:
        """A chunk of any snapshot; None when it is not there, or no longer."""
        place = self._places.get(digest)
        if place is None:
            return None
        try:
            with place.path.open("rb") as file:
                file.seek(place.offset)
                return file.read(place.size)
        except OSError:
            return None

    # ------------------------------------------------------------------ making

    def begin(self) -> Draft:
        """An empty draft in place of any other. Raises OSError or NoRoomError."""
        making = self._directory / MAKING
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._remove(making)
        check_room(self._directory, 0)
        making.mkdir(mode=0o700)
        return Draft(making)

    def publish(self, manifest: SnapshotManifest) -> None:
        """Let the finished draft be a snapshot, and the oldest go. Durable on return. Raises OSError or NoRoomError."""
        raw = encode(manifest)
        making, final = self._directory / MAKING, self._directory / str(manifest.content.height)
        check_room(making, len(raw))
        with (making / MANIFEST).open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        sync_directory(making)
        self._remove(final)
        making.rename(final)
        sync_directory(self._directory)
        kept = [one for one in self._kept if one.directory != final]
        self._kept = [*kept, _Kept(final, manifest.content.calculate_digest(), manifest)]
        self._settle()

    def abandon(self) -> None:
        """Remove the draft."""
        self._remove(self._directory / MAKING)

    def _settle(self) -> None:
        """Keep the newest, and know where their chunks lie."""
        ordered = sorted(self._kept, key=lambda one: one.manifest.content.height, reverse=True)
        self._kept, gone = ordered[:SNAPSHOTS_KEPT], ordered[SNAPSHOTS_KEPT:]
        places: dict[Digest, ChunkPlace] = {}
        for one in self._kept:
            offset = 0
            for ref in one.manifest.content.chunks:
                places[Digest(ref.digest)] = ChunkPlace(one.directory / ROWS, offset, ref.size)
                offset += ref.size
        self._places = places
        for one in gone:
            self._remove(one.directory)

    def _remove(self, path: Path) -> None:
        """Away with a directory: first its name, so that a crash never leaves half a snapshot under a height."""
        if not path.exists():
            return
        if path.name.isdecimal():
            path = path.rename(path.with_name(f"{MAKING}-{path.name}"))
        shutil.rmtree(path)


def check_room(directory: Path, more: int) -> None:
    """Raise NoRoomError when so many bytes would take what the chain may need."""
    if shutil.disk_usage(directory).free - more < SPARE_BYTES:
        raise NoRoomError


def get_height(directory: Path) -> Height:
    """The height a snapshot's directory is named after."""
    return Height(int(directory.name))


def read_manifest(directory: Path) -> SnapshotManifest | None:
    """The manifest of a whole snapshot."""
    try:
        raw = (directory / MANIFEST).read_bytes()
        manifest = decode(raw, SnapshotManifest)
        size = (directory / ROWS).stat().st_size
    except (OSError, CodecError):
        return None
    content = manifest.content
    whole = len(raw) <= SNAPSHOT_MANIFEST_BYTES_MAX and size == content.size and content.height == get_height(directory)
    return manifest if whole else None
