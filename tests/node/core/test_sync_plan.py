"""Laws of catching up: what is asked, of whom, in what order it is handed on, and who is not believed."""

import msgspec

from node.sync import (
    CLAIM_REST_MS,
    DISTRUST_DOUBLINGS_MAX,
    DISTRUST_MS,
    EXECUTION_BEHIND_MAX,
    PROGRESS_BLOCKS_MIN,
    PROGRESS_MS,
    REPLY_MS_MAX,
    SyncPlan,
)
from protocol.block import Block
from protocol.certificate import Certificate, VoteKind
from protocol.ids import ZERO_DIGEST, BlockDigest, Epoch, Height, PublicKey, Signature, View
from protocol.limits import SYNC_BLOCKS_PER_REPLY_MAX
from protocol.messages import Blocks, GetBlocks, Status
from tests.node.core.test_driver import HEADER

A, B, C = (PublicKey(bytes([one]) * 32) for one in (1, 2, 3))
PAGE = SYNC_BLOCKS_PER_REPLY_MAX


def status(height: int, saved: int | None = None) -> Status:
    """A peer at a final height, which it has saved unless told."""
    return Status(
        epoch=Epoch(0),
        view=View(height),
        final_height=Height(height),
        final_digest=BlockDigest(bytes(32)),
        exec_height=Height(height if saved is None else saved),
        exec_root=ZERO_DIGEST,
    )


def blocks(first: int, last: int) -> Blocks:
    """Blocks of an inclusive range with a finalization of the last."""
    certificate = Certificate(
        kind=VoteKind.FINALIZE,
        epoch=Epoch(0),
        view=View(last),
        digest=BlockDigest(bytes(32)),
        signers=1,
        signatures=(Signature(bytes(64)),),
    )
    made = tuple(
        Block(header=msgspec.structs.replace(HEADER, height=Height(height)), batches=())
        for height in range(first, last + 1)
    )
    return Blocks(blocks=made, finalization=certificate)


def asked(plan: SyncPlan, final: int, now_ms: int, executed: int | None = None) -> list[tuple[PublicKey, int, int]]:
    """(peer, from, count) of the next requests."""
    requests = plan.next_requests(Height(final), Height(final if executed is None else executed), now_ms)
    assert all(isinstance(request, GetBlocks) for _, request in requests)
    return [(peer, request.height_from, request.count) for peer, request in requests]


def test_what_consensus_is_about_to_bring_is_not_asked_for() -> None:
    """A peer one block ahead is asked only when its claim has stood for a while, or when the engine wants it."""
    plan = SyncPlan(())
    plan.on_status(A, status(11), 0)
    assert asked(plan, 10, CLAIM_REST_MS - 1) == []
    assert asked(plan, 11, CLAIM_REST_MS) == []
    plan.on_wanted(Height(10))
    assert asked(plan, 10, CLAIM_REST_MS - 1) == [(A, 11, 1)]


def test_several_peers_bring_different_windows_and_they_are_handed_on_in_order() -> None:
    """One request per peer, no window twice, no gap between them; the engine sees them ascending."""
    plan = SyncPlan(())
    for peer in (A, B, C):
        plan.on_status(peer, status(150), 0)
    assert asked(plan, 0, 1) == [(A, 1, PAGE), (B, PAGE + 1, PAGE), (C, 2 * PAGE + 1, 150 - 2 * PAGE)]
    assert asked(plan, 0, 2) == []
    plan.on_blocks(B, blocks(PAGE + 1, 2 * PAGE), 3)
    assert plan.pop_ready(Height(0)) is None
    plan.on_blocks(A, blocks(1, PAGE), 4)
    first = plan.pop_ready(Height(0))
    assert first is not None
    assert (first.peer, len(first.blocks.blocks)) == (A, PAGE)
    second = plan.pop_ready(Height(PAGE))
    assert second is not None
    assert second.blocks.blocks[0].header.height == PAGE + 1
    assert asked(plan, 2 * PAGE, 5) == [], "the rest is under way"


def test_a_window_that_consensus_overtook_in_part_is_cut_to_what_follows() -> None:
    """Blocks that are final by now are not handed on again."""
    plan = SyncPlan(())
    plan.on_status(A, status(40), 0)
    assert asked(plan, 0, 1) == [(A, 1, 40)]
    plan.on_blocks(A, blocks(1, 40), 2)
    window = plan.pop_ready(Height(25))
    assert window is not None
    assert [block.header.height for block in window.blocks.blocks] == list(range(26, 41))


def test_a_silent_peer_and_a_liar_are_not_believed_for_a_while_and_others_take_over() -> None:
    """A request without answer, an empty answer, a gap, or blocks the engine refused: the window goes to another."""
    plan = SyncPlan(())
    plan.on_status(A, status(30), 0)
    assert asked(plan, 0, 1) == [(A, 1, 30)]
    plan.on_status(B, status(30), 2)
    assert asked(plan, 0, 3) == []
    late_ms = 2 + REPLY_MS_MAX
    assert asked(plan, 0, late_ms) == [(B, 1, 30)], "A stayed silent"
    plan.on_blocks(A, blocks(1, 30), late_ms)
    assert plan.pop_ready(Height(0)) is None, "too late, and not asked for any more"
    plan.on_blocks(B, blocks(2, 30), late_ms)
    assert asked(plan, 0, late_ms + 1) == [], "B's answer began elsewhere"
    assert asked(plan, 0, late_ms + DISTRUST_MS) == [(A, 1, 30)]
    plan.on_blocks(A, blocks(1, 30), late_ms + DISTRUST_MS)
    window = plan.pop_ready(Height(0))
    assert window is not None
    plan.on_stepped(window, Height(0), late_ms + DISTRUST_MS)
    assert asked(plan, 0, late_ms + DISTRUST_MS + 1) == [(B, 1, 30)], "the engine refused A's blocks"


def test_a_gone_peer_frees_its_window() -> None:
    """What was asked of a lost link is asked of another at once."""
    plan = SyncPlan(())
    plan.on_status(A, status(30), 0)
    plan.on_status(B, status(30), 0)
    assert asked(plan, 0, 1) == [(A, 1, 30)]
    plan.on_gone(A)
    assert asked(plan, 0, 2) == [(B, 1, 30)]


def test_nothing_is_asked_while_execution_is_far_behind() -> None:
    """Blocks wait with the peers, not in memory."""
    plan = SyncPlan(())
    plan.on_status(A, status(5_000), 0)
    assert asked(plan, 1_000, 1, executed=1_000 - EXECUTION_BEHIND_MAX - 1) == []
    assert asked(plan, 1_000, 1, executed=1_000 - EXECUTION_BEHIND_MAX) == [(A, 1_001, PAGE)]


def test_a_huge_claim_moves_nothing_by_itself() -> None:
    """A liar's height costs one request of one page, and its silence is remembered."""
    plan = SyncPlan(())
    plan.on_status(A, status(2**52), 0)
    assert asked(plan, 10, 1) == [(A, 11, PAGE)]
    plan.on_blocks(A, Blocks(blocks=(), finalization=None), 2)
    assert asked(plan, 10, 3) == []
    assert not plan.is_behind(Height(10), 3)


def test_one_liar_of_four_never_makes_a_node_call_itself_behind() -> None:
    """Its claim costs a request; only more validators than may lie, or blocks that really come, say "behind"."""
    d, observer = (PublicKey(bytes([one]) * 32) for one in (4, 5))
    plan = SyncPlan((A, B, C, d))
    for now_ms in range(0, 300_000, 1_000):
        plan.on_status(d, status(10**12 + now_ms), now_ms)
        plan.on_status(observer, status(10**12 + now_ms), now_ms)
        for peer, _, _ in asked(plan, 10, now_ms):
            plan.on_blocks(peer, Blocks(blocks=(), finalization=None), now_ms)
        assert not plan.is_behind(Height(10), now_ms)
    plan.on_status(A, status(500), 300_000)
    plan.on_status(B, status(500), 300_000)
    assert plan.is_behind(Height(10), 300_000)
    assert not plan.is_behind(Height(500), 300_000)


def test_a_node_that_reaches_one_peer_alone_is_behind_once_that_peer_brings_a_stretch_of_blocks() -> None:
    """Blocks cannot be made up; a block or two, as every node is behind at times, are no sign."""
    plan = SyncPlan((A, B, C, PublicKey(bytes([4]) * 32)))
    plan.on_status(A, status(5_000), 0)
    assert asked(plan, 10, 1) == [(A, 11, PAGE)]
    assert not plan.is_behind(Height(10), 1)
    for last, expected in ((10 + PROGRESS_BLOCKS_MIN - 1, False), (10 + PAGE, True)):
        plan.on_blocks(A, blocks(11, last), 2)
        window = plan.pop_ready(Height(10))
        assert window is not None
        plan.on_stepped(window, Height(last), 3)
        assert plan.is_behind(Height(last), 4) is expected
        assert asked(plan, 10, 5) == [(A, 11, PAGE)]
    assert plan.is_behind(Height(10 + PAGE), 2 + PROGRESS_MS)
    assert not plan.is_behind(Height(10 + PAGE), 3 + PROGRESS_MS)


def test_distrust_grows_with_every_lie_up_to_a_bound_and_ends_with_good_blocks() -> None:
    """A liar is asked ever more rarely; who then shows what it claims begins anew."""
    plan = SyncPlan((A,))
    now_ms, pauses = 0, []
    plan.on_status(A, status(2**40), 0)
    now_ms = 1
    for _ in range(DISTRUST_DOUBLINGS_MAX + 3):
        assert len(asked(plan, 10, now_ms)) == 1
        plan.on_blocks(A, Blocks(blocks=(), finalization=None), now_ms)
        since_ms = now_ms
        while not plan.is_behind(Height(10), now_ms) and now_ms < 10**6:
            now_ms += 1_000
        pauses.append(now_ms - since_ms)
    growing = [DISTRUST_MS << i for i in range(DISTRUST_DOUBLINGS_MAX + 1)]
    assert pauses == [*growing, growing[-1], growing[-1]]
    assert asked(plan, 10, now_ms) == [(A, 11, PAGE)]
    plan.on_blocks(A, blocks(11, 40), now_ms)
    window = plan.pop_ready(Height(10))
    assert window is not None
    plan.on_stepped(window, Height(40), now_ms)
    assert len(asked(plan, 40, now_ms)) == 1
    plan.on_blocks(A, Blocks(blocks=(), finalization=None), now_ms)
    assert asked(plan, 40, now_ms + DISTRUST_MS - 1) == []
    assert len(asked(plan, 40, now_ms + DISTRUST_MS)) == 1


def test_a_peer_is_asked_only_for_what_it_has_saved() -> None:
    """What it calls final and cannot show yet would make a liar of it."""
    plan = SyncPlan(())
    plan.on_status(A, status(30, saved=28), 0)
    assert asked(plan, 10, 1_000) == [(A, 11, 18)]
    plan.on_gone(A)
    plan.on_status(B, status(30, saved=10), 2_000)
    assert asked(plan, 10, 9_000) == []
    assert plan.has_ahead(Height(10), 9_000)
