"""Laws of pools: cash, principal, promises, shares, budgets."""

from collections import Counter
from typing import Final

from protocol.ledger.contracts import DrawTold, OfferState
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book
from protocol.ledger.laws.common import Laws, Violations, read_book, walk_loans
from protocol.ledger.state import BUDGETS, LINES, OFFERS, POOLS, PRODUCTS, SHARES
from protocol.loans.lifecycle import LoanState
from protocol.money import PPM


def check_pool_cash(ledger: Ledger) -> Violations:
    """(18, 25) A pool's own cash and cover are what its books say."""
    found = []
    books = (
        Book.CAPITAL,
        Book.INTEREST,
        Book.FEES,
        Book.PENALTIES,
        Book.GAIN,
        Book.PRINCIPAL,
        Book.LOSS,
        Book.ASSETS,
    )
    for key, pool in ledger.books.state.items(POOLS):
        booked = -sum(read_book(ledger, key, pool, book) for book in books)
        cover = -read_book(ledger, key, pool, Book.COVER)
        if booked != pool.cash or cover != pool.cover:
            found.append(f"pool {key.hex()}: cash {pool.cash}, books {booked}; cover {pool.cover}, books {cover}")
    return found


def check_pool_principal(ledger: Ledger) -> Violations:
    """(19) A pool's principal is its part of the loans that run, in row and books; defaulted ones left it."""
    owed: Counter[bytes] = Counter()
    open_loans: Counter[bytes] = Counter()
    for _, _, loan in walk_loans(ledger):
        for one in loan.holdings:
            owed[one.pool] += one.principal * (loan.state is LoanState.ACTIVE)
            open_loans[one.pool] += loan.closed_ms is None and loan.state is not LoanState.FUNDED
    found = []
    for key, pool in ledger.books.state.items(POOLS):
        booked = read_book(ledger, key, pool, Book.PRINCIPAL)
        if not owed[key] == pool.principal == booked or open_loans[key] != pool.loans_open:
            found.append(f"pool {key.hex()}: principal {pool.principal}, loans {owed[key]}, books {booked}")
    return found


def check_holdings(ledger: Ledger) -> Violations:
    """(20) Shares of a loan sum to the whole; each partner holds its share of what is left of it, rounded down."""
    found = []
    for loan_id, _, loan in walk_loans(ledger):
        total = sum(one.principal for one in loan.holdings)
        parts = _split(total, loan.holdings[0].pool, [(one.pool, one.share_ppm) for one in loan.holdings[1:]])
        exact = all(one.principal == parts[one.pool] for one in loan.holdings)
        if sum(one.share_ppm for one in loan.holdings) != PPM or not exact:
            found.append(f"loan {loan_id.hex()}: held in parts {[one.principal for one in loan.holdings]}")
    return found


def check_claims(ledger: Ledger) -> Violations:
    """Of a defaulted loan each pool's claim is what it lost and what its cover paid; of others there is neither."""
    gone = (LoanState.DEFAULTED, LoanState.WRITTEN_OFF)
    return [
        f"loan {loan_id.hex()}: claim {one.principal}, lost {one.lost}, covered {one.covered}"
        for loan_id, _, loan in walk_loans(ledger)
        for one in loan.holdings
        if one.lost + one.covered != (one.principal if loan.state in gone else 0)
    ]


def check_haircuts(ledger: Ledger) -> Violations:
    """(22, 26) A haircut is part of its principal, a pool's is the sum of its loans', so leaving never pays more."""
    cut: Counter[bytes] = Counter()
    found = []
    for loan_id, _, loan in walk_loans(ledger):
        for one in loan.holdings:
            cut[one.pool] += one.haircut
            if not 0 <= one.haircut <= one.principal:
                found.append(f"loan {loan_id.hex()}: haircut {one.haircut} of {one.principal}")
    found += [
        f"pool {key.hex()}: haircut {pool.haircut}, loans {cut[key]}"
        for key, pool in ledger.books.state.items(POOLS)
        if pool.haircut != cut[key]
    ]
    return found


def _split(amount: int, pool: bytes, partners: list[tuple[bytes, int]]) -> dict[bytes, int]:
    """An amount by share: each partner its share of what is left, rounded down, the rest to the lead."""
    parts, left, whole = {}, amount, PPM
    for one, share in partners:
        parts[one] = left * share // whole
        left, whole = left - parts[one], whole - share
    return {pool: left, **parts}


def check_pool_reserved(ledger: Ledger) -> Violations:
    """(24) What a pool keeps ready is what it has promised.

    Refundable fees, officers' offers, loans that agents pay out, undrawn lines, and the day's cash of those who leave.
    """
    held: Counter[bytes] = Counter()
    drawn: Counter[tuple[bytes, bytes]] = Counter()
    for _, contract, loan in walk_loans(ledger):
        if isinstance(contract.disclosure.told, DrawTold):
            for one in loan.holdings:
                drawn[contract.disclosure.told.line, one.pool] += one.principal
        promised = loan.fee_held + loan.principal_out * (loan.state is LoanState.FUNDED)
        held.update(_split(promised, loan.holdings[0].pool, [(one.pool, one.share_ppm) for one in loan.holdings[1:]]))
    for _, offer in ledger.books.state.items(OFFERS):
        if offer.officer and offer.state is OfferState.POSTED:
            told = offer.disclosure
            partners = [(bytes(one.pool), int(one.share_ppm)) for one in told.partners]
            held.update(_split(told.schedule.principal, told.pool, partners))
    for key, line in ledger.books.state.items(LINES):
        if not line.closed:
            told = ledger.books.state.need(OFFERS, line.offer).disclosure
            partners = [(bytes(one.pool), int(one.share_ppm)) for one in told.partners]
            # Of each part of the limit, what is not lent on draws of the line.
            for pool_id, part in _split(line.limit, told.pool, partners).items():
                held[pool_id] += max(0, part - drawn[key, pool_id])
    for key, pool in ledger.books.state.items(POOLS):
        if pool.leaving is not None and pool.leaving.round is not None:
            held[key] += pool.leaving.round.cash_left
    return [
        f"pool {key.hex()}: {pool.reserved} reserved of {pool.cash}, {held[key]} promised"
        for key, pool in ledger.books.state.items(POOLS)
        if pool.reserved != held[key] or pool.reserved > pool.cash
    ]


def check_pool_shares(ledger: Ledger) -> Violations:
    """(21) Shares of all investors and those in escrow are the pool's shares."""
    issued: Counter[bytes] = Counter()
    for key, shares in ledger.books.state.items(SHARES):
        issued[key[:32]] += shares
    return [
        f"pool {key.hex()}: {pool.shares} shares, investors hold {issued[key]}, {pool.exiting} leave"
        for key, pool in ledger.books.state.items(POOLS)
        if issued[key] + pool.exiting != pool.shares
    ]


def check_budgets(ledger: Ledger) -> Violations:
    """(27) What a product has granted is the sum of its loans, those never paid out excepted, and within its budget."""
    granted: Counter[bytes] = Counter()
    unpaid = {contract.offer for _, contract, loan in walk_loans(ledger) if loan.state is LoanState.CANCELLED}
    for key, offer in ledger.books.state.items(OFFERS):
        if offer.state is OfferState.ACCEPTED and not offer.officer and key not in unpaid:
            granted[offer.disclosure.product] += offer.disclosure.schedule.principal
    found = []
    for key, budget in ledger.books.state.items(BUDGETS):
        limit = ledger.books.state.need(PRODUCTS, key).terms.auto_budget
        if budget.used != granted[key] or budget.used > limit:
            found.append(f"product {key.hex()}: {budget.used} used, {granted[key]} granted, budget {limit}")
    return found


LAWS: Final[Laws] = {
    "pool_cash": check_pool_cash,
    "pool_principal": check_pool_principal,
    "holdings": check_holdings,
    "claims": check_claims,
    "haircuts": check_haircuts,
    "pool_reserved": check_pool_reserved,
    "pool_shares": check_pool_shares,
    "budgets": check_budgets,
}
