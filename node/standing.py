"""Whether this node knows where the network stands and is there itself: what clients may believe of it depends on that.

A node that lags would refuse what is right (an account opened in a block it has not executed, a nonce the network has
long reached), and a node that has just started does not even know that it lags. Decisions only: time comes in through
the clock, peers' words through the sync plan. Never decide here what to do about it.
"""

from collections.abc import Callable
from typing import Literal, Protocol

from node.sync import SyncPlan
from protocol.ids import Height, PublicKey
from protocol.limits import EXECUTION_LAG_MAX

Hindrance = Literal["starting", "isolated", "syncing", "executing"]


class Final(Protocol):
    """What is asked of the tip."""

    @property
    def height(self) -> Height:
        """The last final block this node knows of."""


class Executed(Protocol):
    """What is asked of the executor."""

    @property
    def height(self) -> Height:
        """The last block executed and saved."""


class Standing:
    """One node's."""

    def __init__(
        self, *, plan: SyncPlan, own: PublicKey, tip: Final, executor: Executed, clock_ms: Callable[[], int]
    ) -> None:
        self._plan = plan
        self._own = own
        self._tip = tip
        self._executor = executor
        self._clock_ms = clock_ms
        self._joined = False

    def find_hindrance(self) -> Hindrance | None:
        """Why the books here may not be the network's, or None.

        Once it has been level with a quorum's word, single peers that claim more do not make it doubt again: more
        than may lie must.
        """
        now_ms, height = self._clock_ms(), Height(self._tip.height)
        if not self._plan.hears_quorum(self._own, now_ms):
            return "isolated" if self._joined else "starting"
        if self._plan.is_behind(height, now_ms):
            return "syncing"
        if not self._joined:
            if self._plan.has_ahead(height, now_ms):
                return "syncing"
            self._joined = True
        return "executing" if height - self._executor.height > EXECUTION_LAG_MAX else None
