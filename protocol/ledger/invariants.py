"""What must hold of the books after every block (ledger 2.13), each law a function from a ledger to its violations.

Run by nodes and by tests. The laws stand in `laws`, a module for each family; their numbers in parentheses are those of
the design. Never change a row here.
"""

from typing import Final

from protocol.ledger.execute import Ledger
from protocol.ledger.laws import assets, distress, governance, lines, loans, money, pools, records, seats
from protocol.ledger.laws.common import Laws, Violations

INVARIANTS: Final[Laws] = {
    **money.LAWS,
    **loans.LAWS,
    **pools.LAWS,
    **records.LAWS,
    **governance.LAWS,
    **seats.LAWS,
    **assets.LAWS,
    **distress.LAWS,
    **lines.LAWS,
}
"""Every law by its stable name."""


def find_violations(ledger: Ledger) -> dict[str, Violations]:
    """Names of the laws that do not hold, each with what is wrong; empty when all hold."""
    results = {name: check(ledger) for name, check in INVARIANTS.items()}
    return {name: found for name, found in results.items() if found}
