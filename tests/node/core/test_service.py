"""What the service manager hears of a node: sd_notify's words, from a real start to a real stop."""

import asyncio
import contextlib
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.config import load_config
from node.core import read_clock_ms
from node.runtime import EXIT_CLEAN, run_node
from node.service import Service, end_with_input
from node.setup import make_testnet
from protocol.ids import TimeMs
from tests.node.core.chaintools import until


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[socket.socket]:
    """The service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.setblocking(False)
        yield made


async def hear(ear: socket.socket, word: str, heard: list[str]) -> None:
    """Return as soon as a line of that beginning was heard."""
    async with asyncio.timeout(30):
        while not any(one.startswith(word) for one in heard):
            heard += (await asyncio.get_running_loop().sock_recv(ear, 4_096)).decode().split("\n")


async def test_a_node_says_that_it_is_ready_how_it_goes_and_that_it_stops(
    tmp_path: Path, ear: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY only once it serves, signs of life while it runs, STOPPING at SIGTERM; children hear of none of it."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "300000")
    running = asyncio.create_task(run_node(load_config(net.directory / "solo", environment={})))
    heard: list[str] = []
    await hear(ear, "READY=1", heard)
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & set(os.environ)
    await hear(ear, "STATUS=participating, height ", heard)
    for _ in range(2):
        await hear(ear, "WATCHDOG=1", signs := list[str]())
        assert "STOPPING=1" not in signs
    os.kill(os.getpid(), signal.SIGTERM)
    await hear(ear, "STOPPING=1", [])
    assert await running == EXIT_CLEAN


async def test_nobody_listening_is_no_fault(tmp_path: Path, ear: socket.socket) -> None:
    """No service manager, one that is gone, and one that watches another process: nothing fails, nothing is said."""
    Service.take({}).tell_ready()
    Service.take({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).tell_ready()
    other = Service.take(
        {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000", "WATCHDOG_PID": str(os.getpid() + 1)}
    )
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await other.run(lambda: "well")
    assert ear.recv(4_096) == b"STATUS=well"
    with pytest.raises(BlockingIOError):
        ear.recv(4_096)


def test_an_abstract_name_is_spoken_to_as_well() -> None:
    """Containers hand on a socket that has no file: `@name`."""
    name = f"liushui-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name)
        Service.take({"NOTIFY_SOCKET": "@" + name}).tell_stopping()
        assert heard.recv(64) == b"STOPPING=1"


async def test_a_node_ends_with_the_program_that_started_it(tmp_path: Path) -> None:
    """A cleanly stopped node when the other end of its input is closed, which the kernel does for a killed program too;
    what is written there means nothing."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    reader, writer = os.pipe()
    with end_with_input(reader):
        running = asyncio.create_task(run_node(load_config(net.directory / "solo", environment={})))
        os.write(writer, b"quit\n" * 2_000)
        await until(lambda: not select.select([reader], [], [], 0)[0])
        assert not running.done()
        os.close(writer)
        async with asyncio.timeout(60):
            assert await running == EXIT_CLEAN
    os.close(reader)
