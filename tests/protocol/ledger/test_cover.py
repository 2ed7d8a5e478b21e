"""First-loss cover: what binds it, what frees it, what fills it; and the terms of a pool that follow from it."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.ledger.cover import calculate_cover_needed
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.state import LOSSES, OFFERS, replace
from protocol.money import PPM, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept
from protocol.transactions.pools import CoverDeposit, CoverWithdraw, PoolOpen, PoolSet
from protocol.transactions.servicing import DistressKind
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, lend_and_default, set_pool
from tests.protocol.ledger.world import CNY, refused


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lawful in the end, and again from its rows."""
    with lawful() as goods:
        yield goods


def withdraw(world: Goods, amount: int) -> Rejection | None:
    """Harbour wants cover back."""
    return refused(world, "harbour", CoverWithdraw(pool=world.pool_id("harbour"), amount=Amount(amount)))


def needed(world: Goods) -> int:
    """What must stay in Harbour's pool."""
    return calculate_cover_needed(world.ledger.books, world.pool_id("harbour"))


# ---------------------------------------------------------------------- in and out


def test_cover_moves_between_the_owners_cash_and_the_pool(world: Goods) -> None:
    """In and out to the unit; it is no cash of the pool and buys no shares."""
    before, pool = world.pool("harbour"), world.pool_id("harbour")
    world.mint("harbour", 1_000)
    world.must("harbour", CoverDeposit(pool=pool, amount=Amount(700)))
    after = world.pool("harbour")
    assert (after.cover, after.cash, after.shares) == (700, before.cash, before.shares)
    assert (world.cash("harbour"), world.book(pool, Book.COVER)) == (300, 700)
    assert withdraw(world, 701) is Rejection.COVER_SHORT
    assert withdraw(world, 700) is None
    assert (world.cash("harbour"), world.pool("harbour")) == (1_000, before)
    assert world.last("cover_withdrawn").data["amount"] == 700


def test_only_the_owner_moves_cover(world: Goods) -> None:
    """And only with money that is there."""
    pool = world.pool_id("harbour")
    assert refused(world, "jade", CoverDeposit(pool=pool, amount=Amount(1))) is Rejection.FUNDS_SHORT
    world.mint("jade", 10)
    assert refused(world, "jade", CoverDeposit(pool=pool, amount=Amount(1))) is Rejection.POOL_NOT_YOURS
    assert refused(world, "jade", CoverWithdraw(pool=pool, amount=Amount(1))) is Rejection.POOL_NOT_YOURS
    assert withdraw(world, 0) is Rejection.AMOUNT_ZERO


# ---------------------------------------------------------------------- what binds it


def test_cover_stays_at_its_rate_of_what_is_lent_and_promised(world: Goods) -> None:
    """10 % of 600,000, rounded up, and of the fee of 3,000 while it may have to go back; less as principal comes."""
    set_pool(world, rate=100_000)
    give_cover(world, 70_000)
    loan = lend(world)
    assert (needed(world), withdraw(world, 9_701), withdraw(world, 9_700)) == (60_300, Rejection.COVER_SHORT, None)
    world.pass_days(4)
    assert (needed(world), withdraw(world, 301), withdraw(world, 300)) == (60_000, Rejection.COVER_SHORT, None)
    world.mint("ann", 400_000)
    world.pay("ann", loan, 300_000)
    left = world.loan(loan).principal_out
    assert needed(world) == -(-left // 10)
    assert withdraw(world, 60_000 - needed(world)) is None
    assert withdraw(world, 1) is Rejection.COVER_SHORT


def test_losses_bind_cover_for_the_policys_days_and_no_longer(world: Goods) -> None:
    """540,000 lost on day 97 bind on day 462, the 365th after it, and are free on the next."""
    set_pool(world, rate=100_000)
    give_cover(world, 100_000)
    loan = lend_and_default(world)
    assert needed(world) == 540_000
    give_cover(world, 540_000)
    assert (withdraw(world, 40_001), withdraw(world, 40_000)) == (Rejection.COVER_SHORT, None)
    # What comes back frees as much, to the unit.
    world.mint("bob", 1_000_000)
    world.pay("bob", loan, 1_001)
    assert needed(world) == 538_999
    assert (withdraw(world, 1_002), withdraw(world, 1_001)) == (Rejection.COVER_SHORT, None)
    world.pass_days(365)
    assert (needed(world), withdraw(world, 1)) == (538_999, Rejection.COVER_SHORT)
    world.pass_days(1)
    assert (needed(world), withdraw(world, 538_999)) == (0, None)


def test_a_write_off_frees_no_cover_and_a_recovery_leaves_no_row(world: Goods) -> None:
    """The loss is as old as its default, whatever it is called since."""
    loan = lend_and_default(world)
    world.pass_days(180)
    world.must("harbour", distress(loan, DistressKind.WRITE_OFF))
    assert (needed(world), world.ledger.books.state.count(LOSSES)) == (600_000, 1)
    world.mint("bob", 1_000_000)
    world.pay("bob", loan, 1_000_000)
    assert (needed(world), world.ledger.books.state.count(LOSSES)) == (0, 0)


def test_two_defaults_of_a_day_are_one_sum(world: Goods) -> None:
    """Losses are kept by day: 600,000 and 100,000 on the same one."""
    first, second = lend(world), lend(world, "bob", amount=100_000)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(first))
    world.must("eye", distress(second))
    assert [lost for _, lost in world.ledger.books.state.items(LOSSES)] == [700_000]
    world.pass_days(1)
    assert needed(world) == 700_000


def test_another_policy_binds_older_losses_again() -> None:
    """Nothing is forgotten: the days are those of the policy in force."""
    world = Goods(cover_release_days=1)
    lend_and_default(world)
    world.pass_days(2)
    books = world.ledger.books
    assert needed(world) == 0
    books.policy = replace(books.policy, cover_release_days=2)
    assert needed(world) == 600_000


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rate=st.integers(0, 300_000),
    amounts=st.lists(st.integers(10_000, 300_000), min_size=1, max_size=2),
    back=st.integers(0, 400_000),
    days=st.integers(0, 70),
)
def test_what_binds_cover_is_what_the_loans_say(rate: int, amounts: list[int], back: int, days: int) -> None:
    """After any life: rate of what is lent and promised, and what recent claims have lost, loan by loan."""
    world = Goods(cover_release_days=30)
    give_cover(world, 200_000)
    set_pool(world, rate=rate)
    loans = [lend(world, who, amount=amount) for who, amount in zip(("ann", "bob"), amounts, strict=False)]
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loans[0]))
    defaulted_on = world.today
    world.mint("shop", 500_000)
    world.pay("shop", loans[0], back)
    world.pass_days(days)
    rows = [world.loan(loan) for loan in loans]
    lent = sum(row.principal_out for row in rows[1:])
    lost = rows[0].holdings[0].lost if world.today - defaulted_on <= 30 else 0
    assert needed(world) == -(-lent * rate // PPM) + lost
    assert find_violations(world.ledger) == {}


# ---------------------------------------------------------------------- what short cover does


def test_no_new_loan_without_its_cover(world: Goods) -> None:
    """60,000 for 600,000 at 10 %: with a unit less the acceptance is refused, with it it is not."""
    set_pool(world, rate=100_000)
    give_cover(world, 59_999)
    offer = world.ask("ann", world.products["harbour"])
    assert world.take("ann", offer).rejection is Rejection.COVER_LOW
    give_cover(world, 1)
    assert world.take("ann", offer).rejection is None
    assert withdraw(world, 1) is Rejection.COVER_SHORT


def test_promised_loans_need_their_cover_too(world: Goods) -> None:
    """Two loans that an agent has yet to pay out, each of which the cover would bear by itself: one is too many."""
    set_pool(world, rate=100_000)
    give_cover(world, 60_000)
    offers = {who: world.ask(who, world.products["harbour"]) for who in ("ann", "bob")}
    payloads = {
        who: Accept(
            offer=offer,
            terms_hash=world.ledger.books.state.need(OFFERS, offer).terms_hash,
            agent=world.account("agent"),
        )
        for who, offer in offers.items()
        if offer is not None
    }
    assert refused(world, "ann", payloads["ann"]) is None
    assert refused(world, "bob", payloads["bob"]) is Rejection.COVER_LOW
    give_cover(world, 60_000)
    assert refused(world, "bob", payloads["bob"]) is None


def test_fees_fill_cover_while_it_is_short(world: Goods) -> None:
    """A tenth of 831 of interest is the lender's: to cover while that is below its rate, to its cash afterwards."""
    set_pool(world, rate=100_000, fee=100_000)
    give_cover(world, 60_000)
    loan = lend(world)
    set_pool(world, rate=500_000, fee=100_000)
    world.mint("ann", 700_000)
    cash = world.cash("harbour")
    world.pass_days(7)
    world.pay("ann", loan, 831)
    assert (world.pool("harbour").cover, world.cash("harbour") - cash) == (60_083, 0)
    world.pay("ann", loan, 500_000)
    assert world.pool("harbour").cover == 60_083
    world.pass_days(7)
    interest = world.loan(loan).rows[1].interest_due
    world.pay("ann", loan, interest)
    paid = world.loan(loan).paid[1]
    assert paid == 831 + interest
    # Of all interest so far, less what was taken before: dust is not lost.
    assert (world.pool("harbour").cover, world.cash("harbour") - cash) == (60_083, paid // 10 - 83)


# ---------------------------------------------------------------------- terms


def test_a_pool_opens_with_its_terms_and_within_the_whole(world: Goods) -> None:
    """Rates are parts of a whole; what was asked for is what holds."""
    for rate, fee in ((PPM + 1, 0), (0, PPM + 1)):
        payload = PoolOpen(currency=CNY, borrower_max=Amount(1), cover_rate_ppm=Ppm(rate), fee_ppm=Ppm(fee))
        assert refused(world, "harbour", payload) is Rejection.POLICY_BROKEN
    payload = PoolOpen(currency=CNY, borrower_max=Amount(7), cover_rate_ppm=Ppm(PPM), fee_ppm=Ppm(5))
    world.must("harbour", payload)
    told = world.last("pool_opened").data
    assert (told["borrower_max"], told["cover_rate_ppm"], told["fee_ppm"]) == (7, PPM, 5)


def test_while_loans_are_open_terms_only_improve(world: Goods) -> None:
    """Cover rates rise and fees fall, limits move freely; without loans everything does."""
    set_pool(world, rate=50_000, fee=100_000)
    give_cover(world, 200_000)
    loan = lend(world)

    def try_set(rate: int, fee: int, limit: int = 1) -> Rejection | None:
        pool = world.pool_id("harbour")
        payload = PoolSet(pool=pool, borrower_max=Amount(limit), cover_rate_ppm=Ppm(rate), fee_ppm=Ppm(fee))
        return refused(world, "harbour", payload)

    assert try_set(49_999, 100_000) is Rejection.POOL_TERMS_LOCKED
    assert try_set(50_000, 100_001) is Rejection.POOL_TERMS_LOCKED
    assert try_set(50_000, 100_000, limit=9) is None
    assert try_set(50_001, 99_999) is None
    assert (world.pool("harbour").borrower_max, world.pool("harbour").fee_ppm) == (1, 99_999)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    # A claim is an open loan.
    assert try_set(50_000, 99_999) is Rejection.POOL_TERMS_LOCKED
    world.mint("bob", 1_000_000)
    world.pay("bob", loan, 1_000_000)
    assert try_set(0, PPM) is None
    assert try_set(0, PPM + 1) is Rejection.POLICY_BROKEN
