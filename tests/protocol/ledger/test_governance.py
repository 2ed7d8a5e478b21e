"""Validators propose and vote: what passes takes effect on its day, what cannot be carried out says why, and how."""

from itertools import permutations
from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import BlockDigest, BoxKey, Day, ModelId, ObjectId, PublicKey
from protocol.ledger.invariants import find_violations
from protocol.ledger.laws.governance import list_policies
from protocol.ledger.loans import load_loan
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.rules import Pause
from protocol.ledger.state import ACCOUNTS, EXPOSURES, GOVERNED, GOVERNED_KEY, KEYS, LOANS, MEMBERS, OFFERS, QUEUE
from protocol.ledger.voters import calculate_votes_needed
from protocol.limits import PROPOSALS_OPEN_MAX
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.governance import Freeze, ModelRetire, ModelSet, PauseSet, Propose, Vote
from protocol.transactions.lending import Accept
from protocol.transactions.money import Transfer
from protocol.validators import make_validator_set
from scoring.points import encode_model
from tests.protocol.ledger.votes import (
    change_policy,
    enact,
    find_reason,
    make_member,
    pass_proposal,
    propose,
    read_proposal,
    restart,
    vote,
)
from tests.protocol.ledger.world import CNY, MODEL, MODEL_ID, World, make_signer, refused

NOTHING = ObjectId(calculate_hash("nothing"))
PAUSE = PauseSet(families=int(Pause.MONEY))
OTHER_MODEL = msgspec.structs.replace(MODEL, name="other")
OTHER_ID = ModelId(OTHER_MODEL.id)


def text_of(model: Any) -> str:
    """A model as a proposal carries it."""
    return encode_model(model).decode("ascii")


@pytest.fixture
def world() -> World:
    """Three lenders that validate, two of them funded; Ann and Bob."""
    made = World()
    for lender in ("harbour", "jade"):
        made.found_lender(lender, attestations_min=1)
    for person in ("ann", "bob"):
        assert made.open_account(person).rejection is None
    return made


# ---------------------------------------------------------------------- votes


def test_votes_needed_are_the_quorum_of_consensus() -> None:
    """One formula, for every number of validators there may be."""
    for count in range(1, 33):
        keys = tuple(PublicKey(bytes([index]) * 32) for index in range(count))
        assert calculate_votes_needed(count) == make_validator_set(keys, BlockDigest(bytes(32))).quorum


def test_a_majority_passes_and_takes_effect_at_the_start_of_its_day(world: World) -> None:
    """Two of three: passed at the second vote, in force from the first block of the day, not before."""
    proposal = propose(world, PAUSE, days=3)
    assert read_proposal(world, proposal).state is ProposalState.OPEN
    vote(world, "jade", proposal)
    assert read_proposal(world, proposal).state is ProposalState.PASSED
    world.pass_days(2)
    assert world.ledger.books.paused == 0
    world.pass_days(1)
    assert world.ledger.books.paused == Pause.MONEY
    assert read_proposal(world, proposal).state is ProposalState.DONE
    assert [one.kind for one in world.events if proposal in one.subjects] == [
        "proposal_opened",
        "proposal_voted",
        "proposal_passed",
        "proposal_done",
    ]
    assert find_violations(world.ledger) == {}
    assert restart(world).books.paused == Pause.MONEY


def test_enough_noes_reject_at_once_and_leave_nothing_in_the_queue(world: World) -> None:
    """Of three, two noes make two ayes impossible."""
    proposal = propose(world, PAUSE)
    vote(world, "jade", proposal, approve=False)
    assert read_proposal(world, proposal).state is ProposalState.OPEN
    vote(world, "plum", proposal, approve=False)
    assert read_proposal(world, proposal).state is ProposalState.REJECTED
    assert world.ledger.books.state.count(QUEUE) == 0
    world.pass_days(2)
    assert world.ledger.books.paused == 0
    assert find_violations(world.ledger) == {}


def test_too_few_votes_by_its_day_lapse(world: World) -> None:
    """Silence is no consent."""
    proposal = propose(world, PAUSE)
    world.pass_days(1)
    assert read_proposal(world, proposal).state is ProposalState.LAPSED
    assert find_reason(world, proposal) == "votes_short"
    assert find_violations(world.ledger) == {}


def test_propose_refuses_in_order(world: World) -> None:
    """Role, then too many, then an action that cannot be, then a day that cannot be: the first is named."""
    day = Day(world.today + 1)
    wrong = ModelRetire(model=NOTHING)
    for who in ("agent", "ann", "harbour/attester"):
        assert refused(world, who, Propose(action=PAUSE, effective_on=day)) is Rejection.ROLE_MISSING
    for _ in range(PROPOSALS_OPEN_MAX):
        propose(world, PAUSE, days=9)
    far = Day(world.today)
    assert refused(world, "harbour", Propose(action=wrong, effective_on=far)) is Rejection.PROPOSALS_TOO_MANY
    assert refused(world, "jade", Propose(action=wrong, effective_on=far)) is Rejection.ACTION_INVALID
    for days, code in (
        (0, Rejection.EFFECTIVE_DAY_INVALID),
        (366, Rejection.EFFECTIVE_DAY_INVALID),
        (1, None),
        (365, None),
    ):
        assert refused(world, "jade", Propose(action=PAUSE, effective_on=Day(world.today + days))) is code
    world.pass_days(9)
    assert refused(world, "harbour", Propose(action=PAUSE, effective_on=Day(world.today + 1))) is None


def test_one_that_passed_takes_no_place_among_the_open(world: World) -> None:
    """The limit is against forgotten proposals, not against those that wait for their day."""
    for _ in range(PROPOSALS_OPEN_MAX):
        pass_proposal(world, PAUSE, days=9)
    assert refused(world, "harbour", Propose(action=PAUSE, effective_on=Day(world.today + 1))) is None


def test_vote_refuses_in_order(world: World) -> None:
    """Role, then what is voted on, then whether it is open, then whether one has voted."""
    assert refused(world, "agent", Vote(proposal=NOTHING, approve=True)) is Rejection.ROLE_MISSING
    assert refused(world, "jade", Vote(proposal=NOTHING, approve=True)) is Rejection.PROPOSAL_UNKNOWN
    proposal = propose(world, PAUSE)
    assert refused(world, "harbour", Vote(proposal=proposal, approve=False)) is Rejection.VOTED_ALREADY
    assert refused(world, "jade/attester", Vote(proposal=proposal, approve=True)) is Rejection.ROLE_MISSING
    assert refused(world, "jade", Vote(proposal=proposal, approve=True)) is None
    for who in ("plum", "jade"):
        assert refused(world, who, Vote(proposal=proposal, approve=False)) is Rejection.PROPOSAL_CLOSED
    world.pass_days(1)
    assert refused(world, "plum", Vote(proposal=proposal, approve=False)) is Rejection.PROPOSAL_CLOSED


def test_a_vote_after_its_day_has_begun_comes_too_late(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its own event may wait behind others, no vote counts from the first instant of its day."""
    proposal = propose(world, PAUSE)
    monkeypatch.setattr("protocol.ledger.execute.DAY_EVENTS_PER_BLOCK_MAX", 0)
    world.pass_days(1)
    assert read_proposal(world, proposal).state is ProposalState.OPEN
    assert world.do("jade", Vote(proposal=proposal, approve=True)).rejection is Rejection.PROPOSAL_CLOSED
    monkeypatch.undo()
    world.block()
    assert find_reason(world, proposal) == "votes_short"


def test_several_of_one_day_happen_in_the_order_of_their_ids(world: World) -> None:
    """The queue's order decides which policy is the last; every node has the same."""
    caps = (1_400_000, 1_300_000, 1_200_000)
    made = {pass_proposal(world, change_policy(world, debt_cap=Amount(cap)), days=2): cap for cap in caps}
    world.pass_days(2)
    books = world.ledger.books
    assert books.policy_version == 4
    assert [one.debt_cap for one in list_policies(world.ledger)[1:]] == [made[one] for one in sorted(made)]
    assert books.policy.debt_cap == made[max(made)]
    assert find_violations(world.ledger) == {}
    assert restart(world).books.policy == books.policy


def test_the_order_of_votes_in_a_block_does_not_matter() -> None:
    """Whoever votes first, the same is decided."""
    ends = []
    for order in permutations((("jade", True), ("plum", True))):
        world = World()
        proposal = propose(world, PAUSE)
        world.block(*((world.transaction(who, Vote(proposal=proposal, approve=yes)), ()) for who, yes in order))
        world.pass_days(1)
        ends.append(read_proposal(world, proposal).state)
        assert find_violations(world.ledger) == {}
    assert ends == [ProposalState.DONE] * 2


# ---------------------------------------------------------------------- policy


@pytest.mark.parametrize(
    "fields",
    [
        {"debt_cap": Amount(0)},
        {"instalment_share_ppm": Ppm(0)},
        {"instalment_share_ppm": Ppm(1_000_001)},
        {"materiality": Amount(1_500_000)},
        {"late_cap_ppm": Ppm(359_999)},
        {"segment_caps": (Amount(0),)},
        {"segment_caps": (Amount(1_500_001),)},
        {"haircuts_ppm": (Ppm(20_000), Ppm(10_000), Ppm(300_000), Ppm(600_000), Ppm(1_000_000))},
    ],
)
def test_a_policy_that_contradicts_itself_is_no_proposal(world: World, fields: dict[str, Any]) -> None:
    """Limits in range, each for itself, may make no sense together."""
    payload = Propose(action=change_policy(world, **fields), effective_on=Day(world.today + 1))
    assert refused(world, "harbour", payload) is Rejection.ACTION_INVALID


def test_the_policy_in_force_changes_and_counts(world: World) -> None:
    """Version and figures follow the vote; the same once more changes nothing and lapses."""
    again = pass_proposal(world, change_policy(world, debt_cap=Amount(900_000)), days=2)
    assert enact(world, change_policy(world, debt_cap=Amount(900_000))) is ProposalState.DONE
    assert (world.ledger.books.policy.debt_cap, world.ledger.books.policy_version) == (900_000, 2)
    world.pass_days(1)
    assert find_reason(world, again) == "nothing_to_change"
    assert world.ledger.books.state.need(GOVERNED, GOVERNED_KEY).policy_version == 2
    assert find_violations(world.ledger) == {}


def test_back_to_the_old_policy_can_be_proposed_before_the_new_one_is_in_force(world: World) -> None:
    """What changes nothing today may change something on its day: a pause with its end, a policy for a season."""
    old = change_policy(world)
    pass_proposal(world, change_policy(world, lenders_max=1), days=1)
    pass_proposal(world, PAUSE, days=1)
    pass_proposal(world, old, days=3)
    pass_proposal(world, PauseSet(families=0), days=3)
    world.pass_days(2)
    assert (world.ledger.books.policy.lenders_max, world.ledger.books.paused) == (1, Pause.MONEY)
    world.pass_days(1)
    assert (world.ledger.books.policy, world.ledger.books.paused) == (world.genesis.policy, 0)
    assert world.ledger.books.policy_version == 3
    assert find_violations(world.ledger) == {}


def test_a_running_loan_keeps_its_terms_under_another_policy() -> None:
    """Two worlds, one of which votes for a stricter policy: the late loan is the same to the last figure."""
    rows = []
    for strict in (False, True):
        world = World()
        world.found_lender("harbour", attestations_min=1)
        world.open_account("ann")
        loan = world.borrow("ann", amount=120_000)
        world.mint("ann", 50_000, "first")
        # All but 90 of the first instalment: below the materiality of 100 that was disclosed.
        world.pass_days(7)
        world.pay("ann", loan, load_loan(world.ledger.books, loan)[1].rows[0].unpaid - 90)
        tight = change_policy(
            world,
            materiality=Amount(0),
            cost_cap_ppm=Ppm(1),
            late_cap_ppm=Ppm(0),
            apr_cap_ppm=Ppm(0),
            cooling_off_days=0,
            debt_cap=Amount(1_000),
        )
        action = tight if strict else change_policy(world, accepts_per_day_max=9)
        assert enact(world, action) is ProposalState.DONE
        world.pass_days(4)
        assert find_violations(world.ledger) == {}
        rows.append(world.ledger.books.state.need(LOANS, loan))
        assert rows[-1].days_past_due_max == 0
        world.pass_days(20)
        assert world.pay("ann", loan, 20_000).rejection is None
        assert find_violations(world.ledger) == {}
        restart(world)
        rows.append(world.ledger.books.state.need(LOANS, loan))
        assert rows[-1].days_past_due_max > 0
    assert rows[:2] == rows[2:]


def test_what_is_asked_for_after_the_vote_obeys_the_new_policy(world: World) -> None:
    """The lower cap stops the next loan, not the one that runs above it."""
    loan = world.borrow("ann", amount=800_000)
    assert enact(world, change_policy(world, debt_cap=Amount(500_000))) is ProposalState.DONE
    assert world.ledger.books.state.need(LOANS, loan).principal_out == 800_000
    offers = world.offer("ann", amount=20_000)
    assert world.accept("ann", offers[0]).rejection is Rejection.CAP_DEBT
    assert world.ledger.books.state.need(OFFERS, offers[0]).disclosure.policy_version == 2
    assert find_violations(world.ledger) == {}


def test_an_offer_that_stands_is_held_to_the_caps_of_the_day_it_is_taken(world: World) -> None:
    """A vote between offer and acceptance counts: the cap is the network's, not the offer's."""
    (offer, *_) = world.offer("ann", amount=800_000)
    assert enact(world, change_policy(world, debt_cap=Amount(500_000))) is ProposalState.DONE
    assert world.accept("ann", offer).rejection is Rejection.CAP_DEBT
    assert find_violations(world.ledger) == {}


# ---------------------------------------------------------------------- models


def test_models_are_registered_retired_and_taken_back(world: World) -> None:
    """New products and applications follow; what was asked for before may still be decided."""
    assert enact(world, ModelSet(text=text_of(OTHER_MODEL))) is ProposalState.DONE
    books = world.ledger.books
    assert books.can_score(OTHER_ID)
    assert books.models[OTHER_ID] == OTHER_MODEL
    application = world.apply("ann", amount=20_000)
    assert enact(world, ModelRetire(model=ObjectId(MODEL_ID))) is ProposalState.DONE
    decided = world.attest(application, "ann")
    assert world.accept("ann", next(one.offer for one in decided if one.offer is not None)).rejection is None
    data, consent = world.anchor("bob")
    asked = world.application("bob", data, consent, amount=20_000)
    sidecars = (world.sidecar("bob"),)
    assert refused(world, "bob", asked, sidecars=sidecars) is Rejection.MODEL_UNKNOWN
    pool = world.made("pool", "harbour", 0)
    assert refused(world, "harbour", world.product(pool)) is Rejection.MODEL_UNKNOWN
    again = restart(world).books
    assert (again.can_score(MODEL_ID), again.can_score(OTHER_ID)) == (False, True)
    assert enact(world, ModelSet(text=text_of(MODEL))) is ProposalState.DONE
    asked = world.application("bob", data, consent, amount=20_000)
    assert refused(world, "bob", asked, sidecars=sidecars) is None


@pytest.mark.parametrize(
    "action",
    [
        ModelSet(text="{}"),
        ModelSet(text="a model in words: \u00e9"),
        ModelSet(text=text_of(MODEL) + " "),
        ModelSet(text=text_of(msgspec.structs.replace(MODEL, currency="USD"))),
        ModelRetire(model=NOTHING),
    ],
)
def test_a_model_that_cannot_be_used_is_no_proposal(world: World, action: Any) -> None:
    """Not a model, not in canonical form, of foreign money, or not there."""
    assert (
        refused(world, "harbour", Propose(action=action, effective_on=Day(world.today + 1))) is Rejection.ACTION_INVALID
    )


def test_the_last_model_can_be_retired_and_lending_waits_for_another(world: World) -> None:
    """A model that does harm must not stay for want of a better one; who owes still pays."""
    loan = world.borrow("ann", amount=20_000)
    assert enact(world, ModelRetire(model=ObjectId(MODEL_ID))) is ProposalState.DONE
    assert enact(world, ModelRetire(model=ObjectId(MODEL_ID))) is ProposalState.LAPSED
    assert world.pay("ann", loan, 5_000).rejection is None
    assert find_violations(world.ledger) == {}


# ---------------------------------------------------------------------- members


def test_an_organisation_is_admitted_and_lends(world: World) -> None:
    """Rows like a member's of the genesis; its officers and its attester sign from the first block of the day."""
    assert enact(world, make_member("peony", int(Role.LENDER))) is ProposalState.DONE
    state, account = world.ledger.books.state, world.account("peony")
    row = state.need(ACCOUNTS, account)
    assert (row.roles, row.opened_ms, row.frozen) == (Role.LENDER, world.ledger.time_ms, False)
    assert state.need(EXPOSURES, row.subject_tag).account == account
    assert state.need(MEMBERS, account).name == "peony"
    assert state.need(KEYS, make_signer("peony/attester").public_key).attester
    world.found_lender("peony", attestations_min=1)
    application = world.apply("ann", amount=20_000)
    granted = world.do(
        "peony/attester",
        world.attestation("peony", application, world.sidecar("ann").calculate_commitment()),
    )
    assert granted.rejection is Rejection.ATTESTER_NOT_GRANTED
    assert refused(world, "peony", Propose(action=PAUSE, effective_on=Day(world.today + 1))) is Rejection.ROLE_MISSING
    restart(world)


def test_a_member_is_changed_and_keeps_its_vote(world: World) -> None:
    """Name, roles and attester key follow; whether it validates does not, and its own sealing key is its own."""
    new_key = make_signer("jade/attester2").public_key
    action = make_member(
        "jade", int(Role.LENDER | Role.ISSUER), name="Jade Bank", attester_key=new_key, enc_key=BoxKey(bytes(32))
    )
    assert enact(world, action) is ProposalState.DONE
    state, account = world.ledger.books.state, world.account("jade")
    row, member = state.need(ACCOUNTS, account), state.need(MEMBERS, account)
    assert row.roles == Role.LENDER | Role.ISSUER | Role.VALIDATOR
    assert row.enc_key == calculate_hash("box", b"jade")
    assert (member.name, member.attester_key, member.admitted_ms) == ("Jade Bank", new_key, world.genesis.time_ms)
    application = world.apply("ann", amount=20_000)
    body = world.attestation("jade", application, world.sidecar("ann").calculate_commitment())
    assert world.do("jade/attester", body).rejection is Rejection.ACCOUNT_UNKNOWN
    assert refused(world, "jade/attester2", body) is None
    vote(world, "jade", propose(world, PAUSE))
    restart(world)


def test_suspending_a_member_stops_new_business_and_nothing_that_was_made(world: World) -> None:
    """No product answers, no standing offer can be taken, no pool is opened; its loans are paid, its money is there."""
    world.mint("ann", 10_000, "first")
    loan = world.borrow("ann", amount=20_000)
    lender = world.ledger.books.state.need(LOANS, loan).holdings[0].pool
    offers = world.offer("bob", amount=20_000)
    for name in ("harbour", "jade"):
        assert enact(world, make_member(name, 0)) is ProposalState.DONE
    assert world.ledger.books.state.need(ACCOUNTS, world.account("jade")).roles == Role.VALIDATOR
    for offer in offers:
        told = world.ledger.books.state.need(OFFERS, offer)
        assert refused(world, "bob", Accept(offer=offer, terms_hash=told.terms_hash)) is Rejection.LENDER_UNFIT
    assert world.offer("ann", amount=20_000) == []
    assert refused(world, "harbour", world.product(ObjectId(lender))) is Rejection.ROLE_MISSING
    assert world.pay("ann", loan, 10_000).rejection is None
    transfer = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(1), memo_commit=NOTHING)
    assert refused(world, "harbour", transfer) is Rejection.FUNDS_SHORT
    assert enact(world, make_member("jade", int(Role.LENDER))) is ProposalState.DONE
    assert len(world.offer("ann", amount=20_000)) == 1


def test_a_member_that_lost_its_officer_key_gets_another_by_vote(world: World) -> None:
    """The account stays; the old key speaks for nobody, the new one votes and lends."""
    key, box = make_signer("jade/second").public_key, BoxKey(calculate_hash("box", b"second"))
    action = make_member("jade", int(Role.LENDER), new_officer_key=key, enc_key=box)
    assert enact(world, action) is ProposalState.DONE
    row = world.ledger.books.state.need(ACCOUNTS, world.account("jade"))
    assert (row.key, row.enc_key) == (key, box)
    proposal = propose(world, PAUSE)
    assert world.do("jade", Vote(proposal=proposal, approve=True)).rejection is Rejection.ACCOUNT_UNKNOWN
    vote(world, "jade/second", proposal)
    assert world.account("jade") in read_proposal(world, proposal).approved
    restart(world)


@pytest.mark.parametrize(
    ("who", "roles", "fields"),
    [
        ("peony", 0, {}),
        ("peony", int(Role.LENDER | Role.VALIDATOR), {}),
        ("jade", int(Role.VALIDATOR), {}),
        ("peony", int(Role.LENDER), {"name": "jade"}),
        ("peony", int(Role.LENDER), {"officer_key": make_signer("ann").public_key}),
        ("peony", int(Role.LENDER), {"officer_key": make_signer("jade/node").public_key}),
        ("peony", int(Role.LENDER), {"officer_key": make_signer("jade/attester").public_key}),
        ("peony", int(Role.LENDER), {"attester_key": make_signer("jade/attester").public_key}),
        ("peony", int(Role.LENDER), {"attester_key": make_signer("jade/validator").public_key}),
        ("peony", int(Role.LENDER), {"attester_key": make_signer("peony").public_key}),
        ("peony", int(Role.LENDER), {"enc_key": BoxKey(calculate_hash("box", b"jade"))}),
        ("peony", int(Role.LENDER), {"new_officer_key": make_signer("peony/second").public_key}),
        ("jade", int(Role.LENDER), {"new_officer_key": make_signer("plum").public_key}),
        ("jade", int(Role.LENDER), {"attester_key": make_signer("ann").public_key}),
    ],
)
def test_a_member_that_cannot_be_is_no_proposal(world: World, who: str, roles: int, fields: dict[str, Any]) -> None:
    """No role, the vote of consensus, a name or a key that another has, a key twice."""
    payload = Propose(action=make_member(who, roles, **fields), effective_on=Day(world.today + 1))
    assert refused(world, "harbour", payload) is Rejection.ACTION_INVALID


def test_what_an_action_rested_on_may_be_gone_by_its_day(world: World) -> None:
    """Of two with one name the second lapses; so does one whose key opened an account meanwhile, and says so."""
    first = pass_proposal(world, make_member("peony", int(Role.LENDER)), days=2)
    second = pass_proposal(world, make_member("iris", int(Role.LENDER), name="peony"), days=2)
    third = pass_proposal(world, make_member("lotus", int(Role.LENDER)), days=2)
    assert world.open_account("lotus").rejection is None
    world.pass_days(2)
    states = [read_proposal(world, one).state for one in (first, second, third)]
    assert sorted(states[:2]) == [ProposalState.DONE, ProposalState.LAPSED]
    assert states[2] is ProposalState.LAPSED
    assert find_reason(world, third) == "key_taken"
    assert find_reason(world, first if states[0] is ProposalState.LAPSED else second) == "name_taken"
    assert find_violations(world.ledger) == {}


# ---------------------------------------------------------------------- freezes


def test_members_are_frozen_and_freed_by_vote_alone(world: World) -> None:
    """A frozen lender signs nothing, its attester neither; its standing offers cannot be taken."""
    offers = world.offer("bob", amount=20_000)
    assert enact(world, Freeze(account=world.account("jade"), frozen=True)) is ProposalState.DONE
    assert refused(world, "jade", Vote(proposal=NOTHING, approve=True)) is Rejection.ACCOUNT_FROZEN
    told = [world.ledger.books.state.need(OFFERS, one).disclosure.lender for one in offers]
    frozen, free = offers[told.index(world.account("jade"))], offers[told.index(world.account("harbour"))]
    assert world.accept("bob", frozen).rejection is Rejection.LENDER_UNFIT
    assert world.accept("bob", free).rejection is None
    proposal = propose(world, Freeze(account=world.account("jade"), frozen=False))
    vote(world, "plum", proposal)
    world.pass_days(1)
    assert not world.ledger.books.state.need(ACCOUNTS, world.account("jade")).frozen
    assert find_violations(world.ledger) == {}


def test_never_so_many_are_frozen_that_no_vote_could_free_them(world: World) -> None:
    """Of three, two must be able to vote: a second freeze is no proposal, and lapses where both were proposed."""
    both = [pass_proposal(world, Freeze(account=world.account(one), frozen=True)) for one in ("plum", "jade")]
    world.pass_days(1)
    states = [read_proposal(world, one).state for one in both]
    assert sorted(states) == [ProposalState.DONE, ProposalState.LAPSED]
    assert find_reason(world, both[states.index(ProposalState.LAPSED)]) == "voters_too_few"
    payload = Propose(action=Freeze(account=world.account("harbour"), frozen=True), effective_on=Day(world.today + 1))
    assert refused(world, "harbour", payload) is Rejection.ACTION_INVALID
    nobody = Freeze(account=world.account("nobody"), frozen=True)
    payload = Propose(action=nobody, effective_on=Day(world.today + 1))
    assert refused(world, "harbour", payload) is Rejection.ACTION_INVALID
