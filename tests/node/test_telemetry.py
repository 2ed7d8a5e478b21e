"""Logs: one form for all lines, and no secret in any of them, whoever logs it and however deep."""

import asyncio
import base64
import json
import logging
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from node.config import load_config
from node.core import read_clock_ms
from node.keystore import KEYS_DIRECTORY, NAMES, read_seed
from node.redaction import BLACKED_OUT, is_secret, redact, redact_line
from node.runtime import EXIT_CLEAN, run_node
from node.setup import make_testnet
from node.telemetry import configure_logging, get_logger
from protocol.ids import TimeMs


def read_lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_what_stands_under_the_name_of_a_secret_is_blacked_out(capfd: pytest.CaptureFixture[str]) -> None:
    """At any depth, with any prefix; a public key and a height stay."""
    configure_logging(json=True, level="debug")
    get_logger("room").info(
        "was_told",
        seed="s1",
        webhook_secret="s2",
        height=7,
        public_key="p1",
        told={"api_token": "s3", "inner": [{"passphrase": "s4", "name": "n1"}]},
    )
    (line,) = read_lines(capfd)
    assert (line["seed"], line["webhook_secret"], line["height"], line["public_key"]) == (
        BLACKED_OUT,
        BLACKED_OUT,
        7,
        "p1",
    )
    assert line["told"] == {"api_token": BLACKED_OUT, "inner": [{"passphrase": BLACKED_OUT, "name": "n1"}]}


def test_libraries_speak_in_the_same_form(capfd: pytest.CaptureFixture[str]) -> None:
    """A warning of a library is a JSON line too, with its trace inside, and with its secrets blacked out."""
    configure_logging(json=True, level="info")
    try:
        raise ValueError("inner")
    except ValueError:
        logging.getLogger("some.library").exception("failed with token=abc123")
    logging.getLogger("some.library").info("unimportant")
    (line,) = read_lines(capfd)
    assert (line["event"], line["level"], line["room"]) == ("library_spoke", "error", "some.library")
    assert line["said"] == f"failed with token={BLACKED_OUT}"
    assert "ValueError: inner" in line["exception"]


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ('{"event": "x", "token": "abc"}', '{"event": "x", "token": "[redacted]"}'),
        ('{"said": "passphrase: abc"}', '{"said": "passphrase: [redacted]"}'),
        ("12:00 [info] was_told seed=abc height=3", "12:00 [info] was_told seed=[redacted] height=3"),
        ("Authorization: Bearer abc.def", "Authorization: [redacted] [redacted]"),
        ("the api_token is 'abc def' now", "the api_token is [redacted] now"),
        ('password = "abc def"', "password = [redacted]"),
        ("17", "17"),
        ("public_key=abc words of wisdom", "public_key=abc words of wisdom"),
    ],
)
def test_a_line_that_was_logged_elsewhere_is_read_again(line: str, kept: str) -> None:
    """Lines of an older release, or of a wrapper around the node, go through the same sieve before they are sent on."""
    assert redact_line(line) == kept


def test_names_decide() -> None:
    """What is secret by its name, and what only sounds like it."""
    assert all(map(is_secret, ("seed", "node_seed", "API-Token", "passphrases", "salt", "words")))
    assert not any(map(is_secret, ("seeds_tried", "tokenised", "node_key", "public_key", "height", "passphrase_file")))
    assert redact({"a": [{"seed": 1}], "b": "c"}) == {"a": [{"seed": BLACKED_OUT}], "b": "c"}


async def test_the_log_of_a_node_holds_no_key(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A node starts, serves and stops at the noisiest level: none of its seeds in any form, and every line JSON."""
    net = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    place = net.directory / "solo"
    running = asyncio.create_task(run_node(load_config(place, environment={}, overrides={"log_level": "debug"})))
    url = f"http://127.0.0.1:{net.nodes[0].api_port}/livez"
    async with asyncio.timeout(30):
        while True:
            try:
                await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read())
                break
            except OSError:
                await asyncio.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == EXIT_CLEAN
    text = capfd.readouterr().err
    seeds = [seed for name in NAMES if (seed := read_seed(place, name)) is not None]
    assert len(seeds) >= 4, KEYS_DIRECTORY
    assert all({"event", "level", "room", "timestamp"} <= json.loads(line).keys() for line in text.splitlines())
    assert "node_started" in text
    for seed in seeds:
        for form in (seed.hex(), seed.hex().upper(), base64.b64encode(seed).decode(), repr(seed)[2:-1]):
            assert form not in text
