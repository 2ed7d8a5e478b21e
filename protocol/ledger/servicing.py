"""A loan through time, as pure functions: interest day by day, what is late, what it costs, what a payment does.

    Contract + Loan + day -> Loan        calculate_loan_at
    Contract + Loan + payment -> Loan    calculate_payment

Bringing a loan to a day in one step or in many gives the same loan (and under a binding cap the same cost, though its
parts may differ), so it does not matter to the borrower when a block comes. The arithmetic is `protocol.loans`; here
it only meets the record of one loan. Never a posting or a pool here.
"""

from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import NamedTuple

import msgspec

from protocol.ids import Day
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.revenue import (
    calculate_breach_days,
    calculate_revenue_owed,
    calculate_revenue_take,
    calculate_window_end,
    count_payment,
    pass_windows,
)
from protocol.loans.accrual import (
    Accrual,
    AccrualPeriod,
    apply_days,
    calculate_accrual_period_at,
    calculate_cost_room,
    calculate_days_late,
    calculate_interest_accrued,
    calculate_interest_ahead,
    calculate_late_fee,
    calculate_late_interest,
)
from protocol.loans.delinquency import (
    AssetClass,
    calculate_bucket,
    calculate_class,
    calculate_days_past_due,
)
from protocol.loans.lifecycle import LoanState
from protocol.loans.schedule import UNIT_DAYS_MAX
from protocol.loans.terms import ExcessRule, WaterfallOrder
from protocol.loans.waterfall import Row, Take, apply_take, calculate_allocation, calculate_payoff
from protocol.money import AMOUNT_MAX, Amount, share_floor

Rows = tuple[Row, ...]
KEEP_UP_DAYS = 31
"""Days after its last due date for which a loan stays as it was saved, at most."""
BUCKET_STARTS = (1, 8, 31, 61, 91, 181, 271, 361)
"""Days past due on which a bucket begins."""
BUCKET_DAYS_MAX = (0, 7, 30, 60, 90, 180, 270, 360, 361)
"""Days past due that stand for each bucket; classes change at bounds of buckets only."""


def calculate_period_at(contract: Contract, day: int) -> AccrualPeriod:
    """The accrual period that contains a day; a due date begins the next one."""
    schedule = contract.disclosure.schedule
    index = bisect_right(schedule.due_dates, day)
    return contract.periods[index] if index < len(contract.periods) else calculate_accrual_period_at(schedule, day)


def calculate_cost(contract: Contract, loan: Loan, rows: Rows) -> int:
    """Interest, fees and penalties charged so far and planned on these rows of the loan, the origination fee included.

    What was paid on rows that an amendment replaced counts, and so does what it made principal.
    """
    charged = sum(row.interest_due + row.fee_due + row.penalty_due for row in rows)
    return charged + contract.disclosure.origination_fee + sum(loan.dropped[1:]) + loan.capitalised


def _calculate_room(contract: Contract, loan: Loan, rows: Rows) -> int:
    return calculate_cost_room(
        contract.principal,
        cost_cap_ppm=contract.disclosure.cost_cap_ppm,
        charged=calculate_cost(contract, loan, rows),
    )


def calculate_rows_ahead(contract: Contract, loan: Loan, rows: Rows, accrual: Accrual | None = None) -> Rows:
    """Rows whose interest ahead follows from what is unpaid now; the cap on cost cuts from the last row backwards.

    The accrual is the loan's own unless another is given.
    """
    accrual = accrual or loan.accrual
    schedule = contract.disclosure.schedule
    unpaid = [row.principal_unpaid for row in rows]
    ahead = calculate_interest_ahead(schedule, unpaid, accrual, periods=contract.periods)
    if len(ahead) == len(rows):
        # Nothing is due yet, so what an amendment carried still stands on the first row.
        ahead = (ahead[0] + loan.carried, *ahead[1:])
    due, future = rows[: len(rows) - len(ahead)], rows[len(rows) - len(ahead) :]
    renewed = [
        msgspec.structs.replace(row, interest_due=max(interest, row.interest_paid))
        for row, interest in zip(future, ahead, strict=True)
    ]
    cap = share_floor(contract.principal, contract.disclosure.cost_cap_ppm)
    excess = calculate_cost(contract, loan, (*due, *renewed)) - cap
    for index in range(len(renewed) - 1, -1, -1):
        if excess <= 0:
            break
        row = renewed[index]
        cut = min(excess, row.interest_due - row.interest_paid)
        renewed[index] = msgspec.structs.replace(row, interest_due=row.interest_due - cut)
        excess -= cut
    return (*due, *renewed)


def _add_to_row(rows: Rows, position: int, *, interest: int = 0, penalty: int = 0) -> Rows:
    row = rows[position]
    changed = msgspec.structs.replace(
        row, interest_due=row.interest_due + interest, penalty_due=row.penalty_due + penalty
    )
    return (*rows[:position], changed, *rows[position + 1 :])


def calculate_loan_at(contract: Contract, loan: Loan, today: Day, materiality: int) -> Loan:
    """The loan brought to a day: interest of the days, late charges, days past due. A past day changes nothing."""
    if loan.state is not LoanState.ACTIVE or loan.accrual.as_of >= today:
        return loan
    start = loan.accrual.as_of
    while loan.accrual.as_of < today:
        loan = _pass_days(contract, loan, today)
    loan = _charge_late_interest(contract, loan, start, today)
    loan = _charge_late_fees(contract, loan, today, materiality)
    loan = loan if loan.sales is None else pass_windows(contract, loan)
    past_due = calculate_loan_lateness(contract, loan, materiality)
    return msgspec.structs.replace(
        loan,
        days_past_due_max=max(loan.days_past_due_max, past_due),
        bucket=calculate_bucket(past_due),
    )


def _pass_days(contract: Contract, loan: Loan, today: int) -> Loan:
    """Let days pass up to today or the end of the running period."""
    schedule = contract.disclosure.schedule
    accrual, rows, stale = loan.accrual, loan.rows, loan.ahead_stale
    period = calculate_period_at(contract, accrual.as_of)
    matured = accrual.as_of >= schedule.due_dates[-1]
    begins = accrual.as_of == period.start
    if begins and not matured and any(row.principal_unpaid for row in rows if row.due_on <= accrual.as_of):
        # A row fell due unpaid: from here on the running row bears interest on it too.
        rows, stale = calculate_rows_ahead(contract, loan, rows, accrual), True
    until = min(today, period.end)
    accrual = apply_days(accrual, loan.principal_out, until)
    posted = loan.matured_interest
    if matured:
        interest = calculate_interest_accrued(accrual, period, rate_ppm=schedule.rate_ppm, profile=schedule.profile)
        rows = _add_to_row(rows, len(rows) - 1, interest=min(interest - posted, _calculate_room(contract, loan, rows)))
        posted = Amount(interest)
    if until == period.end:
        accrual, posted = Accrual(as_of=until), Amount(0)
    return msgspec.structs.replace(loan, rows=rows, accrual=accrual, ahead_stale=stale, matured_interest=posted)


def _charge_late_interest(contract: Contract, loan: Loan, start: int, today: int) -> Loan:
    """Simple late interest on overdue principal for the days passed, on the oldest row that is overdue.

    A dispute's contested amount, which is the oldest principal overdue, bears none of it while its hold lasts.
    """
    disclosure = contract.disclosure
    hold = start if loan.hold_until is None else max(start, min(loan.hold_until - 1, today))
    unit_days, oldest, contested = 0, None, int(loan.contested)
    for position, row in enumerate(loan.rows):
        if row.due_on >= today:
            break
        unpaid = row.principal_unpaid
        if unpaid:
            grace = disclosure.grace_days
            late, held, before = (
                calculate_days_late(row.due_on, day, grace_days=grace) for day in (today, hold, start)
            )
            free = max(0, unpaid - contested)
            contested -= unpaid - free
            unit_days += unpaid * (late - held) + free * (held - before)
            oldest = position if oldest is None else oldest
    if not unit_days or oldest is None:
        return loan
    # Neither is ever more than a row can hold, however long nobody pays.
    late_days = min(loan.late_days + unit_days, UNIT_DAYS_MAX)
    charged = min(calculate_late_interest(late_days, disclosure.late_rate_ppm), AMOUNT_MAX)
    penalty = min(charged - loan.late_charged, _calculate_room(contract, loan, loan.rows))
    rows = _add_to_row(loan.rows, oldest, penalty=penalty) if penalty else loan.rows
    return msgspec.structs.replace(loan, rows=rows, late_days=late_days, late_charged=charged)


def _charge_late_fees(contract: Contract, loan: Loan, today: int, materiality: int) -> Loan:
    """The flat fee, once for each row that is late beyond grace; none while a dispute holds."""
    disclosure = contract.disclosure
    held = loan.hold_until is not None and today < loan.hold_until
    rows, charged = loan.rows, loan.fees_charged
    for position, row in enumerate(rows):
        if row.due_on >= today:
            break
        fee = calculate_late_fee(
            due_on=row.due_on,
            today=today,
            grace_days=disclosure.grace_days,
            unpaid=row.unpaid if row.unpaid > materiality else 0,
            fee=disclosure.late_fee,
            charged=row.index in charged,
            held=held,
        )
        if fee:
            rows = _add_to_row(rows, position, penalty=min(fee, _calculate_room(contract, loan, rows)))
            charged = (*charged, row.index)
    return msgspec.structs.replace(loan, rows=rows, fees_charged=charged) if charged != loan.fees_charged else loan


def calculate_interest_running(contract: Contract, loan: Loan) -> int:
    """Interest earned since the last due date, before anything paid of it; 0 once all rows are due."""
    schedule = contract.disclosure.schedule
    if loan.accrual.as_of >= schedule.due_dates[-1]:
        return 0
    period = calculate_period_at(contract, loan.accrual.as_of)
    interest = calculate_interest_accrued(loan.accrual, period, rate_ppm=schedule.rate_ppm, profile=schedule.profile)
    position = bisect_right(schedule.due_dates, loan.accrual.as_of)
    carried = loan.carried if position == 0 else 0
    return min(interest + carried, loan.rows[position].interest_due)


def calculate_loan_payoff(contract: Contract, loan: Loan) -> int:
    """What closes the loan on the day it was brought to, a fee for paying early included."""
    if contract.disclosure.prepayment_fee_ppm and loan.rows[-1].due_on > loan.accrual.as_of:
        return calculate_payment(contract, loan, AMOUNT_MAX, ExcessRule.LAST, materiality=0).taken
    return _calculate_owed(contract, loan)


def _calculate_owed(contract: Contract, loan: Loan) -> int:
    if loan.sales is not None:
        return calculate_revenue_owed(contract, loan)
    return calculate_payoff(
        loan.rows, today=loan.accrual.as_of, interest_accrued=calculate_interest_running(contract, loan)
    )


def calculate_lateness(rows: Rows, today: int, materiality: int) -> int:
    """Days past due; rows that are not due cannot be late, so they are not looked at."""
    due = bisect_left(rows, today, key=_get_due_day)
    return calculate_days_past_due(rows[:due], today, materiality=materiality)


_get_due_day = attrgetter("due_on")


def calculate_loan_lateness(contract: Contract, loan: Loan, materiality: int) -> int:
    """Days past due of a loan on the day it was brought to; of a share of sales, since an open breach."""
    return max(calculate_lateness(loan.rows, loan.accrual.as_of, materiality), calculate_breach_days(loan, materiality))


def calculate_due_today(loan: Loan) -> int:
    """What is due and unpaid on the day the loan was brought to."""
    return sum(row.unpaid for row in loan.rows if row.due_on <= loan.accrual.as_of)


def calculate_loan_class(contract: Contract, loan: Loan, observation_days: int) -> AssetClass:
    """Class by the days past due as last announced, an amendment under observation, and its lender's own view."""
    since = loan.restructured_on
    return calculate_class(
        BUCKET_DAYS_MAX[loan.bucket],
        restructured=since is not None and loan.accrual.as_of < since + observation_days,
        lender_class=loan.impaired or AssetClass.NORMAL,
    )


def was_substandard(loan: Loan) -> bool:
    """Whether the days past due ever made it substandard: what time has done, a small payment does not undo."""
    return calculate_class(loan.days_past_due_max) >= AssetClass.SUBSTANDARD


class Payment(NamedTuple):
    """What a payment does to a loan."""

    loan: Loan
    takes: tuple[Take, ...]
    """In row order; rows that get nothing are absent."""
    principal: int
    interest: int
    fee: int
    penalty: int
    closes: bool

    @property
    def parts(self) -> tuple[int, int, int, int]:
        """In the order of `Loan.paid`."""
        return self.principal, self.interest, self.fee, self.penalty

    @property
    def taken(self) -> int:
        """All parts together."""
        return sum(self.parts)


def calculate_payment(
    contract: Contract, loan: Loan, amount: int, excess: ExcessRule, materiality: int, *, feeless: bool = False
) -> Payment:
    """The loan after a payment on the day it was brought to. Principal comes first once it was substandard.

    Principal paid early may cost a fee, which stands on the first row ahead and is paid once nothing else is owed;
    `feeless` is for money that does not come by the payer's own wish.
    """
    if loan.sales is not None:
        return _calculate_revenue_payment(contract, loan, amount, materiality)
    today = loan.accrual.as_of
    settled = next((index for index, row in enumerate(loan.rows) if row.unpaid), len(loan.rows))
    # Rows at the front that are paid in full take no part; leaving them out keeps a payment cheap late in a loan.
    settled = min(settled, bisect_right(contract.disclosure.schedule.due_dates, today))
    allocation = calculate_allocation(
        loan.rows[settled:],
        amount,
        today=today,
        order=WaterfallOrder.PIF if was_substandard(loan) else contract.disclosure.waterfall,
        excess=excess,
        interest_accrued=calculate_interest_running(contract, loan),
    )
    takes = allocation.takes
    principal = sum(take.principal for take in takes)
    interest = sum(take.interest for take in takes)
    fee = sum(take.fee for take in takes)
    penalty = sum(take.penalty for take in takes)
    rows: Rows = (*loan.rows[:settled], *allocation.rows)
    ahead = any(take.principal and rows[take.index - 1].due_on > today for take in takes)
    stale = loan.ahead_stale or ahead
    if stale:
        rows = calculate_rows_ahead(contract, loan, rows)
    after = msgspec.structs.replace(
        loan,
        rows=rows,
        ahead_stale=stale,
        principal_out=loan.principal_out - principal,
        paid=(
            loan.paid[0] + principal,
            loan.paid[1] + interest,
            loan.paid[2] + fee,
            loan.paid[3] + penalty,
        ),
    )
    if ahead and not feeless:
        after = _charge_prepayment(contract, loan, after, takes)
        after, extra = _pay_prepayment_fee(after, allocation.returned)
        penalty += extra.penalty
        takes = _merge_takes(takes, extra)
    past_due = calculate_loan_lateness(contract, after, materiality)
    after = msgspec.structs.replace(after, bucket=calculate_bucket(past_due))
    closes = after.principal_out == 0 and _calculate_owed(contract, after) == 0
    return Payment(after, takes, principal, interest, fee, penalty, closes)


def _calculate_revenue_payment(contract: Contract, loan: Loan, amount: int, materiality: int) -> Payment:
    """The loan after a payment out of sales; it ends once all but the rebate is paid."""
    take = calculate_revenue_take(contract, loan, amount, principal_first=was_substandard(loan))
    principal, interest, fee, penalty = loan.paid
    after = msgspec.structs.replace(
        loan,
        rows=(apply_take(loan.rows[0], take),),
        principal_out=loan.principal_out - take.principal,
        paid=(principal + take.principal, interest + take.interest, fee, penalty + take.penalty),
    )
    after = count_payment(contract, after, take)
    bucket = calculate_bucket(calculate_loan_lateness(contract, after, materiality))
    after = msgspec.structs.replace(after, bucket=bucket)
    closes = take.total == _calculate_owed(contract, loan)
    return Payment(after, (take,), take.principal, take.interest, 0, take.penalty, closes)


def _charge_prepayment(contract: Contract, loan: Loan, after: Loan, takes: tuple[Take, ...]) -> Loan:
    """The loan after a payment, with the fee for what of it was early; none while the borrower may withdraw.

    Principal, interest saved and fees are counted over the loan's life, so it does not matter in how many parts money
    comes, and all fees together never pass all interest saved.
    """
    ppm, today = contract.disclosure.prepayment_fee_ppm, loan.accrual.as_of
    if not ppm or today <= calculate_withdrawal_end(contract):
        return after
    due = {take.index: take for take in takes if loan.rows[take.index - 1].due_on <= today}
    rows = tuple(apply_take(row, due[row.index]) if row.index in due else row for row in loan.rows)
    if loan.ahead_stale:
        rows = calculate_rows_ahead(contract, loan, rows)
    early = sum(take.principal for take in takes if take.index not in due)
    saved = sum(
        was.interest_due - row.interest_due for was, row in zip(rows, after.rows, strict=True) if row.due_on > today
    )
    principal, interest, charged = loan.prepaid[0] + early, loan.prepaid[1] + saved, loan.prepaid[2]
    fee = max(0, min(share_floor(principal, ppm), interest) - charged)
    position = bisect_right(contract.disclosure.schedule.due_dates, today)
    room = _calculate_room(contract, after, after.rows)
    return msgspec.structs.replace(
        after,
        rows=_add_to_row(after.rows, position, penalty=min(fee, room)),
        prepaid=(principal, interest, charged + fee),
    )


def _pay_prepayment_fee(loan: Loan, amount: int) -> tuple[Loan, Take]:
    """The loan with its penalties ahead paid out of what a payment has left over, and what they took."""
    position = next((i for i, row in enumerate(loan.rows) if row.penalty_unpaid and amount), len(loan.rows) - 1)
    row = loan.rows[position]
    take = Take(index=row.index, penalty=min(amount, row.penalty_unpaid))
    principal, interest, fee, penalty = loan.paid
    rows = (*loan.rows[:position], apply_take(row, take), *loan.rows[position + 1 :])
    paid = (principal, interest, fee, Amount(penalty + take.penalty))
    return msgspec.structs.replace(loan, rows=rows, paid=paid), take


def _merge_takes(takes: tuple[Take, ...], extra: Take) -> tuple[Take, ...]:
    """Takes in row order with a penalty added to one of them."""
    if not extra.penalty:
        return takes
    same = next((one for one in takes if one.index == extra.index), Take(index=extra.index))
    merged = msgspec.structs.replace(same, penalty=same.penalty + extra.penalty)
    return tuple(sorted((*(one for one in takes if one is not same), merged), key=attrgetter("index")))


def close_rows(rows: Rows) -> Rows:
    """Rows of a loan that is paid: what was planned and is not owed any more falls away."""
    return tuple(
        row if row.unpaid == 0 else msgspec.structs.replace(row, interest_due=row.interest_paid, fee_due=row.fee_paid)
        for row in rows
    )


def calculate_withdrawal_end(contract: Contract) -> int:
    """The last day on which paying all back also gives the origination fee back."""
    return contract.disbursed_on + contract.disclosure.cooling_off_days


def calculate_next_day(contract: Contract, loan: Loan, materiality: int) -> Day | None:
    """The next day on which time alone changes something that is announced or costly to find; None once closed."""
    if loan.state is not LoanState.ACTIVE:
        return None
    today = loan.accrual.as_of
    days: list[int] = [calculate_withdrawal_end(contract) + 1] if loan.fee_held else []
    if loan.hold_until is not None:
        days.append(loan.hold_until)
    days += [] if loan.sales is None else _find_sales_days(loan)
    days.append(_find_keep_up_day(contract, today))
    oldest = True
    for row in loan.rows:
        if loan.autopay and row.unpaid:
            # A rest too small to make a row late is paid all the same.
            days += [row.due_on, row.due_on + 1]
        if row.unpaid <= materiality:
            continue
        days.append(row.due_on + 1)
        if row.due_on >= today:
            break
        if row.index not in loan.fees_charged:
            days.append(row.due_on + contract.disclosure.grace_days + 1)
        if oldest:
            days += [row.due_on + start for start in BUCKET_STARTS]
        oldest = False
    return Day(min(day for day in days if day > today))


def _find_keep_up_day(contract: Contract, today: int) -> int:
    """When a loan on which nothing happens is brought to its day, so that nobody has years of days to count at once."""
    due_dates = contract.disclosure.schedule.due_dates
    running = bisect_right(due_dates, today)
    return due_dates[running] + 1 if running < len(due_dates) else today + KEEP_UP_DAYS


def _find_sales_days(loan: Loan) -> list[int]:
    """The end of the running 30 days of sales, and the bounds of buckets after an open breach."""
    assert loan.sales is not None, "of a revenue share"
    end, breached_on = calculate_window_end(loan), loan.sales.breached_on
    return ([] if end is None else [end]) + [breached_on + start for start in BUCKET_STARTS if breached_on is not None]
