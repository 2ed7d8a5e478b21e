"""Payloads by which validators govern: proposals, votes, evidence. Wire shapes only; rules are `protocol.ledger`'s."""

from typing import Annotated

import msgspec

from protocol.certificate import VoteKind
from protocol.genesis import Policy
from protocol.ids import (
    AccountId,
    AccountIdField,
    BlockDigestField,
    BoxKeyField,
    ChainId,
    DayField,
    DigestField,
    EpochField,
    HeightField,
    IndexField,
    ModelIdField,
    ObjectIdField,
    PublicKeyField,
    SignatureField,
    ViewField,
)
from protocol.limits import MODEL_BYTES_MAX


class PolicySet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """Put a whole policy in force. Loans that were made keep their terms."""

    policy: Policy


class ModelSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=2):
    """Register a scoring model for new products and applications."""

    text: Annotated[str, msgspec.Meta(max_length=MODEL_BYTES_MAX)]
    """Canonical JSON of the points model (scoring.points)."""
    card: DigestField | None = None
    """SHA-256 of the card that people read."""
    report: DigestField | None = None
    """SHA-256 of the validation report that the card rests on."""


class ModelRetire(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=3):
    """Let no new application be scored by a model; what was scored stays."""

    model: ObjectIdField


class MemberSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=4):
    """Admit an organisation, or change what one may do: issuer, settlement agent, lender, observer, arbiter,
    provider of statements.

    Whether it validates is not decided here. No role at all suspends it; what it owes and is owed stays.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    officer_key: PublicKeyField
    """Of a member that stands, the key it was admitted with."""
    enc_key: BoxKeyField
    """Of a new member, or with `new_officer_key`; one that stands changes its own with KeyRotate."""
    attester_key: PublicKeyField | None
    roles: Annotated[int, msgspec.Meta(ge=0, le=127)]
    """Bits of protocol.ledger.rows.Role; VALIDATOR is not among them."""
    new_officer_key: PublicKeyField | None = None
    """Of a member that stands and has lost its officer key: the one that takes its place, with `enc_key`."""
    node_key: PublicKeyField | None = None
    """Identity of its node, so that others let it connect; none leaves the one it has."""


class PauseSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=5):
    """Pause families of transactions, or let them go on. Repaying can never be paused."""

    families: Annotated[int, msgspec.Meta(ge=0, le=63)]
    """Bits of protocol.ledger.rules.Pause that are paused from then on; 0 pauses nothing."""


class Freeze(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=6):
    """Freeze any account, or free it: what an issuer may do for persons, the validators may do for members too."""

    account: AccountIdField
    frozen: bool


class SeatSet(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=7):
    """Let a member validate, give its seat another key, or take the seat away.

    It begins with the next epoch, at least 32 blocks later; while that one is fixed already, with the one after it.
    A seat brings a vote here, and without one there is none. A new key also ends what evidence has suspended.
    """

    account: AccountIdField
    """Of the member."""
    validator_key: PublicKeyField | None
    """The key that will vote in consensus; none takes the seat away."""
    proof: SignatureField | None
    """That key's own signature over chain and account (`liushui keys seat-proof`): nobody seats a key nobody holds."""
    node_key: PublicKeyField | None = None
    """Identity of the node that holds it, known at once; none leaves the one the member has."""


class AttesterConvict(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=8):
    """Convict a member of a false attestation, shown to the voters off the ledger.

    Its attestations of open applications are struck, new ones refused, the policy's penalty goes to the reporter. It
    ends when a vote gives the member another attester key.
    """

    attester: AccountIdField
    """Of the member that attested."""
    application: ObjectIdField
    model: ModelIdField
    evidence: DigestField
    """Commitment to what was shown: the opened statement, or the proof paths of the rows that matter."""
    reporter: AccountIdField
    """The member that showed it, and is given the penalty."""


class RulesUpgrade(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=9):
    """Execute by newer rules from a height on, once every member runs software that knows them.

    What is decided is neither changed nor taken back. Software that does not know the version stops before the height.
    """

    version: Annotated[int, msgspec.Meta(ge=2, le=2**31 - 1)]
    """Newer than the rules in force."""
    activation_height: HeightField
    """The first block by the new rules: at least 32 above the block in which the decision takes effect."""


SEAT_TAG = b"LSP1"


def calculate_seat_bytes(chain_id: ChainId, account: AccountId) -> bytes:
    """The 68 bytes that a validator key signs to be seated for an account: tag 4 | chain_id 32 | account 32."""
    return SEAT_TAG + chain_id + account


Action = PolicySet | ModelSet | ModelRetire | MemberSet | PauseSet | Freeze | SeatSet | AttesterConvict | RulesUpgrade


class Propose(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=1):
    """Propose an action; counts as the proposer's own vote. Id: object "proposal". Signer: a validator's officer."""

    action: Action
    effective_on: DayField
    """Network day on which it takes effect once enough votes stand; after today."""


class Vote(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=24):
    """Vote on a proposal, once. Signer: a validator's officer."""

    proposal: ObjectIdField
    approve: bool


class SignedFact(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that a validator signed in consensus."""

    kind: VoteKind
    """A proposal, or a vote to notarize, nullify or finalize."""
    view: ViewField
    digest: BlockDigestField
    """Of the block; 32 zero bytes to nullify."""
    signature: SignatureField
    """Over the bytes that all votes have (docs/consensus.md)."""


class Evidence(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True, tag=50):
    """Convict a validator key of two signatures that exclude each other. Signer: any member's officer or attester.

    Conflicting proposals, notarizations or finalizations of one view, or to nullify and to finalize it. The views of
    the key are skipped at once and its organisation loses its vote; the seat goes with the next epoch not yet fixed,
    if four validators are left without it. The key never sits again.
    """

    epoch: EpochField
    """This one or the last."""
    index: IndexField
    """Place of the key among that epoch's validators."""
    first: SignedFact
    second: SignedFact
