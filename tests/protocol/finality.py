"""Headers, finalizations and boundaries of epochs as validators would make them, over the ledger tests' own world."""

import msgspec

from protocol.block import Header
from protocol.certificate import Certificate, VoteKind, calculate_vote_bytes
from protocol.epochs import EpochProof, make_first_set
from protocol.ids import Epoch, Height, PublicKey, TimeMs, View
from protocol.ledger.execute import Execution
from protocol.validators import ValidatorSet, calculate_validators_hash, make_validator_set
from tests.protocol.ledger.world import World, make_signer

VALIDATORS = (("harbour", "jade", "plum"), ("harbour", "jade", "plum", "peony"), ("jade", "plum", "peony", "iris"))
"""Who validates in the epochs 0, 1 and 2."""


def get_keys(names: tuple[str, ...]) -> tuple[PublicKey, ...]:
    """Validator keys of some names, ascending."""
    return tuple(sorted(make_signer(f"{name}/validator").public_key for name in names))


def finalize(
    world: World,
    header: Header,
    validators: ValidatorSet,
    *,
    kind: VoteKind = VoteKind.FINALIZE,
    epoch: int | None = None,
) -> Certificate:
    """A quorum of the validators signs the header, in its own epoch or in the one given."""
    of = Epoch(header.epoch if epoch is None else epoch)
    chain_id = world.ledger.chain_id
    names = sorted({name for names in VALIDATORS for name in names})
    signers = {make_signer(f"{name}/validator").public_key: make_signer(f"{name}/validator") for name in names}
    digest = header.calculate_digest()
    message = calculate_vote_bytes(kind, chain_id, of, View(7), digest)
    voters = range(validators.quorum)
    return Certificate(
        kind=kind,
        epoch=of,
        view=View(7),
        digest=digest,
        signers=sum(1 << index for index in voters),
        signatures=tuple(signers[validators.keys[index]].sign(message) for index in voters),
    )


def end_epoch(world: World, epoch: int, validators: ValidatorSet) -> EpochProof:
    """The boundary block of an epoch, finalised by its validators, which announces the next ones."""
    following = get_keys(VALIDATORS[epoch + 1])
    header = msgspec.structs.replace(
        world.header(40 * (epoch + 1)),
        epoch=Epoch(epoch),
        epoch_end=Height(40 * (epoch + 1)),
        next_validators_hash=calculate_validators_hash(following),
    )
    return EpochProof(header=header, finalization=finalize(world, header, validators), validators=following)


def pass_epochs(world: World, count: int) -> tuple[list[EpochProof], ValidatorSet]:
    """Proofs of so many epochs, and the validators after them."""
    proofs: list[EpochProof] = []
    validators = make_first_set(world.genesis)
    for epoch in range(count):
        proofs.append(end_epoch(world, epoch, validators))
        validators = make_validator_set(get_keys(VALIDATORS[epoch + 1]), proofs[-1].header.calculate_digest())
    return proofs, validators


def make_headers(world: World, named: Execution, count: int, epoch: int) -> list[Header]:
    """Headers after the last block, the first naming an executed state, each the parent of the next."""
    headers: list[Header] = []
    for step in range(count):
        header = msgspec.structs.replace(
            world.header(world.ledger.height + 1 + step),
            epoch=Epoch(epoch),
            exec_height=named.height,
            exec_root=named.exec_root,
            time_ms=TimeMs(world.now_ms + 1 + step),
        )
        if headers:
            header = msgspec.structs.replace(header, parent_digest=headers[-1].calculate_digest())
        headers.append(header)
    return headers
