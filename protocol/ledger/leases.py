"""Leases: the deposit, and how a lease ends: the thing is returned, bought, or the residual is paid on in instalments.

    all rows but the residual paid -> RETURN | BUY | EXTEND (up to the last due date)

Without an option the residual falls due like any row. What becomes of the title when a lease ends otherwise is
`closing`'s; seizure after default is `assets`'. Never a rule of other kinds of loan here.
"""

from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.assets import has_signed, is_vouched, take_in
from protocol.ledger.books import Books, Call
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Disclosure, LeaseTold, Loan
from protocol.ledger.exposure import apply_principal_back
from protocol.ledger.holdings import change_pool, find_holders, get_lender, split_principal, take_principal
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.loans import calculate_subjects, emit_lateness, load_loan, save_loan
from protocol.ledger.offers import calculate_instalments, calculate_terms_hash
from protocol.ledger.payments import pay_loan, post_payment
from protocol.ledger.records import Fact, Repaid
from protocol.ledger.recovery import apply_recovery, calculate_claim
from protocol.ledger.rows import Role
from protocol.ledger.rules import Rule, Rules
from protocol.ledger.servicing import Payment, calculate_cost, calculate_interest_running, calculate_loan_payoff
from protocol.ledger.state import CONTRACTS, LOANS, replace
from protocol.loans.accrual import Accrual, calculate_accrual_periods
from protocol.loans.calendar import calculate_due_dates
from protocol.loans.delinquency import DelinquencyBucket
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state, can_happen
from protocol.loans.schedule import ScheduleFault
from protocol.loans.terms import Amortisation, ExcessRule
from protocol.loans.waterfall import Take, apply_take, open_row
from protocol.money import Amount, share_floor
from protocol.rejections import Rejection
from protocol.transactions.assets import LeaseEnd, LeaseEndOption
from protocol.transactions.servicing import PaymentSource

# ---------------------------------------------------------------------- acceptance and deposit


def is_deposit_short(books: Books, disclosure: Disclosure) -> bool:
    """Whether the lessee's cash does not reach the deposit of a lease."""
    told = disclosure.told
    deposit = told.deposit if isinstance(told, LeaseTold) else 0
    return deposit > 0 and read_cash(books.state, AccountId(disclosure.borrower), disclosure.currency) < deposit


def check_supplier(books: Books, call: Call, disclosure: Disclosure) -> Rejection | None:
    """Whether the owner of the thing sells it: nobody's title goes to a lessor without its signature."""
    told = disclosure.told
    if isinstance(told, LeaseTold) and not has_signed(books, call, AccountId(told.supplier)):
        return Rejection.COSIGNER_MISSING
    return None


def take_deposit(books: Books, loan_id: ObjectId, disclosure: Disclosure, loan: Loan) -> Loan:
    """The loan with the lessee's deposit held, if its lease asks for one."""
    told = disclosure.told
    if not isinstance(told, LeaseTold) or not told.deposit:
        return loan
    books.post(
        "deposit_taken",
        disclosure.currency,
        (
            Posting(disclosure.borrower, Book.CASH, told.deposit),
            Posting(disclosure.borrower, Book.DEPOSIT, -told.deposit),
        ),
        (loan_id, disclosure.borrower, disclosure.lender),
        {"loan": loan_id.hex(), "amount": told.deposit},
    )
    return replace(loan, deposit=told.deposit)


def apply_deposit(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> Repaid | None:
    """Let a defaulted lease's deposit pay on its claim, like any recovery; None without one. The loan is saved."""
    if not loan.deposit:
        return None
    assert loan.state in {LoanState.DEFAULTED, LoanState.WRITTEN_OFF}, "a deposit is touched after default only"
    taken = min(loan.deposit, calculate_claim(loan))
    return apply_recovery(
        books,
        loan_id,
        contract,
        replace(loan, deposit=Amount(loan.deposit - taken)),
        payer=AccountId(contract.disclosure.borrower),
        amount=taken,
        source=PaymentSource.COLLATERAL,
        book=Book.DEPOSIT,
    )


# ---------------------------------------------------------------------- what is owed at the end


def calculate_charges(loan: Loan, interest_accrued: int) -> Take:
    """What a lease whose other rows are paid owes today besides the residual: interest earned, fees, penalties.

    The loan is brought to today, and `interest_accrued` is what was earned since the last due date.
    """
    last = loan.rows[-1]
    due = last.due_on <= loan.accrual.as_of
    return Take(
        index=last.index,
        interest=last.interest_unpaid if due else max(0, interest_accrued - last.interest_paid),
        fee=last.fee_unpaid if due else 0,
        penalty=last.penalty_unpaid,
    )


def _calculate_charges(contract: Contract, loan: Loan) -> Take:
    return calculate_charges(loan, calculate_interest_running(contract, loan))


def _pay_charges(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan, payer: AccountId) -> Loan:
    """The loan with nothing due on it but the residual."""
    take = _calculate_charges(contract, loan)
    if not take.total:
        return loan
    rows = (*loan.rows[:-1], apply_take(loan.rows[-1], take))
    principal, interest, fee, penalty = loan.paid
    paid = (principal, Amount(interest + take.interest), Amount(fee + take.fee), Amount(penalty + take.penalty))
    payment = Payment(
        loan=replace(loan, rows=rows, paid=paid),
        takes=(take,),
        principal=0,
        interest=take.interest,
        fee=take.fee,
        penalty=take.penalty,
        closes=False,
    )
    return post_payment(books, payer, loan_id, contract, payment, source=PaymentSource.BORROWER)


# ---------------------------------------------------------------------- extension


def calculate_extension(disclosure: Disclosure, residual: int, today: Day) -> Disclosure | ScheduleFault:
    """The disclosure of a lease whose residual is paid on in level instalments from today, at the contract's rate.

    Pure, so that a wallet can show and sign it: `calculate_terms_hash` of it is what a lessee signs. The residual is
    the principal unpaid of the last row.
    """
    told = disclosure.told
    assert isinstance(told, LeaseTold), "a lease"
    assert told.kind.extend_instalments > 0, "an extension is offered"
    schedule = replace(
        disclosure.schedule,
        principal=residual,
        start=today,
        due_dates=calculate_due_dates(today, disclosure.schedule.period, told.kind.extend_instalments),
        amortisation=Amortisation.LEVEL,
        residual=0,
    )
    rows = calculate_instalments(schedule, told)
    return rows if isinstance(rows, ScheduleFault) else replace(disclosure, schedule=schedule, instalments=rows)


def _find_extension(contract: Contract, loan: Loan) -> Disclosure | None:
    """The extended lease, where dates and the cap on all that the loan costs allow it."""
    disclosure = contract.disclosure
    found = calculate_extension(disclosure, loan.rows[-1].principal_unpaid, Day(loan.accrual.as_of))
    if isinstance(found, ScheduleFault):
        return None
    take = _calculate_charges(contract, loan)
    paid = sum(row.interest_paid + row.fee_paid + row.penalty_paid for row in loan.rows)
    rows = tuple(open_row(one) for one in found.instalments)
    cost = calculate_cost(contract, loan, rows) + paid + take.total
    return found if cost <= share_floor(contract.principal, disclosure.cost_cap_ppm) else None


# ---------------------------------------------------------------------- end options


def _is_option_fit(contract: Contract, loan: Loan, option: LeaseEndOption) -> bool:
    """Whether the lease offers the option and nothing but the residual's row is left to pay."""
    told, last = contract.disclosure.told, loan.rows[-1]
    if not isinstance(told, LeaseTold) or contract.disclosure.schedule.amortisation is not Amortisation.BALLOON:
        return False
    if loan.state is not LoanState.ACTIVE or any(row.unpaid for row in loan.rows[:-1]):
        return False
    match option:
        case LeaseEndOption.RETURN:
            return told.kind.may_return
        case LeaseEndOption.BUY:
            return told.kind.may_buy
        case LeaseEndOption.EXTEND:
            # Once the residual is late, only its lessor may give it other dates: by an amendment.
            timely = loan.accrual.as_of <= last.due_on
            return timely and told.kind.extend_instalments > 0 and _find_extension(contract, loan) is not None


def check_lease_end(books: Books, call: Call, payload: LeaseEnd) -> Rejection | None:
    """Why the option is not carried out."""
    if books.state.get(LOANS, payload.loan) is None:
        return Rejection.LOAN_UNKNOWN
    contract, loan = load_loan(books, payload.loan)
    disclosure = contract.disclosure
    own = disclosure.borrower == call.account
    fit = _is_option_fit(contract, loan, payload.option)
    if own and fit:
        bought = payload.option is LeaseEndOption.BUY
        owed = calculate_loan_payoff(contract, loan) if bought else _calculate_charges(contract, loan).total
        if read_cash(books.state, call.account, disclosure.currency) < owed:
            return Rejection.FUNDS_SHORT
        if payload.option is LeaseEndOption.EXTEND:
            extended = _find_extension(contract, loan)
            if extended is None or payload.terms_hash != calculate_terms_hash(extended):
                return Rejection.TERMS_MISMATCH
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not can_happen(loan.state, LoanEvent.END_LEASE):
        return Rejection.LOAN_STATE
    if not own:
        return Rejection.LOAN_NOT_YOURS
    if payload.option is LeaseEndOption.RETURN and not _is_return_confirmed(books, call, loan):
        return Rejection.COSIGNER_MISSING
    return None if fit else Rejection.OPTION_UNFIT


def _is_return_confirmed(books: Books, call: Call, loan: Loan) -> bool:
    """Whether the lessor signed that it has the thing, or an arbiter in its place: nobody denies what was disclosed."""
    lessor = has_signed(books, call, get_lender(books, loan))
    return lessor or is_vouched(books, call, Role.ARBITER, barred=find_holders(books, loan))


def apply_lease_end(books: Books, call: Call, payload: LeaseEnd) -> tuple[Fact, ...]:
    """Carry the option out. What is due besides the residual is paid from the lessee's cash in the same step."""
    contract, loan = load_loan(books, payload.loan)
    if payload.option is LeaseEndOption.BUY:
        payoff, source = calculate_loan_payoff(contract, loan), PaymentSource.BORROWER
        return (pay_loan(books, payload.loan, call.account, payoff, excess=ExcessRule.NEXT, source=source),)
    emit_lateness(books, payload.loan, contract, books.state.need(LOANS, payload.loan), loan)
    take = _calculate_charges(contract, loan)
    paid = _pay_charges(books, payload.loan, contract, loan, call.account)
    if payload.option is LeaseEndOption.RETURN:
        after = _apply_return(books, payload.loan, contract, paid)
        emit_lateness(books, payload.loan, contract, loan, after)
    else:
        contract, after = _apply_extension(books, payload.loan, contract, paid)
    save_loan(books, payload.loan, contract, after)
    return (
        Repaid(
            loan=payload.loan,
            principal=Amount(0),
            interest=Amount(take.interest),
            fee=Amount(take.fee),
            penalty=Amount(take.penalty),
            refunded=Amount(0),
            principal_left=after.principal_out,
            closed=after.closed_ms is not None,
        ),
    )


def _apply_return(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> Loan:
    """Settle the residual in kind: the pools exchange principal for the thing, and the lease is over."""
    told, last = contract.disclosure.told, loan.rows[-1]
    assert isinstance(told, LeaseTold), "checked before"
    residual = last.principal_unpaid
    parts = split_principal(loan.holdings, residual)
    postings = []
    for holding, part in zip(loan.holdings, parts, strict=True):
        change_pool(books, ObjectId(holding.pool), principal=-part)
        postings += [Posting(holding.pool, Book.ASSETS, part), Posting(holding.pool, Book.PRINCIPAL, -part)]
    held = tuple((ObjectId(one.pool), Amount(part)) for one, part in zip(loan.holdings, parts, strict=True))
    take_in(books, ObjectId(told.asset), get_lender(books, loan), held)
    books.post(
        "lease_returned",
        contract.disclosure.currency,
        tuple(postings),
        (*calculate_subjects(books, loan_id, contract, loan), told.asset),
        {"loan": loan_id.hex(), "asset": told.asset.hex(), "value": residual},
    )
    apply_principal_back(books, contract.subject_tag, residual)
    loan = replace(
        loan,
        rows=(*loan.rows[:-1], replace(last, principal_due=last.principal_paid)),
        principal_out=Amount(loan.principal_out - residual),
        holdings=take_principal(loan.holdings, parts),
        forgiven=Amount(loan.forgiven + residual),
        bucket=DelinquencyBucket.CURRENT,
    )
    return close_loan(books, loan_id, contract, loan, event=LoanEvent.END_LEASE, state=LoanState.REPAID)


def _apply_extension(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> tuple[Contract, Loan]:
    """Put the residual on rows of its own from today; what was paid so far is kept as paid on rows that are gone."""
    extended = calculate_extension(contract.disclosure, loan.rows[-1].principal_unpaid, Day(loan.accrual.as_of))
    assert not isinstance(extended, ScheduleFault), "checked before"
    contract = replace(
        contract,
        disclosure=extended,
        periods=calculate_accrual_periods(extended.schedule),
        version=contract.version + 1,
    )
    books.state.put(CONTRACTS, loan_id, contract)
    loan = replace(
        loan,
        state=calculate_next_state(loan.state, LoanEvent.END_LEASE, LoanState.ACTIVE),
        rows=tuple(open_row(one) for one in extended.instalments),
        accrual=Accrual(as_of=loan.accrual.as_of),
        dropped=loan.paid,
        ahead_stale=False,
        matured_interest=Amount(0),
        fees_charged=(),
    )
    books.emit(
        "lease_extended",
        calculate_subjects(books, loan_id, contract, loan),
        {"loan": loan_id.hex(), "principal": loan.principal_out, "instalments": len(loan.rows)},
    )
    return contract, loan


RULES: Rules = {LeaseEnd: Rule(check_lease_end, apply_lease_end, frozen_may=True)}
