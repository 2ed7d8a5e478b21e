"""An audit says exactly what it could not compute again, and why; nobody takes an audit in part for a whole one."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from node import setup
from node.audit import Audit
from node.auditpart import WHY, Bare, PartError, _check_scores, explain_bare
from node.cli.audit import EXIT_IN_PART
from node.cli.common import EXIT_OK, EXIT_UNVERIFIED
from node.cli.main import main
from node.examine import find_genesis
from node.opening import DATABASE
from protocol.ids import Height, TransactionId
from protocol.ledger.state import APPLICATIONS
from protocol.transactions.data import DataErase
from protocol.transactions.lending import ApplyWithdraw
from tests.node.core.cluster import LENDERS, OBSERVER, cluster
from tests.node.disk.ledgers import change, find_database
from tests.node.disk.test_check_and_repair import kept, net
from tests.node.disk.test_pruning import open_store
from tests.node.snapshot.test_joining import INTERVAL, grow, have, tune
from tests.protocol.ledger.goods import Goods, lawful

__all__ = ["kept", "net"]  # fixtures


@pytest.fixture
def world() -> Iterator[Goods]:
    """Three lenders with pools."""
    with lawful() as goods:
        yield goods


async def test_a_pruned_history_is_checked_in_part_and_says_so(net: setup.Testnet) -> None:
    """Exit code 5 and both stretches by their reasons, in words and in JSON; of a whole one 0 and no gap."""
    directory = net.directory / "solo"
    command = ["audit", "--data-dir", str(directory)]
    whole = CliRunner().invoke(main, [*command, "--json"])
    told = json.loads(whole.stdout)
    assert (whole.exit_code, told["whole"], told["not_recomputed"]) == (EXIT_OK, True, [])
    with closing(sqlite3.connect(find_database(net))) as connection:
        (last,) = connection.execute("SELECT MAX(height) FROM blocks").fetchone()
    async with AsyncExitStack() as stack:
        await (await open_store(net, stack)).prune(Height(last // 2))
    done = CliRunner().invoke(main, [*command, "--json"])
    part = json.loads(done.stdout)
    assert (done.exit_code, part["holds"], part["whole"], part["fault"]) == (EXIT_IN_PART, True, False, None)
    assert 0 < part["signatures"] < told["signatures"]
    assert (part["exec_root"], part["height"]) == (told["exec_root"], last)
    shown = CliRunner().invoke(main, command)
    assert shown.exit_code == EXIT_IN_PART
    assert f"blocks 1 to {last // 2}: {WHY['history_pruned']}" in shown.stdout
    assert f"blocks {last // 2 + 1} to {last}: {WHY['executed_nowhere']}" in shown.stdout
    assert "Everything holds" not in shown.stdout


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE batches SET raw = substr(raw, 1, length(raw) - 1) WHERE height = (SELECT MAX(height) FROM batches)",
        "UPDATE state SET value = value || X'00' WHERE family = (SELECT MAX(family) FROM state)",
    ],
)
async def test_what_is_left_of_a_pruned_history_may_be_false(net: setup.Testnet, damage: str) -> None:
    """Exit code 4, as for any other."""
    async with AsyncExitStack() as stack:
        await (await open_store(net, stack)).prune(Height(2))
    change(net.directory / "solo" / DATABASE, damage)
    done = CliRunner().invoke(main, ["audit", "--data-dir", str(net.directory / "solo"), "--json"])
    told = json.loads(done.stdout)
    assert (done.exit_code, told["holds"], told["fault"]["code"]) == (EXIT_UNVERIFIED, False, "part_damaged")


async def test_a_history_that_began_with_a_snapshot_says_where(tmp_path: Path) -> None:
    """What came before was never here; what came after is checked and not called executed."""
    async with cluster(tmp_path, start=()) as here:
        tune(here.testnet, snapshot_interval=INTERVAL, snapshot_behind=INTERVAL)
        await here.start(*LENDERS)
        await grow(here, 2 * INTERVAL + 2)
        await have(here, 2 * INTERVAL, *LENDERS)
        await here.start(OBSERVER)
        await here.nodes[OBSERVER].snapshots.ready.wait()
        await here.stop(OBSERVER)
        await here.start(OBSERVER)
        base = here.nodes[OBSERVER].opened.store.base
        await grow(here, base + INTERVAL)
        await here.meet()
        directory = here.testnet.directory / OBSERVER
        await here.stop(OBSERVER)
        report = Audit(find_genesis(directory), directory / DATABASE).run()
    assert (report.fault, report.is_whole, base > 0) == (None, False, True)
    assert [one[:4] for one in report.gaps] == [
        ("blocks", 1, base, "begun_from_snapshot"),
        ("blocks", base + 1, report.height, "executed_nowhere"),
    ]
    assert 0 < report.transactions <= report.signatures


def find_why(world: Goods, bare: Bare) -> str:
    gap = explain_bare(world.ledger.books, bare)
    assert (gap.what, gap.height_from, gap.transaction) == ("score", bare.height, bare.id.hex())
    return gap.why


def test_bins_are_gone_by_an_order_by_their_age_or_for_no_reason_known(world: Goods) -> None:
    """The books say which; an order that is not due yet explains nothing."""
    application = world.apply("ann")
    data = world.ledger.books.state.need(APPLICATIONS, application).request.data
    bare = Bare(Height(world.ledger.height), world.now_ms, TransactionId(bytes(32)), tuple(data))
    assert find_why(world, bare) == "unexplained"
    world.must("ann", DataErase(data=tuple(data)))
    assert find_why(world, bare) == "unexplained"
    assert find_why(world, bare._replace(time_ms=world.now_ms - 366 * world.genesis.day_ms)) == "retention"
    world.must("ann", ApplyWithdraw(application=application))
    world.block()
    assert find_why(world, bare) == "erasure_ordered"


def test_a_score_that_does_not_follow_from_its_bins_is_found(world: Goods) -> None:
    """By the models of the books, without executing anything."""
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    receipt = world.must("ann", world.application("ann", data, consent, sidecar=sidecar), sidecars=(sidecar,))
    _check_scores(world.ledger.books, 7, (sidecar,), receipt)
    other = world.sidecar("ann", tuple(0 for _ in sidecar.bins))
    with pytest.raises(PartError) as caught:
        _check_scores(world.ledger.books, 7, (other,), receipt)
    assert caught.value.found[:2] == (7, "score_differs")
