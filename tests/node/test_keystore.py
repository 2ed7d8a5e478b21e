"""Key files: owner-readable only, and never half-right."""

from pathlib import Path

import pytest

from node.keystore import KeyFileError, adopt_next_validator, load_node_keys, write_key


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
