"""An observer has no validator key by construction: none is made for it, and none that lies there is ever opened."""

import json
import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node import setup
from node.checkup.directory import check_directory
from node.cli.main import main
from node.config import load_config
from node.core import read_clock_ms
from node.keystore import VALIDATOR_NAMES, KeyFileError, check_observer, list_keys, write_key
from node.opening import StartError, open_everything, read_keys
from node.returning import RESTORED_MARK, note_restored
from node.runtime import EXIT_NOT_STARTED
from node.stops import RESTORED
from node.store.stopfile import StopFile
from protocol.crypto import KeySigner
from protocol.ids import TimeMs

CODE = "observer_holds_validator_key"


@pytest.fixture
def net(tmp_path: Path) -> setup.Testnet:
    """One validator, one observer, one auditor."""
    now = TimeMs(read_clock_ms())
    return setup.make_testnet(tmp_path / "net", lenders=("solo",), observers=("eye",), auditors=("judge",), time_ms=now)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, args)


def get_code(directory: Path, **changes: object) -> str:
    """With which a node refuses to start."""
    with pytest.raises(StartError) as caught:
        read_keys(load_config(directory, environment={}, overrides=changes))
    return caught.value.code


@pytest.mark.parametrize("name", VALIDATOR_NAMES)
def test_an_observer_is_refused_while_a_validator_key_lies_there_sealed_or_broken(
    net: setup.Testnet, name: str
) -> None:
    """By its presence alone: it is not opened, so a passphrase is not asked for it, nor is it read."""
    place = net.directory / "eye"
    read_keys(load_config(place, environment={}))
    write_key(place, name)
    (place / "keys" / f"{name}.key").write_text("no key at all")
    with pytest.raises(KeyFileError) as caught:
        check_observer(place)
    assert (caught.value.code, str(place / "keys" / f"{name}.key") in caught.value.sentence) == (CODE, True)
    assert get_code(place) == CODE
    assert CODE in {one.code for one in check_directory(place)} or name == "validator-next"  # broken is told first


def test_a_validators_directory_is_not_run_as_an_observer_nor_the_other_way_round(net: setup.Testnet) -> None:
    """Neither by a flag, nor by the environment, nor by the settings; each has its code, in the doctor's words too."""
    solo, eye = net.directory / "solo", net.directory / "eye"
    assert get_code(solo, role="observer") == CODE
    with pytest.raises(StartError) as caught:
        read_keys(load_config(solo, environment={"LIUSHUI_ROLE": "observer"}))
    assert caught.value.code == CODE
    assert get_code(eye, role="validator") == "not_a_validator"
    for place, old, new, code in (
        (solo, "validator", "observer", CODE),
        (eye, "observer", "validator", "not_a_validator"),
    ):
        assert code not in {one.code for one in check_directory(place)}
        text = (place / "config.toml").read_text()
        (place / "config.toml").write_text(text.replace(f'role = "{old}"', f'role = "{new}"'))
        assert code in {one.code for one in check_directory(place)}


def test_start_ends_with_the_code_and_2(net: setup.Testnet, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator sees: the last line of the log, and a passphrase credential changes nothing."""
    credentials = net.directory / "credentials"
    credentials.mkdir()
    (credentials / "liushui-passphrase").write_text("six random words are good enough\n")
    (credentials / "validator").write_text("ab" * 32)  # no credential but the passphrase is ever read
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    done = run("start", "--data-dir", str(net.directory / "solo"), "--role", "observer")
    assert done.exit_code == EXIT_NOT_STARTED
    assert CODE in done.output
    assert "validator" not in list_keys(net.directory / "eye")
    assert read_keys(load_config(net.directory / "eye", environment=dict(os.environ))).validators == ()


async def test_a_directory_from_which_the_key_is_taken_runs_as_an_observer(net: setup.Testnet) -> None:
    """The way the sentence names works, and the mark of a restore waits for the key that may come."""
    place = net.directory / "solo"
    (place / "keys" / "validator.key").unlink()
    (place / RESTORED_MARK).touch()
    async with AsyncExitStack() as stack:
        opened = await open_everything(load_config(place, environment={}, overrides={"role": "observer"}), stack)
        assert (opened.keys.validators, opened.signers) == ((), ())
    assert (place / RESTORED_MARK).exists()
    stops, key = StopFile.open(place), KeySigner(write_key(place, "validator")).public_key
    note_restored(place, stops, [key], 5)
    assert [(one.code, one.validator_key) for one in StopFile.open(place).stops] == [(RESTORED, key.hex())]
    assert not (place / RESTORED_MARK).exists()


def test_none_is_made_for_an_observer(net: setup.Testnet, tmp_path: Path) -> None:
    """`testnet` and `init` give an auditor an attester key and no vote; roles that exclude each other are refused."""
    members = {one.name: one for one in net.genesis.members}
    for name, attests in (("eye", False), ("judge", True)):
        held = list_keys(net.directory / name)
        assert not held.keys() & {*VALIDATOR_NAMES}
        assert ("attester" in held, members[name].attester_key is not None) == (attests, attests)
        assert (members[name].observer, members[name].validator_key) == (True, None)
        assert load_config(net.directory / name, environment={}).role == "observer"
    made = run("init", "peony", "--data-dir", str(tmp_path / "p"), "--role", "observer", "--auditor", "--unsealed")
    entry = json.loads(made.output)
    assert (entry["observer"], entry["validator_key"]) == (True, None)
    assert entry["attester_key"]
    assert load_config(tmp_path / "p", environment={}).role == "observer"
    for clash in (
        ("--role", "observer", "--validator"),
        ("--role", "validator", "--observer"),
        ("--validator", "--auditor"),
    ):
        refused = run("init", "iris", "--data-dir", str(tmp_path / "i"), "--unsealed", *clash)
        assert (refused.exit_code, "no validator key" in refused.output) == (2, True)
        assert not (tmp_path / "i").exists()
    assert json.loads(
        run("init", "iris", "--data-dir", str(tmp_path / "i"), "--unsealed", "--role", "validator").output
    )["validator_key"]


def test_a_vote_is_not_made_in_an_observers_directory(net: setup.Testnet) -> None:
    """`keys seat-proof --new` wants the role changed first, before it asks any node anything."""
    place, node = net.directory / "eye", ("--node", "http://127.0.0.1:1")
    refused = run("keys", "seat-proof", "eye", "--dir", str(place), "--new", *node)
    assert (refused.exit_code, "role to validator" in refused.output) == (1, True)
    check_observer(place)
    text = (place / "config.toml").read_text()
    (place / "config.toml").write_text(text.replace('role = "observer"', 'role = "validator"'))
    passed = run("keys", "seat-proof", "eye", "--dir", str(place), "--new", *node)
    assert "role to validator" not in passed.output  # tests of seats go on from here
