"""Whether this process is the only one with its node key: silent from the first proof that it is not, until it may be.

Two live processes of one key are told of each other by whoever meets both (`node.gossip.handshake`). Each then saves
the reason not to vote, so that no restart, of a supervisor or of both at once, lets it vote before it can know: a start
is exactly the moment at which the other may be alive and not yet met. It votes again once it has been linked to a
quorum for a minute in which nobody met the other. A process that lives tries each member again within seconds, and is
introduced whenever it does, so that such a minute means that it is gone, or reaches none of those that make a quorum;
and should it come back, it is silent by its own file, and finds this one as before. Which of the two is ended is the
operator's to choose. Nothing else is decided here.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from node.stops import KEY_IN_USE, describe_stop
from node.store.appendlog import LogError
from node.store.stopfile import Stop
from node.telemetry import get_logger
from protocol.ids import PublicKey

ALONE_MS: Final = 60_000  # a dozen times the longest pause between two dials
LOOK_EVERY_S: Final = 1.0


class Reasons(Protocol):
    """What is asked of the file of reasons not to vote."""

    stops: tuple[Stop, ...]

    def add(self, stop: Stop) -> None:
        """Keep a reason, durable on return. Raises LogError."""

    def remove(self, stop: Stop) -> None:
        """Forget a reason. Raises LogError."""


class Roster(Protocol):
    """What is asked of the list of validators."""

    @property
    def others(self) -> tuple[PublicKey, ...]:
        """Node keys of the validators but this node's."""

    @property
    def is_validator(self) -> bool:
        """Whether this node speaks for one of the validators."""


class Mesh(Protocol):
    """What is asked of the network."""

    def is_connected(self, peer: PublicKey) -> bool:
        """Whether a peer can be reached."""


class Alone:
    """The watch of one node. `steady_ms` never steps; `resume` lets it vote where there is no other reason."""

    def __init__(
        self,
        *,
        reasons: Reasons,
        roster: Roster,
        mesh: Mesh,
        quorum: Callable[[], int],
        wall_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        silence: Callable[[str], None],
        resume: Callable[[str], None],
    ) -> None:
        self._reasons = reasons
        self._roster = roster
        self._mesh = mesh
        self._quorum = quorum
        self._wall_ms = wall_ms
        self._steady_ms = steady_ms
        self._silence = silence
        self._resume = resume
        self._alone_since_ms: int | None = None
        self._log = get_logger("alone")

    def on_key_in_use(self) -> None:
        """It is proven that another live process uses this node's key."""
        self._alone_since_ms = None
        self._silence(KEY_IN_USE)
        if self._find() is None:
            try:
                self._reasons.add(Stop(code=KEY_IN_USE, sentence=describe_stop(KEY_IN_USE), at_ms=self._wall_ms()))
            except LogError as error:
                self._log.error("reason_not_kept", code=error.code, reason=error.sentence)

    def look(self) -> None:
        """Vote again when a quorum has seen nobody else for long enough."""
        if self._find() is None:
            return
        now_ms = self._steady_ms()
        if not self._is_linked():
            self._alone_since_ms = None
        elif self._alone_since_ms is None:
            self._alone_since_ms = now_ms
        elif now_ms - self._alone_since_ms >= ALONE_MS:
            self._end()

    async def run(self) -> None:
        """Look every second."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _find(self) -> Stop | None:
        return next((one for one in self._reasons.stops if one.code == KEY_IN_USE), None)

    def _is_linked(self) -> bool:
        reached = sum(map(self._mesh.is_connected, self._roster.others)) + self._roster.is_validator
        return reached >= self._quorum()

    def _end(self) -> None:
        stop = self._find()
        assert stop is not None, "looked for before"
        try:
            self._reasons.remove(stop)
        except LogError as error:
            self._log.error("reason_not_removed", code=error.code, reason=error.sentence)
            return
        self._alone_since_ms = None
        self._log.info("key_alone_again")
        self._resume(KEY_IN_USE)
