"""Keeps the rooms abreast of who is who: after a block that changed members, and from the first step of an epoch.

The engine says when an epoch begins here and who validates in it; the books say whose nodes those are. The books stand
between two blocks whenever they are read here: an epoch begins only when all blocks before it are executed. Never
decide here who may do what.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from consensus.effects import Effect
from consensus.events import Event
from node.roster import Roster, concerns_roster
from node.telemetry import get_logger
from protocol.ids import Epoch, PublicKey, TimeMs, ValidatorIndex
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Change
from protocol.validators import ValidatorSet


class Machine(Protocol):
    """What is asked of the engine."""

    @property
    def epoch(self) -> Epoch:
        """The present epoch."""

    @property
    def validators(self) -> ValidatorSet:
        """Of that epoch."""

    @property
    def seat(self) -> ValidatorIndex | None:
        """My own place among them."""

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """What follows from one event."""


class Plan(Protocol):
    """What is asked of whoever weighs validators' claims."""

    def set_validators(self, validators: Sequence[PublicKey]) -> None:
        """Whose word counts from now on."""


class Pushes(Protocol):
    """What is asked of the batch room."""

    def set_validators(self, validators: Sequence[PublicKey], *, is_pushed_to: bool) -> None:
        """To whom batches are pushed from now on."""


class Mesh(Protocol):
    """What is asked of the network."""

    def on_members_changed(self) -> None:
        """Part from those that are members no more."""


class Guard(Protocol):
    """What is asked of whoever watches over this node's word."""

    def on_epoch(self) -> None:
        """Another epoch began."""


class Following:
    """What the driver steps instead of the engine, so that no effect of an epoch goes to the nodes of the last one."""

    def __init__(
        self,
        *,
        machine: Machine,
        roster: Roster,
        ledger: Ledger,
        sync: Plan,
        batches: Pushes,
        mesh: Mesh,
        guard: Guard,
    ) -> None:
        self._machine = machine
        self._roster = roster
        self._ledger = ledger
        self._sync = sync
        self._batches = batches
        self._mesh = mesh
        self._guard = guard
        self._epoch = machine.epoch
        self._log = get_logger("epochs")
        self.refresh()

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """What the engine makes of one event."""
        effects = self._machine.step(event, now_ms)
        if self._machine.epoch != self._epoch:
            self._epoch = self._machine.epoch
            self.refresh()
            self._guard.on_epoch()
            seat = self._machine.seat
            self._log.info("epoch_began", epoch=self._epoch, validators=len(self._roster.keys), votes=seat is not None)
        return effects

    def on_executed(self, changes: Iterable[Change]) -> None:
        """A block was executed and saved."""
        if concerns_roster(changes):
            self.refresh()

    def refresh(self) -> None:
        """Tell every room who is who now."""
        roster = self._roster
        roster.update(self._ledger, self._machine.validators.keys)
        self._sync.set_validators(roster.validators)
        self._batches.set_validators(roster.others, is_pushed_to=roster.is_validator)
        self._mesh.on_members_changed()
