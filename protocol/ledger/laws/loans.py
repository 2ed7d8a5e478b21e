"""Laws of loans: principal, rows, payments, dates, cost, states."""

from collections import Counter
from itertools import pairwise
from typing import Final

from protocol.ids import ObjectId
from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations, walk_loans
from protocol.ledger.offers import calculate_instalments
from protocol.ledger.state import AMENDMENTS, DISPUTES, LOANS, PAYMENTS
from protocol.loans.lifecycle import CLOSED, LoanState
from protocol.money import PPM


def check_principal_bounds(ledger: Ledger) -> Violations:
    """(7, 8) 0 <= principal out <= disbursed + capitalised, and it is that less paid, less forgiven."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        lent = 0 if loan.state is LoanState.CANCELLED else contract.principal + loan.capitalised
        if not 0 <= loan.principal_out <= lent or loan.principal_out != lent - loan.paid[0] - loan.forgiven:
            found.append(f"loan {loan_id.hex()}: {loan.principal_out} out of {lent}, {loan.paid[0]} paid")
    return found


def check_rows_hold_principal(ledger: Ledger) -> Violations:
    """(9) Unpaid principal of the rows is the principal out, and so is that of all who hold it."""
    found = []
    for loan_id, _, loan in walk_loans(ledger):
        unpaid = sum(row.principal_due - row.principal_paid for row in loan.rows)
        held = sum(one.principal for one in loan.holdings)
        if not unpaid == held == loan.principal_out:
            found.append(f"loan {loan_id.hex()}: rows hold {unpaid}, books {loan.principal_out}")
    return found


def check_rows_not_overpaid(ledger: Ledger) -> Violations:
    """(10) Of each part of each row, 0 <= paid <= due."""
    return [
        f"loan {loan_id.hex()}: row {row.index} is overpaid"
        for loan_id, _, loan in walk_loans(ledger)
        for row in loan.rows
        if not (
            0 <= row.principal_paid <= row.principal_due
            and 0 <= row.interest_paid <= row.interest_due
            and 0 <= row.fee_paid <= row.fee_due
            and 0 <= row.penalty_paid <= row.penalty_due
        )
    ]


def check_paid_is_allocated(ledger: Ledger) -> Violations:
    """(11) What was received, part by part, is what the rows were given."""
    found = []
    for loan_id, _, loan in walk_loans(ledger):
        given = tuple(
            sum(getattr(row, f"{part}_paid") for row in loan.rows) + gone
            for part, gone in zip(("principal", "interest", "fee", "penalty"), loan.dropped, strict=True)
        )
        if given != loan.paid:
            found.append(f"loan {loan_id.hex()}: rows were given {given}, received {loan.paid}")
    return found


def check_due_dates(ledger: Ledger) -> Violations:
    """(12) Due dates strictly increase and are those that were signed."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        days = tuple(row.due_on for row in loan.rows)
        signed = tuple(one.due_on for one in contract.disclosure.instalments)
        if days != signed or any(first >= second for first, second in pairwise(days)):
            found.append(f"loan {loan_id.hex()}: due dates moved")
    return found


def check_closed_loans(ledger: Ledger) -> Violations:
    """(13, 17) A closed loan owes nothing and waits for nothing; an active one owes something."""
    found = []
    for loan_id, _, loan in walk_loans(ledger):
        closed = loan.state in CLOSED
        owed = sum(row.unpaid for row in loan.rows)
        if closed != (loan.closed_ms is not None) or (closed and (owed or loan.principal_out or loan.due_ms)):
            found.append(f"loan {loan_id.hex()}: {loan.state.name.lower()}, owes {owed}")
        if not closed and not owed + loan.costs:
            found.append(f"loan {loan_id.hex()}: active and owes nothing")
    return found


def check_cost_capped(ledger: Ledger) -> Violations:
    """(14) Interest, fees and penalties stay within the share of the principal that was disclosed."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        disclosure = contract.disclosure
        charged = sum(row.interest_due + row.fee_due + row.penalty_due for row in loan.rows)
        cost = disclosure.origination_fee + charged + sum(loan.dropped[1:]) + loan.capitalised
        if cost * PPM > disclosure.cost_cap_ppm * contract.principal:
            found.append(f"loan {loan_id.hex()}: costs {cost}")
    return found


def check_schedules(ledger: Ledger) -> Violations:
    """(16) The signed instalments are what their terms give."""
    return [
        f"loan {loan_id.hex()}: the schedule does not recompute"
        for loan_id, contract, _ in walk_loans(ledger)
        if calculate_instalments(contract.disclosure.schedule, contract.disclosure.told)
        != contract.disclosure.instalments
    ]


def check_disputes(ledger: Ledger) -> Violations:
    """A dispute is open exactly as long as its loan says so, and nothing is held for longer than it said."""
    state, found = ledger.books.state, []
    open_ = {key: row for key, row in state.items(DISPUTES) if not row.resolved}
    named = {loan.dispute: loan_id for loan_id, _, loan in walk_loans(ledger) if loan.dispute is not None}
    if sorted(open_) != sorted(named):
        found.append(f"{len(open_)} disputes open, {len(named)} loans say so")
    for key, row in open_.items():
        loan = state.need(LOANS, row.loan)
        held = loan.hold_until == row.hold_until or loan.closed_ms is not None
        if named.get(ObjectId(key)) != row.loan or not held or loan.contested != row.amount:
            found.append(f"dispute {key.hex()}: loan {row.loan.hex()} holds something else")
    for key, row in state.items(DISPUTES):
        if row.waived + row.refunded > row.amount or (not row.resolved and row.waived + row.refunded):
            found.append(f"dispute {key.hex()}: {row.waived} and {row.refunded} of {row.amount}")
    return found


def check_amendments(ledger: Ledger) -> Violations:
    """A proposal is open exactly as long as its loan names it as its side's; what was amended was accepted as often."""
    open_ = {key: row for key, row in ledger.books.state.items(AMENDMENTS) if row.accepted is None}
    wanted = {
        one: (loan_id, by_borrower)
        for loan_id, _, loan in walk_loans(ledger)
        for one, by_borrower in ((loan.amend_lender, False), (loan.amend_borrower, True))
        if one is not None
    }
    found = [
        f"amendment {key.hex()}: its loan does not name it"
        for key, row in open_.items()
        if wanted.get(ObjectId(key)) != (row.terms.loan, row.by_borrower)
    ]
    if len(open_) != len(wanted):
        found.append(f"{len(open_)} proposals open, loans name {len(wanted)}")
    agreed = Counter(
        row.terms.loan for _, row in ledger.books.state.items(AMENDMENTS) if row.accepted and row.terms.settle is None
    )
    found += [
        f"loan {loan_id.hex()}: amended {loan.restructures} times, agreed {agreed[loan_id]}"
        for loan_id, _, loan in walk_loans(ledger)
        if loan.restructures != agreed[loan_id]
    ]
    return found


def check_last_payments(ledger: Ledger) -> Violations:
    """What can be taken back of a loan is in its rows, payment by payment, and nothing else came between."""
    state, found = ledger.books.state, []
    for key, row in state.items(PAYMENTS):
        loan = state.need(LOANS, key)
        for part in ("principal", "interest", "fee", "penalty"):
            given: Counter[int] = Counter()
            for one in row.taken:
                given.update({take.index: getattr(take, part) for take in one.takes})
            if any(given[each.index] > getattr(each, f"{part}_paid") for each in loan.rows):
                found.append(f"loan {key.hex()}: more {part} could be taken back than was paid")
        numbers = [one.number for one in row.taken]
        if not numbers or sorted(set(numbers)) != numbers or numbers[-1] >= loan.payments:
            found.append(f"loan {key.hex()}: payments {numbers} of {loan.payments}")
    return found


LAWS: Final[Laws] = {
    "principal_bounds": check_principal_bounds,
    "rows_hold_principal": check_rows_hold_principal,
    "rows_not_overpaid": check_rows_not_overpaid,
    "paid_is_allocated": check_paid_is_allocated,
    "due_dates": check_due_dates,
    "closed_loans": check_closed_loans,
    "cost_capped": check_cost_capped,
    "schedules": check_schedules,
    "disputes": check_disputes,
    "amendments": check_amendments,
    "last_payments": check_last_payments,
}
