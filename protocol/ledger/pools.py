"""Lenders' pools: opened by the lender, funded by anybody for shares at net asset value (ledger 2.9).

A virtual offset of 1,000 shares to 1 unit makes the first share cheap and an inflation of its price dear (the known
attack on share vaults). Shares are floored, so a deposit never takes from those who were there before.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.records import Fact, Made, SharesIssued
from protocol.ledger.rows import Pool, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import POOLS, SHARES, replace
from protocol.money import AMOUNT_MAX, divide_floor
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolDeposit, PoolOpen

VIRTUAL_SHARES = 1_000
VIRTUAL_ASSETS = 1


def calculate_shares(pool: Pool, amount: int) -> int:
    """Shares for a deposit at the pool's net asset value, rounded down."""
    assets = pool.cash + pool.principal + pool.assets + VIRTUAL_ASSETS
    return divide_floor(amount * (pool.shares + VIRTUAL_SHARES), assets)


def check_pool_open(books: Books, call: Call, payload: PoolOpen) -> Rejection | None:
    """Why no pool can be opened."""
    return None if payload.currency in books.currencies else Rejection.CURRENCY_UNKNOWN


def apply_pool_open(books: Books, call: Call, payload: PoolOpen) -> tuple[Fact, ...]:
    """Open an empty pool."""
    pool = calculate_object_id("pool", call.key, call.nonce)
    books.state.put(POOLS, pool, Pool(owner=call.account, currency=payload.currency, borrower_max=payload.borrower_max))
    books.emit(
        "pool_opened",
        (pool, call.account),
        {"pool": pool.hex(), "owner": call.account.hex(), "currency": payload.currency},
    )
    return (Made(id=pool),)


def check_pool_deposit(books: Books, call: Call, payload: PoolDeposit) -> Rejection | None:
    """Why the deposit cannot be taken."""
    pool = books.state.get(POOLS, payload.pool)
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    if pool is None:
        return Rejection.POOL_UNKNOWN
    shares = calculate_shares(pool, payload.amount)
    if shares == 0:
        return Rejection.AMOUNT_ZERO
    if read_cash(books.state, call.account, pool.currency) < payload.amount:
        return Rejection.FUNDS_SHORT
    return Rejection.AMOUNT_TOO_LARGE if pool.shares + shares > AMOUNT_MAX else None


def apply_pool_deposit(books: Books, call: Call, payload: PoolDeposit) -> tuple[Fact, ...]:
    """Move cash into the pool and issue shares."""
    pool = books.state.need(POOLS, payload.pool)
    shares = calculate_shares(pool, payload.amount)
    books.state.put(POOLS, payload.pool, replace(pool, cash=pool.cash + payload.amount, shares=pool.shares + shares))
    key = payload.pool + call.account
    books.state.put(SHARES, key, (books.state.get(SHARES, key) or 0) + shares)
    books.post(
        "pool_funded",
        pool.currency,
        (Posting(call.account, Book.CASH, payload.amount), Posting(payload.pool, Book.CAPITAL, -payload.amount)),
        (payload.pool, call.account),
        {"pool": payload.pool.hex(), "investor": call.account.hex(), "amount": payload.amount, "shares": shares},
    )
    return (SharesIssued(pool=ObjectId(payload.pool), shares=shares),)


RULES: Rules = {
    PoolOpen: Rule(check_pool_open, apply_pool_open, roles=Role.LENDER, pause=Pause.POOLS),
    PoolDeposit: Rule(check_pool_deposit, apply_pool_deposit, credential=True, pause=Pause.POOLS),
}
