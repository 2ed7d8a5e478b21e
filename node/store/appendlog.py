"""An append-only file of groups, each with one checksum and one fdatasync: the base of the vote and payload logs.

A group is `LSG1 | sequence u64 | length u32 | crc32 u32 | payload`, the payload a msgpack array of records. The last
group may be torn by a crash and is cut off on opening; damage before it is an error that a person must look at, since
a node that forgets its own votes can break safety. Never put meaning of records here.
"""

import asyncio
import errno
import os
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import msgpack

from node.meters import DISK_S, Buckets

GROUP_MAGIC = b"LSG1"
_HEAD = struct.Struct(">4sQII")
GROUP_BYTES_MAX = 64 * 1024 * 1024
"""What a reader believes of a length field."""
GROUP_BYTES_SPLIT = 16 * 1024 * 1024
"""A writer begins another group here, so that whatever is acknowledged can be read back."""


class LogError(Exception):
    """A log that must not be used; `code` is stable and the sentence names the repair."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


def _checksum(sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(sequence.to_bytes(8, "big")))


def encode_group(sequence: int, records: Sequence[bytes]) -> bytes:
    """Bytes of one group."""
    payload = msgpack.packb(list(records), use_bin_type=True)
    assert len(payload) <= GROUP_BYTES_MAX, "a group that could not be read back must not be acknowledged"
    return _HEAD.pack(GROUP_MAGIC, sequence, len(payload), _checksum(sequence, payload)) + bytes(payload)


def encode_groups(sequence: int, records: Sequence[bytes]) -> tuple[bytes, int]:
    """Bytes of as many groups as the records need, and the next sequence number."""
    parts: list[bytes] = []
    group: list[bytes] = []
    size = 0
    for record in records:
        if group and size + len(record) > GROUP_BYTES_SPLIT:
            parts.append(encode_group(sequence + len(parts), group))
            group, size = [], 0
        group.append(record)
        size += len(record)
    if group:
        parts.append(encode_group(sequence + len(parts), group))
    return b"".join(parts), sequence + len(parts)


def _read_sealed(raw: bytes, offset: int) -> tuple[int, bytes, int] | None:
    """(sequence, payload, end) of the group at `offset`, or None when it is not whole."""
    if offset + _HEAD.size > len(raw):
        return None
    magic, sequence, length, checksum = _HEAD.unpack_from(raw, offset)
    end = offset + _HEAD.size + length
    if magic != GROUP_MAGIC or length > GROUP_BYTES_MAX or end > len(raw):
        return None
    payload = raw[offset + _HEAD.size : end]
    return (sequence, payload, end) if _checksum(sequence, payload) == checksum else None


def _read_records(payload: bytes) -> list[bytes] | None:
    """The records of a whole group, or None for a payload that no log was ever given."""
    try:
        records = msgpack.unpackb(payload, use_list=True, raw=True)
    except (ValueError, msgpack.UnpackException):
        return None
    is_plain = isinstance(records, list) and all(isinstance(one, bytes) for one in records)
    return records if is_plain else None


def parse_groups(raw: bytes, name: str) -> tuple[list[list[bytes]], int, int]:
    """Groups of a log, how many bytes of it are whole, and the next sequence number.

    Raises LogError("log_damaged") when something whole stands behind a broken place: that is not a torn write.
    """
    groups: list[list[bytes]] = []
    offset, expected = 0, None
    while offset < len(raw):
        group = _read_sealed(raw, offset)
        if group is None or (expected is not None and group[0] != expected):
            if _holds_later_group(raw, offset + 1, 0 if expected is None else expected):
                raise damaged_log(name, f"at byte {offset}, before its end")
            break
        records = _read_records(group[1])
        if records is None:  # no torn write has a checksum that fits
            raise damaged_log(name, f"at byte {offset}, in a group that is whole")
        groups.append(records)
        offset, expected = group[2], group[0] + 1
    return groups, offset, 0 if expected is None else expected


def damaged_log(name: str, where: str) -> LogError:
    """The error of a log that says what nobody wrote."""
    return LogError(
        "log_damaged",
        f"{name} is damaged {where}: restore it from this node's own disk, or rotate the validator key; do not delete"
        " it.",
    )


def _holds_later_group(raw: bytes, start: int, expected: int) -> bool:
    """Whether a group that was written after the broken one stands behind it.

    Records may hold a user's bytes, and those may look like a group: only a later sequence number counts.
    """
    at = raw.find(GROUP_MAGIC, start)
    while at >= 0:
        group = _read_sealed(raw, at)
        if group is not None and expected < group[0] <= expected + len(raw):
            return True
        at = raw.find(GROUP_MAGIC, at + 1)
    return False


def sync_directory(directory: Path) -> None:
    """Make a creation or rename in `directory` durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _open_end(path: Path) -> BinaryIO:
    """A handle that writes at the end. It has no buffer: closing must not try again what a full disk refused."""
    return path.open("a+b", buffering=0)


OLD_SUFFIX = ".old"
"""Beside the log while the file that it was is overwritten. One that a crash left is overwritten at the start."""


def _overwrite(file: BinaryIO, begin: int = 0) -> None:
    """Zeros over a file from `begin` on, so that its blocks on the disk do not keep what it said."""
    left = os.fstat(file.fileno()).st_size - begin
    file.seek(begin)
    while left > 0:
        left -= file.write(bytes(min(left, 1_048_576)))
    os.fsync(file.fileno())


def _shred(path: Path) -> None:
    """Overwrite a file, then take its name away; nothing where there is none."""
    try:
        with path.open("r+b", buffering=0) as file:
            _overwrite(file)
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)


def _clear(leftover: Path, path: Path) -> None:
    """Shred what was left beside the log at `path`; of what is the log itself by a second name, take that name alone.

    Such a name stands when the new file never took the log's place: the log's own records must not be overwritten.
    """
    try:
        is_log = leftover.samefile(path)
    except FileNotFoundError:
        is_log = False
    if is_log:
        leftover.unlink(missing_ok=True)
    else:
        _shred(leftover)


def _keep(path: Path, old: Path) -> BinaryIO | None:
    """Let a file outlive its name: by a second one, which a crash leaves to be found; else by an open handle."""
    try:
        old.hardlink_to(path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
            raise
        return path.open("r+b", buffering=0)  # a file system without second names
    return None


def _find_leftovers(path: Path) -> tuple[Path, Path]:
    """What a crash may leave of a rewrite: the new file before it took its place, and the old one after that."""
    return path.with_suffix(".new"), path.with_suffix(OLD_SUFFIX)


class AppendLog:
    """One open log. Appends of one loop turn share a group and one fdatasync, in a thread of its own."""

    def __init__(self, path: Path, handle: BinaryIO, sequence: int) -> None:
        self._path = path
        self._handle = handle
        self._sequence = sequence
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=path.name)
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._failure: LogError | None = None
        self._rewriting = asyncio.Lock()
        self.syncing = Buckets(DISK_S)

    @classmethod
    def open(cls, path: Path) -> tuple["AppendLog", list[bytes]]:
        """Open or create `path`; a torn last group is cut off. Returns the log and all records in order.

        What a crash left of a rewrite, and what is cut off, is overwritten.
        """
        fresh = not path.exists()
        for leftover in _find_leftovers(path):
            _clear(leftover, path)
        handle = _open_end(path)
        handle.seek(0)
        raw = handle.read()
        try:
            groups, whole, sequence = parse_groups(raw, path.name)
        except LogError:
            handle.close()
            raise
        if whole < len(raw):
            with path.open("r+b", buffering=0) as torn:
                _overwrite(torn, whole)
            handle.truncate(whole)
            os.fsync(handle.fileno())
        if fresh:
            os.fsync(handle.fileno())
            sync_directory(path.parent)
        return cls(path, handle, sequence), [record for group in groups for record in group]

    async def append(self, records: Sequence[bytes]) -> None:
        """Return when `records`, and all appended before, are durable. Raises LogError once the disk has failed."""
        if self._failure is not None:
            raise self._failure
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._flusher is None:
            self._flusher = asyncio.create_task(self._flush())
        await done

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group, self._waiting = self._waiting, []
                records = [record for part, _ in group for record in part]
                try:
                    if records:
                        await loop.run_in_executor(self._thread, self._write, records)
                except OSError as error:
                    self._failure = LogError(
                        "log_write_failed",
                        f"{self._path.name} could not be written ({error.strerror}):"
                        " free or repair the disk, then restart.",
                    )
                for _, done in group:
                    if done.cancelled():
                        continue
                    if self._failure is None:
                        done.set_result(None)
                    else:
                        done.set_exception(self._failure)
        finally:
            self._flusher = None

    def _write(self, records: Sequence[bytes]) -> None:
        began_s = time.monotonic()
        raw, following = encode_groups(self._sequence, records)
        left = memoryview(raw)
        while left:
            left = left[self._handle.write(left) :]
        os.fdatasync(self._handle.fileno())
        self._sequence = following
        self.syncing.observe(time.monotonic() - began_s)

    async def rewrite(self, keep: Callable[[bytes], bool], *, shred: bool = False) -> None:
        """Drop the records that `keep` refuses: new file, fsync, rename, fsync of the directory.

        With `shred` the old file is overwritten before its name goes, in another thread: appends need not wait for
        that, but this returns only afterwards.

        Raises LogError when the disk refuses; the log goes on as it was unless the new file already took its place.
        """
        async with self._rewriting:
            try:
                await asyncio.get_running_loop().run_in_executor(self._thread, self._rewrite, keep, shred)
                if shred:
                    await asyncio.to_thread(_shred, self._path.with_suffix(OLD_SUFFIX))
            except OSError as error:
                raise LogError(
                    "log_rewrite_failed", f"{self._path.name} could not be shortened ({error.strerror}): free the disk."
                ) from error

    def _rewrite(self, keep: Callable[[bytes], bool], shred: bool) -> None:
        groups, _, _ = parse_groups(self._path.read_bytes(), self._path.name)
        kept = [record for group in groups for record in group if keep(record)]
        fresh, old = _find_leftovers(self._path)
        if shred:  # of a rewrite that the disk refused
            _clear(fresh, self._path)
            _clear(old, self._path)
        # A log that was used is never a file of no bytes: that is how a lost one is told.
        raw, following = encode_groups(0, kept) if kept else (encode_group(0, []), 1)
        with fresh.open("wb") as handle:
            handle.write(raw)
            handle.flush()
            os.fsync(handle.fileno())
        kept_open = _keep(self._path, old) if shred else None
        fresh.replace(self._path)
        sync_directory(self._path.parent)
        if kept_open is not None:
            with kept_open:
                _overwrite(kept_open)
        self._handle.close()
        self._handle = _open_end(self._path)
        self._sequence = following

    def abandon(self) -> None:
        """Close a log to which nothing was appended."""
        self._handle.close()
        self._thread.shutdown(wait=True)

    async def close(self) -> None:
        """Wait for what was appended, then close."""
        if self._flusher is not None:
            await self._flusher
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=True)

    def _close(self) -> None:
        # Looked up in the thread: a rewrite that was under way has put another handle in place.
        self._handle.close()
        _clear(self._path.with_suffix(OLD_SUFFIX), self._path)  # of a rewrite that nobody waited for to the end
