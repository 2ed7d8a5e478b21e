"""The doctor: each thing that would stop a node is found, by its code and with its fix, and nothing is changed."""

import asyncio
import json
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from node import setup
from node.checkup.directory import (
    Heard,
    ask_peer,
    check_books,
    check_directory,
    check_peers,
    check_skew,
    find_running,
)
from node.checkup.finding import Finding
from node.checkup.machine import check_clock, check_machine, judge_sync_time
from node.config import load_config
from node.core import read_clock_ms
from node.keystore import KEYS_DIRECTORY
from node.runtime import Node
from node.stops import KEY_IN_USE, describe_stop
from node.store.stopfile import Stop, StopFile
from node.tokens import REGISTER
from protocol.ids import TimeMs


def lay_out(tmp_path: Path, *lenders: str) -> setup.Testnet:
    return setup.make_testnet(tmp_path / "net", lenders=lenders or ("solo",), time_ms=TimeMs(read_clock_ms()))


def find_faults(findings: list[Finding]) -> dict[str, str]:
    """Codes with levels of what is not well; each has a fix."""
    assert all(one.fix for one in findings if one.level != "ok")
    return {one.code: one.level for one in findings if one.level != "ok" and one.code not in ("files_few", "disk_low")}


def spoil_settings(place: Path) -> None:
    (place / "config.toml").write_text("nonsense = 1\n")


def lose_a_key(place: Path) -> None:
    (place / KEYS_DIRECTORY / "node.key").unlink()


def let_others_read_keys(place: Path) -> None:
    (place / KEYS_DIRECTORY / "officer.key").chmod(0o640)


def let_others_read_tokens(place: Path) -> None:
    (place / REGISTER).touch(mode=0o644)


def let_others_write(place: Path) -> None:
    place.chmod(0o777)


def lose_the_genesis(place: Path) -> None:
    (place / "genesis.json").unlink()


def spoil_the_genesis(place: Path) -> None:
    (place / "genesis.json").write_text("{}")


def hold_books_of_another_network(place: Path) -> None:
    database = sqlite3.connect(place / "ledger.sqlite")
    database.execute("CREATE TABLE meta (key TEXT, value BLOB)")
    database.execute("CREATE TABLE blocks (height INTEGER)")
    database.execute("INSERT INTO meta VALUES ('chain_id', x'00')")
    database.commit()
    database.close()


def damage_the_books(place: Path) -> None:
    (place / "ledger.sqlite").write_bytes(b"no database at all" * 100)


def be_stopped(place: Path) -> None:
    stops = StopFile.open(place)
    stops.add(Stop(code=KEY_IN_USE, sentence=describe_stop(KEY_IN_USE), at_ms=1, validator_key=""))


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (spoil_settings, "config_invalid"),
        (lose_a_key, "key_missing"),
        (let_others_read_keys, "keys_exposed"),
        (let_others_read_tokens, "tokens_exposed"),
        (let_others_write, "directory_open"),
        (lose_the_genesis, "genesis_missing"),
        (spoil_the_genesis, "genesis_invalid"),
        (hold_books_of_another_network, "wrong_genesis"),
        (damage_the_books, "database_damaged"),
        (be_stopped, KEY_IN_USE),
    ],
)
def test_each_fault_of_a_directory_is_found(tmp_path: Path, spoil: Callable[[Path], None], code: str) -> None:
    """A healthy directory is spoilt in one way, and that way is named."""
    place = lay_out(tmp_path).directory / "solo"
    assert find_faults(check_directory(place)) == {}
    spoil(place)
    assert find_faults(check_directory(place)).get(code) == "fail"


def test_a_port_that_somebody_holds_is_named(tmp_path: Path) -> None:
    """The other program is not this node, so the fix is another port or an end of it."""
    net = lay_out(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", net.nodes[0].listen_port))
        taken.listen()
        assert find_faults(check_directory(net.directory / "solo")) == {"port_in_use": "fail"}


async def test_a_running_node_is_told_as_such_and_its_peers_clock_is_read(tmp_path: Path) -> None:
    """Its own ports are no fault; the one that does not run is a warning; the clock of the one that does is ours."""
    net = lay_out(tmp_path, "ada", "bo")
    config = load_config(net.directory / "ada", environment={})
    assert await asyncio.to_thread(find_running, config) is None
    node = Node(config)
    await node.start()
    try:
        own = await asyncio.to_thread(check_directory, net.directory / "ada")
        assert find_faults(own) == {"peers_unreachable": "warn"}
        assert [one.sentence for one in own if one.name == "running"]
        other = await asyncio.to_thread(check_directory, net.directory / "bo")
        assert find_faults(other) == {}
        (skew,) = [one for one in other if one.name == "clock skew"]
        assert skew.level == "ok"
        peer = load_config(net.directory / "bo", environment={}).peers[0]
        late = await asyncio.to_thread(ask_peer, peer, read_clock_s=lambda: time.time() + 60)
        assert late.ahead_s is not None
        assert 58 < late.ahead_s < 62
    finally:
        await node.stop(drain_s=0)
    height = check_books(net.directory / "ada" / "ledger.sqlite", net.genesis)
    assert [(one.level, "up to block" in one.sentence) for one in height] == [("ok", True)]


async def test_a_running_node_that_is_closed_to_all_but_tokens_holds_its_ports_too(tmp_path: Path) -> None:
    """It is known by its word that it wants a token; another program on the port is not."""
    place = lay_out(tmp_path).directory / "solo"
    settings = place / "config.toml"
    settings.write_text(settings.read_text().replace('status_for = "everybody"', 'status_for = "tokens"'))
    node = Node(load_config(place, environment={}))
    await node.start()
    try:
        found = await asyncio.to_thread(check_directory, place)
        assert find_faults(found) == {}
        (running,) = [one for one in found if one.name == "running"]
        assert "tokens" in running.sentence
    finally:
        await node.stop(drain_s=0)


@pytest.mark.parametrize(
    ("ahead_s", "level", "words"),
    [([0.4, -0.3], "ok", "behind"), ([2.0, 2.2], "warn", "ahead of"), ([-9.0, -8.0, 0.1], "fail", "behind")],
)
def test_the_clock_is_judged_by_most_peers(ahead_s: list[float], level: str, words: str) -> None:
    """One peer with a wrong clock makes nobody's wrong."""
    assert [(one.level, words in one.sentence) for one in check_skew(ahead_s)] in ([(level, True)], [(level, False)])
    assert check_skew(ahead_s)[0].level == level
    assert check_skew([0.1, 0.2, 900.0])[0].level == "ok"
    assert check_skew([]) == []


def test_peers_that_do_not_answer_are_named_with_why() -> None:
    """A warning: the peer may be down itself."""
    found = check_peers([Heard("ada", "", 0.1), Heard("bo", "Connection refused", None)])
    assert found[0].sentence == "1 of 2 answer. bo: Connection refused."
    assert [one.level for one in found] == ["warn", "ok"]


def test_slow_disks_and_unset_clocks_are_judged() -> None:
    """By what a vote waits for."""
    levels = [judge_sync_time(taken_s).level for taken_s in (0.001, 0.05, 0.3)]
    assert levels == ["ok", "warn", "fail"]
    assert check_clock(1.0).code == "clock_unset"


def test_this_machine_is_well_and_every_finding_can_be_read_by_a_program() -> None:
    """The checks that need no directory; codes are words."""
    findings = check_machine()
    assert find_faults(findings) == {}
    assert [one.name for one in findings] == ["versions", "libraries", "scoring", "clock", "open files"]
    assert json.dumps([one._asdict() for one in findings])
    assert all(one.code.replace("_", "").isalpha() for one in findings)
