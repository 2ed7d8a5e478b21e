"""Processes of a local network: what is told to each is meant wherever it runs."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from node.core import read_clock_ms
from node.demo.network import LocalNetwork
from node.setup import make_testnet
from protocol.ids import TimeMs


class ToldError(Exception):
    """What a process would have been started with."""


async def test_a_network_in_a_relative_directory_finds_it_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes run beside the installed program, not where the command was given: `.demo` there is another."""

    async def tell(*words: str, **_: Any) -> Any:
        raise ToldError(*words)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(asyncio, "create_subprocess_exec", tell)
    testnet = make_testnet(Path("net"), lenders=("solo",), time_ms=TimeMs(read_clock_ms()))
    network = LocalNetwork(testnet)
    with pytest.raises(ToldError) as told:
        await network.start(["solo"])
    assert str(tmp_path / "net" / "solo") in told.value.args
    network._logs["solo"].close()
