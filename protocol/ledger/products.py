"""Loan products: immutable versions that a lender publishes over its own pool, within the network's policy.

Terms of loans already made never change with a product. Never an application's rule here.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Budget, Product
from protocol.ledger.state import BUDGETS, POOLS, PRODUCTS
from protocol.limits import PRODUCTS_PER_LENDER_MAX
from protocol.loans.terms import Amortisation, PeriodUnit
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.lending import Apply
from protocol.transactions.products import TermProduct

LENGTH_MAX = {PeriodUnit.DAY: 14_640, PeriodUnit.WEEK: 2_088, PeriodUnit.MONTH: 480}
"""Longest loan in units of its period: forty years."""


def check_product(books: Books, call: Call, payload: TermProduct) -> Rejection | None:
    """Why the product cannot be published."""
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if pool.owner != call.account:
        return Rejection.POOL_NOT_YOURS
    if not _are_terms_sound(books, payload):
        return Rejection.PRODUCT_TERMS_INVALID
    policy = books.policy
    if payload.attestations_min < min(policy.attestations_floor, _count_attesters(books)):
        # A lender alone could attest any cash flow, and the instalment cap would be its own to set.
        return Rejection.POLICY_BROKEN
    rates = [band.rate_ppm for band in payload.bands]
    if max(rates) > policy.apr_cap_ppm or max(rates) + payload.late_rate_ppm > policy.late_cap_ppm:
        return Rejection.POLICY_BROKEN
    if pool.currency != books.currencies[0]:
        # The debt cap counts the network's first currency alone; a loan in another would escape it.
        return Rejection.POLICY_BROKEN
    model = books.models.get(payload.model)
    if model is None or model.currency != pool.currency:
        return Rejection.MODEL_UNKNOWN
    on_sale = sum(is_on_sale(books, one.terms) for _, one in find_products(books, call.account))
    return Rejection.PRODUCT_LIMIT_REACHED if on_sale >= PRODUCTS_PER_LENDER_MAX else None


def _count_attesters(books: Books) -> int:
    """Organisations that may attest."""
    return sum(one.lender or one.validator_key is not None for one in books.genesis.members)


def _are_terms_sound(books: Books, payload: TermProduct) -> bool:
    """Ranges that are ranges, a length that dates can hold, and an amortisation that needs no residual."""
    return (
        0 < payload.amount_min <= payload.amount_max
        and payload.instalments_min <= payload.instalments_max
        and payload.instalments_max * payload.period_every <= LENGTH_MAX[payload.period_unit]
        and payload.amortisation is not Amortisation.BALLOON
        and payload.origination_fee_ppm < 1_000_000
        and payload.expires_on >= books.calculate_day(payload.tz_offset_min)
    )


def apply_product(books: Books, call: Call, payload: TermProduct) -> tuple[Fact, ...]:
    """Publish the version."""
    product = calculate_object_id("product", call.key, call.nonce)
    currency = books.state.need(POOLS, payload.pool).currency
    books.state.put(
        PRODUCTS,
        product,
        Product(lender=call.account, currency=currency, terms=payload, published_ms=books.now_ms),
    )
    books.state.put(BUDGETS, product, Budget(used=Amount(0), loans=0))
    books.emit(
        "product_published",
        (product, payload.pool, call.account),
        {"product": product.hex(), "name": payload.name, "lender": call.account.hex(), "pool": payload.pool.hex()},
    )
    return (Made(id=product),)


def does_product_fit(books: Books, product: Product, request: Apply) -> bool:
    """Whether a product answers to what is asked for: segment, money, period, ranges, still on sale."""
    terms = product.terms
    return (
        terms.segment is request.segment
        and product.currency == request.currency
        and terms.period_unit is request.period_unit
        and terms.period_every == request.period_every
        and terms.amount_min <= request.amount <= terms.amount_max
        and terms.instalments_min <= request.instalments <= terms.instalments_max
        and is_on_sale(books, terms)
    )


def is_on_sale(books: Books, terms: TermProduct) -> bool:
    """Whether applications may still come in."""
    return books.calculate_day(terms.tz_offset_min) <= terms.expires_on


def find_products(books: Books, lender: AccountId) -> list[tuple[ObjectId, Product]]:
    """A lender's products in the order of their ids."""
    return [(ObjectId(key), product) for key, product in books.state.items(PRODUCTS) if product.lender == lender]
