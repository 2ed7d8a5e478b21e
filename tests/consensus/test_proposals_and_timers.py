"""What a proposal needs to get a vote, and when a view is given up."""

import msgspec
import pytest

from consensus.effects import (
    CheckPayload,
    FetchBlocks,
    RaiseAlarm,
    SetTimer,
    StopTimer,
)
from consensus.events import (
    Executed,
    PayloadChecked,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    TimerFired,
    TimerName,
    Verdict,
    WorkChanged,
)
from consensus.pacemaker import Pacemaker, Timing
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, Digest, Height, TimeMs, View
from protocol.limits import EXECUTION_LAG_MAX
from tests.consensus.bench import CHAIN, NO_BLOCK, Bench, certificates_in, make_follower, ok, pick, root_of, votes_in

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def test_a_proposal_is_refused_unless_its_leader_signed_it() -> None:
    """Another validator's signature makes nothing happen."""
    bench = make_follower()
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
        {"proposer": 77},
        {"exec_height": Height(1)},
    ],
)
def test_a_header_that_cannot_be_true_is_refused_at_once(changes: dict[str, object]) -> None:
    """Chain, version, counts, roots, parameters, proposer: nothing is checked or stored."""
    bench = make_follower()
    effects = bench.drive(ReceivedProposal(propose=bench.propose(bench.block(1, **changes))))
    assert pick(effects, CheckPayload) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"height": Height(2)},
        {"history_root": Digest(bytes(32))},
        {"exec_root": Digest(bytes(32))},
        {"next_validators_hash": Digest(bytes(32))},
        {"epoch_end": Height(33)},
        {"time_ms": TimeMs(0)},
    ],
)
def test_a_header_that_does_not_follow_from_its_parent_gets_no_vote(changes: dict[str, object]) -> None:
    """Height, history, executed root, time: no Notarize, and Nullify at T_lead."""
    bench = make_follower()
    said = bench.hear_block(bench.block(1, **changes))
    assert votes_in(said) == []
    assert len(votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U)) == 1


@pytest.mark.parametrize(("offset_ms", "voted"), [(500, True), (502, False), (-2_200, True), (-4_000, False)])
def test_the_clock_gates_my_notarize_only(offset_ms: int, voted: bool) -> None:
    """Later than local + 500 ms or earlier than local - (D + 2 s): no vote, but the payload is not bad."""
    bench = make_follower()
    said = bench.hear_block(bench.block(1, time_ms=TimeMs(bench.now_ms + offset_ms)))
    assert bool(votes_in(said, N)) is voted
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U) == []


def test_a_root_i_have_not_executed_keeps_the_payload_pending() -> None:
    """I vote as soon as my own execution gives the same root."""
    bench = make_follower()
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
    bench = make_follower()
    block = bench.block(1, exec_root=Digest(bytes(32)))
    assert pick(bench.hear_block(block), RaiseAlarm) == []
    effects = bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, block.header.calculate_digest())))
    assert len(pick(effects, RaiseAlarm)) == 1
    assert bench.engine.silenced
    assert votes_in(bench.hear_block(bench.block(2))) == []
    assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=bench.engine.view))) == []


def test_a_divergence_is_found_when_execution_comes_after_finality() -> None:
    """A finalised header names a root I get to later, and mine differs."""
    bench = make_follower()
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


def test_an_idle_chain_runs_the_heartbeat_alone() -> None:
    """No work: one timer of ten seconds and nothing else."""
    bench = Bench()
    timers = pick(bench.start(), SetTimer)
    assert [(one.name, one.due_ms - bench.now_ms) for one in timers] == [(TimerName.HEARTBEAT, 10_000)]


def test_work_arms_t_lead_and_t_view() -> None:
    """T_lead = 2D, T_view = 3D, T_retry = 2D."""
    bench = make_follower()
    timers = pick(bench.drive(WorkChanged(has_work=True)), SetTimer)
    assert {one.name: one.due_ms - bench.now_ms for one in timers} == {
        TimerName.LEAD: 500,
        TimerName.VIEW: 750,
        TimerName.RETRY: 500,
    }


def test_when_work_ceases_the_timers_stop() -> None:
    """A timer that fires nevertheless changes nothing."""
    bench = make_follower()
    bench.drive(WorkChanged(has_work=True))
    effects = bench.drive(WorkChanged(has_work=False))
    assert [type(effect).__name__ for effect in effects] == ["StopTimer"] * 3
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1)))) == []


def test_no_proposal_by_t_lead_is_a_timeout() -> None:
    """Nullify, once."""
    bench = make_follower()
    bench.drive(WorkChanged(has_work=True))
    said = bench.drive(TimerFired(name=TimerName.LEAD, view=View(1)))
    assert [vote.kind for vote in votes_in(said)] == [U]
    assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=View(1)))) == []


def test_a_timer_of_another_view_means_nothing() -> None:
    """Only the current view can time out."""
    bench = make_follower()
    bench.nullify_up_to(2)
    bench.drive(WorkChanged(has_work=True))
    assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=View(1)))) == []


def test_a_bad_payload_waits_for_t_lead() -> None:
    """Views never spin at network speed: bad before T_lead is nullified at T_lead."""
    bench = make_follower()
    block = bench.block(1)
    bench.drive(ReceivedProposal(propose=bench.propose(block)))
    bad = PayloadChecked(digest=block.header.calculate_digest(), verdict=Verdict.BAD)
    assert votes_in(bench.drive(bad)) == []
    assert len(votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(1))), U)) == 1


def test_the_leaders_own_nullify_ends_its_view() -> None:
    """Nobody waits for a leader that gave up."""
    bench = make_follower()
    said = bench.drive(ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, bench.leader(1))))
    assert len(votes_in(said, U)) == 1


def test_a_leader_silent_for_2n_views_is_skipped_at_once_until_heard() -> None:
    """No waiting for the dead; one signature of it in a view brings the patience back."""
    bench = make_follower()
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
    """k counts views in a row that did not last."""
    bench = make_follower()
    bench.nullify_up_to(5)
    assert bench.engine._machine.pace.nullified_in_a_row == 4
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 5, BlockDigest(bytes(31) + b"\x05"))))
    assert bench.engine._machine.pace.nullified_in_a_row == 0


def test_a_notarization_that_comes_after_one_gave_its_view_up_lengthens_d() -> None:
    """Messages take longer than D: such views are notarized late for ever and never final, unless D grows."""
    bench = make_follower()
    for view in (1, 2, 3):
        bench.drive(WorkChanged(has_work=True))
        assert votes_in(bench.drive(TimerFired(name=TimerName.VIEW, view=View(view))), U)
        digest = BlockDigest(bytes(31) + bytes((view,)))
        bench.drive(ReceivedCertificate(certificate=bench.certificate(N, view, digest)))
        assert (bench.engine.view, bench.engine._machine.pace.nullified_in_a_row) == (view + 1, view)
    late = BlockDigest(bytes(31) + b"\x09")
    bench.nullify_up_to(5)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 4, late)))
    assert bench.engine._machine.pace.nullified_in_a_row == 4, "a view that is left says nothing of the present D"


def test_retry_says_again_what_may_have_been_lost() -> None:
    """The very bytes of own votes, and the certificate that let me into the view."""
    bench = make_follower()
    bench.nullify_up_to(2)
    bench.drive(WorkChanged(has_work=True))
    said = votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(2))), U)
    again = bench.step(TimerFired(name=TimerName.RETRY, view=View(2)))
    assert votes_in(again) == said
    assert [c.view for c in certificates_in(again)] == [1]


def test_what_is_missing_is_asked_for_again_however_fast_views_pass() -> None:
    """A quick network leaves every view before its retry is due; whoever lags must not wait for it to slow down."""
    bench = make_follower()
    final = bench.certificate(F, 2, BlockDigest(bytes(31) + b"\x02"))
    effects = bench.drive(ReceivedCertificate(certificate=final))
    assert len(pick(effects, FetchBlocks)) == 1
    due = next(one for one in pick(effects, SetTimer) if one.name is TimerName.RETRY)
    for view in (3, 4, 5):
        effects = bench.drive(ReceivedCertificate(certificate=bench.nullification(view)))
        assert bench.engine.view == view + 1
        assert not [one for one in effects if isinstance(one, SetTimer | StopTimer) and one.name is TimerName.RETRY]
    effects = bench.drive(TimerFired(name=TimerName.RETRY, view=due.view))
    assert len(pick(effects, FetchBlocks)) == 1
    assert votes_in(effects) == []


def test_a_repeated_vote_of_an_old_view_is_answered_with_what_let_me_go_on() -> None:
    """Help for who missed a certificate, at most once per 2D whatever is repeated."""
    bench = make_follower()
    bench.hear_votes(U, 1, NO_BLOCK, range(4))
    old = ReceivedVote(vote=bench.vote(U, 1, NO_BLOCK, bench.leader(1)))
    bench.wait(5_000)
    assert [c.view for c in certificates_in(bench.step(old))] == [1]
    assert certificates_in(bench.step(old)) == []


@pytest.mark.parametrize(
    "unsigned",
    [
        {"parent_view": View(0)},
        {"parent_view": View(4)},
        {"parent_view": View(10**9)},
        {"parent_cert": None, "nullifications": ()},
        {"parent_view": View(4), "parent_cert": None, "nullifications": (), "finalization": None},
    ],
)
def test_what_a_relay_writes_beside_the_header_speaks_against_nobody(unsigned: dict[str, object]) -> None:
    """The leader signs the header alone: after an altered copy the true one is heard, and the block gets its vote."""
    bench = Bench()
    bench.me = next(index for index in range(4) if index not in (bench.leader(1), bench.leader(4)))
    bench.engine = bench.make_engine()
    bench.start()
    first = bench.block(1)
    bench.hear_block(first)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(3)))
    assert bench.engine.view == 4
    block = bench.block(4, first)
    true = bench.propose(block, first)
    said = bench.drive(ReceivedProposal(propose=msgspec.structs.replace(true, **unsigned)))
    said += bench.drive(ok(block))
    said += bench.drive(ReceivedProposal(propose=true))
    assert [vote.digest for vote in votes_in(said, N)] == [block.header.calculate_digest()]
    assert votes_in(bench.drive(TimerFired(name=TimerName.LEAD, view=View(4))), U) == []


def test_a_stripped_proposal_is_completed_by_certificates_from_anywhere() -> None:
    """Its `parent_view` may be a lie too: parent and skipped views are found by their certificates."""
    bench = Bench()
    bench.me = next(index for index in range(4) if index not in (bench.leader(1), bench.leader(4)))
    bench.engine = bench.make_engine()
    bench.start()
    first = bench.block(1)
    bench.hear_block(first)
    bench.drive(ReceivedCertificate(certificate=bench.nullification(3)))
    block = bench.block(4, first)
    true = bench.propose(block, first)
    changes = {"parent_view": View(9), "parent_cert": None, "nullifications": ()}
    bench.drive(ReceivedProposal(propose=msgspec.structs.replace(true, **changes)), ok(block))
    said = bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, first.header.calculate_digest())))
    assert votes_in(said, N) == []
    said = bench.drive(ReceivedCertificate(certificate=bench.nullification(2)))
    assert len(votes_in(said, N)) == 1
