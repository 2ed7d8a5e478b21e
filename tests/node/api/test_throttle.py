"""One caller's share of a node: units that fill steadily, by address and by token; for others it goes on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp.test_utils import TestClient, TestServer

from node.api.access import ApiSettings
from node.api.app import make_app
from node.api.endpoints import ENDPOINTS
from node.api.throttle import THROTTLE, Throttle
from node.client.http import ApiError, NodeClient
from node.config import NodeConfig
from node.tokens import Scope, TokenRoom, add_token, make_token
from protocol.limits import API_BURST_S, API_CALLERS_MAX, API_UNITS_PER_S
from tests.node.api.harness import DevNode

COSTS: Final = {(one.method, one.path): one.cost for one in ENDPOINTS}


class Clock:
    """Milliseconds that only a test moves, by `step` at each look."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.step_ms = 0

    def __call__(self) -> int:
        self.now_ms += self.step_ms
        return self.now_ms


class Place:
    """A node that gives one caller one unit a second, under a clock of the test's own."""

    def __init__(self, node: DevNode, client: "TestClient[Any, Any]", clock: Clock, secret: str) -> None:
        self.node, self.client, self.clock, self.secret = node, client, clock, secret

    async def ask(self, path: str, *, method: str = "GET", secret: str = "") -> tuple[int, str, str]:
        """Status, code and Retry-After."""
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        answer = await self.client.request(method, path, headers=headers)
        text = await answer.read()
        code = (await answer.json(content_type=None))["code"] if answer.status >= 400 and text else ""
        return answer.status, code, answer.headers.get("Retry-After", "")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Harbour's node, with a token that is good for monitoring."""
    node = await DevNode.open(tmp_path)
    secret, token = make_token("grafana", (Scope.MONITOR,), node.now_ms())
    add_token(tmp_path, token)
    app = make_app(node, ApiSettings(tokens=TokenRoom(tmp_path), units_per_s=1), now_ms=node.now_ms)
    clock = Clock()
    app[THROTTLE] = Throttle(1, COSTS, clock)
    async with TestClient(TestServer(app)) as client:
        yield Place(node, client, clock, secret)
    await node.close()


def test_units_fill_steadily_up_to_a_bound() -> None:
    """A burst after a rest, then so many a second; what was overdrawn is waited off, and a rest gives no more."""
    clock = Clock()
    throttle = Throttle(10, {}, clock)
    spent = 0
    while not throttle.try_spend(b"a", 1):
        spent += 1
    assert spent == 10 * API_BURST_S
    clock.now_ms += 100
    assert (throttle.try_spend(b"a", 21), throttle.try_spend(b"b", 1)) == (0, 0)
    wait_ms = throttle.try_spend(b"a", 1)
    assert 2_000 <= wait_ms <= 2_001, "twenty were overdrawn"
    clock.now_ms += wait_ms - 1
    assert throttle.try_spend(b"a", 1) == 1
    clock.now_ms += 1
    assert throttle.try_spend(b"a", 1) == 0
    clock.now_ms += 10**9
    assert [bool(throttle.try_spend(b"a", 25)) for _ in range(3)] == [False, False, True]


def test_as_many_callers_as_come_take_no_more_memory_than_so_much() -> None:
    """The longest unheard are forgotten; one that goes on asking is not."""
    clock = Clock()
    throttle = Throttle(1, {}, clock)
    assert throttle.try_spend(b"busy", 100) == 0
    for number in range(3 * API_CALLERS_MAX):
        throttle.try_spend(number.to_bytes(4, "big"), 1)
        if number % 1_000 == 0:
            assert throttle.try_spend(b"busy", 1) > 0
    assert throttle.callers == API_CALLERS_MAX


async def test_who_asks_too_much_is_told_when_to_come_back(place: Place) -> None:
    """429 with code and Retry-After, then it goes on; whatever it costs, an address that is none costs, too."""
    assert (await place.ask("/v1/loans"))[0] == 200
    for path in ("/v1/status", "/v1/loans", "/v1/nowhere", "/v1/openapi.json"):
        assert await place.ask(path) == (429, "too_many_requests", "6"), path
    assert await place.ask("/v1/status", method="DELETE") == (429, "too_many_requests", "6")
    place.clock.now_ms += 6_000
    assert (await place.ask("/v1/nowhere"))[:2] == (404, "not_found")
    assert (await place.ask("/v1/status"))[0] == 429


async def test_probes_and_submissions_are_never_refused_for_it(place: Place) -> None:
    """Who runs the node hears that it lives; a submission hears the door's own word."""
    assert (await place.ask("/v1/loans"))[0] == 200
    assert (await place.ask("/v1/status"))[0] == 429
    assert [(await place.ask(path))[0] for path in ("/livez", "/readyz")] == [200, 200]
    assert (await place.ask("/v1/transactions", method="POST"))[:2] == (415, "unsupported_media")
    place.node.full = True
    answer = await place.client.post(
        "/v1/transactions", json={"transactions": [{"transaction": "AAAA"}]}, headers={"Accept-Language": "en"}
    )
    assert (answer.status, (await answer.json(content_type=None))["code"]) == (503, "busy")


async def test_a_token_has_a_share_of_its_own(place: Place) -> None:
    """Whoever shows one is counted by it, and by its address when it does not hold; metrics count who was refused."""
    assert (await place.ask("/v1/loans"))[0] == 200
    assert (await place.ask("/v1/status"))[0] == 429
    assert (await place.ask("/v1/status", secret="lst_" + "x" * 43))[0] == 429
    assert (await place.ask("/v1/status", secret=place.secret))[0] == 200
    shown = {"Authorization": f"Bearer {place.secret}"}
    text = await (await place.client.get("/metrics", headers=shown)).text()
    assert "liushui_api_limited_total 2.0" in text


async def test_the_client_waits_as_long_as_it_is_told(place: Place) -> None:
    """Nothing was done, so the same is asked again; without patience the problem is the answer."""
    url = str(place.client.make_url("/"))
    assert (await place.ask("/v1/loans"))[0] == 200
    async with NodeClient(url, patience_s=0) as hasty:
        with pytest.raises(ApiError) as caught:
            await hasty.get("/v1/status")
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after_s) == ("too_many_requests", True, 6)
    place.clock.now_ms += 4_500
    place.clock.step_ms = 400
    async with NodeClient(url, patience_s=30) as patient:
        assert (await patient.get("/v1/status"))["name"] == "harbour"


def test_heavy_reads_cost_more_than_plain_ones() -> None:
    """Pages, streams and walks through all books; the probes and submissions cost nothing, and nothing else does."""
    assert {path for (_, path), cost in COSTS.items() if not cost} == {"/livez", "/readyz", "/v1/transactions"}
    light = {path for (_, path), cost in COSTS.items() if cost < 10}
    pages = {one.path for one in ENDPOINTS if any(each.name == "limit" for each in one.query)}
    streams = {one.path for one in ENDPOINTS if one.answer in ("text/event-stream", "websocket")}
    assert not light & (pages | streams | {"/v1/portfolio", "/v1/trial-balance", "/metrics", "/v1/proofs"})
    assert all(cost <= API_UNITS_PER_S * API_BURST_S for cost in COSTS.values())
    assert NodeConfig(name="a", role="observer").api_units_per_s == API_UNITS_PER_S
