"""Quorums, certificates, entering views, bounds on what peers send, and contradictions."""

import msgspec
import pytest

from consensus.effects import (
    CheckPayload,
    ReportEvidence,
)
from consensus.events import (
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
)
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, TimeMs
from protocol.validators import ValidatorSet
from tests.consensus.bench import NO_BLOCK, certificates_in, make_follower, pick
from tests.sim.invariants import QUORUMS

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE

# q for n = 1..32, worked out by hand from f = (n-1)//3, q = (n+f)//2 + 1
QUORUM_TABLE = (
    1,
    2,
    2,
    3,
    4,
    4,
    5,
    6,
    6,
    7,
    8,
    8,
    9,
    10,
    10,
    11,
    12,
    12,
    13,
    14,
    14,
    15,
    16,
    16,
    17,
    18,
    18,
    19,
    20,
    20,
    21,
    22,
)


def test_quorum_table() -> None:
    """q is the table's for n = 1..32, and two quorums share more than f validators."""
    for n, quorum in enumerate(QUORUM_TABLE, start=1):
        validators = ValidatorSet(keys=tuple(bytes((i,)) * 32 for i in range(n)), offset=0)  # type: ignore[misc]
        assert validators.quorum == quorum
        assert 2 * quorum - n > (n - 1) // 3
        assert QUORUMS.get(n, quorum) == quorum


def test_a_quorum_of_votes_forms_one_certificate_and_enters_the_next_view() -> None:
    """q Nullify: form, send once, enter v+1; the fourth vote changes nothing."""
    bench = make_follower()
    assert certificates_in(bench.hear_votes(U, 1, NO_BLOCK, range(2))) == []
    effects = bench.hear_votes(U, 1, NO_BLOCK, range(2, 3))
    assert [(c.kind, c.view, c.signers) for c in certificates_in(effects)] == [(U, 1, 0b111)]
    assert bench.engine.view == 2
    assert certificates_in(bench.hear_votes(U, 1, NO_BLOCK, range(3, 4))) == []


def test_no_ones_claim_but_a_certificate_moves_a_view() -> None:
    """f+1 votes in a later view leave me where I am."""
    bench = make_follower()
    bench.hear_votes(U, 9, NO_BLOCK, range(2))
    assert bench.engine.view == 1


@pytest.mark.parametrize("count", [2, 4])
def test_a_certificate_has_exactly_a_quorum(count: int) -> None:
    """Fewer signatures prove nothing, surplus ones are refused."""
    bench = make_follower()
    bench.drive(ReceivedCertificate(certificate=bench.certificate(U, 1, NO_BLOCK, count=count)))
    assert bench.engine.view == 1


def test_a_certificate_with_one_false_signature_proves_nothing() -> None:
    """Every signature counts."""
    bench = make_follower()
    good = bench.nullification(1)
    bad = msgspec.structs.replace(good, signatures=(good.signatures[1], *good.signatures[1:]))
    bench.drive(ReceivedCertificate(certificate=bad))
    assert bench.engine.view == 1


def test_a_certificate_of_a_far_view_is_believed_and_entered() -> None:
    """Certificates prove themselves: a node that was away jumps."""
    bench = make_follower()
    bench.drive(ReceivedCertificate(certificate=bench.nullification(500)))
    assert bench.engine.view == 501


def test_votes_beyond_the_window_are_not_even_verified() -> None:
    """Memory and work are bounded, whatever view a peer claims."""
    bench = make_follower()
    before = len(bench.verified)
    for view in (18, 1000, 2**52):
        bench.drive(ReceivedVote(vote=bench.vote(U, view, NO_BLOCK, 1)))
    assert len(bench.verified) == before
    bench.drive(ReceivedVote(vote=bench.vote(U, 17, NO_BLOCK, 1)))
    assert len(bench.verified) == before + 1


def test_a_vote_is_verified_once_and_a_validator_gets_two_per_view_and_kind() -> None:
    """A repeated vote costs nothing; a third digest of the same validator is not looked at."""
    bench = make_follower()
    digests = [BlockDigest(bytes((i,)) * 32) for i in (1, 2, 3)]
    before = len(bench.verified)
    for digest in (*digests, *digests):
        bench.drive(ReceivedVote(vote=bench.vote(N, 1, digest, 1)))
    assert len(bench.verified) == before + 2


def test_a_certificate_of_votes_that_came_already_is_not_verified_again() -> None:
    """Signatures are verified once per message."""
    bench = make_follower()
    for index in (2, 3):
        bench.step(ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, index)))
    before = len(bench.verified)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert bench.engine.view == 2
    assert len(bench.verified) == before + 1


def test_a_vote_with_a_false_signature_is_nothing() -> None:
    """Neither counted nor evidence."""
    bench = make_follower()
    for index in range(3):
        false = msgspec.structs.replace(bench.vote(U, 1, NO_BLOCK, index), signature=bench.signers[3].sign(b"x"))
        bench.drive(ReceivedVote(vote=false))
    assert bench.engine.view == 1


@pytest.mark.parametrize(
    ("first", "second", "guilty"),
    [
        ((N, 1), (N, 2), True),
        ((F, 1), (F, 2), True),
        ((U, 0), (F, 1), True),
        ((F, 1), (U, 0), True),
        ((U, 0), (N, 1), False),
        ((N, 1), (F, 1), False),
    ],
)
def test_contradictions_are_evidence_once(
    first: tuple[VoteKind, int], second: tuple[VoteKind, int], guilty: bool
) -> None:
    """Conflicting Notarize, Finalize, and Nullify with Finalize; a Nullify beside a Notarize is innocent."""
    bench = make_follower()
    votes = [bench.vote(kind, 1, BlockDigest(bytes((digest,)) * 32), 1) for kind, digest in (first, second)]
    effects = [effect for vote in (*votes, *votes) for effect in bench.drive(ReceivedVote(vote=vote))]
    reports = pick(effects, ReportEvidence)
    assert [(one.first, one.second) for one in reports] == ([tuple(votes)] if guilty else [])


def test_two_proposals_are_evidence() -> None:
    """The leader's second, different proposal; a third is not stored."""
    bench = make_follower()
    blocks = [bench.block(1, time_ms=TimeMs(bench.now_ms + i)) for i in (1, 2, 3)]
    effects = [e for block in blocks for e in bench.drive(ReceivedProposal(propose=bench.propose(block)))]
    assert len(pick(effects, ReportEvidence)) == 1
    assert len(pick(effects, CheckPayload)) == 2
