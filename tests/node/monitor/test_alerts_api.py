"""Alerts over HTTP: the lender's own officers see all, observers what the ledger shows, everybody else nothing."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp.test_utils import TestServer
from yarl import URL

from node.api import alerts, events
from node.api.alerts import AlertPage, AlertView
from node.api.app import make_app
from node.api.signing import sign_request
from node.client.http import ApiError, NodeClient
from node.config import NodeConfig
from node.monitor.desk import AlertDesk, open_desk
from node.monitor.records import AlertRecord, StoredAlert, make_loan_alert
from protocol.crypto import KeySigner
from protocol.ids import Height, ObjectId, TimeMs
from scoring.warning import Alert
from scoring.warning_table import WarningRule
from tests.node.api.harness import TODAY, DevNode, make_keys, make_seed

LOANS = [ObjectId(bytes([number]) * 32) for number in (1, 2, 3)]
RULES = (WarningRule.PAYMENT_MISSED, WarningRule.EMPTYING, WarningRule.GAMBLING)


def make_record(node: DevNode, rule: WarningRule, loan: ObjectId, window: int = 1) -> AlertRecord:
    """An alert about a loan of harbour."""
    return make_loan_alert(
        Alert(rule, TODAY, window, (("amount", 5),)),
        loan=loan,
        borrower=node.make_officer("clearing").account,
        lender=node.make_officer("harbour").account,
        data=LOANS[2],
        height=Height(4),
        time_ms=TimeMs(9),
    )


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[tuple[DevNode, AlertDesk, NodeClient]]:
    """Harbour's node with three alerts: a missed payment, an emptied account, gambling."""
    node = await DevNode.open(tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(node.close)
        config = NodeConfig(name="harbour", role="validator", data_dir=str(tmp_path))
        opened = await open_desk(config, node, make_keys("harbour"), stack, now_ms=node.now_ms)
        assert opened is not None
        node.alerts = opened
        await opened.store.tell([make_record(node, rule, loan) for rule, loan in zip(RULES, LOANS, strict=True)])
        server = TestServer(make_app(node, now_ms=node.now_ms))
        await server.start_server()
        stack.push_async_callback(server.close)
        client = await stack.enter_async_context(NodeClient(str(server.make_url("/")), timeout_s=5, patience_s=0))
        yield node, opened, client


def sign_as(name: str) -> KeySigner:
    return KeySigner(make_seed(f"{name}/officer"))


async def read(client: NodeClient, node: DevNode, name: str, query: str = "") -> Any:
    signer = sign_as(name)
    raw = await client.call("GET", "/v1/alerts", query=dict(URL("?" + query).query), signer=signer, now_ms=node.now_ms)
    page = msgspec.json.decode(raw, type=AlertPage)
    assert set(msgspec.json.decode(raw)) == {one.name for one in msgspec.structs.fields(AlertPage)}
    return page


async def test_who_sees_what(desk: tuple[DevNode, AlertDesk, NodeClient]) -> None:
    """Harbour all three, the regulator only what the ledger shows; another lender, an issuer and nobody are refused."""
    node, _, client = desk
    assert [one.rule for one in (await read(client, node, "harbour")).items] == [
        "payment_missed",
        "emptying",
        "gambling",
    ]
    assert [one.rule for one in (await read(client, node, "regulator")).items] == ["payment_missed"]
    for name in ("jade", "identity"):
        with pytest.raises(ApiError) as caught:
            await read(client, node, name)
        assert (caught.value.status, caught.value.code) == (403, "not_permitted")
    with pytest.raises(ApiError) as caught:
        await client.get("/v1/alerts")
    assert caught.value.code == "signature_missing"
    node.alerts = None
    with pytest.raises(ApiError) as caught:
        await read(client, node, "harbour")
    assert caught.value.code == "not_found"


async def test_pages_and_filters(desk: tuple[DevNode, AlertDesk, NodeClient]) -> None:
    """Pages follow by serial without a gap; loan, rule and severity narrow them."""
    node, _, client = desk
    first = await read(client, node, "harbour", "limit=2")
    assert ([one.serial for one in first.items], first.next) == ([1, 2], 2)
    second = await read(client, node, "harbour", f"limit=2&after={first.next}")
    assert ([one.serial for one in second.items], second.next) == ([3], None)
    assert [one.serial for one in (await read(client, node, "harbour", f"loan={LOANS[1].hex()}")).items] == [2]
    assert [one.serial for one in (await read(client, node, "harbour", "rule=gambling")).items] == [3]
    assert [one.serial for one in (await read(client, node, "harbour", "severity=act")).items] == [1, 2]
    assert [one.serial for one in (await read(client, node, "harbour", "severity=urgent")).items] == [2]
    for query, code in (
        ("severity=x", "malformed_request"),
        ("loan=x", "malformed_id"),
        ("after=-1", "malformed_request"),
    ):
        with pytest.raises(ApiError) as caught:
            await read(client, node, "harbour", query)
        assert caught.value.code == code
    view = (await read(client, node, "harbour", "limit=1")).items[0]
    assert (view.evidence, view.public, view.data) == ({"amount": 5}, True, None)
    assert view.text_en.isascii()
    assert not view.text_zh.isascii()


async def collect(client: NodeClient, node: DevNode, name: str, count: int, **where: str) -> list[AlertView]:
    """Alerts of the stream; `where` is a query, or the header Last-Event-ID as `resume`."""
    resume = {"Last-Event-ID": where.pop("resume")} if "resume" in where else {}
    found = []
    async with contextlib.aclosing(client.stream_alerts(sign_as(name), node.now_ms, where, resume)) as stream:  # type: ignore[type-var]
        async for one in stream:
            found.append(msgspec.convert(one, AlertView))
            if len(found) == count:
                break
    return found


async def test_the_stream_resumes_behind_a_serial(desk: tuple[DevNode, AlertDesk, NodeClient]) -> None:
    """From the beginning, from a serial, from Last-Event-ID; observers are sent the public ones alone."""
    node, opened, client = desk
    async with asyncio.timeout(20):
        assert [one.serial for one in await collect(client, node, "harbour", 3, after="0")] == [1, 2, 3]
        assert [one.serial for one in await collect(client, node, "harbour", 2, resume="1")] == [2, 3]
        waiting = asyncio.create_task(collect(client, node, "regulator", 1))
        await asyncio.sleep(0.05)
        await opened.store.tell([make_record(node, WarningRule.EMPTYING, LOANS[0], window=2)])
        await opened.store.tell([make_record(node, WarningRule.FEED_ENDED, LOANS[0], window=2)])
        assert [one.rule for one in await waiting] == ["feed_ended"]
    with pytest.raises(ApiError) as caught:
        await collect(client, node, "jade", 1)
    assert caught.value.code == "not_permitted"
    with pytest.raises(ApiError) as caught:
        await collect(client, node, "harbour", 1, resume="x")
    assert caught.value.code == "malformed_request"


async def test_a_slow_reader_is_told_where_to_resume(
    desk: tuple[DevNode, AlertDesk, NodeClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes nothing finds the word `dropped` behind what was on its way, with the serial of the last alert."""
    monkeypatch.setattr(events, "SLOW_WRITE_S", 0.2)
    node, opened, client = desk
    (one, *_) = await opened.store.read(0, 1)

    async def wait_beyond(position: int, within_s: float) -> int:
        await asyncio.sleep(0)
        return position + 200

    async def read_again(position: int, limit: int) -> list[StoredAlert]:
        return [one._replace(serial=position + number) for number in range(1, limit + 1)]

    monkeypatch.setattr(opened.store, "wait_beyond", wait_beyond)
    monkeypatch.setattr(opened.store, "read", read_again)
    parted = asyncio.Event()

    async def note(*given: Any) -> bool:
        goes_on = await events.write_or_part(*given)
        if not goes_on:
            parted.set()
        return goes_on

    monkeypatch.setattr(alerts, "write_or_part", note)
    path = "/v1/alerts/stream?after=0"
    signature = sign_request(sign_as("harbour"), "GET", path, node.now_ms())
    loop, taken = asyncio.get_running_loop(), b""
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        raw.setblocking(False)
        await loop.sock_connect(raw, (client.url.host, client.url.port))
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nLiushui-Signature: {signature}\r\n\r\n"
        await loop.sock_sendall(raw, head.encode())
        async with asyncio.timeout(60):
            await parted.wait()
            while chunk := await loop.sock_recv(raw, 1_048_576):
                taken += chunk
    told = re.findall(rb'event: dropped\ndata: {"reason":"slow_client","resume_after":"(\d+)"}', taken)
    serials = [int(found) for found in re.findall(rb"\nid: (\d+)\n", taken)]
    assert serials == list(range(1, len(serials) + 1))
    assert [int(found) for found in told] == [serials[-1]]
    assert taken.endswith(b"0\r\n\r\n")


async def test_an_alert_is_kept_once_and_loses_its_evidence_when_the_statement_is_erased(
    desk: tuple[DevNode, AlertDesk, NodeClient],
) -> None:
    """The same subject, rule and window again is nothing new; erasing a statement leaves no figure of it."""
    node, opened, client = desk
    await opened.store.tell([make_record(node, rule, loan) for rule, loan in zip(RULES, LOANS, strict=True)])
    assert opened.store.newest == 3
    assert await opened.store.forget(LOANS[2]) == 2
    evidence = {one.rule: one.evidence for one in (await read(client, node, "harbour")).items}
    assert evidence == {"payment_missed": {"amount": 5}, "emptying": {}, "gambling": {}}
