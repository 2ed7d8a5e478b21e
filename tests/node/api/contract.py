"""A running API under schemathesis: a node with a real loan in it, on a thread of its own, asked by the document.

Requests are made from nothing but the document that the node serves; the ids in its examples are replaced by ids that
exist, and what must be signed is signed. Never an expectation of one address here.
"""

import asyncio
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import requests
import schemathesis
from aiohttp.test_utils import TestServer
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from node.api.access import ApiSettings
from node.api.app import make_app
from node.api.events import KEEP_ALIVE_S
from node.api.signing import HEADER, sign_request
from node.client.http import NodeClient
from node.tokens import Scope, TokenRoom, add_token, make_token
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import Height, TransactionId
from tests.node.api.harness import DevNode, make_keys, make_seed
from tests.node.api.test_reads import make_loan

PARTS: Final = {
    "accounts": "account",
    "amendments": "amendment",
    "applications": "application",
    "disputes": "dispute",
    "documents": "document",
    "loans": "loan",
    "offers": "offer",
    "pools": "pool",
    "products": "product",
    "proposals": "proposal",
    "transactions": "transaction",
    "nonce": "key",
    "data": "data",
    "erasures": "data",
    "access-log": "data",
    "exposure": "tag",
    "bans": "peer",
}
"""Which id stands behind which part of an address."""
FILTERS: Final = {"borrower": "account", "lender": "lender", "pool": "pool", "loan": "loan", "owner": "account"}


class World(NamedTuple):
    """Where the node is, what it says of itself, and what exists in it."""

    url: str
    document: dict[str, Any]
    ids: dict[str, str]
    now_ms: Any
    token: str
    """Good for all."""


class Outcome(NamedTuple):
    """What was asked and what came of it."""

    statuses: dict[str, set[int]]
    """By operation."""
    failures: list[str]
    requests: int


class _BriefNode(DevNode):
    """Once `brief`, it waits for nothing, and its streams end where there is nothing new, as if the client had gone."""

    brief = False

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> Any:
        return await super().wait_final(transaction_id, 0 if self.brief else timeout_s)

    async def wait_height_beyond(self, height: Height, timeout_s: float) -> Height:
        found = await super().wait_height_beyond(height, 0 if self.brief else timeout_s)
        if self.brief and found <= height and timeout_s >= KEEP_ALIVE_S:
            raise ConnectionResetError
        return found


async def _serve(folder: Path, opened: "queue.Queue[Any]", closing: asyncio.Event) -> None:
    """The node with its API, from its loan on until the event."""
    node = await _BriefNode.open(folder)
    secret, token = make_token("contract", tuple(Scope), node.now_ms())
    add_token(folder, token)
    settings = ApiSettings(tokens=TokenRoom(folder))
    try:
        async with TestServer(make_app(node, settings, now_ms=node.now_ms)) as server:
            async with NodeClient(str(server.make_url("/")), timeout_s=30) as client:
                ids = await make_loan(node, client)
                document = await client.get("/v1/openapi.json")
            ids["tag"] = calculate_hash("tag", b"li-na").hex()
            ids["peer"] = make_keys("jade").node.public_key.hex()
            ids["lender"] = node.make_officer("harbour").account.hex()
            node.brief = True
            opened.put(World(str(server.make_url("")).rstrip("/"), document, ids, node.now_ms, secret))
            await closing.wait()
    finally:
        await node.close()


@contextmanager
def running(folder: Path) -> Iterator[World]:
    """The node and its API, served by a thread until the block ends."""
    opened, loops = queue.Queue[World | BaseException](), queue.Queue[tuple[Any, asyncio.Event]]()

    async def serve() -> None:
        closing = asyncio.Event()
        loops.put((asyncio.get_running_loop(), closing))
        try:
            await _serve(folder, opened, closing)
        except BaseException as error:
            opened.put(error)
            raise

    thread = threading.Thread(target=asyncio.run, args=(serve(),), name="api-under-test")
    thread.start()
    loop, closing = loops.get()
    try:
        found = opened.get()
        if not isinstance(found, World):
            raise AssertionError("the node did not start") from found
        yield found
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(closing.set)
        thread.join()


def name_real_ids(world: World) -> dict[str, Any]:
    """The document with ids that exist as the examples of its parameters."""
    document: dict[str, Any] = {**world.document, "paths": {}}
    for path, operations in world.document["paths"].items():
        parts = path.split("/")
        kind = next((PARTS[one] for one in parts if one in PARTS and parts[-1] != one), None)
        document["paths"][path] = {
            method: {**each, "parameters": [_place(one, kind, world.ids) for one in each.get("parameters", [])]}
            for method, each in operations.items()
        }
    return document


def _place(parameter: dict[str, Any], kind: str | None, ids: dict[str, str]) -> dict[str, Any]:
    name, is_hex = parameter["name"], "[0-9a-f]{64}" in parameter["schema"].get("pattern", "")
    real = kind if parameter["in"] == "path" else FILTERS.get(name)
    if not is_hex or real is None:
        return parameter
    schema = {key: value for key, value in parameter["schema"].items() if key != "examples"}
    return {**parameter, "schema": schema, "example": ids[real]}


@schemathesis.serializer("application/msgpack", "application/octet-stream")
def serialise(context: Any, value: Any) -> bytes:
    """Bodies that are no JSON: any bytes at all."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


def _make_signing(world: World) -> type:
    officer, owner = KeySigner(make_seed("harbour/officer")), KeySigner(make_seed("li-na"))

    class Signing:
        def get(self, case: Any, context: Any) -> str:
            return "signed"

        def set(self, case: Any, data: str, context: Any) -> None:
            ways = {name for one in case.operation.definition.raw.get("security", ()) for name in one}
            if "request_signature" not in ways:
                case.headers["Authorization"] = f"Bearer {world.token}"
                return
            wanted = case.as_transport_kwargs()
            request = requests.Request(wanted["method"], wanted["url"], params=wanted.get("params")).prepare()
            signer = owner if "/vault/" in case.path else officer
            case.headers[HEADER] = sign_request(signer, case.method, request.path_url, world.now_ms())

    return Signing


def explore(world: World, *, examples: int, coverage: bool, only: str = "") -> Outcome:
    """Ask the node what its document allows, and what it does not, `examples` times and more for each operation."""
    config = SchemathesisConfig.from_dict(
        {
            "base-url": world.url,
            "seed": 1,
            "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True},
            "max-stream-events": 1,
            "request-timeout": 30,
            "continue-on-failure": True,
            "checks": {
                "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "404", "409", "422", "426"]}
            },
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": coverage}},
        }
    )
    schema: Any = schemathesis.openapi.from_dict(name_real_ids(world), config=config)
    schema.auth()(_make_signing(world))
    statuses, failures, count = defaultdict[str, set[int]](set), list[str](), 0
    for event in from_schema(schema.include(path_regex=only) if only else schema).execute():
        if isinstance(event, events.ScenarioFinished):
            for one in event.recorder.interactions.values():
                if one.response is not None:
                    count += 1
                    statuses[str(event.label)].add(one.response.status_code)
            failures += [
                f"{event.label}: {check.failure_info.failure.title}: {check.failure_info.failure.message}"
                f" [{check.failure_info.code_sample}]"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.status == Status.FAILURE and check.failure_info is not None
            ]
        elif isinstance(event, events.NonFatalError | events.FatalError):
            failures.append(f"{getattr(event, 'label', 'engine')}: {getattr(event, 'value', None) or event!r}")
    return Outcome(dict(statuses), failures, count)
