"""Whether there is something to put into a block, told to the engine whenever that may have changed.

Work is a batch that waits, or a ledger event that falls due (a ledger day that rolls over). Never order anything here.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from node.mempool import Mempool
from protocol.ids import TimeMs

LOOK_AGAIN_MS_MAX: Final = 60_000  # the wall clock may jump


class Agenda(Protocol):
    """What is asked of the ledger."""

    def has_due_events(self, now_ms: TimeMs) -> bool:
        """Whether events fall due at this time."""

    def next_due_ms(self) -> TimeMs | None:
        """When the next event falls due."""


class WorkWatch:
    """Watches the pool and the ledger's agenda for one node."""

    def __init__(
        self, mempool: Mempool, agenda: Agenda, clock_ms: Callable[[], int], on_change: Callable[[bool], None]
    ) -> None:
        self._mempool = mempool
        self._agenda = agenda
        self._clock_ms = clock_ms
        self._on_change = on_change
        self._told = False
        self._timer: asyncio.TimerHandle | None = None

    def refresh(self) -> None:
        """Look, tell a change, and look again when the next event falls due."""
        now_ms = TimeMs(self._clock_ms())
        has_work = self._mempool.has_work() or self._agenda.has_due_events(now_ms)
        if has_work or self._told:
            # Told again while there is some: a leader that found nothing new to order looks again then.
            self._told = has_work
            self._on_change(has_work)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not has_work and (due_ms := self._agenda.next_due_ms()) is not None:
            wait_ms = min(max(due_ms - now_ms, 1), LOOK_AGAIN_MS_MAX)
            self._timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self.refresh)

    def close(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
