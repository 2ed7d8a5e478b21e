"""The shell of catching up: says where this node stands, asks for what the plan wants, hands answers to the engine.

One loop, woken by news and by time. The plan decides, the engine judges, the executor executes; nothing of that here.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from consensus.events import ReceivedBlocks
from node.batches import Mesh
from node.driver import Driver
from node.duties import Tip
from node.executor import Executor
from node.roster import Roster
from node.sync import SyncPlan
from node.telemetry import get_logger
from protocol.ids import Height
from protocol.messages import Status

STATUS_EVERY_S: Final = 2.0
LOOK_EVERY_S: Final = 0.25


TELL_EVERY_MS: Final = 60_000
CUT_OFF: Final = (
    "the next block, which no connected peer has any more: let this node begin with a snapshot (snapshot_behind in"
    " config.toml), or connect it to a node that keeps the whole history"
)


class CatchUp:
    """Keeps one node abreast of the network."""

    def __init__(
        self,
        *,
        plan: SyncPlan,
        driver: Driver,
        tip: Tip,
        executor: Executor,
        mesh: Mesh,
        roster: Roster,
        is_between: Callable[[], bool],
        is_held: Callable[[], bool],
        make_status: Callable[[], Status],
        clock_ms: Callable[[], int],
    ) -> None:
        self._plan = plan
        self._driver = driver
        self._tip = tip
        self._executor = executor
        self._mesh = mesh
        self._roster = roster
        self._is_between = is_between
        self._is_held = is_held
        self._make_status = make_status
        self._clock_ms = clock_ms
        self._news = asyncio.Event()
        self._log = get_logger("sync")
        self.behind = False
        """Whether a believed peer is further than what is just on its way."""
        self.cut_off = ""
        """Why nobody can bring the next block; empty while somebody can, or a snapshot is on its way."""
        self._tell_at_ms = 0

    def on_news(self) -> None:
        """A peer said something that may matter."""
        self._news.set()

    async def run_status(self) -> None:
        """Tell everybody, every two seconds."""
        while True:
            self._mesh.broadcast(self._make_status(), self._roster.everybody)
            await asyncio.sleep(STATUS_EVERY_S)

    async def run(self) -> None:
        """Catch up whenever this node is behind, beside consensus."""
        while True:
            await self.look()
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._news.wait()

    async def look(self) -> None:
        """Hand on what has come, then ask for what is missing."""
        plan, tip = self._plan, self._tip
        # Between two epochs the engine takes nothing: what peers brought waits for the validators to be known.
        while not self._is_between() and (window := plan.pop_ready(tip.height)) is not None:
            before = tip.height
            await self._driver.post_and_wait(ReceivedBlocks(blocks=window.blocks))
            plan.on_stepped(window, tip.height, self._clock_ms())
            if tip.height > before:
                self._log.info("blocks_synced", height_from=before + 1, height_to=tip.height)
        behind = plan.is_behind(Height(tip.height), self._clock_ms())
        if behind != self.behind:
            self.behind = behind
            self._log.info("sync_state_changed", behind=behind, height=tip.height)
        if self._is_held():
            return  # a snapshot is on its way
        self._tell_cut_off(plan.is_cut_off(Height(tip.height), self._clock_ms()))
        for peer, request in plan.next_requests(tip.height, self._executor.height, self._clock_ms()):
            self._mesh.send(peer, request)

    def _tell_cut_off(self, cut_off: bool) -> None:
        """Say that nobody can bring what comes next, when it is so and then once in a while."""
        now_ms = self._clock_ms()
        self.cut_off = CUT_OFF if cut_off else ""
        if cut_off and now_ms >= self._tell_at_ms:
            self._tell_at_ms = now_ms + TELL_EVERY_MS
            self._log.error("history_unavailable", height=self._tip.height, reason=CUT_OFF)
