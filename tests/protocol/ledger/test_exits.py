"""Leaving a pool: all who wait share a day's cash at one price, whoever asked first and wherever a block ends."""

from collections.abc import Iterator
from itertools import permutations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.ids import ObjectId
from protocol.ledger import execute
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.pools import VIRTUAL_SHARES, calculate_assets_out
from protocol.ledger.rows import Exit
from protocol.ledger.rules import Pause
from protocol.ledger.state import EXITS, GOVERNED, GOVERNED_KEY, LEAVERS, POOLS
from protocol.loans.delinquency import AssetClass
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolDeposit, PoolExit, PoolExitCancel
from protocol.transactions.servicing import DistressKind
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import distress, invest, leave, lend, lend_and_default, nav, read_shares
from tests.protocol.ledger.world import DAY_MS, change, refused


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lawful in the end, and again from its rows. Harbour's pool holds 10,000,000 of its own."""
    with lawful() as goods:
        yield goods


def read_exit(world: Goods, exit_id: ObjectId) -> Exit:
    """Its row."""
    return world.ledger.books.state.need(EXITS, exit_id)


# ---------------------------------------------------------------------- by hand


def test_a_lender_does_not_make_leaving_dear_alone(world: Goods) -> None:
    """Once Ann has asked, an arbiter vouches for a worse class: Harbour's own shares would gain by her loss."""
    invest(world, "ann", 1_000_000)
    loan = lend(world, "bob")
    exit_id = leave(world, "ann", read_shares(world, "ann"))
    worse = distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.LOSS)
    assert refused(world, "harbour", worse) is Rejection.ARBITER_MISSING
    assert refused(world, "harbour", worse, cosigners=("court",)) is None
    world.must("harbour", distress(loan, DistressKind.UNIMPAIR))
    world.must("ann", PoolExitCancel(exit=exit_id))
    assert refused(world, "harbour", worse) is None


def test_an_exit_is_paid_at_the_start_of_the_next_day(world: Goods) -> None:
    """Shares stand in escrow until then; with cash for all, the whole claim is paid and the exit is closed."""
    invest(world, "ann", 50_000)
    assert read_shares(world, "ann") == 50_000_000
    exit_id = leave(world, "ann", 20_000_000)
    pool = world.pool("harbour")
    assert (read_shares(world, "ann"), pool.exiting, pool.shares) == (30_000_000, 20_000_000, 10_050_000_000)
    assert read_exit(world, exit_id).due_ms == world.genesis.calculate_day_start_ms(world.today + 1, 0)
    assert find_violations(world.ledger) == {}
    world.block()
    assert world.cash("ann") == 0
    world.pass_days(1)
    assert world.cash("ann") == 20_000
    assert read_exit(world, exit_id).paid == 20_000
    assert (read_exit(world, exit_id).shares, read_exit(world, exit_id).due_ms) == (0, None)
    pool = world.pool("harbour")
    assert (pool.exiting, pool.leaving, pool.shares, pool.cash) == (0, None, 10_030_000_000, 10_030_000)
    assert world.book(world.pool_id("harbour"), Book.CAPITAL) == 10_030_000
    assert world.ledger.books.state.count(LEAVERS) == 0
    assert world.last("exit_paid").data["amount"] == 20_000


def test_who_waits_shares_the_free_cash_by_shares(world: Goods) -> None:
    """Claims of 60,000 and 20,000 on 1,000 of free cash: 750 and 250, for no more shares than that is worth."""
    for who, amount in (("ann", 60_000), ("bob", 20_000)):
        invest(world, who, amount)
    big = lend(world, "ann", amount=800_000)
    world.pass_days(4)
    state, pool_id = world.ledger.books.state, world.pool_id("harbour")
    exits = [leave(world, who, count) for who, count in (("ann", 60_000_000), ("bob", 20_000_000))]
    # All but 1,000 of the cash is promised to somebody else.
    held = world.pool("harbour").cash - 1_000
    change(world, POOLS, pool_id, reserved=Amount(held))
    before = [world.cash(who) for who in ("ann", "bob")]
    world.pass_days(1)
    gained = [world.cash(who) - had for who, had in zip(("ann", "bob"), before, strict=True)]
    assert gained == [750, 250]
    price = (calculate_assets_out(world.pool("harbour")) + 1, world.pool("harbour").shares + VIRTUAL_SHARES)
    for exit_id, paid, asked in zip(exits, gained, (60_000_000, 20_000_000), strict=True):
        row = state.need(EXITS, exit_id)
        assert row.paid == paid
        # One share less would have been worth less than what was paid.
        burned = asked - row.shares
        assert (burned - 1) * price[0] < paid * price[1] <= burned * price[0] + price[1]
    assert state.need(POOLS, pool_id).reserved == held
    change(world, POOLS, pool_id, reserved=Amount(0))
    world.pass_days(1)
    assert [state.need(EXITS, one).shares for one in exits] == [0, 0]
    assert world.loan(big).principal_out == 800_000


def test_leaving_leaves_haircuts_behind(world: Goods) -> None:
    """800,000 lent at 1 %: of 10,100,000 those who stay keep 8,000, so a share of the claim is worth that less."""
    invest(world, "bob", 100_000)
    lend(world, "ann", amount=800_000)
    pool = world.pool("harbour")
    assert (nav(pool), pool.haircut) == (10_104_000, 8_000)
    leave(world, "bob", 100_000_000)
    world.pass_days(1)
    # 100,000,000 shares of 10,100,001,000, of 10,096,001.
    assert world.cash("bob") == 100_000_000 * 10_096_001 // 10_100_001_000
    assert world.cash("bob") == 99_960


def test_what_is_not_paid_waits_and_can_be_taken_back(world: Goods) -> None:
    """No cash, no payment, day after day; cancelled shares are free again and others are not touched."""
    invest(world, "ann", 50_000)
    invest(world, "bob", 50_000)
    first, second = leave(world, "ann", 50_000_000), leave(world, "bob", 40_000_000)
    pool_id = world.pool_id("harbour")
    change(world, POOLS, pool_id, reserved=Amount(world.pool("harbour").cash))
    for _ in range(3):
        world.pass_days(1)
        row = read_exit(world, first)
        assert (row.paid, row.shares) == (0, 50_000_000)
        assert row.due_ms == world.genesis.calculate_day_start_ms(world.today + 1, 0)
    assert refused_any(world, "bob", PoolExitCancel(exit=first)) is Rejection.EXIT_UNKNOWN
    world.must("ann", PoolExitCancel(exit=first))
    assert refused_any(world, "ann", PoolExitCancel(exit=first)) is Rejection.EXIT_CLOSED
    assert (read_shares(world, "ann"), world.pool("harbour").exiting) == (50_000_000, 40_000_000)
    change(world, POOLS, pool_id, reserved=Amount(0))
    world.pass_days(1)
    assert (read_exit(world, second).shares, world.cash("bob"), world.cash("ann")) == (0, 40_000, 0)


def refused_any(world: Goods, who: str, payload: object) -> Rejection | None:
    """A refusal in books whose reserve was altered behind the ledger's back."""
    return world.do(who, payload).rejection  # type: ignore[arg-type]


def test_an_account_waits_once_in_a_pool(world: Goods) -> None:
    """So that a day's work is bounded by investors; each error in its order."""
    pool = world.pool_id("harbour")
    invest(world, "ann", 50_000)
    assert refused(world, "ann", PoolExit(pool=pool, shares=0)) is Rejection.AMOUNT_ZERO
    # Less than a unit.
    assert refused(world, "ann", PoolExit(pool=pool, shares=999)) is Rejection.AMOUNT_ZERO
    assert refused(world, "ann", PoolExit(pool=world.account("ann"), shares=9)) is Rejection.POOL_UNKNOWN
    assert refused(world, "ann", PoolExit(pool=pool, shares=50_000_001)) is Rejection.SHARES_SHORT
    exit_id = leave(world, "ann", 1_000_000)
    assert refused(world, "ann", PoolExit(pool=pool, shares=49_000_001)) is Rejection.SHARES_SHORT
    assert refused(world, "ann", PoolExit(pool=pool, shares=49_000_000)) is Rejection.EXIT_OPEN
    world.must("ann", PoolExitCancel(exit=exit_id))
    again = leave(world, "ann", 50_000_000)
    assert again != exit_id
    world.pass_days(1)
    assert world.cash("ann") == 50_000
    assert refused(world, "ann", PoolExit(pool=pool, shares=1_000)) is Rejection.SHARES_SHORT


def test_a_credential_that_ended_keeps_nobody_in(world: Goods) -> None:
    """Investing needs one, leaving does not."""
    invest(world, "ann", 50_000)
    world.mint("ann", 10)
    world.pass_days(5_000)
    deposit = PoolDeposit(pool=world.pool_id("harbour"), amount=Amount(10))
    assert refused(world, "ann", deposit) is Rejection.CREDENTIAL_EXPIRED
    leave(world, "ann", 50_000_000)
    world.pass_days(1)
    assert world.cash("ann") == 50_010


def test_a_pause_of_pools_pays_nobody(world: Goods) -> None:
    """Those who asked before it have no better right; cancelling is never paused."""
    invest(world, "ann", 50_000)
    invest(world, "bob", 50_000)
    exit_id = leave(world, "ann", 50_000_000)
    pool = world.pool_id("harbour")
    change(world, GOVERNED, GOVERNED_KEY, paused=int(Pause.POOLS))
    world.ledger.books.load_governed()
    assert refused_any(world, "bob", PoolExit(pool=pool, shares=50_000_000)) is Rejection.PAUSED
    world.pass_days(2)
    assert (world.cash("ann"), read_exit(world, exit_id).shares) == (0, 50_000_000)
    world.must("ann", PoolExitCancel(exit=exit_id))
    ask_again = PoolExit(pool=pool, shares=50_000_000)
    assert refused_any(world, "ann", ask_again) is Rejection.PAUSED
    change(world, GOVERNED, GOVERNED_KEY, paused=0)
    world.ledger.books.load_governed()
    assert refused_any(world, "ann", ask_again) is None
    world.pass_days(1)
    assert world.cash("ann") == 50_000


# ---------------------------------------------------------------------- nobody is first


PEOPLE = ("ann", "bob", "shop", "jade")


def run_on_harbour(
    counts: dict[str, int], order: tuple[str, ...], free: int, *, blocks: int, one_block: bool
) -> object:
    """Four investors ask in an order, in one block or in several of a day; what they have on the day after."""
    world = Goods()
    for who in PEOPLE:
        invest(world, who, 90_000)
    lend(world, "ann", amount=800_000)
    world.pass_days(4)
    nonces = {who: world.nonces[who] + 1 for who in PEOPLE}
    pool_id = world.pool_id("harbour")
    calls = [
        (world.transaction(who, PoolExit(pool=pool_id, shares=counts[who]), nonce=nonces[who]), ()) for who in order
    ]
    if one_block:
        world.block(*calls)
    else:
        for call in calls:
            world.block(call)
    held = world.pool("harbour").cash - free
    change(world, POOLS, pool_id, reserved=Amount(held))
    world.now_ms = world.genesis.calculate_day_start_ms(world.today + 1, 0)
    for _ in range(blocks):
        world.block(ms=1)
    pool = world.pool("harbour")
    assert pool.reserved == held
    assert pool.leaving is None or pool.leaving.round is None
    rows = {row.account: (row.shares, row.paid, row.due_ms) for _, row in world.ledger.books.state.items(EXITS)}
    return rows, [world.cash(who) for who in PEOPLE], pool


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    counts=st.tuples(*[st.integers(1_000, 90_000_000)] * 4),
    order=st.permutations(PEOPLE),
    free=st.one_of(st.integers(0, 5), st.integers(0, 400_000)),
    one_block=st.booleans(),
)
def test_the_order_of_requests_does_not_matter(
    counts: tuple[int, ...], order: list[str], free: int, one_block: bool
) -> None:
    """Whoever asks first, in one block or in four, everybody has the same; and so with one event a block."""
    asked = dict(zip(PEOPLE, counts, strict=True))
    wanted = run_on_harbour(asked, PEOPLE, free, blocks=1, one_block=True)
    assert run_on_harbour(asked, tuple(order), free, blocks=1, one_block=one_block) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 1)
        found = run_on_harbour(asked, tuple(order), free, blocks=9, one_block=one_block)
    assert found == wanted


def test_a_round_keeps_its_price_and_cash_from_block_to_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one event a block, what happens between two payments changes neither: not a loan, nor a deposit."""
    world = Goods()
    for who in PEOPLE:
        invest(world, who, 90_000)
    exits = [leave(world, who, 90_000_000) for who in PEOPLE]
    offer = world.ask("ann", world.products["harbour"], amount=300_000)
    world.mint("shop", 100_000)
    world.now_ms = world.genesis.calculate_day_start_ms(world.today + 1, 0)
    monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 1)
    world.block(ms=1)
    leaving = world.pool("harbour").leaving
    assert leaving is not None
    assert leaving.round is not None
    assert (leaving.round.pay, leaving.round.shares_left) == (360_000, 270_000_000)
    assert find_violations(world.ledger) == {}
    # A newcomer, a loan, and one who changes her mind while the round runs.
    assert world.take("ann", offer).rejection is None
    world.must("shop", PoolDeposit(pool=world.pool_id("harbour"), amount=Amount(100_000)))
    assert find_violations(world.ledger) == {}
    for _ in range(6):
        world.block(ms=1)
        assert find_violations(world.ledger) == {}
    assert [read_exit(world, one).paid for one in exits] == [90_000] * 4
    assert world.pool("harbour").leaving is None


def test_cancelling_in_a_running_round_takes_nothing_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cancels at the moment it can; the round ends with those who stay, and its cash is free again."""
    for turn in range(3):
        world = Goods()
        for who in PEOPLE:
            invest(world, who, 90_000)
        exits = {who: leave(world, who, 90_000_000) for who in PEOPLE}
        pool_id = world.pool_id("harbour")
        change(world, POOLS, pool_id, reserved=Amount(world.pool("harbour").cash - 1_001))
        world.now_ms = world.genesis.calculate_day_start_ms(world.today + 1, 0)
        monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 1)
        for _ in range(turn + 1):
            world.block(ms=1)
        served = [who for who in PEOPLE if read_exit(world, exits[who]).paid]
        leaver = next(who for who in PEOPLE if who not in served)
        monkeypatch.undo()
        monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 0)
        world.must(leaver, PoolExitCancel(exit=exits[leaver]))
        monkeypatch.undo()
        world.block(ms=1)
        pool = world.pool("harbour")
        assert pool.leaving is not None
        assert pool.leaving.round is None
        assert read_shares(world, leaver) == 90_000_000
        assert {read_exit(world, exits[who]).paid for who in PEOPLE if who != leaver} == {250}
        assert pool.cash - pool.reserved == 1_001 - 750
        change(world, POOLS, pool_id, reserved=Amount(0))
        assert find_violations(world.ledger) == {}
        world.pass_days(1)
        assert find_violations(world.ledger) == {}


def test_saved_rows_in_the_middle_of_a_round_go_on_as_the_books_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that restarts between two blocks of a round pays what the others pay."""
    world = Goods()
    for who in PEOPLE:
        invest(world, who, 90_000)
        leave(world, who, 40_000_000)
    world.now_ms = world.genesis.calculate_day_start_ms(world.today + 1, 0)
    monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 2)
    world.block(ms=1)
    ledger = world.ledger
    again = Ledger.from_rows(world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    world.now_ms += 1
    for one in (ledger, again):
        one.begin_block(world.header(ledger.height + 1 if one is ledger else again.height + 1))
        one.end_block()
    assert again.exec_root == ledger.exec_root
    assert all(row.due_ms is None for _, row in ledger.books.state.items(EXITS))


def test_an_exit_waits_through_a_total_loss(world: Goods) -> None:
    """Shares worth nothing are not burned for nothing: what is recovered pays them."""
    leave(world, "harbour", 9_400_000_000)
    world.pass_days(1)
    loan = lend_and_default(world)
    change(world, POOLS, world.pool_id("harbour"), reserved=Amount(3_000))
    exit_id = leave(world, "harbour", 600_000_000)
    world.pass_days(2)
    assert read_exit(world, exit_id).shares == 600_000_000
    change(world, POOLS, world.pool_id("harbour"), reserved=Amount(0))
    world.mint("bob", 600_000)
    world.pay("bob", loan, 600_000)
    had = world.cash("harbour")
    world.pass_days(1)
    # 600,000,000 shares of 600,001,000, of 603,001: the last unit is the virtual shares'.
    assert world.cash("harbour") - had == 602_999
    assert read_exit(world, exit_id).due_ms is None


def test_days_without_blocks_are_one_round(world: Goods) -> None:
    """Forty days pass at once: one payment, and the rest waits for the day after the block's."""
    invest(world, "ann", 50_000)
    exit_id = leave(world, "ann", 50_000_000)
    change(world, POOLS, world.pool_id("harbour"), reserved=Amount(world.pool("harbour").cash - 10_000))
    world.block(ms=40 * DAY_MS)
    row = read_exit(world, exit_id)
    assert row.paid == 10_000
    assert row.due_ms == world.genesis.calculate_day_start_ms(world.today + 1, 0)
    change(world, POOLS, world.pool_id("harbour"), reserved=Amount(0))
    world.pass_days(1)
    assert world.cash("ann") == 50_000


def test_every_order_of_three_is_the_same() -> None:
    """By exhaustion, with less cash than claims."""
    counts = dict(zip(PEOPLE, (10_000_000, 20_000_000, 30_000_001, 1_000), strict=True))
    ends = [
        run_on_harbour(counts, (*order, "jade"), 777, blocks=1, one_block=True) for order in permutations(PEOPLE[:3])
    ]
    assert all(end == ends[0] for end in ends)
