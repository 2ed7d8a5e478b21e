"""From the genesis to any later validators: one boundary header for each epoch that has ended.

    set of epoch e -> finalises the boundary header -> whose next_validators_hash names the set of epoch e + 1

Whoever holds the genesis follows the proofs and trusts no node. Never a rule about who may become a validator here.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Annotated

import msgspec

from protocol.block import FIRST_EPOCH, Header, calculate_genesis_digest
from protocol.certificate import Certificate, VerifySignature, VoteKind, calculate_signers, check_certificate
from protocol.crypto import check_signature
from protocol.genesis import Genesis
from protocol.ids import ChainId, Epoch, PublicKey, PublicKeyField
from protocol.limits import VALIDATORS_MAX
from protocol.validators import ValidatorSet, calculate_validators_hash, make_validator_set


class EpochProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """How one epoch ended, and who validates in the next."""

    header: Header
    """Of its boundary block."""
    finalization: Certificate
    """Of that block, by the validators of the epoch that it ends."""
    validators: Annotated[tuple[PublicKeyField, ...], msgspec.Meta(min_length=1, max_length=VALIDATORS_MAX)]
    """Keys of the next epoch, ascending."""


class EpochFault(Enum):
    """Why a proof does not lead to other validators: a stable code and a sentence."""

    CHAIN = ("epoch_wrong_network", "A boundary block is of another network.")
    ORDER = ("epoch_order", "A boundary block is not of the epoch that comes next.")
    BOUNDARY = ("epoch_boundary", "A block that should end an epoch does not.")
    VALIDATORS = ("epoch_validators", "The validators named are not those that a boundary block announces.")
    FINALIZATION = ("epoch_finalization", "No quorum of an epoch's validators finalised its boundary block.")

    @property
    def code(self) -> str:
        """Stable code."""
        return self.value[0]

    @property
    def sentence(self) -> str:
        """For people."""
        return self.value[1]


def make_first_set(genesis: Genesis) -> ValidatorSet:
    """The validators of the first epoch."""
    digest = calculate_genesis_digest(genesis.calculate_chain_id())
    return make_validator_set(genesis.calculate_validator_keys(), digest)


def follow_epochs(genesis: Genesis, proofs: Sequence[EpochProof]) -> tuple[ValidatorSet, ...] | EpochFault:
    """The validators of every epoch from the first to the one after the last proof, or the first fault."""
    chain_id = genesis.calculate_chain_id()
    found = [make_first_set(genesis)]
    for passed, proof in enumerate(proofs):
        following = follow_epoch(proof, Epoch(FIRST_EPOCH + passed), found[-1], chain_id)
        if isinstance(following, EpochFault):
            return following
        found.append(following)
    return tuple(found)


def follow_epoch(
    proof: EpochProof,
    epoch: Epoch,
    validators: ValidatorSet,
    chain_id: ChainId,
    verify: VerifySignature = check_signature,
) -> ValidatorSet | EpochFault:
    """The validators after `epoch`, whose own are `validators`, or why the proof does not show them."""
    header, finalization = proof.header, proof.finalization
    if header.chain_id != chain_id:
        return EpochFault.CHAIN
    if header.epoch != epoch or finalization.epoch != epoch:
        return EpochFault.ORDER
    if not header.is_boundary:
        return EpochFault.BOUNDARY
    keys = tuple(PublicKey(one) for one in proof.validators)
    # The hash is of the keys in ascending order; another order of them would be other bytes with the same meaning.
    if keys != tuple(sorted(set(keys))) or calculate_validators_hash(keys) != header.next_validators_hash:
        return EpochFault.VALIDATORS
    if not is_finalised(header, finalization, validators, verify):
        return EpochFault.FINALIZATION
    return make_validator_set(keys, header.calculate_digest())


def find_last_set(genesis: Genesis, proofs: Sequence[EpochProof], epoch: Epoch) -> ValidatorSet | None:
    """The validators of `epoch`, to which the proofs lead; None when they lead elsewhere or nowhere."""
    sets = follow_epochs(genesis, proofs) if len(proofs) == epoch else EpochFault.ORDER
    return None if isinstance(sets, EpochFault) else sets[-1]


def is_finalised(
    header: Header, finalization: Certificate, validators: ValidatorSet, verify: VerifySignature = check_signature
) -> bool:
    """Whether the finalization is of exactly this header, by a quorum of the validators of its epoch."""
    if finalization.kind is not VoteKind.FINALIZE or finalization.epoch != header.epoch:
        return False
    if finalization.digest != header.calculate_digest():
        return False
    return check_certificate(finalization, validators, ChainId(header.chain_id), verify) is None


def name_signers(genesis: Genesis, validators: ValidatorSet, finalization: Certificate) -> tuple[str, ...]:
    """Who signed it: names of the genesis, or of later keys their first digits."""
    names = {member.validator_key: member.name for member in genesis.members if member.validator_key is not None}
    keys = (validators.keys[index] for index in calculate_signers(finalization))
    return tuple(names.get(key) or f"validator {key.hex()[:8]}" for key in keys)
