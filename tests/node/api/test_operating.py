"""The operator's addresses: who is a peer, a guest, banned; bans at once. Nobody without the scope does any of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from node.api.access import ApiSettings
from node.api.app import make_app
from node.bans import BAN_FILE, FALSE_SIGNATURES, Ban, change_bans, put_ban, read_bans
from node.tokens import Scope, TokenRoom, add_token, make_token
from protocol.ids import PublicKey
from tests.node.api.harness import DevNode, make_keys

JADE = make_keys("jade").node.public_key
GUEST = PublicKey(b"\x07" * 32)


class Place(NamedTuple):
    """A node, and an operator with a token for each scope."""

    node: DevNode
    client: "TestClient[Any, Any]"
    folder: Path
    secrets: dict[Scope, str]

    async def ask(
        self, method: str, path: str, scope: Scope | None = Scope.OPERATE, body: Any = None
    ) -> ClientResponse:
        headers = {} if scope is None else {"Authorization": f"Bearer {self.secrets[scope]}"}
        return await self.client.request(method, path, headers=headers, json=body)

    async def read(self) -> dict[str, Any]:
        answer = await self.ask("GET", "/v1/operator/peers", Scope.MONITOR)
        found: dict[str, Any] = await answer.json()
        assert answer.status == 200, found
        return found


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Harbour's node."""
    node = await DevNode.open(tmp_path)
    secrets = {}
    for scope in Scope:
        secrets[scope], token = make_token(f"for-{scope}", (scope,), node.now_ms())
        add_token(tmp_path, token)
    app = make_app(node, ApiSettings(tokens=TokenRoom(tmp_path)), now_ms=node.now_ms)
    async with TestClient(TestServer(app)) as client:
        yield Place(node, client, tmp_path, secrets)
    await node.close()


async def test_a_peer_is_banned_and_taken_again_at_once(place: Place) -> None:
    """The network hears it before the answer, the file keeps it, the list shows it, the log says who did it."""
    path = f"/v1/operator/bans/{JADE.hex()}"
    with capture_logs() as lines:
        made = await (await place.ask("PUT", path, body={"seconds": 3_600})).json()
        assert (made["name"], made["reason"]) == ("jade", "operator")
        assert made["until_ms"] == place.node.now_ms() + 3_600_000
        assert place.node.mesh.banned == {JADE: 3_600.0}
        assert (await place.read())["bans"] == [made]
        assert [one.node_key for one in read_bans(place.folder)] == [JADE.hex()]
        lifted = await place.ask("DELETE", path)
        assert (lifted.status, await lifted.json()) == (200, {"node_key": JADE.hex(), "name": "jade"})
    assert (place.node.mesh.banned, read_bans(place.folder)) == ({}, ())
    assert [(one["event"], one["by"]) for one in lines] == [
        ("peer_banned", "for-operate"),
        ("peer_unbanned", "for-operate"),
    ]
    again = await place.ask("DELETE", path)
    assert (again.status, (await again.json(content_type=None))["code"]) == (404, "not_found")


async def test_a_second_ban_takes_the_place_of_the_first(place: Place) -> None:
    """A shorter one ends sooner; bans that a peer earned stand beside it and are lifted with it."""
    earned = Ban(node_key=GUEST.hex(), name="x", until_ms=place.node.now_ms() + 5_000, reason=FALSE_SIGNATURES, times=3)
    change_bans(place.folder, lambda bans: put_ban(bans, earned))
    path = f"/v1/operator/bans/{GUEST.hex()}"
    for seconds in (86_400, 60, 30.0):
        assert (await place.ask("PUT", path, body={"seconds": seconds})).status == 200
        assert place.node.mesh.banned == {GUEST: seconds}
    assert [(one["reason"], one["times"]) for one in (await place.read())["bans"]] == [
        ("false_signatures", 3),
        ("operator", 1),
    ]
    assert (await place.ask("DELETE", path)).status == 200
    assert (await place.read())["bans"] == []


async def test_the_list_shows_members_and_guests(place: Place) -> None:
    """All members' nodes but this one, whether linked or not, and who reads without being one."""
    place.node.mesh.guests.append((GUEST, 61))
    found = await place.read()
    assert [one["name"] for one in found["peers"]] == ["clearing", "identity", "jade", "regulator"]
    assert found["peers"][2] == {
        "name": "jade",
        "node_key": JADE.hex(),
        "connected": False,
        "height": 0,
        "silent_ms": -1,
    }
    assert found["guests"] == [{"node_key": GUEST.hex(), "connected_s": 61}]


async def test_each_address_asks_for_its_scope_on_loopback_too(place: Place) -> None:
    """No token, or one that is good for something else: nothing is shown and nothing happens."""
    path = f"/v1/operator/bans/{JADE.hex()}"
    for method, address, wanted in (
        ("GET", "/v1/operator/peers", Scope.MONITOR),
        ("PUT", path, Scope.OPERATE),
        ("DELETE", path, Scope.OPERATE),
    ):
        body = {"seconds": 5} if method == "PUT" else None
        for scope in (None, *Scope):
            if scope == wanted:
                continue
            answer = await place.ask(method, address, scope, body)
            code = (await answer.json(content_type=None))["code"]
            assert (answer.status, code) == ((401, "token_missing") if scope is None else (403, "insufficient_scope"))
            assert f'scope="{wanted}"' in answer.headers["WWW-Authenticate"]
    assert (place.node.mesh.banned, read_bans(place.folder)) == ({}, ())


@pytest.mark.parametrize(
    ("peer", "body", "code"),
    [
        (JADE.hex(), {"seconds": 0}, "malformed_request"),
        (JADE.hex(), {"seconds": 367 * 86_400}, "malformed_request"),
        (JADE.hex(), {"seconds": 5, "more": 1}, "malformed_request"),
        (JADE.hex(), {"seconds": 5.5}, "malformed_request"),
        (JADE.hex(), {"seconds": "5"}, "malformed_request"),
        (JADE.hex(), {"seconds": True}, "malformed_request"),
        (JADE.hex(), [], "malformed_request"),
        (JADE.hex(), {"seconds": "x" * 2_000}, "too_large"),
        (JADE.hex(), None, "unsupported_media"),
        ("xy", {"seconds": 5}, "malformed_id"),
        (make_keys("harbour").node.public_key.hex(), {"seconds": 5}, "malformed_request"),
    ],
)
async def test_what_is_no_ban_is_refused(place: Place, peer: str, body: Any, code: str) -> None:
    """No time or one beyond a year, a field too many, a body too large or of another type, no key, its own key."""
    answer = await place.ask("PUT", f"/v1/operator/bans/{peer}", body=body)
    assert (await answer.json(content_type=None))["code"] == code
    assert place.node.mesh.banned == {}


async def test_a_file_that_cannot_be_read_is_told(place: Place) -> None:
    """Code and file, and nothing is overwritten."""
    (place.folder / BAN_FILE).write_text("{")
    for method, path in (("GET", "/v1/operator/peers"), ("PUT", f"/v1/operator/bans/{JADE.hex()}")):
        scope = Scope.MONITOR if method == "GET" else Scope.OPERATE
        answer = await place.ask(method, path, scope, {"seconds": 5} if method == "PUT" else None)
        told = await answer.json(content_type=None)
        assert (answer.status, told["code"], BAN_FILE in told["detail"]) == (500, "bans_unusable", True)
    assert (place.folder / BAN_FILE).read_text() == "{"
