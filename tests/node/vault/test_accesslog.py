"""The access log: a borrower can tell a log that was cut, reordered, edited or signed by somebody else."""

import msgspec
import pytest

from node.vault.accesslog import SignedAccess, check_access_log, sign_access
from protocol.codec import decode, encode
from protocol.crypto import KeySigner
from protocol.ids import AccountId, Digest, ObjectId, PublicKey, TimeMs
from protocol.transactions.data import Purpose

NODE = KeySigner(bytes([1]) * 32)
DATA = ObjectId(bytes([2]) * 32)


def make_log(count: int, signer: KeySigner = NODE) -> list[SignedAccess]:
    log: list[SignedAccess] = []
    for i in range(count):
        log.append(
            sign_access(
                signer,
                last=log[-1] if log else None,
                data=DATA,
                document=Digest(bytes([3]) * 32),
                reader=AccountId(bytes([4 + i]) * 32),
                purpose=Purpose.UNDERWRITE,
                time_ms=TimeMs(1_000 + i),
            )
        )
    return log


def test_an_honest_log_holds() -> None:
    """Any length holds, the empty one too, and survives its canonical bytes."""
    for count in range(4):
        log = [decode(encode(each), SignedAccess) for each in make_log(count)]
        assert check_access_log(log, DATA, NODE.public_key) is None


def test_a_cut_or_reordered_log_does_not_hold() -> None:
    """Leaving out any record but the newest, or swapping two, is seen."""
    log = make_log(4)
    for missing in range(3):
        assert check_access_log(log[:missing] + log[missing + 1 :], DATA, NODE.public_key) == "access_serial"
    assert check_access_log([log[1], log[0], *log[2:]], DATA, NODE.public_key) == "access_serial"


@pytest.mark.parametrize("change", [{"time_ms": 5}, {"purpose": Purpose.RESEARCH}, {"reader": bytes(32)}])
def test_an_edited_record_does_not_hold(change: dict[str, object]) -> None:
    """Changing what a record says breaks its signature, or the chain after it."""
    log = make_log(3)
    edited = msgspec.structs.replace(log[1], record=msgspec.structs.replace(log[1].record, **change))
    assert check_access_log([log[0], edited, log[2]], DATA, NODE.public_key) == "access_signature"


def test_renumbering_after_a_cut_breaks_the_chain() -> None:
    """A record renumbered to hide a missing one no longer names its predecessor."""
    log = make_log(3)
    renumbered = msgspec.structs.replace(log[2], record=msgspec.structs.replace(log[2].record, serial=2))
    assert check_access_log([log[0], renumbered], DATA, NODE.public_key) == "access_chain"


def test_another_nodes_or_datas_log_does_not_hold() -> None:
    """A log is of one data object on one node."""
    log = make_log(1)
    assert check_access_log(log, ObjectId(bytes(32)), NODE.public_key) == "access_data"
    assert check_access_log(log, DATA, PublicKey(bytes(32))) == "access_data"
