"""Instalments at a merchant's till: the merchant is paid less its discount, and its refunds take the last rows."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import calculate_hash
from protocol.ids import AccountId, ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.state import ACCOUNTS, OFFERS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind
from protocol.transactions.lending import Purchase
from protocol.transactions.money import Transfer
from protocol.transactions.products import BandPrice, MerchantKind, Partner
from protocol.transactions.servicing import Pay, PaymentSource
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.world import CNY, DAY_MS, change, refused

FREE = (BandPrice(rate_ppm=Ppm(0), amount_max=Amount(2_000_000)),) * 4
PRICE = 300_002
"""Over four fortnights without interest: 75,001 three times, then 74,999."""


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lenders with pools, two persons, a merchant."""
    with lawful() as made:
        yield made


def purchase(world: Goods, merchant: str = "shop") -> dict[str, Any]:
    """What an application for a purchase over four fortnights says."""
    return {"wish": Purchase(merchant=world.account(merchant)), "instalments": 4, "period_every": 2}


def publish(world: Goods, **terms: Any) -> ObjectId:
    """Instalments without interest or fees for the buyer; the merchant gives 3 %."""
    kind = MerchantKind(discount_ppm=Ppm(30_000))
    plain = {"kind": kind, "bands": FREE, "period_every": 2, "origination_fee_ppm": Ppm(0), "late_rate_ppm": Ppm(0)}
    return world.publish("harbour", **{**plain, **terms})


def buy(world: Goods, *, who: str = "ann", **terms: Any) -> ObjectId:
    """A purchase at the shop; returns the loan."""
    cosigners = ("jade",) if "partners" in terms else ()
    offer = world.ask(who, publish(world, cosigners=cosigners, **terms), amount=PRICE, **purchase(world))
    assert world.take(who, offer).rejection is None
    return world.made("loan", who)


def pay(loan: ObjectId, amount: int, source: PaymentSource = PaymentSource.MERCHANT_REFUND) -> Pay:
    """A payment that asks for the next rows: of a refund the wish is not heard."""
    return Pay(loan=loan, amount=Amount(amount), excess=ExcessRule.NEXT, source=source)


def left(world: Goods, loan: ObjectId) -> list[int]:
    """Unpaid principal, row by row."""
    return [row.principal_unpaid for row in world.loan(loan).rows]


# ---------------------------------------------------------------------- purchase


def test_the_merchant_is_paid_less_its_discount(world: Goods) -> None:
    """3 % of 300,002 is 9,000, rounded down for who is charged; it is the pool's, and the buyer owes the price."""
    before = world.pool("harbour")
    loan = buy(world)
    after = world.pool("harbour")
    assert (world.cash("shop"), world.cash("ann")) == (291_002, 0)
    assert (before.cash - after.cash, after.principal) == (291_002, PRICE)
    assert world.book(world.pool_id("harbour"), Book.FEES) == 9_000
    assert left(world, loan) == [75_001, 75_001, 75_001, 74_999]
    assert world.last("loan_made").data["payee"] == world.account("shop").hex()
    offer = world.contract(loan).offer
    assert world.ledger.books.state.need(OFFERS, offer).disclosure.apr_ppm == 0


def test_pools_share_a_discount(world: Goods) -> None:
    """A third of 9,000, rounded down, is the partner's."""
    buy(world, partners=(Partner(pool=world.pool_id("jade"), share_ppm=Ppm(333_333)),))
    assert [world.book(world.pool_id(one), Book.FEES) for one in ("harbour", "jade")] == [6_001, 2_999]


def test_rows_without_interest_conserve_to_the_unit(world: Goods) -> None:
    """Paid on their days the rows bring back the price, no more and no less."""
    loan = buy(world)
    for index in range(1, 5):
        world.pay_row("ann", loan, index)
        assert find_violations(world.ledger) == {}
    row = world.loan(loan)
    assert (row.state, row.paid) == (LoanState.REPAID, (PRICE, 0, 0, 0))
    assert world.cash("ann") == 0


def test_a_merchant_opens_its_account_like_anybody(world: Goods) -> None:
    """An issuer co-signs; whoever is no merchant, or is frozen, sells nothing on instalments."""
    assert world.ledger.books.state.need(ACCOUNTS, world.account("shop")).kind is AccountKind.MERCHANT
    product = publish(world)
    for merchant in (AccountId(calculate_hash("nobody")), world.account("bob")):
        data, consent = world.anchor("ann")
        sidecar = world.sidecar("ann")
        fields = {**purchase(world), "wish": Purchase(merchant=merchant)}
        payload = world.application("ann", data, consent, sidecar=sidecar, product=product, **fields)
        assert refused(world, "ann", payload, sidecars=(sidecar,)) is Rejection.WISH_UNFIT
    data, consent = world.anchor("shop")
    payload = world.application("shop", data, consent, sidecar=sidecar, product=product, **purchase(world))
    assert refused(world, "shop", payload, sidecars=(sidecar,)) is Rejection.WISH_UNFIT, "nor to itself"
    data, consent = world.anchor("ann")
    change(world, ACCOUNTS, world.account("shop"), frozen=True)
    payload = world.application("ann", data, consent, sidecar=sidecar, product=product, **purchase(world))
    assert refused(world, "ann", payload, sidecars=(sidecar,)) is Rejection.WISH_UNFIT


# ---------------------------------------------------------------------- refund


def test_a_partial_refund_takes_the_last_rows_first(world: Goods) -> None:
    """Whatever the payment says: 100,000 end the last row and lower the third."""
    loan = buy(world)
    world.must("shop", pay(loan, 100_000))
    assert left(world, loan) == [75_001, 75_001, 50_000, 0]
    assert world.cash("shop") == 191_002
    assert world.last("paid").data["source"] == "merchant_refund"


def test_a_refund_serves_what_is_overdue_first(world: Goods) -> None:
    """A late row with its fee comes before the last one."""
    loan = buy(world)
    world.pass_days(15)
    fee = world.loan(loan).rows[0].penalty_due
    assert fee == 2_000
    world.must("shop", pay(loan, 75_001 + fee + 10_000))
    assert left(world, loan) == [0, 75_001, 75_001, 64_999]
    assert world.loan(loan).paid == (85_001, 0, 0, 2_000)


def test_a_refund_above_the_payoff_passes_to_the_borrower(world: Goods) -> None:
    """She has paid 75,001 of it; the whole price comes back, so that much is hers."""
    loan = buy(world)
    world.pay_row("ann", loan, 1)
    world.mint("shop", 9_000)
    world.must("shop", pay(loan, PRICE))
    assert (world.loan(loan).state, world.cash("shop"), world.cash("ann")) == (LoanState.REPAID, 0, 75_001)
    assert world.last("refund_passed_on").data["amount"] == 75_001


def test_a_refund_is_taken_whole_or_not_at_all(world: Goods) -> None:
    """A merchant short of the amount pays nothing, though its cash would end the loan."""
    loan = buy(world)
    world.pay_row("ann", loan, 1)
    assert world.cash("shop") > sum(left(world, loan))
    assert refused(world, "shop", pay(loan, PRICE)) is Rejection.FUNDS_SHORT


def test_refunds_name_their_first_fault(world: Goods) -> None:
    """Amount, loan, money, and last who refunds: the merchant of this purchase alone."""
    loan, plain = buy(world), world.borrow("bob")
    world.open_as("kiosk", AccountKind.MERCHANT)
    nobody = ObjectId(calculate_hash("nobody"))
    for who, payload, wanted in (
        ("kiosk", pay(nobody, 0), Rejection.AMOUNT_ZERO),
        ("kiosk", pay(nobody, 1), Rejection.LOAN_UNKNOWN),
        ("kiosk", pay(loan, 1), Rejection.FUNDS_SHORT),
        ("bob", pay(loan, 1), Rejection.MERCHANT_ONLY),
        ("shop", pay(plain, 1), Rejection.MERCHANT_ONLY),
    ):
        assert refused(world, who, payload) is wanted, payload


def test_a_refund_after_the_end_is_a_transfer(world: Goods) -> None:
    """A closed loan takes nothing; the merchant pays the buyer directly."""
    loan = buy(world)
    world.pass_days(10)
    world.mint("ann", PRICE)
    world.must("ann", pay(loan, PRICE, PaymentSource.BORROWER))
    assert refused(world, "shop", pay(loan, 1_000)) is Rejection.LOAN_CLOSED
    back = Transfer(to=world.account("ann"), currency=CNY, amount=Amount(1_000), memo_commit=calculate_hash("sorry"))
    assert refused(world, "shop", back) is None
    assert world.cash("ann") == 1_000


def test_a_refund_of_a_defaulted_purchase_pays_costs_once(world: Goods) -> None:
    """Costs and claim are served from it, and only the rest passes on."""
    loan = buy(world)
    world.pass_days(100)
    world.default(loan, costs=5_000)
    claim = calculate_claim(world.loan(loan))
    assert claim == PRICE + 5_000 + 4 * 2_000
    world.mint("shop", 22_000)
    world.must("shop", pay(loan, 313_002))
    assert (world.loan(loan).state, world.cash("shop"), world.cash("ann")) == (LoanState.RECOVERED, 0, 0)
    assert world.cash("harbour") == 5_000
    loan = buy(world, who="bob")
    world.pass_days(100)
    world.default(loan, costs=5_000)
    world.mint("shop", 100_000)
    had = world.cash("shop")
    world.must("shop", pay(loan, claim + 700))
    assert (had - world.cash("shop"), world.cash("bob")) == (claim + 700, 700)


@given(parts=st.lists(st.integers(1, 80_000), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_refunds_in_parts_are_one_refund(parts: list[int]) -> None:
    """Rows depend on what came back, not on how many refunds of one day it came in."""
    with lawful() as one, lawful() as other:
        loans = [(world, buy(world)) for world in (one, other)]
        for world, loan in loans:
            world.pass_days(15)
            world.mint("shop", 500_000)
            for part in parts if world is one else [sum(parts)]:
                if world.loan(loan).closed_ms is None:
                    world.must("shop", pay(loan, part))
        assert one.loan(loans[0][1]).rows == other.loan(loans[1][1]).rows


# ---------------------------------------------------------------------- whose money it is


@pytest.mark.parametrize("source", [PaymentSource.GUARANTOR, PaymentSource.INSURER])
def test_others_may_pay_and_the_record_says_so(world: Goods, source: PaymentSource) -> None:
    """A guarantor's or insurer's money falls like the borrower's, by the payer's wish, and never above the payoff."""
    loan = buy(world)
    world.mint("bob", 400_000)
    world.must("bob", pay(loan, 100_000, source))
    assert left(world, loan) == [0, 50_002, 75_001, 74_999]
    event = world.last("paid")
    assert (event.data["source"], event.data["payer"]) == (source.name.lower(), world.account("bob").hex())
    assert world.account("bob") in event.subjects
    world.block(ms=DAY_MS * 14)
    world.must("bob", pay(loan, 300_000, source))
    assert (world.loan(loan).state, world.cash("bob")) == (LoanState.REPAID, 400_000 - PRICE)
