"""How long after an application is final its attestation is submitted: one lender's attester over the real books.

    ./dev bench attest [--rows 566] [--count 20]

Only consensus and the wire are left out: ledger, store, vault, access log and the appraisal's thread are the real ones.
The time runs from the saved block to the moment the attester hands its attestation to the node. Times are the wall's,
on one machine; the goal is 200 ms. On a busy machine the clock counts others' work too: processor time is what the
attester costs.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import msgspec

from node.api.ports import Submission
from node.client.borrower import Prepared
from protocol.batch import BatchItem
from protocol.codec import encode
from protocol.transactions.envelope import Transaction, decode_transaction
from protocol.transactions.lending import Apply, Attest
from scoring.rows import Row
from tests.node.api.harness import DevNode
from tests.node.api.lending import apply_for, attesting, make_wish, read_sample

GOAL_MS = 200


def stretch(prepared: Prepared, rows: int) -> Prepared:
    """The sample with about as many rows as asked for: after each row small pairs that cancel out."""
    plain = prepared.plain
    pairs = max(0, rows - len(plain.rows)) // 2 // len(plain.rows)
    made: list[Row] = []
    for row in plain.rows:
        assert row.balance is not None
        less = row.balance - 1
        made.append(msgspec.structs.replace(row, seq=len(made)))
        for _ in range(pairs):
            made.append(msgspec.structs.replace(row, seq=len(made), amount=-1, balance=less))
            made.append(msgspec.structs.replace(row, seq=len(made), amount=1, balance=row.balance))
    return prepared._replace(plain=msgspec.structs.replace(plain, rows=tuple(made)))


async def measure(rows: int, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds from final to submitted, one per application, by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        node = await DevNode.open(Path(folder))
        await node.open_market()
        prepared = stretch(read_sample(), rows)
        found: list[float] = []
        spent: list[float] = []
        final_s = final_cpu_s = 0.0
        submit = node.submit

        async def watch(items: list[BatchItem]) -> list[Submission]:
            nonlocal final_s, final_cpu_s
            decoded = decode_transaction(items[-1].transaction)
            kind = type(decoded.body.payload) if isinstance(decoded, Transaction) else None
            if kind is Attest:
                found.append((time.perf_counter() - final_s) * 1_000)
                spent.append((time.process_time() - final_cpu_s) * 1_000)
            answers = await submit(items)
            if kind is Apply:
                final_s, final_cpu_s = time.perf_counter(), time.process_time()
            return answers

        node.submit = watch  # type: ignore[method-assign, assignment]
        for number in range(count):
            wallet = await node.open_borrower(f"person-{number}")
            application = apply_for(node, wallet, prepared, make_wish(), "harbour")
            await node.vault.put(encode(application.sealed.envelope))
            async with attesting(node, "harbour"):
                await asyncio.sleep(0.05)
                await node.do(*application.intents)
                while len(found) <= number:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)
                await asyncio.sleep(0.05)
        await node.close()
        return found, spent


def main() -> None:
    """Print the distribution."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=566)
    parser.add_argument("--count", type=int, default=20)
    given = parser.parse_args()
    found, spent = map(sorted, asyncio.run(measure(given.rows, given.count)))
    middle, late = found[len(found) // 2], found[min(len(found) - 1, len(found) * 95 // 100)]
    print(f"about {given.rows} rows, {len(found)} applications, goal {GOAL_MS} ms from final to submitted")
    print(f"median {middle:.0f} ms, 95 % {late:.0f} ms, longest {found[-1]:.0f} ms")
    print(f"processor time: median {spent[len(spent) // 2]:.0f} ms")


if __name__ == "__main__":
    main()
