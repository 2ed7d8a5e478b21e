"""Timers of one node: how long to wait for a leader, when a view is over, when to say things again.

D = clamp(4 x smoothed delay, 50 ms, 1 s) x 1.5^k, k consecutive nullified views, capped at 4 s. An idle chain runs no
timer but the heartbeat. Never judge votes here.
"""

import msgspec

from consensus.effects import Effect, SetTimer, StopTimer
from consensus.events import TimerName
from protocol.ids import TimeMs, ValidatorIndex, View


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """The pacemaker's constants, all in milliseconds (consensus.md, "Timers")."""

    delay_ms_min: int = 50
    delay_ms_max: int = 1_000
    span_ms_max: int = 4_000
    """Ceiling of D however many views fail: timeouts that double without end stop a chain for hours."""
    heartbeat_ms: int = 10_000
    clock_behind_ms: int = 2_000


DEFAULT_TIMING = Timing()


class Pacemaker:
    """Delay estimate, running timers, and who was heard of when."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self.smoothed_ms = 25
        self.nullified_in_row = 0
        self.lead_over: View | None = None
        self.view_over: View | None = None
        self.retry_due = False
        self.retried = False
        self.heartbeat_due = False
        self._view: View | None = None
        self._working = False
        self._heard: dict[ValidatorIndex, View] = {}
        self._first_view: View | None = None

    @property
    def span_ms(self) -> int:
        """D as it is now."""
        base = min(max(4 * self.smoothed_ms, self._timing.delay_ms_min), self._timing.delay_ms_max)
        k = min(self.nullified_in_row, 12)
        return min(base * int(3**k) // int(2**k), self._timing.span_ms_max)

    @property
    def clock_slack_ms(self) -> int:
        """How far a header may lie behind the local clock."""
        return self.span_ms + self._timing.clock_behind_ms

    def on_heard(self, index: ValidatorIndex, view: View) -> None:
        """A verified message of a validator, for `view`."""
        self._heard[index] = max(self._heard.get(index, View(0)), view)

    def on_delay(self, elapsed_ms: int) -> None:
        """A quorum answered my own message after `elapsed_ms`: half of it is a one-way delay (EWMA, 1/8)."""
        self.smoothed_ms += (min(max(elapsed_ms, 0), 4_000) - self.smoothed_ms) // 8

    def is_silent(self, index: ValidatorIndex, view: View, validators: int) -> bool:
        """Whether a validator was not heard of for 2n views: its views are nullified at once."""
        since = view if self._first_view is None else self._first_view
        return self._heard.get(index, since) + 2 * validators < view

    def on_fired(self, name: TimerName, view: View) -> None:
        """Note a timer that fired."""
        if name is TimerName.HEARTBEAT:
            self.heartbeat_due = True
        elif name is TimerName.RETRY:
            self.retry_due = self.retried = True
        elif name is TimerName.LEAD:
            self.lead_over = view
        else:
            self.view_over = view

    def update(self, now_ms: TimeMs, view: View, working: bool) -> list[Effect]:
        """Arm or stop timers after a step."""
        effects: list[Effect] = []
        if view != self._view:
            self.heartbeat_due = False
            effects.append(
                SetTimer(name=TimerName.HEARTBEAT, view=view, due_ms=TimeMs(now_ms + self._timing.heartbeat_ms))
            )
        if working and (view != self._view or not self._working):
            for name, spans in ((TimerName.LEAD, 2), (TimerName.VIEW, 3)):
                effects.append(SetTimer(name=name, view=view, due_ms=TimeMs(now_ms + spans * self.span_ms)))
        if working and (view != self._view or not self._working or self.retried):
            effects.append(SetTimer(name=TimerName.RETRY, view=view, due_ms=TimeMs(now_ms + 5 * self.span_ms)))
            self.retried = False
        elif self._working and not working:
            effects += [StopTimer(name=name) for name in (TimerName.LEAD, TimerName.VIEW, TimerName.RETRY)]
        self._view, self._working = view, working
        self._first_view = view if self._first_view is None else self._first_view
        return effects
