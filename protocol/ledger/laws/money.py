"""Laws of money: it is conserved, entries balance, nobody is in debt to the network."""

from collections import Counter
from typing import Final

from protocol.ledger.execute import Ledger
from protocol.ledger.journal import DEBIT_BOOKS, Book, split_balance_key
from protocol.ledger.laws.common import Laws, Violations, sum_books
from protocol.ledger.state import (
    BALANCES,
    POOLS,
    REDEMPTIONS,
)
from protocol.money import AMOUNT_MAX


def check_money_conserved(ledger: Ledger) -> Violations:
    """(1) What holders, escrow, deposits, pools and their cover have is what agents hold: minted less burned."""
    sums, found = sum_books(ledger), []
    for currency in ledger.books.currencies:
        fiat = sums.get((currency, Book.FIAT), 0)
        held = -sum(sums.get((currency, book), 0) for book in (Book.CASH, Book.ESCROW, Book.DEPOSIT))
        held += sum(pool.cash + pool.cover for _, pool in ledger.books.state.items(POOLS) if pool.currency == currency)
        if fiat != held:
            found.append(f"{currency}: agents hold {fiat}, owners have {held}")
    return found


def check_books_balance(ledger: Ledger) -> Violations:
    """(2) All balances of a currency sum to zero: every entry was balanced."""
    totals: Counter[str] = Counter()
    for (currency, _), amount in sum_books(ledger).items():
        totals[currency] += amount
    return [f"{currency}: books are {amount} apart" for currency, amount in sorted(totals.items()) if amount]


def check_no_negative_balance(ledger: Ledger) -> Violations:
    """(3, 4) Nobody owes the network cash, no agent burned more than it holds, no pool is owed less than nothing."""
    found = []
    for key, amount in ledger.books.state.items(BALANCES):
        owner, book, currency = split_balance_key(key)
        natural = amount if book in DEBIT_BOOKS else -amount
        if natural < 0 and book is not Book.CAPITAL:
            found.append(f"{owner.hex()}: {book.name} is {natural} {currency}")
    for key, pool in ledger.books.state.items(POOLS):
        if min(pool.cash, pool.principal, pool.shares, pool.reserved, pool.cover, pool.assets, pool.haircut) < 0:
            found.append(f"pool {key.hex()}: a negative figure")
    return found


def check_escrow(ledger: Ledger) -> Violations:
    """(5) Escrow is the sum of open redemptions, holder by holder."""
    wanted: Counter[tuple[bytes, str]] = Counter()
    for _, redemption in ledger.books.state.items(REDEMPTIONS):
        if redemption.paid is None:
            wanted[redemption.holder, redemption.currency] += redemption.amount
    held: Counter[tuple[bytes, str]] = Counter()
    for key, amount in ledger.books.state.items(BALANCES):
        owner, book, currency = split_balance_key(key)
        if book is Book.ESCROW:
            held[owner, currency] -= amount
    keys = sorted({*wanted, *held})
    return [
        f"{one[0].hex()}: escrow {held[one]}, open redemptions {wanted[one]} {one[1]}"
        for one in keys
        if held[one] != wanted[one]
    ]


def check_amounts_bounded(ledger: Ledger) -> Violations:
    """Fiat of a currency stays within what every reader can count (2^53 - 1)."""
    return [
        f"{currency}: {amount} minted"
        for (currency, book), amount in sorted(sum_books(ledger).items())
        if book is Book.FIAT and amount > AMOUNT_MAX
    ]


LAWS: Final[Laws] = {
    "money_conserved": check_money_conserved,
    "books_balance": check_books_balance,
    "no_negative_balance": check_no_negative_balance,
    "escrow": check_escrow,
    "amounts_bounded": check_amounts_bounded,
}
