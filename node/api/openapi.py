"""The OpenAPI 3.1 document of this node, made from the same types that the answers are encoded from.

An address that is not in the table is not served, and the other way round. Never a hand-written schema here.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from aiohttp import web

from node.api.problems import KINDS, Problem

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Query(NamedTuple):
    """One parameter of an address."""

    name: str
    description: str
    schema: dict[str, Any]
    required: bool = False


class Endpoint(NamedTuple):
    """One address: what serves it, what it takes and gives."""

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type | str
    """A type for JSON, or a media type for anything else."""
    request: type | str | None = None
    query: tuple[Query, ...] = ()
    problems: tuple[str, ...] = ()
    signed: bool = False
    also: tuple[str, ...] = ()
    """Other media types that the query can ask for."""


_REF: Final = "#/components/schemas/{name}"
TITLE: Final = "Liushui node API"
_BINARY: Final = {"type": "string", "format": "binary"}


def make_document(endpoints: Sequence[Endpoint], version: str, *, also: Sequence[type] = ()) -> dict[str, Any]:
    """The whole document."""
    kinds = {each for one in endpoints for each in (one.answer, one.request) if isinstance(each, type)}
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
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "request_signature": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Liushui-Signature",
                    "description": "key,ms,signature in hex over LSH1 | METHOD LF path LF ms; holds for 60 seconds.",
                }
            },
        },
    }


def _make_operation(one: Endpoint, by_kind: dict[type, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", one.path)
    ]
    parameters += [
        {
            "name": each.name,
            "in": "query",
            "required": each.required,
            "description": each.description,
            "schema": each.schema,
        }
        for each in one.query
    ]
    content = _content(one.answer, by_kind)
    for other in one.also:
        content |= _content(other, by_kind)
    operation: dict[str, Any] = {
        "operationId": one.handler.__name__,
        "summary": one.summary,
        "responses": {"200": {"description": "Success", "content": content}},
    }
    if parameters:
        operation["parameters"] = parameters
    if one.request is not None:
        taken = _content(one.request, by_kind)
        if isinstance(one.request, type):
            taken["application/msgpack"] = {"schema": _BINARY}
        operation["requestBody"] = {"required": True, "content": taken}
    if one.signed:
        operation["security"] = [{"request_signature": []}]
    problem = {"application/problem+json": {"schema": by_kind[Problem]}}
    codes = ("internal", *one.problems)
    for status in sorted({KINDS[code].status for code in codes}):
        named = [code for code in codes if KINDS[code].status == status]
        operation["responses"][str(status)] = {"description": ", ".join(named), "content": problem}
    return operation


def _content(kind: type | str, by_kind: dict[type, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        return {kind: {"schema": {"type": "string"} if kind.startswith("text/") else _BINARY}}
    return {"application/json": {"schema": by_kind[kind]}}
