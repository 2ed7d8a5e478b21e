"""Counts what the API is asked, and answers /metrics. The address counted is the table's, never the one typed."""

import asyncio
import importlib
import time
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from node.api.problems import Handler
from node.api.reading import NODE
from node.meters import Requests

REQUESTS: Final = web.AppKey("requests", Requests)
ROUTES: Final[web.AppKey[tuple[str, ...]]] = web.AppKey("routes")
"""All addresses of the API's table."""
OTHER: Final = "other"


@web.middleware
async def meter_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count each answer by address and class of status, and time reads that wait for nothing."""
    requests, began_s = request.app[REQUESTS], time.monotonic()
    status = int(HTTPStatus.INTERNAL_SERVER_ERROR)
    try:
        answer = await handler(request)
        status = answer.status
    except web.HTTPException as redirect:
        status = redirect.status
        raise
    finally:
        requests.answered[_name_route(request), f"{min(max(status // 100, 2), 5)}xx"] += 1
    if request.method == "GET" and not request.query.get("wait_ms") and isinstance(answer, web.Response):
        requests.reading.observe(time.monotonic() - began_s)  # a stream is no web.Response
    return answer


def _name_route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return OTHER if resource is None else resource.canonical


async def get_metrics(request: web.Request) -> web.Response:
    """GET /metrics: the text that Prometheus reads."""
    readings = await request.app[NODE].read_metrics()
    # Its import takes a tenth of a second, which nodes that nobody scrapes need not spend.
    module: Any = await asyncio.to_thread(importlib.import_module, "node.metrics.exposition")
    catalog = module.read_all(request.app[ROUTES], readings, request.app[REQUESTS])
    text = await asyncio.to_thread(module.render, catalog, readings)
    return web.Response(body=text, headers={"Content-Type": module.CONTENT_TYPE, "Cache-Control": "no-store"})
