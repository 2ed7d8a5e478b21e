"""Peers that a plan fetches from, in a time of their own: honest ones and liars, one class each. No socket, no disk.

Every message takes some milliseconds; what a peer does with a request is its class. The driver does what the shell
does, and keeps what was asked of whom for the tests.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from node.snapshot.plan import PeerView, Request, SnapshotPlan, Stage
from protocol.ids import Digest, Height, PublicKey
from protocol.ledger.tree import StateTree
from protocol.messages import (
    ChunkReply,
    GetChunk,
    GetManifest,
    ManifestReply,
    SnapshotOffer,
    Snapshots,
)
from protocol.snapshot import (
    ChunkRef,
    SnapshotFault,
    SnapshotManifest,
    calculate_chunk_digest,
    check_manifest,
    read_rows,
)
from tests.protocol.snapshots import Made

WAY_MS = 30
STEP_MS = 10
Reply = Snapshots | ManifestReply | ChunkReply


class Peer:
    """An honest one."""

    is_validator = True
    base = Height(0)

    def __init__(self, *made: Made, height: int = 10_000) -> None:
        self.height = Height(height)
        self.manifests: dict[Digest, SnapshotManifest] = {one.digest: one.manifest for one in made}
        self.chunks: dict[Digest, bytes] = {digest: raw for one in made for digest, raw in one.chunks.items()}

    def answer(self, request: Request) -> Reply | None:
        """What it says, if anything."""
        match request:
            case GetManifest(digest=digest):
                return ManifestReply(digest=digest, manifest=self.manifests.get(Digest(digest)))
            case GetChunk(digest=digest):
                return ChunkReply(digest=digest, chunk=self.chunks.get(Digest(digest)))
            case _:
                held = self.manifests.items()
                offers = tuple(SnapshotOffer(height=one.content.height, digest=digest) for digest, one in held)
                return Snapshots(offers=offers)


class Empty(Peer):
    """Has none."""

    def __init__(self) -> None:
        super().__init__()


class Mute(Peer):
    """Says where it stands and answers nothing."""

    def answer(self, request: Request) -> Reply | None:
        """Nothing."""
        return None


class ChunkStaller(Peer):
    """Answers everything but chunks."""

    def answer(self, request: Request) -> Reply | None:
        """Nothing for a chunk."""
        return None if isinstance(request, GetChunk) else super().answer(request)


class ManifestStaller(Peer):
    """Offers and then says nothing."""

    def answer(self, request: Request) -> Reply | None:
        """Offers alone."""
        return None if isinstance(request, GetChunk | GetManifest) else super().answer(request)


class ChunkLiar(Peer):
    """Sends other bytes for every chunk."""

    def answer(self, request: Request) -> Reply | None:
        """A chunk with one bit of it turned."""
        reply = super().answer(request)
        if isinstance(reply, ChunkReply) and reply.chunk is not None:
            return msgspec.structs.replace(reply, chunk=bytes([reply.chunk[0] ^ 1]) + reply.chunk[1:])
        return reply


class ManifestLiar(Peer):
    """Sends a manifest whose finalization is somebody else's."""

    def answer(self, request: Request) -> Reply | None:
        """The right content with a wrong proof."""
        reply = super().answer(request)
        if isinstance(reply, ManifestReply) and reply.manifest is not None:
            proof = reply.manifest.proof
            bad = msgspec.structs.replace(proof.finalization, signatures=proof.finalization.signatures[::-1])
            wrong = msgspec.structs.replace(reply.manifest, proof=msgspec.structs.replace(proof, finalization=bad))
            return msgspec.structs.replace(reply, manifest=wrong)
        return reply


class OtherManifestLiar(Peer):
    """Sends the right manifest of another snapshot than the one asked for."""

    def __init__(self, made: Made, other: Made) -> None:
        super().__init__(made)
        self._other = other

    def answer(self, request: Request) -> Reply | None:
        """Something that was not asked for."""
        reply = super().answer(request)
        if isinstance(reply, ManifestReply):
            return msgspec.structs.replace(reply, manifest=self._other.manifest)
        return reply


class HeightLiar(Peer):
    """Offers a snapshot of a great height that nobody has."""

    def answer(self, request: Request) -> Reply | None:
        """An offer without anything behind it."""
        if isinstance(request, GetManifest):
            return ManifestReply(digest=request.digest, manifest=None)
        if isinstance(request, GetChunk):
            return ChunkReply(digest=request.digest, chunk=None)
        return Snapshots(offers=(SnapshotOffer(height=Height(9_999), digest=Digest(bytes(32))),))


class Forger(Peer):
    """Has a manifest with the right roots and a right proof, and rows that are its own: only the state root tells."""

    def __init__(self, made: Made, *, keep: int = 0) -> None:
        """Its snapshot has the first `keep` chunks of the honest one."""
        digests = list(made.chunks)
        fake = {calculate_chunk_digest(raw): raw for raw in [made.chunks[one][:-1] + b"\x00" for one in digests[keep:]]}
        chunks = {**{one: made.chunks[one] for one in digests[:keep]}, **fake}
        refs = tuple(ChunkRef(digest=digest, size=len(raw)) for digest, raw in chunks.items())
        content = msgspec.structs.replace(made.manifest.content, chunks=refs)
        forged = made._replace(manifest=msgspec.structs.replace(made.manifest, content=content), chunks=chunks)
        super().__init__(forged)


class Note(NamedTuple):
    """One request."""

    at_ms: int
    peer: PublicKey
    request: Request


class Field:
    """A plan and its peers."""

    def __init__(self, made: Made, peers: Mapping[str, Peer], *, behind_min: int = 5, tip: int = 0) -> None:
        self.peers = {PublicKey(name.encode().ljust(32, b"\0")): peer for name, peer in peers.items()}
        self.made = made
        self.tip = Height(tip)
        self.plan = SnapshotPlan(behind_min=behind_min, check=lambda one: check_manifest(one, made.genesis))
        self.now_ms = 1_000
        self.asked: list[Note] = []
        self.kept: dict[Digest, bytes] = {}
        self.wasted: Counter[Digest] = Counter()
        self._mail: list[tuple[int, PublicKey, Reply]] = []
        self._seen: Digest | None = None

    def key(self, name: str) -> PublicKey:
        """The key of a peer."""
        return PublicKey(name.encode().ljust(32, b"\0"))

    def run(self, until_ms: int, *, stop: Stage = Stage.READY) -> None:
        """Let time pass until the plan comes to a stage, or until a moment."""
        while self.now_ms < until_ms and self.plan.stage is not stop:
            self.step()

    def step(self) -> None:
        """One look and what comes of it."""
        views = [PeerView(key, peer.height, peer.base, peer.is_validator) for key, peer in sorted(self.peers.items())]
        liars_max = (sum(one.is_validator for one in views) - 1) // 3
        for key, request in self.plan.look(self.tip, views, liars_max, self.now_ms):
            self.asked.append(Note(self.now_ms, key, request))
            if isinstance(request, GetChunk):
                self.wasted[Digest(request.digest)] += 1
            reply = self.peers[key].answer(request)
            if reply is not None:
                self._mail.append((self.now_ms + WAY_MS, key, reply))
        self._prepare()
        self.now_ms += STEP_MS
        arrived = [one for one in self._mail if one[0] <= self.now_ms]
        self._mail = [one for one in self._mail if one[0] > self.now_ms]
        for _, key, reply in arrived:
            if key in self.peers:
                self._deliver(key, reply)
        if self.plan.stage is Stage.CHECKING:
            self.plan.on_checked(self._check(), self.now_ms)

    def _deliver(self, key: PublicKey, reply: Reply) -> None:
        match reply:
            case Snapshots():
                self.plan.on_offers(key, reply, self.now_ms)
            case ManifestReply():
                self.plan.on_manifest(key, reply, self.now_ms)
                self._prepare()
            case ChunkReply():
                if self.plan.on_chunk(key, reply, self.now_ms):
                    assert reply.chunk is not None
                    self.kept[Digest(reply.digest)] = reply.chunk
                    self.plan.on_kept(Digest(reply.digest))

    def _prepare(self) -> None:
        """As the disk does: what another snapshot does not name goes."""
        snapshot = self.plan.snapshot
        if snapshot is not None and snapshot.digest != self._seen:
            self._seen = snapshot.digest
            named = {one.digest for one in snapshot.content.chunks}
            self.kept = {digest: raw for digest, raw in self.kept.items() if digest in named}
            self.plan.on_held(frozenset(self.kept), self.now_ms)

    def _check(self) -> SnapshotFault | None:
        snapshot = self.plan.snapshot
        assert snapshot is not None
        try:
            rows = [row for one in snapshot.content.chunks for row in read_rows(self.kept[Digest(one.digest)])]
        except ValueError:
            self._seen = None
            return SnapshotFault.ROWS
        root = StateTree().update(rows)
        return None if root == snapshot.state_root else SnapshotFault.STATE

    def leave(self, name: str) -> None:
        """A peer goes."""
        key = self.key(name)
        del self.peers[key]
        self.plan.on_gone(key)

    def list_asked(self, kind: type[Request]) -> Sequence[Note]:
        """Requests of one kind."""
        return [one for one in self.asked if isinstance(one.request, kind)]

    @property
    def distrusted(self) -> set[str]:
        """Names of those that are not believed now."""
        return {key.rstrip(b"\0").decode() for key in self.plan.get_distrusted(self.now_ms)}
