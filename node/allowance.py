"""How much work of a kind one peer may cause: a sum that fills steadily up to a bound, and may be overdrawn once.

Overdrawing lets one large piece of work through whole; the debt is then waited off. Time comes in with each call, from
a clock that never steps. Never decide here what becomes of work that must wait.
"""


class Allowance:
    """The allowance of one peer, in units of work."""

    def __init__(self, per_second: int, bound: int, now_ms: int) -> None:
        self._per_second = per_second
        self._bound_milli = bound * 1000
        self._level_milli = self._bound_milli
        self._at_ms = now_ms

    def calculate_wait_ms(self, now_ms: int) -> int:
        """How long until more may be spent; 0 when it may be now."""
        self._fill(now_ms)
        return 0 if self._level_milli > 0 else -self._level_milli // self._per_second + 1

    def spend(self, units: int, now_ms: int) -> None:
        """Take `units` off; the level may fall below nothing."""
        self._fill(now_ms)
        self._level_milli -= units * 1000

    def _fill(self, now_ms: int) -> None:
        passed_ms = max(0, now_ms - self._at_ms)
        self._at_ms = now_ms
        self._level_milli = min(self._bound_milli, self._level_milli + passed_ms * self._per_second)
