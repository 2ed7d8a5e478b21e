"""Guarantors: they sign, the weight of it is debt of their own until the loan ends, and they may pay."""

from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId
from protocol.ledger.exposure import calculate_debt
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import read_cash
from protocol.ledger.rows import Exposure
from protocol.ledger.state import ACCOUNTS, CONTRACTS, EXPOSURES, KEYS, LOANS, OFFERS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import KeyRotate
from protocol.transactions.lending import Accept
from protocol.transactions.products import Segment
from protocol.transactions.servicing import LoanSettle, Pay, PaymentSource, SettleOutcome
from tests.protocol.ledger.world import CNY, World, change, make_signer, refused


class Pledge:
    """Ann asks for 800,000; the guarantors named stand in for her."""

    def __init__(self, *guarantors: str, amount: int = 800_000, **policy: Any) -> None:
        self.world = World(**policy)
        self.world.found_lender("harbour", attestations_min=1)
        for name in dict.fromkeys(("ann", *guarantors)):
            self.world.open_account(name)
        self.offer = self.ask("ann", *guarantors, amount=amount)

    def ask(self, who: str, *guarantors: str, amount: int) -> ObjectId:
        """Apply and get an offer."""
        world = self.world
        data, consent = world.anchor(who)
        sidecar = world.sidecar(who)
        named = tuple(world.account(one) for one in guarantors)
        payload = world.application(who, data, consent, amount=amount, sidecar=sidecar, guarantors=named)
        world.must(who, payload, sidecars=(sidecar,))
        (decided,) = world.attest(world.made("application", who), who, lenders=("harbour",))
        assert decided.offer is not None
        return decided.offer

    def accept(self, *cosigners: str, who: str = "ann", agent: str | None = None) -> Rejection | None:
        """Take the offer with these co-signatures."""
        row = self.world.ledger.books.state.need(OFFERS, self.offer)
        by = None if agent is None else self.world.account(agent)
        payload = Accept(offer=self.offer, terms_hash=row.terms_hash, agent=by)
        return refused(self.world, who, payload, cosigners=cosigners)

    def exposure(self, who: str) -> Exposure:
        """What somebody owes and stands in for."""
        state = self.world.ledger.books.state
        return state.need(EXPOSURES, state.need(ACCOUNTS, self.world.account(who)).subject_tag)

    def debt(self, who: str) -> int:
        """What counts against somebody's cap."""
        return calculate_debt(self.world.ledger.books, self.exposure(who))


def test_every_guarantor_signs() -> None:
    """One of two is not enough; a stranger's signature helps nobody; both make the loan."""
    pledge = Pledge("bob", "cai")
    assert pledge.accept() is Rejection.GUARANTOR_MISSING
    assert pledge.accept("bob") is Rejection.GUARANTOR_MISSING
    assert pledge.accept("bob", "harbour") is Rejection.GUARANTOR_MISSING
    assert pledge.accept("bob", "cai") is None
    loan = pledge.world.made("loan", "ann")
    assert pledge.exposure("bob").guarantees == pledge.exposure("cai").guarantees == (loan,)
    assert pledge.world.ledger.books.state.need(CONTRACTS, loan).disclosure.guarantors == (
        pledge.world.account("bob"),
        pledge.world.account("cai"),
    )


def test_half_of_what_is_out_is_the_guarantors_debt_until_the_loan_is_paid() -> None:
    """400,000 at first, less as principal comes back, nothing at the end; the borrower's own debt is the whole."""
    pledge = Pledge("bob")
    assert pledge.accept("bob") is None
    loan = pledge.world.made("loan", "ann")
    assert (pledge.debt("ann"), pledge.debt("bob")) == (800_000, 400_000)
    pledge.world.mint("ann", 1_000_000)
    assert refused(pledge.world, "ann", Pay(loan=loan, amount=Amount(300_001), excess=ExcessRule.LAST)) is None
    assert (pledge.debt("ann"), pledge.debt("bob")) == (499_999, 250_000)
    assert refused(pledge.world, "ann", Pay(loan=loan, amount=Amount(900_000), excess=ExcessRule.LAST)) is None
    assert pledge.exposure("bob").guarantees == ()
    assert pledge.debt("bob") == 0


def test_a_guarantors_own_cap_bounds_what_it_can_stand_in_for() -> None:
    """With 1,100,001 of its own under 1,500,000 there is no room for half of 800,000; with a unit less there is."""
    for owes, code in ((1_100_001, Rejection.CAP_GUARANTEE), (1_100_000, None)):
        pledge = Pledge("bob")
        tag = pledge.world.ledger.books.state.need(ACCOUNTS, pledge.world.account("bob")).subject_tag
        change(pledge.world, EXPOSURES, tag, principal_open=owes)
        row = pledge.world.ledger.books.state.need(OFFERS, pledge.offer)
        payload = Accept(offer=pledge.offer, terms_hash=row.terms_hash)
        assert pledge.world.do("ann", payload, cosigners=("bob",)).rejection is code


def test_what_one_stands_in_for_narrows_what_one_can_borrow() -> None:
    """Bob guarantees 1,400,000 at half its weight: of 1,500,000 there are 800,000 left for himself."""
    for asked, code in ((800_001, Rejection.CAP_DEBT), (800_000, None)):
        pledge = Pledge("bob", amount=1_400_000)
        assert pledge.accept("bob") is None
        pledge.offer = pledge.ask("bob", amount=asked)
        assert pledge.accept(who="bob") is code


def test_a_guarantor_in_no_good_standing_cannot_sign() -> None:
    """Frozen or expired since the application; a new key signs instead of the old one."""
    pledge = Pledge("bob")
    bob = pledge.world.account("bob")
    change(pledge.world, ACCOUNTS, bob, frozen=True)
    assert pledge.accept("bob") is Rejection.GUARANTOR_MISSING
    change(pledge.world, ACCOUNTS, bob, frozen=False, expires_on=pledge.world.today)
    assert pledge.accept("bob") is Rejection.GUARANTOR_MISSING
    change(pledge.world, ACCOUNTS, bob, expires_on=pledge.world.today + 100)
    rotate = KeyRotate(new_key=make_signer("bob/new").public_key, enc_key=calculate_hash("box"))  # type: ignore[arg-type]
    assert refused(pledge.world, "bob", rotate, cosigners=("bob/new",)) is None
    assert pledge.accept("bob") is Rejection.GUARANTOR_MISSING
    assert pledge.accept("bob/new") is None
    assert pledge.world.ledger.books.state.get(KEYS, make_signer("bob/new").public_key) is not None


def test_a_guarantor_pays_with_its_own_money() -> None:
    """The payment is told as the guarantor's; the loan, the exposure and the guarantee end with it."""
    pledge = Pledge("bob")
    assert pledge.accept("bob") is None
    world, loan = pledge.world, pledge.world.made("loan", "ann")
    world.pass_days(30)
    world.mint("bob", 900_000)
    payload = Pay(loan=loan, amount=Amount(900_000), excess=ExcessRule.LAST, source=PaymentSource.GUARANTOR)
    assert refused(world, "bob", payload) is None
    row = world.ledger.books.state.need(LOANS, loan)
    assert row.state is LoanState.REPAID
    assert read_cash(world.ledger.books.state, world.account("bob"), CNY) == 900_000 - sum(row.paid)
    (told,) = [one for one in world.events if one.kind == "paid"]
    assert (told.data["source"], told.data["payer"]) == ("guarantor", world.account("bob").hex())
    assert pledge.exposure("bob").guarantees == ()


def test_a_loan_that_was_never_paid_out_frees_its_guarantors() -> None:
    """Counted from the acceptance on, let go when the agent fails."""
    pledge = Pledge("bob")
    assert pledge.accept("bob", agent="agent") is None
    assert pledge.debt("bob") == 400_000
    loan = pledge.world.made("loan", "ann")
    failed = LoanSettle(loan=loan, outcome=SettleOutcome.FAILED, ext_ref=calculate_hash("wire"))
    assert refused(pledge.world, "agent", failed) is None
    assert (pledge.debt("bob"), pledge.exposure("bob").guarantees) == (0, ())


def test_the_weight_is_the_policys() -> None:
    """At full weight two who stand in for each other owe everything both; at none a guarantee is no debt."""
    for weight, debt in ((1_000_000, 700_000), (0, 0), (333_333, 233_334)):
        pledge = Pledge("bob", amount=700_000, guarantee_weight_ppm=Ppm(weight))
        assert pledge.accept("bob") is None
        assert pledge.debt("bob") == debt
        pledge.offer = pledge.ask("bob", "ann", amount=700_000)
        assert pledge.accept("ann", who="bob") is None
        assert (pledge.debt("ann"), pledge.debt("bob")) == (700_000 + debt, 700_000 + debt)


@pytest.mark.parametrize(
    ("caps", "asked", "code"),
    [
        ((), 1_400_000, None),
        ((1_399_999,), 1_400_000, Rejection.CAP_DEBT),
        ((1_400_000,), 1_400_000, None),
        ((9_000_000,), 1_400_000, None),
        ((0, 0), 1_400_000, Rejection.CAP_DEBT),
    ],
)
def test_a_segments_cap_is_on_the_whole_debt(caps: tuple[int, ...], asked: int, code: Rejection | None) -> None:
    """The personal segment's cap holds below the network's; a higher one, or none, leaves the network's alone."""
    pledge = Pledge(amount=asked, segment_caps=tuple(Amount(one) for one in caps))
    assert pledge.accept() is code


def test_debt_of_other_segments_counts_against_a_segments_cap() -> None:
    """After 700,000 for a business, 500,001 personal ones are too many under a cap of 1,200,000 for personal loans."""
    for asked, code in ((500_001, Rejection.CAP_DEBT), (500_000, None)):
        pledge = Pledge(amount=asked, segment_caps=(Amount(1_200_000), Amount(1_500_000)))
        world = pledge.world
        pool = next(one.disclosure.pool for _, one in world.ledger.books.state.items(OFFERS))
        world.must("harbour", world.product(pool, attestations_min=1, segment=Segment.SMALL_BUSINESS))
        data, consent = world.anchor("ann")
        sidecar = world.sidecar("ann")
        request = world.application("ann", data, consent, amount=700_000, sidecar=sidecar)
        world.must("ann", msgspec.structs.replace(request, segment=Segment.SMALL_BUSINESS), sidecars=(sidecar,))
        (decided,) = world.attest(world.made("application", "ann"), "ann", lenders=("harbour",))
        assert decided.offer is not None
        assert world.accept("ann", decided.offer).rejection is None
        assert pledge.accept() is code
        assert find_violations(world.ledger) == {}
