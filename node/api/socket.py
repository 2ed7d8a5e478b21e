"""The event stream over a websocket: the same events and the same positions as the server-sent one.

Each message is one event as JSON. The server asks now and then whether the client lives and ends what does not answer;
a client that takes nothing for a while finds code 4008 with the position to resume behind. What clients send is not
read. Never another order or another position than `node.api.events` has.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSCloseCode, web

from node.api import events
from node.api.origins import require_own_page
from node.api.problems import ProblemError
from node.api.reading import get_node

SLOW_CLIENT: Final = 4008
MESSAGE_BYTES_MAX: Final = 1_024
"""Of a client, which has nothing to say."""


async def stream_events_socket(request: web.Request) -> web.StreamResponse:
    """GET /v1/events/ws: all later events, then new ones as they come, unless follow=false."""
    require_own_page(request)
    wanted = events.read_wanted(request)
    socket = web.WebSocketResponse(
        heartbeat=events.KEEP_ALIVE_S, max_msg_size=MESSAGE_BYTES_MAX, compress=False, timeout=events.FAREWELL_S
    )
    if not socket.can_prepare(request).ok:
        raise ProblemError("upgrade_required", "This address speaks the websocket protocol, version 13.")
    with events.counted(request), suppress(ConnectionResetError, ConnectionAbortedError):
        await socket.prepare(request)
        listening = asyncio.create_task(_listen(socket))
        sending = asyncio.create_task(_send(request, socket, wanted))
        try:
            await asyncio.wait({listening, sending}, return_when=asyncio.FIRST_COMPLETED)
            last_word = sending.result() if sending.done() else None
        except asyncio.CancelledError:
            await _stop(listening, sending)
            await _say_farewell(socket, WSCloseCode.GOING_AWAY, b"the node is stopping")
            raise
        finally:
            await _stop(listening, sending)  # who listens takes the answer that a farewell waits for
        if last_word is not None:
            await _say_farewell(socket, *last_word)
    return socket


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(socket: web.WebSocketResponse) -> None:
    """Until the client closes, falls silent, or says more than it may."""
    async for _ in socket:
        pass


async def _send(request: web.Request, socket: web.WebSocketResponse, wanted: events.Wanted) -> tuple[int, bytes]:
    """Until no more is saved, or the client takes nothing; what is to be said then."""
    position = wanted.position
    async for found in events.read_on(get_node(request), wanted):
        for one in found:
            if wanted.takes(one):
                try:
                    await asyncio.wait_for(socket.send_str(events.encode_event(one).decode()), events.SLOW_WRITE_S)
                except TimeoutError:
                    return SLOW_CLIENT, b"slow_client: resume after %d-%d" % position
            position = (one.height, one.index)
    return WSCloseCode.OK, b"no more events are saved"


async def _say_farewell(socket: web.WebSocketResponse, code: int, reason: bytes) -> None:
    """The frame goes behind what is on its way already; it is not waited for long."""
    with suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(socket.close(code=code, message=reason, drain=False), events.FAREWELL_S)
