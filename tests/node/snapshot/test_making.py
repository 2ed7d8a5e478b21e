"""Making a snapshot: exactly the books of its height, while blocks go on, whole or not at all, on a disk with room."""

import asyncio
import errno
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from node.core import Core
from node.snapshot import shelf as shelves
from node.snapshot.maker import SnapshotMaker
from node.snapshot.shelf import MAKING, Shelf
from protocol.ids import Digest, Height
from protocol.snapshot import SnapshotManifest, VerifiedSnapshot, check_manifest, read_rows
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.snapshot.test_joining import grow, tune
from tests.protocol.snapshots import Made, make_snapshot

INTERVAL = 8


class Gate:
    """Holds a reader up between two pages until told otherwise."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()

    def rest(self, _seconds: float) -> None:
        """Wait, in the reader's thread."""
        self.reached.set()
        assert self.open.wait(30)


def read_all(shelf: Shelf, manifest: SnapshotManifest) -> list[tuple[int, bytes, bytes]]:
    """Every row of a snapshot."""
    chunks = [shelf.read_chunk(Digest(one.digest)) for one in manifest.content.chunks]
    return [row for raw in chunks if raw is not None for row in read_rows(raw)]


def find_manifest(core: Core, height: int) -> SnapshotManifest:
    """The manifest of a height, which is there."""
    shelf = core.opened.shelf
    manifest = shelf.find_manifest(next(Digest(one.digest) for one in shelf.offers if one.height == height))
    assert manifest is not None
    return manifest


async def test_blocks_are_committed_while_a_slow_snapshot_is_read_and_it_is_of_its_height(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader stands still after its first page; the chain grows by a dozen blocks; the content is the old one."""
    gate, expected = Gate(), dict[str, Any]()
    monkeypatch.setattr("node.snapshot.maker.PAGE_ROWS", 4)
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL)
        await net.start(*LENDERS)
        core = net.nodes["ada"]
        core.maker._rest = gate.rest
        ledger, told = core.opened.ledger, core.executor._on_executed

        def note(execution: Any, block: Any) -> None:
            if execution.height == INTERVAL:
                expected.update(rows=list(ledger.rows()), root=execution.state_root)
            told(execution, block)

        core.executor._on_executed = note
        await grow(net, INTERVAL)
        await asyncio.to_thread(gate.reached.wait, 10)
        await grow(net, 2 * INTERVAL + 4)
        assert not gate.open.is_set()
        assert core.opened.shelf.offers == ()
        assert core.executor.height >= 2 * INTERVAL + 4
        gate.open.set()
        await until(lambda: bool(core.opened.shelf.offers), what="the snapshot")
        manifest = find_manifest(core, INTERVAL)
        assert read_all(core.opened.shelf, manifest) == expected["rows"]
        assert list(ledger.rows()) != expected["rows"]
        found = check_manifest(manifest, core.opened.genesis)
        assert isinstance(found, VerifiedSnapshot)
        assert (found.height, found.state_root) == (INTERVAL, expected["root"])


async def test_blocks_that_wait_together_are_not_saved_beyond_a_height_that_is_due(tmp_path: Path) -> None:
    """A node that catches up saves many blocks at once, and yet its database stands at each height that is due."""
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=0)
        await net.start(*LENDERS[:3])
        await grow(net, 4 * INTERVAL + 3)
        await net.start("di")
        lines = make_with_log(net, "di")
        await net.meet()
        await grow(net, 5 * INTERVAL + 3)

        def are_equal() -> bool:
            newest = {core.opened.shelf.offers[:1] for core in net.nodes.values()}
            return len(newest) == 1 and [one.height for one in next(iter(newest))] == [5 * INTERVAL]

        await until(are_equal, what="equal snapshots")
        reasons = {str(fields.get("reason", "")) for _, fields in lines.events}
        assert reasons <= {"", "the one before has no proof yet", "the one before is still being read"}


# ---------------------------------------------------------------------- the shelf


def publish(shelf: Shelf, made: Made) -> None:
    """Put one there, as the maker does."""
    with shelf.begin() as draft:
        for raw in made.chunks.values():
            draft.write(raw)
        draft.finish()
    shelf.publish(made.manifest)


def make(blocks: int) -> Made:
    """A snapshot at a height."""
    return make_snapshot(people=4, blocks=blocks, chunk_bytes=16_000)


def list_directory(path: Path) -> list[str]:
    """What lies in the snapshots' directory."""
    return sorted(one.name for one in (path / shelves.DIRECTORY).iterdir())


def test_the_newest_are_kept_and_served_and_a_restart_finds_them(tmp_path: Path) -> None:
    """However many are made; chunks and manifests are what was put there."""
    shelf = Shelf.open(tmp_path)
    made = [make(10 + i) for i in range(4)]
    for one in made:
        publish(shelf, one)
    for there in (shelf, Shelf.open(tmp_path)):
        assert [one.height for one in there.offers] == [13, 12]
        for one in made[2:]:
            assert there.find_manifest(one.digest) == one.manifest
            assert all(there.read_chunk(digest) == raw for digest, raw in one.chunks.items())
        assert there.find_manifest(made[0].digest) is None
        gone = made[0].chunks.keys() - made[2].chunks.keys() - made[3].chunks.keys()
        assert gone
        assert all(there.read_chunk(digest) is None for digest in gone)
    assert list_directory(tmp_path) == ["12", "13"]


class Crash(BaseException):
    """The process ends here."""


def crash_at(count: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Let the `count`-th change of the disk from now on not happen, nor anything after it."""
    done = [0]

    def wrap(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def step(*args: Any, **options: Any) -> Any:
            done[0] += 1
            if done[0] >= count:
                raise Crash
            return original(*args, **options)

        monkeypatch.setattr(owner, name, step)

    for owner, name in ((os, "fsync"), (Path, "rename"), (Path, "mkdir"), (shutil, "rmtree")):
        wrap(owner, name)
    return lambda: done[0]


def test_a_crash_at_any_moment_leaves_whole_snapshots_only(tmp_path: Path) -> None:
    """Before each change of the disk: afterwards there are those of before, or the new one as well, and no litter."""
    made = [make(10), make(11), make(12)]
    steps = 0
    for count in range(1, 40):
        directory = tmp_path / str(count)
        directory.mkdir()
        shelf = Shelf.open(directory)
        publish(shelf, made[0])
        publish(shelf, made[1])
        with pytest.MonkeyPatch.context() as monkeypatch:
            crash_at(count, monkeypatch)
            try:
                publish(shelf, made[2])
            except Crash:
                steps = count
        after = Shelf.open(directory)
        heights = [one.height for one in after.offers]
        assert heights in ([11, 10], [12, 11]), count
        for one in made:
            if after.find_manifest(one.digest) is not None:
                assert all(after.read_chunk(digest) == raw for digest, raw in one.chunks.items())
        assert list_directory(directory) == sorted(str(height) for height in heights)
        if steps < count:
            assert heights == [12, 11]
            break
    assert steps >= 6


def test_what_is_not_whole_is_not_offered(tmp_path: Path) -> None:
    """Rows too short, a manifest that is none, a wrong height: removed at the start."""
    for spoil in (
        lambda path: (path / "rows").write_bytes(b"\x00"),
        lambda path: (path / "manifest").write_bytes(b"\x00"),
        lambda path: (path / "manifest").unlink(),
        lambda path: path.rename(path.with_name("77")),
    ):
        publish(Shelf.open(tmp_path), make(10))
        spoil(tmp_path / shelves.DIRECTORY / "10")
        assert Shelf.open(tmp_path).offers == ()
        assert list_directory(tmp_path) == []


# ---------------------------------------------------------------------- a disk that refuses


class Lines(NamedTuple):
    """What was logged."""

    events: list[tuple[str, dict[str, Any]]]

    def warning(self, event: str, **fields: Any) -> None:
        """Keep it."""
        self.events.append((event, fields))

    info = warning


def make_with_log(net: Cluster, name: str) -> Lines:
    """The lines of a node's maker from now on."""
    lines = Lines([])
    net.nodes[name].maker._log = lines  # type: ignore[assignment]
    return lines


@pytest.mark.parametrize("how", ["little", "full"])
async def test_a_full_disk_skips_a_snapshot_with_one_line_and_the_chain_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Too little left beside the chain, or a write that fails: nothing stays behind, and the next one is made."""
    full = [True]
    if how == "little":
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shelves.shutil, "disk_usage", lambda _: usage._replace(free=1_000) if full[0] else usage)
    else:
        original = shelves.Draft.write

        def write(draft: shelves.Draft, chunk: bytes) -> None:
            if full[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            original(draft, chunk)

        monkeypatch.setattr(shelves.Draft, "write", write)
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL)
        await net.start(*LENDERS)
        lines = make_with_log(net, "ada")
        await grow(net, INTERVAL + 2)
        await until(lambda: bool(lines.events), what="the line")
        assert [event for event, _ in lines.events] == ["snapshot_skipped"]
        directory = Path(net.nodes["ada"].config.data_dir) / shelves.DIRECTORY
        assert not (directory / MAKING).exists()
        full[0] = False
        await grow(net, 2 * INTERVAL + 2)
        await until(lambda: len(lines.events) > 1, what="the snapshot")
        assert lines.events[1][0] == "snapshot_made"


async def test_a_node_that_makes_none_has_none(tmp_path: Path) -> None:
    """An interval of nothing."""
    maker = SnapshotMaker(database=tmp_path / "x", store=None, shelf=Shelf.open(tmp_path), interval=0)  # type: ignore[arg-type]
    assert not any(maker.is_due(Height(height)) for height in range(100))
    await maker.on_saved(Height(0))
    await maker.close()
    assert not (tmp_path / shelves.DIRECTORY).exists()
