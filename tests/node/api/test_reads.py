"""Reads: every answer is of the type that the OpenAPI document names for it, and every wrong address is a problem."""

import json
import re
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from node.api.app import make_openapi
from node.api.endpoints import ENDPOINTS
from node.api.problems import KINDS, Problem
from node.client.http import ApiError, NodeClient
from node.client.offers import check_offer
from node.stops import SENTENCES
from protocol.crypto import KeySigner, calculate_hash
from protocol.genesis import DAY_MS, Genesis
from protocol.ids import BoxKey, Day, ObjectId, TimeMs
from protocol.money import Amount, Ppm
from protocol.transactions.accounts import AccountKind
from protocol.transactions.data import DataErase
from protocol.transactions.governance import PauseSet, Propose
from protocol.transactions.servicing import AmendPropose, DisputeCode, DisputeOpen, Treatment
from tests.node.api.harness import TODAY, DevNode, make_keys, make_seed
from tests.node.api.lending import apply_for, attesting, make_device, make_wish, read_sample

UNKNOWN = "ab" * 32
OF_OTHER_KINDS = ("/v1/lines/{id}", "/v1/lines/{id}/quote", "/v1/assets/{id}", "/v1/loans/{id}/extension")
"""What a term loan has not; test_loan_views reads them."""
OF_LENDERS_NODES = ("/v1/alerts", "/v1/portfolio/signals")
"""What only a node with early warning has; the tests of the monitor read them."""
OF_OPERATORS = ("/v1/operator/peers",)
"""What asks for a token; test_operating reads it."""


async def make_loan(node: DevNode, client: NodeClient) -> dict[str, str]:
    """A loan with everything before it; ids by the name they have in addresses."""
    products = await node.open_market()
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(), make_wish())
    async with attesting(node):
        await device.apply(application)
        found = await device.wait_decisions(application.application, count=2)
    (offer, *_) = found["offers"]
    terms_hash = check_offer(offer)
    assert not isinstance(terms_hash, str), terms_hash
    loan = await device.accept(ObjectId(bytes.fromhex(offer["id"])), terms_hash)
    await node.make_block()
    officer = node.make_officer("harbour")
    proposal = officer.build(Propose(action=PauseSet(families=1), effective_on=Day(TODAY + 1)))
    await node.do(proposal)
    opened = wallet.build(
        DisputeOpen(loan=loan, code=DisputeCode.AMOUNT, amount=Amount(1), evidence=calculate_hash("letter"))
    )
    await node.do(opened)
    # Nothing is amended while the borrower may still withdraw.
    node.clock_ms = TimeMs(node.clock_ms + (node.genesis.policy.cooling_off_days + 1) * DAY_MS)
    amendment = node.make_officer("harbour").build(
        AmendPropose(
            loan=loan,
            instalments=24,
            rate_ppm=Ppm(50_000),
            forgiven=Amount(0),
            interest=Treatment.CARRY,
            fees=Treatment.CARRY,
            penalties=Treatment.CARRY,
            valid_days=5,
        )
    )
    await node.do(amendment)
    await node.do(wallet.build(DataErase(data=(application.data,))))
    return {
        "dispute": opened.made.hex(),
        "amendment": amendment.made.hex(),
        "proposal": proposal.made.hex(),
        "account": wallet.account.hex(),
        "key": wallet.public_key.hex(),
        "pool": (await client.get("/v1/pools"))["items"][0]["id"],
        "product": products["jade"].hex(),
        "application": application.application.hex(),
        "offer": offer["id"],
        "loan": loan.hex(),
        "transaction": application.id.hex(),
        "data": application.data.hex(),
        "document": application.sealed.envelope.digest.hex(),
    }


async def test_every_answer_is_what_the_document_says(node: DevNode, client: NodeClient) -> None:
    """Each JSON endpoint is called on a real loan, and its answer decodes strictly as the declared type."""
    ids = await make_loan(node, client)
    tag = calculate_hash("tag", b"li-na").hex()
    addresses = {
        "/v1/transactions/{id}": f"/v1/transactions/{ids['transaction']}",
        "/v1/blocks/{height}": "/v1/blocks/3",
        "/v1/accounts/{id}": f"/v1/accounts/{ids['account']}",
        "/v1/nonce/{key}": f"/v1/nonce/{ids['key']}",
        "/v1/pools/{id}": f"/v1/pools/{ids['pool']}",
        "/v1/products/{id}": f"/v1/products/{ids['product']}",
        "/v1/applications/{id}": f"/v1/applications/{ids['application']}",
        "/v1/offers/{id}": f"/v1/offers/{ids['offer']}",
        "/v1/loans/{id}": f"/v1/loans/{ids['loan']}",
        "/v1/loans/{id}/history": f"/v1/loans/{ids['loan']}/history",
        "/v1/loans/{id}/disputes": f"/v1/loans/{ids['loan']}/disputes",
        "/v1/loans/{id}/amendments": f"/v1/loans/{ids['loan']}/amendments",
        "/v1/disputes/{id}": f"/v1/disputes/{ids['dispute']}",
        "/v1/amendments/{id}": f"/v1/amendments/{ids['amendment']}",
        "/v1/amendments/{id}/quote": f"/v1/amendments/{ids['amendment']}/quote",
        "/v1/accounts/{id}/exits": f"/v1/accounts/{ids['account']}/exits",
        "/v1/exposure/{tag}": f"/v1/exposure/{tag}",
        "/v1/proposals/{id}": f"/v1/proposals/{ids['proposal']}",
        "/v1/data/{id}": f"/v1/data/{ids['data']}",
        "/v1/erasures/{id}": f"/v1/erasures/{ids['data']}",
        "/v1/vault/access-log/{id}": f"/v1/vault/access-log/{ids['data']}",
    }
    owner, officer = KeySigner(make_seed("li-na")), KeySigner(make_seed("harbour/officer"))
    assert len((await client.get("/v1/applications", borrower=ids["account"], state="taken"))["items"]) == 1
    checked = 0
    for one in ENDPOINTS:
        if (
            one.method != "GET"
            or not isinstance(one.answer, type)
            or one.path in OF_OTHER_KINDS + OF_LENDERS_NODES + OF_OPERATORS
        ):
            continue
        signer = officer if one.signed or one.path == "/v1/applications" else None
        signer = owner if "vault" in one.path else signer
        path = addresses.get(one.path, one.path)
        raw = await client.call("GET", path, signer=signer, now_ms=node.now_ms)
        value = msgspec.json.decode(raw, type=one.answer)
        if one.answer is not Genesis:
            assert set(json.loads(raw)) == {field.name for field in msgspec.structs.fields(one.answer)}, one.path
        assert value is not None
        checked += 1
    assert checked >= 30


async def test_the_document_is_served_and_whole(client: NodeClient) -> None:
    """Every reference resolves, every parameter of a path is declared, every problem status has its schema."""
    served = await client.get("/v1/openapi.json")
    assert served["openapi"].startswith("3.1")
    text = json.dumps(served)
    for reference in re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text):
        assert reference in served["components"]["schemas"], reference
    assert set(served["paths"]) == {one.path for one in ENDPOINTS}
    for path, operations in served["paths"].items():
        for operation in operations.values():
            declared = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))
            assert "500" in operation["responses"]
    assert len({one.handler.__name__ for one in ENDPOINTS}) == len(ENDPOINTS)
    assert make_openapi("1")["paths"] == make_openapi("2")["paths"]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/transactions/{}",
        "/v1/transactions/{}/receipt",
        "/v1/accounts/{}",
        "/v1/pools/{}",
        "/v1/products/{}",
        "/v1/applications/{}",
        "/v1/offers/{}",
        "/v1/loans/{}",
    ],
)
async def test_unknown_and_broken_ids_are_problems(client: NodeClient, path: str) -> None:
    """404 for an id that nothing has, 400 for what is no id; each in the declared shape."""
    for given, status, code in (
        (UNKNOWN, 404, "not_found"),
        ("xyz", 400, "malformed_id"),
        (UNKNOWN.upper(), 400, "malformed_id"),
        ("0", 400, "malformed_id"),
        ("%00" * 4, 400, "malformed_id"),
    ):
        with pytest.raises(ApiError) as caught:
            await client.get(path.format(given))
        assert (caught.value.status, caught.value.code) == (status, code)
        assert msgspec.convert(caught.value.problem, Problem).status == status


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/", 404, "not_found"),
        ("GET", "/v2/status", 404, "not_found"),
        ("GET", "/v1/loans/../status", 200, ""),
        ("DELETE", "/v1/status", 405, "method_not_allowed"),
        ("POST", "/v1/loans", 405, "method_not_allowed"),
        ("GET", "/v1/blocks/0", 400, "malformed_request"),
        ("GET", "/v1/blocks/-1", 400, "malformed_request"),
        ("GET", "/v1/blocks/99999999999999999999", 400, "malformed_request"),
        ("GET", "/v1/blocks/1e3", 400, "malformed_request"),
        ("GET", "/v1/pools?limit=0", 400, "malformed_request"),
        ("GET", "/v1/pools?limit=201", 400, "malformed_request"),
        ("GET", "/v1/pools?limit=x", 400, "malformed_request"),
        ("GET", "/v1/pools?after=x", 400, "malformed_id"),
        ("GET", "/v1/loans?borrower=x", 400, "malformed_id"),
        ("GET", "/v1/exposure/xyz", 401, "signature_missing"),
        ("POST", "/v1/transactions?wait=maybe", 400, "malformed_request"),
        ("POST", "/v1/transactions?timeout_ms=-1", 400, "malformed_request"),
    ],
)
async def test_every_wrong_address_is_a_problem(
    server: TestServer, method: str, path: str, status: int, code: str
) -> None:
    """No address, method or query gives anything but an answer or a problem with a code of the table."""
    async with ClientSession() as session, session.request(method, server.make_url(path)) as answer:
        assert answer.status == status
        if code:
            assert answer.content_type == "application/problem+json"
            problem = await answer.json(content_type=None)
            assert (problem["code"], problem["status"]) == (code, KINDS[code].status)


async def test_pages_cover_everything_once(node: DevNode, client: NodeClient) -> None:
    """Following `next` with one item per page gives the whole list in the order of ids."""
    await node.open_market()
    whole = await client.get("/v1/products")
    found: list[Any] = []
    after: dict[str, str] = {}
    while True:
        page = await client.get("/v1/products", limit="1", **after)
        found += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == whole["items"]
    assert [one["id"] for one in found] == sorted(one["id"] for one in found)


async def test_an_account_is_found_by_any_of_its_keys(node: DevNode, client: NodeClient) -> None:
    """Officer key, attester key, node key and account id lead to the same organisation."""
    by_id = await client.get(f"/v1/accounts/{node.make_officer('jade').account.hex()}")
    assert (by_id["name"], set(by_id["roles"])) == ("jade", {"lender", "validator"})
    for kind in ("officer", "attester", "node"):
        key = KeySigner(make_seed(f"jade/{kind}")).public_key
        assert (await client.get(f"/v1/accounts/{key.hex()}"))["id"] == by_id["id"]


async def test_an_account_shows_no_subject_tag(node: DevNode, client: NodeClient) -> None:
    """The tag that stands for a person is for members alone."""
    wallet = await node.open_borrower("li-na")
    raw = await client.call("GET", f"/v1/accounts/{wallet.account.hex()}")
    assert calculate_hash("tag", b"li-na").hex().encode() not in raw


async def test_a_transaction_shows_no_subject_tag(node: DevNode, client: NodeClient) -> None:
    """The opening of an account is shown to everybody with all its fields but the tag."""
    wallet = node.make_wallet(KeySigner(make_seed("li-na")))
    issuer = make_keys("identity").officer
    assert issuer is not None
    opening = wallet.open_account(
        issuer=issuer,
        kind=AccountKind.PERSON,
        enc_key=BoxKey(bytes(32)),
        subject_tag=calculate_hash("tag", b"li-na"),
        level=2,
        expires_on=Day(TODAY + 1_000),
    )
    await node.do(opening)
    raw = await client.call("GET", f"/v1/transactions/{opening.id.hex()}")
    assert calculate_hash("tag", b"li-na").hex().encode() not in raw
    payload = (await client.get(f"/v1/transactions/{opening.id.hex()}"))["payload"]
    assert (payload["subject_tag"], payload["level"]) == (None, 2)


async def test_the_nonce_follows_what_was_used(node: DevNode, client: NodeClient) -> None:
    """A new key starts at 0; afterwards one above the highest used."""
    assert await client.get_nonce(KeySigner(make_seed("nobody")).public_key) == 0
    wallet = await node.open_borrower("li-na")
    assert await client.get_nonce(wallet.public_key) == wallet.nonce_next


async def test_readiness_names_its_reason(node: DevNode, client: NodeClient) -> None:
    """A node that catches up is alive but not ready."""
    assert (await client.get("/readyz"))["ready"] is True
    node.sync_state = "syncing"
    assert (await client.get("/livez"))["live"] is True
    with pytest.raises(ApiError) as caught:
        await client.get("/readyz")
    assert caught.value.status == 503
    assert caught.value.problem["reasons"] == ["the node is syncing"]


async def test_a_node_that_must_not_vote_says_why_and_what_to_do(node: DevNode, client: NodeClient) -> None:
    """Status and readiness both name the reason's code and give the advice."""
    status = await client.get("/v1/status")
    assert (status["voting_stopped"], status["voting_advice"]) == ("", "")
    node.sync_state, node.voting_stopped = "stopped", "key_in_use"
    status = await client.get("/v1/status")
    assert (status["voting_stopped"], status["voting_advice"]) == ("key_in_use", SENTENCES["key_in_use"])
    with pytest.raises(ApiError) as caught:
        await client.get("/readyz")
    assert caught.value.problem["reasons"] == ["the node is stopped", f"key_in_use: {SENTENCES['key_in_use']}"]


async def test_the_genesis_that_is_served_is_the_networks(node: DevNode, client: NodeClient) -> None:
    """Its chain id, computed by the client, is the node's."""
    assert (await client.get_genesis()).calculate_chain_id() == node.chain_id


async def test_an_altered_offer_is_noticed_before_signing(node: DevNode, client: NodeClient) -> None:
    """Every figure that is shown must be the one that would be signed."""
    ids = await make_loan(node, client)
    offer = await client.get(f"/v1/offers/{ids['offer']}")
    assert not isinstance(check_offer(offer), str)
    for name in ("principal", "apr_ppm", "total_cost", "net_proceeds", "late_fee", "cooling_off_days", "rate_ppm"):
        assert check_offer({**offer, name: offer[name] + 1}) == name
    cheaper = [{**row, "total_due": row["total_due"] - 1} for row in offer["schedule"]]
    assert check_offer({**offer, "schedule": cheaper}) == "schedule"
    assert check_offer({**offer, "schedule": offer["schedule"][:-1]}) == "schedule"
    assert check_offer({**offer, "terms_hash": UNKNOWN}) == "terms_hash"
    assert check_offer({**offer, "disclosure": "00"}) == "disclosure"


async def test_all_applications_are_for_members(node: DevNode, client: NodeClient) -> None:
    """A borrower's own are found by account; the list of all of them needs a member's signature."""
    ids = await make_loan(node, client)
    officer, owner = KeySigner(make_seed("regulator/officer")), KeySigner(make_seed("li-na"))
    listed = await client.get_signed("/v1/applications", officer, node.now_ms)
    assert [one["id"] for one in listed["items"]] == [ids["application"]]
    with pytest.raises(ApiError) as caught:
        await client.get_signed("/v1/applications", owner, node.now_ms)
    assert caught.value.code == "not_permitted"
    with pytest.raises(ApiError) as caught:
        await client.get("/v1/applications")
    assert caught.value.code == "signature_missing"
