"""Governance: validators propose, vote, and change policy, models, members, pauses and freezes; never a loan made.

    Propose -> OPEN -> PASSED -> DONE       enough votes, and its day has come
                 |        '----> LAPSED     what it rested on is gone by then
                 |-> REJECTED               enough noes
                 '-> LAPSED                 its day came before enough votes

One organisation that validates has one vote. What an action does stands in `actions`.
"""

from protocol.crypto import calculate_object_id
from protocol.ids import AccountId, Day, ObjectId
from protocol.ledger import seats
from protocol.ledger.actions import ActionFault, apply_action, find_action_fault, name_action
from protocol.ledger.books import Books, Call, EventKind
from protocol.ledger.records import Fact, Made
from protocol.ledger.rows import Proposal, ProposalState, Role
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.state import MEMBERS, PROPOSALS, replace
from protocol.ledger.voters import count_votes, has_vote
from protocol.limits import PROPOSALS_OPEN_MAX
from protocol.rejections import Rejection
from protocol.transactions.governance import Propose, Vote

AHEAD_DAYS_MAX = 365


def check_propose(books: Books, call: Call, payload: Propose) -> Rejection | None:
    """Why the action cannot be put before the validators. One that changes nothing today may do so on its day."""
    if len(books.state.need(MEMBERS, call.account).proposals) >= PROPOSALS_OPEN_MAX:
        return Rejection.PROPOSALS_TOO_MANY
    if find_action_fault(books, payload.action) not in (None, ActionFault.NOTHING_TO_CHANGE):
        return Rejection.ACTION_INVALID
    if not books.today < payload.effective_on <= books.today + AHEAD_DAYS_MAX:
        return Rejection.EFFECTIVE_DAY_INVALID
    return None


def apply_propose(books: Books, call: Call, payload: Propose) -> tuple[Fact, ...]:
    """Put it before the validators; the proposer has voted with it."""
    proposal_id = calculate_object_id("proposal", call.key, call.nonce)
    effective_ms = books.genesis.calculate_day_start_ms(payload.effective_on, 0)
    proposal = Proposal(
        proposer=call.account,
        action=payload.action,
        effective_on=Day(payload.effective_on),
        effective_ms=effective_ms,
        state=ProposalState.OPEN,
        approved=(call.account,),
    )
    books.schedule(effective_ms, EventKind.PROPOSAL, proposal_id)
    member = books.state.need(MEMBERS, call.account)
    books.state.put(MEMBERS, call.account, replace(member, proposals=(*member.proposals, proposal_id)))
    _emit(books, "proposal_opened", proposal_id, proposal)
    _count(books, proposal_id, proposal)
    return (Made(id=proposal_id),)


def check_vote(books: Books, call: Call, payload: Vote) -> Rejection | None:
    """Why the vote does not count."""
    proposal = books.state.get(PROPOSALS, payload.proposal)
    if proposal is None:
        return Rejection.PROPOSAL_UNKNOWN
    if proposal.state is not ProposalState.OPEN or proposal.effective_ms <= books.now_ms:
        # Its event may still wait behind a thousand others of the day.
        return Rejection.PROPOSAL_CLOSED
    return Rejection.VOTED_ALREADY if call.account in (*proposal.approved, *proposal.rejected) else None


def apply_vote(books: Books, call: Call, payload: Vote) -> tuple[Fact, ...]:
    """Count it; the last vote that was needed decides, either way."""
    proposal = books.state.need(PROPOSALS, payload.proposal)
    if payload.approve:
        proposal = replace(proposal, approved=(*proposal.approved, call.account))
    else:
        proposal = replace(proposal, rejected=(*proposal.rejected, call.account))
    books.emit(
        "proposal_voted",
        (payload.proposal, call.account),
        {"proposal": payload.proposal.hex(), "voter": call.account.hex(), "approve": payload.approve},
    )
    _count(books, payload.proposal, proposal)
    return ()


def _count(books: Books, proposal_id: ObjectId, proposal: Proposal) -> None:
    """Write an open proposal; it passes with enough ayes, and falls once noes have made that impossible."""
    voters, needed = count_votes(books)
    if len(proposal.approved) >= needed:
        proposal = replace(proposal, state=ProposalState.PASSED, voters=voters, needed=needed)
        _emit(books, "proposal_passed", proposal_id, proposal)
    elif len(proposal.rejected) > max(0, voters - needed):
        proposal = replace(proposal, state=ProposalState.REJECTED, voters=voters, needed=needed)
        books.cancel(proposal.effective_ms, EventKind.PROPOSAL, proposal_id)
        _emit(books, "proposal_rejected", proposal_id, proposal)
    _put(books, proposal_id, proposal)


def _put(books: Books, proposal_id: ObjectId, proposal: Proposal) -> None:
    """Write a proposal; one that is not open any more leaves its proposer room for another."""
    books.state.put(PROPOSALS, proposal_id, proposal)
    member = books.state.need(MEMBERS, proposal.proposer)
    if proposal.state is not ProposalState.OPEN and proposal_id in member.proposals:
        left = tuple(one for one in member.proposals if one != proposal_id)
        books.state.put(MEMBERS, proposal.proposer, replace(member, proposals=left))


def begin_epoch(books: Books) -> None:
    """Other validators from this block on, and with them other voters."""
    seats.begin_epoch(books)
    recount_votes(books)


def recount_votes(books: Books) -> None:
    """Voters have changed: of what is open only votes of those who still have one count, and they may decide it."""

    def keep(accounts: tuple[AccountId, ...]) -> tuple[AccountId, ...]:
        return tuple(one for one in accounts if has_vote(books, one))

    for _, member in list(books.state.items(MEMBERS)):
        for proposal_id in member.proposals:
            proposal = books.state.need(PROPOSALS, proposal_id)
            kept = replace(proposal, approved=keep(proposal.approved), rejected=keep(proposal.rejected))
            _count(books, ObjectId(proposal_id), kept)


def on_proposal_due(books: Books, proposal_id: ObjectId) -> None:
    """Its day has come: carry it out, or say why not."""
    proposal = books.state.need(PROPOSALS, proposal_id)
    passed = proposal.state is ProposalState.PASSED
    fault = find_action_fault(books, proposal.action) if passed else ActionFault.VOTES_SHORT
    if fault is not None:
        _put(books, proposal_id, replace(proposal, state=ProposalState.LAPSED))
        _emit(books, "proposal_lapsed", proposal_id, proposal, reason=fault.value)
        return
    _put(books, proposal_id, replace(proposal, state=ProposalState.DONE))
    apply_action(books, proposal.action)
    books.load_governed()
    _emit(books, "proposal_done", proposal_id, proposal)


def _emit(books: Books, kind: str, proposal_id: ObjectId, proposal: Proposal, **more: str) -> None:
    books.emit(
        kind,
        (proposal_id, proposal.proposer),
        {
            "proposal": proposal_id.hex(),
            "proposer": proposal.proposer.hex(),
            "action": name_action(proposal.action),
            "effective_on": proposal.effective_on,
            "approved": len(proposal.approved),
            "rejected": len(proposal.rejected),
            **more,
        },
    )


RULES: Rules = {
    Propose: Rule(check_propose, apply_propose, roles=Role.VALIDATOR),
    Vote: Rule(check_vote, apply_vote, roles=Role.VALIDATOR),
}
DUE: Due = {EventKind.PROPOSAL: on_proposal_due}
