"""Validators by vote: who is planned and when, who is fixed already, and the vote that follows from a seat."""

from typing import Any

import msgspec
import pytest

from protocol.ids import Day, Epoch, Signature
from protocol.ledger.actions import find_action_fault
from protocol.ledger.execute import Ledger, LedgerError
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.seatrows import list_keys
from protocol.ledger.state import ACCOUNTS, EPOCH, EPOCH_KEY, MEMBERS
from protocol.ledger.voters import count_votes
from protocol.limits import VALIDATORS_MAX
from protocol.rejections import Rejection
from protocol.transactions.accounts import KeyRotate
from protocol.transactions.governance import Action, Freeze, PauseSet, Propose, SeatSet, Vote
from protocol.validators import make_validator_set
from tests.protocol.ledger.seating import SeatedWorld, prove_seat, seat, unseat
from tests.protocol.ledger.votes import find_reason, make_member, read_proposal, restart
from tests.protocol.ledger.world import make_signer

DONE, LAPSED, OPEN = ProposalState.DONE, ProposalState.LAPSED, ProposalState.OPEN


def admit(world: SeatedWorld, name: str) -> None:
    """Make an organisation a member that has a node."""
    action = make_member(name, int(Role.LENDER), node_key=make_signer(f"{name}/node").public_key)
    assert world.enact(action) == [DONE]


def events(world: SeatedWorld, kind: str) -> list[Any]:
    """What readers were told of one kind, oldest first."""
    return [one.data for one in world.events if one.kind == kind]


def refuse(world: SeatedWorld, action: Action) -> Rejection | None:
    """Why it is no proposal."""
    return world.do("harbour", Propose(action=action, effective_on=Day(world.today + 1))).rejection


# ---------------------------------------------------------------------- the first epoch


def test_the_first_epoch_is_the_genesis() -> None:
    """Seats by key, as votes count them; nothing planned, nobody suspected, nobody before."""
    world = SeatedWorld(5)
    row = world.ledger.epoch_row
    assert list_keys(row.seats) == world.genesis.calculate_validator_keys()
    assert world.list_seated(row.seats) == sorted(world.names)
    assert (row.epoch, row.since, row.previous, row.next, row.next_at, row.queued) == (0, 0, (), None, 0, None)
    world.pass_days(1)
    assert world.execution is not None
    assert (world.execution.next_validators, world.execution.suspects) == ((), ())
    assert {one.name for one in world.ledger.list_nodes()} == {one.name for one in world.genesis.members}
    assert {one.validator_key for one in world.ledger.list_nodes()} == {None, *list_keys(row.seats)}


# ---------------------------------------------------------------------- plans


def test_a_member_is_seated_with_the_next_epoch() -> None:
    """Planned on its day, told with every execution, seated and voting from the first block of the epoch on."""
    world = SeatedWorld(4)
    action = seat(world, "eye", node_key=make_signer("eye/other-node").public_key)
    assert world.enact(action) == [DONE]
    planned_at = world.ledger.height
    wanted = tuple(sorted((*list_keys(world.seats), make_signer("eye/validator").public_key)))
    assert world.execution is not None
    assert world.execution.next_validators == world.ledger.next_validators == wanted
    assert (world.ledger.epoch_row.next_at, world.list_seated(world.seats)) == (planned_at, sorted(world.names))
    assert not world.can_vote("eye")
    told = {one.name: one for one in world.ledger.list_nodes()}["eye"]
    assert (told.node_key, told.validator_key) == (make_signer("eye/other-node").public_key, None)
    world.pass_days(1)
    world.begin_epoch()
    world.check()
    row = world.ledger.epoch_row
    assert (row.epoch, row.since, list_keys(row.seats)) == (1, world.ledger.height, wanted)
    assert (row.next, row.next_at, row.queued) == (None, 0, None)
    assert world.list_seated(row.previous) == sorted(world.names)
    assert world.execution.next_validators == ()
    assert world.can_vote("eye")
    world.must("eye", Propose(action=PauseSet(families=1), effective_on=Day(world.today + 1)))
    (planned,), (began,) = events(world, "validators_planned"), events(world, "epoch_began")
    assert (planned["epoch"], began["epoch"]) == (1, 1)
    assert [one["name"] for one in planned["seats"]] == [one["name"] for one in began["seats"]]
    assert "eye" in [one["name"] for one in began["seats"]]
    restart(world)


def test_a_member_loses_its_seat_and_its_vote_and_keeps_the_rest() -> None:
    """From the first block of the next epoch on, and not a block earlier."""
    world = SeatedWorld(4)
    assert world.enact(unseat(world, "jade")) == [DONE]
    assert world.can_vote("jade")
    world.begin_epoch()
    assert world.list_seated(world.seats) == ["harbour", "plum", "v3"]
    assert world.ledger.books.state.need(ACCOUNTS, world.account("jade")).roles == Role.LENDER
    payload = Propose(action=PauseSet(families=1), effective_on=Day(world.today + 1))
    assert world.do("jade", payload).rejection is Rejection.ROLE_MISSING
    restart(world)


def test_a_seat_gets_another_key() -> None:
    """The organisation keeps its seat and its vote; its old key has none from the next epoch on."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "plum", "plum/second")) == [DONE]
    world.begin_epoch()
    keys = list_keys(world.seats)
    assert make_signer("plum/second").public_key in keys
    assert make_signer("plum/validator").public_key not in keys
    assert (len(keys), world.can_vote("plum")) == (4, True)
    assert make_validator_set(keys, bytes(32)).keys == keys  # type: ignore[arg-type]
    restart(world)


def test_decisions_of_one_block_make_one_plan() -> None:
    """What nobody can have announced yet is not fixed: three seats change with one epoch."""
    world = SeatedWorld(5)
    assert world.enact(seat(world, "eye"), unseat(world, "v3"), seat(world, "jade", "jade/second")) == [DONE] * 3
    row = world.ledger.epoch_row
    assert world.list_seated(row.next) == ["eye", "harbour", "jade", "plum", "v4"]
    assert (row.next_at, row.queued) == (world.ledger.height, None)
    assert events(world, "validators_planned")[-1]["epoch"] == 1


def test_decisions_of_one_block_may_cancel_each_other() -> None:
    """A seat given and taken in one block leaves no plan."""
    world = SeatedWorld(4)
    proposals = [world.decide(one) for one in (seat(world, "eye"), unseat(world, "eye"))]
    world.pass_days(1)
    row = world.ledger.epoch_row
    done = [read_proposal(world, one).state for one in proposals]
    # Whichever came first: given and taken, or nothing to take and then given.
    assert sorted(done) in ([DONE, DONE], [DONE, LAPSED])
    assert world.list_seated(row.next) == (None if done == [DONE, DONE] else ["eye", "harbour", "jade", "plum", "v3"])
    world.check()


def test_what_is_decided_while_a_plan_is_fixed_waits_for_the_epoch_after() -> None:
    """The fixed plan never changes; queued decisions join, and become the plan when the next epoch begins."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "eye")) == [DONE]
    fixed = world.ledger.epoch_row.next
    assert world.enact(unseat(world, "jade")) == [DONE]
    assert world.enact(seat(world, "court")) == [DONE]
    row = world.ledger.epoch_row
    assert row.next == fixed
    assert world.list_seated(row.queued) == ["court", "eye", "harbour", "plum", "v3"]
    assert [one["epoch"] for one in events(world, "validators_planned")] == [1, 2, 2]
    restart(world)
    world.begin_epoch()
    row = world.ledger.epoch_row
    assert (row.seats, row.queued, row.next_at) == (fixed, None, world.ledger.height)
    assert world.list_seated(row.next) == ["court", "eye", "harbour", "plum", "v3"]
    assert world.execution is not None
    assert world.execution.next_validators == list_keys(row.next or ())
    world.begin_epoch()
    world.check()
    assert world.list_seated(world.seats) == ["court", "eye", "harbour", "plum", "v3"]
    assert (world.ledger.epoch_row.next, world.can_vote("jade"), world.can_vote("court")) == (None, False, True)
    restart(world)


def test_a_queue_that_comes_back_to_the_plan_is_none() -> None:
    """Queued and taken back: one epoch is enough."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "eye")) == [DONE]
    assert world.enact(seat(world, "court")) == [DONE]
    assert world.enact(unseat(world, "court")) == [DONE]
    assert world.ledger.epoch_row.queued is None
    world.begin_epoch()
    assert (world.ledger.epoch_row.next, world.ledger.next_validators) == (None, ())
    world.check()


def test_what_is_taken_back_after_it_was_fixed_comes_back_an_epoch_later() -> None:
    """A seat removed by mistake is there again in the epoch after the next."""
    world = SeatedWorld(4)
    assert world.enact(unseat(world, "jade")) == [DONE]
    assert world.enact(seat(world, "jade")) == [DONE]
    world.begin_epoch()
    assert not world.can_vote("jade")
    world.begin_epoch()
    assert (world.can_vote("jade"), world.list_seated(world.seats)) == (True, sorted(world.names))
    world.check()


def test_an_epoch_begins_only_when_it_was_planned_and_only_the_next_one() -> None:
    """A header that says otherwise was never finalised by honest validators: the ledger stops."""
    for epoch in (1, 2):
        world = SeatedWorld(4)
        with pytest.raises(AssertionError):
            world.block(epoch=epoch)
    world = SeatedWorld(4)
    assert world.enact(seat(world, "eye")) == [DONE]
    with pytest.raises(AssertionError):
        world.block(epoch=2)


# ---------------------------------------------------------------------- what cannot be


def test_a_seat_that_cannot_be_is_no_proposal() -> None:
    """A stranger, a key of somebody else or of another kind, no proof of it, no node."""
    world = SeatedWorld(4)
    world.open_account("ann")
    admit(world, "peony")
    assert world.enact(make_member("iris", int(Role.LENDER))) == [DONE]
    public = {name: make_signer(name).public_key for name in ("jade/validator", "jade/node", "ann", "eye/validator")}
    wrong = Signature(bytes(64))
    key = make_signer("eye/validator")
    faults = [
        (seat(world, "ann"), "member_unknown"),
        (seat(world, "eye", "jade/validator"), "key_taken"),
        (seat(world, "eye", "jade/node"), "key_taken"),
        (seat(world, "eye", "jade/attester"), "key_taken"),
        (seat(world, "eye", "ann"), "key_taken"),
        (seat(world, "eye", node_key=public["jade/node"]), "key_taken"),
        (seat(world, "eye", node_key=public["ann"]), "key_taken"),
        (seat(world, "eye", node_key=public["jade/validator"]), "key_taken"),
        (seat(world, "eye", node_key=public["eye/validator"]), "key_taken"),
        (seat(world, "iris"), "node_key_missing"),
        (seat(world, "eye", proof=None), "proof_invalid"),
        (seat(world, "eye", proof=wrong), "proof_invalid"),
        (seat(world, "eye", proof=prove_seat(world, "court", key)), "proof_invalid"),
        (seat(world, "eye", proof=prove_seat(world, "eye", make_signer("eye/node"))), "proof_invalid"),
        (SeatSet(account=world.account("jade"), validator_key=None, proof=wrong), "proof_invalid"),
        (
            SeatSet(account=world.account("jade"), validator_key=None, proof=None, node_key=public["eye/validator"]),
            "proof_invalid",
        ),
    ]
    for action, fault in faults:
        assert refuse(world, action) is Rejection.ACTION_INVALID, action
        assert find_action_fault(world.ledger.books, action) == fault, action
    assert refuse(world, seat(world, "iris", node_key=make_signer("iris/node").public_key)) is None


def test_a_key_is_seated_once() -> None:
    """Of two proposals with one key the second lapses on its day, and says why."""
    world = SeatedWorld(4)
    first, second = (world.decide(one) for one in (seat(world, "eye", "key"), seat(world, "court", "key")))
    world.pass_days(1)
    states = [read_proposal(world, one).state for one in (first, second)]
    assert sorted(states) == [DONE, LAPSED]
    assert find_reason(world, first if states[0] is LAPSED else second) == "key_taken"
    world.check()


def test_a_planned_key_is_nobody_elses() -> None:
    """Not of an account, an attester or a node either, from the moment it is planned."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "eye", node_key=make_signer("eye/new").public_key)) == [DONE]
    for name in ("eye/validator", "eye/new"):
        key = make_signer(name).public_key
        rotated = KeyRotate(new_key=key, enc_key=key)  # type: ignore[arg-type]
        assert world.do("court", rotated, cosigners=(name,)).rejection is Rejection.KEY_TAKEN
        member = make_member("peony", int(Role.LENDER), attester_key=key)
        payload = Propose(action=member, effective_on=Day(world.today + 1))
        assert world.do("harbour", payload).rejection is Rejection.ACTION_INVALID
        node = make_member("peony", int(Role.LENDER), node_key=key)
        payload = Propose(action=node, effective_on=Day(world.today + 1))
        assert world.do("harbour", payload).rejection is Rejection.ACTION_INVALID


def test_the_last_validator_stays() -> None:
    """Never below one: the only seat cannot be taken away, but can be given another key."""
    world = SeatedWorld(1)
    assert refuse(world, unseat(world, "harbour")) is Rejection.ACTION_INVALID
    assert find_action_fault(world.ledger.books, unseat(world, "harbour")) == "seats_out_of_range"
    assert refuse(world, seat(world, "harbour", "harbour/second")) is None


def test_there_are_never_more_validators_than_the_limit() -> None:
    """The thirty-third is no proposal."""
    world = SeatedWorld(VALIDATORS_MAX)
    assert refuse(world, seat(world, "eye")) is Rejection.ACTION_INVALID
    assert refuse(world, seat(world, "v9", "v9/second")) is None


def test_what_changes_nothing_lapses() -> None:
    """The seat as it is, or none for whom has none."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "jade"), unseat(world, "eye")) == [LAPSED, LAPSED]
    assert world.ledger.epoch_row.next is None
    assert {one["reason"] for one in events(world, "proposal_lapsed")} == {"nothing_to_change"}


def test_another_node_alone_needs_no_epoch() -> None:
    """Who may connect follows at once; the validators stay."""
    world = SeatedWorld(4)
    key = make_signer("jade/new-node").public_key
    assert world.enact(seat(world, "jade", node_key=key)) == [DONE]
    assert world.ledger.books.state.need(MEMBERS, world.account("jade")).node_key == key
    assert (world.ledger.epoch_row.next, events(world, "validators_planned")) == (None, [])
    told = {one.name: one.node_key for one in world.ledger.list_nodes()}
    assert told["jade"] == key


def test_an_observers_node_is_known_with_its_admission() -> None:
    """A new member that never validates connects too; without a node key it has no node."""
    world = SeatedWorld(4)
    admit(world, "peony")
    assert world.enact(make_member("iris", int(Role.OBSERVER))) == [DONE]
    names = {one.name: one.node_key for one in world.ledger.list_nodes()}
    assert (names["peony"], "iris" in names) == (make_signer("peony/node").public_key, False)
    changed = make_member("peony", int(Role.LENDER), node_key=make_signer("peony/moved").public_key)
    assert world.enact(changed) == [DONE]
    kept = make_member("peony", int(Role.LENDER | Role.OBSERVER))
    assert world.enact(kept) == [DONE]
    names = {one.name: one.node_key for one in world.ledger.list_nodes()}
    assert names["peony"] == make_signer("peony/moved").public_key
    assert world.enact(make_member("peony", int(Role.LENDER | Role.OBSERVER))) == [LAPSED]


# ---------------------------------------------------------------------- votes


@pytest.mark.parametrize(
    ("before", "after", "needed"), [(3, 2, (2, 2)), (4, 3, (3, 2)), (5, 4, (4, 3)), (7, 6, (5, 4))]
)
def test_votes_needed_follow_the_seats(before: int, after: int, needed: tuple[int, int]) -> None:
    """The quorum of consensus, of those who sit in this epoch."""
    world = SeatedWorld(before)
    assert count_votes(world.ledger.books) == (before, needed[0])
    assert world.enact(unseat(world, "plum")) == [DONE]
    assert count_votes(world.ledger.books) == (before, needed[0])
    world.begin_epoch()
    assert count_votes(world.ledger.books) == (after, needed[1])


def test_votes_of_who_left_count_no_more_and_what_is_open_is_counted_anew() -> None:
    """Of four, two ayes wait for a third. One of them leaves: one aye of two needed. The next decides."""
    world = SeatedWorld(4)
    assert world.enact(unseat(world, "jade")) == [DONE]
    day = Day(world.today + 30)
    world.must("harbour", Propose(action=PauseSet(families=1), effective_on=day))
    waiting = world.made("proposal", "harbour")
    world.must("jade", Vote(proposal=waiting, approve=True))
    world.must("jade", Propose(action=PauseSet(families=2), effective_on=day))
    orphan = world.made("proposal", "jade")
    world.must("v3", Propose(action=PauseSet(families=8), effective_on=day))
    refused = world.made("proposal", "v3")
    world.must("jade", Vote(proposal=refused, approve=False))
    world.must("plum", Propose(action=PauseSet(families=4), effective_on=day))
    passing = world.made("proposal", "plum")
    world.must("v3", Vote(proposal=passing, approve=True))
    assert all(read_proposal(world, one).state is OPEN for one in (waiting, orphan, passing))
    world.begin_epoch()
    world.check()
    assert read_proposal(world, waiting).approved == (world.account("harbour"),)
    assert read_proposal(world, orphan).approved == ()
    assert (read_proposal(world, refused).rejected, read_proposal(world, refused).state) == ((), OPEN)
    passed = read_proposal(world, passing)
    assert (passed.state, passed.voters, passed.needed) == (ProposalState.PASSED, 3, 2)
    assert world.do("jade", Vote(proposal=waiting, approve=True)).rejection is Rejection.ROLE_MISSING
    world.must("plum", Vote(proposal=waiting, approve=True))
    assert read_proposal(world, waiting).state is ProposalState.PASSED
    assert read_proposal(world, orphan).state is OPEN
    restart(world)


def test_what_was_rejected_by_who_stays_falls_when_fewer_are_left() -> None:
    """Two noes of seven leave five ayes possible; of five voters they leave three of four."""
    world = SeatedWorld(7)
    assert world.enact(unseat(world, "v5"), unseat(world, "v6")) == [DONE, DONE]
    world.must("harbour", Propose(action=PauseSet(families=1), effective_on=Day(world.today + 30)))
    proposal = world.made("proposal", "harbour")
    for no in ("jade", "plum"):
        world.must(no, Vote(proposal=proposal, approve=False))
    assert read_proposal(world, proposal).state is OPEN
    world.begin_epoch()
    world.check()
    row = read_proposal(world, proposal)
    assert (row.state, row.voters, row.needed) == (ProposalState.REJECTED, 5, 4)


def test_nobody_is_unseated_if_the_rest_could_never_decide() -> None:
    """Of seven with two frozen, one free one may leave; a second would leave three of four that are needed."""
    world = SeatedWorld(7)
    for name in ("jade", "plum"):
        assert world.enact(Freeze(account=world.account(name), frozen=True)) == [DONE]
    assert world.enact(unseat(world, "v6")) == [DONE]
    assert refuse(world, unseat(world, "v5")) is Rejection.ACTION_INVALID
    assert refuse(world, unseat(world, "jade")) is None
    assert refuse(world, Freeze(account=world.account("v5"), frozen=True)) is Rejection.ACTION_INVALID


def test_a_freeze_looks_at_the_seats_to_come_as_well() -> None:
    """Five of which one goes: of four planned three must stay free, so the second freeze is none."""
    world = SeatedWorld(7)
    assert world.enact(unseat(world, "v6"), unseat(world, "v5"), unseat(world, "v4")) == [DONE] * 3
    assert world.enact(Freeze(account=world.account("jade"), frozen=True)) == [DONE]
    plum = Freeze(account=world.account("plum"), frozen=True)
    assert refuse(world, plum) is Rejection.ACTION_INVALID
    leaving = Freeze(account=world.account("v4"), frozen=True)
    assert refuse(world, leaving) is None


# ---------------------------------------------------------------------- commitment


def test_saved_rows_restore_the_epoch_and_the_root_covers_it() -> None:
    """Another plan, another root; the same rows, the same books, and they go on alike."""
    world = SeatedWorld(4)
    assert world.enact(seat(world, "eye")) == [DONE]
    again = restart(world)
    assert again.epoch_row == world.ledger.epoch_row
    assert again.next_validators == world.ledger.next_validators
    rows = [
        (table, key, msgspec.msgpack.encode(msgspec.structs.replace(world.ledger.epoch_row, epoch=Epoch(7))))
        if (table, key) == (EPOCH.number, EPOCH_KEY)
        else (table, key, value)
        for table, key, value in world.ledger.rows()
    ]
    assert rows != list(world.ledger.rows())
    with pytest.raises(LedgerError):
        Ledger.from_rows(world.genesis, rows, height=world.ledger.height, exec_root=world.ledger.exec_root)
    header = world.header(epoch=1)
    roots = []
    for ledger in (world.ledger, again):
        ledger.begin_block(header)
        roots.append(ledger.end_block().exec_root)
    assert roots[0] == roots[1]
    assert world.ledger.epoch_row == again.epoch_row
    proof = again.prove(EPOCH.number, EPOCH_KEY)
    assert proof is not None
    assert proof.value == msgspec.msgpack.encode(again.epoch_row)


def test_an_epoch_costs_a_row_and_no_transaction_anything() -> None:
    """Blocks that change no validator leave the row alone."""
    world = SeatedWorld(4)
    world.open_account("ann")
    world.mint("ann", 5)
    assert world.execution is not None
    assert EPOCH.number not in {table for table, _, _ in world.execution.changes}
