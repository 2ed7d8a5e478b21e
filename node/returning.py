"""A validator that comes back knowing less than it once did: when its keys may vote again, shown by the chain itself.

Two ways to know less. The books were set back (a rollback, a repair, a database made anew) and stand below the view
from which on the vote log is whole; or everything was restored from a backup, and the vote log may lack the last words
of the process that died. Until the node is past whatever it may have said, its keys are not given to the engine at all.

    behind      final block of a later epoch, or WINDOW views above the log's floor

Votes are cast in views above the last final one only. Beyond the floor every word stands in the log.

    restored    first a final block B whose time lies SETTLED_MS after the restore, in view v;
                then one of a later epoch, or WINDOW views above v + 1

Why that is safe, if the old process was dead when its backup was restored and the clocks of honest validators differ
from this one's by less than SETTLED_MS: the old process voted in no view beyond V + 1, where V is a view for which a
certificate was formed while it lived, from words of at least q - f honest validators, itself perhaps among them, who
were in view V then. B was notarized after its death, since an honest validator notarizes no block from the future, by
at least q - f other honest ones. Because 2q > n + f, the two groups share one who stood in V before and in v after.
Views never go down, so V <= v, and no word of the old process is beyond v + 1. In a later epoch it never spoke.

Another validator key, seated by a vote, votes at once. Never decide here what is voted.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from node.stops import BEHIND_OWN_VOTES, RESTORED, describe_stop
from node.store.appendlog import sync_directory
from node.store.stopfile import Stop, StopFile
from node.store.votelog import BEGINNING, Place
from node.telemetry import get_logger
from protocol.block import Header
from protocol.ids import PublicKey, View
from protocol.limits import VIEW_WINDOW_PAST

RESTORED_MARK: Final = "restored"
"""A file that `liushui backup restore` leaves; the first start turns it into reasons not to vote."""
SETTLED_MS: Final = 600_000
"""Ten minutes: more than clocks differ by that still make blocks together."""


def note_restored(directory: Path, stops: StopFile, keys: Sequence[PublicKey], now_ms: int) -> None:
    """Turn the mark of a restore into a reason for each validator key. Raises LogError when the disk refuses.

    The time is that of the first start: from now on, if not before, the old process is dead. An observer leaves the
    mark: it is for the keys that may come.
    """
    mark = directory / RESTORED_MARK
    if not keys or not mark.exists():
        return
    for key in keys:
        stops.add(Stop(code=RESTORED, sentence=describe_stop(RESTORED), at_ms=now_ms, validator_key=key.hex()))
    mark.unlink()
    sync_directory(directory)


class Floor(Protocol):
    """What is asked of the vote log."""

    floor: Place

    def raise_floor(self, floor: Place) -> None:
        """Nothing was said before this epoch and view that the log must know. Raises LogError."""


class Returning:
    """What one node waits for before its validator keys vote; nothing, in most lives."""

    def __init__(self, *, stops: StopFile, votes: Floor, tip: Header | None, settled_ms: int = SETTLED_MS) -> None:
        self._stops = stops
        self._votes = votes
        self._settled_ms = settled_ms
        at: Place = BEGINNING if tip is None else (tip.epoch, tip.view)
        self._behind: Place | None = votes.floor if at < votes.floor else None
        self._horizon: Place | None = None
        self.ready = asyncio.Event()
        """Its keys may vote: start anew over the same directory, which gives them to the engine."""

    @property
    def code(self) -> str:
        """Why its keys must not vote yet (node.stops); empty when nothing is waited for."""
        if any(one.code == RESTORED for one in self._stops.stops):
            return RESTORED
        return BEHIND_OWN_VOTES if self._behind is not None else ""

    def on_saved(self, header: Header) -> None:
        """A final block was executed and saved. Raises LogError when the disk refuses to note what it means."""
        if not self.code or self.ready.is_set():
            return
        place: Place = (header.epoch, header.view)
        if self._behind is not None and _is_past(place, self._behind):
            self._behind = None
        self._review_restored(header, place)
        if not self.code:
            get_logger("returning").info("voting_safe_again", height=header.height, epoch=header.epoch)
            self.ready.set()

    def _review_restored(self, header: Header, place: Place) -> None:
        restored = [one for one in self._stops.stops if one.code == RESTORED]
        if not restored or header.time_ms < max(one.at_ms for one in restored) + self._settled_ms:
            return
        if self._horizon is None:
            self._horizon = (header.epoch, View(header.view + 1))
        if _is_past(place, self._horizon):
            epoch, view = self._horizon
            self._votes.raise_floor((epoch, View(view + 1)))
            for one in restored:
                self._stops.remove(one)


def _is_past(place: Place, beyond: Place) -> bool:
    """Whether a final block at `place` leaves nothing open of what was said up to `beyond`."""
    return place[0] > beyond[0] or (place[0] == beyond[0] and place[1] > beyond[1] + VIEW_WINDOW_PAST)
