"""The OpenAPI 3.1 document of this node, made from the same types that the answers are encoded from.

An address that is not in the table is not served, and the other way round. Parameters are checked by what the document
says of them (`node.api.parameters`). Never a hand-written schema of an answer here.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.chinese import SUMMARIES_ZH
from node.api.parameters import HEX, Query, find_path_schema
from node.api.problems import KINDS, Problem
from node.tokens import Scope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint(NamedTuple):
    """One address: what serves it, what it takes and gives."""

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type | str
    """A type for JSON, or a media type for anything else."""
    request: type | str | None = None
    packed: bool = False
    """The body may be msgpack, too."""
    query: tuple[Query, ...] = ()
    problems: tuple[str, ...] = ()
    """Codes beside those that every address of its kind has (`list_codes`)."""
    signed: bool = False
    also: tuple[str, ...] = ()
    """Other media types that the query can ask for."""
    other: tuple[tuple[int, type], ...] = ()
    """Answers of other statuses than 200 that are no plain problems."""
    may_sign: bool = False
    """A signature is asked for in some cases."""
    scope: Scope | None = None
    """A bearer token with this scope is asked for; instead of a signature, where there could be one."""
    cost: int = 1
    """Units of a caller's allowance (`node.api.throttle`); 0: it is not counted."""
    closable: bool = False
    """The settings can ask for a token with the scope `monitor`."""


_REF: Final = "#/components/schemas/{name}"
_SIGNED: Final = ("signature_missing", "signature_invalid", "signature_stale")
_OF_THE_NODE: Final = ("livez", "readyz", "metrics", "openapi.json", "docs", "status", "genesis", "network")
WEBSOCKET: Final = "websocket"
"""As an answer: the connection becomes a websocket."""
TITLE: Final = "Liushui node API"
_BINARY: Final = {"type": "string", "format": "binary"}
_EVENT: Final = {
    "type": "object",
    "description": "One server-sent event.",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["data"],
}
_PROBLEM_HEADERS: Final = {
    "Content-Language": {"description": "zh or en.", "schema": {"type": "string", "enum": ["en", "zh"]}},
}
_RETRY: Final = {
    "Retry-After": {"description": "Seconds to wait before asking again.", "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE: Final = {
    "WWW-Authenticate": {"description": "By signature, token, or either.", "schema": {"type": "string"}}
}
_HEIGHT: Final = {
    "Liushui-Height": {"description": "Height the answer was read at.", "schema": {"type": "integer", "minimum": 0}}
}


def make_document(endpoints: Sequence[Endpoint], version: str, *, also: Sequence[type] = ()) -> dict[str, Any]:
    """The whole document."""
    kinds = {each for one in endpoints for each in (one.answer, one.request) if isinstance(each, type)}
    kinds |= {kind for one in endpoints for _, kind in one.other}
    ordered = sorted(kinds | {Problem, *also}, key=lambda kind: kind.__name__)
    schemas, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    by_kind = dict(zip(ordered, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for one in endpoints:
        paths.setdefault(one.path, {})[one.method.lower()] = _make_operation(one, by_kind)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": TITLE,
            "version": version,
            "description": "Ids are lower-case hex, money is integer minor units, errors are RFC 9457 problems with"
            " a stable code. Reads carry the height they were made at.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "this node"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "request_signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Liushui-Signature",
                    "description": "key,ms,signature in hex over LSH1 | METHOD LF path LF ms; holds for 60 seconds.",
                },
                "bearer_token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token that the node's operator made: liushui token create. What it must be good"
                    " for is named at each address.",
                },
            },
        },
    }


def list_codes(one: Endpoint) -> tuple[str, ...]:
    """All codes of problems that an address can answer with."""
    signing = _SIGNED if one.signed or one.may_sign else ()
    schemas = [*(find_path_schema(name) for name in _parts(one)), *(each.schema for each in one.query)]
    ids = ("malformed_id",) if HEX in schemas else ()
    showing: tuple[str, ...] = () if one.scope is None else ("token_invalid", "insufficient_scope")
    if one.scope is not None and not signing:
        showing = ("token_missing", *showing)
    limited = ("too_many_requests",) if one.cost else ()
    return tuple(dict.fromkeys(("internal", "malformed_request", *limited, *ids, *signing, *showing, *one.problems)))


def _make_operation(one: Endpoint, by_kind: dict[type, Any]) -> dict[str, Any]:
    parameters = [
        _make_parameter("path", Query(name, "", find_path_schema(name), required=True)) for name in _parts(one)
    ]
    parameters += [_make_parameter("query", each) for each in one.query]
    answers = _make_answers(one, by_kind)
    operation: dict[str, Any] = {
        "operationId": one.handler.__name__,
        "summary": one.summary,
        "x-summary-zh": SUMMARIES_ZH.get(one.handler.__name__, one.summary),
        "tags": [_name_group(one.path)],
        "responses": answers,
    }
    if parameters:
        operation["parameters"] = parameters
    if one.request is not None:
        taken = _content(one.request, by_kind)
        if one.packed:
            taken["application/msgpack"] = {"schema": _BINARY}
        operation["requestBody"] = {"required": True, "content": taken}
    if one.signed or one.may_sign or one.scope is not None:
        operation["security"] = _list_ways(one)
    operation["responses"] |= _make_refusals(one, by_kind)
    return operation


def _list_ways(one: Endpoint) -> list[dict[str, list[str]]]:
    """How to show who asks, each way by itself enough."""
    ways: list[dict[str, list[str]]] = [{}] if one.may_sign else []
    ways += [{"request_signature": []}] if one.signed or one.may_sign else []
    return ways + ([] if one.scope is None else [{"bearer_token": [str(one.scope)]}])


def _make_answers(one: Endpoint, by_kind: dict[type, Any]) -> dict[str, Any]:
    """What comes when all is well."""
    if one.answer == WEBSOCKET:
        return {"101": {"description": "A websocket (RFC 6455); each message is one event as JSON (EventView)"}}
    content = _content(one.answer, by_kind)
    for other in one.also:
        content |= _content(other, by_kind)
    return {"200": {"description": "Success", "headers": _HEIGHT, "content": content}}


def _name_group(path: str) -> str:
    """Under which heading an address is shown."""
    first = path.strip("/").removeprefix("v1/").partition("/")[0]
    return "node" if first in _OF_THE_NODE else first


def _parts(one: Endpoint) -> list[str]:
    return re.findall(r"{(\w+)}", one.path)


def _make_parameter(place: str, query: Query) -> dict[str, Any]:
    made = {"name": query.name, "in": place, "required": query.required, "schema": query.schema}
    return made | ({"description": query.description} if query.description else {})


def _make_refusals(one: Endpoint, by_kind: dict[type, Any]) -> dict[str, Any]:
    """Answers that are not 200, by status."""
    codes, responses = list_codes(one), dict[str, Any]()
    for status in sorted({KINDS[code].status for code in codes}):
        named = [code for code in codes if KINDS[code].status == status]
        headers = dict(_PROBLEM_HEADERS)
        if any(KINDS[code].retryable for code in named):
            headers |= _RETRY
        if status == HTTPStatus.UNAUTHORIZED or "insufficient_scope" in named:
            headers |= _CHALLENGE
        responses[str(status)] = {
            "description": ", ".join(named),
            "headers": headers,
            "content": {"application/problem+json": {"schema": by_kind[Problem]}},
        }
    for status, kind in one.other:
        media = "application/problem+json" if issubclass(kind, Problem) else "application/json"
        found = responses.setdefault(str(status), {"description": HTTPStatus(status).phrase, "content": {}})
        found["content"] = found["content"] | {media: {"schema": by_kind[kind]}}
    return responses


def _content(kind: type | str, by_kind: dict[type, Any]) -> dict[str, Any]:
    if kind == "text/event-stream":
        return {kind: {"schema": _EVENT}}
    if kind == "application/json":
        return {kind: {"schema": {"type": "object"}}}
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string"} if kind.startswith("text/") else _BINARY}}
    return {"application/json": {"schema": by_kind[kind]}}
