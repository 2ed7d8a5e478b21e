"""Key files: owner-readable only, and never half-right."""

from pathlib import Path

import pytest
from nacl.pwhash import argon2id

from node.client.keyfile import KeyFile, Passphrase, encode_key_file
from node.keystore import (
    NAMES,
    KeyFileError,
    adopt_next_validator,
    list_keys,
    load_node_keys,
    read_held,
    read_public_key,
    read_seed,
    reseal_keys,
    write_key,
)
from protocol.crypto import KeySigner
from tests.node.cli.terminal import CHEAP


def test_keys_load_by_what_is_there(tmp_path: Path) -> None:
    """An observer has no validator key; what is there signs with the key that was made."""
    for name in ("node", "enc", "officer"):
        write_key(tmp_path, name)
    keys = load_node_keys(tmp_path)
    assert keys.validators == ()
    assert keys.officer is not None
    assert len(keys.enc_key) == 32


def test_an_exposed_key_is_refused(tmp_path: Path) -> None:
    """A key other users can read is not used, and the fix is named."""
    write_key(tmp_path, "enc")
    write_key(tmp_path, "node")
    (tmp_path / "keys" / "node.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600") as caught:
        load_node_keys(tmp_path)
    assert caught.value.code == "key_exposed"


@pytest.mark.parametrize("text", ["", "zz", "ab" * 31, "é"])
def test_a_broken_key_is_refused(tmp_path: Path, text: str) -> None:
    """Anything but 32 bytes of hex is refused with a code."""
    write_key(tmp_path, "enc")
    path = tmp_path / "keys" / "node.key"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(KeyFileError) as caught:
        load_node_keys(tmp_path)
    assert caught.value.code in {"key_broken", "key_unreadable"}


def test_a_missing_key_names_the_command(tmp_path: Path) -> None:
    """No node key: the sentence says which command makes it."""
    with pytest.raises(KeyFileError, match="liushui init"):
        load_node_keys(tmp_path)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    """Writing over a key would lose money: refused by the file system."""
    write_key(tmp_path, "node")
    with pytest.raises(FileExistsError):
        write_key(tmp_path, "node")


def test_a_next_validator_key_is_loaded_beside_the_present_one_and_then_adopted(tmp_path: Path) -> None:
    """Both sign while a seat changes hands; afterwards the next is the present one, and the old one is kept aside."""
    for name in ("node", "enc", "validator"):
        write_key(tmp_path, name)
    assert adopt_next_validator(tmp_path) is None
    write_key(tmp_path, "validator-next")
    old, new = (one.public_key for one in load_node_keys(tmp_path).validators)
    adopted = adopt_next_validator(tmp_path)
    assert adopted is not None
    assert adopted[1] is not None
    assert adopted[1].name == f"validator-{old.hex()[:16]}.old"
    assert adopted[1].stat().st_mode & 0o077 == 0
    assert [one.public_key for one in load_node_keys(tmp_path).validators] == [new]
    assert adopt_next_validator(tmp_path) is None


def make_passphrase(text: str = "correct horse") -> tuple[Passphrase, list[str]]:
    """A passphrase, and how often it was asked for."""
    asked: list[str] = []

    def ask() -> str:
        asked.append(text)
        return text

    return Passphrase(ask), asked


def write_sealed(directory: Path, *names: str) -> list[bytes]:
    """Keys under one cheap passphrase; their seeds."""
    passphrase, _ = make_passphrase()
    return [write_key(directory, name, passphrase=passphrase) for name in names]


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.client.keyfile.COST", CHEAP)


def test_sealed_keys_open_with_one_passphrase_that_is_asked_for_once_and_derived_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six files, one question, one argon2id; no file holds its seed."""
    seeds = write_sealed(tmp_path, *NAMES)
    derived: list[int] = []
    kdf = argon2id.kdf
    monkeypatch.setattr(argon2id, "kdf", lambda *args, **more: derived.append(1) or kdf(*args, **more))
    passphrase, asked = make_passphrase()
    keys = load_node_keys(tmp_path, passphrase, allow_unsealed=False)
    assert (len(asked), len(derived)) == (1, 1)
    assert keys.node.public_key == KeySigner(seeds[0]).public_key
    for name, seed in zip(NAMES, seeds, strict=True):
        path = tmp_path / "keys" / f"{name}.key"
        assert path.stat().st_mode & 0o077 == 0
        assert seed.hex() not in path.read_text()
        assert read_seed(tmp_path, name, passphrase) == seed
        assert read_public_key(tmp_path, name) == KeySigner(seed).public_key


def test_a_sealed_key_opens_with_nothing_else(tmp_path: Path) -> None:
    """Without a passphrase, and with another one: a code each, and the file's name."""
    write_sealed(tmp_path, "node", "enc")
    for passphrase, code in ((None, "key_sealed"), (make_passphrase("another horse")[0], "passphrase_wrong")):
        with pytest.raises(KeyFileError, match=r"node\.key") as caught:
            load_node_keys(tmp_path, passphrase)
        assert caught.value.code == code


def test_an_unsealed_key_is_taken_only_where_the_settings_allow_it(tmp_path: Path) -> None:
    """One bare file among sealed ones is enough to refuse, and the sentence says both ways out."""
    write_sealed(tmp_path, "node", "enc")
    write_key(tmp_path, "attester")
    passphrase, asked = make_passphrase()
    with pytest.raises(KeyFileError, match=r"attester.*keys seal.*allow_unsealed_keys") as caught:
        load_node_keys(tmp_path, passphrase, allow_unsealed=False)
    assert caught.value.code == "key_unsealed"
    assert asked == []
    assert load_node_keys(tmp_path, passphrase).attester is not None


def test_keys_are_sealed_resealed_and_unsealed_and_stay_the_same_keys(tmp_path: Path) -> None:
    """Bare, under one passphrase, under another, bare again; the old passphrase opens nothing any more."""
    seeds = {name: write_key(tmp_path, name) for name in ("node", "enc", "validator")}
    (first, _), (second, _) = make_passphrase("first horse"), make_passphrase("second horse")
    assert reseal_keys(tmp_path, None, first) == ("node", "validator", "enc")
    assert list_keys(tmp_path) == {"node": True, "validator": True, "enc": True}
    reseal_keys(tmp_path, first, second)
    held = [read_held(tmp_path, name) for name in seeds]
    assert len({one.salt for one in held if isinstance(one, KeyFile)}) == 1, "one derivation opens them all"
    with pytest.raises(KeyFileError):
        read_seed(tmp_path, "node", first)
    assert {name: read_seed(tmp_path, name, second) for name in seeds} == seeds
    reseal_keys(tmp_path, second, None)
    assert {name: read_seed(tmp_path, name) for name in seeds} == seeds
    assert not any(list_keys(tmp_path).values())
    assert not list((tmp_path / "keys").glob("*.new"))


def test_nothing_is_resealed_when_one_key_does_not_open(tmp_path: Path) -> None:
    """Every key is opened before any is written."""
    write_sealed(tmp_path, "node", "validator")
    other, _ = make_passphrase("another horse")
    (tmp_path / "keys" / "enc.key").write_bytes(encode_key_file(other.seal(bytes(32))))
    (tmp_path / "keys" / "enc.key").chmod(0o600)
    before = {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()}
    passphrase, _ = make_passphrase()
    with pytest.raises(KeyFileError, match=r"enc\.key"):
        reseal_keys(tmp_path, passphrase, make_passphrase("third horse")[0])
    assert {path.name: path.read_bytes() for path in (tmp_path / "keys").iterdir()} == before


def test_a_next_validator_key_is_adopted_without_a_passphrase(tmp_path: Path) -> None:
    """Names and public keys are enough; what is sealed stays sealed."""
    write_sealed(tmp_path, "validator", "validator-next")
    following = read_public_key(tmp_path, "validator-next")
    adopted = adopt_next_validator(tmp_path)
    assert adopted is not None
    assert adopted[0] == following == read_public_key(tmp_path, "validator")
    assert list_keys(tmp_path) == {"validator": True}


@pytest.mark.parametrize("content", [b"{", b'{"version": 2}', b"{" + b"x" * 5_000])
def test_a_broken_sealed_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """What begins like a sealed file and is none."""
    write_key(tmp_path, "node")
    (tmp_path / "keys" / "node.key").write_bytes(content)
    with pytest.raises(KeyFileError) as caught:
        read_seed(tmp_path, "node")
    assert caught.value.code == "key_broken"
