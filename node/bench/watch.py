"""Follows one node's event stream and tells a tally which transactions it saw executed and saved.

It resumes by position after a break, so nothing is missed and nothing counted twice by the watching itself.
"""

import asyncio
import contextlib
import time
from typing import Final, Protocol

import aiohttp
import msgspec

from node.bench.plan import Kind
from node.bench.tally import Tally

EVENT_KINDS: Final = {Kind.TRANSFER: "transferred", Kind.PAY: "paid"}
SILENCE_S_MAX: Final = 60.0
PAUSE_S: Final = 0.2
READ_BYTES: Final = 1_048_576
INDEX_LAST: Final = 2**53 - 1


class _Data(msgspec.Struct):
    amount: int = 0
    loan: str = ""
    taken: int = 0


class _Event(msgspec.Struct):
    height: int
    index: int
    data: _Data


class Names(Protocol):
    """Which serial an event is of."""

    def find(self, amount: int, loan: str) -> int:
        """The serial, or one outside the load."""


class Watcher:
    """One stream."""

    def __init__(self, url: str, kind: Kind, tally: Tally, names: Names) -> None:
        self._url = f"{url}/v1/events"
        self._kind = EVENT_KINDS[kind]
        self._tally = tally
        self._names = names
        self._decoder = msgspec.json.Decoder(_Event)
        self._after = ""
        self.reconnected = 0

    async def run(self, height: int) -> None:
        """Follow everything behind a height until cancelled."""
        self._after = f"{height}-{INDEX_LAST}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S_MAX)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                # It may be too busy, or have dropped us as too slow; whether it lives is asked elsewhere.
                with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
                    await self._follow(session)
                self.reconnected += 1
                await asyncio.sleep(PAUSE_S)

    async def _follow(self, session: aiohttp.ClientSession) -> None:
        query = {"after": self._after, "kind": self._kind}
        async with session.get(self._url, params=query, read_bufsize=READ_BYTES) as answer:
            if answer.status != 200:
                return
            rest = b""
            async for piece in answer.content.iter_any():
                whole, cut, tail = (rest + piece).rpartition(b"\n\n")
                rest = tail
                if cut:
                    self._take(whole)

    def _take(self, text: bytes) -> None:
        """Events in the stream's text form: `id`, `event` and `data`, one line each."""
        now_s = time.perf_counter()
        for block in text.split(b"\n\n"):
            head, _, data = block.partition(b"\ndata: ")
            if head.startswith(b"id: "):
                event = self._decoder.decode(data)
                self._after = f"{event.height}-{event.index}"
                self._tally.on_final(self._names.find(event.data.amount or event.data.taken, event.data.loan), now_s)
