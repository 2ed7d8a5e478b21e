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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from protocol.ids import Digest, DigestField
from protocol.limits import PROVED_KEY_BYTES_MAX
from protocol.merkle import hash_leaf

if TYPE_CHECKING:
    from hashlib import _Hash

T = TypeVar("T")

LEVELS = 4
FANOUT = 16
BUCKETS = FANOUT**LEVELS
HASH_BYTES = 32
CHILDREN_BYTES = FANOUT * HASH_BYTES
ROWS_PER_STEP = 256
"""About a millisecond of hashing."""
PATH_LENGTH = LEVELS * (FANOUT - 1)
BUCKET_ROWS_MAX = 65_536
"""A bound on what a proof may hold; honest buckets hold rows / 65,536."""

_KEY = sha256(b"\x07row-key")
_VALUE = sha256(b"\x09row-value")
_BUCKET = sha256(b"\x00")
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


def _hash_each(begun: "_Hash", pieces: Iterable[bytes | bytearray]) -> list[Digest]:
    """The hash of each piece by a hasher above: a loop and no calls, because a block changes thousands of rows."""
    hashed: list[Digest] = []
    for piece in pieces:
        hasher = begun.copy()
        hasher.update(piece)
        hashed.append(Digest(hasher.digest()))
    return hashed


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
    key: Annotated[bytes, msgspec.Meta(max_length=PROVED_KEY_BYTES_MAX)]
    value: bytes | None
    """Canonical bytes; None proves absence."""
    bucket: Annotated[tuple[Pair, ...], msgspec.Meta(max_length=BUCKET_ROWS_MAX)]
    """All pairs of the bucket in ascending order, the row's own among them when it exists."""
    path: Annotated[tuple[DigestField, ...], msgspec.Meta(min_length=PATH_LENGTH, max_length=PATH_LENGTH)]
    """Siblings from the bucket upwards, those of one level from left to right."""


def check_state_proof(proof: StateProof, state_root: Digest) -> bool:
    """Whether the proof holds under `state_root`."""
    return calculate_proved_root(proof) == state_root


def calculate_proved_root(proof: StateProof) -> Digest | None:
    """The state root under which the proof holds; None when it holds under none."""
    key_hash = hash_row_key(proof.table, proof.key)
    keys = [pair[0] for pair in proof.bucket]
    if any(first >= second for first, second in pairwise(keys)):
        return None
    found = dict(proof.bucket).get(Digest(key_hash))
    expected = None if proof.value is None else hash_row_value(proof.value)
    if found != expected or len(proof.path) != PATH_LENGTH:
        return None
    index = int.from_bytes(key_hash[:2], "big")
    if any(int.from_bytes(key[:2], "big") != index for key in keys):
        return None
    node = _hash_bucket(proof.bucket)
    for start in range(0, PATH_LENGTH, FANOUT - 1):
        siblings, place = proof.path[start : start + FANOUT - 1], index % FANOUT
        node = _hash_node((*siblings[:place], node, *siblings[place:]))
        index //= FANOUT
    return node


def _cut(whole: Sequence[T]) -> Iterator[Sequence[T]]:
    """The whole in pieces of ROWS_PER_STEP."""
    return (whole[start : start + ROWS_PER_STEP] for start in range(0, len(whole), ROWS_PER_STEP))


def _put(bucket: list[bytes], key_hash: bytes, value_hash: bytes | None) -> None:
    """Let a row of a bucket have a value; None takes it out."""
    at = bisect_left(bucket, key_hash)
    stands = at < len(bucket) and bucket[at].startswith(key_hash)
    bucket[at : at + stands] = () if value_hash is None else (key_hash + value_hash,)


def _set(level: bytearray, indices: Sequence[int], nodes: Sequence[Digest]) -> None:
    for index, node in zip(indices, nodes, strict=True):
        level[HASH_BYTES * index : HASH_BYTES * (index + 1)] = node


def _list_nodes(level: bytearray) -> list[Digest]:
    return [Digest(bytes(level[start : start + HASH_BYTES])) for start in range(0, len(level), HASH_BYTES)]


class StateTree:
    """Hashes of all rows, updated by batches of changes."""

    def __init__(self) -> None:
        self._buckets: dict[int, list[bytes]] = {}
        """Of each bucket its pairs, key hash and value hash joined, in ascending order."""
        self._levels = [bytearray(_EMPTY_LEVELS[level] * (BUCKETS // FANOUT**level)) for level in range(LEVELS + 1)]
        """The hashes of each level joined, buckets first: what lies under a node is one slice."""

    @property
    def root(self) -> Digest:
        """The state root."""
        return Digest(bytes(self._levels[LEVELS]))

    def update(self, changes: Iterable[tuple[int, bytes, bytes | None]]) -> Digest:
        """Take in changed rows (None: gone) and return the new root. Each dirty node is hashed once."""
        for _ in self.update_in_steps(changes):
            pass
        return self.root

    def update_in_steps(self, changes: Iterable[tuple[int, bytes, bytes | None]]) -> Iterator[None]:
        """The same, pausing after every ROWS_PER_STEP rows or nodes; the root is nobody's until the last step."""
        touched: dict[int, None] = {}
        for some in _cut(list(changes)):
            keys = _hash_each(_KEY, [_TABLES[table] + key for table, key, _ in some])
            values = _hash_each(_VALUE, [value or b"" for _, _, value in some])
            for (_, _, value), key_hash, value_hash in zip(some, keys, values, strict=True):
                index = key_hash[0] << 8 | key_hash[1]
                _put(self._buckets.setdefault(index, []), key_hash, None if value is None else value_hash)
                touched[index] = None
            yield
        dirty = sorted(touched)
        for indices in _cut(dirty):
            _set(self._levels[0], indices, _hash_each(_BUCKET, [b"".join(self._buckets[index]) for index in indices]))
            yield
        for below, above in pairwise(self._levels):
            dirty = list(dict.fromkeys([index // FANOUT for index in dirty]))
            for indices in _cut(dirty):
                children = [below[CHILDREN_BYTES * index : CHILDREN_BYTES * (index + 1)] for index in indices]
                _set(above, indices, _hash_each(_NODE, children))
                yield

    def prove(self, table: int, key: bytes, value: bytes | None) -> StateProof:
        """The proof of a row's value (canonical bytes), or of its absence, under the present root."""
        return self.look_back(()).prove(table, key, value)

    def look_back(self, rows: Iterable[tuple[int, bytes, bytes | None]]) -> "PastTree":
        """The tree as it was when these rows had these values (None: were not there), and all others their present."""
        return PastTree(self._buckets, self._levels, rows)


class PastTree:
    """A tree that differs from another in a few rows, of which alone it holds nodes; until the other's next update."""

    def __init__(
        self,
        buckets: Mapping[int, Sequence[bytes]],
        levels: Sequence[bytearray],
        rows: Iterable[tuple[int, bytes, bytes | None]],
    ) -> None:
        self._present, self._levels = buckets, levels
        self._buckets: dict[int, list[bytes]] = {}
        for table, key, value in rows:
            key_hash = hash_row_key(table, key)
            index = int.from_bytes(key_hash[:2], "big")
            bucket = self._buckets.get(index)
            if bucket is None:
                bucket = self._buckets[index] = list(buckets.get(index, ()))
            _put(bucket, key_hash, None if value is None else hash_row_value(value))
        leaves = _hash_each(_BUCKET, map(b"".join, self._buckets.values()))
        self._nodes = [dict(zip(self._buckets, leaves, strict=True))]
        for level in levels[:LEVELS]:
            families: dict[int, bytearray] = {}
            for index, node in self._nodes[-1].items():
                above, place = index // FANOUT, HASH_BYTES * (index % FANOUT)
                children = families.get(above)
                if children is None:
                    children = families[above] = level[CHILDREN_BYTES * above : CHILDREN_BYTES * (above + 1)]
                children[place : place + HASH_BYTES] = node
            self._nodes.append(dict(zip(families, _hash_each(_NODE, families.values()), strict=True)))

    def _read_children(self, level: int, above: int) -> list[Digest]:
        """Nodes of a level that stand under node `above` of the next."""
        here = self._nodes[level]
        present = _list_nodes(self._levels[level][CHILDREN_BYTES * above : CHILDREN_BYTES * (above + 1)])
        return [here.get(index, node) for index, node in enumerate(present, FANOUT * above)]

    @property
    def root(self) -> Digest:
        """Its state root."""
        return self._nodes[LEVELS].get(0, Digest(bytes(self._levels[LEVELS])))

    def prove(self, table: int, key: bytes, value: bytes | None) -> StateProof:
        """The proof of a row's value (canonical bytes), or of its absence, under its root."""
        index = at = int.from_bytes(hash_row_key(table, key)[:2], "big")
        path: list[Digest] = []
        for level in range(LEVELS):
            children, place = self._read_children(level, at // FANOUT), at % FANOUT
            path += children[:place] + children[place + 1 :]
            at //= FANOUT
        bucket = self._buckets[index] if index in self._buckets else self._present.get(index, ())
        return StateProof(
            table=table,
            key=key,
            value=value,
            bucket=tuple((Digest(pair[:32]), Digest(pair[32:])) for pair in bucket),
            path=tuple(path),
        )
