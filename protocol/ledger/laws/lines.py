"""Laws of lines and of shares of sales: what may be drawn, what sales were counted."""

from typing import Final

from protocol.ledger.contracts import Contract, DrawTold, Loan, RevenueTold, SalesTally
from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations, walk_loans
from protocol.ledger.state import LINES
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM


def check_lines(ledger: Ledger) -> Violations:
    """Of an open line, limit = undrawn + principal of its draws, all of which run; of a closed one nothing is left."""
    draws: dict[bytes, list[bytes]] = {}
    out: dict[bytes, int] = {}
    for loan_id, contract, loan in walk_loans(ledger):
        told = contract.disclosure.told
        if isinstance(told, DrawTold) and loan.closed_ms is None:
            draws.setdefault(told.line, []).append(loan_id)
            # A draw that does not run closes its line.
            out[told.line] = out.get(told.line, 0) + (loan.principal_out if loan.state is LoanState.ACTIVE else -1)
    found = []
    for key, line in ledger.books.state.items(LINES):
        left = 0 if line.closed else line.limit - out.get(key, 0)
        if line.undrawn != left or left < 0 or sorted(line.draws) != draws.get(key, []):
            found.append(f"line {key.hex()}: {line.undrawn} undrawn of {line.limit}, {out.get(key, 0)} on draws")
    return found


def check_sales(ledger: Ledger) -> Violations:
    """A share of sales, and no other loan, counts sales once paid out: to the unit, up to a day that has passed."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        counted = isinstance(contract.disclosure.told, RevenueTold) and loan.state not in WAITING
        if counted != (loan.sales is not None) or (
            loan.sales is not None and not _is_sound(contract, loan, loan.sales)
        ):
            found.append(f"loan {loan_id.hex()}: {loan.sales}")
    return found


WAITING = (LoanState.FUNDED, LoanState.CANCELLED)


def _is_sound(contract: Contract, loan: Loan, tally: SalesTally) -> bool:
    told = contract.disclosure.told
    return (
        isinstance(told, RevenueTold)
        and tally.shared == tally.gross * told.kind.share_ppm // PPM
        and tally.reported_to >= contract.disbursed_on
        and (tally.window_start - contract.disbursed_on) % 30 == 0
        and tally.window_paid >= 0
        and (tally.breached_on is None or tally.breached_on <= tally.window_start)
        and loan.rows[0].interest_due <= told.discount
    )


LAWS: Final[Laws] = {"lines": check_lines, "sales": check_sales}
