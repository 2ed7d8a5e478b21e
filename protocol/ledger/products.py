"""Loan products: immutable versions that a lender publishes over its own pool, within the network's policy.

Terms of loans already made never change with a product. Never an application's rule here.
"""

from itertools import pairwise

from protocol.crypto import calculate_object_id
from protocol.genesis import Policy
from protocol.ids import AccountId, ObjectId
from protocol.ledger.accounts import has_cosigned
from protocol.ledger.books import Books, Call
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Budget, Product, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import ACCOUNTS, BUDGETS, MEMBERS, POOLS, PRODUCTS, replace
from protocol.limits import PRODUCTS_PER_LENDER_MAX
from protocol.loans.terms import Amortisation, PeriodUnit
from protocol.money import PPM, Amount, Currency
from protocol.rejections import Rejection
from protocol.transactions.lending import Apply, LeaseWish, Purchase, SalesExpected
from protocol.transactions.products import LeaseKind, LineKind, LoanProduct, MerchantKind, RevenueKind, TermKind
from scoring.rows import Provenance

LENGTH_MAX = {PeriodUnit.DAY: 14_640, PeriodUnit.WEEK: 2_088, PeriodUnit.MONTH: 480}
"""Longest loan in units of its period: forty years."""


def check_product(books: Books, call: Call, payload: LoanProduct) -> Rejection | None:
    """Why the product cannot be published."""
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if pool.owner != call.account:
        return Rejection.POOL_NOT_YOURS
    if not _are_terms_sound(books, payload):
        return Rejection.PRODUCT_TERMS_INVALID
    if payload.attestations_min < calculate_attestations_floor(books):
        # A lender alone could attest any cash flow, and the instalment cap would be its own to set.
        return Rejection.POLICY_BROKEN
    if not _is_within_policy(books, payload):
        return Rejection.POLICY_BROKEN
    if pool.currency != books.currencies[0]:
        # The debt cap counts the network's first currency alone; a loan in another would escape it.
        return Rejection.POLICY_BROKEN
    if not books.can_score(payload.model) or books.models[payload.model].currency != pool.currency:
        return Rejection.MODEL_UNKNOWN
    if len(find_on_sale(books, call.account)) >= PRODUCTS_PER_LENDER_MAX:
        return Rejection.PRODUCT_LIMIT_REACHED
    return _check_partners(books, call, payload, pool.currency)


def _is_within_policy(books: Books, payload: LoanProduct) -> bool:
    """Rates, fees and the day of default; the APR of each offer is looked at when it is made."""
    policy = books.policy
    return (
        all(is_rate_within_policy(policy, payload, band.rate_ppm) for band in payload.bands)
        and payload.prepayment_fee_ppm <= policy.prepayment_cap_ppm
        and payload.default_days >= policy.default_days_min
    )


def is_rate_within_policy(policy: Policy, terms: LoanProduct, rate_ppm: int) -> bool:
    """Whether a rate, and the late rate on top of it, stay within the caps; a discount is no rate."""
    rate = 0 if isinstance(terms.kind, RevenueKind) else rate_ppm
    return rate <= policy.apr_cap_ppm and rate + terms.late_rate_ppm <= policy.late_cap_ppm


def _check_partners(books: Books, call: Call, payload: LoanProduct, currency: Currency) -> Rejection | None:
    """Whether each partner pool exists once, in the pool's currency, signed for by its owner; the lead keeps a part."""
    pools = [one.pool for one in payload.partners]
    if pools != sorted(set(pools)) or payload.pool in pools:
        return Rejection.PARTNER_MISSING
    if sum(one.share_ppm for one in payload.partners) >= PPM or any(one.share_ppm == 0 for one in payload.partners):
        return Rejection.PARTNER_MISSING
    for pool_id in pools:
        pool = books.state.get(POOLS, pool_id)
        if pool is None or pool.currency != currency:
            return Rejection.PARTNER_MISSING
        if not may_lend(books, pool_id):
            return Rejection.PARTNER_MISSING
        if pool.owner != call.account and not has_cosigned(books, call, pool.owner):
            return Rejection.PARTNER_MISSING
    return None


def calculate_attestations_floor(books: Books) -> int:
    """Fewest organisations whose word anybody may decide on: the policy's, or all there are that may attest."""
    able = Role.LENDER | Role.VALIDATOR
    members = (books.state.need(ACCOUNTS, key) for key, _ in books.state.items(MEMBERS))
    return min(books.policy.attestations_floor, sum(bool(one.roles & able) for one in members))


def _are_terms_sound(books: Books, payload: LoanProduct) -> bool:
    """Ranges that are ranges, a length that dates can hold, and an amortisation that fits the kind."""
    return (
        0 < payload.amount_min <= payload.amount_max
        and payload.instalments_min <= payload.instalments_max
        and payload.instalments_max * payload.period_every <= LENGTH_MAX[payload.period_unit]
        and _is_kind_sound(payload)
        and _are_grades_sound(payload)
        and payload.origination_fee_ppm < 1_000_000
        and payload.expires_on >= books.calculate_day(payload.tz_offset_min)
    )


def _are_grades_sound(payload: LoanProduct) -> bool:
    """Whether there is a limit for each grade or for none, and no worse grade is allowed more."""
    limits = payload.grade_max
    return len(limits) in (0, len(Provenance)) and all(better >= worse for better, worse in pairwise(limits))


def calculate_grade_max(terms: LoanProduct, provenance: int) -> Amount | None:
    """The most that a statement of a grade is granted automatically; None without such a limit."""
    return terms.grade_max[provenance - 1] if terms.grade_max else None


def _is_kind_sound(payload: LoanProduct) -> bool:
    """Whether what only this kind has agrees with the common terms."""
    kind, balloon = payload.kind, payload.amortisation is Amortisation.BALLOON
    match kind:
        case TermKind():
            return balloon == (0 < kind.residual_ppm < PPM) and (balloon or kind.residual_ppm == 0)
        case LeaseKind():
            ends = kind.may_return or kind.may_buy or kind.extend_instalments > 0
            dates = kind.extend_instalments * payload.period_every <= LENGTH_MAX[payload.period_unit]
            return balloon and 0 < kind.residual_ppm < PPM and kind.deposit_ppm < PPM and ends and dates
        case MerchantKind():
            return not balloon and kind.discount_ppm + payload.origination_fee_ppm < PPM
        case LineKind():
            return not balloon and 0 < kind.draw_min <= payload.amount_min
        case RevenueKind():
            daily = payload.period_unit is PeriodUnit.DAY and payload.period_every == 1
            single = payload.instalments_min == payload.instalments_max == 1
            shares = 0 < kind.share_ppm <= PPM and kind.floor_ppm <= kind.warning_ppm <= PPM
            return payload.amortisation is Amortisation.BULLET and daily and single and shares


def apply_product(books: Books, call: Call, payload: LoanProduct) -> tuple[Fact, ...]:
    """Publish the version."""
    product = calculate_object_id("product", call.key, call.nonce)
    currency = books.state.need(POOLS, payload.pool).currency
    books.state.put(
        PRODUCTS,
        product,
        Product(lender=call.account, currency=currency, terms=payload, published_ms=books.now_ms),
    )
    books.state.put(BUDGETS, product, Budget(used=Amount(0), loans=0))
    on_sale = (*find_on_sale(books, call.account), product)
    books.state.put(MEMBERS, call.account, replace(books.state.need(MEMBERS, call.account), products=on_sale))
    books.emit(
        "product_published",
        (product, payload.pool, call.account),
        {"product": product.hex(), "name": payload.name, "lender": call.account.hex(), "pool": payload.pool.hex()},
    )
    return (Made(id=product),)


def does_product_fit(books: Books, product: Product, request: Apply) -> bool:
    """Whether a product answers to what is asked for: its kind, its ranges, still on sale."""
    return (
        does_product_suit(product, request)
        and is_within_range(product.terms, request.amount, request.instalments)
        and is_on_sale(books, product.terms)
        and all(may_lend(books, one) for one in (product.terms.pool, *(each.pool for each in product.terms.partners)))
    )


def may_lend(books: Books, pool_id: ObjectId) -> bool:
    """Whether the owner of a pool lends and is not frozen: the validators may have decided otherwise since."""
    owner = books.state.need(ACCOUNTS, books.state.need(POOLS, pool_id).owner)
    return bool(owner.roles & Role.LENDER) and not owner.frozen


def does_product_suit(product: Product, request: Apply) -> bool:
    """Whether a product is of the kind that is asked for: segment, money, period, wish."""
    terms = product.terms
    return (
        terms.segment is request.segment
        and product.currency == request.currency
        and terms.period_unit is request.period_unit
        and terms.period_every == request.period_every
        and _does_wish_fit(product, request)
    )


def is_within_range(terms: LoanProduct, amount: int, instalments: int) -> bool:
    """Whether amount and number of instalments lie within the product's ranges."""
    return (
        terms.amount_min <= amount <= terms.amount_max and terms.instalments_min <= instalments <= terms.instalments_max
    )


WISHES = {MerchantKind: Purchase, LeaseKind: LeaseWish, RevenueKind: SalesExpected}
"""What a kind of product asks an application for; the others ask for nothing."""


def _does_wish_fit(product: Product, request: Apply) -> bool:
    """Whether the application says what this kind needs; a line only answers where it was asked for by name."""
    kind = product.terms.kind
    if isinstance(kind, LineKind) and request.product is None:
        return False
    wanted = WISHES.get(type(kind))
    return request.wish is None if wanted is None else isinstance(request.wish, wanted)


def is_on_sale(books: Books, terms: LoanProduct) -> bool:
    """Whether applications may still come in."""
    return books.calculate_day(terms.tz_offset_min) <= terms.expires_on


def find_on_sale(books: Books, lender: AccountId) -> tuple[ObjectId, ...]:
    """A member's products that applications may still come in for, oldest first."""
    published = books.state.need(MEMBERS, lender).products
    return tuple(one for one in published if is_on_sale(books, books.state.need(PRODUCTS, one).terms))


RULES: Rules = {LoanProduct: Rule(check_product, apply_product, roles=Role.LENDER, pause=Pause.PRODUCTS)}
