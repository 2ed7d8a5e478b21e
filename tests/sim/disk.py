"""What survives a crash: the vote log, the payload log and the saved chain of one simulated node.

A group that was not durable is gone as a whole, as a torn group is truncated. Never keep memory here.
"""

from typing import cast

from consensus.chain import Floor, Point, make_genesis_floor
from consensus.records import CertificateRecord, Record, VoteRecord
from node.reception import read_stretch
from protocol.block import Block
from protocol.certificate import Certificate, VoteKind
from protocol.ids import BatchDigest, BlockDigest, ChainId, Digest, Epoch, Height, View
from protocol.merkle import NO_MOUNTAINS, Mountains
from protocol.messages import Blocks, GetBlocks
from protocol.validators import ValidatorSet, make_validator_set
from tests.sim.seats import Seats

KEEP_VIEWS = 40


class Saved:
    """One saved block."""

    __slots__ = ("block", "digest", "finalization", "root", "seats")

    def __init__(
        self, block: Block, digest: BlockDigest, finalization: Certificate | None, root: Digest, seats: Seats
    ) -> None:
        self.block = block
        self.digest = digest
        self.finalization = finalization
        self.root = root
        self.seats = seats


class Disk:
    """Durable state."""

    def __init__(self, chain_id: ChainId, genesis_root: Digest, seats: Seats) -> None:
        self._chain_id = chain_id
        self.genesis_root = genesis_root
        self.genesis_seats = seats
        self.records: list[Record] = []
        self.blocks: dict[BlockDigest, Block] = {}
        self.batches: dict[BatchDigest, bool] = {}
        self.saved: list[Saved] = []
        self.mountains: Mountains = NO_MOUNTAINS
        self.votes: dict[tuple[Epoch, VoteKind, View], BlockDigest] = {}
        """What the log binds the node to, in arithmetic of its own."""
        self.proposals: dict[tuple[Epoch, View], BlockDigest] = {}
        self.certificates: dict[tuple[Epoch, VoteKind, View], BlockDigest] = {}

    def append(self, records: list[Record]) -> None:
        """Make records durable."""
        self.records += records
        for record in records:
            if isinstance(record, VoteRecord):
                vote = record.vote
                self.votes[(vote.epoch, vote.kind, vote.view)] = vote.digest
            elif isinstance(record, CertificateRecord):
                one = record.certificate
                self.certificates[(one.epoch, one.kind, one.view)] = one.digest
            else:
                propose = record.propose
                self.proposals[(propose.epoch, propose.view)] = propose.block.header.calculate_digest()

    def append_payload(self, blocks: tuple[Block, ...], held: dict[BatchDigest, bool]) -> None:
        """Make blocks durable, and those of the batches they order that the node holds."""
        for block in blocks:
            self.blocks[block.header.calculate_digest()] = block
            for ref in block.batches:
                if ref.digest in held:
                    self.batches[ref.digest] = True

    def save(self, saved: Saved) -> None:
        """One block with everything that follows from it; what lies far below is pruned from the logs."""
        assert saved.block.header.height == len(self.saved) + 1, "blocks are saved in order"
        self.saved.append(saved)
        self.mountains = self.mountains.append(saved.digest)
        for ref in saved.block.batches:
            self.batches[ref.digest] = True
        if len(self.records) > 400:
            header = saved.block.header
            lowest = (header.epoch, header.view - KEEP_VIEWS)
            self.records = [record for record in self.records if _get_place(record) >= lowest]
            self.blocks = {
                digest: one
                for digest, one in self.blocks.items()
                if (one.header.epoch, one.header.view) >= lowest or one.header.height > header.height
            }

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """As the store of a node does."""
        return tuple(one.block for one in self.saved[height_from - 1 : height_from - 1 + count])

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """As the store of a node does."""
        for one in self.saved[height_at_least - 1 :]:
            if one.finalization is not None:
                return one.block.header.height, one.finalization
        return None

    def answer(self, wanted: GetBlocks) -> Blocks:
        """What a node answers from its store, in the node's own words; nothing here ever waits."""
        reading = read_stretch(self, wanted)
        try:
            reading.send(None)
        except StopIteration as ended:
            return cast("Blocks", ended.value)
        raise AssertionError("reading a simulated disk never waits")

    @property
    def root(self) -> Digest:
        """State after the last saved block."""
        return self.saved[-1].root if self.saved else self.genesis_root

    @property
    def seats(self) -> Seats:
        """Seats after the last saved block."""
        return self.saved[-1].seats if self.saved else self.genesis_seats

    def find_block(self, digest: BlockDigest) -> Block | None:
        """A logged or recently saved block."""
        block = self.blocks.get(digest)
        if block is not None:
            return block
        return next((one.block for one in reversed(self.saved[-64:]) if one.digest == digest), None)

    def find_ended(self, epoch: Epoch) -> Certificate | None:
        """The finalization of the block that ended an epoch."""
        ends = (one for one in reversed(self.saved) if one.block.header.epoch == epoch)
        return next((one.finalization for one in ends), None)

    def make_floor(self, first: ValidatorSet) -> Floor:
        """Where a restarted engine begins; `first` are the validators of the first epoch."""
        if not self.saved:
            return make_genesis_floor(self._chain_id, self.genesis_root, first)
        last = self.saved[-1]
        header, seats = last.block.header, last.seats
        unnamed = self.saved[header.exec_height :]
        return Floor(
            point=Point(
                height=header.height,
                view=header.view,
                digest=last.digest,
                time_ms=header.time_ms,
                exec_height=header.exec_height,
                mountains=self.mountains,
                epoch_end=header.epoch_end,
            ),
            finalization=last.finalization,
            exec_height=header.height,
            exec_root=last.root,
            params_hash=Digest(bytes(32)),
            validators=make_validator_set(seats.keys, seats.genesis) if seats.epoch else first,
            epoch=seats.epoch,
            next_validators=seats.next,
            next_at=seats.next_at,
            suspects=seats.convicted,
            boundary=self.find_ended(Epoch(seats.epoch - 1)) if seats.epoch else None,
            nonempty_height=max((one.block.header.height for one in unnamed if one.block.batches), default=Height(0)),
            roots=tuple((one.block.header.height, one.root) for one in self.saved[-40:]),
        )


def _get_place(record: Record) -> tuple[Epoch, View]:
    if isinstance(record, VoteRecord):
        return record.vote.epoch, record.vote.view
    if isinstance(record, CertificateRecord):
        return record.certificate.epoch, record.certificate.view
    return record.propose.epoch, record.propose.view
