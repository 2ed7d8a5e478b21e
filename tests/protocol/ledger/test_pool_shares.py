"""The price of a pool's share: nobody gains by coming and going, and no attack on it pays."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import ZERO_DIGEST, AccountId, TimeMs
from protocol.ledger.books import Books
from protocol.ledger.exits import begin_round, calculate_served
from protocol.ledger.invariants import find_violations
from protocol.ledger.pools import (
    VIRTUAL_SHARES,
    calculate_assets,
    calculate_assets_out,
    calculate_shares,
    is_price_unfair,
)
from protocol.ledger.rows import ExitRound, Leaving, Pool
from protocol.ledger.rules import Pause
from protocol.ledger.state import POOLS, replace
from protocol.money import AMOUNT_MAX, Amount
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolDeposit
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, invest, leave, lend, nav, read_shares
from tests.protocol.ledger.world import CNY, change, make_genesis, refused

BOOKS = Books(make_genesis())
"""Only their clock and pauses are read."""
NOBODY = AccountId(ZERO_DIGEST)
POOLS_OF = st.builds(
    lambda cash, principal, assets, cut, issued: Pool(
        owner=NOBODY,
        currency=CNY,
        borrower_max=Amount(0),
        cash=Amount(cash),
        principal=Amount(principal),
        assets=Amount(assets),
        haircut=Amount(principal * cut // 100),
        shares=issued,
    ),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
    st.integers(0, 100),
    st.integers(0, 10**12),
)


@settings(max_examples=300, deadline=None)
@given(pool=POOLS_OF, amount=st.integers(1, 10**9), others=st.integers(0, 10**12))
def test_a_deposit_and_an_exit_never_gain(pool: Pool, amount: int, others: int) -> None:
    """(23) Whatever the pool, whoever else leaves with her: she has at most what she brought, and the rest no less."""
    bought = calculate_shares(pool, amount)
    after = replace(pool, cash=pool.cash + amount, shares=pool.shares + bought)
    assert calculate_assets(pool) * (after.shares + VIRTUAL_SHARES) <= (calculate_assets(after) + 1) * (
        pool.shares + VIRTUAL_SHARES
    )
    leaving = bought + min(others, pool.shares)
    if not leaving:
        return
    assets, issued = calculate_assets_out(after) + 1, after.shares + VIRTUAL_SHARES
    for free in (0, 1, after.cash // 2, after.cash):
        pay = min(free, leaving * assets // issued)
        running = ExitRound(
            due_ms=TimeMs(0),
            shares=leaving,
            assets=assets,
            issued=issued,
            pay=Amount(pay),
            shares_left=leaving,
            cash_left=Amount(pay),
        )
        paid, burned = calculate_served(running, bought)
        assert paid <= min(amount, pay)
        assert 0 <= burned <= bought
        # The price of those who stay does not fall.
        assert (assets - paid) * issued >= assets * (issued - burned)


@settings(max_examples=200, deadline=None)
@given(
    pool=POOLS_OF,
    parts=st.lists(st.integers(1, 10**11), min_size=1, max_size=6),
    reserved=st.integers(0, 10**9),
    paused=st.booleans(),
)
def test_a_round_pays_no_more_than_its_cash(pool: Pool, parts: list[int], reserved: int, paused: bool) -> None:
    """Parts are conserving: never above the free cash, and less only by what rounding leaves, a unit an exit."""
    row = replace(pool, shares=pool.shares + sum(parts), reserved=Amount(min(reserved, pool.cash)))
    BOOKS.paused = int(Pause.POOLS) if paused else 0
    running = begin_round(BOOKS, row, Leaving(next_ms=TimeMs(0), shares=sum(parts)))
    paid = [calculate_served(running, part)[0] for part in parts]
    assert running.pay <= row.cash - row.reserved
    assert running.pay == 0 or not paused
    assert running.pay - len(parts) < sum(paid) <= running.pay


def test_shares_cannot_be_inflated_at_the_first_depositors_cost() -> None:
    """One unit, then a gift of 1,000,000 to the pool: the attacker loses more than half, and the next loses dust."""
    empty = Pool(owner=NOBODY, currency=CNY, borrower_max=Amount(0))
    first = calculate_shares(empty, 1)
    assert first == 1_000
    rich = replace(empty, cash=Amount(1_000_001), shares=first)
    victim = calculate_shares(rich, 1_000_000)
    assets, issued = 2_000_001 + 1, first + victim + VIRTUAL_SHARES
    attacker, hers = first * assets // issued, victim * assets // issued
    assert attacker < 1_000_001 // 2 + 1_000
    assert 1_000_000 - hers <= 1_000_000 // 1_000
    # What would be rounded to nothing is not taken at all.
    assert calculate_shares(rich, 500) == 0


def test_nothing_is_left_in_a_pool_that_all_have_left() -> None:
    """Everybody leaves: the pool is empty of shares, and the next one begins at a fair price."""
    with lawful() as world:
        for who in ("ann", "bob"):
            invest(world, who, 70_001)
        for who in ("harbour", "ann", "bob"):
            leave(world, who, read_shares(world, who))
        world.pass_days(1)
        pool = world.pool("harbour")
        assert (pool.shares, pool.exiting, pool.cash) == (0, 0, 0)
        assert [world.cash(who) for who in ("harbour", "ann", "bob")] == [10_000_000, 70_001, 70_001]
        invest(world, "shop", 5)
        assert read_shares(world, "shop") == 5_000


def test_a_pool_that_lost_takes_no_deposit_for_what_may_come_back() -> None:
    """Of 600,000 all is lost: whoever came now for a unit would own nearly all that is recovered."""
    world = Goods()
    # Harbour leaves until its pool holds just what it lends.
    leave(world, "harbour", 9_400_000_000)
    world.pass_days(1)
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    pool = world.pool("harbour")
    assert (nav(pool), pool.lost, is_price_unfair(pool)) == (3_000, 600_000, True)
    world.mint("ann", 500_000)
    deposit = PoolDeposit(pool=world.pool_id("harbour"), amount=Amount(100))
    assert refused(world, "ann", deposit) is Rejection.POOL_LOST
    # Once as much is left as may still come back, a deposit can at most double.
    world.pay("ann", loan, 298_500)
    assert refused(world, "ann", deposit) is Rejection.POOL_LOST
    world.pay("ann", loan, 1)
    pool = world.pool("harbour")
    assert (nav(pool), pool.lost) == (301_501, 301_499)
    assert refused(world, "ann", deposit) is None
    assert find_violations(world.ledger) == {}


def test_coming_in_between_default_and_recovery_gains_nothing() -> None:
    """Bob brings nine times what is left, Ann's whole debt comes back, Bob leaves: with no more than he brought."""
    world = Goods()
    leave(world, "harbour", 9_000_000_000)
    world.pass_days(1)
    loan = lend(world, amount=400_000)
    world.pass_days(DEFAULT_DAY)
    world.must("eye", distress(loan))
    assert world.pool("harbour").lost == 400_000
    invest(world, "bob", 5_400_000)
    world.mint("ann", 500_000)
    assert world.pay("ann", loan, 500_000).rejection is None
    leave(world, "bob", read_shares(world, "bob"))
    world.pass_days(1)
    # Of what came back above the principal lost, interest and late charges, he has his part as any investor.
    income = nav(world.pool("harbour")) + world.cash("bob") - 5_400_000 - 1_000_000
    assert 0 <= world.cash("bob") - 5_400_000 <= income
    assert find_violations(world.ledger) == {}


def test_shares_are_bounded() -> None:
    """After a loss shares are cheap; a deposit that would pass what readers can count is refused."""
    world = Goods()
    pool_id = world.pool_id("harbour")
    world.mint("ann", 500_000)
    change(world, POOLS, pool_id, shares=AMOUNT_MAX - 1_000)
    deposit = PoolDeposit(pool=pool_id, amount=Amount(500_000))
    assert world.do("ann", deposit).rejection is Rejection.AMOUNT_TOO_LARGE
