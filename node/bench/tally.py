"""Every transaction of a load by its serial: answered how, seen final when, and never twice. No IO, no clock.

A million of them cost ten megabytes: a byte for the answer and eight for the moment each.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from node.bench.layout import Layout, count_turns
from node.bench.signing import PAY_AMOUNTS

LOST_LISTED_MAX: Final = 1_000


class Answered(IntEnum):
    """What became of a transaction at the door."""

    NOT_YET = 0
    ACCEPTED = 1
    REFUSED = 2
    NOT_TAKEN = 3
    """Busy, or without an answer, until the load's time was up."""


class Tally:
    """The books of one load."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._answered = bytearray(layout.transactions)
        self._seen_s = array("d", bytes(8 * layout.transactions))
        self.accepted = 0
        self.not_taken = 0
        self.refused: Counter[str] = Counter()
        self.final = 0
        """Distinct transactions seen final, however they were answered."""
        self.twice = 0
        self.strange = 0
        """Events of nothing that this load sent."""
        self.matched = 0
        """Accepted and seen final."""
        self.last_s = 0.0

    # ------------------------------------------------------------------ what nodes say

    def on_answer(self, serial: int, answer: Answered, code: str = "") -> None:
        """The door's answer; each serial gets one."""
        assert self._answered[serial] == Answered.NOT_YET, "one answer each"
        self._answered[serial] = answer
        if answer is Answered.ACCEPTED:
            self.accepted += 1
            self.matched += self._seen_s[serial] > 0
        elif answer is Answered.REFUSED:
            self.refused[code] += 1
        else:
            self.not_taken += 1

    def on_final(self, serial: int, now_s: float) -> None:
        """An event says that a transaction is executed and saved."""
        if not 0 <= serial < self.layout.transactions:
            self.strange += 1
            return
        if self._seen_s[serial]:
            self.twice += 1
            return
        self._seen_s[serial] = self.last_s = now_s
        self.final += 1
        self.matched += self._answered[serial] == Answered.ACCEPTED

    # ------------------------------------------------------------------ what it comes to

    @property
    def answered(self) -> int:
        """How many have their answer."""
        return self.accepted + self.not_taken + self.refused.total()

    @property
    def is_complete(self) -> bool:
        """Whether all have their answer and all that were accepted are final."""
        return self.answered == self.layout.transactions and self.matched == self.accepted

    def was_refused(self, serial: int) -> bool:
        """Whether a transaction got a refusal at the door."""
        return self._answered[serial] == Answered.REFUSED

    def was_seen(self, serial: int) -> bool:
        """Whether a transaction was seen final."""
        return self._seen_s[serial] > 0

    def list_missing(self, most: int = LOST_LISTED_MAX) -> list[int]:
        """Serials accepted and not seen final, at most so many."""
        missing: list[int] = []
        for serial, answer in enumerate(self._answered):
            if answer == Answered.ACCEPTED and not self._seen_s[serial]:
                missing.append(serial)
                if len(missing) == most:
                    break
        return missing

    def calculate_latencies_ms(self, due_s: Sequence[float]) -> list[float]:
        """From due to final, sorted, of those accepted and final; `due_s` by the number of the group."""
        group = self.layout.group
        return sorted(
            (seen - due_s[serial // group]) * 1_000
            for serial, seen in enumerate(self._seen_s)
            if seen and self._answered[serial] == Answered.ACCEPTED
        )


class TransferNames:
    """Transfers are named by their amounts, each of which is used once."""

    def __init__(self, first_amount: int) -> None:
        self._first = first_amount

    def find(self, amount: int, _loan: str) -> int:
        """The serial of an event."""
        return amount - self._first


class PaymentNames:
    """Payments are named by loan and amount: the oldest of that amount which was neither seen nor refused."""

    def __init__(self, tally: Tally, lanes: Sequence[Sequence[tuple[str, int]]]) -> None:
        """`lanes`: for each lane the loan of each sender and how many payments were signed on it before."""
        self._tally = tally
        self._places: dict[str, tuple[int, int, int]] = {}
        self._senders = [len(senders) for senders in lanes]
        self._totals = [tally.layout.count_lane(lane) for lane in range(len(lanes))]
        for lane, senders in enumerate(lanes):
            for index, (loan, before) in enumerate(senders):
                self._places[loan] = (lane, index, before)

    def find(self, amount: int, loan: str) -> int:
        """The serial of an event; -1 for one that nobody here can have caused."""
        place = self._places.get(loan)
        if place is None or not 1 <= amount <= PAY_AMOUNTS:
            return -1
        lane, index, before = place
        turns = count_turns(self._totals[lane], self._senders[lane], index)
        last = -1
        for turn in range((amount - 1 - before) % PAY_AMOUNTS, turns, PAY_AMOUNTS):
            serial = self._tally.layout.find_serial(lane, turn * self._senders[lane] + index)
            if not self._tally.was_refused(serial):
                last = serial
                if not self._tally.was_seen(serial):
                    return serial
        return last  # once more than it was sent: the tally counts it as twice
