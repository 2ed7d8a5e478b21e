"""Laws of things: liens, goods that pools hold, lessees' deposits."""

from collections import Counter
from typing import Final

from protocol.ledger.contracts import LeaseTold
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book, split_balance_key
from protocol.ledger.laws.common import Laws, Violations, read_book, walk_loans
from protocol.ledger.state import ACCOUNTS, ASSETS, BALANCES, CONTRACTS, LOANS, POOLS
from protocol.transactions.accounts import AccountKind


def check_liens(ledger: Ledger) -> Violations:
    """(31) A lien is an open loan that names the thing; a pledged thing is the borrower's, and no pool holds it."""
    state, found = ledger.books.state, []
    for key, asset in state.items(ASSETS):
        if asset.lien is None:
            continue
        loan = state.get(LOANS, asset.lien)
        if loan is None or loan.closed_ms is not None:
            found.append(f"asset {key.hex()}: secures {asset.lien.hex()}, which is no open loan")
            continue
        told = state.need(CONTRACTS, asset.lien).disclosure
        leased = isinstance(told.told, LeaseTold) and told.told.asset == key
        pledged = key in told.collateral
        if not (leased or pledged) or (pledged and asset.owner != told.borrower) or asset.held or asset.retired:
            found.append(f"asset {key.hex()}: its lien does not fit")
    return found


def check_goods(ledger: Ledger) -> Violations:
    """What pools hold in goods is their assets, in row and books; an organisation holds title for them."""
    state, found = ledger.books.state, []
    values: Counter[bytes] = Counter()
    for key, asset in state.items(ASSETS):
        pools = [pool for pool, _ in asset.held]
        for pool, value in asset.held:
            values[pool] += value
        owner = state.need(ACCOUNTS, asset.owner)
        strange = any(pool not in pools for pool, _ in asset.cover_due) or (asset.advanced and not pools)
        if strange or (pools and (owner.kind is not AccountKind.ORGANISATION or len(set(pools)) != len(pools))):
            found.append(f"asset {key.hex()}: held by {len(pools)} pools in a way that cannot be")
    found += [
        f"pool {key.hex()}: goods {pool.assets}, held {values[key]}, books {booked}"
        for key, pool in state.items(POOLS)
        for booked in (read_book(ledger, key, pool, Book.ASSETS),)
        if not values[key] == pool.assets == booked
    ]
    return found


def check_deposits(ledger: Ledger) -> Violations:
    """Deposits are those of open leases, lessee by lessee, and none is larger than what was agreed."""
    wanted: Counter[tuple[bytes, str]] = Counter()
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        told = contract.disclosure.told
        agreed = told.deposit if isinstance(told, LeaseTold) and loan.closed_ms is None else 0
        wanted[contract.disclosure.borrower, contract.disclosure.currency] += loan.deposit
        if not 0 <= loan.deposit <= agreed:
            found.append(f"loan {loan_id.hex()}: deposit {loan.deposit}, agreed {agreed}")
    held: Counter[tuple[bytes, str]] = Counter()
    for key, amount in ledger.books.state.items(BALANCES):
        owner, book, currency = split_balance_key(key)
        if book is Book.DEPOSIT:
            held[owner, currency] -= amount
    found += [
        f"{one[0].hex()}: deposits {held[one]}, leases {wanted[one]} {one[1]}"
        for one in sorted({*wanted, *held})
        if held[one] != wanted[one]
    ]
    return found


LAWS: Final[Laws] = {
    "liens": check_liens,
    "goods": check_goods,
    "deposits": check_deposits,
}
