"""Shares of loans sold between pools, by hand-computed figures: running loans and claims, new holders and old."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import ObjectId
from protocol.ledger.assign import calculate_sold
from protocol.ledger.contracts import Holding
from protocol.ledger.holdings import split_whole
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.state import AMENDMENTS, PAYMENTS, POOLS, replace
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.products import Partner
from protocol.transactions.servicing import AdjustKind
from tests.protocol.ledger.changes import (
    adjust,
    answer,
    assign,
    bring,
    lawful_do,
    pay,
    payoff,
    proposal,
    refusal,
)
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import give_cover, lend, lend_and_default, nav, set_pool
from tests.protocol.ledger.world import DAY_MS

R = Rejection


def sell(world: Goods, loan: ObjectId, price: int, *, seller: str = "harbour", buyer: str = "plum") -> None:
    """Both owners sign."""
    lawful_do(world, seller, assign(world, loan, price, seller=seller, buyer=buyer), cosigners=(buyer,))


def lend_to_three(world: Goods, *, amount: int = 600_000) -> ObjectId:
    """Harbour leads with two fifths, Jade and Plum have three tenths each."""
    ids = sorted((world.pool_id(one), Ppm(300_000)) for one in ("jade", "plum"))
    partners = tuple(Partner(pool=pool, share_ppm=share) for pool, share in ids)
    product = world.publish("harbour", cosigners=("jade", "plum"), partners=partners)
    assert world.take("ann", world.ask("ann", product, amount=amount)).rejection is None
    return world.made("loan", "ann")


@pytest.mark.parametrize(("price", "gain", "loss"), [(580_000, 0, 20_000), (600_000, 0, 0), (605_000, 5_000, 0)])
def test_a_running_loan_is_sold_at_a_price(price: int, gain: int, loss: int) -> None:
    """Cash one way, principal the other; what lies between them is one side's gain and the other's loss."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(4)
        harbour, plum = world.pool("harbour"), world.pool("plum")
        sell(world, loan, price)
        sold, bought = world.pool("harbour"), world.pool("plum")
        assert (sold.cash - harbour.cash, sold.principal, sold.loans_open, sold.haircut) == (price, 0, 0, 0)
        assert (plum.cash - bought.cash, bought.principal, bought.loans_open) == (price, 600_000, 1)
        assert bought.haircut == 6_000
        assert nav(sold) - nav(harbour) == gain - loss == nav(plum) - nav(bought)
        seller, buyer = world.pool_id("harbour"), world.pool_id("plum")
        assert (world.book(seller, Book.GAIN), world.book(seller, Book.LOSS)) == (gain, loss)
        assert (world.book(buyer, Book.LOSS), world.book(buyer, Book.GAIN)) == (gain, loss)
        told = world.last("share_assigned")
        assert (told.data["price"], told.data["lender"]) == (price, world.account("plum").hex())
        assert world.account("ann") in told.subjects


def test_terms_stay_and_the_buyer_services_the_loan() -> None:
    """Contract and rows are untouched; payments are the buyer's, and only the buyer may correct the loan."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        before, contract = bring(world, loan), world.contract(loan)
        sell(world, loan, 600_000)
        after = world.loan(loan)
        assert (after.rows, after.principal_out, world.contract(loan)) == (before.rows, 600_000, contract)
        assert refusal(world, "harbour", adjust(loan, AdjustKind.WAIVE, 1)) is R.LOAN_NOT_YOURS
        lawful_do(world, "plum", adjust(loan, AdjustKind.WAIVE, 1))
        cash = (world.pool("harbour").cash, world.pool("plum").cash)
        due = world.loan(loan).rows[0].unpaid
        pay(world, "ann", loan, due)
        assert (world.pool("harbour").cash, world.pool("plum").cash) == (cash[0], cash[1] + due)
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID


def test_a_partner_sells_and_the_lead_stays() -> None:
    """Only the third that Jade held changes hands."""
    with lawful() as world:
        loan = lend(world, partner_ppm=333_333)
        world.pass_days(4)
        harbour = world.pool("harbour")
        sell(world, loan, 190_000, seller="jade")
        held = world.loan(loan).holdings
        assert [one.pool for one in held] == [world.pool_id("harbour"), world.pool_id("plum")]
        assert [one.principal for one in held] == [400_001, 199_999]
        assert world.pool("harbour") == harbour
        assert world.book(world.pool_id("jade"), Book.LOSS) == 9_999


@pytest.mark.parametrize("seller", ["harbour", "jade", "plum"])
@pytest.mark.parametrize("buyer", ["harbour", "jade", "plum"])
def test_a_holder_can_buy_more(seller: str, buyer: str) -> None:
    """Shares add up, parts follow them, and who buys the lead's share leads."""
    if seller == buyer:
        return
    with lawful() as world:
        loan = lend_to_three(world, amount=599_999)
        world.pass_days(4)
        pay(world, "ann", loan, 1_237)
        lead = buyer if seller == "harbour" else "harbour"
        sell(world, loan, 150_000, seller=seller, buyer=buyer)
        held = world.loan(loan).holdings
        assert len(held) == 2
        assert held[0].pool == world.pool_id(lead)
        shares = {"harbour": 400_000, "jade": 300_000, "plum": 300_000}
        mine = next(one for one in held if one.pool == world.pool_id(buyer))
        assert mine.share_ppm == shares[seller] + shares[buyer]
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID


HELD = st.lists(st.integers(1, 300_000), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(shares=HELD, total=st.integers(0, 10**9), picks=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_shares_still_make_a_whole_and_nobody_elses_part_moves_by_more_than_its_rounding(
    shares: list[int], total: int, picks: tuple[int, int]
) -> None:
    """Among any holders: shares sum to one, parts to the principal, third parties move by a unit for each place."""
    while sum(shares) >= PPM:
        shares.pop()
    ppm = [PPM - sum(shares), *shares]
    names = [ObjectId(bytes((i,)) * 32) for i in range(len(ppm) + 1)]
    blank = tuple(Holding(pool=names[i], share_ppm=Ppm(share), principal=Amount(0)) for i, share in enumerate(ppm))
    parts = split_whole(blank, total)
    before = tuple(
        Holding(pool=one.pool, share_ppm=one.share_ppm, principal=Amount(part))
        for one, part in zip(blank, parts, strict=True)
    )
    seller, buyer = names[picks[0] % len(ppm)], names[picks[1] % len(names)]
    if seller == buyer:
        return
    after = calculate_sold(before, seller, buyer)
    assert sum(one.share_ppm for one in after) == PPM
    assert [one.principal for one in after] == list(split_whole(after, total))
    assert seller not in {one.pool for one in after}
    assert after[0].pool == (buyer if seller == names[0] else names[0])
    was = {one.pool: one.principal for one in before}
    for one in after:
        moved = one.principal - was.get(one.pool, 0) - (was[seller] if one.pool == buyer else 0)
        assert abs(moved) <= len(before)
    if buyer not in was:
        assert [one.principal for one in after] == [one.principal for one in before]


@pytest.mark.parametrize("price", [30_000, 300_000, 620_000])
def test_a_claim_is_sold(price: int) -> None:
    """The price is the seller's recovery: of its loss, then of its cover, then gain. The buyer has spent it until it
    comes back: then it has the whole claim."""
    with lawful() as world:
        give_cover(world, 60_000)
        set_pool(world, rate=100_000)
        loan = lend_and_default(world)
        seller, buyer = world.pool_id("harbour"), world.pool_id("plum")
        harbour, plum = world.pool("harbour"), world.pool("plum")
        sell(world, loan, price)
        lost = min(price, 540_000)
        cover = min(60_000, price - lost)
        assert world.book(seller, Book.LOSS) == 540_000 - lost
        assert (world.pool("harbour").cover, world.book(seller, Book.GAIN)) == (cover, price - lost - cover)
        assert world.pool("harbour").cash == harbour.cash + price - cover
        assert nav(world.pool("plum")) == nav(plum) - price
        held = world.loan(loan).holdings[0]
        assert (held.pool, held.principal, held.lost, held.covered) == (buyer, 600_000, 600_000, 0)
        claim = sum(row.unpaid for row in world.loan(loan).rows)
        pay(world, "ann", loan, claim)
        assert world.loan(loan).state is LoanState.RECOVERED
        assert nav(world.pool("plum")) == nav(plum) - price + claim


def test_a_claim_of_three_is_sold_to_a_holder() -> None:
    """What the buyer had lost itself and bought are one claim; recoveries reach each pool by its new share."""
    with lawful() as world:
        loan = lend_to_three(world, amount=599_999)
        world.pass_days(97)
        world.default(loan, cover=0)
        pay(world, "ann", loan, 10_003)
        sell(world, loan, 50_000, seller="jade", buyer="plum")
        held = world.loan(loan).holdings
        assert [one.lost for one in held] == [one.principal for one in held]
        pay(world, "ann", loan, 123_457)
        pay(world, "ann", loan, sum(row.unpaid for row in world.loan(loan).rows))
        assert world.loan(loan).state is LoanState.RECOVERED


def test_the_owner_of_a_leased_thing_follows_the_lead() -> None:
    """Title goes with the lease; a partner's sale leaves it."""
    with lawful() as world:
        loan = world.lease(partner="jade")
        thing = world.leased(loan)
        world.pass_days(4)
        sell(world, loan, 100_000, seller="jade", buyer="plum")
        assert world.asset(thing).owner == world.account("harbour")
        sell(world, loan, 300_000, seller="harbour", buyer="jade")
        assert world.asset(thing).owner == world.account("jade")


def test_a_sale_ends_reversals_and_the_old_lenders_proposals() -> None:
    """The buyer neither had that money nor proposed those terms."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(8)
        pay(world, "ann", loan, 5_000)
        lawful_do(world, "harbour", proposal(loan))
        made = world.made("amendment", "harbour")
        signed = answer(world, made)
        sell(world, loan, 590_000)
        assert world.ledger.books.state.get(PAYMENTS, loan) is None
        assert world.ledger.books.state.need(AMENDMENTS, made).accepted is False
        assert refusal(world, "ann", signed) is R.AMENDMENT_CLOSED


def test_a_borrower_does_not_come_to_owe_more_lenders_than_allowed() -> None:
    """She owes Harbour twice and Jade once: Plum would be a third lender, Jade is none more."""
    with lawful() as world:
        first = lend(world, amount=200_000)
        assert world.take("ann", world.ask("ann", world.products["harbour"], amount=200_000)).rejection is None
        assert world.take("ann", world.ask("ann", world.products["jade"], amount=200_000)).rejection is None
        world.pass_days(4)
        sale = assign(world, first, 200_000)
        assert refusal(world, "harbour", sale, cosigners=("plum",)) is R.CAP_LENDERS
        sell(world, first, 200_000, buyer="jade")


def test_a_buyer_keeps_its_own_limits() -> None:
    """Its largest principal for one borrower, and its cover for what it holds; a claim needs no cover."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(4)
        sale = assign(world, loan, 600_000)
        set_pool(world, "plum", borrower_max=599_999)
        assert refusal(world, "harbour", sale, cosigners=("plum",)) is R.BUYER_UNFIT
        set_pool(world, "plum", rate=100_000)
        assert refusal(world, "harbour", sale, cosigners=("plum",)) is R.BUYER_UNFIT
        give_cover(world, 60_000, "plum")
        sell(world, loan, 600_000)
    with lawful() as world:
        loan = lend_and_default(world)
        set_pool(world, "plum", rate=100_000)
        sell(world, loan, 60_000)


def test_nobody_bargains_with_itself() -> None:
    """From one of its pools to another a lender could sell at any price, and one's investors would pay the other's."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(4)
        world.found_lender("harbour", cash=1_000_000)
        other = next(
            ObjectId(key)
            for key, pool in world.ledger.books.state.items(POOLS)
            if pool.owner == world.account("harbour") and key != world.pool_id("harbour")
        )
        for price in (0, 600_000):
            payload = replace(assign(world, loan, price), buyer=other)
            assert refusal(world, "harbour", payload) is R.BUYER_UNFIT


SALES = st.lists(
    st.tuples(
        st.sampled_from(("harbour", "jade", "plum")),
        st.sampled_from(("harbour", "jade", "plum")),
        st.integers(0, 700_000),
        st.integers(0, 90_000),
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None)
@given(sales=SALES, amount=st.integers(500_000, 600_007), defaults=st.booleans())
def test_however_often_shares_change_hands_every_law_holds(
    sales: list[tuple[str, str, int, int, int]], amount: int, defaults: bool
) -> None:
    """Between payments, sales at any price, running or defaulted: no unit is lost, and the loan ends."""
    world = Goods()
    loan = lend_to_three(world, amount=amount)
    world.pass_days(4)
    if defaults:
        world.block(ms=100 * DAY_MS)
        world.default(loan)
    for seller, buyer, price, paid, days in sales:
        world.block(ms=days * DAY_MS)
        payload = assign(world, loan, price, seller=seller, buyer=buyer)
        world.do(seller, payload, cosigners=() if buyer == seller else (buyer,))
        assert find_violations(world.ledger) == {}
        if paid:
            pay(world, "ann", loan, paid)
    pay(world, "ann", loan, payoff(world, loan) if not defaults else sum(row.unpaid for row in world.loan(loan).rows))
    assert world.loan(loan).closed_ms is not None
