"""The Simplex machine of one epoch: `step(event, now_ms) -> effects`, pure.

A step notes a fact and then does whatever the facts now permit, in a loop until nothing more follows: form
certificates, commit, enter views, propose, notarize, finalize, nullify. So the order in which facts arrive does not
matter, only which are there. The five safety rules stand as S1 to S5 beside the lines that keep them.

Rule 1: nothing here reads a clock, a disk or a socket. Rule 2: whatever binds me is `Persist`ed before it is sent.
"""

from collections.abc import Iterable

import msgspec

from consensus.chain import Chain, Point, is_whole
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
    ReportEvidence,
)
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
    Verdict,
    WorkChanged,
)
from consensus.pacemaker import DEFAULT_TIMING, Pacemaker, Timing
from consensus.records import CertificateRecord, ProposalRecord, Record, VoteRecord
from consensus.slot import Payload, Slot
from protocol.block import FIRST_EPOCH, HEADER_VERSION, Block, Header, calculate_batches_root
from protocol.certificate import (
    Certificate,
    VerifySignature,
    Vote,
    VoteKind,
    calculate_vote_bytes,
    check_certificate,
)
from protocol.crypto import Signer
from protocol.ids import ZERO_DIGEST, BlockDigest, ChainId, Digest, Height, TimeMs, ValidatorIndex, View
from protocol.limits import BLOCK_TIME_AHEAD_MS_MAX, EXECUTION_LAG_MAX, VIEW_WINDOW_AHEAD, VIEW_WINDOW_PAST
from protocol.messages import Blocks, Propose
from protocol.validators import ValidatorSet

NO_BLOCK = BlockDigest(ZERO_DIGEST)
ROOTS_KEPT = 1_024
"""Heights whose own exec_root is remembered to judge headers; a header that names an older one waits."""


class Floor(msgspec.Struct, frozen=True, kw_only=True):
    """Where an engine starts: the last finalised block (or the genesis) and what is executed."""

    point: Point
    finalization: Certificate | None
    exec_height: Height
    exec_root: Digest
    params_hash: Digest
    """What every header names as its parameters."""
    nonempty_height: Height = Height(0)
    """Last finalised height that ordered something; its root still wants a header."""


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What consensus waits for, for people to read."""

    view: View
    kind: VoteKind
    lacking: int
    """How many more of that kind make a quorum."""
    silent: tuple[ValidatorIndex, ...]
    """Validators that have not said it."""


class Engine:
    """One node's part in consensus. Without a signer it follows and never votes."""

    def __init__(
        self,
        *,
        chain_id: ChainId,
        validators: ValidatorSet,
        signer: Signer | None,
        verify: VerifySignature,
        floor: Floor,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.validators = validators
        self.view = View(floor.point.view + 1)
        self.pace = Pacemaker(timing)
        self.alarm: str | None = None
        self._chain_id, self._epoch, self._params = chain_id, FIRST_EPOCH, floor.params_hash
        self.chain = Chain(chain_id, self._epoch, floor.point)
        self._signer = signer
        self._me = None if signer is None else validators.find(signer.public_key)
        self._verify = verify
        self._validators_hash = validators.calculate_hash()
        self._slots: dict[View, Slot] = {}
        self._executed: dict[Height, Digest] = {floor.exec_height: floor.exec_root}
        self._exec_height = floor.exec_height
        self._started = False
        self._has_work = False
        self._nothing_to_order = False
        """The mempool had nothing beyond what unfinalised ancestors order; asked again after a commit or new work."""
        self._fetched_view = View(0)
        self._asked: dict[BlockDigest, None] = {}
        self._payload: dict[BlockDigest, Payload] = {}
        self._now = TimeMs(0)
        self._effects: list[Effect] = []
        self._nonempty_height = floor.nonempty_height
        if floor.finalization is not None:
            self._hold(floor.finalization)

    def replay(self, records: Iterable[Record]) -> None:
        """Restore what I said and what permitted it from the vote log, in order."""
        for record in records:
            match record:
                case ProposalRecord(propose=propose):
                    slot = self._slot(propose.view)
                    slot.proposed = True
                    digest = propose.block.header.calculate_digest()
                    slot.proposals[digest] = propose
                    self.chain.add(digest, propose.block)
                case VoteRecord(vote=vote):
                    slot = self._slot(vote.view)
                    slot.add_vote(vote)
                    if vote.kind is VoteKind.NOTARIZE:
                        slot.notarized = vote.digest
                    elif vote.kind is VoteKind.NULLIFY:
                        slot.nullified = True
                    else:
                        slot.finalized = vote.digest
                case CertificateRecord(certificate=certificate):
                    self._hold(certificate)

    def step(self, event: Event, now_ms: TimeMs) -> list[Effect]:
        """Take in one fact at local time `now_ms`; return what to do, in order."""
        self._now = max(self._now, now_ms)
        self._note(event)
        if self._started and self.alarm is None:
            self._progress()
        effects, self._effects = self._effects, []
        return effects

    # --- facts -------------------------------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        match event:
            case ReceivedVote(vote=vote):
                self._on_vote(vote)
            case ReceivedProposal(propose=propose):
                self._on_proposal(propose)
            case ReceivedCertificate(certificate=certificate):
                self._on_certificate(certificate)
            case ReceivedCertificates(certificates=page):
                for certificate in page.certificates:
                    self._on_certificate(certificate)
            case ReceivedBlock(block=block):
                self._on_block(block)
            case ReceivedBlocks(blocks=page):
                self._on_blocks(page)
            case PayloadChecked(digest=digest, verdict=verdict):
                self._on_payload(digest, verdict)
            case PayloadBuilt():
                self._on_built(event)
            case WorkChanged(has_work=has_work):
                self._has_work = has_work
                self._nothing_to_order = False
            case Executed(height=height, exec_root=exec_root):
                self._executed[height] = exec_root
                self._executed.pop(Height(height - ROOTS_KEPT), None)
                self._exec_height = max(self._exec_height, height)
            case TimerFired(name=name, view=view):
                self.pace.on_fired(name, view)
            case Started():
                self._started = True

    def _slot(self, view: View) -> Slot:
        slot = self._slots.get(view)
        if slot is None:
            slot = self._slots[view] = Slot(view)
        return slot

    def _in_window(self, view: View) -> bool:
        return self.chain.final.view - VIEW_WINDOW_PAST <= view <= self.view + VIEW_WINDOW_AHEAD

    def _on_vote(self, vote: Vote) -> None:
        if vote.epoch != self._epoch or not self._in_window(vote.view) or vote.index >= len(self.validators.keys):
            return
        if vote.kind is VoteKind.PROPOSE or (vote.kind is VoteKind.NULLIFY and vote.digest != NO_BLOCK):
            return
        slot = self._slot(vote.view)
        if not slot.wants(vote):
            return
        message = calculate_vote_bytes(vote.kind, self._chain_id, vote.epoch, vote.view, vote.digest)
        if not self._verify(self.validators.keys[vote.index], message, vote.signature):
            return
        self.pace.on_heard(vote.index, vote.view)
        earlier = slot.add_vote(vote)
        if earlier is not None:
            self._effects.append(ReportEvidence(first=earlier, second=vote))
        votes = slot.votes[(vote.kind, vote.digest)]
        if len(votes) >= self.validators.quorum and not slot.holds(vote.kind, vote.digest):
            signers = sorted(votes)[: self.validators.quorum]
            certificate = Certificate(
                kind=vote.kind,
                epoch=self._epoch,
                view=vote.view,
                digest=vote.digest,
                signers=sum(1 << index for index in signers),
                signatures=tuple(votes[index] for index in signers),
            )
            self._adopt(certificate)
            self._effects.append(Broadcast(message=certificate))

    def _on_certificate(self, certificate: Certificate) -> None:
        if certificate.epoch != self._epoch or certificate.view < self.chain.final.view - VIEW_WINDOW_PAST:
            return
        slot = self._slots.get(certificate.view)
        if slot is not None and slot.holds(certificate.kind, certificate.digest):
            return
        if check_certificate(certificate, self.validators, self._chain_id, self._verify) is None:
            self._adopt(certificate)

    def _adopt(self, certificate: Certificate) -> None:
        self._hold(certificate)
        self._effects.append(Persist(record=CertificateRecord(certificate=certificate)))
        if certificate.kind is VoteKind.NOTARIZE:
            self.pace.nullified_in_row = 0
            slot = self._slot(certificate.view)
            if slot.notarized_ms is not None:
                self.pace.on_delay(self._now - slot.notarized_ms)
                slot.notarized_ms = None
        elif certificate.kind is VoteKind.NULLIFY:
            self.pace.nullified_in_row += 1

    def _hold(self, certificate: Certificate) -> None:
        slot = self._slot(certificate.view)
        if certificate.kind is VoteKind.NOTARIZE:
            slot.notarizations.setdefault(certificate.digest, certificate)
        elif certificate.kind is VoteKind.NULLIFY:
            slot.nullification = slot.nullification or certificate
        else:
            slot.finalization = slot.finalization or certificate

    def _on_proposal(self, propose: Propose) -> None:
        if propose.epoch != self._epoch or not self._in_window(propose.view) or propose.view < 1:
            return
        slot = self._slot(propose.view)
        digest = propose.block.header.calculate_digest()
        if digest in slot.proposals or len(slot.proposals) >= 2 or not is_whole(propose.block):
            return
        leader = self.validators.calculate_leader(propose.view)
        message = calculate_vote_bytes(VoteKind.PROPOSE, self._chain_id, self._epoch, propose.view, digest)
        if not self._verify(self.validators.keys[leader], message, propose.signature):
            return
        self.pace.on_heard(leader, propose.view)
        for first in slot.proposals.values():
            slot.equivocated = True
            self._effects.append(ReportEvidence(first=first, second=propose))
        slot.proposals[digest] = propose
        self.chain.add(digest, propose.block)
        for certificate in (propose.parent_cert, propose.finalization, *propose.nullifications):
            if certificate is not None:
                self._on_certificate(certificate)
        if not self._is_permitted(propose) and self._fetched_view < propose.view:
            self._fetched_view = propose.view
            self._effects.append(FetchCertificates(view_from=View(self.chain.final.view + 1)))

    def _on_block(self, block: Block) -> None:
        digest = block.header.calculate_digest()
        if (digest in self._asked or not self._started) and is_whole(block):
            self._asked.pop(digest, None)
            self.chain.add(digest, block)

    def _on_blocks(self, page: Blocks) -> None:
        """Take in finalised blocks from sync: a chain of hashes from my final point to one finalization."""
        digest, height, found = self.chain.final.digest, self.chain.final.height, []
        for block in page.blocks:
            if block.header.height <= height:
                continue
            if block.header.parent_digest != digest or block.header.height != height + 1 or not is_whole(block):
                return
            digest, height = block.header.calculate_digest(), block.header.height
            found.append((digest, block))
        proof = page.finalization
        if not found or proof is None or (proof.kind, proof.digest) != (VoteKind.FINALIZE, digest):
            return
        if proof.epoch != self._epoch or check_certificate(proof, self.validators, self._chain_id, self._verify):
            return
        for one, block in found:
            self.chain.replace(one, block)
        self._adopt(proof)

    def _on_payload(self, digest: BlockDigest, verdict: Verdict) -> None:
        if digest in self._payload:
            self._payload[digest] = Payload.OK if verdict is Verdict.OK else Payload.BAD

    def _on_built(self, built: PayloadBuilt) -> None:
        """Propose what the mempool chose, unless the moment has passed."""
        slot = self._slot(built.view)
        parent = self.chain.find_point(built.parent_digest)
        if built.view != self.view or slot.proposed or parent is None or self._signer is None or self.alarm:
            return
        if not built.batches and not self._wants_empty(parent) and not (self._has_work and not self.chain.blocks):
            slot.building, self._nothing_to_order = False, True
            return
        header = Header(
            version=HEADER_VERSION,
            chain_id=self._chain_id,
            epoch=self._epoch,
            height=Height(parent.height + 1),
            view=built.view,
            parent_digest=parent.digest,
            time_ms=TimeMs(max(self._now, parent.time_ms + 1)),
            batches_root=calculate_batches_root(built.batches),
            batch_count=len(built.batches),
            tx_count=sum(ref.tx_count for ref in built.batches),
            exec_height=self._exec_height,
            exec_root=self._executed[self._exec_height],
            history_root=parent.mountains.calculate_root(),
            next_validators_hash=self._validators_hash,
            params_hash=self._params,
            proposer=self.validators.calculate_leader(built.view),
        )
        digest = header.calculate_digest()
        slot.proposed = True
        propose = Propose(
            epoch=self._epoch,
            view=built.view,
            block=Block(header=header, batches=built.batches),
            parent_view=parent.view,
            parent_cert=self._slot(parent.view).notarizations.get(parent.digest)
            or self._slot(parent.view).finalization,
            finalization=self._slot(self.chain.final.view).finalization,
            nullifications=tuple(
                one
                for view in range(parent.view + 1, built.view)
                if (one := self._slot(View(view)).nullification) is not None
            )[: VIEW_WINDOW_PAST + VIEW_WINDOW_AHEAD],
            signature=self._signer.sign(
                calculate_vote_bytes(VoteKind.PROPOSE, self._chain_id, self._epoch, built.view, digest)
            ),
        )
        self._effects += [Persist(record=ProposalRecord(propose=propose)), Broadcast(message=propose)]

    # --- consequences ------------------------------------------------------------------------------------------

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

    def _is_permitted(self, propose: Propose) -> bool:
        """S4: the parent is notarized (or final) and every skipped view is nullified."""
        parent = propose.block.header.parent_digest
        for view in range(propose.view - 1, self.chain.final.view, -1):
            slot = self._slots.get(View(view))
            if slot is None:
                return False
            if parent in slot.notarizations:
                return True
            if slot.nullification is None:
                return False
        return parent == self.chain.final.digest

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

    def _wants_empty(self, parent: Point) -> bool:
        """Whether a block without batches is useful: it carries a root, finishes an ancestor, or shows life."""
        if self.pace.heartbeat_due:
            return True
        if any(block.batches for _, block in self.chain.find_path(parent.digest) or []):
            return True
        return parent.exec_height < self._nonempty_height <= self._exec_height

    def _is_working(self) -> bool:
        """Whether anything waits for consensus; if not, no timer runs (idle rule)."""
        if self._has_work or self.pace.heartbeat_due:
            return True
        slot = self._slots.get(self.view)
        if slot is not None and (slot.proposals or slot.votes):
            return True
        if any(one.finalization for one in self._slots.values() if one.view > self.chain.final.view):
            return True
        if any(block.batches for block in self.chain.blocks.values()):
            return True
        return self.chain.final.exec_height < self._nonempty_height <= self._exec_height

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
