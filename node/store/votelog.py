"""The vote log: every proposal and vote of one's own, durable before it is sent (rule S5), and certificates.

A log that `create_vote_log` marked as created and that is gone means amnesia: the node must not vote until its key is
rotated. Never append anything here that is not a consensus record.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from consensus.records import CertificateRecord, ProposalRecord, Record, VoteRecord
from node.store.appendlog import AppendLog, LogError, sync_directory
from protocol.codec import decode, encode
from protocol.ids import View

MARK_SUFFIX = ".created"


def _decode_record(raw: bytes) -> Record:
    return decode(raw, cast("type[Record]", Record))


def calculate_record_view(record: Record) -> View:
    """The view a record speaks of."""
    match record:
        case ProposalRecord(propose=propose):
            return propose.view
        case VoteRecord(vote=vote):
            return vote.view
        case CertificateRecord(certificate=certificate):
            return certificate.view


class VoteLog:
    """An open vote log."""

    def __init__(self, log: AppendLog, mark: Path) -> None:
        self._log = log
        self._mark: Path | None = mark if mark.stat().st_size == 0 else None
        """Still to be told that the log has been used."""

    @classmethod
    def open(cls, path: Path) -> tuple["VoteLog", list[Record]]:
        """The log and its records. Raises LogError for damage, and for a log that was created once and is missing."""
        mark = path.with_name(path.name + MARK_SUFFIX)
        if mark.exists() and not path.exists():
            raise LogError(
                "vote_log_missing",
                f"{path.name} existed and is gone: this node cannot know how it voted. Restore the file from this"
                " node's own disk, or rotate the validator key.",
            )
        if mark.exists() and mark.stat().st_size and path.stat().st_size == 0:
            raise LogError(
                "vote_log_emptied",
                f"{path.name} held votes and is empty: this node cannot know how it voted. Restore the file from this"
                " node's own disk, or rotate the validator key.",
            )
        log, raw = AppendLog.open(path)
        if not mark.exists():
            mark.touch(mode=0o600)
            sync_directory(path.parent)
        return cls(log, mark), [_decode_record(one) for one in raw]

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""
        await self._log.append([encode(record) for record in records])
        if self._mark is not None:
            # From the first record on, an empty log is a lost one.
            try:
                self._mark.write_bytes(b"used\n")
            except OSError as error:
                raise LogError(
                    "log_write_failed",
                    f"{self._mark.name} could not be written ({error.strerror}):"
                    " free or repair the disk, then restart.",
                ) from error
            self._mark = None

    async def prune(self, keep_from_view: View) -> None:
        """Forget records of earlier views."""
        await self._log.rewrite(lambda raw: calculate_record_view(_decode_record(raw)) >= keep_from_view)

    async def close(self) -> None:
        """Close after everything appended is durable."""
        await self._log.close()
