"""The payload log: blocks and batches made durable before a Finalize is sent (rule S3), until SQLite holds them.

After a crash it gives back what a finalised but unsaved block needs. Never read it while running.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from node.store.appendlog import AppendLog, damaged_log
from protocol.block import Block
from protocol.codec import CodecError, decode, encode
from protocol.ids import BatchDigest, BlockDigest, Height

REWRITE_BYTES = 8 * 1024 * 1024
"""A rewrite holds the file in memory, and a copy of its records, for a moment."""


class PayloadRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One block with the batches it orders that were not logged before."""

    block: Block
    batches: tuple[tuple[BatchDigest, bytes], ...]


class PayloadLog:
    """An open payload log."""

    def __init__(self, log: AppendLog, logged: dict[BlockDigest, Height], size: int) -> None:
        self._log = log
        self._logged = logged
        self._size = size

    @classmethod
    def open(cls, path: Path) -> tuple["PayloadLog", dict[BlockDigest, Block], dict[BatchDigest, bytes]]:
        """The log, and the blocks and raw batches it holds. Raises LogError for damage."""
        log, raw = AppendLog.open(path)
        blocks: dict[BlockDigest, Block] = {}
        batches: dict[BatchDigest, bytes] = {}
        try:
            for one in raw:
                record = decode(one, PayloadRecord)
                blocks[record.block.header.calculate_digest()] = record.block
                batches.update(record.batches)
        except CodecError as error:
            log.abandon()
            raise damaged_log(path.name, f"in a record ({error})") from error
        heights = {digest: block.header.height for digest, block in blocks.items()}
        return cls(log, heights, sum(len(one) for one in raw)), blocks, batches

    async def append(self, payloads: Sequence[tuple[Block, Sequence[tuple[BatchDigest, bytes]]]]) -> None:
        """Return when these blocks and their batches are durable; blocks logged before are not written again."""
        records: list[bytes] = []
        for block, batches in payloads:
            digest = block.header.calculate_digest()
            if digest not in self._logged:
                self._logged[digest] = block.header.height
                records.append(encode(PayloadRecord(block=block, batches=tuple(batches))))
        self._size += sum(len(one) for one in records)
        await self._log.append(records)  # also when empty: an earlier append of the same block may still be under way

    async def prune(self, height_saved: Height) -> None:
        """Forget blocks up to `height_saved` once enough of the file is dead.

        What is forgotten is overwritten: bins travel in batches, and later orders look for them in named files alone.
        """
        if self._size < REWRITE_BYTES:
            return
        await self._log.rewrite(lambda raw: decode(raw, PayloadRecord).block.header.height > height_saved, shred=True)
        self._logged = {digest: height for digest, height in self._logged.items() if height > height_saved}
        self._size = 0

    async def shred(self, height_saved: Height) -> None:
        """Forget blocks up to `height_saved` now, and overwrite what was said of them: data in it is to be erased."""
        if all(height > height_saved for height in self._logged.values()):
            return
        await self._log.rewrite(lambda raw: decode(raw, PayloadRecord).block.header.height > height_saved, shred=True)
        self._logged = {digest: height for digest, height in self._logged.items() if height > height_saved}
        self._size = 0

    async def close(self) -> None:
        """Close after everything appended is durable."""
        await self._log.close()
