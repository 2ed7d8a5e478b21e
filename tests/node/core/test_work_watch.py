"""When the engine hears of work: a batch, an event that falls due, and that there is none left."""

import asyncio

from node.mempool import Mempool
from node.work import WorkWatch
from protocol.ids import TimeMs
from tests.node.core.chaintools import make_held, make_item, until


class Agenda:
    """A ledger with at most one event ahead."""

    def __init__(self) -> None:
        self.due_ms: int | None = None

    def has_due_events(self, now_ms: TimeMs) -> bool:
        return self.due_ms is not None and self.due_ms <= now_ms

    def next_due_ms(self) -> TimeMs | None:
        return None if self.due_ms is None else TimeMs(self.due_ms)


class Scene:
    """A watch over a pool, an agenda and a clock that runs with the loop."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.pool, self.agenda = Mempool(), Agenda()
        loop = asyncio.get_running_loop()
        self.started_s = loop.time()
        self.watch = WorkWatch(self.pool, self.agenda, self.read_ms, self.told.append)

    def read_ms(self) -> int:
        """Milliseconds since the start."""
        return int((asyncio.get_running_loop().time() - self.started_s) * 1000)


async def test_every_new_batch_is_told_and_the_end_of_work_once() -> None:
    """A second batch is news although there was work before; without work nothing is repeated."""
    scene = Scene()
    scene.watch.refresh()
    assert scene.told == []
    first, second = make_held([make_item(1)]), make_held([make_item(2)])
    for held in (first, second):
        scene.pool.add_batch(held)
        scene.watch.refresh()
    assert scene.told == [True, True]
    scene.pool.on_ordered([first.digest, second.digest])
    scene.watch.refresh()
    scene.watch.refresh()
    assert scene.told == [True, True, False]


async def test_an_event_that_falls_due_is_work_at_that_moment_by_itself() -> None:
    """The watch wakes by its own timer; once the event is executed there is no work left."""
    scene = Scene()
    scene.agenda.due_ms = 60
    scene.watch.refresh()
    assert scene.told == []
    await until(lambda: scene.told == [True])
    assert scene.read_ms() >= 60
    scene.agenda.due_ms = None
    scene.watch.refresh()
    assert scene.told == [True, False]
    scene.watch.close()
