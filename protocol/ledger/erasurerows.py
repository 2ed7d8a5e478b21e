"""Rows of ordered erasures, apart from the others of `rows`. Fields are append-only. Never a rule here."""

import msgspec

from protocol.ids import AccountIdField, CountField, ObjectIdField, TimeMsField


class Erased(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One member's word that its node has erased data."""

    account: AccountIdField
    time_ms: TimeMsField
    documents: CountField
    sidecars: CountField


class Erasure(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """An order to erase data, and what has come of it."""

    owner: AccountIdField
    ordered_ms: TimeMsField
    successor: ObjectIdField | None = None
    """Corrected data in its place."""
    due_ms: TimeMsField | None = None
    """When it fell due; None while something still rests on the data."""
    wake_ms: TimeMsField | None = None
    """When it is looked at again: the end of what it waits for, or of the time for receipts."""
    holders: tuple[AccountIdField, ...] = ()
    """Each owes a receipt: members whose node signed by itself as it fell due, and whoever was ever granted it."""
    receipts: tuple[Erased, ...] = ()
    overdue: bool = False
    """The time for receipts is over, and some were missing."""
