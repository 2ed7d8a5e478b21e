"""A whole node with a webhook: alerts are served and delivered, over a restart nothing is lost or repeated."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from node import setup
from node.client.http import NodeClient
from node.config import NodeConfig, Webhook, load_config
from node.core import read_clock_ms
from node.keystore import read_seed
from node.monitor.records import AlertRecord, make_loan_alert
from node.monitor.webhook import check_alert
from node.opening import StartError
from node.runtime import Node
from protocol.crypto import KeySigner, calculate_account_id
from protocol.ids import AccountId, Height, ObjectId, TimeMs
from scoring.warning import Alert
from scoring.warning_table import WarningRule
from tests.node.monitor.test_webhooks import SECRET, Receiver


def read_time() -> TimeMs:
    return TimeMs(read_clock_ms())


def make_record(lender: AccountId, window: int) -> AlertRecord:
    return make_loan_alert(
        Alert(WarningRule.EMPTYING, 739_000, window, ()),
        loan=ObjectId(bytes([1]) * 32),
        borrower=AccountId(bytes([2]) * 32),
        lender=lender,
        data=None,
        height=Height(1),
        time_ms=TimeMs(1),
    )


async def run(config: NodeConfig, receiver: Receiver, records: list[AlertRecord], count: int) -> Node:
    """Start a node that tells these alerts, and wait until so many were received in all."""
    node = Node(config)
    await node.start()
    assert node.alerts is not None
    async with asyncio.timeout(30):
        while len(node.alerts.webhooks.states) < 1:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        await node.alerts.store.tell(records)
        while len(receiver.got) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    return node


async def test_a_node_serves_and_delivers_alerts_over_a_restart(tmp_path: Path) -> None:
    """An exposed secret keeps it from starting; told again after a restart, an alert is neither kept nor sent twice."""
    net = setup.make_testnet(tmp_path / "net", lenders=("solo",), time_ms=read_time())
    directory, receiver = net.directory / "solo", Receiver()
    await receiver.server.start_server()
    secret = directory / "hook.secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o644)
    hook = Webhook(url=receiver.url(), secret_file=str(secret))
    config = msgspec.structs.replace(load_config(directory, environment={}), webhooks=(hook,))
    with pytest.raises(StartError) as caught:
        await Node(config).start()
    assert caught.value.code == "secret_exposed"
    secret.chmod(0o600)
    seed = read_seed(directory, "officer")
    assert seed is not None
    officer = KeySigner(seed)
    lender = calculate_account_id(officer.public_key)
    node = await run(config, receiver, [make_record(lender, 1)], 1)
    async with NodeClient(f"http://127.0.0.1:{node.api_port}") as client:
        page = await client.get_signed("/v1/alerts", officer, read_time)
    assert [(one["serial"], one["lender"]) for one in page["items"]] == [(1, lender.hex())]
    assert page["webhooks"][0]["delivered"] >= 0
    await node.stop(drain_s=0)
    node = await run(config, receiver, [make_record(lender, 1), make_record(lender, 2)], 2)
    await node.stop(drain_s=0)
    assert receiver.serials() == [1, 2]
    headers, body = receiver.got[1]
    assert check_alert(headers, body, read_time(), secret=SECRET) is None
    await receiver.server.close()
