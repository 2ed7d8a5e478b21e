"""Pages of other origins: none may read a node unless its operator lists it, and a browser is told exactly that."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer

from node.api.access import ApiSettings
from node.api.app import make_app
from node.api.throttle import THROTTLE, Throttle
from tests.node.api.harness import DevNode

DESK = "https://desk.bank.example"
OTHER = "https://evil.example"
ALLOWED = "Access-Control-Allow-Origin"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[DevNode]:
    """The books of a new network."""
    made = await DevNode.open(tmp_path)
    yield made
    await made.close()


def serve(node: DevNode, *origins: str) -> "TestClient[Any, Any]":
    return TestClient(TestServer(make_app(node, ApiSettings(cors_origins=origins), now_ms=node.now_ms)))


def ask_leave(origin: str, method: str = "GET") -> dict[str, str]:
    """The headers with which a browser asks before it sends a page's request."""
    return {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization, content-type",
    }


async def test_no_page_of_another_origin_may_read_by_default(node: DevNode) -> None:
    """No header says that it may, on an answer, a problem or a preflight; what is no page is answered as ever."""
    async with serve(node) as client:
        for path in ("/v1/status", "/v1/nowhere", "/v1/alerts"):
            for headers in ({}, {"Origin": DESK}):
                answer = await client.get(path, headers=headers)
                assert not [one for one in answer.headers if one.startswith("Access-Control") or one == "Vary"], path
        preflight = await client.options("/v1/transactions", headers=ask_leave(DESK, "POST"))
        assert (preflight.status, ALLOWED in preflight.headers) == (405, False)


async def test_a_listed_page_may_read_and_no_other(node: DevNode) -> None:
    """Answers, problems and streams name its origin alone; caches keep answers to different pages apart."""
    async with serve(node, DESK, "http://localhost:5173") as client:
        for path in ("/v1/status", "/v1/nowhere", "/v1/alerts", "/v1/events?after=0-0&follow=false"):
            answer = await client.get(path, headers={"Origin": DESK})
            assert answer.headers[ALLOWED] == DESK, path
            assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
            assert answer.headers["Vary"] == "Origin"
        for origin in (OTHER, "null", DESK.upper(), DESK + ":8443", DESK + ".evil.example", "*", ""):
            answer = await client.get("/v1/status", headers={"Origin": origin})
            assert (answer.status, ALLOWED in answer.headers, answer.headers["Vary"]) == (200, False, "Origin"), origin


async def test_a_preflight_names_what_the_address_knows(node: DevNode) -> None:
    """Its methods and the headers of this API, without credentials; for other pages and addresses nothing."""
    async with serve(node, DESK) as client:
        path = "/v1/operator/bans/" + "ab" * 32
        answer = await client.options(path, headers=ask_leave(DESK, "PUT"))
        assert (answer.status, answer.headers[ALLOWED]) == (204, DESK)
        assert answer.headers["Access-Control-Allow-Methods"] == "DELETE, PUT"
        assert {"Authorization", "Content-Type", "Liushui-Signature"} <= set(
            answer.headers["Access-Control-Allow-Headers"].split(", ")
        )
        assert "Access-Control-Allow-Credentials" not in answer.headers
        other = await client.options(path, headers=ask_leave(OTHER, "PUT"))
        assert (other.status, ALLOWED in other.headers) == (405, False)
        nowhere = await client.options("/v1/nowhere", headers=ask_leave(DESK))
        assert nowhere.status == 404
        plain = await client.options("/v1/status", headers={"Origin": DESK})
        assert plain.status == 405, "no preflight: it names no method"


async def test_a_page_that_asks_too_much_can_read_that_it_does(node: DevNode) -> None:
    """The refusal carries the header too, else the page would see no more than a failure of the network."""
    app = make_app(node, ApiSettings(cors_origins=(DESK,)), now_ms=node.now_ms)
    app[THROTTLE] = Throttle(1, {("GET", "/v1/status"): 100}, lambda: 0)
    async with TestClient(TestServer(app)) as client:
        await client.get("/v1/status", headers={"Origin": DESK})
        answer = await client.get("/v1/status", headers={"Origin": DESK})
        assert (answer.status, answer.headers[ALLOWED], answer.headers["Retry-After"]) == (429, DESK, "96")
        assert (await client.options("/v1/status", headers=ask_leave(DESK))).status == 429


async def test_a_websocket_is_for_this_nodes_pages_and_listed_ones(node: DevNode) -> None:
    """A browser asks no leave for one, so the node looks at the origin itself; programs send none."""
    path = "/v1/events/ws?follow=false"
    async with serve(node, DESK) as client:
        own = str(client.make_url("/")).rstrip("/")
        for origin in (None, DESK, own):
            async with client.ws_connect(path, origin=origin) as socket:
                assert not socket.closed
        for origin in (OTHER, "null", "http://127.0.0.1:1", "http://[", ""):
            with pytest.raises(WSServerHandshakeError) as caught:
                await client.ws_connect(path, origin=origin)
            assert caught.value.status == 403
        told = await client.get(path, headers={"Origin": OTHER})
        assert (await told.json(content_type=None))["code"] == "origin_refused"
