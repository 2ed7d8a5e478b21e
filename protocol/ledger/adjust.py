"""Corrections of a loan: waivers, refunds, reversed receipts of fiat, costs of recovery.

    WAIVE     unpaid interest, fees, penalties fall    oldest row first; in a row penalties, then fees, then interest
    REFUND    the same parts that were paid go back    in the same order, rows that were replaced before all
    COST      added to a claim, within the policy      recovered before anything else
    REVERSAL  the last payment is undone               `returns`

Interest of rows ahead follows from the principal by itself, so it can neither be waived nor refunded. What a dispute's
remedy does, is done here too; whether it may be, is `disputes`'. Never a change of principal or of terms here.
"""

from typing import NamedTuple

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.holdings import get_lender
from protocol.ledger.journal import Book, Posting
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.records import Fact
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.returns import (
    apply_reversal,
    calculate_backs,
    check_reversal,
    find_last_payment,
    forget_payments,
    is_liquid,
    is_withdrawable,
    sum_takes,
    take_back,
)
from protocol.ledger.rows import Reference, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.servicing import calculate_loan_lateness, calculate_loan_payoff
from protocol.ledger.state import LOANS, REFERENCES, replace
from protocol.loans.delinquency import calculate_bucket
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state, can_happen
from protocol.loans.waterfall import Row
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from protocol.transactions.servicing import AdjustKind, LoanAdjust

PARTS = ("penalty", "fee", "interest")
"""In which order a row's charges are given up or back."""
CLAIMED = (LoanState.DEFAULTED, LoanState.WRITTEN_OFF)


class Given(NamedTuple):
    """A loan after charges were given up or back, and how much of each kind."""

    loan: Loan
    interest: int
    fee: int
    penalty: int


# ---------------------------------------------------------------------- waivers


def _is_row_open(loan: Loan, row: Row, part: str) -> bool:
    """Whether a row's part is owed by itself: penalties always, the rest once due or once nothing accrues any more."""
    return part == "penalty" or loan.state is not LoanState.ACTIVE or row.due_on <= loan.accrual.as_of


def calculate_waivable(loan: Loan) -> int:
    """Interest, fees and penalties that are owed and unpaid on the day the loan was brought to."""
    return sum(getattr(row, f"{part}_unpaid") for row in loan.rows for part in PARTS if _is_row_open(loan, row, part))


def calculate_waived(loan: Loan, amount: int) -> Given:
    """The loan without the oldest of its unpaid charges; nothing is written."""
    left, rows, totals = amount, list(loan.rows), dict.fromkeys(PARTS, 0)
    for position in range(len(rows)):
        for part in PARTS:
            row = rows[position]
            given = min(left, getattr(row, f"{part}_unpaid")) if _is_row_open(loan, row, part) else 0
            if given:
                rows[position] = replace(row, **{f"{part}_due": getattr(row, f"{part}_due") - given})
                totals[part] += given
                left -= given
    assert left == 0, "no more is waived than is unpaid"
    return Given(replace(loan, rows=tuple(rows)), **totals)


def apply_waiver(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, amount: int) -> Loan:
    """The loan with charges given up, told to readers; no money moves, because interest counts when received."""
    given = calculate_waived(loan, amount)
    books.emit(
        "charges_waived",
        calculate_subjects(books, loan_id, contract, loan),
        {
            "loan": loan_id.hex(),
            "amount": amount,
            "interest": given.interest,
            "fee": given.fee,
            "penalty": given.penalty,
        },
    )
    return given.loan


# ---------------------------------------------------------------------- refunds


def calculate_refundable(loan: Loan) -> int:
    """Interest, fees and penalties paid that can go back."""
    paid: int = sum(
        getattr(row, f"{part}_paid") for row in loan.rows for part in PARTS if _is_row_open(loan, row, part)
    )
    return paid + sum(loan.dropped[1:])


def calculate_refunded(loan: Loan, amount: int) -> Given:
    """The loan with the oldest of its paid charges neither due nor paid; nothing is written."""
    left, rows, totals = amount, list(loan.rows), dict.fromkeys(PARTS, 0)
    dropped = dict(zip(("principal", "interest", "fee", "penalty"), loan.dropped, strict=True))
    for part in PARTS:
        given = min(left, dropped[part])
        dropped[part] = Amount(dropped[part] - given)
        totals[part] += given
        left -= given
    for position in range(len(rows)):
        for part in PARTS:
            row = rows[position]
            given = min(left, getattr(row, f"{part}_paid")) if _is_row_open(loan, row, part) else 0
            if given:
                fields = {f"{part}_{kind}": getattr(row, f"{part}_{kind}") - given for kind in ("due", "paid")}
                rows[position] = replace(row, **fields)
                totals[part] += given
                left -= given
    assert left == 0, "no more goes back than was paid"
    principal, interest, fee, penalty = loan.paid
    paid = (principal, interest - totals["interest"], fee - totals["fee"], penalty - totals["penalty"])
    after = replace(loan, rows=tuple(rows), paid=paid, dropped=tuple(dropped.values()))
    return Given(after, **totals)


def check_refund(books: Books, loan: Loan, amount: int, *, strict: bool) -> Rejection | None:
    """Why the money is not there. A lender's own refund also needs its management fee of that interest back."""
    given = calculate_refunded(loan, amount)
    backs = calculate_backs(books, loan, (0, given.interest, given.fee, given.penalty))
    if strict and any(back.missing for back in backs):
        return Rejection.FUNDS_SHORT
    return None if is_liquid(books, backs) else Rejection.LIQUIDITY_SHORT


def apply_refund(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, amount: int) -> Loan:
    """The loan with charges given back to the borrower out of the pools' cash."""
    given = calculate_refunded(loan, amount)
    backs = calculate_backs(books, loan, (0, given.interest, given.fee, given.penalty))
    borrower = AccountId(contract.disclosure.borrower)
    books.post(
        "charges_refunded",
        contract.disclosure.currency,
        (*take_back(books, loan, backs), Posting(borrower, Book.CASH, -amount)),
        calculate_subjects(books, loan_id, contract, loan),
        {
            "loan": loan_id.hex(),
            "amount": amount,
            "interest": given.interest,
            "fee": given.fee,
            "penalty": given.penalty,
        },
    )
    forget_payments(books, loan_id)
    return given.loan


# ---------------------------------------------------------------------- after a correction


def finish_adjustment(books: Books, loan_id: ObjectId, contract: Contract, before: Loan, loan: Loan) -> Loan:
    """Save a corrected loan; it ends when nothing is owed any more."""
    if loan.closed_ms is None:
        end = _find_end(contract, loan)
        if loan.state is LoanState.ACTIVE:
            late = calculate_loan_lateness(contract, loan, contract.disclosure.materiality)
            loan = replace(loan, bucket=calculate_bucket(late))
        if end is None:
            loan = replace(loan, state=calculate_next_state(loan.state, LoanEvent.ADJUST, loan.state))
        else:
            loan = close_loan(books, loan_id, contract, loan, event=LoanEvent.ADJUST, state=end)
        emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)
    return loan


def _find_end(contract: Contract, loan: Loan) -> LoanState | None:
    """How the loan ends now, if nothing is owed on it."""
    if loan.state is LoanState.ACTIVE:
        done = loan.principal_out == 0 and calculate_loan_payoff(contract, loan) == 0
        return LoanState.REPAID if done else None
    return LoanState.RECOVERED if calculate_claim(loan) == 0 else None


# ---------------------------------------------------------------------- the transaction


def calculate_costs_max(books: Books, loan: Loan) -> int:
    """What may be stated as costs of recovering what is still unpaid, those stated before included."""
    return share_floor(calculate_claim(loan) - loan.costs, books.policy.recovery_cost_ppm)


def check_adjust(books: Books, call: Call, payload: LoanAdjust) -> Rejection | None:
    """Why the correction is not made. Whether the money is there is asked only of what could be done at all."""
    reverses = payload.kind is AdjustKind.REVERSAL
    if reverses and not call.row.roles & Role.SETTLEMENT_AGENT:
        return Rejection.ROLE_MISSING
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    if reverses and books.state.get(REFERENCES, call.account + payload.reference) is not None:
        return Rejection.REFERENCE_USED
    if books.state.get(LOANS, payload.loan) is None:
        return Rejection.LOAN_UNKNOWN
    barred = _check_payment(books, payload) if reverses else _check_charges(books, call, payload)
    if barred is not None:
        return barred
    if reverses:
        taken = find_last_payment(books, payload.loan)
        assert taken is not None, "checked above"
        return check_reversal(books, call.account, payload.loan, taken)
    if payload.kind is AdjustKind.REFUND:
        return check_refund(books, load_loan(books, payload.loan)[1], payload.amount, strict=True)
    return None


def _check_charges(books: Books, call: Call, payload: LoanAdjust) -> Rejection | None:
    """Whether the lender may correct so much of this loan."""
    _, loan = load_loan(books, payload.loan)
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    costs = payload.kind is AdjustKind.COST
    if not can_happen(loan.state, LoanEvent.ADJUST) or (costs and loan.state not in CLAIMED):
        return Rejection.LOAN_STATE
    if get_lender(books, loan) != call.account:
        return Rejection.LOAN_NOT_YOURS
    if costs:
        limit = calculate_costs_max(books, loan) - loan.costs_stated
    else:
        limit = calculate_waivable(loan) if payload.kind is AdjustKind.WAIVE else calculate_refundable(loan)
    return Rejection.ADJUST_TOO_MUCH if payload.amount > limit else None


def _check_payment(books: Books, payload: LoanAdjust) -> Rejection | None:
    """Whether the payment is the loan's last one, whole, and young enough."""
    contract, loan = load_loan(books, payload.loan)
    if not can_happen(loan.state, LoanEvent.REVERSE):
        return Rejection.LOAN_STATE if loan.closed_ms is None else Rejection.LOAN_CLOSED
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    taken = find_last_payment(books, payload.loan)
    if taken is None or taken.number != payload.payment or sum(sum_takes(taken.takes)) != payload.amount:
        return Rejection.PAYMENT_UNKNOWN
    if is_withdrawable(contract, loan, today):
        return Rejection.PAYMENT_UNKNOWN
    return Rejection.REVERSAL_LATE if today > taken.paid_on + books.policy.reversal_days else None


def apply_adjust(books: Books, call: Call, payload: LoanAdjust) -> tuple[Fact, ...]:
    """Carry the correction out."""
    if payload.kind is AdjustKind.REVERSAL:
        taken = find_last_payment(books, payload.loan)
        assert taken is not None, "checked before"
        books.state.put(REFERENCES, call.account + payload.reference, Reference(height=books.height))
        apply_reversal(books, call.account, payload.loan, taken)
        return ()
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    match payload.kind:
        case AdjustKind.WAIVE:
            after = apply_waiver(books, payload.loan, contract, loan, payload.amount)
        case AdjustKind.REFUND:
            after = apply_refund(books, payload.loan, contract, loan, payload.amount)
        case _:
            after = _state_costs(books, payload.loan, contract, loan, payload.amount)
    finish_adjustment(books, payload.loan, contract, loan, after)
    return ()


def _state_costs(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, amount: int) -> Loan:
    """The loan with more costs of recovery, which are served before the claim."""
    books.emit(
        "costs_stated",
        calculate_subjects(books, loan_id, contract, loan),
        {"loan": loan_id.hex(), "amount": amount},
    )
    costs, stated = Amount(loan.costs + amount), Amount(loan.costs_stated + amount)
    return replace(loan, costs=costs, costs_stated=stated)


RULES: Rules = {LoanAdjust: Rule(check_adjust, apply_adjust, pause=Pause.SERVICING)}
