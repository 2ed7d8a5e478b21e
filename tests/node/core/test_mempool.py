"""Laws of the pool: sealing, bounds, choice in order, and what is forgotten when."""

import random
from hashlib import sha256

from hypothesis import given, settings
from hypothesis import strategies as st

from node.mempool import (
    DEAD_REST_MS,
    ORIGIN_BATCHES_MAX,
    OWN,
    PUSH_AGAIN_DOUBLINGS_MAX,
    PUSH_AGAIN_MS,
    PUSHED_AGAIN_BYTES_MAX,
    PUSHED_AGAIN_MAX,
    SEAL_EVERY_MS,
    SEAL_LATEST_MS,
    STRAGGLER_MS,
    HeldBatch,
    Mempool,
)
from protocol.batch import Batch, BatchItem, Sidecar, calculate_batch_digest
from protocol.codec import encode
from protocol.ids import BatchDigest, Digest, ModelId, TransactionId
from protocol.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    BLOCK_BATCHES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    POOL_BYTES_MAX,
    POOL_TRANSACTIONS_MAX,
)
from protocol.transactions.envelope import Transaction
from tests.node.core.chaintools import make_held, make_item, make_transaction

ITEM = make_item(0)
BODY = make_transaction(ITEM).body


def light(number: int) -> Transaction:
    """A transaction with an id of its own, cheaper than signing one."""
    return Transaction(
        id=TransactionId(sha256(number.to_bytes(8, "big")).digest()), raw=ITEM.transaction, body=BODY, cosigners=()
    )


def held(numbers: range | list[int], origin: bytes = b"peer", arrived_ms: int = 0) -> HeldBatch:
    """A batch over light transactions."""
    batch = Batch(items=(ITEM,) * len(numbers))
    return HeldBatch(batch, tuple(light(i) for i in numbers), origin, arrived_ms, encode(batch))


def test_a_lone_transaction_is_due_at_once_and_a_stream_every_ten_milliseconds() -> None:
    """Sealing waits only when something was sealed just before."""
    pool = Mempool()
    assert pool.calculate_seal_due_ms() is None
    assert pool.try_seal(1000) is None
    assert pool.try_add(light(1), ITEM)
    due_ms = pool.calculate_seal_due_ms()
    assert due_ms is not None
    assert due_ms <= 1000
    sealed = pool.try_seal(1000)
    assert sealed is not None
    assert sealed.digest == calculate_batch_digest([light(1).id])
    pool.try_add(light(2), ITEM)
    assert pool.calculate_seal_due_ms() == 1000 + SEAL_EVERY_MS


def test_a_transaction_is_taken_once_whether_waiting_sealed_or_executed() -> None:
    """The pool knows an id from its arrival until long after its execution."""
    pool = Mempool()
    assert pool.try_add(light(1), ITEM)
    assert not pool.try_add(light(1), ITEM)
    sealed = pool.try_seal(0)
    assert sealed is not None
    assert not pool.try_add(light(1), ITEM)
    assert pool.transactions == 1
    pool.on_executed([sealed.digest], [light(1).id], 1, 0)
    assert pool.transactions == 0
    assert not pool.try_add(light(1), ITEM)
    assert pool.was_executed(light(1).id)


def test_batches_stay_within_bytes_and_count_and_keep_the_order_of_arrival() -> None:
    """Everything offered comes out once, in order, in batches no larger than the limits."""
    pool = Mempool()
    sidecar = Sidecar(model=ModelId(bytes(32)), salt=Digest(bytes(32)), bins=(1,) * 64)
    heavy = BatchItem(transaction=bytes(16_000), sidecars=(sidecar,))
    for i in range(40):
        pool.try_add(light(i), heavy)
    for i in range(40, 40 + 2 * BATCH_TRANSACTIONS_MAX):
        pool.try_add(light(i), BatchItem(transaction=b"x"))
    seen: list[TransactionId] = []
    while (sealed := pool.try_seal(0)) is not None:
        assert len(sealed.raw) <= BATCH_BYTES_MAX
        assert len(sealed.batch.items) <= BATCH_TRANSACTIONS_MAX
        seen += [one.id for one in sealed.transactions]
    assert seen == [light(i).id for i in range(40 + 2 * BATCH_TRANSACTIONS_MAX)]


def test_a_full_pool_has_no_room_and_one_origin_cannot_fill_it() -> None:
    """Own transactions stop at the pool's bound; a peer's batches at its share of the batches held."""
    pool = Mempool()
    assert pool.calculate_room() == POOL_TRANSACTIONS_MAX
    pool.try_add(light(10**6), ITEM)
    assert pool.calculate_room() == POOL_TRANSACTIONS_MAX - 1
    for i in range(ORIGIN_BATCHES_MAX):
        assert pool.check_push(b"flooder", 1) is None
        assert pool.add_batch(held([i], b"flooder"))
    assert pool.check_push(b"flooder", 1) == "origin_quota"
    assert pool.check_push(b"other", 1) is None
    assert pool.check_push(b"other", 2 * POOL_TRANSACTIONS_MAX) == "pool_full"


def test_a_pool_is_bounded_by_bytes_as_well() -> None:
    """Large transactions fill it long before their number does; sealing frees nothing, execution does, of all kinds."""
    pool = Mempool()
    item = BatchItem(transaction=bytes(16_000))
    count = 0
    while pool.calculate_room():
        assert pool.try_add(light(count), item)
        count += 1
    assert POOL_BYTES_MAX // 16_100 <= count <= POOL_BYTES_MAX // 16_000 + 1
    sealed: list[HeldBatch] = []
    while (one := pool.try_seal(0)) is not None:
        sealed.append(one)
        assert not pool.calculate_room(), "sealed it waits as before"
    ids = [one.id for batch in sealed[:2] for one in batch.transactions]
    pool.on_ordered([batch.digest for batch in sealed[:2]])
    pool.on_executed([batch.digest for batch in sealed[:2]], ids, 1, 0)
    assert pool.calculate_room()
    for i in range(5):
        pool.try_add(light(10**6 + i), item)
    waiting = [light(10**6 + i).id for i in range(5)]
    pool.on_executed([batch.digest for batch in sealed[2:]], waiting, 2, 0)
    for batch in sealed[2:]:
        pool.on_executed([], [one.id for one in batch.transactions], 3, 0)
    assert pool.transactions == 0
    assert pool._bytes == pool._pending_bytes == 0, "whatever came has gone"


def test_pushed_batches_are_refused_beyond_twice_the_bytes() -> None:
    """A node's own clients have their half whatever peers send."""
    pool = Mempool()
    raw = bytes(POOL_BYTES_MAX // 4)
    for i in range(8):
        assert pool.check_push(b"peer", 1) is None
        one = held([i], b"peer")
        one.raw = raw
        assert pool.add_batch(one)
    assert pool.check_push(b"peer", 1) == "pool_full"


def test_batches_are_sealed_less_often_while_earlier_ones_wait_for_a_block() -> None:
    """At once when nothing waits, later with each that does, never later than the bound; a full one at once."""
    pool = Mempool()
    dues: list[int] = []
    digests: list[BatchDigest] = []
    now_ms = 1_000
    for i in range(8):
        pool.try_add(light(i), ITEM)
        due_ms = pool.calculate_seal_due_ms()
        assert due_ms is not None
        dues.append(due_ms - now_ms)
        now_ms = max(now_ms, due_ms)
        sealed = pool.try_seal(now_ms)
        assert sealed is not None
        digests.append(sealed.digest)
    assert dues[0] <= 0
    assert dues[1:] == [min(SEAL_LATEST_MS, SEAL_EVERY_MS * i) for i in range(1, 8)]
    pool.try_add(light(100), ITEM)
    pool.on_ordered(digests)
    assert pool.calculate_seal_due_ms() == now_ms + SEAL_EVERY_MS, "all of them are in a block"
    for i in range(BATCH_TRANSACTIONS_MAX):
        pool.try_add(light(1_000 + i), ITEM)
    due_ms = pool.calculate_seal_due_ms()
    assert due_ms is not None
    assert due_ms <= now_ms


def test_own_batches_are_as_bounded_as_any_peers() -> None:
    """Others would hold no more of them: until some are executed, a node with many unordered ones takes nothing in."""
    pool = Mempool()
    digests: list[BatchDigest] = []
    for i in range(ORIGIN_BATCHES_MAX):
        assert pool.calculate_room() == POOL_TRANSACTIONS_MAX - i
        pool.try_add(light(i), ITEM)
        sealed = pool.try_seal(i)
        assert sealed is not None
        digests.append(sealed.digest)
    assert pool.calculate_room() == 0
    pool.on_executed(digests[:1], [light(0).id], 1, 0)
    assert pool.calculate_room() == POOL_TRANSACTIONS_MAX - ORIGIN_BATCHES_MAX + 1


def test_choice_is_oldest_first_within_a_block_and_without_what_is_excluded_or_ordered() -> None:
    """The same batch is never offered twice to one chain of blocks."""
    pool = Mempool()
    batches = [held([i]) for i in range(BLOCK_BATCHES_MAX + 5)]
    for one in batches:
        assert pool.add_batch(one)
        assert not pool.add_batch(one)
    chosen = pool.choose(())
    assert [ref.digest for ref in chosen] == [one.digest for one in batches[:BLOCK_BATCHES_MAX]]
    assert [ref.digest for ref in pool.choose([ref.digest for ref in chosen])] == [one.digest for one in batches[-5:]]
    pool.on_ordered([batches[0].digest])
    assert pool.choose(())[0].digest == batches[1].digest


def test_a_block_takes_no_more_transactions_than_its_limit_and_passes_nobody_by() -> None:
    """Choice stops at the first batch that does not fit."""
    pool = Mempool()
    sizes = [1000, 1000, 1000, 1000, 1000, 10]
    start = 0
    for size in sizes:
        pool.add_batch(held(range(start, start + size)))
        start += size
    assert [ref.tx_count for ref in pool.choose(())] == [1000] * (BLOCK_TRANSACTIONS_MAX // 1000)


def test_a_batch_whose_transactions_came_elsewhere_is_no_work_but_stays_while_a_block_may_name_it() -> None:
    """Forgotten too early it could be gone from every node when its block becomes final."""
    pool = Mempool()
    twin, other = held([1, 2], b"a"), held([2, 1], b"b")
    pool.add_batch(twin)
    pool.add_batch(other)
    pool.pin([other.digest], 5)
    pool.on_ordered([twin.digest])
    pool.on_executed([twin.digest], [light(1).id, light(2).id], 4, 0)
    assert not pool.has_work()
    assert pool.choose(()) == ()
    assert pool.get(other.digest) is other
    pool.on_executed([], [], 4, DEAD_REST_MS + 1)
    assert pool.get(other.digest) is other, "a block of height 5 names it"
    pool.on_executed([], [], 5, DEAD_REST_MS + 1)
    assert pool.get(other.digest) is None


def test_what_a_lost_block_ordered_is_offered_again() -> None:
    """A batch leaves only when a final block orders it, whoever proposed it in vain."""
    pool = Mempool()
    one = held([1])
    pool.add_batch(one)
    assert pool.choose(())[0].digest == one.digest
    assert pool.choose(())[0].digest == one.digest
    assert pool.has_work()


def test_own_batches_not_ordered_are_found_for_a_second_push_and_others_never() -> None:
    """A push is lost when a link breaks; only the origin repeats it."""
    pool = Mempool()
    pool.try_add(light(1), ITEM)
    own = pool.try_seal(100)
    pool.add_batch(held([2], b"peer", 100))
    assert own is not None
    assert pool.find_unordered_own(100) == []
    assert pool.find_unordered_own(101) == [own]
    pool.on_ordered([own.digest])
    assert pool.find_unordered_own(101) == []


def seal(pool: Mempool, number: int, now_ms: int) -> HeldBatch:
    """An own batch of one transaction."""
    pool.try_add(light(number), ITEM)
    own = pool.try_seal(now_ms)
    assert own is not None
    return own


def test_a_batch_is_pushed_again_later_and_later() -> None:
    """After 3 s, 6 more, 12, 24, 48 and then every 48 s; ordered, it never is."""
    pool = Mempool()
    own = seal(pool, 1, 0)
    pushed = [second for second in range(200) if pool.choose_again(second * 1_000)]
    assert pushed == [3, 9, 21, 45, 93, 141, 189]
    assert own.doublings == PUSH_AGAIN_DOUBLINGS_MAX
    pool.on_ordered([own.digest])
    assert not any(pool.choose_again(second * 1_000) for second in range(200, 300))


def test_a_backlog_is_pushed_again_in_turn_and_few_batches_at_once() -> None:
    """However many wait, one look repeats a bounded number, the oldest that are due, and in the end all of them."""
    pool = Mempool()
    own = [seal(pool, i, i) for i in range(3 * PUSHED_AGAIN_MAX)]
    looks = [pool.choose_again(PUSH_AGAIN_MS + 1_000 + look) for look in range(4)]
    assert [len(look) for look in looks] == [PUSHED_AGAIN_MAX] * 3 + [0]
    assert [one.digest for look in looks for one in look] == [one.digest for one in own]


def test_what_is_pushed_again_at_once_is_bounded_by_bytes_and_one_batch_may_have_any_size() -> None:
    """Full batches of a megabyte and more go one by one."""
    pool = Mempool()
    item = BatchItem(transaction=bytes(60_000))
    for number in range(40):
        pool.try_add(light(number), item)
    while pool.try_seal(0) is not None:
        pass
    looks = [pool.choose_again(PUSH_AGAIN_MS) for _ in range(12)]
    sizes = [sum(len(one.raw) for one in look) for look in looks]
    assert max(sizes) <= PUSHED_AGAIN_BYTES_MAX
    assert sum(map(len, looks)) == pool.batches > len(looks[0]) > 1


def test_the_wait_is_that_of_the_first_own_batch_behind_what_was_executed() -> None:
    """In order; what later ones overtook was lost and does not count, nor do batches of others."""
    pool = Mempool()
    assert pool.calculate_wait_ms(1_000) == 0
    first, second, third = (seal(pool, i, i * 100) for i in (1, 2, 3))
    pool.add_batch(held([9], b"peer", 0))
    assert pool.calculate_wait_ms(1_000) == 900
    pool.on_ordered([first.digest])
    assert pool.calculate_wait_ms(1_000) == 900, "ordered is not executed"
    pool.on_executed([second.digest], [light(2).id], 1, 1_000)
    assert pool.calculate_wait_ms(1_000) == 700, "the first was overtaken"
    pool.on_executed([], [light(3).id], 2, 1_000)
    assert pool.calculate_wait_ms(1_000) == 0, "all of the third came in a batch of somebody else"
    assert pool.get(third.digest) is third


def test_a_batch_that_nobody_ever_orders_does_not_close_the_door_for_ever() -> None:
    """After a minute it says nothing of how others fare."""
    pool = Mempool()
    seal(pool, 1, 0)
    assert pool.calculate_wait_ms(STRAGGLER_MS) == STRAGGLER_MS
    assert pool.calculate_wait_ms(STRAGGLER_MS + 1) == 0
    seal(pool, 2, STRAGGLER_MS + 1)
    assert pool.calculate_wait_ms(STRAGGLER_MS + 11) == 10


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.sampled_from("asbpoecx"), max_size=80))
def test_the_counts_the_pool_keeps_equal_the_counts_it_could_make(seed: int, steps: list[str]) -> None:
    """After any history: work exists iff a choice exists, and the size is the number of distinct ids waiting."""
    chance = random.Random(seed)
    pool = Mempool()
    waiting: set[int] = set()
    batches: list[HeldBatch] = []
    executed: set[int] = set()
    for height, step in enumerate(steps, start=1):
        numbers = [chance.randrange(30) for _ in range(chance.randrange(1, 4))]
        if step == "a":
            waiting.update(i for i in numbers if pool.try_add(light(i), ITEM))
        elif step == "s" and (sealed := pool.try_seal(height)) is not None:
            batches.append(sealed)
        elif step == "b":
            fresh = held(sorted(set(numbers)), arrived_ms=height)
            if pool.add_batch(fresh):
                batches.append(fresh)
        elif step == "p" and batches:
            pool.pin([chance.choice(batches).digest], height)
        elif step in "oe" and batches:
            chosen = chance.choice(batches)
            pool.on_ordered([chosen.digest])
            if step == "e":
                ids = [one.id for one in chosen.transactions]
                pool.on_executed([chosen.digest], ids, height, height)
                executed.update(i for i in range(30) if light(i).id in ids)
    while pool.try_seal(10_000) is not None:
        pass
    assert pool.has_work() == bool(pool.choose(()))
    alive = [i for i in range(30) if pool.is_known(light(i).id) and i not in executed]
    assert pool.transactions == len(alive)
    assert not any(pool.try_add(light(i), ITEM) for i in executed)


def test_a_real_batch_has_the_digest_of_its_ids() -> None:
    """Digest and reference follow from the signed bytes alone."""
    one = make_held([make_item(1), make_item(2)])
    assert one.digest == calculate_batch_digest([make_transaction(make_item(1)).id, make_transaction(make_item(2)).id])
    assert (one.ref.tx_count, one.ref.size) == (2, len(one.raw))
    assert isinstance(BatchDigest(one.digest), bytes)
    assert one.origin != OWN


def test_a_peer_that_sealed_the_very_same_batch_first_is_no_second_batch() -> None:
    """A client gave two nodes one transaction: the batch is held, counted and waited for once, and this node's own."""
    pool = Mempool()
    pool.try_add(light(1), ITEM)
    assert pool.add_batch(held([1]))
    sealed = pool.try_seal(0)
    assert sealed is pool.get(calculate_batch_digest([light(1).id]))
    assert pool.find_unordered_own(10) == [sealed]
    assert len(pool.choose(())) == 1
    pool.on_ordered([sealed.digest])
    assert not pool.has_work()
    pool.on_executed([sealed.digest], [light(1).id], 1, 0)
    assert not pool.has_work()
    assert pool.transactions == 0
    assert (pool.check_push(b"peer", 1), pool.calculate_room()) == (None, POOL_TRANSACTIONS_MAX)


def test_a_batch_that_comes_after_the_block_that_orders_it_is_not_ordered_again() -> None:
    """Whoever follows obtains it when it executes: until then no block of its own may name it."""
    pool = Mempool()
    late = held([1, 2])
    pool.on_ordered([late.digest])
    pool.add_wanted(late)
    assert pool.get(late.digest) is late
    assert pool.choose(()) == ()
    assert not pool.has_work()
    pool.on_executed([late.digest], [light(1).id, light(2).id], 1, 0)
    assert pool.get(late.digest) is None
    assert pool.transactions == 0
    again = held([3])
    pool.add_wanted(again)
    assert pool.choose(()) == (again.ref,)
