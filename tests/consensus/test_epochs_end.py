"""How an epoch ends, one test per sentence: who follows is announced, the end is fixed, the boundary block is final."""

import pytest

from consensus.effects import (
    BuildPayload,
    CheckPayload,
    Commit,
    FetchCertificates,
    RaiseAlarm,
    SetTimer,
)
from consensus.events import (
    PayloadBuilt,
    ReceivedBlocks,
    ReceivedCertificate,
    ReceivedProposal,
    TimerName,
)
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.ids import Digest, Height, TimeMs, View
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Blocks
from protocol.validators import calculate_validators_hash
from tests.consensus.bench import (
    pick,
    proposals_in,
    root_of,
    votes_in,
)
from tests.consensus.epochbench import BOUNDARY, EpochBench, digest_of, lead_over, strip

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
HOUR_MS = 3_600_000


# ---------------------------------------------------------------------- announcing


def test_a_leader_announces_whom_the_state_it_names_plans() -> None:
    """Height 2 names the genesis and announces nobody; height 3 names the plan and fixes the end a notice ahead."""
    bench = EpochBench()
    bench.own = (bench.leader(3),)
    del bench.mine
    bench.engine = bench.make_engine()
    blocks = bench.go_to(2)
    asked = pick(bench.restart_at(blocks), BuildPayload)[0]
    said = proposals_in(bench.drive(PayloadBuilt(view=asked.view, parent_digest=asked.parent_digest, batches=())))
    header = said[0].block.header
    assert header.next_validators_hash == calculate_validators_hash(bench.next_keys)
    assert (header.height, header.epoch_end) == (3, 3 + EPOCH_NOTICE)
    assert (blocks[-1].header.next_validators_hash, blocks[-1].header.epoch_end) == (bench.hash_now(), 0)


def make_voter(height: int) -> tuple[EpochBench, list[Block]]:
    """One that leads neither of the next two views, with everything up to a height final."""
    bench = EpochBench()
    bench.own = (next(at for at in range(4) if at not in (bench.leader(height + 1), bench.leader(height + 2))),)
    del bench.mine
    bench.engine = bench.make_engine()
    return bench, bench.go_to(height)


@pytest.mark.parametrize(
    "changes",
    [
        {"next_validators_hash": Digest(bytes(32))},
        {"next_validators_hash": None},
        {"exec_height": Height(0), "exec_root": root_of(0)},
        {"epoch_end": Height(0)},
        {"epoch_end": Height(BOUNDARY - 1)},
        {"epoch_end": Height(BOUNDARY + 1)},
    ],
)
def test_a_header_that_announces_anything_else_gets_no_vote(changes: dict[str, object]) -> None:
    """Strangers, nobody, the plan under a state that has none, and an end too near or too far: bad."""
    bench, blocks = make_voter(2)
    if "next_validators_hash" in changes and changes["next_validators_hash"] is None:
        changes = {"next_validators_hash": bench.hash_now(), "epoch_end": Height(0)}
    assert votes_in(bench.hear_block(bench.child(3, blocks[-1], **changes), blocks[-1])) == []
    assert len(votes_in(lead_over(bench), U)) == 1


def test_the_header_that_announces_the_plan_gets_a_vote() -> None:
    """And those that say nothing while they name a state that plans nothing."""
    bench, blocks = make_voter(2)
    assert len(votes_in(bench.hear_block(bench.child(3, blocks[-1]), blocks[-1]), N)) == 1
    bench, blocks = make_voter(2)
    facts = {"exec_height": Height(0), "exec_root": root_of(0), "next_validators_hash": bench.hash_now()}
    quiet = bench.child(3, blocks[-1], epoch_end=Height(0), **facts)
    assert len(votes_in(bench.hear_block(quiet, blocks[-1]), N)) == 1


@pytest.mark.parametrize("end", [0, BOUNDARY - 1, BOUNDARY + 1])
def test_every_later_header_repeats_where_the_epoch_ends(end: int) -> None:
    """Once fixed, the end is neither moved nor forgotten."""
    bench, blocks = make_voter(5)
    assert votes_in(bench.hear_block(bench.child(6, blocks[-1], epoch_end=Height(end)), blocks[-1])) == []
    bench, blocks = make_voter(5)
    assert len(votes_in(bench.hear_block(bench.child(6, blocks[-1]), blocks[-1]), N)) == 1


def test_a_plan_i_have_not_executed_keeps_the_payload_pending() -> None:
    """I vote as soon as my own execution plans the same."""
    bench = EpochBench()
    bench.own = (next(at for at in range(4) if at not in (bench.leader(3), bench.leader(4))),)
    del bench.mine
    bench.engine = bench.make_engine()
    blocks = bench.grow(2)
    bench.start()
    bench.sync(blocks)
    assert votes_in(bench.hear_block(bench.child(3, blocks[-1]), blocks[-1])) == []
    assert votes_in(lead_over(bench), U) == []
    assert len(votes_in(bench.plan(), N)) == 1


def test_a_certified_header_that_announces_others_than_my_own_state_is_a_divergence() -> None:
    """Uncertified it is bad; certified it raises the alarm."""
    bench, blocks = make_voter(2)
    false = bench.child(3, blocks[-1], next_validators_hash=Digest(bytes(32)))
    assert pick(bench.hear_block(false, blocks[-1]), RaiseAlarm) == []
    alarms = pick(bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 3, digest_of(false)))), RaiseAlarm)
    assert [one.reason for one in alarms] == ["validators_diverged"]


def test_a_final_header_that_announced_others_is_a_divergence_once_i_execute_so_far() -> None:
    """It was committed by sync before its claim could be judged."""
    bench = EpochBench()
    bench.start()
    blocks = bench.grow(2)
    blocks.append(bench.child(3, blocks[-1], next_validators_hash=Digest(bytes(32))))
    assert len(pick(bench.sync(blocks), Commit)) == 1
    assert [one.reason for one in pick(bench.plan(), RaiseAlarm)] == ["validators_diverged"]


# ---------------------------------------------------------------------- on the way


def test_a_fixed_end_is_work_and_empty_blocks_are_proposed_at_once() -> None:
    """An idle chain does not crawl to its boundary by heartbeats."""
    bench = EpochBench()
    bench.own = (bench.leader(11),)
    del bench.mine
    bench.engine = bench.make_engine()
    blocks = bench.go_to(10)
    effects = bench.restart_at(blocks)
    assert {one.name for one in pick(effects, SetTimer)} >= {TimerName.LEAD, TimerName.VIEW}
    assert [one.view for one in pick(effects, BuildPayload)] == [11]
    assert proposals_in(bench.drive(PayloadBuilt(view=View(11), parent_digest=digest_of(blocks[-1]), batches=())))


# ---------------------------------------------------------------------- the boundary block


def test_nothing_of_its_epoch_stands_on_the_boundary_block() -> None:
    """A child is bad, however well its parent is notarized."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.notarize(boundary, blocks[-1])
    child = bench.child(BOUNDARY + 1, boundary)
    assert votes_in(bench.hear_block(child, boundary), N) == []
    assert bench.engine._machine.chain.entries[child.header.calculate_digest()].sound is False
    said = bench.drive(again(bench, boundary, BOUNDARY + 1, seen_in=BOUNDARY))
    assert [one.digest for one in votes_in(said, N)] == [digest_of(boundary)]


def again(bench: EpochBench, block: Block, view: int, *, seen_in: int | None = None) -> ReceivedProposal:
    """The leader of a later view proposes it unchanged."""
    return ReceivedProposal(propose=bench.propose_again(block, view, seen_in))


def test_a_later_leader_proposes_it_again_and_gets_a_vote() -> None:
    """With its notarization, and nullifications of all views between, however old it is by now."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.hear_block(boundary, blocks[-1])
    bench.wait(HOUR_MS)
    view = next(at for at in range(BOUNDARY + 2, BOUNDARY + 6) if bench.leader(at) != bench.own[0])
    bench.nullify_up_to(view)
    said = votes_in(bench.drive(again(bench, boundary, view, seen_in=BOUNDARY)), N)
    assert [(one.view, one.digest) for one in said] == [(view, digest_of(boundary))]


def test_without_a_notarization_it_gets_no_vote_again() -> None:
    """Nobody may lengthen the life of a block that no quorum vouched for."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.hear_block(boundary, blocks[-1])
    bench.nullify_up_to(BOUNDARY + 1)
    effects = bench.drive(again(bench, boundary, BOUNDARY + 1))
    assert votes_in(effects, N) == []
    assert pick(effects, FetchCertificates)


def test_with_a_gap_it_gets_no_vote_again() -> None:
    """Every view since its notarization must be given up."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.notarize(boundary, blocks[-1])
    view = next(at for at in range(BOUNDARY + 3, BOUNDARY + 7) if bench.leader(at) != bench.own[0])
    bench.drive(ReceivedCertificate(certificate=bench.nullification(view - 1)))
    propose = bench.propose_again(boundary, view, view - 3)
    bare = type(propose)(
        **{
            **{name: getattr(propose, name) for name in propose.__struct_fields__},
            "parent_cert": None,
            "nullifications": (),
        }
    )
    effects = bench.drive(ReceivedProposal(propose=bare))
    assert bench.engine.view == view
    assert votes_in(effects, N) == []
    assert [one.view_from for one in pick(effects, FetchCertificates)] == [BOUNDARY + 1]


@pytest.mark.parametrize("changes", [{"time_ms": TimeMs(1)}, {"proposer": 77}, {"height": Height(BOUNDARY - 1)}])
def test_only_the_very_block_is_proposed_again(changes: dict[str, object]) -> None:
    """A changed header was never notarized; one that is not the boundary cannot be meant."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.notarize(boundary, blocks[-1])
    view = next(at for at in range(BOUNDARY + 1, BOUNDARY + 5) if bench.leader(at) != bench.own[0])
    bench.nullify_up_to(view)
    assert votes_in(bench.drive(again(bench, strip(boundary, **changes), view, seen_in=BOUNDARY)), N) == []


def test_an_earlier_block_is_never_proposed_again() -> None:
    """Only the boundary block has no children to carry it on."""
    bench, blocks = make_voter(BOUNDARY - 2)
    block = bench.child(BOUNDARY - 1, blocks[-1])
    bench.notarize(block, blocks[-1])
    view = next(at for at in range(BOUNDARY, BOUNDARY + 4) if bench.leader(at) != bench.own[0])
    bench.nullify_up_to(view)
    effects = bench.drive(again(bench, block, view, seen_in=BOUNDARY - 1))
    assert votes_in(effects, N) == pick(effects, CheckPayload) == []


def test_a_leader_proposes_the_boundary_block_again_after_d_and_never_a_child() -> None:
    """Its finalization often comes within D; then nothing need be said."""
    bench = EpochBench()
    bench.own = (bench.leader(BOUNDARY + 1),)
    del bench.mine
    bench.engine = bench.make_engine()
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    effects = bench.hear_block(boundary, blocks[-1])
    notarization = bench.certificate(N, BOUNDARY, digest_of(boundary))
    effects += bench.drive(ReceivedCertificate(certificate=notarization))
    assert bench.engine.view == BOUNDARY + 1
    assert proposals_in(effects) == pick(effects, BuildPayload) == []
    said = proposals_in(lead_over(bench))
    assert [(one.view, one.block, one.parent_view) for one in said] == [(BOUNDARY + 1, boundary, BOUNDARY)]
    assert said[0].parent_cert == notarization
    assert len([one for one in bench.records if getattr(one, "propose", None) == said[0]]) == 1


# ---------------------------------------------------------------------- its finalization


@pytest.mark.parametrize("later", [0, 5])
def test_a_finalization_in_its_own_or_a_later_view_ends_the_epoch(later: int) -> None:
    """By consensus: epoch 1 begins in view 1 with the planned set, its leaders turned by the boundary's digest."""
    bench, blocks = make_voter(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.notarize(boundary, blocks[-1])
    commits = pick(bench.drive(ReceivedCertificate(certificate=bench.finalization(boundary, BOUNDARY + later))), Commit)
    assert [one.blocks for one in commits] == [(boundary,)]
    bench.turn_over(boundary)
    engine = bench.engine
    assert (engine.epoch, engine.view, engine.final_height) == (1, 1, BOUNDARY)
    assert engine.validators == bench.validators
    assert engine.leader == (1 + int.from_bytes(digest_of(boundary)[:8], "big")) % 4


@pytest.mark.parametrize("later", [0, 5])
def test_sync_takes_a_boundary_under_a_finalization_of_a_later_view(later: int) -> None:
    """A stretch ends at the boundary; the next one goes on in the next epoch."""
    bench = EpochBench()
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.below[digest_of(boundary)] = bench.history(blocks[-1])
    assert len(pick(bench.sync([boundary], BOUNDARY + later), Commit)) == 1
    bench.turn_over(boundary)
    first = bench.later_child(1, boundary)
    assert [one.blocks for one in pick(bench.sync([first]), Commit)] == [(first,)]
    assert (bench.engine.epoch, bench.engine.view) == (1, 2)


def test_sync_never_crosses_a_boundary() -> None:
    """Blocks of two epochs in one stretch stand under no finalization that covers both."""
    bench = EpochBench()
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.below[digest_of(boundary)] = bench.history(blocks[-1])
    old = bench.finalization(boundary)
    bench.turn_over(boundary)
    first = bench.later_child(1, boundary)
    for proof in (bench.finalization(first), old):
        stretch = Blocks(blocks=(boundary, first), finalization=proof)
        assert pick(bench.drive(ReceivedBlocks(blocks=stretch)), Commit) == []
    assert bench.engine.final_height == BOUNDARY - 1


def test_no_other_block_takes_a_finalization_of_a_later_view() -> None:
    """An ordinary block is voted for in its own view alone."""
    bench = EpochBench()
    blocks = bench.go_to(10)
    block = bench.child(11, blocks[-1])
    assert pick(bench.sync([block], 12), Commit) == []


def test_a_quorum_that_outlives_its_epoch_is_an_alarm() -> None:
    """Keys of a former set, all lost to one thief, finalise what stands beyond the boundary: nothing is committed."""
    bench = EpochBench()
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.below[digest_of(boundary)] = bench.history(blocks[-1])
    effects = bench.sync([boundary, bench.child(BOUNDARY + 1, boundary)])
    assert pick(effects, Commit) == []
    assert [one.reason for one in pick(effects, RaiseAlarm)] == ["epoch_outlived"]
