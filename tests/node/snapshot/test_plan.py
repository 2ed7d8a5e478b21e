"""What is asked of whom when a snapshot is fetched: every liar is found and left aside, and the rest goes on."""

from functools import cache

import pytest

from node.snapshot import plan as rules
from node.snapshot.plan import Stage
from protocol.ids import Digest, Height
from protocol.messages import GetChunk, GetManifest, GetSnapshots
from tests.node.snapshot.field import (
    ChunkLiar,
    ChunkStaller,
    Empty,
    Field,
    Forger,
    HeightLiar,
    ManifestLiar,
    ManifestStaller,
    Mute,
    OtherManifestLiar,
    Peer,
)
from tests.protocol.snapshots import Made, make_snapshot

CHUNK = 6_000
"""So small that the books of some people make many; a model is one row of almost this."""


@cache
def make(blocks: int = 100) -> Made:
    """A snapshot of many chunks."""
    return make_snapshot(people=160, blocks=blocks, chunk_bytes=CHUNK)


def honest(count: int, *made: Made) -> dict[str, Peer]:
    """So many honest validators."""
    return {f"honest {i}": Peer(*(made or (make(),))) for i in range(count)}


def test_a_snapshot_comes_from_several_peers_at_once() -> None:
    """One list from each, one manifest, every chunk once, from all of them alike."""
    field = Field(make(), honest(4))
    field.run(60_000)
    assert field.plan.stage is Stage.READY
    assert field.kept == make().chunks
    assert len(field.list_asked(GetSnapshots)) == 4
    assert len(field.list_asked(GetManifest)) == 1
    assert len(make().chunks) > 8
    assert set(field.wasted.values()) == {1}
    assert len({one.peer for one in field.list_asked(GetChunk)}) == 4
    at_once = [one for one in field.list_asked(GetChunk) if one.at_ms == field.list_asked(GetChunk)[0].at_ms]
    assert len(at_once) == 8
    assert field.distrusted == set()
    assert field.now_ms < 3_000


@pytest.mark.parametrize(
    ("liar", "found"),
    [
        (ChunkLiar(make()), True),
        (ChunkStaller(make()), True),
        (ManifestLiar(make()), True),
        (ManifestStaller(make()), True),
        (OtherManifestLiar(make(), make_snapshot()), True),
        (Mute(), False),
        (Empty(), False),
        (HeightLiar(make()), False),
        (Forger(make()), False),
    ],
    ids=lambda one: type(one).__name__,
)
def test_one_liar_costs_seconds_and_nothing_is_fetched_twice_from_the_others(liar: Peer, found: bool) -> None:
    """It is asked first wherever the plan begins with one, and distrusted once it is found out."""
    field = Field(make(), {"a liar": liar, **honest(3)})
    field.run(60_000)
    assert field.plan.stage is Stage.READY
    assert field.kept == make().chunks
    assert field.distrusted == ({"a liar"} if found else set())
    assert field.now_ms < 12_000
    lost = rules.AT_ONCE_MAX if found else 0  # what the liar was asked for and did not bring
    assert sum(field.wasted.values()) <= len(make().chunks) + lost


def test_all_liars_at_once_do_not_stop_one_honest_peer() -> None:
    """Each way of lying in one network, more than consensus could bear."""
    liars: dict[str, Peer] = {
        "a": ManifestStaller(make()),
        "b": ManifestLiar(make()),
        "c": ChunkLiar(make()),
        "d": ChunkStaller(make()),
        "e": Mute(),
        "f": HeightLiar(make()),
    }
    field = Field(make(), {**liars, **honest(1)})
    field.run(120_000)
    assert field.plan.stage is Stage.READY
    assert field.kept == make().chunks
    assert field.distrusted >= {"a", "b", "c", "d"}


def test_a_forger_alone_is_found_by_the_state_root_and_its_right_chunks_are_kept() -> None:
    """Its manifest proves the roots; its rows are its own. When an honest peer comes, what they share is there."""
    forger = Forger(make(), keep=5)
    field = Field(make(), {"forger": forger})
    field.run(3_000)
    assert field.plan.stage is Stage.RESTING  # found out, and nobody else to ask
    assert field.distrusted == {"forger"}
    both = Field(make(), {"forger": forger})
    while both.plan.stage is not Stage.CHECKING and len(both.kept) < len(forger.chunks) - 2:
        both.step()
    both.peers.update({both.key("honest"): Peer(make())})
    both.run(60_000)
    assert both.plan.stage is Stage.READY
    assert both.kept == make().chunks
    assert all(both.wasted[digest] == 1 for digest in list(make().chunks)[:5])
    assert both.distrusted == {"forger"}


def test_what_most_offer_is_fetched_though_one_offers_more() -> None:
    """A higher one that a single validator has may be its own invention; one that more have than may lie is not."""
    newer = make(108)
    field = Field(make(), {"lone": Peer(newer), **honest(3)})
    field.run(60_000)
    assert (field.plan.stage, field.kept) == (Stage.READY, make().chunks)
    both = Field(make(), {"x": Peer(make(), newer), "y": Peer(make(), newer), **honest(2)})
    both.run(60_000)
    assert (both.plan.stage, both.kept) == (Stage.READY, newer.chunks)


def test_when_everybody_drops_it_the_newer_one_is_fetched_with_the_chunks_they_share() -> None:
    """Honest peers keep the newest two only: half-fetched, the snapshot goes on as another."""
    older, newer = make(), make(108)
    shared = older.chunks.keys() & newer.chunks.keys()
    assert shared
    field = Field(older, honest(2))
    while field.plan.stage is not Stage.FETCHING:
        field.step()
    for key in field.peers:
        field.peers[key] = Peer(newer)
    while field.plan.stage is Stage.FETCHING:
        field.step()
    held = field.kept.keys() & shared
    field.run(60_000)
    assert (field.plan.stage, field.kept) == (Stage.READY, newer.chunks)
    assert field.distrusted == set()
    assert held
    assert all(field.wasted[digest] == 1 for digest in held)


def test_peers_that_go_are_replaced() -> None:
    """What was asked of one that left is asked of another at once."""
    field = Field(make(), honest(3))
    while not field.list_asked(GetChunk):
        field.step()
    field.leave("honest 0")
    field.leave("honest 1")
    field.run(60_000)
    assert (field.plan.stage, field.kept) == (Stage.READY, make().chunks)
    assert field.now_ms < 3_000


@pytest.mark.parametrize("peers", [{"a": Mute()}, {"a": Empty(), "b": Empty()}, {"a": HeightLiar()}])
def test_where_there_is_none_blocks_are_fetched_after_a_moment(peers: dict[str, Peer]) -> None:
    """No offer, no delay worth the name; and it is not asked again at once."""
    field = Field(make(), peers)
    field.step()
    assert field.plan.is_active
    field.run(20_000, stop=Stage.RESTING)
    assert field.plan.stage is Stage.RESTING
    assert field.now_ms - 1_000 <= 7_000
    asked = len(field.list_asked(GetSnapshots))
    field.run(field.now_ms + rules.REST_MS // 2)
    assert len(field.list_asked(GetSnapshots)) == asked
    field.run(field.now_ms + rules.REST_MS)
    assert len(field.list_asked(GetSnapshots)) > asked


def test_fifteen_seconds_without_anything_new_end_an_attempt() -> None:
    """Stallers one after the other: patience has an end, whatever they offer."""
    names = [f"staller {i}" for i in range(9)]
    field = Field(make(), {name: ManifestStaller(make()) for name in names})
    field.step()
    field.run(60_000, stop=Stage.RESTING)
    assert field.now_ms - 1_000 <= rules.PATIENCE_MS + 100


def test_only_who_is_far_behind_asks() -> None:
    """Near the tip, with the setting at nothing, and without peers ahead, nothing is asked."""
    made = make()
    for behind_min, tip, height in ((100, 0, 99), (0, 0, 10_000), (5, 9_999, 10_000), (5, 10_000, 10_000)):
        field = Field(made, {"a": Peer(made, height=height)}, behind_min=behind_min, tip=tip)
        field.run(2_000)
        assert field.asked == [], (behind_min, tip, height)


def test_where_nobody_has_the_next_blocks_any_snapshot_ahead_will_do() -> None:
    """However near: without it this node would never get on."""
    made = make()
    height = made.manifest.content.height
    field = Field(made, {"a": Peer(made, height=height + 3)}, behind_min=1_000, tip=height - 2)
    field.run(2_000)
    assert field.asked == []
    for peer in field.peers.values():
        peer.base = Height(height)
    field.run(60_000)
    assert field.plan.stage is Stage.READY


def test_a_snapshot_that_saves_little_is_not_fetched() -> None:
    """The newest one is hardly above this node's own state."""
    made = make()
    field = Field(made, honest(2), behind_min=20, tip=made.manifest.content.height - 19)
    field.step()
    field.run(20_000, stop=Stage.RESTING)
    assert field.list_asked(GetManifest) == []


def test_a_node_that_came_there_by_blocks_needs_it_no_more() -> None:
    """Consensus brought it further than the snapshot would."""
    field = Field(make(), honest(2))
    while field.plan.stage is not Stage.FETCHING:
        field.step()
    field.tip = make().manifest.content.height
    field.step()
    assert field.plan.stage is Stage.RESTING


def test_after_a_restart_what_is_there_is_not_fetched_again() -> None:
    """The manifest that was proven, and the chunks on disk."""
    first = Field(make(), honest(3))
    while len(first.kept) < 6:
        first.step()
    second = Field(make(), honest(3))
    assert first.plan.manifest is not None
    assert first.plan.snapshot is not None
    second.plan.resume(first.plan.manifest, first.plan.snapshot)
    second.kept = dict(first.kept)
    second.run(60_000)
    assert (second.plan.stage, second.kept) == (Stage.READY, make().chunks)
    assert second.list_asked(GetManifest) == []
    assert not second.wasted.keys() & first.kept.keys()


def test_nothing_that_was_not_asked_for_is_taken() -> None:
    """Chunks and manifests out of the blue change nothing."""
    field = Field(make(), honest(2))
    while field.plan.stage is not Stage.FETCHING:
        field.step()
    digest, raw = next(iter(make().chunks.items()))
    other = field.key("honest 1")
    asked = {one.peer for one in field.list_asked(GetChunk) if Digest(one.request.digest) == digest}
    stranger = next(one for one in (other, field.key("honest 0"), field.key("nobody")) if one not in asked)
    reply = Peer(make()).answer(GetChunk(digest=digest))
    assert raw
    assert not field.plan.on_chunk(stranger, reply, field.now_ms)  # type: ignore[arg-type]
    manifest = Peer(make()).answer(GetManifest(digest=make().digest))
    assert not field.plan.on_manifest(other, manifest, field.now_ms)  # type: ignore[arg-type]
