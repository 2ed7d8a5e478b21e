"""Scenes of governance: proposals that pass on the word of two of the three lenders, and take effect the next day."""

from typing import Any

import msgspec

from protocol.crypto import calculate_hash
from protocol.genesis import Policy
from protocol.ids import BoxKey, Day, ObjectId
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.rows import Proposal, ProposalState
from protocol.ledger.state import PROPOSALS
from protocol.transactions.governance import Action, MemberSet, PolicySet, Propose, Vote
from tests.protocol.ledger.world import World, make_signer


def propose(world: World, action: Action, *, who: str = "harbour", days: int = 1) -> ObjectId:
    """Put an action before the validators, to take effect in some days."""
    world.must(who, Propose(action=action, effective_on=Day(world.today + days)))
    return world.made("proposal", who)


def vote(world: World, who: str, proposal: ObjectId, *, approve: bool = True) -> None:
    """Vote, successfully."""
    world.must(who, Vote(proposal=proposal, approve=approve))


def pass_proposal(world: World, action: Action, *, days: int = 1) -> ObjectId:
    """Propose and let a second of three agree."""
    proposal = propose(world, action, days=days)
    vote(world, "jade", proposal)
    assert read_proposal(world, proposal).state is ProposalState.PASSED
    return proposal


def enact(world: World, action: Action) -> ProposalState:
    """Let an action pass and its day come; how it ended."""
    proposal = pass_proposal(world, action)
    world.pass_days(1)
    assert find_violations(world.ledger) == {}
    return read_proposal(world, proposal).state


def read_proposal(world: World, proposal: ObjectId) -> Proposal:
    """A proposal as it stands."""
    return world.ledger.books.state.need(PROPOSALS, proposal)


def find_reason(world: World, proposal: ObjectId) -> Any:
    """Why a proposal lapsed, as readers were told."""
    (event,) = [one for one in world.events if one.kind == "proposal_lapsed" and proposal in one.subjects]
    return event.data["reason"]


def change_policy(world: World, **fields: Any) -> PolicySet:
    """The policy in force with some limits changed."""
    policy: Policy = msgspec.structs.replace(world.ledger.books.policy, **fields)
    return PolicySet(policy=policy)


def make_member(who: str, roles: int, /, **fields: Any) -> MemberSet:
    """An organisation with keys that follow from its name."""
    plain: dict[str, Any] = {
        "name": who,
        "officer_key": make_signer(who).public_key,
        "enc_key": BoxKey(calculate_hash("box", who.encode())),
        "attester_key": make_signer(f"{who}/attester").public_key,
        "roles": roles,
    }
    return MemberSet(**{**plain, **fields})


def restart(world: World) -> Ledger:
    """The books from their saved rows; they must be the same."""
    ledger = world.ledger
    again = Ledger.from_rows(world.genesis, list(ledger.rows()), height=ledger.height, exec_root=ledger.exec_root)
    assert again.state_root == ledger.state_root
    assert again.next_due_ms() == ledger.next_due_ms()
    assert find_violations(again) == {}
    return again
