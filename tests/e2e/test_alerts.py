"""Four real nodes: a borrower refreshes her statement, her lender alone is warned, a killed node repeats nothing."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_walkthrough import DOCUMENTS, Reader, find_base_port, read_commands

pytestmark = [pytest.mark.process, pytest.mark.long]
BUDGET_S = 400


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """The walkthrough, followed until there is a loan."""
    made = Reader(tmp_path, find_base_port())
    made.deadline = time.monotonic() + BUDGET_S
    try:
        for line in read_commands(DOCUMENTS[0]):
            made.follow(line)
            if "LOAN" in made.printed:
                break
        yield made
    finally:
        made.stop()


def ask(reader: Reader, *args: str) -> Any:
    """What a command says in JSON."""
    return json.loads(reader._type([sys.executable, "-m", "node.cli.main", *args, "--json"]))


def read_alerts(reader: Reader, number: int, count: int = 0) -> list[str]:
    """Rules of the alerts of a lender's node, once there are so many."""
    node = f"http://127.0.0.1:{reader.base_port + 2 * number - 1}"
    while True:
        view = ask(reader, "alerts", "--officer-dir", f"mynet/lender{number}", "--node", node)
        if len(view["items"]) >= count:
            return [one["rule"] for one in view["items"]]
        time.sleep(0.5)


def test_a_lender_is_warned_and_a_killed_node_repeats_nothing(reader: Reader) -> None:
    """Rows of another person contradict the first statement; a withdrawn consent ends the feed; kill -9 in between."""
    key = ("--key", "li-na.key", "--yes")
    sample = [sys.executable, "-m", "node.cli.main", "statement", "sample", "--seed", "77", "--out", "newer.ofx"]
    reader._type(sample)
    made = ask(reader, "monitor", "refresh", "newer.ofx", "--loan", reader.printed["LOAN"], *key)
    assert made["compared"] is True
    assert read_alerts(reader, 1, 1) == ["overlap_differs"]
    reader.nodes[0].kill()
    reader.nodes[0].wait()
    reader._start([sys.executable, "-m", "node.cli.main", "start", "--data-dir", "mynet/lender1"])
    reader.nodes[0] = reader.nodes.pop()
    reader._wait_ready(reader.environment["LIUSHUI_NODE"])
    ask(reader, "consent", "revoke", made["consent"], *key)
    assert read_alerts(reader, 1, 2) == ["overlap_differs", "feed_ended"]
    log = ask(reader, "data", "access-log", made["data"], *key[:2])
    assert [one["purpose"] for one in log["entries"]] == ["monitor"]
    assert read_alerts(reader, 2) == []
