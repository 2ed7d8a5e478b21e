"""Scenes of who validates: networks of any number of validators, votes on seats, epochs that begin, and evidence."""

from typing import Any

import msgspec

from protocol.certificate import VoteKind, calculate_vote_bytes
from protocol.crypto import KeySigner, calculate_hash
from protocol.genesis import Genesis, Member
from protocol.ids import BlockDigest, BoxKey, Day, Epoch, ObjectId, Signature, ValidatorIndex, View
from protocol.ledger.invariants import find_violations
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.seatrows import Seats
from protocol.ledger.state import ACCOUNTS
from protocol.transactions.governance import (
    Action,
    Evidence,
    Propose,
    SeatSet,
    SignedFact,
    Vote,
    calculate_seat_bytes,
)
from tests.protocol.ledger.votes import read_proposal
from tests.protocol.ledger.world import LENDERS, World, make_signer

ONE, OTHER = (BlockDigest(calculate_hash("block", name)) for name in (b"one", b"other"))
NONE = BlockDigest(bytes(32))


def make_validator(name: str) -> Member:
    """An organisation that does nothing but validate."""
    return Member(
        name=name,
        officer_key=make_signer(name).public_key,
        node_key=make_signer(f"{name}/node").public_key,
        enc_key=BoxKey(calculate_hash("box", name.encode())),
        attester_key=make_signer(f"{name}/attester").public_key,
        validator_key=make_signer(f"{name}/validator").public_key,
    )


class SeatedWorld(World):
    """A network of so many validators: the three lenders, and `v3`, `v4`, … beside them."""

    def __init__(self, validators: int = 4, **policy: Any) -> None:
        self.names = (*LENDERS, *(f"v{number}" for number in range(3, validators)))[:validators]
        super().__init__(**policy)

    def make_genesis(self, **policy: Any) -> Genesis:
        """The usual network with other validators."""
        genesis = super().make_genesis(**policy)
        members = [
            one if one.name in self.names else msgspec.structs.replace(one, validator_key=None)
            for one in genesis.members
        ]
        more = (make_validator(name) for name in self.names[len(LENDERS) :])
        return msgspec.structs.replace(genesis, members=(*members, *more))

    @property
    def seats(self) -> Seats:
        """Who validates now."""
        return self.ledger.epoch_row.seats

    def list_seated(self, seats: Seats | None) -> list[str] | None:
        """Names behind some seats, in alphabetical order."""
        names = {self.account(one): one for one in (*self.names, "agent", "issuer", "eye", "court", "peony", "iris")}
        return None if seats is None else sorted(names[one.account] for one in seats)

    def find_index(self, who: str, key: str | None = None) -> ValidatorIndex:
        """A validator's place in the present epoch."""
        wanted = make_signer(key or f"{who}/validator").public_key
        return ValidatorIndex([one.validator_key for one in self.seats].index(wanted))

    def decide(self, action: Action, *, days: int = 1) -> ObjectId:
        """Propose it and let every other voter agree until it passes."""
        voters = [one for one in self.names if self.can_vote(one)]
        self.must(voters[0], Propose(action=action, effective_on=Day(self.today + days)))
        proposal = self.made("proposal", voters[0])
        for other in voters[1:]:
            if read_proposal(self, proposal).state is ProposalState.OPEN:
                self.must(other, Vote(proposal=proposal, approve=True))
        assert read_proposal(self, proposal).state is ProposalState.PASSED
        return proposal

    def can_vote(self, who: str) -> bool:
        """Whether a proposal of theirs would be heard."""
        row = self.ledger.books.state.need(ACCOUNTS, self.account(who))
        return bool(row.roles & Role.VALIDATOR) and not row.frozen

    def enact(self, *actions: Action) -> list[ProposalState]:
        """Let actions pass and their day come, all in one block; how they ended."""
        proposals = [self.decide(one) for one in actions]
        self.pass_days(1)
        self.check()
        return [read_proposal(self, one).state for one in proposals]

    def check(self) -> None:
        """Every law holds."""
        assert find_violations(self.ledger) == {}


def prove_seat(world: World, who: str, key: KeySigner) -> Signature:
    """The validator key's own signature for an account."""
    return key.sign(calculate_seat_bytes(world.ledger.chain_id, world.account(who)))


def seat(world: World, who: str, key: str | None = None, **fields: Any) -> SeatSet:
    """Seat a member with a key that follows from a name."""
    signer = make_signer(key or f"{who}/validator")
    plain: dict[str, Any] = {
        "account": world.account(who),
        "validator_key": signer.public_key,
        "proof": prove_seat(world, who, signer),
    }
    return SeatSet(**{**plain, **fields})


def unseat(world: World, who: str) -> SeatSet:
    """Take a member's seat away."""
    return SeatSet(account=world.account(who), validator_key=None, proof=None)


def sign_fact(
    world: World, key: str, kind: VoteKind, digest: BlockDigest, *, view: int = 9, epoch: int | None = None
) -> SignedFact:
    """What the key of a name signs in a view."""
    of = Epoch(world.ledger.epoch_row.epoch if epoch is None else epoch)
    message = calculate_vote_bytes(kind, world.ledger.chain_id, of, View(view), digest)
    return SignedFact(kind=kind, view=View(view), digest=digest, signature=make_signer(key).sign(message))


def accuse(world: SeatedWorld, who: str, *, epoch: int | None = None, index: int | None = None) -> Evidence:
    """Two notarizations of one view by a validator of the present epoch, or of the one given."""
    key = f"{who}/validator"
    place = world.find_index(who) if index is None else index
    return Evidence(
        epoch=Epoch(world.ledger.epoch_row.epoch if epoch is None else epoch),
        index=ValidatorIndex(place),
        first=sign_fact(world, key, VoteKind.NOTARIZE, ONE, epoch=epoch),
        second=sign_fact(world, key, VoteKind.NOTARIZE, OTHER, epoch=epoch),
    )
