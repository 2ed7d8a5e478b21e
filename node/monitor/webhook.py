"""Webhooks: each alert is posted to the addresses of config.toml, signed, in order, until it was taken.

    LSW1 LF <id> LF <milliseconds> LF <body>    what is signed: HMAC-SHA256 under a shared secret, or the node's Ed25519

An answer of 2xx is delivered; anything else is tried again with longer and longer pauses, signed anew, and given up
after three days, so that one alert nobody takes does not keep all later ones. How far each address is stands in the
alert store, so a restart neither forgets nor repeats what was answered. Redirections are not followed. Never log a
path, a query or a secret, and never let a slow receiver hold up anything else.
"""

import asyncio
import hashlib
import hmac
import sqlite3
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from node.config import Webhook
from node.monitor.records import AlertRecord, HookState, view_record
from node.monitor.store import AlertStore
from node.telemetry import get_logger
from protocol.crypto import Signer, calculate_hash, check_signature
from protocol.ids import Digest, PublicKey, Signature, TimeMs
from scoring.warning_table import Severity

TAG: Final = b"LSW1"
ID_HEADER: Final = "Liushui-Alert-Id"
TIME_HEADER: Final = "Liushui-Alert-Time"
SIGNATURE_HEADER: Final = "Liushui-Alert-Signature"
REPLAY_WINDOW_MS: Final = 300_000
"""A receiver refuses what is signed longer ago or ahead, and forgets the ids it has seen after twice as long."""
TIMEOUT_S: Final = 10.0
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)
WAIT_S: Final = 60.0
GIVE_UP_MS: Final = 3 * 86_400_000
BEHIND_MAX: Final = 10_000
"""Alerts that wait for one address; beyond it the oldest are given up."""
SECRET_BYTES_MIN: Final = 32


class SecretError(Exception):
    """A secret file that must not be used; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Hook(NamedTuple):
    """One address with what signs for it."""

    id: Digest
    """Of the address: under it stands how far it is."""
    url: URL
    secret: bytes | None
    """None: the node's key signs."""
    severity_min: Severity

    @property
    def shown(self) -> str:
        """The address as logs and readers see it: paths and queries may hold what others must not know."""
        return str(self.url.origin())


def read_hooks(webhooks: Sequence[Webhook]) -> tuple[Hook, ...]:
    """The addresses of a config with their secrets. Raises SecretError."""
    return tuple(
        Hook(
            id=calculate_hash("webhook", one.url.encode()),
            url=URL(one.url),
            secret=None if one.secret_file is None else read_secret(Path(one.secret_file)),
            severity_min=Severity[one.severity_min.upper()],
        )
        for one in webhooks
    )


def read_secret(path: Path) -> bytes:
    """The first line of a secret file that only its owner can read. Raises SecretError."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        secret = path.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    except OSError as error:
        raise SecretError("secret_unreadable", f"{path} cannot be read ({error.strerror}): see webhooks.") from error
    if mode & 0o077:
        raise SecretError("secret_exposed", f"{path} can be read by other users: run chmod 600 {path}.")
    if len(secret) < SECRET_BYTES_MIN:
        raise SecretError(
            "secret_short", f"{path} holds under {SECRET_BYTES_MIN} bytes: make one with openssl rand -hex 32."
        )
    return secret


def calculate_webhook_bytes(alert_id: str, time_ms: int, body: bytes) -> bytes:
    """What is signed."""
    return b"\n".join((TAG, alert_id.encode(), str(time_ms).encode(), body))


def sign_alert(alert_id: str, body: bytes, time_ms: TimeMs, *, secret: bytes | None, signer: Signer) -> dict[str, str]:
    """The headers that go with a body."""
    message = calculate_webhook_bytes(alert_id, time_ms, body)
    if secret is None:
        value = f"ed25519={signer.public_key.hex()},{signer.sign(message).hex()}"
    else:
        value = f"hmac-sha256={hmac.digest(secret, message, hashlib.sha256).hex()}"
    return {ID_HEADER: alert_id, TIME_HEADER: str(time_ms), SIGNATURE_HEADER: value}


def check_alert(
    headers: Mapping[str, str], body: bytes, now_ms: int, *, secret: bytes | None = None, key: PublicKey | None = None
) -> str | None:
    """Why a receiver must not believe a request, or None: malformed, stale, signature. Give the secret or the key."""
    try:
        alert_id, time_ms = headers[ID_HEADER], int(headers[TIME_HEADER])
        kind, _, value = headers[SIGNATURE_HEADER].partition("=")
        parts = [bytes.fromhex(one) for one in value.split(",")]
    except (KeyError, ValueError):
        return "malformed"
    if abs(now_ms - time_ms) > REPLAY_WINDOW_MS:
        return "stale"
    message = calculate_webhook_bytes(alert_id, time_ms, body)
    if secret is not None:
        held = kind == "hmac-sha256" and hmac.compare_digest(parts[0], hmac.digest(secret, message, hashlib.sha256))
        return None if held else "signature"
    known = kind == "ed25519" and len(parts) == 2 and parts[0] == key and len(parts[1]) == 64
    return None if known and check_signature(PublicKey(parts[0]), message, Signature(parts[1])) else "signature"


def make_body(alert_id: str, serial: int, record: AlertRecord) -> bytes:
    """The JSON that is posted."""
    return msgspec.json.encode({"id": alert_id, **view_record(serial, record)})


class WebhookRoom:
    """Delivers the alerts of one store. `now_ms` is the clock of signatures and of giving up."""

    def __init__(
        self, hooks: Sequence[Hook], store: AlertStore, signer: Signer, *, now_ms: Callable[[], TimeMs]
    ) -> None:
        self._hooks = hooks
        self._store = store
        self._signer = signer
        self._now_ms = now_ms
        self._log = get_logger("webhooks")
        self.states: dict[Digest, HookState] = {}
        """How far each address is."""

    async def run(self) -> None:
        """Deliver until cancelled; each address on its own."""
        if not self._hooks:
            await asyncio.Event().wait()
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session, asyncio.TaskGroup() as group:
            for hook in self._hooks:
                group.create_task(self._serve(hook, session))

    async def _serve(self, hook: Hook, session: aiohttp.ClientSession) -> None:
        attempt = 0
        while True:
            try:
                moved = await self._step(hook, session)
            except sqlite3.Error as error:
                self._log.error("webhook_interrupted", address=hook.shown, reason=str(error))
                moved = False
            if moved:
                attempt = 0
                continue
            await asyncio.sleep(PAUSES_S[min(attempt, len(PAUSES_S) - 1)])
            attempt += 1

    async def _step(self, hook: Hook, session: aiohttp.ClientSession) -> bool:
        """Wait for the next alert and try it once; False when it has to be tried again after a pause."""
        state = self.states.get(hook.id) or await self._store.load_hook(hook.id)
        self.states[hook.id] = state
        state = await self._give_up_oldest(hook, state)
        if await self._store.wait_beyond(state.delivered, WAIT_S) <= state.delivered:
            return True
        found = await self._store.read(state.delivered, 1)
        if not found:
            return True
        serial, record = found[0]
        if record.severity < hook.severity_min:
            await self._keep(hook, state, delivered=serial)
            return True
        failed = await self._post(hook, session, serial, record)
        if failed is None:
            if state.failing_since_ms is not None:
                self._log.info("webhook_recovered", address=hook.shown, serial=serial)
            await self._keep(hook, state, delivered=serial, failing_since_ms=None)
            return True
        now = self._now_ms()
        since = state.failing_since_ms
        if since is None:
            self._log.warning("webhook_failing", address=hook.shown, serial=serial, reason=failed)
            await self._keep(hook, state, failing_since_ms=now)
            return False
        if now - since <= GIVE_UP_MS:
            return False
        self._log.error("webhook_given_up", address=hook.shown, serial=serial, reason=failed)
        await self._keep(hook, state, delivered=serial, dropped=state.dropped + 1, failing_since_ms=None)
        return True

    async def _give_up_oldest(self, hook: Hook, state: HookState) -> HookState:
        over = self._store.newest - state.delivered - BEHIND_MAX
        if over <= 0:
            return state
        self._log.error("webhook_overflowed", address=hook.shown, dropped=over)
        return await self._keep(hook, state, delivered=state.delivered + over, dropped=state.dropped + over)

    async def _keep(self, hook: Hook, state: HookState, **changes: int | None) -> HookState:
        state = msgspec.structs.replace(state, **changes)
        await self._store.keep_hook(state)
        self.states[hook.id] = state
        return state

    async def _post(self, hook: Hook, session: aiohttp.ClientSession, serial: int, record: AlertRecord) -> str | None:
        """Why it was not delivered, without a word of the answer; None when it was."""
        alert_id = f"{self._signer.public_key.hex()[:16]}-{serial}"
        body = make_body(alert_id, serial, record)
        headers = sign_alert(alert_id, body, self._now_ms(), secret=hook.secret, signer=self._signer)
        headers["Content-Type"] = "application/json"
        try:
            async with session.post(hook.url, data=body, headers=headers, allow_redirects=False) as answer:
                return None if 200 <= answer.status < 300 else f"http_{answer.status}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__
