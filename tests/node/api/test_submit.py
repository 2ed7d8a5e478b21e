"""Submission: one answer per transaction with a stable code, whatever the bytes; the same twice is no fault."""

import asyncio
import base64
import io
import json
import time
import tracemalloc
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from node.api import reading
from node.api.ports import BusyReason
from node.api.problems import BUSY, ProblemError
from node.api.submit import _read_items
from node.client.http import ApiError, NodeClient
from node.client.wallet import Wallet
from protocol.batch import BatchItem, Sidecar, calculate_transaction_id
from protocol.codec import encode
from protocol.crypto import KeySigner
from protocol.ids import ChainId, Digest, ModelId, TimeMs
from protocol.limits import REQUEST_BODY_BYTES_MAX, SUBMIT_BODY_BYTES_MAX, TRANSACTION_BYTES_MAX, VALID_FOR_MS_MAX
from protocol.money import Amount, Currency
from tests.node.api.harness import CNY, DevNode, make_seed


async def post(server: TestServer, body: bytes, kind: str = "application/json", **headers: str) -> tuple[int, Any]:
    async with ClientSession() as session:
        address = server.make_url("/v1/transactions")
        async with session.post(address, data=io.BytesIO(body), headers={"Content-Type": kind, **headers}) as answer:
            return answer.status, json.loads(await answer.read())


def pack(*items: BatchItem) -> bytes:
    return json.dumps(
        {"transactions": [{"transaction": base64.b64encode(item.transaction).decode()} for item in items]}
    ).encode()


async def test_a_transfer_is_finalised_and_told(node: DevNode, server: TestServer, client: NodeClient) -> None:
    """JSON in, wait=final: status finalised with height and index, and the transaction can be read back."""
    wallet = await node.open_borrower("li-na")
    intent = wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(5))
    status, answer = await post(server, pack(intent.item))
    assert (status, answer["results"][0]["status"]) == (202, "accepted")
    assert answer["results"][0]["id"] == intent.id.hex()
    (result,) = await client.submit([intent.item], wait_final=True)
    assert (result.status, result.height) == ("finalised", node.ledger.height)
    found = await client.get(f"/v1/transactions/{intent.id.hex()}")
    assert (found["type"], found["success"], found["payload"]["amount"]) == ("Transfer", True, 5)


async def test_submitting_twice_executes_once(node: DevNode, client: NodeClient) -> None:
    """The second submission of the same id is answered like the first, and no money moves again."""
    wallet = await node.open_borrower("li-na")
    intent = wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(5))
    first = await client.submit([intent.item], wait_final=True)
    again = await client.submit([intent.item], wait_final=True)
    plain = await client.submit([intent.item])
    assert first == again == plain
    account = await client.get(f"/v1/accounts/{wallet.account.hex()}")
    assert account["balances"] == [{"book": "cash", "currency": "CNY", "exponent": 2, "amount": 99_995}]


async def test_every_refusal_at_the_door_has_its_code(node: DevNode, server: TestServer) -> None:
    """Malformed, oversized, wrongly signed, wrong-chain, expired, unknown or replayed: each by its own code."""
    wallet = await node.open_borrower("li-na")
    to = node.make_officer("clearing").account

    def transfer(given: Wallet) -> BatchItem:
        return given.transfer(to=to, currency=CNY, amount=Amount(5)).item

    def late(valid_to: int) -> Wallet:
        return Wallet(wallet.signer, node.chain_id, nonce_next=50, now_ms=lambda: TimeMs(valid_to - 1), valid_for_ms=1)

    spent = transfer(wallet)
    await node.submit([spent])
    replay = Wallet(wallet.signer, node.chain_id, nonce_next=wallet.nonce_next - 1, now_ms=lambda: node.now_ms())
    other_chain = Wallet(wallet.signer, ChainId(bytes(32)), nonce_next=60, now_ms=node.now_ms)
    stranger = node.make_wallet(KeySigner(make_seed("stranger")))
    good = transfer(wallet).transaction
    cases = {
        "malformed": b"",
        "too_large": bytes(TRANSACTION_BYTES_MAX + 1),
        "not_canonical": _widen(good),
        "wrong_chain": transfer(other_chain).transaction,
        "signature_invalid": _flip_signature(good),
        "expired": transfer(late(node.clock_ms - 1)).transaction,
        "valid_to_too_far": transfer(late(node.clock_ms + VALID_FOR_MS_MAX + 1_000)).transaction,
        "account_unknown": transfer(stranger).transaction,
        "nonce_used": replay.transfer(to=to, currency=CNY, amount=Amount(6)).item.transaction,
    }
    for code, raw in cases.items():
        status, answer = await post(server, pack(BatchItem(transaction=raw)))
        assert (status, answer["code"]) == (422, code), (code, answer)
        assert answer["results"][0]["rejection"]["sentence"]


def _flip_signature(raw: bytes) -> bytes:
    return raw[:-2] + bytes((raw[-2] ^ 1,)) + raw[-1:]


def _widen(raw: bytes) -> bytes:
    """The outer array of three written as array16: the same value in another encoding."""
    assert raw[0] == 0x93
    return b"\xdc\x00\x03" + raw[1:]


async def test_a_refusal_in_execution_is_told_with_its_height(node: DevNode, client: NodeClient) -> None:
    """A transaction that the books refuse is final too: rejected, with the ledger's code and where it stands."""
    wallet = await node.open_borrower("li-na")
    intent = wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(100_001))
    (result,) = await client.submit([intent.item], wait_final=True)
    assert result.rejection is not None
    assert (result.status, result.rejection.code, result.height) == ("rejected", "funds_short", node.ledger.height)
    found = await client.get(f"/v1/transactions/{intent.id.hex()}")
    assert (found["success"], found["rejection"]["code"]) == (False, "funds_short")


async def test_each_of_a_group_gets_its_own_answer(node: DevNode, client: NodeClient) -> None:
    """Good and bad ones in one request do not disturb each other, and answers stand in the order asked."""
    wallet = await node.open_borrower("li-na")
    to = node.make_officer("clearing").account
    items = [
        wallet.transfer(to=to, currency=CNY, amount=Amount(1)).item,
        BatchItem(transaction=b"nonsense"),
        wallet.transfer(to=to, currency=Currency("USD"), amount=Amount(1)).item,
        wallet.transfer(to=to, currency=CNY, amount=Amount(2)).item,
    ]
    results = await client.submit(items, wait_final=True)
    told = [(one.status, None if one.rejection is None else one.rejection.code) for one in results]
    assert told == [
        ("finalised", None),
        ("rejected", "malformed"),
        ("rejected", "currency_unknown"),
        ("finalised", None),
    ]


async def test_a_stray_sidecar_is_refused(node: DevNode, client: NodeClient) -> None:
    """Only applications carry sidecars."""
    wallet = await node.open_borrower("li-na")
    intent = wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(1))
    sidecar = Sidecar(model=ModelId(bytes(32)), salt=Digest(bytes(32)), bins=(1,))
    (result,) = await client.submit([BatchItem(transaction=intent.item.transaction, sidecars=(sidecar,))])
    assert result.rejection is not None
    assert result.rejection.code == "sidecar_mismatch"


@pytest.mark.parametrize(
    ("kind", "body", "status", "code"),
    [
        ("application/json", b"", 400, "malformed_request"),
        ("application/json", b"[]", 400, "malformed_request"),
        ("application/json", b'{"transactions":[]}', 400, "malformed_request"),
        ("application/json", b'{"transactions":[{"transaction":"***"}]}', 400, "malformed_request"),
        ("application/json", b'{"transactions":[{"transaction":"AA==","extra":1}]}', 400, "malformed_request"),
        ("application/json", b"\xff\xfe", 400, "malformed_request"),
        ("application/json", b"[" * 50_000, 400, "malformed_request"),
        (
            "application/json",
            b'{"transactions":[{"transaction":"AA==","sidecars":[{"model":"zz","salt":"zz","bins":[]}]}]}',
            400,
            "malformed_request",
        ),
        ("application/msgpack", b"\xc1", 400, "malformed_request"),
        ("application/msgpack", encode([]), 400, "malformed_request"),
        ("application/msgpack", b"\xdc\x00\x01" + encode(BatchItem(transaction=b"")), 400, "malformed_request"),
        ("text/plain", b"lend me money", 415, "unsupported_media"),
    ],
)
async def test_a_broken_request_is_a_problem(
    server: TestServer, kind: str, body: bytes, status: int, code: str
) -> None:
    """No body raises or is logged; each is a problem with a stable code (RFC 9457)."""
    with capture_logs() as logs:
        found, problem = await post(server, body, kind)
    assert (found, problem["code"], problem["status"]) == (status, code, status)
    assert problem["type"] == f"urn:liushui:problem:{code}"
    assert problem["retryable"] is False
    assert logs == []


async def test_an_oversized_body_is_a_problem(server: TestServer) -> None:
    """Beyond the limit the node stops reading and says so."""
    assert SUBMIT_BODY_BYTES_MAX < REQUEST_BODY_BYTES_MAX
    status, problem = await post(server, bytes(SUBMIT_BODY_BYTES_MAX + 1), "application/msgpack")
    assert (status, problem["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/msgpack", b"\xdd" + (500_000).to_bytes(4) + b"\x92\xc4\x00\x90" * 500_000),
        ("application/json", b'{"transactions":[' + b",".join([b'{"transaction":""}'] * 100_000) + b"]}"),
    ],
)
def test_a_request_of_too_many_transactions_is_refused_before_they_are_decoded(kind: str, body: bytes) -> None:
    """A list of a hundred thousand costs no objects: a node that decoded it would stand still meanwhile."""
    tracemalloc.start()
    try:
        with pytest.raises(ProblemError) as caught:
            _read_items(kind, body)
        assert caught.value.code == "malformed_request"
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


async def test_problems_speak_the_readers_language(server: TestServer) -> None:
    """The title follows Accept-Language, the code does not."""
    _, english = await post(server, b"")
    _, chinese = await post(server, b"", **{"Accept-Language": "zh-CN,en;q=0.5"})
    assert english["code"] == chinese["code"]
    assert english["title"].isascii()
    assert not chinese["title"].isascii()


async def test_a_full_pool_is_busy_and_says_when(node: DevNode, client: NodeClient, server: TestServer) -> None:
    """503 with Retry-After and retryable, so that clients wait instead of giving up."""
    wallet = await node.open_borrower("li-na")
    item = wallet.transfer(to=wallet.account, currency=CNY, amount=Amount(1)).item
    node.full = True
    with pytest.raises(ApiError) as caught:
        await client.submit([item])
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (503, "busy", True)
    async with (
        ClientSession() as session,
        session.post(
            server.make_url("/v1/transactions"), data=pack(item), headers={"Content-Type": "application/json"}
        ) as answer,
    ):
        assert answer.headers["Retry-After"] == "2"


async def test_a_busy_node_says_why_in_the_readers_language(node: DevNode, server: TestServer) -> None:
    """A stable reason for programs, a sentence for people."""
    wallet = await node.open_borrower("li-na")
    body = pack(wallet.transfer(to=wallet.account, currency=CNY, amount=Amount(1)).item)
    node.full = True
    status, english = await post(server, body)
    _, chinese = await post(server, body, **{"Accept-Language": "zh-CN"})
    assert (
        (status, english["code"], english["reason"]) == (503, "busy", "pool_full") == (503, "busy", chinese["reason"])
    )
    assert english["detail"].isascii()
    assert not chinese["detail"].isascii()
    assert set(BUSY) == set(get_args(BusyReason))


async def test_of_a_group_that_does_not_fit_each_is_told_what_became_of_it(node: DevNode, server: TestServer) -> None:
    """Taken ones are told as ever, the others are `busy`, and the answer says when to come back."""
    wallet = await node.open_borrower("li-na")
    to = node.make_officer("clearing").account
    group = [wallet.transfer(to=to, currency=CNY, amount=Amount(i)).item for i in (1, 2, 3)]
    node.room, node.mute = 2, True
    status, answer = await post(server, encode(group), "application/msgpack")
    assert (status, answer["retry_after_ms"]) == (202, 1_000)
    assert [one["status"] for one in answer["results"]] == ["accepted", "accepted", "busy"]
    assert answer["results"][2]["id"] == calculate_transaction_id(group[2].transaction).hex()


async def test_the_client_waits_for_a_busy_node_and_sends_the_rest_again(node: DevNode, server: TestServer) -> None:
    """Busy altogether, then room for two, then for the third: one result each, in order, and each executed once."""
    wallet = await node.open_borrower("li-na")
    to = node.make_officer("clearing").account
    group = [wallet.transfer(to=to, currency=CNY, amount=Amount(i)).item for i in (1, 2, 3)]
    node.busy_times, node.room = 1, 2
    async with NodeClient(str(server.make_url("/")), patience_s=10) as client:
        results = await client.submit(group, wait_final=True)
    assert [one.status for one in results] == ["finalised"] * 3
    assert [one.id for one in results] == [calculate_transaction_id(one.transaction).hex() for one in group]
    assert results[2].height == (results[0].height or 0) + 1


async def test_the_clients_patience_ends_in_a_clear_error_or_in_what_was_taken(
    node: DevNode, server: TestServer
) -> None:
    """Nothing was taken: the node's own problem. A part was: its results, and `busy` for the rest."""
    wallet = await node.open_borrower("li-na")
    to = node.make_officer("clearing").account
    group = [wallet.transfer(to=to, currency=CNY, amount=Amount(i)).item for i in (1, 2)]
    async with NodeClient(str(server.make_url("/")), patience_s=3) as client:
        node.full = True
        began_s = time.monotonic()
        with pytest.raises(ApiError) as caught:
            await client.submit(group)
        assert (caught.value.code, caught.value.retry_after_s) == ("busy", 2.0)
        assert 2.0 <= time.monotonic() - began_s < 30  # it came back when it was told to, and not for ever
        node.full, node.room = False, 0
        assert [one.status for one in await client.submit(group)] == ["busy", "busy"]


async def test_waiting_ends_with_the_time(node: DevNode, client: NodeClient) -> None:
    """What is not final in time is answered as accepted, never as lost."""
    wallet = await node.open_borrower("li-na")
    node.mute = True
    (result,) = await client.submit(
        [wallet.transfer(to=wallet.account, currency=CNY, amount=Amount(1)).item], wait_final=True, timeout_ms=50
    )
    assert (result.status, result.height) == ("accepted", None)


async def test_an_unexpected_error_is_logged_once_and_tells_nothing(node: DevNode, client: NodeClient) -> None:
    """Our own fault is a 500 problem without a word of the exception, and one log line with it."""

    async def break_down(_: object) -> None:
        raise ZeroDivisionError("secret detail")

    node.submit = break_down  # type: ignore[method-assign, assignment]
    with capture_logs() as logs, pytest.raises(ApiError) as caught:
        await client.submit([BatchItem(transaction=b"x")])
    assert (caught.value.status, caught.value.code) == (500, "internal")
    assert "secret" not in json.dumps(caught.value.problem)
    assert [line["event"] for line in logs] == ["request_failed"]


async def test_a_body_that_dribbles_is_not_waited_for(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stable code, and nothing is taken."""
    monkeypatch.setattr(reading, "BODY_WITHIN_S", 0.1)

    async def dribble() -> AsyncIterator[bytes]:
        yield b"\x91"
        await asyncio.sleep(0.5)
        yield b"\x90"

    async with ClientSession() as session:
        address, kind = server.make_url("/v1/transactions"), {"Content-Type": "application/msgpack"}
        async with session.post(address, data=dribble(), headers=kind) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (408, "too_slow")
