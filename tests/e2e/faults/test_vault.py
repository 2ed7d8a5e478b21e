"""The vault's disk under a running node: full, failing, damaged or torn at rest. A sentence each; nothing kept is lost.

And the end of the ledger's own journal cut off at rest: what was saved last is brought by the peers again.
"""

import asyncio
import resource
from pathlib import Path
from typing import Final

import pytest

from node.client.http import ApiError, NodeClient
from node.client.wallet import Wallet
from node.vault.crypto import Sealed
from protocol.codec import decode, encode
from protocol.ids import TimeMs
from protocol.vault import VaultEnvelope
from tests.e2e.faults.load import read_now_ms
from tests.e2e.faults.scene import Scene, open_scene
from tests.e2e.faults.test_damage import DATABASE, flip_middle
from tests.node.vault.test_vault_store import make_large_of

pytestmark = [pytest.mark.process, pytest.mark.long]

NAME: Final = "delta"
VAULT: Final = "vault.sqlite"
LEFT_BYTES: Final = 60_000  # less than one of the documents
CUT_BYTES: Final = 5_000  # more than one frame of the journal


def now_ms() -> TimeMs:
    """For signed requests."""
    return read_now_ms()


async def put(client: NodeClient, wallet: Wallet, sealed: Sealed) -> None:
    """Keep a document of one's own. Raises ApiError."""
    await client.call(
        "PUT",
        f"/v1/vault/documents/{sealed.envelope.digest.hex()}",
        body=encode(sealed.envelope),
        content_type="application/msgpack",
        signer=wallet.signer,
        now_ms=now_ms,
    )


async def expect_kept(client: NodeClient, wallet: Wallet, *documents: Sealed) -> None:
    """Each is handed back whole."""
    for sealed in documents:
        path = f"/v1/vault/documents/{sealed.envelope.digest.hex()}"
        raw = await client.call("GET", path, signer=wallet.signer, now_ms=now_ms)
        assert decode(raw, VaultEnvelope) == sealed.envelope


def limit_growth(scene: Scene, beyond: int) -> None:
    """No file of the node may grow beyond this size, until it is allowed again (RLIM_INFINITY)."""
    resource.prlimit(scene.processes.get_pid(NAME), resource.RLIMIT_FSIZE, (beyond, resource.RLIM_INFINITY))


async def test_a_vault_that_may_not_grow_keeps_what_it_has_and_goes_on_with_room(tmp_path: Path) -> None:
    """The write is refused with a code and the node serves on; with room the same document is taken."""
    async with open_scene(tmp_path, seed=61, clients=1, group=1) as scene:
        wallet = scene.load.wallets[0]
        documents = [make_large_of(wallet.signer, i) for i in range(2)]
        async with NodeClient(scene.processes.get_url(NAME)) as client:
            await put(client, wallet, documents[0])
            await scene.load.end()  # so that the vault's files are the first to meet the limit
            sizes = [path.stat().st_size for path in scene.processes.get_directory(NAME).iterdir() if path.is_file()]
            limit_growth(scene, max(sizes) + LEFT_BYTES)
            for _ in range(2):
                with pytest.raises(ApiError) as caught:
                    await put(client, wallet, documents[1])
                assert caught.value.status in (500, 507)
            await expect_kept(client, wallet, documents[0])
            limit_growth(scene, resource.RLIM_INFINITY)
            await put(client, wallet, documents[1])
            await expect_kept(client, wallet, *documents)
        said = [line for line in scene.processes.read_log(NAME) if '"request_failed"' in line]
        assert len(said) == 2
        assert all("free space" in line for line in said)
        scene.load.begin()
        await scene.expect_service("service beside a vault that was full")
        await scene.judge()


async def test_a_vault_damaged_or_torn_at_rest_is_refused_and_restoring_it_helps(tmp_path: Path) -> None:
    """A byte changed, the end cut off: the node says which file and what to do; as it was, all of it is there."""
    async with open_scene(tmp_path, seed=62, clients=1, group=2) as scene:
        processes, wallet = scene.processes, scene.load.wallets[0]
        path = processes.get_directory(NAME) / VAULT
        documents = [make_large_of(wallet.signer, i) for i in range(3)]
        async with NodeClient(processes.get_url(NAME)) as client:
            for one in documents:
                await put(client, wallet, one)
            assert await processes.stop([NAME]) == {NAME: 0}
            whole = path.read_bytes()
            for left in (b"", bytes(2_000), whole[: len(whole) // 2], whole[:-100]):
                path.write_bytes(left)
                if not left:  # nothing at all is a new vault
                    await scene.restart([NAME])
                    assert await processes.stop([NAME]) == {NAME: 0}
                    continue
                said = await processes.refuse(NAME)
                assert (said["code"], str(path) in said["reason"]) == ("vault_damaged", True)
                assert "restore a backup" in said["reason"]
            path.write_bytes(whole)
            at, junk = flip_middle(path)
            with path.open("r+b") as handle:
                handle.seek(at)
                handle.write(junk)
            await processes.spawn(NAME)
            if await processes.comes_up(NAME):  # the byte is a document's own
                ends = []
                for one in documents:
                    try:
                        await expect_kept(client, wallet, one)
                        ends.append(200)
                    except ApiError as error:
                        ends.append(error.status)
                assert sorted(ends) == [200, 200, 500]
                assert await processes.stop([NAME]) == {NAME: 0}
            else:
                assert (await processes.read_end(NAME, {2: "start_refused"}))["code"] == "vault_damaged"
            path.write_bytes(whole)
            await scene.restart([NAME])
            await expect_kept(client, wallet, *documents)
        await scene.judge()


async def test_the_ledgers_journal_torn_at_rest_costs_nothing_that_was_final(tmp_path: Path) -> None:
    """Killed, and the end of the database's journal gone: the last blocks come from the peers, and nothing differs."""
    async with open_scene(tmp_path, seed=63, clients=4, group=10) as scene:
        journal = scene.processes.get_directory(NAME) / DATABASE[1]
        for turn in range(3):
            await asyncio.sleep(1.0)
            await scene.processes.kill(NAME)
            size = journal.stat().st_size
            assert size > 2 * CUT_BYTES
            with journal.open("r+b") as handle:
                handle.truncate(size - CUT_BYTES * (turn + 1) - 7)
            await scene.restart([NAME])
            await scene.expect_level(f"level after its journal was torn ({turn + 1})", [NAME])
        await scene.judge()
