"""Loans on the books: payments on them, and what falls due by day alone.

Anybody may pay, frozen accounts too; a payment never takes more than the payoff. Due events of a loan always run before
a transaction that touches it, because both bring it to the day of the block first.
"""

from protocol.ids import ObjectId, TimeMs
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.exposure import apply_repaid
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.records import Fact, Repaid
from protocol.ledger.rows import Contract, Loan, LoanState
from protocol.ledger.servicing import (
    Payment,
    calculate_lateness,
    calculate_loan_at,
    calculate_loan_payoff,
    calculate_next_day,
    calculate_payment,
    calculate_withdrawal_end,
    close_rows,
)
from protocol.ledger.state import CONTRACTS, LOANS, POOLS, replace
from protocol.loans.delinquency import DelinquencyBucket
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.lending import Pay


def load_loan(books: Books, loan_id: ObjectId) -> tuple[Contract, Loan]:
    """A loan's contract, and the loan brought to the day of this block; nothing is written."""
    contract, loan = books.state.need(CONTRACTS, loan_id), books.state.need(LOANS, loan_id)
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    return contract, calculate_loan_at(contract, loan, today, books.policy.materiality)


def save_loan(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Write a loan and see that its next event is scheduled; once nobody can withdraw, the fee is the pool's to lend.

    An event that comes too early only looks and goes.
    """
    if loan.fee_held and (loan.closed_ms is not None or loan.accrual.as_of > calculate_withdrawal_end(contract)):
        pool_id = contract.disclosure.pool
        pool = books.state.need(POOLS, pool_id)
        books.state.put(POOLS, pool_id, replace(pool, reserved=pool.reserved - loan.fee_held))
        loan = replace(loan, fee_held=Amount(0))
    day = None if loan.closed_ms is not None else calculate_next_day(contract, loan, books.policy.materiality)
    tz_offset_min = contract.disclosure.tz_offset_min
    due_ms = None if day is None else books.genesis.calculate_day_start_ms(day, tz_offset_min)
    if loan.due_ms is not None and (due_ms is None or due_ms < loan.due_ms):
        books.cancel(loan.due_ms, EventKind.LOAN, loan_id)
        loan = replace(loan, due_ms=None)
    if due_ms is not None and loan.due_ms is None:
        books.schedule(due_ms, EventKind.LOAN, loan_id)
        loan = replace(loan, due_ms=due_ms)
    books.state.put(LOANS, loan_id, loan)


def emit_lateness(books: Books, loan_id: ObjectId, contract: Contract, before: Loan, after: Loan) -> None:
    """Tell of late fees, of a loan that became later, and of one that is current again."""
    if after.bucket is before.bucket and after.fees_charged == before.fees_charged:
        return
    disclosure = contract.disclosure
    subjects = (loan_id, disclosure.borrower, disclosure.lender)
    today = after.accrual.as_of
    data = {
        "loan": loan_id.hex(),
        "borrower": disclosure.borrower.hex(),
        "lender": disclosure.lender.hex(),
        "day": today,
        "bucket": after.bucket.name.lower(),
        "days_past_due": calculate_lateness(after.rows, today, books.policy.materiality),
    }
    for index in after.fees_charged[len(before.fees_charged) :]:
        books.emit("late_fee_charged", subjects, {**data, "row": index, "fee": disclosure.late_fee})
    if after.bucket > before.bucket:
        books.emit("loan_late", subjects, data)
    elif after.bucket is DelinquencyBucket.CURRENT and before.bucket is not DelinquencyBucket.CURRENT:
        books.emit("loan_current", subjects, data)


def on_loan_due(books: Books, loan_id: ObjectId) -> None:
    """Its day has come: bring the loan to today, tell what changed, and schedule the next day."""
    before = replace(books.state.need(LOANS, loan_id), due_ms=None)
    books.state.put(LOANS, loan_id, before)
    contract, loan = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)


def check_pay(books: Books, call: Call, payload: Pay) -> Rejection | None:
    """Why the payment is not taken."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    contract = books.state.need(CONTRACTS, payload.loan)
    cash = read_cash(books.state, call.account, contract.disclosure.currency)
    if cash < payload.amount:
        contract, loan = load_loan(books, payload.loan)
        if loan.closed_ms is None and cash < min(payload.amount, calculate_loan_payoff(contract, loan)):
            return Rejection.FUNDS_SHORT
    return None if loan.closed_ms is None else Rejection.LOAN_CLOSED


def apply_pay(books: Books, call: Call, payload: Pay) -> tuple[Fact, ...]:
    """Take the smaller of amount and payoff, oldest row first, and close the loan when nothing is left."""
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    payment = calculate_payment(contract, loan, payload.amount, payload.excess, books.policy.materiality)
    assert payment.allocation.taken > 0, "an open loan has a payoff"
    _post_payment(books, call, payload.loan, contract, payment)
    after, refunded = payment.loan, 0
    if payment.closes:
        after, refunded = _close(books, payload.loan, contract, after)
    emit_lateness(books, payload.loan, contract, loan, after)
    save_loan(books, payload.loan, contract, after)
    if payment.principal or payment.closes:
        apply_repaid(books, contract.subject_tag, payload.loan, payment.principal, closed=payment.closes)
    return (
        Repaid(
            loan=payload.loan,
            principal=Amount(payment.principal),
            interest=Amount(payment.interest),
            fee=Amount(payment.fee),
            penalty=Amount(payment.penalty),
            refunded=Amount(refunded),
            principal_left=after.principal_out,
            closed=payment.closes,
        ),
    )


def _post_payment(books: Books, call: Call, loan_id: ObjectId, contract: Contract, payment: Payment) -> None:
    disclosure = contract.disclosure
    pool = books.state.need(POOLS, disclosure.pool)
    taken = payment.allocation.taken
    books.state.put(
        POOLS,
        disclosure.pool,
        replace(
            pool,
            cash=pool.cash + taken,
            principal=pool.principal - payment.principal,
            loans_open=pool.loans_open - payment.closes,
        ),
    )
    books.post(
        "paid",
        disclosure.currency,
        (
            Posting(call.account, Book.CASH, taken),
            Posting(disclosure.pool, Book.PRINCIPAL, -payment.principal),
            Posting(disclosure.pool, Book.INTEREST, -payment.interest),
            Posting(disclosure.pool, Book.FEES, -payment.fee),
            Posting(disclosure.pool, Book.PENALTIES, -payment.penalty),
        ),
        (loan_id, disclosure.borrower, disclosure.lender)
        if call.account == disclosure.borrower
        else (loan_id, disclosure.borrower, disclosure.lender, call.account),
        {
            "loan": loan_id.hex(),
            "payer": call.account.hex(),
            "taken": taken,
            "principal": payment.principal,
            "interest": payment.interest,
            "fee": payment.fee,
            "penalty": payment.penalty,
            "principal_left": payment.loan.principal_out,
        },
    )


def _close(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> tuple[Loan, int]:
    """End a loan that is paid. Within the cooling-off days the origination fee goes back to the borrower."""
    disclosure = contract.disclosure
    today = books.calculate_day(disclosure.tz_offset_min)
    withdrawn = today <= calculate_withdrawal_end(contract)
    refund = disclosure.origination_fee if withdrawn else 0
    if refund:
        pool = books.state.need(POOLS, disclosure.pool)
        books.state.put(POOLS, disclosure.pool, replace(pool, cash=pool.cash - refund))
        books.post(
            "fee_refunded",
            disclosure.currency,
            (
                Posting(disclosure.pool, Book.FEES, refund),
                Posting(disclosure.borrower, Book.CASH, -refund),
            ),
            (loan_id, disclosure.borrower, disclosure.lender),
            {"loan": loan_id.hex(), "amount": refund},
        )
    state = LoanState.WITHDRAWN if withdrawn else LoanState.REPAID
    closed = replace(loan, state=state, rows=close_rows(loan.rows), closed_ms=TimeMs(books.now_ms))
    books.emit(
        "loan_closed",
        (loan_id, disclosure.borrower, disclosure.lender),
        {
            "loan": loan_id.hex(),
            "borrower": disclosure.borrower.hex(),
            "lender": disclosure.lender.hex(),
            "state": state.name.lower(),
        },
    )
    return closed, refund
