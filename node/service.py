"""What the service manager is told: ready, how it goes, that the loop still turns, that the node stops (sd_notify(3)).

A datagram to the socket that systemd names; nothing at all when nobody named one. Sent from the event loop itself, so
that a loop that hangs is noticed. A node that a program started for itself ends with that program, whatever ended it:
`end_with_input`. Never a name or a number of anybody's in here.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator, MutableMapping
from typing import Final

TELL_EVERY_S: Final = 10.0
USEC: Final = 1_000_000


class Service:
    """The service manager of this process, or nobody."""

    def __init__(self, address: str, watchdog_s: float | None) -> None:
        """`address` is a path, an abstract name after `@`, or empty; `watchdog_s` is what is allowed between signs."""
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every_s = TELL_EVERY_S if watchdog_s is None else min(TELL_EVERY_S, watchdog_s / 3)
        self._is_watched = watchdog_s is not None
        self._told = ""

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> "Service":
        """The one that the environment names; taken out of it, so that no child speaks in this process' name."""
        address = environment.pop("NOTIFY_SOCKET", "")
        usec, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", str(os.getpid()))
        is_watched = usec.isdecimal() and int(usec) > 0 and pid == str(os.getpid())
        return cls(address, int(usec) / USEC if is_watched else None)

    def tell_ready(self) -> None:
        """Peers and clients can reach the node."""
        self._send("READY=1")

    def tell_stopping(self) -> None:
        """The node takes nothing in any more."""
        self._send("STOPPING=1")

    async def run(self, describe: Callable[[], str]) -> None:
        """Say how it goes, and that the loop turns, until cancelled."""
        while True:
            words = describe()
            lines = [] if words == self._told else [f"STATUS={words}"]
            if self._is_watched:
                lines.append("WATCHDOG=1")
            if lines:
                self._send("\n".join(lines))
                self._told = words
            await asyncio.sleep(self._every_s)

    def _send(self, text: str) -> None:
        """A service manager that does not listen ends no node."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            channel.sendto(text.encode(), self._address)


@contextlib.contextmanager
def end_with_input(descriptor: int) -> Iterator[None]:
    """Within it, a SIGTERM comes to this process when the pipe `descriptor` ends: when nobody holds its other end.

    The kernel closes a killed program's pipes, so nothing has to be looked for. What is written into it is not read for
    its meaning. Raises OSError for what is no pipe, socket or terminal.
    """
    loop = asyncio.get_running_loop()

    def look() -> None:
        with contextlib.suppress(BlockingIOError):
            if not os.read(descriptor, 4_096):
                loop.remove_reader(descriptor)
                signal.raise_signal(signal.SIGTERM)

    loop.add_reader(descriptor, look)
    try:
        yield
    finally:
        loop.remove_reader(descriptor)
