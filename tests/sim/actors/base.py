"""A Byzantine node: the honest machine with a tongue of its own. Never judged, never believed."""

from typing import Any

import msgspec

from consensus.effects import ReportEvidence
from consensus.events import ReceivedCertificate, ReceivedProposal, ReceivedVote
from protocol.block import Block
from protocol.certificate import Certificate, Vote, VoteKind, calculate_vote_bytes
from protocol.ids import BlockDigest, Epoch, TimeMs, ValidatorIndex, View
from protocol.messages import Propose
from tests.sim.keys import SimSigner
from tests.sim.node import Message, SimNode

NO_BLOCK = BlockDigest(bytes(32))


class Actor(SimNode):
    """What Byzantine nodes share."""

    honest = False

    def say(self, message: Message) -> None:
        """What the machine wants to say is twisted first; the machine itself hears its own words."""
        if isinstance(message, Propose):
            self.world.judge.on_foreign_block(message.block)
        self.twist(message)
        if isinstance(message, Vote):
            self.post(ReceivedVote(vote=message))
        elif isinstance(message, Certificate):
            self.post(ReceivedCertificate(certificate=message))
        else:
            self.post(ReceivedProposal(propose=message))

    def twist(self, message: Message) -> None:
        """Say it honestly, unless a subclass knows better."""
        self.world.broadcast(self, message, True)

    def on_evidence(self, effect: ReportEvidence) -> None:
        """A liar accuses nobody."""

    def send_to_half(self, message: Message, half: int) -> None:
        """To every second node."""
        what = name_of(message)
        for node in self.world.nodes:
            if node is not self and node.place % 2 == half:
                self.world.send(self.place, node.place, what, message)

    @property
    def signer(self) -> SimSigner:
        """The key with a seat, or a key without one."""
        return self.engine._machine.signer or self.signers[0]  # type: ignore[return-value]

    def make_vote(
        self, kind: VoteKind, view: int, digest: BlockDigest, index: int | None = None, epoch: Epoch | None = None
    ) -> Vote:
        """A truly signed vote for anything."""
        epoch = self.engine.epoch if epoch is None else epoch
        raw = calculate_vote_bytes(kind, self.world.chain_id, epoch, View(view), digest)
        return Vote(
            kind=kind,
            epoch=epoch,
            view=View(view),
            digest=digest,
            index=ValidatorIndex((self.index or 0) if index is None else index),
            signature=self.signer.sign(raw),
        )

    def remake(self, propose: Propose, **changes: Any) -> Propose:
        """The same proposal with another header, signed."""
        header = msgspec.structs.replace(propose.block.header, **changes)
        block = Block(header=header, batches=propose.block.batches)
        self.world.judge.on_foreign_block(block)
        return self.sign(msgspec.structs.replace(propose, block=block))

    def sign(self, propose: Propose) -> Propose:
        """Sign whatever a proposal says now."""
        digest = propose.block.header.calculate_digest()
        raw = calculate_vote_bytes(VoteKind.PROPOSE, self.world.chain_id, propose.epoch, propose.view, digest)
        return msgspec.structs.replace(propose, signature=self.signer.sign(raw))

    def make_twin(self, propose: Propose) -> Propose:
        """A second block for the same view."""
        return self.remake(propose, time_ms=TimeMs(propose.block.header.time_ms + 1))


def name_of(message: Message) -> str:
    return "vote" if isinstance(message, Vote) else "propose" if isinstance(message, Propose) else "certificate"
