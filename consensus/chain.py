"""Blocks after the last finalised one, as a tree of headers, and the checks a header must pass. Pure bookkeeping."""

from typing import NamedTuple

from protocol.batch import BatchRef
from protocol.block import HEADER_VERSION, Block, Header, calculate_batches_root
from protocol.codec import encode
from protocol.ids import BatchDigest, BlockDigest, ChainId, Digest, Epoch, Height, TimeMs, ValidatorIndex, View
from protocol.limits import EXECUTION_LAG_MAX
from protocol.merkle import Mountains


class Point(NamedTuple):
    """A place on a chain: a block (or the genesis) with what its children need."""

    height: Height
    view: View
    digest: BlockDigest
    time_ms: TimeMs
    exec_height: Height
    mountains: Mountains
    """Over the headers of heights 1 .. height."""


def make_point(header: Header, digest: BlockDigest, parent: Point) -> Point:
    """The point of `header`, whose parent is `parent`."""
    return Point(
        height=header.height,
        view=header.view,
        digest=digest,
        time_ms=header.time_ms,
        exec_height=header.exec_height,
        mountains=parent.mountains.append(encode(header)),
    )


class Chain:
    """The last finalised point and every known block above it."""

    def __init__(self, chain_id: ChainId, epoch: Epoch, final: Point) -> None:
        self.chain_id = chain_id
        self.epoch = epoch
        self.final = final
        self.blocks: dict[BlockDigest, Block] = {}
        self._points: dict[BlockDigest, Point] = {final.digest: final}

    def add(self, digest: BlockDigest, block: Block) -> None:
        """Remember a block whose header hashes to `digest`."""
        if block.header.height > self.final.height:
            self.blocks.setdefault(digest, block)

    def replace(self, digest: BlockDigest, block: Block) -> None:
        """Remember a block proved final, whatever was known before."""
        self.blocks[digest] = block

    def find_point(self, digest: BlockDigest) -> Point | None:
        """The point of a block whose whole ancestry down to the final point is known."""
        path: list[BlockDigest] = []
        while digest not in self._points:
            block = self.blocks.get(digest)
            if block is None:
                return None
            path.append(digest)
            digest = block.header.parent_digest
        point = self._points[digest]
        for one in reversed(path):
            point = make_point(self.blocks[one].header, one, point)
            self._points[one] = point
        return point

    def find_path(self, digest: BlockDigest) -> list[tuple[BlockDigest, Block]] | None:
        """Blocks from just above the final point up to `digest`, ascending; None when one is unknown."""
        path: list[tuple[BlockDigest, Block]] = []
        while digest != self.final.digest:
            block = self.blocks.get(digest)
            if block is None or block.header.height <= self.final.height:
                return None
            path.append((digest, block))
            digest = block.header.parent_digest
        path.reverse()
        return path

    def list_batches(self, digest: BlockDigest) -> tuple[BatchDigest, ...]:
        """Batches that the unfinalised ancestry up to `digest` already orders."""
        return tuple(ref.digest for _, block in self.find_path(digest) or [] for ref in block.batches)

    def finalise(self, digest: BlockDigest) -> None:
        """Move the final point up and forget every block that is not above it."""
        point = self.find_point(digest)
        assert point is not None
        self.final = point
        self.blocks = {one: block for one, block in self.blocks.items() if block.header.height > point.height}
        self._points = {digest: point}

    def check_header(
        self,
        block: Block,
        parent: Point,
        *,
        view: View,
        leader: ValidatorIndex,
        validators_hash: Digest,
        params: Digest,
    ) -> str | None:
        """Why the header is invalid on `parent`, or None. Clock and execution are judged elsewhere."""
        header = block.header
        wanted: list[tuple[str, bool]] = [
            ("version", header.version == HEADER_VERSION),
            ("chain_id", header.chain_id == self.chain_id),
            ("epoch", header.epoch == self.epoch),
            ("view", header.view == view),
            ("height", header.height == parent.height + 1),
            ("parent", header.parent_digest == parent.digest),
            ("proposer", header.proposer == leader),
            ("time", header.time_ms > parent.time_ms),
            ("history_root", header.history_root == parent.mountains.calculate_root()),
            ("validators", header.next_validators_hash == validators_hash),
            ("params", header.params_hash == params),
            ("batches", is_whole(block)),
            ("tx_count", header.tx_count == sum(ref.tx_count for ref in block.batches)),
            ("batch_twice", _distinct(block.batches, self.list_batches(parent.digest))),
            ("exec_height", header.exec_height <= parent.height),
            ("lag", not block.batches or header.height - header.exec_height <= EXECUTION_LAG_MAX),
        ]
        return next((name for name, holds in wanted if not holds), None)


def is_whole(block: Block) -> bool:
    """Whether the batches are those the header names: else the content does not belong to the digest."""
    header = block.header
    return header.batches_root == calculate_batches_root(block.batches) and header.batch_count == len(block.batches)


def _distinct(batches: tuple[BatchRef, ...], ordered: tuple[BatchDigest, ...]) -> bool:
    digests = [ref.digest for ref in batches]
    return len(set(digests)) == len(digests) and not set(digests) & set(ordered)
