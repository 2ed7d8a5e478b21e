"""The shell around the engine: one queue of events, one step at a time, effects carried out in the order they stand in.

Rule 1: nothing is sent before everything that was to be persisted is durable. All events that are ready share one
group commit. Rule 2: the next event is stepped only after the effects of the last are carried out, so the engine never
speaks from a state the disk does not know. Rule 3: nobody's words wait behind those of another peer. Never decide
anything about blocks or votes here.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from consensus.effects import (
    Broadcast,
    Effect,
    Persist,
    PersistPayload,
    RaiseAlarm,
    ReportEvidence,
    SetTimer,
    StopTimer,
)
from consensus.events import (
    Event,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    TimerFired,
    TimerName,
)
from consensus.records import Record
from node.conduct import SignatureWatch
from node.stops import describe_stop
from node.telemetry import get_logger
from node.turns import Turns
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.ids import PublicKey, TimeMs, View
from protocol.messages import Propose

SLICE_S: Final = 0.005  # events are stepped for this long before their effects are carried out
EVENTS_PER_TURN_MAX: Final = 16  # of one peer, on average: then others are heard again

Message = Propose | Vote | Certificate


class Machine(Protocol):
    """What is asked of the engine."""

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """What follows from one event."""


class RecordLog(Protocol):
    """What is asked of the vote log."""

    async def append(self, records: Sequence[Record]) -> None:
        """Return when the records are durable."""


class Duties(Protocol):
    """Everything an effect can ask for apart from the logs, the timers and the engine's own queue."""

    async def persist_payload(self, blocks: Sequence[Block]) -> None:
        """Return when the blocks and their batches are durable."""

    def broadcast(self, message: Message) -> None:
        """Queue for every validator, and for observers what they need."""

    def on_effect(self, effect: Effect) -> None:
        """Begin what the effect asks for; its answer comes as an event."""


class Driver:
    """Owns the engine of one node."""

    def __init__(
        self,
        machine: Machine,
        records: RecordLog,
        duties: Duties,
        clock_ms: Callable[[], int],
        *,
        watch: SignatureWatch | None = None,
        on_falsehood: Callable[[PublicKey], bool] | None = None,
    ) -> None:
        """`clock_ms` is the wall clock; `on_falsehood` says whether a peer is to be heard no more."""
        self._machine = machine
        self._records = records
        self._duties = duties
        self._clock_ms = clock_ms
        self._watch = watch
        self._on_falsehood = on_falsehood
        self._turns = Turns(lambda: time.monotonic_ns() // 1_000_000)
        self._turn_began = (clock_ms(), time.monotonic())
        self._timers: dict[TimerName, asyncio.TimerHandle] = {}
        self._log = get_logger("driver")
        self.silenced = ""
        """Code of why this node does not vote (node.stops); empty while it does."""
        self.evidence = 0
        self.falsehoods = 0
        self.records_written = 0

    # ------------------------------------------------------------------ events

    def post(self, event: Event) -> None:
        """Queue an event of one's own; never waits."""
        self._turns.put(event)

    async def post_from_peer(self, peer: PublicKey, event: Event) -> None:
        """Queue what a peer said; waits while it has said too much, which holds up that peer alone."""
        await self._turns.put_from(peer, event)

    async def post_and_wait(self, event: Event) -> None:
        """Queue an event and return when its effects are carried out."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.put(event, done)
        await done

    def silence(self, code: str) -> None:
        """Stop voting, for the first reason given; everything else goes on, and a person must look."""
        if not self.silenced:
            self.silenced = code
            self._log.error("voting_stopped", code=code, reason=describe_stop(code))

    def resume(self, code: str) -> None:
        """A reason is void: vote again, unless there is another."""
        if self.silenced == code:
            self.silenced = ""
            self._log.info("voting_resumed", code=code)

    # ------------------------------------------------------------------ the loop

    async def run(self) -> None:
        """Step events until cancelled."""
        while True:
            await self._turns.wait_filled()
            await self.turn()
            await asyncio.sleep(0)  # readers, timers and the executor get their turn

    async def turn(self) -> None:
        """Step the events that are ready, then carry out their effects as one group."""
        effects: list[Effect] = []
        waiting: list[asyncio.Future[None]] = []
        self._turn_began = (self._clock_ms(), time.monotonic())
        until_s = self._turn_began[1] + SLICE_S
        left = EVENTS_PER_TURN_MAX * max(1, self._turns.peers)
        while self._turns and left > 0 and time.monotonic() < until_s:
            event, peer, done = self._turns.pop()
            effects += self._step(event, peer)
            left -= peer is not None
            if done is not None:
                waiting.append(done)
        await self.carry_out(effects)
        for done in waiting:
            if not done.done():
                done.set_result(None)

    def _step(self, event: Event, peer: PublicKey | None) -> list[Effect]:
        """Step one event; who said what must be known to be false is reported, and perhaps heard no more."""
        watch = self._watch
        failed = watch.failed if watch is not None else 0
        effects = self._machine.step(event, self._calculate_now_ms())
        if peer is not None and watch is not None and watch.failed > failed:
            self.falsehoods += 1
            if self._on_falsehood is not None and self._on_falsehood(peer):
                self._turns.forget(peer)
        return effects

    def _calculate_now_ms(self) -> TimeMs:
        """The wall clock's time as of this turn's beginning and what has passed since: no step of it comes between a
        timer's due time and the wait for it.
        """
        wall_ms, began_s = self._turn_began
        return TimeMs(wall_ms + int((time.monotonic() - began_s) * 1000))

    async def carry_out(self, effects: Sequence[Effect]) -> None:
        """Persist what the effects say, payloads before the votes that speak of them; then the rest, in order."""
        blocks = [block for effect in effects if isinstance(effect, PersistPayload) for block in effect.blocks]
        if blocks:
            await self._duties.persist_payload(blocks)
        records = [effect.record for effect in effects if isinstance(effect, Persist)]
        if records:
            await self._records.append(records)
            self.records_written += len(records)
        for effect in effects:
            self._carry_out_one(effect)

    def _carry_out_one(self, effect: Effect) -> None:
        match effect:
            case Persist() | PersistPayload():
                pass  # durable by now
            case Broadcast(message=message):
                self._broadcast(message)
            case SetTimer(name=name, view=view, due_ms=due_ms):
                self._set_timer(name, view, due_ms)
            case StopTimer(name=name):
                self._stop_timer(name)
            case RaiseAlarm(header=header, reason=reason):
                self._log.error("state_diverged", height=header.height, exec_height=header.exec_height, reason=reason)
                self.silence(reason)
                self._duties.on_effect(effect)
            case ReportEvidence(first=first, second=second):
                self.evidence += 1
                self._log.warning("equivocation_seen", view=first.view, first=type(first).__name__, second=second.view)
                self._duties.on_effect(effect)
            case _:
                self._duties.on_effect(effect)

    def _broadcast(self, message: Message) -> None:
        if self.silenced and not isinstance(message, Certificate):
            return
        self._duties.broadcast(message)
        match message:
            case Propose():
                self.post(ReceivedProposal(propose=message))
            case Vote():
                self.post(ReceivedVote(vote=message))
            case Certificate():
                self.post(ReceivedCertificate(certificate=message))

    # ------------------------------------------------------------------ timers

    def _set_timer(self, name: TimerName, view: View, due_ms: TimeMs) -> None:
        self._stop_timer(name)
        delay_s = max(0, due_ms - self._calculate_now_ms()) / 1000
        self._timers[name] = asyncio.get_running_loop().call_later(delay_s, self._fire, name, view)

    def _stop_timer(self, name: TimerName) -> None:
        handle = self._timers.pop(name, None)
        if handle is not None:
            handle.cancel()

    def _fire(self, name: TimerName, view: View) -> None:
        self._timers.pop(name, None)
        self.post(TimerFired(name=name, view=view))

    def close(self) -> None:
        """Stop the timers and let nobody wait."""
        for name in list(self._timers):
            self._stop_timer(name)
        self._turns.close()
