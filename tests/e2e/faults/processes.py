"""Nodes as operating-system processes that a test may kill, freeze, starve of disk and bring back.

Ports lie below the kernel's range for outgoing connections, so that nobody takes the port of a node that is down. Only
processes started here are ever signalled. Never judge what a node did here.
"""

import asyncio
import json
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

import aiohttp
import msgspec

from node.config import CONFIG_FILE, NodeConfig, PeerAddress, format_config, load_config
from node.setup import NodePlace, Testnet, make_testnet
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs

ROOT: Final = Path(__file__).resolve().parents[3]
VALIDATORS: Final = ("brook", "delta", "ridge", "spring")
OBSERVER: Final = "watch"
QUORUM: Final = 3
ANSWER_S: Final = 30.0
END_S: Final = 15.0
POLL_S: Final = 0.02
ENDS: Final = {1: "node_failed", 2: "start_refused"}
"""Exit codes of a node that ends by itself, and what its log says then."""
RELEASE: Final = "node.cli.main"
PORTS: Final = range(20_000, 32_000)


def find_base_port(count: int) -> int:
    """The first of `count` neighbouring free ports on loopback."""
    for _ in range(1_000):
        base = random.randrange(PORTS.start, PORTS.stop - count)
        holders = [socket.socket() for _ in range(count)]
        try:
            for i, holder in enumerate(holders):
                holder.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            continue
        finally:
            for holder in holders:
                holder.close()
    raise AssertionError("no free ports in a row")


def found(directory: Path, day_ms: int = DAY_MS) -> Testnet:
    """Four validators and an observer, as `liushui testnet` lays them out."""
    return make_testnet(
        directory / "net",
        lenders=VALIDATORS,
        observers=(OBSERVER,),
        time_ms=TimeMs(time.time_ns() // 1_000_000),
        day_ms=day_ms,
        base_port=find_base_port(10),
    )


class Processes:
    """The nodes of one testnet, as an async context manager that leaves no process behind."""

    def __init__(self, testnet: Testnet) -> None:
        self.testnet = testnet
        self.places: dict[str, NodePlace] = {place.name: place for place in testnet.nodes}
        self.releases: dict[str, str] = {}
        """Modules that run a node instead of this release, by its name."""
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._logs: dict[str, IO[Any]] = {}

    async def __aenter__(self) -> "Processes":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self._running):
            await self.kill(name)

    def add(self, place: NodePlace) -> None:
        """A node that was laid out later."""
        self.testnet = self.testnet._replace(nodes=(*self.testnet.nodes, place))
        self.places[place.name] = place

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes."""
        return tuple(self.places)

    @property
    def alive(self) -> tuple[str, ...]:
        """Nodes that were started and have not ended."""
        return tuple(name for name, process in self._running.items() if process.returncode is None)

    def get_directory(self, name: str) -> Path:
        """Where a node's files lie."""
        return self.places[name].directory

    def get_url(self, name: str) -> str:
        """Base address of a node's API."""
        return f"http://127.0.0.1:{self.places[name].api_port}"

    def get_pid(self, name: str) -> int:
        """The process of a running node."""
        return self._running[name].pid

    def set_peers(self, name: str, urls: dict[str, str]) -> None:
        """Let a node find these peers elsewhere: `urls` by the peer's name."""
        directory = self.get_directory(name)
        config = load_config(directory, environment={})
        peers = tuple(
            PeerAddress(name=one.name, node_key=one.node_key, url=urls.get(one.name, one.url)) for one in config.peers
        )
        written: NodeConfig = msgspec.structs.replace(config, data_dir=".", genesis="genesis.json", peers=peers)
        (directory / CONFIG_FILE).write_text(format_config(written), encoding="utf-8")

    # ------------------------------------------------------------------ lives

    async def spawn(self, name: str) -> None:
        """Begin a process; whether it comes up is for others to ask."""
        assert name not in self._running, f"{name} runs already"
        directory = self.get_directory(name)
        log = self._get_log(name).open("ab")
        self._logs[name] = log
        self._running[name] = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self.releases.get(name, RELEASE), "start", "--data-dir", str(directory),
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT, start_new_session=True,
            env={key: value for key, value in os.environ.items() if not key.startswith("LIUSHUI_")},
        )  # fmt: skip

    async def start(self, names: Iterable[str]) -> float:
        """Start nodes together; the moment (monotonic) at which a quorum of all nodes' validators answered again."""
        for name in names:
            await self.spawn(name)
        answered: list[float] = []

        async def note(name: str) -> None:
            await self.wait_answering(name)
            answered.append(time.monotonic())

        fresh = [name for name in names if name != OBSERVER]
        others = [name for name in self.alive if name != OBSERVER and name not in fresh]
        await asyncio.gather(*(note(name) for name in names if name != OBSERVER))
        if OBSERVER in names:
            await self.wait_answering(OBSERVER)
        needed = QUORUM - len(others)
        return sorted(answered)[needed - 1] if 0 < needed <= len(answered) else time.monotonic()

    async def wait_answering(self, name: str) -> None:
        """Return when the node's API says that the process lives."""
        assert await self.comes_up(name), f"{name} ended: {self.read_log(name)[-1:]}"

    async def comes_up(self, name: str) -> bool:
        """Whether a spawned node answers (True) or ends (False), as soon as it does either."""
        deadline = time.monotonic() + ANSWER_S
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                if self._running[name].returncode is not None:
                    return False
                try:
                    async with session.get(self.get_url(name) + "/livez", timeout=aiohttp.ClientTimeout(1)) as answer:
                        if answer.status == 200:
                            return True
                except (aiohttp.ClientError, TimeoutError):
                    pass
                await asyncio.sleep(POLL_S)
        raise AssertionError(f"{name} did not answer within {ANSWER_S:.0f} s")

    async def kill(self, name: str) -> None:
        """SIGKILL, whatever state the process is in."""
        process = self._running.pop(name)
        if process.returncode is None:
            process.kill()
        await process.wait()
        self._logs.pop(name).close()

    def freeze(self, name: str) -> None:
        """SIGSTOP: the process holds its connections and says nothing."""
        self._running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        self._running[name].send_signal(signal.SIGCONT)

    async def wait_end(self, name: str, timeout_s: float = END_S) -> int:
        """The exit code of a node that ends, or is to end, by itself."""
        process = self._running[name]
        code = await asyncio.wait_for(process.wait(), timeout_s)
        del self._running[name]
        self._logs.pop(name).close()
        return code

    async def stop(self, names: Sequence[str]) -> dict[str, int]:
        """SIGTERM; exit codes by name."""
        for name in names:
            self._running[name].send_signal(signal.SIGTERM)
        codes = await asyncio.gather(*(self.wait_end(name) for name in names))
        return dict(zip(names, codes, strict=True))

    async def refuse(self, name: str) -> dict[str, Any]:
        """Start a node that must not come up. What it says."""
        await self.spawn(name)
        return await self.read_end(name, {2: "start_refused"})

    async def read_end(self, name: str, events: dict[int, str], timeout_s: float = END_S) -> dict[str, Any]:
        """What a node says that ends by itself: its last error in the log, which must fit its exit code."""
        code = await self.wait_end(name, timeout_s)
        said = [json.loads(line) for line in self.read_log(name) if line.startswith("{")]
        last: dict[str, Any] = next((one for one in reversed(said) if one["level"] == "error"), {})
        assert (code, last.get("event")) in events.items(), f"{name} ended with code {code}: {last}"
        return last

    def read_log(self, name: str) -> list[str]:
        """Lines a node has logged so far, over all its lives."""
        return self._get_log(name).read_text(encoding="utf-8", errors="replace").splitlines()

    def _get_log(self, name: str) -> Path:
        """Beside the nodes' directories: a node whose disk is full must still be heard."""
        return self.testnet.directory / f"{name}.log"
