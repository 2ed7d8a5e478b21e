"""An erasure over real processes: what lies in any file of any node afterwards, logs of the processes among them."""

import asyncio
import base64
import io
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from node.cli.common import EXIT_OK
from node.client.rights import read_all
from node.demo.acts import Stage, read_clock_ms
from node.demo.cast import LENDERS, OBSERVER
from node.demo.network import LocalNetwork
from node.setup import make_testnet
from node.vault.crypto import open_document, open_features
from protocol.transactions.data import DataErase
from protocol.transactions.lending import ApplyWithdraw
from scoring.rows import encode_row

pytestmark = [pytest.mark.process, pytest.mark.long]

NAMES = tuple(one.name for one in LENDERS)


def search(directory: Path, needles: list[bytes]) -> list[str]:
    """Files in which a needle stands: raw, in hex or in base64."""
    forms = [form for one in needles for form in (one, one.hex().encode(), base64.b64encode(one).rstrip(b"=")[:-1])]
    return [
        str(path.relative_to(directory))
        for path in sorted(directory.rglob("*"))
        if path.is_file() and any(form in path.read_bytes() for form in forms)
    ]


async def test_an_erased_statement_is_in_no_file_of_any_process(tmp_path: Path) -> None:
    """Four validators and an observer that starts last; killed once in between, so that logs are read back."""
    testnet = make_testnet(tmp_path / "net", lenders=NAMES, observers=(OBSERVER,), time_ms=read_clock_ms())
    network = LocalNetwork(testnet)
    async with network, AsyncExitStack() as stack:
        await network.start(NAMES)
        stage = await Stage.enter(stack, network, Console(file=io.StringIO()), time_warp=False)
        stage.alive = list(NAMES)
        stage.clients[OBSERVER] = stage.clients[NAMES[0]]
        await stage.fund_lenders()
        await stage.open_accounts()
        player = stage.players[0]
        application = stage.prepare(player)
        await player.device.apply(application)
        await player.device.wait_decisions(application.application, count=len(LENDERS))
        envelope, (sidecar,) = application.sealed.envelope, application.intents[-1].item.sidecars
        plain = open_document(envelope, account=player.wallet.account, key=player.enc)
        held = [envelope.ciphertext[:64], *(one.sealed_key for one in envelope.grants), sidecar.salt]
        features = application.features.envelope
        apart = [features.ciphertext[:64], *(one.sealed_key for one in features.grants)]
        assert search(testnet.directory / player.node, apart) != []
        vector = open_features(features, account=player.wallet.account, key=player.enc)
        keys = [plain.salt_key, vector.salt_key, application.sealed.data_key, application.features.data_key]
        never = [*keys, *(encode_row(one) for one in plain.rows[:20])]
        for name in NAMES:
            assert search(testnet.directory / name, held) != []
            assert search(testnet.directory / name, never) == []
        await network.kill(NAMES[3])
        await network.start([NAMES[3]])
        group: list[Any] = [ApplyWithdraw(application=application.application), DataErase(data=(application.data,))]
        await stage.must(player.node, [player.wallet.build(one) for one in group], "the order")
        async with asyncio.timeout(60):
            while True:
                (order,) = await read_all(stage.clients[NAMES[0]], "/v1/erasures")
                if order["state"] == "complete":
                    break
                await asyncio.sleep(0.2)
        await network.start([OBSERVER])
        await network.stop(network.names)
        for name in network.names:
            assert search(testnet.directory / name, [*held, *apart, *never]) == []
        for name in network.names:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "node.cli.main",
                "audit",
                "--data-dir",
                str(testnet.directory / name),
                stdout=asyncio.subprocess.PIPE,
            )
            told, _ = await process.communicate()
            assert process.returncode == EXIT_OK, told.decode()
            assert any(line.split()[:2] == [b"erased", b"1"] for line in told.splitlines()), told.decode()
