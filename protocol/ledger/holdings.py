"""Whose loan it is: the pools that hold shares of a loan, and how money is split between them.

The lead stands first. Income is split by share, rounded down for the partners, and the lead has the rest. Principal
follows the shares exactly: a partner's part is always its share of what is out, rounded down. Never a payment's rule.
"""

from protocol.ids import AccountId, ObjectId
from protocol.ledger.books import Books
from protocol.ledger.contracts import Disclosure, Holding, Loan
from protocol.ledger.state import POOLS, replace
from protocol.money import PPM, Amount, Ppm, share_floor

Holdings = tuple[Holding, ...]


def make_holdings(disclosure: Disclosure, principal: int) -> Holdings:
    """The holdings of a new loan: the lead, then the partners."""
    partners = tuple(
        Holding(pool=one.pool, share_ppm=one.share_ppm, principal=Amount(share_floor(principal, one.share_ppm)))
        for one in disclosure.partners
    )
    lead = Holding(
        pool=disclosure.pool,
        share_ppm=Ppm(PPM - sum(one.share_ppm for one in partners)),
        principal=Amount(principal - sum(one.principal for one in partners)),
    )
    return (lead, *partners)


def split_income(holdings: Holdings, amount: int) -> tuple[int, ...]:
    """What each pool gets of an amount, by share: partners rounded down, the rest to the lead."""
    parts = [share_floor(amount, one.share_ppm) for one in holdings[1:]]
    return (amount - sum(parts), *parts)


def split_principal(holdings: Holdings, amount: int) -> tuple[int, ...]:
    """What each pool gets of principal that comes back or is given up; never more than it holds.

    Partners are brought to their share of what stays, rounded down, so it does not matter in how many parts it comes.
    """
    stays = sum(one.principal for one in holdings) - amount
    assert stays >= 0, "no more than is held comes back"
    parts, left = [], amount
    for one in holdings[1:]:
        part = min(left, max(0, one.principal - share_floor(stays, one.share_ppm)))
        parts.append(part)
        left -= part
    assert left <= holdings[0].principal, "the lead holds the rest"
    return (left, *parts)


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
