"""A real node whose keys are sealed: it asks nobody it cannot ask, opens with its passphrase, leaves no key bare."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from node.keystore import read_seed
from node.setup import make_testnet
from protocol.ids import TimeMs
from tests.node.cli.terminal import PASSPHRASE, write_secret
from tests.node.core.cluster import read_clock_ms

pytestmark = pytest.mark.process

CLI = (sys.executable, "-m", "node.cli.main")


def is_bare(directory: Path, seeds: list[bytes]) -> bool:
    """Whether any file below holds one of the seeds, as bytes or in hex."""
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    return any(seed in text or seed.hex().encode() in text for seed in seeds for text in texts)


def read_status(port: int, within_s: float = 60.0) -> Any:
    """What a node says of itself, as soon as it answers."""
    until_s = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/status") as answer:
                return json.load(answer)
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < until_s, "it does not answer"
            time.sleep(0.05)


def test_a_sealed_node_starts_with_its_passphrase_alone_and_stops_clean(tmp_path: Path) -> None:
    """Without one it exits at once with the code; by descriptor it serves; argv and environment stay without it."""
    testnet = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    place, secret = testnet.nodes[0], write_secret(tmp_path / "passphrase", PASSPHRASE)
    home = place.directory
    seeds = [seed for name in ("node", "validator", "officer") if (seed := read_seed(home, name)) is not None]
    assert is_bare(home, seeds)
    seal = [*CLI, "keys", "seal", "--dir", str(home), "--passphrase-file", str(secret)]
    assert subprocess.run(seal, check=False, capture_output=True).returncode == 0
    settings = home / "config.toml"
    settings.write_text(settings.read_text().replace("allow_unsealed_keys = true", "allow_unsealed_keys = false"))
    start = [*CLI, "start", "--data-dir", str(home)]
    refused = subprocess.run(start, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (refused.returncode, "[passphrase_missing]" in refused.stderr) == (2, True), refused.stderr
    with secret.open("rb") as given, (tmp_path / "log").open("wb") as log:
        fd = given.fileno()
        running = subprocess.Popen(
            [*start, "--passphrase-fd", str(fd)], pass_fds=(fd,), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        assert read_status(place.api_port)["voting_stopped"] == ""
        for name in ("cmdline", "environ"):
            assert PASSPHRASE.encode() not in Path(f"/proc/{running.pid}/{name}").read_bytes()
        assert not is_bare(home, seeds)
    finally:
        running.send_signal(signal.SIGTERM)
        code = running.wait(30)
    said = (tmp_path / "log").read_text()
    assert code == os.EX_OK, said
    assert PASSPHRASE not in said
