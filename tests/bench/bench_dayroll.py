"""Midnight with a million open loans: how long a block takes whose only work is what fell due by itself.

    python -m tests.bench.bench_dayroll [loans] [blocks]

Each loan has twelve weekly instalments; its copies differ by id and borrower alone. The first unpaid row was due
yesterday, so at midnight every loan becomes late: a late fee, late interest, a bucket, an event for readers. Each block
takes at most DAY_EVENTS_PER_BLOCK_MAX of them and carries the rest over. Prints one JSON object; times in ms, of the
processor (steadier where others share it) and of the wall.
"""

import gc
import json
import resource
import statistics
import sys
import time

from protocol.crypto import calculate_hash
from protocol.ids import ObjectId, TimeMs
from protocol.ledger.books import EventKind
from protocol.ledger.state import ACCOUNTS, CONTRACTS, EXPOSURES, LOANS, POOLS, replace
from protocol.limits import DAY_EVENTS_PER_BLOCK_MAX
from protocol.money import Amount
from tests.protocol.ledger.world import World


def found(count: int) -> World:
    """Books with `count` equal loans of as many borrowers, one of them really made."""
    world = World()
    world.found_lender("harbour", cash=10**12, auto_budget=Amount(10**12), borrower_max=10**12)
    assert world.open_account("ann").rejection is None
    first = world.borrow("ann", capacity30=9_000_000)
    world.pass_days(5)  # nobody may withdraw any more: what comes next is the first due date
    books = world.ledger.books
    state = books.state
    contract, loan = state.need(CONTRACTS, first), state.need(LOANS, first)
    account = state.need(ACCOUNTS, world.account("ann"))
    exposure = state.need(EXPOSURES, account.subject_tag)
    assert loan.due_ms is not None
    for index in range(1, count):
        number = index.to_bytes(8, "big")
        loan_id = ObjectId(calculate_hash("bench-loan", number))
        tag = calculate_hash("bench-tag", number)
        owner = calculate_hash("bench-account", number)
        disclosure = replace(contract.disclosure, borrower=owner)
        state.put(ACCOUNTS, owner, replace(account, subject_tag=tag))
        state.put(CONTRACTS, loan_id, replace(contract, subject_tag=tag, disclosure=disclosure))
        state.put(LOANS, loan_id, loan)
        state.put(EXPOSURES, tag, replace(exposure, account=owner, loans=(loan_id,)))
        books.schedule(loan.due_ms, EventKind.LOAN, loan_id)
        if index % 1_000 == 0:
            state.keep()
    pool = contract.disclosure.pool
    held = state.need(POOLS, pool)
    extra = {name: getattr(held, name) * count for name in ("principal", "loans_open", "haircut", "reserved")}
    state.put(POOLS, pool, replace(held, **extra))
    state.keep()
    return world


def main() -> None:
    """Found the books, let midnight come, and time the blocks."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    blocks = int(sys.argv[2]) if len(sys.argv) > 2 else 100
    began = time.perf_counter()
    world = found(count)
    ledger = world.ledger
    world.block()
    print(f"{count} loans founded in {time.perf_counter() - began:.0f} s", file=sys.stderr)
    due = ledger.next_due_ms()
    assert due is not None
    world.now_ms = TimeMs(due)
    # As a node does once its books are loaded: the collector need not walk what stays.
    gc.collect()
    gc.freeze()
    times, processor, events = [], [], 0
    for _ in range(min(blocks, -(-count // DAY_EVENTS_PER_BLOCK_MAX))):
        begun, used = time.perf_counter(), time.process_time()
        world.now_ms += 200
        ledger.begin_block(world.header())
        execution = ledger.end_block()
        times.append((time.perf_counter() - begun) * 1_000)
        processor.append((time.process_time() - used) * 1_000)
        events += len(execution.events)
    assert events > 0, "midnight has work"
    print(
        json.dumps(
            {
                "loans": count,
                "blocks": len(times),
                "due_events_per_block": DAY_EVENTS_PER_BLOCK_MAX,
                "reader_events": events,
                "block_processor_ms_median": round(statistics.median(processor)),
                "block_processor_ms_max": round(max(processor)),
                "block_ms_median": round(statistics.median(times)),
                "block_ms_p95": round(sorted(times)[len(times) * 95 // 100]),
                "block_ms_max": round(max(times)),
                "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
