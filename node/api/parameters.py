"""Parameters of addresses, said once in the words of JSON Schema: shown by the document, and held to by requests.

    Query("limit", "Items on the page.", LIMIT)  ->  a row of the document, and a refusal of limit=0 before any handler

A name that an address does not know is refused, because a filter that is spelt wrongly and ignored shows everything.
Never a rule of one handler alone here.
"""

import re
from collections.abc import Iterable, Sequence
from enum import Enum
from functools import cache
from typing import Any, Final, NamedTuple

from aiohttp import web

from node.api.problems import ProblemError
from protocol.limits import PAGE_ITEMS_MAX

Schema = dict[str, Any]
NUMBER_MAX: Final = 2**53 - 1
HEX: Final[Schema] = {"type": "string", "pattern": "^[0-9a-f]{64}$", "examples": ["5c" * 32]}
POSITION: Final[Schema] = {"type": "string", "pattern": "^[0-9]{1,16}-[0-9]{1,16}$", "examples": ["12-0"]}
HEIGHT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": NUMBER_MAX, "examples": [12]}
LIMIT: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": PAGE_ITEMS_MAX, "default": 100, "examples": [20]}
WORD: Final[Schema] = {"type": "string", "pattern": "^[a-z][a-z0-9_.]{0,63}$", "examples": ["repaid"]}
KINDS_ASKED_MAX: Final = 32
WORDS: Final[Schema] = {"type": "array", "items": WORD, "maxItems": KINDS_ASKED_MAX}
IN_PATH: Final[dict[str, Schema]] = {"height": HEIGHT}
"""Parts of an address that are no id."""


class Query(NamedTuple):
    """One parameter of an address."""

    name: str
    description: str
    schema: Schema
    required: bool = False


PAGE: Final = (
    Query("limit", "Items on the page.", LIMIT),
    Query("after", "Id of the last item of the page before.", HEX),
)


def one_of(names: Iterable[str] | type[Enum], **more: Any) -> Schema:
    """The schema of a word out of a list, or of the lower-case names of an enum."""
    found = [one.name.lower() for one in names] if isinstance(names, type) else list(names)
    return {"type": "string", "enum": found, "examples": found[:1], **more}


def find_path_schema(name: str) -> Schema:
    """What a part of an address must look like."""
    return IN_PATH.get(name, HEX)


@cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.removeprefix("^").removesuffix("$"))


def describe_misfit(schema: Schema, text: str) -> str | None:
    """Why a text is no value of a schema, to follow the parameter's name; None when it is one."""
    if schema["type"] == "integer":
        lowest, highest = schema.get("minimum", 0), schema.get("maximum", NUMBER_MAX)
        if not (text.isascii() and text.isdecimal() and len(text) <= 16 and lowest <= int(text) <= highest):
            return f"must be an integer from {lowest} to {highest}"
    elif "enum" in schema:
        if text not in schema["enum"]:
            return f"must be one of {', '.join(schema['enum'])}"
    elif "pattern" in schema and _compile(schema["pattern"]).fullmatch(text) is None:
        return "must be 64 lower-case hexadecimal digits" if schema is HEX else f"must match {schema['pattern']}"
    return None


def check_parameters(request: web.Request, asked: Sequence[Query]) -> None:
    """Raise ProblemError(malformed_request, malformed_id) unless path and query are what the document says."""
    for name, text in request.match_info.items():
        _check(find_path_schema(name), name, text)
    known = {one.name: one for one in asked}
    counts: dict[str, int] = {}
    for name, text in request.query.items():
        found = known.get(name)
        if found is None:
            names = ", ".join(known) or "none"
            raise ProblemError("malformed_request", f"{name[:40]!r} is no parameter of this address; it takes {names}.")
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > found.schema.get("maxItems", 1):
            raise ProblemError("malformed_request", f"{name} is given too often.")
        _check(found.schema.get("items", found.schema), name, text)
    missing = next((one.name for one in asked if one.required and one.name not in counts), None)
    if missing is not None:
        raise ProblemError("malformed_request", f"{missing} is missing.")


def _check(schema: Schema, name: str, text: str) -> None:
    misfit = describe_misfit(schema, text)
    if misfit is not None:
        raise ProblemError("malformed_id" if schema is HEX else "malformed_request", f"{name} {misfit}.")
