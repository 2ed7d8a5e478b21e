"""Trees of RFC 6962 by the published vectors, inclusion paths, and the range that grows into the same roots."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import Digest
from protocol.merkle import (
    EMPTY_ROOT,
    NO_MOUNTAINS,
    calculate_path,
    calculate_root,
    check_path,
    hash_leaf,
    hash_pair,
)

LEAVES = [
    bytes.fromhex(text)
    for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
"""Inputs of the certificate-transparency reference test (merkletree tests of google/certificate-transparency)."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_the_published_ones(size: int) -> None:
    """The reference roots for one to eight leaves."""
    assert calculate_root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree() -> None:
    """RFC 6962 section 2.1: the hash of the empty string."""
    assert calculate_root([]) == EMPTY_ROOT == sha256(b"").digest()


def test_a_published_path() -> None:
    """The reference audit path of leaf 0 in eight leaves."""
    assert [one.hex() for one in calculate_path(LEAVES, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40), st.data())
def test_a_path_proves_its_leaf_at_its_place_and_nothing_else(leaves: list[bytes], data: st.DataObject) -> None:
    """Every leaf is proved; another leaf, root, or a longer or shorter path is not."""
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, path = calculate_root(leaves), calculate_path(leaves, index)
    assert check_path(root, leaves[index], index, len(leaves), path)
    assert not check_path(root, leaves[index] + b"x", index, len(leaves), path)
    assert not check_path(Digest(bytes(32)), leaves[index], index, len(leaves), path)
    assert not check_path(root, leaves[index], index, len(leaves), (*path, root))
    assert not check_path(root, leaves[index], len(leaves), len(leaves), path)
    if path:
        assert not check_path(root, leaves[index], index, len(leaves), path[:-1])


def test_an_inner_node_never_passes_for_a_leaf() -> None:
    """The prefixes keep leaves and nodes apart: two leaves cannot be read as one."""
    left, right = hash_leaf(b"a"), hash_leaf(b"b")
    assert hash_leaf(left + right) != hash_pair(left, right)
    assert calculate_root([left + right]) != calculate_root([b"a", b"b"])


@given(st.lists(st.binary(max_size=4), max_size=40))
def test_a_range_grown_leaf_by_leaf_has_the_root_of_the_whole_tree(leaves: list[bytes]) -> None:
    """And it never holds more peaks than its size has bits."""
    mountains = NO_MOUNTAINS
    for leaf in leaves:
        mountains = mountains.append(leaf)
    assert mountains.calculate_root() == calculate_root(leaves)
    assert len(mountains.peaks) == len(leaves).bit_count()
