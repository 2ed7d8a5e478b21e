"""What random organisations do with seats: they ask for them, lose them, take new keys, and break the rules."""

from protocol.certificate import VoteKind
from protocol.crypto import calculate_hash
from protocol.ids import BlockDigest, Day, Epoch, ObjectId, Signature, ValidatorIndex
from protocol.ledger.records import Receipt
from protocol.ledger.state import APPLICATIONS
from protocol.transactions.governance import AttesterConvict, Evidence, Propose, SeatSet, Vote
from tests.protocol.ledger.lives.core import Actions, Lives
from tests.protocol.ledger.seating import NONE, ONE, OTHER, prove_seat, sign_fact, unseat
from tests.protocol.ledger.world import LENDERS, make_signer

ORGANISATIONS = (*LENDERS, "agent", "issuer", "eye", "court")


def seat(lives: Lives) -> Receipt | None:
    """A voter proposes a seat, another key or an end: for anybody, now and then with a proof that is none."""
    random, world = lives.random, lives.world
    who = random.choice(ORGANISATIONS)
    key = f"{who}/validator/{random.randrange(5)}"
    lives.seat_keys[bytes(make_signer(key).public_key)] = key
    if random.random() < 0.2:
        action = unseat(world, who)
    else:
        proof = prove_seat(world, who, make_signer(key)) if random.random() < 0.9 else Signature(bytes(64))
        node_key = make_signer(f"{who}/node/{random.randrange(3)}").public_key if random.random() < 0.3 else None
        action = SeatSet(
            account=world.account(who), validator_key=make_signer(key).public_key, proof=proof, node_key=node_key
        )
    payload = Propose(action=action, effective_on=Day(world.ledger.books.today + random.randint(1, 3)))
    proposer = lives.voter()
    receipt = lives.do(proposer, payload)
    if receipt.rejection is None:
        for other in ORGANISATIONS:
            if other != proposer and lives.may_vote(other) and random.random() < 0.9:
                lives.do(other, Vote(proposal=world.made("proposal", proposer), approve=random.random() < 0.9))
    return receipt


def begin_epoch(lives: Lives) -> Receipt | None:
    """Consensus has ended an epoch whose successors were planned."""
    if lives.world.ledger.next_validators:
        lives.world.begin_epoch()
    return None


def accuse(lives: Lives) -> Receipt | None:
    """Somebody brings two signatures of a validator of this epoch or the last; often they prove nothing."""
    random, world = lives.random, lives.world
    if sum(lives.may_vote(one) for one in ORGANISATIONS) < 3 and random.random() < 0.9:
        return None  # who convicts everybody ends governance
    row = world.ledger.epoch_row
    old = bool(row.previous) and random.random() < 0.3
    seats = row.previous if old else row.seats
    index = random.randrange(len(seats))
    key = lives.seat_keys[bytes(seats[index].validator_key)]
    epoch = row.epoch - old
    pairs: list[tuple[tuple[VoteKind, BlockDigest], tuple[VoteKind, BlockDigest]]] = [
        ((VoteKind.NOTARIZE, ONE), (VoteKind.NOTARIZE, OTHER)),
        ((VoteKind.NULLIFY, NONE), (VoteKind.FINALIZE, ONE)),
        ((VoteKind.NULLIFY, NONE), (VoteKind.NOTARIZE, ONE)),
        ((VoteKind.PROPOSE, OTHER), (VoteKind.NOTARIZE, ONE)),
    ]
    first, second = (sign_fact(world, key, *one, epoch=epoch) for one in random.choice(pairs))
    payload = Evidence(
        epoch=Epoch(epoch + (random.random() < 0.05)),
        index=ValidatorIndex(index + (random.random() < 0.05)),
        first=first,
        second=second,
    )
    return lives.do(random.choice((*ORGANISATIONS, "jade/attester", "ann")), payload)


def denounce(lives: Lives) -> Receipt | None:
    """A voter says that plum lied about some application; with enough votes its word counts no more."""
    random, world = lives.random, lives.world
    plum = world.account("plum")
    said = [
        (ObjectId(key), one.model)
        for key, row in world.ledger.books.state.items(APPLICATIONS)
        for one in row.attestations
        if one.attester == plum
    ]
    if not said:
        return None
    application, model = random.choice(said)
    reporter = world.account(random.choice(("harbour", "jade", "court", "plum")))
    action = AttesterConvict(
        attester=plum, application=application, model=model, evidence=calculate_hash("shown"), reporter=reporter
    )
    payload = Propose(action=action, effective_on=Day(world.ledger.books.today + random.randint(1, 3)))
    proposer = lives.voter()
    receipt = lives.do(proposer, payload)
    if receipt.rejection is None:
        for other in ORGANISATIONS:
            if other != proposer and lives.may_vote(other):
                lives.do(other, Vote(proposal=world.made("proposal", proposer), approve=True))
    return receipt


ACTIONS: Actions = [(seat, 6), (begin_epoch, 6), (accuse, 3), (denounce, 1)]
