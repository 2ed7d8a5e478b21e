"""The commitment to the rows is what its definition says, at once or step by step; a proof opens one bucket of it."""

from hashlib import sha256

import msgspec
import pytest

from protocol.ids import Digest
from protocol.ledger.tree import ROWS_PER_STEP, StateTree, check_state_proof

ROWS = [(1 + i % 3, i.to_bytes(4, "big"), bytes(i % 5)) for i in range(3 * ROWS_PER_STEP)]


def calculate_root_plainly(rows: list[tuple[int, bytes, bytes]]) -> bytes:
    """The definition, written out with nothing of the tree's own: 65,536 buckets, then sixteen at a time."""
    pairs: list[list[bytes]] = [[] for _ in range(65_536)]
    for table, key, value in rows:
        where = sha256(b"\x07row-key" + bytes([table]) + key).digest()
        pairs[where[0] * 256 + where[1]].append(where + sha256(b"\x09row-value" + value).digest())
    level = [sha256(b"\x00" + b"".join(sorted(held))).digest() for held in pairs]
    while len(level) > 1:
        level = [sha256(b"\x02" + b"".join(level[i : i + 16])).digest() for i in range(0, len(level), 16)]
    return level[0]


def test_the_root_is_what_the_definition_says() -> None:
    """Of no rows, of many, and after some changed and some went."""
    tree = StateTree()
    assert tree.root == calculate_root_plainly([])
    assert tree.update(ROWS) == calculate_root_plainly(ROWS)
    changed = [(table, key, value + b"x") for table, key, value in ROWS[:100]]
    tree.update([*changed, *[(table, key, None) for table, key, _ in ROWS[100:200]]])
    assert tree.root == calculate_root_plainly(changed + ROWS[200:])


def test_steps_come_to_the_same_root_and_are_many() -> None:
    """A caller may look around between the steps: there is one for every few hundred rows or nodes, at least."""
    tree, whole = StateTree(), StateTree()
    steps = sum(1 for _ in tree.update_in_steps(ROWS))
    assert steps >= 2 * len(ROWS) // ROWS_PER_STEP
    assert tree.root == whole.update(ROWS)


def test_a_proof_shows_a_row_or_its_absence_and_nothing_else() -> None:
    """Another value, another row, another order of siblings or a shorter path: none of it holds under the root."""
    tree = StateTree()
    tree.update(ROWS)
    table, key, value = ROWS[77]
    proof, absent = tree.prove(table, key, value), tree.prove(9, b"nobody", None)
    assert check_state_proof(proof, tree.root)
    assert check_state_proof(absent, tree.root)
    swapped = (*proof.path[:45], proof.path[46], proof.path[45], *proof.path[47:])
    assert proof.path[45] != proof.path[46], "so far up nothing is empty"
    wrongs = (
        msgspec.structs.replace(proof, value=value + b"x"),
        msgspec.structs.replace(proof, value=None),
        msgspec.structs.replace(proof, key=b"nobody"),
        msgspec.structs.replace(proof, path=swapped),
        msgspec.structs.replace(proof, path=proof.path[:-1]),
        msgspec.structs.replace(proof, bucket=()),
        msgspec.structs.replace(absent, value=b"1"),
    )
    assert not [wrong for wrong in wrongs if check_state_proof(wrong, tree.root)]
    assert not check_state_proof(proof, Digest(sha256(b"another root").digest()))


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_sibling_of_every_level_counts(place: int) -> None:
    """One changed sibling, whichever it is, breaks the proof."""
    tree = StateTree()
    tree.update(ROWS)
    table, key, value = ROWS[5]
    proof = tree.prove(table, key, value)
    for level in range(4):
        at = 15 * level + place % 15
        path = (*proof.path[:at], Digest(bytes(32)), *proof.path[at + 1 :])
        assert not check_state_proof(msgspec.structs.replace(proof, path=path), tree.root)
