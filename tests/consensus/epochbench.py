"""A bench whose validators change: a plan in the state after height 1, announced at height 3, carried out at 35.

The spare keys are everybody who is not a validator at first. Never hide a step of the engine here.
"""

from collections.abc import Sequence

import msgspec

from consensus.chain import Floor, Point
from consensus.effects import Effect
from consensus.engine import Engine
from consensus.events import Executed, ReceivedBlocks, ReceivedCertificate, TimerFired, TimerName
from protocol.block import Block
from protocol.certificate import Certificate, VoteKind, calculate_vote_bytes
from protocol.ids import ZERO_DIGEST, BlockDigest, Digest, Epoch, Height, PublicKey, View
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Blocks, Propose
from protocol.validators import calculate_validators_hash, make_validator_set
from tests.consensus.bench import CHAIN, Bench, root_of
from tests.sim.keys import SimSigner

PLANNED_AT = 1
ANNOUNCED_AT = 3
BOUNDARY = ANNOUNCED_AT + EPOCH_NOTICE


class EpochBench(Bench):
    """Four validators; then three of them and a spare, unless told."""

    def __init__(self, *, own: Sequence[int] = (0,), spare: Sequence[int] = (), leaving: int | None = 3) -> None:
        """`own` are my places among the validators, `spare` among the spare keys; `leaving` gives its seat up."""
        self.own = tuple(own)
        self.own_spare = tuple(spare)
        super().__init__(4)
        self.former = self.validators
        self.ended: Certificate | None = None
        left = [one for place, one in enumerate(self.signers) if place != leaving]
        self.next_signers = [*left, self.spares[0]]

    @property
    def spares(self) -> list[SimSigner]:
        """Keys without a seat in the first epoch."""
        return [self.scheme.make_signer(f"spare {place}") for place in range(3)]

    @property
    def next_keys(self) -> tuple[PublicKey, ...]:
        """Who follows."""
        return tuple(sorted(one.public_key for one in self.next_signers))

    def make_engine(self, floor: Floor | None = None) -> Engine:
        """A new engine with my keys."""
        if not hasattr(self, "mine"):
            self.mine = [*(self.signers[at] for at in self.own), *(self.spares[at] for at in self.own_spare)]
        return Engine(chain_id=CHAIN, signers=self.mine, verify=self.verify, floor=floor or self.floor)

    # ------------------------------------------------------------------ the chain of the first epoch

    def child(self, view: int, parent: Block | None = None, **changes: object) -> Block:
        """An empty block that says of the plan what is true."""
        height = 1 if parent is None else parent.header.height + 1
        told = height >= ANNOUNCED_AT
        facts: dict[str, object] = {
            "exec_height": Height(PLANNED_AT if told else 0),
            "exec_root": root_of(PLANNED_AT if told else 0),
            "next_validators_hash": calculate_validators_hash(self.next_keys) if told else self.hash_now(),
            "epoch_end": Height(BOUNDARY if told else 0),
            "epoch": self.epoch,
        }
        return self.block(view, parent, batches=0, **{**facts, **changes})

    def hash_now(self) -> Digest:
        """Of the present validators."""
        return calculate_validators_hash(self.validators.keys)

    def grow(self, height: int) -> list[Block]:
        """The blocks of heights 1 .. height, one per view."""
        blocks: list[Block] = []
        for view in range(1, height + 1):
            parent = blocks[-1] if blocks else None
            blocks.append(self.child(view, parent))
            self.below[blocks[-1].header.calculate_digest()] = self.history(parent)
        return blocks

    def finalization(self, block: Block, view: int | None = None) -> Certificate:
        """Of a block, in its own view or in a later one."""
        at = block.header.view if view is None else view
        return self.certificate(VoteKind.FINALIZE, at, block.header.calculate_digest())

    def sync(self, blocks: list[Block], view: int | None = None) -> list[Effect]:
        """A stretch from a peer."""
        return self.drive(
            ReceivedBlocks(blocks=Blocks(blocks=tuple(blocks), finalization=self.finalization(blocks[-1], view)))
        )

    def plan(self, height: int = PLANNED_AT) -> list[Effect]:
        """My own execution comes to the state that plans the next validators."""
        return self.drive(Executed(height=Height(height), exec_root=root_of(height), next_validators=self.next_keys))

    def go_to(self, height: int) -> list[Block]:
        """Started, planned, and everything up to a height of the first epoch final."""
        blocks = self.grow(height)
        self.start()
        self.sync(blocks[:1])
        self.plan()
        self.sync(blocks[1:])
        return blocks

    def propose_again(self, block: Block, view: int, seen_in: int | None) -> Propose:
        """A later leader's proposal of a block that was notarized in the view `seen_in`."""
        header = block.header
        digest = header.calculate_digest()
        raw = calculate_vote_bytes(VoteKind.PROPOSE, CHAIN, self.epoch, View(view), digest)
        return Propose(
            epoch=self.epoch,
            view=View(view),
            block=block,
            parent_view=View(seen_in or 0),
            parent_cert=None if seen_in is None else self.certificate(VoteKind.NOTARIZE, seen_in, digest),
            finalization=None,
            nullifications=() if seen_in is None else tuple(self.nullification(at) for at in range(seen_in + 1, view)),
            signature=self.signers[self.leader(view)].sign(raw),
        )

    def notarize(self, block: Block, parent: Block | None = None) -> None:
        """A quorum's notarization of a block whose payload is held."""
        self.hear_block(block, parent)
        digest = block.header.calculate_digest()
        self.drive(ReceivedCertificate(certificate=self.certificate(VoteKind.NOTARIZE, block.header.view, digest)))

    # ------------------------------------------------------------------ the next epoch

    def turn_over(self, boundary: Block) -> None:
        """From here on the test speaks for the next validators."""
        self.former, self.ended = self.validators, self.finalization(boundary)
        by_key = {one.public_key: one for one in self.next_signers}
        self.validators = make_validator_set(self.next_keys, boundary.header.calculate_digest())
        self.signers = [by_key[key] for key in self.validators.keys]
        self.size, self.quorum = len(self.signers), self.validators.quorum
        self.epoch = Epoch(self.epoch + 1)

    def later_child(self, view: int, parent: Block, **changes: object) -> Block:
        """An empty block of the next epoch; no state plans another change."""
        facts: dict[str, object] = {
            "exec_height": Height(PLANNED_AT),
            "exec_root": root_of(PLANNED_AT),
            "epoch": self.epoch,
            "next_validators_hash": self.hash_now(),
        }
        return self.block(view, parent, batches=0, **{**facts, **changes})

    def cross(self) -> Block:
        """Over the boundary, which it returns; the test speaks for the next validators."""
        self.crossed = self.go_to(BOUNDARY)
        self.turn_over(self.crossed[-1])
        return self.crossed[-1]

    def cross_again(self) -> list[Effect]:
        """After a restart below the boundary."""
        effects = self.drive(ReceivedBlocks(blocks=Blocks(blocks=tuple(self.crossed), finalization=self.ended)))
        return effects + self.plan()

    def restart_at(self, blocks: list[Block]) -> list[Effect]:
        """Over a floor at the last of the blocks, with an empty log."""
        self.floor, self.records = self.floor_at(blocks[-1]), []
        return self.restart()

    def floor_at(self, block: Block) -> Floor:
        """Everything up to a block of either side is executed and saved."""
        header, mountains = block.header, self.history(block)
        is_later = header.height > BOUNDARY
        return Floor(
            point=Point(
                height=header.height,
                view=header.view,
                digest=header.calculate_digest(),
                time_ms=header.time_ms,
                exec_height=header.exec_height,
                mountains=mountains,
                epoch_end=header.epoch_end,
            ),
            finalization=None if is_later else self.ended,
            exec_height=header.height,
            exec_root=root_of(header.height),
            params_hash=ZERO_DIGEST,
            validators=self.validators if is_later else self.former,
            epoch=header.epoch,
            next_validators=() if is_later else self.next_keys,
            next_at=Height(0 if is_later else PLANNED_AT),
            roots=((Height(PLANNED_AT), root_of(PLANNED_AT)),),
        )


def strip(block: Block, **changes: object) -> Block:
    """The same block with another header."""
    return msgspec.structs.replace(block, header=msgspec.structs.replace(block.header, **changes))


def digest_of(block: Block) -> BlockDigest:
    """Short."""
    return block.header.calculate_digest()


def lead_over(bench: Bench) -> list[Effect]:
    """T_lead of the present view."""
    return bench.drive(TimerFired(name=TimerName.LEAD, view=bench.engine.view))
