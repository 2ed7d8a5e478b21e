"""Which pages of other origins a browser lets read this node (CORS, Fetch standard): those that are listed, else none.

A listed page may send a token or a signature in a header, as every client may; cookies and the like mean nothing here,
so credentials are never allowed. A browser asks no leave for a websocket, so a page that is not listed is refused there
by this node itself. Never a wildcard, and never an origin echoed that is not in the list.
"""

from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from node.api.problems import Handler, ProblemError

ORIGINS: Final[web.AppKey[frozenset[str]]] = web.AppKey("origins")
MAX_AGE_S: Final = 600
"""So long a browser need not ask again."""
_ASKED: Final = "Accept-Language, Authorization, Content-Type, Last-Event-ID, Liushui-Signature"
_SHOWN: Final = "Content-Disposition, Content-Language, Liushui-Height, Retry-After, WWW-Authenticate"


@web.middleware
async def origin_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer what a browser asks before it sends a listed page's request; all else goes on."""
    refused = request.match_info.http_exception
    is_preflight = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
    if is_preflight and _is_listed(request) and isinstance(refused, web.HTTPMethodNotAllowed):
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": ", ".join(sorted(refused.allowed_methods)),
                "Access-Control-Allow-Headers": _ASKED,
                "Access-Control-Max-Age": str(MAX_AGE_S),
            },
        )
    return await handler(request)


async def add_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser of a listed page that it may read this answer; streams and problems too."""
    if not request.app[ORIGINS]:
        return
    response.headers.add("Vary", "Origin")
    if _is_listed(request):
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
        response.headers["Access-Control-Expose-Headers"] = _SHOWN


def require_own_page(request: web.Request) -> None:
    """Raise ProblemError(origin_refused) for a page that is neither this node's own nor listed."""
    origin = request.headers.get("Origin")
    if origin is not None and not _is_listed(request) and _find_host(origin) != request.host:
        raise ProblemError("origin_refused", "Only this node's own pages and those of cors_origins may read it.")


def _find_host(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _is_listed(request: web.Request) -> bool:
    return request.headers.get("Origin", "") in request.app[ORIGINS]


def set_up(app: web.Application, origins: tuple[str, ...]) -> None:
    """Give an application its list."""
    app[ORIGINS] = frozenset(origins)
    app.on_response_prepare.append(add_origin)
