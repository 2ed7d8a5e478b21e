"""What a snapshot costs: making one, checking the rows of one and installing it, in processor time and memory.

    python -m tests.bench.bench_snapshot [people] [directory]

The books of so many people (about four rows each); each step runs in a process of its own, so that its peak of memory
is its own, less what the imports take. `make` is without rests; a node rests as long as it works. Prints a JSON object.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from node.snapshot.incoming import Incoming
from node.snapshot.install import write_snapshot
from node.snapshot.maker import SnapshotMaker
from node.snapshot.shelf import Shelf
from node.store.chain import ChainStore
from node.store.schema import TABLES
from protocol.codec import decode, encode
from protocol.genesis import Genesis, decode_genesis, encode_genesis
from protocol.ids import Digest
from protocol.snapshot import SnapshotManifest, VerifiedSnapshot, check_manifest
from tests.protocol.snapshots import make_snapshot

STEPS: Final = ("check", "install", "make")


def lay_out(directory: Path, people: int) -> dict[str, int]:
    """A fetched snapshot of real books, and an empty database."""
    made = make_snapshot(people=people)
    (directory / "genesis.json").write_bytes(encode_genesis(made.genesis))
    (directory / "manifest").write_bytes(encode(made.manifest))
    incoming = Incoming(directory)
    incoming.keep_manifest(made.manifest)
    for digest, raw in made.chunks.items():
        incoming.keep_chunk(Digest(digest), raw)
    connection = sqlite3.connect(directory / "ledger.sqlite")
    for table in TABLES:
        connection.execute(table)
    connection.close()
    content = made.manifest.content
    return {"rows": content.rows, "bytes": content.size, "chunks": len(content.chunks)}


def read_snapshot(directory: Path) -> VerifiedSnapshot:
    """What was laid out, checked by its genesis."""
    genesis: Genesis = decode_genesis((directory / "genesis.json").read_bytes())
    found = check_manifest(decode((directory / "manifest").read_bytes(), SnapshotManifest), genesis)
    assert isinstance(found, VerifiedSnapshot)
    return found


def make(directory: Path, snapshot: VerifiedSnapshot) -> None:
    """Read all rows from the database and write them as chunks."""
    maker = SnapshotMaker(
        database=directory / "ledger.sqlite",
        store=cast("ChainStore", None),
        shelf=Shelf.open(directory),
        interval=1,
        rest=lambda _: None,
    )
    content = maker._read(maker._take_picture(snapshot.height))
    assert content.calculate_digest() == snapshot.digest, "the rows that were installed give the same snapshot"


def read_peak_kib() -> int:
    """The most memory this process had; getrusage would count its parent's from before the start."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def run(step: str, directory: Path) -> dict[str, float]:
    """One step: processor seconds, elapsed seconds, MiB of memory beyond what the imports take."""
    snapshot = read_snapshot(directory)
    work: dict[str, Callable[[], object]] = {
        "check": lambda: Incoming(directory).check_state(snapshot),
        "install": lambda: write_snapshot(directory / "ledger.sqlite", Incoming(directory), snapshot),
        "make": lambda: make(directory, snapshot),
    }
    before_kib = read_peak_kib()
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    fault = work[step]()
    cpu_s, took_s = time.process_time() - began_cpu_s, time.perf_counter() - began_s
    assert fault is None, fault
    peak_kib = read_peak_kib()
    return {"cpu_s": round(cpu_s, 2), "elapsed_s": round(took_s, 2), "mib": round((peak_kib - before_kib) / 1024, 1)}


def main() -> None:
    """Lay out, then each step by itself."""
    if sys.argv[1:2] == ["step"]:
        print(json.dumps(run(sys.argv[2], Path(sys.argv[3]))))
        return
    people = int(sys.argv[1]) if len(sys.argv) > 1 else 25_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as name:
        directory = Path(name)
        result: dict[str, object] = dict(lay_out(directory, people))
        for step in STEPS:
            command = [sys.executable, "-m", "tests.bench.bench_snapshot", "step", step, name]
            result[step] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        result["database_bytes"] = (directory / "ledger.sqlite").stat().st_size
    print(json.dumps(result))


if __name__ == "__main__":
    main()
