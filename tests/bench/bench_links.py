"""What encryption of peer links costs: the same websocket frames with and without it, and a whole handshake.

    ./dev bench links [--rounds N] [--json]

Both ends run in this one process, so every figure is the cost of sender and receiver together. Times are processor
times, and the two kinds take turns, so that company on the machine weighs on both alike.
"""

import argparse
import asyncio
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Final

import aiohttp
from aiohttp import web

from node.gossip.tls import make_credentials

LARGE_BYTES: Final = 262_144  # a full batch
SMALL_BYTES: Final = 120  # a vote
LARGE_COUNT: Final = 64
SMALL_COUNT: Final = 2_000
HANDSHAKES: Final = 50


class Ends:
    """One websocket, both ends of it in this process."""

    def __init__(self, near: aiohttp.ClientWebSocketResponse, far: web.WebSocketResponse) -> None:
        self.near, self.far = near, far

    async def carry(self, payload: bytes, count: int) -> float:
        """Processor seconds to bring `count` frames across."""

        async def receive() -> None:
            for _ in range(count):
                await self.far.receive_bytes()

        began_s = time.process_time()
        receiving = asyncio.ensure_future(receive())
        for _ in range(count):
            await self.near.send_bytes(payload)
        await receiving
        return time.process_time() - began_s


@asynccontextmanager
async def serving(
    listening: ssl.SSLContext | None,
) -> AsyncIterator[tuple[str, "asyncio.Queue[web.WebSocketResponse]"]]:
    """A port that hands out the far ends of connections."""
    ends: asyncio.Queue[web.WebSocketResponse] = asyncio.Queue()
    closing = asyncio.Event()

    async def accept(request: web.Request) -> web.WebSocketResponse:
        far = web.WebSocketResponse(compress=False, max_msg_size=0)
        await far.prepare(request)
        ends.put_nowait(far)
        await closing.wait()
        return far

    app = web.Application()
    app.router.add_get("/", accept)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=listening).start()
    try:
        yield f"{'ws' if listening is None else 'wss'}://127.0.0.1:{runner.addresses[0][1]}/", ends
    finally:
        closing.set()
        await runner.cleanup()


async def measure_handshakes(session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext | bool) -> float:
    """Processor seconds of one connection from its first byte to an open websocket."""
    began_s = time.process_time()
    for _ in range(HANDSHAKES):
        socket = await session.ws_connect(url, compress=0, ssl=tls)
        socket._response.connection.transport.abort()  # type: ignore[union-attr]
    return (time.process_time() - began_s) / HANDSHAKES


async def measure(rounds: int) -> dict[str, float]:
    """All figures, by name."""
    credentials = make_credentials()
    plain_s: dict[str, list[float]] = {"large": [], "small": [], "connect": []}
    encrypted_s: dict[str, list[float]] = {"large": [], "small": [], "connect": []}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session,
        serving(None) as (plain_url, plain_far),
        serving(credentials.listening) as (url, far),
        session.ws_connect(plain_url, compress=0, max_msg_size=0) as plain_near,
        session.ws_connect(url, compress=0, max_msg_size=0, ssl=credentials.dialling) as near,
    ):
        plain, encrypted = Ends(plain_near, await plain_far.get()), Ends(near, await far.get())
        for _ in range(rounds):
            for ends, into in ((plain, plain_s), (encrypted, encrypted_s)):
                into["large"].append(await ends.carry(bytes(LARGE_BYTES), LARGE_COUNT))
                into["small"].append(await ends.carry(bytes(SMALL_BYTES), SMALL_COUNT))
            plain_s["connect"].append(await measure_handshakes(session, plain_url, True))
            encrypted_s["connect"].append(await measure_handshakes(session, url, credentials.dialling))
    megabytes = LARGE_BYTES * LARGE_COUNT / 1e6
    out: dict[str, float] = {}
    for name, spent in (("plain", plain_s), ("encrypted", encrypted_s)):
        out[f"{name}_ms_per_megabyte"] = 1e3 * median(spent["large"]) / megabytes
        out[f"{name}_us_per_small_message"] = 1e6 * median(spent["small"]) / SMALL_COUNT
        out[f"{name}_ms_per_connection"] = 1e3 * median(spent["connect"])
    return out


def main(arguments: Sequence[str]) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    found = asyncio.run(measure(chosen.rounds))
    if chosen.json:
        print(json.dumps(found, indent=2))
        return 0
    for what in ("ms_per_megabyte", "us_per_small_message", "ms_per_connection"):
        plain, encrypted = found[f"plain_{what}"], found[f"encrypted_{what}"]
        print(f"{what:<22} plain {plain:8.3f}   encrypted {encrypted:8.3f}   {encrypted / plain:.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
