"""Laws of a history, which no single state can show: watched from one step of a life to the next.

(6) an outside reference is used once   (17) states change along the table alone   (35) the worst lateness never falls
Validators change only from one epoch to the next, and only into those whose plan was fixed; a conviction stays.
"""

from collections.abc import Iterator
from typing import Any

from protocol.ledger.state import CONVICTIONS, LOANS, REFERENCES
from protocol.loans.lifecycle import TRANSITIONS, LoanState
from tests.protocol.ledger.lives.core import Lives


def _find_reachable() -> dict[LoanState, set[LoanState]]:
    """States that at most two steps of the table lead to: a default whose deposit pays the claim is two in one."""
    once = {state: {state} for state in LoanState}
    for (before, _), afters in TRANSITIONS.items():
        once[before].update(afters)
    return {state: {last for middle in once[state] for last in once[middle]} for state in LoanState}


REACHABLE = _find_reachable()


class History:
    """What was seen before; `look` after every step."""

    def __init__(self) -> None:
        self._loans: dict[bytes, Any] = {}
        self._references: dict[bytes, Any] = {}
        self._convictions: dict[bytes, Any] = {}
        self._epoch: Any = None

    def look(self, lives: Lives) -> list[str]:
        """What broke a law of history since the last look."""
        state = lives.world.ledger.books.state
        found = [*self._find_broken(state), *self._find_unplanned(lives)]
        self._loans = dict(state.items(LOANS))
        self._references = dict(state.items(REFERENCES))
        self._convictions = dict(state.items(CONVICTIONS))
        self._epoch = lives.world.ledger.epoch_row
        return found

    def _find_unplanned(self, lives: Lives) -> Iterator[str]:
        before, after = self._epoch, lives.world.ledger.epoch_row
        if before is not None and after.epoch == before.epoch:
            if (after.seats, after.previous, after.since) != (before.seats, before.previous, before.since):
                yield f"validators of epoch {after.epoch} changed within it"
            if before.next is not None and (after.next, after.next_at) != (before.next, before.next_at):
                yield f"the plan for epoch {after.epoch + 1} changed after its block"
        elif before is not None and (after.epoch, after.seats, after.previous) != (
            before.epoch + 1,
            before.next,
            before.seats,
        ):
            yield f"epoch {before.epoch} was not followed by the validators planned"
        for key, row in self._convictions.items():
            if lives.world.ledger.books.state.get(CONVICTIONS, key) != row:
                yield f"conviction of {key.hex()}: forgotten"

    def _find_broken(self, state: Any) -> Iterator[str]:
        for key, before in self._loans.items():
            after = state.need(LOANS, key)
            if after.state not in REACHABLE[before.state]:
                yield f"loan {key.hex()}: {before.state.name} became {after.state.name}"
            if after.days_past_due_max < before.days_past_due_max:
                yield f"loan {key.hex()}: was {before.days_past_due_max} days late, says {after.days_past_due_max}"
            if after.restructures < before.restructures:
                yield f"loan {key.hex()}: its amendments were forgotten"
        for key, row in self._references.items():
            if state.need(REFERENCES, key) != row:
                yield f"reference {key.hex()}: used twice"
