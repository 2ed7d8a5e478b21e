"""`liushui config show`: what a node would start with, and what set each setting."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from node.cli.main import main


def show(directory: Path, *args: str, **environment: str) -> Result:
    """The command's answer in a plain environment."""
    return CliRunner().invoke(main, ["config", "show", "--data-dir", str(directory), *args], env=environment)


def write(directory: Path, more: str = "") -> Path:
    """A small node's directory."""
    text = f'name = "alpha"\nrole = "validator"\napi_port = 7401\nlisten_port = 7301\n{more}'
    (directory / "config.toml").write_text(text, encoding="utf-8")
    return directory


def test_each_setting_says_what_set_it(tmp_path: Path) -> None:
    """The environment beats the file, the file beats the default, and the answer says which it was."""
    facts = json.loads(show(write(tmp_path), "--json", LIUSHUI_API_PORT="7999").stdout)
    assert facts["name"] == {"value": "alpha", "origin": "config.toml"}
    assert facts["api_port"] == {"value": 7999, "origin": "LIUSHUI_API_PORT"}
    assert facts["listen_port"] == {"value": 7301, "origin": "config.toml"}
    assert facts["log_level"] == {"value": "info", "origin": "default"}


def test_tables_are_shown_line_by_line(tmp_path: Path) -> None:
    """Peers stand one below the other, with what set them."""
    peers = "".join(
        f'[[peers]]\nname = "{name}"\nnode_key = "{"ab" * 32}"\nurl = "wss://127.0.0.1:1/gossip"\n'
        for name in ("beta", "gamma")
    )
    lines = show(write(tmp_path, peers), "--origin").stdout.splitlines()
    assert [line.split()[2].rstrip(",") for line in lines if line.startswith("peers ")] == ["beta", "gamma"]
    assert all(line.endswith("config.toml") for line in lines if line.startswith("peers "))


def test_a_setting_that_nobody_knows_is_named(tmp_path: Path) -> None:
    """A mistake ends the command as it would end the start."""
    answer = show(write(tmp_path, "colour = 1\n"))
    assert answer.exit_code == 1
    assert "colour" in answer.stderr
    assert "config_invalid" in answer.stderr
