"""Let random lives run and say what came of them.

    python -m tests.protocol.ledger.lives [seed] [steps] [laws every N steps; 0 never]

Prints one JSON object: steps, transactions, the exec_root, how often each type succeeded and each refusal came.
"""

import json
import sys
import time
from typing import Any

from protocol.ledger.invariants import find_violations
from tests.protocol.ledger.lives.everything import make_lives


def main() -> None:
    """Run, and stop at the first broken law with the seed and step that repeat it."""
    seed, steps, every = (int(one) for one in (*sys.argv[1:], *("0", "1000", "1")[len(sys.argv) - 1 :]))
    lives = make_lives(seed)
    began = time.perf_counter()
    for step in range(steps):
        lives.step()
        if every and step % every == 0:
            broken = find_violations(lives.world.ledger)
            assert broken == {}, f"seed {seed}, step {step}: {broken}"
    told: dict[str, dict[str, Any]] = {}
    for (kind, outcome), count in sorted(lives.tally.items()):
        told.setdefault(kind, {})[outcome] = count
    print(
        json.dumps(
            {
                "seed": seed,
                "steps": steps,
                "transactions": sum(lives.tally.values()),
                "seconds": round(time.perf_counter() - began, 1),
                "exec_root": lives.world.ledger.exec_root.hex(),
                "tally": told,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
