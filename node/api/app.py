"""The HTTP application of a node, put together from one table of addresses (`node.api.endpoints`).

    runner = web.AppRunner(make_app(node)); the runtime serves it on api_host:api_port

Reads never wait for consensus; a request that does (wait=final, streams) holds no lock. Never add a route here.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from aiohttp import web

from node.api import events, origins, reports, tryit
from node.api.access import TOKENS, ApiSettings, require_token
from node.api.endpoints import ENDPOINTS, STREAMED
from node.api.meter import REQUESTS, ROUTES, meter_middleware
from node.api.openapi import Endpoint, Handler, make_document
from node.api.parameters import check_parameters
from node.api.ports import NodePort
from node.api.problems import problem_middleware
from node.api.reading import NODE, NOW_MS, SCOPE, read_clock_ms, read_steady_ms, require_caller
from node.api.throttle import THROTTLE, Throttle, throttle_middleware
from node.meters import Requests
from node.tokens import Scope
from protocol.ids import TimeMs
from protocol.limits import REQUEST_BODY_BYTES_MAX

OPEN: Final = ApiSettings()
"""Nobody has a token, and nothing is closed that is open on every node."""


def make_openapi(version: str, settings: ApiSettings = OPEN) -> dict[str, Any]:
    """The OpenAPI document of this release, as the settings make it."""
    return make_document(list_endpoints(settings), version, also=STREAMED)


def list_endpoints(settings: ApiSettings) -> tuple[Endpoint, ...]:
    """All addresses, with those closed that the settings close."""
    if settings.status_for == "everybody":
        return ENDPOINTS
    return tuple(one._replace(scope=Scope.MONITOR) if one.closable else one for one in ENDPOINTS)


def make_checked(one: Endpoint) -> Handler:
    """The handler of an address behind what the document says of it: who must sign, and which parameters there are."""

    async def serve(request: web.Request) -> web.StreamResponse:
        if one.scope is not None:
            request[SCOPE] = one.scope
        if one.signed:
            require_caller(request)
        elif one.scope is not None and not one.may_sign:
            require_token(request, one.scope, request.app[NOW_MS]())
        check_parameters(request, one.query)
        return await one.handler(request)

    return serve


@web.middleware
async def settled_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let reads look at whole blocks only: one that comes while a block is executed waits for its end."""
    if request.method == "GET" and request.path.startswith("/v1/"):
        await request.app[NODE].wait_settled()
    return await handler(request)


def make_app(
    node: NodePort, settings: ApiSettings = OPEN, *, now_ms: Callable[[], TimeMs] = read_clock_ms
) -> web.Application:
    """The application over a node. `now_ms` judges the time of signed requests and of tokens."""
    endpoints = list_endpoints(settings)
    middlewares = [
        meter_middleware,
        problem_middleware,
        throttle_middleware,
        origins.origin_middleware,
        settled_middleware,
    ]
    app = web.Application(middlewares=middlewares, client_max_size=REQUEST_BODY_BYTES_MAX)
    app[NODE] = node
    app[REQUESTS] = Requests()
    app[TOKENS] = settings.tokens
    costs = {(one.method, one.path): one.cost for one in endpoints}
    app[THROTTLE] = Throttle(settings.units_per_s, costs, read_steady_ms) if settings.units_per_s else None
    app[ROUTES] = tuple(dict.fromkeys(one.path for one in endpoints))
    app[NOW_MS] = now_ms
    app[tryit.DOCUMENT] = msgspec.json.encode(make_openapi(node.status().version, settings))
    for one in endpoints:
        app.router.add_route(one.method, one.path, make_checked(one))
    events.set_up(app)
    origins.set_up(app, settings.cors_origins)
    reports.set_up(app)
    return app
