"""The consensus simulator's actors as tongues of whole nodes: the same lies, about votes and proposals.

An actor twists what its machine wants to say and hears what peers say; here the machine is a whole node's. What it
says of batches by bare digests has no meaning on this network and is dropped.
"""

from collections.abc import Callable, Sequence
from typing import Any

from protocol.certificate import Certificate, Vote
from protocol.ids import BatchDigest
from protocol.messages import (
    BlockReply,
    GetBlock,
    GetBlocks,
    GetCertificates,
    Message,
    Propose,
)
from tests.sim.actors.base import Actor
from tests.sim.ledger.actors.base import Liar
from tests.sim.ledger.node import LedgerNode

HEARD = {Vote: "vote", Propose: "propose", Certificate: "certificate"}
VOTER_TICK_MS = 700


class _Stage:
    """What an actor takes for its world."""

    def __init__(self, node: "Puppeteer") -> None:
        self.node = node
        self.judge = self
        self.nodes: list[Any] = []
        self.blocks: dict[Any, Any] = {}
        self.invalid: dict[Any, bool] = {}
        self.plan = node.world.plan
        self.chain_id = node.world.genesis.calculate_chain_id()
        self.genesis_root = node.world.judge.roots[0]  # type: ignore[index]

    @property
    def rng(self) -> Any:
        return self.node.world.rng

    @property
    def now_ms(self) -> int:
        return self.node.world.now_ms

    def on_foreign_block(self, block: Any) -> None:
        """It sends a block; nobody here has to know."""
        self.blocks[block.header.calculate_digest()] = block

    def broadcast(self, _actor: Any, message: Any, to_observers: bool) -> None:
        """To every validator, and to observers too."""
        for one in self.node.world.nodes:
            if one is not self.node and (to_observers or one.validates):
                self.node.world.network.send(self.node, one, message)

    def send(self, _source: int, target: int, what: str, argument: Any) -> None:
        """One message to one node."""
        other = self.node.world.nodes[target]
        message = argument
        if what == "block":
            message = BlockReply(digest=argument.header.calculate_digest(), block=argument)
        elif what in ("batch", "get_batch", "get_block", "get_blocks", "get_certificates", "status"):
            return
        if other is not self.node:
            self.node.world.network.send(self.node, other, message)

    def deliver(self, _source: int, target: int, what: str, argument: Any) -> None:
        """A message that waits for no weather."""
        self.send(0, target, what, argument)

    def schedule(self, delay_ms: int, what: Callable[..., object], *args: Any) -> None:
        """Later."""
        self.node.world.later(delay_ms, what, *args)

    def make_batch(self) -> BatchDigest:
        """A batch that does not exist."""
        return BatchDigest(self.rng.randbytes(32))


class Puppeteer(Liar):
    """A whole node that speaks through an actor."""

    kind: type[Actor]

    def boot(self) -> None:
        """A new life, a new tongue."""
        if not self.life.alive:
            self.tongue: Any = None
            super().boot()
            self.world.later(VOTER_TICK_MS, self._tick_actor, self.life)

    def _find_tongue(self) -> Any:
        """Made when it is needed first, because only then there is a machine."""
        if self.tongue is None:
            tongue = self.tongue = object.__new__(_make_kind(self.kind))
            stage = _Stage(self)
            tongue.stage, tongue.place, tongue.name, tongue.skew_ms = stage, self.place, self.name, self.skew_ms
            tongue.world, tongue.signers, tongue.keys = stage, (self.voter,), (self.voter.public_key,)
            tongue.engine, tongue.held, tongue.pool, tongue.steps = self.core.engine, {}, {}, 0
            stage.nodes = [tongue if one is self else one for one in self.world.nodes]
        return self.tongue

    def _tick_actor(self, life: Any) -> None:
        if life is self.life and life.alive and not self.world.is_over:
            if self.is_listening:
                self._find_tongue().tick()
            self.world.later(VOTER_TICK_MS, self._tick_actor, life)

    def speak_to_all(self, targets: Sequence[LedgerNode], message: Message) -> int:
        """Votes, proposals and certificates are the actor's to twist."""
        if type(message) in HEARD:
            tongue = self._find_tongue()
            if isinstance(message, Propose):
                tongue.world.on_foreign_block(message.block)
            tongue.twist(message)
            return len(targets)
        return super().speak_to_all(targets, message)

    def hear(self, source: LedgerNode, message: Message) -> None:
        """The actor hears what it understands, and answers for it where it has answers of its own."""
        if self.life.alive and self.is_listening and self.world.network.is_up(source.place, self.place):
            tongue = self._find_tongue()
            if (what := HEARD.get(type(message))) is not None:
                tongue.hear(source.place, what, message)
            elif self.kind.answer is not Actor.answer and isinstance(message, GetBlock | GetBlocks | GetCertificates):
                return  # such actors serve nothing
        super().hear(source, message)


class _Quiet(Actor):
    """An actor without a shell, behind every other in the order of classes: the node does the work, it only talks."""

    stage: _Stage

    def post(self, _event: Any) -> None:
        """The node hears by itself."""

    def hear(self, _source: int, _what: str, _argument: Any) -> None:
        """As above."""

    def tick(self) -> None:
        """The node has a tick of its own."""

    def later(self, delay_ms: int, what: Callable[..., object], *args: Any) -> None:
        """Whatever it means to do later."""
        self.stage.schedule(delay_ms, what, *args)

    def ask_some(self, _count: int, _what: str, _argument: Any) -> None:
        """The node asks by itself."""

    @property
    def final(self) -> int:
        """The last final block."""
        return self.stage.node.core.tip.height


def _make_kind(kind: type[Actor]) -> type[Actor]:
    return type(kind.__name__, (kind, _Quiet), {})


def make_puppeteer(actor: type[Any]) -> type[LedgerNode]:
    """A whole node whose votes and proposals `actor` twists."""
    return type(f"{actor.__name__}Node", (Puppeteer,), {"kind": actor, "__module__": actor.__module__})
