"""What borrowers and everybody else read of data, consents and erasures, in every state an erasure can be in."""

import pytest

from node.client.http import ApiError
from protocol.ledger.state import DATA
from protocol.transactions.data import ConsentRevoke, DataErase, ErasureReceipt
from tests.node.api.worldnode import serving
from tests.protocol.ledger.goods import Goods
from tests.protocol.ledger.world import LENDERS


async def test_an_erasure_is_read_from_order_to_completion() -> None:
    """Waiting, due, overdue, complete; who gave a receipt of what, and who owes one, by name."""
    world = Goods()
    loan = world.borrow("ann")
    data = next(key for key, row in world.ledger.books.state.items(DATA) if row.owner == world.account("ann"))
    async with serving(world) as client:
        path = f"/v1/erasures/{data.hex()}"
        with pytest.raises(ApiError) as caught:
            await client.get(path)
        assert caught.value.code == "not_found"
        world.must("ann", DataErase(data=(data,)))
        waiting = await client.get(path)
        assert (waiting["state"], waiting["due_ms"], waiting["wake_ms"]) == ("waiting", None, None)
        world.mint("ann", 3_000_000)
        world.pay("ann", loan, 2_000_000)
        world.block()
        closed = await client.get(path)
        assert closed["state"] == "waiting"
        assert closed["wake_ms"] is not None
        world.pass_days(31)
        due = await client.get(path)
        assert due["state"] == "due"
        assert sorted(due["missing_names"]) == sorted(LENDERS)
        world.must("jade/attester", ErasureReceipt(data=data, documents=1, sidecars=2))
        world.pass_days(8)
        late = await client.get(path)
        assert late["state"] == "overdue"
        assert [(one["member_name"], one["documents"], one["sidecars"]) for one in late["receipts"]] == [("jade", 1, 2)]
        assert "jade" not in late["missing_names"]
        for name in LENDERS:
            if name != "jade":
                world.must(name, ErasureReceipt(data=data, documents=0, sidecars=0))
        done = await client.get(path)
        assert (done["state"], done["missing"]) == ("complete", [])
        owner = world.account("ann").hex()
        assert (await client.get("/v1/erasures", owner=owner, state="complete"))["items"] == [done]
        assert (await client.get("/v1/erasures", state="overdue"))["items"] == []
        assert (await client.get("/v1/erasures", owner=world.account("bob").hex()))["items"] == []


async def test_data_and_consents_are_listed_by_their_owner() -> None:
    """With purpose, readers by name, and whether a consent still holds."""
    world = Goods()
    data, consent = world.anchor("ann")
    world.anchor("bob")
    async with serving(world) as client:
        owner = world.account("ann").hex()
        (row,) = (await client.get("/v1/data", owner=owner))["items"]
        assert row["id"] == data.hex()
        assert row == await client.get(f"/v1/data/{data.hex()}")
        (given,) = (await client.get("/v1/consents", owner=owner))["items"]
        assert given["id"] == consent.hex()
        assert (given["purpose"], given["live"], given["revoked_ms"]) == ("underwrite", True, None)
        assert given["grantee_names"] == list(LENDERS)
        world.must("ann", ConsentRevoke(consent=consent))
        (given,) = (await client.get("/v1/consents", owner=owner))["items"]
        assert (given["live"], given["revoked_ms"]) == (False, world.now_ms)
        assert len((await client.get("/v1/consents"))["items"]) == 2
