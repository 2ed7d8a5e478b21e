"""`liushui backup`: a copy verifies by itself, holds nothing that must be erasable, and is silent when restored."""

import asyncio
import json
import shutil
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node import setup
from node.backup import MANIFEST, BackupError, _describe, create_backup, restore_backup, verify_backup
from node.cli.common import EXIT_OK, EXIT_REFUSED, EXIT_UNVERIFIED
from node.cli.main import main
from node.opening import DATABASE, VAULT
from node.returning import RESTORED_MARK
from node.runtime import Node
from node.stops import RESTORED
from node.store.stopfile import STOP_FILE, StopFile
from tests.node.core.cluster import LENDERS, Cluster, cluster
from tests.node.core.test_runtime import load
from tests.node.disk.ledgers import change, find_database
from tests.node.disk.test_check_and_repair import kept, net
from tests.node.disk.test_returning import make_blocks

__all__ = ["kept", "net"]  # fixtures


def run(*args: str, code: int = EXIT_OK) -> Any:
    """What a command prints as JSON."""
    done = CliRunner().invoke(main, ["backup", *args, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_a_backup_verifies_and_names_what_is_not_in_it(net: setup.Testnet, tmp_path: Path) -> None:
    """Every file by its hash, owner-readable only; documents and bins stay behind and that is said."""
    out = tmp_path / "copy"
    told = run("create", "--data-dir", str(net.directory / "solo"), "--out", str(out))
    assert told["node_stopped"] is True
    assert VAULT in told["left_out"]
    names = {one["name"] for one in told["files"]}
    assert {"ledger.sqlite", "config.toml", "genesis.json", "votes.wal", "keys/validator.key", "keys/node.key"} <= names
    assert not (out / VAULT).exists()
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in out.rglob("*"))
    assert run("verify", str(out))["height"] == told["height"] > 0
    again = run("create", "--data-dir", str(net.directory / "solo"), "--out", str(out), code=EXIT_REFUSED)
    assert again["error"]["code"] == "backup_exists"
    assert not out.with_name("copy.making").exists()


@pytest.mark.parametrize("name", ["ledger.sqlite", "votes.wal", "keys/validator.key", "genesis.json", MANIFEST])
def test_a_backup_with_any_other_byte_is_refused(net: setup.Testnet, tmp_path: Path, name: str) -> None:
    """Damage on the shelf is found before anything is made of it, and nothing is left behind."""
    out, place = tmp_path / "copy", tmp_path / "new"
    create_backup(net.directory / "solo", out)
    raw = bytearray((out / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (out / name).write_bytes(bytes(raw))
    run("verify", str(out), code=EXIT_UNVERIFIED)
    with pytest.raises(BackupError):
        restore_backup(out, place)
    assert not place.exists()


def test_a_backup_that_lies_about_its_ledger_is_refused(net: setup.Testnet, tmp_path: Path) -> None:
    """Hashes that fit a ledger that does not: whoever wrote both is not believed."""
    out = tmp_path / "copy"
    create_backup(net.directory / "solo", out)
    change(out / DATABASE, "UPDATE state SET value = value || X'00' WHERE family = (SELECT MAX(family) FROM state)")
    manifest = json.loads((out / MANIFEST).read_bytes())
    fresh = _describe(out, out / DATABASE)
    for one in manifest["files"]:
        if one["name"] == DATABASE:
            one.update(bytes=fresh.bytes, sha256=fresh.sha256)
    (out / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BackupError) as caught:
        verify_backup(out)
    assert "books" in caught.value.sentence
    (out / "stray").write_text("")
    with pytest.raises(BackupError):
        verify_backup(out)


def test_nothing_is_restored_over_a_node(net: setup.Testnet, tmp_path: Path) -> None:
    """A directory with anything in it stays as it is."""
    out = tmp_path / "copy"
    create_backup(net.directory / "solo", out)
    told = run("restore", str(out), "--data-dir", str(net.directory / "eye"), code=EXIT_REFUSED)
    assert told["error"]["code"] == "directory_not_empty"


async def test_a_node_that_was_moved_goes_on_at_once(net: setup.Testnet, tmp_path: Path) -> None:
    """Stopped, copied, never started again: the vote log knows everything, and the ledger is the same."""
    out = tmp_path / "copy"
    manifest = create_backup(net.directory / "solo", out)
    shutil.rmtree(net.directory / "solo")
    restore_backup(out, net.directory / "solo", moved=True)
    node = Node(load(net))
    await node.start()
    try:
        assert node.status().exec_height == manifest.height
        assert node.core.engine.seat is not None
        assert node.status().voting_stopped == ""
    finally:
        await node.stop(drain_s=0)


async def test_a_backup_of_a_running_validator_follows_silently_when_it_is_restored(tmp_path: Path) -> None:
    """Its old self went on to vote: the copy catches up, never votes in those views, and is marked until it may."""
    async with cluster(tmp_path, start=LENDERS) as net:
        await make_blocks(net, 6)
        place, out = net.testnet.directory / "di", tmp_path / "copy"
        manifest = await asyncio.to_thread(create_backup, place, out)
        assert manifest.node_stopped is False
        with pytest.raises(BackupError) as caught:
            await asyncio.to_thread(restore_backup, out, tmp_path / "nowhere", moved=True)
        assert caught.value.code == "backup_of_running_node"
        await make_blocks(net, 6)
        await net.stop("di")
        shutil.rmtree(place)
        await asyncio.to_thread(restore_backup, out, place)
        assert (place / RESTORED_MARK).exists()
        await check_silent(net)
        await net.stop("di")
        await check_silent(net)


async def check_silent(net: Cluster) -> None:
    """The restored validator follows the others, holds its keys back, and says why; so it does in its next life."""
    place = net.testnet.directory / "di"
    await net.start("di")
    core = net.nodes["di"]
    assert (core.driver.silenced, core.engine.seat) == (RESTORED, None)
    assert not (place / RESTORED_MARK).exists()
    assert [one.code for one in StopFile.open(place).stops] == [RESTORED]
    await make_blocks(net, 2)
    assert len(await net.read_roots(await net.meet())) == 1
    assert [one.code for one in StopFile.open(place).stops] == [RESTORED], "words of its old self are no surprise"
    assert (place / STOP_FILE).is_file()


def test_bins_are_not_in_the_copy(net: setup.Testnet, tmp_path: Path) -> None:
    """A row of them in the node's ledger leaves zeros in the backup, and the bytes are nowhere in its file."""
    source = net.directory / "solo" / DATABASE
    secret = bytes(range(1, 65))
    change(source, "INSERT INTO sidecars VALUES (1, X'00', 0, 3, ?)", secret)
    out = tmp_path / "copy"
    create_backup(net.directory / "solo", out)
    assert secret in find_database(net).read_bytes()
    assert secret not in (out / DATABASE).read_bytes()
    with closing(sqlite3.connect(out / DATABASE)) as connection:
        assert connection.execute("SELECT raw FROM sidecars").fetchone() == (bytes(64),)


def test_a_backup_carries_no_validator_key_of_an_observer(net: setup.Testnet, tmp_path: Path) -> None:
    """Neither made nor restored, whoever put the key there; with the key gone both are."""
    place, out, code = net.directory / "solo", tmp_path / "copy", "observer_holds_validator_key"
    text = (place / "config.toml").read_text()
    (place / "config.toml").write_text(text.replace('role = "validator"', 'role = "observer"'))
    assert run("create", "--data-dir", str(place), "--out", str(out), code=EXIT_REFUSED)["error"]["code"] == code
    assert not out.exists()
    key = (place / "keys" / "validator.key").rename(tmp_path / "validator.key")
    create_backup(place, out)
    restore_backup(out, tmp_path / "eye")
    key.rename(out / "keys" / "validator.key")
    told = json.loads((out / MANIFEST).read_bytes())
    added = _describe(out, out / "keys" / "validator.key")
    told["files"].append({"name": added.name, "bytes": added.bytes, "sha256": added.sha256})
    (out / MANIFEST).write_text(json.dumps(told))
    with pytest.raises(BackupError) as caught:
        restore_backup(out, tmp_path / "new")
    assert (caught.value.code, (tmp_path / "new").exists()) == (code, False)
