"""The network between whole nodes: links that come and go, and messages that the weather loses, doubles and delays.

A node's mesh answers what `node.gossip.network.Gossip` answers. Messages are frozen, so they travel as they are; a
sample of them, and whatever a Byzantine node says, goes through the wire's own bytes. Never look into a message here.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from node.gossip.frames import decode_frame
from node.gossip.network import LinkStatus
from protocol.codec import CodecError, encode
from protocol.ids import PublicKey
from protocol.messages import Message

if TYPE_CHECKING:
    from tests.sim.ledger.node import LedgerNode
    from tests.sim.ledger.world import LedgerWorld

SAMPLE = 32
"""Every so-many-th message of honest nodes is encoded and read again."""
WAITING_MAX = 4_000
"""Messages of one peer that a node has not looked at: beyond that a real link is dropped as too slow."""


class Network:
    """Who can reach whom."""

    def __init__(self, world: "LedgerWorld") -> None:
        self._world = world
        self._up: dict[tuple[int, int], bool] = {}
        """By pair, the lower place first."""
        self._count = 0
        self.sent = 0

    def is_up(self, one: int, other: int) -> bool:
        """Whether two nodes have a link."""
        return self._up.get((min(one, other), max(one, other)), False)

    def look(self) -> None:
        """Bring every link to what nodes and weather allow; who was cut off or comes back hears of it."""
        nodes, groups = self._world.nodes, self._world.weather.groups
        now_ms = self._world.now_ms
        for one in range(len(nodes)):
            for other in range(one + 1, len(nodes)):
                a, b = nodes[one], nodes[other]
                wanted = a.is_listening and b.is_listening and not (groups and groups[one] != groups[other])
                wanted = wanted and not a.bans(b, now_ms) and not b.bans(a, now_ms)
                if wanted != self._up.get((one, other), False):
                    self._up[one, other] = wanted
                    a.on_link(b, wanted)
                    b.on_link(a, wanted)

    def cut(self, place: int) -> None:
        """A node is gone: its peers notice."""
        for other in self._world.nodes:
            pair = (min(place, other.place), max(place, other.place))
            if other.place != place and self._up.pop(pair, False):
                other.on_link(self._world.nodes[place], False)

    def send(self, source: "LedgerNode", target: "LedgerNode", message: Message) -> bool:
        """One message through the weather; False when there is no link."""
        if not self.is_up(source.place, target.place):
            return False
        self.sent += 1
        weather, rng = self._world.weather, self._world.rng
        if weather.groups and weather.groups[source.place] != weather.groups[target.place]:
            return True  # cut, and not noticed yet
        if weather.deaf and (source.place, target.place) in weather.deaf:
            return True
        if weather.loss_permille and rng.random() * 1000 < weather.loss_permille:
            return True
        self._count += 1
        if not source.honest or not self._count % SAMPLE:
            try:
                message = decode_frame(encode(message))
            except CodecError:
                assert not source.honest, f"{source.name} says what nobody can read: {message!r:.200}"
                return True  # a real link would close here
        copies = 2 if weather.duplicate_permille and rng.random() * 1000 < weather.duplicate_permille else 1
        for _ in range(copies):
            low, high = weather.delay_ms_min, weather.delay_ms_max
            delay_ms = low + rng.random() * (high - low)
            if weather.slow_permille and rng.random() * 1000 < weather.slow_permille:
                delay_ms += rng.random() * 2_000
            self._world.later(delay_ms, target.hear, source, message)
        return True


class Mesh:
    """What one life of a node sees of it; in place of `Gossip`."""

    def __init__(self, node: "LedgerNode") -> None:
        self._node = node
        self._life = node.life
        self._waiting: dict[int, deque[Message]] = {}
        self._handler: Any = None
        self._ended = asyncio.Event()
        self.traffic = None

    # ------------------------------------------------------------------ what the node calls

    async def start(self, handler: Any, _host: str, _port: int) -> int:
        """From now on peers can reach this node."""
        self._handler = handler
        self._node.on_listening()
        return 0

    async def run(self) -> None:
        """Until cancelled."""
        await self._ended.wait()

    async def stop(self) -> None:
        """Nothing to close."""

    def send(self, peer: PublicKey, message: Message) -> bool:
        """Queue a message for one peer."""
        target = self._node.world.by_key.get(peer)
        return self._life.alive and target is not None and self._node.speak(target, message)

    def broadcast(self, message: Message, peers: Sequence[PublicKey]) -> int:
        """Queue a message for several; how many."""
        if not self._life.alive:
            return 0
        targets = [one for peer in peers if (one := self._node.world.by_key.get(peer)) is not None]
        return self._node.speak_to_all(targets, message)

    def ban(self, peer: PublicKey, seconds: int) -> None:
        """End the link and take none for a while."""
        target = self._node.world.by_key.get(peer)
        if self._life.alive and target is not None:
            self._node.ban(target, seconds)

    def on_members_changed(self) -> None:
        """Everybody in the network is a member as long as it runs."""

    def get_connected(self) -> tuple[PublicKey, ...]:
        """Peers that can be reached, in order of key."""
        world = self._node.world
        return tuple(sorted(one.key for one in world.nodes if one is not self._node and self.is_connected(one.key)))

    def is_connected(self, peer: PublicKey) -> bool:
        """Whether a peer can be reached."""
        target = self._node.world.by_key.get(peer)
        return target is not None and self._node.world.network.is_up(self._node.place, target.place)

    def get_name(self, peer: PublicKey) -> str:
        """The member's name."""
        target = self._node.world.by_key.get(peer)
        return peer.hex()[:16] if target is None else target.name

    def get_status(self, peer: PublicKey) -> LinkStatus:
        """How a member looks from here."""
        return LinkStatus(self.get_name(peer), self.is_connected(peer), -1)

    # ------------------------------------------------------------------ what the network calls

    def take(self, source: "LedgerNode", message: Message) -> None:
        """A message arrives; one of a peer waits until the one before it is taken."""
        if self._handler is None:
            return
        waiting = self._waiting.get(source.place)
        if waiting is not None:
            if len(waiting) < WAITING_MAX:
                waiting.append(message)
            return
        self._waiting[source.place] = deque((message,))
        self._node.start_task(self._hand_on(source))

    async def _hand_on(self, source: "LedgerNode") -> None:
        waiting = self._waiting[source.place]
        while waiting:
            await self._handler.on_message(source.key, waiting.popleft())
        del self._waiting[source.place]

    def on_link(self, source: "LedgerNode", up: bool) -> None:
        """A peer came or went."""
        if self._handler is not None:
            (self._handler.on_link_up if up else self._handler.on_link_down)(source.key)
