"""A signature scheme for simulation: a keyed hash that every simulated node can check, hundreds of times faster than
Ed25519. It is unforgeable only because no actor reads another's secret. Never import this outside tests.
"""

from hashlib import blake2b

from protocol.ids import PublicKey, Signature


class Scheme:
    """All keys of one simulated network."""

    def __init__(self) -> None:
        self._secrets: dict[PublicKey, bytes] = {}
        self.verified = 0

    def make_signer(self, name: str) -> "SimSigner":
        """A new key pair, the same for the same name."""
        secret = blake2b(name.encode(), digest_size=32).digest()
        key = PublicKey(blake2b(secret, digest_size=32).digest())
        self._secrets[key] = secret
        return SimSigner(key, secret)

    def adopt(self, key: PublicKey, name: str) -> "SimSigner":
        """A signer for a public key that was made elsewhere."""
        secret = blake2b(b"adopted " + name.encode(), digest_size=32).digest()
        self._secrets[key] = secret
        return SimSigner(key, secret)

    def verify(self, key: PublicKey, message: bytes, signature: Signature) -> bool:
        """Whether `key`'s owner signed `message`."""
        self.verified += 1
        secret = self._secrets.get(key)
        return secret is not None and blake2b(message, key=secret, digest_size=64).digest() == signature


class SimSigner:
    """One key."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, key: PublicKey, secret: bytes) -> None:
        self.public_key = key
        self._secret = secret

    def sign(self, message: bytes) -> Signature:
        """64 bytes that only this key gives for `message`."""
        return Signature(blake2b(message, key=self._secret, digest_size=64).digest())
