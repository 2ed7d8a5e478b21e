"""Proposals, votes and certificates as they come in: refused, verified once, stored, counted, certified.

What a new certificate permits is decided when the engine settles. Never cast a vote here.
"""

from consensus.effects import CheckPayload, ReportEvidence
from consensus.evidence import find_contradiction
from consensus.machine import Machine
from consensus.records import CertificateRecord
from consensus.rules import check_block, check_header, is_proposed_again
from consensus.slot import NO_BLOCK, PROPOSALS_MAX, Slot
from protocol.block import Block
from protocol.certificate import (
    Certificate,
    Vote,
    VoteKind,
    calculate_signers,
    calculate_vote_bytes,
    check_certificate,
)
from protocol.ids import Epoch, PublicKey, Signature, TimeMs, ValidatorIndex, View
from protocol.messages import Certificates, Propose, ViewWindow

# ---------------------------------------------------------------------- votes


def on_vote(m: Machine, vote: Vote, now_ms: TimeMs) -> None:
    """Store a vote that is new, in the window and truly signed; certify at a quorum."""
    kind, view, index = vote.kind, vote.view, vote.index
    if vote.epoch != m.epoch or m.ended is not None:
        if m.past is not None and vote.epoch == m.past.epoch and index != m.past.seat:
            help_laggard(m, now_ms, m.past.finalization)
        return
    if kind is VoteKind.PROPOSE or index >= m.size:
        return
    if not m.view_min <= view <= m.view_max:
        if view < m.view_min:
            help_laggard(m, now_ms)
        return
    if kind is VoteKind.NULLIFY and vote.digest != NO_BLOCK:
        return
    slot = m.open_slot(view)
    tally = slot.get_tally(kind)
    if not tally.has_room(vote):
        if index != m.index and view < m.view:
            help_laggard(m, now_ms)
        return
    is_mine = index == m.index
    if not (is_mine and slot.mine.votes.get(kind) == vote):
        message = calculate_vote_bytes(kind, m.chain_id, m.epoch, view, vote.digest)
        if not m.verify(m.validators.keys[index], message, vote.signature):
            return
    count = tally.add(vote)
    m.heard[index] = max(m.heard[index], view)
    _accuse(m, slot, vote)
    if view == m.view:
        _on_vote_in_view(m, slot, vote, is_mine, now_ms)
    if count >= m.quorum and slot.get_certificate(kind) is None and view > m.chain.final.view:
        certificate = tally.make_certificate(kind, m.epoch, view, vote.digest, m.quorum)
        if kind is VoteKind.NOTARIZE and view == m.view:
            _measure(m, now_ms)
        accept_certificate(m, slot, certificate)
        m.broadcast(certificate)


def _on_vote_in_view(m: Machine, slot: Slot, vote: Vote, is_mine: bool, now_ms: TimeMs) -> None:
    """A vote of another in my view is work; my own, sent, starts the measurement."""
    if is_mine:
        if m.turn.notarized_ms is None and vote.kind is VoteKind.NOTARIZE:
            m.turn.notarized_ms = now_ms
    elif not m.turn.engaged:
        m.turn.engaged = True
        m.dirty = True
    if vote.kind is VoteKind.NULLIFY and vote.index == m.leader:
        m.dirty = True


def _measure(m: Machine, now_ms: TimeMs) -> None:
    """From one's own Notarize to the quorum is about one way; from one's own proposal, two."""
    since = m.turn.notarized_ms
    if since is not None and now_ms >= since:
        m.pace.on_quorum((now_ms - since) // 2 if m.turn.proposed else now_ms - since)


def _accuse(m: Machine, slot: Slot, vote: Vote) -> None:
    """Report a contradiction once per validator and view."""
    other = find_contradiction(slot, vote)
    if other is not None and vote.index not in slot.accused:
        slot.accused[vote.index] = True
        _suspect(m, vote.index)
        m.out.append(ReportEvidence(first=other, second=vote))


def _suspect(m: Machine, index: ValidatorIndex) -> None:
    if index != m.index:
        m.suspects[index] = True
        m.dirty = True


def help_laggard(m: Machine, now_ms: TimeMs, ended: Certificate | None = None) -> None:
    """Somebody repeats what is long settled: show what let me go on, at most once per 2D whatever peers send.

    To a voter of an epoch that `ended`, that is the finalization of its last block, and nothing else means anything.
    """
    if not m.may_vote or abs(now_ms - m.helped_ms) < 2 * m.pace.calculate_delay_ms():
        return
    m.helped_ms = now_ms
    for certificate in (m.chain.finalization, m.entry) if ended is None else (ended,):
        if certificate is not None:
            m.broadcast(certificate)


def list_newest_votes(m: Machine, index: ValidatorIndex) -> tuple[Vote, ...]:
    """What a validator said in the highest view in which I heard it vote: so that it can tell whether it forgot."""
    for view in sorted(m.slots, reverse=True):
        slot = m.slots[view]
        found = [tally.first.get(index) for tally in (slot.notarizes, slot.nullifies, slot.finalizes)]
        if any(found):
            return tuple(vote for vote in found if vote is not None)
    return ()


# ---------------------------------------------------------------------- certificates


def on_certificate(m: Machine, certificate: Certificate) -> bool:
    """Store a certificate that is new and proves what it says; False when it proves nothing."""
    kind, view = certificate.kind, certificate.view
    if certificate.epoch != m.epoch or kind is VoteKind.PROPOSE or view < 1:
        return False
    if view <= m.chain.final.view or m.ended is not None:
        return True
    held = m.slots.get(view)
    if held is not None and held.get_certificate(kind) is not None:
        return True
    if not prove_certificate(m, held, certificate):
        return False
    accept_certificate(m, m.open_slot(view), certificate)
    return True


def prove_certificate(m: Machine, slot: Slot | None, certificate: Certificate) -> bool:
    """Whether exactly a quorum signed it; signatures that came as votes are not verified again."""
    known: dict[PublicKey, Signature] = {}
    if slot is not None:
        tally = slot.get_tally(certificate.kind)
        for index in calculate_signers(certificate):
            signature = tally.find(index, certificate.digest) if index < m.size else None
            if signature is not None:
                known[m.validators.keys[index]] = signature

    def verify(key: PublicKey, message: bytes, signature: Signature) -> bool:
        return known.get(key) == signature or m.verify(key, message, signature)

    return check_certificate(certificate, m.validators, m.chain_id, verify) is None


def accept_certificate(m: Machine, slot: Slot, certificate: Certificate) -> None:
    """Log a proven certificate before any vote it permits, and note what it may permit."""
    view = certificate.view
    m.persist(CertificateRecord(certificate=certificate))
    install_certificate(m, slot, certificate)
    for index in calculate_signers(certificate):
        m.heard[index] = max(m.heard[index], view)
    m.dirty = True


def install_certificate(m: Machine, slot: Slot, certificate: Certificate) -> None:
    """Put a certificate, new or from the log, where it belongs."""
    view, kind = certificate.view, certificate.kind
    slot.set_certificate(certificate)
    if kind is not VoteKind.NULLIFY and view > m.chain.final.view and view not in m.open_views:
        m.open_views.append(view)
        m.open_views.sort()
    if view >= m.view and (m.next_entry is None or view > m.next_entry.view):
        m.next_entry = certificate
    if kind is VoteKind.FINALIZE and (m.finalization is None or view > m.finalization.view):
        m.finalization = certificate


def on_certificates(m: Machine, certificates: Certificates) -> None:
    """An answer to a question: the first certificate that proves nothing ends the reading."""
    for certificate in certificates.certificates:
        if not on_certificate(m, certificate):
            return


def list_certificates(m: Machine, view_from: View, epoch: Epoch | None = None) -> tuple[Certificate, ...]:
    """What a peer needs to follow from `view_from` on, ascending, at most one reply's worth.

    Of the epoch before, the one finalization that ended it is all there is to know.
    """
    if epoch is not None and epoch != m.epoch:
        return (m.past.finalization,) if m.past is not None and m.past.epoch == epoch else ()
    found: list[Certificate] = []
    final = m.chain.finalization
    if final is not None and final.view >= view_from:
        found.append(final)
    for view in sorted(view for view in m.slots if view >= max(view_from, m.chain.final.view + 1)):
        slot = m.slots[view]
        found += [one for one in (slot.notarization, slot.nullification, slot.finalization) if one is not None]
    return tuple(found[: 2 * ViewWindow])


# ---------------------------------------------------------------------- proposals and blocks


def on_proposal(m: Machine, propose: Propose, now_ms: TimeMs) -> None:
    """Store the leader's proposal; a second, different one is evidence."""
    view, header = propose.view, propose.block.header
    if propose.epoch != m.epoch or m.ended is not None or not m.chain.final.view < view <= m.view_max:
        return
    leader = m.validators.calculate_leader(view)
    digest = header.calculate_digest()
    held = m.slots.get(view)
    if held is not None and digest in held.proposals:
        _read_carried(m, propose)  # the copy heard first may have lost on its way what this one brings
        return
    if held is not None and len(held.proposals) >= PROPOSALS_MAX:
        return
    first_view = header.view if is_proposed_again(propose) else view
    if check_header(
        header,
        chain_id=m.chain_id,
        epoch=m.epoch,
        view=first_view,
        leader=m.validators.calculate_leader(first_view),
        params=m.chain.params,
    ):
        return
    if check_block(propose.block):
        return
    if not (held is not None and leader == m.index and held.mine.propose == propose):
        message = calculate_vote_bytes(VoteKind.PROPOSE, m.chain_id, m.epoch, view, digest)
        if not m.verify(m.validators.keys[leader], message, propose.signature):
            return
    slot = m.open_slot(view)
    if slot.proposals and not slot.equivocation:
        slot.equivocation = True
        _suspect(m, leader)
        m.out.append(ReportEvidence(first=next(iter(slot.proposals.values())), second=propose))
    slot.proposals[digest] = propose
    m.heard[leader] = max(m.heard[leader], view)
    m.dirty = True
    _read_carried(m, propose)
    if view == m.view:
        m.turn.engaged = True
        if leader == m.index:
            m.turn.notarized_ms = now_ms
    keep_block(m, propose.block)


def _read_carried(m: Machine, propose: Propose) -> None:
    """The certificates in a proposal, ascending; the first that proves nothing ends the reading.

    No signature covers them: they prove themselves or nothing, and never speak against the block.
    """
    carried = [one for one in (propose.finalization, propose.parent_cert) if one is not None]
    for certificate in (*carried, *propose.nullifications):
        if certificate.view >= propose.view or not on_certificate(m, certificate):
            return


def keep_block(m: Machine, block: Block) -> None:
    """Hold a block and have its payload checked."""
    entry = m.chain.add(block.header.calculate_digest(), block)
    if entry is not None and not entry.asked and m.started:
        entry.asked = True
        m.out.append(CheckPayload(block=block))
    m.dirty = True


def on_block(m: Machine, block: Block) -> None:
    """A block asked for: taken only when I want it, or when a certificate or an own vote names it."""
    digest = block.header.calculate_digest()
    if check_block(block) is not None:
        return
    slot = m.slots.get(block.header.view)
    named = slot is not None and digest in (slot.certified, slot.mine.notarized, slot.mine.finalized)
    if named or digest in m.asked_blocks:
        keep_block(m, block)
