"""What would make one transaction slow has a limit, and reaching it is a refusal."""

import pytest

from protocol.ledger import exposure, guarantees
from protocol.ledger.state import ACCOUNTS, EXPOSURES, OFFERS
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from tests.protocol.ledger.world import World, change, refused


def make_world() -> World:
    """Three lenders who may all lend to one, as often as wanted."""
    world = World(lenders_max=9, accepts_per_day_max=9)
    world.open_account("ann")
    for lender in ("harbour", "jade"):
        world.found_lender(lender)
    return world


def test_a_borrower_has_so_many_loans_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each open loan is brought to its day by the next acceptance, so a thousand small ones would stop a block."""
    world = make_world()
    loan = world.borrow("ann", amount=20_000)
    monkeypatch.setattr(exposure, "DEBTS_PER_SUBJECT_MAX", 1)
    offer = world.offer("ann", amount=20_000)[0]
    receipt = world.accept("ann", offer)
    assert receipt.rejection is Rejection.DEBTS_TOO_MANY
    lender = world.ledger.books.state.need(OFFERS, offer).disclosure.lender
    change(world, ACCOUNTS, lender, frozen=True)
    assert world.accept("ann", offer).rejection is Rejection.LENDER_UNFIT
    change(world, ACCOUNTS, lender, frozen=False)
    world.mint("ann", 20_000)
    world.pay("ann", loan, 30_000)
    assert world.accept("ann", offer).rejection is None


def test_a_guarantor_stands_in_for_so_many_loans_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guarantees that weigh nothing are bounded by no cap on debt, yet each is summed."""
    world = make_world()
    world.open_account("bob")
    monkeypatch.setattr(guarantees, "GUARANTEES_PER_SUBJECT_MAX", 0)
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application("ann", data, consent, sidecar=sidecar, guarantors=(world.account("bob"),))
    world.must("ann", payload, sidecars=(sidecar,))
    decided = world.attest(world.made("application", "ann"), "ann")
    offer = next(one.offer for one in decided if one.offer is not None)
    accept = Accept(offer=offer, terms_hash=world.ledger.books.state.need(OFFERS, offer).terms_hash)
    assert refused(world, "ann", accept, cosigners=("bob",)) is Rejection.DEBTS_TOO_MANY
    monkeypatch.setattr(guarantees, "GUARANTEES_PER_SUBJECT_MAX", 1)
    assert refused(world, "ann", accept, cosigners=("bob",)) is None
    tag = world.ledger.books.state.need(ACCOUNTS, world.account("bob")).subject_tag
    assert len(world.ledger.books.state.need(EXPOSURES, tag).guarantees) == 1
