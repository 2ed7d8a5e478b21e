"""What survives a crash of one simulated node, and the files and the database it reaches it by.

The logs are the node's own classes over a log in memory; the database is rows as the node's own code wrote them. A
write is durable at a moment within the time it takes: whoever dies before lost it, whoever dies later never heard that
it was done. Never keep anything in a `Disk` that is not durable.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from consensus.records import ProposalRecord, Record, VoteRecord
from node.store.chain import ExecRow, SavedTip, StoredTransaction
from node.store.payloadlog import PayloadLog, PayloadRecord
from node.store.stopfile import Stop, StopFile
from node.store.votelog import BEGINNING, Place, VoteLog, decode_record
from protocol.block import GENESIS_VIEW, Block, calculate_genesis_digest
from protocol.certificate import Certificate, VoteKind
from protocol.codec import decode, encode
from protocol.epochs import EpochProof
from protocol.genesis import Genesis
from protocol.ids import BatchDigest, BlockDigest, Digest, Epoch, Height, TransactionId, View
from protocol.ledger.execute import Execution
from protocol.ledger.records import Receipt
from protocol.merkle import NO_MOUNTAINS, Mountains
from protocol.transactions.envelope import Transaction

Row = tuple[int, bytes, bytes]


class SavedBlock(NamedTuple):
    """One block with what executing it came to."""

    block: Block
    digest: BlockDigest
    finalization: Certificate | None
    mountains: Mountains
    state_root: Digest
    receipts_root: Digest
    exec_root: Digest
    receipts: tuple[Receipt, ...]


class Disk:
    """Durable state of one node."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.genesis_digest = calculate_genesis_digest(genesis.calculate_chain_id())
        self.logs: dict[str, list[bytes]] = {"votes": [], "payload": []}
        self.vote_floor: Place | None = None
        self.stops: tuple[Stop, ...] = ()
        self.saved: list[SavedBlock] = []
        self.heights: dict[BlockDigest, Height] = {}
        self.epochs: list[EpochProof] = []
        """How each epoch ended."""
        self.rows: dict[tuple[int, bytes], bytes] = {}
        self.batches: dict[BatchDigest, bytes] = {}
        self.transactions: dict[TransactionId, StoredTransaction] = {}
        self.said: dict[tuple[Epoch, View, VoteKind], BlockDigest] = {}
        """Every own word that is durable, in arithmetic of its own."""

    @property
    def height(self) -> Height:
        """The last saved block; 0 for the genesis."""
        return Height(len(self.saved))

    def read_records(self) -> list[Record]:
        """The vote log as it stands."""
        return [decode_record(raw) for raw in self.logs["votes"]]


class Life:
    """What everything of one start of a node asks before it touches the disk or the network."""

    def __init__(self, draw_ms: Callable[[], tuple[int, int]]) -> None:
        self.alive = True
        self.draw_ms = draw_ms
        """How long a write takes before it is durable, and from then until it says so."""

    async def write(self, apply: Callable[[], None]) -> None:
        """Make something durable, unless this life ends first."""
        before_ms, after_ms = self.draw_ms()
        await asyncio.sleep(before_ms / 1000)
        if self.alive:
            apply()
        await asyncio.sleep(after_ms / 1000)


class SimAppendLog:
    """In place of a file: appends of one moment share a write, as in the real one; a torn group is a lost one."""

    def __init__(self, life: Life, records: list[bytes], note: Callable[[Sequence[bytes]], None]) -> None:
        self._life = life
        self._records = records
        self._note = note
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None

    async def append(self, records: Sequence[bytes]) -> None:
        """Return when the records, and all before them, are durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.ensure_future(self._flush())
        await asyncio.shield(done)

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            records = [one for some, _ in group for one in some]
            if records:
                await self._life.write(lambda group=records: self._apply(group))  # type: ignore[misc]
            for _, done in group:
                if not done.done():
                    done.set_result(None)

    def _apply(self, records: Sequence[bytes]) -> None:
        self._records.extend(records)
        self._note(records)

    async def rewrite(self, keep: Callable[[bytes], bool], *, shred: bool = False) -> None:
        """Forget the others; whether they are overwritten is nothing to a simulated disk."""
        await self.append(())
        self._records[:] = [one for one in self._records if keep(one)]

    async def close(self) -> None:
        """Nothing to close."""


class SimVoteLog(VoteLog):
    """The vote log over such a log; its mark is a field."""

    def __init__(self, life: Life, disk: Disk) -> None:
        log: Any = SimAppendLog(life, disk.logs["votes"], self._note)
        super().__init__(log, Path("/nowhere"), disk.vote_floor)
        self._disk = disk

    def _mark_floor(self, floor: Place) -> None:
        self._disk.vote_floor = floor

    def _note(self, records: Sequence[bytes]) -> None:
        if self._disk.vote_floor is None:
            self._disk.vote_floor = BEGINNING
        for raw in records:
            match decode_record(raw):
                case VoteRecord(vote=vote):
                    self._disk.said[vote.epoch, vote.view, vote.kind] = vote.digest
                case ProposalRecord(propose=propose):
                    digest = propose.block.header.calculate_digest()
                    self._disk.said[propose.epoch, propose.view, VoteKind.PROPOSE] = digest


class SimStops(StopFile):
    """Reasons not to vote, kept on the simulated disk."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(Path("/nowhere"))
        self._disk = disk
        self.stops = disk.stops

    def _save(self, stops: tuple[Stop, ...]) -> None:
        self.stops = self._disk.stops = stops


def open_payload_log(life: Life, disk: Disk) -> tuple[PayloadLog, dict[BlockDigest, Block], dict[BatchDigest, bytes]]:
    """As `PayloadLog.open` does."""
    raw = disk.logs["payload"]
    records = [decode(one, PayloadRecord) for one in raw]
    blocks = {one.block.header.calculate_digest(): one.block for one in records}
    batches = {digest: held for one in records for digest, held in one.batches}
    heights = {digest: block.header.height for digest, block in blocks.items()}
    log: Any = SimAppendLog(life, raw, lambda _: None)
    return PayloadLog(log, heights, sum(map(len, raw))), blocks, batches


class SimStore:
    """In place of `ledger.sqlite`: the same questions, answered from rows in memory."""

    def __init__(self, life: Life, disk: Disk, on_saved: Callable[[SavedBlock, Any], None]) -> None:
        self._life = life
        self._disk = disk
        self._on_saved = on_saved
        self.base = Height(0)
        """The whole history is here."""

    # ------------------------------------------------------------------ writing

    async def save_blocks(self, outcomes: Sequence[Any], genesis_rows: Iterable[Row] = ()) -> None:
        """All of them in one transaction: all or nothing. A write that was begun is finished, whoever waits."""
        rows = list(genesis_rows)
        await asyncio.shield(asyncio.ensure_future(self._life.write(lambda: self._apply(outcomes, rows))))

    async def save_block(self, *, genesis_rows: Iterable[Row] = (), **outcome: Any) -> None:
        """One block."""
        await self.save_blocks((_Given(outcome),), genesis_rows)

    def _apply(self, outcomes: Sequence[Any], genesis_rows: Sequence[Row]) -> None:
        for table, key, value in genesis_rows:
            self._disk.rows[table, key] = value
        for one in outcomes:
            self._apply_one(one)

    def _apply_one(self, one: Any) -> None:
        disk, execution = self._disk, one.execution
        assert isinstance(execution, Execution)
        assert execution.height == disk.height + 1, "blocks are saved in order"
        saved = SavedBlock(
            one.block,
            one.digest,
            one.finalization,
            one.mountains,
            execution.state_root,
            execution.receipts_root,
            execution.exec_root,
            execution.receipts,
        )
        disk.saved.append(saved)
        disk.heights[one.digest] = execution.height
        for table, key, value in execution.changes:
            if value is None:
                disk.rows.pop((table, key), None)
            else:
                disk.rows[table, key] = value
        if one.block.header.is_boundary and execution.next_validators:
            assert one.finalization is not None, "a block that ends its epoch is finalised directly"
            proof = EpochProof(
                header=one.block.header, finalization=one.finalization, validators=execution.next_validators
            )
            disk.epochs.append(proof)
        disk.batches.update(one.batches)
        for transaction, receipt, batch in one.transactions:
            assert isinstance(transaction, Transaction)
            disk.transactions[transaction.id] = StoredTransaction(
                transaction.id, execution.height, receipt.index, batch, transaction.raw, encode(receipt)
            )
        self._on_saved(saved, one)

    # ------------------------------------------------------------------ reading

    async def load_tip(self) -> SavedTip:
        """As the real one."""
        disk = self._disk
        if not disk.saved:
            return SavedTip(Height(0), GENESIS_VIEW, disk.genesis_digest, None, None, NO_MOUNTAINS, Digest(b""))
        last = disk.saved[-1]
        finalization = last.finalization
        if finalization is None:
            finalization = next((one.finalization for one in reversed(disk.saved) if one.finalization), None)
        view = finalization.view if finalization is not None else last.block.header.view
        header = last.block.header
        return SavedTip(header.height, view, last.digest, header, finalization, last.mountains, last.exec_root)

    async def load_rows(self) -> list[Row]:
        """State rows after the last saved block."""
        return [(table, key, value) for (table, key), value in self._disk.rows.items()]

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """Consecutive saved blocks."""
        return tuple(one.block for one in self._disk.saved[max(0, height_from - 1) : max(0, height_from - 1 + count)])

    async def read_block(self, height: Height) -> Block | None:
        """One saved block."""
        return self._disk.saved[height - 1].block if 0 < height <= self._disk.height else None

    async def find_block(self, digest: BlockDigest) -> Block | None:
        """A saved block by its digest."""
        height = self._disk.heights.get(digest)
        return None if height is None else self._disk.saved[height - 1].block

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """The lowest saved finalization at or above a height."""
        for one in self._disk.saved[max(0, height_at_least - 1) :]:
            if one.finalization is not None:
                return one.block.header.height, one.finalization
        return None

    async def read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
        """Batches that saved blocks order."""
        return {one: raw for one in digests if (raw := self._disk.batches.get(one)) is not None}

    async def find_transaction(self, transaction_id: TransactionId) -> StoredTransaction | None:
        """An executed transaction."""
        return self._disk.transactions.get(transaction_id)

    async def read_exec_rows(self, height_from: Height, height_to: Height) -> list[ExecRow]:
        """What executing an inclusive range came to."""
        return [
            ExecRow(one.block.header.height, one.state_root, one.receipts_root, one.exec_root)
            for one in self._disk.saved[max(0, height_from - 1) : height_to]
        ]

    async def read_epochs(self, first: Epoch, count: int) -> tuple[EpochProof, ...]:
        """How so many epochs ended, from `first` on."""
        return tuple(self._disk.epochs[first : first + count])

    async def read_block_receipts(self, height: Height) -> list[bytes]:
        """Canonical receipts of one block."""
        return [encode(one) for one in self._disk.saved[height - 1].receipts]

    async def close(self) -> None:
        """Nothing to close."""


class _Given:
    """Arguments as an outcome."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__.update(fields)
