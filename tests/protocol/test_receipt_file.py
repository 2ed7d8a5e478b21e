"""A receipt file proves an outcome from the genesis alone, in any epoch, and no byte of it can be changed."""

from functools import cache
from typing import NamedTuple

import msgspec
import pytest

from protocol.batch import BatchItem
from protocol.certificate import VoteKind
from protocol.codec import decode, encode
from protocol.epochs import make_first_set
from protocol.ids import Digest
from protocol.ledger.records import ExecLink
from protocol.money import Amount
from protocol.receipt import ReceiptFault, ReceiptFile, VerifiedReceipt, make_receipt_file, verify_receipt_file
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_stateless
from protocol.transactions.money import Transfer
from tests.protocol.finality import VALIDATORS, finalize, get_keys, make_headers, pass_epochs
from tests.protocol.ledger.world import CNY, World, make_genesis, make_signer


class Proof(NamedTuple):
    """A file and what it was made from."""

    raw: bytes
    world: World
    transaction: Transaction


@cache
def prove(epoch: int = 0) -> Proof:
    """The third of five transfers in one block; the state is named two heights later, and finalised one header on."""
    world = World()
    for person in ("ann", "bob"):
        world.open_account(person)
    world.mint("ann", 100)
    calls: list[Transaction] = []
    for amount in (10, 20, 500, 1, 2):
        payload = Transfer(to=world.account("bob"), currency=CNY, amount=Amount(amount), memo_commit=Digest(bytes(32)))
        raw = world.sign(world.transaction("ann", payload), "ann")
        checked = check_stateless(BatchItem(transaction=raw), world.ledger.chain_id)
        assert isinstance(checked, Transaction)
        calls.append(checked)
    receipts = world.block(*((call, ()) for call in calls))
    executions = [world.execution]
    for _ in range(2):
        world.pass_days(1)
        executions.append(world.execution)
    first, *later = (one for one in executions if one is not None)
    headers = make_headers(world, later[-1], 2, epoch)
    proofs, validators = pass_epochs(world, epoch)
    raw = make_receipt_file(
        transaction=calls[2].raw,
        receipts=[encode(one) for one in receipts],
        index=2,
        state_root=first.state_root,
        previous_exec_root=first.previous_exec_root,
        links=[ExecLink(state_root=one.state_root, receipts_root=one.receipts_root) for one in later],
        headers=headers,
        finalization=finalize(world, headers[-1], validators),
        epochs=proofs,
    )
    return Proof(raw, world, calls[2])


@pytest.mark.parametrize(("epoch", "signers"), [(0, 2), (1, 3), (2, 3)])
def test_a_receipt_is_verified_by_the_genesis_alone(epoch: int, signers: int) -> None:
    """It says which transaction came to what: here, that it failed for want of funds."""
    raw, world, transaction = prove(epoch)
    found = verify_receipt_file(raw, world.genesis)
    assert isinstance(found, VerifiedReceipt)
    assert found.transaction == transaction
    assert found.rejection is Rejection.FUNDS_SHORT
    assert found.receipt.index == 2
    assert (found.epoch, len(found.signers)) == (epoch, signers)


def test_signers_are_named_by_the_genesis_or_by_their_key() -> None:
    """Who was seated later has no name in the genesis: the first digits of the key stand for it."""
    raw, world, _ = prove(2)
    found = verify_receipt_file(raw, world.genesis)
    assert isinstance(found, VerifiedReceipt)
    names = {make_signer(f"{name}/validator").public_key: name for name in ("jade", "plum")}
    wanted = [names.get(key) or f"validator {key.hex()[:8]}" for key in get_keys(VALIDATORS[2])[:3]]
    assert list(found.signers) == wanted
    assert any(one.startswith("validator ") for one in wanted)


@pytest.mark.parametrize("epoch", [0, 2])
def test_no_byte_can_be_changed(epoch: int) -> None:
    """Every position, several flips: each changed file is refused, with a fault and not an exception."""
    raw, world, _ = prove(epoch)
    for position, byte in enumerate(raw):
        for changed in (byte ^ 1, byte ^ 0x80, (byte + 1) % 256):
            forged = raw[:position] + bytes((changed,)) + raw[position + 1 :]
            assert isinstance(verify_receipt_file(forged, world.genesis), ReceiptFault), position


def test_no_byte_can_be_added_or_left_out() -> None:
    """Truncated anywhere or continued, the file is refused."""
    raw, world, _ = prove()
    for length in range(0, len(raw), 7):
        assert isinstance(verify_receipt_file(raw[:length], world.genesis), ReceiptFault)
    assert verify_receipt_file(raw + b"\x00", world.genesis) is ReceiptFault.MALFORMED


def test_another_genesis_refuses_it() -> None:
    """A receipt belongs to one network."""
    assert verify_receipt_file(prove().raw, make_genesis(lenders_max=1)) is ReceiptFault.CHAIN


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"version": 1}, ReceiptFault.VERSION),
        ({"receipts_count": 6}, ReceiptFault.EXECUTION),
        ({"path": ()}, ReceiptFault.PATH),
        ({"links": ()}, ReceiptFault.EXECUTION),
        ({"headers": "first"}, ReceiptFault.FINALIZATION),
        ({"headers": "swapped"}, ReceiptFault.HEADERS),
        ({"receipt": "accepted"}, ReceiptFault.PATH),
        ({"receipt": "foreign"}, ReceiptFault.TRANSACTION),
        ({"finalization": "notarization"}, ReceiptFault.FINALIZATION),
        ({"finalization": "one signature"}, ReceiptFault.FINALIZATION),
    ],
)
def test_each_link_of_the_proof_is_checked(fields: dict[str, object], fault: ReceiptFault) -> None:
    """Canonical files with one link altered are refused for that link; a count that fits the path as well."""
    raw, world, _ = prove()
    file = decode(raw, ReceiptFile)
    certificate = file.finalization
    alternatives: dict[str, object] = {
        "first": file.headers[:1],
        "swapped": (file.headers[0], file.headers[0]),
        "accepted": msgspec.structs.replace(file.receipt, rejection=None),
        "foreign": msgspec.structs.replace(file.receipt, transaction_id=bytes(32)),
        "notarization": msgspec.structs.replace(certificate, kind=VoteKind.NOTARIZE),
        "one signature": msgspec.structs.replace(certificate, signers=1, signatures=certificate.signatures[:1]),
    }
    changes = {name: alternatives[each] if isinstance(each, str) else each for name, each in fields.items()}
    forged = encode(msgspec.structs.replace(file, **changes))
    assert verify_receipt_file(forged, world.genesis) is fault


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ("none", ReceiptFault.EPOCHS),
        ("one short", ReceiptFault.EPOCHS),
        ("one more", ReceiptFault.EPOCHS),
        ("swapped", ReceiptFault.EPOCHS),
        ("last signed by the first", ReceiptFault.FINALIZATION),
        ("last signed in another epoch", ReceiptFault.FINALIZATION),
        ("last notarized", ReceiptFault.FINALIZATION),
    ],
)
def test_every_change_of_validators_is_shown(change: str, fault: ReceiptFault) -> None:
    """No proof may be missing, too many or out of its place; validators of another epoch finalise nothing."""
    raw, world, _ = prove(2)
    file = decode(raw, ReceiptFile)
    first, second = file.epochs
    last, validators = file.headers[-1], pass_epochs(world, 2)[1]
    assert finalize(world, last, validators) == file.finalization
    changes: dict[str, dict[str, object]] = {
        "none": {"epochs": ()},
        "one short": {"epochs": (first,)},
        "one more": {"epochs": (first, second, second)},
        "swapped": {"epochs": (second, first)},
        "last signed by the first": {"finalization": finalize(world, last, make_first_set(world.genesis))},
        "last signed in another epoch": {"finalization": finalize(world, last, validators, epoch=1)},
        "last notarized": {"finalization": finalize(world, last, validators, kind=VoteKind.NOTARIZE)},
    }
    assert verify_receipt_file(encode(msgspec.structs.replace(file, **changes[change])), world.genesis) is fault


def test_faults_have_codes_and_sentences() -> None:
    """Each is told apart by programs and read by people."""
    assert len({one.code for one in ReceiptFault}) == len(ReceiptFault)
    assert all(one.sentence.endswith(".") for one in ReceiptFault)
