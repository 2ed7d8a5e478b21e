"""Erasure: the order that data be forgotten, what it may have to wait for, and the receipts of those who held it.

The order stands at once and the data serves nothing new. It falls due when no open application, loan or line of the
owner rests on the data and the days for claims after the last loan are over. From then on each member whose node signs
by itself owes a receipt, because every node held the bins, and so does each member that was ever granted the data,
because it may hold the statement: without an attester key its officer signs. Who has not given one in time is named.
Other members with a node erase as well and may say so, by their officer. The ledger itself keeps commitments only, so
nothing of its own is erased. Never a byte of the data here.
"""

from collections.abc import Iterator

from protocol.ids import AccountId, ObjectId, TimeMs
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.erasurerows import Erased, Erasure
from protocol.ledger.records import Fact
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.state import (
    ACCOUNTS,
    APPLICATIONS,
    CONTRACTS,
    DATA,
    ERASURES,
    EXPOSURES,
    LINES,
    MEMBERS,
    OFFERS,
    replace,
)
from protocol.rejections import Rejection
from protocol.transactions.data import DataErase, ErasureReceipt


def check_usable(books: Books, data: tuple[ObjectId, ...]) -> Rejection | None:
    """Whether no erasure of the data was ordered."""
    return Rejection.DATA_ERASED if any(books.state.get(ERASURES, one) is not None for one in data) else None


def check_data_erase(books: Books, call: Call, payload: DataErase) -> Rejection | None:
    """Why the order is not taken. What it may have to wait for is no reason."""
    rows = [books.state.get(DATA, one) for one in payload.data]
    if any(row is None for row in rows):
        return Rejection.DATA_UNKNOWN
    if any(row is not None and row.owner != call.account for row in rows):
        return Rejection.DATA_NOT_YOURS
    if (refused := check_usable(books, payload.data)) is not None:
        return refused
    return (
        None
        if len(set(payload.data)) == len(payload.data) and _is_successor_fit(books, call, payload)
        else (Rejection.SUCCESSOR_UNFIT)
    )


def _is_successor_fit(books: Books, call: Call, payload: DataErase) -> bool:
    if payload.successor is None:
        return True
    row = books.state.get(DATA, payload.successor)
    known = row is not None and row.owner == call.account and payload.successor not in payload.data
    return known and check_usable(books, (payload.successor,)) is None


def apply_data_erase(books: Books, call: Call, payload: DataErase) -> tuple[Fact, ...]:
    """Keep the order; what nothing rests on is due at once."""
    for data in payload.data:
        row = Erasure(owner=call.account, ordered_ms=books.now_ms, successor=payload.successor)
        books.state.put(ERASURES, data, row)
        books.emit(
            "erasure_ordered",
            (data, call.account),
            {
                "data": data.hex(),
                "owner": call.account.hex(),
                "successor": None if payload.successor is None else payload.successor.hex(),
            },
        )
        _judge(books, data)
    return ()


def rests_on(books: Books, owner: AccountId, data: ObjectId) -> bool:
    """Whether an open application, loan or line of the owner rests on the data."""
    state = books.state
    return any(data in state.need(APPLICATIONS, one).request.data for one in _list_open(books, owner))


def _list_open(books: Books, owner: AccountId) -> Iterator[ObjectId]:
    """Applications that are open, or that open loans and lines came of."""
    account = books.state.need(ACCOUNTS, owner)
    yield from account.applications
    exposure = books.state.get(EXPOSURES, account.subject_tag)
    if exposure is not None:
        yield from (books.state.need(CONTRACTS, one).disclosure.application for one in exposure.loans)
        lines = (books.state.need(LINES, one) for one in exposure.lines)
        yield from (books.state.need(OFFERS, one.offer).disclosure.application for one in lines)


def calculate_claims_end(books: Books, data: ObjectId) -> TimeMs | None:
    """When claims from the last loan on the data end; None while no loan on it has."""
    claim_ms = books.state.need(DATA, data).claim_ms
    days = max(books.policy.claim_days, books.policy.reversal_days)
    return None if claim_ms is None else TimeMs(claim_ms + days * books.genesis.day_ms)


def _judge(books: Books, data: ObjectId) -> None:
    """Let an order fall due, or wait for what still rests on its data."""
    row = books.state.need(ERASURES, data)
    claims_ms = calculate_claims_end(books, data)
    if rests_on(books, AccountId(row.owner), data):
        books.state.put(ERASURES, data, replace(row, wake_ms=None))  # whatever ends wakes it
        return
    if claims_ms is not None and claims_ms > books.now_ms:
        _wake_at(books, data, row, claims_ms)
        return
    readers = books.state.need(DATA, data).readers
    holders = tuple(
        key
        for key, one in books.state.items(MEMBERS)
        if (one.attester_key is not None and one.node_key is not None) or key in readers
    )
    until_ms = TimeMs(books.now_ms + books.policy.erasure_days * books.genesis.day_ms)
    _wake_at(books, data, replace(row, due_ms=books.now_ms, holders=holders), until_ms)
    books.emit(
        "erasure_due",
        (data, row.owner),
        {"data": data.hex(), "owner": row.owner.hex(), "until_ms": until_ms, "holders": [one.hex() for one in holders]},
    )


def _wake_at(books: Books, data: ObjectId, row: Erasure, wake_ms: TimeMs) -> None:
    if row.wake_ms is not None:
        books.cancel(row.wake_ms, EventKind.ERASURE, data)
    books.state.put(ERASURES, data, replace(row, wake_ms=wake_ms))
    books.schedule(wake_ms, EventKind.ERASURE, data)


def free_data(books: Books, application: ObjectId, *, claim: bool) -> None:
    """An application ended, or a loan or line that came of it, which leaves claims: orders that waited look again."""
    for data in books.state.need(APPLICATIONS, application).request.data:
        if claim:
            books.state.put(DATA, data, replace(books.state.need(DATA, data), claim_ms=books.now_ms))
        row = books.state.get(ERASURES, data)
        if row is not None and row.due_ms is None:
            # Not judged here: what takes the application's place is not in the books yet.
            _wake_at(books, data, row, books.now_ms)


def on_erasure(books: Books, data: ObjectId) -> None:
    """What the order waited for is over, or its time for receipts is."""
    row = books.state.need(ERASURES, data)
    row = replace(row, wake_ms=None)
    books.state.put(ERASURES, data, row)
    if row.due_ms is None:
        _judge(books, data)
        return
    missing = list_missing(row)
    books.state.put(ERASURES, data, replace(row, overdue=True))
    books.emit(
        "erasure_overdue",
        (data, row.owner, *missing),
        {"data": data.hex(), "owner": row.owner.hex(), "missing": [one.hex() for one in missing]},
    )


def list_missing(row: Erasure) -> tuple[AccountId, ...]:
    """Holders that owe a receipt."""
    done = {one.account for one in row.receipts}
    return tuple(AccountId(one) for one in row.holders if one not in done)


def check_erasure_receipt(books: Books, call: Call, payload: ErasureReceipt) -> Rejection | None:
    """Why the receipt does not count."""
    row = books.state.get(ERASURES, payload.data)
    if row is None:
        return Rejection.ERASURE_UNKNOWN
    if row.due_ms is None:
        return Rejection.ERASURE_WAITS
    member = books.state.get(MEMBERS, call.account)
    if call.account not in row.holders and (member is None or member.node_key is None):
        return Rejection.ERASURE_NOT_YOURS
    return Rejection.ERASED_ALREADY if any(one.account == call.account for one in row.receipts) else None


def apply_erasure_receipt(books: Books, call: Call, payload: ErasureReceipt) -> tuple[Fact, ...]:
    """Keep it; with the last one the erasure is complete."""
    row = books.state.need(ERASURES, payload.data)
    given = Erased(account=call.account, time_ms=books.now_ms, documents=payload.documents, sidecars=payload.sidecars)
    row = replace(row, receipts=(*row.receipts, given))
    missing = list_missing(row)
    if not missing and row.wake_ms is not None:
        books.cancel(row.wake_ms, EventKind.ERASURE, payload.data)
        row = replace(row, wake_ms=None)
    books.state.put(ERASURES, payload.data, row)
    books.emit(
        "erasure_receipted",
        (payload.data, row.owner, call.account),
        {
            "data": payload.data.hex(),
            "owner": row.owner.hex(),
            "member": call.account.hex(),
            "documents": payload.documents,
            "sidecars": payload.sidecars,
            "missing": len(missing),
        },
    )
    return ()


RULES: Rules = {
    DataErase: Rule(check_data_erase, apply_data_erase, frozen_may=True),
    ErasureReceipt: Rule(check_erasure_receipt, apply_erasure_receipt, frozen_may=True, attester_may=True),
}
DUE: Due = {EventKind.ERASURE: on_erasure}
