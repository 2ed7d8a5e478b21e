"""Receipts and events of a block as few rows instead of many, and where one of them stands.

    receipts, events          (height, part): up to PART of them in one row, in order
    transaction_places        era, first eight bytes of a transaction's id -> its place
    subject_places            era, first eight bytes of a subject          -> places of events about it

A row of SQLite costs more than what it holds, and a random key costs a page of disk. So eight bytes are looked up,
which are too few to be sure: a part says the whole id or subject and whoever looks compares. And an index is cut into
eras of some ten thousand rows, one after the other: new rows fall on the few pages of the last era, however long the
chain has become, and a look-up asks every era. Never decide here what is saved.
"""

from collections.abc import Iterable, Iterator, Sequence
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from node.store.blockwriter import Rows
from protocol.codec import CodecError, decode, encode
from protocol.ids import BatchDigest, Height
from protocol.ledger.records import LedgerEvent, Receipt
from protocol.transactions.envelope import Transaction

PART: Final = 16
"""Few enough that reading one costs microseconds."""
ERA_ROWS: Final = 32_768
"""About 250 pages, which a block's rows share; a chain of ten million transactions is looked up in 300 steps."""
POSITION_BITS: Final = 20
POSITION_MASK: Final = (1 << POSITION_BITS) - 1

_SHORT: Final = Struct(">q")

Executed = tuple[Transaction, Receipt, BatchDigest]


class ReceiptPart(msgspec.Struct, frozen=True, array_like=True):
    """Some executed transactions."""

    batches: tuple[BatchDigest, ...]
    """Those they came in."""
    receipts: tuple[tuple[int, bytes], ...]
    """Place among `batches`, and canonical bytes, which say the transaction's id."""


class EventRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event of the ledger."""

    kind: str
    subjects: tuple[bytes, ...]
    data: bytes
    """JSON."""


class Place(NamedTuple):
    """A position within a block."""

    height: Height
    position: int

    @property
    def part(self) -> int:
        """Number of the row that holds it."""
        return self.position // PART

    def to_number(self) -> int:
        """The order of places is the order of numbers."""
        return self.height << POSITION_BITS | min(self.position, POSITION_MASK)

    @classmethod
    def from_number(cls, number: int) -> "Place":
        """What `to_number` was of."""
        return cls(Height(number >> POSITION_BITS), number & POSITION_MASK)


class Era:
    """The era of an index that new rows fall into."""

    __slots__ = ("number", "rows")

    def __init__(self, number: int, rows: int) -> None:
        """`rows` are in era `number`, the last there is; they may fill it."""
        self.number, self.rows = (number + 1, 0) if rows >= ERA_ROWS else (number, rows)

    def take(self, places: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
        """Rows of the places of one block, all of one era; the next one begins when this is full."""
        number = self.number
        self.rows += len(places)
        if self.rows >= ERA_ROWS:
            self.number, self.rows = number + 1, 0
        return [(number, short, place) for short, place in places]


class Eras(NamedTuple):
    """Where each index has come to."""

    transactions: Era
    subjects: Era


def shorten(whole: bytes) -> int:
    """First eight bytes of an id as SQLite's integer."""
    short: int = _SHORT.unpack_from(whole)[0]
    return short


def make_receipt_tables(height: Height, executed: Sequence[Executed], era: Era) -> list[Rows]:
    """Rows of one block's receipts, which are numbered from 0 without a gap."""
    assert all(receipt.index == i for i, (_, receipt, _) in enumerate(executed)), "as they were executed"
    assert len(executed) <= POSITION_MASK, "a block is bounded"
    parts: list[tuple[Height, int, bytes]] = []
    for start in range(0, len(executed), PART):
        some = executed[start : start + PART]
        batches = {digest: i for i, digest in enumerate(dict.fromkeys([digest for _, _, digest in some]))}
        receipts = tuple([(batches[digest], encode(receipt)) for _, receipt, digest in some])
        parts.append((height, start // PART, encode(ReceiptPart(tuple(batches), receipts))))
    first = Place(height, 0).to_number()
    places = sorted([(shorten(one.id), first + receipt.index) for one, receipt, _ in executed])
    return [
        Rows("INSERT INTO receipts VALUES", parts),
        Rows("INSERT INTO transaction_places VALUES", era.take(places)),
    ]


def make_event_tables(height: Height, events: Sequence[LedgerEvent], era: Era) -> list[Rows]:
    """Rows of one block's events, which are numbered from 0 without a gap."""
    assert len(events) <= POSITION_MASK, "a block is bounded"
    rows = [EventRow(one.kind, one.subjects, msgspec.json.encode(one.data)) for one in events]
    parts = [(height, start // PART, encode(tuple(rows[start : start + PART]))) for start in range(0, len(rows), PART)]
    first = Place(height, 0).to_number()
    places = sorted({(shorten(subject), first + one.index) for one in events for subject in one.subjects})
    return [
        Rows("INSERT INTO events VALUES", parts),
        Rows("INSERT INTO subject_places VALUES", era.take(places)),
    ]


def read_receipts(parts: Iterable[bytes]) -> Iterator[tuple[BatchDigest, bytes]]:
    """Batch and canonical receipt of each, in order. Raises CodecError for bytes that were never written so."""
    for raw in parts:
        part = decode(raw, ReceiptPart)
        for batch, receipt in part.receipts:
            if batch >= len(part.batches):
                raise CodecError("a receipt of no batch")
            yield part.batches[batch], receipt


def read_events(parts: Iterable[bytes]) -> Iterator[EventRow]:
    """Each event, in order. Raises CodecError for bytes that were never written so."""
    for raw in parts:
        yield from decode(raw, tuple[EventRow, ...])
