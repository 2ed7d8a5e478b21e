"""First-loss cover: the lender's own cash that losses fall on before its investors' (ledger 2.8).

    a loss  = its rate out of cover, as far as that goes; the rest is the pool's       `bear_loss`
    needed  = rate of what is lent, promised or held in goods + what losses of the policy's last days cost investors

Whatever a pool loses, cover bears its part: a default, principal given up, goods or loans sold below their value.
Losses are kept by pool and day, of a claim by its day of default, so what still binds cover is a sum over days and no
walk over loans. A loss given up for good stays counted. What comes back is `recovery`'s; never a loan's rule here.
"""

from typing import NamedTuple

from protocol.ids import Day, ObjectId
from protocol.ledger.books import Books, Call
from protocol.ledger.holdings import change_pool
from protocol.ledger.journal import Book, Posting, read_cash
from protocol.ledger.records import Fact
from protocol.ledger.rows import Pool
from protocol.ledger.rules import Pause, Rule, Rules
from protocol.ledger.state import LOSSES, POOLS
from protocol.loans.delinquency import calculate_first_loss
from protocol.money import share_ceil
from protocol.rejections import Rejection
from protocol.transactions.pools import CoverDeposit, CoverWithdraw


def is_cover_short(books: Books, pool_id: ObjectId, *, more: int = 0) -> bool:
    """Whether a pool's cover is below its rate of all that is lent, promised and held, `more` principal included."""
    pool = books.state.need(POOLS, pool_id)
    return pool.cover < _calculate_rated(pool, more)


def _calculate_rated(pool: Pool, more: int = 0) -> int:
    """The rate's part of what is lent. Money that is promised counts as lent: it may be gone a moment later.

    Goods count as well: until they are sold nobody knows whether they bring their value.
    """
    return share_ceil(pool.principal + pool.reserved + pool.assets + more, pool.cover_rate_ppm)


# ---------------------------------------------------------------------- losses by day


def make_loss_key(pool_id: ObjectId, day: Day) -> bytes:
    """Key of what a pool has lost on a day."""
    return pool_id + day.to_bytes(4, "big")


def count_loss(books: Books, pool_id: ObjectId, day: Day, delta: int) -> None:
    """Add to what a pool has lost on a day, as much as is posted to its losses; a recovery takes away."""
    if not delta:
        return
    key = make_loss_key(pool_id, day)
    lost = (books.state.get(LOSSES, key) or 0) + delta
    assert lost >= 0, "no more comes back than was lost"
    if lost:
        books.state.put(LOSSES, key, lost)
    else:
        books.state.delete(LOSSES, key)


class Borne(NamedTuple):
    """A loss, split between a pool's cover and the pool."""

    covered: int
    lost: int
    postings: tuple[Posting, ...]
    """The loss's side of the entry; they sum to all of it."""


def bear_loss(books: Books, pool_id: ObjectId, amount: int, day: Day) -> Borne:
    """Let cover bear its rate of a loss, which becomes the pool's cash, and count the rest as the pool's of a day."""
    pool = books.state.need(POOLS, pool_id)
    covered, lost = calculate_first_loss(amount, cover_rate_ppm=pool.cover_rate_ppm, cover_available=pool.cover)
    change_pool(books, pool_id, cash=covered, cover=-covered)
    count_loss(books, pool_id, day, lost)
    return Borne(covered, lost, (Posting(pool_id, Book.LOSS, lost), Posting(pool_id, Book.COVER, covered)))


def calculate_losses_since(books: Books, pool_id: ObjectId, days: int) -> int:
    """What losses of today and so many days before have cost the pool and not given back."""
    # A contract's day can be one ahead of the network's.
    last = books.today + 1
    keys = (make_loss_key(pool_id, Day(day)) for day in range(max(0, books.today - days), last + 1))
    return sum(books.state.get(LOSSES, key) or 0 for key in keys)


def calculate_cover_needed(books: Books, pool_id: ObjectId) -> int:
    """What must stay when cover is taken out."""
    rated = _calculate_rated(books.state.need(POOLS, pool_id))
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
