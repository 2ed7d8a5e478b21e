"""First-loss cover: the lender's own cash that losses fall on before its investors' (ledger 2.8).

    needed  = rate of the principal lent or promised + what defaults of the policy's last days have cost investors

Losses are kept by pool and day of default, so what still binds cover is a sum over days and no walk over loans. What
a default takes of it is `distress`', what comes back to it `recovery`'s; never a loan's rule here.
"""

from protocol.ids import Day, ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.holdings import change_pool
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.records import Fact
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import LOSSES, POOLS
from protocol.money import share_ceil
from protocol.rejections import Rejection
from protocol.transactions.pools import CoverDeposit, CoverWithdraw


def is_cover_short(books: Books, pool_id: ObjectId, *, more: int = 0) -> bool:
    """Whether a pool's cover is below its rate of the principal lent, `more` principal included."""
    pool = books.state.need(POOLS, pool_id)
    return pool.cover < share_ceil(pool.principal + more, pool.cover_rate_ppm)


# ---------------------------------------------------------------------- losses by day


def make_loss_key(pool_id: ObjectId, day: Day) -> bytes:
    """Key of what a pool has lost by defaults of a day."""
    return pool_id + day.to_bytes(4, "big")


def count_loss(books: Books, pool_id: ObjectId, day: Day, delta: int, *, may_return: bool) -> None:
    """Add to what a pool has lost by defaults of a day; `may_return` while the claim is not written off."""
    key = make_loss_key(pool_id, day)
    lost = (books.state.get(LOSSES, key) or 0) + delta
    if lost:
        books.state.put(LOSSES, key, lost)
    else:
        books.state.delete(LOSSES, key)
    change_pool(books, pool_id, lost=delta if may_return else 0)


def calculate_losses_since(books: Books, pool_id: ObjectId, days: int) -> int:
    """What defaults of today and so many days before have cost the pool and not given back."""
    # A contract's day can be one ahead of the network's.
    last = books.today + 1
    keys = (make_loss_key(pool_id, Day(day)) for day in range(max(0, books.today - days), last + 1))
    return sum(books.state.get(LOSSES, key) or 0 for key in keys)


def calculate_cover_needed(books: Books, pool_id: ObjectId) -> int:
    """What must stay when cover is taken out. Money that is promised counts as lent: it may be gone a moment later."""
    pool = books.state.need(POOLS, pool_id)
    rated = share_ceil(pool.principal + pool.reserved, pool.cover_rate_ppm)
    return rated + calculate_losses_since(books, pool_id, books.policy.cover_release_days)


# ---------------------------------------------------------------------- in and out


def check_cover_deposit(books: Books, call: Call, payload: CoverDeposit) -> Rejection | None:
    """Why the cover is not taken."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if read_cash(books.state, call.account, pool.currency) < payload.amount:
        return Rejection.FUNDS_SHORT
    return None if pool.owner == call.account else Rejection.POOL_NOT_YOURS


def apply_cover_deposit(books: Books, call: Call, payload: CoverDeposit) -> tuple[Fact, ...]:
    """Put the owner's cash before its investors' losses."""
    _move(books, call, ObjectId(payload.pool), payload.amount, "cover_deposited")
    return ()


def check_cover_withdraw(books: Books, call: Call, payload: CoverWithdraw) -> Rejection | None:
    """Why the cover stays."""
    if payload.amount == 0:
        return Rejection.AMOUNT_ZERO
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if pool.owner != call.account:
        return Rejection.POOL_NOT_YOURS
    needed = calculate_cover_needed(books, ObjectId(payload.pool))
    return Rejection.COVER_SHORT if pool.cover < payload.amount + needed else None


def apply_cover_withdraw(books: Books, call: Call, payload: CoverWithdraw) -> tuple[Fact, ...]:
    """Give cover back to the owner."""
    _move(books, call, ObjectId(payload.pool), -payload.amount, "cover_withdrawn")
    return ()


def _move(books: Books, call: Call, pool_id: ObjectId, amount: int, kind: str) -> None:
    change_pool(books, pool_id, cover=amount)
    pool = books.state.need(POOLS, pool_id)
    books.post(
        kind,
        pool.currency,
        (Posting(call.account, Book.CASH, amount), Posting(pool_id, Book.COVER, -amount)),
        (pool_id, call.account),
        {"pool": pool_id.hex(), "owner": call.account.hex(), "amount": abs(amount), "cover": pool.cover},
    )


# Whose pool it is decides, not a role: one that lends no more still takes back what nothing needs.
RULES: Rules = {
    CoverDeposit: Rule(check_cover_deposit, apply_cover_deposit),
    CoverWithdraw: Rule(check_cover_withdraw, apply_cover_withdraw, pause=Pause.POOLS),
}
