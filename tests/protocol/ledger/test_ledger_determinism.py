"""The same blocks give the same exec_root, whatever the hash seed, and whatever came of the tree before."""

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ledger.tree import StateTree, check_state_proof
from tests.rules.determinism import assert_same_for_every_hash_seed

STORY = """
from tests.protocol.ledger.world import LENDERS, World

world = World()
for lender in LENDERS:
    world.found_lender(lender)
for person in ("ann", "bob", "cai"):
    world.open_account(person)
for person in ("ann", "bob"):
    loan = world.borrow(person)
    world.mint(person, 100_000)
    world.pass_days(16)
    world.pay(person, loan, 140_000)
world.offer("cai")
world.pass_days(40)
print(world.ledger.exec_root.hex(), [event.kind for event in world.events])
"""


def test_the_same_story_gives_the_same_root_under_any_hash_seed() -> None:
    """Order never comes from a set or a hash."""
    assert b"loan_late" in assert_same_for_every_hash_seed(STORY)


ROWS = st.dictionaries(st.tuples(st.integers(1, 3), st.binary(max_size=3)), st.binary(max_size=3), max_size=40)


@settings(deadline=None, max_examples=30)
@given(first=ROWS, then=ROWS, gone=st.integers(0, 5))
def test_the_root_depends_on_the_rows_alone(
    first: dict[tuple[int, bytes], bytes], then: dict[tuple[int, bytes], bytes], gone: int
) -> None:
    """However rows came, changed and went, the root is that of a tree built at once from what is left."""
    tree = StateTree()
    tree.update([(*key, value) for key, value in first.items()])
    tree.update([(*key, value) for key, value in then.items()])
    left = {**first, **then}
    for key in sorted(left)[:gone]:
        tree.update([(*key, None)])
        del left[key]
    fresh = StateTree()
    assert fresh.update([(*key, value) for key, value in sorted(left.items())]) == tree.root
    for (table, key), value in left.items():
        assert check_state_proof(tree.prove(table, key, value), tree.root)
    assert check_state_proof(tree.prove(9, b"absent", None), tree.root)


def test_an_empty_tree_has_a_root_of_its_own() -> None:
    """Nothing changed, nothing hashed; one row changes the root and its removal brings it back."""
    tree = StateTree()
    empty = tree.root
    assert tree.update([]) == empty
    assert tree.update([(1, b"a", b"1")]) != empty
    assert tree.update([(1, b"a", None)]) == empty
