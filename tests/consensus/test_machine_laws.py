"""The machine's sentences: entering views, certificates, timers, idleness, leading, commits, evidence, sync."""

import msgspec
import pytest

from consensus.chain import make_genesis_floor
from consensus.effects import (
    BuildPayload,
    CheckPayload,
    Commit,
    FetchBlock,
    FetchBlocks,
    RaiseAlarm,
    ReportEvidence,
    SetTimer,
)
from consensus.events import (
    Executed,
    PayloadBuilt,
    PayloadChecked,
    ReceivedBlock,
    ReceivedBlocks,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    TimerFired,
    TimerName,
    Verdict,
    WorkChanged,
)
from consensus.pacemaker import Pacemaker, Timing
from protocol.batch import BatchRef
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.ids import BatchDigest, BlockDigest, Digest, Height, TimeMs, View
from protocol.limits import EXECUTION_LAG_MAX
from protocol.messages import Blocks
from protocol.validators import ValidatorSet
from tests.consensus.bench import (
    CHAIN,
    GENESIS_ROOT,
    NO_BLOCK,
    Bench,
    certificates_in,
    pick,
    proposals_in,
    root_of,
    votes_in,
)
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


def follower() -> Bench:
    """An engine that leads neither view 1 nor view 2."""
    bench = Bench()
    bench.me = next(index for index in range(4) if index not in (bench.leader(1), bench.leader(2)))
    bench.engine = bench.make_engine()
    bench.start()
    return bench


def leader() -> Bench:
    """An engine that leads view 1."""
    bench = Bench()
    bench.me = bench.leader(1)
    bench.engine = bench.make_engine()
    bench.start()
    return bench


def refs(count: int) -> tuple[BatchRef, ...]:
    """Some batches."""
    return tuple(BatchRef(digest=BatchDigest(bytes((i,)) * 32), tx_count=2, size=7) for i in range(count))


def test_quorum_table() -> None:
    """q is the table's for n = 1..32, and two quorums share more than f validators."""
    for n, quorum in enumerate(QUORUM_TABLE, start=1):
        validators = ValidatorSet(keys=tuple(bytes((i,)) * 32 for i in range(n)), offset=0)  # type: ignore[misc]
        assert validators.quorum == quorum
        assert 2 * quorum - n > (n - 1) // 3
        assert QUORUMS.get(n, quorum) == quorum


# ---------------------------------------------------------------------- certificates and views


def test_a_quorum_of_votes_forms_one_certificate_and_enters_the_next_view() -> None:
    """q Nullify: form, send once, enter v+1; the fourth vote changes nothing."""
    bench = follower()
    assert certificates_in(bench.hear_votes(U, 1, NO_BLOCK, range(2))) == []
    effects = bench.hear_votes(U, 1, NO_BLOCK, range(2, 3))
    assert [(c.kind, c.view, c.signers) for c in certificates_in(effects)] == [(U, 1, 0b111)]
    assert bench.engine.view == 2
    assert certificates_in(bench.hear_votes(U, 1, NO_BLOCK, range(3, 4))) == []


def test_no_ones_claim_but_a_certificate_moves_a_view() -> None:
    """f+1 votes in a later view leave me where I am."""
    bench = follower()
    bench.hear_votes(U, 9, NO_BLOCK, range(2))
    assert bench.engine.view == 1


@pytest.mark.parametrize("count", [2, 4])
def test_a_certificate_has_exactly_a_quorum(count: int) -> None:
    """Fewer signatures prove nothing, surplus ones are refused."""
    bench = follower()
    bench.drive(ReceivedCertificate(certificate=bench.certificate(U, 1, NO_BLOCK, count=count)))
    assert bench.engine.view == 1


def test_a_certificate_with_one_false_signature_proves_nothing() -> None:
    """Every signature counts."""
    bench = follower()
    good = bench.nullification(1)
    bad = msgspec.structs.replace(good, signatures=(good.signatures[1], *good.signatures[1:]))
    bench.drive(ReceivedCertificate(certificate=bad))
    assert bench.engine.view == 1


def test_a_certificate_of_a_far_view_is_believed_and_entered() -> None:
    """Certificates prove themselves: a node that was away jumps."""
    bench = follower()
    bench.drive(ReceivedCertificate(certificate=bench.nullification(500)))
    assert bench.engine.view == 501


def test_votes_beyond_the_window_are_not_even_verified() -> None:
    """Memory and work are bounded, whatever view a peer claims."""
    bench = follower()
    before = len(bench.verified)
    for view in (18, 1000, 2**52):
        bench.drive(ReceivedVote(vote=bench.vote(U, view, NO_BLOCK, 1)))
    assert len(bench.verified) == before
    bench.drive(ReceivedVote(vote=bench.vote(U, 17, NO_BLOCK, 1)))
    assert len(bench.verified) == before + 1


def test_a_vote_is_verified_once_and_a_validator_gets_two_per_view_and_kind() -> None:
    """A repeated vote costs nothing; a third digest of the same validator is not looked at."""
    bench = follower()
    digests = [BlockDigest(bytes((i,)) * 32) for i in (1, 2, 3)]
    before = len(bench.verified)
    for digest in (*digests, *digests):
        bench.drive(ReceivedVote(vote=bench.vote(N, 1, digest, 1)))
    assert len(bench.verified) == before + 2


def test_a_certificate_of_votes_that_came_already_is_not_verified_again() -> None:
    """Signatures are verified once per message."""
    bench = follower()
    for index in (2, 3):
        bench.step(ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, index)))
    before = len(bench.verified)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert bench.engine.view == 2
    assert len(bench.verified) == before + 1


def test_a_vote_with_a_false_signature_is_nothing() -> None:
    """Neither counted nor evidence."""
    bench = follower()
    for index in range(3):
        false = msgspec.structs.replace(bench.vote(U, 1, NO_BLOCK, index), signature=bench.signers[3].sign(b"x"))
        bench.drive(ReceivedVote(vote=false))
    assert bench.engine.view == 1


# ---------------------------------------------------------------------- evidence


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
    bench = follower()
    votes = [bench.vote(kind, 1, BlockDigest(bytes((digest,)) * 32), 1) for kind, digest in (first, second)]
    effects = [effect for vote in (*votes, *votes) for effect in bench.drive(ReceivedVote(vote=vote))]
    reports = pick(effects, ReportEvidence)
    assert [(one.first, one.second) for one in reports] == ([tuple(votes)] if guilty else [])


def test_two_proposals_are_evidence() -> None:
    """The leader's second, different proposal; a third is not stored."""
    bench = follower()
    blocks = [bench.block(1, time_ms=TimeMs(bench.now_ms + i)) for i in (1, 2, 3)]
    effects = [e for block in blocks for e in bench.drive(ReceivedProposal(propose=bench.propose(block)))]
    assert len(pick(effects, ReportEvidence)) == 1
    assert len(pick(effects, CheckPayload)) == 2


# ---------------------------------------------------------------------- proposals


def test_a_proposal_is_refused_unless_its_leader_signed_it() -> None:
    """Another validator's signature makes nothing happen."""
    bench = follower()
    stranger = next(i for i in range(4) if i != bench.leader(1))
    assert bench.drive(ReceivedProposal(propose=bench.propose(bench.block(1), signer=stranger))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"chain_id": CHAIN[::-1]},
        {"version": 2},
        {"batch_count": 2},
        {"tx_count": 2},
        {"batches_root": Digest(bytes(32))},
        {"params_hash": Digest(bytes(31) + b"\x09")},
        {"next_validators_hash": Digest(bytes(32))},
        {"proposer": 77},
        {"exec_height": Height(1)},
    ],
)
def test_a_header_that_cannot_be_true_is_refused_at_once(changes: dict[str, object]) -> None:
    """Chain, version, counts, roots, parameters, proposer: nothing is checked or stored."""
    bench = follower()
    effects = bench.drive(ReceivedProposal(propose=bench.propose(bench.block(1, **changes))))
    assert pick(effects, CheckPayload) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"height": Height(2)},
        {"history_root": Digest(bytes(32))},
        {"exec_root": Digest(bytes(32))},
        {"time_ms": TimeMs(0)},
    ],
)
def test_a_header_that_does_not_follow_from_its_parent_gets_no_vote(changes: dict[str, object]) -> None:
    """Height, history, executed root, time: no Notarize, and Nullify at T_lead."""
    bench = follower()
    said = bench.hear_block(bench.block(1, **changes))
    assert votes_in(said) == []
    assert len(votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U)) == 1


@pytest.mark.parametrize(("offset_ms", "voted"), [(500, True), (502, False), (-2_200, True), (-4_000, False)])
def test_the_clock_gates_my_notarize_only(offset_ms: int, voted: bool) -> None:
    """Later than local + 500 ms or earlier than local - (D + 2 s): no vote, but the payload is not bad."""
    bench = follower()
    said = bench.hear_block(bench.block(1, time_ms=TimeMs(bench.now_ms + offset_ms)))
    assert bool(votes_in(said, N)) is voted
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U) == []


def test_a_root_i_have_not_executed_keeps_the_payload_pending() -> None:
    """I vote as soon as my own execution gives the same root."""
    bench = follower()
    first = bench.block(1)
    bench.hear_block(first)
    digest = first.header.calculate_digest()
    bench.drive(ReceivedCertificate(certificate=bench.certificate(F, 1, digest)))
    second = bench.block(2, first, exec_height=Height(1), exec_root=root_of(1))
    assert votes_in(bench.hear_block(second, first), N) == []
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(2))), U) == []
    assert len(votes_in(bench.execute(1), N)) == 1


def test_only_a_certified_header_with_another_root_is_a_divergence() -> None:
    """Uncertified it is bad; certified it raises the alarm once, and I vote no more."""
    bench = follower()
    block = bench.block(1, exec_root=Digest(bytes(32)))
    assert pick(bench.hear_block(block), RaiseAlarm) == []
    effects = bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest())))
    assert len(pick(effects, RaiseAlarm)) == 1
    assert bench.engine.silenced
    assert votes_in(bench.hear_block(bench.block(2))) == []
    assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=bench.engine.view))) == []


def test_a_divergence_is_found_when_execution_comes_after_finality() -> None:
    """A finalised header names a root I get to later, and mine differs."""
    bench = follower()
    first = bench.block(1)
    bench.hear_block(first)
    second = bench.block(2, first, exec_height=Height(1), exec_root=root_of(1))
    bench.hear_block(second, first)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(F, 2, second.header.calculate_digest())))
    effects = bench.drive(Executed(height=Height(1), exec_root=Digest(bytes(32))))
    assert len(pick(effects, RaiseAlarm)) == 1


def test_behind_the_execution_limit_only_empty_blocks_get_a_vote() -> None:
    """height - exec_height > 16: a block with batches is bad, an empty one is not."""
    bench = Bench()
    parent: Block | None = None
    bench.start()
    for view in range(1, EXECUTION_LAG_MAX + 1):
        block = bench.block(view, parent)
        bench.hear_block(block, parent)
        bench.drive(ReceivedCertificate(certificate=bench.certificate(N, view, block.header.calculate_digest())))
        parent = block
    view = EXECUTION_LAG_MAX + 1
    assert parent is not None
    assert votes_in(bench.hear_block(bench.block(view, parent), parent), N) == []
    assert len(votes_in(bench.hear_block(bench.block(view, parent, batches=0), parent), N)) == 1


# ---------------------------------------------------------------------- timers


def test_an_idle_chain_runs_the_heartbeat_alone() -> None:
    """No work: one timer of ten seconds and nothing else."""
    bench = Bench()
    timers = pick(bench.start(), SetTimer)
    assert [(one.name, one.due_ms - bench.now_ms) for one in timers] == [(TimerName.HEARTBEAT, 10_000)]


def test_work_arms_t_lead_and_t_view() -> None:
    """T_lead = 2D, T_view = 3D, T_retry = 2D."""
    bench = follower()
    timers = pick(bench.drive(WorkChanged(has_work=True)), SetTimer)
    assert {one.name: one.due_ms - bench.now_ms for one in timers} == {
        TimerName.LEAD: 500,
        TimerName.VIEW: 750,
        TimerName.RETRY: 500,
    }


def test_when_work_ceases_the_timers_stop() -> None:
    """A timer that fires nevertheless changes nothing."""
    bench = follower()
    bench.drive(WorkChanged(has_work=True))
    effects = bench.drive(WorkChanged(has_work=False))
    assert [type(effect).__name__ for effect in effects] == ["StopTimer"] * 3
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1)))) == []


def test_no_proposal_by_t_lead_is_a_timeout() -> None:
    """Nullify, once."""
    bench = follower()
    bench.drive(WorkChanged(has_work=True))
    said = bench.drive(TimerFired(name=TimerName.LEAD, view=View(1)))
    said += bench.drive(TimerFired(name=TimerName.VIEW, view=View(1)))
    assert [vote.kind for vote in votes_in(said)] == [U]


def test_a_timer_of_another_view_means_nothing() -> None:
    """Only the current view can time out."""
    bench = follower()
    bench.nullify_up_to(2)
    bench.drive(WorkChanged(has_work=True))
    assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=View(1)))) == []


def test_a_bad_payload_waits_for_t_lead() -> None:
    """Views never spin at network speed: bad before T_lead is nullified at T_lead."""
    bench = follower()
    block = bench.block(1)
    bench.drive(ReceivedProposal(propose=bench.propose(block)))
    bad = PayloadChecked(digest=block.header.calculate_digest(), verdict=Verdict.BAD)
    assert votes_in(bench.drive(bad)) == []
    assert len(votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U)) == 1


def test_the_leaders_own_nullify_ends_its_view() -> None:
    """Nobody waits for a leader that gave up."""
    bench = follower()
    said = bench.drive(ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, bench.leader(1))))
    assert len(votes_in(said, U)) == 1


def test_a_leader_silent_for_2n_views_is_skipped_at_once_until_heard() -> None:
    """No waiting for the dead; one signature of it in a view brings the patience back."""
    bench = follower()
    dead = bench.leader(2)
    alive = [index for index in range(4) if index not in (dead, bench.me)]
    view = bench.view_led_by(dead, 12)
    for at in range(1, view):
        bench.drive(ReceivedCertificate(certificate=bench.nullification(at)))
        bench.engine._machine.heard[dead] = View(1)
        for index in alive:
            bench.engine._machine.heard[index] = View(at)
    assert bench.engine.view == view
    assert len(votes_in(bench.drive(WorkChanged(has_work=True)), U)) == 1
    later = bench.view_led_by(dead, view + 1)
    bench.drive(ReceivedVote(vote=bench.vote(U, view, NO_BLOCK, dead)))
    bench.drive(WorkChanged(has_work=False))
    bench.nullify_up_to(later)
    assert votes_in(bench.drive(WorkChanged(has_work=True)), U) == []


def test_the_delay_is_clamped_grows_by_half_and_is_capped() -> None:
    """D = clamp(4 x EWMA, 50 ms, 1 s) x 1.5^k, at most 4 s."""
    pace = Pacemaker(Timing())
    for _ in range(200):
        pace.on_quorum(0)
    assert pace.calculate_delay_ms() == 50
    for _ in range(200):
        pace.on_quorum(100)
    assert 380 <= pace.calculate_delay_ms() <= 400
    for _ in range(200):
        pace.on_quorum(9_000)
    grown = []
    for k in (0, 1, 2, 3, 4, 60):
        pace.nullified_in_a_row = k
        grown.append(pace.calculate_delay_ms())
    assert grown == [1_000, 1_500, 2_250, 3_375, 4_000, 4_000]


def test_any_notarization_resets_the_growth() -> None:
    """k counts nullified views in a row."""
    bench = follower()
    bench.nullify_up_to(5)
    assert bench.engine._machine.pace.nullified_in_a_row == 4
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 5, BlockDigest(bytes(31) + b"\x05"))))
    assert bench.engine._machine.pace.nullified_in_a_row == 0


def test_retry_says_again_what_may_have_been_lost() -> None:
    """The very bytes of own votes, and the certificate that let me into the view."""
    bench = follower()
    bench.nullify_up_to(2)
    bench.drive(WorkChanged(has_work=True))
    said = votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(2))), U)
    again = bench.step(TimerFired(name=TimerName.RETRY, view=View(2)))
    assert votes_in(again) == said
    assert [c.view for c in certificates_in(again)] == [1]


def test_a_repeated_vote_of_an_old_view_is_answered_with_what_let_me_go_on() -> None:
    """Help for who missed a certificate, at most once per 2D whatever is repeated."""
    bench = follower()
    bench.hear_votes(U, 1, NO_BLOCK, range(4))
    old = ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, bench.leader(1)))
    bench.wait(5_000)
    assert [c.view for c in certificates_in(bench.step(old))] == [1]
    assert certificates_in(bench.step(old)) == []


# ---------------------------------------------------------------------- leading


def test_a_leader_with_work_proposes_at_once() -> None:
    """WorkChanged, BuildPayload, PayloadBuilt, Propose: no timer in between."""
    bench = leader()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)
    assert [(one.view, one.empty, one.excluded) for one in asked] == [(1, False, ())]
    built = PayloadBuilt(view=View(1), parent_digest=asked[0].parent_digest, batches=refs(2))
    effects = bench.drive(built)
    propose = proposals_in(effects)[0]
    assert (propose.block.header.tx_count, propose.block.header.batch_count) == (4, 2)
    assert len(votes_in(effects, N)) == 1


def test_a_leader_proposes_once_per_view() -> None:
    """Whatever the pool offers later."""
    bench = leader()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[0]
    built = PayloadBuilt(view=View(1), parent_digest=asked.parent_digest, batches=refs(1))
    said = bench.drive(built) + bench.drive(built) + bench.drive(WorkChanged(has_work=True))
    assert len(proposals_in(said)) == 1


def test_a_leader_whose_pool_is_empty_waits_d_before_it_proposes_nothing() -> None:
    """An empty block serves nobody until an ancestor has had time to become final."""
    bench = leader()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[0]
    built = PayloadBuilt(view=View(1), parent_digest=asked.parent_digest, batches=())
    assert proposals_in(bench.drive(built)) == []
    assert len(pick(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), BuildPayload)) == 1
    assert len(proposals_in(bench.drive(built))) == 1


def test_after_the_last_full_block_one_empty_block_carries_its_root_then_silence() -> None:
    """The idle rule from a batch to silence, as the leader of view 2 sees it."""
    bench = Bench()
    bench.me = bench.leader(2)
    bench.engine = bench.make_engine()
    bench.start()
    first = bench.block(1)
    digest = first.header.calculate_digest()
    bench.hear_block(first)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest)))
    assert len(pick(bench.drive(ReceivedCertificate(certificate=bench.certificate(F, 1, digest))), Commit)) == 1
    asked = pick(bench.execute(1), BuildPayload)
    assert len(asked) == 1
    effects = bench.drive(PayloadBuilt(view=View(2), parent_digest=digest, batches=()))
    second = proposals_in(effects)[0].block
    assert (second.header.exec_height, second.header.exec_root, second.header.batch_count) == (1, root_of(1), 0)
    name = second.header.calculate_digest()
    for kind in (N, F):
        bench.drive(ReceivedCertificate(certificate=bench.certificate(kind, 2, name)))
    assert bench.engine.final_height == 2
    assert bench.engine.view == 3
    assert bench.engine.waiting_for() is None
    assert [type(one).__name__ for one in bench.execute(2)] == []


def test_a_leader_that_is_behind_does_not_lead() -> None:
    """A finalization whose blocks I lack comes first."""
    bench = Bench()
    bench.me = bench.leader(3)
    bench.engine = bench.make_engine()
    bench.start()
    effects = bench.drive(ReceivedCertificate(certificate=bench.certificate(F, 2, BlockDigest(bytes(31) + b"\x02"))))
    assert len(pick(effects, FetchBlocks)) == 1
    assert bench.engine.view == 3
    assert pick(bench.drive(WorkChanged(has_work=True)), BuildPayload) == []


def test_the_parent_is_the_highest_notarized_block_below_nullified_views() -> None:
    """Skipped views are carried as nullifications, and what unfinalised ancestors order is excluded."""
    bench = Bench()
    bench.me = bench.leader(4)
    bench.engine = bench.make_engine()
    bench.start()
    first = bench.block(1)
    digest = first.header.calculate_digest()
    bench.hear_block(first)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest)))
    bench.nullify_up_to(4)
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[-1]
    assert (asked.parent_digest, asked.excluded) == (digest, tuple(one.digest for one in first.batches))
    propose = proposals_in(bench.drive(PayloadBuilt(view=View(4), parent_digest=digest, batches=refs(1))))[0]
    assert propose.parent_view == 1
    assert propose.parent_cert is not None
    assert [one.view for one in propose.nullifications] == [2, 3]


# ---------------------------------------------------------------------- finality and catching up


def test_a_finalization_commits_the_chain_in_order_once() -> None:
    """Ancestors first; the same finalization again commits nothing."""
    bench = follower()
    first = bench.block(1)
    bench.hear_block(first)
    second = bench.block(2, first)
    bench.hear_block(second, first)
    final = ReceivedCertificate(certificate=bench.certificate(F, 2, second.header.calculate_digest()))
    commits = pick(bench.drive(final) + bench.drive(final), Commit)
    assert [one.blocks for one in commits] == [(first, second)]
    assert bench.engine.final_height == 2


def test_a_certified_block_that_is_missing_is_fetched_and_taken_only_if_wanted() -> None:
    """FetchBlock brings what a certificate names; any other block is refused."""
    bench = follower()
    block = bench.block(1)
    other = bench.block(1, time_ms=TimeMs(bench.now_ms + 77))
    digest = block.header.calculate_digest()
    asked = pick(bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest))), FetchBlock)
    assert [one.digest for one in asked] == [digest]
    assert bench.drive(ReceivedBlock(block=other)) == []
    assert len(pick(bench.drive(ReceivedBlock(block=block)), CheckPayload)) == 1


def make_chain(bench: Bench, count: int) -> list[Block]:
    """Blocks of views 1 .. count, each on the one before."""
    blocks: list[Block] = []
    for view in range(1, count + 1):
        parent = blocks[-1] if blocks else None
        block = bench.block(view, parent)
        bench.propose(block, parent)
        blocks.append(block)
    return blocks


def test_sync_commits_a_stretch_under_one_finalization() -> None:
    """Hash chain and finalization are enough; the finalization also moves the view."""
    bench = Bench(me=None)
    bench.start()
    blocks = make_chain(bench, 5)
    final = bench.certificate(F, 5, blocks[-1].header.calculate_digest())
    effects = bench.drive(ReceivedBlocks(blocks=Blocks(blocks=tuple(blocks), finalization=final)))
    assert [one.blocks for one in pick(effects, Commit)] == [tuple(blocks)]
    assert (bench.engine.final_height, bench.engine.view) == (5, 6)


@pytest.mark.parametrize("lie", ["gap", "order", "changed", "unsigned", "other", "none"])
def test_sync_takes_nothing_that_does_not_hang_together(lie: str) -> None:
    """Each lie leaves the chain where it was."""
    bench = follower()
    blocks = make_chain(bench, 4)
    final = bench.certificate(F, 4, blocks[-1].header.calculate_digest())
    match lie:
        case "gap":
            blocks = blocks[:1] + blocks[2:]
        case "order":
            blocks = blocks[::-1]
        case "changed":
            blocks[1] = msgspec.structs.replace(blocks[1], batches=())
        case "unsigned":
            final = bench.certificate(F, 4, final.digest, count=2)
        case "other":
            final = bench.certificate(F, 4, NO_BLOCK)
    given = Blocks(blocks=tuple(blocks), finalization=None if lie == "none" else final)
    assert pick(bench.drive(ReceivedBlocks(blocks=given)), Commit) == []
    assert bench.engine.final_height == 0


def test_an_observer_follows_and_never_speaks() -> None:
    """Certificates and proposals are enough; no vote, no record, no view timer."""
    bench = Bench(me=None)
    effects = bench.start()
    first = bench.block(1)
    effects += bench.hear_block(first)
    for kind in (N, F):
        certificate = bench.certificate(kind, 1, first.header.calculate_digest())
        effects += bench.drive(ReceivedCertificate(certificate=certificate))
    assert bench.engine.final_height == 1
    assert {type(effect).__name__ for effect in effects} == {"CheckPayload", "Commit"}


def test_a_notarized_block_that_nobody_can_show_is_nullified_late() -> None:
    """When its payload stays unobtainable for more than n views the stuck view is given up, unless I finalized it."""
    bench = follower()
    lost = BlockDigest(bytes(31) + b"\x07")
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, lost)))
    bench.drive(WorkChanged(has_work=True))
    said = []
    for view in range(2, 8):
        said += votes_in(bench.drive(TimerFired(name=TimerName.RETRY, view=View(view))), U)
        bench.drive(ReceivedCertificate(certificate=bench.nullification(view)))
    assert [vote.view for vote in said if vote.view == 1] != []


def test_waiting_for_names_the_votes_that_lack_and_who_has_not_said_them() -> None:
    """`needs 1 more FINALIZE ... from indices (...)`."""
    bench = follower()
    block = bench.block(1)
    bench.hear_block(block)
    digest = block.header.calculate_digest()
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest)))
    other = next(index for index in range(4) if index != bench.me)
    bench.hear_votes(F, 1, digest, range(other, other + 1))
    waiting = bench.engine.waiting_for()
    assert waiting is not None
    absent = tuple(index for index in range(4) if index not in (bench.me, other))
    assert (waiting.kind, waiting.lacking, waiting.silent) == (F, 1, absent)
    assert str(waiting) == f"needs 1 more FINALIZE in view 1 from indices {absent}"


def test_the_genesis_floor_is_where_everybody_begins() -> None:
    """Height 0, view 1, the genesis digest."""
    bench = Bench()
    assert bench.floor == make_genesis_floor(CHAIN, GENESIS_ROOT)
    assert (bench.engine.view, bench.engine.final_height) == (1, 0)
