"""Payments and reversals at random: every law holds, and money that went in and out again leaves no trace but time."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import calculate_hash
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import PAYMENTS, POOLS
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation, ExcessRule, WaterfallOrder
from protocol.money import Amount, Ppm
from protocol.transactions.servicing import AdjustKind
from tests.protocol.ledger.changes import adjust, bring, payoff
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.troubled import lend, set_pool
from tests.protocol.ledger.world import DAY_MS

FORMS = st.fixed_dictionaries(
    {
        "waterfall": st.sampled_from(WaterfallOrder),
        "amortisation": st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
        "prepayment_fee_ppm": st.sampled_from((Ppm(0), Ppm(10_000))),
    }
)
STEP = st.one_of(
    st.tuples(st.just("days"), st.integers(1, 12)),
    st.tuples(st.just("pay"), st.one_of(st.integers(1, 60_000), st.just(900_000))),
    st.tuples(st.just("reverse"), st.just(0)),
    st.tuples(st.just("waive"), st.integers(1, 3_000)),
    st.tuples(st.just("refund"), st.integers(1, 3_000)),
)


def reverse_last(world: Goods, loan: Any, number: int) -> bool:
    """Let the agent's bank take the last payment back; whether it could."""
    row = world.ledger.books.state.get(PAYMENTS, loan)
    if row is None:
        return False
    taken = row.taken[-1]
    amount = sum(one.total for one in taken.takes)
    reference = calculate_hash("bank", number.to_bytes(2, "big"))
    payload = adjust(loan, AdjustKind.REVERSAL, amount, payment=taken.number, reference=reference)
    return world.do("agent", payload).rejection is None


@settings(max_examples=60, deadline=None)
@given(form=FORMS, partner=st.sampled_from((0, 333_333)), steps=st.lists(STEP, min_size=2, max_size=14))
def test_whatever_is_paid_and_taken_back_every_law_holds(
    form: dict[str, Any], partner: int, steps: list[tuple[str, int]]
) -> None:
    """Running, late, repaid and reopened loans: in the end the payoff still closes it, once."""
    world = Goods()
    set_pool(world, fee=100_000)
    loan = lend(world, partner_ppm=partner, **form)
    world.pass_days(4)
    for number, (what, amount) in enumerate(steps):
        if what == "days":
            world.block(ms=amount * DAY_MS)
        elif what == "pay":
            world.mint("ann", amount)
            world.pay("ann", loan, amount, list(ExcessRule)[number % 3])
        elif what == "reverse":
            reverse_last(world, loan, number)
        else:
            kind = AdjustKind.WAIVE if what == "waive" else AdjustKind.REFUND
            world.do("harbour", adjust(loan, kind, amount))
        assert find_violations(world.ledger) == {}
    if bring(world, loan).closed_ms is None:
        world.mint("ann", payoff(world, loan), "last")
        world.pay("ann", loan, payoff(world, loan))
    assert world.loan(loan).state is LoanState.REPAID
    assert find_violations(world.ledger) == {}


@settings(max_examples=40, deadline=None)
@given(
    form=FORMS,
    partner=st.sampled_from((0, 333_333)),
    days=st.integers(4, 60),
    amounts=st.lists(st.integers(1, 300_000), min_size=1, max_size=5),
)
def test_all_payments_of_a_day_taken_back_leave_the_loan_as_it_was(
    form: dict[str, Any], partner: int, days: int, amounts: list[int]
) -> None:
    """Rows due, principal, shares, fees and pools; rows ahead are those that follow from the principal."""
    world = Goods()
    set_pool(world, fee=100_000)
    loan = lend(world, partner_ppm=partner, **form)
    world.block(ms=days * DAY_MS)
    world.mint("ann", 2_000_000, "wealth")
    before, cash = bring(world, loan), world.cash("ann")
    pools = [msgspec.structs.replace(pool, haircut=Amount(0)) for _, pool in world.ledger.books.state.items(POOLS)]
    for amount in amounts:
        world.pay("ann", loan, amount)
    taken = cash - world.cash("ann")
    number = 0
    while reverse_last(world, loan, number):
        number += 1
    after = world.loan(loan)
    due = [row for row in before.rows if row.due_on <= before.accrual.as_of]
    assert list(after.rows[: len(due)]) == due
    assert [row.principal_due - row.principal_paid for row in after.rows] == [row.principal_due for row in before.rows]
    assert (after.principal_out, after.paid, after.prepaid) == (before.principal_out, before.paid, before.prepaid)
    assert [one.principal for one in after.holdings] == [one.principal for one in before.holdings]
    assert [
        msgspec.structs.replace(pool, haircut=Amount(0)) for _, pool in world.ledger.books.state.items(POOLS)
    ] == pools
    assert (after.state, after.bucket) == (LoanState.ACTIVE, before.bucket)
    assert world.cash("ann") == cash - taken
    assert find_violations(world.ledger) == {}
