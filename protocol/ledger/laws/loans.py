"""Laws of loans: principal, rows, payments, dates, cost, states."""

from itertools import pairwise
from typing import Final

from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations, walk_loans
from protocol.ledger.offers import calculate_instalments
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


LAWS: Final[Laws] = {
    "principal_bounds": check_principal_bounds,
    "rows_hold_principal": check_rows_hold_principal,
    "rows_not_overpaid": check_rows_not_overpaid,
    "paid_is_allocated": check_paid_is_allocated,
    "due_dates": check_due_dates,
    "closed_loans": check_closed_loans,
    "cost_capped": check_cost_capped,
    "schedules": check_schedules,
}
