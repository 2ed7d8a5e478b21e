"""A node's own keys: one file each, owner-readable only, holding a 32-byte seed in hex.

Separate keys for separate powers: `node` (identity on the network), `validator` (votes), `validator-next` (votes once
it is seated in the other's place), `attester` (attestations), `officer` (the organisation's account), `enc` (statements
are sealed to it). A person's wallet is another file, sealed by a passphrase (`node.client.keyfile`). Never print or log
what is in these files.
"""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from nacl.public import PrivateKey
from nacl.utils import random

from protocol.crypto import KeySigner
from protocol.ids import BoxKey

KEYS_DIRECTORY = "keys"
VALIDATOR_NAMES = ("validator", "validator-next")
NAMES = ("node", *VALIDATOR_NAMES, "attester", "officer", "enc")


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


def write_key(directory: Path, name: str, seed: bytes | None = None) -> bytes:
    """Create `directory/keys/NAME.key` (mode 0600) with a new random seed, or the given one. Returns the seed."""
    assert name in NAMES, name
    seed = random(32) if seed is None else seed
    folder = directory / KEYS_DIRECTORY
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(seed.hex() + "\n")
    return seed


def read_seed(directory: Path, name: str) -> bytes | None:
    """The seed of a key file, or None when there is none. Raises KeyFileError for an exposed or broken one."""
    path = directory / KEYS_DIRECTORY / f"{name}.key"
    if not path.exists():
        return None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError("key_unreadable", f"{path} cannot be read: fix its owner, or restore it.") from error
    if mode & 0o077:
        raise KeyFileError("key_exposed", f"{path} can be read by other users: run chmod 600 {path}.")
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if len(seed) != 32:
        raise KeyFileError("key_broken", f"{path} does not hold a 32-byte seed in hex: restore it from its backup.")
    return seed


def adopt_next_validator(directory: Path) -> tuple[bytes, Path | None] | None:
    """Put `validator-next` in the place of `validator`. Its seed, and where the old key lies now; None without a next.

    The old one is linked under its new name before it is replaced: at no moment is there no present key. Raises
    KeyFileError for a broken file, OSError for a directory that cannot be written.
    """
    present, following = VALIDATOR_NAMES
    seed, old = read_seed(directory, following), read_seed(directory, present)
    if seed is None:
        return None
    folder = directory / KEYS_DIRECTORY
    kept = None if old is None else folder / f"validator-{KeySigner(old).public_key.hex()[:16]}.old"
    if kept is not None:
        kept.unlink(missing_ok=True)
        kept.hardlink_to(folder / f"{present}.key")
    (folder / f"{following}.key").replace(folder / f"{present}.key")
    return seed, kept


def load_node_keys(directory: Path) -> NodeKeys:
    """Keys of the node in `directory`. Raises KeyFileError for a missing node or enc key, or a broken file."""
    seeds = {name: read_seed(directory, name) for name in NAMES}
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
