"""Sales reported of an advance that a share of them repays: whole days, in sequence, by who can know them.

A report says what should have been paid; what is paid, and whether it is enough, is `revenue`'s. No money moves here.
"""

from protocol.ids import AccountId, Day
from protocol.ledger.accounts import has_cosigned
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.holdings import get_lender
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.records import Fact
from protocol.ledger.revenue import calculate_paid, get_told
from protocol.ledger.rules import Rule, Rules
from protocol.ledger.state import CONTRACTS, LOANS, replace
from protocol.loans.lifecycle import LoanState
from protocol.money import AMOUNT_MAX, share_floor
from protocol.rejections import Rejection
from protocol.transactions.servicing import SalesReport


def check_sales_report(books: Books, call: Call, payload: SalesReport) -> Rejection | None:
    """Why the report does not count."""
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    contract = books.state.need(CONTRACTS, payload.loan)
    if loan.sales is not None and loan.sales.gross + payload.gross > AMOUNT_MAX:
        return Rejection.AMOUNT_TOO_LARGE
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if loan.state is not LoanState.ACTIVE:
        return Rejection.LOAN_STATE
    borrower = contract.disclosure.borrower == call.account
    if not borrower and call.account not in {get_lender(books, loan), contract.agent}:
        return Rejection.LOAN_NOT_YOURS
    if loan.sales is None:
        return Rejection.NOT_REVENUE_SHARE
    if payload.first_day != loan.sales.reported_to + 1:
        return Rejection.SALES_GAP
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    if not payload.first_day <= payload.last_day < today:
        return Rejection.SALES_DAYS_INVALID
    vouched = not borrower or has_cosigned(books, call, AccountId(get_lender(books, loan)))
    return None if vouched else Rejection.COSIGNER_MISSING


def apply_sales_report(books: Books, call: Call, payload: SalesReport) -> tuple[Fact, ...]:
    """Add the days' sales, and what of them should have been paid."""
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    loan = _add_sales(contract, loan, payload.last_day, payload.gross)
    save_loan(books, payload.loan, contract, loan)
    assert loan.sales is not None, "checked before"
    paid = calculate_paid(loan)
    subjects = calculate_subjects(books, payload.loan, contract, loan)
    books.emit(
        "sales_reported",
        subjects if call.account in subjects else (*subjects, call.account),
        {
            "loan": payload.loan.hex(),
            "first_day": payload.first_day,
            "last_day": payload.last_day,
            "gross": payload.gross,
            "shared": loan.sales.shared,
            "paid": paid,
            "arrears": max(0, loan.sales.shared - paid),
        },
    )
    return ()


def _add_sales(contract: Contract, loan: Loan, last_day: Day, gross: int) -> Loan:
    tally = loan.sales
    assert tally is not None, "checked before"
    whole = tally.gross + gross
    # The share of all sales, so that it does not matter in how many reports they come.
    shared = share_floor(whole, get_told(contract.disclosure).kind.share_ppm)
    return replace(loan, sales=replace(tally, reported_to=last_day, gross=whole, shared=shared))


RULES: Rules = {SalesReport: Rule(check_sales_report, apply_sales_report)}
