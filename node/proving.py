"""Gathers from store and books what a proof needs: a receipt's place or rows of one height, the links to a named root,
a finalization, and how the epochs before it ended.

What is proved and how is `protocol.receipt`'s and `protocol.rowproof`'s. Rows are read in one go between two blocks, so
they are all of one height; waiting for a header that names it holds nothing. Never a rule of who may read here.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from node.store.chain import ChainStore
from protocol.block import FIRST_EPOCH, Header
from protocol.certificate import Certificate
from protocol.ids import Digest, Epoch, Height, TransactionId
from protocol.ledger.execute import Ledger
from protocol.ledger.proofs import ProvedRows
from protocol.ledger.records import ExecLink
from protocol.ledger.state import Place
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from protocol.receipt import make_receipt_file
from protocol.rowproof import make_row_proof

Family = tuple[list[Header], Certificate]
"""Headers, each the child of the one before, and the finalization of the last."""


class BooksPort(Protocol):
    """What proofs of rows need from a running node."""

    @property
    def ledger(self) -> Ledger:
        """The books after the last executed block."""

    @property
    def store(self) -> ChainStore:
        """Finalised blocks."""

    async def wait_settled(self) -> None:
        """Return when the books stand between two saved blocks: they do until the caller's next await."""

    async def wait_height_beyond(self, height: Height, timeout_s: float) -> Height:
        """The saved height as soon as it passes `height`, or the present one when time is up."""


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


async def _find_naming(store: ChainStore, height: Height) -> Family | None:
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


async def prove_rows(
    port: BooksPort, places: Sequence[Place], *, height_min: Height, known: Epoch, timeout_s: float
) -> bytes | None:
    """Rows as they stand at one height, not below `height_min`, for a reader who knows the validators of epoch `known`.

    At the height that the last final header names, if the books still know what changed since; else at the present
    one, as soon as a later header names it. None when none has in time, or when this node is behind the reader.
    """
    clock = asyncio.get_running_loop()
    until_s = clock.time() + timeout_s
    waiting: ProvedRows | None = None
    while True:
        await port.wait_settled()
        tip = port.ledger.height
        taken = waiting
        if waiting is not None:
            family = await _find_naming(port.store, waiting.height)
        else:
            family = await _read_last(port.store, tip)
            await port.wait_settled()
            # A reader who knows a later epoch waits and costs nothing; no later header is of an earlier one.
            if (FIRST_EPOCH if family is None else family[0][-1].epoch) >= known:
                named = None if family is None else Height(family[0][0].exec_height)
                taken = None if named is None or named < height_min else port.ledger.prove_rows(places, named)
                if taken is None and port.ledger.height >= height_min:
                    taken = waiting = port.ledger.prove_rows(places, port.ledger.height)
                    family = None if waiting is None else await _find_naming(port.store, waiting.height)
        if taken is not None and family is not None:
            return await _finish(port.store, taken, family, known)
        if await port.wait_height_beyond(tip, max(0.0, until_s - clock.time())) <= tip:
            return None


async def _read_last(store: ChainStore, tip: Height) -> Family | None:
    """The last saved block's header with its finalization; None before the first one."""
    block, found = await store.read_block(tip), await store.read_finalization(tip)
    return None if block is None or found is None else ([block.header], found[1])


async def _finish(store: ChainStore, taken: ProvedRows, family: Family, known: Epoch) -> bytes:
    """The proof of rows that were taken at a height which the first header names, or before it."""
    headers, finalization = family
    rows = await store.read_exec_rows(Height(taken.height + 1), Height(headers[0].exec_height))
    return make_row_proof(
        proved=taken,
        links=[ExecLink(state_root=row.state_root, receipts_root=row.receipts_root) for row in rows],
        headers=headers,
        finalization=finalization,
        epochs=await store.read_epochs(known, headers[-1].epoch - known),
    )
