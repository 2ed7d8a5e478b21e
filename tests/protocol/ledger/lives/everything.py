"""All that can happen in a random life."""

from typing import Any, Final

from tests.protocol.ledger.lives import data, loans, money, trouble, validators
from tests.protocol.ledger.lives.core import Actions, Lives

ACTIONS: Final[Actions] = [*money.ACTIONS, *loans.ACTIONS, *trouble.ACTIONS, *validators.ACTIONS, *data.ACTIONS]


def make_lives(seed: int, **policy: Any) -> Lives:
    """People who do everything the ledger knows, under the lives' policy but for what is given."""
    return Lives(seed, ACTIONS, **policy)
