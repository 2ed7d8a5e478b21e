"""From the genesis to later validators: each step needs the boundary header, its quorum and the keys it announces."""

from typing import Any

import msgspec
import pytest

from protocol.certificate import VoteKind
from protocol.epochs import EpochFault, EpochProof, follow_epochs, make_first_set
from protocol.ids import Epoch, Height
from protocol.validators import make_validator_set
from tests.protocol.ledger.world import World
from tests.protocol.test_receipt_file import VALIDATORS, finalize, get_keys, pass_epochs

WORLD = World()
PROOFS, LAST = pass_epochs(WORLD, 2)


def refinalize(place: int, /, vote: dict[str, Any] | None = None, **fields: Any) -> EpochProof:
    """A proof whose header says something else, signed by the quorum it needs."""
    validators = (make_first_set(WORLD.genesis), pass_epochs(WORLD, 1)[1])[place]
    header = msgspec.structs.replace(PROOFS[place].header, **fields)
    return msgspec.structs.replace(
        PROOFS[place], header=header, finalization=finalize(WORLD, header, validators, **(vote or {}))
    )


def alter(place: int, /, **fields: Any) -> EpochProof:
    """A proof with another field."""
    return msgspec.structs.replace(PROOFS[place], **fields)


def test_each_epoch_has_the_set_its_boundary_announced() -> None:
    """Keys and the order of leaders: the offset follows from the boundary block."""
    sets = follow_epochs(WORLD.genesis, PROOFS)
    assert not isinstance(sets, EpochFault)
    digests = [one.header.calculate_digest() for one in PROOFS]
    assert sets[0] == make_first_set(WORLD.genesis)
    assert sets[1:] == tuple(
        make_validator_set(get_keys(names), digest) for names, digest in zip(VALIDATORS[1:], digests, strict=True)
    )
    assert sets[-1] == LAST


def test_without_a_proof_there_are_the_genesis_validators() -> None:
    """The first epoch needs none."""
    assert follow_epochs(WORLD.genesis, ()) == (make_first_set(WORLD.genesis),)


@pytest.mark.parametrize(
    ("proofs", "fault"),
    [
        ((refinalize(0, chain_id=bytes(32)),), EpochFault.CHAIN),
        ((PROOFS[1],), EpochFault.ORDER),
        ((PROOFS[0], PROOFS[0]), EpochFault.ORDER),
        ((refinalize(0, epoch=Epoch(1)),), EpochFault.ORDER),
        ((refinalize(0, vote={"epoch": 0}, epoch=Epoch(1)),), EpochFault.ORDER),
        ((alter(0, finalization=msgspec.structs.replace(PROOFS[0].finalization, epoch=Epoch(1))),), EpochFault.ORDER),
        ((refinalize(0, epoch_end=Height(0)),), EpochFault.BOUNDARY),
        ((refinalize(0, epoch_end=Height(41)),), EpochFault.BOUNDARY),
        ((refinalize(0, epoch_end=Height(0), height=Height(0)),), EpochFault.BOUNDARY),
        ((alter(0, validators=get_keys(VALIDATORS[0])),), EpochFault.VALIDATORS),
        ((alter(0, validators=PROOFS[0].validators[::-1]),), EpochFault.VALIDATORS),
        ((alter(0, validators=(*PROOFS[0].validators, PROOFS[0].validators[-1])),), EpochFault.VALIDATORS),
        ((alter(0, finalization=PROOFS[1].finalization),), EpochFault.ORDER),
        (
            (alter(0, finalization=msgspec.structs.replace(PROOFS[0].finalization, kind=VoteKind.NOTARIZE)),),
            EpochFault.FINALIZATION,
        ),
        ((refinalize(0, vote={"kind": VoteKind.NOTARIZE}),), EpochFault.FINALIZATION),
        ((alter(0, finalization=refinalize(0, height=Height(7)).finalization),), EpochFault.FINALIZATION),
        ((alter(0, finalization=finalize(WORLD, PROOFS[0].header, LAST)),), EpochFault.FINALIZATION),
        (
            (PROOFS[0], alter(1, finalization=finalize(WORLD, PROOFS[1].header, make_first_set(WORLD.genesis)))),
            EpochFault.FINALIZATION,
        ),
    ],
)
def test_each_link_is_checked(proofs: tuple[EpochProof, ...], fault: EpochFault) -> None:
    """Network, order, boundary, keys, quorum: the first that fails is named."""
    assert follow_epochs(WORLD.genesis, proofs) is fault


def test_faults_have_codes_and_sentences() -> None:
    """Each is told apart by programs and read by people."""
    assert len({one.code for one in EpochFault}) == len(EpochFault)
    assert all(one.sentence.endswith(".") for one in EpochFault)
