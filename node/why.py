"""What consensus waits for, in words: which step lacks, whose word, since when, and when each of them spoke last.

A view of the engine for people: `liushui status --why`, the page, the log of a support case. Never decide by it.
"""

from collections.abc import Callable
from typing import Protocol

from consensus.waiting import Waiting
from node.api.whereabouts import Silent, Why
from node.gossip.network import LinkStatus
from node.roster import Roster
from node.stops import describe_stop
from protocol.ids import Height, PublicKey, ValidatorIndex, View


class Machine(Protocol):
    """What is asked of the engine."""

    @property
    def view(self) -> View:
        """The current view."""

    @property
    def final_height(self) -> Height:
        """Height of the last final block."""

    def waiting_for(self) -> Waiting | None:
        """What the next step needs."""

    def voted_view_of(self, index: ValidatorIndex) -> View:
        """The highest view in which a validator signed anything."""


class Mesh(Protocol):
    """What is asked of the network."""

    def get_status(self, peer: PublicKey) -> LinkStatus:
        """How a member looks from here."""


_WHAT = {
    "proposal": "the proposal of view {view}",
    "payload": "the transactions of the block of view {view}, which peers are asked for",
    "blocks": "blocks that are final elsewhere, which peers are asked for",
    "execution": "this node's own execution of the block that ended the epoch",
}


class WhyWatch:
    """Watches one node's engine."""

    def __init__(
        self,
        *,
        machine: Machine,
        roster: Roster,
        mesh: Mesh,
        own: PublicKey,
        find_stop: Callable[[], str],
        clock_ms: Callable[[], int],
    ) -> None:
        """`clock_ms` never steps; `find_stop` gives the code for which this node does not vote."""
        self._machine = machine
        self._roster = roster
        self._mesh = mesh
        self._own = own
        self._find_stop = find_stop
        self._clock_ms = clock_ms
        self._place: tuple[View, Height] | None = None
        self._since_ms = 0

    def look(self) -> None:
        """Notice when the view or the height moves; called every now and then."""
        place = self._machine.view, self._machine.final_height
        if place != self._place:
            self._place, self._since_ms = place, self._clock_ms()

    def describe(self) -> Why | None:
        """What it waits for; None when for nothing."""
        self.look()
        waiting = self._machine.waiting_for()
        if waiting is None:
            return None
        silent = tuple(self._describe_silent(index) for index in waiting.silent)
        return Why(
            what=waiting.what,
            sentence=self._say(waiting, silent),
            view=waiting.view,
            vote=waiting.kind.name.lower() if waiting.what == "votes" else "",
            lacking=waiting.lacking,
            since_ms=self._clock_ms() - self._since_ms,
            silent=silent,
        )

    def _describe_silent(self, index: ValidatorIndex) -> Silent:
        key = self._roster.validators[index]
        link = self._mesh.get_status(key)
        is_self = key == self._own
        return Silent(
            name=self._roster.get_name(index),
            is_self=is_self,
            connected=link.connected or is_self,
            silent_ms=0 if is_self else link.silent_ms,
            voted_view=self._machine.voted_view_of(index),
        )

    def _say(self, waiting: Waiting, silent: tuple[Silent, ...]) -> str:
        if waiting.what == "voting_stopped":
            return describe_stop(self._find_stop())
        if waiting.what == "votes":
            what = f"{waiting.lacking} more {waiting.kind.name.capitalize()} in view {waiting.view}"
        else:
            what = _WHAT[waiting.what].format(view=waiting.view)
        whom = ", ".join(_say_one(one, self._machine.view) for one in silent)
        return what + (f": {whom}" if whom else "")


def _say_one(one: Silent, view: View) -> str:
    if one.is_self:
        return f"{one.name} (this node)"
    if not one.connected:
        ago = "never heard" if one.silent_ms < 0 else f"last heard {one.silent_ms // 1000} s ago"
        return f"{one.name} not connected, {ago}"
    behind = view - one.voted_view
    voted = f", last voted {behind} views ago" if behind > 1 else ""
    return f"{one.name} silent {one.silent_ms // 1000} s{voted}"
