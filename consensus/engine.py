"""The Simplex machine: `step(event, now) -> effects`, pure. This file only dispatches.

An event changes the state (certifying, committing, leading, pacing); then the engine settles: commit, finalize, enter
the next view, notarize, nullify, lead, arm timers. The laws are in `rules`, the specification in docs/consensus.md.
Rule 1 to the next editor: nothing may be broadcast before the record that forbids its opposite stands in the list.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from consensus import certifying, committing, epochs, leading, pacing, replaying, voting
from consensus.chain import Floor
from consensus.departures import Departure
from consensus.effects import Effect
from consensus.events import (
    Event,
    Executed,
    PayloadBuilt,
    PayloadChecked,
    ReceivedBlock,
    ReceivedBlocks,
    ReceivedCertificate,
    ReceivedCertificates,
    ReceivedProposal,
    ReceivedVote,
    Started,
    TimerFired,
    WorkChanged,
)
from consensus.machine import Machine
from consensus.pacemaker import DEFAULT_TIMING, Timing
from consensus.records import Record
from consensus.waiting import Waiting, find_waiting
from protocol.block import Block
from protocol.certificate import Certificate, VerifySignature, Vote
from protocol.crypto import Signer
from protocol.ids import BlockDigest, ChainId, Epoch, Height, TimeMs, ValidatorIndex, View
from protocol.limits import EPOCH_NOTICE
from protocol.validators import ValidatorSet


class Engine:
    """One node's view of the chain. It votes with the signer that has a seat in the present epoch, and else follows."""

    def __init__(
        self,
        *,
        chain_id: ChainId,
        signers: Sequence[Signer],
        verify: VerifySignature,
        floor: Floor,
        timing: Timing = DEFAULT_TIMING,
        notice: int = EPOCH_NOTICE,
    ) -> None:
        """`notice` is agreed by the whole network; only a test has another."""
        self._machine = Machine(
            chain_id=chain_id, signers=signers, verify=verify, floor=floor, timing=timing, notice=notice
        )
        epochs.resume(self._machine)
        self._table: dict[type[Any], Callable[[Any, TimeMs], None]] = {
            ReceivedVote: lambda event, now_ms: certifying.on_vote(self._machine, event.vote, now_ms),
            ReceivedProposal: lambda event, now_ms: certifying.on_proposal(self._machine, event.propose, now_ms),
            ReceivedCertificate: lambda event, _: void(certifying.on_certificate(self._machine, event.certificate)),
            ReceivedCertificates: lambda event, _: certifying.on_certificates(self._machine, event.certificates),
            ReceivedBlock: lambda event, _: certifying.on_block(self._machine, event.block),
            ReceivedBlocks: lambda event, _: committing.on_blocks(self._machine, event.blocks),
            PayloadChecked: self._on_payload_checked,
            PayloadBuilt: self._on_payload_built,
            WorkChanged: self._on_work_changed,
            Executed: lambda event, _: committing.on_executed(self._machine, event),
            TimerFired: lambda event, now_ms: pacing.on_timer(self._machine, event.name, event.view, now_ms),
            Started: lambda _, now_ms: pacing.start(self._machine, now_ms),
        }

    # ------------------------------------------------------------------ events

    def replay(self, records: Iterable[Record]) -> None:
        """Before `Started`: restore what I bound myself to, the certificates I hold, and the view they lead to."""
        replaying.replay(self._machine, records)

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """What follows from one event, to be carried out in order."""
        m = self._machine
        self._table[type(event)](event, now_ms)
        if m.dirty and m.started:
            self._settle(now_ms)
        effects, m.out = m.out, []
        return effects

    def _settle(self, now_ms: TimeMs) -> None:
        """Draw every consequence of what is known, in the one order that never needs a second look at what is past."""
        m = self._machine
        while m.dirty:
            m.dirty = False
            committing.try_commit(m)
            if not epochs.try_begin(m, now_ms):
                continue
            if m.open_views:
                committing.check_divergence(m)
                voting.try_finalize_all(m)
            pacing.try_enter(m, now_ms)
            voting.try_notarize(m, now_ms)
            leading.try_lead(m, pacing.is_urgent(m))
            pacing.arm(m, now_ms)
            voting.try_nullify(m)

    def _on_payload_checked(self, event: PayloadChecked, _: TimeMs) -> None:
        entry = self._machine.chain.entries.get(event.digest)
        if entry is not None and entry.verdict is None:
            entry.verdict = event.verdict
            self._machine.dirty = True

    def _on_payload_built(self, event: PayloadBuilt, now_ms: TimeMs) -> None:
        leading.on_payload_built(self._machine, event, pacing.is_urgent(self._machine), now_ms)

    def _on_work_changed(self, event: WorkChanged, _: TimeMs) -> None:
        m = self._machine
        m.work = event.has_work
        m.turn.payload_was_empty = False
        m.dirty = True

    # ------------------------------------------------------------------ views for status and peers

    @property
    def epoch(self) -> Epoch:
        """The present epoch; the one that ended, while the next has not begun here."""
        return self._machine.epoch

    @property
    def validators(self) -> ValidatorSet:
        """Of the present epoch."""
        return self._machine.validators

    @property
    def seat(self) -> ValidatorIndex | None:
        """My own place among them; None while I follow."""
        return self._machine.index

    @property
    def is_between_epochs(self) -> bool:
        """Whether an epoch has ended here and the next has not begun: nothing is voted for and no block taken."""
        return self._machine.ended is not None

    @property
    def view(self) -> View:
        """The current view."""
        return self._machine.view

    @property
    def final_height(self) -> Height:
        """Height of the last finalised block."""
        return self._machine.chain.final.height

    @property
    def final_digest(self) -> BlockDigest:
        """Digest of the last finalised block."""
        return self._machine.chain.final.digest

    @property
    def leader(self) -> ValidatorIndex:
        """Who proposes in the current view."""
        return self._machine.leader

    @property
    def departures(self) -> Mapping[Departure, int]:
        """Views left since the start, by why."""
        return self._machine.departures

    @property
    def delay_ms(self) -> int:
        """D: for how long a step is waited for now."""
        return self._machine.pace.calculate_delay_ms()

    @property
    def silenced(self) -> str:
        """Why I no longer vote; empty while I do."""
        return self._machine.silenced

    def waiting_for(self) -> Waiting | None:
        """What the next step towards finality needs, and from whom; None while there is nothing to do."""
        return find_waiting(self._machine)

    def voted_view_of(self, index: ValidatorIndex) -> View:
        """The highest view in which a validator signed anything that was seen here."""
        return self._machine.heard[index]

    def certificates_from(self, view: View, epoch: Epoch | None = None) -> tuple[Certificate, ...]:
        """To answer GetCertificates: ascending, at most one reply's worth, of the present epoch unless told."""
        return certifying.list_certificates(self._machine, view, epoch)

    def newest_votes_of(self, index: ValidatorIndex) -> tuple[Vote, ...]:
        """To remind a validator that comes back of what it said last."""
        return certifying.list_newest_votes(self._machine, index)

    def find_block(self, digest: BlockDigest) -> Block | None:
        """To answer GetBlock: an unfinalised or recently finalised block."""
        return self._machine.chain.find_block(digest)


def void(_: object) -> None:
    """Drop a result that only other callers need."""
