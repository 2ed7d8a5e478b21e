"""Quorums as literals, votes as fixed bytes, and certificates that have exactly one form."""

import msgspec
import pytest

from protocol.certificate import Certificate, VoteKind, calculate_signers, calculate_vote_bytes, check_certificate
from protocol.codec import CodecError, decode, encode
from protocol.crypto import KeySigner, calculate_hash, check_signature
from protocol.ids import ZERO_DIGEST, BlockDigest, ChainId, Epoch, View
from protocol.validators import make_validator_set

CHAIN = ChainId(calculate_hash("chain"))
DIGEST = BlockDigest(calculate_hash("block"))
SIGNERS = sorted((KeySigner(bytes((i,)) * 32) for i in range(7)), key=lambda one: one.public_key)
SET = make_validator_set(tuple(one.public_key for one in SIGNERS), BlockDigest(ZERO_DIGEST))

QUORUMS = {
    1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 11: 8, 12: 8, 13: 9, 14: 10, 15: 10, 16: 11,
    17: 12, 18: 12, 19: 13, 20: 14, 21: 14, 22: 15, 23: 16, 24: 16, 25: 17, 26: 18, 27: 18, 28: 19, 29: 20, 30: 20,
    31: 21, 32: 22,
}  # fmt: skip


@pytest.mark.parametrize(("n", "quorum"), QUORUMS.items())
def test_quorums(n: int, quorum: int) -> None:
    """Literals for every size allowed; two quorums share more than f validators, and the honest ones make one."""
    keys = tuple(bytes((i,)) * 32 for i in range(n))
    validators = make_validator_set(keys, BlockDigest(ZERO_DIGEST))  # type: ignore[arg-type]
    assert validators.quorum == quorum
    assert validators.faults_max == (n - 1) // 3
    assert 2 * quorum - n > validators.faults_max
    assert n - validators.faults_max >= quorum


def make(signers: tuple[int, ...], kind: VoteKind = VoteKind.FINALIZE, digest: BlockDigest = DIGEST) -> Certificate:
    """A certificate signed by these indices, in their order."""
    message = calculate_vote_bytes(kind, CHAIN, Epoch(0), View(9), digest)
    return Certificate(
        kind=kind,
        epoch=Epoch(0),
        view=View(9),
        digest=digest,
        signers=sum(1 << index for index in set(signers)),
        signatures=tuple(SIGNERS[index].sign(message) for index in signers),
    )


def check(certificate: Certificate) -> str | None:
    """Against the set of seven, whose quorum is five."""
    return check_certificate(certificate, SET, CHAIN, check_signature)


def test_signed_bytes_have_a_fixed_layout() -> None:
    """tag 3 | kind 1 | chain 32 | epoch 4 | view 8 | digest 32."""
    raw = calculate_vote_bytes(VoteKind.NOTARIZE, CHAIN, Epoch(1), View(2), DIGEST)
    assert raw == b"LS1\x02" + CHAIN + b"\x00\x00\x00\x01" + b"\x00" * 7 + b"\x02" + DIGEST
    assert len(raw) == 80


def test_exactly_a_quorum_proves() -> None:
    """Five of seven do, whichever five."""
    assert check(make((0, 1, 2, 3, 4))) is None
    assert check(make((1, 2, 4, 5, 6))) is None
    assert calculate_signers(make((1, 2, 4, 5, 6))) == (1, 2, 4, 5, 6)


@pytest.mark.parametrize(
    ("certificate", "reason"),
    [
        (make((0, 1, 2, 3)), "certificate_quorum"),
        (make((0, 1, 2, 3, 4, 5)), "certificate_quorum"),
        (make((0, 1, 2, 3, 3)), "certificate_quorum"),
        (
            msgspec.structs.replace(make((0, 1, 2, 3, 4)), signatures=make((0, 1, 2, 3)).signatures),
            "certificate_quorum",
        ),
        (msgspec.structs.replace(make((0, 1, 2, 3, 4)), signers=0b10001111), "certificate_signer"),
        (msgspec.structs.replace(make((0, 1, 2, 3, 4)), signers=0b0101111), "certificate_signature"),
        (make((4, 3, 2, 1, 0)), "certificate_signature"),
        (msgspec.structs.replace(make((0, 1, 2, 3, 4)), view=View(8)), "certificate_signature"),
        (msgspec.structs.replace(make((0, 1, 2, 3, 4)), epoch=Epoch(1)), "certificate_signature"),
        (msgspec.structs.replace(make((0, 1, 2, 3, 4)), kind=VoteKind.NOTARIZE), "certificate_signature"),
        (make((0, 1, 2, 3, 4), kind=VoteKind.PROPOSE), "certificate_kind"),
        (make((0, 1, 2, 3, 4), kind=VoteKind.NULLIFY), "certificate_digest"),
    ],
)
def test_any_other_form_proves_nothing(certificate: Certificate, reason: str) -> None:
    """Too few, too many, twice, a stranger, another order, another view, epoch or kind."""
    assert check(certificate) == reason


def test_a_nullification_names_no_block() -> None:
    """Its digest is zero."""
    assert check(make((0, 1, 2, 3, 4), VoteKind.NULLIFY, BlockDigest(ZERO_DIGEST))) is None


@pytest.mark.parametrize("fields", [{"signers": 0}, {"signers": 2**32}, {"signatures": ()}])
def test_bitmaps_beyond_the_limits_do_not_decode(fields: dict[str, object]) -> None:
    """An empty or oversized bitmap never gets as far as a check."""
    raw = encode(msgspec.structs.replace(make((0, 1, 2, 3, 4)), **fields))
    with pytest.raises(CodecError):
        decode(raw, Certificate)
