"""How far a node has caught up, and what consensus waits for, as people are told."""

from types import SimpleNamespace
from typing import Any

import pytest

from consensus.waiting import Waiting
from node.api.whereabouts import Progress
from node.gossip.network import LinkStatus
from node.meters import WORK_S, Buckets
from node.progress import ProgressWatch
from node.snapshot.plan import PeerView, Stage
from node.stops import KEY_IN_USE, describe_stop
from node.why import WhyWatch
from protocol.certificate import VoteKind
from protocol.ids import Height, PublicKey, ValidatorIndex, View

OWN, BO, CY, DI = (PublicKey(bytes([i]) * 32) for i in range(4))
NAMES = {OWN: "ada", BO: "bo", CY: "cy", DI: "di"}


class Scene:
    """A node among four validators, as its rooms see it."""

    def __init__(self) -> None:
        self.now_ms = 10_000
        self.hindrance: str | None = None
        self.peers: list[PeerView] = []
        self.heard = 4
        self.saved, self.tip = SimpleNamespace(height=Height(0)), SimpleNamespace(height=Height(0))
        self.plan: Any = SimpleNamespace(stage=Stage.RESTING, snapshot=None, bytes_missing=0)
        claims: Any = SimpleNamespace(
            liars_max=1,
            quorum=3,
            count_heard=lambda own, now_ms: self.heard,
            list_peers=lambda now_ms: self.peers,
        )
        self.watch = ProgressWatch(
            claims=claims,
            own=OWN,
            tip=self.tip,
            saved=self.saved,
            snapshot=self.plan,
            find_hindrance=lambda: self.hindrance,
            clock_ms=lambda: self.now_ms,
            lag=Buckets(WORK_S),
            on_look=lambda: None,
        )

    def claim(self, *heights: int) -> None:
        self.peers = [
            PeerView(key, Height(height), Height(0), True) for key, height in zip((BO, CY, DI), heights, strict=False)
        ]

    def look(self, *, after_ms: int = 1_000) -> Progress:
        self.watch.look()
        self.now_ms += after_ms
        return self.watch.describe()


def test_a_node_that_hears_too_few_is_looking_for_peers() -> None:
    """Nothing is said about a target nobody vouches for, and nothing about time."""
    scene = Scene()
    scene.hindrance, scene.heard = "starting", 1
    found = scene.watch.describe()
    assert (found.stage, found.validators_heard, found.validators_needed) == ("looking_for_peers", 1, 3)
    assert (found.target, found.left_s) == (0, None)


def test_the_target_is_what_more_than_may_lie_have_reached() -> None:
    """One boaster moves no bar; two that agree do."""
    scene = Scene()
    scene.hindrance = "syncing"
    scene.claim(9_000_000, 1_000, 990)
    assert scene.watch.describe().target == 1_000
    scene.claim(9_000_000)
    assert scene.watch.describe().target == 9_000_000, "while nobody else speaks"


def test_pace_and_time_left_come_from_the_last_seconds() -> None:
    """A hundred blocks in two seconds, nine hundred to go: eighteen seconds."""
    scene = Scene()
    scene.hindrance = "syncing"
    scene.claim(1_000, 1_000, 1_000)
    assert scene.look().left_s is None, "no pace yet"
    scene.saved.height = Height(50)
    scene.look()
    scene.saved.height = Height(100)
    found = scene.watch.describe()
    assert (found.stage, found.height, found.blocks_per_s, found.left_s) == ("blocks", 100, 50.0, 18)
    scene.hindrance = "executing"
    assert scene.watch.describe().stage == "executing"
    scene.hindrance, scene.saved.height = None, Height(1_000)
    assert (scene.watch.describe().stage, scene.watch.describe().left_s) == ("following", None)


def test_a_snapshot_counts_its_bytes() -> None:
    """While one is fetched the bar is of bytes, whatever the heights are."""
    scene = Scene()
    scene.hindrance = "syncing"
    scene.claim(1_000, 1_000, 1_000)
    scene.plan.stage = Stage.FETCHING
    scene.plan.snapshot = SimpleNamespace(content=SimpleNamespace(size=1_000))
    scene.plan.bytes_missing = 1_000
    scene.look()
    scene.plan.bytes_missing = 750
    found = scene.watch.describe()
    assert (found.stage, found.bytes_done, found.bytes_size, found.left_s) == ("snapshot", 250, 1_000, 3)


class Engine:
    """As much of an engine as is asked."""

    def __init__(self, waiting: Waiting | None) -> None:
        self.waiting, self.view, self.final_height = waiting, View(57), Height(41)

    def waiting_for(self) -> Waiting | None:
        return self.waiting

    def voted_view_of(self, index: ValidatorIndex) -> View:
        return View(57 if index == 2 else 41)


class Clock:
    """Time that a test moves."""

    now_ms = 0


def watch(waiting: Waiting | None, *, stop: str = "") -> tuple[WhyWatch, Engine, Clock]:
    machine, clock = Engine(waiting), Clock()
    links = {OWN: LinkStatus("ada", False, -1), BO: LinkStatus("bo", False, 34_000), CY: LinkStatus("cy", True, 3_200)}
    roster: Any = SimpleNamespace(validators=(OWN, BO, CY, DI), get_name=lambda index: list(NAMES.values())[index])
    mesh: Any = SimpleNamespace(get_status=lambda key: links.get(key, LinkStatus("di", True, 500)))
    made = WhyWatch(
        machine=machine, roster=roster, mesh=mesh, own=OWN, find_stop=lambda: stop, clock_ms=lambda: clock.now_ms
    )
    return made, machine, clock


def lacking(*places: int, what: str = "votes", count: int = 1) -> Waiting:
    return Waiting(what, View(57), VoteKind.FINALIZE, count, tuple(ValidatorIndex(one) for one in places))


def test_why_names_the_vote_that_lacks_and_since_when_each_is_silent() -> None:
    """Whoever is gone, whoever is there and says nothing, and this node itself are told apart."""
    made, _, _ = watch(lacking(0, 1, 2, 3))
    found = made.describe()
    assert found is not None
    assert found.sentence == (
        "1 more Finalize in view 57: ada (this node), bo not connected, last heard 34 s ago, cy silent 3 s,"
        " di silent 0 s, last voted 16 views ago"
    )
    assert (found.vote, found.lacking, found.what) == ("finalize", 1, "votes")
    assert [(one.name, one.is_self, one.connected, one.silent_ms, one.voted_view) for one in found.silent] == [
        ("ada", True, True, 0, 41),
        ("bo", False, False, 34_000, 41),
        ("cy", False, True, 3_200, 57),
        ("di", False, True, 500, 41),
    ]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("proposal", "the proposal of view 57: bo not connected"),
        ("payload", "the transactions of the block of view 57"),
        ("blocks", "blocks that are final elsewhere"),
        ("execution", "own execution"),
        ("voting_stopped", describe_stop(KEY_IN_USE)),
    ],
)
def test_why_has_words_for_everything_the_engine_waits_for(what: str, words: str) -> None:
    """No code of the program is shown to a person."""
    made, _, _ = watch(lacking(*((1,) if what == "proposal" else ()), what=what, count=0), stop=KEY_IN_USE)
    found = made.describe()
    assert found is not None
    assert words in found.sentence
    assert found.vote == ""


def test_why_says_for_how_long_nothing_has_moved() -> None:
    """A new view or a new block begins the count again."""
    made, machine, clock = watch(lacking(1))
    made.look()
    clock.now_ms = 34_000
    assert (found := made.describe()) is not None
    assert found.since_ms == 34_000
    machine.view = View(58)
    made.look()
    clock.now_ms = 35_000
    assert (found := made.describe()) is not None
    assert found.since_ms == 1_000
    machine.waiting = None
    assert made.describe() is None
