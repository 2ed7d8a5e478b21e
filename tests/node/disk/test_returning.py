"""A validator that comes back knowing less than it once did speaks only when nothing it said can be contradicted."""

from pathlib import Path

import msgspec
import pytest

from consensus.records import VoteRecord
from node.examine import find_genesis
from node.opening import DATABASE
from node.rebuild import RebuildError, rebuild
from node.returning import SETTLED_MS, Returning
from node.stops import BEHIND_OWN_VOTES, RESTORED, describe_stop
from node.store.stopfile import Stop, StopFile
from node.store.votelog import BEGINNING, Place
from protocol.block import Header
from protocol.ids import Epoch, Height, TimeMs, View
from protocol.limits import VIEW_WINDOW_PAST
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_driver import HEADER

RESTORED_MS = 1_000_000


class Log:
    """A vote log that knows everything from a floor on."""

    def __init__(self, floor: Place = BEGINNING) -> None:
        self.floor = floor

    def raise_floor(self, floor: Place) -> None:
        self.floor = max(self.floor, floor)


def make_header(view: int, *, epoch: int = 0, after_ms: int = 0) -> Header:
    """A final block so long after the restore."""
    return msgspec.structs.replace(
        HEADER, epoch=Epoch(epoch), view=View(view), time_ms=TimeMs(RESTORED_MS + after_ms), height=Height(view)
    )


def make_stops(directory: Path, *codes: str) -> StopFile:
    """Reasons not to vote, of the time of the restore."""
    file = StopFile.open(directory)
    for code in codes:
        file.add(Stop(code=code, sentence=describe_stop(code), at_ms=RESTORED_MS, validator_key="ab" * 32))
    return file


def test_a_node_that_lost_nothing_waits_for_nothing(tmp_path: Path) -> None:
    """Books at or above the log's floor, and no restore."""
    floor = (Epoch(0), View(7))
    for tip in (make_header(7), make_header(8), make_header(1, epoch=1)):
        assert Returning(stops=make_stops(tmp_path), votes=Log(floor), tip=tip).code == ""
    assert Returning(stops=make_stops(tmp_path), votes=Log(), tip=None).code == ""


def test_books_below_the_votes_wait_until_the_window_is_past_them(tmp_path: Path) -> None:
    """The engine votes within a window of views: it gets the keys when the whole window lies above the floor."""
    floor = (Epoch(1), View(100))
    for tip in (None, make_header(99, epoch=1), make_header(500)):
        back = Returning(stops=make_stops(tmp_path), votes=Log(floor), tip=tip)
        assert back.code == BEHIND_OWN_VOTES
        back.on_saved(make_header(900))
        back.on_saved(make_header(100 + VIEW_WINDOW_PAST, epoch=1))
        assert not back.ready.is_set()
        back.on_saved(make_header(101 + VIEW_WINDOW_PAST, epoch=1))
        assert back.ready.is_set()
        assert back.code == ""


def test_a_restored_validator_waits_for_time_and_then_for_views(tmp_path: Path) -> None:
    """No block of before the restore says anything; the first one of well after it bounds what was ever said."""
    stops, log = make_stops(tmp_path, RESTORED), Log()
    back = Returning(stops=stops, votes=log, tip=make_header(5))
    assert back.code == RESTORED
    for view in range(6, 60):
        back.on_saved(make_header(view, after_ms=SETTLED_MS - 1))
    for view in range(60, 62 + VIEW_WINDOW_PAST):
        back.on_saved(make_header(view, after_ms=SETTLED_MS + view))
        assert not back.ready.is_set(), view
    back.on_saved(make_header(62 + VIEW_WINDOW_PAST, after_ms=SETTLED_MS + 99))
    assert back.ready.is_set()
    assert log.floor == (Epoch(0), View(62)), "older words of this key are no news any more"
    assert StopFile.open(tmp_path).stops == ()


def test_a_later_epoch_ends_the_wait_once_a_block_bounds_the_earlier_one(tmp_path: Path) -> None:
    """An epoch that began before the old process died proves nothing by itself."""
    back = Returning(stops=make_stops(tmp_path, RESTORED), votes=Log(), tip=make_header(5))
    back.on_saved(make_header(1, epoch=3, after_ms=SETTLED_MS - 1))
    assert not back.ready.is_set()
    back.on_saved(make_header(2, epoch=3, after_ms=SETTLED_MS))
    assert not back.ready.is_set()
    back.on_saved(make_header(1, epoch=4, after_ms=SETTLED_MS + 1))
    assert back.ready.is_set()


def test_the_latest_restore_counts(tmp_path: Path) -> None:
    """Two restores of two keys, the second a day later."""
    stops = make_stops(tmp_path, RESTORED)
    stops.add(Stop(code=RESTORED, sentence="", at_ms=RESTORED_MS + 86_400_000, validator_key="cd" * 32))
    back = Returning(stops=stops, votes=Log(), tip=None)
    for view in range(1, 200):
        back.on_saved(make_header(view, after_ms=SETTLED_MS + view))
    assert not back.ready.is_set()


async def set_back(net: Cluster, name: str, to: int) -> None:
    """A stopped node's books, by the command's own work."""
    directory = net.testnet.directory / name
    await rebuild(directory, find_genesis(directory), Height(to))


async def make_blocks(net: Cluster, count: int, at: str = "ada") -> None:
    """So many heights more, at least."""
    goal = net.nodes[at].executor.height + count
    while net.nodes[at].executor.height < goal:
        await net.finish(at, await net.submit(at, net.agent.mint(net.purses[at].account, 1)), 20.0)


@pytest.mark.long
async def test_a_validator_rolled_back_below_its_votes_follows_and_then_votes_again(tmp_path: Path) -> None:
    """Its keys stay out until it is past what the pruned log may lack; then a new start gives them back."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await make_blocks(net, 30)
        height = await net.meet()
        name = "di"
        block = await net.nodes[name].opened.store.read_block(height)
        assert block is not None
        await net.nodes[name].guard.prune((block.header.epoch, block.header.view))
        await net.stop(name)
        await set_back(net, name, 4)
        await net.start(name)
        core = net.nodes[name]
        assert (core.opened.tip.height, core.driver.silenced, core.engine.seat) == (4, BEHIND_OWN_VOTES, None)
        written = core.driver.records_written
        await net.meet()
        assert len(await net.read_roots(height)) == 1
        while not core.opened.returning.ready.is_set():
            await make_blocks(net, 1)
            await net.meet()
        votes = [one for one in core.opened.records if isinstance(one, VoteRecord)]
        assert core.driver.records_written >= written
        await net.stop(name)
        await net.start(name)
        core = net.nodes[name]
        assert core.driver.silenced == ""
        assert core.engine.seat is not None
        assert len([one for one in core.opened.records if isinstance(one, VoteRecord)]) == len(votes), "it was silent"
        before = core.driver.records_written
        await make_blocks(net, 3)
        await until(lambda: core.driver.records_written > before, what="it votes again")


async def test_a_whole_vote_log_needs_no_wait(tmp_path: Path) -> None:
    """Every word stands in the log: a rolled-back validator replays it, catches up and goes on."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await make_blocks(net, 12)
        await net.meet()
        await net.stop("cy")
        with pytest.raises(RebuildError):
            await set_back(net, "cy", 10**6)
        await set_back(net, "cy", 3)
        await net.start("cy")
        core = net.nodes["cy"]
        assert core.driver.silenced == ""
        await net.meet()
        await make_blocks(net, 3)
        assert len(await net.read_roots(await net.meet())) == 1
        assert [one.driver.silenced for one in net.nodes.values()] == [""] * 4
        assert (net.testnet.directory / "cy" / DATABASE).is_file()
