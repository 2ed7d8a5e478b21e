"""What an offer says: the whole disclosure, computed from product, band and day, or the limit that forbids it.

Recomputed by every node; the borrower signs its hash. Never a wish or a guess in it: every figure follows from the
schedule.
"""

from functools import lru_cache
from typing import NamedTuple

from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.genesis import Policy
from protocol.ids import AccountId, Day, Digest, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Disclosure, LeaseTold, LineTold, PurchaseTold, RevenueTold, Told
from protocol.ledger.holdings import change_pool, make_holdings
from protocol.ledger.products import LENGTH_MAX, is_rate_within_policy
from protocol.ledger.revenue import (
    calculate_revenue_instalments,
    calculate_revenue_rates,
    count_payments,
    make_revenue_told,
)
from protocol.ledger.rows import Product
from protocol.ledger.state import ASSETS
from protocol.loans.apr import calculate_apr_effective_ppm, calculate_apr_us_dated_ppm, is_apr_within
from protocol.loans.calendar import DAY_MAX, Period, calculate_due_dates
from protocol.loans.schedule import Instalment, ScheduleFault, ScheduleTerms, calculate_schedule
from protocol.money import AMOUNT_MAX, PPM, Amount, Ppm, share_floor
from protocol.rejections import Rejection
from protocol.transactions.lending import Apply, LeaseWish, Purchase, SalesExpected
from protocol.transactions.products import LeaseKind, LineKind, LoanProduct, MerchantKind, RevenueKind, TermKind


class Wanted(NamedTuple):
    """Whose loan of a product it is, and what was chosen within the product's ranges."""

    application: ObjectId
    product: ObjectId
    borrower: AccountId
    principal: int
    instalments: int
    rate_ppm: Ppm
    start: Day
    """The contract day it is computed for."""
    policy_version: int
    collateral: tuple[ObjectId, ...] = ()
    guarantors: tuple[AccountId, ...] = ()


def make_disclosure(
    books: Books,
    product_id: ObjectId,
    product: Product,
    application_id: ObjectId,
    request: Apply,
    *,
    borrower: AccountId,
    rate_ppm: Ppm,
    amount: Amount | None = None,
    instalments: int | None = None,
) -> Disclosure | Rejection:
    """The disclosure of a loan that starts today, or why no lawful one has these terms.

    Amount and instalments are those asked for, unless an officer offers others.
    """
    principal = request.amount if amount is None else amount
    told = make_told(books, product, request, principal, rate_ppm)
    if isinstance(told, Rejection):
        return told
    wanted = Wanted(
        application=application_id,
        product=product_id,
        borrower=borrower,
        principal=principal,
        instalments=request.instalments if instalments is None else instalments,
        rate_ppm=rate_ppm,
        start=books.calculate_day(product.terms.tz_offset_min),
        policy_version=books.policy_version,
        collateral=request.collateral,
        guarantors=request.guarantors,
    )
    return calculate_disclosure(books.policy, product, wanted, told)


@lru_cache(maxsize=8)
def calculate_disclosure(policy: Policy, product: Product, wanted: Wanted, told: Told | None) -> Disclosure | Rejection:
    """The disclosure of what was chosen, or why no lawful one has these terms. Pure, so that a wallet can show it.

    The last ones are kept: what was checked a moment ago is now applied.
    """
    terms, principal = product.terms, wanted.principal
    schedule = _plan(terms, wanted, told)
    rows = None if schedule is None else calculate_instalments(schedule, told)
    if schedule is None or rows is None or isinstance(rows, ScheduleFault):
        return Rejection.POLICY_BROKEN
    fee = share_floor(principal, terms.origination_fee_ppm)
    payable = sum(one.total_due for one in rows)
    apr_ppm, apr_us_ppm = calculate_rates(schedule, rows, principal - fee, told, us=policy.us_rate)
    cost = payable - principal + fee
    dear = cost * PPM > policy.cost_cap_ppm * principal or payable > AMOUNT_MAX
    dear = dear or not is_rate_within_policy(policy, terms, wanted.rate_ppm)
    if apr_ppm is None or apr_ppm > policy.apr_cap_ppm or dear or (policy.us_rate and apr_us_ppm is None):
        return Rejection.POLICY_BROKEN
    return Disclosure(
        application=wanted.application,
        product=wanted.product,
        pool=terms.pool,
        lender=product.lender,
        borrower=wanted.borrower,
        currency=product.currency,
        origination_fee=Amount(fee),
        net_proceeds=Amount(principal - fee),
        schedule=schedule,
        instalments=rows,
        total_payable=Amount(payable),
        total_cost=Amount(cost),
        apr_ppm=apr_ppm,
        waterfall=terms.waterfall,
        grace_days=terms.grace_days,
        late_rate_ppm=terms.late_rate_ppm,
        late_fee=terms.late_fee,
        cost_cap_ppm=policy.cost_cap_ppm,
        prepayment_fee_ppm=Ppm(min(terms.prepayment_fee_ppm, policy.prepayment_cap_ppm)),
        cooling_off_days=policy.cooling_off_days,
        tz_offset_min=terms.tz_offset_min,
        expires_on=_find_expiry(terms, schedule, told),
        default_days=max(terms.default_days, policy.default_days_min),
        partners=terms.partners,
        collateral=wanted.collateral,
        guarantors=wanted.guarantors,
        told=told,
        policy_version=wanted.policy_version,
        apr_us_ppm=apr_us_ppm,
        materiality=policy.materiality,
    )


def _plan(terms: LoanProduct, wanted: Wanted, told: Told | None) -> ScheduleTerms | None:
    """The schedule's terms for a loan from its start; None where it is too long, or the calendar itself ends soon."""
    kind, start, principal = terms.kind, wanted.start, wanted.principal
    if start > DAY_MAX or wanted.instalments * terms.period_every > LENGTH_MAX[terms.period_unit]:
        return None
    period = Period(unit=terms.period_unit, every=terms.period_every)
    revenue = isinstance(told, RevenueTold)
    last = (start + told.kind.term_days_max,) if isinstance(told, RevenueTold) else None
    return ScheduleTerms(
        principal=principal,
        # Of a share of sales the band's rate is the discount, which the row bears as it is.
        rate_ppm=0 if revenue else wanted.rate_ppm,
        start=start,
        due_dates=last or calculate_due_dates(start, period, wanted.instalments),
        day_count=terms.day_count,
        period=period,
        profile=terms.profile,
        amortisation=terms.amortisation,
        residual=share_floor(principal, kind.residual_ppm) if isinstance(kind, TermKind | LeaseKind) else 0,
    )


def _find_expiry(terms: LoanProduct, schedule: ScheduleTerms, told: Told | None) -> Day:
    """The last day of an offer: never so late that the first instalment could fall due before the money has moved.

    Of a share of sales, never so late that the expected payments would not repay it in time.
    """
    first = schedule.due_dates[0]
    latest = first - count_payments(told, schedule.principal) if isinstance(told, RevenueTold) else first - 1
    return Day(min(schedule.start + terms.offer_days, first - 1, latest))


def make_told(books: Books, product: Product, request: Apply, principal: int, rate_ppm: Ppm) -> Told | Rejection | None:
    """What the kind of product adds to a disclosure, or why this application gets none."""
    kind, wish = product.terms.kind, request.wish
    if isinstance(kind, LineKind) and wish is None:
        return _make_line(kind, request)
    if isinstance(kind, RevenueKind) and isinstance(wish, SalesExpected):
        rebate_ppm = books.policy.revenue_rebate_ppm
        told = make_revenue_told(kind, volume=wish.volume, net=principal, discount_ppm=rate_ppm, rebate_ppm=rebate_ppm)
        return Rejection.WISH_UNFIT if told is None else told
    if isinstance(kind, MerchantKind) and isinstance(wish, Purchase):
        return PurchaseTold(merchant=wish.merchant, discount=Amount(share_floor(principal, kind.discount_ppm)))
    if isinstance(kind, LeaseKind) and isinstance(wish, LeaseWish):
        return _make_lease(books, product, kind, request, principal=principal, asset_id=ObjectId(wish.asset))
    return None if isinstance(kind, TermKind) and wish is None else Rejection.WISH_UNFIT


def _make_line(kind: LineKind, request: Apply) -> LineTold | Rejection:
    """A line stands on the borrower alone: security would be bound, and guarantors liable, for draws not yet made."""
    if request.collateral:
        return Rejection.COLLATERAL_UNFIT
    return Rejection.GUARANTOR_UNFIT if request.guarantors else LineTold(kind=kind)


def _make_lease(
    books: Books, product: Product, kind: LeaseKind, request: Apply, *, principal: int, asset_id: ObjectId
) -> LeaseTold | Rejection:
    """The lease of one free thing that is worth its money, in the product's currency."""
    asset = books.state.get(ASSETS, asset_id)
    if asset is None or asset.retired or asset.lien is not None or asset.held:
        return Rejection.WISH_UNFIT
    if asset.currency != product.currency or principal > asset.value or asset_id in request.collateral:
        return Rejection.WISH_UNFIT
    deposit = Amount(share_floor(principal, kind.deposit_ppm))
    return LeaseTold(kind=kind, asset=asset_id, supplier=asset.owner, deposit=deposit)


def calculate_rates(
    schedule: ScheduleTerms, rows: tuple[Instalment, ...], proceeds: int, told: Told | None, *, us: bool
) -> tuple[int | None, int | None]:
    """The effective rate a disclosure shows, and the nominal US rate of the same flows where it shows that too."""
    if isinstance(told, RevenueTold):
        return calculate_revenue_rates(schedule.principal, proceeds, told, us=us)
    payments = [(one.due_on, one.total_due) for one in rows]
    advances = _find_advances(told, schedule.start, proceeds, payments[-1][0])
    us_ppm = calculate_apr_us_dated_ppm(advances, payments, schedule.period) if us else None
    return calculate_apr_effective_ppm(advances, payments), us_ppm


def _find_advances(told: Told | None, start: int, proceeds: int, last_due: int) -> list[tuple[int, int]]:
    """What is lent; a deposit is money the lessee does not have until the last due date, so it counts as not lent."""
    deposit = told.deposit if isinstance(told, LeaseTold) else 0
    return [(start, proceeds - deposit), (last_due, deposit)] if deposit else [(start, proceeds)]


def calculate_instalments(schedule: ScheduleTerms, told: Told | None) -> tuple[Instalment, ...] | ScheduleFault:
    """The rows that a disclosure shows; of a line, those of its whole limit drawn on the first day."""
    return (
        calculate_revenue_instalments(schedule, told) if isinstance(told, RevenueTold) else calculate_schedule(schedule)
    )


def reserve_offer(books: Books, disclosure: Disclosure, sign: int) -> None:
    """Keep the money of an officer's offer ready in its pools (1), or let it go (-1)."""
    for one in make_holdings(disclosure, disclosure.schedule.principal):
        change_pool(books, ObjectId(one.pool), reserved=sign * one.principal)


def calculate_terms_hash(disclosure: Disclosure) -> Digest:
    """What an acceptance signs: H over the canonical bytes of the whole disclosure."""
    return calculate_hash("disclosure", encode(disclosure))


def is_apr_within_from(disclosure: Disclosure, disbursed_on: Day, first_interest: int, cap_ppm: int) -> bool:
    """Whether the effective rate stays within a cap when money moves later and the first row bears less interest.

    Draws of a line and payments out of sales follow the day the money moves, so nothing changes for them.
    """
    if isinstance(disclosure.told, LineTold | RevenueTold):
        return disclosure.apr_ppm <= cap_ppm
    first, *rest = disclosure.instalments
    payments = [(first.due_on, first.total_due - first.interest_due + first_interest)]
    payments += [(one.due_on, one.total_due) for one in rest]
    advances = _find_advances(disclosure.told, disbursed_on, disclosure.net_proceeds, payments[-1][0])
    return is_apr_within(advances, payments, cap_ppm)
