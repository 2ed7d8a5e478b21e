"""Loans on the books: brought to the day, written back with what follows from them, and told of.

Due events of a loan always run before a transaction that touches it, because both bring it to the day of the block
first. What a payment, a default or an amendment does stands in modules of their own; never here.
"""

from protocol.ids import ObjectId
from protocol.ledger.books import Books, EventKind
from protocol.ledger.contracts import Contract, Loan, SalesTally
from protocol.ledger.holdings import change_pool, get_lender, split_income
from protocol.ledger.revenue import calculate_floor, calculate_paid
from protocol.ledger.servicing import (
    calculate_loan_at,
    calculate_loan_class,
    calculate_loan_lateness,
    calculate_next_day,
    calculate_withdrawal_end,
)
from protocol.ledger.state import CONTRACTS, LOANS, replace
from protocol.ledger.undrawn import follow_draw
from protocol.loans.delinquency import DelinquencyBucket, calculate_haircut
from protocol.loans.lifecycle import LoanState
from protocol.money import Amount


def load_loan(books: Books, loan_id: ObjectId) -> tuple[Contract, Loan]:
    """A loan's contract, and the loan brought to the day of this block; nothing is written."""
    contract, loan = books.state.need(CONTRACTS, loan_id), books.state.need(LOANS, loan_id)
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    return contract, calculate_loan_at(contract, loan, today, contract.disclosure.materiality)


def save_loan(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Write a loan, its pools' haircuts and losses, its line and its next event; one that comes too early only looks.

    Once nobody can withdraw, the fee is the pools' to lend.
    """
    if loan.fee_held and (loan.closed_ms is not None or loan.accrual.as_of > calculate_withdrawal_end(contract)):
        for one, part in zip(loan.holdings, split_income(loan.holdings, loan.fee_held), strict=True):
            change_pool(books, ObjectId(one.pool), reserved=-part)
        loan = replace(loan, fee_held=Amount(0))
    loan = _mark_haircuts(books, contract, loan)
    _mark_lost(books, loan_id, loan)
    day = None if loan.closed_ms is not None else calculate_next_day(contract, loan, contract.disclosure.materiality)
    tz_offset_min = contract.disclosure.tz_offset_min
    due_ms = None if day is None else books.genesis.calculate_day_start_ms(day, tz_offset_min)
    if loan.due_ms is not None and (due_ms is None or due_ms < loan.due_ms):
        books.cancel(loan.due_ms, EventKind.LOAN, loan_id)
        loan = replace(loan, due_ms=None)
    if due_ms is not None and loan.due_ms is None:
        books.schedule(due_ms, EventKind.LOAN, loan_id)
        loan = replace(loan, due_ms=due_ms)
    follow_draw(books, loan_id, contract, loan)
    books.state.put(LOANS, loan_id, loan)


def _mark_haircuts(books: Books, contract: Contract, loan: Loan) -> Loan:
    """What those who leave the pools leave behind of this loan; nothing once the books hold none of it."""
    on_books = loan.state is LoanState.ACTIVE
    rated = calculate_loan_class(contract, loan, books.policy.observation_days)
    cuts = [calculate_haircut(one.principal, rated, books.policy.haircuts_ppm) * on_books for one in loan.holdings]
    if all(cut == one.haircut for cut, one in zip(cuts, loan.holdings, strict=True)):
        return loan
    for cut, one in zip(cuts, loan.holdings, strict=True):
        change_pool(books, ObjectId(one.pool), haircut=cut - one.haircut)
    marked = tuple(replace(one, haircut=Amount(cut)) for cut, one in zip(cuts, loan.holdings, strict=True))
    return replace(loan, holdings=marked)


def _mark_lost(books: Books, loan_id: ObjectId, loan: Loan) -> None:
    """What the pools have lost on a claim and may still get back, instead of what it was before."""
    before = books.state.get(LOANS, loan_id)
    for one, sign in ((before, -1), (loan, 1)):
        if one is not None and one.state is LoanState.DEFAULTED:
            for holding in one.holdings:
                change_pool(books, ObjectId(holding.pool), lost=sign * holding.lost)


def calculate_subjects(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> tuple[bytes, ...]:
    """Whom an event of a loan concerns: the loan, its borrower, its lender."""
    return (loan_id, contract.disclosure.borrower, get_lender(books, loan))


def emit_lateness(books: Books, loan_id: ObjectId, contract: Contract, before: Loan, after: Loan) -> None:
    """Tell of late fees, of a loan that became later or is current again, and of sales that bring too little."""
    if after.sales is not None and before.sales is not None and after.sales != before.sales:
        _emit_breaches(books, loan_id, contract, before.sales, after)
    if after.bucket is before.bucket and after.fees_charged == before.fees_charged:
        return
    disclosure = contract.disclosure
    subjects = calculate_subjects(books, loan_id, contract, after)
    today = after.accrual.as_of
    data = {
        "loan": loan_id.hex(),
        "borrower": disclosure.borrower.hex(),
        "lender": subjects[2].hex(),
        "day": today,
        "bucket": after.bucket.name.lower(),
        "days_past_due": calculate_loan_lateness(contract, after, disclosure.materiality),
    }
    for index in after.fees_charged[len(before.fees_charged) :]:
        books.emit("late_fee_charged", subjects, {**data, "row": index, "fee": disclosure.late_fee})
    if after.bucket > before.bucket:
        books.emit("loan_late", subjects, data)
    elif after.bucket is DelinquencyBucket.CURRENT and before.bucket is not DelinquencyBucket.CURRENT:
        books.emit("loan_current", subjects, data)


def _emit_breaches(books: Books, loan_id: ObjectId, contract: Contract, before: SalesTally, loan: Loan) -> None:
    """Tell of 30 days that brought nearly too little, of a breach, and of one that is over."""
    after = loan.sales
    assert after is not None, "of a revenue share"
    kinds = ["loan_near_breach"] * (after.near_breaches > before.near_breaches)
    if (after.breached_on is None) != (before.breached_on is None):
        kinds.append("loan_breach_over" if after.breached_on is None else "loan_breached")
    for kind in kinds:
        books.emit(
            kind,
            calculate_subjects(books, loan_id, contract, loan),
            {
                "loan": loan_id.hex(),
                "day": loan.accrual.as_of,
                "paid": calculate_paid(loan),
                "least": calculate_floor(contract, loan.accrual.as_of),
                "breached_on": after.breached_on,
            },
        )
