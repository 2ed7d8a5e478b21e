"""When a leader proposes what, the idle rule, commits, sync, observers."""

import msgspec
import pytest

from consensus.chain import make_genesis_floor
from consensus.effects import (
    BuildPayload,
    CheckPayload,
    Commit,
    FetchBlock,
    FetchBlocks,
)
from consensus.events import (
    PayloadBuilt,
    ReceivedBlock,
    ReceivedBlocks,
    ReceivedCertificate,
    TimerFired,
    TimerName,
    WorkChanged,
)
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.ids import BlockDigest, TimeMs, View
from protocol.messages import Blocks
from tests.consensus.bench import (
    CHAIN,
    GENESIS_ROOT,
    NO_BLOCK,
    Bench,
    make_follower,
    make_leader,
    make_refs,
    pick,
    proposals_in,
    root_of,
    votes_in,
)

N, U, F = VoteKind.NOTARIZE, VoteKind.NULLIFY, VoteKind.FINALIZE


def test_a_leader_with_work_proposes_at_once() -> None:
    """WorkChanged, BuildPayload, PayloadBuilt, Propose: no timer in between."""
    bench = make_leader()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)
    assert [(one.view, one.empty, one.excluded) for one in asked] == [(1, False, ())]
    built = PayloadBuilt(view=View(1), parent_digest=asked[0].parent_digest, batches=make_refs(2))
    effects = bench.drive(built)
    propose = proposals_in(effects)[0]
    assert (propose.block.header.tx_count, propose.block.header.batch_count) == (4, 2)
    assert len(votes_in(effects, N)) == 1


def test_a_leader_proposes_once_per_view() -> None:
    """Whatever the pool offers later."""
    bench = make_leader()
    asked = pick(bench.drive(WorkChanged(has_work=True)), BuildPayload)[0]
    built = PayloadBuilt(view=View(1), parent_digest=asked.parent_digest, batches=make_refs(1))
    said = bench.drive(built) + bench.drive(built) + bench.drive(WorkChanged(has_work=True))
    assert len(proposals_in(said)) == 1


def test_a_leader_whose_pool_is_empty_waits_d_before_it_proposes_nothing() -> None:
    """An empty block serves nobody until an ancestor has had time to become final."""
    bench = make_leader()
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
    propose = proposals_in(bench.drive(PayloadBuilt(view=View(4), parent_digest=digest, batches=make_refs(1))))[0]
    assert propose.parent_view == 1
    assert propose.parent_cert is not None
    assert [one.view for one in propose.nullifications] == [2, 3]


def test_a_finalization_commits_the_chain_in_order_once() -> None:
    """Ancestors first; the same finalization again commits nothing."""
    bench = make_follower()
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
    bench = make_follower()
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
    bench = make_follower()
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
    bench = make_follower()
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
    bench = make_follower()
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
