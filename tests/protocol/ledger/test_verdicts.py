"""A false attestation, shown and voted on: struck, refused from then on, penalised; another key begins anew."""

from typing import Any

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import AccountId, BoxKey, ModelId, ObjectId
from protocol.ledger.actions import find_action_fault
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import read_cash
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.state import APPLICATIONS, OFFERS, POOLS, VERDICTS
from protocol.ledger.verdicts import is_convicted, is_struck
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.governance import AttesterConvict, MemberSet
from protocol.transactions.pools import CoverDeposit
from tests.protocol.ledger.votes import enact, find_reason, pass_proposal, read_proposal
from tests.protocol.ledger.world import CNY, LENDERS, MODEL_ID, World, make_signer


def make_world(*lenders: str, **policy: Any) -> World:
    """Lenders that lend on two equal words, and Ann."""
    world = World(**policy)
    for lender in lenders or ("harbour", "jade"):
        world.found_lender(lender)
    assert world.open_account("ann").rejection is None
    return world


def convict(world: World, about: ObjectId, **changes: Any) -> AttesterConvict:
    """Jade is said to have lied about an application, as harbour showed."""
    plain = {
        "attester": world.account("jade"),
        "application": about,
        "model": MODEL_ID,
        "evidence": calculate_hash("evidence"),
        "reporter": world.account("harbour"),
    }
    return AttesterConvict(**{**plain, **changes})


def try_attest(world: World, who: str, application: ObjectId) -> Rejection | None:
    """What the books say of one more attestation."""
    commitment = world.sidecar("ann").calculate_commitment()
    return world.do(f"{who}/attester", world.attestation(who, application, commitment)).rejection


def list_struck(world: World, application: ObjectId) -> dict[str, bool]:
    """Who attested, and whether it counts no more."""
    books = world.ledger.books
    names = {world.account(one): one for one in LENDERS}
    said = books.state.need(APPLICATIONS, application).attestations
    return {names[AccountId(one.attester)]: is_struck(books, one) for one in said}


def test_a_conviction_strikes_suspends_and_is_told() -> None:
    """The word counts no more, another is refused, and nothing is decided on the one that is left."""
    world = make_world()
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("harbour", "jade"))
    assert enact(world, convict(world, application)) is ProposalState.DONE
    assert list_struck(world, application) == {"harbour": False, "jade": True}
    assert is_convicted(world.ledger.books, world.account("jade"))
    (event,) = [one for one in world.events if one.kind == "attester_convicted"]
    assert event.data["penalty"] == 0
    again = world.apply("ann")
    assert try_attest(world, "harbour", again) is None
    assert try_attest(world, "jade", again) is Rejection.ATTESTER_CONVICTED
    told = [one for one in world.events if one.kind == "application_decided" and again in one.subjects]
    assert told == []


def test_an_offer_that_stood_on_the_word_cannot_be_taken() -> None:
    """Two words were needed and one is struck: neither lender's offer can be taken any more."""
    world = make_world()
    application = world.apply("ann")
    decided = world.attest(application, "ann", lenders=("harbour", "jade"))
    offers = [one.offer for one in decided if one.offer is not None]
    assert len(offers) == 2
    enact(world, convict(world, application))
    assert [world.accept("ann", offer).rejection for offer in offers] == [Rejection.ATTESTATION_MISSING] * 2


def test_an_offer_that_has_words_enough_without_it_can_be_taken() -> None:
    """Of three equal words two were needed. Jade's own offer needs jade's; plum's does not."""
    world = make_world(*LENDERS)
    application = world.apply("ann")
    decided = world.attest(application, "ann", lenders=("jade", "harbour", "plum"))
    offers = {one.lender: one.offer for one in decided if one.offer is not None}
    enact(world, convict(world, application))
    state = world.ledger.books.state
    assert {state.need(OFFERS, one).state.name for one in offers.values()} == {"POSTED"}
    assert world.accept("ann", offers[world.account("jade")]).rejection is Rejection.ATTESTATION_MISSING
    assert world.accept("ann", offers[world.account("plum")]).rejection is None


@pytest.mark.parametrize(("penalty", "cash", "cover"), [(0, 705, 300), (600, 105, 300), (800, 0, 205), (9_999, 0, 0)])
def test_the_penalty_is_cash_then_cover_and_goes_to_the_reporter(penalty: int, cash: int, cover: int) -> None:
    """As far as both go; the books balance, and the verdict says how much it was."""
    world = make_world(attestation_penalty=Amount(penalty))
    state = world.ledger.books.state
    pool = next(ObjectId(key) for key, row in state.items(POOLS) if row.owner == world.account("jade"))
    world.mint("jade", 1_005)
    world.must("jade", CoverDeposit(pool=pool, amount=Amount(300)))
    before = read_cash(state, world.account("harbour"), CNY)
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("jade",))
    enact(world, convict(world, application))
    assert read_cash(state, world.account("jade"), CNY) == cash
    assert state.need(POOLS, pool).cover == cover
    taken = 1_005 - cash - cover
    assert read_cash(state, world.account("harbour"), CNY) == before + taken
    assert state.need(VERDICTS, world.account("jade")).penalty == taken == min(penalty, 1_005)
    assert find_violations(world.ledger) == {}


def test_another_attester_key_given_by_vote_ends_it() -> None:
    """The key is convicted, not the organisation for ever; what was struck stays struck."""
    world = make_world()
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("jade",))
    enact(world, convict(world, application))
    fresh = MemberSet(
        name="jade",
        officer_key=make_signer("jade").public_key,
        enc_key=BoxKey(calculate_hash("box", b"jade")),
        attester_key=make_signer("jade/attester-2").public_key,
        roles=int(Role.LENDER),
    )
    assert enact(world, fresh) is ProposalState.DONE
    assert not is_convicted(world.ledger.books, world.account("jade"))
    again = world.apply("ann")
    commitment = world.sidecar("ann").calculate_commitment()
    assert world.do("jade/attester-2", world.attestation("jade", again, commitment)).rejection is None
    assert list_struck(world, application) == {"jade": True}
    assert list_struck(world, again) == {"jade": False}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attester": b"x" * 32}, "member_unknown"),
        ({"application": ObjectId(b"x" * 32)}, "attestation_unknown"),
        ({"model": ModelId(b"x" * 32)}, "attestation_unknown"),
        ({"reporter": b"x" * 32}, "reporter_unfit"),
        ({}, None),
    ],
)
def test_a_conviction_names_an_attestation_and_another_member_that_showed_it(
    changes: dict[str, Any], reason: str | None
) -> None:
    """What cannot be found cannot be voted on, and nobody reports itself."""
    world = make_world()
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("jade",))
    assert find_action_fault(world.ledger.books, convict(world, application, **changes)) == reason
    own = convict(world, application, reporter=world.account("jade"))
    assert find_action_fault(world.ledger.books, own) == "reporter_unfit"


def test_a_second_conviction_of_one_key_lapses() -> None:
    """Nothing is left to do on its day."""
    world = make_world()
    application = world.apply("ann")
    world.attest(application, "ann", lenders=("jade",))
    both = [pass_proposal(world, convict(world, application)) for _ in range(2)]
    world.pass_days(1)
    states = {read_proposal(world, one).state: one for one in both}
    assert set(states) == {ProposalState.DONE, ProposalState.LAPSED}
    assert find_reason(world, states[ProposalState.LAPSED]) == "nothing_to_change"
