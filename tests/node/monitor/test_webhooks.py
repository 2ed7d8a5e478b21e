"""Webhooks: signed as documented, in order, until taken; a restart forgets nothing, a slow receiver stops nobody."""

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from node.config import ConfigError, NodeConfig, Webhook, format_config, load_config
from node.monitor import webhook
from node.monitor.records import AlertRecord, make_loan_alert
from node.monitor.store import ALERTS_FILE, AlertStore
from node.monitor.webhook import (
    ID_HEADER,
    REPLAY_WINDOW_MS,
    SIGNATURE_HEADER,
    TIME_HEADER,
    SecretError,
    WebhookRoom,
    check_alert,
    read_hooks,
)
from protocol.crypto import KeySigner
from protocol.ids import Height, ObjectId, TimeMs
from scoring.warning import Alert
from scoring.warning_table import WarningRule

SECRET = b"0123456789abcdef0123456789abcdef"
SIGNER = KeySigner(bytes([5]) * 32)
NOW = 1_700_000_000_000


def make_record(window: int, rule: WarningRule = WarningRule.EMPTYING) -> AlertRecord:
    return make_loan_alert(
        Alert(rule, 739_000, window, (("amount", 7),)),
        loan=ObjectId(bytes([1]) * 32),
        borrower=bytes([2]) * 32,  # type: ignore[arg-type]
        lender=bytes([3]) * 32,  # type: ignore[arg-type]
        data=None,
        height=Height(4),
        time_ms=TimeMs(9),
    )


class Receiver:
    """A receiver on loopback that answers as it is told and keeps what it got."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.usual = 204
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.stuck = asyncio.Event()
        self.stuck.set()
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self.server = TestServer(app)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        await self.stuck.wait()
        status = self.answers.pop(0) if self.answers else self.usual
        self.got.append((dict(request.headers), body))
        headers = {"Location": "/elsewhere"} if status == 307 else {}
        return web.Response(status=status, headers=headers)

    def url(self, path: str = "hook?token=hush") -> str:
        return str(self.server.make_url("/")) + path

    def serials(self) -> list[int]:
        return [json.loads(body)["serial"] for _, body in self.got]


class Scene:
    """A store, a receiver, and a clock that tests set."""

    def __init__(self, folder: Path, store: AlertStore, receiver: Receiver) -> None:
        self.folder, self.store, self.receiver, self.now = folder, store, receiver, NOW
        self.secret = folder / "hook.secret"
        self.secret.write_bytes(SECRET + b"\n")
        self.secret.chmod(0o600)

    def make_hooks(self, *, secret: bool = True, severity: str = "watch") -> tuple[webhook.Hook, ...]:
        secret_file = str(self.secret) if secret else None
        return read_hooks([Webhook(url=self.receiver.url(), secret_file=secret_file, severity_min=severity)])  # type: ignore[arg-type]

    @contextlib.asynccontextmanager
    async def delivering(self, hooks: tuple[webhook.Hook, ...] | None = None) -> AsyncIterator[WebhookRoom]:
        room = WebhookRoom(hooks or self.make_hooks(), self.store, SIGNER, now_ms=lambda: TimeMs(self.now))
        task = asyncio.create_task(room.run())
        async with asyncio.timeout(20):
            while len(room.states) < 1:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        try:
            yield room
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def wait_taken(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.receiver.got) < count:  # noqa: ASYNC110
                await asyncio.sleep(0.005)

    async def wait_delivered(self, room: WebhookRoom, serial: int) -> None:
        async with asyncio.timeout(20):
            while next(iter(room.states.values())).delivered < serial:  # noqa: ASYNC110
                await asyncio.sleep(0.005)


@pytest.fixture
async def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    """Nothing told yet."""
    monkeypatch.setattr(webhook, "PAUSES_S", (0.01,))
    store, receiver = await AlertStore.open(tmp_path / ALERTS_FILE), Receiver()
    await receiver.server.start_server()
    made = Scene(tmp_path, store, receiver)
    yield made
    await made.receiver.server.close()
    await made.store.close()


async def test_an_alert_is_posted_with_a_signature_that_a_receiver_can_check(scene: Scene) -> None:
    """HMAC-SHA256 as documented, over id, time and body; another body, secret or hour is refused."""
    async with scene.delivering():
        await scene.store.tell([make_record(1)])
        await scene.wait_taken(1)
    headers, body = scene.receiver.got[0]
    assert headers["Content-Type"] == "application/json"
    message = b"LSW1\n" + headers[ID_HEADER].encode() + b"\n" + headers[TIME_HEADER].encode() + b"\n" + body
    expected = hmac.new(SECRET, message, hashlib.sha256).hexdigest()
    assert headers[SIGNATURE_HEADER] == f"hmac-sha256={expected}"
    told = json.loads(body)
    assert (told["rule"], told["severity"], told["evidence"]) == ("emptying", "urgent", {"amount": 7})
    assert told["id"] == headers[ID_HEADER]
    assert check_alert(headers, body, NOW, secret=SECRET) is None
    assert check_alert(headers, body, NOW + REPLAY_WINDOW_MS, secret=SECRET) is None
    assert check_alert(headers, body, NOW + REPLAY_WINDOW_MS + 1, secret=SECRET) == "stale"
    assert check_alert(headers, body + b" ", NOW, secret=SECRET) == "signature"
    assert check_alert(headers, body, NOW, secret=SECRET[::-1]) == "signature"
    assert check_alert(headers | {TIME_HEADER: str(NOW + 1)}, body, NOW, secret=SECRET) == "signature"
    assert check_alert(headers | {ID_HEADER: "x"}, body, NOW, secret=SECRET) == "signature"
    assert check_alert({}, body, NOW, secret=SECRET) == "malformed"


async def test_without_a_secret_the_nodes_key_signs(scene: Scene) -> None:
    """Ed25519 by the node key, which the network's member list names."""
    async with scene.delivering(scene.make_hooks(secret=False)):
        await scene.store.tell([make_record(1)])
        await scene.wait_taken(1)
    headers, body = scene.receiver.got[0]
    assert check_alert(headers, body, NOW, key=SIGNER.public_key) is None
    assert check_alert(headers, body, NOW, key=KeySigner(bytes([6]) * 32).public_key) == "signature"
    assert check_alert(headers, body + b" ", NOW, key=SIGNER.public_key) == "signature"
    assert check_alert(headers, body, NOW, secret=SECRET) == "signature"


async def test_what_is_refused_is_sent_again_in_order_and_logs_hold_no_secret(scene: Scene) -> None:
    """500, a redirection and 404 are no delivery; later alerts wait; neither path nor secret is logged."""
    scene.receiver.answers = [500, 307, 404]
    with capture_logs() as logs:
        async with scene.delivering() as room:
            await scene.store.tell([make_record(1), make_record(2)])
            await scene.wait_delivered(room, 2)
    assert scene.receiver.serials() == [1, 1, 1, 1, 2]
    assert [line["event"] for line in logs] == ["webhook_failing", "webhook_recovered"]
    for hidden in ("hush", "hook", SECRET.decode()):
        assert hidden not in str(logs).replace("webhook", "")


async def test_a_restart_goes_on_behind_the_last_answer(scene: Scene) -> None:
    """What was answered is not sent again, what was not is; a new address begins with what comes next."""
    await scene.store.tell([make_record(1)])
    async with scene.delivering() as room:
        await scene.store.tell([make_record(2)])
        await scene.wait_delivered(room, 2)
    await scene.store.tell([make_record(3)])
    await scene.store.close()
    scene.store = await AlertStore.open(scene.folder / ALERTS_FILE)
    async with scene.delivering() as room:
        await scene.wait_delivered(room, 3)
    assert scene.receiver.serials() == [2, 3]


async def test_an_alert_that_nobody_takes_is_given_up_in_the_end(scene: Scene) -> None:
    """After three days the next one goes; so many were dropped, readers are told."""
    scene.receiver.usual = 500
    async with scene.delivering() as room:
        await scene.store.tell([make_record(1)])
        await scene.wait_taken(3)
        assert next(iter(room.states.values())).failing_since_ms == NOW
        scene.now += webhook.GIVE_UP_MS + 1
        await scene.wait_delivered(room, 1)
        scene.receiver.usual = 204
        await scene.store.tell([make_record(2)])
        await scene.wait_delivered(room, 2)
        assert next(iter(room.states.values())).dropped == 1


async def test_the_queue_of_a_dead_receiver_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound the oldest are dropped and counted."""
    monkeypatch.setattr(webhook, "BEHIND_MAX", 2)
    scene.receiver.stuck.clear()
    async with scene.delivering() as room:
        for window in range(5):
            await scene.store.tell([make_record(window)])
        scene.receiver.answers = [500]
        scene.receiver.stuck.set()
        await scene.wait_delivered(room, 5)
        assert next(iter(room.states.values())).dropped >= 1
    assert scene.receiver.serials()[-2:] == [4, 5]


async def test_severity_narrows_what_is_sent(scene: Scene) -> None:
    """Below the least severity nothing is posted, and nothing waits."""
    async with scene.delivering(scene.make_hooks(severity="urgent")) as room:
        await scene.store.tell([make_record(1, WarningRule.GAMBLING), make_record(1)])
        await scene.wait_delivered(room, 2)
    assert scene.receiver.serials() == [2]


def test_secrets_must_be_long_and_private(tmp_path: Path) -> None:
    """A file that others can read, is missing or short is refused with its fix."""
    path = tmp_path / "secret"
    hooks = [Webhook(url="https://example.org/hook", secret_file=str(path))]

    def refusal() -> str:
        with pytest.raises(SecretError) as caught:
            read_hooks(hooks)
        return caught.value.code

    assert refusal() == "secret_unreadable"
    path.write_bytes(SECRET)
    path.chmod(0o640)
    assert refusal() == "secret_exposed"
    path.chmod(0o600)
    assert read_hooks(hooks)[0].secret == SECRET
    path.write_bytes(SECRET[:31])
    assert refusal() == "secret_short"


@pytest.mark.parametrize(
    ("url", "fits"),
    [
        ("https://example.org/hook", True),
        ("http://127.0.0.1:9/hook", True),
        ("http://[::1]:9/hook", True),
        ("http://localhost/hook", True),
        ("http://example.org/hook", False),
        ("http://10.0.0.1/hook", False),
        ("https://user:pw@example.org/", False),
        ("ftp://example.org/", False),
        ("https:///x", False),
    ],
)
def test_addresses_are_encrypted_or_on_this_machine(tmp_path: Path, url: str, fits: bool) -> None:
    """Plain http leaves the machine nowhere; a config that comes back from its own text is the same."""
    config = NodeConfig(name="n", role="observer", webhooks=(Webhook(url=url, secret_file="s", severity_min="act"),))
    (tmp_path / "config.toml").write_text(format_config(config))
    if fits:
        (hook,) = load_config(tmp_path, environment={}).webhooks
        assert (hook.url, hook.secret_file, hook.severity_min) == (url, str((tmp_path / "s").resolve()), "act")
        return
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path, environment={})
    assert "webhooks" in caught.value.sentence
