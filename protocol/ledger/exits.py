"""Leaving a pool: shares wait in escrow, and all who wait share the free cash of a day alike (ledger 2.9).

    PoolExit -> escrow -> round at the next day's start: pay = min(free cash, all claims) at NAV_out, by shares asked
                            ^                  |
                            +--- what is left -+        PoolExitCancel gives the shares back

A round's figures are fixed when its first exit is served, and its cash is set aside. So each exit is an event of its
own, a block may end between two of them, and neither the order of requests nor that of service matters. One exit for
each account of a pool: the work of a day is bounded by investors, whom issuers vouch for.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, Day, ObjectId, TimeMs
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.journal import Book, Posting
from protocol.ledger.pools import VIRTUAL_ASSETS, VIRTUAL_SHARES, calculate_assets, calculate_assets_out
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Exit, ExitRound, Leaver, Leaving, Pool
from protocol.ledger.rules import Due, Pause, Rule, Rules
from protocol.ledger.state import EXITS, LEAVERS, POOLS, SHARES, replace
from protocol.money import Amount, divide_ceil, divide_floor
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolExit, PoolExitCancel

# ---------------------------------------------------------------------- request and cancel


def check_pool_exit(books: Books, call: Call, payload: PoolExit) -> Rejection | None:
    """Why the shares stay where they are. Shares worth nothing would wait for ever."""
    if payload.shares == 0:
        return Rejection.AMOUNT_ZERO
    pool = books.state.get(POOLS, payload.pool)
    if pool is None:
        return Rejection.POOL_UNKNOWN
    if payload.shares * (calculate_assets(pool) + VIRTUAL_ASSETS) < pool.shares + VIRTUAL_SHARES:
        return Rejection.AMOUNT_ZERO
    key = payload.pool + call.account
    if (books.state.get(SHARES, key) or 0) < payload.shares:
        return Rejection.SHARES_SHORT
    return None if books.state.get(LEAVERS, key) is None else Rejection.EXIT_OPEN


def apply_pool_exit(books: Books, call: Call, payload: PoolExit) -> tuple[Fact, ...]:
    """Put shares into escrow until the start of the network's next day."""
    exit_id, pool_id = calculate_object_id("exit", call.key, call.nonce), ObjectId(payload.pool)
    pool = books.state.need(POOLS, pool_id)
    leaving = pool.leaving or Leaving(next_ms=_calculate_next_ms(books))
    leaving = replace(leaving, shares=leaving.shares + payload.shares)
    _put_leaving(books, pool_id, replace(pool, exiting=pool.exiting + payload.shares), leaving)
    _add_shares(books, pool_id, call.account, -payload.shares)
    books.state.put(LEAVERS, pool_id + call.account, Leaver(exit=exit_id))
    row = Exit(
        pool=pool_id,
        account=call.account,
        shares=payload.shares,
        requested_ms=TimeMs(books.now_ms),
        due_ms=leaving.next_ms,
    )
    books.state.put(EXITS, exit_id, row)
    books.schedule(TimeMs(leaving.next_ms), EventKind.EXIT, exit_id)
    books.emit(
        "exit_requested",
        (exit_id, pool_id, call.account),
        {
            "exit": exit_id.hex(),
            "pool": pool_id.hex(),
            "investor": call.account.hex(),
            "shares": payload.shares,
            "due_ms": leaving.next_ms,
        },
    )
    return (Made(id=exit_id),)


def _calculate_next_ms(books: Books) -> TimeMs:
    return books.genesis.calculate_day_start_ms(Day(books.today + 1), 0)


def _add_shares(books: Books, pool_id: ObjectId, account: AccountId, delta: int) -> None:
    key = pool_id + account
    books.state.put(SHARES, key, (books.state.get(SHARES, key) or 0) + delta)


def check_pool_exit_cancel(books: Books, call: Call, payload: PoolExitCancel) -> Rejection | None:
    """Why there is nothing to take back."""
    row = books.state.get(EXITS, payload.exit)
    if row is None or row.account != call.account:
        return Rejection.EXIT_UNKNOWN
    return Rejection.EXIT_CLOSED if row.due_ms is None else None


def apply_pool_exit_cancel(books: Books, call: Call, payload: PoolExitCancel) -> tuple[Fact, ...]:
    """Give the rest of the shares back. Others of a running round get no more by it."""
    exit_id = ObjectId(payload.exit)
    row = books.state.need(EXITS, exit_id)
    pool_id, shares = ObjectId(row.pool), row.shares
    pool = books.state.need(POOLS, pool_id)
    assert pool.leaving is not None, "an open exit waits"
    assert row.due_ms is not None, "checked before"
    books.cancel(TimeMs(row.due_ms), EventKind.EXIT, exit_id)
    leaving, running = pool.leaving, pool.leaving.round
    if running is not None and running.due_ms == row.due_ms:
        leaving = replace(leaving, round=replace(running, shares_left=running.shares_left - shares))
    else:
        leaving = replace(leaving, shares=leaving.shares - shares)
    _put_leaving(books, pool_id, replace(pool, exiting=pool.exiting - shares), leaving)
    _add_shares(books, pool_id, call.account, shares)
    _close_exit(books, exit_id, row)
    books.emit(
        "exit_cancelled",
        (exit_id, pool_id, call.account),
        {"exit": exit_id.hex(), "pool": pool_id.hex(), "investor": call.account.hex(), "shares": shares},
    )
    return ()


def _close_exit(books: Books, exit_id: ObjectId, row: Exit) -> None:
    books.state.put(EXITS, exit_id, replace(row, shares=0, due_ms=None))
    books.state.delete(LEAVERS, row.pool + row.account)


def _put_leaving(books: Books, pool_id: ObjectId, pool: Pool, leaving: Leaving) -> None:
    """Write a pool with who waits to leave it; a round that is over lets its last units go."""
    if leaving.round is not None and leaving.round.shares_left == 0:
        pool = replace(pool, reserved=Amount(pool.reserved - leaving.round.cash_left))
        leaving = replace(leaving, round=None)
    waits = leaving.shares > 0 or leaving.round is not None
    books.state.put(POOLS, pool_id, replace(pool, leaving=leaving if waits else None))


# ---------------------------------------------------------------------- rounds


def begin_round(books: Books, pool: Pool, leaving: Leaving) -> ExitRound:
    """The round of all who wait: prices of this moment, and the free cash as far as they can claim it.

    Nobody is paid while the validators have paused pools: those who asked earlier have no better right.
    """
    assets, issued = calculate_assets_out(pool) + VIRTUAL_ASSETS, pool.shares + VIRTUAL_SHARES
    free = 0 if books.paused & Pause.POOLS else max(0, pool.cash - pool.reserved)
    pay = Amount(min(free, divide_floor(leaving.shares * assets, issued)))
    return ExitRound(
        due_ms=leaving.next_ms,
        shares=leaving.shares,
        assets=assets,
        issued=issued,
        pay=pay,
        shares_left=leaving.shares,
        cash_left=pay,
    )


def calculate_served(running: ExitRound, shares: int) -> tuple[int, int]:
    """What an exit of a round is paid, and the shares that this takes: never below the round's price.

    With cash for all, its whole claim; otherwise its part of the cash, by shares and rounded down.
    """
    if running.pay == divide_floor(running.shares * running.assets, running.issued):
        paid = divide_floor(shares * running.assets, running.issued)
        return paid, shares if paid else 0
    paid = divide_floor(running.pay * shares, running.shares)
    return paid, divide_ceil(paid * running.issued, running.assets)


def on_exit_due(books: Books, exit_id: ObjectId) -> None:
    """Serve an exit in its round; what is left of it waits for the next one."""
    row = books.state.need(EXITS, exit_id)
    pool_id = ObjectId(row.pool)
    pool = books.state.need(POOLS, pool_id)
    leaving = pool.leaving
    assert leaving is not None, "an open exit waits"
    running = leaving.round
    if running is None:
        running = begin_round(books, pool, leaving)
        pool = replace(pool, reserved=Amount(pool.reserved + running.pay))
        leaving = Leaving(next_ms=_calculate_next_ms(books))
    assert running.due_ms == row.due_ms, "a round ends before the next one begins"
    paid, burned = calculate_served(running, row.shares)
    left = row.shares - burned
    running = replace(running, shares_left=running.shares_left - row.shares, cash_left=Amount(running.cash_left - paid))
    leaving = replace(leaving, shares=leaving.shares + left, round=running)
    pool = replace(
        pool,
        cash=Amount(pool.cash - paid),
        shares=pool.shares - burned,
        exiting=pool.exiting - burned,
        reserved=Amount(pool.reserved - paid),
    )
    _put_leaving(books, pool_id, pool, leaving)
    row = replace(row, shares=left, paid=Amount(row.paid + paid), due_ms=leaving.next_ms)
    if left:
        books.state.put(EXITS, exit_id, row)
        books.schedule(TimeMs(leaving.next_ms), EventKind.EXIT, exit_id)
    else:
        _close_exit(books, exit_id, row)
    if paid:
        _post_exit(books, exit_id, row, paid=paid, burned=burned)


def _post_exit(books: Books, exit_id: ObjectId, row: Exit, *, paid: int, burned: int) -> None:
    pool = books.state.need(POOLS, row.pool)
    books.post(
        "exit_paid",
        pool.currency,
        (Posting(row.pool, Book.CAPITAL, paid), Posting(row.account, Book.CASH, -paid)),
        (exit_id, row.pool, row.account),
        {
            "exit": exit_id.hex(),
            "pool": row.pool.hex(),
            "investor": row.account.hex(),
            "amount": paid,
            "shares": burned,
            "shares_left": row.shares,
        },
    )


# Shares are the investor's own: a credential that has ended keeps nobody in.
RULES: Rules = {
    PoolExit: Rule(check_pool_exit, apply_pool_exit, pause=Pause.POOLS),
    PoolExitCancel: Rule(check_pool_exit_cancel, apply_pool_exit_cancel),
}
DUE: Due = {EventKind.EXIT: on_exit_due}
