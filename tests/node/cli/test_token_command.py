"""`liushui token`, and how commands show one: never as an argument, never in the clear to another machine."""

import json
import stat
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner, Result

from node.api.access import ApiSettings
from node.api.app import make_app
from node.cli.common import node_option
from node.cli.main import main
from node.cli.shown import find_token
from node.config import NodeConfig
from node.monitor.desk import open_desk
from node.tokens import Scope, TokenRoom, read_tokens
from tests.node.api.harness import make_keys
from tests.node.cli.terminal import Desk


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The directory of a node."""
    found = tmp_path / "home"
    found.mkdir()
    (found / "config.toml").write_text('name = "ada"\nrole = "observer"\n')
    return found


def run(*args: str | Path, **environment: str) -> Result:
    """One command."""
    return CliRunner().invoke(main, list(map(str, args)), env={"LANG": "C", **environment})


def read(*args: str | Path) -> Any:
    done = run("token", *args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_token_is_made_listed_and_revoked(home: Path, tmp_path: Path) -> None:
    """The secret is shown when it is made and nowhere else; in a file of its own, only there."""
    where = ("--data-dir", home)
    made = read("create", "grafana", "--scope", "monitor", "--for", "2d", *where)
    assert made["token"].startswith("lst_")
    assert made["expires_ms"] - made["created_ms"] == 2 * 86_400_000
    out = tmp_path / "book.token"
    kept = read("create", "book", "--scope", "operate", "--scope", "read-private", "--out", out, *where)
    assert "token" not in kept
    assert (kept["expires_ms"], stat.S_IMODE(out.stat().st_mode)) == (None, 0o600)
    listed = run("token", "list", *where)
    assert all(word in listed.output for word in ("grafana", "book", "read-private, operate", "no end"))
    assert made["token"] not in listed.output + (home / "tokens.json").read_text()
    assert [one["name"] for one in read("list", *where)["tokens"]] == ["grafana", "book"]
    found = TokenRoom(home).find(out.read_text().strip(), made["created_ms"])
    assert not isinstance(found, str)
    assert found.scopes == (Scope.READ_PRIVATE, Scope.OPERATE)
    assert read("revoke", "book", *where) == {"revoked": "book"}
    shown = run("token", "create", "more", "--scope", "monitor", *where)
    assert "lst_" in shown.stdout
    assert "cannot show it again" in shown.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("create", "x"), 2, "--scope"),
        (("create", "x", "--scope", "all"), 2, "all"),
        (("create", "Ä b", "--scope", "monitor"), 1, "token_name_invalid"),
        (("create", "x", "--scope", "monitor", "--for", "2 years"), 2, "is not a time"),
        (("create", "x", "--scope", "monitor", "--out", "/nowhere/at/all"), 1, "file_unwritable"),
        (("revoke", "x"), 1, "token_unknown"),
    ],
)
def test_mistakes_leave_no_token_behind(home: Path, args: tuple[str, ...], code: int, said: str) -> None:
    """No scope, an unknown one, a name or a time that is none, a file that cannot be: nothing is kept."""
    done = run("token", *args, "--data-dir", home)
    assert (done.exit_code, said in done.output) == (code, True), done.output
    assert read_tokens(home) == ()


def test_tokens_are_made_where_a_node_is(tmp_path: Path) -> None:
    """Not in a directory that was mistyped."""
    done = run("token", "create", "x", "--scope", "monitor", "--data-dir", tmp_path)
    assert (done.exit_code, "no_node_here" in done.output) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_a_token_is_not_shown_to_everybody(tmp_path: Path) -> None:
    """Others can read its file, or it would go in the clear to another machine: nothing is sent."""
    kept = tmp_path / "kept"
    kept.write_text("lst_secret\n")
    kept.chmod(0o644)
    exposed = run("status", "--token-file", kept, "--node", "http://127.0.0.1:9")
    assert (exposed.exit_code, "token_exposed" in exposed.output) == (1, True)
    kept.chmod(0o600)
    for shown in ({"LIUSHUI_TOKEN": "lst_secret"}, {"LIUSHUI_TOKEN_FILE": str(kept)}):
        clear = run("status", "--node", "http://192.0.2.7:7400", **shown)
        assert (clear.exit_code, "token_in_the_clear" in clear.output) == (1, True), shown
        assert "lst_secret" not in clear.output
        local = run("status", "--node", "http://127.0.0.1:9", **shown)
        assert (local.exit_code, "node_unreachable" in local.output) == (3, True), shown
    for wrong in ("two words", "ü", "a\nb"):
        assert "token_unreadable" in run("status", "--node", "http://127.0.0.1:9", LIUSHUI_TOKEN=wrong).output
    assert "token_unreadable" in run("status", "--token-file", tmp_path / "none").output


def test_a_token_is_for_the_node_that_is_named_and_no_other() -> None:
    """A command that asks several nodes would hand it to strangers' operators."""

    @click.command()
    @node_option
    def ask(node_url: str) -> None:
        click.echo(f"{find_token(node_url)} {find_token('https://stranger.example')}")

    done = CliRunner().invoke(ask, ["--node", "https://own.example"], env={"LIUSHUI_TOKEN": "lst_secret"})
    assert done.output == "lst_secret None\n"


async def test_commands_read_what_is_private_with_a_token(desk: Desk, tmp_path: Path) -> None:
    """Warnings, signals, the report and a closed status, without any officer's key; without either, wrong use."""
    async with AsyncExitStack() as stack:
        config = NodeConfig(name="harbour", role="validator", data_dir=str(tmp_path))
        desk.node.alerts = await open_desk(config, desk.node, make_keys("harbour"), stack, now_ms=desk.node.now_ms)
        settings = ApiSettings(tokens=TokenRoom(tmp_path), status_for="tokens")
        server = TestServer(make_app(desk.node, settings, now_ms=desk.node.now_ms))
        await server.start_server()
        stack.push_async_callback(server.close)
        desk.url = str(server.make_url("/"))
        (tmp_path / "config.toml").write_text("")
        kept = tmp_path / "all.token"
        scopes = [part for one in Scope for part in ("--scope", str(one))]
        made = await desk.run("token", "create", "all", *scopes, "--data-dir", str(tmp_path), "--out", str(kept))
        assert made.exit_code == 0, made.output
        shown = ("--token-file", str(kept))
        assert (await desk.read("alerts", *shown))["items"] == []
        assert (await desk.read("portfolio", "--signals", *shown))["loans"] == 0
        assert (await desk.read("report", *shown))["currency"] == "CNY"
        assert (await desk.read("status", *shown))["name"] == "harbour"
        assert await desk.refuse("status", "--node", desk.url) == "token_missing"
        key = make_keys("jade").node.public_key.hex()
        for peer, time in (("jade", "12h"), (key, "30m")):
            banned = await desk.run("peers", "ban", peer, "--for", time, *shown, "--node", desk.url)
            assert banned.exit_code == 0, banned.output
        assert list(desk.node.mesh.banned.values()) == [1_800.0]
        listed = await desk.read("peers", "list", *shown)
        assert [(one["name"], one["node_key"]) for one in listed["bans"]] == [("jade", key)]
        assert "regulator" in [one["name"] for one in listed["peers"]]
        lifted = await desk.run("peers", "unban", "jade", *shown, "--node", desk.url)
        assert (lifted.exit_code, desk.node.mesh.banned) == (0, {})
        for peer, code in (("jade", "peer_not_banned"), ("nobody", "peer_unknown")):
            refused = await desk.run("peers", "unban", peer, *shown, "--node", desk.url)
            assert (refused.exit_code, code in refused.output) == (1, True), refused.output
        assert (await desk.run("peers", "ban", "jade", "--node", desk.url)).exit_code == 2
        only = tmp_path / "only.token"
        where = ("--data-dir", str(tmp_path), "--out", str(only))
        assert (await desk.run("token", "create", "only", "--scope", "operate", *where)).exit_code == 0
        by_name = await desk.run("peers", "ban", "jade", "--token-file", str(only), "--node", desk.url)
        assert (by_name.exit_code, "or the node key" in by_name.output) == (1, True), by_name.output
        by_key = await desk.run("peers", "ban", key, "--token-file", str(only), "--node", desk.url)
        assert by_key.exit_code == 0, by_key.output
        for words in (("alerts",), ("report",), ("portfolio", "--signals")):
            assert (await desk.run(*words, "--node", desk.url)).exit_code == 2, words
