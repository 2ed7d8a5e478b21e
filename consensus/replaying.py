"""Restoring a machine from its vote log, before it takes part again.

Trusted input: the log's own checksums come before this. Never emit an effect here, never verify a signature.
"""

from collections.abc import Iterable

from consensus.certifying import install_certificate
from consensus.machine import Machine
from consensus.pacemaker import Turn
from consensus.records import CertificateRecord, ProposalRecord, Record, VoteRecord, find_epoch
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import View
from protocol.messages import Propose


def replay(m: Machine, records: Iterable[Record]) -> None:
    """Restore own proposals and votes, certificates, and the view of the highest certificate."""
    assert not m.started, "the log is replayed before the start"
    restore(m, records)


def restore(m: Machine, records: Iterable[Record]) -> None:
    """Take what belongs to the present epoch; what belongs to later ones waits until they begin, the rest is past."""
    for record in records:
        epoch = find_epoch(record)
        if epoch > m.epoch:
            m.later.append(record)
        if epoch != m.epoch:
            continue
        match record:
            case VoteRecord(vote=vote):
                _restore_vote(m, vote)
            case ProposalRecord(propose=propose):
                _restore_proposal(m, propose)
            case CertificateRecord(certificate=certificate):
                _restore_certificate(m, certificate)
    if m.next_entry is not None and m.next_entry.view >= m.view:
        m.entry, m.next_entry = m.next_entry, None
        m.view = View(m.entry.view + 1)
    m.turn = Turn(m.view)
    slot = m.slots.get(m.view)
    if slot is not None:
        m.turn.proposed = slot.mine.propose is not None
        m.turn.engaged = bool(slot.mine.votes) or m.turn.proposed
    m.heard = [m.view] * m.size


def _restore_vote(m: Machine, vote: Vote) -> None:
    if vote.view < m.view_min:
        return
    mine = m.open_slot(vote.view).mine
    mine.votes[vote.kind] = vote
    match vote.kind:
        case VoteKind.NOTARIZE:
            mine.notarized = vote.digest
        case VoteKind.NULLIFY:
            mine.nullified = True
        case _:
            mine.finalized = vote.digest


def _restore_proposal(m: Machine, propose: Propose) -> None:
    if propose.view <= m.chain.final.view:
        return
    m.open_slot(propose.view).mine.propose = propose
    m.chain.add(propose.block.header.calculate_digest(), propose.block)


def _restore_certificate(m: Machine, certificate: Certificate) -> None:
    if certificate.view <= m.chain.final.view:
        return
    slot = m.open_slot(certificate.view)
    if slot.get_certificate(certificate.kind) is None:
        install_certificate(m, slot, certificate)
