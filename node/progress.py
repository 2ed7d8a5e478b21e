"""How far a node has caught up with its network: the stage, how much is done, how fast, and how long it may still take.

    looking_for_peers -> snapshot -> blocks -> executing -> following

`ProgressWatch.run` is the room that looks at the clock: it keeps a short history of heights for the pace, and measures
how late the event loop comes back. For people and metrics only: never decide by it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from node.api.whereabouts import Progress, SyncStage
from node.meters import Buckets
from node.snapshot.plan import PeerView, SnapshotPlan, Stage
from protocol.ids import Height, PublicKey

LOOK_EVERY_S: Final = 0.5
PACE_LOOKS_MAX: Final = 40  # a pace over the last twenty seconds


class Claims(Protocol):
    """What is asked of the sync plan."""

    @property
    def liars_max(self) -> int:
        """How many validators may lie."""

    @property
    def quorum(self) -> int:
        """How many validators' words make a quorum."""

    def count_heard(self, own: PublicKey, now_ms: int) -> int:
        """How many validators were heard lately."""

    def list_peers(self, now_ms: int) -> list[PeerView]:
        """Peers that are believed, and where they say they stand."""


class Saved(Protocol):
    """What is asked of the executor."""

    @property
    def height(self) -> Height:
        """The last block executed and saved."""


class ProgressWatch:
    """Watches one node."""

    def __init__(
        self,
        *,
        claims: Claims,
        own: PublicKey,
        tip: Saved,
        saved: Saved,
        snapshot: SnapshotPlan,
        find_hindrance: Callable[[], str | None],
        clock_ms: Callable[[], int],
        lag: Buckets,
        on_look: Callable[[], None],
    ) -> None:
        """`clock_ms` never steps; `lag` takes how late the loop came back; `on_look` looks at what else moves."""
        self._claims = claims
        self._own = own
        self._tip = tip
        self._saved = saved
        self._snapshot = snapshot
        self._find_hindrance = find_hindrance
        self._clock_ms = clock_ms
        self._lag = lag
        self._on_look = on_look
        self._looks: deque[tuple[int, int, int]] = deque(maxlen=PACE_LOOKS_MAX)
        """(time, height, bytes of the snapshot) of the last looks."""

    async def run(self) -> None:
        """Look at the clock and the height until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOK_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)
            self._lag.observe(max(0.0, loop.time() - due_s))
            self.look()
            self._on_look()

    def look(self) -> None:
        """Remember where this node stands now."""
        self._looks.append((self._clock_ms(), int(self._saved.height), self._count_bytes()[0]))

    def describe(self) -> Progress:
        """Where it stands."""
        now_ms, height = self._clock_ms(), self._saved.height
        target = Height(max(self._find_target(now_ms), self._tip.height, height))
        done, size = self._count_bytes()
        stage = self._find_stage()
        blocks_per_s, bytes_per_s = self._calculate_pace(now_ms, 1, height), self._calculate_pace(now_ms, 2, done)
        missing, pace = (size - done, bytes_per_s) if stage == "snapshot" else (target - height, blocks_per_s)
        is_under_way = stage in ("snapshot", "blocks", "executing") and missing > 0
        return Progress(
            stage=stage,
            validators_heard=self._claims.count_heard(self._own, now_ms),
            validators_needed=self._claims.quorum,
            height=height,
            target=target,
            blocks_per_s=blocks_per_s,
            bytes_done=done,
            bytes_size=size,
            bytes_per_s=bytes_per_s,
            left_s=round(missing / pace) if is_under_way and pace > 0 else None,
        )

    def _find_stage(self) -> SyncStage:
        if self._snapshot.stage in (Stage.PROVING, Stage.FETCHING, Stage.CHECKING, Stage.READY):
            return "snapshot"
        match self._find_hindrance():
            case None:
                return "following"
            case "syncing":
                return "blocks"
            case "executing":
                return "executing"
            case _:
                return "looking_for_peers"

    def _find_target(self, now_ms: int) -> int:
        """What more validators than may lie have reached; while so many do not speak, the highest claim."""
        peers = self._claims.list_peers(now_ms)
        sure = sorted((one.height for one in peers if one.is_validator), reverse=True)
        if len(sure) > self._claims.liars_max:
            return sure[self._claims.liars_max]
        return max((one.height for one in peers), default=0)

    def _count_bytes(self) -> tuple[int, int]:
        snapshot = self._snapshot.snapshot
        if snapshot is None:
            return 0, 0
        return snapshot.content.size - self._snapshot.bytes_missing, snapshot.content.size

    def _calculate_pace(self, now_ms: int, place: int, value: int) -> float:
        """Per second since the oldest look that is remembered."""
        if not self._looks:
            return 0.0
        first = self._looks[0]
        passed_s = (now_ms - first[0]) / 1000
        return max(0, value - first[place]) / passed_s if passed_s > 0 else 0.0
