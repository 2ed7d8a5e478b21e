"""Plain counts that rooms keep while they work, cheap enough for any path; `node.metrics` reads them when asked.

Never a name, a key or an account in here, and never a decision that depends on a count.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import Final

FINALITY_S: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
DISK_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
WORK_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Buckets:
    """How often something took how long, in seconds. One thread at a time observes."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        """One for each bound, at most which the value was, and one beyond the last."""
        self.total = 0.0

    def observe(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Requests:
    """What the API of one node was asked, by the address as it stands in the table, never as it was typed."""

    __slots__ = ("answered", "limited", "reading")

    def __init__(self) -> None:
        self.answered: Counter[tuple[str, str]] = Counter()
        """By (address, class of status)."""
        self.reading = Buckets(WORK_S)
        """Of reads that wait for nothing."""
        self.limited = 0
        """Refused because their caller had asked for more than its share."""


class Meters:
    """What is counted at no room in particular."""

    __slots__ = ("attestations", "busy", "finality", "lag", "rejected", "submitted")

    def __init__(self) -> None:
        self.finality = Buckets(FINALITY_S)
        """From a block's own time to its finality here, while in step with the network."""
        self.lag = Buckets(WORK_S)
        """How much later than asked the event loop came back."""
        self.submitted: Counter[str] = Counter()
        """Transactions at the door, by answer."""
        self.rejected: Counter[int] = Counter()
        """Of those rejected at the door, by number of the reason."""
        self.busy: Counter[str] = Counter()
        """Transactions of groups of which nothing was taken, by why."""
        self.attestations: Counter[str] = Counter()
        """By result."""
