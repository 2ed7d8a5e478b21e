"""Payments: anybody may pay on a loan, frozen accounts too, and never more than the payoff is taken.

Where a payment falls is `servicing`'s; what a payment on a defaulted loan does is `recovery`'s. Here money moves.
"""

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Loan, PurchaseTold
from protocol.ledger.cover import is_cover_short
from protocol.ledger.exposure import apply_principal_back
from protocol.ledger.holdings import change_pool, get_owner, split_income, split_principal, split_whole, take_principal
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.records import Fact, Repaid
from protocol.ledger.recovery import apply_recovery, calculate_claim
from protocol.ledger.returns import record_payment
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.servicing import (
    Payment,
    calculate_due_today,
    calculate_loan_payoff,
    calculate_payment,
    calculate_withdrawal_end,
)
from protocol.ledger.state import CONTRACTS, LOANS, POOLS, replace
from protocol.loans.lifecycle import LoanEvent, LoanState, can_happen
from protocol.loans.terms import ExcessRule
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from protocol.transactions.servicing import AutopaySet, Pay, PaymentSource


def check_pay(books: Books, call: Call, payload: Pay) -> Rejection | None:
    """Why the payment is not taken."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    contract = books.state.need(CONTRACTS, payload.loan)
    cash = read_cash(books.state, call.account, contract.disclosure.currency)
    refund = payload.source is PaymentSource.MERCHANT_REFUND
    if cash < payload.amount:
        contract, loan = load_loan(books, payload.loan)
        # A refund is taken whole: what the loan does not need goes to the borrower.
        if loan.closed_ms is None and (refund or cash < min(payload.amount, _calculate_owed(contract, loan))):
            return Rejection.FUNDS_SHORT
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not can_happen(loan.state, LoanEvent.PAY):
        return Rejection.LOAN_STATE
    if refund and not _is_merchant(contract, call.account):
        return Rejection.MERCHANT_ONLY
    return None


def _is_merchant(contract: Contract, account: AccountId) -> bool:
    told = contract.disclosure.told
    return isinstance(told, PurchaseTold) and told.merchant == account


def _calculate_owed(contract: Contract, loan: Loan) -> int:
    return calculate_loan_payoff(contract, loan) if loan.state is LoanState.ACTIVE else calculate_claim(loan)


def apply_pay(books: Books, call: Call, payload: Pay) -> tuple[Fact, ...]:
    """Take the smaller of amount and what is owed, oldest row first, and close the loan when nothing is left."""
    refund = payload.source is PaymentSource.MERCHANT_REFUND
    excess = ExcessRule.LAST if refund else payload.excess
    fact = pay_loan(books, payload.loan, call.account, payload.amount, excess=excess, source=payload.source)
    taken = fact.principal + fact.interest + fact.fee + fact.penalty + fact.costs
    contract = books.state.need(CONTRACTS, payload.loan)
    if refund and payload.amount > taken:
        over = payload.amount - taken
        books.post(
            "refund_passed_on",
            contract.disclosure.currency,
            (Posting(call.account, Book.CASH, over), Posting(contract.disclosure.borrower, Book.CASH, -over)),
            (payload.loan, contract.disclosure.borrower, call.account),
            {"loan": payload.loan.hex(), "amount": over},
        )
    return (fact,)


def pay_loan(
    books: Books, loan_id: ObjectId, payer: AccountId, amount: int, *, excess: ExcessRule, source: PaymentSource
) -> Repaid:
    """Let `payer` pay on an open loan of the books, today; the payer's cash covers what is taken."""
    contract, loan = load_loan(books, loan_id)
    if loan.state is not LoanState.ACTIVE:
        return apply_recovery(books, loan_id, contract, loan, payer=payer, amount=amount, source=source)
    emit_lateness(books, loan_id, contract, books.state.need(LOANS, loan_id), loan)
    feeless = source is PaymentSource.MERCHANT_REFUND
    payment = calculate_payment(contract, loan, amount, excess, contract.disclosure.materiality, feeless=feeless)
    assert payment.taken > 0, "an open loan has a payoff"
    record_payment(books, loan_id, contract, loan, payment, payer=payer, source=source)
    after = post_payment(books, payer, loan_id, contract, payment, source=source)
    refunded = 0
    if payment.closes:
        after, refunded = _close(books, loan_id, contract, after)
    emit_lateness(books, loan_id, contract, loan, after)
    save_loan(books, loan_id, contract, after)
    apply_principal_back(books, contract.subject_tag, payment.principal)
    return Repaid(
        loan=loan_id,
        principal=Amount(payment.principal),
        interest=Amount(payment.interest),
        fee=Amount(payment.fee),
        penalty=Amount(payment.penalty),
        refunded=Amount(refunded),
        principal_left=after.principal_out,
        closed=payment.closes,
    )


def post_payment(
    books: Books, payer: AccountId, loan_id: ObjectId, contract: Contract, payment: Payment, *, source: PaymentSource
) -> Loan:
    """Move the money to the pools by share; the lenders' fees of the interest go to them, or to cover that is short."""
    disclosure, loan = contract.disclosure, payment.loan
    principals = split_principal(loan.holdings, payment.principal)
    postings = [Posting(payer, Book.CASH, payment.taken)]
    before = [part - new for part, new in zip(loan.paid, payment.parts, strict=True)]
    parts = zip(
        loan.holdings,
        principals,
        split_whole(loan.holdings, before[1]),
        split_income(loan.holdings, payment.interest, before[1]),
        split_income(loan.holdings, payment.fee, before[2]),
        split_income(loan.holdings, payment.penalty, before[3]),
        strict=True,
    )
    for holding, principal, earned, interest, fee, penalty in parts:
        pool_id = ObjectId(holding.pool)
        managed = _post_management_fee(books, pool_id, earned, interest, postings)
        change_pool(
            books,
            pool_id,
            cash=principal + interest - managed + fee + penalty,
            principal=-principal,
        )
        postings += [
            Posting(pool_id, Book.PRINCIPAL, -principal),
            Posting(pool_id, Book.INTEREST, managed - interest),
            Posting(pool_id, Book.FEES, -fee),
            Posting(pool_id, Book.PENALTIES, -penalty),
        ]
    subjects = calculate_subjects(books, loan_id, contract, loan)
    books.post(
        "paid",
        disclosure.currency,
        tuple(postings),
        subjects if payer in subjects else (*subjects, payer),
        {
            "loan": loan_id.hex(),
            "payer": payer.hex(),
            "source": source.name.lower(),
            "taken": payment.taken,
            "principal": payment.principal,
            "interest": payment.interest,
            "fee": payment.fee,
            "penalty": payment.penalty,
            "principal_left": loan.principal_out,
        },
    )
    return replace(loan, holdings=take_principal(loan.holdings, principals), payments=loan.payments + 1)


def _post_management_fee(books: Books, pool_id: ObjectId, earned: int, interest: int, postings: list[Posting]) -> int:
    """The lender's part of a pool's interest, added to the postings; it fills cover first while cover is short.

    Of all interest of the loan, less of what was earned before, so that dust adds up as one sum would.
    """
    pool = books.state.need(POOLS, pool_id)
    managed = share_floor(earned + interest, pool.fee_ppm) - share_floor(earned, pool.fee_ppm)
    if managed and is_cover_short(books, pool_id):
        change_pool(books, pool_id, cover=managed)
        postings.append(Posting(pool_id, Book.COVER, -managed))
    elif managed:
        postings.append(Posting(get_owner(books, pool_id), Book.CASH, -managed))
    return managed


def _close(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> tuple[Loan, int]:
    """End a loan that is paid. Within the cooling-off days the origination fee goes back to the borrower."""
    disclosure = contract.disclosure
    today = books.calculate_day(disclosure.tz_offset_min)
    withdrawn = today <= calculate_withdrawal_end(contract)
    refund = disclosure.origination_fee if withdrawn else 0
    if refund:
        postings = [Posting(disclosure.borrower, Book.CASH, -refund)]
        for holding, part in zip(loan.holdings, split_income(loan.holdings, refund), strict=True):
            change_pool(books, ObjectId(holding.pool), cash=-part)
            postings.append(Posting(holding.pool, Book.FEES, part))
        books.post(
            "fee_refunded",
            disclosure.currency,
            tuple(postings),
            calculate_subjects(books, loan_id, contract, loan),
            {"loan": loan_id.hex(), "amount": refund},
        )
    state = LoanState.WITHDRAWN if withdrawn else LoanState.REPAID
    event = LoanEvent.WITHDRAW if withdrawn else LoanEvent.PAY
    return close_loan(books, loan_id, contract, loan, event=event, state=state), refund


def on_loan_due(books: Books, loan_id: ObjectId) -> None:
    """Its day has come: bring the loan to today, tell what changed, pay what was ordered, schedule the next day."""
    before = replace(books.state.need(LOANS, loan_id), due_ms=None)
    books.state.put(LOANS, loan_id, before)
    contract, loan = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)
    if loan.autopay and loan.state is LoanState.ACTIVE:
        borrower = AccountId(contract.disclosure.borrower)
        cash = read_cash(books.state, borrower, contract.disclosure.currency)
        amount = min(cash, calculate_due_today(loan))
        if amount:
            pay_loan(books, loan_id, borrower, amount, excess=ExcessRule.NEXT, source=PaymentSource.BORROWER)


def check_autopay_set(books: Books, call: Call, payload: AutopaySet) -> Rejection | None:
    """Why the order is not taken."""
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    contract = books.state.need(CONTRACTS, payload.loan)
    return None if contract.disclosure.borrower == call.account else Rejection.LOAN_NOT_YOURS


def apply_autopay_set(books: Books, call: Call, payload: AutopaySet) -> tuple[Fact, ...]:
    """Keep the order; instalments already due stay the borrower's to pay by hand until their next day."""
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    save_loan(books, payload.loan, contract, replace(loan, autopay=payload.on))
    books.emit(
        "autopay_set",
        calculate_subjects(books, payload.loan, contract, loan),
        {"loan": payload.loan.hex(), "on": payload.on},
    )
    return ()


RULES: Rules = {
    Pay: Rule(check_pay, apply_pay, frozen_may=True),
    AutopaySet: Rule(check_autopay_set, apply_autopay_set, frozen_may=True),
}
DUE: Due = {EventKind.LOAN: on_loan_due}
