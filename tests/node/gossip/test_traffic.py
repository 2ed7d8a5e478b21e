"""What a node says it sent and received is what really crossed the wire, but for what encryption adds, both ways."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from protocol.batch import Batch, BatchItem
from protocol.codec import encode
from protocol.messages import Message, PushBatch
from tests.node.gossip.test_mesh import QUESTION, SIGNERS, station, until

RECORD_BYTES: Final = 16_384  # RFC 8446, section 5.2
RECORD_OVERHEAD: Final = 5 + 1 + 16  # head, content type, tag


class Relay:
    """A port that hands everything on to another, and counts it."""

    def __init__(self) -> None:
        self.port = 0
        self.there = 0
        self.back = 0

    async def serve(self, target: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(self._pump(reader, inner_writer, "there"), self._pump(inner_reader, writer, "back"))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        while data := await reader.read(65_536):
            setattr(self, name, getattr(self, name) + len(data))
            writer.write(data)
        writer.close()


@asynccontextmanager
async def relay(target: int) -> AsyncIterator[Relay]:
    """A relay to a port on loopback."""
    made = Relay()
    server = await asyncio.start_server(lambda r, w: made.serve(target, r, w), "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def make_push(size: int) -> PushBatch:
    """A batch of about `size` bytes."""
    return PushBatch(batch=Batch(items=tuple(BatchItem(transaction=bytes(10_000)) for _ in range(size // 10_000 or 1))))


async def test_bytes_are_counted_as_the_socket_carries_them() -> None:
    """Frames with each of the three lengths of head, masked from the dialler, unmasked from the listener."""
    messages: list[Message] = [QUESTION, make_push(10_000), make_push(200_000)]
    async with (
        station(1, {}) as listener,
        relay(listener.port) as between,
        station(0, {1: between.port}) as dialler,
    ):
        await until(lambda: bool(dialler.handler.up and listener.handler.up))
        there, back = between.there, between.back
        assert (dialler.gossip.traffic.sent, listener.gossip.traffic.sent) == (0, 0)
        for message in messages:
            assert dialler.gossip.send(SIGNERS[1].public_key, message)
            assert listener.gossip.send(SIGNERS[0].public_key, message)
        await until(lambda: len(dialler.handler.heard) == len(listener.handler.heard) == len(messages))
        counted = dialler.gossip.traffic.sent, listener.gossip.traffic.sent
        assert counted[0] == counted[1] + 4 * len(messages), "a dialler masks"
        assert (listener.gossip.traffic.received, dialler.gossip.traffic.received) == counted
        for wire, frames in zip((between.there - there, between.back - back), counted, strict=True):
            records = sum(len(encode(one)) // RECORD_BYTES + 2 for one in messages)
            assert frames + RECORD_OVERHEAD * len(messages) <= wire <= frames + RECORD_OVERHEAD * records
