"""What an offer says: the whole disclosure, computed from product, band and day, or the limit that forbids it.

Recomputed by every node; the borrower signs its hash. Never a wish or a guess in it: every figure follows from the
schedule.
"""

from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import AccountId, Day, Digest, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.rows import Disclosure, Product
from protocol.loans.apr import calculate_apr_effective_ppm
from protocol.loans.calendar import DAY_MAX, Period, calculate_due_dates
from protocol.loans.schedule import ScheduleFault, ScheduleTerms, calculate_schedule
from protocol.money import AMOUNT_MAX, PPM, Amount, Ppm, share_floor
from protocol.rejections import Rejection
from protocol.transactions.lending import Apply


def make_disclosure(
    books: Books,
    product_id: ObjectId,
    product: Product,
    application_id: ObjectId,
    request: Apply,
    *,
    borrower: AccountId,
    rate_ppm: Ppm,
) -> Disclosure | Rejection:
    """The disclosure of a loan that starts today, or POLICY_BROKEN when no lawful schedule has these terms."""
    terms = product.terms
    start = books.calculate_day(terms.tz_offset_min)
    if start > DAY_MAX:
        # The calendar itself ends soon after; a date beyond it cannot even be counted.
        return Rejection.POLICY_BROKEN
    period = Period(unit=terms.period_unit, every=terms.period_every)
    schedule = ScheduleTerms(
        principal=request.amount,
        rate_ppm=rate_ppm,
        start=start,
        due_dates=calculate_due_dates(start, period, request.instalments),
        day_count=terms.day_count,
        period=period,
        profile=terms.profile,
        amortisation=terms.amortisation,
    )
    instalments = calculate_schedule(schedule)
    if isinstance(instalments, ScheduleFault):
        return Rejection.POLICY_BROKEN
    fee = share_floor(request.amount, terms.origination_fee_ppm)
    payable = sum(one.total_due for one in instalments)
    apr_ppm = calculate_apr_effective_ppm(
        [(start, request.amount - fee)], [(one.due_on, one.total_due) for one in instalments]
    )
    cost = payable - request.amount + fee
    policy = books.policy
    dear = cost * PPM > policy.cost_cap_ppm * request.amount or payable > AMOUNT_MAX
    if apr_ppm is None or apr_ppm > policy.apr_cap_ppm or dear:
        return Rejection.POLICY_BROKEN
    return Disclosure(
        application=application_id,
        product=product_id,
        pool=terms.pool,
        lender=product.lender,
        borrower=borrower,
        currency=product.currency,
        origination_fee=Amount(fee),
        net_proceeds=Amount(request.amount - fee),
        schedule=schedule,
        instalments=instalments,
        total_payable=Amount(payable),
        total_cost=Amount(cost),
        apr_ppm=apr_ppm,
        waterfall=terms.waterfall,
        grace_days=terms.grace_days,
        late_rate_ppm=terms.late_rate_ppm,
        late_fee=terms.late_fee,
        cost_cap_ppm=policy.cost_cap_ppm,
        prepayment_fee=Amount(0),
        cooling_off_days=policy.cooling_off_days,
        tz_offset_min=terms.tz_offset_min,
        # Never so long that the first instalment could fall due before the money has moved.
        expires_on=Day(min(start + terms.offer_days, schedule.due_dates[0] - 1)),
    )


def calculate_terms_hash(disclosure: Disclosure) -> Digest:
    """What an acceptance signs: H over the canonical bytes of the whole disclosure."""
    return calculate_hash("disclosure", encode(disclosure))


def calculate_apr_from(disclosure: Disclosure, disbursed_on: Day, first_interest: int) -> int | None:
    """Effective rate when money moves on a later day and the first instalment bears `first_interest` only."""
    first, *rest = disclosure.instalments
    payments = [(first.due_on, first.total_due - first.interest_due + first_interest)]
    payments += [(one.due_on, one.total_due) for one in rest]
    return calculate_apr_effective_ppm([(disbursed_on, disclosure.net_proceeds)], payments)
