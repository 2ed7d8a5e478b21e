"""Forgets old history where the settings say so, a little at a time, beside the running chain.

    history = "pruned", history_blocks = N      of the blocks more than N below the last, and below every own snapshot,
                                                batches, receipts and events go; headers, finalizations and the changes
                                                of validators stay, and so do the books

A receipt file that was made before verifies as ever: it holds its whole proof. Proofs of the present books need no
history. `ChainStore.base` says up to where nothing is here any more, to peers and clients alike: a newcomer fetches a
snapshot, and a reader hears history_pruned. Never forget what a snapshot of this node still needs to be gone on from.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from node.store.chain import StoreError
from node.telemetry import get_logger
from protocol.ids import Height

LOOK_EVERY_S: Final = 10.0
STEP_BLOCKS: Final = 64
"""Forgotten in one transaction: a save waits a few milliseconds for it."""
STEPS_AT_ONCE: Final = 64
REST_S: Final = 0.05


class Store(Protocol):
    """What is asked of the database."""

    base: Height

    async def prune(self, up_to: Height) -> None:
        """Forget what blocks up to a height brought. Raises StoreError."""


class Pruner:
    """The one who forgets for a node."""

    def __init__(
        self,
        *,
        store: Store,
        keep: int,
        find_height: Callable[[], Height],
        find_snapshot: Callable[[], Height | None],
    ) -> None:
        """`keep`: so many blocks stay whole, 0 for all of them. `find_snapshot`: the oldest own one, None without any.

        While snapshots are made and none is there yet, nothing is forgotten: `find_snapshot` then says 0.
        """
        self._store = store
        self._keep = keep
        self._find_height = find_height
        self._find_snapshot = find_snapshot
        self._log = get_logger("pruning")

    def find_limit(self) -> Height:
        """Up to here history may go."""
        if not self._keep:
            return Height(0)
        limit, snapshot = self._find_height() - self._keep, self._find_snapshot()
        return Height(max(0, limit if snapshot is None else min(limit, snapshot)))

    async def run(self) -> None:
        """Forget from time to time, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Forget what may go by now, in steps between which others work. A disk that refuses is asked again later."""
        limit, first = self.find_limit(), self._store.base
        try:
            for _ in range(STEPS_AT_ONCE):
                if self._store.base + STEP_BLOCKS > limit:
                    break
                await self._store.prune(Height(self._store.base + STEP_BLOCKS))
                await asyncio.sleep(REST_S)
        except StoreError as error:
            self._log.warning("pruning_failed", code=error.code, reason=error.sentence)
        if self._store.base > first:
            self._log.info("history_pruned", height_from=first + 1, height_to=self._store.base)
