"""Disputes: a contested amount holds late charges and default for a time; an arbiter decides.

    open -> answered once by the other side -> resolved by an arbiter, or given up by who opened it

While it holds, overdue principal up to the contested amount bears no late interest, no late fee is charged on the loan,
and it is not called defaulted for what is contested. A hold ends by itself after the policy's days. A borrower's next
dispute holds again only after as long a time without, so that nobody holds a loan for ever. A lender's holds nothing:
it could keep its own bad loan from default. Nor does it stand in the borrower's way, whose own puts an end to it.
Remedies are corrections that `adjust` carries out; never a change of principal here.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import Day, ObjectId
from protocol.ledger.adjust import (
    apply_refund,
    apply_waiver,
    calculate_refundable,
    calculate_waivable,
    calculate_waived,
    check_refund,
    finish_adjustment,
)
from protocol.ledger.books import Books, Call
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.holdings import find_holders, get_lender
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Dispute, Role
from protocol.ledger.rules import Rule, Rules
from protocol.ledger.state import DISPUTES, LOANS, replace
from protocol.loans.lifecycle import LoanEvent, calculate_next_state, can_happen
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.servicing import DisputeAnswer, DisputeOpen, DisputeResolve, DisputeSide


def _find_side(books: Books, call: Call, contract: Contract, loan: Loan) -> DisputeSide | None:
    """On which side of the loan the signer stands, if on any."""
    if contract.disclosure.borrower == call.account:
        return DisputeSide.BORROWER
    return DisputeSide.LENDER if get_lender(books, loan) == call.account else None


# ---------------------------------------------------------------------- opening


def check_dispute_open(books: Books, call: Call, payload: DisputeOpen) -> Rejection | None:
    """Why nothing can be contested."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    if books.state.get(LOANS, payload.loan) is None:
        return Rejection.LOAN_UNKNOWN
    contract, loan = load_loan(books, payload.loan)
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not can_happen(loan.state, LoanEvent.DISPUTE):
        return Rejection.LOAN_STATE
    side = _find_side(books, call, contract, loan)
    if side is None:
        return Rejection.LOAN_NOT_YOURS
    if loan.dispute is None:
        return None
    yields = side is DisputeSide.BORROWER and books.state.need(DISPUTES, loan.dispute).side is DisputeSide.LENDER
    return None if yields else Rejection.DISPUTE_OPEN


def apply_dispute_open(books: Books, call: Call, payload: DisputeOpen) -> tuple[Fact, ...]:
    """Hold what a borrower contests from tomorrow's charges on; those of today and before stand."""
    dispute_id = calculate_object_id("dispute", call.key, call.nonce)
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    side = _find_side(books, call, contract, loan)
    assert side is not None, "checked before"
    days, by_borrower = books.policy.hold_days, side is DisputeSide.BORROWER
    holds = by_borrower and (loan.holds_from is None or today >= loan.holds_from)
    hold_until = Day(today + days * holds)
    if loan.dispute is not None:
        _end(books, call, ObjectId(loan.dispute), calculate_subjects(books, payload.loan, contract, loan))
    row = Dispute(
        loan=payload.loan,
        side=side,
        code=payload.code,
        amount=payload.amount,
        evidence=payload.evidence,
        answer=None,
        opened_on=today,
        hold_until=hold_until,
    )
    books.state.put(DISPUTES, dispute_id, row)
    loan = replace(
        loan,
        state=calculate_next_state(loan.state, LoanEvent.DISPUTE, loan.state),
        dispute=dispute_id,
        hold_until=hold_until,
        contested=payload.amount,
        holds_from=Day(today + 2 * days) if holds else loan.holds_from,
    )
    save_loan(books, payload.loan, contract, loan)
    books.emit(
        "dispute_opened",
        (dispute_id, *calculate_subjects(books, payload.loan, contract, loan)),
        {
            "dispute": dispute_id.hex(),
            "loan": payload.loan.hex(),
            "side": side.name.lower(),
            "code": payload.code.name.lower(),
            "amount": payload.amount,
            "hold_until": hold_until,
        },
    )
    return (Made(id=dispute_id),)


# ---------------------------------------------------------------------- answering


def check_dispute_answer(books: Books, call: Call, payload: DisputeAnswer) -> Rejection | None:
    """Why the answer is not taken."""
    row = books.state.get(DISPUTES, payload.dispute)
    if row is None:
        return Rejection.DISPUTE_UNKNOWN
    contract, loan = load_loan(books, ObjectId(row.loan))
    side = _find_side(books, call, contract, loan)
    if side is None or side is row.side:
        return Rejection.LOAN_NOT_YOURS
    if row.resolved:
        return Rejection.DISPUTE_CLOSED
    return None if row.answer is None else Rejection.ANSWERED_ALREADY


def apply_dispute_answer(books: Books, call: Call, payload: DisputeAnswer) -> tuple[Fact, ...]:
    """Keep the answer's evidence."""
    row = books.state.need(DISPUTES, payload.dispute)
    books.state.put(DISPUTES, payload.dispute, replace(row, answer=payload.evidence))
    contract, loan = load_loan(books, ObjectId(row.loan))
    books.emit(
        "dispute_answered",
        (payload.dispute, *calculate_subjects(books, ObjectId(row.loan), contract, loan)),
        {"dispute": payload.dispute.hex(), "loan": row.loan.hex(), "by": call.account.hex()},
    )
    return ()


# ---------------------------------------------------------------------- deciding


def check_dispute_resolve(books: Books, call: Call, payload: DisputeResolve) -> Rejection | None:
    """Why the dispute does not end so. Who opened it may only give it up; a remedy is an arbiter's."""
    row = books.state.get(DISPUTES, payload.dispute)
    if row is None:
        return Rejection.DISPUTE_UNKNOWN
    contract, loan = load_loan(books, ObjectId(row.loan))
    side = _find_side(books, call, contract, loan)
    # Nobody decides in a case of its own, nor of a loan that it holds a share of.
    arbiter = bool(call.row.roles & Role.ARBITER) and side is None and call.account not in find_holders(books, loan)
    if not arbiter and side is not row.side:
        return Rejection.LOAN_NOT_YOURS
    if not arbiter and payload.waive + payload.refund > 0:
        return Rejection.ARBITER_MISSING
    if row.resolved:
        return Rejection.DISPUTE_CLOSED
    if not _is_remedy_fit(row, loan, payload):
        return Rejection.REMEDY_TOO_LARGE
    # The pools bear what a lender's cash does not reach of its fee: the borrower is not to wait for it.
    return check_refund(books, _find_waived(loan, payload), payload.refund, strict=False) if payload.refund else None


def _is_remedy_fit(row: Dispute, loan: Loan, payload: DisputeResolve) -> bool:
    """Whether the remedy is no more than was contested, than is unpaid, and than was paid."""
    within = payload.waive + payload.refund <= row.amount
    return within and payload.waive <= calculate_waivable(loan) and payload.refund <= calculate_refundable(loan)


def _find_waived(loan: Loan, payload: DisputeResolve) -> Loan:
    return calculate_waived(loan, payload.waive).loan


def apply_dispute_resolve(books: Books, call: Call, payload: DisputeResolve) -> tuple[Fact, ...]:
    """End the dispute and its hold, and carry the remedy out; charges run again from tomorrow."""
    row = books.state.need(DISPUTES, payload.dispute)
    loan_id = ObjectId(row.loan)
    contract, before = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, books.state.need(LOANS, loan_id), before)
    subjects = (*calculate_subjects(books, loan_id, contract, before), call.account)
    _end(books, call, ObjectId(payload.dispute), subjects, waived=payload.waive, refunded=payload.refund)
    loan = replace(before, dispute=None, hold_until=None, contested=Amount(0))
    if payload.waive:
        loan = apply_waiver(books, loan_id, contract, loan, payload.waive)
    if payload.refund:
        loan = apply_refund(books, loan_id, contract, loan, payload.refund)
    finish_adjustment(books, loan_id, contract, before, loan)
    return ()


def _end(
    books: Books, call: Call, dispute_id: ObjectId, subjects: tuple[bytes, ...], *, waived: int = 0, refunded: int = 0
) -> None:
    row = books.state.need(DISPUTES, dispute_id)
    ended = replace(row, resolved=True, waived=Amount(waived), refunded=Amount(refunded))
    books.state.put(DISPUTES, dispute_id, ended)
    books.emit(
        "dispute_resolved",
        (dispute_id, *subjects),
        {
            "dispute": dispute_id.hex(),
            "loan": row.loan.hex(),
            "by": call.account.hex(),
            "waived": waived,
            "refunded": refunded,
        },
    )


RULES: Rules = {
    DisputeOpen: Rule(check_dispute_open, apply_dispute_open, frozen_may=True),
    DisputeAnswer: Rule(check_dispute_answer, apply_dispute_answer, frozen_may=True),
    DisputeResolve: Rule(check_dispute_resolve, apply_dispute_resolve),
}
