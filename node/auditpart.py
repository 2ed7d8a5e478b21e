"""What an audit could not compute again, and why; and the audit of a database that does not begin with the genesis.

Where history was pruned, or began with a snapshot, the state to execute from is not there: nothing is executed. What is
left to check is checked (hashes, chain, proofs, every signature and every score whose bins are here) and the rest is
named, so that nobody takes such an audit for a whole one. Never call here whole what was not executed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, NamedTuple

from node.check import Check
from node.examine import open_read_only
from node.store.inspect import read_block_receipts, read_picture
from node.store.sidecars import read_whole_batch
from protocol.batch import Batch, Sidecar
from protocol.block import Block
from protocol.codec import CodecError, decode
from protocol.genesis import Genesis
from protocol.ids import ChainId, Height, ModelId, TransactionId
from protocol.ledger.books import Books
from protocol.ledger.execute import Ledger, LedgerError
from protocol.ledger.records import Assessed, Receipt
from protocol.ledger.state import ERASURES
from protocol.money import Ppm
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_stateless, is_bare
from protocol.transactions.lending import Apply, Attest

WHY: Final[dict[str, str]] = {
    "erasure_ordered": "erased by its owner's order; the score is that of the receipt, which a quorum's root binds",
    "retention": "bins older than the policy keeps them; the score is that of the receipt, which a quorum's root binds",
    "unexplained": "bins are gone, and neither an order nor their age says why; the score is that of the receipt",
    "history_pruned": "this node forgot this history and keeps its headers: there is no state to execute from",
    "begun_from_snapshot": "this node began with a snapshot: the history before it was never here",
    "executed_nowhere": "here, and compared by hashes, but not executed again: the state before it is not here",
}
LAWFUL: Final = frozenset({"erasure_ordered", "retention"})
"""What is missing by the rules of the network, in a history that is otherwise whole."""


class Gap(NamedTuple):
    """Something that was not computed again."""

    what: Literal["blocks", "score"]
    height_from: int
    height_to: int
    why: str
    """A code of WHY."""
    transaction: str = ""
    """Of a score: the application's transaction, hex."""


class Bare(NamedTuple):
    """An application whose bins are not there."""

    height: Height
    time_ms: int
    id: TransactionId
    data: tuple[bytes, ...]


class Part(NamedTuple):
    """What was checked of a history that does not begin with the genesis."""

    height: Height
    exec_root: bytes
    epoch: int
    counts: dict[str, int]
    gaps: tuple[Gap, ...]
    fault: tuple[int, str, str] | None
    """Height, code of the audit, detail."""


class PartError(Exception):
    """Something does not hold."""

    def __init__(self, height: int, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.found = (height, code, detail)


def explain_bare(books: Books, bare: Bare) -> Gap:
    """Why the bins of an application are gone, by what the books say now."""
    state, policy = books.state, books.policy
    orders = [state.get(ERASURES, one) for one in bare.data]
    days = max(policy.sidecar_days, policy.application_days)
    if any(one is not None and one.due_ms is not None for one in orders):
        why = "erasure_ordered"
    elif bare.time_ms < books.now_ms - days * books.genesis.day_ms:
        why = "retention"
    else:
        why = "unexplained"
    return Gap("score", bare.height, bare.height, why, bare.id.hex())


def find_beginning(connection: sqlite3.Connection) -> tuple[Height, str]:
    """Up to where history is not here, and why: who prunes keeps all headers, a snapshot brings the last few."""
    row = connection.execute("SELECT value FROM meta WHERE key = 'base'").fetchone()
    base = Height(0 if row is None else int(row[0]))
    (first,) = connection.execute("SELECT COALESCE(MIN(height), 1) FROM blocks").fetchone()
    return base, "history_pruned" if first == 1 else "begun_from_snapshot"


def audit_part(genesis: Genesis, path: Path) -> Part:
    """Check what is left to check. Raises sqlite3.Error."""
    counts = dict.fromkeys(("transactions", "refused", "signatures", "applications", "erased", "attestations"), 0)
    with closing(open_read_only(path)) as connection:
        base, why = find_beginning(connection)
    report = Check(genesis, path).run()
    last = Height(report.height)
    gaps = [Gap("blocks", 1, base, why)]
    if last > base:
        gaps.append(Gap("blocks", base + 1, last, "executed_nowhere"))
    if report.faults:
        worst = report.faults[0]
        found = (worst.height_from, "part_damaged", " ".join(filter(None, (worst.sentence, worst.detail))))
        return Part(last, b"", 0, counts, tuple(gaps), found)
    picture = read_picture(path)
    assert picture is not None, "a database with a base has blocks"
    try:
        ledger = Ledger.from_rows(genesis, picture.rows, height=picture.height, exec_root=picture.exec_root)
    except LedgerError as error:
        return Part(last, b"", 0, counts, tuple(gaps), (last, "books_differ", str(error)))
    fault = None
    with closing(open_read_only(path)) as connection:
        try:
            gaps += [explain_bare(ledger.books, one) for one in _check_blocks(connection, ledger, base, counts)]
        except PartError as error:
            fault = error.found
    return Part(picture.height, picture.exec_root, ledger.epoch_row.epoch, counts, tuple(gaps), fault)


def _check_blocks(
    connection: sqlite3.Connection, ledger: Ledger, base: Height, counts: dict[str, int]
) -> Iterator[Bare]:
    """Every signature, and every score whose bins are here; yields the applications whose bins are not."""
    chain_id = ledger.books.genesis.calculate_chain_id()
    rows = connection.execute(
        "SELECT height, block FROM blocks WHERE height > ? AND height <= ? ORDER BY height", (base, ledger.height)
    )
    for height, raw in rows:
        block = decode(raw, Block)  # checked before
        receipts = {
            one.transaction_id: one
            for one in (decode(each, Receipt) for each in read_block_receipts(connection, Height(height)))
        }
        for reference in block.batches:
            for transaction, sidecars in _read_items(connection, height, reference.digest, chain_id):
                receipt = receipts.get(transaction.id)
                if receipt is None:
                    continue  # passed over: it stood in a block before
                _count(counts, transaction, receipt)
                if is_bare(transaction, sidecars):
                    counts["erased"] += 1
                    payload = transaction.body.payload
                    assert isinstance(payload, Apply), "bare"
                    yield Bare(Height(height), block.header.time_ms, transaction.id, tuple(payload.data))
                elif sidecars and receipt.rejection is None:
                    _check_scores(ledger.books, height, sidecars, receipt)


def _read_items(
    connection: sqlite3.Connection, height: int, digest: bytes, chain_id: ChainId
) -> Iterator[tuple[Transaction, tuple[Sidecar, ...]]]:
    try:
        raw = read_whole_batch(connection, digest)
        if raw is None:
            raise PartError(height, "batch_missing", digest.hex()[:16])
        items = decode(raw, Batch).items
    except CodecError as error:
        raise PartError(height, "batch_digest", str(error)) from error
    for item in items:
        checked = check_stateless(item, chain_id, may_be_bare=True)
        if isinstance(checked, Rejection):
            raise PartError(height, "transaction_invalid", checked.code)
        yield checked, item.sidecars


def _count(counts: dict[str, int], transaction: Transaction, receipt: Receipt) -> None:
    counts["transactions"] += 1
    counts["signatures"] += 1 + len(transaction.cosigners)
    payload = transaction.body.payload
    if receipt.rejection is not None:
        counts["refused"] += 1
    elif isinstance(payload, Apply | Attest):
        counts["applications" if isinstance(payload, Apply) else "attestations"] += 1


def _check_scores(books: Books, height: int, sidecars: tuple[Sidecar, ...], receipt: Receipt) -> None:
    """The points of an accepted application follow from its bins by the models of the books, which never lose one."""
    found = []
    for sidecar in sidecars:
        model = books.models.get(ModelId(sidecar.model))
        if model is None:
            raise PartError(height, "score_differs", "a model that the books do not know")
        result = model.assess(sidecar.bins)
        found.append(
            Assessed(
                model=sidecar.model,
                points=result.points,
                pd_ppm=Ppm(result.pd_ppm),
                band=result.band,
                reasons=result.reasons,
            )
        )
    if found != [fact for fact in receipt.outcome if isinstance(fact, Assessed)]:
        raise PartError(height, "score_differs", receipt.transaction_id.hex()[:16])
