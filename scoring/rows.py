"""The normalised row: what every statement becomes, and the only thing features are made from.

Ingest (any format, Unicode, dates) ends here; the verified zone (integers only) begins here. A row's canonical
bytes (`encode_row`) are what a borrower commits to, so this file is part of the protocol: never put parsing,
text or money formatting in it, and never change a number of an enum.
"""

from collections.abc import Sequence
from enum import IntEnum

import msgspec


class Category(IntEnum):
    """What a row is for. Numbers are committed bytes: append only."""

    OTHER = 0
    SALARY = 1
    BUSINESS_INCOME = 2
    TRANSFER = 3
    OWN_TRANSFER = 4
    INTEREST = 5
    REFUND = 6
    REVERSAL = 7
    LOAN_DISBURSEMENT = 8
    LOAN_REPAYMENT = 9
    HOUSEHOLD = 10
    INSURANCE = 11
    FEE = 12
    SANCTION = 13  # a bank's penalty: insufficient funds, unarranged overdraft
    CASH = 14
    TAX = 15
    GAMBLING = 16
    SHOPPING = 17


class Channel(IntEnum):
    """How the money moved. Numbers are committed bytes: append only."""

    UNKNOWN = 0
    TRANSFER = 1
    CARD = 2
    CASH = 3
    DIRECT_DEBIT = 4
    ONLINE_WALLET = 5
    BANK_CHARGE = 6


class Provenance(IntEnum):
    """How far a document can be trusted; a product's policy caps limits by grade (lower is better)."""

    PROVIDER_SIGNED = 1  # signed by the bank, or fetched by an aggregator
    BALANCE_CHAIN = 2  # a file whose every row carries a balance and whose chain closes
    FILE = 3  # a file without a balance chain
    SCAN = 4


class Row(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """One movement on one account."""

    day: int
    """Proleptic Gregorian ordinal (1 = 1 January of year 1), the account's local date."""
    seq: int
    """Position within the statement in the order in which the balance chain closes, from 0."""
    amount: int
    """Signed minor units; positive is money in."""
    balance: int | None
    """Balance after the row in minor units, or None when the document does not show it."""
    counterparty: bytes
    """16-byte keyed id of the other party; 16 zero bytes when unknown."""
    category: Category
    channel: Channel
    minute: int
    """Minute of the day, 0-1439, or -1 when unknown."""


NO_COUNTERPARTY = bytes(16)

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Row)


def encode_row(row: Row) -> bytes:
    """Canonical bytes of a row: a msgpack array of its fields in order, integers in their shortest form."""
    return _ENCODER.encode(row)


def encode_rows(rows: Sequence[Row]) -> bytes:
    """The canonical bytes of each row, one after the other: those of the list without its head."""
    head = 1 if len(rows) < 16 else 3 if len(rows) < 65_536 else 5
    return _ENCODER.encode(rows)[head:]


def are_in_range(rows: Sequence[Row]) -> bool:
    """Of decoded rows, what their types do not say: ids have 16 bytes, minutes are of a day or -1."""
    minutes = [row.minute for row in rows]
    lengths = [len(row.counterparty) for row in rows]
    return not rows or (-1 <= min(minutes) <= max(minutes) <= 1439 and min(lengths) == max(lengths) == 16)


def decode_row(raw: bytes) -> Row:
    """The row of `raw`. Raises ValueError when the bytes are not exactly what `encode_row` makes."""
    try:
        row = _DECODER.decode(raw)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a row: {error}") from error
    if _ENCODER.encode(row) != raw or len(row.counterparty) != 16 or not -1 <= row.minute <= 1439:
        raise ValueError("not a row in canonical form")
    return row
