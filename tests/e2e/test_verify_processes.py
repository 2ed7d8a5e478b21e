"""A node whose signatures are verified by processes of their own: it loses them, goes on, and leaves none behind."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest

from node.client.http import NodeClient
from node.demo.network import LocalNetwork
from node.setup import make_testnet
from protocol.ids import TimeMs
from tests.node.core.chaintools import until
from tests.node.core.cluster import Purse, read_clock_ms

pytestmark = pytest.mark.process


def find_workers(pid: int) -> list[int]:
    """Children of a process that verify signatures."""
    found: list[int] = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"node.verifyworker" in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(found)


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_node_outlives_its_verifiers_and_they_do_not_outlive_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started when first needed; one killed costs one line of log and no transaction; all end with the node."""
    monkeypatch.setenv("LIUSHUI_VERIFY_PROCESSES", "2")
    testnet = make_testnet(tmp_path / "net", lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    chain_id = testnet.genesis.calculate_chain_id()
    agent = Purse(testnet.directory / "authorities" / "clearing", chain_id)
    async with LocalNetwork(testnet) as network, asyncio.timeout(60):
        await network.start(["solo"])
        pid = network.get_pid("solo")
        assert find_workers(pid) == [], "nobody needed them yet"

        async def mint(client: NodeClient, count: int) -> None:
            items = [agent.mint(agent.account, 1 + i) for i in range(count)]
            results = await client.submit(items, wait_final=True)
            assert [one.status for one in results] == ["finalised"] * count

        async with NodeClient(network.get_url("solo")) as client:
            await mint(client, 20)
            await until(lambda: len(find_workers(pid)) == 2, what="workers")
            workers = find_workers(pid)
            await asyncio.sleep(0.5)
            await mint(client, 200)
            assert find_workers(pid) == workers
            os.kill(workers[0], signal.SIGKILL)
            await mint(client, 200)
            await mint(client, 20)
            await until(lambda: not any(map(is_running, workers)), what="the other one has ended too")
        await network.stop(["solo"])
    lines = [json.loads(line) for line in (testnet.directory / "solo" / "node.log").read_text().splitlines()]
    told = [line["event"] for line in lines]
    assert told.count("verifiers_lost") == 1
    assert "node_failed" not in told
    assert told[-1] == "node_stopped"
    async with LocalNetwork(testnet) as network, asyncio.timeout(60):
        await network.start(["solo"])
        pid = network.get_pid("solo")
        async with NodeClient(network.get_url("solo")) as client:
            await mint(client, 20)
            await until(lambda: len(find_workers(pid)) == 2, what="workers of the next life")
        workers = find_workers(pid)
        await network.stop(["solo"])
        await until(lambda: not any(map(is_running, workers)), what="a clean stop ends them")
