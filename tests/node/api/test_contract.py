"""The API keeps to its own document: every operation, asked rightly and wrongly, answers what the document says.

No answer is a 5xx but where the document names one, each has a declared status, type and shape, what the document
forbids is refused, and every address is seen to work on real data.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from schemathesis.specs.openapi import definitions

from node.api.app import ENDPOINTS, make_openapi
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
NEEDS_BYTES = ("POST /v1/transactions", "PUT /v1/vault/documents/{digest}")
"""Signed transactions and sealed documents are not guessed: other tests send real ones."""
DEEP = r"/v1/(events|loans|transactions|nonce/\{key\}|blocks/\{height\})$"
"""Operations whose every parameter is varied in the fast tier too."""
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
    assert silent == {*NOT_HERE, *NEEDS_BYTES}


@pytest.mark.filterwarnings("default")
def test_every_parameter_is_held_to_its_limits(world: World) -> None:
    """One below, at and above each bound, left out, given twice, of another type, and by methods that are not there."""
    outcome = explore(world, examples=1, coverage=True, only=DEEP)
    check(outcome)
    assert all({400, 405} <= found for found in outcome.statuses.values()), outcome.statuses


@pytest.mark.long
@pytest.mark.filterwarnings("default")
def test_every_operation_in_depth(world: World) -> None:
    """All bounds of all parameters of all operations, and sixty guesses more of each."""
    outcome = explore(world, examples=60, coverage=True)
    check(outcome)
    assert set(outcome.statuses) == list_operations()
    assert outcome.requests > 3_000
