"""`liushui data access-log` asks the nodes it knows, and says of every reader what it could not learn."""

import json
from typing import Any

import pytest

from node.cli.common import EXIT_OK, EXIT_UNVERIFIED
from node.client import openings
from tests.node.cli.terminal import Desk
from tests.node.cli.test_rights_commands import apply


async def test_readers_whose_node_was_not_asked_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harbour shows its opening; jade was let in as well, and nobody asked its node; one that is down is told."""
    made = await apply(desk)
    key = ("--key", str(desk.key), "--passphrase-file", str(desk.secret), "--node", desk.url)
    told: dict[str, Any] = await desk.sign("data", "access-log", made["data"], "--also", "http://127.0.0.1:1")
    assert [one["reader_name"] for one in told["openings"]] == ["harbour"]
    gaps = {one["name"]: one["gap"] for one in told["readers"]}
    assert gaps == {"harbour": None, "jade": "not_asked"}
    assert told["whole"] is False
    assert [(one["member"], one["fault"]) for one in told["logs"]] == [("harbour", None), (None, "node_unreachable")]
    shown = await desk.run("data", "access-log", made["data"], *key)
    assert shown.exit_code == EXIT_OK, shown.output
    assert openings.GAPS["not_asked"] in shown.stdout

    monkeypatch.setattr(openings, "check_access_view", lambda *_: "access_chain")
    false = await desk.run("data", "access-log", made["data"], *key, "--json")
    assert false.exit_code == EXIT_UNVERIFIED
    lines = json.loads(false.stdout[: false.stdout.rindex("\n{") + 1] if "\n{" in false.stdout else false.stdout)
    assert {one["name"]: one["gap"] for one in lines["readers"]} == {"harbour": "log_false", "jade": "not_asked"}
    assert lines["openings"] == []
