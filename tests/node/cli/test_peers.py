"""`liushui peers`: an operator bans and unbans by name or key, and sees it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node import setup
from node.bans import read_bans
from node.cli.main import main
from protocol.ids import TimeMs

HOUR_MS = 3_600_000


@pytest.fixture
def net(tmp_path: Path) -> setup.Testnet:
    """A network on disk, not running."""
    return setup.make_testnet(tmp_path / "net", lenders=("ada", "bo"), time_ms=TimeMs(0))


def run(*args: str | Path) -> Result:
    """One command."""
    return CliRunner().invoke(main, ["peers", *map(str, args)], env={"LANG": "C"})


def test_a_peer_is_banned_by_its_name_or_its_key_and_unbanned(net: setup.Testnet) -> None:
    """By the name in genesis or settings, or by any key; a second ban takes the first one's place."""
    home = net.nodes[0].directory
    bo = next(one for one in net.genesis.members if one.name == "bo").node_key.hex()
    assert run("ban", "bo", "--data-dir", home).exit_code == 0
    (first,) = read_bans(home)
    assert (first.node_key, first.name, first.reason) == (bo, "bo", "operator")
    assert run("ban", bo, "--for", "7d", "--data-dir", home).exit_code == 0
    (second,) = read_bans(home)
    assert 150 * HOUR_MS < second.until_ms - first.until_ms < 168 * HOUR_MS
    assert run("ban", "ab" * 32, "--for", "30m", "--data-dir", home).exit_code == 0
    assert [one.name for one in read_bans(home)] == ["bo", "ab" * 8]
    assert run("unban", "bo", "--data-dir", home).exit_code == 0
    assert [one.name for one in read_bans(home)] == ["ab" * 8]


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("ban", "ada"), 1, "peer_is_self"),
        (("ban", "nobody"), 1, "peer_unknown"),
        (("ban", "AB" * 32), 1, "peer_unknown"),
        (("unban", "bo"), 1, "peer_not_banned"),
        (("ban", "bo", "--for", "0h"), 2, "is not a time"),
        (("ban", "bo", "--for", "1y"), 2, "is not a time"),
        (("ban", "bo", "--for", "400d"), 2, "is not a time"),
    ],
)
def test_mistakes_are_named_and_change_nothing(net: setup.Testnet, args: tuple[str, ...], code: int, said: str) -> None:
    """Oneself, somebody unknown, a time that is none."""
    home = net.nodes[0].directory
    done = run(*args, "--data-dir", home)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert read_bans(home) == ()


def test_the_list_shows_peers_and_bans(net: setup.Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the node says of its peers, what the directory says of bans; as text and as JSON."""
    home = net.nodes[0].directory
    peers = [{"name": "bo", "connected": False, "height": 4, "silent_ms": -1}]
    monkeypatch.setattr("node.cli.remote.get", lambda url, path: {"peers": peers})
    run("ban", "bo", "--for", "12h", "--data-dir", home)
    text = run("list", "--data-dir", home)
    assert "not connected" in text.output
    assert "operator" in text.output
    found = json.loads(run("list", "--data-dir", home, "--json").output)
    assert found["peers"] == peers
    assert 43_000 < found["bans"][0]["left_s"] <= 43_200
    assert json.loads(run("list", "--json").output)["bans"] == []
