"""Rows are proved as they were some blocks ago, exactly as a ledger that had stopped there would prove them."""

from random import Random

import pytest

from protocol.codec import encode
from protocol.ids import Digest, Height
from protocol.ledger.proofs import ProvedRows
from protocol.ledger.state import BALANCES, Place
from protocol.ledger.tree import StateTree, calculate_proved_root, check_state_proof
from protocol.limits import PAST_BLOCKS_MAX, PAST_ROWS_MAX
from protocol.money import Amount
from protocol.transactions.money import Transfer
from tests.protocol.ledger.world import CNY, World

Rows = dict[Place, bytes]


def read_rows(world: World) -> Rows:
    """All rows as they stand."""
    return {(table, key): value for table, key, value in world.ledger.rows()}


def find(proved: ProvedRows | None) -> dict[Place, bytes | None]:
    """What the proofs say."""
    assert proved is not None
    return {(one.table, one.key): one.value for one in proved.proofs}


@pytest.mark.parametrize("seed", range(3))
def test_every_row_of_the_last_blocks_is_proved_as_it_was(seed: int) -> None:
    """Rows that came, changed and went since, and rows that did not: all under the root of that height."""
    random, world = Random(seed), World()
    names = ("ann", "bob", "eve")
    history: list[tuple[Height, Digest, Rows]] = []
    seen: dict[Place, None] = {}
    for step in range(40):
        if step < len(names):
            world.open_account(names[step])
        elif random.random() < 0.4:
            world.pass_days(1)
        else:
            to, amount = random.choice(names[: 1 + step // 5]), Amount(random.randint(1, 9))
            world.mint(to, 1_000)
            payload = Transfer(
                to=world.account(random.choice(names)), currency=CNY, amount=amount, memo_commit=Digest(bytes(32))
            )
            world.do(to, payload)
        rows = read_rows(world)
        history.append((world.ledger.height, world.ledger.state_root, rows))
        seen |= dict.fromkeys(rows)
        for height, root, then in random.sample(history, min(3, len(history))):
            if world.ledger.height - height > PAST_BLOCKS_MAX:
                assert world.ledger.prove_rows([], height) is None
                continue
            places = random.sample(list(seen), 12)
            proved = world.ledger.prove_rows(places, height)
            assert proved is not None
            assert find(proved) == {place: then.get(place) for place in places}
            assert all(check_state_proof(one, root) for one in proved.proofs)
            assert proved.height == height


def test_a_large_block_ends_what_is_kept() -> None:
    """Its rows would cost too much to go back over; what comes after it is kept again."""
    world = World()
    world.open_account("ann")
    before = world.ledger.height
    state = world.ledger.books.state
    for number in range(PAST_ROWS_MAX + 1):
        state.put(BALANCES, number.to_bytes(36, "big"), 1)
    state.keep()
    world.block()
    large = world.ledger.height
    world.block()
    assert world.ledger.prove_rows([], before) is None
    assert world.ledger.prove_rows([], large) is not None


def test_many_small_blocks_are_too_much_together() -> None:
    """The bound is on all rows that a proof goes back over."""
    world = World()
    state, heights = world.ledger.books.state, [world.ledger.height]
    for block in range(4):
        for number in range(PAST_ROWS_MAX // 3):
            state.put(BALANCES, (1_000 * block + number).to_bytes(36, "big"), 1)
        state.keep()
        world.block()
        heights.append(world.ledger.height)
    assert world.ledger.prove_rows([], heights[2]) is not None
    assert world.ledger.prove_rows([], heights[0]) is None


def test_what_was_taken_back_leaves_no_trace() -> None:
    """A transaction that failed changes no row of the past either."""
    world = World()
    world.open_account("ann")
    world.mint("ann", 5)
    then, height = read_rows(world), world.ledger.height
    state, key = world.ledger.books.state, b"k" * 36
    state.put(BALANCES, key, 1)
    state.undo()
    state.put(BALANCES, key, 2)
    state.keep()
    state.put(BALANCES, key, 3)
    state.keep()
    world.block()
    assert read_rows(world)[BALANCES.number, key] == encode(3)
    assert find(world.ledger.prove_rows([(BALANCES.number, key)], height)) == {(BALANCES.number, key): None}
    assert (BALANCES.number, key) not in then


def test_a_tree_that_looks_back_leaves_the_present_one_alone() -> None:
    """Its root is that of the rows as they were; the present root and proofs are unchanged."""
    tree, older = StateTree(), StateTree()
    rows = [(1 + i % 3, i.to_bytes(4, "big"), bytes(i % 5)) for i in range(2_000)]
    older.update(rows)
    tree.update(rows)
    root = tree.update([(1, b"new", b"1"), (rows[0][0], rows[0][1], None), (rows[1][0], rows[1][1], b"other")])
    past = tree.look_back([(1, b"new", None), rows[0], rows[1]])
    assert past.root == older.root
    for table, key, value in (rows[0], rows[1], rows[77]):
        assert calculate_proved_root(past.prove(table, key, value)) == older.root
    assert calculate_proved_root(past.prove(1, b"new", None)) == older.root
    assert tree.root == root
    assert check_state_proof(tree.prove(1, b"new", b"1"), root)
