"""The try-it page: three files of our own that read this node's document and ask this node, with no network beside it.

The policy that goes with them lets it load nothing else and send nothing elsewhere. Never an answer of the node here
but the document itself.
"""

from pathlib import Path
from typing import Final

from aiohttp import web

PAGE: Final = Path(__file__).parent / "page"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
DOCUMENT: Final = web.AppKey("openapi", bytes)
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def _serve(name: str, content_type: str) -> web.Response:
    body = (PAGE / name).read_bytes()
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers=_HEADERS)


async def get_openapi(request: web.Request) -> web.Response:
    """GET /v1/openapi.json."""
    return web.Response(body=request.app[DOCUMENT], content_type="application/json")


async def get_docs(request: web.Request) -> web.Response:
    """GET /v1/docs."""
    return _serve("docs.html", "text/html")


async def get_docs_script(request: web.Request) -> web.Response:
    """GET /v1/docs/docs.js."""
    return _serve("docs.js", "text/javascript")


async def get_docs_style(request: web.Request) -> web.Response:
    """GET /v1/docs/docs.css."""
    return _serve("docs.css", "text/css")
