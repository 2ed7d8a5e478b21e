"""Fetching a snapshot: whether to, which one, what to ask of whom, and whom to believe no longer. Decisions only.

    RESTING -> ASKING      somebody is far ahead: who has a snapshot?
    ASKING  -> PROVING     the best supported offer: its manifest, checked against the genesis before any chunk
    PROVING -> FETCHING    its chunks from everybody who has it, a few at a time each, every one checked by its hash
    FETCHING -> CHECKING   all are there: the rows are hashed to the state root (by the shell, which has the disk)
    CHECKING -> READY      to be installed

Whoever brings what is wrong, or nothing in time, is distrusted for a while, longer each time, and the others go on with
what is there. Nothing new for PATIENCE_MS ends the attempt: then blocks are fetched, as if there were no snapshots.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Final, NamedTuple

from protocol.ids import Digest, Height, PublicKey
from protocol.messages import ChunkReply, GetChunk, GetManifest, GetSnapshots, ManifestReply, Snapshots
from protocol.snapshot import SnapshotFault, SnapshotManifest, VerifiedSnapshot, calculate_chunk_digest

PATIENCE_MS: Final = 15_000
"""Without a chunk or a manifest: the attempt ends, and blocks are fetched."""
ANSWER_MS: Final = 1_500
"""How long the slowest list of offers is waited for."""
MANIFEST_MS: Final = 4_000
CHUNK_MS: Final = 5_000
"""Half a megabyte in this time is a tenth of what one link between two nodes should bring."""
ASK_AGAIN_MS: Final = 5_000
AT_ONCE_MAX: Final = 2
"""Chunks asked of one peer at a time: the next is on its way while one is written."""
DISTRUST_MS: Final = 60_000
REST_MS: Final = 60_000
DOUBLINGS_MAX: Final = 4
REFUSED_MAX: Final = 64

Request = GetSnapshots | GetManifest | GetChunk
Check = Callable[[SnapshotManifest], VerifiedSnapshot | SnapshotFault]


class Stage(Enum):
    """Where an attempt stands."""

    RESTING = "resting"
    ASKING = "asking"
    PROVING = "proving"
    FETCHING = "fetching"
    CHECKING = "checking"
    READY = "ready"


class PeerView(NamedTuple):
    """What a peer says of itself."""

    peer: PublicKey
    height: Height
    """Its last final one."""
    base: Height
    """It has no blocks up to this one."""
    is_validator: bool


class _Asked(NamedTuple):
    peer: PublicKey
    at_ms: int


class SnapshotPlan:
    """The attempts of one node, one after another."""

    def __init__(self, *, behind_min: int, check: Check) -> None:
        """`behind_min` blocks behind, a snapshot is wanted; 0 wants none. `check` judges a manifest by the genesis."""
        self._behind_min = behind_min
        self._check = check
        self.stage = Stage.RESTING
        self.snapshot: VerifiedSnapshot | None = None
        """What is fetched now; known from PROVING's end on."""
        self._wanted: Digest | None = None
        self._proven: dict[Digest, VerifiedSnapshot] = {}
        self._manifests: dict[Digest, SnapshotManifest] = {}
        self._offers: dict[PublicKey, dict[Digest, Height]] = {}
        self._vouchers: dict[Digest, dict[PublicKey, None]] = {}
        """Everybody who ever offered a content: its chunks' names are their word until the rows are hashed."""
        self._denied: dict[tuple[PublicKey, Digest], None] = {}
        """What a peer offered and did not have when asked: its word for it counts no more in this attempt."""
        self._refused: dict[Digest, None] = {}
        self._unanswered: dict[PublicKey, None] = {}
        self._manifest_asked: _Asked | None = None
        self._chunks_asked: dict[Digest, _Asked] = {}
        self._missing: dict[Digest, None] = {}
        self._held: set[Digest] = set()
        self._lies: dict[PublicKey, int] = {}
        self._distrusted_until_ms: dict[PublicKey, int] = {}
        self._peers: dict[PublicKey, PeerView] = {}
        self._tip = Height(0)
        self._liars_max = 0
        self._progress_ms = 0
        self._asked_ms = 0
        self._is_stale = False
        """A snapshot was dropped since everybody was asked last."""
        self._is_prepared = False
        """What lies on disk of the snapshot is known."""
        self._rest_until_ms = 0
        self._failures = 0

    @property
    def is_active(self) -> bool:
        """Whether a snapshot is being fetched: blocks are not asked for meanwhile."""
        return self.stage is not Stage.RESTING

    @property
    def manifest(self) -> SnapshotManifest | None:
        """Of `snapshot`, as the peer sent it."""
        return None if self.snapshot is None else self._manifests[self.snapshot.digest]

    @property
    def bytes_missing(self) -> int:
        """Of `snapshot`, still to come."""
        chunks = () if self.snapshot is None else self.snapshot.content.chunks
        return sum(one.size for one in chunks if one.digest in self._missing)

    def resume(self, manifest: SnapshotManifest, snapshot: VerifiedSnapshot) -> None:
        """A manifest that was proven before a restart need not be fetched again."""
        self._proven[snapshot.digest] = snapshot
        self._manifests[snapshot.digest] = manifest

    # ------------------------------------------------------------------ looking

    def look(
        self, tip: Height, peers: Sequence[PeerView], liars_max: int, now_ms: int
    ) -> list[tuple[PublicKey, Request]]:
        """What to ask of whom now. `tip` is the last executed height, `liars_max` how many validators may lie."""
        self._tip, self._liars_max = tip, liars_max
        self._peers = {one.peer: one for one in peers}
        if self.stage is Stage.RESTING:
            if not self.is_wanted(tip, peers, now_ms):
                return []
            self.stage, self._progress_ms = Stage.ASKING, now_ms
            return self._ask_everybody(now_ms)
        if self.snapshot is not None and self.snapshot.height <= tip:
            self.give_up(now_ms)  # this node came there by itself meanwhile
            return []
        if self.stage in (Stage.CHECKING, Stage.READY):
            return []
        self._expire(now_ms)
        if now_ms - self._progress_ms >= PATIENCE_MS:
            self.give_up(now_ms)
            return []
        asks = self._ask_everybody(now_ms) if now_ms - self._asked_ms >= ASK_AGAIN_MS else []
        if self._wanted is not None and not self._list_providers(self._wanted, now_ms):
            self._drop_wanted()
        if self._wanted is None:
            return [*asks, *self._choose(now_ms)]
        return [*asks, *(self._ask_chunks(now_ms) if self.stage is Stage.FETCHING else self._ask_manifest(now_ms))]

    def is_wanted(self, tip: Height, peers: Sequence[PeerView], now_ms: int) -> bool:
        """Whether an attempt is under way or would begin: far behind, or nobody has the next blocks any more."""
        if self.is_active:
            return True
        if self._behind_min == 0 or now_ms < self._rest_until_ms:
            return False
        ahead = [one for one in peers if one.height > tip and self._believes(one.peer, now_ms)]
        if any(one.height - tip >= self._behind_min for one in ahead):
            return True
        return bool(ahead) and all(one.base > tip for one in ahead)

    def _is_useful(self, height: Height) -> bool:
        """Whether a snapshot of this height saves enough."""
        if height - self._tip >= self._behind_min:
            return True
        ahead = [one for one in self._peers.values() if one.height > self._tip]
        return height > self._tip and bool(ahead) and all(one.base > self._tip for one in ahead)

    def _believes(self, peer: PublicKey, now_ms: int) -> bool:
        return self._distrusted_until_ms.get(peer, 0) <= now_ms

    def _ask_everybody(self, now_ms: int) -> list[tuple[PublicKey, Request]]:
        self._asked_ms, self._is_stale = now_ms, False
        asked = [peer for peer in sorted(self._peers) if self._believes(peer, now_ms)]
        self._unanswered = dict.fromkeys(asked)
        return [(peer, GetSnapshots()) for peer in asked]

    def _expire(self, now_ms: int) -> None:
        """Who was asked for too long is distrusted, though it may be slow only."""
        if self._manifest_asked is not None and now_ms - self._manifest_asked.at_ms > MANIFEST_MS:
            self._distrust(self._manifest_asked.peer, now_ms)
        for peer in {asked.peer: None for asked in self._chunks_asked.values() if now_ms - asked.at_ms > CHUNK_MS}:
            self._distrust(peer, now_ms)

    # ------------------------------------------------------------------ which one

    def _choose(self, now_ms: int) -> list[tuple[PublicKey, Request]]:
        """Want the best offer, once everybody was heard or given time; end the attempt when there is none."""
        if self._unanswered and now_ms - self._asked_ms < ANSWER_MS:
            return []
        ranked: list[tuple[int, int, Height, Digest]] = []
        for digest, height in self._list_candidates(now_ms).items():
            providers = self._list_providers(digest, now_ms)
            votes = sum(self._peers[one].is_validator for one in providers if one in self._peers)
            ranked.append((min(votes, self._liars_max + 1), min(len(providers), 2), height, digest))
        if not ranked and self._is_stale:
            return self._ask_everybody(now_ms)
        if not ranked:
            self.give_up(now_ms)
            return []
        self._wanted = max(ranked)[3]
        self.stage = Stage.PROVING
        known = self._proven.get(self._wanted)
        if known is not None:
            self._begin_fetching(known, now_ms)
            return []
        return self._ask_manifest(now_ms)

    def _list_candidates(self, now_ms: int) -> dict[Digest, Height]:
        return {
            digest: height
            for peer, offers in self._offers.items()
            if self._believes(peer, now_ms)
            for digest, height in offers.items()
            if digest not in self._refused and self._is_useful(height)
        }

    def _list_providers(self, digest: Digest, now_ms: int) -> list[PublicKey]:
        return [peer for peer in sorted(self._offers) if digest in self._offers[peer] and self._believes(peer, now_ms)]

    def _drop_wanted(self) -> None:
        """Nobody has it any more: choose another, with the chunks that are there."""
        self._is_stale = True
        self._wanted = self.snapshot = None
        self._manifest_asked = None
        self._chunks_asked = {}
        self._missing = {}
        self.stage = Stage.ASKING

    def _refuse(self, digest: Digest) -> None:
        self._refused[digest] = None
        while len(self._refused) > REFUSED_MAX:
            del self._refused[next(iter(self._refused))]

    # ------------------------------------------------------------------ asking

    def _ask_manifest(self, now_ms: int) -> list[tuple[PublicKey, Request]]:
        if self._manifest_asked is not None or self._wanted is None:
            return []
        providers = self._list_providers(self._wanted, now_ms)
        if not providers:
            return []
        self._manifest_asked = _Asked(providers[0], now_ms)
        return [(providers[0], GetManifest(digest=self._wanted))]

    def _ask_chunks(self, now_ms: int) -> list[tuple[PublicKey, Request]]:
        """Chunks that nobody was asked for, one each in turn, until everybody has enough to do."""
        if self._wanted is None or not self._is_prepared:
            return []
        load = dict.fromkeys(self._list_providers(self._wanted, now_ms), 0)
        for asked in self._chunks_asked.values():
            if asked.peer in load:
                load[asked.peer] += 1
        requests: list[tuple[PublicKey, Request]] = []
        for digest in self._missing:
            if digest in self._chunks_asked:
                continue
            peer = min(load, key=lambda one: load[one], default=None)
            if peer is None or load[peer] >= AT_ONCE_MAX:
                break
            load[peer] += 1
            self._chunks_asked[digest] = _Asked(peer, now_ms)
            requests.append((peer, GetChunk(digest=digest)))
        return requests

    # ------------------------------------------------------------------ answers

    def on_offers(self, peer: PublicKey, message: Snapshots, now_ms: int) -> None:
        """A peer's list; the last one counts."""
        self._unanswered.pop(peer, None)
        if not self.is_active or peer not in self._peers:
            return
        self._offers[peer] = {
            Digest(one.digest): one.height for one in message.offers if (peer, one.digest) not in self._denied
        }
        for one in message.offers:
            if one.digest == self._wanted or one.digest in self._proven:
                self._vouchers.setdefault(Digest(one.digest), {})[peer] = None

    def on_manifest(self, peer: PublicKey, message: ManifestReply, now_ms: int) -> bool:
        """A peer's manifest; whether the plan now fetches the snapshot it proves."""
        asked = self._manifest_asked
        if asked is None or asked.peer != peer or message.digest != self._wanted or self.stage is not Stage.PROVING:
            return False
        self._manifest_asked = None
        if message.manifest is None:
            self._forget_offer(peer, Digest(message.digest))
            return False
        found = self._check(message.manifest)
        if isinstance(found, SnapshotFault) or found.digest != message.digest:
            self._distrust(peer, now_ms)
            return False
        if found.height <= self._tip:
            self._refuse(found.digest)
            self._forget_offer(peer, found.digest)
            return False
        self._proven = {found.digest: found}
        self._manifests = {found.digest: message.manifest}
        self._begin_fetching(found, now_ms)
        return True

    def _begin_fetching(self, snapshot: VerifiedSnapshot, now_ms: int) -> None:
        self._progress_ms = now_ms
        self.snapshot, self.stage = snapshot, Stage.FETCHING
        self._is_prepared = False
        self._vouchers = {snapshot.digest: dict.fromkeys(self._list_providers(snapshot.digest, now_ms))}
        named = dict.fromkeys(Digest(one.digest) for one in snapshot.content.chunks)
        self._held &= named.keys()
        self._missing = {digest: None for digest in named if digest not in self._held}

    def on_held(self, held: frozenset[Digest], now_ms: int) -> None:
        """Chunks of the snapshot that lie on disk already: from here on the others are asked for."""
        self._is_prepared = True
        self._progress_ms = now_ms
        self._held |= held
        for digest in sorted(held):
            self._missing.pop(digest, None)
            self._chunks_asked.pop(digest, None)
        self._settle()

    def on_chunk(self, peer: PublicKey, message: ChunkReply, now_ms: int) -> bool:
        """A peer's chunk; whether it is right and wanted, so that it is to be kept."""
        digest = Digest(message.digest)
        asked = self._chunks_asked.get(digest)
        if asked is None or asked.peer != peer:
            return False  # late, or never asked for
        del self._chunks_asked[digest]
        if message.chunk is None:
            if self._wanted is not None:
                self._forget_offer(peer, self._wanted)
            return False
        if calculate_chunk_digest(message.chunk) != digest:
            self._distrust(peer, now_ms)
            return False
        self._progress_ms = now_ms
        return digest in self._missing

    def on_kept(self, digest: Digest) -> None:
        """A chunk lies on disk."""
        self._held.add(digest)
        self._missing.pop(digest, None)
        self._settle()

    def _settle(self) -> None:
        if self.stage is Stage.FETCHING and not self._missing:
            self.stage = Stage.CHECKING

    def on_checked(self, fault: SnapshotFault | None, now_ms: int) -> None:
        """The rows were hashed: they are the finalised state, or everybody who vouched for these chunks lied."""
        if self.stage is not Stage.CHECKING or self.snapshot is None:
            return
        if fault is None:
            self.stage = Stage.READY
            return
        digest = self.snapshot.digest
        self._refuse(digest)
        self._proven.pop(digest, None)
        for peer in self._vouchers.pop(digest, {}):
            self._distrust(peer, now_ms)
        self._progress_ms = now_ms
        self._drop_wanted()

    def on_gone(self, peer: PublicKey) -> None:
        """A peer cannot be reached any more: what was asked of it is free for others."""
        self._offers.pop(peer, None)
        self._unanswered.pop(peer, None)
        self._free(peer)

    # ------------------------------------------------------------------ ends

    def _forget_offer(self, peer: PublicKey, digest: Digest) -> None:
        """It does not have it any more, which is no fault."""
        self._offers.get(peer, {}).pop(digest, None)
        self._denied[peer, digest] = None
        self._free(peer)

    def _free(self, peer: PublicKey) -> None:
        if self._manifest_asked is not None and self._manifest_asked.peer == peer:
            self._manifest_asked = None
        self._chunks_asked = {digest: asked for digest, asked in self._chunks_asked.items() if asked.peer != peer}

    def _distrust(self, peer: PublicKey, now_ms: int) -> None:
        doublings = min(self._lies.get(peer, 0), DOUBLINGS_MAX)
        self._lies[peer] = self._lies.get(peer, 0) + 1
        self._distrusted_until_ms[peer] = now_ms + (DISTRUST_MS << doublings)
        self.on_gone(peer)

    def get_distrusted(self, now_ms: int) -> Mapping[PublicKey, int]:
        """Peers that are not asked now, and until when."""
        return {peer: until for peer, until in self._distrusted_until_ms.items() if until > now_ms}

    def give_up(self, now_ms: int) -> None:
        """No snapshot this time: blocks are fetched, and the next attempt comes later each time."""
        self._rest_until_ms = now_ms + (REST_MS << min(self._failures, DOUBLINGS_MAX))
        self._failures += 1
        self._offers, self._unanswered, self._denied = {}, {}, {}
        self._drop_wanted()
        self.stage = Stage.RESTING
