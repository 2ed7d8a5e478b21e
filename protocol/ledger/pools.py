"""Lenders' pools: opened and set by the lender, funded by anybody for shares at net asset value (ledger 2.9).

A virtual offset of 1,000 shares to 1 unit makes the first share cheap and an inflation of its price dear (the known
attack on share vaults). Shares are floored, so a deposit never takes from those who were there before. Leaving is
`exits`', the lender's own cover is `cover`'s.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.records import Fact, Made, SharesIssued
from protocol.ledger.rows import Pool, Role
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import POOLS, SHARES, replace
from protocol.money import AMOUNT_MAX, PPM, divide_floor
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolDeposit, PoolOpen, PoolSet

VIRTUAL_SHARES = 1_000
VIRTUAL_ASSETS = 1


def calculate_assets(pool: Pool) -> int:
    """Net asset value for those who come: cash, principal without haircut, and goods."""
    return pool.cash + pool.principal + pool.assets


def calculate_assets_out(pool: Pool) -> int:
    """Net asset value for those who leave: what late loans may still lose stays behind."""
    return calculate_assets(pool) - pool.haircut


def calculate_shares(pool: Pool, amount: int) -> int:
    """Shares for a deposit, rounded down: at net asset value and what defaulted loans may still bring back.

    A late loan counts in full for those who come, so calling its default makes no cheap day to come in on. What nobody
    owns any more is whoever comes next's.
    """
    hoped = pool.lost if pool.shares else 0
    assets = calculate_assets(pool) + hoped + VIRTUAL_ASSETS
    return divide_floor(amount * (pool.shares + VIRTUAL_SHARES), assets)


def is_price_unfair(pool: Pool) -> bool:
    """Whether most of what a deposit would pay for may never come back; a pool that lost everything has no price."""
    return pool.shares > 0 and calculate_assets(pool) <= pool.lost


# ---------------------------------------------------------------------- open and set


def check_pool_open(books: Books, call: Call, payload: PoolOpen) -> Rejection | None:
    """Why no pool can be opened."""
    if payload.currency not in books.currencies:
        return Rejection.CURRENCY_UNKNOWN
    return None if _are_shares(payload) else Rejection.POLICY_BROKEN


def _are_shares(payload: PoolOpen | PoolSet) -> bool:
    """Whether both rates are parts of a whole."""
    return payload.cover_rate_ppm <= PPM and payload.fee_ppm <= PPM


def apply_pool_open(books: Books, call: Call, payload: PoolOpen) -> tuple[Fact, ...]:
    """Open an empty pool."""
    pool = calculate_object_id("pool", call.key, call.nonce)
    row = Pool(
        owner=call.account,
        currency=payload.currency,
        borrower_max=payload.borrower_max,
        cover_rate_ppm=payload.cover_rate_ppm,
        fee_ppm=payload.fee_ppm,
    )
    books.state.put(POOLS, pool, row)
    books.emit(
        "pool_opened",
        (pool, call.account),
        {"pool": pool.hex(), "owner": call.account.hex(), "currency": payload.currency, **_tell_terms(payload)},
    )
    return (Made(id=pool),)


def _tell_terms(payload: PoolOpen | PoolSet) -> dict[str, int]:
    return {
        "borrower_max": payload.borrower_max,
        "cover_rate_ppm": payload.cover_rate_ppm,
        "fee_ppm": payload.fee_ppm,
    }


def check_pool_set(books: Books, call: Call, payload: PoolSet) -> Rejection | None:
    """Why the pool's terms stay. Money that is promised locks them as loans do."""
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if pool.owner != call.account:
        return Rejection.POOL_NOT_YOURS
    worse = payload.cover_rate_ppm < pool.cover_rate_ppm or payload.fee_ppm > pool.fee_ppm
    if worse and (pool.loans_open or pool.reserved):
        return Rejection.POOL_TERMS_LOCKED
    return None if _are_shares(payload) else Rejection.POLICY_BROKEN


def apply_pool_set(books: Books, call: Call, payload: PoolSet) -> tuple[Fact, ...]:
    """Let other terms hold from now on."""
    pool = books.state.need(POOLS, payload.pool)
    changed = replace(
        pool,
        borrower_max=payload.borrower_max,
        cover_rate_ppm=payload.cover_rate_ppm,
        fee_ppm=payload.fee_ppm,
    )
    books.state.put(POOLS, payload.pool, changed)
    books.emit("pool_set", (payload.pool, call.account), {"pool": payload.pool.hex(), **_tell_terms(payload)})
    return ()


# ---------------------------------------------------------------------- deposit


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
    if pool.shares + shares > AMOUNT_MAX:
        return Rejection.AMOUNT_TOO_LARGE
    return Rejection.POOL_LOST if is_price_unfair(pool) else None


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
    # Whose pool it is decides, not a role: fees can be lowered and limits drawn in by one that lends no more.
    PoolSet: Rule(check_pool_set, apply_pool_set, pause=Pause.POOLS),
    PoolDeposit: Rule(check_pool_deposit, apply_pool_deposit, credential=True, pause=Pause.POOLS),
}
