"""Hashes and signatures. libsodium through PyNaCl is the one verifier: libsodium and OpenSSL disagree on edge-case
Ed25519 signatures, so a node that verified with another library could be forked off. Never add a second one, and
never make keys here: randomness belongs to the shell.
"""

from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open
from nacl.exceptions import BadSignatureError
from nacl.exceptions import ValueError as NaclValueError
from nacl.signing import SigningKey

from protocol.ids import AccountId, Digest, ObjectId, PublicKey, Signature

if TYPE_CHECKING:
    from hashlib import _Hash

SIGNATURE_BYTES = 64


@cache
def _begin_hash(tag: str) -> "_Hash":
    """A hasher that has taken in a tag, to be copied: making one anew costs as much as a short hash itself."""
    name = tag.encode("ascii")
    return sha256(bytes((len(name),)) + name)


def calculate_hash(tag: str, *parts: bytes) -> Digest:
    """SHA-256 over a length-prefixed domain tag and the parts. Parts must be of fixed length, or be the last."""
    hasher = _begin_hash(tag).copy()
    for part in parts:
        hasher.update(part)
    return Digest(hasher.digest())


def calculate_hashes(tag: str, first: bytes, parts: Iterable[bytes]) -> list[Digest]:
    """`calculate_hash(tag, first, part)` of each part; what they begin with is hashed once."""
    begun = _begin_hash(tag).copy()
    begun.update(first)
    begin, found = begun.copy, []
    for part in parts:
        hasher = begin()
        hasher.update(part)
        found.append(Digest(hasher.digest()))
    return found


def check_signature(key: PublicKey, message: bytes, signature: Signature) -> bool:
    """Whether `signature` (64 bytes) is `key`'s Ed25519 signature over `message`, by libsodium's rule."""
    return check_signed(key, signature + message)


def check_signed(key: PublicKey, signed: bytes) -> bool:
    """The same of a signature with its message behind it, which is how libsodium takes them: nothing is copied."""
    try:
        crypto_sign_open(signed, key)
    except (BadSignatureError, NaclValueError):
        return False
    return True


class Signer(Protocol):
    """Whoever can sign with one key: a key in memory, a sealed key file, a device."""

    @property
    def public_key(self) -> PublicKey:
        """The key others verify with."""

    def sign(self, message: bytes) -> Signature:
        """64-byte Ed25519 signature over `message`."""


class KeySigner:
    """A signer over a 32-byte seed held in memory."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, seed: bytes) -> None:
        key = SigningKey(seed)
        self.public_key = PublicKey(bytes(key.verify_key))
        self._secret = bytes(key) + self.public_key

    def sign(self, message: bytes) -> Signature:
        """64-byte Ed25519 signature over `message`."""
        return Signature(crypto_sign(message, self._secret)[:SIGNATURE_BYTES])


def calculate_account_id(key: PublicKey) -> AccountId:
    """Id of the account that `key` opens; it stays when the key is rotated."""
    return AccountId(calculate_hash("account", key))


def calculate_object_id(kind: str, sender: PublicKey, nonce: int) -> ObjectId:
    """Id of what a transaction makes: H(domain | sender | nonce), known to the signer before it is sent."""
    return ObjectId(calculate_hash(f"object/{kind}", sender, nonce.to_bytes(8, "big")))
