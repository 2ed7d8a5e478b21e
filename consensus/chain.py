"""The last finalised block, the unfinalised ones above it, and the roots of what was executed.

Never keep a finalised block for long here: the store has it. Never judge a vote here.
"""

from enum import Enum
from typing import Final, NamedTuple

import msgspec

from consensus.events import Params, Verdict
from protocol.block import FIRST_EPOCH, GENESIS_HEIGHT, GENESIS_VIEW, Block, Header, calculate_genesis_digest
from protocol.certificate import Certificate
from protocol.ids import (
    ZERO_DIGEST,
    BatchDigest,
    BlockDigest,
    ChainId,
    Digest,
    Epoch,
    Height,
    PublicKey,
    TimeMs,
    View,
)
from protocol.merkle import NO_MOUNTAINS, Mountains
from protocol.validators import ValidatorSet, calculate_validators_hash

GENESIS_TIME: Final = TimeMs(0)
RECENT_BLOCKS: Final = 32  # finalised blocks kept to answer peers that are a little behind


class Point(NamedTuple):
    """A place on a chain: a block, or the genesis, with what its children need."""

    height: Height
    view: View
    """In which the block was proposed; 0 where an epoch begins. Never the view of a later finalization."""
    digest: BlockDigest
    time_ms: TimeMs
    exec_height: Height
    """The executed height that its header names."""
    mountains: Mountains
    """Over the digests of the headers of heights 1 .. height."""
    epoch_end: Height = GENESIS_HEIGHT
    """Where its epoch ends, once that is fixed; 0 before, and where an epoch begins."""

    @property
    def is_boundary(self) -> bool:
        """Whether it ends its epoch: nothing of the same epoch may stand on it."""
        return self.epoch_end == self.height > GENESIS_HEIGHT


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine starts: the last finalised, executed and saved block, or the genesis."""

    point: Point
    finalization: Certificate | None
    """Of this block, or None (genesis, or a block finalised through a descendant)."""
    exec_height: Height
    exec_root: Digest
    """State after `exec_height`."""
    params_hash: Digest
    """What every header names as its parameters."""
    validators: ValidatorSet
    """Of `epoch`: its keys, and where leadership begins (make_validator_set over the epoch's genesis digest)."""
    epoch: Epoch = FIRST_EPOCH
    """Of this block's header. When the block ends it, the engine begins the next epoch by itself."""
    next_validators: tuple[PublicKey, ...] = ()
    """Keys that the executed state plans for the next epoch; () when it plans none."""
    next_at: Height = GENESIS_HEIGHT
    """The height whose execution planned them: states below it plan nothing."""
    suspects: tuple[PublicKey, ...] = ()
    """Keys convicted of equivocation by the executed state."""
    boundary: Certificate | None = None
    """Finalization of the block that ended the epoch before, if it is at hand: validators left behind are shown it."""
    nonempty_height: Height = GENESIS_HEIGHT
    """The last finalised height that ordered something; its root may still want a header."""
    params: tuple[Params, ...] = ()
    """What the executed state says of headers' parameters, in order of height; () for `params_hash` at all heights."""
    roots: tuple[tuple[Height, Digest], ...] = ()
    """Roots of recent heights, so that proposals made before the restart can be judged."""


def make_genesis_floor(
    chain_id: ChainId,
    exec_root: Digest,
    validators: ValidatorSet,
    params_hash: Digest = ZERO_DIGEST,
    time_ms: TimeMs = GENESIS_TIME,
) -> Floor:
    """The floor of a node that has nothing but the genesis; `exec_root` is the genesis state's."""
    point = Point(
        height=GENESIS_HEIGHT,
        view=GENESIS_VIEW,
        digest=calculate_genesis_digest(chain_id),
        time_ms=time_ms,
        exec_height=GENESIS_HEIGHT,
        mountains=NO_MOUNTAINS,
    )
    return Floor(
        point=point,
        finalization=None,
        exec_height=GENESIS_HEIGHT,
        exec_root=exec_root,
        params_hash=params_hash,
        validators=validators,
    )


class Succession:
    """Whom the executed states name as the validators to come: the present ones, until a state plans others."""

    __slots__ = ("current_hash", "keys", "next_at", "next_hash", "notice")

    def __init__(self, current: ValidatorSet, keys: tuple[PublicKey, ...], next_at: Height, notice: int) -> None:
        self.notice = notice
        """Blocks from the header that announces others to the one that ends the epoch."""
        self.current_hash = current.calculate_hash()
        self.keys: tuple[PublicKey, ...] = ()
        """The planned ones, () when none are. A plan is never changed before its epoch begins."""
        self.next_hash = self.current_hash
        self.next_at = GENESIS_HEIGHT
        self.plan(keys, next_at)

    def plan(self, keys: tuple[PublicKey, ...], height: Height) -> None:
        """The state after `height` plans `keys`. The present ones are no plan: states of the epoch before name them."""
        if keys and not self.keys and calculate_validators_hash(keys) != self.current_hash:
            self.keys, self.next_hash, self.next_at = keys, calculate_validators_hash(keys), height

    def calculate_hash_at(self, height: Height) -> Digest:
        """What a header that names the state after `height` must say of the next validators."""
        return self.next_hash if self.keys and height >= self.next_at else self.current_hash


class RootState(Enum):
    """What my own execution says of a root that a header names."""

    OK = "ok"
    PENDING = "pending"  # not executed yet, or too long ago
    BAD = "bad"


class Entry:
    """A block above the last finalised one, and what is known of it."""

    __slots__ = ("asked", "block", "digest", "durable", "header", "height", "point", "sound", "verdict", "view")

    def __init__(self, digest: BlockDigest, block: Block) -> None:
        self.digest = digest
        self.block = block
        self.header = block.header
        self.height = block.header.height
        self.view = block.header.view
        self.verdict: Verdict | None = None
        """What the shell says of its batches."""
        self.asked = False
        self.sound: bool | None = None
        """Whether the header fits its parent; None until the whole way down is known."""
        self.durable = False
        """The payload log was told to keep it."""
        self.point: Point | None = None
        """Filled once the whole way down is known."""

    @property
    def is_full(self) -> bool:
        """Whether it orders batches."""
        return self.header.batch_count > 0


class Path(NamedTuple):
    """The way from the last finalised block (exclusive) to a block (inclusive), as far as it is known."""

    entries: tuple[Entry, ...]
    missing: BlockDigest | None
    """The ancestor that is not known; None when the way is whole."""
    forked: bool
    """The way misses the last finalised block."""

    @property
    def is_whole(self) -> bool:
        """Whether every block of the way is known and it starts at the last finalised one."""
        return self.missing is None and not self.forked


class Chain:
    """The tree above the last finalised block."""

    def __init__(self, floor: Floor, notice: int) -> None:
        assert floor.point.mountains.size == floor.point.height, "the mountains cover every header up to the floor"
        self.final = floor.point
        own = floor.finalization is not None and floor.finalization.digest == floor.point.digest
        self.finalization = floor.finalization if own else None
        self.params = floor.params or (Params(GENESIS_HEIGHT, GENESIS_HEIGHT, floor.params_hash),)
        self.succession = Succession(floor.validators, floor.next_validators, floor.next_at, notice)
        self.entries: dict[BlockDigest, Entry] = {}
        self.recent: dict[BlockDigest, Block] = {}
        self.executed = floor.exec_height
        self.roots: dict[Height, Digest] = {**dict(floor.roots), floor.exec_height: floor.exec_root}
        self.claims: dict[Height, Header] = {}
        """Finalised headers that name a height not executed yet."""
        self.known: dict[Height, BlockDigest] = {}
        """Digests above the last finalised block that headers tie to a finalization: one for each page of headers."""
        self.full_height = floor.nonempty_height
        """The last finalised height that ordered batches."""

    # ------------------------------------------------------------------ blocks

    def find_block(self, digest: BlockDigest) -> Block | None:
        """A block to show to a peer."""
        entry = self.entries.get(digest)
        return entry.block if entry is not None else self.recent.get(digest)

    def add(self, digest: BlockDigest, block: Block) -> Entry | None:
        """Keep a block above the last finalised one; None when it is below."""
        entry = self.entries.get(digest)
        if entry is None and block.header.height > self.final.height:
            entry = self.entries[digest] = Entry(digest, block)
        return entry

    def find_path(self, digest: BlockDigest) -> Path:
        """The way down from `digest` to the last finalised block."""
        found: list[Entry] = []
        at = digest
        while at != self.final.digest:
            entry = self.entries.get(at)
            if entry is None:
                return Path(tuple(reversed(found)), at, False)
            found.append(entry)
            at = entry.header.parent_digest
            if entry.height <= self.final.height + 1 and at != self.final.digest:
                return Path(tuple(reversed(found)), None, True)
        return Path(tuple(reversed(found)), None, False)

    def find_point(self, digest: BlockDigest) -> Point | None:
        """The point of a block whose whole way down to the last finalised one is known."""
        if digest == self.final.digest:
            return self.final
        above: list[Entry] = []
        entry = self.entries.get(digest)
        while entry is not None and entry.point is None:
            above.append(entry)
            if entry.header.parent_digest == self.final.digest:
                break
            entry = self.entries.get(entry.header.parent_digest)
        if entry is None:
            return None
        below = entry.point or self.final
        for one in reversed(above):
            below = one.point = make_point(one.header, one.digest, below)
        return below

    def collect_batches(self, digest: BlockDigest) -> tuple[BatchDigest, ...]:
        """What the unfinalised blocks up to `digest` order."""
        return tuple(ref.digest for entry in self.find_path(digest).entries for ref in entry.block.batches)

    @property
    def lowest_known(self) -> Height:
        """The lowest height above the last finalised block whose final digest is known without its block; 0: none."""
        return min(self.known, default=GENESIS_HEIGHT)

    # ------------------------------------------------------------------ finality and execution

    def advance(self, path: tuple[Entry, ...], finalization: Certificate) -> None:
        """Make the blocks of a whole path final and forget what they leave behind."""
        last = self.find_point(path[-1].digest)
        assert last is not None, "the path is whole"
        assert last.mountains.size == last.height, "heights are consecutive"
        for entry in path:
            self.recent[entry.digest] = entry.block
            if entry.is_full:
                self.full_height = entry.height
            if entry.header.exec_height > self.executed:
                self.claims[entry.header.exec_height] = entry.header
        self.final = last
        self.finalization = finalization if finalization.digest == last.digest else None
        self.known = {height: digest for height, digest in self.known.items() if height > last.height}
        self.entries = {
            digest: entry
            for digest, entry in self.entries.items()
            if entry.height > last.height and entry.view > last.view
        }
        while len(self.recent) > RECENT_BLOCKS:
            del self.recent[next(iter(self.recent))]
        self._forget_roots()

    def find_params(self, exec_height: Height, height: Height) -> Params | None:
        """What a header of `height` that names the state after `exec_height` must say; None when it is too old."""
        fitting = [one for one in self.params if exec_height >= one.planned_at and height >= one.since]
        return fitting[-1] if fitting else None

    def on_executed(
        self, height: Height, root: Digest, planned: tuple[PublicKey, ...] = (), params: tuple[Params, ...] = ()
    ) -> Header | None:
        """Keep a root and what the state plans; the finalised header that contradicts them, if any."""
        if height <= self.executed:
            return None
        self.executed = height
        self.roots[height] = root
        self.succession.plan(planned, height)
        self.params = params or self.params
        claim = self.claims.get(height)
        self.claims = {at: header for at, header in self.claims.items() if at > height}
        self._forget_roots()
        return claim if claim is not None and self.check_root(claim) is RootState.BAD else None

    def _forget_roots(self) -> None:
        """A valid header names no height below the one that the last finalised header names."""
        if len(self.roots) > 2 * RECENT_BLOCKS:
            lowest = min(self.final.exec_height, self.executed)
            self.roots = {height: root for height, root in self.roots.items() if height >= lowest}

    def check_root(self, header: Header) -> RootState:
        """What my own execution says of the root, the next validators and the parameters that `header` names.

        Under parameters that this node does not know it never comes to an end.
        """
        own = self.roots.get(header.exec_height) if header.exec_height <= self.executed else None
        params = self.find_params(header.exec_height, header.height)
        if own is None or params is None or not params.is_known:
            return RootState.PENDING
        planned = self.succession.calculate_hash_at(header.exec_height)
        named = (header.exec_root, header.next_validators_hash, header.params_hash)
        return RootState.OK if (own, planned, params.params_hash) == named else RootState.BAD

    def begin_epoch(self, validators: ValidatorSet) -> None:
        """The last final block ended an epoch: it is the genesis of the next, whose views begin anew."""
        self.final = self.final._replace(view=GENESIS_VIEW, epoch_end=GENESIS_HEIGHT)
        self.finalization = None
        self.known = {}
        self.succession = Succession(validators, (), GENESIS_HEIGHT, self.succession.notice)


def make_point(header: Header, digest: BlockDigest, parent: Point) -> Point:
    """The point of `header`, whose parent stands at `parent`."""
    return Point(
        height=header.height,
        view=header.view,
        digest=digest,
        time_ms=header.time_ms,
        exec_height=header.exec_height,
        mountains=parent.mountains.append(digest),
        epoch_end=header.epoch_end,
    )
