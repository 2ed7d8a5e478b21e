"""How fast one core keeps the books: payments and acceptances per second, commitment included, signatures not.

    python -m tests.bench.bench_ledger [payments] [block size]

Each payer owes one loan of twelve weekly instalments and pays its next row on the due day, the common case; the second
figure pays ahead, which recalculates the interest of all later rows. Prints one JSON object.
"""

import json
import sys
import time

from protocol.ids import ObjectId
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import CONTRACTS, LOANS, OFFERS
from protocol.loans.terms import ExcessRule
from protocol.money import Amount
from protocol.transactions.envelope import Transaction
from protocol.transactions.lending import Accept
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import DAY_MS, World

PEOPLE = 400


def run(world: World, calls: list[Transaction], block_size: int) -> int:
    """Execute all in blocks; returns transactions per second, the commitment of each block included."""
    ledger: Ledger = world.ledger
    began = time.perf_counter()
    for start in range(0, len(calls), block_size):
        world.now_ms += 100
        ledger.begin_block(world.header())
        for call in calls[start : start + block_size]:
            receipt = ledger.execute(call, ())
            assert receipt is not None
            assert receipt.rejection is None, receipt.rejection
        ledger.end_block()
    return round(len(calls) / (time.perf_counter() - began))


def main() -> None:
    """Build books with many loans, then measure."""
    payments = int(sys.argv[1]) if len(sys.argv) > 1 else 4_000
    block_size = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000
    world = World()
    for lender in ("harbour", "jade"):
        world.found_lender(lender, cash=1_000_000_000, auto_budget=Amount(10**12), borrower_max=10**12)
    names = [f"person-{index}" for index in range(PEOPLE)]
    offers: list[ObjectId] = []
    for name in names:
        world.open_account(name)
        world.mint(name, 2_000_000)
        offers.append(world.offer(name)[0])
    state = world.ledger.books.state
    accepts = [
        world.transaction(name, Accept(offer=offer, terms_hash=state.need(OFFERS, offer).terms_hash))
        for name, offer in zip(names, offers, strict=True)
    ]
    accepts_per_s = run(world, accepts, block_size)
    loans = [world.made("loan", name) for name in names]
    first = state.need(CONTRACTS, loans[0]).disclosure.instalments[0]
    world.block(ms=(first.due_on - world.ledger.books.calculate_day(480)) * DAY_MS)
    rounds = payments // PEOPLE

    def pay(amount: int, excess: ExcessRule) -> list[Transaction]:
        return [
            world.transaction(name, Pay(loan=loan, amount=Amount(amount), excess=excess))
            for _ in range(rounds)
            for name, loan in zip(names, loans, strict=True)
        ]

    on_time = run(world, pay(first.total_due // (rounds + 1), ExcessRule.LAST), block_size)
    run(world, pay(first.total_due, ExcessRule.LAST)[:PEOPLE], block_size)
    ahead = run(world, pay(1_000, ExcessRule.LAST), block_size)
    assert find_violations(world.ledger) == {}
    assert all(state.need(LOANS, loan).principal_out > 0 for loan in loans)
    print(
        json.dumps(
            {
                "accepts_per_s": accepts_per_s,
                "pays_on_due_rows_per_s": on_time,
                "pays_ahead_per_s": ahead,
                "block_size": block_size,
                "state_rows": sum(1 for _ in world.ledger.rows()),
            }
        )
    )


if __name__ == "__main__":
    main()
