"""The next release, as far as a test needs one: this software, which also executes the rules after the present ones.

    python -m tests.e2e.faults.newrelease start --data-dir DIR

There are no such rules yet, so they are the present ones under the next number: what is tried is how a network goes
from one to the other. Never part of what is shipped.
"""

import sys
from typing import Final

from node import opening
from node.cli.main import main
from protocol.genesis import RULES_VERSION

NEW: Final = RULES_VERSION + 1


def learn_rules() -> None:
    """Every node that this process opens from now on knows the next rules."""
    defaults = opening.open_everything.__kwdefaults__
    assert defaults == {"rules_known": RULES_VERSION}, defaults
    opening.open_everything.__kwdefaults__ = {"rules_known": NEW}


if __name__ == "__main__":
    learn_rules()
    sys.exit(main())
