"""Wires between the nodes of a test: every node dials every other through a proxy that can cut, hold, delay or dribble.

What one node says to another goes its own way, so faults may be one-sided. A held way keeps its bytes and delivers them
when it opens again, as TCP does across lost packets; a cut wire ends its connections and refuses new ones. Only
loopback, and only ports below the kernel's range for outgoing connections. Never look into what is said.
"""

import asyncio
import contextlib
import itertools
import socket
import struct
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final

from tests.e2e.faults.processes import Processes, find_base_port

CHUNK_BYTES: Final = 65_536
CHUNKS_HELD_MAX: Final = 64
NO_LINGER: Final = struct.pack("ii", 1, 0)


class Way:
    """What one node says to another: open, or held; late and slow as set."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        self.bytes_per_s: int | None = None
        self._open = asyncio.Event()
        self._open.set()

    def hold(self) -> None:
        """Nothing arrives any more; the sender may not notice for long."""
        self._open.clear()

    def release(self) -> None:
        """As new, and what was held arrives."""
        self.delay_s, self.bytes_per_s = 0.0, None
        self._open.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection's bytes until they end."""
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_HELD_MAX)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take(reader, queue))
            group.create_task(self._bring(queue, writer))

    async def _take(self, reader: asyncio.StreamReader, queue: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            data = await reader.read(CHUNK_BYTES)
            await queue.put((loop.time() + self.delay_s, data))
            if not data:
                return

    async def _bring(self, queue: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s, data = await queue.get()
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            if not data:
                await self._open.wait()
                raise ConnectionResetError("the other side has ended it")
            while data:
                await self._open.wait()
                rate = self.bytes_per_s
                piece = data if rate is None else data[: max(1, rate // 20)]
                data = data[len(piece) :]
                writer.write(piece)
                await writer.drain()
                if rate is not None:
                    await asyncio.sleep(len(piece) / rate)


class Wire:
    """The proxy through which `dialler` reaches `listener`."""

    def __init__(self, port: int, target: int, forth: Way, back: Way) -> None:
        self.port = port
        self._target = target
        self._forth, self._back = forth, back
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._is_cut = False

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """End everything."""
        assert self._server is not None, "started"
        self._server.close()
        self.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """End the connections, abruptly, and let none begin."""
        self._is_cut = True
        for task in self._serving:
            task.cancel()

    def mend(self) -> None:
        """Let connections begin."""
        self._is_cut = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        try:
            if not self._is_cut:
                far, out = await asyncio.open_connection("127.0.0.1", self._target)
                ends.append(out)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._forth.carry(reader, out))
                    group.create_task(self._back.carry(far, writer))
        except* (OSError, asyncio.CancelledError):
            pass  # one side went, or the wire was cut: so must the other
        finally:
            for one in ends:
                _reset(one)


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a crash or a firewall does, not in good order."""
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    writer.transport.abort()


class Wires:
    """All wires of one network, as an async context manager; to be opened before the nodes start."""

    def __init__(self, processes: Processes) -> None:
        self._names = processes.names
        pairs = list(itertools.permutations(self._names, 2))
        base = find_base_port(len(pairs))
        self._ways = {pair: Way() for pair in pairs}
        ports = {place.name: place.listen_port for place in processes.places.values()}
        self._wires = {
            (a, b): Wire(base + i, ports[b], self._ways[a, b], self._ways[b, a]) for i, (a, b) in enumerate(pairs)
        }
        for name in self._names:
            urls = {b: f"wss://127.0.0.1:{wire.port}/gossip" for (a, b), wire in self._wires.items() if a == name}
            processes.set_peers(name, urls)

    async def __aenter__(self) -> "Wires":
        for wire in self._wires.values():
            await wire.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for wire in self._wires.values():
            await wire.close()

    # ------------------------------------------------------------------ faults

    def cut(self, *pairs: tuple[str, str]) -> None:
        """These pairs of nodes lose their connections and get no new ones."""
        for a, b in pairs:
            self._wires[a, b].cut()
            self._wires[b, a].cut()

    def hold(self, *pairs: tuple[str, str]) -> None:
        """What the first says to the second no longer arrives, in connections that stand."""
        for pair in pairs:
            self._ways[pair].hold()

    def slow(self, *pairs: tuple[str, str], delay_s: float = 0.0, bytes_per_s: int | None = None) -> None:
        """What the first says to the second arrives late, or dribbles."""
        for pair in pairs:
            self._ways[pair].delay_s, self._ways[pair].bytes_per_s = delay_s, bytes_per_s

    def heal(self) -> None:
        """Every wire as new; connections that stand deliver what was held."""
        for wire in self._wires.values():
            wire.mend()
        for way in self._ways.values():
            way.release()

    # ------------------------------------------------------------------ pairs

    def list_from(self, name: str) -> list[tuple[str, str]]:
        """What a node says to all others."""
        return [(name, other) for other in self._names if other != name]

    def list_to(self, name: str) -> list[tuple[str, str]]:
        """What all others say to a node."""
        return [(other, name) for other in self._names if other != name]

    def list_between(self, one: Sequence[str]) -> list[tuple[str, str]]:
        """Between these nodes and all others, both ways."""
        rest = [name for name in self._names if name not in one]
        return both_ways(itertools.product(one, rest))


def both_ways(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Each pair, and each the other way round."""
    return [pair for a, b in pairs for pair in ((a, b), (b, a))]
