"""Merkle trees: RFC 6962 trees with inclusion paths, and the mountain range that commits to all headers.

Leaf and node hashes carry the RFC 6962 prefixes 0x00 and 0x01, so a node can never pass for a leaf.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import NamedTuple

from protocol.ids import Digest

EMPTY_ROOT = Digest(sha256(b"").digest())
_LEAF = sha256(b"\x00")
_PAIR = sha256(b"\x01")
"""Hashers that have taken in a prefix, to be copied: making one anew costs half as much again."""


def hash_leaf(data: bytes) -> Digest:
    """RFC 6962 section 2.1: SHA-256(0x00 | data)."""
    hasher = _LEAF.copy()
    hasher.update(data)
    return Digest(hasher.digest())


def hash_pair(left: bytes, right: bytes) -> Digest:
    """RFC 6962 section 2.1: SHA-256(0x01 | left | right)."""
    hasher = _PAIR.copy()
    hasher.update(left + right)
    return Digest(hasher.digest())


def _hash_leaves(leaves: Sequence[bytes]) -> list[Digest]:
    """`hash_leaf` of each."""
    begin, level = _LEAF.copy, []
    for leaf in leaves:
        hasher = begin()
        hasher.update(leaf)
        level.append(Digest(hasher.digest()))
    return level


def _fold(level: list[Digest]) -> list[Digest]:
    """One level up: pairs hashed, an odd last node carried as it is (equal to RFC 6962's split at a power of two)."""
    begin, above = _PAIR.copy, []
    for left, right in zip(level[::2], level[1::2], strict=False):
        hasher = begin()
        hasher.update(left + right)
        above.append(Digest(hasher.digest()))
    if len(level) % 2:
        above.append(level[-1])
    return above


def calculate_root(leaves: Sequence[bytes]) -> Digest:
    """Merkle tree hash of RFC 6962 over the leaves' data; the hash of nothing for no leaves."""
    if not leaves:
        return EMPTY_ROOT
    level = _hash_leaves(leaves)
    while len(level) > 1:
        level = _fold(level)
    return level[0]


def calculate_path(leaves: Sequence[bytes], index: int) -> tuple[Digest, ...]:
    """Audit path of leaf `index`, lowest sibling first (RFC 6962 section 2.1.1)."""
    assert 0 <= index < len(leaves)
    path: list[Digest] = []
    level = _hash_leaves(leaves)
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        level = _fold(level)
        index //= 2
    return tuple(path)


def check_path(root: Digest, leaf: bytes, index: int, size: int, path: Sequence[Digest]) -> bool:
    """Whether `leaf` stands at `index` of the `size` leaves under `root` (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    node, last, used = hash_leaf(leaf), size - 1, 0
    while last:
        if index % 2 or index < last:
            if used == len(path):
                return False
            sibling = path[used]
            used += 1
            node = hash_pair(sibling, node) if index % 2 else hash_pair(node, sibling)
        index //= 2
        last //= 2
    return used == len(path) and node == root


class Mountains(NamedTuple):
    """A Merkle mountain range in its short form: how many leaves, and the peaks from the highest to the lowest."""

    size: int
    peaks: tuple[Digest, ...]

    def append(self, leaf: bytes) -> "Mountains":
        """The range with one more leaf: equal peaks merge as a binary counter carries."""
        peaks, node, carry = list(self.peaks), hash_leaf(leaf), self.size
        while carry % 2:
            node = hash_pair(peaks.pop(), node)
            carry //= 2
        return Mountains(self.size + 1, (*peaks, node))

    def calculate_root(self) -> Digest:
        """Peaks bagged from the right: the RFC 6962 root of all leaves so far."""
        if not self.peaks:
            return EMPTY_ROOT
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = hash_pair(peak, node)
        return node


NO_MOUNTAINS = Mountains(0, ())
