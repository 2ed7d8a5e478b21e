"""A borrower refreshes a statement and a lender's officer reads what its node made of it, at their terminals."""

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import date
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer
from click.testing import Result

from node.api.app import make_app
from node.api.events import STREAMS
from node.cli.common import EXIT_OK, EXIT_USAGE
from node.config import NodeConfig
from node.demo.statements import Format, Profile, make_statement
from node.monitor.desk import AlertDesk, open_desk
from protocol.genesis import DAY_MS
from protocol.ids import TimeMs
from tests.node.api.harness import make_keys
from tests.node.api.lending import attesting
from tests.node.cli.terminal import Desk


async def borrow(desk: Desk) -> str:
    """A loan of harbour's; its id."""
    asked = ("--amount-minor", "2000000", "--periods", "12", "--lender", "harbour", "--yes")
    async with attesting(desk.node, "harbour"):
        applied = await desk.sign("apply", str(desk.statement), *asked)
    (offer,) = applied["result"]["offers"]
    taken = await desk.sign("accept", offer["id"], "--yes")
    return str(taken["loan"])


async def wait_alerts(opened: AlertDesk, count: int) -> None:
    async with asyncio.timeout(30):
        while await opened.store.wait_beyond(count - 1, 1) < count:
            pass


async def test_a_refreshed_statement_leads_to_alerts_an_officer_reads(desk: Desk, tmp_path: Path) -> None:
    """The refresh is consented to and compared; another person's rows are a contradiction; observers see less."""
    loan = await borrow(desk)
    desk.node.clock_ms = TimeMs(desk.node.clock_ms + 9 * DAY_MS)
    await desk.node.make_block()
    newer = tmp_path / "newer.ofx"
    newer.write_bytes(
        make_statement(Profile.OVERSTRETCHED, format=Format.OFX, end=date(2026, 11, 9), seed=8, holder="Li Na")
    )
    async with AsyncExitStack() as stack:
        config = NodeConfig(name="harbour", role="validator", data_dir=str(tmp_path))
        opened = await open_desk(config, desk.node, make_keys("harbour"), stack, now_ms=desk.node.now_ms)
        assert opened is not None
        desk.node.alerts = opened
        task = asyncio.create_task(opened.rooms[0]())
        made = await desk.sign("monitor", "refresh", str(newer), "--loan", loan, "--yes")
        assert (made["lender"], made["compared"]) == ("harbour", True)
        await wait_alerts(opened, 1)
        where = ("--officer-dir", str(desk.open_office("harbour")))
        view = await desk.read("alerts", *where)
        told = {one["rule"]: one for one in view["items"]}
        assert told["overlap_differs"]["loan"] == loan
        shown = await desk.run("alerts", *where, "--node", desk.url, "--lang", "zh")
        assert shown.exit_code == EXIT_OK
        assert "新流水与放款时提交的流水不一致。" in shown.stdout
        signals = await desk.read("portfolio", "--signals", *where)
        assert (signals["loans"], signals["concentration"]["borrowers"], signals["rolled_from"]) == (1, 1, None)
        assert [one["state"] for one in signals["drifts"]] == ["few"]
        table = await desk.run("portfolio", "--signals", *where, "--node", desk.url)
        assert table.exit_code == EXIT_OK, table.output
        assert "ten largest" in table.stdout
        assert (await desk.run("portfolio", "--signals", "--node", desk.url)).exit_code == EXIT_USAGE
        regulator = await desk.read("alerts", "--officer-dir", str(desk.open_office("regulator")))
        assert regulator["items"] == []
        desk.open_office("jade")
        refused = await desk.refuse("alerts", "--officer-dir", str(desk.folder / "jade"), "--node", desk.url)
        assert refused == "not_permitted"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_following_prints_one_object_a_line(desk: Desk, tmp_path: Path) -> None:
    """What was there comes first, then what is new; the end of the node ends the command."""
    from tests.node.monitor.test_alerts_api import LOANS, RULES, make_record

    async with AsyncExitStack() as stack:
        config = NodeConfig(name="harbour", role="validator", data_dir=str(tmp_path))
        opened = await open_desk(config, desk.node, make_keys("harbour"), stack, now_ms=desk.node.now_ms)
        assert opened is not None
        desk.node.alerts = opened
        await opened.store.tell([make_record(desk.node, RULES[0], LOANS[0])])
        server = TestServer(make_app(desk.node, now_ms=desk.node.now_ms))
        await server.start_server()
        where = ("--officer-dir", str(desk.open_office("harbour")), "--node", str(server.make_url("/")))
        following = asyncio.create_task(desk.run("alerts", *where, "--follow", "--json"))
        async with asyncio.timeout(30):
            while not server.app[STREAMS]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await opened.store.tell([make_record(desk.node, RULES[1], LOANS[1])])
        await asyncio.sleep(0.2)
        await server.close()
        done: Result = await following
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["serial"] for one in lines[:2]] == [1, 2]


@pytest.mark.parametrize("loan", ["x", "ab" * 32])
async def test_a_refresh_for_no_loan_is_refused(desk: Desk, loan: str) -> None:
    """An id that is none, or that nothing has: nothing is sealed or sent."""
    code = await desk.refuse(
        *("monitor", "refresh", str(desk.statement), "--loan", loan, "--yes", "--node", desk.url),
        *("--key", str(desk.key), "--passphrase-file", str(desk.secret)),
    )
    assert code in ("malformed_id", "not_found")
