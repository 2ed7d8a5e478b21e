"""A loan's life as one table: from which state an event leads where (ledger 2.2). How late a loan is, is no state.

A missing key is the one generic refusal: the event does not apply in that state. Who may bring an event about, and
under which conditions, is the business of `protocol.ledger`; never a condition or an amount here.
"""

from enum import IntEnum
from typing import Final


class LoanState(IntEnum):
    """Where a loan stands. Numbers are part of rows: append only."""

    ACTIVE = 1
    REPAID = 2
    WITHDRAWN = 3
    """Paid back within the cooling-off days."""
    FUNDED = 4
    """Accepted; its money is reserved until the settlement agent has paid it out."""
    CANCELLED = 5
    """Never paid out."""
    DEFAULTED = 6
    WRITTEN_OFF = 7
    """Worth nothing to its pools; claim and exposure stay."""
    RECOVERED = 8
    """Paid in full after default."""
    SETTLED = 9
    """Ended by agreement for less than was owed."""


class LoanEvent(IntEnum):
    """What can happen to a loan."""

    DISBURSE = 1
    FAIL = 2
    PAY = 3
    WITHDRAW = 4
    IMPAIR = 5
    AMEND = 6
    DEFAULT = 7
    WRITE_OFF = 8
    SETTLE = 9
    ASSIGN = 10
    DISPUTE = 11
    ADJUST = 12
    REVERSE = 13
    END_LEASE = 14
    SEIZE = 15


OPEN: Final = (LoanState.FUNDED, LoanState.ACTIVE, LoanState.DEFAULTED, LoanState.WRITTEN_OFF)
"""States in which a loan counts as debt."""
CLAIMED: Final = (LoanState.DEFAULTED, LoanState.WRITTEN_OFF)
"""States in which a loan is a claim: due as a whole, and no principal of its pools any more."""
CLOSED: Final = tuple(state for state in LoanState if state not in OPEN)

TRANSITIONS: Final[dict[tuple[LoanState, LoanEvent], tuple[LoanState, ...]]] = {
    (LoanState.FUNDED, LoanEvent.DISBURSE): (LoanState.ACTIVE,),
    (LoanState.FUNDED, LoanEvent.FAIL): (LoanState.CANCELLED,),
    (LoanState.ACTIVE, LoanEvent.PAY): (LoanState.ACTIVE, LoanState.REPAID),
    (LoanState.ACTIVE, LoanEvent.WITHDRAW): (LoanState.WITHDRAWN,),
    (LoanState.ACTIVE, LoanEvent.IMPAIR): (LoanState.ACTIVE,),
    (LoanState.ACTIVE, LoanEvent.AMEND): (LoanState.ACTIVE,),
    (LoanState.ACTIVE, LoanEvent.SETTLE): (LoanState.SETTLED,),
    (LoanState.ACTIVE, LoanEvent.DEFAULT): (LoanState.DEFAULTED,),
    (LoanState.ACTIVE, LoanEvent.ASSIGN): (LoanState.ACTIVE,),
    (LoanState.ACTIVE, LoanEvent.DISPUTE): (LoanState.ACTIVE,),
    (LoanState.ACTIVE, LoanEvent.ADJUST): (LoanState.ACTIVE, LoanState.REPAID),
    (LoanState.ACTIVE, LoanEvent.REVERSE): (LoanState.ACTIVE,),
    (LoanState.ACTIVE, LoanEvent.END_LEASE): (LoanState.ACTIVE, LoanState.REPAID),
    (LoanState.DEFAULTED, LoanEvent.PAY): (LoanState.DEFAULTED, LoanState.RECOVERED),
    (LoanState.DEFAULTED, LoanEvent.SEIZE): (LoanState.DEFAULTED, LoanState.RECOVERED),
    (LoanState.DEFAULTED, LoanEvent.ADJUST): (LoanState.DEFAULTED, LoanState.RECOVERED),
    (LoanState.DEFAULTED, LoanEvent.AMEND): (LoanState.ACTIVE,),
    (LoanState.DEFAULTED, LoanEvent.SETTLE): (LoanState.SETTLED,),
    (LoanState.DEFAULTED, LoanEvent.WRITE_OFF): (LoanState.WRITTEN_OFF,),
    (LoanState.DEFAULTED, LoanEvent.ASSIGN): (LoanState.DEFAULTED,),
    (LoanState.DEFAULTED, LoanEvent.DISPUTE): (LoanState.DEFAULTED,),
    (LoanState.WRITTEN_OFF, LoanEvent.PAY): (LoanState.WRITTEN_OFF, LoanState.RECOVERED),
    (LoanState.WRITTEN_OFF, LoanEvent.SEIZE): (LoanState.WRITTEN_OFF, LoanState.RECOVERED),
    (LoanState.WRITTEN_OFF, LoanEvent.ADJUST): (LoanState.WRITTEN_OFF, LoanState.RECOVERED),
    (LoanState.WRITTEN_OFF, LoanEvent.SETTLE): (LoanState.SETTLED,),
    (LoanState.WRITTEN_OFF, LoanEvent.ASSIGN): (LoanState.WRITTEN_OFF,),
    (LoanState.WRITTEN_OFF, LoanEvent.DISPUTE): (LoanState.WRITTEN_OFF,),
    (LoanState.REPAID, LoanEvent.REVERSE): (LoanState.ACTIVE,),
}
"""Every lawful step. Only a reversed receipt of fiat opens a closed loan again, within the policy's days."""


def can_happen(state: LoanState, event: LoanEvent) -> bool:
    """Whether the event applies in the state at all."""
    return (state, event) in TRANSITIONS


def calculate_next_state(state: LoanState, event: LoanEvent, wanted: LoanState) -> LoanState:
    """The wanted state, which the table must allow: anything else is a fault of these books."""
    assert wanted in TRANSITIONS.get((state, event), ()), f"{event.name} does not lead from {state.name}"
    return wanted
