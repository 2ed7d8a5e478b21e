"""Whose loan it is: the pools that hold shares of a loan, and how money is split between them.

The lead stands first. A whole is split along the partners: each has its share of what those before it left, rounded
down, and the lead the rest. So a part never grows when the whole shrinks by a unit: with shares of the whole, rounded
down each for itself, one unit that comes back could be two partners' at once. Principal held is always the split of
what is out, and income the difference of two splits of all that came, so it does not matter in how many parts it comes.
Never a payment's rule.
"""

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Disclosure, Holding, Loan
from protocol.ledger.state import POOLS, replace
from protocol.money import PPM, Amount, Ppm, divide_floor

Holdings = tuple[Holding, ...]


def make_holdings(disclosure: Disclosure, principal: int) -> Holdings:
    """The holdings of a new loan: the lead, then the partners."""
    lead_ppm = Ppm(PPM - sum(one.share_ppm for one in disclosure.partners))
    owners = ((disclosure.pool, lead_ppm), *((one.pool, one.share_ppm) for one in disclosure.partners))
    holdings = tuple(Holding(pool=pool, share_ppm=share, principal=Amount(0)) for pool, share in owners)
    parts = split_whole(holdings, principal)
    return tuple(replace(one, principal=Amount(part)) for one, part in zip(holdings, parts, strict=True))


def split_whole(holdings: Holdings, whole: int) -> tuple[int, ...]:
    """A whole by the shares, lead first: each partner its share of what those before it left, rounded down."""
    parts, left, left_ppm = [], whole, PPM
    for one in holdings[1:]:
        part = divide_floor(left * one.share_ppm, left_ppm)
        parts.append(part)
        left -= part
        left_ppm -= one.share_ppm
    return (left, *parts)


def split_income(holdings: Holdings, amount: int, before: int = 0) -> tuple[int, ...]:
    """What each pool gets of an amount that comes after `before` of the same kind: dust adds up as one sum would."""
    gone, all_ = split_whole(holdings, before), split_whole(holdings, before + amount)
    return tuple(after - already for after, already in zip(all_, gone, strict=True))


def split_principal(holdings: Holdings, amount: int) -> tuple[int, ...]:
    """What each pool gets of principal that comes back or is given up: all are brought to their part of what stays."""
    stays = sum(one.principal for one in holdings) - amount
    assert stays >= 0, "no more than is held comes back"
    parts = tuple(one.principal - part for one, part in zip(holdings, split_whole(holdings, stays), strict=True))
    assert min(parts) >= 0, "holdings are the split of what is out"
    return parts


def take_principal(holdings: Holdings, parts: tuple[int, ...]) -> Holdings:
    """The holdings less what came back, pool by pool."""
    return tuple(
        replace(one, principal=Amount(one.principal - part)) for one, part in zip(holdings, parts, strict=True)
    )


def change_pool(books: Books, pool: ObjectId, **deltas: int) -> None:
    """Add to figures of a pool's row (cash, principal, reserved, cover, haircut, assets, lent, loans_open, ...)."""
    row = books.state.need(POOLS, pool)
    changed = {name: getattr(row, name) + delta for name, delta in deltas.items() if delta}
    if changed:
        books.state.put(POOLS, pool, replace(row, **changed))


def get_owner(books: Books, pool: ObjectId) -> AccountId:
    """The lender organisation that owns a pool."""
    return AccountId(books.state.need(POOLS, pool).owner)


def get_lender(books: Books, loan: Loan) -> AccountId:
    """Who services the loan and acts for all who hold it: owner of the lead's pool, whoever made the loan."""
    return get_owner(books, ObjectId(loan.holdings[0].pool))


def find_holders(books: Books, loan: Loan) -> tuple[AccountId, ...]:
    """Lenders that hold a part, each once, the lead first."""
    return tuple(dict.fromkeys(get_owner(books, ObjectId(one.pool)) for one in loan.holdings))
