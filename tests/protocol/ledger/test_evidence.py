"""Evidence against validators: what convicts a key, what follows at once and with the next epoch, and for how long."""

from itertools import product
from typing import Any

import msgspec
import pytest

import protocol.ledger.evidence as rule
from protocol.certificate import VoteKind
from protocol.crypto import check_signature
from protocol.ids import BlockDigest, Day, Epoch, ValidatorIndex, View
from protocol.ledger.actions import find_action_fault
from protocol.ledger.evidence import is_contradiction
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.seatrows import list_keys
from protocol.ledger.state import ACCOUNTS, CONVICTIONS
from protocol.ledger.voters import can_seats_decide, count_votes
from protocol.rejections import Rejection
from protocol.transactions.governance import Evidence, Freeze, PauseSet, Propose, SignedFact, Vote
from tests.protocol.ledger.seating import NONE, ONE, OTHER, SeatedWorld, accuse, seat, sign_fact, unseat
from tests.protocol.ledger.votes import make_member, read_proposal, restart
from tests.protocol.ledger.world import DAY_MS, make_signer

DONE, OPEN, PASSED = ProposalState.DONE, ProposalState.OPEN, ProposalState.PASSED
PROPOSE, NOTARIZE, NULLIFY, FINALIZE = VoteKind


def tell(world: SeatedWorld, payload: Evidence, who: str = "harbour") -> Rejection | None:
    """What comes of it when somebody brings it before the ledger."""
    return world.do(who, payload).rejection


def event(world: SeatedWorld) -> Any:
    """The last conviction as regulators hear of it."""
    return [one for one in world.events if one.kind == "validator_equivocated"][-1].data


# ---------------------------------------------------------------------- what contradicts


def test_what_no_honest_validator_signs() -> None:
    """The whole table: two blocks of one kind, or nullify beside finalize; everything else an honest one may sign."""
    blank = bytes(64)

    def fact(kind: VoteKind, digest: BlockDigest, view: int = 1) -> SignedFact:
        return SignedFact(kind=kind, view=View(view), digest=digest, signature=blank)  # type: ignore[arg-type]

    for first, second in product(VoteKind, VoteKind):
        one = fact(first, NONE if first is NULLIFY else ONE)
        same = fact(second, NONE if second is NULLIFY else ONE)
        other = fact(second, NONE if second is NULLIFY else OTHER)
        later = fact(second, NONE if second is NULLIFY else OTHER, view=2)
        both = {first, second} == {NULLIFY, FINALIZE}
        assert is_contradiction(one, same) is both
        assert is_contradiction(one, other) is (both or (first is second and first is not NULLIFY))
        assert not is_contradiction(one, later)
    assert not is_contradiction(fact(NULLIFY, ONE), fact(NULLIFY, OTHER))
    assert not is_contradiction(fact(NULLIFY, ONE), fact(FINALIZE, ONE))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((PROPOSE, ONE), (PROPOSE, OTHER)),
        ((NOTARIZE, ONE), (NOTARIZE, OTHER)),
        ((FINALIZE, OTHER), (FINALIZE, ONE)),
        ((FINALIZE, ONE), (NULLIFY, NONE)),
        ((NULLIFY, NONE), (FINALIZE, ONE)),
    ],
)
def test_every_contradiction_convicts(first: Any, second: Any) -> None:
    """Of either order; the event says what was signed, where, by whom and who saw it."""
    world = SeatedWorld(5)
    facts = [sign_fact(world, "plum/validator", kind, digest) for kind, digest in (first, second)]
    payload = Evidence(epoch=Epoch(0), index=world.find_index("plum"), first=facts[0], second=facts[1])
    assert tell(world, payload, "eye") is None
    key = make_signer("plum/validator").public_key
    assert event(world) == {
        "account": world.account("plum").hex(),
        "validator_key": key.hex(),
        "epoch": 0,
        "view": 9,
        "signed": [first[0].name.lower(), second[0].name.lower()],
        "reporter": world.account("eye").hex(),
        "removed": True,
    }
    row = world.ledger.books.state.need(CONVICTIONS, key)
    assert (row.account, row.reporter) == (world.account("plum"), world.account("eye"))
    assert (row.epoch, row.view, row.height) == (0, 9, world.ledger.height)
    world.check()
    restart(world)


def test_both_are_signed_over_the_bytes_of_votes() -> None:
    """A signature of another epoch, view, kind, network or key is none."""
    world = SeatedWorld(5)
    good = accuse(world, "plum")
    alike = {
        "epoch": sign_fact(world, "plum/validator", NOTARIZE, OTHER, epoch=1),
        "view": sign_fact(world, "plum/validator", NOTARIZE, OTHER, view=8),
        "kind": sign_fact(world, "plum/validator", FINALIZE, OTHER),
        "network": sign_fact(SeatedWorld(5, lenders_max=1), "plum/validator", NOTARIZE, OTHER),
        "key": sign_fact(world, "plum", NOTARIZE, OTHER),
    }
    for name, fact in alike.items():
        forged = msgspec.structs.replace(good.second, signature=fact.signature)
        for payload in (
            msgspec.structs.replace(good, second=forged),
            msgspec.structs.replace(good, first=forged, second=good.first),
        ):
            assert tell(world, payload) is Rejection.EVIDENCE_UNSIGNED, name
    assert not world.ledger.suspects
    assert tell(world, good) is None


# ---------------------------------------------------------------------- who brings it, and what it costs


@pytest.mark.parametrize("who", ["harbour", "harbour/attester", "eye", "agent", "plum", "plum/attester"])
def test_any_member_may_bring_it(who: str) -> None:
    """By its officer or its attester, even the convicted one's; a node does it by itself."""
    world = SeatedWorld(5)
    assert tell(world, accuse(world, "plum"), who) is None
    assert world.ledger.suspects == (make_signer("plum/validator").public_key,)


def test_others_may_not() -> None:
    """A borrower, a member without any role, a frozen one: nobody whose signatures are free of charge."""
    world = SeatedWorld(5)
    world.open_account("ann")
    payload = accuse(world, "plum")
    assert tell(world, payload, "ann") is Rejection.ROLE_MISSING
    assert world.enact(make_member("eye", 0)) == [DONE]
    assert tell(world, payload, "eye") is Rejection.ROLE_MISSING
    assert world.enact(Freeze(account=world.account("court"), frozen=True)) == [DONE]
    assert tell(world, payload, "court") is Rejection.ACCOUNT_FROZEN


def test_at_most_two_signatures_are_verified_and_none_for_what_is_wrong_anyway(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Epoch, index, contradiction and earlier conviction come first."""
    calls: list[Any] = []

    def count(*args: Any) -> bool:
        calls.append(args)
        return check_signature(*args)

    monkeypatch.setattr(rule, "check_signature", count)
    world = SeatedWorld(5)
    good = accuse(world, "plum")
    for wrong, code in (
        ({"epoch": Epoch(1)}, Rejection.EVIDENCE_EPOCH),
        ({"index": ValidatorIndex(5)}, Rejection.EVIDENCE_INDEX),
        ({"second": good.first}, Rejection.EVIDENCE_CONSISTENT),
    ):
        assert tell(world, msgspec.structs.replace(good, **wrong)) is code
    assert calls == []
    unsigned = msgspec.structs.replace(good.first, signature=bytes(64))
    assert tell(world, msgspec.structs.replace(good, first=unsigned)) is Rejection.EVIDENCE_UNSIGNED
    assert len(calls) == 1
    assert tell(world, good) is None
    assert len(calls) == 3
    assert tell(world, good, "jade") is Rejection.CONVICTED_ALREADY
    assert len(calls) == 3


def test_a_second_conviction_of_the_same_key_is_refused() -> None:
    """Whatever else it signed."""
    world = SeatedWorld(5)
    assert tell(world, accuse(world, "plum")) is None
    facts = [sign_fact(world, "plum/validator", PROPOSE, digest, view=77) for digest in (ONE, OTHER)]
    more = Evidence(epoch=Epoch(0), index=world.find_index("plum"), first=facts[0], second=facts[1])
    assert tell(world, more) is Rejection.CONVICTED_ALREADY


# ---------------------------------------------------------------------- what follows


def test_of_four_the_convicted_one_is_suspended_and_stays() -> None:
    """Three could not lose one more: its views are skipped, its vote is gone; the seat is the validators' to take."""
    world = SeatedWorld(4)
    assert tell(world, accuse(world, "plum")) is None
    assert event(world)["removed"] is False
    row = world.ledger.epoch_row
    assert (row.next, row.suspects) == (None, (make_signer("plum/validator").public_key,))
    assert world.execution is not None
    assert (world.execution.next_validators, world.execution.suspects) == ((), row.suspects)
    assert world.ledger.books.state.need(ACCOUNTS, world.account("plum")).roles == Role.LENDER
    assert count_votes(world.ledger.books) == (3, 2)
    world.pass_days(3)
    assert world.ledger.suspects == row.suspects
    restart(world)
    assert world.enact(unseat(world, "plum")) == [DONE]
    world.begin_epoch()
    world.check()
    assert (len(world.seats), world.ledger.suspects) == (3, ())


@pytest.mark.parametrize("count", [5, 7])
def test_of_five_or_more_the_convicted_one_goes_with_the_next_epoch(count: int) -> None:
    """Planned in the block of the evidence; suspected until then, and nothing afterwards."""
    world = SeatedWorld(count)
    assert tell(world, accuse(world, "plum")) is None
    key = make_signer("plum/validator").public_key
    row = world.ledger.epoch_row
    assert (row.next_at, row.suspects) == (world.ledger.height, (key,))
    assert world.ledger.next_validators == tuple(one for one in list_keys(row.seats) if one != key)
    world.begin_epoch()
    world.check()
    assert (len(world.seats), world.ledger.suspects, world.can_vote("plum")) == (count - 1, (), False)
    restart(world)


def test_evidence_alone_never_leaves_fewer_than_four() -> None:
    """Six convictions of seven: three seats go, the others are suspended, and the network goes on."""
    world = SeatedWorld(7)
    for name in world.names[1:]:
        assert tell(world, accuse(world, name)) is None
        world.check()
    removed = [one.data["removed"] for one in world.events if one.kind == "validator_equivocated"]
    assert removed == [True, True, True, False, False, False]
    for _ in range(2):
        world.begin_epoch()
        world.check()
    assert world.list_seated(world.seats) == ["harbour", "v4", "v5", "v6"]
    assert len(world.ledger.suspects) == 3
    assert count_votes(world.ledger.books) == (1, 1)


def test_a_fixed_plan_stays_and_the_seat_goes_with_the_epoch_after() -> None:
    """Headers may have announced it: the convicted key sits once more, suspected from the first block on."""
    world = SeatedWorld(5)
    assert world.enact(seat(world, "eye")) == [DONE]
    fixed = world.ledger.epoch_row.next
    assert tell(world, accuse(world, "plum")) is None
    assert event(world)["removed"] is True
    row = world.ledger.epoch_row
    assert (row.next, world.list_seated(row.queued)) == (fixed, ["eye", "harbour", "jade", "v3", "v4"])
    world.begin_epoch()
    world.check()
    key = make_signer("plum/validator").public_key
    assert (world.ledger.suspects, world.can_vote("plum")) == ((key,), False)
    world.begin_epoch()
    world.check()
    assert (world.ledger.suspects, len(world.seats)) == ((), 5)


def test_evidence_joins_a_plan_that_is_not_fixed() -> None:
    """A vote and evidence in one block make one epoch."""
    world = SeatedWorld(5)
    proposal = world.decide(seat(world, "eye"))
    evidence = world.transaction("harbour", accuse(world, "plum"), valid_for_ms=2 * DAY_MS)
    world.block((evidence, ()), ms=DAY_MS)
    assert read_proposal(world, proposal).state is DONE
    row = world.ledger.epoch_row
    assert (world.list_seated(row.next), row.queued) == (["eye", "harbour", "jade", "v3", "v4"], None)
    world.check()


def test_a_convicted_key_never_sits_again_and_another_brings_seat_and_vote_back() -> None:
    """The key is gone for good, the organisation is the validators' to judge."""
    world = SeatedWorld(5)
    assert tell(world, accuse(world, "plum")) is None
    for who in ("plum", "eye"):
        payload = Propose(action=seat(world, who, "plum/validator"), effective_on=Day(world.today + 1))
        assert world.do("harbour", payload).rejection is Rejection.ACTION_INVALID
        assert find_action_fault(world.ledger.books, payload.action) == "key_convicted"
    world.begin_epoch()
    assert world.enact(seat(world, "plum", "plum/second")) == [DONE]
    world.begin_epoch()
    world.check()
    assert (world.can_vote("plum"), world.ledger.suspects) == (True, ())
    for _ in range(3):
        assert world.enact(seat(world, "jade", f"jade/{world.ledger.height}")) == [DONE]
        world.begin_epoch()
    payload = Propose(action=seat(world, "eye", "plum/validator"), effective_on=Day(world.today + 1))
    assert world.do("harbour", payload).rejection is Rejection.ACTION_INVALID
    member = make_member("eye", int(Role.OBSERVER), attester_key=make_signer("plum/validator").public_key)
    assert find_action_fault(world.ledger.books, member) == "key_taken"


def test_a_suspended_one_votes_again_with_another_key() -> None:
    """Of four it kept its seat; rotated by vote, it has its voice back from the next epoch on."""
    world = SeatedWorld(4)
    assert tell(world, accuse(world, "plum")) is None
    assert world.enact(seat(world, "plum", "plum/second")) == [DONE]
    assert not world.can_vote("plum")
    world.begin_epoch()
    world.check()
    assert (world.can_vote("plum"), world.ledger.suspects, len(world.seats)) == (True, (), 4)


def test_a_stolen_key_that_was_replaced_costs_no_seat() -> None:
    """Who rotated in time keeps seat and vote, when a thief signs with the old key of the epoch before."""
    world = SeatedWorld(5)
    old = world.find_index("plum")
    assert world.enact(seat(world, "plum", "plum/second")) == [DONE]
    world.begin_epoch()
    assert tell(world, accuse(world, "plum", epoch=0, index=old)) is None
    assert event(world)["removed"] is False
    assert (world.can_vote("plum"), world.ledger.suspects, world.ledger.epoch_row.next) == (True, (), None)
    world.check()


# ---------------------------------------------------------------------- how long it counts


def test_evidence_counts_in_its_epoch_and_the_next() -> None:
    """By the indices of its own epoch; one epoch later it is too old, and of an epoch to come it is none."""
    for epochs, code in ((0, None), (1, None), (2, Rejection.EVIDENCE_EPOCH)):
        world = SeatedWorld(6)
        index = world.find_index("plum")
        for step in range(epochs):
            assert world.enact(seat(world, "jade", f"jade/{step}")) == [DONE]
            world.begin_epoch()
        assert tell(world, accuse(world, "plum", epoch=0, index=index)) is code
        assert tell(world, accuse(world, "plum", epoch=epochs + 1, index=index)) is Rejection.EVIDENCE_EPOCH
        world.check()
        restart(world)


def test_evidence_of_a_later_epoch_is_signed_in_it() -> None:
    """The bytes of a vote name its epoch: signatures of the epoch before are none of this one."""
    world = SeatedWorld(6)
    assert world.enact(seat(world, "jade", "jade/second")) == [DONE]
    world.begin_epoch()
    now, before = (
        [sign_fact(world, "plum/validator", NOTARIZE, digest, epoch=epoch) for digest in (ONE, OTHER)]
        for epoch in (1, 0)
    )
    payload = Evidence(epoch=Epoch(1), index=world.find_index("plum"), first=before[0], second=before[1])
    assert tell(world, payload) is Rejection.EVIDENCE_UNSIGNED
    assert tell(world, msgspec.structs.replace(payload, first=now[0], second=now[1])) is None
    assert event(world)["epoch"] == 1
    world.check()


def test_the_index_is_of_the_epoch_of_the_evidence() -> None:
    """Whoever sits there now has signed nothing."""
    world = SeatedWorld(6)
    index = world.find_index("plum")
    assert world.enact(unseat(world, "plum")) == [DONE]
    world.begin_epoch()
    assert tell(world, accuse(world, "plum", epoch=1, index=index)) in (
        Rejection.EVIDENCE_UNSIGNED,
        Rejection.EVIDENCE_INDEX,
    )
    assert tell(world, accuse(world, "plum", epoch=0, index=index)) is None
    assert (event(world)["account"], event(world)["removed"]) == (world.account("plum").hex(), False)
    assert world.ledger.suspects == ()
    world.check()


# ---------------------------------------------------------------------- votes


def test_votes_of_a_convicted_one_count_no_more() -> None:
    """Its ayes on open proposals go at once; what the others agreed on among themselves may pass by that."""
    world = SeatedWorld(4)
    day = Day(world.today + 30)
    world.must("plum", Propose(action=PauseSet(families=1), effective_on=day))
    its_own = world.made("proposal", "plum")
    world.must("harbour", Vote(proposal=its_own, approve=True))
    world.must("jade", Propose(action=PauseSet(families=2), effective_on=day))
    others = world.made("proposal", "jade")
    world.must("v3", Vote(proposal=others, approve=True))
    assert tell(world, accuse(world, "plum")) is None
    world.check()
    row = read_proposal(world, its_own)
    assert (row.state, row.approved) == (OPEN, (world.account("harbour"),))
    assert read_proposal(world, others).state is PASSED
    assert world.do("plum", Vote(proposal=its_own, approve=True)).rejection is Rejection.ROLE_MISSING
    restart(world)


def test_conviction_after_freezes_leaves_a_network_that_can_decide() -> None:
    """Seven, two frozen, two convicted: three are free of five, and all three must agree instead of four."""
    world = SeatedWorld(7)
    for name in ("jade", "plum"):
        assert world.enact(Freeze(account=world.account(name), frozen=True)) == [DONE]
    for name in ("v5", "v6"):
        assert tell(world, accuse(world, name)) is None
    world.check()
    assert count_votes(world.ledger.books) == (5, 3)
    assert not can_seats_decide(world.ledger.books, world.seats)
    assert world.enact(Freeze(account=world.account("jade"), frozen=False)) == [DONE]
    assert count_votes(world.ledger.books) == (5, 4)
    assert can_seats_decide(world.ledger.books, world.seats)
    world.check()
    restart(world)


def test_when_nobody_is_left_to_vote_what_is_open_lapses() -> None:
    """Both validators convicted: nothing more passes and nothing is rejected, the books go on, and laws hold."""
    world = SeatedWorld(2)
    proposals = []
    for who in world.names:
        world.must(who, Propose(action=PauseSet(families=1), effective_on=Day(world.today + 2)))
        proposals.append(world.made("proposal", who))
    for who in world.names:
        assert tell(world, accuse(world, who), "eye") is None
        world.check()
    assert [read_proposal(world, one).state for one in proposals] == [OPEN, PASSED]
    world.pass_days(2)
    world.check()
    assert [read_proposal(world, one).state for one in proposals] == [ProposalState.LAPSED, DONE]
    assert (len(world.seats), len(world.ledger.suspects)) == (2, 2)
