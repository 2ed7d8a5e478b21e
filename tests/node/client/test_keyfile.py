"""Key files: what is sealed opens with its passphrase alone, and a file is never overwritten or trusted blindly."""

import stat
from pathlib import Path

import msgspec
import pytest

from node.client.keyfile import (
    Cost,
    KeyFile,
    KeyFileProblem,
    derive_enc_key,
    make_seed,
    open_seed,
    read_key_file,
    seal_seed,
    write_key_file,
)
from protocol.crypto import KeySigner

SEED = bytes(range(32))
CHEAP = Cost(1, 8_192)


def seal(seed: bytes = SEED, passphrase: str = "correct horse") -> KeyFile:
    return seal_seed(seed, passphrase, cost=CHEAP)


def test_a_sealed_seed_opens_with_its_passphrase(tmp_path: Path) -> None:
    """seal, write, read, open gives the seed back; the file is for its owner alone and hides the seed."""
    path = tmp_path / "me.key"
    write_key_file(path, seal())
    assert open_seed(read_key_file(path), "correct horse") == SEED
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SEED.hex() not in path.read_text()


def test_another_passphrase_does_not_open() -> None:
    """A wrong passphrase is a value with a code, not a stack."""
    with pytest.raises(KeyFileProblem) as caught:
        open_seed(seal(), "correct horsE")
    assert caught.value.code == "passphrase_wrong"


def test_every_altered_box_is_refused() -> None:
    """Any flipped bit of nonce, tag or ciphertext is noticed."""
    file = seal()
    for position in range(0, len(file.box), 7):
        digit = "0" if file.box[position] != "0" else "1"
        altered = msgspec.structs.replace(file, box=file.box[:position] + digit + file.box[position + 1 :])
        with pytest.raises(KeyFileProblem):
            open_seed(altered, "correct horse")


def test_a_foreign_public_key_is_noticed() -> None:
    """A file that shows another public key than its seed's is refused: somebody would be paid in your place."""
    other = KeySigner(bytes(32)).public_key.hex()
    with pytest.raises(KeyFileProblem) as caught:
        open_seed(msgspec.structs.replace(seal(), public_key=other), "correct horse")
    assert caught.value.code == "key_file_altered"


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """Writing over a key file is refused, and the old one stays."""
    path = tmp_path / "me.key"
    write_key_file(path, seal())
    before = path.read_bytes()
    with pytest.raises(KeyFileProblem) as caught:
        write_key_file(path, seal())
    assert caught.value.code == "key_file_exists"
    assert path.read_bytes() == before


def test_a_short_passphrase_is_refused() -> None:
    """Seven characters seal nothing."""
    with pytest.raises(KeyFileProblem) as caught:
        seal(passphrase="seven77")
    assert caught.value.code == "passphrase_short"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"version":2}', "x" * 5_000, '{"version":1,"memory_bytes":99999999999}']
)
def test_a_broken_file_is_refused_with_a_sentence(tmp_path: Path, text: str) -> None:
    """No content of a key file raises anything but KeyFileProblem, and hostile cost parameters are not obeyed."""
    path = tmp_path / "broken.key"
    path.write_text(text)
    with pytest.raises(KeyFileProblem) as caught:
        read_key_file(path)
    assert caught.value.code == "key_file_broken"


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    """The sentence of a missing file says how to make it."""
    with pytest.raises(KeyFileProblem, match="liushui keys new"):
        read_key_file(tmp_path / "none.key")


def test_signing_and_sealing_keys_differ_and_follow_from_the_seed() -> None:
    """One seed, two keys: the sealing key is the same each time and is not the signing seed."""
    assert bytes(derive_enc_key(SEED)) == bytes(derive_enc_key(SEED))
    assert bytes(derive_enc_key(SEED)) != SEED
    assert make_seed() != make_seed()
