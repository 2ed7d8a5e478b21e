"""What survives a crash: promises, certificates, the view; and that a lone validator is a network."""

from consensus.effects import BuildPayload, Commit
from consensus.events import (
    PayloadBuilt,
    ReceivedBlock,
    ReceivedCertificate,
    TimerFired,
    TimerName,
    WorkChanged,
)
from protocol.batch import BatchRef
from protocol.certificate import VoteKind
from protocol.ids import BatchDigest, TimeMs, View
from tests.consensus.bench import Bench, certificates_in, make_follower, ok, pick, proposals_in, votes_in

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def test_a_restarted_node_says_again_the_same_bytes() -> None:
    """The vote that may never have left goes out again, identical."""
    bench = make_follower()
    said = votes_in(bench.hear_block(bench.block(1)), N)
    assert votes_in(bench.restart(), N) == said


def test_a_restarted_node_keeps_s1() -> None:
    """It does not notarize another block of a view in which it notarized."""
    bench = make_follower()
    bench.hear_block(bench.block(1))
    bench.restart()
    other = bench.block(1, time_ms=TimeMs(bench.now_ms + 50))
    assert votes_in(bench.hear_block(other), N) == []


def test_a_restarted_node_keeps_s2() -> None:
    """It does not finalize a view that it gave up, nor give up one that it finalized."""
    bench = make_follower()
    block = bench.block(1)
    bench.drive(WorkChanged(has_work=True))
    bench.drive(TimerFired(name=TimerName.LEAD, view=View(1)))
    bench.restart()
    bench.hear_block(block)
    digest = block.header.calculate_digest()
    assert votes_in(bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest))), F) == []


def test_a_restarted_node_never_gives_up_what_it_finalized() -> None:
    """Its payload is not at hand yet and every leader waits for it: S2 holds all the same."""
    bench = make_follower()
    block = bench.block(1)
    bench.hear_block(block)
    assert votes_in(
        bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest()))), F
    )
    bench.nullify_up_to(9)
    bench.restart()
    bench.drive(WorkChanged(has_work=True))
    said = votes_in(bench.drive(TimerFired(name=TimerName.RETRY, view=View(9))))
    assert [vote for vote in said if vote.view == 1 and vote.kind is U] == []


def test_a_restarted_node_resumes_in_the_view_of_its_highest_certificate() -> None:
    """No certificate is forgotten, no view is visited twice."""
    bench = make_follower()
    bench.nullify_up_to(7)
    bench.restart()
    assert bench.engine.view == 7
    assert [c.view for c in bench.engine.certificates_from(View(1))] == [1, 2, 3, 4, 5, 6]


def test_a_restarted_leader_repeats_its_proposal_and_builds_no_other() -> None:
    """One proposal per view, across crashes."""
    bench = Bench()
    bench.me = bench.leader(1)
    bench.engine = bench.make_engine()
    bench.start()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[0]
    ref = BatchRef(digest=BatchDigest(bytes(32)), tx_count=1, size=1)
    built = PayloadBuilt(view=View(1), parent_digest=asked.parent_digest, batches=(ref,))
    said = proposals_in(bench.drive(built))
    again = bench.restart()
    assert proposals_in(again) == said
    assert pick(bench.drive(WorkChanged(has_work=True)), BuildPayload) == []
    assert proposals_in(bench.drive(built)) == []


def test_a_finalization_that_was_logged_but_not_saved_commits_again() -> None:
    """The floor is lower than the log: the logged block comes back and is committed."""
    bench = make_follower()
    block = bench.block(1)
    bench.hear_block(block)
    final = bench.certificate(F, 1, block.header.calculate_digest())
    assert len(pick(bench.drive(ReceivedCertificate(certificate=final)), Commit)) == 1
    bench.engine = bench.make_engine()
    bench.engine.replay(bench.records)
    assert bench.step(ReceivedBlock(block=block)) == []
    commits = pick(bench.start(), Commit)
    assert [one.blocks for one in commits] == [(block,)]


def test_replaying_emits_and_verifies_nothing() -> None:
    """The log is one's own: its checksums came before."""
    bench = make_follower()
    bench.hear_block(bench.block(1))
    bench.nullify_up_to(3)
    count = len(bench.verified)
    bench.engine = bench.make_engine()
    bench.engine.replay(bench.records)
    assert len(bench.verified) == count


def test_a_lone_validator_finalises_by_itself() -> None:
    """n = 1: q = 1, every view is its own, three votes make a block final."""
    bench = Bench(1)
    bench.start()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[0]
    ref = BatchRef(digest=BatchDigest(bytes(32)), tx_count=1, size=1)
    effects = bench.drive(PayloadBuilt(view=View(1), parent_digest=asked.parent_digest, batches=(ref,)))
    assert [c.kind for c in certificates_in(effects)] == [N, F]
    assert len(pick(effects, Commit)) == 1
    assert bench.engine.final_height == 1
    block = pick(effects, Commit)[0].blocks[0]
    assert bench.drive(ok(block)) == []
