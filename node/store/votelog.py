"""The vote log: every proposal and vote of one's own, durable before it is sent (rule S5), and certificates.

A log that `create_vote_log` marked as created and that is gone means amnesia: the node must not vote until its key is
rotated. The mark also says from which view on the log is whole. Never append anything here that is not a consensus
record.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from consensus.records import CertificateRecord, ProposalRecord, Record, VoteRecord
from node.meters import Buckets
from node.store.appendlog import AppendLog, LogError, damaged_log, sync_directory
from protocol.codec import CodecError, decode, encode
from protocol.ids import Epoch, View

VOTES = "votes.wal"
MARK_SUFFIX = ".created"
USED = "used"
Place = tuple[Epoch, View]
BEGINNING: Place = (Epoch(0), View(0))


def decode_record(raw: bytes) -> Record:
    """The record of its bytes. Raises CodecError."""
    return decode(raw, cast("type[Record]", Record))


def calculate_place(record: Record) -> Place:
    """The epoch and view a record speaks of."""
    match record:
        case ProposalRecord(propose=propose):
            return propose.epoch, propose.view
        case VoteRecord(vote=vote):
            return vote.epoch, vote.view
        case CertificateRecord(certificate=certificate):
            return certificate.epoch, certificate.view


def create_vote_log(path: Path) -> None:
    """An empty log with its mark, for a validator that has never voted. Raises OSError."""
    path.touch(mode=0o600)
    _write_mark(_find_mark(path), "")


def set_aside_vote_log(path: Path, at_ms: int) -> None:
    """Put a log that cannot be trusted out of the way, for a new one. Whoever calls has noted that its key is dead."""
    if path.exists():
        path.rename(path.with_name(f"{path.name}.aside-{at_ms}"))
    _find_mark(path).unlink(missing_ok=True)
    sync_directory(path.parent)


def _find_mark(path: Path) -> Path:
    return path.with_name(path.name + MARK_SUFFIX)


def _write_mark(mark: Path, text: str) -> None:
    fresh = mark.with_name(mark.name + ".new")
    with fresh.open("w", encoding="ascii") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    fresh.replace(mark)
    sync_directory(mark.parent)


def read_floor(path: Path) -> Place | None:
    """From where on the log of `path` is whole; None before the first record. Raises LogError for a damaged mark."""
    mark = _find_mark(path)
    words = mark.read_text(encoding="ascii", errors="replace").split() if mark.exists() else []
    if not words:
        return None
    if len(words) == 3 and words[0] == USED and words[1].isdigit() and words[2].isdigit():
        return Epoch(int(words[1])), View(int(words[2]))
    raise LogError("log_damaged", f"{mark.name} does not say what it should: this node cannot know how it voted.")


class VoteLog:
    """An open vote log."""

    def __init__(self, log: AppendLog, mark: Path, floor: Place | None) -> None:
        self._log = log
        self._mark = mark
        self._used = floor is not None
        self.floor: Place = BEGINNING if floor is None else floor
        """Every own word of this epoch and view, or later, stands in the log."""

    @classmethod
    def open(cls, path: Path) -> tuple["VoteLog", list[Record]]:
        """The log and its records. Raises LogError for damage, and for a log that was created once and is missing."""
        mark = _find_mark(path)
        if mark.exists() and not path.exists():
            raise LogError("vote_log_missing", f"{path.name} existed and is gone: this node cannot know how it voted.")
        floor = read_floor(path)
        if floor is not None and path.stat().st_size == 0:
            raise LogError(
                "vote_log_emptied", f"{path.name} held votes and is empty: this node cannot know how it voted."
            )
        log, raw = AppendLog.open(path)
        try:
            records = [decode_record(one) for one in raw]
        except CodecError as error:
            log.abandon()
            raise damaged_log(path.name, f"in a record ({error})") from error
        if not mark.exists():
            _write_mark(mark, "")
        return cls(log, mark, floor), records

    @property
    def syncing(self) -> Buckets:
        """How long groups of records took to be durable."""
        return self._log.syncing

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""
        await self._log.append([encode(record) for record in records])
        if not self._used:  # from the first record on, an empty log is a lost one
            self._mark_floor(self.floor)
            self._used = True

    def _mark_floor(self, floor: Place) -> None:
        try:
            _write_mark(self._mark, f"{USED} {floor[0]} {floor[1]}\n")
        except OSError as error:
            raise LogError(
                "log_write_failed",
                f"{self._mark.name} could not be written ({error.strerror}): free or repair the disk, then restart.",
            ) from error

    def raise_floor(self, floor: Place) -> None:
        """Nothing was said before this epoch and view that the log must know. Raises LogError."""
        if floor > self.floor:
            self._mark_floor(floor)
            self._used, self.floor = True, floor

    async def prune(self, keep_from: Place) -> None:
        """Forget records of earlier epochs and views."""
        floor = max(keep_from, self.floor)
        if self._used:
            self._mark_floor(floor)  # first: what the log may lack must never count as unsaid
        self.floor = floor
        await self._log.rewrite(lambda raw: calculate_place(decode_record(raw)) >= floor)

    async def close(self) -> None:
        """Close after everything appended is durable."""
        await self._log.close()
