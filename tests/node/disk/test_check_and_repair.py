"""`inspect`, `check` and `rollback` over real ledgers, whole and damaged: what is wrong is told and made good."""

import asyncio
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node import setup
from node.audit import Audit
from node.check import SENTENCES, Check
from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNVERIFIED
from node.cli.main import main
from node.opening import DATABASE
from node.runtime import Node
from node.store.inspect import read_picture
from protocol.genesis import decode_genesis
from tests.node.core.cluster import Purse
from tests.node.core.test_runtime import load
from tests.node.disk.ledgers import change, find_database, find_pages, ruin
from tests.node.store.test_chain_damage import make_ledger


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> setup.Testnet:
    """A stopped network of one, made once: each test damages a copy."""
    return asyncio.run(make_ledger(tmp_path_factory.mktemp("kept")))


@pytest.fixture
def net(kept: setup.Testnet, tmp_path: Path) -> setup.Testnet:
    """A copy of it."""
    shutil.copytree(kept.directory, tmp_path / "net")
    return kept._replace(directory=tmp_path / "net")


def run(*args: str, code: int = EXIT_OK) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(main, [*args, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def run_at(net: setup.Testnet, command: str, *args: str, code: int = EXIT_OK) -> Any:
    """The same for the data directory of the one node."""
    return run(command, "--data-dir", str(net.directory / "solo"), *args, code=code)


def find_faults(net: setup.Testnet) -> dict[str, tuple[int, int]]:
    """Codes of what a check finds, with the heights."""
    genesis = decode_genesis((net.directory / "genesis.json").read_bytes())
    report = Check(genesis, net.directory / "solo" / DATABASE).run()
    return {one.code: (one.height_from, one.height_to) for one in report.faults}


def test_a_whole_ledger_is_whole_and_is_told_in_words(net: setup.Testnet) -> None:
    """Nothing is found, and the parts of the directory are named with their heights and roots."""
    told = run_at(net, "check")
    assert (told["whole"], told["faults"], told["repair"]) == (True, [], None)
    assert told["transactions"] >= 20
    seen = run_at(net, "inspect")
    assert seen["in_use"] is False
    assert seen["database"]["height"] == told["height"] == seen["database"]["finalization_of"] or told["height"] > 0
    picture = read_picture(find_database(net))
    assert picture is not None
    assert seen["database"]["exec_root"] == picture.exec_root.hex()
    assert {one["kind"] for one in seen["votes"]["last"]} <= {"propose", "notarize", "nullify", "finalize"}
    assert seen["votes"]["own_words"] > 20
    assert seen["voting_stopped"]["reasons"] == []
    assert seen["files"]["bytes"][DATABASE] > 0
    plain = CliRunner().invoke(main, ["inspect", "--data-dir", str(net.directory / "solo")])
    assert f"exec root            {picture.exec_root.hex()}"[:12] in plain.output
    plain = CliRunner().invoke(main, ["check", "--data-dir", str(net.directory / "solo")])
    assert "whole" in plain.output


DAMAGE = {
    "block": "UPDATE blocks SET block = substr(block, 1, 40) || X'00' || substr(block, 42) WHERE height = 7",
    "batch": "DELETE FROM batches WHERE height = 9",
    "receipts": "UPDATE receipts SET raw = raw || X'00' WHERE height = 9",
    "events": "UPDATE events SET raw = X'C1' WHERE height = 9",
    "roots": "UPDATE blocks SET exec_root = zeroblob(32) WHERE height = 5",
    "proofs": "UPDATE blocks SET finalization = X'C1' WHERE height = 3",
    "index": "DELETE FROM transaction_places WHERE place = (SELECT MAX(place) FROM transaction_places)",
    "history": "UPDATE meta SET value = X'920090' WHERE key = 'mountains'",
    "books": "UPDATE state SET value = value || X'00' WHERE family = (SELECT MAX(family) FROM state)",
    "schema": "UPDATE meta SET value = X'3939' WHERE key = 'schema'",
}


@pytest.mark.parametrize("code", sorted(DAMAGE))
def test_each_kind_of_damage_is_named_with_its_heights(net: setup.Testnet, code: str) -> None:
    """One row changed, and the check says which part does not hold."""
    path = find_database(net)
    if code == "proofs":
        change(path, "UPDATE blocks SET finalization = X'C1' WHERE finalization IS NOT NULL AND height = 3")
    assert change(path, DAMAGE[code]) > 0
    found = find_faults(net)
    assert code in found, found
    if code in ("block", "batch", "receipts", "events", "roots"):
        assert found[code][0] in (5, 7, 8, 9)
    told = run_at(net, "check", code=EXIT_UNVERIFIED)
    assert not told["whole"]
    assert {one["code"] for one in told["faults"]} == set(found)
    assert set(SENTENCES) >= set(found) | {"pages"}


@pytest.mark.parametrize("table", ["blocks", "batches", "receipts", "state", "transaction_places", "events"])
def test_a_ruined_page_of_any_table_is_found_and_repaired(net: setup.Testnet, table: str) -> None:
    """Junk over a page: what is whole is made again from the blocks, and what is not ends where the damage begins."""
    path = find_database(net)
    whole = read_picture(path)
    pages = find_pages(path, table)
    ruin(path, pages[len(pages) // 2])
    told = run_at(net, "check", "--repair")
    assert not told["whole"]
    done = told["repair"]
    assert (net.directory / "solo" / done["set_aside"]).is_file()
    if table in ("blocks", "batches"):
        assert done["height"] < told["height"] or done["height"] == 0
    else:
        assert whole is not None
        again = read_picture(path)
        assert again is not None
        assert (again.height, again.exec_root) == (whole.height, whole.exec_root)
        assert sorted(again.rows) == sorted(whole.rows)
    if done["height"]:
        assert run_at(net, "check")["whole"]
        genesis = decode_genesis((net.directory / "genesis.json").read_bytes())
        assert Audit(genesis, path).run().fault is None
    assert run_at(net, "inspect")["files"]["set_aside"] == [done["set_aside"]]


def test_a_file_that_is_no_database_is_put_aside(net: setup.Testnet) -> None:
    """Nothing can be read: the check says so, and the repair lets the node sync anew."""
    path = find_database(net)
    path.write_bytes(bytes(PAGE_OF_NOUGHT))
    assert run_at(net, "check", code=EXIT_UNVERIFIED)["error"]["code"] == "database_damaged"
    done = run_at(net, "check", "--repair")["repair"]
    assert done["height"] == 0
    assert not path.exists()


PAGE_OF_NOUGHT = 8_192


async def test_a_rolled_back_ledger_is_that_of_the_earlier_height_and_the_chain_goes_on(net: setup.Testnet) -> None:
    """Books, roots and history end at the height; what was above is kept beside; the node starts and makes blocks."""
    path = find_database(net)
    with closing(sqlite3.connect(path)) as connection:
        rows = dict(connection.execute("SELECT height, exec_root FROM blocks"))
    to = max(rows) - 6
    done = await asyncio.to_thread(run_at, net, "rollback", "--to", str(to))
    assert (done["height"], done["height_before"], done["history_from"]) == (to, max(rows), 1)
    picture = read_picture(path)
    assert picture is not None
    assert (picture.height, picture.exec_root) == (to, rows[to])
    assert (await asyncio.to_thread(run_at, net, "check"))["whole"]
    with closing(sqlite3.connect(net.directory / "solo" / done["set_aside"])) as connection:
        assert connection.execute("SELECT MAX(height) FROM blocks").fetchone() == (max(rows),)
    node = Node(load(net))
    await node.start()
    try:
        busy = await asyncio.to_thread(run_at, net, "rollback", "--to", "3", code=EXIT_REFUSED)
        assert busy["error"]["code"] == "database_locked"
        assert (await asyncio.to_thread(run_at, net, "check", "--repair"))["repair"] is None
        assert (await asyncio.to_thread(run_at, net, "inspect"))["in_use"] is True
        agent = Purse(net.directory / "authorities" / "clearing", node.chain_id)
        agent._nonce = 100
        (answer,) = await node.submit([agent.mint(agent.account, 1)])
        assert answer.id is not None
        assert await node.wait_final(answer.id, 10.0) is not None
    finally:
        await node.stop(drain_s=0)


@pytest.mark.parametrize("to", ["0", "99999"])
def test_a_height_that_is_not_there_is_refused(net: setup.Testnet, to: str) -> None:
    """Nothing is touched then."""
    before = find_database(net).read_bytes()
    done = CliRunner().invoke(main, ["rollback", "--data-dir", str(net.directory / "solo"), "--to", to])
    assert done.exit_code in (EXIT_REFUSED, 2)
    assert find_database(net).read_bytes() == before
