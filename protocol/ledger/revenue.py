"""An advance that a share of sales repays: what it costs, what a payment earns, when too little comes (ledger 2.11).

    offer      net, discount, and the payment a day that the sales stated give     RevenueTold
    payment    earns its part of the discount by the unit, the rest is principal   calculate_revenue_take
    30 days    too little of what was expected: a breach; nearly too little: told  pass_windows

One row falls due on the last day. Until then nothing is late, unless a breach is open; it is over once payments have
caught up with the floor. Pure functions of one loan; the days between are `servicing`'s, reports are `sales`'. Never a
posting here.
"""

from typing import Final

from protocol.ids import Day
from protocol.ledger.contracts import Contract, Disclosure, Loan, RevenueTold, SalesTally
from protocol.ledger.state import replace
from protocol.loans.apr import DISCOUNT_BITS
from protocol.loans.revenue import (
    DAYS_PER_YEAR,
    REVENUE_FACTOR_BYTES,
    RevenueTerms,
    calculate_daily_payment,
    calculate_revenue_apr_ppm,
    calculate_revenue_count,
    calculate_revenue_earned,
    calculate_revenue_factor,
)
from protocol.loans.schedule import Instalment, ScheduleFault, ScheduleTerms, check_schedule_terms
from protocol.loans.terms import WaterfallOrder
from protocol.loans.waterfall import Take
from protocol.money import PPM, Amount, Ppm, divide_ceil, divide_half_even, share_ceil, share_floor
from protocol.transactions.products import RevenueKind

SALES_WINDOW_DAYS: Final = 30
"""After so many days it is looked at whether enough has come."""

# ---------------------------------------------------------------------- what is offered


def make_revenue_told(
    kind: RevenueKind, *, volume: int, net: int, discount_ppm: int, rebate_ppm: Ppm
) -> RevenueTold | None:
    """What a disclosure says, or None where the sales stated do not repay the advance within its days."""
    discount = share_floor(net, discount_ppm)
    terms = RevenueTerms(
        net=net, discount=discount, volume=volume, share_ppm=kind.share_ppm, volume_days=kind.volume_days
    )
    if not 0 < calculate_revenue_count(terms) <= kind.term_days_max:
        return None
    return RevenueTold(
        kind=kind,
        discount=Amount(discount),
        volume=Amount(volume),
        payment=Amount(calculate_daily_payment(terms)),
        factor=calculate_revenue_factor(terms).to_bytes(REVENUE_FACTOR_BYTES, "big"),
        rebate_ppm=rebate_ppm,
    )


def count_payments(told: RevenueTold, net: int) -> int:
    """How many days of expected payments repay the advance."""
    return divide_ceil(net + told.discount, told.payment)


def calculate_revenue_instalments(schedule: ScheduleTerms, told: RevenueTold) -> tuple[Instalment, ...] | ScheduleFault:
    """The one row: everything that is left falls due on the last day."""
    fault = check_schedule_terms(schedule)
    if fault is not None:
        return fault
    row = Instalment(
        index=1,
        due_on=schedule.due_dates[-1],
        principal_due=schedule.principal,
        interest_due=told.discount,
        balance_after=0,
    )
    return (row,)


def calculate_revenue_rates(net: int, proceeds: int, told: RevenueTold, *, us: bool) -> tuple[int | None, int | None]:
    """Effective rate of the expected payments and, where asked for, the nominal US one: 365 unit-periods of a day."""
    terms = _make_terms(told, proceeds, told.discount + net - proceeds)
    factor = calculate_revenue_factor(terms)
    if not factor:
        return None, None
    one = 1 << DISCOUNT_BITS
    us_ppm = divide_half_even(DAYS_PER_YEAR * PPM * (one - factor), factor) if us else None
    return calculate_revenue_apr_ppm(factor), us_ppm


def _make_terms(told: RevenueTold, net: int, discount: int) -> RevenueTerms:
    return RevenueTerms(
        net=net,
        discount=discount,
        volume=told.volume,
        share_ppm=told.kind.share_ppm,
        volume_days=told.kind.volume_days,
    )


# ---------------------------------------------------------------------- a payment


def get_told(disclosure: Disclosure) -> RevenueTold:
    """What the disclosure of a revenue share says of it."""
    told = disclosure.told
    assert isinstance(told, RevenueTold), "a share of sales was disclosed as one"
    return told


def calculate_paid(loan: Loan) -> int:
    """Net and discount paid so far."""
    return loan.paid[0] + loan.paid[1]


def calculate_revenue_owed(contract: Contract, loan: Loan) -> int:
    """What closes the loan on the day it was brought to: all of its row, less the rebate for paying early."""
    return loan.rows[0].unpaid - _calculate_rebate(contract, loan)


def _may_withdraw(contract: Contract, loan: Loan) -> bool:
    return loan.accrual.as_of <= contract.disbursed_on + contract.disclosure.cooling_off_days


def _calculate_rebate(contract: Contract, loan: Loan) -> int:
    """The part of the discount not yet earned that is given up, rounded up; none once the row is due.

    Whoever may still withdraw gives back what was paid out.
    """
    row, ppm = loan.rows[0], get_told(contract.disclosure).rebate_ppm
    early = row.due_on > loan.accrual.as_of
    return share_ceil(row.interest_unpaid, PPM if _may_withdraw(contract, loan) else ppm) * early


def calculate_revenue_take(contract: Contract, loan: Loan, amount: int, *, principal_first: bool) -> Take:
    """How a payment falls on the row: the discount it earns by the unit, and principal.

    What pays everything off takes what the rebate leaves of the discount. While the borrower may withdraw nothing is
    earned; the first payment after that catches up. Late charges come last, or first where the waterfall says so.
    """
    row, disclosure = loan.rows[0], contract.disclosure
    rest = row.principal_unpaid + row.interest_unpaid - _calculate_rebate(contract, loan)
    amount = min(amount, rest + row.penalty_unpaid)
    charges_first = disclosure.waterfall is WaterfallOrder.FIP and not principal_first
    penalty = min(amount, row.penalty_unpaid) if charges_first else max(0, amount - rest)
    core = amount - penalty
    if core == rest or principal_first or _may_withdraw(contract, loan):
        principal = min(core, row.principal_unpaid)
        return Take(index=row.index, principal=principal, interest=core - principal, penalty=penalty)
    told = get_told(disclosure)
    terms, factor = _make_terms(told, disclosure.schedule.principal, told.discount), int.from_bytes(told.factor, "big")
    earned = max(0, calculate_revenue_earned(terms, factor, calculate_paid(loan) + core) - loan.paid[1])
    principal = min(core - min(earned, core, row.interest_unpaid), row.principal_unpaid)
    return Take(index=row.index, principal=principal, interest=core - principal, penalty=penalty)


# ---------------------------------------------------------------------- too little


def open_tally(day: Day) -> SalesTally:
    """Nothing reported, nothing paid; the first 30 days begin on the day of pay-out."""
    return SalesTally(reported_to=day, window_start=day)


def _calculate_expected(contract: Contract, day: int) -> int:
    """What the days from pay-out to a day were expected to bring."""
    told = get_told(contract.disclosure)
    return min(contract.disclosure.schedule.principal + told.discount, told.payment * (day - contract.disbursed_on))


def calculate_floor(contract: Contract, day: int) -> int:
    """The least that should have been paid up to a day: the floor's share of what was expected of the days before."""
    return share_floor(_calculate_expected(contract, day), get_told(contract.disclosure).kind.floor_ppm)


def calculate_shortfall(contract: Contract, loan: Loan) -> int:
    """What would end an open breach on the day the loan was brought to; 0 without one."""
    breached = loan.sales is not None and loan.sales.breached_on is not None
    return max(0, calculate_floor(contract, loan.accrual.as_of) - calculate_paid(loan)) if breached else 0


def calculate_breach_days(loan: Loan, materiality: int) -> int:
    """Days past due since an open breach; 0 without one, or where next to nothing is owed any more."""
    if loan.sales is None or loan.sales.breached_on is None or all(row.unpaid <= materiality for row in loan.rows):
        return 0
    return max(0, loan.accrual.as_of - loan.sales.breached_on)


def calculate_window_end(loan: Loan) -> Day | None:
    """The day on which the running 30 days are looked at; None for the last ones, which the due date ends."""
    assert loan.sales is not None, "of a revenue share"
    end = loan.sales.window_start + SALES_WINDOW_DAYS
    return Day(end) if end <= loan.rows[0].due_on else None


def pass_windows(contract: Contract, loan: Loan) -> Loan:
    """The loan with all windows looked at that had ended by the day it was brought to."""
    while (end := calculate_window_end(loan)) is not None and end <= loan.accrual.as_of:
        loan = replace(loan, sales=_end_window(contract, loan, end))
    return loan


def _end_window(contract: Contract, loan: Loan, end: Day) -> SalesTally:
    """Whether the days before `end` brought too little, of their own and counted from the beginning."""
    tally, told = loan.sales, get_told(contract.disclosure)
    assert tally is not None, "of a revenue share"
    expected = told.payment * SALES_WINDOW_DAYS
    to_date = _calculate_expected(contract, end)

    def is_short(ppm: int) -> bool:
        # Who has paid ahead may rest, or pay the last bit: only what is missing of the whole time is missing.
        return tally.window_paid < share_floor(expected, ppm) and calculate_paid(loan) < share_floor(to_date, ppm)

    breach = is_short(told.kind.floor_ppm)
    near = not breach and is_short(told.kind.warning_ppm)
    breached_on = end if breach and tally.breached_on is None else tally.breached_on
    return replace(
        tally,
        window_start=end,
        window_paid=0,
        near_breaches=tally.near_breaches + near,
        breached_on=breached_on,
    )


def count_payment(contract: Contract, loan: Loan, take: Take) -> Loan:
    """The loan after a payment, with it counted in its window; a breach ends once the floor is caught up with."""
    tally = loan.sales
    assert tally is not None, "of a revenue share"
    healed = calculate_paid(loan) >= calculate_floor(contract, loan.accrual.as_of)
    tally = replace(
        tally,
        window_paid=tally.window_paid + take.principal + take.interest,
        breached_on=None if healed else tally.breached_on,
    )
    return replace(loan, sales=tally)
