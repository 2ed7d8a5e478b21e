"""What the laws share: walks over the books with arithmetic of their own, so that a rule's fault cannot hide."""

from collections import Counter
from collections.abc import Callable, Iterator

from protocol.ids import ObjectId
from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book, split_balance_key
from protocol.ledger.rows import Pool
from protocol.ledger.state import (
    BALANCES,
    CONTRACTS,
    LOANS,
)

Violations = list[str]
Check = Callable[[Ledger], Violations]
Laws = dict[str, Check]


def walk_loans(ledger: Ledger) -> Iterator[tuple[ObjectId, Contract, Loan]]:
    state = ledger.books.state
    for key, loan in state.items(LOANS):
        yield ObjectId(key), state.need(CONTRACTS, key), loan


def sum_books(ledger: Ledger) -> dict[tuple[str, Book], int]:
    """Sum of balances by currency and book, debits positive."""
    totals: Counter[tuple[str, Book]] = Counter()
    for key, amount in ledger.books.state.items(BALANCES):
        _, book, currency = split_balance_key(key)
        totals[currency, book] += amount
    return dict(totals)


def read_book(ledger: Ledger, pool_id: bytes, pool: Pool, book: Book) -> int:
    key = pool_id + bytes((book,)) + pool.currency.encode("ascii")
    return ledger.books.state.get(BALANCES, key) or 0
