"""Loans that a settlement agent pays out in fiat: reserved until it says paid, failed, or its time is over.

The money leaves the ledger through the agent's own fiat. What became of the borrower's credential meanwhile does not
matter: the contract stands since the acceptance. Which offers may be taken is `accept`'s.
"""

from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.closing import close_loan
from protocol.ledger.contracts import Contract, Disclosure, LineTold, Loan
from protocol.ledger.exposure import apply_principal_back
from protocol.ledger.holdings import change_pool, take_principal
from protocol.ledger.journal import Book, read_balance
from protocol.ledger.loans import save_loan
from protocol.ledger.payout import calculate_proceeds, get_payee, pay_out, start_loan
from protocol.ledger.records import Disbursed, Fact
from protocol.ledger.rows import Budget, Reference, Role
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.state import ACCOUNTS, BUDGETS, CONTRACTS, LOANS, OFFERS, REFERENCES, replace
from protocol.loans.lifecycle import LoanEvent, LoanState, calculate_next_state
from protocol.loans.waterfall import Row
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.servicing import LoanSettle, SettleOutcome


def check_agent(books: Books, disclosure: Disclosure, agent: AccountId | None) -> Rejection | None:
    """Whether the agent named may pay this loan out; only money for the borrower herself leaves the ledger so."""
    if agent is None:
        return None
    account = books.state.get(ACCOUNTS, agent)
    if account is None or account.frozen or not account.roles & Role.SETTLEMENT_AGENT:
        return Rejection.AGENT_UNFIT
    own = get_payee(disclosure) == disclosure.borrower and not isinstance(disclosure.told, LineTold)
    return None if own else Rejection.AGENT_UNFIT


def calculate_funding_end(books: Books, disclosure: Disclosure) -> Day:
    """First contract day on which the agent can no longer pay out a loan accepted today: no row is due before."""
    today = books.calculate_day(disclosure.tz_offset_min)
    return Day(min(today + books.policy.funded_days + 1, disclosure.schedule.due_dates[0]))


def reserve_funding(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> Contract:
    """Keep the loan's money ready in its pools, and let time end the wait; returns the contract with its end."""
    for one in loan.holdings:
        change_pool(books, ObjectId(one.pool), reserved=one.principal)
    disclosure = contract.disclosure
    end = calculate_funding_end(books, disclosure)
    until_ms = books.genesis.calculate_day_start_ms(end, disclosure.tz_offset_min)
    books.schedule(until_ms, EventKind.FUNDING, loan_id)
    assert contract.agent is not None, "an agent pays out"
    books.emit(
        "loan_funded",
        (loan_id, disclosure.borrower, disclosure.lender, contract.agent),
        {
            "loan": loan_id.hex(),
            "agent": contract.agent.hex(),
            "principal": disclosure.schedule.principal,
            "proceeds": calculate_proceeds(disclosure),
            "until_ms": until_ms,
        },
    )
    return replace(contract, agent_until_ms=until_ms)


def check_loan_settle(books: Books, call: Call, payload: LoanSettle) -> Rejection | None:
    """Why the agent's word is not taken; an agent that never held so much fiat cannot have paid it."""
    if books.state.get(REFERENCES, call.account + payload.ext_ref) is not None:
        return Rejection.REFERENCE_USED
    loan = books.state.get(LOANS, payload.loan)
    if loan is None:
        return Rejection.LOAN_UNKNOWN
    contract = books.state.need(CONTRACTS, payload.loan)
    disclosure = contract.disclosure
    waits = loan.state is LoanState.FUNDED
    fiat = read_balance(books.state, call.account, Book.FIAT, disclosure.currency)
    if waits and payload.outcome is SettleOutcome.DISBURSED and fiat < calculate_proceeds(disclosure):
        return Rejection.AGENT_FUNDS_SHORT
    if loan.closed_ms is not None:
        return Rejection.LOAN_CLOSED
    if not waits or contract.agent_until_ms is None or contract.agent_until_ms <= books.now_ms:
        # Once its time is over, its event may still wait behind a thousand others of the day.
        return Rejection.LOAN_STATE
    return None if contract.agent == call.account else Rejection.LOAN_NOT_YOURS


def apply_loan_settle(books: Books, call: Call, payload: LoanSettle) -> tuple[Fact, ...]:
    """Begin the loan on the day the agent paid, or end it as never paid out."""
    books.state.put(REFERENCES, call.account + payload.ext_ref, Reference(height=books.height))
    contract, loan = books.state.need(CONTRACTS, payload.loan), books.state.need(LOANS, payload.loan)
    if payload.outcome is SettleOutcome.FAILED:
        _cancel_loan(books, payload.loan, contract, loan)
        return ()
    _release(books, payload.loan, contract, loan)
    calculate_next_state(loan.state, LoanEvent.DISBURSE, LoanState.ACTIVE)
    disclosure = contract.disclosure
    contract, loan = start_loan(contract, loan, books, books.calculate_day(disclosure.tz_offset_min))
    books.state.put(CONTRACTS, payload.loan, contract)
    pay_out(books, payload.loan, contract, loan)
    save_loan(books, payload.loan, contract, loan)
    principal = Amount(disclosure.schedule.principal)
    return (Disbursed(loan=payload.loan, principal=principal, proceeds=calculate_proceeds(disclosure)),)


def _release(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Let the money kept ready go, and the wait end."""
    for one in loan.holdings:
        change_pool(books, ObjectId(one.pool), reserved=-one.principal)
    assert contract.agent_until_ms is not None, "a loan that waits has an end of waiting"
    books.cancel(contract.agent_until_ms, EventKind.FUNDING, loan_id)


def _cancel_loan(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """End a loan that nobody paid out: nothing was lent, so nothing is owed, and an automatic grant is taken back."""
    _release(books, loan_id, contract, loan)
    principal = loan.principal_out
    loan = replace(
        loan,
        rows=tuple(_empty_row(row) for row in loan.rows),
        principal_out=Amount(0),
        holdings=take_principal(loan.holdings, tuple(one.principal for one in loan.holdings)),
    )
    loan = close_loan(books, loan_id, contract, loan, event=LoanEvent.FAIL, state=LoanState.CANCELLED)
    save_loan(books, loan_id, contract, loan)
    apply_principal_back(books, contract.subject_tag, principal)
    if not books.state.need(OFFERS, contract.offer).officer:
        product = contract.disclosure.product
        budget = books.state.need(BUDGETS, product)
        left = Budget(used=Amount(budget.used - principal), loans=budget.loans - 1)
        books.state.put(BUDGETS, product, left)


def _empty_row(row: Row) -> Row:
    return replace(row, principal_due=0, interest_due=0, fee_due=0)


def on_funding_due(books: Books, loan_id: ObjectId) -> None:
    """The agent's time is over."""
    loan = books.state.need(LOANS, loan_id)
    if loan.state is LoanState.FUNDED:
        _cancel_loan(books, loan_id, books.state.need(CONTRACTS, loan_id), loan)


# Of the agent named alone; one that lost its role meanwhile may have paid already.
RULES: Rules = {LoanSettle: Rule(check_loan_settle, apply_loan_settle)}
DUE: Due = {EventKind.FUNDING: on_funding_due}
