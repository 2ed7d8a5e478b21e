"""How an epoch begins, one test per sentence: between the two, who is helped, who speaks, and what a restart keeps."""

import pytest

from consensus.chain import make_genesis_floor
from consensus.effects import (
    Broadcast,
    BuildPayload,
    CheckPayload,
    Commit,
    Persist,
    RaiseAlarm,
)
from consensus.engine import Engine
from consensus.events import (
    Event,
    Executed,
    PayloadBuilt,
    ReceivedBlock,
    ReceivedBlocks,
    ReceivedCertificate,
    ReceivedProposal,
    ReceivedVote,
    Started,
    TimerFired,
    TimerName,
    WorkChanged,
)
from node import reception
from protocol.block import Block
from protocol.certificate import Certificate, VoteKind
from protocol.ids import Epoch, Height, TimeMs, View
from protocol.limits import EPOCH_NOTICE
from protocol.messages import Blocks, GetBlocks
from protocol.validators import make_validator_set
from tests.consensus.bench import (
    CHAIN,
    GENESIS,
    GENESIS_ROOT,
    START_MS,
    certificates_in,
    make_refs,
    ok,
    pick,
    received,
    root_of,
    votes_in,
)
from tests.consensus.epochbench import BOUNDARY, EpochBench, digest_of, lead_over
from tests.sim.keys import Scheme

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE
HOUR_MS = 3_600_000


# ---------------------------------------------------------------------- between two epochs


def test_between_epochs_a_node_waits_for_its_own_execution() -> None:
    """Synced to the boundary but not executed: it votes for nothing and takes nothing; the plan opens the epoch."""
    bench = EpochBench()
    bench.start()
    blocks = bench.grow(BOUNDARY)
    boundary = blocks[-1]
    bench.sync(blocks)
    bench.turn_over(boundary)
    engine = bench.engine
    assert (engine.epoch, engine.final_height) == (0, BOUNDARY)
    assert str(engine.waiting_for()) == f"waits for execution in view {engine.view}"
    first = bench.later_child(1, boundary)
    said = bench.hear_block(first, boundary) + bench.sync([first])
    assert pick(said, Commit) == pick(said, CheckPayload) == votes_in(said) == []
    bench.plan()
    assert (engine.epoch, engine.view) == (1, 1)
    assert len(votes_in(bench.hear_block(first, boundary), N)) == 1


def test_a_node_that_executed_another_plan_than_the_boundary_announced_goes_no_further() -> None:
    """It cannot know whom to believe: alarm."""
    bench = EpochBench()
    bench.start()
    blocks = bench.grow(BOUNDARY)
    bench.sync(blocks)
    strangers = tuple(one.public_key for one in bench.spares)
    effects = bench.drive(Executed(height=Height(1), exec_root=root_of(1), next_validators=strangers))
    assert [one.reason for one in pick(effects, RaiseAlarm)] == ["validators_diverged"]
    assert bench.engine.epoch == 0


def test_states_of_the_former_epoch_plan_nothing_in_the_next() -> None:
    """They are executed late and name the present validators as the ones to come: that is no plan."""
    bench = EpochBench()
    boundary = bench.cross()
    for height in (2, 3):
        bench.plan(height)
    first = bench.later_child(1, boundary, exec_height=Height(3), exec_root=root_of(3))
    assert len(votes_in(bench.hear_block(first, boundary), N)) == 1


def test_votes_of_the_former_epoch_count_for_nothing_in_the_next() -> None:
    """Same view, same keys, another epoch: the signed bytes differ, and so does the number."""
    bench = EpochBench()
    boundary = bench.cross()
    first = bench.later_child(1, boundary)
    bench.hear_block(first, boundary)
    bench.epoch = Epoch(0)
    old = [bench.vote(N, 1, digest_of(first), at) for at in range(4)]
    moved = [
        type(one)(
            kind=one.kind, epoch=Epoch(1), view=one.view, digest=one.digest, index=one.index, signature=one.signature
        )
        for one in old
    ]
    bench.drive(*(ReceivedVote(vote=one) for one in (*old, *moved)))
    assert bench.engine.view == 1


# ---------------------------------------------------------------------- those who are left behind


def test_a_vote_of_the_former_epoch_is_answered_with_what_ended_it() -> None:
    """At most once per 2D, and never one's own that comes back."""
    bench = EpochBench()
    boundary = bench.cross()
    bench.epoch, voter = Epoch(0), next(at for at in range(4) if at != 0)
    bench.wait(HOUR_MS)
    late = ReceivedVote(vote=bench.vote(U, BOUNDARY + 1, bytes(32), voter))
    said = certificates_in(bench.drive(late))
    assert [(one.kind, one.epoch, one.digest) for one in said] == [(F, 0, digest_of(boundary))]
    assert certificates_in(bench.drive(late)) == []
    bench.wait(HOUR_MS)
    own = ReceivedVote(vote=bench.vote(U, BOUNDARY + 1, bytes(32), 0))
    assert certificates_in(bench.drive(own)) == []


def test_between_epochs_laggards_are_helped_too() -> None:
    """The node has what they lack, though it may not vote itself."""
    bench = EpochBench()
    bench.start()
    blocks = bench.grow(BOUNDARY)
    bench.sync(blocks)
    bench.wait(HOUR_MS)
    late = ReceivedVote(vote=bench.vote(F, BOUNDARY, digest_of(blocks[-1]), 2))
    assert [one.digest for one in certificates_in(bench.drive(late))] == [digest_of(blocks[-1])]


def test_a_stuck_epoch_shows_what_opened_it() -> None:
    """Whoever is not in it yet may lack just that."""
    bench = EpochBench()
    boundary = bench.cross()
    bench.drive(ReceivedProposal(propose=bench.propose(bench.later_child(1, boundary), boundary)))
    said = certificates_in(bench.drive(TimerFired(name=TimerName.RETRY, view=View(1))))
    assert digest_of(boundary) in [one.digest for one in said]


def test_whoever_asks_for_certificates_of_the_former_epoch_gets_the_one_that_ended_it() -> None:
    """And of other epochs nothing."""
    bench = EpochBench()
    boundary = bench.cross()
    engine = bench.engine
    assert [one.digest for one in engine.certificates_from(View(1), Epoch(0))] == [digest_of(boundary)]
    assert engine.certificates_from(View(1), Epoch(1)) == engine.certificates_from(View(1)) == ()
    assert engine.certificates_from(View(1), Epoch(2)) == ()
    bench.drive(ReceivedCertificate(certificate=bench.nullification(1)))
    assert [one.epoch for one in engine.certificates_from(View(1), Epoch(1))] == [1]


# ---------------------------------------------------------------------- who speaks


def test_a_removed_validator_falls_silent_and_follows() -> None:
    """No vote, no record; what is final still reaches it."""
    bench = EpochBench(own=(3,))
    boundary = bench.cross()
    assert bench.engine.seat is None
    first = bench.later_child(1, boundary)
    said = bench.hear_block(first, boundary)
    said += bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest_of(first))))
    said += lead_over(bench)
    assert votes_in(said) == pick(said, Persist) == []
    assert len(pick(bench.drive(ReceivedCertificate(certificate=bench.finalization(first))), Commit)) == 1


def test_an_added_validator_votes_from_the_first_view_on() -> None:
    """Silent before; and it logs what opened the epoch before its first vote."""
    bench = EpochBench(own=(), spare=(0,))
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    assert votes_in(bench.hear_block(boundary, blocks[-1])) == []
    assert bench.records == []
    bench.sync([boundary])
    bench.turn_over(boundary)
    assert bench.engine.seat == bench.validators.find(bench.spares[0].public_key)
    assert [one.certificate.digest for one in bench.records] == [digest_of(boundary)]  # type: ignore[union-attr]
    first = bench.later_child(1, boundary)
    assert [one.index for one in votes_in(bench.hear_block(first, boundary), N)] == [bench.engine.seat]


def test_a_rotated_key_signs_from_its_epoch_on() -> None:
    """One node holds the old and the new one: each speaks in the epoch that seats it."""
    bench = EpochBench(own=(3,), spare=(0,))
    blocks = bench.go_to(BOUNDARY - 2)
    last = bench.child(BOUNDARY - 1, blocks[-1])
    assert [one.index for one in votes_in(bench.hear_block(last, blocks[-1]), N)] == [3]
    boundary = bench.child(BOUNDARY, last)
    bench.below[digest_of(boundary)] = bench.history(last)
    bench.sync([last, boundary])
    bench.turn_over(boundary)
    first = bench.later_child(1, boundary)
    vote = votes_in(bench.hear_block(first, boundary), N)[0]
    assert vote == bench.vote(N, 1, digest_of(first), bench.validators.find(bench.spares[0].public_key))


def test_evidence_in_the_ledger_ends_the_views_of_its_key_at_once() -> None:
    """Known from execution, in this epoch and in the next, until its seat is gone."""
    bench = EpochBench(leaving=1)
    suspect = bench.signers[3].public_key
    boundary = bench.cross()
    place = bench.validators.find(suspect)
    view = next(at for at in range(1, 5) if bench.leader(at) == place)
    bench.nullify_up_to(view)
    told = Executed(height=Height(2), exec_root=root_of(2), next_validators=bench.next_keys, suspects=(suspect,))
    bench.drive(ReceivedVote(vote=bench.vote(U, view, bytes(32), 1)))
    assert [one.view for one in votes_in(bench.drive(told), U)] == [view]
    assert boundary.header.height == BOUNDARY


# ---------------------------------------------------------------------- restarts


def test_a_log_that_spans_the_switch_keeps_the_promises_of_the_later_epoch() -> None:
    """The floor is in the epoch before: what was said in the next one binds as soon as that begins again."""
    bench = EpochBench()
    boundary = bench.cross()
    first = bench.later_child(1, boundary)
    said = votes_in(bench.hear_block(first, boundary), N)
    bench.restart()
    assert (bench.engine.epoch, bench.engine.final_height) == (0, 0)
    again_said = bench.cross_again()
    assert (bench.engine.epoch, bench.engine.view) == (1, 1)
    assert votes_in(again_said, N) == said
    other = bench.later_child(1, boundary, time_ms=TimeMs(bench.now_ms + 77))
    assert votes_in(bench.hear_block(other, boundary), N) == []


def test_a_restart_upon_the_boundary_begins_the_next_epoch_at_once() -> None:
    """Everything up to the floor is executed; the log of the next epoch counts, that of the former does not."""
    bench = EpochBench()
    boundary = bench.cross()
    first = bench.later_child(1, boundary)
    said = votes_in(bench.hear_block(first, boundary), N)
    bench.nullify_up_to(3)
    bench.floor = bench.floor_at(boundary)
    again_said = bench.restart()
    assert (bench.engine.epoch, bench.engine.view) == (1, 3)
    assert bench.engine.validators == bench.validators
    assert said[0] in votes_in(again_said, N)
    assert {one.epoch for one in votes_in(again_said)} == {1}


def test_a_restart_within_the_later_epoch_forgets_the_former_one() -> None:
    """A vote of view 36 in epoch 0 says nothing of view 36 in epoch 1."""
    bench = EpochBench()
    blocks = bench.go_to(BOUNDARY - 1)
    boundary = bench.child(BOUNDARY, blocks[-1])
    bench.hear_block(boundary, blocks[-1])
    bench.sync([boundary])
    bench.turn_over(boundary)
    first = bench.later_child(1, boundary)
    bench.hear_block(first, boundary)
    bench.sync([first])
    bench.floor = bench.floor_at(first)
    assert votes_in(bench.restart()) == []
    assert (bench.engine.epoch, bench.engine.view) == (1, 2)
    assert [slot.mine.notarized for view, slot in bench.engine._machine.slots.items() if view > 1] == []


def test_a_block_of_the_later_epoch_comes_back_from_the_log_when_it_is_wanted() -> None:
    """The payload log is read before the epoch begins; the block is asked for again when it counts."""
    bench = EpochBench()
    boundary = bench.cross()
    first = bench.later_child(1, boundary)
    bench.hear_block(first, boundary)
    bench.drive(ReceivedCertificate(certificate=bench.certificate(N, 1, digest_of(first))))
    bench.floor = bench.floor_at(boundary)
    bench.engine = bench.make_engine()
    bench.engine.replay(bench.records)
    bench.step(ReceivedBlock(block=first))
    bench.start()
    effects = bench.drive(ok(first), ReceivedCertificate(certificate=bench.finalization(first)))
    assert [one.blocks for one in pick(effects, Commit)] == [(first,)]


# ---------------------------------------------------------------------- alone


def test_a_lone_validator_rotates_its_key_by_itself() -> None:
    """n = 1: it announces, walks to the boundary by empty blocks without a timer, and goes on with the new key."""
    scheme = Scheme()
    old, new = scheme.make_signer("old"), scheme.make_signer("new")
    validators = make_validator_set((old.public_key,), GENESIS)
    floor = make_genesis_floor(CHAIN, GENESIS_ROOT, validators)
    engine = Engine(chain_id=CHAIN, signers=(old, new), verify=scheme.verify, floor=floor)
    queue: list[Event] = [Started(), WorkChanged(has_work=True)]
    final: list[Block] = []
    while queue and len(final) < 60:
        for effect in engine.step(queue.pop(0), TimeMs(START_MS + len(final))):
            match effect:
                case Broadcast(message=message):
                    queue.append(received(message))
                case BuildPayload():
                    refs = make_refs(1) if not final else ()
                    queue += [
                        PayloadBuilt(view=effect.view, parent_digest=effect.parent_digest, batches=refs),
                        WorkChanged(has_work=False),
                    ]
                case Commit(blocks=blocks):
                    final += blocks
                    height = blocks[-1].header.height
                    planned = (new.public_key,)
                    queue.append(Executed(height=height, exec_root=root_of(height), next_validators=planned))
    announced = next(one.header for one in final if one.header.epoch_end)
    ends = [one.header for one in final if one.header.is_boundary]
    assert [one.height for one in ends] == [announced.height + EPOCH_NOTICE]
    assert (engine.epoch, engine.validators.keys, engine.seat) == (1, (new.public_key,), 0)
    assert engine.waiting_for() is None


# ---------------------------------------------------------------------- peers that catch up


class Shelf:
    """A store of two epochs in which every tenth block, each boundary and the last have a finalization of their own."""

    def __init__(self, blocks: list[Block], proofs: dict[Height, Certificate]) -> None:
        self.blocks, self.proofs = blocks, proofs

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """A stretch."""
        return tuple(self.blocks[height_from - 1 : height_from - 1 + count])

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """The lowest there is."""
        found = [height for height in sorted(self.proofs) if height >= height_at_least]
        return (found[0], self.proofs[found[0]]) if found else None


def read(shelf: Shelf, height_from: int) -> Blocks:
    """What a peer answers; nothing here ever waits."""
    reading = reception.read_stretch(shelf, GetBlocks(height_from=Height(height_from), count=64))
    with pytest.raises(StopIteration) as ended:
        reading.send(None)
    found: Blocks = ended.value.value
    return found


def test_a_peer_answers_no_further_than_the_end_of_an_epoch() -> None:
    """Its stretch ends at the boundary under the boundary's finalization; whoever follows comes across, and on."""
    bench = EpochBench()
    boundary = bench.cross()
    blocks, proofs = list(bench.crossed), {boundary.header.height: bench.ended}
    for view in range(1, 12):
        blocks.append(bench.later_child(view, blocks[-1]))
        bench.below[digest_of(blocks[-1])] = bench.history(blocks[-2])
    proofs[blocks[-1].header.height] = bench.finalization(blocks[-1])
    shelf = Shelf(blocks, {height: proof for height, proof in proofs.items() if proof is not None})
    follower = EpochBench(own=())
    follower.start()
    while follower.engine.final_height < len(blocks):
        before = follower.engine.final_height
        reply = read(shelf, before + 1)
        assert {block.header.epoch for block in reply.blocks} == {reply.finalization.epoch if reply.finalization else 9}
        follower.drive(ReceivedBlocks(blocks=reply))
        follower.plan()
        assert follower.engine.final_height > before
    assert follower.engine.epoch == 1
