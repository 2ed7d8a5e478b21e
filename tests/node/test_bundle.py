"""A support bundle tells what is needed and nobody's secret: it is searched here for every secret of a node."""

import asyncio
import base64
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node import setup
from node.bundle import describe_settings, read_log
from node.cli.debug import dump
from node.config import Webhook, load_config
from node.core import read_clock_ms
from node.keystore import KEYS_DIRECTORY, NAMES, read_seed
from node.runtime import Node
from node.store.schema import SCHEMA_VERSION
from protocol.ids import TimeMs

MARK = b"salary-of-Li-Na-8800"
HOOK = """
[[webhooks]]
url = "https://hooks.example/services/T0K3N-1234"
"""
LOG = """{"event": "was_told", "api_token": "tok-5678", "height": 7}
2026-11-26 08:00:00 [info] was_told passphrase=open-sesame room=x
"""


def lay_out(tmp_path: Path) -> Path:
    """A node's directory with something secret in every file that holds such things."""
    net = setup.make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    place = net.directory / "solo"
    with (place / "config.toml").open("a") as settings:
        settings.write(HOOK)
    for name in ("statement.csv", "votes.wal.aside-1", "payload.log.old"):
        (place / name).write_bytes(MARK)
    return place


def collect(*args: str) -> tuple[Result, dict[str, bytes]]:
    done = CliRunner().invoke(dump, list(args))
    found: dict[str, bytes] = {}
    if done.exit_code == 0:
        with tarfile.open(args[args.index("--out") + 1]) as archive:
            for member in archive.getmembers():
                file = archive.extractfile(member)
                assert file is not None
                found[member.name.removeprefix("liushui-debug/")] = file.read()
    return done, found


def list_secrets(place: Path) -> list[bytes]:
    """Every seed in every form, and what the scene hid elsewhere."""
    found = [MARK, b"T0K3N-1234", b"tok-5678", b"open-sesame"]
    for name in NAMES:
        if (seed := read_seed(place, name)) is not None:
            found += [seed, seed.hex().encode(), base64.b64encode(seed)]
    for path in (place / KEYS_DIRECTORY).iterdir():
        found.append(path.read_bytes().strip())
    assert len(found) > 15
    return found


async def test_a_bundle_of_a_running_node_holds_what_helps_and_no_secret(tmp_path: Path) -> None:
    """Version, settings, findings, status, metrics, sizes, log: all there; seeds, tokens, documents: nowhere."""
    place = lay_out(tmp_path)
    (tmp_path / "node.log").write_text(LOG)
    node = Node(load_config(place, environment={}))
    await node.start()
    try:
        await node.vault._database.execute("CREATE TABLE planted (raw BLOB)")
        await node.vault._database.execute("INSERT INTO planted VALUES (?)", (MARK,))
        args = ("--data-dir", str(place), "--log", str(tmp_path / "node.log"), "--out", str(tmp_path / "out.tar.gz"))
        url = f"http://127.0.0.1:{node.api_port}"
        done, files = await asyncio.to_thread(collect, *args, "--node", url)
    finally:
        await node.stop(drain_s=0)
    assert done.exit_code == 0, done.output
    assert files.keys() == {
        "about.json",
        "settings.json",
        "files.json",
        "inspect.json",
        "doctor.json",
        "status.json",
        "ready.json",
        "metrics.txt",
        "log.txt",
    }
    told: dict[str, Any] = {name: json.loads(raw) for name, raw in files.items() if name.endswith(".json")}
    assert told["about.json"]["libraries"]["aiohttp"]
    assert told["settings.json"]["webhooks"][0]["url"] == "https://hooks.example/[redacted]"
    assert told["status.json"]["name"] == "solo"
    assert "ready" in told["ready.json"]
    assert b"liushui_height_executed" in files["metrics.txt"]
    assert told["inspect.json"]["database"]["schema"] == SCHEMA_VERSION
    assert told["inspect.json"]["in_use"] is True
    assert {"keys/node.key", "vault.sqlite", "statement.csv"} <= {one["name"] for one in told["files.json"]["files"]}
    assert b'"height": 7' in files["log.txt"]
    for name, raw in files.items():
        for secret in list_secrets(place):
            assert secret not in raw, name
    assert (tmp_path / "out.tar.gz").stat().st_mode & 0o777 == 0o600


def test_a_bundle_is_made_of_a_node_that_does_not_run_or_cannot(tmp_path: Path) -> None:
    """What can be told is told; a file that is there is never written over."""
    place = lay_out(tmp_path)
    (place / "config.toml").write_text("nonsense = 1\n")
    args = ("--data-dir", str(place), "--out", str(tmp_path / "out.tar.gz"), "--node", "http://127.0.0.1:1")
    done, files = collect(*args)
    assert done.exit_code == 0, done.output
    assert files["status.json"].startswith(b"no answer")
    assert "nonsense" in json.loads(files["settings.json"])["error"]
    assert "[file_exists]" in collect(*args)[0].output


def test_only_the_end_of_a_long_log_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log of months fits; a line of megabytes is cut."""
    monkeypatch.setattr("node.bundle.LOG_LINES_MAX", 2)
    monkeypatch.setattr("node.bundle.LINE_CHARS_MAX", 10)
    (tmp_path / "log").write_text("one\ntwo\n" + "x" * 1_000 + "\n")
    assert io.BytesIO(read_log(tmp_path / "log")).read() == b"two\nxxxxxxxxxx\n"


def test_addresses_of_webhooks_are_cut_to_their_host(tmp_path: Path) -> None:
    """A token often is part of the path, or of the query."""
    config = load_config(lay_out(tmp_path), environment={})
    assert isinstance(config.webhooks[0], Webhook)
    told = json.dumps(describe_settings(config))
    assert "hooks.example" in told
    assert "T0K3N" not in told
