"""A TCP port of this node that serves an application within bounds: connections in all, and of one address.

A connection beyond them is ended before a byte is read; one that has not brought a whole request within a time is ended
too, and so is one that rests for as long between two requests. With TLS a connection counts from its first byte on, not
only once it is encrypted. Never look into a request here.
"""

import asyncio
import ipaddress
import logging
import ssl
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from aiohttp import web
from aiohttp.http import HttpProcessingError

from node.allowance import Allowance
from node.telemetry import get_logger

ADDRESSES_KEPT_MAX: Final = 4_096
_SILENT: Final = logging.getLogger("node.listening.access")
_SILENT.disabled = True
NETWORK_BYTES: Final = 8  # one customer has a whole /64 of IPv6


class Bounds(NamedTuple):
    """What one port takes."""

    connections: int
    per_address: int
    """A proxy in front, or a test on loopback, is one address."""
    idle_s: float
    arrivals_per_s: int
    """New connections of one address, in the long run."""
    arrivals_at_once: int
    """And after a rest."""


class Gatekeeper:
    """Counts the connections of one port. `clock_ms` never steps."""

    def __init__(self, bounds: Bounds, clock_ms: Callable[[], int]) -> None:
        self._bounds = bounds
        self._clock_ms = clock_ms
        self._open: Counter[bytes] = Counter()
        self._arrivals: OrderedDict[bytes, Allowance] = OrderedDict()
        self.refused = 0
        self.malformed = 0
        self.is_closed = False
        """The port was closed: a connection that was accepted in that moment is not served."""

    def admit(self, address: str) -> bool:
        """Whether a connection from here is served; then `leave` must follow."""
        if self.is_closed:
            return False
        key = find_address_key(address)
        is_full = self._open.total() >= self._bounds.connections or self._open[key] >= self._bounds.per_address
        if not self._may_arrive(key) or is_full:
            self.refused += 1
            return False
        self._open[key] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was admitted has ended."""
        key = find_address_key(address)
        self._open[key] -= 1
        if not self._open[key]:
            del self._open[key]

    def _may_arrive(self, key: bytes) -> bool:
        now_ms = self._clock_ms()
        allowance = self._arrivals.get(key)
        if allowance is None:
            allowance = Allowance(self._bounds.arrivals_per_s, self._bounds.arrivals_at_once, now_ms)
            self._arrivals[key] = allowance
            if len(self._arrivals) > ADDRESSES_KEPT_MAX:
                self._arrivals.popitem(last=False)
        self._arrivals.move_to_end(key)
        if allowance.calculate_wait_ms(now_ms):
            return False
        allowance.spend(1, now_ms)
        return True


def find_address_key(address: str) -> bytes:
    """What counts as one address; all that is unreadable counts as one."""
    try:
        packed = ipaddress.ip_address(address.partition("%")[0]).packed
    except ValueError:
        return b""
    return packed if len(packed) == 4 else packed[:NETWORK_BYTES]


class _Connection(web.RequestHandler):
    """One connection, counted from its beginning to its end."""

    __slots__ = ("_address", "_early", "_has_begun", "_keeper")

    def __init__(self, keeper: Gatekeeper, server: web.Server, *, idle_s: float) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(server, loop=loop, access_log=_SILENT, keepalive_timeout=idle_s)
        self._keeper = keeper
        self._address: str | None = None
        self._has_begun = False
        self._early = b""

    def admit(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the connection is served; one that is not is ended."""
        peer = transport.get_extra_info("peername")
        address = str(peer[0]) if peer else ""
        if not self._keeper.admit(address):
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
            return False
        self._address = address
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._address is None and not self.admit(transport):
            return
        self._has_begun = True
        super().connection_made(transport)
        early, self._early = self._early, b""
        if early:
            super().data_received(early)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.leave()
        if self._has_begun:
            self._has_begun = False
            super().connection_lost(exc)

    def leave(self) -> None:
        """The connection has ended, whether it ever began or not."""
        if self._address is not None:
            self._keeper.leave(self._address)
            self._address = None

    def log_exception(self, *args: Any, **more: Any) -> None:
        """What a stranger sends is no news of ours; anything else is a fault and comes with its trace."""
        error = more.get("exc_info")
        if isinstance(error, HttpProcessingError | ConnectionError):
            self._keeper.malformed += 1
        else:
            get_logger("listening").error("request_failed", code="fault", exc_info=error)

    def data_received(self, data: bytes) -> None:
        if self._has_begun:
            super().data_received(data)
        elif self._address is not None:
            self._early += data  # it came with the last words of the TLS handshake: at most one buffer


class _Door(asyncio.Protocol):
    """What stands before a connection until it is encrypted."""

    def __init__(self, behind: _Connection, tls: "Tls", tasks: set[asyncio.Task[None]]) -> None:
        self._behind = behind
        self._tls = tls
        self._tasks = tasks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._behind.admit(transport):
            transport.pause_reading()
            task = asyncio.ensure_future(self._open(transport))
            self._tasks.add(task)
            task.add_done_callback(lambda done: self._on_opened(done, transport))

    def _on_opened(self, task: asyncio.Task[None], transport: asyncio.Transport) -> None:
        self._tasks.discard(task)
        if task.cancelled():  # also before its first step, which then closed nothing
            self._behind.leave()
            transport.abort()

    async def _open(self, transport: asyncio.Transport) -> None:
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                transport,
                self._behind,
                self._tls.context,
                server_side=True,
                ssl_handshake_timeout=self._tls.handshake_timeout_s,
                ssl_shutdown_timeout=self._tls.shutdown_timeout_s,
            )
        except OSError:  # no TLS, an older one, too slow, or gone: nobody hears why
            self._behind.leave()
        else:
            if encrypted is None or encrypted.is_closing():
                self._behind.connection_lost(None)
            else:
                self._behind.connection_made(encrypted)


class Tls(NamedTuple):
    """How a port encrypts."""

    context: ssl.SSLContext
    handshake_timeout_s: float
    shutdown_timeout_s: float


class Listener:
    """An application on one port, encrypted when `tls` is given."""

    def __init__(
        self, app: web.Application, bounds: Bounds, clock_ms: Callable[[], int], *, tls: Tls | None = None
    ) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        self._bounds = bounds
        self._tls = tls
        self._opening: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.keeper = Gatekeeper(bounds, clock_ms)

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port. Raises OSError, and nothing stays open then."""
        await self._runner.setup()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._make_connection, host, port, reuse_address=True
            )
        except OSError:
            await self._runner.cleanup()
            raise
        return int(self._server.sockets[0].getsockname()[1])

    def _make_connection(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None, "set up"
        connection = _Connection(self.keeper, server, idle_s=self._bounds.idle_s)
        return connection if self._tls is None else _Door(connection, self._tls, self._opening)

    async def close(self) -> None:
        """Take nothing in, let requests under way end for a moment, close all."""
        self.keeper.is_closed = True
        if self._server is not None:
            self._server.close()
        for task in self._opening:
            task.cancel()
        await asyncio.gather(*self._opening, return_exceptions=True)
        await self._runner.cleanup()
