"""The only place of the API that looks into the ledger's tables: typed lookups, names of members, currency exponents.

Read between two blocks and never across an await. Never change a row here.
"""

from collections.abc import Iterator
from typing import TypeVar

from node.api.ports import NodePort
from protocol.ids import AccountId, ObjectId, PublicKey
from protocol.ledger.rows import Data
from protocol.ledger.state import DATA, KEYS, Table

R = TypeVar("R")


def find_row(node: NodePort, table: Table[R], key: bytes) -> R | None:
    """The row of a key, or None."""
    return node.ledger.books.state.get(table, key)


def list_rows(node: NodePort, table: Table[R]) -> Iterator[tuple[bytes, R]]:
    """All rows of a table in the order of their keys."""
    return node.ledger.books.state.items(table)


def find_account(node: NodePort, key: PublicKey) -> AccountId | None:
    """The account a signing key speaks for; node and validator keys speak for their member."""
    row = find_row(node, KEYS, key)
    if row is not None and row.account is not None:
        return AccountId(row.account)
    for member in node.genesis.members:
        if key in (member.node_key, member.validator_key):
            return member.account
    return None


def find_data(node: NodePort, data: ObjectId) -> Data | None:
    """A data anchor."""
    return find_row(node, DATA, data)


def find_name(node: NodePort, account: bytes) -> str | None:
    """The member behind an account; None for borrowers, who have no name here."""
    return next((one.name for one in node.genesis.members if one.account == account), None)


def find_exponent(node: NodePort, currency: str) -> int:
    """Decimal digits of a currency of this network."""
    return next(one.exponent for one in node.genesis.currencies if one.code == currency)


def may_see_exposure(node: NodePort, key: PublicKey) -> bool:
    """Whether a key belongs to a member that validates or observes."""
    for member in node.genesis.members:
        if key in (member.officer_key, member.attester_key, member.node_key, member.validator_key):
            return member.validator_key is not None or member.observer
    return False
