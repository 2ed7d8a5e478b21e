"""What executing blocks leaves behind, and the rows of `ledger.sqlite` that say so.

Several blocks may be saved at once: a row of the state that more than one of them changed is written once, as the last
one left it. Never decide here what is saved, or when.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from node.store.blockwriter import Rows
from node.store.epochs import make_epoch_rows
from node.store.parts import Eras, Executed, make_event_tables, make_receipt_tables
from node.store.sidecars import make_batch_tables
from protocol.block import Block
from protocol.certificate import Certificate
from protocol.codec import encode
from protocol.ids import BatchDigest, BlockDigest
from protocol.ledger.records import Execution
from protocol.merkle import Mountains


class Outcome(NamedTuple):
    """A finalised block and what executing it came to."""

    block: Block
    digest: BlockDigest
    finalization: Certificate | None
    """Its own, when it has one."""
    mountains: Mountains
    batches: Sequence[tuple[BatchDigest, bytes]]
    """Those the block orders, with their bytes."""
    execution: Execution
    transactions: Sequence[Executed]


def make_state_rows(rows: Sequence[tuple[int, bytes, bytes]]) -> Rows:
    """Rows of the state as they are from now on, in the order of their keys: neighbours share pages."""
    return Rows(
        "INSERT INTO state VALUES",
        sorted(rows),
        "ON CONFLICT (family, key) DO UPDATE SET value = excluded.value",
    )


def make_tables(outcomes: Sequence[Outcome], eras: Eras) -> list[Rows]:
    """Everything that consecutive blocks leave behind, by table, in order."""
    state: dict[tuple[int, bytes], bytes | None] = {}
    meta: dict[str, bytes] = {}
    tables: list[Rows] = []
    for one in outcomes:
        execution = one.execution
        height = execution.height
        certificate = None if one.finalization is None else encode(one.finalization)
        roots = (execution.state_root, execution.receipts_root, execution.exec_root)
        meta["mountains"] = msgspec.msgpack.encode((one.mountains.size, one.mountains.peaks))
        if certificate is not None:
            meta["finalization"] = certificate
        for table, key, value in execution.changes:
            state[table, key] = value
        tables += [
            Rows("INSERT INTO blocks VALUES", [(height, one.digest, encode(one.block), certificate, *roots)]),
            make_epoch_rows(one.block, one.finalization, execution),
            *make_batch_tables(height, one.batches),
            *make_receipt_tables(height, one.transactions, eras.transactions),
            *make_event_tables(height, execution.events, eras.subjects),
        ]
    gone = [place for place, value in state.items() if value is None]
    kept = [(*place, value) for place, value in state.items() if value is not None]
    return [
        *tables,
        make_state_rows(kept),
        Rows("DELETE FROM state WHERE (family, key) IN (VALUES", gone, ")"),
        Rows("INSERT OR REPLACE INTO meta VALUES", list(meta.items())),
    ]
