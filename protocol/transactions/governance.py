"""Payloads by which validators govern: proposals and votes. Wire shapes only; rules live in `protocol.ledger`."""

from typing import Annotated

import msgspec

from protocol.genesis import Policy
from protocol.ids import AccountIdField, BoxKeyField, DayField, ObjectIdField, PublicKeyField
from protocol.limits import MODEL_BYTES_MAX


class PolicySet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """Put a whole policy in force. Loans that were made keep their terms."""

    policy: Policy


class ModelSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """Register a scoring model for new products and applications."""

    text: Annotated[str, msgspec.Meta(max_length=MODEL_BYTES_MAX)]
    """Canonical JSON of the points model (scoring.points)."""


class ModelRetire(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """Let no new application be scored by a model; what was scored stays."""

    model: ObjectIdField


class MemberSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """Admit an organisation, or change what one may do: issuer, settlement agent, lender, observer, arbiter.

    Whether it validates is not decided here. No role at all suspends it; what it owes and is owed stays.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    officer_key: PublicKeyField
    """Of a member that stands, the key it was admitted with."""
    enc_key: BoxKeyField
    """Of a new member, or with `new_officer_key`; one that stands changes its own with KeyRotate."""
    attester_key: PublicKeyField | None
    roles: Annotated[int, msgspec.Meta(ge=0, le=63)]
    """Bits of protocol.ledger.rows.Role; VALIDATOR is not among them."""
    new_officer_key: PublicKeyField | None = None
    """Of a member that stands and has lost its officer key: the one that takes its place, with `enc_key`."""


class PauseSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """Pause families of transactions, or let them go on. Repaying can never be paused."""

    families: Annotated[int, msgspec.Meta(ge=0, le=63)]
    """Bits of protocol.ledger.rules.Pause that are paused from then on; 0 pauses nothing."""


class Freeze(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """Freeze any account, or free it: what an issuer may do for persons, the validators may do for members too."""

    account: AccountIdField
    frozen: bool


Action = PolicySet | ModelSet | ModelRetire | MemberSet | PauseSet | Freeze


class Propose(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """Propose an action; counts as the proposer's own vote. Id: object "proposal". Signer: a validator's officer."""

    action: Action
    effective_on: DayField
    """Network day on which it takes effect once enough votes stand; after today."""


class Vote(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=24):
    """Vote on a proposal, once. Signer: a validator's officer."""

    proposal: ObjectIdField
    approve: bool
