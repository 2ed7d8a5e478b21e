"""Has a load signed by processes of their own, at most one per core, a small load by one. They end with us."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from node.bench.accounts import People, read_now_ms
from node.bench.layout import Layout
from node.bench.plan import Kind, PlanError
from node.bench.report import Signing
from node.bench.signing import Done, Order
from node.bench.site import CURRENCY
from node.demo.network import ROOT

TIMEOUT_S: Final = 900.0
TRANSACTIONS_PER_PROCESS_MIN: Final = 10_000
"""Half a second of signing, which is what starting a process costs."""


class Spooled:
    """A signed load."""

    def __init__(self, spools: list[Path], signing: Signing, first_amount: int) -> None:
        self.spools = spools
        self.signing = signing
        self.first_amount = first_amount

    def remove(self) -> None:
        """Give the disk back."""
        for spool in self.spools:
            spool.unlink(missing_ok=True)


async def sign_load(people: People, kind: Kind, layout: Layout, directory: Path) -> Spooled:
    """Sign a whole load into one spool per lane. Raises PlanError when that fails."""
    began_s = time.perf_counter()
    lanes = people.split(layout.lanes)
    orders = [
        Order(
            chain_id=people.chain_id,
            currency=CURRENCY,
            kind=kind,
            now_ms=read_now_ms(),
            transactions=layout.transactions,
            lanes=layout.lanes,
            group=layout.group,
            lane=lane,
            first_amount=people.next_amount,
            senders=[one.make_sender() for one in senders],
            accounts=[one.wallet.account for one in people.everybody],
            spool=str(directory / f"lane-{lane}.spool"),
        )
        for lane, senders in enumerate(lanes)
    ]
    count = min(os.cpu_count() or 1, layout.lanes, -(-layout.transactions // TRANSACTIONS_PER_PROCESS_MIN))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_sign(orders[turn::count])) for turn in range(count)]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    done = [task.result() for task in tasks]
    signed = [done[lane % count].signed[lane // count] for lane in range(layout.lanes)]
    for senders, one in zip(lanes, signed, strict=True):
        people.on_signed(senders, one.transactions)
    first_amount = people.next_amount
    people.next_amount += layout.transactions
    total = sum(one.transactions for one in signed)
    assert total == layout.transactions, "every transaction is signed once"
    signing = Signing(
        seconds=round(time.perf_counter() - began_s, 2),
        processor_s=round(sum(one.processor_s for one in done), 2),
        bytes_per_transaction=round(sum(one.transaction_bytes for one in signed) / total, 1),
    )
    return Spooled([Path(order.spool) for order in orders], signing, first_amount)


async def _sign(orders: list[Order]) -> Done:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "node.bench.signing",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        start_new_session=True,  # Ctrl-C reaches the bench, which ends it
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, error = await process.communicate(msgspec.json.encode(orders))
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = error.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise PlanError("signing_failed", f"Signing the load failed: {last[0]}")
    return msgspec.json.decode(out, type=Done)
