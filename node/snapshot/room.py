"""The shell around snapshots: answers peers that ask for them, and fetches one when the plan wants it.

The plan decides, the shelf and `incoming` have the disk, the maker makes. A snapshot that is ready is installed at the
next start, which whoever runs the node brings about: the books in use are never changed underneath. A disk that refuses
ends the attempt with a line of log. Nothing a peer says can raise here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from node.batches import Mesh
from node.snapshot.incoming import Incoming
from node.snapshot.maker import SnapshotMaker
from node.snapshot.plan import PeerView, SnapshotPlan, Stage
from node.snapshot.shelf import NoRoomError, Shelf
from node.telemetry import get_logger
from protocol.genesis import Genesis
from protocol.ids import Digest, Height, PublicKey
from protocol.messages import ChunkReply, GetChunk, GetManifest, GetSnapshots, ManifestReply, Snapshots
from protocol.snapshot import SnapshotFault, SnapshotManifest, VerifiedSnapshot, check_manifest

LOOK_EVERY_S: Final = 0.25


class Claims(Protocol):
    """What is asked of the sync plan."""

    @property
    def liars_max(self) -> int:
        """How many validators may lie."""

    def list_peers(self, now_ms: int) -> Sequence[PeerView]:
        """Peers that are believed, and where they say they stand."""


class Saved(Protocol):
    """What is asked of the executor."""

    @property
    def height(self) -> Height:
        """The last block executed and saved."""


class SnapshotRoom:
    """Snapshots of one node, towards its peers."""

    def __init__(
        self,
        *,
        genesis: Genesis,
        shelf: Shelf,
        maker: SnapshotMaker,
        incoming: Incoming,
        claims: Claims,
        saved: Saved,
        mesh: Mesh,
        behind_min: int,
        clock_ms: Callable[[], int],
    ) -> None:
        self._shelf = shelf
        self._maker = maker
        self._incoming = incoming
        self._claims = claims
        self._saved = saved
        self._mesh = mesh
        self._clock_ms = clock_ms
        self._genesis = genesis
        self.plan = SnapshotPlan(behind_min=behind_min, check=self._check)
        self._kept: Digest | None = None
        self._stage = Stage.RESTING
        self._turn = asyncio.Lock()
        """The plan's decisions and what the disk does about them go together."""
        self._log = get_logger("snapshot")
        self.ready = asyncio.Event()
        """A snapshot lies whole in `incoming`: start anew to install it."""

    @property
    def holds_blocks(self) -> bool:
        """Whether blocks are not to be asked for, because a snapshot is on its way."""
        now_ms = self._clock_ms()
        return self.plan.is_wanted(self._saved.height, self._claims.list_peers(now_ms), now_ms)

    def _check(self, manifest: SnapshotManifest) -> VerifiedSnapshot | SnapshotFault:
        return check_manifest(manifest, self._genesis)

    # ------------------------------------------------------------------ serving

    def on_get_snapshots(self, peer: PublicKey, _message: GetSnapshots) -> None:
        """Say which there are."""
        self._mesh.send(peer, Snapshots(offers=self._shelf.offers))

    def on_get_manifest(self, peer: PublicKey, message: GetManifest) -> None:
        """Say what one consists of."""
        manifest = self._shelf.find_manifest(Digest(message.digest))
        self._mesh.send(peer, ManifestReply(digest=message.digest, manifest=manifest))

    async def on_get_chunk(self, peer: PublicKey, message: GetChunk) -> None:
        """Send a chunk."""
        chunk = await asyncio.to_thread(self._shelf.read_chunk, Digest(message.digest))
        self._mesh.send(peer, ChunkReply(digest=message.digest, chunk=chunk))

    # ------------------------------------------------------------------ fetching

    async def run(self) -> None:
        """Make and fetch until cancelled."""
        await self._recall()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._maker.run())
            group.create_task(self._run_fetching())

    async def _recall(self) -> None:
        """What an earlier run had begun to fetch."""
        manifest = await asyncio.to_thread(self._incoming.read_manifest)
        if manifest is not None and isinstance(found := self._check(manifest), VerifiedSnapshot):
            self.plan.resume(manifest, found)

    async def _run_fetching(self) -> None:
        while True:
            async with self._turn:
                await self._guard(self.look())
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Do what the plan wants now."""
        await self._ask()
        if self.plan.stage is Stage.CHECKING:
            await self._check_state()
        self._tell()

    async def _ask(self) -> None:
        """What the plan wants to know now; nothing is asked for before the disk can take the answer."""
        now_ms = self._clock_ms()
        peers = self._claims.list_peers(now_ms)
        requests = self.plan.look(self._saved.height, peers, self._claims.liars_max, now_ms)
        await self._prepare()
        for peer, request in requests:
            self._mesh.send(peer, request)

    async def on_offers(self, peer: PublicKey, message: Snapshots) -> None:
        """A peer's list."""
        self.plan.on_offers(peer, message, self._clock_ms())

    async def on_manifest(self, peer: PublicKey, message: ManifestReply) -> None:
        """A peer's manifest."""
        async with self._turn:
            if self.plan.on_manifest(peer, message, self._clock_ms()):
                await self._guard(self._ask())

    async def on_chunk(self, peer: PublicKey, message: ChunkReply) -> None:
        """A peer's chunk: kept, and the next one asked for at once."""
        async with self._turn:
            await self._guard(self._keep(peer, message))

    async def _keep(self, peer: PublicKey, message: ChunkReply) -> None:
        if self.plan.on_chunk(peer, message, self._clock_ms()):
            assert message.chunk is not None, "kept ones are there"
            digest = Digest(message.digest)
            await asyncio.to_thread(self._incoming.keep_chunk, digest, message.chunk)
            self.plan.on_kept(digest)
        if self.plan.stage is Stage.FETCHING:
            await self._ask()

    def on_gone(self, peer: PublicKey) -> None:
        """A peer cannot be reached any more."""
        self.plan.on_gone(peer)

    async def _prepare(self) -> None:
        """Let the disk follow the plan to another snapshot, with what the two have in common."""
        snapshot, manifest = self.plan.snapshot, self.plan.manifest
        if snapshot is None or manifest is None or snapshot.digest == self._kept:
            return
        await asyncio.to_thread(self._incoming.keep_manifest, manifest)
        held = await asyncio.to_thread(self._incoming.find_held, snapshot.content)
        self._kept = snapshot.digest
        self.plan.on_held(held, self._clock_ms())
        told = {"chunks": len(snapshot.content.chunks), "held": len(held), "bytes": snapshot.content.size}
        self._log.info("snapshot_fetch_began", height=snapshot.height, **told)

    async def _check_state(self) -> None:
        snapshot = self.plan.snapshot
        assert snapshot is not None, "checked"
        self._incoming.check_room_to_install(snapshot.content)  # else it would be started anew for, in vain
        fault = await asyncio.to_thread(self._incoming.check_state, snapshot)
        if fault is not None:
            self._kept = None
            self._log.warning("snapshot_refused", height=snapshot.height, code=fault.code, reason=fault.sentence)
        self.plan.on_checked(fault, self._clock_ms())
        if self.plan.stage is Stage.READY:
            self._log.info("snapshot_fetched", height=snapshot.height, rows=snapshot.content.rows)
            self.ready.set()

    def _tell(self) -> None:
        """One line when an attempt ends without a snapshot."""
        stage = self.plan.stage
        if stage is Stage.RESTING and self._stage is not Stage.RESTING:
            self._log.info("snapshot_not_fetched", height=self._saved.height)
        self._stage = stage

    async def _guard(self, work: Awaitable[None]) -> None:
        """A disk that refuses ends the attempt; blocks may still fit."""
        try:
            await work
        except NoRoomError:
            self._log.warning("snapshot_not_kept", reason="the disk has too little room")
            self.plan.give_up(self._clock_ms())
        except OSError as error:
            self._log.warning("snapshot_not_kept", reason=str(error))
            self.plan.give_up(self._clock_ms())

    async def close(self) -> None:
        """End the thread."""
        await self._maker.close()
