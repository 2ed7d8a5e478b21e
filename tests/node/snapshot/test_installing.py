"""Installing a snapshot: wholly or not at all, whenever the process dies, and never what does not hold."""

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from node.config import load_config
from node.opening import DATABASE, Opened, open_everything
from node.snapshot import install
from node.snapshot.incoming import INCOMING, Incoming
from node.snapshot.install import try_install
from node.snapshot.shelf import DIRECTORY, MANIFEST
from node.store.inspect import read_picture
from node.store.schema import PRAGMAS
from protocol.codec import encode
from protocol.genesis import decode_genesis
from protocol.ids import Height
from protocol.snapshot import ChunkRef, calculate_chunk_digest, read_rows
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, OBSERVER, cluster
from tests.node.snapshot.test_joining import INTERVAL, grow, have, tune

ROOT = Path(__file__).resolve().parents[3]
SNAPSHOT_HEIGHT = 2 * INTERVAL
KILLED_AT = {
    "before the commit": "install.commit = die",
    "after the commit": "Incoming.remove = die",
}
PROGRAM = """
import os, signal, sys
from pathlib import Path
from node.snapshot import install
from node.snapshot.incoming import Incoming
from protocol.genesis import decode_genesis
from protocol.ids import Height

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

{patch}
directory = Path(sys.argv[1])
install.try_install(directory, directory / "ledger.sqlite", decode_genesis(Path(sys.argv[2]).read_bytes()), Height(0))
"""


class Site(NamedTuple):
    """A node that has fetched a snapshot and was stopped before installing it."""

    directory: Path
    genesis: Path

    @property
    def incoming(self) -> Path:
        """Where the snapshot lies."""
        return self.directory / DIRECTORY / INCOMING

    def install(self, height: int = 0) -> int | None:
        """Try to; the height that is installed."""
        genesis = decode_genesis(self.genesis.read_bytes())
        found = try_install(self.directory, self.directory / DATABASE, genesis, Height(height))
        return None if found is None else found.height

    def read_height(self) -> int:
        """Of the database."""
        picture = read_picture(self.directory / DATABASE)
        return 0 if picture is None else picture.height

    async def open(self) -> Opened:
        """As a start does, and closed again."""
        async with AsyncExitStack() as stack:
            return await open_everything(load_config(self.directory, environment={}), stack)
        raise AssertionError


def install_and_die(site: Site, when: str) -> int:
    """The exit code of a process that installs and is killed."""
    run = [sys.executable, "-c", PROGRAM.format(patch=KILLED_AT[when]), str(site.directory), str(site.genesis)]
    return subprocess.run(run, cwd=ROOT, check=False, capture_output=True).returncode


async def lay_out(tmp_path: Path) -> Site:
    """A network that has gone on for a while, and an observer that came late."""
    async with cluster(tmp_path, start=()) as net:
        tune(net.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
        await net.start(*LENDERS)
        await grow(net, SNAPSHOT_HEIGHT + 2)
        await have(net, SNAPSHOT_HEIGHT, *LENDERS)
        await net.start(OBSERVER)
        await until(net.nodes[OBSERVER].snapshots.ready.is_set, what="the snapshot")
        await net.stop(OBSERVER)
        directory = next(one.directory for one in net.testnet.nodes if one.name == OBSERVER)
        return Site(directory, directory.parent / "genesis.json")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Laid out once."""
    return asyncio.run(lay_out(tmp_path_factory.mktemp("installing")))


@pytest.fixture
def site(model: Site, tmp_path: Path) -> Site:
    """A copy for each test."""
    shutil.copytree(model.directory, tmp_path / OBSERVER)
    shutil.copy(model.genesis, tmp_path)
    return Site(tmp_path / OBSERVER, tmp_path / model.genesis.name)


@pytest.mark.parametrize("when", KILLED_AT)
async def test_a_process_killed_while_it_installs_comes_back_whole(site: Site, when: str) -> None:
    """SIGKILL right before the commit and right after it: the next start has the snapshot's books, and no remains."""
    assert install_and_die(site, when) == -signal.SIGKILL
    assert site.read_height() == (0 if when == "before the commit" else SNAPSHOT_HEIGHT)
    assert site.incoming.exists()
    opened = await site.open()
    assert (opened.tip.height, opened.store.base, opened.ledger.height) == (SNAPSHOT_HEIGHT,) * 3
    assert opened.floor.exec_root == opened.tip.exec_root == opened.ledger.exec_root
    assert not site.incoming.exists()
    again = await site.open()
    assert again.tip == opened.tip
    with sqlite3.connect(site.directory / DATABASE) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_the_floor_knows_the_roots_that_later_headers_may_name(site: Site) -> None:
    """From the height that the snapshot's header names to its own; and what was ordered since then wants a root."""
    opened = await site.open()
    header = opened.tip.header
    assert header is not None
    roots = dict(opened.floor.roots)
    assert set(roots) >= set(range(header.exec_height, header.height + 1))
    assert roots[header.exec_height] == header.exec_root
    assert opened.floor.point.mountains.size == header.height
    assert opened.genesis_rows == []


async def test_newer_state_is_never_replaced(site: Site) -> None:
    """A node that came there by blocks meanwhile keeps them, and the snapshot goes."""
    assert site.install(SNAPSHOT_HEIGHT) is None
    assert site.read_height() == 0
    assert not site.incoming.exists()


async def test_what_is_not_there_in_full_is_left_to_be_gone_on_with(site: Site) -> None:
    """A chunk is missing: nothing is installed, nothing removed."""
    chunk = next(one for one in site.incoming.iterdir() if one.name != MANIFEST)
    chunk.unlink()
    assert site.install() is None
    assert (site.incoming / MANIFEST).exists()
    assert site.read_height() == 0


@pytest.mark.parametrize("spoil", ["chunk", "order", "value", "count", "proof", "network"])
async def test_what_does_not_hold_is_refused_and_removed(site: Site, spoil: str) -> None:
    """Bytes that rotted on disk, rows out of order, rows of one's own, another count, proof or network."""
    incoming = Incoming(site.directory)
    manifest = incoming.read_manifest()
    assert manifest is not None
    content = manifest.content
    path = site.incoming / content.chunks[0].digest.hex()
    rows = list(read_rows(path.read_bytes()))
    if spoil == "chunk":
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    elif spoil == "network":
        genesis = decode_genesis(site.genesis.read_bytes())
        other = msgspec.structs.replace(genesis, time_ms=genesis.time_ms + 1)
        assert try_install(site.directory, site.directory / DATABASE, other, Height(0)) is None
    elif spoil == "proof":
        signatures = manifest.proof.finalization.signatures[::-1]
        finalization = msgspec.structs.replace(manifest.proof.finalization, signatures=signatures)
        proof = msgspec.structs.replace(manifest.proof, finalization=finalization)
        (site.incoming / MANIFEST).write_bytes(encode(msgspec.structs.replace(manifest, proof=proof)))
    elif spoil == "count":
        content = msgspec.structs.replace(content, rows=content.rows + 1)
        (site.incoming / MANIFEST).write_bytes(encode(msgspec.structs.replace(manifest, content=content)))
    else:
        if spoil == "order":
            rows[3], rows[4] = rows[4], rows[3]
        else:
            rows[-1] = (rows[-1][0], rows[-1][1], rows[-1][2] + b"\x00")
        raw = encode(rows)
        ref = ChunkRef(digest=calculate_chunk_digest(raw), size=len(raw))
        (site.incoming / ref.digest.hex()).write_bytes(raw)
        content = msgspec.structs.replace(content, chunks=(ref, *content.chunks[1:]))
        (site.incoming / MANIFEST).write_bytes(encode(msgspec.structs.replace(manifest, content=content)))
    assert site.install() is None
    assert site.read_height() == 0
    assert not site.incoming.exists()
    assert (await site.open()).tip.height == 0


async def test_a_disk_without_room_leaves_everything_as_it_was(site: Site) -> None:
    """The node starts with what it had, its journal is as small as before, and with room the next start installs."""
    with sqlite3.connect(site.directory / DATABASE) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(install, "PRAGMAS", (*PRAGMAS, f"PRAGMA max_page_count={pages}"))
        assert site.install() is None
        assert (await site.open()).tip.height == 0
        assert not (wal := site.directory / f"{DATABASE}-wal").exists() or wal.stat().st_size == 0
    assert site.incoming.exists()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("node.snapshot.shelf.SPARE_BYTES", 1 << 60)
        assert site.install() is None
    assert site.incoming.exists()
    assert site.read_height() == 0
    assert (await site.open()).tip.height == SNAPSHOT_HEIGHT
