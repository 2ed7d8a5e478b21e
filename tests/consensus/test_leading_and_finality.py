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
from consensus.voting import SETTLED_LOOKED_AT
from node.reception import read_stretch
from protocol.block import Block
from protocol.certificate import Certificate, VoteKind
from protocol.codec import encode
from protocol.ids import BlockDigest, Height, TimeMs, View
from protocol.limits import FRAME_BYTES_MAX
from protocol.messages import Blocks, GetBlocks, decode_message
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


def test_hundreds_of_views_below_a_finalization_cost_no_request_each_step() -> None:
    """A node that comes back hears certificates of many views: what is settled is left to sync, but for a small hole.

    Every block of the stretch would else be asked for again at each commit, and looked at in each step.
    """
    bench, blocks = make_line(300)
    for block in blocks[40:299]:
        certificate = bench.certificate(N, block.header.view, block.header.calculate_digest())
        bench.step(ReceivedCertificate(certificate=certificate))
    bench.drive(ReceivedCertificate(certificate=bench.certificate(F, 299, blocks[298].header.calculate_digest())))
    bench.step(TimerFired(name=TimerName.RETRY, view=View(300)))  # what was asked for is forgotten now
    asked: list[FetchBlock] = []
    for last in (10, 20, 30):
        final = bench.certificate(F, last, blocks[last - 1].header.calculate_digest())
        given = Blocks(blocks=tuple(blocks[last - 10 : last]), finalization=final)
        effects = bench.drive(ReceivedBlocks(blocks=given))
        assert len(pick(effects, Commit)) == 1
        asked += pick(effects, FetchBlock)
    assert 0 < len(asked) <= 3 * (SETTLED_LOOKED_AT + 1)


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
    assert bench.floor == make_genesis_floor(CHAIN, GENESIS_ROOT, bench.validators)
    assert (bench.engine.view, bench.engine.final_height) == (1, 0)


def make_line(count: int) -> tuple[Bench, list[Block]]:
    """An observer and a chain of empty blocks that became final at once, long enough for pages of headers."""
    bench = Bench(me=None)
    bench.start()
    blocks: list[Block] = []
    for view in range(1, count + 1):
        parent = blocks[-1] if blocks else None
        block = bench.block(view, parent, batches=0)
        bench.below[block.header.calculate_digest()] = bench.history(parent)
        blocks.append(block)
    return bench, blocks


class Archive:
    """A store whose last block alone has a finalization."""

    def __init__(self, blocks: list[Block], finalization: Certificate) -> None:
        self.blocks, self.finalization = blocks, finalization

    async def read_blocks(self, height_from: Height, count: int) -> tuple[Block, ...]:
        """A stretch."""
        return tuple(self.blocks[height_from - 1 : height_from - 1 + count])

    async def read_finalization(self, height_at_least: Height) -> tuple[Height, Certificate] | None:
        """The last block's."""
        last = Height(len(self.blocks))
        return (last, self.finalization) if height_at_least <= last else None


@pytest.mark.parametrize("count", [65, 64 + 1_024, 2_500])
async def test_sync_crosses_any_number_of_blocks_under_one_finalization(count: int) -> None:
    """Headers lead from each reply to the finalization, page by page from above where one frame cannot hold them."""
    bench, blocks = make_line(count)
    archive = Archive(blocks, bench.certificate(F, count, blocks[-1].header.calculate_digest()))
    known, replies = Height(0), 0
    committed: list[Block] = []
    while len(committed) < count:
        wanted = GetBlocks(height_from=Height(len(committed) + 1), count=64, known=known)
        reply = await read_stretch(archive, wanted)
        assert len(encode(reply)) <= FRAME_BYTES_MAX
        assert decode_message(encode(reply)) == reply
        effects = bench.drive(ReceivedBlocks(blocks=reply))
        committed += [block for one in pick(effects, Commit) for block in one.blocks]
        known = pick(effects, FetchBlocks)[-1].known if len(committed) < count else known
        replies += 1
    assert committed == blocks
    assert bench.engine.final_height == count
    assert replies <= -(-count // 64) + count // 1_024 + 1


@pytest.mark.parametrize("lie", ["cut", "other", "unsigned", "digest", "known"])
def test_headers_that_do_not_lead_to_a_proven_finalization_make_nothing_final(lie: str) -> None:
    """A gap, another header, too few signatures, another block's finalization: the chain stays where it was."""
    bench, blocks = make_line(80)
    final = bench.certificate(F, 80, blocks[-1].header.calculate_digest())
    trailing = [block.header for block in blocks[64:]]
    match lie:
        case "cut":
            trailing = trailing[1:]
        case "other":
            trailing[3] = msgspec.structs.replace(trailing[3], time_ms=TimeMs(1))
        case "unsigned":
            final = bench.certificate(F, 80, final.digest, count=2)
        case "digest":
            final = bench.certificate(F, 80, blocks[0].header.calculate_digest())
        case "known":
            trailing = trailing[:-1]
    given = Blocks(blocks=tuple(blocks[:64]), finalization=final, trailing=tuple(trailing))
    assert pick(bench.drive(ReceivedBlocks(blocks=given)), Commit) == []
    page = Blocks(blocks=(), finalization=final, trailing=tuple(trailing))
    bench.drive(ReceivedBlocks(blocks=page))
    short = Blocks(blocks=tuple(blocks[:64]), finalization=final)
    assert pick(bench.drive(ReceivedBlocks(blocks=short)), Commit) == []
    assert bench.engine.final_height == 0


def test_what_headers_made_known_is_committed_under_the_finalization_that_was_proven() -> None:
    """A forged certificate beside known blocks is neither believed nor handed on."""
    bench, blocks = make_line(80)
    final = bench.certificate(F, 80, blocks[-1].header.calculate_digest())
    page = Blocks(blocks=(), finalization=final, trailing=tuple(block.header for block in blocks[64:]))
    assert pick(bench.drive(ReceivedBlocks(blocks=page)), FetchBlocks)[-1].known == 64
    forged = msgspec.structs.replace(bench.certificate(F, 64, NO_BLOCK), digest=blocks[63].header.calculate_digest())
    given = Blocks(blocks=tuple(blocks[:64]), finalization=forged)
    assert [one.finalization for one in pick(bench.drive(ReceivedBlocks(blocks=given)), Commit)] == [final]
