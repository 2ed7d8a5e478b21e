"""Sends certificates that prove nothing: broken signatures, too few, too many, foreign bits, wrong kinds."""

import msgspec

from protocol.certificate import Certificate, VoteKind
from protocol.ids import BlockDigest, Epoch, Signature, View
from protocol.messages import Certificates, Propose
from tests.sim.actors.base import NO_BLOCK, Actor
from tests.sim.node import Message


class GarbageCertifier(Actor):
    """Claims quorums."""

    def make_garbage(self) -> Certificate:
        """One false certificate."""
        rng, validators = self.world.rng, self.engine.validators
        kind = rng.choice(list(VoteKind))
        digest = NO_BLOCK if rng.random() < 0.4 else BlockDigest(rng.randbytes(32))
        size = len(validators.keys)
        signers = rng.choice((2**size - 1, 2**validators.quorum - 1, 1 << (self.index or 0), 2**31))
        count = bin(signers).count("1") + rng.choice((0, 0, 1))
        own = self.make_vote(kind, max(1, self.engine.view + rng.randint(-3, 20)), digest)
        return Certificate(
            kind=kind,
            epoch=Epoch(max(0, self.engine.epoch + rng.choice((0, 0, 0, 1, -1)))),
            view=View(own.view),
            digest=digest,
            signers=signers,
            signatures=tuple(Signature(own.signature) for _ in range(count)),
        )

    def twist(self, message: Message) -> None:
        """Honest words among garbage; proposals that carry it."""
        if isinstance(message, Propose) and self.world.rng.random() < 0.5:
            message = msgspec.structs.replace(message, parent_cert=self.make_garbage())
        elif isinstance(message, Certificate):
            message = msgspec.structs.replace(message, signatures=message.signatures[::-1])
        self.world.broadcast(self, message, True)
        for _ in range(3):
            self.world.broadcast(self, self.make_garbage(), True)
        page = Certificates(certificates=tuple(self.make_garbage() for _ in range(4)))
        self.world.send(self.place, self.world.rng.randrange(len(self.world.nodes)), "certificates", page)
