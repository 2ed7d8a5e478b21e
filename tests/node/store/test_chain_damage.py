"""A damaged or failing `ledger.sqlite`: every read and write ends in a StoreError whose sentence names the fix."""

import random
import sqlite3
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from node import setup
from node.config import NodeConfig
from node.core import read_clock_ms
from node.opening import StartError, open_everything
from node.runtime import Node
from node.store.chain import ChainStore, StoreError, explain
from protocol.ids import Height, TimeMs
from tests.node.core.cluster import Purse
from tests.node.core.test_runtime import load

PAGE = 4_096


async def make_ledger(directory: Path) -> setup.Testnet:
    """The stopped network of one validator whose ledger holds some blocks."""
    net = setup.make_testnet(directory / "net", lenders=("solo",), observers=("eye",), time_ms=TimeMs(read_clock_ms()))
    node = Node(load(net))
    await node.start()
    agent = Purse(net.directory / "authorities" / "clearing", node.chain_id)
    for amount in range(1, 21):
        (answer,) = await node.submit([agent.mint(agent.account, amount)])
        assert answer.id is not None
        assert await node.wait_final(answer.id, 5.0) is not None
    await node.stop(drain_s=0)
    return net


async def read_all(store: ChainStore) -> None:
    """Everything that peers and clients may ask for."""
    for block in await store.read_blocks(Height(1), 10_000):
        await store.find_block(block.header.calculate_digest())
        await store.read_block_receipts(block.header.height)
        for ref in block.batches:
            await store.read_batch(ref.digest)
    await store.read_events(0, 0, 10_000)


async def find_error(config: NodeConfig) -> StartError | StoreError | None:
    """What opening and reading a ledger ends in."""
    try:
        async with AsyncExitStack() as stack:
            opened = await open_everything(config, stack)
            await read_all(opened.store)
    except (StartError, StoreError) as error:
        return error
    return None


async def test_damage_of_any_page_is_told_in_a_sentence(tmp_path: Path) -> None:
    """Each page in turn is overwritten: opening and reading give a known error with its fix, or all is well."""
    net = await make_ledger(tmp_path)
    path = net.directory / "solo" / "ledger.sqlite"
    whole = path.read_bytes()
    chance = random.Random(1)
    told = 0
    for page in range(len(whole) // PAGE):
        for one in path.parent.glob("ledger.sqlite-*"):
            one.unlink()
        junk = chance.randbytes(PAGE)
        path.write_bytes(whole[: page * PAGE] + junk + whole[(page + 1) * PAGE :])
        error = await find_error(load(net))
        if error is not None:
            assert error.code == "database_damaged"
            assert "restore a backup" in error.sentence
            told += 1
    assert told >= len(whole) // PAGE // 2


@pytest.mark.parametrize(
    ("code", "name", "told"),
    [
        (sqlite3.SQLITE_FULL, "SQLITE_FULL", "disk_full"),
        (sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE", "disk_failed"),
        (sqlite3.SQLITE_IOERR_SHMSIZE, "SQLITE_IOERR_SHMSIZE", "disk_failed"),
        (sqlite3.SQLITE_READONLY, "SQLITE_READONLY", "directory_unwritable"),
        (sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", "database_damaged"),
        (sqlite3.SQLITE_NOTADB, "SQLITE_NOTADB", "database_damaged"),
    ],
)
def test_the_result_code_decides_what_is_told(code: int, name: str, told: str) -> None:
    """A disk that refuses is never called a damaged database: nobody must throw a good one away."""
    error = sqlite3.OperationalError("words that differ by version")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    assert explain(error, None).code == told
