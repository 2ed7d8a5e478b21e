"""A node's keys at the command line: sealed when made, sealed later, opened once at the start, never by argv."""

import json
import os
import re
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from node import setup
from node.cli.main import main
from node.cli.seats import _open_validator
from node.cli.sign import read_officer_seed
from node.cli.words import make_words, read_words
from node.config import load_config
from node.keystore import list_keys, load_node_keys, read_public_key
from node.runtime import EXIT_NOT_STARTED
from protocol.crypto import KeySigner
from protocol.ids import TimeMs
from tests.node.cli.terminal import CHEAP, PASSPHRASE, write_secret


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.client.keyfile.COST", CHEAP)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file with a passphrase."""
    return write_secret(tmp_path / "passphrase", PASSPHRASE)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `liushui start` would run, instead of running it."""
    runs: list[Any] = []

    async def run_node(config: Any, passphrase: Any) -> int:
        runs.append(load_node_keys(Path(config.data_dir), passphrase, allow_unsealed=config.allow_unsealed_keys))
        return 0

    monkeypatch.setattr("node.runtime.run_node", run_node)
    return runs


def run(*args: str | Path, text: str | None = None, **environment: str) -> Result:
    """One command."""
    return CliRunner().invoke(main, [str(one) for one in args], input=text, env={"LANG": "C", **environment})


def make_home(tmp_path: Path, secret: Path) -> Path:
    """A node's directory as `liushui init` makes it."""
    home = tmp_path / "harbour"
    assert run("init", "harbour", "--data-dir", home, "--validator", "--passphrase-file", secret).exit_code == 0
    return home


def test_init_seals_every_key_and_start_asks_for_one_passphrase(
    tmp_path: Path, secret: Path, started: list[Any]
) -> None:
    """By file, by descriptor, by systemd credential; all five keys open."""
    home = make_home(tmp_path, secret)
    assert list_keys(home) == dict.fromkeys(("node", "validator", "attester", "officer", "enc"), True)
    assert not load_config(home, environment={}).allow_unsealed_keys
    assert run("start", "--data-dir", home, "--passphrase-file", secret).exit_code == 0
    reader, writer = os.pipe()
    os.write(writer, PASSPHRASE.encode() + b"\n")
    os.close(writer)
    assert run("start", "--data-dir", home, "--passphrase-fd", str(reader)).exit_code == 0
    os.close(reader)
    write_secret(tmp_path / "liushui-passphrase", PASSPHRASE).chmod(0o440)  # as systemd's access lists show
    assert run("start", "--data-dir", home, CREDENTIALS_DIRECTORY=str(tmp_path)).exit_code == 0
    assert len(started) == 3
    assert {keys.node.public_key for keys in started} == {read_public_key(home, "node")}


def test_a_person_at_a_terminal_is_asked_once_and_only_for_sealed_keys(
    tmp_path: Path, secret: Path, started: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five keys, one question, no echo; a wrong answer ends the start; bare keys ask nobody anything."""
    monkeypatch.setattr("node.cli.start._is_somebody_there", lambda: True)
    home = make_home(tmp_path, secret)
    done = run("start", "--data-dir", home, text=f"{PASSPHRASE}\n")
    assert (done.exit_code, done.output.count("Passphrase of the keys in")) == (0, 1)
    assert PASSPHRASE not in done.output
    assert "[passphrase_wrong]" in run("start", "--data-dir", home, text="another horse\n").output
    bare = setup.make_testnet(tmp_path / "net", lenders=("ada",), time_ms=TimeMs(0)).nodes[0].directory
    assert "Passphrase" not in run("start", "--data-dir", bare, text="").output
    assert len(started) == 2


def test_a_node_that_cannot_open_its_keys_does_not_start(tmp_path: Path, secret: Path, started: list[Any]) -> None:
    """Nobody to ask, a wrong passphrase, one that others can read, none at all in the file; each by its code."""
    home = make_home(tmp_path, secret)
    wrong = write_secret(tmp_path / "wrong", "another horse")
    for args, code in (
        ((), "passphrase_missing"),
        (("--passphrase-file", wrong), "passphrase_wrong"),
        (("--passphrase-file", tmp_path / "nothing"), "passphrase_unreadable"),
        (("--passphrase-fd", "1", "--passphrase-file", secret), None),
    ):
        done = run("start", "--data-dir", home, *args)
        assert done.exit_code == EXIT_NOT_STARTED, "a service manager does not try it again"
        assert code is None or f"[{code}]" in done.output
    secret.chmod(0o640)
    assert "[passphrase_exposed]" in run("start", "--data-dir", home, "--passphrase-file", secret).output
    (home / "config.toml").write_text("nonsense = 1\n")
    done = run("start", "--data-dir", home, "--passphrase-file", secret)
    assert (done.exit_code, "[config_invalid]" in done.output) == (EXIT_NOT_STARTED, True)
    assert started == []


def test_no_passphrase_is_taken_from_the_command_line_or_the_environment(tmp_path: Path, secret: Path) -> None:
    """There is no such option, and no variable is looked at."""
    home = make_home(tmp_path, secret)
    assert run("start", "--data-dir", home, "--passphrase", PASSPHRASE).exit_code == 2
    done = run("start", "--data-dir", home, LIUSHUI_PASSPHRASE=PASSPHRASE, PASSPHRASE=PASSPHRASE)
    assert "[passphrase_missing]" in done.output


def test_a_local_network_starts_unsealed_and_is_sealed_afterwards(
    tmp_path: Path, secret: Path, started: list[Any]
) -> None:
    """testnet says in its settings that keys are bare; seal, change the passphrase, unseal; doctor tells which."""
    home = setup.make_testnet(tmp_path / "net", lenders=("ada",), time_ms=TimeMs(0)).nodes[0].directory
    assert run("start", "--data-dir", home).exit_code == 0
    assert "not sealed, as the settings allow" in run("doctor", "--data-dir", home).output
    settings = home / "config.toml"
    settings.write_text(settings.read_text().replace("allow_unsealed_keys = true", "allow_unsealed_keys = false"))
    assert "keys seal --dir" in run("doctor", "--data-dir", home).output
    assert run("keys", "seal", "--dir", home, "--passphrase-file", secret).exit_code == 0
    assert "all sealed" in run("doctor", "--data-dir", home).output
    assert "[keys_sealed]" in run("keys", "seal", "--dir", home, "--passphrase-file", secret).output
    other = write_secret(tmp_path / "other", "another horse")
    change = ("keys", "passphrase", "--dir", home, "--passphrase-file", secret, "--new-passphrase-file", other)
    assert run(*change).exit_code == 0
    assert "[passphrase_wrong]" in run("start", "--data-dir", home, "--passphrase-file", secret).output
    assert run("start", "--data-dir", home, "--passphrase-file", other).exit_code == 0
    assert run("keys", "unseal", "--dir", home, "--passphrase-file", other, text="n\n").exit_code == 1
    assert all(list_keys(home).values())
    assert run("keys", "unseal", "--dir", home, "--passphrase-file", other, "--yes").exit_code == 0
    assert "[keys_unsealed]" in run("keys", "unseal", "--dir", home, "--yes").output
    assert len({keys.node.public_key for keys in started}) == 1


def test_a_command_asks_once_for_the_keys_of_a_directory(
    tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A next validator key is made beside sealed ones, sealed as they are; another key opens without a question."""
    home = make_home(tmp_path, secret)
    asked: list[str] = []

    def answer(*, prompt: str, **_: Any) -> str:
        asked.append(prompt)
        return PASSPHRASE

    monkeypatch.setattr("node.cli.sign.read_passphrase", answer)
    with click.Context(click.Command("any")).scope():
        following = _open_validator(home, new=True).public_key
        assert _open_validator(home, new=False).public_key == following
        assert KeySigner(read_officer_seed(home)).public_key == read_public_key(home, "officer")
    assert asked == [f"Passphrase of the keys in {home}"]
    assert list_keys(home)["validator-next"]


@pytest.mark.parametrize("command", ["seal", "unseal", "passphrase"])
def test_an_empty_directory_holds_no_keys(tmp_path: Path, secret: Path, command: str) -> None:
    """One code for all three."""
    more = ("--yes",) if command == "unseal" else ()
    done = run("keys", command, "--dir", tmp_path, "--passphrase-file", secret, *more)
    assert "[key_missing]" in done.output


# ---------------------------------------------------------------------- a person's key


def make_key(tmp_path: Path, secret: Path, *more: str) -> dict[str, Any]:
    """A new key; what was said of it."""
    made = run("keys", "new", "--out", tmp_path / "me.key", "--passphrase-file", secret, "--json", *more)
    assert made.exit_code == 0, made.output
    found: dict[str, Any] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("language", ["en", "zh"])
def test_twenty_four_words_restore_a_key(tmp_path: Path, secret: Path, language: str) -> None:
    """Shown when it is made or later; typed again, in any case and spacing, they give the same key."""
    made = make_key(tmp_path, secret, "--words", "--words-lang", language)
    words = made["words"].split()
    assert len(words) == 24
    asked = ("keys", "words", tmp_path / "me.key", "--passphrase-file", secret)
    again = run(*asked, "--words-lang", language, "--json")
    assert json.loads(again.stdout)["words"] == made["words"]
    shown = run(*asked, "--words-lang", language)
    assert all(f"{i} {word}" in shown.stdout for i, word in enumerate(words, 1))
    typed = "  ".join(words).upper() + "\n"
    back = run("keys", "restore", "--out", tmp_path / "b.key", "--passphrase-file", secret, "--json", text=typed)
    assert back.exit_code == 0, back.output
    assert json.loads(back.stdout)["public_key"] == made["public_key"]


def test_words_that_are_none_restore_nothing(tmp_path: Path, secret: Path) -> None:
    """Too few, one from no list, two in each other's place, a checksum that fails: a code each, and no file."""
    words = make_words(bytes(range(32)), "en")
    swapped = [words[1], words[0], *words[2:]]
    for typed, code in (
        (words[:23], "words_count"),
        ([*words[:3], "liushui", *words[4:]], "word_unknown"),
        (swapped, "words_wrong"),
        (["abandon"] * 24, "words_wrong"),
    ):
        text = " ".join(typed) + "\n"
        done = run("keys", "restore", "--out", tmp_path / "b.key", "--passphrase-file", secret, text=text)
        assert (done.exit_code, f"[{code}]" in done.output) == (1, True), done.output
        assert code != "word_unknown" or "Word 4 is" in done.output
        assert not (tmp_path / "b.key").exists()


def test_the_words_are_those_of_the_published_list(tmp_path: Path) -> None:
    """BIP39's own vectors: 32 bytes of nought, and of ones."""
    assert make_words(bytes(32), "en") == ["abandon"] * 23 + ["art"]
    assert make_words(b"\xff" * 32, "en") == ["zoo"] * 23 + ["vote"]
    assert read_words(" ".join(["zoo"] * 23 + ["vote"])) == b"\xff" * 32


def test_a_copy_under_another_passphrase_carries_a_key_elsewhere(tmp_path: Path, secret: Path) -> None:
    """Export, import: the same key under three passphrases, none of which opens another's file."""
    made = make_key(tmp_path, secret)
    there = write_secret(tmp_path / "there", "travelling horse")
    copy, new = tmp_path / "travel.key", tmp_path / "new.key"
    first = ("keys", "export", tmp_path / "me.key", "--out", copy, "--passphrase-file", secret)
    assert run(*first, "--copy-passphrase-file", there).exit_code == 0
    home = write_secret(tmp_path / "home", "homely horse")
    second = ("keys", "import", copy, "--out", new, "--passphrase-file", home, "--json")
    wrong = run(*second, "--copy-passphrase-file", secret)
    assert json.loads(wrong.stdout)["error"]["code"] == "passphrase_wrong"
    assert not new.exists()
    taken = run(*second, "--copy-passphrase-file", there)
    assert json.loads(taken.stdout)["public_key"] == made["public_key"]
    assert json.loads(run(*second, "--copy-passphrase-file", there).stdout)["error"]["code"] == "key_file_exists"
    changed = ("keys", "passphrase", "--key", new, "--passphrase-file", home, "--new-passphrase-file", secret)
    assert run(*changed).exit_code == 0
    assert "[passphrase_wrong]" in run(*changed).output
    words = ("keys", "words", new, "--passphrase-file", secret, "--json")
    assert run(*words).exit_code == 0


@pytest.mark.parametrize("page", ["keys.md", "transport.md"])
def test_the_pages_name_commands_and_options_that_exist(page: str) -> None:
    """What an operator reads can be typed."""
    text = (Path(__file__).parents[3] / "docs" / page).read_text(encoding="utf-8")
    typed = re.findall(r"liushui ((?:keys|peers|init|start|doctor|testnet|gov|backup)\b[^`#\n]*)", text)
    assert len(typed) >= 3
    for line in typed:
        words = line.split()
        command: click.Command = main
        while isinstance(command, click.Group) and words:
            found = command.get_command(click.Context(command), words[0])
            assert found is not None, line
            command = found
            words.pop(0)
        options = {name for each in command.params for name in each.opts}
        assert {word for word in words if word.startswith("-")} <= options, line


def test_an_observer_is_given_an_attester_key_once(tmp_path: Path, secret: Path) -> None:
    """Sealed with the passphrase of its other keys, told by its public half, and never made a second time."""
    home = tmp_path / "eye"
    made = run("init", "eye", "--data-dir", home, "--role", "observer", "--observer", "--passphrase-file", secret)
    assert json.loads(made.output)["attester_key"] is None
    order = ("keys", "attester", "--dir", home, "--passphrase-file", secret, "--json")
    told = json.loads(run(*order).stdout)
    assert list_keys(home)["attester"] is True
    public = read_public_key(home, "attester")
    assert public is not None
    assert told["attester key"] == public.hex()
    again = run(*order)
    assert (again.exit_code, json.loads(again.stdout)["error"]["code"]) == (1, "key_held")
    assert run("keys", "attester", "--dir", tmp_path / "none").exit_code != 0
