"""When two votes of one validator contradict each other.

Conflicting Notarize, conflicting Finalize, and Nullify beside Finalize in one view. (A Nullify beside a Notarize is
allowed.) Two proposals of one leader are found where proposals are stored. Never judge here what follows from it.
"""

from consensus.slot import Slot
from protocol.certificate import Vote, VoteKind


def find_contradiction(slot: Slot, vote: Vote) -> Vote | None:
    """The stored vote of the same validator that `vote`, stored already, contradicts."""
    index = vote.index
    tally = slot.get_tally(vote.kind)
    if index in tally.second:
        return tally.first[index]
    if vote.kind is VoteKind.NULLIFY:
        return slot.finalizes.first.get(index)
    return slot.nullifies.first.get(index) if vote.kind is VoteKind.FINALIZE else None
