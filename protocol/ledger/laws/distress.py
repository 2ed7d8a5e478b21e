"""Laws of loans in trouble and of leaving: grounds of defaults, losses by day, exits in escrow."""

from collections import Counter
from typing import Final

from protocol.ledger.contracts import Contract, Loan
from protocol.ledger.execute import Ledger
from protocol.ledger.journal import Book
from protocol.ledger.laws.common import Laws, Violations, read_book, walk_loans
from protocol.ledger.rows import Exit, Pool
from protocol.ledger.state import ACCOUNTS, EXITS, LEAVERS, LOSSES, POOLS
from protocol.loans.lifecycle import CLAIMED, LoanState
from protocol.transactions.accounts import AccountKind


def check_defaults(ledger: Ledger) -> Violations:
    """(34) A default rests on enough days past due, or on an organisation's word and evidence; a claim has its day."""
    found = []
    for loan_id, contract, loan in walk_loans(ledger):
        if loan.state in CLAIMED and loan.defaulted_on is None:
            found.append(f"loan {loan_id.hex()}: {loan.state.name.lower()} on no day")
        if loan.defaulted_on is not None and not _is_grounded(ledger, contract, loan):
            found.append(f"loan {loan_id.hex()}: defaulted on {loan.default_ground}")
    return found


def _is_grounded(ledger: Ledger, contract: Contract, loan: Loan) -> bool:
    ground = loan.default_ground
    if ground is None or ground.days_past_due > loan.days_past_due_max or ground.principal_paid > loan.paid[0]:
        return False
    if ground.arbiter is None:
        return ground.days_past_due >= contract.disclosure.default_days and ground.evidence is None
    account = ledger.books.state.get(ACCOUNTS, ground.arbiter)
    return ground.evidence is not None and account is not None and account.kind is AccountKind.ORGANISATION


def check_losses(ledger: Ledger) -> Violations:
    """What pools have lost, day by day, is in their books, claims by day of default; what may return is counted."""
    state = ledger.books.state
    by_day: Counter[bytes] = Counter()
    may_return: Counter[bytes] = Counter()
    for _, _, loan in walk_loans(ledger):
        for one in loan.holdings:
            if one.lost and loan.defaulted_on is not None:
                by_day[one.pool + loan.defaulted_on.to_bytes(4, "big")] += one.lost
                may_return[one.pool] += one.lost * (loan.state is LoanState.DEFAULTED)
    counted: Counter[bytes] = Counter()
    for key, lost in state.items(LOSSES):
        counted[key[:32]] += lost
    # A loss that was given up for good is nobody's claim any more.
    found = [
        f"pool {key[:32].hex()}: claims have lost {by_day[key]} of a day"
        for key in sorted(by_day)
        if by_day[key] > (state.get(LOSSES, key) or 0)
    ]
    found += ["a day on which nothing was lost" for _, lost in state.items(LOSSES) if lost <= 0]
    found += [
        f"pool {key.hex()}: {pool.lost} may return, claims {may_return[key]}; lost {booked}, by day {counted[key]}"
        for key, pool in state.items(POOLS)
        for booked in (read_book(ledger, key, pool, Book.LOSS),)
        if pool.lost != may_return[key] or booked != counted[key]
    ]
    if any(state.get(POOLS, key) is None for key in sorted(counted)):
        found.append("losses of no pool")
    return found


def check_exits(ledger: Ledger) -> Violations:
    """(5) Shares in escrow are those of open exits, one for each account, each waiting for its pool's next round."""
    state, found = ledger.books.state, []
    open_: dict[bytes, list[Exit]] = {key: [] for key, _ in state.items(POOLS)}
    leavers = 0
    for key, row in state.items(EXITS):
        if (row.shares > 0) != (row.due_ms is not None):
            found.append(f"exit {key.hex()}: {row.shares} shares wait for {row.due_ms}")
        if row.due_ms is not None:
            open_.setdefault(row.pool, []).append(row)
            leaver = state.get(LEAVERS, row.pool + row.account)
            leavers += leaver is not None and leaver.exit == key
    if not leavers == state.count(LEAVERS) == sum(len(rows) for rows in open_.values()):
        found.append(f"{state.count(LEAVERS)} leavers, {leavers} of open exits")
    found += [
        f"pool {key.hex()}: {pool.exiting} shares leave, {pool.leaving}"
        for key, pool in state.items(POOLS)
        if not _is_leaving(pool, open_[key])
    ]
    return found


def _is_leaving(pool: Pool, rows: list[Exit]) -> bool:
    """Whether a pool's figures are those of its open exits."""
    leaving = pool.leaving
    if leaving is None or not rows:
        return leaving is None and not rows and pool.exiting == 0
    running = leaving.round
    waiting = sum(row.shares for row in rows if row.due_ms == leaving.next_ms)
    served_now = sum(row.shares for row in rows if running is not None and row.due_ms == running.due_ms)
    if running is None:
        return waiting == leaving.shares == pool.exiting
    bounded = running.shares_left <= running.shares and 0 <= running.cash_left <= running.pay
    return (
        (waiting, served_now) == (leaving.shares, running.shares_left)
        and waiting + served_now == pool.exiting
        and running.due_ms < leaving.next_ms
        and running.shares_left > 0
        and bounded
    )


LAWS: Final[Laws] = {
    "defaults": check_defaults,
    "losses": check_losses,
    "exits": check_exits,
}
