"""An auditor's attester works as a lender's does, and its word is shown as an auditor's, by the API and to people."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from aiohttp.test_utils import TestServer

from node.api.app import make_app
from node.cli.taking import print_application
from node.client.borrower import list_lenders, load_models, make_application
from node.client.http import NodeClient
from node.client.network import list_auditors, read_network
from protocol.genesis import Genesis, Member
from protocol.ids import BoxKey
from tests.node.api import harness
from tests.node.api.harness import DevNode, make_keys
from tests.node.api.lending import attesting, make_device, make_wish, read_sample

NAME = "regulator"


def give_key(one: Member) -> Member:
    """The observer's entry, with an attester key."""
    keys = make_keys(NAME)
    assert keys.attester is not None
    return msgspec.structs.replace(one, attester_key=keys.attester.public_key) if one.name == NAME else one


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DevNode]:
    """A network that was founded with an auditor."""
    genesis: Genesis = harness.make_genesis()
    audited = msgspec.structs.replace(genesis, members=tuple(give_key(one) for one in genesis.members))
    monkeypatch.setattr(harness, "make_genesis", lambda: audited)
    made = await DevNode.open(tmp_path)
    yield made
    await made.close()


async def test_an_auditors_word_counts_and_is_shown_as_one(node: DevNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Harbour's product asks for two equal readings; jade is silent, so the auditor's is the second."""
    await node.open_market(attestations=2)
    wallet = await node.open_borrower("li-na")
    async with TestServer(make_app(node, now_ms=node.now_ms)) as server, NodeClient(str(server.make_url(""))) as client:
        network = await read_network(client)
        assert [one.name for one in list_auditors(network)] == [NAME]
        application = make_application(
            wallet,
            read_sample(),
            make_wish(),
            enc_key=BoxKey(bytes(32)[:31] + b"\x09"),
            lenders=[*list_lenders(network), *list_auditors(network)],
            models=list(load_models(node.genesis).values()),
            now_ms=node.now_ms(),
        )
        device = make_device(node, client, wallet)
        async with attesting(node, "harbour", NAME):
            await device.apply(application)
            found = await device.wait_decisions(application.application, count=1, timeout_s=60)
    assert {one["attester_name"]: one["auditor"] for one in found["attestations"]} == {"harbour": False, NAME: True}
    assert [one["lender_name"] for one in found["offers"]] == ["harbour"]
    print_application(found)
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("confirmed by ")]
    assert sorted(line.removeprefix("confirmed by ").split(", ")) == ["harbour", f"{NAME} (auditor)"]
    first = found["attestations"][0]
    print_application({**found, "offers": [], "attestations": [{**first, "own": False, "struck": True}]})
    assert "(dissents, counts no more)" in capsys.readouterr().out.replace("auditor, ", "")
