"""The event stream (server-sent events): what the ledger did, from any position on, without a gap.

A client resumes by Last-Event-ID, or by `after`, with the position "height-index". Events are read from the store, so
a slow client costs no memory; one that takes nothing for a while is told so and closed, never dropped silently.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.reading import NODE, get_node
from node.store.chain import StoredEvent
from protocol.ids import Height
from protocol.limits import PAGE_ITEMS_MAX

KEEP_ALIVE_S: Final = 15.0
SLOW_WRITE_S: Final = 10.0
FAREWELL_S: Final = 30.0
STREAMS_MAX: Final = 256
STREAMS_KEPT: Final = 16
"""More of them for who may read what is private: strangers who hold all the others keep no warning from anybody."""


class Streams(set[asyncio.Task[object]]):
    """The open streams, by the task that serves each."""


STREAMS: Final = web.AppKey("streams", Streams)
Position = tuple[Height, int]


def parse_position(text: str) -> Position:
    """(height, index) of "height-index". Raises ProblemError(malformed_request)."""
    height, _, index = text.partition("-")
    for part in (height, index):
        if not (part.isascii() and part.isdecimal() and len(part) <= 16):
            raise ProblemError("malformed_request", "A position is height-index, for example 12-0.")
    return Height(int(height)), int(index)


def encode_event(event: StoredEvent) -> bytes:
    """One event as JSON."""
    return msgspec.json.encode(
        {"height": event.height, "index": event.index, "kind": event.kind, "data": msgspec.Raw(event.data)}
    )


def format_event(event: StoredEvent) -> bytes:
    """One event in the stream's text form (WHATWG HTML, section 9.2)."""
    return b"id: %d-%d\nevent: %s\ndata: %s\n\n" % (event.height, event.index, event.kind.encode(), encode_event(event))


class Wanted(NamedTuple):
    """Which events a client asked for."""

    position: Position
    """Behind which they begin."""
    kinds: frozenset[str]
    """Empty for all."""
    follows: bool

    def takes(self, event: StoredEvent) -> bool:
        """Whether an event is asked for."""
        return not self.kinds or event.kind in self.kinds


def read_wanted(request: web.Request) -> Wanted:
    """What a request asks for. Raises ProblemError."""
    node = get_node(request)
    given = request.headers.get("Last-Event-ID") or request.query.get("after")
    position = (node.status().exec_height, 2**53 - 1) if given is None else parse_position(given)
    if position[0] < node.store.base:
        raise ProblemError("history_pruned", f"The events of this node begin after block {node.store.base}.")
    kinds = frozenset(request.query.getall("kind", []))
    return Wanted(position, kinds, request.query.get("follow", "true") == "true")


@contextmanager
def counted(request: web.Request, *, kept: int = 0) -> Iterator[None]:
    """A place among the open streams, or among so many `kept` ones. Raises ProblemError(busy) when all are taken."""
    streams, places = request.app[STREAMS], STREAMS_MAX + kept
    if len(streams) >= places:
        raise ProblemError("busy", f"This node serves {places} streams at once.", retry_after_ms=5_000)
    task = asyncio.current_task()
    assert task is not None, "handlers run in a task"
    streams.add(task)
    try:
        yield
    finally:
        streams.discard(task)


async def read_on(node: NodePort, wanted: Wanted) -> AsyncIterator[list[StoredEvent]]:
    """Events from a position on as they are saved, some at a time; an empty list says that nothing came for a while."""
    position, saved = wanted.position, Height(0)
    while True:
        events = await node.store.read_events(position[0], position[1], PAGE_ITEMS_MAX)
        if events:
            position = (events[-1].height, events[-1].index)
            yield events
        elif not wanted.follows:
            return
        else:  # everything up to `saved` has been read, so only what is saved later is waited for
            height = await node.wait_height_beyond(saved, KEEP_ALIVE_S)
            if height == saved:
                yield []
            saved = height


async def stream_events(request: web.Request) -> web.StreamResponse:
    """GET /v1/events: all later events, then new ones as they come, unless follow=false."""
    node, wanted = get_node(request), read_wanted(request)
    response = web.StreamResponse(
        status=HTTPStatus.OK, headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
    )
    with counted(request), suppress(ConnectionResetError, ConnectionAbortedError):  # clients go, as clients do
        await response.prepare(request)
        await response.write(b"retry: 1000\n\n")
        position = wanted.position
        async for events in read_on(node, wanted):
            text = b"".join(format_event(each) for each in events if wanted.takes(each))
            if events:
                position = (events[-1].height, events[-1].index)
            else:
                text = b": still here\n\n"
            if text and not await write_or_part(request, response, text, f"{position[0]}-{position[1]}"):
                break
    return response


async def write_or_part(request: web.Request, response: web.StreamResponse, text: bytes, resume_after: str) -> bool:
    """Send a piece of a stream of server-sent events, which brings the client up to the position `resume_after`.

    False when the client took nothing for too long: it finds the farewell behind what is already on its way.
    """
    try:
        await asyncio.wait_for(response.write(text), SLOW_WRITE_S)
    except TimeoutError:
        transport = request.transport
        if transport is not None:
            said = msgspec.json.encode({"reason": "slow_client", "resume_after": resume_after})
            farewell = b"event: dropped\ndata: %s\n\n" % said
            transport.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(farewell), farewell))
            transport.close()
            asyncio.get_running_loop().call_later(FAREWELL_S, transport.abort)
        return False
    return True


async def close_streams(app: web.Application) -> None:
    """On shutdown: end every stream, so that the server can stop."""
    running: Streams = app[STREAMS]
    streams = list(running)
    for task in streams:
        task.cancel()
    await asyncio.gather(*streams, return_exceptions=True)


def set_up(app: web.Application) -> None:
    """Give an application its register of streams."""
    assert NODE in app, "the node comes first"
    app[STREAMS] = Streams()
    app.on_shutdown.append(close_streams)
