"""The API keeps to its own document: every operation, asked rightly and wrongly, answers what the document says.

No answer is a 5xx but where the document names one, each has a declared status, type and shape, what the document
forbids is refused, and every address is seen to work on real data.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from schemathesis.specs.openapi import definitions

from node.api.app import make_openapi
from node.api.endpoints import ENDPOINTS
from tests.node.api.contract import Outcome, World, explore, running

NOT_HERE = (
    "GET /v1/alerts",
    "GET /v1/alerts/stream",
    "GET /v1/assets/{id}",
    "GET /v1/lines/{id}",
    "GET /v1/lines/{id}/quote",
    "GET /v1/loans/{id}/extension",
    "GET /v1/portfolio/signals",
)
"""What a term loan has not, and a node that watches nothing: its 404 is all there is."""
NEEDS_MORE = ("GET /v1/events/ws",)
"""A websocket, which is no request: test_socket opens one."""
NEEDS_BYTES = ("POST /v1/transactions", "PUT /v1/vault/documents/{digest}")
"""Signed transactions and sealed documents are not guessed: other tests send real ones."""
DEEP = r"/v1/(events|loans|transactions|nonce/\{key\}|blocks/\{height\})$"
"""Operations whose every parameter is varied in the fast tier too."""
PARTS_OF_IT = (
    "^/(livez|readyz|metrics)",
    "^/v1/(docs|openapi|status|genesis|network)",
    "^/v1/(transactions|blocks|events|proofs)",
    "^/v1/(accounts|nonce|pools|products|proposals)",
    "^/v1/(applications|offers|data|consents|erasures)",
    "^/v1/loans",
    "^/v1/(disputes|amendments|lines|assets)",
    "^/v1/(portfolio|regulator|exposure|trial-balance)",
    "^/v1/(alerts|vault|operator)",
)
"""Operations by address, so that no test takes long."""
EITHER = re.compile(r"portfolio\?.*(lender=.*pool=|pool=.*lender=)")
"""A lender or a pool: that one excludes the other, a schema cannot say."""
UNREADABLE = re.compile(r"Content-Type: application/(msgpack|octet-stream)")
"""The document can only say that a body is bytes."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A node with a loan."""
    folder: Path = tmp_path_factory.mktemp("contract")
    with running(folder) as found:
        yield found


def list_operations() -> set[str]:
    return {f"{one.method} {one.path}" for one in ENDPOINTS}


def check(outcome: Outcome) -> None:
    """No failure but those that a schema cannot rule out."""
    told = [
        one
        for one in outcome.failures
        if not ("Schema-valid request rejected" in one and (EITHER.search(one) or UNREADABLE.search(one)))
    ]
    assert told == []


def test_the_document_is_valid() -> None:
    """It keeps to the OpenAPI Initiative's own schema of version 3.1, and names every code that can be answered."""
    document = make_openapi("1.0.0")
    assert [
        (str(one.instance_path), one.message) for one in definitions.OPENAPI_31_VALIDATOR.iter_errors(document)
    ] == []
    broken = {**document, "info": {"title": 1}}
    assert next(definitions.OPENAPI_31_VALIDATOR.iter_errors(broken), None) is not None


@pytest.mark.filterwarnings("default")
def test_every_operation_keeps_to_the_document(world: World) -> None:
    """Asked with real ids and with made ones, rightly and wrongly; each works at least once on what exists."""
    outcome = explore(world, examples=2, coverage=False)
    check(outcome)
    assert set(outcome.statuses) == list_operations()
    silent = {name for name, found in outcome.statuses.items() if not found & {200, 202}}
    assert silent == {*NOT_HERE, *NEEDS_MORE, *NEEDS_BYTES}


@pytest.mark.filterwarnings("default")
def test_every_parameter_is_held_to_its_limits(world: World) -> None:
    """One below, at and above each bound, left out, given twice, of another type, and by methods that are not there."""
    outcome = explore(world, examples=1, coverage=True, only=DEEP)
    check(outcome)
    assert all({400, 405} <= found for found in outcome.statuses.values()), outcome.statuses


@pytest.mark.long
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("only", PARTS_OF_IT)
def test_every_operation_in_depth(world: World, only: str) -> None:
    """All bounds of all parameters, and twenty guesses more of each operation."""
    outcome = explore(world, examples=20, coverage=True, only=only)
    check(outcome)
    assert set(outcome.statuses) == {name for name in list_operations() if re.search(only, name.split()[1])}


@pytest.mark.long
def test_the_depth_leaves_nothing_out() -> None:
    """The parts that are explored in depth are all there is."""
    assert [one.path for one in ENDPOINTS if not any(re.search(part, one.path) for part in PARTS_OF_IT)] == []
