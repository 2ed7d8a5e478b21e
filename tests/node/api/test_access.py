"""Bearer tokens at the API: what is private asks for one, says so as RFC 6750 does, and gives it to nobody else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from node.api import alerts, events
from node.api.access import ApiSettings
from node.api.app import make_app, make_openapi
from node.config import NodeConfig
from node.monitor.desk import open_desk
from node.tokens import Scope, TokenRoom, add_token, make_token, revoke_token
from tests.node.api.harness import DevNode, make_keys

PRIVATE = (
    "/v1/alerts",
    "/v1/alerts/stream",
    "/v1/portfolio/signals",
    "/v1/regulator/report",
    "/v1/exposure/" + "ab" * 32,
    "/v1/applications",
)
"""What a member's officer reads with a signature, or its programs with a token."""


class Place(NamedTuple):
    """A node that watches loans, asked over HTTP."""

    node: DevNode
    client: "TestClient[Any, Any]"
    folder: Path

    def keep(self, name: str, *scopes: Scope, expires_ms: int | None = None) -> str:
        secret, token = make_token(name, scopes, self.node.now_ms(), expires_ms=expires_ms)
        add_token(self.folder, token)
        return secret

    async def ask(self, path: str, secret: str | None = None, **headers: str) -> ClientResponse:
        shown = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        return await self.client.get(path, headers={**shown, **headers})


async def open_place(stack: AsyncExitStack, folder: Path, settings: ApiSettings) -> Place:
    node = await DevNode.open(folder)
    stack.push_async_callback(node.close)
    config = NodeConfig(name="harbour", role="validator", data_dir=str(folder))
    node.alerts = await open_desk(config, node, make_keys("harbour"), stack, now_ms=node.now_ms)
    app = make_app(node, settings._replace(tokens=TokenRoom(folder)), now_ms=node.now_ms)
    client = await stack.enter_async_context(TestClient(TestServer(app)))
    return Place(node, client, folder)


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Harbour's node as settings are by default."""
    async with AsyncExitStack() as stack:
        yield await open_place(stack, tmp_path, ApiSettings())


async def tell(answer: ClientResponse) -> tuple[int, str, str]:
    """Status, code and challenge."""
    found = await answer.json(content_type=None)
    return answer.status, found.get("code", ""), answer.headers.get("WWW-Authenticate", "")


async def test_what_is_private_is_read_with_a_token_or_a_signature(place: Place) -> None:
    """With neither, the answer names both, though the caller is on loopback; a token of that scope opens it.

    One of another scope does not: 403, and the challenge names what would do (RFC 6750, section 3.1).
    """
    secret, other = place.keep("book", Scope.READ_PRIVATE), place.keep("ops", Scope.MONITOR, Scope.OPERATE)
    for path in PRIVATE:
        status, code, challenge = await tell(await place.ask(path))
        assert (status, code) == (401, "signature_missing")
        assert challenge == 'Liushui-Signature, Bearer realm="liushui", scope="read-private"'
        answer = await place.ask(path, secret)
        expected = 404 if "exposure" in path else 200
        assert answer.status == expected, path
        answer.close()
        assert await tell(await place.ask(path, other)) == (
            403,
            "insufficient_scope",
            'Bearer realm="liushui", scope="read-private", error="insufficient_scope"',
        )


async def test_a_token_that_does_not_hold_is_told_so(place: Place) -> None:
    """Unknown, expired and revoked ones: 401 with invalid_token; other schemes count as nothing shown."""
    expired = place.keep("old", Scope.READ_PRIVATE, expires_ms=place.node.now_ms())
    revoked = place.keep("gone", Scope.READ_PRIVATE)
    stream = await place.ask("/v1/alerts", revoked)
    assert stream.status == 200
    revoke_token(place.folder, "gone")
    invalid = (401, "token_invalid", 'Bearer realm="liushui", scope="read-private", error="invalid_token"')
    for secret in (expired, revoked, "lst_" + "x" * 43, "", "a b", "y" * 4_000):
        assert await tell(await place.ask("/v1/alerts", secret)) == invalid, secret
    answer = await place.client.get("/v1/alerts", headers={"Authorization": f"Basic {revoked}"})
    assert (await tell(answer))[:2] == (401, "signature_missing")
    told = await (await place.ask("/v1/alerts", expired, **{"Accept-Language": "zh"})).json(content_type=None)
    assert (told["title"], told["detail"]) == ("访问令牌无效。", "令牌已过期。")


async def test_a_stream_ends_with_the_token_that_opened_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revoking one shuts out who is in already; a stream of another token goes on."""
    monkeypatch.setattr(alerts, "KEEP_ALIVE_S", 0.05)
    opened = [await place.ask("/v1/alerts/stream", place.keep(name, Scope.READ_PRIVATE)) for name in ("gone", "kept")]
    assert [one.status for one in opened] == [200, 200]
    async with asyncio.timeout(60):
        for one in opened:
            await one.content.readuntil(b"still here")
        revoke_token(place.folder, "gone")
        await opened[0].content.read()
        await opened[1].content.readuntil(b"still here")
        await opened[1].content.readuntil(b"still here")
    assert not opened[1].content.at_eof()
    for one in opened:
        one.close()


async def test_strangers_who_hold_all_streams_keep_no_warning_from_anybody(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Places are kept for who may read what is private; they are counted too."""
    monkeypatch.setattr(events, "STREAMS_MAX", 0)
    monkeypatch.setattr(alerts, "STREAMS_KEPT", 1)
    secret = place.keep("book", Scope.READ_PRIVATE)
    assert (await place.ask("/v1/events")).status == 503
    stream = await place.ask("/v1/alerts/stream", secret)
    assert (stream.status, (await place.ask("/v1/alerts/stream", secret)).status) == (200, 503)
    stream.close()


async def test_a_bad_signature_is_not_mended_by_a_token(place: Place) -> None:
    """Whoever signs is judged by the signature."""
    secret = place.keep("book", Scope.READ_PRIVATE)
    answer = await place.ask("/v1/alerts", secret, **{"Liushui-Signature": "x"})
    assert (await tell(answer))[:2] == (401, "signature_invalid")


async def test_a_token_speaks_for_the_node_and_no_further(place: Place) -> None:
    """It sees what its member may: everything of harbour's; what stands in a person's vault stays with keys."""
    secret = place.keep("all", *Scope)
    page = await (await place.ask("/v1/alerts", secret)).json()
    assert page["webhooks"] == []
    digest = "ab" * 32
    for path in (f"/v1/vault/documents/{digest}", f"/v1/vault/access-log/{digest}"):
        status, code, challenge = await tell(await place.ask(path, secret))
        assert (status, code, challenge) == (401, "signature_missing", "Liushui-Signature")
    place.node.name = "clearing"  # a member that neither validates nor observes
    assert (await tell(await place.ask("/v1/regulator/report", secret)))[:2] == (403, "not_permitted")


async def test_status_and_metrics_are_open_unless_the_settings_close_them(place: Place, tmp_path: Path) -> None:
    """By default everybody reads them, with any token or none; closed, they ask for `monitor`, health probes never."""
    for path in ("/v1/status", "/metrics"):
        assert [(await place.ask(path, shown)).status for shown in (None, "lst_nonsense")] == [200, 200]
    (tmp_path / "closed").mkdir()
    async with AsyncExitStack() as stack:
        closed = await open_place(stack, tmp_path / "closed", ApiSettings(status_for="tokens"))
        secret, other = closed.keep("grafana", Scope.MONITOR), closed.keep("book", Scope.READ_PRIVATE)
        for path in ("/v1/status", "/metrics"):
            status, code, challenge = await tell(await closed.ask(path))
            assert (status, code, challenge) == (401, "token_missing", 'Bearer realm="liushui", scope="monitor"')
            assert (await closed.ask(path, other)).status == 403
            assert (await closed.ask(path, secret)).status == 200
        assert [(await closed.ask(path)).status for path in ("/livez", "/readyz", "/v1/genesis")] == [200] * 3
        document = await (await closed.ask("/v1/openapi.json")).json()
    assert document["paths"]["/v1/status"]["get"]["security"] == [{"bearer_token": ["monitor"]}]
    assert "security" not in make_openapi("1")["paths"]["/v1/status"]["get"]


def test_the_document_names_every_way_to_ask() -> None:
    """A signature or a token for what is private, nothing too for what only sometimes is; a signature for the vault."""
    paths = make_openapi("1")["paths"]
    token = {"bearer_token": ["read-private"]}
    assert paths["/v1/alerts"]["get"]["security"] == [{"request_signature": []}, token]
    assert paths["/v1/applications"]["get"]["security"] == [{}, {"request_signature": []}, token]
    assert paths["/v1/vault/documents/{digest}"]["get"]["security"] == [{"request_signature": []}]
    assert "WWW-Authenticate" in paths["/v1/alerts"]["get"]["responses"]["403"]["headers"]
