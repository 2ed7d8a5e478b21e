"""A local network as separate operating-system processes: start, wait, kill, bring back, stop.

Every process is started here and ended here; nothing else is ever signalled. Logs go to `node.log` beside each node's
data. Never put the story of the demonstration here.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import aiohttp

from node.setup import NodePlace, Testnet

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.05
ROOT = Path(__file__).resolve().parents[2]


class NetworkError(Exception):
    """A node that did not do what it should; the sentence says where to look."""


class LocalNetwork:
    """The processes of one testnet, as an async context manager that always ends them."""

    def __init__(self, testnet: Testnet) -> None:
        self.testnet = testnet
        self._places = {place.name: place for place in testnet.nodes}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._logs: dict[str, IO[Any]] = {}

    async def __aenter__(self) -> "LocalNetwork":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop(list(self._running))

    def get_place(self, name: str) -> NodePlace:
        """Where a node lies and listens."""
        return self._places[name]

    def get_url(self, name: str) -> str:
        """Base address of a node's API."""
        return f"http://127.0.0.1:{self._places[name].api_port}"

    def get_pid(self, name: str) -> int:
        """The process of a node that was started and not stopped."""
        return self._running[name].pid

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes, in the order of the testnet."""
        return tuple(self._places)

    async def start(self, names: Sequence[str], *, probe: str = "/readyz") -> None:
        """Start these nodes and return when each says it is ready. Raises NetworkError naming the log otherwise.

        With the probe `/livez` a node that has a long way to catch up need only answer.
        """
        for name in names:
            await self._spawn(self._places[name])
        await asyncio.gather(*(self._wait_ready(name, probe) for name in names))

    async def _spawn(self, place: NodePlace) -> None:
        log = (place.directory / "node.log").open("ab")
        self._logs[place.name] = log
        self._running[place.name] = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "node.cli.main",
            "start",
            "--data-dir",
            str(place.directory.absolute()),  # it runs elsewhere than this process
            "--until-input-ends",  # with this process, also when it is killed
            stdin=asyncio.subprocess.PIPE,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,  # Ctrl-C reaches the demonstration first, which then stops the nodes in order
        )

    async def _wait_ready(self, name: str, probe: str) -> None:
        url = self.get_url(name) + probe
        deadline = asyncio.get_running_loop().time() + READY_TIMEOUT_S
        async with aiohttp.ClientSession() as session:
            while asyncio.get_running_loop().time() < deadline:
                self._check_alive(name)
                try:
                    async with session.get(url, timeout=aiohttp.ClientTimeout(total=1)) as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)
        raise NetworkError(f"{name} was not ready after {READY_TIMEOUT_S:.0f} s: see its node.log")

    def check_alive(self) -> None:
        """Raises NetworkError when a node has ended that was neither stopped nor killed."""
        for name in self._running:
            self._check_alive(name)

    def _check_alive(self, name: str) -> None:
        process = self._running[name]
        if process.returncode is not None:
            raise NetworkError(
                f"{name} ended with code {process.returncode}: {self._read_last_line(name)}"
                f" (log: {self._places[name].directory / 'node.log'})"
            )

    def _read_last_line(self, name: str) -> str:
        lines = (self._places[name].directory / "node.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else "no output"

    async def kill(self, name: str) -> None:
        """SIGKILL: the process gets no chance to say or save anything."""
        process = self._running.pop(name)
        process.kill()
        await process.wait()
        self._logs.pop(name).close()

    async def kill_all(self) -> None:
        """SIGKILL for every node that runs: for a network whose data nobody wants any more."""
        for process in self._running.values():
            if process.returncode is None:
                process.kill()
        for name in list(self._running):
            await self._running.pop(name).wait()
            self._logs.pop(name).close()

    async def stop(self, names: Sequence[str]) -> None:
        """SIGTERM, then SIGKILL for one that does not end in time. Raises NetworkError after all are gone then."""
        going = {name: self._running.pop(name) for name in names if name in self._running}
        for process in going.values():
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        late: list[str] = []
        for name, process in going.items():
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                late.append(name)
                process.kill()
                await process.wait()
            self._logs.pop(name).close()
        if late:
            raise NetworkError(f"did not stop within {STOP_TIMEOUT_S:.0f} s: {', '.join(late)}")
