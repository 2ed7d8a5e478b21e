"""When I say Notarize, Nullify and Finalize. The laws are `rules`; here they are applied to the present state.

Every vote leaves as Persist then Broadcast (S5) and counts only when the shell feeds it back.
"""

from bisect import bisect_right
from typing import Final

from consensus.chain import Entry
from consensus.departures import Departure
from consensus.effects import PersistPayload
from consensus.events import Verdict
from consensus.machine import Machine
from consensus.records import VoteRecord
from consensus.rules import (
    check_may_finalize,
    check_may_notarize,
    check_may_nullify,
    check_parent,
    check_payload,
    find_unproven_view,
    is_proposed_again,
    is_timely,
    judge_soundness,
)
from consensus.slot import NO_BLOCK, Slot
from protocol.certificate import Vote, VoteKind, calculate_vote_bytes
from protocol.ids import BlockDigest, TimeMs, View
from protocol.messages import Propose

SETTLED_LOOKED_AT: Final = 16  # views: a hole this small is filled at once, block by block, while sync begins


def cast(m: Machine, slot: Slot, kind: VoteKind, digest: BlockDigest) -> None:
    """Sign, log, send. The caller has bound `slot.mine` already."""
    assert m.signer is not None, "an observer never votes"
    assert m.index is not None, "a signer has a place in the set"
    message = calculate_vote_bytes(kind, m.chain_id, m.epoch, slot.view, digest)
    vote = Vote(
        kind=kind, epoch=m.epoch, view=slot.view, digest=digest, index=m.index, signature=m.signer.sign(message)
    )
    slot.mine.votes[kind] = vote
    m.persist(VoteRecord(vote=vote))
    m.broadcast(vote)


# ---------------------------------------------------------------------- Notarize


def try_notarize(m: Machine, now_ms: TimeMs) -> None:
    """Notarize the first acceptable proposal of the current view (S1, S4)."""
    slot = m.slots.get(m.view)
    if slot is None or not m.may_vote or check_may_notarize(slot, m.view):
        return
    for digest, propose in slot.proposals.items():
        if _is_acceptable(m, digest, propose, now_ms):
            slot.mine.notarized = digest
            cast(m, slot, VoteKind.NOTARIZE, digest)
            return


def _is_acceptable(m: Machine, digest: BlockDigest, propose: Propose, now_ms: TimeMs) -> bool:
    entry = m.chain.entries.get(digest)
    if entry is None:
        return False
    if check_parent(m.chain, entry.header) is not None:
        entry.sound = False
        return False
    unproven = find_unproven_view(m.slots, m.chain, propose)
    if unproven is not None:
        m.fetch_certificates(unproven)
        return False
    parent_digest = entry.header.parent_digest
    if parent_digest != m.chain.final.digest:
        parent = m.chain.entries.get(parent_digest)
        if parent is None:
            m.fetch_block(parent_digest)
            return False
        if parent.verdict is not Verdict.OK:
            return False
    judge_soundness(m.chain, entry)
    if entry.sound is None:  # some ancestor is unknown
        missing = m.chain.find_path(digest).missing
        if missing is not None:
            m.fetch_block(missing)
        return False
    if check_payload(m.chain, entry) is not Verdict.OK:
        return False
    behind_ms = m.pace.calculate_delay_ms() + m.timing.clock_behind_ms
    return is_proposed_again(propose) or is_timely(entry.header, now_ms, behind_ms)


# ---------------------------------------------------------------------- Finalize


def list_undecided(m: Machine) -> list[View]:
    """Certified views that are worth a look at every step: those no finalization settles, and the few just below one.

    A node that comes back holds certificates of hundreds of views, all settled by the finalization that it still has
    to reach: sync brings their blocks.
    """
    if m.finalization is None:
        return m.open_views
    settled = bisect_right(m.open_views, m.finalization.view)
    return m.open_views[max(0, settled - SETTLED_LOOKED_AT) :]


def try_finalize_all(m: Machine) -> None:
    """Finalize every certified view that permits it (S2, S3) and that is not settled already."""
    for view in list_undecided(m):
        slot = m.slots[view]
        digest = slot.certified
        assert digest is not None, "open views are certified"
        entry = m.chain.entries.get(digest)
        if entry is None:
            m.fetch_block(digest)
            continue
        if entry.sound is None:
            judge_soundness(m.chain, entry)
        if m.may_vote and slot.mine.finalized is None and not slot.mine.nullified:
            _try_finalize(m, slot, entry)


def _try_finalize(m: Machine, slot: Slot, entry: Entry) -> None:
    path = m.chain.find_path(entry.digest)
    if check_may_finalize(slot, entry.digest, path) is not None:
        if path.missing is not None:
            m.fetch_block(path.missing)
        return
    if check_payload(m.chain, entry) is not Verdict.OK:
        return
    unsaved = tuple(one.block for one in path.entries if not one.durable)
    for one in path.entries:
        one.durable = True
    slot.mine.finalized = entry.digest
    if unsaved:
        m.out.append(PersistPayload(blocks=unsaved))
    cast(m, slot, VoteKind.FINALIZE, entry.digest)


# ---------------------------------------------------------------------- Nullify


def try_nullify(m: Machine) -> None:
    """TIMEOUT of the current view: no proposal, too long, bad, given up by its leader, or led by nobody."""
    if m.may_vote and _is_over(m):
        m.turn.why = m.turn.why or find_reason(m)
        nullify(m, m.open_slot(m.view))


def nullify(m: Machine, slot: Slot) -> None:
    """Give a view up, if I did not finalize in it (S2)."""
    if m.may_vote and check_may_nullify(slot) is None:
        slot.mine.nullified = True
        cast(m, slot, VoteKind.NULLIFY, NO_BLOCK)


def _is_over(m: Machine) -> bool:
    turn, leader = m.turn, m.leader
    if turn.view_over:
        return True
    slot = m.slots.get(m.view)
    if slot is not None and leader != m.index and leader in slot.nullifies.first:
        return True
    if turn.lead_over and leader != m.index and not _has_hopeful_proposal(m, slot):
        return True
    if not turn.armed or leader == m.index:
        return False
    silent = m.view - m.heard[leader] > 2 * m.size
    return silent or m.suspects[leader]


def find_reason(m: Machine) -> Departure:
    """Why a view that is over is over, for the count alone."""
    turn, leader, slot = m.turn, m.leader, m.slots.get(m.view)
    if leader == m.index:
        return Departure.OWN_TURN
    if slot is not None and slot.equivocation:
        return Departure.EQUIVOCATION
    if slot is not None and leader in slot.nullifies.first:
        return Departure.LEADER_GAVE_UP
    if (turn.lead_over or turn.view_over) and not _has_hopeful_proposal(m, slot):
        return Departure.BAD_PAYLOAD if slot is not None and slot.proposals else Departure.NO_PROPOSAL
    if turn.view_over:
        return Departure.LATE
    return Departure.LEADER_CONTRADICTED_ITSELF if m.suspects[leader] else Departure.LEADER_SILENT


def _has_hopeful_proposal(m: Machine, slot: Slot | None) -> bool:
    """Whether some proposal may still turn out well."""
    if slot is None:
        return False
    for digest in slot.proposals:
        entry = m.chain.entries.get(digest)
        if entry is not None and check_payload(m.chain, entry) is not Verdict.BAD:
            return True
    return False


def nullify_what_nobody_holds(m: Machine) -> None:
    """A notarized block that stays unobtainable blocks every leader: give its view up, however late (S2 permits it).

    Deviation from the paper, where a payload travels with its proposal and cannot be lost by everybody at once.
    """
    for at in range(m.view - 1, m.chain.final.view, -1):
        slot = m.slots.get(View(at))
        if slot is None:
            return
        digest = slot.certified
        if digest is not None:
            entry = m.chain.entries.get(digest)
            held = entry is not None and entry.verdict is Verdict.OK
            if held and m.chain.find_path(digest).is_whole:
                return
            if m.view - at > m.size and slot.finalization is None:
                nullify(m, slot)
        if slot.nullification is None:
            return
