"""Why nothing happens: what the next step towards finality needs, and from whom. For people, never for decisions."""

from typing import NamedTuple

from consensus.events import Verdict
from consensus.machine import Machine
from consensus.pacing import has_work
from consensus.slot import Slot
from protocol.certificate import VoteKind
from protocol.ids import ValidatorIndex, View


class Waiting(NamedTuple):
    """A structured reason."""

    what: str
    """votes, proposal, payload (of a certified block), blocks (of a finalised stretch), execution (of the state that
    plans the next validators, between two epochs) or voting_stopped."""
    view: View
    kind: VoteKind
    """Which vote, or PROPOSE, would be the next step."""
    lacking: int
    """How many more of that kind make a quorum; 0 when something else lacks."""
    silent: tuple[ValidatorIndex, ...]
    """Validators that have not said it."""

    def __str__(self) -> str:
        if self.what == "votes":
            return f"needs {self.lacking} more {self.kind.name} in view {self.view} from indices {self.silent}"
        return f"waits for {self.what} in view {self.view}"


def find_waiting(m: Machine) -> Waiting | None:
    """The first thing that lacks, from what is nearest to finality to what is farthest; None when idle."""
    if m.silenced:
        return Waiting("voting_stopped", m.view, VoteKind.NOTARIZE, 0, ())
    if m.ended is not None:
        return Waiting("execution", m.view, VoteKind.NOTARIZE, 0, ())
    if m.finalization is not None:
        return Waiting("blocks", m.finalization.view, VoteKind.FINALIZE, 0, ())
    if not has_work(m):
        return None
    for view in m.open_views:
        slot = m.slots[view]
        entry = m.chain.entries.get(slot.certified) if slot.certified is not None else None
        if entry is None or entry.verdict is not Verdict.OK:
            return Waiting("payload", view, VoteKind.FINALIZE, 0, ())
        if slot.nullification is None:
            return _lack(m, slot, VoteKind.FINALIZE)
    current = m.slots.get(m.view)
    if current is not None and current.nullifies.first:
        return _lack(m, current, VoteKind.NULLIFY)
    if current is None or not current.proposals:
        return Waiting("proposal", m.view, VoteKind.PROPOSE, 1, (m.leader,))
    return _lack(m, current, VoteKind.NOTARIZE)


def _lack(m: Machine, slot: Slot, kind: VoteKind) -> Waiting:
    _, voters = slot.get_tally(kind).find_best()
    silent = tuple(ValidatorIndex(index) for index in range(m.size) if index not in voters)
    return Waiting("votes", slot.view, kind, max(0, m.quorum - len(voters)), silent)
