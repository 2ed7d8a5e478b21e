"""Stateless checks of transactions, once per node: decoding and signatures, the node's dearest work on the processor.

Inline in slices of a few milliseconds that let the loop breathe, or in worker processes where cores are many. Never
in a thread: beside a busy loop, verification in a thread drops to a quarter of its speed (consensus.md).
"""

import asyncio
import multiprocessing
import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Final

from protocol.batch import BatchItem, calculate_transaction_id
from protocol.codec import CodecError, decode, encode
from protocol.ids import ChainId, TransactionId
from protocol.rejections import Rejection
from protocol.transactions.envelope import (
    SignedTransaction,
    Transaction,
    check_sidecars,
    check_stateless,
    decode_transaction,
)

SLICE_S: Final = 0.005
REMEMBERED_MAX: Final = 32_768
JOB_ITEMS_MAX: Final = 256  # one job of a worker process, about 15 ms

Verdict = Transaction | Rejection


def check_items(chain_id: ChainId, raw: Sequence[bytes]) -> list[int]:
    """A worker's job: per encoded BatchItem the number of its rejection, or 0."""
    verdicts = [check_stateless(decode(one, BatchItem), chain_id) for one in raw]
    return [int(one) if isinstance(one, Rejection) else 0 for one in verdicts]


class Verifier:
    """The one place of a node where signatures of transactions are verified."""

    def __init__(self, chain_id: ChainId, *, processes: int = 0) -> None:
        self._chain_id = chain_id
        self._verified: OrderedDict[TransactionId, Transaction] = OrderedDict()
        self._turn = asyncio.Lock()
        context = multiprocessing.get_context("spawn")  # forking a process with threads is not safe
        self._pool = ProcessPoolExecutor(processes, mp_context=context) if processes else None

    async def check(self, items: Sequence[BatchItem]) -> list[Verdict]:
        """The transaction of each item, or why it can never be valid, in order."""
        verdicts: list[Verdict | None] = [self._recall(item) for item in items]
        missing = [i for i, verdict in enumerate(verdicts) if verdict is None]
        if self._pool is not None and len(missing) > 8:
            await self._check_elsewhere(self._pool, items, missing, verdicts)
        else:
            await self._check_here(items, missing, verdicts)
        return [verdict for verdict in verdicts if verdict is not None]

    def count_signatures(self, items: Sequence[BatchItem]) -> int:
        """How many signatures `check` would have to verify: none of transactions that it remembers."""
        count = 0
        for item in items:
            if calculate_transaction_id(item.transaction) not in self._verified:
                try:
                    count += 1 + len(decode(item.transaction, SignedTransaction).cosignatures)
                except CodecError:
                    count += 1  # refused without verifying anything, but not for nothing
        return count

    def _recall(self, item: BatchItem) -> Verdict | None:
        transaction = self._verified.get(calculate_transaction_id(item.transaction))
        if transaction is None:
            return None
        return check_sidecars(transaction, item) or transaction  # the id does not cover sidecars

    def _remember(self, transaction: Transaction) -> None:
        self._verified[transaction.id] = transaction
        if len(self._verified) > REMEMBERED_MAX:
            self._verified.popitem(last=False)

    async def _check_here(
        self, items: Sequence[BatchItem], missing: Sequence[int], verdicts: list[Verdict | None]
    ) -> None:
        at = 0
        while at < len(missing):
            async with self._turn:  # one slice per turn of the loop, however many batches are being verified
                until_s = time.monotonic() + SLICE_S
                while at < len(missing) and time.monotonic() < until_s:
                    verdict = check_stateless(items[missing[at]], self._chain_id)
                    if isinstance(verdict, Transaction):
                        self._remember(verdict)
                    verdicts[missing[at]] = verdict
                    at += 1
                if at < len(missing):
                    await asyncio.sleep(0)

    async def _check_elsewhere(
        self,
        pool: ProcessPoolExecutor,
        items: Sequence[BatchItem],
        missing: Sequence[int],
        verdicts: list[Verdict | None],
    ) -> None:
        loop = asyncio.get_running_loop()
        jobs = [missing[at : at + JOB_ITEMS_MAX] for at in range(0, len(missing), JOB_ITEMS_MAX)]
        answers = await asyncio.gather(
            *(loop.run_in_executor(pool, check_items, self._chain_id, [encode(items[i]) for i in job]) for job in jobs)
        )
        for job, numbers in zip(jobs, answers, strict=True):
            for i, number in zip(job, numbers, strict=True):
                verdict = Rejection(number) if number else decode_transaction(items[i].transaction)
                if isinstance(verdict, Transaction):
                    self._remember(verdict)
                verdicts[i] = verdict

    def close(self) -> None:
        """End the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
