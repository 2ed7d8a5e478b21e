"""The tree of commands, walked: each has help, each read speaks JSON, none is slow to ask, shells complete them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner

from node.cli.common import EXIT_OK, EXIT_USAGE
from node.cli.completion import PROGRAM, SHELLS, VARIABLE
from node.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
NO_READS: Final = {
    "init": "makes keys, and prints JSON anyway",
    "start": "runs",
    "peers ban": "changes a file",
    "peers unban": "changes a file",
    "keys adopt": "changes a file",
    "keys seat-proof": "prints one thing to hand on, as it is",
    "statement sample": "writes a file",
    "invoices sample": "writes a file",
    "model card": "prints a document",
    "product template": "prints a document",
    "completion": "prints a program",
}
"""Commands without --json, and why that is right."""
HEAVY: Final = (
    "aiohttp",
    "nacl",
    "asyncio",
    "sqlite3",
    "ssl",
    "structlog",
    "cryptography",
    "prometheus_client",
    "rich",
)


def walk(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command by its words."""
    if path:
        yield " ".join(path), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, name
            yield from walk(inner, (*path, name))


ALL = dict(walk(main))
LEAVES = {name: command for name, command in ALL.items() if not isinstance(command, click.Group)}


def test_every_command_and_option_says_what_it_is_for() -> None:
    """A sentence for each command, shown without a traceback; one for each option that its name does not explain."""
    assert len(LEAVES) > 100
    for name, command in ALL.items():
        assert command.help, name
        shown = CliRunner().invoke(main, [*name.split(), "--help"])
        assert (shown.exit_code, "Usage: " in shown.output) == (EXIT_OK, True), name


def test_every_read_speaks_json() -> None:
    """All commands do but those that are named here with a reason, and those still are without."""
    mute = {name for name, command in LEAVES.items() if not any("--json" in one.opts for one in command.params)}
    assert mute - NO_READS.keys() == set()
    assert NO_READS.keys() - mute == set(), "these speak JSON by now"


def test_wrong_use_is_told_by_its_exit_code() -> None:
    """An unknown command, an unknown option, a missing argument: 2, and a word about help."""
    for words in (["no-such-thing"], ["version", "--no-such-option"], ["verify"], ["completion", "csh"]):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == EXIT_USAGE, words
        assert "Usage: " in done.output


def test_asking_for_help_loads_nothing_heavy() -> None:
    """The module of every command is loaded: of what takes long to import, nothing comes along (start-up <= 200 ms)."""
    program = f"""
import importlib, json, sys
from node.cli.main import COMMANDS
for entry in COMMANDS.values():
    importlib.import_module(entry.target.partition(":")[0])
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("shell", SHELLS)
def test_the_lines_for_a_shell_call_the_program(shell: str) -> None:
    """They name the program and the variable by which it is asked."""
    done = CliRunner().invoke(main, ["completion", shell])
    assert done.exit_code == EXIT_OK
    assert PROGRAM in done.output
    assert f"{VARIABLE}={shell}_complete" in done.output.replace("env ", "")


def test_commands_and_options_are_completed() -> None:
    """At each depth of the tree."""
    completer = BashComplete(main, {}, PROGRAM, VARIABLE)

    def complete(words: list[str], begun: str) -> list[str]:
        return [one.value for one in completer.get_completions(words, begun)]

    assert complete([], "stat") == ["status", "statement"]
    assert "propose" in complete(["gov"], "pro")
    assert complete(["status"], "--w") == ["--why"]
    assert complete(["completion"], "z") == ["zsh"]


def test_a_shell_really_asks_the_program() -> None:
    """What bash would run after a tab: one variable and the words typed so far."""
    asked = {**os.environ, VARIABLE: "bash_complete", "COMP_WORDS": "liushui doc", "COMP_CWORD": "1"}
    call = [sys.executable, "-c", f"from node.cli.main import main; main(prog_name={PROGRAM!r})"]
    done = subprocess.run(call, cwd=ROOT, env=asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,doctor"]


def test_the_version_is_the_installed_distributions() -> None:
    """Read from a directory's name, it is what importlib.metadata says."""
    done = CliRunner().invoke(main, ["version", "--json"])
    assert json.loads(done.output) == {"name": "liushui", "version": metadata.version("liushui")}
