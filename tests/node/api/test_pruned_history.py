"""A node whose chain began with a snapshot says so of everything older, and serves what is newer as ever."""

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer

from node.client.http import ApiError, NodeClient
from protocol.ids import Height
from tests.node.api.harness import DevNode
from tests.node.api.test_reads import make_loan


async def test_what_is_older_than_the_history_is_said_to_be_so(node: DevNode, server: TestServer) -> None:
    """Blocks and events below the snapshot are gone for good (410); an unknown id may be older; the rest is served."""
    await node.open_market()
    base = node.status().exec_height - 1
    assert base > 1
    node.store.base = Height(base)
    async with ClientSession() as session:
        for path in (f"/v1/blocks/{base}", "/v1/blocks/1", "/v1/events?after=0-0", f"/v1/events?after={base - 1}-7"):
            async with session.get(server.make_url(path)) as answer:
                problem = await answer.json(content_type=None)
                assert (answer.status, problem["code"]) == (410, "history_pruned"), path
                assert str(base) in problem["detail"]
        for path in ("", "/receipt"):
            async with session.get(server.make_url(f"/v1/transactions/{'00' * 32}{path}")) as answer:
                problem = await answer.json(content_type=None)
                assert (answer.status, problem["code"]) == (404, "not_found")
                assert f"after block {base}" in problem["detail"]
        async with session.get(server.make_url(f"/v1/blocks/{base + 1}")) as answer:
            assert answer.status == 200
        async with session.get(server.make_url("/v1/blocks/0")) as answer:
            assert answer.status == 400
        async with session.get(server.make_url(f"/v1/events?after={base}-0")) as answer:
            assert answer.status == 200
            assert (await answer.content.readline()).startswith(b"retry")


async def test_a_loan_older_than_the_history_has_none_of_its_beginning(node: DevNode, client: NodeClient) -> None:
    """Asked for from the start it says so, and how to ask for the rest; a younger loan's history is whole."""
    path = f"/v1/loans/{(await make_loan(node, client))['loan']}/history"
    whole = (await client.get(path))["items"]
    first = int(str(whole[0]["height"]))
    node.store.base = Height(first - 1)
    assert (await client.get(path))["items"] == whole
    node.store.base = Height(first)
    for query in ({}, {"after": f"{first - 1}-9"}):
        with pytest.raises(ApiError) as caught:
            await client.get(path, **query)
        assert caught.value.code == "history_pruned"
    later = (await client.get(path, after=f"{first}-0"))["items"]
    assert later == [one for one in whole if one["height"] > first], "what that block itself did is older than the rest"
    assert later
