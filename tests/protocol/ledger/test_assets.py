"""Registered things: whose they are, what they secure, and what becomes of them when a secured loan fails."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import calculate_hash
from protocol.ids import AccountId, ObjectId
from protocol.ledger.assets import calculate_asset_id, rebind_things, split_by_value
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.records import Made, Repaid
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.rows import Role
from protocol.ledger.rules import Pause
from protocol.ledger.state import ACCOUNTS, ASSETS, GOVERNED, GOVERNED_KEY
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount, Currency, Ppm
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetRetire, AssetSeize, AssetSell, AssetTransfer
from protocol.transactions.pools import PoolDeposit
from protocol.transactions.products import Partner
from tests.protocol.ledger.goods import THING, Goods, lawful, registration
from tests.protocol.ledger.world import CNY, change, refused

NOBODY = ObjectId(calculate_hash("nobody"))


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lenders with pools, two persons, a merchant."""
    with lawful() as made:
        yield made


def transfer(asset: ObjectId, world: Goods, to: str) -> AssetTransfer:
    """Give a thing to a name."""
    return AssetTransfer(asset=asset, to=world.account(to))


def seize(asset: ObjectId, loan: ObjectId, value: int) -> AssetSeize:
    """Take a thing at a value."""
    return AssetSeize(asset=asset, loan=loan, value=Amount(value))


def sell(asset: ObjectId, price: int) -> AssetSell:
    """Sell a thing at a price."""
    return AssetSell(asset=asset, price=Amount(price))


# ---------------------------------------------------------------------- register


def test_a_thing_has_one_id_whoever_registers_it(world: Goods) -> None:
    """Id is H(class | serial): the same car cannot be registered twice, not even by another owner."""
    receipt = world.must("ann", registration(), cosigners=("issuer",))
    asset_id = calculate_asset_id("car", calculate_hash("serial", b"A-1"))
    assert receipt.outcome == (Made(id=asset_id),)
    row = world.asset(asset_id)
    assert (row.owner, row.value, row.lien, row.held, row.retired) == (world.account("ann"), THING, None, (), False)
    assert refused(world, "bob", registration(), cosigners=("issuer",)) is Rejection.ASSET_EXISTS
    assert refused(world, "bob", registration("A-2"), cosigners=("issuer",)) is None


def test_registering_names_its_first_fault(world: Goods) -> None:
    """An issuer's signature, a currency of the network, a value, and only then whether it is known."""
    world.register("ann")
    faulty: dict[str, Any] = {"currency": Currency("USD"), "value": 0}
    steps = [Rejection.ISSUER_UNKNOWN, Rejection.CURRENCY_UNKNOWN, Rejection.AMOUNT_ZERO, Rejection.ASSET_EXISTS]
    cosigners: tuple[str, ...] = ("bob",)
    for wanted in steps:
        assert refused(world, "ann", registration(**faulty), cosigners=cosigners) is wanted
        match wanted:
            case Rejection.ISSUER_UNKNOWN:
                cosigners = ("issuer",)
            case Rejection.CURRENCY_UNKNOWN:
                faulty["currency"] = CNY
            case Rejection.AMOUNT_ZERO:
                faulty["value"] = 1


def test_no_organisation_vouches_for_itself(world: Goods) -> None:
    """An issuer that owns a thing needs another issuer to register it; a frozen one vouches for nothing."""
    assert refused(world, "issuer", registration(), cosigners=("ann",)) is Rejection.ISSUER_UNKNOWN
    change(world, ACCOUNTS, world.account("eye"), roles=int(Role.ISSUER))
    assert refused(world, "issuer", registration(), cosigners=("eye",)) is None
    change(world, ACCOUNTS, world.account("eye"), frozen=True)
    assert refused(world, "ann", registration("A-2"), cosigners=("eye",)) is Rejection.ISSUER_UNKNOWN


# ---------------------------------------------------------------------- transfer, retire


def test_a_thing_changes_hands_when_both_sign(world: Goods) -> None:
    """The new owner co-signs, and then owns it alone."""
    asset = world.register("ann")
    assert refused(world, "ann", transfer(asset, world, "bob"), cosigners=("bob",)) is None
    assert world.asset(asset).owner == world.account("bob")
    assert refused(world, "ann", transfer(asset, world, "ann"), cosigners=()) is Rejection.ASSET_NOT_YOURS


def test_transferring_names_its_first_fault(world: Goods) -> None:
    """Who receives it, which thing, whose it is, whether it is free, and last the co-signature."""
    asset, pledged = world.register("ann"), world.register("bob", "B-1")
    world.secured("bob", pledged)
    nowhere = AssetTransfer(asset=NOBODY, to=AccountId(NOBODY))
    assert refused(world, "ann", nowhere) is Rejection.TARGET_UNKNOWN
    assert refused(world, "ann", transfer(NOBODY, world, "bob")) is Rejection.ASSET_UNKNOWN
    assert refused(world, "ann", transfer(pledged, world, "bob")) is Rejection.ASSET_NOT_YOURS
    assert refused(world, "bob", transfer(pledged, world, "ann")) is Rejection.ASSET_BOUND
    assert refused(world, "ann", transfer(asset, world, "bob")) is Rejection.COSIGNER_MISSING
    assert refused(world, "ann", transfer(asset, world, "bob"), cosigners=("shop",)) is Rejection.COSIGNER_MISSING
    change(world, ACCOUNTS, world.account("bob"), frozen=True)
    assert refused(world, "ann", transfer(asset, world, "bob"), cosigners=("bob",)) is Rejection.COSIGNER_MISSING


def test_striking_names_its_first_fault_and_is_for_good(world: Goods) -> None:
    """Issuer, thing, owner, free; a struck thing is not registered again, transferred or pledged."""
    asset, pledged = world.register("ann"), world.register("bob", "B-1")
    world.secured("bob", pledged)
    for who, target, cosigners, wanted in (
        ("ann", NOBODY, ("bob",), Rejection.ISSUER_UNKNOWN),
        ("ann", NOBODY, ("issuer",), Rejection.ASSET_UNKNOWN),
        ("ann", pledged, ("issuer",), Rejection.ASSET_NOT_YOURS),
        ("bob", pledged, ("issuer",), Rejection.ASSET_BOUND),
        ("ann", asset, ("issuer",), None),
        ("ann", asset, ("issuer",), Rejection.ASSET_UNKNOWN),
    ):
        assert refused(world, who, AssetRetire(asset=target), cosigners=cosigners) is wanted
    assert refused(world, "ann", registration(), cosigners=("issuer",)) is Rejection.ASSET_EXISTS
    assert refused(world, "ann", transfer(asset, world, "bob"), cosigners=("bob",)) is Rejection.ASSET_UNKNOWN


# ---------------------------------------------------------------------- pledges


def test_a_pledge_binds_until_the_loan_is_paid(world: Goods) -> None:
    """Accepting puts the loan's lien on the thing; paying it off takes it away and leaves the owner."""
    asset = world.register("ann")
    loan = world.secured("ann", asset)
    assert world.asset(asset).lien == loan
    world.mint("ann", 700_000)
    assert world.pay("ann", loan, 700_000).rejection is None
    assert world.loan(loan).closed_ms is not None
    assert (world.asset(asset).lien, world.asset(asset).owner) == (None, world.account("ann"))
    assert refused(world, "ann", transfer(asset, world, "bob"), cosigners=("bob",)) is None


def test_nothing_is_pledged_twice(world: Goods) -> None:
    """Of two offers on one thing only the first is taken; a thing that was given away secures nothing either."""
    asset, other = world.register("ann"), world.register("ann", "A-2")
    offers = [world.ask("ann", world.publish("harbour"), amount=200_000, collateral=(asset,)) for _ in range(2)]
    third = world.ask("ann", world.publish("harbour"), amount=200_000, collateral=(other,))
    assert world.take("ann", offers[0]).rejection is None
    assert world.take("ann", offers[1]).rejection is Rejection.ASSET_LIENED
    world.must("ann", transfer(other, world, "bob"), cosigners=("bob",))
    assert world.take("ann", third).rejection is Rejection.ASSET_LIENED
    assert find_violations(world.ledger) == {}


def test_a_loan_that_is_open_again_takes_back_what_is_still_there(world: Goods) -> None:
    """After a reversal the lien returns to things that are still the borrower's and free, and to no other."""
    kept, gone = world.register("ann"), world.register("ann", "A-2")
    loan = world.secured("ann", kept, gone)
    books = world.ledger.books
    contract = world.contract(loan)
    for asset in (kept, gone):
        change(world, ASSETS, asset, lien=None)
    world.must("ann", transfer(gone, world, "bob"), cosigners=("bob",))
    rebind_things(books, loan, contract, world.loan(loan))
    books.state.keep()
    assert (world.asset(kept).lien, world.asset(gone).lien) == (loan, None)


# ---------------------------------------------------------------------- seizure


def default_with(world: Goods, *serials: str, **options: Any) -> tuple[ObjectId, list[ObjectId]]:
    """A defaulted loan of ann's of 600,000, nothing paid, on pledged cars; returns it with the cars."""
    assets = [world.register("ann", serial) for serial in serials]
    loan = world.secured("ann", *assets)
    world.pass_days(100)
    world.default(loan, **options)
    return loan, assets


def test_seizing_names_its_first_fault(world: Goods) -> None:
    """Value, money for the surplus, the loan and its state, whose it is, the thing, the voucher, the lien."""
    loan, (asset,) = default_with(world, "A-1")
    free, healthy = world.register("ann", "A-2"), world.borrow("bob")
    much = 10_000_000
    for who, payload, cosigners, wanted in (
        ("harbour", seize(NOBODY, NOBODY, 0), (), Rejection.AMOUNT_ZERO),
        ("jade", seize(NOBODY, loan, much), (), Rejection.FUNDS_SHORT),
        ("harbour", seize(NOBODY, NOBODY, 1), (), Rejection.LOAN_UNKNOWN),
        ("jade", seize(NOBODY, healthy, much), (), Rejection.LOAN_STATE),
        ("jade", seize(NOBODY, loan, 1), (), Rejection.LOAN_NOT_YOURS),
        ("harbour", seize(NOBODY, loan, 1), (), Rejection.ASSET_UNKNOWN),
        ("harbour", seize(free, loan, 1), (), Rejection.COSIGNER_MISSING),
        ("harbour", seize(free, loan, 1), ("bob",), Rejection.COSIGNER_MISSING),
        ("harbour", seize(free, loan, 1), ("issuer",), Rejection.ASSET_UNFIT),
        ("ann", seize(asset, loan, 1), ("issuer",), Rejection.LOAN_NOT_YOURS),
        ("harbour", seize(asset, loan, 1), ("issuer",), None),
        ("harbour", seize(asset, loan, 1), ("issuer",), Rejection.ASSET_UNFIT),
    ):
        assert refused(world, who, payload, cosigners=cosigners) is wanted, payload
    world.mint("bob", 900_000)
    world.pay("bob", healthy, 900_000)
    assert refused(world, "jade", seize(NOBODY, healthy, much)) is Rejection.LOAN_CLOSED


def test_an_arbiter_may_vouch_and_a_pause_holds_seizures_and_sales(world: Goods) -> None:
    """Issuer or arbiter, never the lender itself; validators can pause what lenders do to loans."""
    loan, (asset,) = default_with(world, "A-1")
    change(world, ACCOUNTS, world.account("harbour"), roles=int(Role.VALIDATOR | Role.LENDER | Role.ARBITER))
    assert refused(world, "harbour", seize(asset, loan, 1), cosigners=("harbour",)) is Rejection.COSIGNER_MISSING
    change(world, ACCOUNTS, world.account("eye"), roles=int(Role.ARBITER))
    change(world, GOVERNED, GOVERNED_KEY, paused=int(Pause.SERVICING))
    world.ledger.books.load_governed()
    assert refused(world, "harbour", seize(asset, loan, 1), cosigners=("eye",)) is Rejection.PAUSED
    assert refused(world, "harbour", sell(asset, 1), cosigners=("bob",)) is Rejection.PAUSED
    change(world, GOVERNED, GOVERNED_KEY, paused=0)
    world.ledger.books.load_governed()
    assert refused(world, "harbour", seize(asset, loan, 1), cosigners=("eye",)) is None


def test_a_seizure_serves_principal_first_and_the_loan_stays_open(world: Goods) -> None:
    """400,000 of goods on 600,000 of principal: the pool holds them, its loss falls, no cash moves."""
    loan, (asset,) = default_with(world, "A-1")
    before, cash = world.pool("harbour"), world.cash("ann")
    assert world.book(world.pool_id("harbour"), Book.LOSS) == 600_000
    receipt = world.must("harbour", seize(asset, loan, 400_000), cosigners=("issuer",))
    fact: Any = receipt.outcome[0]
    assert isinstance(fact, Repaid)
    assert (fact.principal, fact.interest, fact.costs, fact.principal_left, fact.closed) == (
        400_000, 0, 0, 200_000, False,
    )  # fmt: skip
    row, after = world.loan(loan), world.pool("harbour")
    assert (row.state, row.principal_out, row.paid[0]) == (LoanState.DEFAULTED, 200_000, 400_000)
    assert (after.cash, after.assets - before.assets) == (before.cash, 400_000)
    assert world.book(world.pool_id("harbour"), Book.LOSS) == 200_000
    assert world.cash("ann") == cash
    thing = world.asset(asset)
    assert (thing.lien, thing.owner) == (None, world.account("harbour"))
    assert (thing.held, thing.cover_due, thing.advanced) == (((world.pool_id("harbour"), 400_000),), (), 0)


def test_what_a_seizure_brings_above_the_claim_is_the_borrowers(world: Goods) -> None:
    """The lender pays it from its own cash in the same step; the loan is recovered and its other things are free."""
    loan, (asset, other) = default_with(world, "A-1", "A-2")
    claim, had = calculate_claim(world.loan(loan)), world.cash("ann")
    value = claim + 50_000
    assert refused(world, "harbour", seize(asset, loan, value), cosigners=("issuer",)) is Rejection.FUNDS_SHORT
    world.mint("harbour", 50_000)
    world.must("harbour", seize(asset, loan, value), cosigners=("issuer",))
    assert world.loan(loan).state is LoanState.RECOVERED
    assert (world.cash("ann"), world.cash("harbour")) == (had + 50_000, 0)
    assert (world.pool("harbour").assets, world.asset(asset).advanced) == (claim, 50_000)
    assert world.asset(other).lien is None
    assert world.asset(other).owner == world.account("ann")
    # The claim's interest and penalties came in goods too, and count as income.
    paid = world.loan(loan).paid
    assert (sum(paid), paid[0]) == (claim, 600_000)
    assert world.book(world.pool_id("harbour"), Book.LOSS) == 0
    # A sale at that value gives the lender its outlay back; there is no gain.
    world.mint("bob", value)
    cash = world.pool("harbour").cash
    world.must("harbour", sell(asset, value), cosigners=("bob",))
    assert (world.cash("harbour"), world.pool("harbour").cash) == (50_000, cash + claim)
    assert world.book(world.pool_id("harbour"), Book.GAIN) == 0


def test_goods_pay_no_costs_but_costs_are_set_against_a_surplus(world: Goods) -> None:
    """Costs were paid in cash: below the claim they stay owed, above it the lender keeps them of what it would owe."""
    loan, (asset, other) = default_with(world, "A-1", "A-2", costs=30_000)
    claim = calculate_claim(world.loan(loan)) - 30_000
    world.must("harbour", seize(asset, loan, claim - 1_000), cosigners=("issuer",))
    assert world.loan(loan).costs == 30_000
    assert calculate_claim(world.loan(loan)) == 31_000
    # 1,000 serve the rest, 30,000 the costs, and 9,000 go to the borrower.
    world.mint("harbour", 9_000)
    had = world.cash("ann")
    receipt = world.must("harbour", seize(other, loan, 40_000), cosigners=("issuer",))
    fact: Any = receipt.outcome[0]
    assert (fact.costs, fact.closed, world.cash("ann") - had, world.cash("harbour")) == (30_000, True, 9_000, 0)
    assert (world.pool("harbour").assets, world.asset(other).advanced) == (claim, 39_000)
    assert world.loan(loan).state is LoanState.RECOVERED


def test_costs_alone_keep_a_loan_open(world: Goods) -> None:
    """Goods worth all rows leave the costs owed: the loan ends when they are paid in cash."""
    loan, (asset,) = default_with(world, "A-1", costs=30_000)
    world.must("harbour", seize(asset, loan, calculate_claim(world.loan(loan)) - 30_000), cosigners=("issuer",))
    assert (world.loan(loan).state, calculate_claim(world.loan(loan))) == (LoanState.DEFAULTED, 30_000)
    assert find_violations(world.ledger) == {}
    world.mint("bob", 30_000)
    assert world.pay("bob", loan, 50_000).rejection is None
    assert (world.loan(loan).state, world.cash("harbour"), world.cash("bob")) == (LoanState.RECOVERED, 30_000, 0)


def test_cover_waits_for_the_sale(world: Goods) -> None:
    """Of 600,000 cover paid 100,000: goods of 600,000 are the pool's for 500,000, cover's part comes with the price."""
    world.mint("harbour", 100_000)
    loan, (asset,) = default_with(world, "A-1", cover=100_000)
    world.must("harbour", seize(asset, loan, 600_000), cosigners=("issuer",))
    pool_id = world.pool_id("harbour")
    thing, pool = world.asset(asset), world.pool("harbour")
    assert (thing.held, thing.cover_due, thing.advanced) == (((pool_id, 500_000),), ((pool_id, 100_000),), 0)
    assert (pool.assets, pool.cover, world.book(pool_id, Book.LOSS)) == (500_000, 0, 0)
    world.mint("bob", 540_000)
    world.must("harbour", sell(asset, 540_000), cosigners=("bob",))
    after = world.pool("harbour")
    assert (after.assets, after.cover, after.cash - pool.cash) == (0, 40_000, 500_000)
    assert (world.book(pool_id, Book.GAIN), world.book(pool_id, Book.LOSS)) == (0, 0)
    thing = world.asset(asset)
    assert (thing.held, thing.cover_due, thing.owner) == ((), (), world.account("bob"))


# ---------------------------------------------------------------------- sale


def test_selling_names_its_first_fault(world: Goods) -> None:
    """Price, the buyer's money, the thing, whose it is, the buyer, and whether pools hold it at all."""
    loan, (asset,) = default_with(world, "A-1")
    world.must("harbour", seize(asset, loan, 400_000), cosigners=("issuer",))
    own = world.register("harbour", "H-1")
    for who, payload, cosigners, wanted in (
        ("harbour", sell(NOBODY, 0), (), Rejection.AMOUNT_ZERO),
        ("jade", sell(asset, 1), ("bob",), Rejection.FUNDS_SHORT),
        ("jade", sell(NOBODY, 1), (), Rejection.ASSET_UNKNOWN),
        ("jade", sell(asset, 1), (), Rejection.ASSET_NOT_YOURS),
        ("harbour", sell(own, 1), (), Rejection.COSIGNER_MISSING),
        ("harbour", sell(asset, 400_000), ("ann", "bob"), Rejection.COSIGNER_MISSING),
        ("harbour", sell(own, 1), ("bob",), Rejection.ASSET_UNFIT),
        ("harbour", transfer(asset, world, "bob"), ("bob",), Rejection.ASSET_BOUND),
        ("harbour", AssetRetire(asset=asset), ("issuer",), Rejection.ASSET_BOUND),
    ):
        assert refused(world, who, payload, cosigners=cosigners) is wanted, payload


@pytest.mark.parametrize(("price", "gain", "loss"), [(390_000, 0, 10_000), (400_000, 0, 0), (425_000, 25_000, 0)])
def test_a_sale_realises_the_difference(world: Goods, price: int, gain: int, loss: int) -> None:
    """Goods leave at their value, cash comes at the price; the thing is the buyer's and free. Below it one vouches."""
    loan, (asset,) = default_with(world, "A-1")
    world.must("harbour", seize(asset, loan, 400_000), cosigners=("issuer",))
    before, pool_id = world.pool("harbour"), world.pool_id("harbour")
    world.mint("bob", price)
    if loss:
        for cosigners in (("bob",), ("bob", "jade")):
            assert refused(world, "harbour", sell(asset, price), cosigners=cosigners) is Rejection.COSIGNER_MISSING
    world.must("harbour", sell(asset, price), cosigners=("bob", "court") if loss else ("bob",))
    after = world.pool("harbour")
    assert (after.cash - before.cash, after.assets, world.cash("bob")) == (price, 0, 0)
    assert (world.book(pool_id, Book.GAIN), world.book(pool_id, Book.LOSS)) == (gain, 200_000 + loss)
    assert world.register("bob", "B-2") != asset
    assert refused(world, "bob", transfer(asset, world, "ann"), cosigners=("ann",)) is None


def test_pools_hold_and_sell_by_share(world: Goods) -> None:
    """Two pools of two thirds and a third: goods, price and gain are split the same way, the rest unit to the lead."""
    partner = (Partner(pool=world.pool_id("jade"), share_ppm=Ppm(333_333)),)
    asset = world.register("ann")
    product = world.publish("harbour", cosigners=("jade",), partners=partner)
    assert world.take("ann", world.ask("ann", product, collateral=(asset,))).rejection is None
    loan = world.made("loan", "ann")
    world.pass_days(100)
    world.default(loan)
    world.must("harbour", seize(asset, loan, 100_000), cosigners=("issuer",))
    # The partner keeps a third of the 500,000 that are left, rounded down: 166,666 of its 199,999.
    assert world.asset(asset).held == ((world.pool_id("harbour"), 66_667), (world.pool_id("jade"), 33_333))
    cash = [world.pool(one).cash for one in ("harbour", "jade")]
    world.mint("bob", 100_100)
    world.must("harbour", sell(asset, 100_100), cosigners=("bob",))
    came = [world.pool(one).cash - had for one, had in zip(("harbour", "jade"), cash, strict=True)]
    assert came == [66_667 + 67, 33_333 + 33]
    assert [world.pool(one).assets for one in ("harbour", "jade")] == [0, 0]


def test_goods_count_in_what_a_share_costs(world: Goods) -> None:
    """Net asset value is cash, principal and goods: a deposit after a seizure is not cheaper by the goods."""
    loan, (asset,) = default_with(world, "A-1")
    world.must("harbour", seize(asset, loan, 400_000), cosigners=("issuer",))
    pool = world.pool("harbour")
    value = pool.cash + pool.principal + 400_000
    world.mint("bob", 1_000_000)
    receipt = world.must("bob", PoolDeposit(pool=world.pool_id("harbour"), amount=Amount(1_000_000)))
    fact: Any = receipt.outcome[0]
    # Whoever comes pays for what may still come back, too.
    assert fact.shares == 1_000_000 * (pool.shares + 1_000) // (value + pool.lost + 1)


@given(
    values=st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
    amount=st.integers(0, 10**9),
)
@settings(max_examples=200, deadline=None)
def test_a_split_by_value_conserves(values: list[int], amount: int) -> None:
    """Parts sum to the amount, none is negative, and nobody but the first gets more than its proportion."""
    parts = tuple((ObjectId(bytes(31) + bytes((index,))), Amount(value)) for index, value in enumerate(values))
    found, total = split_by_value(parts, amount), sum(values)
    assert sum(found) == amount
    assert min(found) >= 0
    assert all(part * total <= amount * value for part, value in zip(found[1:], values[1:], strict=True))
