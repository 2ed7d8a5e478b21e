"""Small things every handler needs: the node behind the application, ids and numbers from the address, JSON out.

Never a business rule here.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import date
from functools import cache
from typing import Any, Final

import msgspec
from aiohttp import web

from node.api.access import require_token
from node.api.ports import NodePort
from node.api.problems import ProblemError
from node.api.signing import HEADER, Caller, check_request
from node.tokens import Scope
from protocol.ids import TimeMs
from protocol.limits import PAGE_ITEMS_MAX

NODE: Final[web.AppKey[NodePort]] = web.AppKey("node")
SCOPE: Final = web.RequestKey("scope", Scope)
"""What a token must be good for at the address asked; absent where it takes none."""
_CALLER: Final = web.RequestKey("caller", Caller)
BODY_WITHIN_S: Final = 20  # the largest one at a quarter of a megabyte a second
NOW_MS: Final[web.AppKey[Callable[[], TimeMs]]] = web.AppKey("now_ms")


def read_clock_ms() -> TimeMs:
    """Wall-clock milliseconds: for signed requests and timeouts, never for the books."""
    return TimeMs(time.time_ns() // 1_000_000)


def read_steady_ms() -> int:
    """Milliseconds of a clock that never steps: for allowances."""
    return time.monotonic_ns() // 1_000_000


def get_node(request: web.Request) -> NodePort:
    """The node this application serves."""
    return request.app[NODE]


def parse_hex32(text: str) -> bytes:
    """32 bytes from 64 hex digits. Raises ProblemError(malformed_id)."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32 or text != raw.hex():
        raise ProblemError("malformed_id", f"{text[:80]!r} is not 64 lower-case hexadecimal digits.")
    return raw


async def read_body(request: web.Request, bytes_max: int) -> bytes:
    """The whole body. Raises ProblemError(too_slow) when it dribbles, and HTTPException when it is too large."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            return await request.clone(client_max_size=bytes_max).read()
    except TimeoutError as error:
        raise ProblemError("too_slow", f"A body must be here within {BODY_WITHIN_S} s.") from error


def get_id(request: web.Request, name: str = "id") -> bytes:
    """The id in the address."""
    return parse_hex32(request.match_info[name])


def get_number(request: web.Request, name: str, *, default: int, lowest: int, highest: int) -> int:
    """An integer of the query. Raises ProblemError(malformed_request) outside its range."""
    text = request.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 16 and lowest <= int(text) <= highest):
        raise ProblemError("malformed_request", f"{name} must be an integer from {lowest} to {highest}.")
    return int(text)


def get_limit(request: web.Request) -> int:
    """How many items a page may hold."""
    return get_number(request, "limit", default=100, lowest=1, highest=PAGE_ITEMS_MAX)


def require_caller(request: web.Request) -> Caller:
    """Who signed the request; where the address takes tokens, whose token it shows: a token speaks for the node.

    Raises ProblemError when nobody did, or not well. A signature that does not hold is not mended by a token.
    """
    if _CALLER in request:
        return request[_CALLER]
    header, now_ms, scope = request.headers.get(HEADER, ""), request.app[NOW_MS](), request.get(SCOPE)
    if not header and scope is not None:
        require_token(request, scope, now_ms, signed=True)
        request[_CALLER] = Caller(get_node(request).node_key, now_ms)
        return request[_CALLER]
    found = check_request(header, request.method, request.raw_path, now_ms)
    if isinstance(found, str):
        raise ProblemError(found, f"Send {HEADER}: key,ms,signature over the method, path and time.")
    request[_CALLER] = found
    return found


def view_day(day: int) -> str:
    """A contract day as an ISO date."""
    return date.fromordinal(day).isoformat()


def view_every(unit: Any, every: int) -> str:
    """A period as 2w or 1m."""
    return f"{every}{unit.name[0].lower()}"


def respond(value: object, *, status: int = 200, height: int | None = None) -> web.Response:
    """A JSON answer."""
    headers = {"Cache-Control": "no-store"}
    if height is not None:
        headers["Liushui-Height"] = str(height)
    return web.Response(
        status=status, body=msgspec.json.encode(to_plain(value)), content_type="application/json", headers=headers
    )


@cache
def _get_names(kind: type[msgspec.Struct]) -> tuple[tuple[str, str], ...]:
    """Field names of a struct with the names they are shown by; looked up once, for it is slow."""
    return tuple((field.name, field.encode_name) for field in msgspec.structs.fields(kind))


def to_plain(value: Any) -> Any:
    """JSON values: structs as objects by field name (with their type where tagged), bytes as hex, enums as numbers."""
    match value:
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case msgspec.Struct():
            return {shown: to_plain(getattr(value, name)) for name, shown in _get_names(type(value))}
        case tuple() if hasattr(value, "_fields"):
            return {name: to_plain(each) for name, each in zip(value._fields, value, strict=True)}
        case list() | tuple():
            return [to_plain(each) for each in value]
        case dict():
            return {to_plain(key): to_plain(each) for key, each in value.items()}
        case bool() | None | str():
            return value
        case int():
            return int(value)
        case _:
            return value
