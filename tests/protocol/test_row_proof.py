"""A proof of rows shows what the books say after one height, from the genesis or from what was known before it."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from protocol.certificate import VoteKind
from protocol.codec import decode, encode
from protocol.epochs import EpochProof, make_first_set
from protocol.ids import Digest, Height
from protocol.ledger.journal import Book, calculate_balance_key
from protocol.ledger.records import ExecLink
from protocol.ledger.state import ACCOUNTS, BALANCES, LOANS, Place
from protocol.rowproof import (
    RowFault,
    RowProof,
    Trusted,
    VerifiedRows,
    is_row_proof,
    make_row_proof,
    make_trusted,
    verify_row_proof,
)
from tests.protocol.finality import finalize, make_headers, pass_epochs
from tests.protocol.ledger.world import CNY, World, make_genesis


class Made(NamedTuple):
    """A proof, and what it was made of."""

    raw: bytes
    world: World
    places: tuple[Place, ...]
    values: tuple[bytes | None, ...]
    epochs: list[EpochProof]


def get_places(world: World) -> tuple[Place, ...]:
    """An account, its cash, and a loan that nobody took."""
    ann = world.account("ann")
    return (
        (ACCOUNTS.number, ann),
        (BALANCES.number, calculate_balance_key(ann, Book.CASH, CNY)),
        (LOANS.number, bytes(32)),
    )


@cache
def prove(epoch: int = 0, known: int = 0, later: int = 1) -> Made:
    """Ann's rows two blocks after she got 100; named `later` heights on, one header before the finalised one.

    In `epoch`, for a reader who knows the validators of epoch `known`.
    """
    world = World()
    world.open_account("ann")
    world.mint("ann", 100)
    world.pass_days(1)
    at, places = world.ledger.height, get_places(world)
    rows = {(table, key): value for table, key, value in world.ledger.rows()}
    executions = [world.execution]
    for _ in range(later):
        world.mint("ann", 7)
        executions.append(world.execution)
    proved = world.ledger.prove_rows(places, Height(at))
    assert proved is not None, "a few blocks are kept"
    named = executions[-1]
    assert named is not None
    headers = make_headers(world, named, 2, epoch)
    epochs, validators = pass_epochs(world, epoch)
    raw = make_row_proof(
        proved=proved,
        links=[ExecLink(state_root=one.state_root, receipts_root=one.receipts_root) for one in executions[1:] if one],
        headers=headers,
        finalization=finalize(world, headers[-1], validators),
        epochs=epochs[known:],
    )
    return Made(raw, world, places, tuple(rows.get(place) for place in places), epochs)


def trust(made: Made, epoch: int) -> Trusted:
    """What a reader knows who has followed the validators up to an epoch."""
    return msgspec.structs.replace(
        make_trusted(made.world.genesis), epoch=epoch, validators=pass_epochs(made.world, epoch)[1].keys
    )


def check(raw: bytes, made: Made, trusted: Trusted | None = None) -> VerifiedRows | RowFault:
    """The verdict of a reader who asked for the three rows."""
    return verify_row_proof(raw, made.world.genesis, made.places, trusted)


@pytest.mark.parametrize(("epoch", "known"), [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)])
def test_rows_and_their_absence_are_verified_from_whatever_epoch_is_known(epoch: int, known: int) -> None:
    """As they stood at that height, not as they stand now: what Ann got later is not in it."""
    made = prove(epoch, known)
    found = check(made.raw, made, trust(made, known))
    assert isinstance(found, VerifiedRows)
    assert tuple(found.rows[place] for place in made.places) == made.values
    assert decode(made.values[1] or b"", int) == -100
    assert made.values[2] is None
    assert (found.last.epoch, found.validators) == (epoch, len(pass_epochs(made.world, epoch)[1].keys))
    assert len(found.signers) == pass_epochs(made.world, epoch)[1].quorum
    assert found.trusted == msgspec.structs.replace(
        trust(made, epoch), height=found.height, exec_root=found.trusted.exec_root, header=found.last
    )


def test_a_chain_of_executed_states_may_lie_between() -> None:
    """No later one, or several: the first header names whichever it names."""
    for later in (1, 3):
        made = prove(later=later)
        found = check(made.raw, made)
        assert isinstance(found, VerifiedRows)
        assert found.header.exec_height == found.height + later


def test_no_byte_can_be_changed() -> None:
    """One bit of every byte, another bit each time: it is refused, with a fault and not an exception."""
    made = prove(1)
    for position, byte in enumerate(made.raw):
        forged = made.raw[:position] + bytes((byte ^ 1 << position % 8,)) + made.raw[position + 1 :]
        assert isinstance(check(forged, made), RowFault), position


def test_no_byte_can_be_added_or_left_out() -> None:
    """Truncated anywhere or continued, it is refused; and its kind is told by its first bytes."""
    made = prove()
    assert is_row_proof(made.raw)
    for length in range(0, len(made.raw), 7):
        assert check(made.raw[:length], made) is RowFault.MALFORMED
    assert check(made.raw + b"\x00", made) is RowFault.MALFORMED
    assert not is_row_proof(encode((2, "liushui-rows-1")))


def test_another_genesis_refuses_it() -> None:
    """A proof belongs to one network."""
    made = prove()
    assert verify_row_proof(made.raw, make_genesis(lenders_max=1), made.places) is RowFault.CHAIN


def test_other_rows_than_those_asked_for_are_no_answer() -> None:
    """Nor fewer, nor more, nor the same in another order."""
    made = prove()
    genesis, (first, second, third) = made.world.genesis, made.places
    for asked in ((first, second), (second, first, third), (first, second, (LOANS.number, bytes(31) + b"1"))):
        assert verify_row_proof(made.raw, genesis, asked) is RowFault.OTHER
    assert isinstance(verify_row_proof(made.raw, genesis), VerifiedRows)


CHANGES: dict[str, tuple[Callable[[RowProof, Made], dict[str, Any]], RowFault]] = {
    "another value": (lambda file, _: {"rows": swap(file, 1, value=encode(-101))}, RowFault.PATH),
    "absent": (lambda file, _: {"rows": swap(file, 1, value=None)}, RowFault.PATH),
    "absent, its pair left out": (lambda file, _: {"rows": swap(file, 1, value=None, bucket=())}, RowFault.PATH),
    "present": (lambda file, _: {"rows": swap(file, 2, value=b"\x01")}, RowFault.PATH),
    "a sibling": (
        lambda file, _: {"rows": swap(file, 0, path=(bytes(32), *file.rows[0].path[1:]))},
        RowFault.PATH,
    ),
    "another height": (lambda file, _: {"height": file.height + 1}, RowFault.EXECUTION),
    "no links": (lambda file, _: {"links": ()}, RowFault.EXECUTION),
    "another receipts root": (lambda file, _: {"receipts_root": bytes(32)}, RowFault.EXECUTION),
    "no child": (lambda file, _: {"headers": file.headers[:1]}, RowFault.FINALIZATION),
    "twice one header": (lambda file, _: {"headers": (file.headers[0],) * 2}, RowFault.HEADERS),
    "notarized": (
        lambda file, _: {"finalization": msgspec.structs.replace(file.finalization, kind=VoteKind.NOTARIZE)},
        RowFault.FINALIZATION,
    ),
    "signed by the genesis' validators": (
        lambda file, made: {"finalization": finalize(made.world, file.headers[-1], make_first_set(made.world.genesis))},
        RowFault.FINALIZATION,
    ),
    "no epochs": (lambda _file, _made: {"epochs": ()}, RowFault.EPOCHS),
    "one epoch short": (lambda file, _: {"epochs": file.epochs[:1]}, RowFault.EPOCHS),
    "epochs swapped": (lambda file, _: {"epochs": file.epochs[::-1]}, RowFault.EPOCHS),
    "one row twice": (lambda file, _: {"rows": (*file.rows[:2], file.rows[0])}, RowFault.OTHER),
}


def swap(file: RowProof, index: int, **fields: Any) -> tuple[Any, ...]:
    """The rows with one altered."""
    changed = msgspec.structs.replace(file.rows[index], **fields)
    return (*file.rows[:index], changed, *file.rows[index + 1 :])


@pytest.mark.parametrize("change", CHANGES)
def test_each_link_of_the_proof_is_checked(change: str) -> None:
    """Canonical bytes with one link altered are refused for that link."""
    made = prove(2)
    file = decode(made.raw, RowProof)
    make, fault = CHANGES[change]
    assert check(encode(msgspec.structs.replace(file, **make(file, made))), made) is fault


def test_a_reader_is_never_led_back_or_aside() -> None:
    """An older state is refused, and so is another state or block of a height that was final before."""
    made = prove()
    found = check(made.raw, made)
    assert isinstance(found, VerifiedRows)
    known = found.trusted
    assert isinstance(check(made.raw, made, known), VerifiedRows)
    assert check(made.raw, made, msgspec.structs.replace(known, height=known.height + 1)) is RowFault.OLDER
    assert check(made.raw, made, msgspec.structs.replace(known, exec_root=Digest(bytes(32)))) is RowFault.CONFLICT
    other = msgspec.structs.replace(found.last, time_ms=found.last.time_ms + 1)
    assert check(made.raw, made, msgspec.structs.replace(known, header=other)) is RowFault.CONFLICT
    ahead = msgspec.structs.replace(found.last, height=found.last.height + 9)
    further = check(made.raw, made, msgspec.structs.replace(known, header=ahead))
    assert isinstance(further, VerifiedRows)
    assert further.trusted.header == ahead, "the highest one is kept"


def test_faults_have_codes_and_sentences() -> None:
    """Each is told apart by programs and read by people."""
    assert len({one.code for one in RowFault}) == len(RowFault)
    assert all(one.sentence.endswith(".") and one.code.startswith("rows_") for one in RowFault)
