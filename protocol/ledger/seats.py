"""Seats of validators: which are planned, when they begin, and the vote that follows from one.

    decided -> next      the plan of the epoch to come; other decisions of the same block still join it
            '> queued    what is decided once `next` is fixed: the epoch after that one
    the first executed block of a new epoch: next -> seats, queued -> next, and Role.VALIDATOR follows

Consensus ends an epoch some blocks after the header that announces `next`; when that is, is its business. Who may be
seated is decided by votes (`actions`) or by evidence (`evidence`), never here.
"""

from typing import Any

from protocol.block import FIRST_EPOCH
from protocol.crypto import calculate_account_id
from protocol.ids import AccountId, Epoch, Height, PublicKey
from protocol.ledger.books import Books
from protocol.ledger.rows import Role
from protocol.ledger.seatrows import Conviction, EpochRow, Seat, Seats, list_keys, sort_seats
from protocol.ledger.state import ACCOUNTS, CONVICTIONS, EPOCH, EPOCH_KEY, MEMBERS, replace


def apply_genesis_seats(books: Books) -> None:
    """The first epoch: the genesis' validators."""
    seats = tuple(
        Seat(account=calculate_account_id(PublicKey(one.officer_key)), validator_key=one.validator_key)
        for one in books.genesis.members
        if one.validator_key is not None
    )
    books.state.put(EPOCH, EPOCH_KEY, EpochRow(epoch=FIRST_EPOCH, since=Height(0), seats=sort_seats(seats)))


def read_epoch(books: Books) -> EpochRow:
    """The one row."""
    return books.state.need(EPOCH, EPOCH_KEY)


def read_plan(row: EpochRow) -> Seats:
    """The seats that everything decided so far leads to: what another decision starts from."""
    if row.queued is not None:
        return row.queued
    return row.seats if row.next is None else row.next


def list_all_seats(row: EpochRow) -> Seats:
    """Every seat that is, was in the epoch before, or is to come."""
    return (*row.seats, *row.previous, *(row.next or ()), *(row.queued or ()))


def is_fixed(books: Books, row: EpochRow) -> bool:
    """Whether headers may already announce the plan: it was made in a block before this one."""
    return row.next is not None and row.next_at < books.height


def plan_seats(books: Books, seats: Seats) -> None:
    """Let the plan lead to these seats: with the next epoch, or with the one after it when that one is fixed."""
    row, seats = read_epoch(books), sort_seats(seats)
    if is_fixed(books, row):
        row = replace(row, queued=None if seats == row.next else seats)
    elif seats == row.seats:
        row = replace(row, next=None, next_at=Height(0))
    else:
        row = replace(row, next=seats, next_at=books.height)
    books.state.put(EPOCH, EPOCH_KEY, row)
    ahead = 1 if row.queued is None else 2
    books.emit("validators_planned", _subjects(seats), {"epoch": row.epoch + ahead, "seats": _tell(books, seats)})


def begin_epoch(books: Books) -> None:
    """The planned seats are the validators from this block on."""
    row = read_epoch(books)
    assert row.next is not None, "an epoch begins with the validators that were planned"
    began = EpochRow(
        epoch=Epoch(row.epoch + 1),
        since=books.height,
        seats=row.next,
        previous=row.seats,
        next=row.queued,
        next_at=Height(0) if row.queued is None else books.height,
        suspects=find_convicted(books, row.next),
    )
    books.state.put(EPOCH, EPOCH_KEY, began)
    follow_seats(books)
    told = {"epoch": began.epoch, "seats": _tell(books, began.seats)}
    books.emit("epoch_began", _subjects((*began.seats, *began.previous)), told)


def convict_key(books: Books, key: PublicKey, conviction: Conviction) -> None:
    """Keep for good what a key was convicted of."""
    books.state.put(CONVICTIONS, key, conviction)
    row = read_epoch(books)
    books.state.put(EPOCH, EPOCH_KEY, replace(row, suspects=find_convicted(books, row.seats)))


def find_convicted(books: Books, seats: Seats) -> tuple[PublicKey, ...]:
    """Keys among the seats that were convicted."""
    return tuple(key for key in list_keys(seats) if books.state.get(CONVICTIONS, key) is not None)


def follow_seats(books: Books) -> None:
    """Give Role.VALIDATOR to the organisations with a seat whose key was not convicted, and take it from all others."""
    row = read_epoch(books)
    voting = {one.account for one in row.seats if one.validator_key not in row.suspects}
    for key, _ in books.state.items(MEMBERS):
        account = books.state.need(ACCOUNTS, key)
        roles = account.roles | Role.VALIDATOR if key in voting else account.roles & ~Role.VALIDATOR
        if roles != account.roles:
            books.state.put(ACCOUNTS, key, replace(account, roles=int(roles)))


def _subjects(seats: Seats) -> tuple[AccountId, ...]:
    return tuple(AccountId(key) for key in sorted({one.account for one in seats}))


def _tell(books: Books, seats: Seats) -> list[dict[str, Any]]:
    return [
        {
            "account": one.account.hex(),
            "name": books.state.need(MEMBERS, one.account).name,
            "validator_key": one.validator_key.hex(),
        }
        for one in seats
    ]
