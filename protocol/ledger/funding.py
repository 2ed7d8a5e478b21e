"""Loans that a settlement agent pays out in fiat: reserved until it says paid, failed, or its time is over."""

from protocol.ids import AccountId, ObjectId, TimeMs
from protocol.ledger.books import Books, EventKind
from protocol.ledger.contracts import Contract, Disclosure, Loan
from protocol.ledger.holdings import change_pool
from protocol.ledger.payout import get_payee
from protocol.ledger.rows import Role
from protocol.ledger.rules import Due, Rules
from protocol.ledger.state import ACCOUNTS
from protocol.rejections import Rejection


def check_agent(books: Books, disclosure: Disclosure, agent: AccountId | None) -> Rejection | None:
    """Whether the agent named may pay this loan out; only money for the borrower herself leaves the ledger so."""
    if agent is None:
        return None
    account = books.state.get(ACCOUNTS, agent)
    if account is None or account.frozen or not account.roles & Role.SETTLEMENT_AGENT:
        return Rejection.AGENT_UNFIT
    return None if get_payee(disclosure) == disclosure.borrower else Rejection.AGENT_UNFIT


def calculate_deadline_ms(books: Books, disclosure: Disclosure) -> TimeMs:
    """First instant at which the agent can no longer pay out: never so late that a first instalment could be due."""
    today = books.calculate_day(disclosure.tz_offset_min)
    day = min(today + books.policy.funded_days + 1, disclosure.schedule.due_dates[0])
    return books.genesis.calculate_day_start_ms(day, disclosure.tz_offset_min)


def reserve_funding(books: Books, loan_id: ObjectId, contract: Contract, loan: Loan) -> None:
    """Keep the loan's money ready in its pools, and let time end the wait."""
    for one in loan.holdings:
        change_pool(books, ObjectId(one.pool), reserved=one.principal)
    disclosure = contract.disclosure
    books.schedule(calculate_deadline_ms(books, disclosure), EventKind.FUNDING, loan_id)
    assert contract.agent is not None, "an agent pays out"
    books.emit(
        "loan_funded",
        (loan_id, disclosure.borrower, disclosure.lender, contract.agent),
        {"loan": loan_id.hex(), "agent": contract.agent.hex(), "principal": disclosure.schedule.principal},
    )


RULES: Rules = {}
DUE: Due = {}
