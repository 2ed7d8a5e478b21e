"""Amendments: other terms for what is left of a loan, or settling it for less; both sides sign (ledger 2.11).

    propose -> accept within its days | reject | replaced by the same side's next | gone with another that is accepted

What is unpaid when a loan is amended:

    principal    less what is forgiven, on new rows from today; the forgiven part is the pools' and their cover's loss
    interest     due, or earned since the last due date    CAPITALISE  principal from now on, and cost all the same
    fees         due                                       CARRY       stands on the first new row, beside its own
    penalties    all                                       WAIVE       given up
    costs        of recovery, stated by the lender: given up

A loan in default becomes a running one again: its pools hold the principal as before, and cover has back what it paid.
A settlement is paid on acceptance and falls like any payment or recovery; the rest is given up, and the loan is over.
Late fees, caps and dates of default stay as they were disclosed. Never a change that one side alone signed.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import ZERO_DIGEST, AccountId, Day, ObjectId
from protocol.ledger.accounts import has_cosigned
from protocol.ledger.assets import has_signed
from protocol.ledger.books import Books, Call
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.cover import bear_loss, count_loss
from protocol.ledger.exposure import apply_principal_back
from protocol.ledger.holdings import change_pool, find_holders, get_lender, split_principal, split_whole, take_principal
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.offers import calculate_terms_hash
from protocol.ledger.payments import post_payment
from protocol.ledger.records import Fact, Made, Repaid
from protocol.ledger.recovery import apply_recovery, calculate_claim
from protocol.ledger.restructure import Charges, calculate_amended, is_within_policy
from protocol.ledger.returns import forget_payments
from protocol.ledger.rows import Amendment
from protocol.ledger.rules import Rule, Rules
from protocol.ledger.servicing import calculate_loan_lateness, calculate_payment
from protocol.ledger.state import AMENDMENTS, CONTRACTS, EXPOSURES, LOANS, POOLS, replace
from protocol.loans.accrual import Accrual, calculate_accrual_periods
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state, can_happen
from protocol.loans.terms import ExcessRule
from protocol.loans.waterfall import Row
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.servicing import AmendAnswer, AmendPropose, PaymentSource

CHARGE_BOOKS = (Book.INTEREST, Book.FEES, Book.PENALTIES)

# ---------------------------------------------------------------------- proposals


def _settles_less(contract: Contract, loan: Loan, amount: int) -> bool:
    """Whether something is given up: who can pay all simply pays."""
    if loan.state is not LoanState.ACTIVE:
        return amount < calculate_claim(loan)
    return not calculate_payment(contract, loan, amount, ExcessRule.LAST, 0, feeless=True).closes


def _check_loan(contract: Contract, loan: Loan, terms: AmendPropose, own: bool) -> Rejection | None:
    """Whether the loan stands where it can be amended, and by this side."""
    event = LoanEvent.AMEND if terms.settle is None else LoanEvent.SETTLE
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not can_happen(loan.state, event):
        return Rejection.LOAN_STATE
    if not own:
        return Rejection.LOAN_NOT_YOURS
    # While the borrower may still withdraw, nothing else is needed.
    return Rejection.TOO_SOON if loan.fee_held else None


def _check_terms(books: Books, contract: Contract, loan: Loan, terms: AmendPropose) -> Rejection | None:
    """Whether something lawful follows from the terms today."""
    if terms.settle is not None:
        return None if _settles_less(contract, loan, terms.settle) else Rejection.AMENDMENT_TERMS_INVALID
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    if calculate_amended(contract, loan, terms, today) is None:
        return Rejection.AMENDMENT_TERMS_INVALID
    many = loan.restructures >= books.policy.restructures_max
    return Rejection.RESTRUCTURES_TOO_MANY if many else None


def _check_policy(books: Books, contract: Contract, loan: Loan, terms: AmendPropose) -> Rejection | None:
    """Whether rate and effective rate stay within the policy of today."""
    if terms.settle is not None or loan.closed_ms is not None:
        return None
    if not is_within_policy(books.policy, contract.disclosure, terms.rate_ppm):
        return Rejection.POLICY_BROKEN
    amended = calculate_amended(contract, loan, terms, books.calculate_day(contract.disclosure.tz_offset_min))
    dear = amended is not None and amended.disclosure.apr_ppm > books.policy.apr_cap_ppm
    return Rejection.POLICY_BROKEN if dear else None


def check_amend_propose(books: Books, call: Call, payload: AmendPropose) -> Rejection | None:
    """Why the proposal does not stand."""
    if books.state.get(LOANS, payload.loan) is None:
        return Rejection.LOAN_UNKNOWN
    contract, loan = load_loan(books, payload.loan)
    lender, borrower = get_lender(books, loan), contract.disclosure.borrower
    if call.row.frozen and call.account == lender:
        return Rejection.ACCOUNT_FROZEN
    barred = _check_loan(contract, loan, payload, call.account in {lender, borrower})
    if barred is not None and is_within_policy(books.policy, contract.disclosure, payload.rate_ppm):
        # A schedule is computed for those alone who could have it.
        return barred
    return (
        _check_policy(books, contract, loan, payload)
        or barred
        or _check_terms(books, contract, loan, payload)
        or _check_holders(books, call, loan)
    )


def _check_holders(books: Books, call: Call, loan: Loan) -> Rejection | None:
    """Whether all who hold the loan agree where its lender does: no interest for forty years is money given up, too."""
    if call.account != get_lender(books, loan):
        return None
    agreed = all(has_signed(books, call, one) for one in find_holders(books, loan))
    return None if agreed else Rejection.COSIGNER_MISSING


def apply_amend_propose(books: Books, call: Call, payload: AmendPropose) -> tuple[Fact, ...]:
    """Let the proposal stand in place of the same side's one before."""
    amendment_id = calculate_object_id("amendment", call.key, call.nonce)
    contract, loan = load_loan(books, payload.loan)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    by_borrower = call.account == contract.disclosure.borrower
    name = "amend_borrower" if by_borrower else "amend_lender"
    _end_proposal(books, getattr(loan, name), accepted=False)
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    row = Amendment(
        proposer=call.account,
        by_borrower=by_borrower,
        terms=payload,
        expires_on=Day(today + payload.valid_days),
    )
    books.state.put(AMENDMENTS, amendment_id, row)
    save_loan(books, payload.loan, contract, replace(loan, **{name: amendment_id}))
    books.emit(
        "amendment_proposed",
        (amendment_id, *calculate_subjects(books, payload.loan, contract, loan)),
        {
            "amendment": amendment_id.hex(),
            "loan": payload.loan.hex(),
            "by_borrower": by_borrower,
            "settle": payload.settle,
            "expires_on": row.expires_on,
        },
    )
    return (Made(id=amendment_id),)


def _end_proposal(books: Books, amendment_id: ObjectId | None, *, accepted: bool) -> None:
    if amendment_id is not None:
        row = books.state.need(AMENDMENTS, amendment_id)
        books.state.put(AMENDMENTS, amendment_id, replace(row, accepted=accepted))


def drop_proposals(books: Books, loan: Loan) -> Loan:
    """The loan without open proposals: they were made for another loan than it is now."""
    for amendment_id in (loan.amend_lender, loan.amend_borrower):
        _end_proposal(books, amendment_id, accepted=False)
    return replace(loan, amend_lender=None, amend_borrower=None)


# ---------------------------------------------------------------------- answers


def check_amend_answer(books: Books, call: Call, payload: AmendAnswer) -> Rejection | None:
    """Why the answer does not count. Money and hash are asked only of what could be accepted at all."""
    row = books.state.get(AMENDMENTS, payload.amendment)
    if row is None:
        return Rejection.AMENDMENT_UNKNOWN
    contract, loan = load_loan(books, row.terms.loan)
    lender, borrower = get_lender(books, loan), AccountId(contract.disclosure.borrower)
    if call.row.frozen and call.account == lender:
        return Rejection.ACCOUNT_FROZEN
    answers = {lender if row.by_borrower else borrower} if payload.accept else {lender, borrower}
    barred = _check_loan(contract, loan, row.terms, call.account in answers)
    if barred is not None:
        return barred
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    if row.accepted is not None or today > row.expires_on:
        return Rejection.AMENDMENT_CLOSED
    if not payload.accept:
        return None
    barred = _check_terms(books, contract, loan, row.terms)
    if barred is not None:
        return barred
    if row.terms.settle is not None:
        barred = _check_settlement(books, contract, payload, row.terms.settle)
    else:
        barred = _check_policy(books, contract, loan, row.terms)
        barred = barred or _check_restructure(books, contract, loan, row.terms, payload)
        barred = barred or _check_guarantors(books, call, contract, loan, row.terms)
    return barred or _check_holders(books, call, loan)


def _check_settlement(books: Books, contract: Contract, payload: AmendAnswer, amount: int) -> Rejection | None:
    """Whether the borrower has the money, and the signer meant a settlement."""
    if read_cash(books.state, AccountId(contract.disclosure.borrower), contract.disclosure.currency) < amount:
        return Rejection.FUNDS_SHORT
    return None if payload.terms_hash == ZERO_DIGEST else Rejection.TERMS_MISMATCH


def _check_restructure(
    books: Books, contract: Contract, loan: Loan, terms: AmendPropose, payload: AmendAnswer
) -> Rejection | None:
    """Whether the signer saw today's schedule, debt stays within its cap, and cover can have its money back."""
    amended = calculate_amended(contract, loan, terms, books.calculate_day(contract.disclosure.tz_offset_min))
    assert amended is not None, "checked before"
    if payload.terms_hash != calculate_terms_hash(amended.disclosure):
        return Rejection.TERMS_MISMATCH
    more = sum(amended.capitalised) - amended.forgiven
    exposure = books.state.need(EXPOSURES, contract.subject_tag)
    if more > 0 and exposure.principal_open + exposure.undrawn + more > books.policy.debt_cap:
        return Rejection.CAP_DEBT
    for one in loan.holdings:
        pool = books.state.need(POOLS, one.pool)
        if pool.cash - pool.reserved < one.covered:
            return Rejection.LIQUIDITY_SHORT
    return None


def _check_guarantors(
    books: Books, call: Call, contract: Contract, loan: Loan, terms: AmendPropose
) -> Rejection | None:
    """Whether everybody who stands in for the loan signs again, where it would become larger than what they signed."""
    guarantors = contract.disclosure.guarantors
    if not guarantors:
        return None
    amended = calculate_amended(contract, loan, terms, books.calculate_day(contract.disclosure.tz_offset_min))
    assert amended is not None, "checked before"
    agreed = all(has_cosigned(books, call, AccountId(one)) for one in guarantors)
    larger = amended.disclosure.schedule.principal > contract.principal
    return Rejection.GUARANTOR_MISSING if larger and not agreed else None


def apply_amend_answer(books: Books, call: Call, payload: AmendAnswer) -> tuple[Fact, ...]:
    """Carry an accepted amendment out today, or let a rejected one go."""
    row = books.state.need(AMENDMENTS, payload.amendment)
    loan_id = ObjectId(row.terms.loan)
    contract, loan = load_loan(books, loan_id)
    emit_lateness(books, loan_id, contract, books.state.need(LOANS, loan_id), loan)
    if not payload.accept:
        name = "amend_borrower" if row.by_borrower else "amend_lender"
        _end_proposal(books, payload.amendment, accepted=False)
        save_loan(books, loan_id, contract, replace(loan, **{name: None}))
        books.emit(
            "amendment_rejected",
            (payload.amendment, *calculate_subjects(books, loan_id, contract, loan)),
            {"amendment": payload.amendment.hex(), "loan": loan_id.hex(), "by": call.account.hex()},
        )
        return ()
    loan = drop_proposals(books, loan)
    _end_proposal(books, payload.amendment, accepted=True)
    forget_payments(books, loan_id)
    if row.terms.settle is not None:
        return (_apply_settlement(books, loan_id, contract, loan, row.terms.settle),)
    _apply_restructure(books, loan_id, contract, loan, row.terms)
    return ()


# ---------------------------------------------------------------------- restructuring


def _apply_restructure(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, terms: AmendPropose) -> None:
    """Put what is left on new rows from today, as a new version of the contract."""
    today = books.calculate_day(contract.disclosure.tz_offset_min)
    amended = calculate_amended(contract, loan, terms, today)
    assert amended is not None, "checked before"
    before = loan
    postings: list[Posting] = []
    if loan.state is not LoanState.ACTIVE:
        loan = _post_cure(books, loan, postings)
    loan = _post_forgiven(books, loan, amended.forgiven, postings)
    loan = _post_capitalised(books, loan, amended.capitalised, postings)
    contract = replace(
        contract,
        disclosure=amended.disclosure,
        periods=calculate_accrual_periods(amended.disclosure.schedule),
        version=contract.version + 1,
    )
    books.state.put(CONTRACTS, loan_id, contract)
    apply_principal_back(books, contract.subject_tag, amended.forgiven - sum(amended.capitalised))
    loan = replace(
        loan,
        state=calculate_next_state(before.state, LoanEvent.AMEND, LoanState.ACTIVE),
        rows=amended.rows,
        accrual=Accrual(as_of=today),
        ahead_stale=False,
        matured_interest=Amount(0),
        fees_charged=(),
        dropped=loan.paid,
        carried=Amount(amended.carried.interest),
        restructured_on=today,
        restructures=loan.restructures + 1,
        days_past_due_before=calculate_loan_lateness(contract, before, contract.disclosure.materiality),
        bucket=DelinquencyBucket.CURRENT,
        defaulted_on=None,
        costs=Amount(0),
    )
    books.post(
        "loan_amended",
        contract.disclosure.currency,
        tuple(postings),
        calculate_subjects(books, loan_id, contract, loan),
        {
            "loan": loan_id.hex(),
            "version": contract.version,
            "principal": loan.principal_out,
            "instalments": len(loan.rows),
            "rate_ppm": terms.rate_ppm,
            "first_due": loan.rows[0].due_on,
            "forgiven": amended.forgiven,
            "capitalised": sum(amended.capitalised),
            "carried": sum(amended.carried),
            "waived": sum(amended.waived),
            "cured": before.state is not LoanState.ACTIVE,
        },
    )
    emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)


def _post_cure(books: Books, loan: Loan, postings: list[Posting]) -> Loan:
    """The claim as principal of its pools again; cover has its part of it back out of their cash."""
    assert loan.defaulted_on is not None, "a claim has its day"
    holdings = []
    for one in loan.holdings:
        count_loss(books, ObjectId(one.pool), loan.defaulted_on, -one.lost)
        change_pool(books, ObjectId(one.pool), principal=one.principal, cash=-one.covered, cover=one.covered)
        postings += [
            Posting(one.pool, Book.PRINCIPAL, one.principal),
            Posting(one.pool, Book.LOSS, -one.lost),
            Posting(one.pool, Book.COVER, -one.covered),
        ]
        holdings.append(replace(one, lost=Amount(0), covered=Amount(0)))
    return replace(loan, holdings=tuple(holdings))


def _post_forgiven(books: Books, loan: Loan, amount: int, postings: list[Posting]) -> Loan:
    """The running loan with principal given up: each pool loses its part, and its cover bears its rate of that."""
    parts = split_principal(loan.holdings, amount)
    for one, part in zip(loan.holdings, parts, strict=True):
        change_pool(books, ObjectId(one.pool), principal=-part)
        borne = bear_loss(books, ObjectId(one.pool), part, Day(loan.accrual.as_of))
        postings += [Posting(one.pool, Book.PRINCIPAL, -part), *borne.postings]
    return replace(
        loan,
        holdings=take_principal(loan.holdings, parts),
        principal_out=Amount(loan.principal_out - amount),
        forgiven=Amount(loan.forgiven + amount),
    )


def _post_capitalised(books: Books, loan: Loan, charges: Charges, postings: list[Posting]) -> Loan:
    """The loan with charges made principal: income of its pools, but not in cash, so no lender's fee comes off it."""
    holdings, out = loan.holdings, loan.principal_out
    for book, amount in zip(CHARGE_BOOKS, charges, strict=True):
        out = Amount(out + amount)
        raised = split_whole(holdings, out)
        for one, part in zip(holdings, raised, strict=True):
            more = part - one.principal
            change_pool(books, ObjectId(one.pool), principal=more)
            postings += [Posting(one.pool, Book.PRINCIPAL, more), Posting(one.pool, book, -more)]
        holdings = tuple(replace(one, principal=Amount(part)) for one, part in zip(holdings, raised, strict=True))
    capitalised = Amount(loan.capitalised + sum(charges))
    return replace(loan, holdings=holdings, principal_out=out, capitalised=capitalised)


# ---------------------------------------------------------------------- settling


def _apply_settlement(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, amount: int) -> Repaid:
    """Take the amount from the borrower's cash, give the rest up, and end the loan."""
    borrower = AccountId(contract.disclosure.borrower)
    before, fact = loan, _make_repaid(loan_id)
    if loan.state is LoanState.ACTIVE and amount:
        payment = calculate_payment(contract, loan, amount, ExcessRule.LAST, 0, feeless=True)
        loan = post_payment(books, borrower, loan_id, contract, payment, source=PaymentSource.BORROWER)
        apply_principal_back(books, contract.subject_tag, payment.principal)
        fact = _make_repaid(loan_id, *payment.parts)
    elif amount:
        source = PaymentSource.BORROWER
        fact = apply_recovery(books, loan_id, contract, loan, payer=borrower, amount=amount, source=source)
        loan = books.state.need(LOANS, loan_id)
    given_up = loan.principal_out
    postings: list[Posting] = []
    if loan.state is LoanState.ACTIVE:
        loan = _post_forgiven(books, loan, given_up, postings)
    else:
        holdings = tuple(replace(one, principal=Amount(0), lost=Amount(0), covered=Amount(0)) for one in loan.holdings)
        forgiven = Amount(loan.forgiven + given_up)
        loan = replace(loan, holdings=holdings, principal_out=Amount(0), forgiven=forgiven, costs=Amount(0))
    unpaid = sum(row.unpaid for row in loan.rows)
    loan = replace(loan, rows=tuple(_end_row(row) for row in loan.rows), bucket=DelinquencyBucket.CURRENT)
    books.post(
        "loan_settled",
        contract.disclosure.currency,
        tuple(postings),
        calculate_subjects(books, loan_id, contract, loan),
        {"loan": loan_id.hex(), "amount": amount, "principal_given_up": given_up, "rows_given_up": unpaid},
    )
    apply_principal_back(books, contract.subject_tag, given_up)
    loan = close_loan(books, loan_id, contract, loan, event=LoanEvent.SETTLE, state=LoanState.SETTLED)
    emit_lateness(books, loan_id, contract, before, loan)
    save_loan(books, loan_id, contract, loan)
    return replace(fact, principal_left=Amount(0), closed=True)


def _end_row(row: Row) -> Row:
    """A row on which nothing is owed any more."""
    return replace(
        row,
        principal_due=row.principal_paid,
        interest_due=row.interest_paid,
        fee_due=row.fee_paid,
        penalty_due=row.penalty_paid,
    )


def _make_repaid(loan_id: ObjectId, principal: int = 0, interest: int = 0, fee: int = 0, penalty: int = 0) -> Repaid:
    return Repaid(
        loan=loan_id,
        principal=Amount(principal),
        interest=Amount(interest),
        fee=Amount(fee),
        penalty=Amount(penalty),
        refunded=Amount(0),
        principal_left=Amount(0),
        closed=True,
    )


RULES: Rules = {
    AmendPropose: Rule(check_amend_propose, apply_amend_propose, frozen_may=True),
    AmendAnswer: Rule(check_amend_answer, apply_amend_answer, frozen_may=True),
}
