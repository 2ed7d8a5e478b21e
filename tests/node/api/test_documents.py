"""The vault over HTTP: owners put, grantees fetch, strangers learn nothing, owners see every opening."""

import asyncio

import pytest
from structlog.testing import capture_logs

from node.client.access import check_access_view
from node.client.http import ApiError, NodeClient
from node.vault.accesslog import SignedAccess, check_access_log
from protocol.codec import decode, encode
from protocol.ids import ObjectId
from protocol.vault import VaultEnvelope
from tests.node.api.harness import DevNode, make_keys
from tests.node.api.lending import apply_for, attesting, make_device, make_wish, read_sample


async def refusal(client: NodeClient, method: str, path: str, **named: object) -> tuple[int, str]:
    with pytest.raises(ApiError) as caught:
        await client.call(method, path, **named)  # type: ignore[arg-type]
    return caught.value.status, caught.value.code


async def test_only_the_owner_puts_and_only_grantees_fetch(node: DevNode, client: NodeClient) -> None:
    """The owner's signed PUT is kept; a grantee gets its own grant; everybody else hears "not found"."""
    wallet = await node.open_borrower("li-na")
    other = await node.open_borrower("zhou")
    sealed = apply_for(node, wallet, read_sample(), make_wish()).sealed
    raw, path = encode(sealed.envelope), f"/v1/vault/documents/{sealed.envelope.digest.hex()}"
    put = {"body": raw, "content_type": "application/msgpack", "now_ms": node.now_ms}

    assert await refusal(client, "PUT", path, **put) == (401, "signature_missing")
    assert await refusal(client, "PUT", path, signer=other.signer, **put) == (403, "not_permitted")
    wrong = f"/v1/vault/documents/{'ab' * 32}"
    assert await refusal(client, "PUT", wrong, signer=wallet.signer, **put) == (409, "document_mismatch")
    broken = put | {"body": b"nonsense"}
    assert await refusal(client, "PUT", path, signer=wallet.signer, **broken) == (400, "malformed_request")
    await make_device(node, client, wallet).put_document(sealed)
    await make_device(node, client, wallet).put_document(sealed)

    lender = make_keys("jade").officer
    assert lender is not None
    fetched = await client.call("GET", path, signer=lender, now_ms=node.now_ms)
    assert [grant.recipient for grant in decode(fetched, VaultEnvelope).grants] == [node.make_officer("jade").account]
    assert await client.call("GET", path, signer=wallet.signer, now_ms=node.now_ms) == raw
    regulator = make_keys("regulator").officer
    assert regulator is not None
    for stranger in (other.signer, regulator):
        assert await refusal(client, "GET", path, signer=stranger, now_ms=node.now_ms) == (404, "not_found")
    assert await refusal(client, "GET", path) == (401, "signature_missing")


async def test_a_withdrawn_consent_ends_what_the_vault_hands_out(node: DevNode, client: NodeClient) -> None:
    """After the borrower withdrew consent on the ledger, the grantee hears "not found"; the owner is still served."""
    wallet = await node.open_borrower("li-na")
    application = apply_for(node, wallet, read_sample(), make_wish())
    path = f"/v1/vault/documents/{application.sealed.envelope.digest.hex()}"
    await make_device(node, client, wallet).put_document(application.sealed)
    lender = make_keys("jade").officer
    assert lender is not None
    assert await client.call("GET", path, signer=lender, now_ms=node.now_ms)  # not ordered yet: the grant counts
    await node.do(*application.intents)
    assert await client.call("GET", path, signer=lender, now_ms=node.now_ms)
    await node.do(wallet.revoke_consent(application.consent))
    assert await refusal(client, "GET", path, signer=lender, now_ms=node.now_ms) == (404, "not_found")
    assert await client.call("GET", path, signer=wallet.signer, now_ms=node.now_ms)


async def wait_opened(node: DevNode, data: ObjectId) -> None:
    """Until this node has logged an opening."""
    for pause_s in (0.01,) * 400:
        if await node.vault.read_access_log(data):
            return
        await asyncio.sleep(pause_s)


async def test_the_owner_sees_every_opening(node: DevNode, client: NodeClient) -> None:
    """Each attester's opening is logged before it opens; the chain verifies; nobody but the owner reads it."""
    await node.open_market(attestations=2)
    wallet = await node.open_borrower("li-na")
    device = make_device(node, client, wallet)
    application = apply_for(node, wallet, read_sample(), make_wish())
    async with attesting(node, "harbour"):
        await device.apply(application)
        async with asyncio.timeout(30):
            await wait_opened(node, application.data)
    log = await device.read_access_log(application.data)
    (entry,) = log["entries"]
    assert (entry["serial"], entry["reader_name"], entry["purpose"]) == (1, "harbour", "underwrite")
    assert check_access_view(log, node.genesis, application.data) is None
    for name, value, fault in (
        ("time_ms", entry["time_ms"] + 1, "access_signature"),
        ("reader", node.make_officer("jade").account.hex(), "access_signature"),
        ("serial", 2, "access_serial"),
        ("previous", "ab" * 32, "access_chain"),
        ("key", wallet.public_key.hex(), "access_signer"),
        ("signature", "zz", "access_malformed"),
    ):
        assert check_access_view({"entries": [{**entry, name: value}]}, node.genesis, application.data) == fault
    entries: list[SignedAccess] = await node.vault.read_access_log(application.data)
    key = make_keys("harbour").node.public_key
    assert check_access_log(entries, application.data, key) is None
    assert log["entries"][0]["key"] == key.hex()
    path = f"/v1/vault/access-log/{application.data.hex()}"
    officer = make_keys("harbour").officer
    assert officer is not None
    assert await refusal(client, "GET", path, signer=officer, now_ms=node.now_ms) == (404, "not_found")
    assert await refusal(client, "GET", path) == (401, "signature_missing")


async def test_a_vault_without_room_says_so_and_a_damaged_one_tells_nothing(node: DevNode, client: NodeClient) -> None:
    """507 with a code of its own, to be tried again; 500 and one line of log for damage. No traceback, no false 404."""
    wallet = await node.open_borrower("li-na")
    sealed = apply_for(node, wallet, read_sample(), make_wish()).sealed
    path = f"/v1/vault/documents/{sealed.envelope.digest.hex()}"
    signed = {"signer": wallet.signer, "now_ms": node.now_ms}
    put = {"body": encode(sealed.envelope), "content_type": "application/msgpack", **signed}
    await node.vault._database.execute("PRAGMA max_page_count=1")
    assert await refusal(client, "PUT", path, **put) == (507, "storage_full")
    await node.vault._database.execute("PRAGMA max_page_count=1000000")
    await client.call("PUT", path, **put)  # type: ignore[arg-type]
    await node.vault._database.execute("UPDATE documents SET body = zeroblob(100)")
    with capture_logs() as logs:
        assert await refusal(client, "GET", path, **signed) == (500, "internal")
    assert [(one["event"], one["code"]) for one in logs] == [("request_failed", "vault_damaged")]
