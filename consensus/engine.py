"""The Simplex machine of one epoch: `step(event, now_ms) -> effects`, pure.

A step notes a fact and then does whatever the facts now permit, in a loop until nothing more follows: form
certificates, commit, enter views, propose, notarize, finalize, nullify. So the order in which facts arrive does not
matter, only which are there. The five safety rules stand as S1 to S5 beside the lines that keep them.

Rule 1: nothing here reads a clock, a disk or a socket. Rule 2: whatever binds me is `Persist`ed before it is sent.
"""

from consensus.chain import Point
from consensus.effects import (
    Broadcast,
    BuildPayload,
    CheckPayload,
    Commit,
    Effect,
    FetchBlock,
    FetchBlocks,
    FetchCertificates,
    Persist,
    PersistPayload,
    RaiseAlarm,
)
from consensus.events import (
    Event,
)
from consensus.facts import NO_BLOCK, Facts, Waiting
from consensus.records import VoteRecord
from consensus.slot import Payload
from protocol.block import Block
from protocol.certificate import (
    Certificate,
    Vote,
    VoteKind,
    calculate_vote_bytes,
)
from protocol.ids import BlockDigest, Height, TimeMs, ValidatorIndex, View
from protocol.limits import BLOCK_TIME_AHEAD_MS_MAX, EXECUTION_LAG_MAX, VIEW_WINDOW_AHEAD, VIEW_WINDOW_PAST


class Engine(Facts):
    """One node's part in consensus. Without a signer it follows and never votes."""

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """Take in one fact at local time `now_ms`; return what to do, in order."""
        self._now = max(self._now, now_ms)
        self._note(event)
        if self._started and self.alarm is None:
            self._progress()
        effects, self._effects = self._effects, []
        return effects

    def _progress(self) -> None:
        """Do everything the facts permit, until nothing more follows."""
        while True:
            before = (self.view, self.chain.final.height, len(self._effects))
            self._try_commit()
            self._try_enter()
            self._check_payloads()
            if self._me is not None:
                self._try_propose()
                self._try_notarize()
                self._try_finalize()
                self._try_nullify()
            if before == (self.view, self.chain.final.height, len(self._effects)):
                break
        if self.pace.retry_due:
            self.pace.retry_due = False
            self._repeat()
        self._effects += self.pace.update(self._now, self.view, self._is_working())

    def _try_commit(self) -> None:
        newest = max(
            (slot for slot in self._slots.values() if slot.finalization and slot.view > self.chain.final.view),
            key=lambda slot: slot.view,
            default=None,
        )
        if newest is None or newest.finalization is None:
            return
        digest = newest.finalization.digest
        path = self.chain.find_path(digest)
        if path is None:
            if digest not in self._asked:
                self._asked[digest] = None
                self._effects += [FetchBlock(digest=digest), FetchBlocks()]
            return
        for _, block in path:
            own = self._executed.get(block.header.exec_height)
            if own is not None and own != block.header.exec_root:
                self.alarm = (
                    f"block {block.header.height} is final and names another state at {block.header.exec_height}"
                )
                self._effects.append(RaiseAlarm(header=block.header, reason=self.alarm))
                return
        self._nothing_to_order = False
        self._effects.append(Commit(blocks=tuple(block for _, block in path), finalization=newest.finalization))
        for _, block in path:
            if block.batches:
                self._nonempty_height = block.header.height
        self.chain.finalise(digest)
        floor = self.chain.final.view - VIEW_WINDOW_PAST
        self._slots = {view: slot for view, slot in self._slots.items() if view >= floor}
        self._payload = {one: state for one, state in self._payload.items() if one in self.chain.blocks}
        self._asked = {}

    def _try_enter(self) -> None:
        passed = max((slot.view for slot in self._slots.values() if slot.is_decided()), default=View(0))
        if passed >= self.view:
            self.view = View(passed + 1)

    def _check_payloads(self) -> None:
        """Fetch certified blocks that are unknown; ask the shell about each known block once."""
        for slot in list(self._slots.values()):
            for digest in slot.notarizations:
                if slot.view > self.chain.final.view and digest not in self.chain.blocks and digest not in self._asked:
                    self._asked[digest] = None
                    self._effects.append(FetchBlock(digest=digest))
        for digest, block in self.chain.blocks.items():
            if digest not in self._payload and self.chain.find_point(block.header.parent_digest) is not None:
                self._payload[digest] = Payload.PENDING
                parent = self.chain.find_point(block.header.parent_digest)
                assert parent is not None
                leader = self.validators.calculate_leader(block.header.view)
                reason = self.chain.check_header(
                    block,
                    parent,
                    view=block.header.view,
                    leader=leader,
                    validators_hash=self._validators_hash,
                    params=self._params,
                )
                if reason is not None:
                    self._payload[digest] = Payload.BAD
                else:
                    self._effects.append(CheckPayload(block=block))

    def _find_parent(self, view: View) -> Point | None:
        """The highest notarized point that a block of `view` may stand on (S4), with every view between nullified."""
        below = View(view - 1)
        while below > self.chain.final.view:
            slot = self._slots.get(below)
            if slot is None:
                return None
            for digest in slot.notarizations:
                point = self.chain.find_point(digest)
                if point is not None and self._payload.get(digest) is Payload.OK:
                    return point
            if slot.nullification is None:
                return None
            below = View(below - 1)
        return self.chain.final

    def _try_propose(self) -> None:
        slot = self._slot(self.view)
        if self.validators.calculate_leader(self.view) != self._me or slot.proposed or slot.building or slot.nullified:
            return
        parent = self._find_parent(self.view)
        if parent is None or not ((self._has_work and not self._nothing_to_order) or self._wants_empty(parent)):
            return
        slot.building = True
        self._effects.append(
            BuildPayload(
                view=self.view,
                parent_digest=parent.digest,
                excluded=self.chain.list_batches(parent.digest),
                empty=parent.height + 1 - self._exec_height > EXECUTION_LAG_MAX,
            )
        )

    def _try_notarize(self) -> None:
        slot = self._slot(self.view)
        if slot.notarized is not None:  # S1
            return
        for digest, propose in slot.proposals.items():
            if self._payload.get(digest) is not Payload.OK or not self._is_permitted(propose):
                continue
            header = propose.block.header
            known = self._executed.get(header.exec_height)
            if known is None:
                continue
            if known != header.exec_root:
                self._payload[digest] = Payload.BAD
                continue
            if not self._now - self.pace.clock_slack_ms <= header.time_ms <= self._now + BLOCK_TIME_AHEAD_MS_MAX:
                continue
            slot.notarized, slot.notarized_ms = digest, self._now
            self._cast(VoteKind.NOTARIZE, self.view, digest)
            return

    def _try_finalize(self) -> None:
        for view in sorted(self._slots):
            slot = self._slots[view]
            if view <= self.chain.final.view or slot.finalized or slot.nullified or slot.equivocated:  # S2
                continue
            for digest in slot.notarizations:
                path = self.chain.find_path(digest)
                if path is None or any(self._payload.get(one) is not Payload.OK for one, _ in path):
                    continue
                slot.finalized = digest
                self._effects.append(PersistPayload(blocks=tuple(block for _, block in path)))  # S3
                self._cast(VoteKind.FINALIZE, view, digest)
                break

    def _try_nullify(self) -> None:
        slot = self._slot(self.view)
        if slot.nullified or slot.finalized is not None:  # S2
            return
        leader = self.validators.calculate_leader(self.view)
        bad = any(self._payload.get(digest) is Payload.BAD for digest in slot.proposals)
        late = self.pace.lead_over == self.view and (bad or not slot.proposals)
        silent = leader != self._me and self.pace.is_silent(leader, self.view, len(self.validators.keys))
        given_up = leader in slot.votes.get((VoteKind.NULLIFY, NO_BLOCK), {})
        if self._is_working() and (late or self.pace.view_over == self.view or silent or given_up):
            slot.nullified = True
            self._cast(VoteKind.NULLIFY, self.view, NO_BLOCK)

    def _cast(self, kind: VoteKind, view: View, digest: BlockDigest) -> None:
        """Sign, persist, send: in this order (S5)."""
        assert self._signer is not None
        assert self._me is not None
        message = calculate_vote_bytes(kind, self._chain_id, self._epoch, view, digest)
        vote = Vote(
            kind=kind, epoch=self._epoch, view=view, digest=digest, index=self._me, signature=self._signer.sign(message)
        )
        self._effects += [Persist(record=VoteRecord(vote=vote)), Broadcast(message=vote)]

    def _repeat(self) -> None:
        """Ask again for what is missing, and say again what may have been lost since the last finalisation."""
        self._asked = {}
        if self._me is None:
            self._effects.append(FetchCertificates(view_from=View(self.chain.final.view + 1)))
            return
        for view in sorted(view for view in self._slots if view > self.chain.final.view):
            slot = self._slots[view]
            for certificate in (*slot.notarizations.values(), slot.nullification, slot.finalization):
                if certificate is not None and view == self.view - 1:
                    self._effects.append(Broadcast(message=certificate))
            for votes in slot.cast.values():
                self._effects += [Broadcast(message=vote) for vote in votes if vote.index == self._me]
            if self.validators.calculate_leader(view) == self._me:
                self._effects += [Broadcast(message=propose) for propose in slot.proposals.values()]
        self._effects.append(FetchCertificates(view_from=View(self.chain.final.view + 1)))

    # --- what others may look at -------------------------------------------------------------------------------

    @property
    def final_height(self) -> Height:
        """Height of the last finalised block."""
        return self.chain.final.height

    @property
    def final_digest(self) -> BlockDigest:
        """Digest of the last finalised block."""
        return self.chain.final.digest

    @property
    def leader(self) -> ValidatorIndex:
        """Who leads the current view."""
        return self.validators.calculate_leader(self.view)

    def certificates_from(self, view: View) -> tuple[Certificate, ...]:
        """Certificates of views from `view` on, ascending: the answer to GetCertificates, one page."""
        found: list[Certificate] = []
        for at in sorted(one for one in self._slots if one >= view):
            slot = self._slots[at]
            found += slot.notarizations.values()
            found += [one for one in (slot.nullification, slot.finalization) if one is not None]
        return tuple(found[: 2 * (VIEW_WINDOW_PAST + VIEW_WINDOW_AHEAD)])

    def find_block(self, digest: BlockDigest) -> Block | None:
        """A block that is known and not yet final."""
        return self.chain.blocks.get(digest)

    def waiting_for(self) -> Waiting | None:
        """What the current view lacks, or None when nothing waits (idle)."""
        if not self._is_working():
            return None
        slot = self._slots.get(self.view)
        if slot is None or not slot.proposals:
            return Waiting(view=self.view, kind=VoteKind.PROPOSE, lacking=1, silent=(self.leader,))
        everyone = range(len(self.validators.keys))
        counted = max((len(votes) for (kind, _), votes in slot.votes.items() if kind is VoteKind.NOTARIZE), default=0)
        silent = [index for index in everyone if (VoteKind.NOTARIZE, index) not in slot.cast]
        return Waiting(
            view=self.view,
            kind=VoteKind.NOTARIZE,
            lacking=max(0, self.validators.quorum - counted),
            silent=tuple(ValidatorIndex(index) for index in silent),
        )
