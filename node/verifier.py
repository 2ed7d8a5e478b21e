"""Stateless checks of transactions, once per node: decoding and signatures, the node's dearest work on the processor.

    opening = verifier.open(items)         what is known already, and what must be verified; cheap
    verdicts = await verifier.finish(opening)

Inline in slices of a few milliseconds that let the loop breathe, or in worker processes where cores are many. Never
in a thread: beside a busy loop, verification in a thread drops to a quarter of its speed (consensus.md).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from node.verifypool import Signed, VerifyPool
from protocol.batch import BatchItem, calculate_transaction_id
from protocol.ids import ChainId, TransactionId
from protocol.rejections import Rejection
from protocol.transactions.envelope import (
    Opened,
    Transaction,
    check_opened,
    check_sidecars,
    judge_signatures,
    open_item,
)

SLICE_S: Final = 0.005
REMEMBERED_MAX: Final = 8_192  # from the door to the batch, and when a batch comes twice; 10 MB
ELSEWHERE_MIN: Final = 8  # fewer are verified sooner than they are handed over

Verdict = Transaction | Rejection


class Opening:
    """Items on their way through the checks: a verdict for each, or what is still to be verified."""

    __slots__ = ("ids", "items", "may_be_bare", "signatures", "verdicts", "waiting")

    def __init__(self, items: Sequence[BatchItem], ids: Sequence[TransactionId], *, may_be_bare: bool) -> None:
        self.items = items
        self.ids = ids
        self.may_be_bare = may_be_bare
        self.verdicts: list[Verdict | None] = [None] * len(items)
        self.waiting: list[tuple[int, Opened]] = []
        self.signatures = 0
        """How many would have to be verified: none of transactions that are remembered; one for garbage, which is
        refused without verifying anything, but not for nothing."""


class Verifier:
    """The one place of a node where signatures of transactions are verified."""

    def __init__(self, chain_id: ChainId, *, processes: int = 0) -> None:
        self._chain_id = chain_id
        self._verified: OrderedDict[TransactionId, Transaction] = OrderedDict()
        self._turn = asyncio.Lock()
        self.pool = VerifyPool(processes) if processes else None

    async def check(self, items: Sequence[BatchItem]) -> list[Verdict]:
        """The transaction of each item, or why it can never be valid, in order."""
        return await self.finish(self.open(items))

    def open(
        self, items: Sequence[BatchItem], ids: Sequence[TransactionId] | None = None, *, may_be_bare: bool = False
    ) -> Opening:
        """Decode what is not remembered; `ids` are the items' own, when the caller knows them already.

        `may_be_bare` lets sidecars be erased: of what is final alone.
        """
        if ids is None:
            ids = [calculate_transaction_id(item.transaction) for item in items]
        opening = Opening(items, ids, may_be_bare=may_be_bare)
        for i, item in enumerate(items):
            known = self._verified.get(ids[i])
            if known is not None:
                # The id does not cover sidecars.
                opening.verdicts[i] = check_sidecars(known, item, may_be_bare=may_be_bare) or known
                continue
            opened = open_item(item, self._chain_id, ids[i])
            if isinstance(opened, Rejection):
                opening.verdicts[i] = opened
                opening.signatures += 1
            else:
                opening.waiting.append((i, opened))
                opening.signatures += 1 + len(opened.transaction.cosigners)
        return opening

    async def finish(self, opening: Opening) -> list[Verdict]:
        """Verify what waits; the verdict on every item, in order."""
        if opening.waiting and not await self._check_elsewhere(opening):
            await self._check_here(opening)
        return [verdict for verdict in opening.verdicts if verdict is not None]

    def _settle(self, opening: Opening, i: int, opened: Opened, refused: Rejection | None) -> None:
        if refused is None:
            refused = check_sidecars(opened.transaction, opening.items[i], may_be_bare=opening.may_be_bare)
        if refused is not None:
            opening.verdicts[i] = refused
            return
        opening.verdicts[i] = transaction = opened.transaction
        self._verified[transaction.id] = transaction
        if len(self._verified) > REMEMBERED_MAX:
            self._verified.popitem(last=False)

    async def _check_here(self, opening: Opening) -> None:
        waiting, at = opening.waiting, 0
        while at < len(waiting):
            async with self._turn:  # one slice per turn of the loop, however many batches are being verified
                until_s = time.monotonic() + SLICE_S
                while at < len(waiting) and time.monotonic() < until_s:
                    i, opened = waiting[at]
                    self._settle(opening, i, opened, check_opened(opened))
                    at += 1
                if at < len(waiting):
                    await asyncio.sleep(0)

    async def _check_elsewhere(self, opening: Opening) -> bool:
        """Whether worker processes have verified everything; when not, nothing was."""
        if self.pool is None or len(opening.waiting) <= ELSEWHERE_MIN:
            return False
        jobs: list[Signed] = [one for _, opened in opening.waiting for one in opened.list_signed()]
        answers = await self.pool.verify(jobs)
        if answers is None:
            return False
        verdicts = iter(answers)
        for i, opened in opening.waiting:
            own = [next(verdicts) == 1 for _ in range(1 + len(opened.signed.cosignatures))]
            self._settle(opening, i, opened, judge_signatures(opened, own))
        return True

    async def close(self) -> None:
        """End the worker processes."""
        if self.pool is not None:
            await self.pool.close()
