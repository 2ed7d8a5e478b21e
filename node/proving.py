"""Gathers from the store what a receipt file needs: the outcome's place, the links to a named root, a finalization,
and how the epochs before it ended.

What a receipt file proves and how is `protocol.receipt`'s. Never wait here: without a finalised header that names the
executed state there is no proof yet.
"""

from node.store.chain import ChainStore
from protocol.block import FIRST_EPOCH, Header
from protocol.certificate import Certificate
from protocol.ids import Digest, Height, TransactionId
from protocol.ledger.records import ExecLink
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from protocol.receipt import make_receipt_file


async def prove_transaction(store: ChainStore, transaction_id: TransactionId, genesis_root: Digest) -> bytes | None:
    """The receipt file of an executed transaction, or None while it is not executed or not yet provable."""
    stored = await store.find_transaction(transaction_id)
    if stored is None:
        return None
    naming = await _find_naming(store, stored.height)
    if naming is None:
        return None
    headers, finalization = naming
    named = headers[0].exec_height
    rows = await store.read_exec_rows(Height(stored.height - 1), named)
    if stored.height == 1:
        previous = genesis_root
    else:
        previous, rows = rows[0].exec_root, rows[1:]
    return make_receipt_file(
        transaction=stored.raw,
        receipts=await store.read_block_receipts(stored.height),
        index=stored.index,
        state_root=rows[0].state_root,
        previous_exec_root=previous,
        links=[ExecLink(state_root=row.state_root, receipts_root=row.receipts_root) for row in rows[1:]],
        headers=headers,
        finalization=finalization,
        epochs=await store.read_epochs(FIRST_EPOCH, headers[-1].epoch),
    )


async def _find_naming(store: ChainStore, height: Height) -> tuple[list[Header], Certificate] | None:
    """The first final header that names the state after `height` or a later one, and its line to a finalization."""
    at = Height(height + 1)
    while blocks := await store.read_blocks(at, SYNC_BLOCKS_PER_REPLY_MAX):
        for block in blocks:
            if block.header.exec_height < height:
                continue
            found = await store.read_finalization(block.header.height)
            if found is None:
                return None
            last, finalization = found
            family = await store.read_blocks(block.header.height, last - block.header.height + 1)
            return [one.header for one in family], finalization
        at = Height(at + len(blocks))
    return None
