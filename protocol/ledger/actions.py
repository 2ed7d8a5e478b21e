"""What validators can decide, action by action: why it cannot be carried out, and what it does.

The same faults are asked for twice, when it is proposed and on its day: much may have changed between. Never a vote
here, and never a loan that was made.
"""

from enum import StrEnum
from itertools import pairwise

from protocol.crypto import calculate_account_id, check_signature
from protocol.genesis import Policy
from protocol.ids import AccountId, PublicKey, Signature
from protocol.ledger.accounts import open_member, put_key
from protocol.ledger.books import Books
from protocol.ledger.keys import is_key_known, retire_key, switch_key
from protocol.ledger.rows import Member, Model, Role
from protocol.ledger.seatrows import Seat, Seats, sort_seats
from protocol.ledger.seats import list_all_seats, plan_seats, read_epoch, read_plan
from protocol.ledger.state import ACCOUNTS, CONVICTIONS, GOVERNED, GOVERNED_KEY, MEMBERS, MODELS, replace
from protocol.ledger.upgrades import is_height_fit, plan_rules, read_rules
from protocol.ledger.verdicts import apply_conviction, has_attested, is_convicted
from protocol.ledger.voters import can_freeze_voter, can_seats_decide
from protocol.limits import VALIDATORS_MAX
from protocol.money import PPM
from protocol.transactions.governance import (
    Action,
    AttesterConvict,
    Freeze,
    MemberSet,
    ModelRetire,
    ModelSet,
    PauseSet,
    PolicySet,
    RulesUpgrade,
    SeatSet,
    calculate_seat_bytes,
)
from scoring.points import PointsModel, decode_model


class ActionFault(StrEnum):
    """Why an action cannot be carried out: stable codes."""

    VOTES_SHORT = "votes_short"
    """Its day came before enough votes."""
    NOTHING_TO_CHANGE = "nothing_to_change"
    """Everything is already as it asks."""
    POLICY_UNSOUND = "policy_unsound"
    MODEL_UNUSABLE = "model_unusable"
    MODEL_UNKNOWN = "model_unknown"
    CURRENCY_UNKNOWN = "currency_unknown"
    NAME_TAKEN = "name_taken"
    KEY_TAKEN = "key_taken"
    ROLES_INVALID = "roles_invalid"
    MEMBER_UNKNOWN = "member_unknown"
    ACCOUNT_UNKNOWN = "account_unknown"
    VOTERS_TOO_FEW = "voters_too_few"
    """So many would be frozen that no vote could ever free them."""
    KEY_CONVICTED = "key_convicted"
    """Evidence has convicted the validator key."""
    PROOF_INVALID = "proof_invalid"
    """The validator key has not signed for this account; or a seat that goes comes with keys."""
    NODE_KEY_MISSING = "node_key_missing"
    """Nobody would know the validator's node."""
    ATTESTATION_UNKNOWN = "attestation_unknown"
    """The member has attested no such thing."""
    REPORTER_UNFIT = "reporter_unfit"
    """Who would be given the penalty is no member, or is the attester itself."""
    RULES_PLANNED = "rules_planned"
    """Other rules are decided already, and have not begun."""
    HEIGHT_UNFIT = "height_unfit"
    """The height is too near for every node to hear of it, or years away."""
    SEATS_OUT_OF_RANGE = "seats_out_of_range"
    """Not one validator would be left, or more than the limit."""


ACTION_NAMES: dict[type, str] = {
    PolicySet: "policy_set",
    ModelSet: "model_set",
    ModelRetire: "model_retire",
    MemberSet: "member_set",
    PauseSet: "pause_set",
    Freeze: "freeze",
    SeatSet: "seat_set",
    AttesterConvict: "attester_convict",
    RulesUpgrade: "rules_upgrade",
}


def name_action(action: Action) -> str:
    """The stable name readers see."""
    return ACTION_NAMES[type(action)]


def find_action_fault(books: Books, action: Action) -> ActionFault | None:
    """Why an action cannot be carried out on the books as they stand."""
    match action:
        case PolicySet():
            return _find_policy_fault(books, action.policy)
        case ModelSet():
            return _find_model_fault(books, action)
        case ModelRetire():
            model = books.state.get(MODELS, action.model)
            if model is None:
                return ActionFault.MODEL_UNKNOWN
            return ActionFault.NOTHING_TO_CHANGE if model.retired else None
        case MemberSet():
            return _find_member_fault(books, action)
        case PauseSet():
            return ActionFault.NOTHING_TO_CHANGE if action.families == books.paused else None
        case Freeze():
            return _find_freeze_fault(books, action)
        case SeatSet():
            return _find_seat_fault(books, action)
        case AttesterConvict():
            return _find_conviction_fault(books, action)
        case RulesUpgrade():
            return _find_rules_fault(books, action)


def apply_action(books: Books, action: Action) -> None:
    """Carry out an action that has no fault."""
    match action:
        case PolicySet():
            governed = books.state.need(GOVERNED, GOVERNED_KEY)
            changed = replace(governed, policy=action.policy, policy_version=governed.policy_version + 1)
            books.state.put(GOVERNED, GOVERNED_KEY, changed)
        case PauseSet():
            governed = books.state.need(GOVERNED, GOVERNED_KEY)
            books.state.put(GOVERNED, GOVERNED_KEY, replace(governed, paused=action.families))
        case ModelSet():
            _apply_model_set(books, action)
        case ModelRetire():
            books.state.put(MODELS, action.model, replace(books.state.need(MODELS, action.model), retired=True))
        case MemberSet():
            _apply_member_set(books, action)
        case RulesUpgrade():
            plan_rules(books, action)
        case Freeze():
            row = books.state.need(ACCOUNTS, action.account)
            frozen = replace(row, frozen=action.frozen, frozen_by_vote=action.frozen)
            books.state.put(ACCOUNTS, action.account, frozen)
            kind = "account_frozen" if action.frozen else "account_freed"
            books.emit(kind, (action.account,), {"account": action.account.hex(), "issuer": None})
        case SeatSet():
            _apply_seat_set(books, action)
        case AttesterConvict():
            apply_conviction(books, action)


# ---------------------------------------------------------------------- policy


def _find_policy_fault(books: Books, policy: Policy) -> ActionFault | None:
    if not is_policy_sound(policy):
        return ActionFault.POLICY_UNSOUND
    return ActionFault.NOTHING_TO_CHANGE if policy == books.policy else None


def is_policy_sound(policy: Policy) -> bool:
    """Whether limits that are each in range also make sense together."""
    return (
        policy.debt_cap > 0
        # An instalment that takes more than comes in, or a debt that may never count as late, is no limit.
        and 0 < policy.instalment_share_ppm <= PPM
        and policy.materiality < policy.debt_cap
        and policy.apr_cap_ppm <= policy.late_cap_ppm
        and all(0 < cap <= policy.debt_cap for cap in policy.segment_caps)
        # Who leaves a pool must not do better because a loan got worse.
        and all(better <= worse for better, worse in pairwise(policy.haircuts_ppm))
    )


# ---------------------------------------------------------------------- models


def _read_model(text: str) -> PointsModel | None:
    try:
        return decode_model(text.encode("ascii"))
    except ValueError:
        return None


def _find_model_fault(books: Books, action: ModelSet) -> ActionFault | None:
    model = _read_model(action.text)
    if model is None:
        return ActionFault.MODEL_UNUSABLE
    if model.currency not in books.currencies:
        return ActionFault.CURRENCY_UNKNOWN
    row = books.state.get(MODELS, model.id)
    stands = row is not None and not row.retired and (row.card, row.report) == (action.card, action.report)
    return ActionFault.NOTHING_TO_CHANGE if stands else None


def _apply_model_set(books: Books, action: ModelSet) -> None:
    """Register it, take a retired one back into use, or put other evidence beside one that stands."""
    model = _read_model(action.text)
    assert model is not None, "checked before"
    known = books.state.get(MODELS, model.id)
    row = Model(text=action.text, registered_ms=books.now_ms) if known is None else replace(known, retired=False)
    books.state.put(MODELS, model.id, replace(row, card=action.card, report=action.report))


# ---------------------------------------------------------------------- members


def _find_member_fault(books: Books, action: MemberSet) -> ActionFault | None:
    account = calculate_account_id(action.officer_key)
    member = books.state.get(MEMBERS, account)
    if action.roles & Role.VALIDATOR or (member is None and not action.roles):
        return ActionFault.ROLES_INVALID
    if any(row.name == action.name for key, row in books.state.items(MEMBERS) if key != account):
        return ActionFault.NAME_TAKEN
    if not _are_keys_free(books, action, account, member):
        return ActionFault.KEY_TAKEN
    if member is None:
        return None if action.new_officer_key is None else ActionFault.MEMBER_UNKNOWN
    roles = books.state.need(ACCOUNTS, account).roles & ~Role.VALIDATOR
    node_key = action.node_key or member.node_key
    stands = (member.name, member.attester_key, member.node_key, roles)
    same = stands == (action.name, action.attester_key, node_key, action.roles)
    return ActionFault.NOTHING_TO_CHANGE if same and action.new_officer_key is None else None


def _are_keys_free(books: Books, action: MemberSet, account: AccountId, member: Member | None) -> bool:
    """Whether every key that would be registered is another one than all that are known, and than each other."""
    wanted = [] if action.new_officer_key is None else [action.new_officer_key]
    if member is None:
        wanted.append(action.officer_key)
    if action.attester_key is not None and (member is None or member.attester_key != action.attester_key):
        wanted.append(action.attester_key)
    if action.node_key is not None and (member is None or member.node_key != action.node_key):
        wanted.append(action.node_key)
    sealing = member is None or action.new_officer_key is not None
    others = [books.state.need(ACCOUNTS, key).enc_key for key, _ in books.state.items(MEMBERS) if key != account]
    return (
        all(not is_key_known(books, PublicKey(one)) for one in wanted)
        and all(one != other for one, other in pairwise(sorted(wanted)))
        and not (sealing and action.enc_key in others)
    )


def _apply_member_set(books: Books, action: MemberSet) -> None:
    account = calculate_account_id(action.officer_key)
    member = books.state.get(MEMBERS, account)
    if member is None:
        row = Member(
            name=action.name,
            attester_key=action.attester_key,
            admitted_ms=books.now_ms,
            node_key=action.node_key,
        )
        roles = Role(action.roles)
        open_member(books, row, officer_key=action.officer_key, enc_key=action.enc_key, roles=roles)
        _emit_member(books, "member_admitted", account, action)
        return
    if member.attester_key != action.attester_key:
        if member.attester_key is not None:
            retire_key(books, PublicKey(member.attester_key))
        if action.attester_key is not None:
            put_key(books, PublicKey(action.attester_key), account, attester=True)
    if action.new_officer_key is not None:
        switch_key(books, account, PublicKey(action.new_officer_key), action.enc_key)
    standing = books.state.need(ACCOUNTS, account)
    roles = Role(standing.roles & Role.VALIDATOR | action.roles)
    books.state.put(ACCOUNTS, account, replace(standing, roles=int(roles)))
    node_key = action.node_key or member.node_key
    changed = replace(member, name=action.name, attester_key=action.attester_key, node_key=node_key)
    books.state.put(MEMBERS, account, changed)
    _emit_member(books, "member_changed", account, action)


def _emit_member(books: Books, kind: str, account: AccountId, action: MemberSet) -> None:
    roles = [str(role.name).lower() for role in Role if action.roles & role]
    books.emit(kind, (account,), {"account": account.hex(), "name": action.name, "roles": roles})


# ---------------------------------------------------------------------- freezes


def _find_freeze_fault(books: Books, action: Freeze) -> ActionFault | None:
    row = books.state.get(ACCOUNTS, action.account)
    if row is None:
        return ActionFault.ACCOUNT_UNKNOWN
    if (row.frozen, row.frozen_by_vote) == (action.frozen, action.frozen):
        return ActionFault.NOTHING_TO_CHANGE
    more = action.frozen and not row.frozen
    return ActionFault.VOTERS_TOO_FEW if more and not can_freeze_voter(books, action.account) else None


# ---------------------------------------------------------------------- false attestations


def _find_conviction_fault(books: Books, action: AttesterConvict) -> ActionFault | None:
    if books.state.get(MEMBERS, action.attester) is None:
        return ActionFault.MEMBER_UNKNOWN
    if not has_attested(books, action):
        return ActionFault.ATTESTATION_UNKNOWN
    if action.reporter == action.attester or books.state.get(MEMBERS, action.reporter) is None:
        return ActionFault.REPORTER_UNFIT
    return ActionFault.NOTHING_TO_CHANGE if is_convicted(books, AccountId(action.attester)) else None


# ---------------------------------------------------------------------- rules


def _find_rules_fault(books: Books, action: RulesUpgrade) -> ActionFault | None:
    row = read_rules(books)
    if row.next is not None:
        return ActionFault.RULES_PLANNED
    if action.version <= row.present.version:
        return ActionFault.NOTHING_TO_CHANGE
    return None if is_height_fit(books, action) else ActionFault.HEIGHT_UNFIT


# ---------------------------------------------------------------------- seats


def _find_seat_fault(books: Books, action: SeatSet) -> ActionFault | None:
    member = books.state.get(MEMBERS, action.account)
    if member is None:
        return ActionFault.MEMBER_UNKNOWN
    plan = read_plan(read_epoch(books))
    seats = _calculate_seats(plan, action)
    fault = _find_keys_fault(books, action, member)
    if fault is not None:
        return fault
    if not 1 <= len(seats) <= VALIDATORS_MAX:
        return ActionFault.SEATS_OUT_OF_RANGE
    if not can_seats_decide(books, seats):
        return ActionFault.VOTERS_TOO_FEW
    same = seats == plan and action.node_key in (None, member.node_key)
    return ActionFault.NOTHING_TO_CHANGE if same else None


def _find_keys_fault(books: Books, action: SeatSet, member: Member) -> ActionFault | None:
    """What is wrong with the keys of a seat; the one signature is looked at last."""
    key, node_key = action.validator_key, action.node_key
    if key is None:
        bare = action.proof is None and node_key is None
        return None if bare else ActionFault.PROOF_INVALID
    if books.state.get(CONVICTIONS, key) is not None:
        return ActionFault.KEY_CONVICTED
    if is_key_known(books, PublicKey(key)) and not _is_own_seat_key(books, action.account, PublicKey(key)):
        return ActionFault.KEY_TAKEN
    if node_key not in (None, member.node_key) and (key == node_key or is_key_known(books, PublicKey(node_key))):
        return ActionFault.KEY_TAKEN
    if node_key is None and member.node_key is None:
        return ActionFault.NODE_KEY_MISSING
    message = calculate_seat_bytes(books.chain_id, AccountId(action.account))
    signed = action.proof is not None and check_signature(PublicKey(key), message, Signature(action.proof))
    return None if signed else ActionFault.PROOF_INVALID


def _is_own_seat_key(books: Books, account: AccountId, key: PublicKey) -> bool:
    """Whether the account itself votes, voted or will vote with a key in consensus."""
    return any((one.account, one.validator_key) == (account, key) for one in list_all_seats(read_epoch(books)))


def _calculate_seats(plan: Seats, action: SeatSet) -> Seats:
    others = tuple(one for one in plan if one.account != action.account)
    if action.validator_key is None:
        return others
    return sort_seats((*others, Seat(account=action.account, validator_key=action.validator_key)))


def _apply_seat_set(books: Books, action: SeatSet) -> None:
    member, plan = books.state.need(MEMBERS, action.account), read_plan(read_epoch(books))
    seats = _calculate_seats(plan, action)
    if action.node_key is not None:
        books.state.put(MEMBERS, action.account, replace(member, node_key=action.node_key))
    if seats != plan:
        plan_seats(books, seats)
