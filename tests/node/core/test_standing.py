"""When a node may speak for the network: it has heard a quorum, is level with it, and has executed what is final."""

import pytest

from node.duties import Tip
from node.standing import Hindrance, Standing
from node.sync import CLAIM_REST_MS, HEARD_MS_MAX, REPLY_MS_MAX, SyncPlan
from protocol.ids import BlockDigest, Height, PublicKey
from protocol.limits import EXECUTION_LAG_MAX
from tests.node.core.test_sync_plan import status

KEYS = tuple(PublicKey(bytes([one]) * 32) for one in range(1, 5))
OWN, A, B, C = KEYS
EYE = PublicKey(b"\x63" * 32)


class Place:
    """One node among four validators, as its peers' words make it."""

    def __init__(self, own: PublicKey = OWN, validators: tuple[PublicKey, ...] = KEYS) -> None:
        self.plan = SyncPlan(validators)
        self.tip = Tip(Height(0), BlockDigest(bytes(32)))
        self.height = Height(0)
        self.now_ms = 1_000_000
        self._standing = Standing(plan=self.plan, own=own, tip=self.tip, executor=self, clock_ms=lambda: self.now_ms)

    def hear(self, height: int, *peers: PublicKey) -> None:
        """Peers say where they stand."""
        for peer in peers:
            self.plan.on_status(peer, status(height), self.now_ms)

    def reach(self, height: int, executed: int | None = None) -> None:
        """This node knows of final blocks, and has executed some."""
        self.tip.height = Height(height)
        self.height = Height(height if executed is None else executed)

    def ask(self, later_ms: int = 0) -> Hindrance | None:
        """What hinders it, some time later."""
        self.now_ms += later_ms
        return self._standing.find_hindrance()


def test_a_node_that_started_knows_nothing_before_it_heard_a_quorum() -> None:
    """Itself and two others of four; words of observers count for nothing."""
    place = Place()
    assert place.ask() == "starting"
    place.hear(0, A, EYE)
    assert place.ask() == "starting"
    place.hear(0, B)
    assert place.ask() is None


def test_an_observer_needs_a_quorum_of_others_and_a_lone_validator_nobody() -> None:
    """Three of four; one of one."""
    watch = Place(own=EYE)
    watch.hear(0, A, B)
    assert watch.ask() == "starting"
    watch.hear(0, C)
    assert watch.ask() is None
    assert Place(validators=(OWN,)).ask() is None


def test_an_emptied_node_is_not_ready_by_the_word_of_another_emptied_one() -> None:
    """Until it has been level once, a single believed peer that is further keeps it from being ready."""
    place = Place()
    place.hear(0, A)
    place.hear(1_000, B)
    assert place.ask() == "syncing"
    place.reach(1_000)
    assert place.ask() is None


def test_a_liar_delays_a_start_by_one_request_and_nothing_later() -> None:
    """A claim that nothing follows from is not believed for a while; after that only more than may lie count."""
    place = Place()
    place.hear(0, A, C)
    place.hear(10**9, B)
    assert place.ask() == "syncing"
    assert place.plan.next_requests(Height(0), Height(0), place.now_ms)
    place.plan.next_requests(Height(0), Height(0), place.now_ms + REPLY_MS_MAX + 1)
    assert place.ask(REPLY_MS_MAX + 1) is None
    place.hear(2 * 10**9, B)
    assert place.ask(30_000 - HEARD_MS_MAX) == "isolated"  # nobody else has spoken since
    place.hear(0, A, C)
    place.hear(2 * 10**9, B)
    assert place.ask() is None


def test_a_node_that_falls_behind_or_is_cut_off_says_so_until_it_is_level_again() -> None:
    """More than may lie are further; silence of a quorum for longer than some statuses; a lost link at once."""
    place = Place()
    place.reach(5)
    place.hear(5, A, B, C)
    assert place.ask() is None
    place.hear(6, A, B, C)
    assert place.ask() is None  # it is on its way
    assert place.ask(CLAIM_REST_MS) == "syncing"
    place.reach(6)
    assert place.ask() is None
    assert place.ask(HEARD_MS_MAX) == "isolated"
    place.hear(6, A, B)
    assert place.ask() is None
    place.plan.on_gone(A)
    assert place.ask() == "isolated"


@pytest.mark.parametrize(("lag", "expected"), [(EXECUTION_LAG_MAX, None), (EXECUTION_LAG_MAX + 1, "executing")])
def test_an_executor_that_is_far_behind_hinders(lag: int, expected: Hindrance | None) -> None:
    """Where only empty blocks would get votes, nothing more is taken."""
    place = Place()
    place.hear(100, A, B)
    place.reach(100, 100 - lag)
    assert place.ask() == expected
