"""`liushui status`: what a person at a terminal is told of a node that is behind, stuck or stopped."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from node.api.whereabouts import Progress, Silent, Why
from node.cli.syncwords import describe_sync, draw_bar
from node.stops import KEY_IN_USE
from protocol.ids import Height, View
from tests.node.cli.terminal import Desk

BEHIND = Progress(
    stage="blocks",
    validators_heard=3,
    validators_needed=3,
    height=Height(620),
    target=Height(1_000),
    blocks_per_s=31.0,
    left_s=12,
)
STUCK = Why(
    what="votes",
    sentence="1 more Finalize in view 57: jade not connected, last heard 34 s ago",
    view=View(57),
    vote="finalize",
    lacking=1,
    since_ms=34_500,
    silent=(Silent(name="jade", is_self=False, connected=False, silent_ms=34_000, voted_view=View(41)),),
)


def tell(desk: Desk, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    honest: Callable[[], Any] = desk.node.status
    monkeypatch.setattr(desk.node, "status", lambda: msgspec.structs.replace(honest(), **changes))


async def test_why_names_who_is_silent_and_for_how_long(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence, and a row for each whose word lacks; the same as data with --json."""
    tell(desk, monkeypatch, why=STUCK)
    done = await desk.run("status", "--why", "--node", desk.url)
    lines = done.output.splitlines()
    assert lines[0] == f"Consensus waits for {STUCK.sentence} (for 34 s)."
    assert lines[-1].split() == ["jade", "not", "connected", "34", "s", "ago", "41"]
    found = await desk.read("status", "--why")
    assert found["why"]["silent"][0] == {
        "name": "jade",
        "is_self": False,
        "connected": False,
        "silent_ms": 34_000,
        "voted_view": 41,
    }


async def test_why_says_first_what_keeps_this_node_itself(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind, and not voting: two sentences, each with what to do or how long it takes."""
    tell(desk, monkeypatch, sync_state="syncing", progress=BEHIND, voting_stopped=KEY_IN_USE)
    lines = (await desk.run("status", "--why", "--node", desk.url)).output.splitlines()
    assert lines[0].startswith("This node is syncing: [##############----------]  62 %  fetching blocks: 620 of 1000")
    assert lines[0].endswith("about 12 s left.")
    assert lines[1].startswith("This node does not vote. Another live process uses this node's key")
    assert lines[2] == "Consensus waits for nothing: there is nothing to order."
    assert "62 %" in (await desk.run("status", "--node", desk.url)).output


def test_a_bar_is_full_only_when_all_is_done() -> None:
    """A bar that stands at a hundred for an hour is a lie."""
    assert draw_bar(0, 0) == "[------------------------]   0 %"
    assert draw_bar(999, 1_000).endswith("-]  99 %")
    assert draw_bar(1_000, 1_000) == "[########################] 100 %"
    assert draw_bar(7, 5) == "[########################] 100 %"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stage": "looking_for_peers", "validators_heard": 1}, "1 of the 3 validators"),
        (
            {"stage": "snapshot", "bytes_done": 1_048_576, "bytes_size": 4_194_304, "bytes_per_s": 524_288.0},
            " 25 %  fetching a snapshot of the books: 1.0 of 4.0 MiB, 0.5 MiB/s, about 12 s left",
        ),
        ({"stage": "executing", "left_s": 7_300}, "executing final blocks: 620 of 1000, 31.0 blocks/s, about 2 h left"),
        ({"left_s": 180}, "about 3 min left"),
        ({"left_s": None}, "31.0 blocks/s"),
        ({"stage": "following"}, "in step with the network"),
    ],
)
def test_each_stage_has_its_words(changes: dict[str, object], words: str) -> None:
    """What is done, how fast, and how long it may take, where that can be told."""
    found = describe_sync(msgspec.to_builtins(msgspec.structs.replace(BEHIND, **changes)))
    assert found is not None
    assert words in found


def test_a_node_that_says_nothing_of_it_gets_no_line() -> None:
    """An older node's answer has no such field filled."""
    assert describe_sync(None) is None
