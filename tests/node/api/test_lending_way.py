"""From a statement to a loan over HTTP: sealed, attested, decided, disclosed, accepted, paid, and provable."""

import asyncio

import pytest

from node.client.borrower import BorrowError
from node.client.http import ApiError, NodeClient
from node.demo.statements import Profile
from protocol.crypto import KeySigner, calculate_hash
from protocol.ids import Digest, ObjectId
from protocol.money import Amount
from protocol.receipt import ReceiptFault, verify_receipt_file
from tests.node.api.harness import CNY, DevNode, make_keys, make_seed
from tests.node.api.lending import apply_for, attesting, make_device, make_wish, read_sample


async def test_a_borrower_gets_and_repays_a_loan(node: DevNode, client: NodeClient) -> None:
    """Two attesters confirm, both lenders offer, the cheaper comes first, the money arrives, the payoff closes."""
    products = await node.open_market(attestations=2)
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(), make_wish())
    async with attesting(node):
        await device.apply(application)
        found = await device.wait_decisions(application.application, count=2)
    assert {one["product"] for one in found["decisions"]} == {each.hex() for each in products.values()}
    assert {one["attester_name"] for one in found["attestations"]} == {"harbour", "jade"}
    offers = found["offers"]
    assert [one["lender_name"] for one in offers] == ["harbour", "jade"]
    assert offers[0]["apr_ppm"] < offers[1]["apr_ppm"]
    first = offers[0]
    assert sum(row["total_due"] for row in first["schedule"]) == first["total_payable"]
    assert first["net_proceeds"] == first["principal"] - first["origination_fee"]
    assert first["total_cost"] == first["total_payable"] - first["net_proceeds"]

    loan = await device.accept(ObjectId(bytes.fromhex(first["id"])), Digest(bytes.fromhex(first["terms_hash"])))
    stood = await client.get(f"/v1/loans/{loan.hex()}")
    assert (stood["loan"]["state"], stood["loan"]["principal_out"]) == ("active", 2_000_000)
    assert [row["due"] for row in stood["schedule"]] == [row["total_due"] for row in first["schedule"]]
    account = await client.get(f"/v1/accounts/{wallet.account.hex()}")
    assert account["balances"][0]["amount"] == 100_000 + first["net_proceeds"]
    listed = await client.get("/v1/loans", borrower=wallet.account.hex(), state="active")
    assert [one["id"] for one in listed["items"]] == [loan.hex()]
    assert (await client.get("/v1/loans", state="repaid"))["items"] == []

    await device.pay(loan, Amount(stood["loan"]["payoff"]))
    closed = await client.get(f"/v1/loans/{loan.hex()}")
    assert (closed["loan"]["state"], closed["loan"]["payoff"]) == ("withdrawn", 0)
    kinds = [event["kind"] for event in closed["history"]]
    assert kinds[-1] == "loan_closed"
    assert (await client.get("/v1/trial-balance"))["balanced"] is True


async def test_a_decline_tells_its_reasons_in_the_readers_language(node: DevNode, client: NodeClient) -> None:
    """At most four specific reasons, in English or Chinese, and no offer."""
    await node.open_market()
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(Profile.OVERSTRETCHED), make_wish(8_000_000, 12))
    async with attesting(node):
        await device.apply(application)
        found = await device.wait_decisions(application.application, count=2)
    assert found["offers"] == []
    for decision in found["decisions"]:
        assert decision["outcome"] == "decline"
        assert 1 <= len(decision["reasons"]) <= 4
        assert all(each["text"].isascii() for each in decision["reasons"])
    async with NodeClient(str(client.url), language="zh") as chinese:
        again = await chinese.get(f"/v1/applications/{application.application.hex()}")
    assert not again["decisions"][0]["reasons"][0]["text"].isascii()


async def test_terms_that_differ_from_the_offer_are_refused(node: DevNode, client: NodeClient) -> None:
    """What is seen is what is signed: another hash makes no loan."""
    await node.open_market()
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(), make_wish())
    async with attesting(node):
        await device.apply(application)
        found = await device.wait_decisions(application.application)
    with pytest.raises(BorrowError) as caught:
        await device.accept(ObjectId(bytes.fromhex(found["offers"][0]["id"])), Digest(bytes(32)))
    assert caught.value.code == "terms_mismatch"


async def test_a_restarted_attester_catches_up_and_repeats_nothing(node: DevNode, client: NodeClient) -> None:
    """An application opened while nobody attested is found at the start; a second start adds no attestation."""
    await node.open_market()
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(), make_wish())
    await device.apply(application)
    for _ in range(2):
        async with attesting(node):
            found = await device.wait_decisions(application.application, count=2)
            await asyncio.sleep(0.05)
    found = await client.get(f"/v1/applications/{application.application.hex()}")
    assert len(found["attestations"]) == 2


async def test_exposure_is_for_validators_and_observers(node: DevNode, client: NodeClient) -> None:
    """A member that validates or observes sees the total under a tag; a borrower, an issuer or nobody does not."""
    await node.open_market()
    wallet = await node.open_borrower("li-na")
    tag = calculate_hash("tag", b"li-na")
    path = f"/v1/exposure/{tag.hex()}"
    for name, kind in (("harbour", "officer"), ("jade", "attester"), ("regulator", "node")):
        signer = KeySigner(make_seed(f"{name}/{kind}"))
        found = await client.get_signed(path, signer, node.now_ms)
        assert (found["principal_open"], found["account"]) == (0, wallet.account.hex())
    officer = make_keys("identity").officer
    assert officer is not None
    for stranger in (wallet.signer, officer):
        with pytest.raises(ApiError) as caught:
            await client.get_signed(path, stranger, node.now_ms)
        assert (caught.value.status, caught.value.code) == (403, "not_permitted")
    with pytest.raises(ApiError) as caught:
        await client.get(path)
    assert (caught.value.status, caught.value.code) == (401, "signature_missing")
    with pytest.raises(ApiError) as caught:
        await client.get_signed(path, wallet.signer, lambda: type(node.now_ms())(node.now_ms() - 60_001))
    assert caught.value.code == "signature_stale"


async def test_a_receipt_file_verifies_without_the_node(node: DevNode, client: NodeClient) -> None:
    """Not provable before a later block names the state; then provable, and no byte of it can change."""
    wallet = await node.open_borrower("li-na")
    intent = wallet.transfer(to=node.make_officer("clearing").account, currency=CNY, amount=Amount(5))
    await client.submit([intent.item], wait_final=True)
    with pytest.raises(ApiError) as caught:
        await client.get_receipt_file(intent.id, timeout_s=0)
    assert (caught.value.code, caught.value.retryable) == ("receipt_not_ready", True)
    await node.make_block()
    raw = await client.get_receipt_file(intent.id)
    proved = verify_receipt_file(raw, node.genesis)
    assert not isinstance(proved, ReceiptFault)
    assert (proved.transaction.id, proved.rejection) == (intent.id, None)
    for position in range(0, len(raw), 37):
        flipped = raw[:position] + bytes((raw[position] ^ 1,)) + raw[position + 1 :]
        assert isinstance(verify_receipt_file(flipped, node.genesis), ReceiptFault), position
