"""How long to wait before dialling again: doubling from 0.1 to 5 s, with jitter so that peers do not march in step.

The chance comes in through the constructor. Never sleep here.
"""

from collections.abc import Callable
from typing import Final

FIRST_S: Final = 0.1
LONGEST_S: Final = 5.0
STEADY_S: Final = 2.0  # a link that lived this long was a good one


class Backoff:
    """The delays of one peer."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._delay_s = FIRST_S

    def next_s(self) -> float:
        """Seconds to wait now: between half of the current delay and all of it. The next one is twice as long."""
        delay_s = self._delay_s
        self._delay_s = min(LONGEST_S, 2 * delay_s)
        return delay_s * (0.5 + 0.5 * self._chance())

    def on_link_ended(self, lived_s: float, *, refused: bool) -> None:
        """A link that lived resets the delays; one that was refused for cause goes to the longest at once."""
        if refused:
            self._delay_s = LONGEST_S
        elif lived_s >= STEADY_S:
            self._delay_s = FIRST_S
