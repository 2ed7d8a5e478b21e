"""A network under load with everything a fault scenario needs: processes, clients, measures, and the verdict."""

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.e2e.faults.judge import check_saved
from tests.e2e.faults.load import Load
from tests.e2e.faults.processes import Processes, found

RESUME_S: Final = 10.0
"""The aim is 5 s; the rest is for a machine that does other work besides."""
LEVEL_S: Final = 30.0


class Scene:
    """One running network."""

    def __init__(self, processes: Processes, load: Load) -> None:
        self.processes = processes
        self.load = load
        self.measured: list[str] = []

    def note(self, what: str, seconds: float) -> None:
        """Keep a measure for whoever reads the test's output (`pytest -s`, or after a failure)."""
        self.measured.append(f"{what}: {seconds:.2f} s")
        print(self.measured[-1])

    async def expect_service(self, what: str, since_s: float | None = None, *, within_s: float = RESUME_S) -> None:
        """A transfer signed now becomes final soon after `since_s` (monotonic; now when None)."""
        since_s = time.monotonic() if since_s is None else since_s
        took_s = await self.load.measure_service(since_s, within_s=within_s)
        self.note(what, took_s)
        assert took_s <= within_s, f"{what}: {took_s:.1f} s"

    async def expect_level(self, what: str, names: Sequence[str] | None = None) -> None:
        """These nodes come to where the others are."""
        self.note(what, await self.load.wait_level(names or self.processes.names, within_s=LEVEL_S))

    async def restart(self, names: Iterable[str]) -> float:
        """Start nodes; when a quorum answered again."""
        return await self.processes.start(list(names))

    async def judge(self) -> None:
        """End the load, bring everybody level, stop all cleanly, and judge what lies on the disks."""
        await self.load.end()
        await self.expect_level("level at the end")
        sample = sorted(self.load.final)[:: max(1, len(self.load.final) // 10)]
        for one in sample:
            told = {}
            for name in self.processes.names:
                view = await self.load.get(name, f"/v1/transactions/{one}")
                told[name] = {key: value for key, value in view.items() if key != "read_height"}
            assert len({repr(view) for view in told.values()}) == 1, told
        codes = await self.processes.stop(self.processes.names)
        assert set(codes.values()) == {0}, codes
        count = check_saved(self.processes, self.load)
        print(f"{count} transactions, each executed once, equal on {len(codes)} nodes")


@asynccontextmanager
async def open_scene(
    directory: Path, *, seed: int, clients: int = 3, group: int = 6, prepared: Processes | None = None
) -> AsyncIterator[Scene]:
    """A network of four validators and an observer, all started, under load."""
    processes = Processes(found(directory)) if prepared is None else prepared
    load = Load(processes, seed=seed, clients=clients, group=group)
    async with processes:
        try:
            await processes.start(processes.names)
            await load.open()
            load.begin()
            yield Scene(processes, load)
        finally:
            await load.close()
