"""A guest follows an open network of real processes through applications, and holds no bins of anybody."""

import asyncio
import io
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from node import setup
from node.client.http import ApiError, NodeClient
from node.config import CONFIG_FILE, PeerAddress, format_config, load_config
from node.demo.acts import Stage, read_clock_ms
from node.demo.cast import LENDERS, OBSERVER
from node.demo.network import LocalNetwork
from node.setup import NodePlace, find_free_ports, make_member, make_testnet

pytestmark = [pytest.mark.process, pytest.mark.long]

NAMES = tuple(one.name for one in LENDERS)
GUEST = "passer-by"


def lay_out(directory: Path) -> setup.Testnet:
    """A network whose members are open, and a guest's directory beside it."""
    testnet = make_testnet(directory, lenders=NAMES, time_ms=read_clock_ms())
    home, (listen, api) = directory / GUEST, find_free_ports(2)
    make_member(home, GUEST)
    for name in NAMES:
        config = load_config(directory / name, environment={})
        opened = msgspec.structs.replace(config, observers="open")
        (directory / name / CONFIG_FILE).write_text(format_config(opened), encoding="utf-8")
    keys = {one.name: one.node_key.hex() for one in testnet.genesis.members}
    peers = tuple(
        PeerAddress(name=one.name, node_key=keys[one.name], url=f"wss://127.0.0.1:{one.listen_port}/gossip")
        for one in testnet.nodes
    )
    own = msgspec.structs.replace(
        load_config(directory / NAMES[0], environment={}),
        name=GUEST,
        role="observer",
        data_dir=str(home),
        listen_port=listen,
        api_port=api,
        peers=peers,
        observers="listed",
    )
    (home / CONFIG_FILE).write_text(format_config(own), encoding="utf-8")
    place = NodePlace(GUEST, "observer", home, listen, api)
    return testnet._replace(nodes=(*testnet.nodes, place))


def holds(directory: Path, needle: bytes) -> bool:
    """Whether a file below holds it."""
    return any(needle in path.read_bytes() for path in directory.rglob("*") if path.is_file())


async def test_a_guest_follows_applications_without_their_bins(tmp_path: Path) -> None:
    """Linked before the application, level after it with every root equal; what is submitted to it is turned away."""
    testnet = lay_out(tmp_path / "net")
    async with LocalNetwork(testnet) as network, AsyncExitStack() as stack:
        await network.start([*NAMES, GUEST])
        stage = await Stage.enter(stack, network, Console(file=io.StringIO()), time_warp=False)
        stage.alive = list(NAMES)
        stage.clients[OBSERVER] = stage.clients[NAMES[0]]
        await stage.fund_lenders()
        await stage.open_accounts()
        player = stage.players[0]
        application = stage.prepare(player)
        await player.device.apply(application)
        await player.device.wait_decisions(application.application, count=len(LENDERS))
        async with NodeClient(network.get_url(GUEST), patience_s=0) as guest, asyncio.timeout(60):
            while True:
                mine, theirs = [await one.get("/v1/status") for one in (guest, stage.clients[NAMES[0]])]
                if mine["exec_height"] == theirs["exec_height"] and mine["sync_state"] == "following":
                    break
                await asyncio.sleep(0.1)
            assert mine["exec_root"] == theirs["exec_root"]
            with pytest.raises(ApiError) as caught:
                await guest.submit([application.intents[-1].item])
            assert (caught.value.code, caught.value.problem["reason"]) == ("busy", "guest")
        (sidecar,) = application.intents[-1].item.sidecars
        await network.stop(network.names)
    assert holds(testnet.directory / NAMES[0], sidecar.salt)
    assert not holds(testnet.directory / GUEST, sidecar.salt)
