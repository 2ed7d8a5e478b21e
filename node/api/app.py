"""The HTTP application of a node, put together from one table of addresses (`node.api.endpoints`).

    runner = web.AppRunner(make_app(node)); the runtime serves it on api_host:api_port

Reads never wait for consensus; a request that does (wait=final, streams) holds no lock. Never add a route here.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from node.api import events, reports, tryit
from node.api.endpoints import ENDPOINTS, STREAMED
from node.api.meter import REQUESTS, ROUTES, meter_middleware
from node.api.openapi import Endpoint, Handler, make_document
from node.api.parameters import check_parameters
from node.api.ports import NodePort
from node.api.problems import problem_middleware
from node.api.reading import NODE, NOW_MS, read_clock_ms, require_caller
from node.meters import Requests
from protocol.ids import TimeMs
from protocol.limits import REQUEST_BODY_BYTES_MAX


def make_openapi(version: str) -> dict[str, Any]:
    """The OpenAPI document of this release."""
    return make_document(ENDPOINTS, version, also=STREAMED)


def make_checked(one: Endpoint) -> Handler:
    """The handler of an address behind what the document says of it: who must sign, and which parameters there are."""

    async def serve(request: web.Request) -> web.StreamResponse:
        if one.signed:
            require_caller(request)
        check_parameters(request, one.query)
        return await one.handler(request)

    return serve


@web.middleware
async def settled_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let reads look at whole blocks only: one that comes while a block is executed waits for its end."""
    if request.method == "GET" and request.path.startswith("/v1/"):
        await request.app[NODE].wait_settled()
    return await handler(request)


def make_app(node: NodePort, *, now_ms: Callable[[], TimeMs] = read_clock_ms) -> web.Application:
    """The application over a node. `now_ms` judges the time of signed requests."""
    middlewares = [meter_middleware, problem_middleware, settled_middleware]
    app = web.Application(middlewares=middlewares, client_max_size=REQUEST_BODY_BYTES_MAX)
    app[NODE] = node
    app[REQUESTS] = Requests()
    app[ROUTES] = tuple(dict.fromkeys(one.path for one in ENDPOINTS))
    app[NOW_MS] = now_ms
    app[tryit.DOCUMENT] = msgspec.json.encode(make_openapi(node.status().version))
    for one in ENDPOINTS:
        app.router.add_route(one.method, one.path, make_checked(one))
    events.set_up(app)
    reports.set_up(app)
    return app
