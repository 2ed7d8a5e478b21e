"""The only place of the API that looks into the ledger's tables: typed lookups, names of members, currency exponents.

Read between two blocks and never across an await. Never change a row here.
"""

from collections.abc import Iterator
from typing import TypeVar

from node.api.ports import NodePort
from protocol.ids import AccountId, ObjectId, PublicKey
from protocol.ledger.rows import Account, Data, Role
from protocol.ledger.state import ACCOUNTS, DATA, KEYS, MEMBERS, Table

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
    for account, member in list_rows(node, MEMBERS):
        if key == member.node_key:
            return AccountId(account)
    return next((one.account for one in node.ledger.epoch_row.seats if one.validator_key == key), None)


def find_data(node: NodePort, data: ObjectId) -> Data | None:
    """A data anchor."""
    return find_row(node, DATA, data)


def find_name(node: NodePort, account: bytes) -> str | None:
    """The member behind an account, as it is called now; None for borrowers, who have no name here."""
    row = find_row(node, MEMBERS, account)
    return None if row is None else row.name


def find_member(node: NodePort, key: PublicKey) -> str | None:
    """Name of the member that an officer, attester, validator or node key speaks for, if it holds any role today."""
    account = find_account(node, key)
    row = None if account is None else find_row(node, ACCOUNTS, account)
    return None if account is None or row is None or not row.roles else find_name(node, account)


def is_auditor(node: NodePort, account: bytes) -> bool:
    """Whether an organisation watches and neither lends nor validates, by its roles today."""
    row = find_row(node, ACCOUNTS, account)
    return row is not None and bool(row.roles & Role.OBSERVER) and not row.roles & (Role.LENDER | Role.VALIDATOR)


def list_roles(row: Account) -> list[str]:
    """Names of the roles an account holds."""
    return [str(role.name).lower() for role in Role if row.roles & role]


def find_exponent(node: NodePort, currency: str) -> int:
    """Decimal digits of a currency of this network."""
    return next(one.exponent for one in node.genesis.currencies if one.code == currency)


def may_see_exposure(node: NodePort, key: PublicKey) -> bool:
    """Whether a key speaks for a member that validates or observes today."""
    account = find_account(node, key)
    row = None if account is None else find_row(node, ACCOUNTS, account)
    return row is not None and bool(row.roles & (Role.VALIDATOR | Role.OBSERVER)) and not row.frozen
