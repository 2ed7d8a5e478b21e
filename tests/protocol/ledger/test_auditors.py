"""An auditor watches, attests with a key of its own what it is granted, and owes receipts as lenders do."""

from collections.abc import Iterator

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId, TimeMs
from protocol.ledger.erasure import list_missing
from protocol.ledger.invariants import find_violations
from protocol.ledger.rows import ProposalState, Role
from protocol.ledger.state import APPLICATIONS, CONSENTS, DATA, ERASURES
from protocol.rejections import Rejection
from protocol.transactions.data import ConsentGrant, ConsentRevoke, DataErase, ErasureReceipt, Purpose
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.votes import enact, make_member
from tests.protocol.ledger.world import DAY_MS, LENDERS, refused

R = Rejection
READERS = (*LENDERS, "eye")


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders with pools, and an observer without an attester key."""
    with lawful() as goods:
        yield goods


def register(world: Goods) -> None:
    """The members vote in an attester key for the observer."""
    assert enact(world, make_member("eye", int(Role.OBSERVER))) is ProposalState.DONE


def apply_for(world: Goods, readers: tuple[str, ...]) -> ObjectId:
    """An application of ann's on data that these may read."""
    data, consent = world.anchor("ann", readers)
    sidecar = world.sidecar("ann")
    world.must("ann", world.application("ann", data, consent, sidecar=sidecar), sidecars=(sidecar,))
    return world.made("application", "ann")


def list_missing_names(world: Goods, data: bytes) -> set[str]:
    """Whose receipt is owed."""
    names = {world.account(one): one for one in READERS}
    return {names[one] for one in list_missing(world.ledger.books.state.need(ERASURES, data))}


def test_an_auditor_attests_what_it_was_granted_and_its_word_counts(world: Goods) -> None:
    """Two equal words decide: the lender's own and the auditor's. Without a grant it has nothing to say."""
    register(world)
    commitment = world.sidecar("ann").calculate_commitment()
    kept = apply_for(world, LENDERS)
    refusal = refused(world, "eye/attester", world.attestation("eye", kept, commitment))
    assert refusal is R.ATTESTER_NOT_GRANTED
    application = apply_for(world, READERS)
    assert world.attest(application, "ann", lenders=("eye",)) == []
    again = refused(world, "eye/attester", world.attestation("eye", application, commitment))
    assert again is R.ATTESTED_ALREADY
    assert world.attest(application, "ann", lenders=("harbour",)) != []
    row = world.ledger.books.state.need(APPLICATIONS, application)
    assert [one.attester for one in row.attestations] == [world.account("eye"), world.account("harbour")]


def test_an_auditors_other_reading_is_told_as_dissent(world: Goods) -> None:
    """A lower cash flow than two lenders read blames the auditor, as it would a lender; the lower figure binds all."""
    register(world)
    application = apply_for(world, READERS)
    world.attest(application, "ann", lenders=LENDERS[:2])
    world.attest(application, "ann", lenders=("eye",), capacity30=100_000)
    told = [one for one in world.events if one.kind == "attestation_dissented"]
    assert [one.data["attester"] for one in told] == [world.account("eye").hex()]


def test_an_auditor_with_its_key_owes_a_receipt_and_gives_it_by_that_key(world: Goods) -> None:
    """Whether or not it was granted the statement: its node held the bins."""
    register(world)
    data, _ = world.anchor("ann")
    world.must("ann", DataErase(data=(data,)))
    assert list_missing_names(world, data) == set(READERS)
    assert refused(world, "eye/attester", ErasureReceipt(data=data, documents=0, sidecars=1)) is None
    assert list_missing_names(world, data) == set(LENDERS)


def test_an_observer_without_a_key_owes_one_for_what_it_was_granted_and_is_overdue_without_it(world: Goods) -> None:
    """Its officer signs. A consent that was withdrawn does not clear it: it may hold the statement all the same."""
    data, consent = world.anchor("ann", READERS)
    (other, _) = world.anchor("ann")
    world.must("ann", ConsentRevoke(consent=consent))
    world.must("ann", DataErase(data=(data, other)))
    assert list_missing_names(world, data) == set(READERS)
    assert list_missing_names(world, other) == set(LENDERS)
    for lender in LENDERS:
        assert refused(world, f"{lender}/attester", ErasureReceipt(data=data, documents=1, sidecars=1)) is None
    world.pass_days(7)
    (event,) = [one for one in world.events if one.kind == "erasure_overdue" and data in one.subjects]
    assert event.data["missing"] == [world.account("eye").hex()]
    assert refused(world, "eye", ErasureReceipt(data=data, documents=1, sidecars=1)) is None
    assert list_missing_names(world, data) == set()
    assert find_violations(world.ledger) == {}


def test_who_may_hold_data_stands_beside_it_once_each(world: Goods) -> None:
    """In the order of the grants, over several consents, for whatever purpose."""
    data, _ = world.anchor("ann", ("jade",))
    for readers in (("eye", "jade"), ("harbour",)):
        grant = ConsentGrant(
            grantees=tuple(world.account(one) for one in readers),
            data=(data,),
            purpose=Purpose.MONITOR,
            until_ms=TimeMs(world.now_ms + DAY_MS),
            text_hash=calculate_hash("text"),
        )
        world.must("ann", grant)
    state = world.ledger.books.state
    assert list(state.need(DATA, data).readers) == [world.account(one) for one in ("jade", "eye", "harbour")]
    assert sum(data in row.grant.data for _, row in state.items(CONSENTS)) == 3
