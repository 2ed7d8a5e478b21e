"""What random borrowers do about their data: they have it erased, and members say that they did."""

from protocol.ids import ObjectId
from protocol.ledger.erasure import list_missing
from protocol.ledger.records import Receipt
from protocol.ledger.state import DATA, ERASURES
from protocol.transactions.data import DataErase, ErasureReceipt
from tests.protocol.ledger.lives.core import Actions, Lives
from tests.protocol.ledger.world import LENDERS


def order_erasure(lives: Lives) -> Receipt | None:
    """Somebody orders it, now and then with corrected data in its place."""
    state = lives.world.ledger.books.state
    data = lives.some(DATA, lambda row: True)
    if data is None:
        return None
    owner = state.need(DATA, data).owner
    others = [ObjectId(key) for key, row in state.items(DATA) if row.owner == owner and key != data]
    successor = lives.random.choice(others) if others and lives.random.random() < 0.3 else None
    return lives.do(lives.owner(owner), DataErase(data=(data,), successor=successor))


def give_receipt(lives: Lives) -> Receipt | None:
    """A member says that it erased what is due."""
    data = lives.some(ERASURES, lambda row: row.due_ms is not None and bool(list_missing(row)))
    if data is None:
        return None
    missing = list_missing(lives.world.ledger.books.state.need(ERASURES, data))
    member = lives.owner(missing[0]) if missing else "agent"
    who = f"{member}/attester" if member in LENDERS and lives.random.random() < 0.8 else member
    return lives.do(who, ErasureReceipt(data=data, documents=lives.random.randint(0, 1), sidecars=1))


ACTIONS: Actions = [
    (order_erasure, 4),
    (give_receipt, 12),
]
