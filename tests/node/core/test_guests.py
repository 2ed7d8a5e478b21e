"""A node of nobody in the books reads an open network: it executes what is final, and can write nothing."""

from pathlib import Path

import pytest

from node.api.ports import Busy
from node.config import CONFIG_FILE
from tests.node.core.chaintools import until
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_epochs import prepare_newcomer

GUEST = "passer-by"


def open_all(net: Cluster) -> None:
    """The members have agreed on it."""
    for name in LENDERS:
        path = net.testnet.directory / name / CONFIG_FILE
        text = path.read_text(encoding="utf-8")
        assert 'observers = "listed"' in text
        path.write_text(text.replace('observers = "listed"', 'observers = "open"'), encoding="utf-8")


async def pay(net: Cluster, times: int) -> None:
    """Some transfers."""
    for _ in range(times):
        await net.finish("ada", await net.submit("ada", net.purses["ada"].pay(net.purses["bo"].account, 1)))


async def test_a_guest_executes_the_chain_of_an_open_network_and_takes_no_transactions(tmp_path: Path) -> None:
    """It comes late, catches up, follows what goes on, agrees on every root; what is sent to it is refused at once."""
    async with cluster(tmp_path, start=()) as net:
        open_all(net)
        await net.start(*LENDERS)
        await net.finish("ada", await net.submit("ada", net.agent.mint(net.purses["ada"].account, 1_000)))
        await pay(net, 3)
        prepare_newcomer(net, GUEST, validator=False)
        await net.start(GUEST)
        guest = net.nodes[GUEST]
        await until(lambda: guest.executor.height >= net.nodes["ada"].executor.height, what="the guest is level")
        await pay(net, 3)
        height = await net.meet()
        assert len(await net.read_roots(height)) == 1
        await until(lambda: guest.standing.find_hindrance() is None, what="the guest knows where the network stands")
        with pytest.raises(Busy) as caught:
            await net.submit(GUEST, net.purses["ada"].pay(net.purses["bo"].account, 1))
        assert caught.value.reason == "guest"
        assert all(GUEST not in core.roster.names.values() for core in net.nodes.values())
        assert len(net.nodes["ada"].gossip.get_connected()) == len(LENDERS) - 1


async def test_a_network_of_listed_members_lets_no_guest_in(tmp_path: Path) -> None:
    """The settings as they come: a stranger stays outside, and knows nothing."""
    async with cluster(tmp_path, start=LENDERS) as net:
        prepare_newcomer(net, GUEST, validator=False)
        await net.start(GUEST)
        ada, guest = net.nodes["ada"].gossip, net.nodes[GUEST]
        await until(lambda: ada.closed["stranger"] > 0, what="the stranger was turned away")
        assert guest.gossip.get_connected() == ()
        assert guest.standing.find_hindrance() == "starting"
