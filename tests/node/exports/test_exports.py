"""Exports: the same rows from a database and from a node, in each format; postings add up to the books, or it shows."""

import asyncio
import csv
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from node.api.app import make_app
from node.cli.main import main
from node.client.http import NodeClient
from node.exports.columns import COLUMNS, Column
from node.exports.reconcile import find_differences, parse_lines, read_rows, sum_postings
from node.exports.writers import ExportError, open_writer
from protocol.genesis import encode_genesis
from tests.node.api.harness import DevNode
from tests.node.api.test_reads import make_loan

WHATS = ("loans", "events", "postings", "transactions")
"""What both a database and a node have."""


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[DevNode]:
    """A node with a loan, whose data directory is the test's own."""
    made = await DevNode.open(tmp_path)
    (tmp_path / "genesis.json").write_bytes(encode_genesis(made.genesis))
    yield made
    await made.close()


@pytest.fixture
async def client(node: DevNode) -> AsyncIterator[NodeClient]:
    """Its API."""
    async with (
        TestServer(make_app(node, now_ms=node.now_ms)) as server,
        NodeClient(str(server.make_url("/")), timeout_s=30) as client,
    ):
        await make_loan(node, client)
        yield client


async def run(*arguments: object) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, main, ["export", *map(str, arguments)])


def read_csv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def read_manifest(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_name(path.name + ".manifest.json").read_bytes()))


async def test_a_node_and_its_database_export_the_same(client: NodeClient, tmp_path: Path) -> None:
    """Each table byte for byte; both manifests name the same height, root and hash."""
    for what in WHATS:
        here, there = tmp_path / f"{what}-here.csv", tmp_path / f"{what}-there.csv"
        for out, source in ((here, ("--data-dir", tmp_path)), (there, ("--node", client.url))):
            done = await run("--what", what, "--out", out, *source)
            assert done.exit_code == 0, done.output
        assert here.read_bytes() == there.read_bytes(), what
        first, second = read_manifest(here), read_manifest(there)
        assert len(here.read_bytes().splitlines()) == first["rows"] + 1 > 1, what
        for name in ("sha256", "height", "exec_root", "chain_id", "rows", "trial_balance"):
            assert first[name] == second[name], (what, name)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
async def test_postings_reconcile_to_the_trial_balance(client: NodeClient, tmp_path: Path, kind: str) -> None:
    """Added up by currency and book they are what the node says of all its books at that height, in each format."""
    out = tmp_path / f"postings.{kind}"
    done = await run("--what", "postings", "--format", kind, "--out", out, "--data-dir", tmp_path)
    assert done.exit_code == 0, done.output
    trial = await client.get("/v1/trial-balance")
    assert trial["height"] == read_manifest(out)["height"]
    sums, unbalanced = sum_postings(read_rows(out, kind))
    assert unbalanced == 0
    assert find_differences(sums, parse_lines(trial["lines"])) == []
    assert sum(1 for amount in sums.values() if amount) >= 5
    checked = await run("--verify", out)
    assert (checked.exit_code, "adds up to the trial balance" in checked.output) == (0, True)


async def test_one_changed_row_is_seen(client: NodeClient, tmp_path: Path) -> None:
    """One amount, one book, one row less: the file verifies no more, not even where its hash was changed too."""
    out = tmp_path / "postings.csv"
    assert (await run("--what", "postings", "--out", out, "--data-dir", tmp_path)).exit_code == 0
    rows = read_csv(out)
    debit, book, target = rows[0].index("debit"), rows[0].index("book"), len(rows) // 2
    changed = [
        [*rows[:target], [*rows[target][:debit], str(int(rows[target][debit]) + 1), *rows[target][debit + 1 :]]],
        [*rows[:target], [*rows[target][:book], "gain", *rows[target][book + 1 :]]],
        rows[:target],
    ]
    for head, tail in ((changed[0], target + 1), (changed[1], target + 1), (changed[2], target + 1)):
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([*head, *rows[tail:]])
        manifest = read_manifest(out)
        told = json.loads((await run("--verify", out, "--json")).output)
        assert not told["holds"]
        assert any("the file is not" in one for one in told["faults"])
        manifest["sha256"] = hashlib.sha256(out.read_bytes()).hexdigest()
        out.with_name(out.name + ".manifest.json").write_text(json.dumps(manifest))
        done = await run("--verify", out)
        assert done.exit_code == 4, done.output
        assert "the postings come to" in done.output


async def test_accounts_and_balances_come_from_a_database_alone(client: NodeClient, tmp_path: Path) -> None:
    """No subject's tag is in them; a node gives neither to strangers, and the refusal says where they are."""
    for what in ("accounts", "balances"):
        out = tmp_path / f"{what}.jsonl"
        done = await run("--what", what, "--format", "jsonl", "--out", out, "--data-dir", tmp_path, "--json")
        assert json.loads(done.output)["rows"] == len(out.read_bytes().splitlines()) > 3
        assert (await run("--verify", out)).exit_code == 0
        refused = await run("--what", what, "--out", tmp_path / "no.csv", "--node", client.url)
        assert (refused.exit_code, "not_over_http" in refused.output) == (1, True)
        assert not (tmp_path / "no.csv").exists()
    assert "subject_tag" not in {one.name for columns in COLUMNS.values() for one in columns}


async def test_a_file_that_is_there_is_kept(node: DevNode, client: NodeClient, tmp_path: Path) -> None:
    """Unless it is to be replaced; and a place that cannot be written is said to be one."""
    out = tmp_path / "events.csv"
    out.write_text("mine")
    assert "out_exists" in (await run("--what", "events", "--out", out, "--data-dir", tmp_path)).output
    assert out.read_text() == "mine"
    done = await run("--what", "events", "--out", out, "--data-dir", tmp_path, "--overwrite")
    assert (done.exit_code, out.read_text() != "mine") == (0, True)
    nowhere = await run("--what", "events", "--out", tmp_path / "no" / "x.csv", "--data-dir", tmp_path)
    assert "export_failed" in nowhere.output
    empty = await run("--what", "events", "--out", tmp_path / "x.csv", "--data-dir", tmp_path / "no")
    assert "genesis_missing" in empty.output


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """Text that begins like a formula is shown as text; numbers, also negative ones, stay numbers."""
    columns = (Column("name", "text"), Column("amount", "int"))
    names = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", "'quoted'"]
    with open_writer(tmp_path / "x.csv", "csv", columns) as writer:
        for name in names:
            writer.write((name, -5))
    rows = read_csv(tmp_path / "x.csv")[1:]
    assert [row[0] for row in rows] == [f"'{name}" for name in names[:6]] + names[6:]
    assert {row[1] for row in rows} == {"-5"}


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """While it is written and after a failure there is nothing under its name, and nothing beside it is left over."""
    out = tmp_path / "x.csv"

    def fail_midway() -> None:
        with open_writer(out, "csv", (Column("n", "int"),)) as writer:
            for n in range(10_000):
                writer.write((n,))
            assert not out.exists()
            raise KeyError("midway")

    with pytest.raises(KeyError, match="midway"):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


def test_rows_are_written_in_bounded_pieces(tmp_path: Path) -> None:
    """Never more than a few thousand rows wait in memory, whatever the format."""
    for kind in ("csv", "jsonl", "parquet"):
        with open_writer(tmp_path / "x", kind, (Column("n", "int"),)) as writer:  # type: ignore[arg-type]
            most = 0
            for n in range(9_000):
                writer.write((n,))
                most = max(most, len(writer._rows))
        assert most < 4_096
        assert [int(row["n"]) for row in read_rows(tmp_path / "x", kind)] == list(range(9_000))


def test_parquet_without_its_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal names what to install; nothing is left behind."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    def write() -> None:
        with open_writer(tmp_path / "x.parquet", "parquet", COLUMNS["loans"]):
            raise AssertionError("not reached")

    with pytest.raises(ExportError, match=r"liushui\[parquet\]"):
        write()
    assert list(tmp_path.iterdir()) == []
