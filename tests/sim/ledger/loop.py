"""An event loop whose time is virtual: nothing ever waits, and the next due callback is the next thing that happens.

The node's own coroutines run on it unchanged. One thread, one queue, no threads, no sockets: two runs of one seed take
the same turns. Never let anything real in here: no clock, no file, no socket.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar
from random import Random
from typing import Any

RESOLUTION_S = 1e-9


class StuckError(AssertionError):
    """Everybody waits for somebody: nothing will ever happen again."""


class _NoSelector:
    """Stands where a selector would wait; waiting is moving the clock."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Nothing is ever ready but by time."""
        if timeout is None:
            raise StuckError("nothing is scheduled, and somebody waits")
        self._loop.now_s += timeout
        return []

    def close(self) -> None:
        """Nothing to close."""


class Owner:
    """Whoever a task belongs to; when it dies, its tasks end with it."""

    def __init__(self) -> None:
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def on_end(self, task: "asyncio.Task[Any]") -> None:
        """One of its tasks ended."""
        self.tasks.pop(task, None)


OWNER: ContextVar[Owner | None] = ContextVar("owner", default=None)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulated network."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.turns = 0
        self._selector = _NoSelector(self)
        self._clock_resolution = RESOLUTION_S
        self.set_task_factory(_make_task)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self.now_s

    @property
    def now_ms(self) -> int:
        """The same in whole milliseconds; the small sum is what adding up floats may lack."""
        return int(self.now_s * 1000 + 1e-6)

    def _process_events(self, _events: list[Any]) -> None:
        self.turns += 1

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""


def _make_task(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, Any], context: Context | None = None, **how: Any
) -> "asyncio.Task[Any]":
    """A task that its owner knows of, in the order in which tasks were made."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, context=context, **how)
    owner = OWNER.get() if context is None else context.get(OWNER)
    if owner is not None:
        owner.tasks[task] = None
        task.add_done_callback(owner.on_end)
    return task


class VirtualTime:
    """What the node's modules see as `time`. Each look moves a processor's clock a little, so that slices end.

    What was looked at adds up to milliseconds that pass for whoever measures its own work and for nobody else.
    """

    def __init__(self, loop: VirtualLoop, rng: Random, begin_ms: int) -> None:
        self._loop = loop
        self._rng = rng
        self._begin_ms = begin_ms
        self._spent_s = 0.0

    def monotonic(self) -> float:
        """A steady clock, in seconds."""
        self._spent_s += self._rng.random() * 0.001
        return self._loop.now_s + self._spent_s

    def monotonic_ns(self) -> int:
        """The same, in nanoseconds, without the work done: for how long something rests."""
        return int(self._loop.now_s * 1e9)

    def time_ns(self) -> int:
        """The wall clock of nobody in particular."""
        return self._begin_ms * 1_000_000 + self.monotonic_ns()
