"""A node's own keys: one file each, for their owner alone, sealed under one passphrase of the node.

Separate keys for separate powers: `node` (identity on the network), `validator` (votes), `validator-next` (votes once
it is seated in the other's place), `attester` (attestations), `officer` (the organisation's account), `enc` (statements
are sealed to it). A sealed file is the same as a person's wallet (`node.client.keyfile`). Keys of throw-away networks
may lie unsealed, as a 32-byte seed in hex; a node takes those only when its settings say so. Never print or log what is
in these files.
"""

import os
import stat
from pathlib import Path
from typing import Final, NamedTuple

from nacl.public import PrivateKey
from nacl.utils import random

from node.client.keyfile import KeyFile, KeyFileProblem, Passphrase, decode_key_file, encode_key_file
from protocol.crypto import KeySigner
from protocol.ids import BoxKey, PublicKey

KEYS_DIRECTORY: Final = "keys"
VALIDATOR_NAMES: Final = ("validator", "validator-next")
NAMES: Final = ("node", *VALIDATOR_NAMES, "attester", "officer", "enc")
FILE_BYTES_MAX: Final = 4_096


class KeyFileError(Exception):
    """A key file that must not be used; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class NodeKeys(NamedTuple):
    """Keys of one node; an observer has no validator keys, a gateway without officers no officer key."""

    node: KeySigner
    enc: PrivateKey
    validators: tuple[KeySigner, ...]
    """The present one, and the next while it is being rotated: whichever has a seat votes."""
    attester: KeySigner | None
    officer: KeySigner | None

    @property
    def validator(self) -> KeySigner | None:
        """The present validator key."""
        return self.validators[0] if self.validators else None

    @property
    def enc_key(self) -> BoxKey:
        """The public half that others seal to."""
        return BoxKey(bytes(self.enc.public_key))


# ---------------------------------------------------------------------- one file


def find_path(directory: Path, name: str) -> Path:
    """Where a key lies."""
    return directory / KEYS_DIRECTORY / f"{name}.key"


def read_held(directory: Path, name: str) -> KeyFile | bytes | None:
    """What a key file holds: the sealed file, an unsealed seed, or None when there is none.

    Raises KeyFileError for an exposed or broken one.
    """
    path = find_path(directory, name)
    try:
        found = path.stat()
        raw = path.read_bytes()[: FILE_BYTES_MAX + 1]
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeyFileError("key_unreadable", f"{path} cannot be read: fix its owner, or restore it.") from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise KeyFileError("key_exposed", f"{path} can be read by other users: run chmod 600 {path}.")
    if raw.lstrip().startswith(b"{"):
        try:
            return decode_key_file(raw, path)
        except KeyFileProblem as error:
            raise KeyFileError("key_broken", f"{error.sentence} Restore it from its backup.") from error
    try:
        seed = bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise KeyFileError(
            "key_broken", f"{path} holds neither a sealed key nor a 32-byte seed in hex: restore it from its backup."
        )
    return seed


def read_seed(directory: Path, name: str, passphrase: Passphrase | None = None) -> bytes | None:
    """The seed of a key file, or None when there is none. Raises KeyFileError: see `read_held`; key_sealed without a
    passphrase, passphrase_wrong with another one.
    """
    held = read_held(directory, name)
    if not isinstance(held, KeyFile):
        return held
    if passphrase is None:
        raise KeyFileError("key_sealed", f"{find_path(directory, name)} is sealed: its passphrase is needed.")
    try:
        return passphrase.open(held)
    except KeyFileProblem as error:
        raise KeyFileError(error.code, f"{find_path(directory, name)}: {error.sentence}") from error


def read_public_key(directory: Path, name: str) -> PublicKey | None:
    """The Ed25519 key of a file, which needs no passphrase; None when there is none. Raises KeyFileError."""
    held = read_held(directory, name)
    if held is None:
        return None
    return PublicKey(bytes.fromhex(held.public_key)) if isinstance(held, KeyFile) else KeySigner(held).public_key


def write_key(directory: Path, name: str, seed: bytes | None = None, *, passphrase: Passphrase | None = None) -> bytes:
    """Create `directory/keys/NAME.key` (mode 0600) with a new random seed, or the given one. Returns the seed.

    With a passphrase it is sealed, beside the keys that it already opens. Raises FileExistsError and OSError;
    KeyFileError: what `Passphrase.seal` says.
    """
    assert name in NAMES, name
    seed = random(32) if seed is None else seed
    content = seed.hex().encode() + b"\n" if passphrase is None else _seal(directory, seed, passphrase)
    path = find_path(directory, name)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write_new(path, content)
    return seed


def _seal(directory: Path, seed: bytes, passphrase: Passphrase) -> bytes:
    held = (read_held(directory, name) for name in NAMES)
    beside = next((one for one in held if isinstance(one, KeyFile)), None)
    try:
        return encode_key_file(passphrase.seal(seed, beside=beside))
    except KeyFileProblem as error:
        raise KeyFileError(error.code, error.sentence) from error


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


# ---------------------------------------------------------------------- all of a directory


def list_keys(directory: Path) -> dict[str, bool]:
    """Which keys lie there, each with whether it is sealed. Raises KeyFileError."""
    held = {name: read_held(directory, name) for name in NAMES}
    return {name: isinstance(one, KeyFile) for name, one in held.items() if one is not None}


def check_observer(directory: Path) -> None:
    """An observer's directory holds no validator key, sealed or not, used or not. Raises KeyFileError.

    Whoever runs a validator's directory as an observer would lose what its votes rest on without noticing: a lost vote
    log is made anew there, and nobody would note that the key must stay silent.
    """
    held = next((name for name in VALIDATOR_NAMES if find_path(directory, name).exists()), None)
    if held is not None:
        raise KeyFileError(
            "observer_holds_validator_key",
            f"{directory} is an observer's and holds a {held} key: set role to validator if this node is to vote, or"
            f" take {find_path(directory, held)} out for good.",
        )


def reseal_keys(directory: Path, old: Passphrase | None, new: Passphrase | None) -> tuple[str, ...]:
    """Seal all keys of a directory under `new`, or unseal them when it is None. Returns their names.

    Every key is opened before any is written; each is replaced as a whole, so whatever happens in between every file
    opens with one of the two. Raises KeyFileError and OSError.
    """
    seeds = {name: read_seed(directory, name, old) for name in NAMES}
    fresh: dict[str, bytes] = {}
    beside: KeyFile | None = None
    for name, seed in seeds.items():
        if seed is None:
            continue
        if new is None:
            fresh[name] = seed.hex().encode() + b"\n"
            continue
        try:
            beside = new.seal(seed, beside=beside)
        except KeyFileProblem as error:
            raise KeyFileError(error.code, error.sentence) from error
        fresh[name] = encode_key_file(beside)
    for name, content in fresh.items():
        path = find_path(directory, name)
        spare = path.with_suffix(".new")
        spare.unlink(missing_ok=True)
        _write_new(spare, content)
        spare.replace(path)
    return tuple(fresh)


def adopt_next_validator(directory: Path) -> tuple[PublicKey, Path | None] | None:
    """Put `validator-next` in the place of `validator`. Its key, and where the old one lies now; None without a next.

    The old one is linked under its new name before it is replaced: at no moment is there no present key. Raises
    KeyFileError for a broken file, OSError for a directory that cannot be written.
    """
    present, following = VALIDATOR_NAMES
    key, old = read_public_key(directory, following), read_public_key(directory, present)
    if key is None:
        return None
    folder = directory / KEYS_DIRECTORY
    kept = None if old is None else folder / f"validator-{old.hex()[:16]}.old"
    if kept is not None:
        kept.unlink(missing_ok=True)
        kept.hardlink_to(folder / f"{present}.key")
    (folder / f"{following}.key").replace(folder / f"{present}.key")
    return key, kept


def load_node_keys(directory: Path, passphrase: Passphrase | None = None, *, allow_unsealed: bool = True) -> NodeKeys:
    """Keys of the node in `directory`. Raises KeyFileError for a missing node or enc key, a broken or sealed file, and
    an unsealed one where none is allowed.
    """
    if not allow_unsealed and (bare := [name for name, is_sealed in list_keys(directory).items() if not is_sealed]):
        raise KeyFileError(
            "key_unsealed",
            f"{find_path(directory, bare[0])} is not sealed: run liushui keys seal --dir {directory}, or, on a network"
            " for trials, set allow_unsealed_keys = true.",
        )
    seeds = {name: read_seed(directory, name, passphrase) for name in NAMES}
    node, enc = seeds["node"], seeds["enc"]
    if node is None or enc is None:
        missing = "node" if node is None else "enc"
        raise KeyFileError("key_missing", f"{directory} holds no {missing} key: create it with liushui init.")
    signers = {name: KeySigner(seed) for name, seed in seeds.items() if seed is not None and name != "enc"}
    return NodeKeys(
        node=signers["node"],
        enc=PrivateKey(enc),
        validators=tuple(signers[name] for name in VALIDATOR_NAMES if name in signers),
        attester=signers.get("attester"),
        officer=signers.get("officer"),
    )
