"""The commitment to all state rows: a Merkle tree of a fixed number of buckets, of which only changed ones are hashed.

    bucket(row) = first two bytes of H(table | key)
    leaf        = H(sorted pairs (row key hash, value hash))
    inner nodes as in RFC 6962, sixteen levels

A proof opens one bucket: it shows the row's pair there, or that there is none. Never keep values here: the tree knows
hashes only.
"""

from bisect import bisect_left
from collections.abc import Iterable
from hashlib import sha256
from itertools import pairwise
from typing import Annotated

import msgspec

from protocol.ids import Digest, DigestField
from protocol.merkle import hash_leaf, hash_pair

LEVELS = 16
BUCKETS = 1 << LEVELS
BUCKET_ROWS_MAX = 65_536
"""A bound on what a proof may hold; honest buckets hold rows / 65,536."""

_KEY_TAG = b"\x07row-key"
_VALUE_TAG = b"\x09row-value"

TableField = Annotated[int, msgspec.Meta(ge=0, le=255)]
Pair = tuple[DigestField, DigestField]


def hash_row_key(table: int, key: bytes) -> bytes:
    """Where a row stands: H(table | key)."""
    return sha256(_KEY_TAG + table.to_bytes(1, "big") + key).digest()


def hash_row_value(value: bytes) -> bytes:
    """What a row says: H(canonical bytes)."""
    return sha256(_VALUE_TAG + value).digest()


def _hash_bucket(pairs: Iterable[tuple[bytes, bytes]]) -> Digest:
    return hash_leaf(b"".join(key + value for key, value in pairs))


_EMPTY_LEVELS = [_hash_bucket(())]
for _ in range(LEVELS):
    _EMPTY_LEVELS.append(hash_pair(_EMPTY_LEVELS[-1], _EMPTY_LEVELS[-1]))


class StateProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """That a row has a value, or that there is no such row, under one state root."""

    table: TableField
    key: bytes
    value: bytes | None
    """Canonical bytes; None proves absence."""
    bucket: Annotated[tuple[Pair, ...], msgspec.Meta(max_length=BUCKET_ROWS_MAX)]
    """All pairs of the bucket in ascending order, the row's own among them when it exists."""
    path: Annotated[tuple[DigestField, ...], msgspec.Meta(min_length=LEVELS, max_length=LEVELS)]
    """Siblings from the bucket upwards."""


def check_state_proof(proof: StateProof, state_root: Digest) -> bool:
    """Whether the proof holds under `state_root`."""
    key_hash = hash_row_key(proof.table, proof.key)
    keys = [pair[0] for pair in proof.bucket]
    if any(first >= second for first, second in pairwise(keys)):
        return False
    found = dict(proof.bucket).get(Digest(key_hash))
    expected = None if proof.value is None else hash_row_value(proof.value)
    if found != expected or len(proof.path) != LEVELS:
        return False
    index = int.from_bytes(key_hash[:2], "big")
    if any(int.from_bytes(key[:2], "big") != index for key in keys):
        return False
    node = _hash_bucket(proof.bucket)
    for sibling in proof.path:
        node = hash_pair(sibling, node) if index & 1 else hash_pair(node, sibling)
        index >>= 1
    return node == state_root


class StateTree:
    """Hashes of all rows, updated by batches of changes."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[bytes]] = {}
        """Of each bucket its pairs, key hash and value hash joined, in ascending order."""
        self._levels: list[list[Digest]] = [[_EMPTY_LEVELS[level]] * (BUCKETS >> level) for level in range(LEVELS + 1)]

    @property
    def root(self) -> Digest:
        """The state root."""
        return self._levels[LEVELS][0]

    def update(self, changes: Iterable[tuple[int, bytes, bytes | None]]) -> Digest:
        """Take in changed rows (None: gone) and return the new root. Each dirty node is hashed once."""
        touched: dict[int, None] = {}
        for table, key, value in changes:
            key_hash = hash_row_key(table, key)
            index = key_hash[0] << 8 | key_hash[1]
            bucket = self._buckets.setdefault(index, [])
            at = bisect_left(bucket, key_hash)
            stands = at < len(bucket) and bucket[at].startswith(key_hash)
            pair = () if value is None else (key_hash + hash_row_value(value),)
            bucket[at : at + stands] = pair
            touched[index] = None
        indices = sorted(touched)
        leaves = self._levels[0]
        for index in indices:
            leaves[index] = hash_leaf(b"".join(self._buckets[index]))
        for level in range(LEVELS):
            below, above = self._levels[level], self._levels[level + 1]
            indices = list(dict.fromkeys(index >> 1 for index in indices))
            for index in indices:
                above[index] = hash_pair(below[2 * index], below[2 * index + 1])
        return self.root

    def prove(self, table: int, key: bytes, value: bytes | None) -> StateProof:
        """The proof of a row's value (canonical bytes), or of its absence, under the present root."""
        key_hash = hash_row_key(table, key)
        index = key_hash[0] << 8 | key_hash[1]
        path: list[Digest] = []
        at = index
        for level in range(LEVELS):
            path.append(self._levels[level][at ^ 1])
            at >>= 1
        bucket = self._buckets.get(index, [])
        return StateProof(
            table=table,
            key=key,
            value=value,
            bucket=tuple((Digest(pair[:32]), Digest(pair[32:])) for pair in bucket),
            path=tuple(path),
        )
