"""The commitment to all state rows: a Merkle tree of a fixed number of buckets, of which only changed ones are hashed.

    bucket(row) = first two bytes of H(table | key)
    leaf        = H(0x00 | sorted pairs (row key hash, value hash))
    node        = H(0x02 | its sixteen children), four levels of them

Sixteen children, not two: a block changes rows all over the tree, and then a hash costs more by being called than by
what it reads; there are four of them above a row instead of sixteen. A proof is 60 siblings long for it, 1.9 KB.
A proof opens one bucket: it shows the row's pair there, or that there is none. Never keep values here: the tree knows
hashes only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Annotated

import msgspec

from protocol.ids import Digest, DigestField
from protocol.merkle import hash_leaf

LEVELS = 4
FANOUT = 16
BUCKETS = FANOUT**LEVELS
ROWS_PER_STEP = 256
"""About a millisecond of hashing."""
PATH_LENGTH = LEVELS * (FANOUT - 1)
BUCKET_ROWS_MAX = 65_536
"""A bound on what a proof may hold; honest buckets hold rows / 65,536."""

_KEY = sha256(b"\x07row-key")
_VALUE = sha256(b"\x09row-value")
_NODE = sha256(b"\x02")
"""Hashers that have taken in a tag, to be copied. A node of sixteen has a prefix of its own: it can pass neither for a
bucket nor for a node of a tree of pairs."""
_TABLES = tuple(bytes((number,)) for number in range(256))

TableField = Annotated[int, msgspec.Meta(ge=0, le=255)]
Pair = tuple[DigestField, DigestField]


def hash_row_key(table: int, key: bytes) -> bytes:
    """Where a row stands: H(table | key)."""
    hasher = _KEY.copy()
    hasher.update(_TABLES[table] + key)
    return hasher.digest()


def hash_row_value(value: bytes) -> bytes:
    """What a row says: H(canonical bytes)."""
    hasher = _VALUE.copy()
    hasher.update(value)
    return hasher.digest()


def _hash_bucket(pairs: Iterable[tuple[bytes, bytes]]) -> Digest:
    return hash_leaf(b"".join(key + value for key, value in pairs))


def _hash_node(children: Sequence[bytes]) -> Digest:
    hasher = _NODE.copy()
    hasher.update(b"".join(children))
    return Digest(hasher.digest())


_EMPTY_LEVELS = [_hash_bucket(())]
for _ in range(LEVELS):
    _EMPTY_LEVELS.append(_hash_node([_EMPTY_LEVELS[-1]] * FANOUT))


class StateProof(msgspec.Struct, frozen=True, array_like=True, kw_only=True, forbid_unknown_fields=True):
    """That a row has a value, or that there is no such row, under one state root."""

    table: TableField
    key: bytes
    value: bytes | None
    """Canonical bytes; None proves absence."""
    bucket: Annotated[tuple[Pair, ...], msgspec.Meta(max_length=BUCKET_ROWS_MAX)]
    """All pairs of the bucket in ascending order, the row's own among them when it exists."""
    path: Annotated[tuple[DigestField, ...], msgspec.Meta(min_length=PATH_LENGTH, max_length=PATH_LENGTH)]
    """Siblings from the bucket upwards, those of one level from left to right."""


def check_state_proof(proof: StateProof, state_root: Digest) -> bool:
    """Whether the proof holds under `state_root`."""
    key_hash = hash_row_key(proof.table, proof.key)
    keys = [pair[0] for pair in proof.bucket]
    if any(first >= second for first, second in pairwise(keys)):
        return False
    found = dict(proof.bucket).get(Digest(key_hash))
    expected = None if proof.value is None else hash_row_value(proof.value)
    if found != expected or len(proof.path) != PATH_LENGTH:
        return False
    index = int.from_bytes(key_hash[:2], "big")
    if any(int.from_bytes(key[:2], "big") != index for key in keys):
        return False
    node = _hash_bucket(proof.bucket)
    for start in range(0, PATH_LENGTH, FANOUT - 1):
        siblings, place = proof.path[start : start + FANOUT - 1], index % FANOUT
        node = _hash_node((*siblings[:place], node, *siblings[place:]))
        index //= FANOUT
    return node == state_root


class StateTree:
    """Hashes of all rows, updated by batches of changes."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[bytes]] = {}
        """Of each bucket its pairs, key hash and value hash joined, in ascending order."""
        self._levels: list[list[Digest]] = [
            [_EMPTY_LEVELS[level]] * (BUCKETS // FANOUT**level) for level in range(LEVELS + 1)
        ]

    @property
    def root(self) -> Digest:
        """The state root."""
        return self._levels[LEVELS][0]

    def update(self, changes: Iterable[tuple[int, bytes, bytes | None]]) -> Digest:
        """Take in changed rows (None: gone) and return the new root. Each dirty node is hashed once."""
        for _ in self.update_in_steps(changes):
            pass
        return self.root

    def update_in_steps(self, changes: Iterable[tuple[int, bytes, bytes | None]]) -> Iterator[None]:
        """The same, pausing after every ROWS_PER_STEP rows or nodes; the root is nobody's until the last step."""
        touched: dict[int, None] = {}
        for count, (table, key, value) in enumerate(changes, 1):
            key_hash = hash_row_key(table, key)
            index = key_hash[0] << 8 | key_hash[1]
            bucket = self._buckets.get(index)
            if bucket is None:
                bucket = self._buckets[index] = []
            at = bisect_left(bucket, key_hash)
            stands = at < len(bucket) and bucket[at].startswith(key_hash)
            pair = () if value is None else (key_hash + hash_row_value(value),)
            bucket[at : at + stands] = pair
            touched[index] = None
            if count % ROWS_PER_STEP == 0:
                yield
        indices = sorted(touched)
        leaves = self._levels[0]
        for count, index in enumerate(indices, 1):
            leaves[index] = hash_leaf(b"".join(self._buckets[index]))
            if count % ROWS_PER_STEP == 0:
                yield
        for below, above in pairwise(self._levels):
            indices = list(dict.fromkeys([index // FANOUT for index in indices]))
            for count, index in enumerate(indices, 1):
                above[index] = _hash_node(below[FANOUT * index : FANOUT * (index + 1)])
                if count % ROWS_PER_STEP == 0:
                    yield

    def prove(self, table: int, key: bytes, value: bytes | None) -> StateProof:
        """The proof of a row's value (canonical bytes), or of its absence, under the present root."""
        key_hash = hash_row_key(table, key)
        index = key_hash[0] << 8 | key_hash[1]
        path: list[Digest] = []
        at = index
        for nodes in self._levels[:LEVELS]:
            first, place = at - at % FANOUT, at % FANOUT
            path += [node for i, node in enumerate(nodes[first : first + FANOUT]) if i != place]
            at //= FANOUT
        bucket = self._buckets.get(index, [])
        return StateProof(
            table=table,
            key=key,
            value=value,
            bucket=tuple((Digest(pair[:32]), Digest(pair[32:])) for pair in bucket),
            path=tuple(path),
        )
