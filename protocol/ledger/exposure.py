"""What one person or company owes across all lenders, and the caps on it (ledger 2.10).

Totals stand under a subject tag, which nobody outside the issuers can turn into a name. All nodes run acceptances in
one order, so two lenders cannot both grant the last of a cap. Never a product's own limit here.
"""

from collections.abc import Sequence
from typing import NamedTuple

from protocol.ids import AccountId, Day, Digest, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Disclosure, RevenueTold, Told
from protocol.ledger.holdings import get_lender
from protocol.ledger.revenue import calculate_shortfall
from protocol.ledger.rows import Exposure
from protocol.ledger.servicing import calculate_loan_at
from protocol.ledger.state import CONTRACTS, EXPOSURES, LINES, LOANS, OFFERS, PRODUCTS, replace
from protocol.ledger.undrawn import calculate_reserves
from protocol.limits import DEBTS_PER_SUBJECT_MAX
from protocol.loans.calendar import Period, calculate_monthly_instalment
from protocol.loans.lifecycle import CLAIMED
from protocol.money import share_ceil, share_floor
from protocol.rejections import Rejection
from protocol.transactions.products import Segment

WINDOW_DAYS = 31
"""The longest month: a monthly loan always shows one instalment."""


class Due(NamedTuple):
    """What is still owed on one day, in minor units."""

    due_on: int
    unpaid: int


def calculate_burden(rows: Sequence[Due], period: Period, today: Day, *, month: int | None = None) -> int:
    """What a loan takes out of a month from today, minor units: what falls due in it, overdue amounts included.

    Never less than the monthly equivalent of all that is left, so no loan weighs nothing because its first date is far;
    of a share of sales that is what a month is expected to bring.
    """
    left = [row.unpaid for row in rows if row.unpaid]
    if not left:
        return 0
    due = sum(row.unpaid for row in rows if row.due_on <= today + WINDOW_DAYS)
    if month is not None:
        return max(due, min(month, sum(left)))
    return max(due, calculate_monthly_instalment(sum(left), len(left), period))


def _calculate_month(told: Told | None) -> int | None:
    """What a share of sales is expected to bring in the longest month."""
    return told.payment * WINDOW_DAYS if isinstance(told, RevenueTold) else None


def calculate_due30(books: Books, exposure: Exposure) -> int:
    """What the open loans take out of a month from today, each brought to today first; minor units."""
    total = 0
    for loan_id in exposure.loans:
        contract = books.state.need(CONTRACTS, loan_id)
        today = books.calculate_day(contract.disclosure.tz_offset_min)
        # Late charges whose event still waits for a later block count already.
        loan = calculate_loan_at(contract, books.state.need(LOANS, loan_id), today, contract.disclosure.materiality)
        # A claim is due as a whole.
        claimed = loan.state in CLAIMED
        rows = tuple(Due(today if claimed else row.due_on, row.unpaid) for row in loan.rows)
        month = _calculate_month(contract.disclosure.told)
        # Whoever is in breach has to catch up as well.
        month = None if month is None else month + calculate_shortfall(contract, loan)
        total += calculate_burden(rows, contract.disclosure.schedule.period, today, month=month)
    return total


def calculate_new_due30(disclosure: Disclosure, today: Day) -> int:
    """What a loan taken today takes out of a month."""
    rows = tuple(Due(one.due_on, one.total_due) for one in disclosure.instalments)
    return calculate_burden(rows, disclosure.schedule.period, today, month=_calculate_month(disclosure.told))


def find_lenders(books: Books, exposure: Exposure) -> tuple[AccountId, ...]:
    """Lenders with an open loan or line, each once, in the order of their oldest; those who bought a loan count."""
    found = [get_lender(books, books.state.need(LOANS, loan_id)) for loan_id in exposure.loans]
    offers = [books.state.need(LINES, line_id).offer for line_id in exposure.lines]
    found += [AccountId(books.state.need(OFFERS, offer).disclosure.lender) for offer in offers]
    return tuple(dict.fromkeys(found))


def check_caps(books: Books, tag: Digest, disclosure: Disclosure, capacity30: int) -> Rejection | None:
    """The first cap that a new loan on these terms would break, in order of precedence."""
    policy, exposure = books.policy, books.state.need(EXPOSURES, tag)
    segment = books.state.need(PRODUCTS, disclosure.product).terms.segment
    if calculate_debt(books, exposure) + disclosure.schedule.principal > calculate_debt_cap(books, segment):
        return Rejection.CAP_DEBT
    refused = check_instalments(books, exposure, disclosure, capacity30)
    if refused is not None:
        return refused
    lenders = find_lenders(books, exposure)
    if disclosure.lender not in lenders and len(lenders) >= policy.lenders_max:
        return Rejection.CAP_LENDERS
    if exposure.accepts_day == books.today and exposure.accepts >= policy.accepts_per_day_max:
        return Rejection.CAP_DAILY
    return None


def check_instalments(books: Books, exposure: Exposure, disclosure: Disclosure, capacity30: int) -> Rejection | None:
    """Whether cash flow carries what falls due in a month, the new loan's instalments among it."""
    today = books.calculate_day(disclosure.tz_offset_min)
    due30 = calculate_due30(books, exposure) + calculate_new_due30(disclosure, today)
    return Rejection.CAP_INSTALMENTS if due30 > share_floor(capacity30, books.policy.instalment_share_ppm) else None


def apply_loan_made(books: Books, tag: Digest, loan: ObjectId, principal: int) -> None:
    """Count a loan that was accepted."""
    apply_drawn(books, tag, loan, principal)
    _count_accept(books, tag)


def apply_drawn(books: Books, tag: Digest, loan: ObjectId, principal: int) -> None:
    """Count a loan that needed no acceptance of its own."""
    exposure = books.state.need(EXPOSURES, tag)
    owed = exposure.principal_open + principal
    books.state.put(EXPOSURES, tag, replace(exposure, principal_open=owed, loans=(*exposure.loans, loan)))


def apply_line_made(books: Books, tag: Digest, line: ObjectId, limit: int) -> None:
    """Count a line that was accepted: all that may be drawn is debt from now on."""
    exposure = books.state.need(EXPOSURES, tag)
    undrawn = exposure.undrawn + limit
    books.state.put(EXPOSURES, tag, replace(exposure, undrawn=undrawn, lines=(*exposure.lines, line)))
    _count_accept(books, tag)


def _count_accept(books: Books, tag: Digest) -> None:
    exposure = books.state.need(EXPOSURES, tag)
    same_day = exposure.accepts_day == books.today
    accepts = exposure.accepts + 1 if same_day else 1
    books.state.put(EXPOSURES, tag, replace(exposure, accepts_day=books.today, accepts=accepts))


def apply_principal_back(books: Books, tag: Digest, principal: int) -> None:
    """Count principal that came back, was given up or was never paid out; a negative amount is owed again."""
    if principal:
        exposure = books.state.need(EXPOSURES, tag)
        books.state.put(EXPOSURES, tag, replace(exposure, principal_open=exposure.principal_open - principal))


def apply_loan_gone(books: Books, tag: Digest, loan: ObjectId) -> None:
    """Count a loan that closed; its principal was counted apart."""
    exposure = books.state.need(EXPOSURES, tag)
    left = tuple(one for one in exposure.loans if one != loan)
    books.state.put(EXPOSURES, tag, replace(exposure, loans=left))


def add_guarantee(books: Books, tag: Digest, loan: ObjectId) -> None:
    """Let one stand in for another's loan."""
    exposure = books.state.need(EXPOSURES, tag)
    books.state.put(EXPOSURES, tag, replace(exposure, guarantees=(*exposure.guarantees, loan)))


def drop_guarantee(books: Books, tag: Digest, loan: ObjectId) -> None:
    """The loan closed."""
    exposure = books.state.need(EXPOSURES, tag)
    left = tuple(one for one in exposure.guarantees if one != loan)
    books.state.put(EXPOSURES, tag, replace(exposure, guarantees=left))


def calculate_debt(books: Books, exposure: Exposure) -> int:
    """All that counts against the cap: principal open, what may be drawn, and the weight of guarantees given."""
    guaranteed = sum(books.state.need(LOANS, loan_id).principal_out for loan_id in exposure.guarantees)
    return exposure.principal_open + exposure.undrawn + share_ceil(guaranteed, books.policy.guarantee_weight_ppm)


def has_most_debts(books: Books, tag: Digest) -> bool:
    """Whether a subject has as many open loans and lines as anybody may."""
    exposure = books.state.need(EXPOSURES, tag)
    return len(exposure.loans) + len(exposure.lines) >= DEBTS_PER_SUBJECT_MAX


def calculate_debt_cap(books: Books, segment: Segment) -> int:
    """The most that a subject may owe when it takes a loan of a segment."""
    caps = books.policy.segment_caps
    return min(books.policy.debt_cap, caps[segment - 1]) if segment <= len(caps) else books.policy.debt_cap


def calculate_pool_exposure(books: Books, tag: Digest, pool: ObjectId) -> int:
    """Principal one borrower owes one pool, and what the pool keeps ready for the borrower's lines."""
    exposure = books.state.need(EXPOSURES, tag)
    reserves = (calculate_reserves(books, books.state.need(LINES, line_id)) for line_id in exposure.lines)
    kept = sum(amount for parts in reserves for pool_id, amount in parts if pool_id == pool)
    return kept + sum(
        holding.principal
        for loan_id in exposure.loans
        for holding in books.state.need(LOANS, loan_id).holdings
        if holding.pool == pool
    )
