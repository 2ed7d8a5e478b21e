"""The ordered validator set of an epoch and its quorum arithmetic (consensus.md, "Constants")."""

from typing import NamedTuple

from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import BlockDigest, Digest, PublicKey, ValidatorIndex, View


class ValidatorSet(NamedTuple):
    """Validators of one epoch, ordered by key bytes, with equal weight."""

    keys: tuple[PublicKey, ...]
    offset: int
    """Where leadership starts: first 8 bytes of the epoch's genesis digest."""

    @property
    def faults_max(self) -> int:
        """How many may be Byzantine: f = (n-1) // 3."""
        return (len(self.keys) - 1) // 3

    @property
    def quorum(self) -> int:
        """q = (n+f) // 2 + 1, so that two quorums share more than f validators."""
        return (len(self.keys) + self.faults_max) // 2 + 1

    def calculate_leader(self, view: View) -> ValidatorIndex:
        """Who proposes in `view`."""
        return ValidatorIndex((view + self.offset) % len(self.keys))

    def find(self, key: PublicKey) -> ValidatorIndex | None:
        """Position of `key`, or None for a stranger."""
        return ValidatorIndex(self.keys.index(key)) if key in self.keys else None

    def calculate_hash(self) -> Digest:
        """What a header names as next_validators_hash."""
        return calculate_validators_hash(self.keys)


def calculate_validators_hash(keys: tuple[PublicKey, ...]) -> Digest:
    """What a header names as next_validators_hash: over the keys in ascending order, however they are given."""
    return calculate_hash("validators", encode(tuple(sorted(keys))))


def make_validator_set(keys: tuple[PublicKey, ...], epoch_genesis: BlockDigest) -> ValidatorSet:
    """The set over `keys`, sorted and distinct, for the epoch that begins after `epoch_genesis`."""
    ordered = tuple(sorted(keys))
    assert ordered, "an epoch needs a validator"
    assert len(set(ordered)) == len(ordered), "a validator key stands twice"
    return ValidatorSet(keys=ordered, offset=int.from_bytes(epoch_genesis[:8], "big"))
