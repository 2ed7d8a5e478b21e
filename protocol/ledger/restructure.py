"""What an amendment of a loan comes to on a day, as pure functions: a wallet shows and signs what a node computes.

    Contract + Loan + proposal + day -> Amended    calculate_amended

Principal that is left goes on new rows from the day on, and what is unpaid besides it goes where the proposal says.
Who may propose or accept, and what moves in the books, is `amend`'s; never a posting here.
"""

from functools import lru_cache
from typing import NamedTuple

from protocol.genesis import Policy
from protocol.ids import Day
from protocol.ledger.contracts import Contract, Disclosure, Loan, RevenueTold
from protocol.ledger.offers import calculate_instalments, calculate_rates
from protocol.ledger.products import LENGTH_MAX
from protocol.ledger.servicing import calculate_cost, calculate_interest_running
from protocol.ledger.state import replace
from protocol.loans.calendar import DAY_MAX, calculate_due_dates
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import ScheduleFault
from protocol.loans.waterfall import Row, open_row
from protocol.money import AMOUNT_MAX, Amount, share_floor
from protocol.transactions.servicing import AmendPropose, Treatment

FIRST_DUE_DAYS_MAX = 366
"""A loan is not put off for longer than a year."""


class Charges(NamedTuple):
    """Unpaid besides principal."""

    interest: int
    fee: int
    penalty: int


class Amended(NamedTuple):
    """A loan's new terms on a day, and what becomes of what was unpaid."""

    disclosure: Disclosure
    """With the new schedule; its hash is what the other side signs."""
    rows: tuple[Row, ...]
    carried: Charges
    capitalised: Charges
    waived: Charges
    forgiven: int


def calculate_charges(contract: Contract, loan: Loan) -> Charges:
    """What is owed besides principal on the day the loan was brought to; of a claim, all that is unpaid."""
    claim, today = loan.state is not LoanState.ACTIVE, loan.accrual.as_of
    due = [row for row in loan.rows if claim or row.due_on <= today]
    interest = sum(row.interest_unpaid for row in due)
    if len(due) < len(loan.rows):
        interest += max(0, calculate_interest_running(contract, loan) - loan.rows[len(due)].interest_paid)
    return Charges(interest, sum(row.fee_unpaid for row in due), sum(row.penalty_unpaid for row in loan.rows))


def _select(charges: Charges, terms: AmendPropose, wanted: Treatment) -> Charges:
    treatments = (terms.interest, terms.fees, terms.penalties)
    parts = zip(charges, treatments, strict=True)
    return Charges(*(part if treatment is wanted else 0 for part, treatment in parts))


def calculate_amended(contract: Contract, loan: Loan, terms: AmendPropose, today: Day) -> Amended | None:
    """What a proposal comes to today, or None where no schedule within the contract's cap on cost follows from it.

    Pure, so that a wallet can show and sign it: `calculate_terms_hash` of its disclosure. The loan is brought to today.
    """
    told = contract.disclosure
    # A share of sales has no schedule that could be another one; it can be settled.
    if isinstance(told.told, RevenueTold) or terms.forgiven >= loan.principal_out:
        return None
    charges = calculate_charges(contract, loan)
    capitalised = _select(charges, terms, Treatment.CAPITALISE)
    carried = _select(charges, terms, Treatment.CARRY)
    principal = loan.principal_out - terms.forgiven + sum(capitalised)
    disclosure = _calculate_disclosure(told, terms, principal, today, extra=sum(carried))
    if disclosure is None:
        return None
    first, *rest = (open_row(one) for one in disclosure.instalments)
    # A fee of a row ahead is not owed until it is due; this one was earned, so it stands as a penalty does.
    penalty = carried.fee + carried.penalty
    rows = (replace(first, interest_due=first.interest_due + carried.interest, penalty_due=penalty), *rest)
    after = replace(loan, dropped=loan.paid, capitalised=Amount(loan.capitalised + sum(capitalised)))
    if calculate_cost(contract, after, rows) > share_floor(contract.principal, told.cost_cap_ppm):
        return None
    waived = _select(charges, terms, Treatment.WAIVE)
    return Amended(disclosure, rows, carried, capitalised, waived, terms.forgiven)


@lru_cache(maxsize=8)
def _calculate_disclosure(
    told: Disclosure, terms: AmendPropose, principal: int, today: Day, *, extra: int
) -> Disclosure | None:
    """The disclosure with the new schedule and what it costs from today, `extra` carried on top; None without one.

    The last ones are kept: an answer asks several times for what it will do.
    """
    period, count = told.schedule.period, terms.instalments
    if today > DAY_MAX or count * period.every > LENGTH_MAX[period.unit]:
        return None
    if terms.first_due is not None and not today < terms.first_due <= today + FIRST_DUE_DAYS_MAX:
        return None
    schedule = replace(
        told.schedule,
        principal=principal,
        rate_ppm=terms.rate_ppm,
        start=today,
        due_dates=calculate_due_dates(today, period, count, first_due=terms.first_due),
    )
    instalments = calculate_instalments(schedule, told.told)
    if isinstance(instalments, ScheduleFault):
        return None
    payable = sum(one.total_due for one in instalments) + extra
    apr_ppm, us_ppm = calculate_rates(schedule, instalments, principal, None, us=told.apr_us_ppm is not None)
    if payable > AMOUNT_MAX or apr_ppm is None or (us_ppm is None) != (told.apr_us_ppm is None):
        return None
    return replace(
        told,
        schedule=schedule,
        instalments=instalments,
        total_payable=Amount(payable),
        total_cost=Amount(payable - principal),
        apr_ppm=apr_ppm,
        apr_us_ppm=us_ppm,
    )


def is_within_policy(policy: Policy, told: Disclosure, rate_ppm: int) -> bool:
    """Whether a contract may bear a rate: an amendment is no way around the caps of today."""
    return rate_ppm <= policy.apr_cap_ppm and rate_ppm + told.late_rate_ppm <= policy.late_cap_ppm
