"""How long to wait: the delay D learnt from votes' arrival, its growth over nullified views, and the turn of one view.

Integers in milliseconds. Local only: two honest nodes may wait for different times without harm to safety. Never read
a clock here; time comes in with each step.
"""

from typing import Final

import msgspec

from consensus.departures import Departure
from protocol.ids import TimeMs, View

_SCALE: Final = 16  # the average is kept in sixteenths of a millisecond
_WEIGHT: Final = 8  # a new sample counts one eighth
_GROWTH_MAX: Final = 16  # 1.5 ** 16 is beyond every cap


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Local constants of time (consensus.md, "Timers")."""

    delay_ms_min: int = 50
    """D is never less: a stalled fsync must not look like a dead leader."""
    delay_ms_max: int = 1_000
    """D is never more while views succeed."""
    delay_ms_cap: int = 4_000
    """D is never more, however many views were nullified in a row."""
    delay_ms_start: int = 250
    """D before anything was measured."""
    heartbeat_ms: int = 10_000
    """An idle chain makes one empty block this often."""
    clock_behind_ms: int = 2_000
    """A block may be this much (and D) older than one's own clock."""


DEFAULT_TIMING: Final = Timing()


class Pacemaker:
    """The present D."""

    __slots__ = ("_average", "_timing", "nullified_in_a_row")

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._average = timing.delay_ms_start * _SCALE // 4
        self.nullified_in_a_row = 0

    def on_quorum(self, one_way_ms: int) -> None:
        """A quorum of Notarize took `one_way_ms` per hop to arrive."""
        self._average += (max(0, one_way_ms) * _SCALE - self._average) // _WEIGHT

    def calculate_delay_ms(self) -> int:
        """D = clamp(4 x EWMA, min, max) x 1.5^k, at most the cap."""
        timing = self._timing
        base = min(max(4 * self._average // _SCALE, timing.delay_ms_min), timing.delay_ms_max)
        k = min(self.nullified_in_a_row, _GROWTH_MAX)
        return int(min(base * 3**k // 2**k, timing.delay_ms_cap))


class Turn:
    """What happened in the current view that is forgotten when it ends."""

    __slots__ = (
        "armed",
        "asked_payload",
        "engaged",
        "lead_over",
        "notarized_ms",
        "payload_was_empty",
        "proposed",
        "view",
        "view_over",
        "why",
    )

    def __init__(self, view: View) -> None:
        self.view = view
        self.armed = False
        """T_lead and T_view run."""
        self.engaged = False
        """Somebody else acts in this view, or the heartbeat is due: that is work."""
        self.lead_over = False
        """T_lead fired (or, for the leader, the time to wait for better content)."""
        self.view_over = False
        self.why: Departure | None = None
        """Why I gave the view up."""
        self.asked_payload = False
        self.payload_was_empty = False
        """The pool had nothing new: propose only for another reason, or when the wait is over."""
        self.proposed = False
        self.notarized_ms: TimeMs | None = None
        """When one's own first message of the view was sent."""
