"""Erasure on the ledger: when an order falls due, what it keeps from happening, and who owes a receipt."""

from collections.abc import Iterator

import pytest

from protocol.ids import ObjectId
from protocol.ledger.erasure import list_missing
from protocol.ledger.erasurerows import Erasure
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, CONTRACTS, DATA, ERASURES, MEMBERS
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.data import DataErase, ErasureReceipt
from protocol.transactions.lending import ApplyWithdraw, LineClose
from protocol.transactions.products import LineKind
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.world import LENDERS, change, refused

R = Rejection
CLAIM_DAYS = 30


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders with pools."""
    with lawful() as goods:
        yield goods


def row(world: Goods, data: ObjectId) -> Erasure:
    """The order."""
    return world.ledger.books.state.need(ERASURES, data)


def last_kinds(world: Goods) -> list[str]:
    """Kinds of the events of the last block."""
    assert world.execution is not None
    return [event.kind for event in world.execution.events]


def data_of(world: Goods, loan: ObjectId) -> ObjectId:
    """What a loan rests on."""
    state = world.ledger.books.state
    application = state.need(CONTRACTS, loan).disclosure.application
    return ObjectId(world.ledger.books.state.need(APPLICATIONS, application).request.data[0])


def give(world: Goods, member: str, data: ObjectId) -> Rejection | None:
    """A member's receipt."""
    return refused(world, member, ErasureReceipt(data=data, documents=1, sidecars=1))


def test_what_nothing_rests_on_is_due_at_once_and_every_signing_node_owes_a_receipt(world: Goods) -> None:
    """The last receipt completes it, and nothing is overdue then."""
    data, _ = world.anchor("ann")
    assert refused(world, "ann", DataErase(data=(data,))) is None
    assert row(world, data).due_ms == world.now_ms
    assert last_kinds(world) == ["erasure_ordered", "erasure_due"]
    assert set(row(world, data).holders) == {world.account(one) for one in LENDERS}
    for member in LENDERS:
        assert row(world, data).wake_ms is not None
        assert give(world, f"{member}/attester", data) is None
        assert give(world, member, data) is R.ERASED_ALREADY
    assert list_missing(row(world, data)) == ()
    world.pass_days(9)
    assert not row(world, data).overdue
    assert row(world, data).wake_ms is None


def test_missing_receipts_are_overdue_and_may_still_come(world: Goods) -> None:
    """After the policy's seven days the event names who owes one, once."""
    data, _ = world.anchor("ann")
    world.must("ann", DataErase(data=(data,)))
    for member in LENDERS[1:]:
        assert give(world, member, data) is None
    world.pass_days(6)
    assert not row(world, data).overdue
    world.pass_days(1)
    assert row(world, data).overdue
    (event,) = [one for one in world.events if one.kind == "erasure_overdue"]
    assert event.data["missing"] == [world.account("harbour").hex()]
    world.pass_days(9)
    assert [one.kind for one in world.events].count("erasure_overdue") == 1
    assert give(world, "harbour/attester", data) is None
    assert list_missing(row(world, data)) == ()


def test_a_member_whose_node_does_not_sign_is_not_asked_but_may_say_so(world: Goods) -> None:
    """An observer's officer adds its word; a member without a node has nothing to say, nor has a borrower."""
    change(world, MEMBERS, world.account("court"), node_key=None)
    data, _ = world.anchor("ann")
    world.must("ann", DataErase(data=(data,)))
    assert give(world, "eye", data) is None
    assert give(world, "eye", data) is R.ERASED_ALREADY
    assert set(list_missing(row(world, data))) == {world.account(one) for one in LENDERS}
    assert give(world, "court", data) is R.ERASURE_NOT_YOURS
    assert give(world, "bob", data) is R.ERASURE_NOT_YOURS


def test_an_open_application_keeps_the_data_until_it_ends(world: Goods) -> None:
    """Attesters still confirm it; nothing new may rest on the data; withdrawing lets the order fall due."""
    application = world.apply("ann")
    data = world.ledger.books.state.need(APPLICATIONS, application).request.data[0]
    assert refused(world, "ann", DataErase(data=(data,))) is None
    assert row(world, data).due_ms is None
    assert give(world, "harbour", data) is R.ERASURE_WAITS
    assert world.attest(application, "ann", lenders=("harbour",)) == []
    consent = world.ledger.books.state.need(APPLICATIONS, application).request.consent
    again = world.application("ann", data, consent)
    assert refused(world, "ann", again, sidecars=(world.sidecar("ann"),)) is R.DATA_ERASED
    assert refused(world, "ann", ApplyWithdraw(application=application)) is None
    world.block()
    assert row(world, data).due_ms == world.now_ms
    assert world.ledger.books.state.need(DATA, data).claim_ms is None


def test_a_loan_keeps_it_until_it_is_closed_and_claims_are_over(world: Goods) -> None:
    """Due on the day after the last of the policy's days for claims, not an instant before."""
    loan = world.borrow("ann")
    data = data_of(world, loan)
    world.must("ann", DataErase(data=(data,)))
    world.pass_days(30)
    assert row(world, data).due_ms is None
    world.mint("ann", 3_000_000)
    assert world.pay("ann", loan, 2_000_000).rejection is None
    closed_ms = world.now_ms
    assert world.ledger.books.state.need(DATA, data).claim_ms == closed_ms
    world.block()
    assert row(world, data).wake_ms == closed_ms + CLAIM_DAYS * world.genesis.day_ms
    world.pass_days(CLAIM_DAYS - 1)
    assert row(world, data).due_ms is None
    world.pass_days(1)
    assert row(world, data).due_ms == world.now_ms
    assert find_violations(world.ledger) == {}


def test_claims_of_a_loan_that_was_closed_before_the_order_count_too(world: Goods) -> None:
    """The days run from the end of the loan, not from the order."""
    loan = world.borrow("ann")
    data = data_of(world, loan)
    world.mint("ann", 3_000_000)
    world.pay("ann", loan, 2_000_000)
    closed_ms = world.now_ms
    world.pass_days(10)
    world.must("ann", DataErase(data=(data,)))
    assert row(world, data).wake_ms == closed_ms + CLAIM_DAYS * world.genesis.day_ms
    world.pass_days(20)
    assert row(world, data).due_ms is not None


def test_a_receipt_of_fiat_can_be_reversed_before_the_data_goes() -> None:
    """Claims never end before a payment can no longer be taken back."""
    with lawful(claim_days=0, reversal_days=10) as world:
        loan = world.borrow("ann")
        data = data_of(world, loan)
        world.mint("ann", 3_000_000)
        world.pay("ann", loan, 2_000_000)
        world.must("ann", DataErase(data=(data,)))
        world.pass_days(9)
        assert row(world, data).due_ms is None
        world.pass_days(1)
        assert row(world, data).due_ms is not None


def test_a_line_keeps_it_while_something_can_be_drawn(world: Goods) -> None:
    """Though nothing is owed; given up, it leaves claims as a loan does."""
    terms = {"kind": LineKind(days=60, draw_min=Amount(10_000)), "origination_fee_ppm": Ppm(0)}
    offer = world.ask("ann", world.publish("harbour", **terms))
    assert world.take("ann", offer).rejection is None
    line = world.made("line", "ann")
    data = next(ObjectId(key) for key, one in world.ledger.books.state.items(DATA) if one.owner == world.account("ann"))
    world.must("ann", DataErase(data=(data,)))
    world.pass_days(2)
    assert row(world, data).due_ms is None
    world.must("ann", LineClose(line=line))
    world.pass_days(CLAIM_DAYS)
    assert row(world, data).due_ms is not None


def test_a_rectification_names_what_takes_its_place(world: Goods) -> None:
    """The successor is the owner's own, another one, and not erased itself."""
    first, _ = world.anchor("ann")
    second, _ = world.anchor("ann")
    foreign, _ = world.anchor("bob")
    for unfit in (first, foreign, ObjectId(bytes(32))):
        assert refused(world, "ann", DataErase(data=(first,), successor=unfit)) is R.SUCCESSOR_UNFIT
    assert refused(world, "ann", DataErase(data=(first, first))) is R.SUCCESSOR_UNFIT
    assert refused(world, "ann", DataErase(data=(first,), successor=second)) is None
    assert row(world, first).successor == second
    assert refused(world, "ann", DataErase(data=(second,), successor=first)) is R.SUCCESSOR_UNFIT
    assert refused(world, "ann", DataErase(data=(first,))) is R.DATA_ERASED


def test_who_is_frozen_may_still_have_it_erased(world: Goods) -> None:
    """A right that ends with an account's standing would be none."""
    data, _ = world.anchor("ann")
    change(world, ACCOUNTS, world.account("ann"), frozen=True)
    assert refused(world, "bob", DataErase(data=(data,))) is R.DATA_NOT_YOURS
    assert refused(world, "ann", DataErase(data=(data,))) is None
