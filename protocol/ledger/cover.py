"""First-loss cover: the lender's own cash that losses fall on before its investors' (ledger 2.8)."""

from protocol.ids import ObjectId
from protocol.ledger.books import Books
from protocol.ledger.rules import Rules
from protocol.ledger.state import POOLS
from protocol.money import share_ceil


def is_cover_short(books: Books, pool_id: ObjectId, *, more: int = 0) -> bool:
    """Whether a pool's cover is below its rate of the principal lent, `more` principal included."""
    pool = books.state.need(POOLS, pool_id)
    return pool.cover < share_ceil(pool.principal + more, pool.cover_rate_ppm)


RULES: Rules = {}
