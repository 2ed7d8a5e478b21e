"""All that can happen in a random life."""

from typing import Final

from tests.protocol.ledger.lives import loans, money, trouble
from tests.protocol.ledger.lives.core import Actions, Lives

ACTIONS: Final[Actions] = [*money.ACTIONS, *loans.ACTIONS, *trouble.ACTIONS]


def make_lives(seed: int) -> Lives:
    """People who do everything the ledger knows."""
    return Lives(seed, ACTIONS)
