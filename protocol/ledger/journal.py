"""Money in double entry: every movement is an entry of postings that sum to zero in one currency.

Debits are positive. The network's books stand between agents, who hold fiat, and those whose money it is:

    FIAT (agents)  =  CASH + ESCROW + DEPOSIT (holders)  +  COVER  +  pools' cash
    pool's cash    =  CAPITAL + INTEREST + FEES + PENALTIES + GAIN - PRINCIPAL - LOSS - ASSETS

Balances live in the state; entries go to the block's events. Never decide here whether a movement is allowed.
"""

from enum import IntEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from protocol.ids import AccountId, ObjectId
from protocol.ledger.state import BALANCES, State
from protocol.money import Amount, Currency


class Book(IntEnum):
    """Accounts of the chart. Numbers are part of keys: append only."""

    FIAT = 1
    """Debit: money an agent holds outside for all holders; its token liability."""
    CASH = 2
    """Credit: a holder's money."""
    ESCROW = 3
    """Credit: a holder's money waiting to be paid out."""
    CAPITAL = 4
    """Credit: what investors paid into a pool."""
    PRINCIPAL = 5
    """Debit: what borrowers owe a pool."""
    INTEREST = 6
    """Credit: interest a pool has received."""
    FEES = 7
    """Credit: fees a pool has received."""
    PENALTIES = 8
    """Credit: late interest and late fees a pool has received."""
    COVER = 9
    """Credit: first-loss cover a lender keeps ready for a pool."""
    LOSS = 10
    """Debit: principal a pool has lost and not recovered, and losses on goods and loans sold."""
    GAIN = 11
    """Credit: what goods and loans brought above their value in the books."""
    ASSETS = 12
    """Debit: goods a pool has taken back or seized, at the value taken."""
    DEPOSIT = 13
    """Credit: a lessee's deposit."""


DEBIT_BOOKS = (Book.FIAT, Book.PRINCIPAL, Book.LOSS, Book.ASSETS)
POOL_BOOKS = (
    Book.CAPITAL,
    Book.INTEREST,
    Book.FEES,
    Book.PENALTIES,
    Book.GAIN,
    Book.PRINCIPAL,
    Book.LOSS,
    Book.ASSETS,
)
"""Books whose balances together are a pool's cash."""


class Posting(NamedTuple):
    """One side of an entry; debits positive."""

    owner: bytes
    """Account or pool."""
    book: Book
    amount: int


class JournalEntry(NamedTuple):
    """Balanced postings of one movement in one currency."""

    currency: Currency
    postings: tuple[Posting, ...]

    def to_data(self) -> list[dict[str, Any]]:
        """JSON-able postings, debits and credits apart."""
        currency = self.currency
        return [
            {
                "owner": owner.hex(),
                "book": _NAMES[book],
                "debit": amount if amount > 0 else 0,
                "credit": -amount if amount < 0 else 0,
                "currency": currency,
            }
            for owner, book, amount in self.postings
        ]


_NAMES: Final = ("", *(book.name.lower() for book in Book))
"""By number: a member's own name is a slow property."""
assert [int(book) for book in Book] == list(range(1, len(_NAMES))), "numbered without a gap"


@lru_cache(64)
def _list_tails(currency: Currency) -> tuple[bytes, ...]:
    """By a book's number the end of its balances' keys in a currency."""
    return tuple(bytes((number,)) + currency.encode("ascii") for number in range(len(_NAMES)))


def calculate_balance_key(owner: bytes, book: Book, currency: Currency) -> bytes:
    """owner 32 | book u8 | currency 3."""
    return owner + _list_tails(currency)[book]


def read_balance(state: State, owner: bytes, book: Book, currency: Currency) -> int:
    """Balance with its natural sign: positive for a debit book in debit and for a credit book in credit."""
    balance = state.get(BALANCES, calculate_balance_key(owner, book, currency)) or 0
    return balance if book in DEBIT_BOOKS else -balance


def read_cash(state: State, account: AccountId, currency: Currency) -> Amount:
    """What an account can spend."""
    return Amount(-(state.get(BALANCES, calculate_balance_key(account, Book.CASH, currency)) or 0))


def apply_entry(state: State, currency: Currency, postings: tuple[Posting, ...]) -> JournalEntry:
    """Post an entry. It must balance; postings of zero are left out."""
    assert sum([posting.amount for posting in postings]) == 0, "an entry balances"
    kept = tuple([posting for posting in postings if posting.amount])
    tails = _list_tails(currency)
    for owner, book, amount in kept:
        key = owner + tails[book]
        state.put(BALANCES, key, (state.get(BALANCES, key) or 0) + amount)
    return JournalEntry(currency, kept)


def calculate_trial_balance(state: State) -> dict[Currency, dict[Book, int]]:
    """Sum of all balances by currency and book, debits positive; each currency's books sum to zero."""
    totals: dict[Currency, dict[Book, int]] = {}
    for key, balance in state.items(BALANCES):
        add_balance(totals, key, balance)
    return totals


def add_balance(totals: dict[Currency, dict[Book, int]], key: bytes, balance: int) -> None:
    """Add one balance to sums by currency and book."""
    _, book, currency = split_balance_key(key)
    books = totals.setdefault(currency, dict.fromkeys(Book, 0))
    books[book] += balance


def split_balance_key(key: bytes) -> tuple[ObjectId, Book, Currency]:
    """Owner, book and currency of a balance key."""
    return ObjectId(key[:32]), Book(key[32]), Currency(key[33:].decode("ascii"))
