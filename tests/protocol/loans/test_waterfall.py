"""Laws of allocation: exact, oldest first, never more than the payoff."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.terms import ExcessRule, WaterfallOrder
from protocol.loans.waterfall import Row, Take, calculate_allocation, calculate_payoff

TODAY = 1_000
amounts = st.integers(0, 5_000)


@st.composite
def rows_strategy(draw: st.DrawFn) -> list[Row]:
    """Rows before, on and after today, each partly paid."""
    rows = []
    for index in range(1, draw(st.integers(1, 8)) + 1):
        due = {part: draw(amounts) for part in ("principal", "interest", "fee", "penalty")}
        fields = {f"{part}_due": amount for part, amount in due.items()}
        fields |= {f"{part}_paid": draw(st.integers(0, amount)) for part, amount in due.items()}
        rows.append(Row(index=index, due_on=TODAY - 100 + 30 * index, **fields))
    return rows


everything = {
    "rows": rows_strategy(),
    "amount": st.integers(0, 100_000),
    "order": st.sampled_from(WaterfallOrder),
    "excess": st.sampled_from(ExcessRule),
    "accrued_share": st.integers(0, 100),
}


def accrued_of(rows: list[Row], share: int) -> int:
    """Interest earned in the running row: some of what the row asks for."""
    future = [row for row in rows if row.due_on > TODAY]
    return future[0].interest_due * share // 100 if future else 0


@settings(deadline=None)
@given(**everything)
def test_allocation_is_exact_and_bounded(
    rows: list[Row], amount: int, order: WaterfallOrder, excess: ExcessRule, accrued_share: int
) -> None:
    """The takes sum to what is taken, which is the smaller of amount and payoff; no part is paid above its due."""
    accrued = accrued_of(rows, accrued_share)
    payoff = calculate_payoff(rows, today=TODAY, interest_accrued=accrued)
    found = calculate_allocation(rows, amount, today=TODAY, order=order, excess=excess, interest_accrued=accrued)
    assert found.taken == sum(take.total for take in found.takes) == min(amount, payoff)
    assert found.taken + found.returned == amount
    for before, after in zip(rows, found.rows, strict=True):
        for part in ("principal", "interest", "fee", "penalty"):
            paid, due = getattr(after, f"{part}_paid"), getattr(after, f"{part}_due")
            assert getattr(before, f"{part}_paid") <= paid <= due == getattr(before, f"{part}_due")
    assert calculate_payoff(found.rows, today=TODAY, interest_accrued=accrued) == payoff - found.taken


@settings(deadline=None)
@given(**everything)
def test_late_rows_come_before_any_wish(
    rows: list[Row], amount: int, order: WaterfallOrder, excess: ExcessRule, accrued_share: int
) -> None:
    """A row gets nothing while an older due row has something unpaid."""
    found = calculate_allocation(
        rows, amount, today=TODAY, order=order, excess=excess, interest_accrued=accrued_of(rows, accrued_share)
    )
    touched = {take.index for take in found.takes}
    for row in found.rows:
        if row.due_on <= TODAY and row.unpaid > 0:
            assert all(index <= row.index for index in touched)


@settings(deadline=None)
@given(split=st.integers(0, 100_000), **everything)
def test_paying_in_two_halves_equals_paying_once_where_order_is_by_row(
    *, rows: list[Row], amount: int, order: WaterfallOrder, excess: ExcessRule, accrued_share: int, split: int
) -> None:
    """Two payments on one day leave the rows as one payment of their sum does (spreading evenly may round apart)."""
    if excess is ExcessRule.REAMORTISE:
        return
    accrued, first = accrued_of(rows, accrued_share), min(split, amount)
    once = calculate_allocation(rows, amount, today=TODAY, order=order, excess=excess, interest_accrued=accrued)
    half = calculate_allocation(rows, first, today=TODAY, order=order, excess=excess, interest_accrued=accrued)
    whole = calculate_allocation(
        half.rows, amount - first, today=TODAY, order=order, excess=excess, interest_accrued=accrued
    )
    assert whole.rows == once.rows


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (WaterfallOrder.IPF, Take(index=1, interest=30, principal=40)),
        (WaterfallOrder.FIP, Take(index=1, penalty=20, fee=10, interest=30, principal=10)),
        (WaterfallOrder.PIF, Take(index=1, principal=70)),
    ],
)
def test_the_order_inside_a_row(order: WaterfallOrder, expected: Take) -> None:
    """Each order spends a payment of 70 on one row in its own way."""
    row = Row(index=1, due_on=TODAY, principal_due=100, interest_due=30, fee_due=10, penalty_due=20)
    found = calculate_allocation([row], 70, today=TODAY, order=order, excess=ExcessRule.LAST)
    assert found.takes == (expected,)


@pytest.mark.parametrize(
    ("excess", "expected"),
    [
        (ExcessRule.NEXT, [100, 50, 0, 0]),
        (ExcessRule.LAST, [100, 0, 0, 50]),
        (ExcessRule.REAMORTISE, [100, 16, 17, 17]),
    ],
)
def test_the_excess_goes_where_the_payer_says(excess: ExcessRule, expected: list[int]) -> None:
    """A payment of 150 with 100 due leaves 50 for later rows."""
    rows = [Row(index=i, due_on=TODAY + 30 * (i - 1), principal_due=100) for i in range(1, 5)]
    found = calculate_allocation(rows, 150, today=TODAY, order=WaterfallOrder.IPF, excess=excess)
    assert [row.principal_paid for row in found.rows] == expected


def test_spreading_fills_small_rows_and_goes_on() -> None:
    """A later row smaller than its share is filled, and the others take the rest."""
    rows = [Row(index=i, due_on=TODAY + i, principal_due=amount) for i, amount in enumerate([10, 100, 100], start=1)]
    found = calculate_allocation(rows, 90, today=TODAY, order=WaterfallOrder.IPF, excess=ExcessRule.REAMORTISE)
    assert [row.principal_paid for row in found.rows] == [10, 40, 40]


def test_interest_that_is_not_earned_is_never_taken() -> None:
    """Paying everything early costs principal and the interest earned to the day, not the row's whole interest."""
    rows = [Row(index=i, due_on=TODAY + 30 * i, principal_due=1_000, interest_due=60, fee_due=5) for i in range(1, 4)]
    found = calculate_allocation(
        rows, 10_000, today=TODAY, order=WaterfallOrder.FIP, excess=ExcessRule.NEXT, interest_accrued=24
    )
    assert found.taken == 3_024
    assert found.takes[0] == Take(index=1, principal=1_000, interest=24)
