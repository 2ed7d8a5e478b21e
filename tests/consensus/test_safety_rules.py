"""S1 to S5, one test per sentence of the law."""

import pytest

from consensus.effects import Broadcast, Persist, PersistPayload
from consensus.events import (
    PayloadChecked,
    ReceivedCertificate,
    ReceivedProposal,
    TimerFired,
    TimerName,
    Verdict,
)
from consensus.records import VoteRecord
from protocol.certificate import VoteKind
from protocol.ids import TimeMs, View
from tests.consensus.bench import make_follower, ok, pick, received, votes_in

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def test_s1_at_most_one_notarize_digest_per_view() -> None:
    """Two valid proposals of one leader get one Notarize, and none of another digest, whatever order they come in."""
    bench = make_follower()
    first = bench.block(1)
    second = bench.block(1, time_ms=TimeMs(bench.now_ms + 9))
    said = votes_in(bench.hear_block(first), N) + votes_in(bench.hear_block(second), N)
    said += votes_in(bench.drive(ok(second)), N)
    assert [vote.digest for vote in said] == [first.header.calculate_digest()]


def test_s2_after_nullify_no_finalize() -> None:
    """Who gave a view up never finalizes in it, though its block is notarized later."""
    bench = make_follower()
    block = bench.block(1)
    digest = block.header.calculate_digest()
    bench.hear_block(block)
    said = bench.drive(TimerFired(name=TimerName.VIEW, view=View(1)))
    assert [vote.kind for vote in votes_in(said)] == [U]
    after = bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest)))
    assert bench.engine.view == 2
    assert votes_in(after, F) == []


def test_s2_after_finalize_no_nullify() -> None:
    """Who finalized in a view never gives it up, not even when it is stuck for long."""
    bench = make_follower()
    block = bench.block(1)
    bench.hear_block(block)
    said = bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest())))
    assert len(votes_in(said, F)) == 1
    later = []
    for _ in range(12):
        bench.wait(5_000)
        view = bench.engine.view
        for name in (TimerName.LEAD, TimerName.VIEW, TimerName.RETRY):
            later += bench.drive(TimerFired(name=name, view=view))
        bench.drive(ReceivedCertificate(certificate=bench.nullification(bench.engine.view)))
    assert [vote for vote in votes_in(later, U) if vote.view == 1] == []


def test_a_notarize_after_ones_own_nullify_is_allowed() -> None:
    """Giving a view up forbids Finalize alone."""
    bench = make_follower()
    bench.drive(TimerFired(name=TimerName.HEARTBEAT, view=View(1)))
    assert len(votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U)) == 1
    assert len(votes_in(bench.hear_block(bench.block(1)), N)) == 1


@pytest.mark.parametrize("verdict", [None, Verdict.BAD])
def test_s3_no_finalize_without_a_verified_payload(verdict: Verdict | None) -> None:
    """A notarization alone does not permit Finalize; a payload that is unknown or bad forbids it."""
    bench = make_follower()
    block = bench.block(1)
    digest = block.header.calculate_digest()
    said = bench.drive(ReceivedProposal(propose=bench.propose(block)))
    if verdict is not None:
        said += bench.drive(PayloadChecked(digest=digest, verdict=verdict))
    said += bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest)))
    assert bench.engine.view == 2
    assert votes_in(said, F) == []


def test_s3_finalize_follows_when_the_payload_comes_late() -> None:
    """The view may be over: Finalize only needs notarization and payload."""
    bench = make_follower()
    block = bench.block(1)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest())))
    said = bench.drive(ReceivedProposal(propose=bench.propose(block)))
    assert votes_in(said, F) == []
    assert len(votes_in(bench.drive(ok(block)), F)) == 1


def test_s3_every_unfinalised_ancestor_is_made_durable_with_the_block() -> None:
    """PersistPayload names the ancestors that it did not name before, oldest first, and stands before the vote."""
    bench = make_follower()
    first = bench.block(1)
    bench.drive(ReceivedProposal(propose=bench.propose(first)))
    second = bench.block(2, first)
    bench.drive(ReceivedProposal(propose=bench.propose(second, first)))
    bench.drive(ok(second))
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 2, second.header.calculate_digest())))
    assert bench.engine.view == 3
    effects = bench.step(ok(first))
    assert [vote.view for vote in votes_in(effects, F)] == [1, 2]
    payloads = [effect.blocks for effect in pick(effects, PersistPayload)]
    assert payloads == [(first,), (second,)]
    order = [type(effect) for effect in effects if isinstance(effect, Broadcast | PersistPayload)]
    assert order == [PersistPayload, Broadcast, PersistPayload, Broadcast]


def test_s4_no_notarize_without_the_parents_notarization() -> None:
    """A child of a block that no quorum notarized gets no vote, and its certificate is asked for."""
    bench = make_follower()
    first, _ = bench.block(1), None
    bench.hear_block(first)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    second = bench.block(2, first)
    naked = bench.propose(second, first)
    naked = type(naked)(
        epoch=naked.epoch,
        view=naked.view,
        block=naked.block,
        parent_view=naked.parent_view,
        parent_cert=None,
        finalization=None,
        nullifications=(),
        signature=naked.signature,
    )
    said = bench.drive(ReceivedProposal(propose=naked)) + bench.drive(ok(second))
    assert votes_in(said, N) == []
    assert any(type(effect).__name__ == "FetchCertificates" for effect in said)
    certificate = bench.certificate(N, 1, first.header.calculate_digest())
    assert len(votes_in(bench.drive(ReceivedCertificate(certificate=certificate)), N)) == 1


def test_s4_no_notarize_while_a_skipped_view_is_not_nullified() -> None:
    """Skipping a view needs its nullification, however late it comes."""
    bench = make_follower()
    bench.drive(ReceivedCertificate(certificate=bench.nullification(2)))
    assert bench.engine.view == 3
    block = bench.block(3)
    whole = bench.propose(block)
    part = type(whole)(
        epoch=whole.epoch,
        view=whole.view,
        block=block,
        parent_view=whole.parent_view,
        parent_cert=None,
        finalization=None,
        nullifications=(),
        signature=whole.signature,
    )
    said = bench.drive(ReceivedProposal(propose=part)) + bench.drive(ok(block))
    assert votes_in(said, N) == []
    said = bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert len(votes_in(said, N)) == 1


def test_s5_every_vote_stands_behind_its_record() -> None:
    """In one list of effects the record of a vote comes before its broadcast, and the entry certificate before both."""
    bench = make_follower()
    block = bench.block(1)
    effects = bench.hear_block(block)
    effects += bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest())))
    logged = []
    for effect in effects:
        if isinstance(effect, Persist) and isinstance(effect.record, VoteRecord):
            logged.append(effect.record.vote)
        elif isinstance(effect, Broadcast) and type(effect.message).__name__ == "Vote":
            assert effect.message in logged
    assert len(logged) == 2


def test_ones_own_vote_counts_only_when_it_comes_back() -> None:
    """Two foreign votes and my own unsent one make no quorum of three; fed back, it does."""
    bench = make_follower()
    block = bench.block(1)
    digest = block.header.calculate_digest()
    others = [index for index in range(4) if index != bench.me][:2]
    bench.step(ReceivedProposal(propose=bench.propose(block)))
    own = votes_in(bench.step(ok(block)), N)[0]
    for index in others:
        bench.step(received(bench.vote(N, 1, digest, index)))
    assert bench.engine.view == 1
    bench.step(received(own))
    assert bench.engine.view == 2


def test_two_proposals_of_one_view_keep_me_from_finalizing_either() -> None:
    """Equivocation seen: the view's block may be notarized, but I do not finalize it."""
    bench = make_follower()
    first = bench.block(1)
    second = bench.block(1, time_ms=TimeMs(bench.now_ms + 9))
    bench.hear_block(first)
    bench.hear_block(second)
    certificate = bench.certificate(N, 1, first.header.calculate_digest())
    assert votes_in(bench.drive(ReceivedCertificate(certificate=certificate)), F) == []


def test_a_contradiction_heard_late_still_keeps_me_from_finalizing() -> None:
    """The view is over and nobody gives it up any more; its payload comes after the leader's second block."""
    bench = make_follower()
    first = bench.block(1)
    second = bench.block(1, time_ms=TimeMs(bench.now_ms + 9))
    bench.drive(ReceivedProposal(propose=bench.propose(first)))
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, first.header.calculate_digest())))
    said = bench.drive(ReceivedProposal(propose=bench.propose(second))) + bench.drive(ok(first))
    assert votes_in(said) == []
