"""Reports at a terminal: the API's own figures, as text, as JSON and as a table; who may not read is told why."""

import asyncio
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.cli import remote
from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNREACHABLE, EXIT_USAGE
from node.cli.main import main
from node.client.http import NodeClient
from node.keystore import write_key
from protocol.crypto import calculate_hash
from protocol.ids import TimeMs
from protocol.ledger.state import BALANCES
from tests.node.api.worldnode import serving
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, set_pool


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Goods]:
    """Ann's loan defaulted after ninety days and brought 100,000 back; Bob's is new and shared with Jade."""
    with lawful() as made:
        set_pool(made, rate=100_000)
        give_cover(made, 60_000)
        loan = lend(made)
        made.pass_days(DEFAULT_DAY)
        made.must("eye", distress(loan))
        made.mint("ann", 100_000)
        assert made.pay("ann", loan, 100_000).rejection is None
        give_cover(made, 60_000)
        lend(made, "bob", amount=300_000, partner_ppm=400_000)
        monkeypatch.setattr(remote, "read_clock_ms", lambda: TimeMs(made.now_ms))
        yield made


async def run(client: NodeClient, *args: str) -> Result:
    """One command, in a thread of its own, since each runs its own event loop."""
    line = [*args, "--node", str(client.url)]
    return await asyncio.to_thread(CliRunner().invoke, main, line, env={"LANG": "C"})


async def read(client: NodeClient, *args: str) -> str:
    done = await run(client, *args)
    assert done.exit_code == EXIT_OK, done.output
    return done.stdout


def words(text: str) -> dict[str, list[str]]:
    """The words of each line behind its first one."""
    return {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.split()}


def make_office(folder: Path, name: str) -> str:
    """A directory with a member's officer key."""
    directory = folder / name
    write_key(directory, "officer", calculate_hash("test-key", name.encode()))
    return str(directory)


async def test_a_portfolio_as_text_as_json_and_as_a_table(world: Goods) -> None:
    """Principal in money, buckets by their days; JSON is the API's own, CSV its own table."""
    async with serving(world) as client:
        text = await read(client, "portfolio")
        assert "8,000.00 CNY" in text
        assert words(text)["61-90"] == ["1", "5,000.00"]
        assert words(text)["substandard"] == ["1", "5,000.00"]
        view = json.loads(await read(client, "portfolio", "--json"))
        assert view == await client.get("/v1/portfolio")
        table = list(csv.reader(io.StringIO(await read(client, "portfolio", "--csv"))))
        assert ["class", "substandard", "CNY", "1", "500000", "", "", "", ""] in table
        by_name = json.loads(await read(client, "portfolio", "--lender", "jade", "--json"))
        assert (by_name["lender_name"], by_name["held"]["principal"]) == ("jade", 120_000)
        assert by_name == json.loads(await read(client, "portfolio", "--lender", by_name["lender"], "--json"))
        assert "jade" in await read(client, "portfolio", "--lender", "jade")
        pool = world.pool_id("jade").hex()
        assert json.loads(await read(client, "portfolio", "--pool", pool, "--json"))["held"] == by_name["held"]


async def test_a_portfolio_of_nobody(world: Goods) -> None:
    """An unknown name, account or pool is refused, and two of them are wrong use."""
    async with serving(world) as client:
        for args, code, exit_code in (
            (("--lender", "nobody"), "malformed_id", EXIT_REFUSED),
            (("--lender", "ab" * 32), "not_found", EXIT_REFUSED),
            (("--pool", "ab" * 32), "not_found", EXIT_REFUSED),
            (("--lender", "jade", "--pool", "ab" * 32), "not both", EXIT_USAGE),
            (("--csv", "--json"), "not both", EXIT_USAGE),
        ):
            done = await run(client, "portfolio", *args)
            assert (done.exit_code, code in done.stderr) == (exit_code, True), done.output
    gone = await asyncio.to_thread(CliRunner().invoke, main, ["portfolio", "--node", "http://127.0.0.1:1"])
    assert gone.exit_code == EXIT_UNREACHABLE


async def test_a_supervisors_report(world: Goods, tmp_path: Path) -> None:
    """The observer reads shares, lenders and steps of the cap; JSON is the API's own."""
    eye = make_office(tmp_path, "eye")
    async with serving(world) as client:
        text = await read(client, "report", "--officer-dir", eye)
        lines = words(text)
        assert lines["PAR30"][:2] == lines["PAR90"][:2] == ["62.50", "%"]
        assert lines["harbour"][:4] == ["85.00", "%", "2", "6,800.00"]
        assert lines["jade"][:4] == ["15.00", "%", "1", "1,200.00"]
        assert "Share of the debt cap of 15,000.00" in text
        view = json.loads(await read(client, "report", "--officer-dir", eye, "--json"))
        assert (view["total"]["npl_ppm"], view["total"]["recovered"]["principal"]) == (625_000, 100_000)


async def test_a_report_is_not_for_everybody(world: Goods, tmp_path: Path) -> None:
    """A settlement agent is refused with the API's code; a directory without a key is named."""
    async with serving(world) as client:
        done = await run(client, "report", "--officer-dir", make_office(tmp_path, "agent"), "--json")
        assert (done.exit_code, json.loads(done.stdout)["error"]["code"]) == (EXIT_REFUSED, "not_permitted")
        done = await run(client, "report", "--officer-dir", str(tmp_path / "nothing"))
        assert (done.exit_code, "officer_key_missing" in done.stderr) == (EXIT_REFUSED, True)
        assert (await run(client, "report")).exit_code == EXIT_USAGE


async def test_a_trial_balance(world: Goods) -> None:
    """Debits and credits of the last line are equal; books that do not balance end with exit code 1."""
    async with serving(world) as client:
        text = await read(client, "trial-balance")
        debit, credit = words(text)["all"]
        assert debit == credit
        assert words(text)["principal"] == ["3,000.00"]
        assert json.loads(await read(client, "trial-balance", "--json"))["balanced"] is True
        state = world.ledger.books.state
        key, balance = next(iter(state.items(BALANCES)))
        state.put(BALANCES, key, balance + 1)
        state.keep()
        done = await run(client, "trial-balance")
        assert (done.exit_code, "books_unbalanced" in done.stderr) == (EXIT_REFUSED, True)
        state.put(BALANCES, key, balance)
        state.keep()


async def test_a_loan_in_trouble_is_shown_with_its_facts(world: Goods) -> None:
    """State, class, cover, loss, what came back, who holds it; a loan without trouble shows none of these."""
    async with serving(world) as client:
        items: list[Any] = (await client.get("/v1/loans"))["items"]
        ids = {one["state"]: one["id"] for one in items}
        text = await read(client, "loan", "show", ids["defaulted"])
        assert "substandard, stage 3" in text
        facts = {line[:15].strip(): line.split()[-2:] for line in text.splitlines() if line.split()}
        assert facts["cover paid"] == ["600.00", "CNY"]
        assert facts["lost"] == ["4,400.00", "CNY"]
        assert facts["came back since"] == ["1,000.00", "CNY"]
        assert words(text)["harbour"] == ["100.00", "%", "5,000.00", "600.00", "4,400.00"]
        whole = await read(client, "loan", "show", ids["active"])
        assert "cover paid" not in whole
        assert words(whole)["jade"][:3] == ["40.00", "%", "1,200.00"]
        listed = json.loads(await read(client, "loan", "list", "--state", "defaulted", "--json"))
        assert [one["id"] for one in listed["items"]] == [ids["defaulted"]]
