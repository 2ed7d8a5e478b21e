"""A sealed key file: one 32-byte seed under a passphrase (argon2id, then XSalsa20-Poly1305 secretbox).

A person's wallet is one such file: from the seed come the signing key and the key that documents are sealed to, so one
file is one identity. A node's keys are several (`node.keystore`). The passphrase never comes from an argument of the
command line nor from the environment, and has no default. Never log what `open` returns.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey
from nacl.pwhash import argon2id
from nacl.secret import SecretBox
from nacl.utils import random

from protocol.codec import JSON_FAULTS
from protocol.crypto import KeySigner, calculate_hash

SEED_BYTES: Final = 32
PASSPHRASE_CHARS_MIN: Final = 8
MEMORY_BYTES_MAX: Final = 1_073_741_824  # a hostile file must not ask for more than this machine has
PASSES_MAX: Final = 16
FILE_BYTES_MAX: Final = 4_096

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class KeyFileProblem(Exception):  # noqa: N818  (named after what is wrong)
    """A wallet file that cannot be used; `code` is stable and the sentence names the fix."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class KeyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands in the file (JSON)."""

    version: Literal[1]
    public_key: Hex32
    """Ed25519, hex; readable without the passphrase."""
    kdf: Literal["argon2id13"]
    passes: Annotated[int, msgspec.Meta(ge=argon2id.OPSLIMIT_MIN, le=PASSES_MAX)]
    memory_bytes: Annotated[int, msgspec.Meta(ge=argon2id.MEMLIMIT_MIN, le=MEMORY_BYTES_MAX)]
    salt: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    box: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{144}$")]
    """Nonce (24), tag (16) and the sealed seed (32), hex."""


def make_seed() -> bytes:
    """A new random seed."""
    return random(SEED_BYTES)


def derive_enc_key(seed: bytes) -> PrivateKey:
    """The X25519 key of a wallet: a hash of its seed under its own domain, so that the two keys never meet."""
    return PrivateKey(calculate_hash("wallet-enc", seed))


class Cost(NamedTuple):
    """What one guess at a passphrase costs."""

    passes: int
    memory_bytes: int


COST: Final = Cost(argon2id.OPSLIMIT_MODERATE, argon2id.MEMLIMIT_MODERATE)
"""About half a second and 256 MiB: much for each of many guesses, little for one start."""


class Passphrase:
    """One passphrase, asked for when it is first needed. What was derived from it is kept, so that all files that were
    sealed beside each other open at the cost of one.
    """

    def __init__(self, ask: Callable[[], str]) -> None:
        self._ask = ask
        self._text: str | None = None
        self._derived: dict[tuple[bytes, Cost], bytes] = {}

    def seal(self, seed: bytes, *, cost: Cost | None = None, beside: KeyFile | None = None) -> KeyFile:
        """The file that keeps `seed`; under the same salt as `beside`, which this passphrase must open.

        Raises KeyFileProblem: passphrase_short, or what `open` says of `beside`.
        """
        assert len(seed) == SEED_BYTES
        if len(self._get_text()) < PASSPHRASE_CHARS_MIN:
            raise KeyFileProblem(
                "passphrase_short", f"The passphrase is too short: use at least {PASSPHRASE_CHARS_MIN} characters."
            )
        salt, cost = random(argon2id.SALTBYTES), COST if cost is None else cost
        if beside is not None:
            self.open(beside)
            salt, cost = bytes.fromhex(beside.salt), Cost(beside.passes, beside.memory_bytes)
        return KeyFile(
            version=1,
            public_key=KeySigner(seed).public_key.hex(),
            kdf="argon2id13",
            passes=cost.passes,
            memory_bytes=cost.memory_bytes,
            salt=salt.hex(),
            box=bytes(SecretBox(self._derive(salt, cost)).encrypt(seed)).hex(),
        )

    def open(self, file: KeyFile) -> bytes:
        """The seed. Raises KeyFileProblem when the passphrase is wrong or the file was altered."""
        key = self._derive(bytes.fromhex(file.salt), Cost(file.passes, file.memory_bytes))
        try:
            seed = SecretBox(key).decrypt(bytes.fromhex(file.box))
        except CryptoError as error:
            raise KeyFileProblem(
                "passphrase_wrong", "The passphrase does not open this key file: try again."
            ) from error
        if KeySigner(seed).public_key.hex() != file.public_key:
            raise KeyFileProblem(
                "key_file_altered", "The key file names another public key: restore it from its backup."
            )
        return seed

    def _get_text(self) -> str:
        if self._text is None:
            self._text = self._ask()
        return self._text

    def _derive(self, salt: bytes, cost: Cost) -> bytes:
        held = self._derived.get((salt, cost))
        if held is None:
            secret = self._get_text().encode()
            held = argon2id.kdf(SecretBox.KEY_SIZE, secret, salt, opslimit=cost.passes, memlimit=cost.memory_bytes)
            self._derived[salt, cost] = held
        return held


def seal_seed(seed: bytes, passphrase: str, *, cost: Cost | None = None) -> KeyFile:
    """The file that keeps `seed` under `passphrase`. Raises KeyFileProblem for a passphrase that is too short."""
    return Passphrase(lambda: passphrase).seal(seed, cost=cost)


def open_seed(file: KeyFile, passphrase: str) -> bytes:
    """The seed. Raises KeyFileProblem when the passphrase is wrong or the file was altered."""
    return Passphrase(lambda: passphrase).open(file)


def encode_key_file(file: KeyFile) -> bytes:
    """The text of a file."""
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def decode_key_file(raw: bytes, path: Path) -> KeyFile:
    """What a file's text says. Raises KeyFileProblem for one that is broken."""
    try:
        return msgspec.json.decode(raw, type=KeyFile)
    except JSON_FAULTS as error:
        raise KeyFileProblem("key_file_broken", f"{path} is not a key file of this program: {error}.") from error


def write_key_file(path: Path, file: KeyFile) -> None:
    """Create `path` with mode 0600. Raises KeyFileProblem when it exists or cannot be written."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise KeyFileProblem(
            "key_file_exists", f"{path} exists: choose another name; a key is never overwritten."
        ) from error
    except OSError as error:
        raise KeyFileProblem("key_file_unwritable", f"{path} cannot be written: {error.strerror}.") from error
    with os.fdopen(handle, "wb") as out:
        out.write(encode_key_file(file))
        out.flush()
        os.fsync(out.fileno())


def replace_key_file(path: Path, file: KeyFile) -> None:
    """Put another sealed file of the same key in the place of one, as a whole. Raises KeyFileProblem."""
    spare = path.with_name(path.name + ".new")
    try:
        spare.unlink(missing_ok=True)
        write_key_file(spare, file)
        spare.replace(path)
    except OSError as error:
        raise KeyFileProblem("key_file_unwritable", f"{path} cannot be written: {error.strerror}.") from error


def read_key_file(path: Path) -> KeyFile:
    """The sealed file. Raises KeyFileProblem for one that is missing, unreadable or broken."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise KeyFileProblem("key_file_broken", f"{path} is too large for a key file.")
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise KeyFileProblem(
            "key_file_missing", f"{path} does not exist: make one with liushui keys new --out {path}."
        ) from error
    except OSError as error:
        raise KeyFileProblem("key_file_unreadable", f"{path} cannot be read: {error.strerror}.") from error
    return decode_key_file(raw, path)
