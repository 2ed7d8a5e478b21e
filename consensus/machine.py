"""The state that the parts of the engine share, and the few ways in which effects leave it.

The parts (certifying, voting, leading, committing, pacing) are functions over a Machine; `engine` dispatches to them.
Never put a decision here.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from consensus.chain import Chain, Floor
from consensus.departures import Departure
from consensus.effects import Broadcast, Effect, FetchBlock, FetchBlocks, FetchCertificates, Persist, RaiseAlarm
from consensus.pacemaker import Pacemaker, Timing, Turn
from consensus.records import Record
from consensus.slot import Slot
from protocol.block import Header
from protocol.certificate import Certificate, VerifySignature, Vote
from protocol.crypto import Signer
from protocol.ids import BlockDigest, ChainId, Epoch, TimeMs, ValidatorIndex, View
from protocol.limits import VIEW_WINDOW_AHEAD, VIEW_WINDOW_PAST
from protocol.messages import Propose
from protocol.validators import ValidatorSet

FAR_PAST: Final = TimeMs(-(10**12))


class Past(NamedTuple):
    """What is still of use of the epoch before."""

    epoch: Epoch
    finalization: Certificate
    """Of the block that ended it."""
    seat: ValidatorIndex | None
    """My own place in it."""


class Machine:
    """Everything one validator (or observer) knows."""

    signer: Signer | None
    """The key of mine that has a seat in the present epoch; None while I only follow."""
    index: ValidatorIndex | None
    """That seat."""
    entry: Certificate | None
    """What let me into the current view."""
    finalization: Certificate | None
    """A finalization whose blocks are not all known yet."""

    def __init__(
        self,
        *,
        chain_id: ChainId,
        signers: Sequence[Signer],
        verify: VerifySignature,
        floor: Floor,
        timing: Timing,
        notice: int,
    ) -> None:
        self.chain_id = chain_id
        self.signers = tuple(signers)
        """My keys, the old one and the new one while I rotate: I speak with the one that has a seat."""
        self.verify = verify
        self.timing = timing
        self.pace = Pacemaker(timing)
        self.chain = Chain(floor, notice)
        self.convicted = floor.suspects
        """Keys that my own execution knows to have contradicted themselves."""
        self.past: Past | None = None
        if floor.boundary is not None:
            self.past = Past(Epoch(floor.epoch - 1), floor.boundary, None)
        self.later: list[Record] = []
        """What the vote log holds of epochs that have not begun yet."""
        self.work = False
        self.started = False
        self.silenced = ""
        self.dirty = False
        """Something happened that may permit a vote, a proposal or another view."""
        self.retry_armed = False
        self.helped_ms = FAR_PAST
        self.out: list[Effect] = []
        self.departures = dict.fromkeys(Departure, 0)
        """Views left so far, by why."""
        self.open_epoch(floor.epoch, floor.validators)
        self.entry = floor.finalization
        if floor.finalization is not None and floor.finalization.digest != floor.point.digest:
            self.finalization = floor.finalization

    def open_epoch(self, epoch: Epoch, validators: ValidatorSet) -> None:
        """What belongs to one epoch alone, above the last finalised block and as it is before anything was heard."""
        self.epoch = epoch
        self.validators = validators
        self.size = len(validators.keys)
        self.quorum = validators.quorum
        self.signer = next((one for one in self.signers if one.public_key in validators.keys), None)
        self.index = None if self.signer is None else validators.find(self.signer.public_key)
        self.ended: Header | None = None
        """The final block that ended this epoch, while the validators of the next are not known from my own
        execution: until then nothing is voted for and nothing else is taken."""
        self.slots: dict[View, Slot] = {}
        self.open_views: list[View] = []
        """Views above the last finalised one with a certified block."""
        self.view = View(self.chain.final.view + 1)
        self.turn = Turn(self.view)
        self.entry = None
        self.next_entry: Certificate | None = None
        """The certificate of the highest view not yet left."""
        self.finalization = None
        self.heard: list[View] = [self.view] * self.size
        """The highest view in which each validator signed something."""
        self.suspects: list[bool] = [False] * self.size
        """Validators that contradicted themselves: their views are nullified at once."""
        self.suspect_convicted()
        self.asked_blocks: dict[BlockDigest, bool] = {}
        self.asked_certificates: View | None = None
        self.asked_sync = False

    def suspect_convicted(self) -> None:
        """The executed evidence against present validators."""
        for place, key in enumerate(self.validators.keys):
            if key in self.convicted and place != self.index:
                self.suspects[place] = True

    # ------------------------------------------------------------------ slots

    @property
    def view_min(self) -> View:
        """The lowest view whose votes are kept."""
        return View(max(1, self.chain.final.view - VIEW_WINDOW_PAST))

    @property
    def view_max(self) -> View:
        """The highest view whose votes are kept."""
        return View(self.view + VIEW_WINDOW_AHEAD)

    def open_slot(self, view: View) -> Slot:
        """The slot of a view that the caller found to be acceptable."""
        slot = self.slots.get(view)
        if slot is None:
            slot = self.slots[view] = Slot(view)
        return slot

    def prune(self) -> None:
        """Forget views far below the last finalised one."""
        lowest, final = self.view_min, self.chain.final.view
        self.slots = {view: slot for view, slot in self.slots.items() if view >= lowest}
        self.open_views = [view for view in self.open_views if view > final]
        self.asked_blocks = {}

    # ------------------------------------------------------------------ who I am

    @property
    def may_vote(self) -> bool:
        """Whether I sign anything now."""
        return self.signer is not None and self.started and not self.silenced

    @property
    def leader(self) -> ValidatorIndex:
        """Who proposes in the current view."""
        return self.validators.calculate_leader(self.view)

    @property
    def is_leader(self) -> bool:
        """Whether I propose in the current view."""
        return self.index is not None and self.leader == self.index

    # ------------------------------------------------------------------ effects

    def persist(self, record: Record) -> None:
        """Durable before whatever follows (S5). An observer promises nothing, so it logs nothing."""
        if self.signer is not None:
            self.out.append(Persist(record=record))

    def broadcast(self, message: Propose | Vote | Certificate) -> None:
        """Say it to everybody; an observer says nothing."""
        if self.signer is not None and self.started:
            self.out.append(Broadcast(message=message))

    def fetch_block(self, digest: BlockDigest) -> None:
        """Ask for a block once per retry."""
        if self.started and digest not in self.asked_blocks:
            self.asked_blocks[digest] = True
            self.out.append(FetchBlock(digest=digest))

    def fetch_certificates(self, view_from: View) -> None:
        """Ask for certificates once per retry and place."""
        if self.started and self.asked_certificates != view_from:
            self.asked_certificates = view_from
            self.out.append(FetchCertificates(view_from=view_from, epoch=self.epoch))

    def fetch_blocks(self) -> None:
        """Ask for sync once per retry."""
        if self.started and not self.asked_sync:
            self.asked_sync = True
            self.out.append(FetchBlocks(known=self.chain.lowest_known))

    def raise_alarm(self, header: Header, reason: str) -> None:
        """Stop voting for good, once."""
        if not self.silenced:
            self.silenced = reason
            self.out.append(RaiseAlarm(header=header, reason=reason))
