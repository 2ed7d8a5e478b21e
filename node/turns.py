"""Events that wait for the engine: one's own first, then one of each peer in turn.

A peer that says much waits behind its own words alone, first for room and, when it goes on, for its allowance. Never
look into an event here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from consensus.events import Event, ReceivedCertificates
from node.allowance import Allowance
from protocol.ids import PublicKey

EVENTS_PER_PEER_MAX: Final = 512  # waiting; a peer in step has a handful
EVENTS_PER_S: Final = 2_000  # of one peer, in the long run: several times what the quickest views need
EVENTS_AT_ONCE: Final = 8_192  # what a peer that was quiet may say in one go


class Waiting(NamedTuple):
    """An event with whom it came from, or who waits for its effects."""

    event: Event
    peer: PublicKey | None
    done: asyncio.Future[None] | None


class Turns:
    """The queue in front of one engine. `clock_ms` never steps."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self._clock_ms = clock_ms
        self._own: deque[Waiting] = deque()
        self._peers: dict[PublicKey, deque[Waiting]] = {}
        """Of peers with something to say, the next one first."""
        self._room: dict[PublicKey, asyncio.Event] = {}
        self._allowances: dict[PublicKey, Allowance] = {}
        self._filled = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._own or self._peers)

    @property
    def peers(self) -> int:
        """How many peers have something to say."""
        return len(self._peers)

    def put(self, event: Event, done: asyncio.Future[None] | None = None) -> None:
        """Queue an event of one's own; never waits."""
        self._own.append(Waiting(event, None, done))
        self._filled.set()

    async def put_from(self, peer: PublicKey, event: Event) -> None:
        """Queue what a peer said; waits while it has said too much, which holds up that peer alone."""
        allowance = self._allowances.get(peer)
        if allowance is None:
            allowance = self._allowances[peer] = Allowance(EVENTS_PER_S, EVENTS_AT_ONCE, self._clock_ms())
        if wait_ms := allowance.calculate_wait_ms(self._clock_ms()):
            await asyncio.sleep(wait_ms / 1000)  # its next word waits until this one is queued
        allowance.spend(_weigh(event), self._clock_ms())
        while len(self._peers.get(peer, ())) >= EVENTS_PER_PEER_MAX:
            room = self._room.setdefault(peer, asyncio.Event())
            room.clear()
            await room.wait()
        self._peers.setdefault(peer, deque()).append(Waiting(event, peer, None))
        self._filled.set()

    def pop(self) -> Waiting:
        """The next event. There must be one."""
        if self._own:
            return self._own.popleft()
        peer = next(iter(self._peers))
        queue = self._peers.pop(peer)
        waiting = queue.popleft()
        if queue:
            self._peers[peer] = queue  # behind all others
        self._make_room(peer)
        return waiting

    def forget(self, peer: PublicKey) -> None:
        """What this peer said is not worth a look any more."""
        self._peers.pop(peer, None)
        self._make_room(peer)

    def _make_room(self, peer: PublicKey) -> None:
        if (room := self._room.get(peer)) is not None:
            room.set()

    async def wait_filled(self) -> None:
        """Return when there is an event."""
        while not self:
            self._filled.clear()
            await self._filled.wait()

    def close(self) -> None:
        """Let nobody wait."""
        for waiting in self._own:
            if waiting.done is not None:
                waiting.done.cancel()
        self._own.clear()
        self._peers.clear()


def _weigh(event: Event) -> int:
    return max(1, len(event.certificates.certificates)) if isinstance(event, ReceivedCertificates) else 1
