"""A client of a node's API: typed where it matters, plain JSON values elsewhere; every call has a deadline.

    async with NodeClient("http://127.0.0.1:7400") as node:
        results = await node.submit([intent.item], wait_final=True)

Problems come back as ApiError with the API's own code and sentence; no answer at all is NodeUnreachable. A busy node is
asked again with the same bytes, up to a bound. Never a key here except to sign a request's header, and never a retry
that could hide a refusal.
"""

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Any, Final

import aiohttp
import msgspec
from yarl import URL

from node.api.answers import SubmitAnswer, SubmitResult
from node.api.signing import HEADER, sign_request
from protocol.batch import BatchItem
from protocol.codec import JSON_FAULTS, encode
from protocol.crypto import Signer
from protocol.genesis import Genesis, decode_genesis
from protocol.ids import PublicKey, TimeMs, TransactionId

TIMEOUT_S: Final = 15.0
PATIENCE_S: Final = 20.0
"""How long a busy node is asked again before its word stands."""
PAUSE_FIRST_S: Final = 0.25
PAUSE_LONGEST_S: Final = 4.0
ANSWER_BYTES_MAX: Final = 33_554_432


class ClientError(Exception):
    """A call that brought no result; `code` is stable and the sentence is for people."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class NodeUnreachable(ClientError):  # noqa: N818  (named after what is wrong)
    """Nobody answered at the address, or not in time, or not as a node does."""


class ApiError(ClientError):
    """The node answered with a problem."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after_s: float | None = None) -> None:
        code = str(problem.get("code", f"http_{status}"))
        sentence = " ".join(str(problem[name]) for name in ("title", "detail") if problem.get(name))
        super().__init__(code, sentence or f"The node answered with HTTP status {status}.")
        self.status = status
        self.problem = problem
        self.retryable = bool(problem.get("retryable"))
        self.retry_after_s = retry_after_s
        """When to ask again, where the node says so."""


class NodeClient:
    """One node's API, as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        language: str = "en",
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        token: str | None = None,
    ) -> None:
        """`token`: of this node's API; it goes with every request."""
        self.url = URL(url.rstrip("/"))
        self._headers = {"Accept-Language": language} | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._timeout_s = timeout_s
        self._patience_s = patience_s
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "NodeClient":
        self._session = aiohttp.ClientSession(headers=self._headers, auto_decompress=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None
        await self._session.close()

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        signer: Signer | None = None,
        now_ms: Callable[[], TimeMs] | None = None,
        timeout_s: float | None = None,
    ) -> bytes:
        """The bytes of a successful answer. Raises ApiError or NodeUnreachable.

        When this caller has asked for more than its share, nothing was done: it waits and asks again, up to a bound.
        """
        patience = _Patience(self._patience_s)
        while True:
            try:
                return await self._call_once(
                    method,
                    path,
                    query or {},
                    body,
                    content_type=content_type,
                    signer=signer,
                    now_ms=now_ms,
                    timeout_s=timeout_s,
                )
            except ApiError as error:
                if error.code != "too_many_requests" or patience.is_over(error.retry_after_s):
                    raise
                await patience.wait(error.retry_after_s)

    async def _call_once(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: bytes | None,
        *,
        content_type: str,
        signer: Signer | None,
        now_ms: Callable[[], TimeMs] | None,
        timeout_s: float | None,
    ) -> bytes:
        assert self._session is not None, "enter the client before calling"
        url = (self.url / path.lstrip("/")).with_query(query)
        headers = {} if body is None else {"Content-Type": content_type}
        if signer is not None:
            assert now_ms is not None, "a signed request names its time"
            headers[HEADER] = sign_request(signer, method, url.raw_path_qs, now_ms())
        deadline = aiohttp.ClientTimeout(total=timeout_s or self._timeout_s)
        data = None if body is None else io.BytesIO(body)  # written piece by piece, so that a large one holds up nobody
        try:
            async with self._session.request(method, url, data=data, headers=headers, timeout=deadline) as answer:
                raw = await answer.content.read(ANSWER_BYTES_MAX)
                while not answer.content.at_eof() and len(raw) < ANSWER_BYTES_MAX:
                    raw += await answer.content.read(ANSWER_BYTES_MAX - len(raw))
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NodeUnreachable(
                "node_unreachable",
                f"No node answers at {self.url} ({type(error).__name__}): start it, or name another with --node.",
            ) from error
        if status >= 400:
            known = retry_after.isascii() and retry_after.isdecimal() and len(retry_after) <= 6
            raise ApiError(status, _read_problem(raw), float(retry_after) if known else None)
        return raw

    async def get(self, path: str, **query: str) -> Any:
        """JSON of a read."""
        return _read_json(await self.call("GET", path, query=query))

    async def get_signed(self, path: str, signer: Signer, now_ms: Callable[[], TimeMs]) -> Any:
        """JSON of a read that only permitted keys may make."""
        return _read_json(await self.call("GET", path, signer=signer, now_ms=now_ms))

    async def get_genesis(self) -> Genesis:
        """The network's founding document. Its chain id is computed here, not believed."""
        raw = await self.call("GET", "/v1/genesis")
        return decode_genesis(raw)

    async def get_nonce(self, key: PublicKey) -> int:
        """The next nonce of a key that is used from one device."""
        return int((await self.get(f"/v1/nonce/{key.hex()}"))["next"])

    async def submit(
        self, items: Sequence[BatchItem], *, wait_final: bool = False, timeout_ms: int = 10_000
    ) -> list[SubmitResult]:
        """One result per item. Rejections are results, not errors.

        What a busy node does not take is sent again until the client's patience ends. Then the result is `busy`, or,
        when nothing at all was taken, ApiError(busy) is raised.
        """
        query = {"wait": "final", "timeout_ms": str(timeout_ms)} if wait_final else {}
        timeout_s = self._timeout_s + (timeout_ms / 1000 if wait_final else 0)
        patience = _Patience(self._patience_s)
        results: dict[int, SubmitResult] = {}
        left = list(range(len(items)))
        while True:
            retry_after_s: float | None = None
            try:
                answer = await self._submit_once([items[at] for at in left], query, timeout_s)
                results.update(zip(left, answer.results, strict=True))
                left = [at for at in left if results[at].status == "busy"]
                retry_after_s = None if answer.retry_after_ms is None else answer.retry_after_ms / 1000
            except ApiError as error:
                retry_after_s = error.retry_after_s
                if error.code != "busy" or (not results and patience.is_over(retry_after_s)):
                    raise
            if not left or patience.is_over(retry_after_s):
                return [results[at] for at in range(len(items))]
            await patience.wait(retry_after_s)

    async def _submit_once(self, items: Sequence[BatchItem], query: dict[str, str], timeout_s: float) -> SubmitAnswer:
        try:
            raw = await self.call(
                "POST",
                "/v1/transactions",
                query=query,
                body=encode(list(items)),
                content_type="application/msgpack",
                timeout_s=timeout_s,
            )
            answer = _read_json(raw)
        except ApiError as error:
            if error.status != 422 or "results" not in error.problem:
                raise
            answer = error.problem
        return msgspec.convert(answer, SubmitAnswer)

    async def get_receipt_file(self, transaction_id: TransactionId, *, timeout_s: float = 5.0) -> bytes:
        """A receipt that verifies offline; asks again while the node says it is not provable yet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while True:
            try:
                return await self.call("GET", f"/v1/transactions/{transaction_id.hex()}/receipt")
            except ApiError as error:
                if error.code != "receipt_not_ready" or loop.time() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def stream_events(self, after: str | None = None, *, follow: bool = True) -> AsyncIterator[dict[str, Any]]:
        """Events from a position ("height-index") on, or from now; ends with the node, or with the last one saved.

        Raises ClientError(stream_dropped) with the position to resume behind when the node found this client too slow.
        """
        query = {} if follow else {"follow": "false"}
        url = (self.url / "v1/events").with_query(query if after is None else {**query, "after": after})
        async for one in self._stream(url, {}):
            yield one

    async def stream_alerts(
        self,
        signer: Signer | None,
        now_ms: Callable[[], TimeMs],
        query: dict[str, str],
        headers: dict[str, str] | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """Early warnings from the serial `after` on, or from now; ends when the node stops. No signer: by the token."""
        url = (self.url / "v1/alerts/stream").with_query(query)
        signed = {} if signer is None else {HEADER: sign_request(signer, "GET", url.raw_path_qs, now_ms())}
        async for one in self._stream(url, {**signed, **(headers or {})}):
            yield one

    async def _stream(self, url: URL, headers: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
        assert self._session is not None, "enter the client before calling"
        deadline = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s, sock_read=60)
        try:
            async with self._session.get(url, headers=headers, timeout=deadline, read_bufsize=2**20) as answer:
                if answer.status >= 400:
                    raise ApiError(answer.status, _read_problem(await answer.content.read(65_536)))
                kind = b""
                async for line in answer.content:
                    if line.startswith(b"event: "):
                        kind = line[7:].strip()
                    elif line.startswith(b"data: "):
                        value = _read_json(line[6:])
                        if kind == b"dropped":
                            raise ClientError("stream_dropped", f"Too slow: resume after {value['resume_after']}.")
                        yield value
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NodeUnreachable("node_unreachable", f"The event stream of {self.url} broke off.") from error


class _Patience:
    """When a node that was busy, or asked too much of, is asked again: when it says, or later and later."""

    def __init__(self, patience_s: float, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._loop = asyncio.get_running_loop()
        self._until_s = self._loop.time() + patience_s
        self._pause_s = PAUSE_FIRST_S

    def is_over(self, retry_after_s: float | None) -> bool:
        return self._loop.time() + max(self._pause_s, retry_after_s or 0.0) > self._until_s

    async def wait(self, retry_after_s: float | None) -> None:
        pause_s = max(self._pause_s, retry_after_s or 0.0)
        self._pause_s = min(PAUSE_LONGEST_S, 2 * self._pause_s)
        await asyncio.sleep(pause_s * (1 + 0.25 * self._chance()))  # clients sent away together come back apart


def _read_json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except JSON_FAULTS as error:
        raise NodeUnreachable("not_a_node", "What answered there is not a node of this program.") from error


def _read_problem(raw: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(raw)
    except JSON_FAULTS:
        return {}
    return value if isinstance(value, dict) else {}
