"""Frames waiting for one peer: a bounded queue, most urgent first, in order within one urgency.

Reaching the bound is a verdict on the peer (it reads too slowly), told to the caller, who drops the link. Never wait
here for room: whoever sends must not be held up by one slow peer.
"""

import asyncio
from collections import deque
from typing import Final

from node.gossip.frames import Priority
from protocol.limits import PEER_QUEUE_FRAMES_MAX

QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024  # a full queue of batches must not eat the machine's memory


class SendQueue:
    """One peer's outgoing frames."""

    def __init__(self, *, frames_max: int = PEER_QUEUE_FRAMES_MAX, bytes_max: int = QUEUE_BYTES_MAX) -> None:
        self._lanes: tuple[deque[bytes], ...] = tuple(deque() for _ in Priority)
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._frames = 0
        self._bytes = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return self._frames

    def try_put(self, priority: Priority, raw: bytes) -> bool:
        """Queue a frame; False when the queue is full and nothing was queued."""
        if self._frames >= self._frames_max or self._bytes + len(raw) > self._bytes_max:
            return False
        self._lanes[priority].append(raw)
        self._frames += 1
        self._bytes += len(raw)
        self._filled.set()
        return True

    def pop(self) -> bytes | None:
        """The next frame to send, or None."""
        for lane in self._lanes:
            if lane:
                raw = lane.popleft()
                self._frames -= 1
                self._bytes -= len(raw)
                return raw
        return None

    async def wait_filled(self) -> None:
        """Return when there is something to send."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()

    def move_into(self, other: "SendQueue") -> None:
        """Hand everything that waits to the queue of the link that takes over; what does not fit is lost."""
        for priority in Priority:
            lane = self._lanes[priority]
            while lane:
                other.try_put(priority, lane.popleft())
        self._frames = self._bytes = 0
