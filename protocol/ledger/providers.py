"""Providers: banks and aggregators whose signature gives a statement the best grade. What the books say of a key.

The validators admit a provider like any member, by its role. Never a statement here.
"""

from protocol.ids import PublicKey
from protocol.ledger.books import Books
from protocol.ledger.rows import Role
from protocol.ledger.state import ACCOUNTS, KEYS


def is_provider_key(books: Books, key: PublicKey) -> bool:
    """Whether a key speaks today for a member that may sign statements: its officer's or its attester key."""
    row = books.state.get(KEYS, key)
    account = None if row is None or row.account is None else books.state.get(ACCOUNTS, row.account)
    return account is not None and bool(account.roles & Role.PROVIDER) and not account.frozen
