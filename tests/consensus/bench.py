"""One engine on a bench: three other validators are played by the test, which signs whatever a law needs.

Effects are kept as transcripts; nothing is fed back unless the test says so. Never hide a step of the engine here.
"""

from typing import TypeVar

import msgspec

from consensus.chain import Floor, make_genesis_floor
from consensus.effects import Broadcast, Effect, Persist
from consensus.engine import Engine
from consensus.events import (
    Event,
    Executed,
    PayloadChecked,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    Started,
    Verdict,
)
from consensus.pacemaker import Timing
from consensus.records import Record
from protocol.batch import BatchRef
from protocol.block import HEADER_VERSION, Block, Header, calculate_batches_root, calculate_genesis_digest
from protocol.certificate import Certificate, Vote, VoteKind, calculate_vote_bytes
from protocol.crypto import calculate_hash
from protocol.ids import (
    BatchDigest,
    BlockDigest,
    ChainId,
    Digest,
    Epoch,
    Height,
    PublicKey,
    Signature,
    TimeMs,
    ValidatorIndex,
    View,
)
from protocol.merkle import NO_MOUNTAINS, Mountains
from protocol.messages import Propose
from protocol.validators import make_validator_set
from tests.sim.keys import Scheme, SimSigner

CHAIN = ChainId(calculate_hash("bench"))
GENESIS = calculate_genesis_digest(CHAIN)
GENESIS_ROOT = Digest(bytes(31) + b"\x01")
NO_BLOCK = BlockDigest(bytes(32))
START_MS = TimeMs(1_700_000_000_000)
E0 = Epoch(0)
T = TypeVar("T")


def root_of(height: int) -> Digest:
    """A made-up state root after a height."""
    return GENESIS_ROOT if height == 0 else Digest(calculate_hash("root", height.to_bytes(4, "big")))


class Bench:
    """The engine under test and everybody's keys."""

    def __init__(self, size: int = 4, *, me: int | None = 0, floor: Floor | None = None) -> None:
        self.scheme = Scheme()
        signers = [self.scheme.make_signer(f"bench {place}") for place in range(size)]
        self.validators = make_validator_set(tuple(one.public_key for one in signers), GENESIS)
        by_key = {one.public_key: one for one in signers}
        self.signers: list[SimSigner] = [by_key[key] for key in self.validators.keys]
        self.size, self.quorum, self.me = size, self.validators.quorum, me
        self.epoch = E0
        self.now_ms = START_MS
        self.records: list[Record] = []
        self.verified: list[bytes] = []
        self.below: dict[BlockDigest, Mountains] = {}
        self.floor = floor or make_genesis_floor(CHAIN, GENESIS_ROOT, self.validators)
        self.engine = self.make_engine()

    def make_engine(self) -> Engine:
        """A new engine over the floor."""
        return Engine(
            chain_id=CHAIN,
            signers=() if self.me is None else (self.signers[self.me],),
            verify=self.verify,
            floor=self.floor,
            timing=Timing(),
        )

    def verify(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Count what is verified."""
        self.verified.append(signature)
        return self.scheme.verify(key, message, signature)

    # ------------------------------------------------------------------ stepping

    def step(self, event: Event) -> list[Effect]:
        """One event, as it is."""
        effects = self.engine.step(event, self.now_ms)
        self.records += [effect.record for effect in effects if isinstance(effect, Persist)]
        return effects

    def start(self) -> list[Effect]:
        """Take part."""
        return self.step(Started())

    def drive(self, *events: Event) -> list[Effect]:
        """Step events and feed back what is broadcast, as the shell does, until nothing more is said."""
        queue, found = list(events), list[Effect]()
        while queue:
            effects = self.step(queue.pop(0))
            found += effects
            queue += [received(effect.message) for effect in pick(effects, Broadcast)]
        return found

    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms = TimeMs(self.now_ms + ms)

    def restart(self) -> list[Effect]:
        """A crash: only the records and the floor survive."""
        self.engine = self.make_engine()
        self.engine.replay(self.records)
        return self.start()

    # ------------------------------------------------------------------ what others say

    def leader(self, view: int) -> int:
        """Who leads a view."""
        return self.validators.calculate_leader(View(view))

    def view_led_by(self, index: int, at_least: int = 1) -> int:
        """The next view that a validator leads."""
        return next(view for view in range(at_least, at_least + self.size) if self.leader(view) == index)

    def vote(self, kind: VoteKind, view: int, digest: BlockDigest, index: int) -> Vote:
        """A signed vote."""
        raw = calculate_vote_bytes(kind, CHAIN, self.epoch, View(view), digest)
        return Vote(
            kind=kind,
            epoch=self.epoch,
            view=View(view),
            digest=digest,
            index=ValidatorIndex(index),
            signature=self.signers[index].sign(raw),
        )

    def certificate(self, kind: VoteKind, view: int, digest: BlockDigest, *, count: int | None = None) -> Certificate:
        """A certificate by the last `count` validators (a quorum unless told)."""
        places = range(self.size - (self.quorum if count is None else count), self.size)
        return Certificate(
            kind=kind,
            epoch=self.epoch,
            view=View(view),
            digest=digest,
            signers=sum(1 << place for place in places),
            signatures=tuple(self.vote(kind, view, digest, place).signature for place in places),
        )

    def nullification(self, view: int) -> Certificate:
        """Everybody gave a view up."""
        return self.certificate(VoteKind.NULLIFY, view, NO_BLOCK)

    def block(self, view: int, parent: Block | None = None, *, batches: int = 1, **changes: object) -> Block:
        """A valid block of the view's leader, with some fields changed."""
        refs = tuple(
            BatchRef(digest=BatchDigest(calculate_hash("b", bytes((view, place)))), tx_count=1, size=9)
            for place in range(batches)
        )
        height = 1 if parent is None else parent.header.height + 1
        header = Header(
            version=HEADER_VERSION,
            chain_id=CHAIN,
            epoch=self.epoch,
            height=Height(height),
            view=View(view),
            parent_digest=GENESIS if parent is None else parent.header.calculate_digest(),
            time_ms=TimeMs(self.now_ms + height),
            batches_root=calculate_batches_root(refs),
            batch_count=batches,
            tx_count=batches,
            exec_height=Height(0),
            exec_root=GENESIS_ROOT,
            history_root=self.history(parent).calculate_root(),
            next_validators_hash=self.validators.calculate_hash(),
            epoch_end=Height(0),
            params_hash=Digest(bytes(32)),
            proposer=ValidatorIndex(self.leader(view)),
        )
        return Block(header=msgspec.structs.replace(header, **changes), batches=refs)

    def history(self, parent: Block | None) -> Mountains:
        """Over the headers up to a parent."""
        if parent is None:
            return NO_MOUNTAINS
        digest = parent.header.calculate_digest()
        return self.below[digest].append(digest)

    def propose(self, block: Block, parent: Block | None = None, *, signer: int | None = None) -> Propose:
        """A signed proposal with everything a voter needs."""
        view, digest = block.header.view, block.header.calculate_digest()
        self.below[digest] = self.history(parent)
        if parent is not None and parent.header.epoch != self.epoch:
            parent = None  # the genesis of an epoch stands in view 0 and needs no proof
        parent_view = 0 if parent is None else parent.header.view
        raw = calculate_vote_bytes(VoteKind.PROPOSE, CHAIN, self.epoch, view, digest)
        certificate = None
        if parent is not None:
            certificate = self.certificate(VoteKind.NOTARIZE, parent_view, parent.header.calculate_digest())
        return Propose(
            epoch=self.epoch,
            view=view,
            block=block,
            parent_view=View(parent_view),
            parent_cert=certificate,
            finalization=None,
            nullifications=tuple(self.nullification(at) for at in range(parent_view + 1, view)),
            signature=self.signers[self.leader(view) if signer is None else signer].sign(raw),
        )

    # ------------------------------------------------------------------ short cuts

    def hear_block(self, block: Block, parent: Block | None = None) -> list[Effect]:
        """The proposal arrives and its payload turns out well."""
        effects = self.drive(ReceivedProposal(propose=self.propose(block, parent)))
        return effects + self.drive(ok(block))

    def hear_votes(self, kind: VoteKind, view: int, digest: BlockDigest, indices: range) -> list[Effect]:
        """Several validators vote alike."""
        return [
            effect
            for index in indices
            for effect in self.drive(ReceivedVote(vote=self.vote(kind, view, digest, index)))
        ]

    def nullify_up_to(self, view: int) -> None:
        """Bring the engine into `view` by nullifications."""
        for at in range(self.engine.view, view):
            self.drive(ReceivedCertificate(certificate=self.nullification(at)))

    def execute(self, height: int) -> list[Effect]:
        """The shell executed a block."""
        return self.drive(Executed(height=Height(height), exec_root=root_of(height)))


def received(message: Propose | Vote | Certificate) -> Event:
    """What the shell feeds back."""
    if isinstance(message, Propose):
        return ReceivedProposal(propose=message)
    if isinstance(message, Vote):
        return ReceivedVote(vote=message)
    return ReceivedCertificate(certificate=message)


def ok(block: Block) -> PayloadChecked:
    """Every batch is held."""
    return PayloadChecked(digest=block.header.calculate_digest(), verdict=Verdict.OK)


def pick(effects: list[Effect], kind: type[T]) -> list[T]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def votes_in(effects: list[Effect], kind: VoteKind | None = None) -> list[Vote]:
    """Votes that are broadcast."""
    return [
        effect.message
        for effect in pick(effects, Broadcast)
        if isinstance(effect.message, Vote) and (kind is None or effect.message.kind is kind)
    ]


def certificates_in(effects: list[Effect]) -> list[Certificate]:
    """Certificates that are broadcast."""
    return [effect.message for effect in pick(effects, Broadcast) if isinstance(effect.message, Certificate)]


def proposals_in(effects: list[Effect]) -> list[Propose]:
    """Proposals that are broadcast."""
    return [effect.message for effect in pick(effects, Broadcast) if isinstance(effect.message, Propose)]


def make_follower(size: int = 4) -> Bench:
    """A started engine that leads neither view 1 nor view 2."""
    bench = Bench(size)
    bench.me = next(index for index in range(size) if index not in (bench.leader(1), bench.leader(2)))
    bench.engine = bench.make_engine()
    bench.start()
    return bench


def make_leader(view: int = 1) -> Bench:
    """A started engine that leads a view."""
    bench = Bench()
    bench.me = bench.leader(view)
    bench.engine = bench.make_engine()
    bench.start()
    return bench


def make_refs(count: int) -> tuple[BatchRef, ...]:
    """Some batches."""
    return tuple(BatchRef(digest=BatchDigest(bytes((i,)) * 32), tx_count=2, size=7) for i in range(count))
