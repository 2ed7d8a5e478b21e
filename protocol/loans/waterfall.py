"""Who gets what of a payment: rows and an amount in, the parts taken from each row out.

    1. what is due (or overdue) today, oldest row first, inside a row by the product's order   IPF | FIP | PIF
    2. interest earned since the last due date, and principal that is not due yet, the latter by the payer's wish
                                                                                     NEXT | LAST | REAMORTISE

IPF is the default: a late fee cannot make the next payment late. FIP is commercial, with penalties before fees. PIF is
forced by the ledger once a loan is substandard. NEXT pays the next row, then the one after; LAST pays the last row
first, which shortens the loan and saves most interest; REAMORTISE spreads the excess evenly over all later rows.

Nothing is taken above the payoff: future interest has not been earned, and future fees are not owed. The sum of the
parts is the amount taken, to the unit. This file must never move money, change due dates or know who pays.
"""

from collections.abc import Callable, Sequence

import msgspec

from protocol.loans.schedule import Instalment
from protocol.loans.terms import ExcessRule, WaterfallOrder
from protocol.money import split_conserving


class Row(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one instalment asks for and what of it is paid; minor units, paid never above due."""

    index: int
    due_on: int
    """Ordinal. The row is due from this day on."""
    principal_due: int
    principal_paid: int = 0
    interest_due: int = 0
    interest_paid: int = 0
    fee_due: int = 0
    fee_paid: int = 0
    penalty_due: int = 0
    penalty_paid: int = 0

    @property
    def principal_unpaid(self) -> int:
        """Principal of the row that is still owed."""
        return self.principal_due - self.principal_paid

    @property
    def interest_unpaid(self) -> int:
        """Interest of the row that is still owed once the row is due."""
        return self.interest_due - self.interest_paid

    @property
    def fee_unpaid(self) -> int:
        """Fees of the row that are still owed once the row is due."""
        return self.fee_due - self.fee_paid

    @property
    def penalty_unpaid(self) -> int:
        """Penalties of the row that are still owed."""
        return self.penalty_due - self.penalty_paid

    @property
    def unpaid(self) -> int:
        """All four parts together."""
        # Written out: a due event asks this of every row of a loan.
        due = self.principal_due + self.interest_due + self.fee_due + self.penalty_due
        return due - self.principal_paid - self.interest_paid - self.fee_paid - self.penalty_paid


def open_row(instalment: Instalment) -> Row:
    """Return the unpaid row of a signed instalment."""
    return Row(
        index=instalment.index,
        due_on=instalment.due_on,
        principal_due=instalment.principal_due,
        interest_due=instalment.interest_due,
        fee_due=instalment.fee_due,
    )


class Take(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What a payment gives to one row; minor units, at least one part above zero."""

    index: int
    principal: int = 0
    interest: int = 0
    fee: int = 0
    penalty: int = 0

    @property
    def total(self) -> int:
        """All four parts together."""
        return self.principal + self.interest + self.fee + self.penalty


class Allocation(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A payment taken apart."""

    takes: tuple[Take, ...]
    """In row order; rows that get nothing are absent."""
    taken: int
    """Sum of the takes: the smaller of the amount and the payoff."""
    returned: int
    """What is above the payoff and was not taken."""
    rows: tuple[Row, ...]
    """The rows with the payment in them."""


_ORDERS = {
    WaterfallOrder.IPF: ("interest", "principal", "penalty", "fee"),
    WaterfallOrder.FIP: ("penalty", "fee", "interest", "principal"),
    WaterfallOrder.PIF: ("principal", "interest", "penalty", "fee"),
}
_Parts = dict[str, int]


def calculate_payoff(rows: Sequence[Row], *, today: int, interest_accrued: int = 0) -> int:
    """Return what closes the loan today: all principal, everything due, and interest earned but not due.

    `interest_accrued` is the interest earned since the last due date (accrual.py), before anything paid of it.
    Penalties count in every row, because only something that happened makes one.
    """
    future = [row for row in rows if row.due_on > today]
    due = sum(row.unpaid for row in rows if row.due_on <= today)
    return (
        due
        + sum(row.principal_unpaid + row.penalty_unpaid for row in future)
        + _accrued_unpaid(future, interest_accrued)
    )


def _accrued_unpaid(future: Sequence[Row], interest_accrued: int) -> int:
    """Return earned interest not yet paid; it belongs to the first row that is not due."""
    return max(0, interest_accrued - future[0].interest_paid) if future else 0


def _take_due(rows: Sequence[Row], left: int, order: WaterfallOrder, parts: dict[int, _Parts]) -> int:
    for row in rows:
        owed = {
            "principal": row.principal_unpaid,
            "interest": row.interest_unpaid,
            "fee": row.fee_unpaid,
            "penalty": row.penalty_unpaid,
        }
        for name in _ORDERS[order]:
            taken = min(left, owed[name])
            parts[row.index][name] += taken
            left -= taken
    return left


def _take_principal(future: Sequence[Row], left: int, excess: ExcessRule, parts: dict[int, _Parts]) -> int:
    """Spread what is left over principal that is not due yet."""
    left_over = left - min(left, sum(row.principal_unpaid for row in future))
    left -= left_over
    if excess is ExcessRule.REAMORTISE:
        open_rows = [row for row in future if row.principal_unpaid > 0]
        while left > 0:
            shares = split_conserving(left, len(open_rows))
            for row, share in zip(open_rows, shares, strict=True):
                taken = min(share, row.principal_unpaid - parts[row.index]["principal"])
                parts[row.index]["principal"] += taken
                left -= taken
            # A row smaller than its share is full now; the others share what it could not take.
            open_rows = [row for row in open_rows if row.principal_unpaid > parts[row.index]["principal"]]
        return left_over
    for row in future if excess is ExcessRule.NEXT else reversed(future):
        taken = min(left, row.principal_unpaid)
        parts[row.index]["principal"] += taken
        left -= taken
    return left_over


def calculate_allocation(
    rows: Sequence[Row],
    amount: int,
    *,
    today: int,
    order: WaterfallOrder,
    excess: ExcessRule,
    interest_accrued: int = 0,
) -> Allocation:
    """Return how a payment of `amount` on day `today` falls on the rows, which are in due order.

    Late rows are served before any wish about the excess. Of the excess, interest earned to today goes before
    principal (with PIF after it), as it does inside a row.
    """
    assert amount >= 0, "a payment is not negative"
    parts = {row.index: dict.fromkeys(("principal", "interest", "fee", "penalty"), 0) for row in rows}
    assert len(parts) == len(rows), "rows have different indexes"
    due = [row for row in rows if row.due_on <= today]
    future = [row for row in rows if row.due_on > today]
    assert list(rows) == due + future, "rows are in due order"

    left = _take_due(due, amount, order, parts)

    def take_interest(left: int) -> int:
        taken = min(left, _accrued_unpaid(future, interest_accrued))
        if taken:
            parts[future[0].index]["interest"] += taken
        return left - taken

    def take_principal(left: int) -> int:
        return _take_principal(future, left, excess, parts)

    steps: dict[str, Callable[[int], int]] = {"interest": take_interest, "principal": take_principal}
    for name in _ORDERS[order]:
        if name in steps:
            left = steps[name](left)
    # Whatever the order, what stands on rows ahead comes last: a fee for paying early follows from the principal paid
    # before it, and if it came first, the same money in two parts would pay less principal than in one.
    for row in future:
        taken = min(left, row.penalty_unpaid)
        parts[row.index]["penalty"] += taken
        left -= taken
    return _close(rows, amount, left, parts)


def _close(rows: Sequence[Row], amount: int, left: int, parts: dict[int, _Parts]) -> Allocation:
    takes = tuple(Take(index=index, **taken) for index, taken in parts.items() if any(taken.values()))
    assert sum(take.total for take in takes) == amount - left, "what is taken is allocated to the unit"
    return Allocation(
        takes=takes,
        taken=amount - left,
        returned=left,
        rows=tuple(apply_take(row, Take(index=row.index, **parts[row.index])) for row in rows),
    )


def apply_take(row: Row, take: Take) -> Row:
    """Return the row with the parts of a take added to what is paid."""
    assert row.index == take.index, "a take belongs to its row"
    return msgspec.structs.replace(
        row,
        principal_paid=row.principal_paid + take.principal,
        interest_paid=row.interest_paid + take.interest,
        fee_paid=row.fee_paid + take.fee,
        penalty_paid=row.penalty_paid + take.penalty,
    )
