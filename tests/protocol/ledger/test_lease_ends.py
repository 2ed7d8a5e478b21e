"""How a lease ends: return, purchase, extension or payment; the plain lease is that of `test_leases`."""

from collections.abc import Iterator
from typing import Any

import pytest

from protocol.crypto import calculate_hash
from protocol.ids import Day, ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.leases import calculate_extension
from protocol.ledger.loans import load_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, CONTRACTS, EXPOSURES, replace
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import ScheduleFault
from protocol.loans.terms import Amortisation, ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.assets import AssetSell, LeaseEnd, LeaseEndOption
from protocol.transactions.servicing import Pay, PaymentSource
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.world import DAY_MS, change, refused

NOTHING = calculate_hash("nothing")
RETURN, BUY, EXTEND = LeaseEndOption.RETURN, LeaseEndOption.BUY, LeaseEndOption.EXTEND


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lenders with pools, two persons, a merchant."""
    with lawful() as made:
        yield made


def end(loan: ObjectId, option: LeaseEndOption, terms_hash: bytes = bytes(32)) -> LeaseEnd:
    """Carry an option out."""
    return LeaseEnd(loan=loan, option=option, terms_hash=terms_hash)  # type: ignore[arg-type]


def at_the_end(world: Goods, loan: ObjectId, who: str = "ann") -> None:
    """Pay all rows but the residual on their days."""
    for index in range(1, len(world.loan(loan).rows)):
        world.pay_row(who, loan, index)
        assert find_violations(world.ledger) == {}


def extension_hash(world: Goods, loan_id: ObjectId) -> bytes:
    """What a wallet would sign to extend a lease today."""
    contract, loan = load_loan(world.ledger.books, loan_id)
    found = calculate_extension(contract.disclosure, loan.rows[-1].principal_unpaid, Day(loan.accrual.as_of))
    assert not isinstance(found, ScheduleFault)
    return calculate_terms_hash(found)


# ---------------------------------------------------------------------- the end: who may do what, when


def test_a_lessor_that_will_not_sign_keeps_nobody_from_returning_the_thing(world: Goods) -> None:
    """An arbiter vouches for the return instead, but none that holds a share of the lease."""
    loan = world.lease(partner="jade")
    at_the_end(world, loan)
    jade = world.account("jade")
    roles = world.ledger.books.state.need(ACCOUNTS, jade).roles
    change(world, ACCOUNTS, jade, roles=roles | Role.ARBITER)
    assert refused(world, "ann", end(loan, RETURN), cosigners=("jade",)) is Rejection.COSIGNER_MISSING
    change(world, ACCOUNTS, jade, roles=roles)
    assert refused(world, "ann", end(loan, RETURN), cosigners=("court",)) is None
    assert world.loan(loan).state is LoanState.REPAID
    assert world.asset(world.leased(loan)).owner == world.account("harbour")


def test_ending_a_lease_names_its_first_fault(world: Goods) -> None:
    """Money, terms, the loan and its state, whose it is, the lessor's signature, and last whether the option fits."""
    loan, plain = world.lease(), world.borrow("bob")
    nobody = ObjectId(NOTHING)
    for who, payload, wanted in (
        ("ann", end(nobody, BUY), Rejection.LOAN_UNKNOWN),
        ("ann", end(plain, RETURN), Rejection.LOAN_NOT_YOURS),
        ("bob", end(plain, RETURN), Rejection.COSIGNER_MISSING),
        ("bob", end(plain, BUY), Rejection.OPTION_UNFIT),
        ("ann", end(loan, BUY), Rejection.OPTION_UNFIT),
        ("ann", end(loan, RETURN), Rejection.COSIGNER_MISSING),
        ("bob", end(loan, RETURN), Rejection.LOAN_NOT_YOURS),
    ):
        assert refused(world, who, payload) is wanted, payload
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is Rejection.OPTION_UNFIT
    at_the_end(world, loan)
    world.pass_days(1)
    # A day's interest on the residual: 831 / 14 = 59.
    assert refused(world, "ann", end(loan, RETURN)) is Rejection.FUNDS_SHORT
    assert refused(world, "ann", end(loan, EXTEND)) is Rejection.FUNDS_SHORT
    world.mint("ann", 59)
    assert refused(world, "ann", end(loan, BUY)) is Rejection.FUNDS_SHORT
    assert refused(world, "ann", end(loan, EXTEND, NOTHING)) is Rejection.TERMS_MISMATCH
    assert refused(world, "ann", end(loan, RETURN), cosigners=("jade",)) is Rejection.COSIGNER_MISSING
    assert refused(world, "bob", end(loan, BUY)) is Rejection.LOAN_NOT_YOURS
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is None
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is Rejection.LOAN_CLOSED


@pytest.mark.parametrize(
    ("kind", "option"),
    [({"may_return": False}, RETURN), ({"may_buy": False}, BUY), ({"extend_instalments": 0}, EXTEND)],
)
def test_an_option_that_was_not_agreed_is_none(world: Goods, kind: dict[str, Any], option: LeaseEndOption) -> None:
    """What the product does not offer cannot be carried out."""
    loan = world.lease(**kind)
    at_the_end(world, loan)
    world.mint("ann", 400_000)
    assert refused(world, "ann", end(loan, option), cosigners=("harbour",)) is Rejection.OPTION_UNFIT


def test_a_defaulted_lease_has_no_options(world: Goods) -> None:
    """After default the thing is seized, not returned."""
    loan = world.lease()
    world.pass_days(60)
    world.default(loan)
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is Rejection.LOAN_STATE


def test_a_frozen_lessee_can_still_end_her_lease(world: Goods) -> None:
    """As she can pay: what lets people out is open to the frozen."""
    loan = world.lease()
    at_the_end(world, loan)
    change(world, ACCOUNTS, world.account("ann"), frozen=True)
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is None


# ---------------------------------------------------------------------- return


def test_a_return_settles_the_residual_in_kind(world: Goods) -> None:
    """Day 5 of the last fortnight: 5/14 of 831 is 297. The pool swaps 300,000 of principal for the car."""
    loan = world.lease()
    at_the_end(world, loan)
    world.pass_days(5)
    world.mint("ann", 297)
    before, asset = world.pool("harbour"), world.leased(loan)
    world.must("ann", end(loan, RETURN), cosigners=("harbour",))
    row, pool, thing = world.loan(loan), world.pool("harbour"), world.asset(asset)
    assert (row.state, row.forgiven, row.principal_out, row.deposit) == (LoanState.REPAID, 300_000, 0, 0)
    assert row.paid == (300_000, 1_662 + 1_385 + 1_108 + 297, 0, 0)
    assert (world.cash("ann"), pool.cash - before.cash) == (60_000, 297)
    assert (pool.principal, pool.assets, pool.loans_open, pool.haircut) == (0, 300_000, 0, 0)
    assert (thing.owner, thing.lien, thing.held) == (
        world.account("harbour"), None, ((world.pool_id("harbour"), 300_000),),
    )  # fmt: skip
    exposure = world.ledger.books.state.need(EXPOSURES, calculate_hash("tag", b"ann"))
    assert (exposure.principal_open, exposure.loans) == (0, ())
    # The lessor sells it on, and the pool bears the difference.
    world.mint("bob", 280_000)
    world.must("harbour", AssetSell(asset=asset, price=Amount(280_000)), cosigners=("bob", "court"))
    assert world.book(world.pool_id("harbour"), Book.LOSS) == 20_000
    assert world.asset(asset).owner == world.account("bob")


def test_pools_take_a_returned_thing_in_by_what_they_hold(world: Goods) -> None:
    """Two pools: each swaps its own part of the residual."""
    loan = world.lease(partner="jade")
    at_the_end(world, loan)
    world.must("ann", end(loan, RETURN), cosigners=("harbour",))
    # A third of 300,000 rounded down is 99,999.
    assert [world.pool(one).assets for one in ("harbour", "jade")] == [200_001, 99_999]
    assert [world.pool(one).principal for one in ("harbour", "jade")] == [0, 0]


def test_prepaid_residual_is_not_settled_twice(world: Goods) -> None:
    """What was paid of the residual in advance stays paid: the pools take the thing in for the rest only."""
    loan = world.lease()
    at_the_end(world, loan)
    world.mint("ann", 40_000)
    assert world.pay("ann", loan, 40_000).rejection is None
    world.must("ann", end(loan, RETURN), cosigners=("harbour",))
    assert (world.pool("harbour").assets, world.loan(loan).forgiven) == (260_000, 260_000)


def test_a_late_residual_can_still_be_returned_with_its_penalties(world: Goods) -> None:
    """Ten days late: all interest, late interest and the late fee are paid; the class of the loan is no matter."""
    loan = world.lease()
    at_the_end(world, loan)
    world.pass_days(24)
    _, brought = load_loan(world.ledger.books, loan)
    last = brought.rows[-1]
    owed = last.interest_unpaid + last.penalty_unpaid
    assert last.penalty_due > 2_000
    world.mint("ann", owed - 1)
    assert refused(world, "ann", end(loan, RETURN), cosigners=("harbour",)) is Rejection.FUNDS_SHORT
    world.mint("ann", 1)
    world.must("ann", end(loan, RETURN), cosigners=("harbour",))
    row = world.loan(loan)
    assert (row.paid[3], row.forgiven, world.cash("ann")) == (last.penalty_due, 300_000, 60_000)
    assert world.last("loan_current").data["loan"] == loan.hex()


# ---------------------------------------------------------------------- buy, pay off


def test_buying_pays_the_residual_and_brings_title(world: Goods) -> None:
    """On the last day 300,831; the car is hers and free, the deposit is back."""
    loan = world.lease()
    at_the_end(world, loan)
    world.pass_days(14)
    world.mint("ann", 300_831)
    world.must("ann", end(loan, BUY))
    row, thing = world.loan(loan), world.asset(world.leased(loan))
    assert (row.state, row.paid[0], world.cash("ann")) == (LoanState.REPAID, 600_000, 60_000)
    assert (thing.owner, thing.lien, thing.held) == (world.account("ann"), None, ())


@pytest.mark.parametrize("may_buy", [True, False])
def test_paying_it_all_off_buys_only_where_that_was_agreed(world: Goods, may_buy: bool) -> None:
    """Else the thing stays with the lessor, and what it brings is its pools'."""
    loan = world.lease(may_buy=may_buy)
    world.pass_days(10)
    world.mint("bob", 700_000)
    assert world.pay("bob", loan, 700_000).rejection is None
    thing = world.asset(world.leased(loan))
    assert (world.loan(loan).state, thing.lien, world.cash("ann")) == (LoanState.REPAID, None, 60_000)
    if may_buy:
        assert (thing.owner, thing.held) == (world.account("ann"), ())
        return
    assert (thing.owner, thing.held) == (world.account("harbour"), ((world.pool_id("harbour"), 0),))
    before = world.pool("harbour").cash
    world.mint("shop", 1_000)
    world.must("harbour", AssetSell(asset=world.leased(loan), price=Amount(1_000)), cosigners=("shop",))
    assert (world.pool("harbour").cash - before, world.book(world.pool_id("harbour"), Book.GAIN)) == (1_000, 1_000)


def test_who_withdraws_owns_what_she_paid_for(world: Goods) -> None:
    """Paying all back within the cooling-off days leaves the thing with the lessee, whatever the lease says."""
    loan = world.lease(may_buy=False)
    world.mint("ann", 700_000)
    assert world.pay("ann", loan, 700_000).rejection is None
    assert world.loan(loan).state is LoanState.WITHDRAWN
    assert world.asset(world.leased(loan)).owner == world.account("ann")


def test_an_insurer_pays_for_a_lost_thing(world: Goods) -> None:
    """Pay(source=INSURER) by any account: the rows are served, above the payoff nothing is taken."""
    loan = world.lease()
    world.pass_days(10)
    world.mint("bob", 1_000_000)
    payload = Pay(loan=loan, amount=Amount(1_000_000), excess=ExcessRule.LAST, source=PaymentSource.INSURER)
    world.must("bob", payload)
    # 10/14 of the first row's interest: 1,187.
    assert (world.loan(loan).state, world.cash("bob")) == (LoanState.REPAID, 1_000_000 - 601_187)
    assert world.last("paid").data["source"] == "insurer"
    assert world.asset(world.leased(loan)).owner == world.account("ann")


# ---------------------------------------------------------------------- extend


def test_an_extension_spreads_the_residual(world: Goods) -> None:
    """Six fortnights from today, the contract's rate: E* = 300,000 r (1+r)^6 / ((1+r)^6 - 1) = 50,485.7."""
    loan = world.lease()
    at_the_end(world, loan)
    world.pass_days(5)
    world.mint("ann", 297)
    before = world.contract(loan)
    world.must("ann", end(loan, EXTEND, extension_hash(world, loan)))
    row, contract = world.loan(loan), world.contract(loan)
    assert (row.state, row.principal_out, row.deposit, world.cash("ann")) == (LoanState.ACTIVE, 300_000, 60_000, 0)
    assert [one.principal_due + one.interest_due for one in row.rows] == [50_486] * 5 + [50_483]
    assert row.rows[0].due_on == before.disclosure.instalments[2].due_on + 5 + 14
    assert row.rows[0].interest_due == 831
    assert row.dropped == row.paid == (300_000, 1_662 + 1_385 + 1_108 + 297, 0, 0)
    schedule = contract.disclosure.schedule
    assert (contract.version, schedule.amortisation, schedule.rate_ppm) == (2, Amortisation.LEVEL, 72_000)
    assert world.asset(world.leased(loan)).lien == loan
    assert refused(world, "ann", end(loan, BUY)) is Rejection.OPTION_UNFIT
    for index in range(1, 7):
        world.pay_row("ann", loan, index)
        assert find_violations(world.ledger) == {}
    assert (world.loan(loan).state, world.cash("ann")) == (LoanState.REPAID, 60_000)
    assert world.asset(world.leased(loan)).owner == world.account("ann")


def test_a_residual_that_is_late_is_not_extended(world: Goods) -> None:
    """On the last due date it still is; a day later the residual is late like any row, and dates are the lessor's."""
    loan = world.lease()
    at_the_end(world, loan)
    world.pass_days(14)
    world.mint("ann", 400_000)
    assert refused(world, "ann", end(loan, EXTEND, NOTHING)) is Rejection.TERMS_MISMATCH
    world.pass_days(1)
    assert refused(world, "ann", end(loan, EXTEND, extension_hash(world, loan))) is Rejection.OPTION_UNFIT
    assert world.last("loan_late").data["days_past_due"] == 1
    assert world.loan(loan).fees_charged == (4,)


def test_an_extension_costs_no_more_than_the_cap_lets_it(world: Goods) -> None:
    """Where interest so far and to come would pass the cap on the loan's cost, there is no extension."""
    loan = world.lease()
    at_the_end(world, loan)
    # So far 4,155 of interest, and 2,913 to come: together 1.178 % of 600,000.
    contract = world.contract(loan)
    state = world.ledger.books.state
    tight = replace(contract.disclosure, cost_cap_ppm=Ppm(11_779))
    state.put(CONTRACTS, loan, replace(contract, disclosure=tight))
    state.keep()
    assert refused(world, "ann", end(loan, EXTEND, extension_hash(world, loan))) is Rejection.OPTION_UNFIT
    state.put(CONTRACTS, loan, replace(contract, disclosure=replace(tight, cost_cap_ppm=Ppm(11_780))))
    state.keep()
    assert refused(world, "ann", end(loan, EXTEND, extension_hash(world, loan))) is None


def test_when_blocks_come_does_not_change_an_extended_lease(world: Goods) -> None:
    """A block a day or one before the payment: the same rows."""
    with lawful() as other:
        loans = [(one, one.lease()) for one in (world, other)]
        for one, loan in loans:
            at_the_end(one, loan)
            one.must("ann", end(loan, EXTEND, extension_hash(one, loan)))
        world.pass_days(40)
        other.block(ms=40 * DAY_MS)
        for one, loan in loans:
            one.mint("ann", 10_000, "late money")
            assert one.pay("ann", loan, 10_000).rejection is None
        assert world.loan(loans[0][1]).rows == other.loan(loans[1][1]).rows
