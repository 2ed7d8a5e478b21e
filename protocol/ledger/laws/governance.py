"""Laws of governance and identity: what is in force was voted for, members and accounts agree, keys speak for one."""

from collections import Counter
from typing import Final

from protocol.genesis import Policy
from protocol.ledger.execute import Ledger
from protocol.ledger.laws.common import Laws, Violations
from protocol.ledger.laws.seats import list_voting
from protocol.ledger.products import is_on_sale
from protocol.ledger.rows import Proposal, ProposalState
from protocol.ledger.state import (
    ACCOUNTS,
    GOVERNED,
    GOVERNED_KEY,
    KEYS,
    MEMBERS,
    MODELS,
    PRODUCTS,
    PROPOSALS,
    RECOVERIES,
)
from protocol.limits import VALIDATORS_MAX
from protocol.transactions.accounts import AccountKind
from protocol.transactions.governance import PolicySet


def list_policies(ledger: Ledger) -> list[Policy]:
    """Every policy that was ever in force, the genesis' first, in the order of their days."""
    done: list[tuple[int, bytes, Policy]] = [
        (one.effective_ms, key, one.action.policy)
        for key, one in ledger.books.state.items(PROPOSALS)
        if one.state is ProposalState.DONE and isinstance(one.action, PolicySet)
    ]
    return [ledger.genesis.policy, *(policy for _, _, policy in sorted(done, key=lambda each: each[:2]))]


def check_governed(ledger: Ledger) -> Violations:
    """The policy in force is the last one voted for, its number counts them, and rules follow what the row says."""
    books = ledger.books
    row, policies = books.state.need(GOVERNED, GOVERNED_KEY), list_policies(ledger)
    found = []
    if (row.policy, row.policy_version) != (policies[-1], len(policies)):
        found.append(f"policy {row.policy_version} is in force, {len(policies)} were voted for")
    if (books.policy, books.paused) != (row.policy, row.paused):
        found.append("rules follow another policy or pause than the row's")
    if [key for key, _ in books.state.items(MODELS)] != sorted(books.models):
        found.append("rules know other models than the rows")
    return found


def check_proposals(ledger: Ledger) -> Violations:
    """Only those with a vote vote, each once; a proposal is open until votes decide it, by those who then had one."""
    state = ledger.books.state
    voting = list_voting(ledger)
    free = sum(not state.need(ACCOUNTS, one).frozen for one in voting)
    quorum = max(1, min(_calculate_quorum(len(voting)), free))
    found = []
    for key, one in state.items(PROPOSALS):
        voters = (*one.approved, *one.rejected)
        lawful = len(set(voters)) == len(voters) and all(state.get(MEMBERS, voter) is not None for voter in voters)
        if one.state is ProposalState.OPEN:
            lawful &= one.voters == one.needed == 0 and all(voter in voting for voter in voters)
            lawful &= not _is_decided(one, len(voting), quorum)
        elif one.voters == 0:
            lawful &= one.state is ProposalState.LAPSED
        else:
            lawful &= _is_state_due(one)
        if not lawful:
            found.append(f"proposal {key.hex()}: {one.state.name.lower()} with {len(one.approved)} of {quorum} votes")
    return found


def _calculate_quorum(voters: int) -> int:
    return (voters + (voters - 1) // 3) // 2 + 1


def _is_decided(proposal: Proposal, voters: int, quorum: int) -> bool:
    return len(proposal.approved) >= quorum or len(proposal.rejected) > max(0, voters - quorum)


def _is_state_due(proposal: Proposal) -> bool:
    """Whether a proposal's votes allow the state they brought about; one that passed may have lapsed since."""
    if not 1 <= proposal.needed <= _calculate_quorum(proposal.voters) <= proposal.voters <= VALIDATORS_MAX:
        return False
    if proposal.state is ProposalState.REJECTED:
        return len(proposal.rejected) > proposal.voters - proposal.needed and len(proposal.approved) < proposal.needed
    return len(proposal.approved) >= proposal.needed


def check_members(ledger: Ledger) -> Violations:
    """Every member is an organisation's account and back; no two bear one name; each knows what it has open."""
    state = ledger.books.state
    organisations = [key for key, one in state.items(ACCOUNTS) if one.kind is AccountKind.ORGANISATION]
    members = [key for key, _ in state.items(MEMBERS)]
    names = Counter(one.name for _, one in state.items(MEMBERS))
    found = [f"member {name!r} stands {count} times" for name, count in names.items() if count > 1]
    if organisations != members:
        found.append(f"{len(members)} members, {len(organisations)} accounts of organisations")
    open_ones = [(one.proposer, key) for key, one in state.items(PROPOSALS) if one.state is ProposalState.OPEN]
    sold = {(one.lender, key) for key, one in state.items(PRODUCTS) if is_on_sale(ledger.books, one.terms)}
    told = sorted((key, one) for key, row in state.items(MEMBERS) for one in row.proposals)
    listed = [(key, one) for key, row in state.items(MEMBERS) for one in row.products]
    if told != sorted(open_ones):
        found.append(f"{len(told)} proposals are kept as open, {len(open_ones)} are")
    if len(set(listed)) != len(listed) or sold - set(listed):
        found.append(f"{len(listed)} products are kept as on sale, {len(sold)} are")
    return found


def check_keys(ledger: Ledger) -> Violations:
    """An account is spoken for by its own key, and a member's attestations by its attester key; nobody else speaks."""
    state = ledger.books.state
    speaks = {bytes(one.key): (key, False) for key, one in state.items(ACCOUNTS)}
    speaks |= {
        bytes(one.attester_key): (key, True) for key, one in state.items(MEMBERS) if one.attester_key is not None
    }
    found = [
        f"key {key.hex()}: speaks for another account than it should"
        for key, row in state.items(KEYS)
        if (row.account, row.attester) != speaks.get(key, (None, row.attester))
        or (row.retired_from is not None and (row.account is not None or state.get(ACCOUNTS, row.retired_from) is None))
    ]
    found += [f"key {key.hex()}: is not on the books" for key in speaks if state.get(KEYS, key) is None]
    waits = {bytes(one.new_key): key for key, one in state.items(RECOVERIES)}
    found += [
        f"key {key.hex()}: waits for another account than a recovery says"
        for key, row in state.items(KEYS)
        if row.waits_for != waits.get(key)
    ]
    found += [
        f"recovery of {key.hex()}: of an account that is not there, or a member's"
        for key, _ in state.items(RECOVERIES)
        if (row := state.get(ACCOUNTS, key)) is None or row.kind is AccountKind.ORGANISATION
    ]
    return found


LAWS: Final[Laws] = {
    "governed": check_governed,
    "proposals": check_proposals,
    "members": check_members,
    "keys": check_keys,
}
