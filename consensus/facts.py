"""What an engine knows: slots, the chain above the last finalised block, and the facts that events bring.

Each fact is verified before it is remembered, and remembered within bounds. Never decide to vote here: consequences
are drawn in `consensus.engine`.
"""

from collections.abc import Iterable

import msgspec

from consensus.chain import Chain, Point, is_whole
from consensus.effects import (
    Broadcast,
    Effect,
    FetchCertificates,
    Persist,
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
from protocol.limits import VIEW_WINDOW_AHEAD, VIEW_WINDOW_PAST
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


class Facts:
    """The memory of one engine, and how events change it."""

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

    # --- what the facts say ------------------------------------------------------------------------------------

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
