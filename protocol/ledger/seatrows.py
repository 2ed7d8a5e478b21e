"""Rows of who validates: the seats of this epoch and of those to come, and keys that were convicted.

Canonical bytes of these rows are what the state root commits to, so fields are append-only. What changes them stands in
`seats` and `evidence`. Never a rule here.
"""

import msgspec

from protocol.ids import (
    AccountId,
    AccountIdField,
    EpochField,
    Height,
    HeightField,
    PublicKey,
    PublicKeyField,
    ViewField,
)


class Seat(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One organisation's place among the validators. Which node speaks for it stands in its member row."""

    account: AccountIdField
    validator_key: PublicKeyField


Seats = tuple[Seat, ...]
"""In ascending order of the validator keys, so that a seat's place is the index that votes name."""


class EpochRow(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """Who validates now, who did before, and who is to come. One row."""

    epoch: EpochField
    since: HeightField
    """Its first executed block; 0 for the genesis."""
    seats: Seats
    previous: Seats = ()
    """Of the epoch before: evidence against them still counts. None in the first epoch."""
    next: Seats | None = None
    """Of the epoch to come, once planned; fixed from the end of the block that planned it."""
    next_at: HeightField = Height(0)
    """Height whose execution planned `next`; 0 while nothing is planned."""
    queued: Seats | None = None
    """Of the epoch after that one: what was decided while `next` was fixed already."""
    suspects: tuple[PublicKeyField, ...] = ()
    """Keys among `seats` that were convicted: their views are skipped, and their organisations have no vote."""


class Conviction(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """A validator key that signed two things that exclude each other: it never sits again."""

    account: AccountIdField
    """Whose seat it was."""
    reporter: AccountIdField
    epoch: EpochField
    view: ViewField
    height: HeightField
    """Of the block in which the evidence was executed."""


def list_keys(seats: Seats) -> tuple[PublicKey, ...]:
    """The validator keys, ascending."""
    return tuple(PublicKey(one.validator_key) for one in seats)


def find_seat(seats: Seats, account: AccountId) -> Seat | None:
    """An organisation's seat among some."""
    return next((one for one in seats if one.account == account), None)


def sort_seats(seats: Seats) -> Seats:
    """The seats in the order in which they are counted."""
    return tuple(sorted(seats, key=lambda one: one.validator_key))
