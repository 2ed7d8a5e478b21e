"""The life of a whole node: what keeps it from starting, how it ends, and that a killed process comes back whole."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from node import setup
from node.client.http import NodeClient
from node.config import NodeConfig, load_config
from node.core import read_clock_ms
from node.opening import StartError
from node.runtime import EXIT_CLEAN, EXIT_NOT_STARTED, Node, run_node
from protocol.genesis import encode_genesis
from protocol.ids import Height, TimeMs, TransactionId
from protocol.receipt import VerifiedReceipt, verify_receipt_file
from tests.node.core.cluster import Purse

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = (
    "import asyncio, sys; from pathlib import Path; from node.config import load_config;"
    " from node.runtime import run_node;"
    " sys.exit(asyncio.run(run_node(load_config(Path(sys.argv[1]), environment={}))))"
)


def found(directory: Path) -> setup.Testnet:
    """A network of one validator: whatever it proposes is final."""
    return setup.make_testnet(directory / "net", lenders=("solo",), observers=("eye",), time_ms=TimeMs(read_clock_ms()))


def load(net: setup.Testnet, name: str = "solo", **changes: object) -> NodeConfig:
    """A node's settings, some of them changed."""
    return load_config(net.directory / name, environment={}, overrides=changes)


async def refuse(config: NodeConfig) -> StartError:
    """The error with which a node refuses to start; nothing may stay open behind it."""
    with pytest.raises(StartError) as caught:
        await Node(config).start()
    return caught.value


async def test_every_reason_not_to_start_is_one_sentence_with_its_fix_and_leaves_nothing_open(tmp_path: Path) -> None:
    """Ports, genesis, keys, directory: a stable code each; afterwards the same directory starts."""
    net = found(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        gossip = await refuse(load(net, listen_port=port))
        assert (gossip.code, "listen_port" in gossip.sentence) == ("port_in_use", True)
        api = await refuse(load(net, api_port=port))
        assert (api.code, "api_port" in api.sentence) == ("port_in_use", True)
    missing = await refuse(load(net, genesis="nowhere.json"))
    assert missing.code == "genesis_missing"
    (net.directory / "bad.json").write_text("{}")
    assert (await refuse(load(net, genesis="../bad.json"))).code == "genesis_invalid"
    assert (await refuse(load(net, data_dir="../authorities/clearing"))).code == "not_a_validator"
    node = Node(load(net))
    await node.start()
    second = await refuse(load(net, listen_port=0, api_port=0))
    assert second.code == "database_locked"
    await node.stop(drain_s=0)


async def test_a_directory_of_another_network_is_refused(tmp_path: Path) -> None:
    """A database never continues under another genesis, whatever keys fit it."""
    net = found(tmp_path)
    node = Node(load(net))
    await node.start()
    await node.stop(drain_s=0)
    other = msgspec.structs.replace(net.genesis, name="other")
    (net.directory / "other.json").write_bytes(encode_genesis(other))
    error = await refuse(load(net, genesis="../other.json"))
    assert (error.code, "genesis.json" in error.sentence) == ("wrong_genesis", True)


async def test_a_network_of_one_serves_its_clients_and_says_where_it_stands(tmp_path: Path) -> None:
    """Submit, wait, prove, status: what the API is built on, with a quorum of one and an observer that never came."""
    net = found(tmp_path)
    node = Node(load(net))
    await node.start()
    try:
        agent = Purse(net.directory / "authorities" / "clearing", node.chain_id)
        purse = Purse(net.directory / "solo", node.chain_id)
        (answer,) = await node.submit([agent.mint(purse.account, 100)])
        assert answer.status == "accepted"
        assert answer.id is not None
        assert await node.wait_final(answer.id, 5.0) is not None
        assert await node.wait_height_beyond(Height(0), 1.0) >= 1
        assert await node.wait_height_beyond(Height(10**9), 0.01) < 10**9
        assert await node.wait_final(TransactionId(bytes(32)), 0.01) is None
        status = node.status()
        assert (status.name, status.role, status.sync_state) == ("solo", "validator", "participating")
        assert (status.leader, status.pool_transactions) == ("solo", 0)
        assert [(peer.name, peer.connected, peer.silent_ms) for peer in status.peers] == [("eye", False, -1)]
        (peer,) = node.operator.list_peers()
        assert (peer.name, peer.connected, node.operator.list_guests(), status.guests) == ("eye", False, [], 0)
        await node.operator.ban(peer.key, 60, by="test")
        assert node.core.gossip.is_banned(peer.key), "at once, not with the next look at the file"
        assert await node.operator.unban(peer.key, by="test")
        assert not node.core.gossip.is_banned(peer.key)
        async with asyncio.timeout(30):
            while (raw := await node.make_receipt_file(answer.id)) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert isinstance(verify_receipt_file(raw, net.genesis), VerifiedReceipt)
    finally:
        await node.stop(drain_s=0)


async def test_what_is_executed_and_not_saved_yet_is_never_called_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a block is being saved its transactions have used their nonces; whoever waits hears what became of them."""
    net = found(tmp_path)
    node = Node(load(net))
    await node.start()
    try:
        save = node.store.save_blocks

        async def save_slowly(*blocks: Any) -> None:
            await asyncio.sleep(0.5)
            await save(*blocks)

        monkeypatch.setattr(node.store, "save_blocks", save_slowly)
        agent = Purse(net.directory / "authorities" / "clearing", node.chain_id)
        item = agent.mint(Purse(net.directory / "solo", node.chain_id).account, 100)
        async with NodeClient(f"http://127.0.0.1:{node.api_port}") as client, asyncio.timeout(8):
            (result,) = await client.submit([item], wait_final=True, timeout_ms=200)
        assert (result.status, result.rejection) == ("finalised", None)
    finally:
        await node.stop(drain_s=0)


async def test_what_lost_its_nonce_to_another_is_told_so_at_once(tmp_path: Path) -> None:
    """Two transactions with one key and nonce: one is executed, the other hears `nonce_used` before its timeout."""
    net = found(tmp_path)
    node = Node(load(net))
    await node.start()
    try:
        agents = [Purse(net.directory / "authorities" / "clearing", node.chain_id) for _ in range(2)]
        account = Purse(net.directory / "solo", node.chain_id).account
        group = [agent.mint(account, 100 + index) for index, agent in enumerate(agents)]
        async with NodeClient(f"http://127.0.0.1:{node.api_port}") as client, asyncio.timeout(8):
            results = await client.submit(group, wait_final=True, timeout_ms=30_000)
        assert sorted(one.status for one in results) == ["finalised", "rejected"]
        assert [one.rejection.code for one in results if one.rejection is not None] == ["nonce_used"]
    finally:
        await node.stop(drain_s=0)


@asynccontextmanager
async def process(
    net: setup.Testnet, name: str, log_path: str = "node.log"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A node as an operating-system process, ready to serve; killed at the end if still there."""
    place = next(one for one in net.nodes if one.name == name)
    with (place.directory / log_path).open("ab") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(place.directory), cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ)
        )
    try:
        async with aiohttp.ClientSession() as session, asyncio.timeout(20):
            while True:
                assert child.returncode is None, (place.directory / "node.log").read_text()
                try:
                    async with session.get(f"http://127.0.0.1:{place.api_port}/livez") as answer:
                        if answer.status == 200:
                            break
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


@pytest.mark.process
async def test_a_process_ends_cleanly_on_sigterm_and_starts_again_after_sigkill(tmp_path: Path) -> None:
    """SIGTERM: exit code 0 and no error in the log. SIGKILL: the next start finds everything whole."""
    net = found(tmp_path)
    async with process(net, "solo") as child:
        child.kill()
        await child.wait()
    async with process(net, "solo") as child:
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await child.wait() == EXIT_CLEAN
    log = (net.directory / "solo" / "node.log").read_text()
    assert '"level": "error"' not in log
    assert "Traceback" not in log
    assert '"event": "node_stopped"' in log


@pytest.mark.process
async def test_a_log_that_cannot_be_written_ends_no_node(tmp_path: Path) -> None:
    """A full disk under the log (`/dev/full`) costs lines and nothing else, to the exit code."""
    net = found(tmp_path)
    async with process(net, "solo", "/dev/full") as child:
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await child.wait() == EXIT_CLEAN


async def test_a_node_that_cannot_start_says_so_in_its_exit_code(tmp_path: Path) -> None:
    """Exit code 2, and no traceback."""
    assert await run_node(load(found(tmp_path), genesis="nowhere.json")) == EXIT_NOT_STARTED
