"""Batches between nodes: pushed, verified, asked for, refused and handed on, over an imaginary mesh."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from node import batches as batches_module
from node.allowance import Allowance
from node.batches import (
    BATCH_WEIGHT_MAX,
    INBOX_BYTES_MAX,
    INBOX_MAX,
    LOOKED_UP_AT_ONCE,
    PUSH_GRACE_S,
    REPLY_BYTES,
    SIGNATURES_AT_ONCE,
    SIGNATURES_PER_S,
    BatchInvalidError,
    BatchRoom,
)
from node.mempool import Mempool
from node.store.chain import StoreError
from node.verifier import REMEMBERED_MAX, Opening, Verdict, Verifier
from protocol.batch import (
    Batch,
    BatchItem,
    BatchRef,
    Sidecar,
    calculate_batch_digest,
    calculate_transaction_id,
)
from protocol.crypto import KeySigner
from protocol.ids import BatchDigest, ChainId, Digest, ModelId, PublicKey, TransactionId
from protocol.messages import Batches, BatchReply, GetBatch, GetBatches, Message, PushBatch
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, sign_transaction
from tests.node.core.chaintools import CHAIN, SENDER, make_held, make_item, make_transaction, until

A, B, C = (PublicKey(bytes([one]) * 32) for one in (1, 2, 3))
SIDECAR = Sidecar(model=ModelId(bytes(32)), salt=Digest(bytes(32)), bins=(1,))


class Around:
    """Mesh and store around one room."""

    def __init__(self, verifier: Verifier | None = None) -> None:
        self.sent: list[tuple[PublicKey, Message]] = []
        self.connected = (A, B, C)
        self.stored: dict[BatchDigest, bytes] = {}
        self.fault: StoreError | None = None
        self.now_ms = 1_000
        self.held_calls = 0
        self.mempool = Mempool()
        self.verifier = verifier or Verifier(CHAIN)
        self.room = BatchRoom(
            mempool=self.mempool,
            verifier=self.verifier,
            store=self,
            mesh=self,
            validators=(A, B),
            clock_ms=lambda: self.now_ms,
            on_held=self.count,
            is_pushed_to=True,
        )

    def count(self) -> None:
        self.held_calls += 1

    def send(self, peer: PublicKey, message: Message) -> bool:
        self.sent.append((peer, message))
        return peer in self.connected

    def broadcast(self, message: Message, peers: Iterable[PublicKey]) -> int:
        return sum(self.send(peer, message) for peer in peers)

    def get_connected(self) -> tuple[PublicKey, ...]:
        return self.connected

    def is_connected(self, peer: PublicKey) -> bool:
        return peer in self.connected

    async def read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
        if self.fault is not None:
            raise self.fault
        return {one: self.stored[one] for one in digests if one in self.stored}

    def asked(self) -> list[PublicKey]:
        """Who was asked for a batch, in order."""
        return [peer for peer, message in self.sent if isinstance(message, GetBatch)]


@asynccontextmanager
async def around(verifier: Verifier | None = None) -> AsyncIterator[Around]:
    """A room at work."""
    here = Around(verifier)
    tasks = [asyncio.create_task(here.room.run_sealing()), asyncio.create_task(here.room.run_intake())]
    try:
        yield here
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await here.room.close()


async def test_a_submitted_transaction_is_sealed_and_pushed_to_every_validator_once() -> None:
    """Observers get no push; nothing is pushed twice while it is young."""
    async with around() as here:
        item = make_item(1)
        here.mempool.try_add(make_transaction(item), item)
        here.room.on_submitted()
        await until(lambda: len(here.sent) == 2)
        assert [peer for peer, _ in here.sent] == [A, B]
        assert all(message == PushBatch(batch=Batch(items=(item,))) for _, message in here.sent)
        assert here.held_calls == 1


async def test_a_validator_that_comes_back_gets_what_is_not_ordered_yet() -> None:
    """A push lost with a link is repeated on the next link, for own batches alone."""
    async with around() as here:
        item = make_item(1)
        here.mempool.try_add(make_transaction(item), item)
        here.room.on_submitted()
        await until(lambda: len(here.sent) == 2)
        here.mempool.add_batch(make_held([make_item(2)]))
        here.sent.clear()
        here.room.push_to(B)
        here.room.push_to(C)
        assert here.sent == [(B, PushBatch(batch=Batch(items=(item,))))]


async def test_a_pushed_batch_is_held_only_when_every_transaction_verifies() -> None:
    """One bad signature, another chain or a stray sidecar refuses the whole batch; the next good one is taken."""
    async with around() as here:
        good = make_item(1)
        forged = BatchItem(transaction=good.transaction[:-1] + bytes([good.transaction[-1] ^ 1]))
        for bad in (forged, make_item(2, chain=ChainId(bytes(32))), BatchItem(transaction=b"\xc1")):
            here.room.on_push(A, PushBatch(batch=Batch(items=(make_item(3), bad))))
        stray = BatchItem(transaction=make_item(4).transaction, sidecars=(SIDECAR,))
        here.room.on_push(A, PushBatch(batch=Batch(items=(stray,))))
        here.room.on_push(B, PushBatch(batch=Batch(items=(make_item(5),))))
        await until(lambda: here.held_calls == 1)
        await asyncio.sleep(0.05)
        assert here.held_calls == 1
        assert [ref.digest for ref in here.mempool.choose(())] == [make_held([make_item(5)]).digest]


async def test_a_flood_of_pushes_is_dropped_and_other_peers_are_served_in_turn() -> None:
    """A peer's inbox is bounded, and one batch of each peer is verified in turn."""
    here = Around()
    for i in range(INBOX_MAX + 10):
        here.room.on_push(A, PushBatch(batch=Batch(items=(make_item(i),))))
    here.room.on_push(B, PushBatch(batch=Batch(items=(make_item(10_000),))))
    assert here.room.pushes_dropped == 10
    task = asyncio.create_task(here.room.run_intake())
    await until(lambda: here.held_calls == INBOX_MAX + 1)
    order = [ref.digest for ref in here.mempool.choose(())]
    assert order.index(make_held([make_item(10_000)]).digest) == 1
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_peers_inbox_is_bounded_by_bytes_and_takes_one_batch_of_any_size() -> None:
    """Large batches wait in small numbers; what is dropped is counted, and asked for once a block orders it."""
    around_ = Around()
    big = BatchItem(transaction=bytes(16_000))
    batch = Batch(items=(big,) * 16)
    fit = INBOX_BYTES_MAX // (16 * 16_000)
    for _ in range(fit + 3):
        around_.room.on_push(A, PushBatch(batch=batch))
    assert around_.room.pushes_dropped == 3
    around_.room.on_push(B, PushBatch(batch=Batch(items=(big,) * (INBOX_BYTES_MAX // 16_000 + 1))))
    assert around_.room.pushes_dropped == 3, "another peer has an inbox of its own, and an empty one takes anything"
    await around_.room.close()


async def test_a_push_that_crossed_its_block_costs_no_signature() -> None:
    """All of it was executed: it is dropped unverified, unless a block in sight names it."""
    verifier = CountingVerifier()
    async with around(verifier) as here:
        items = [make_item(i) for i in range(3)]
        here.mempool.on_executed([], [make_transaction(one).id for one in items], 1, 0)
        here.room.on_push(A, PushBatch(batch=Batch(items=tuple(items))))
        here.room.on_push(A, PushBatch(batch=Batch(items=(make_item(9),))))
        await until(lambda: here.held_calls == 1)
        assert verifier.checked == 1
        held = make_held(items)
        here.room._grace_s = 5.0
        wanted = asyncio.create_task(here.room.obtain(held.ref, (A,)))
        await asyncio.sleep(0.01)
        here.room.on_push(A, PushBatch(batch=held.batch))
        assert (await wanted).digest == held.digest


class CountingVerifier(Verifier):
    """Counts what it is given; every transaction claims to carry `weight` signatures."""

    weight = 1

    def __init__(self) -> None:
        super().__init__(CHAIN)
        self.checked = 0

    def open(
        self, items: Sequence[BatchItem], ids: Sequence[TransactionId] | None = None, *, may_be_bare: bool = False
    ) -> Opening:
        opening = super().open(items, ids, may_be_bare=may_be_bare)
        opening.signatures *= self.weight
        return opening

    async def finish(self, opening: Opening) -> list[Verdict]:
        self.checked += len(opening.items)
        return await super().finish(opening)


async def test_a_batch_that_is_too_heavy_is_refused_before_any_signature_is_verified() -> None:
    """Pushed or brought when asked for: its length is known for nothing, its signatures cost half a second."""
    verifier = CountingVerifier()
    async with around(verifier) as here:
        item = make_item(1)
        fat = BatchItem(transaction=bytes(16_000))
        heavy = Batch(items=(item, *(fat for _ in range(BATCH_WEIGHT_MAX // 16_000 + 1))))
        here.room.on_push(A, PushBatch(batch=heavy))
        here.room.on_push(A, PushBatch(batch=Batch(items=(make_item(2),))))
        await until(lambda: here.held_calls == 1)
        assert verifier.checked == 1
        digest = calculate_batch_digest([calculate_transaction_id(one.transaction) for one in heavy.items])
        wanted = asyncio.create_task(here.room.obtain(BatchRef(digest=digest, tx_count=1, size=1), (A,)))
        await until(lambda: here.asked() == [A])
        here.room.on_reply(A, BatchReply(digest=digest, batch=heavy))
        await until(lambda: len(here.asked()) == 2)
        assert verifier.checked == 1
        wanted.cancel()
        await asyncio.gather(wanted, return_exceptions=True)


async def test_a_peer_whose_batches_carry_many_signatures_waits_and_others_and_asked_ones_do_not() -> None:
    """Work is charged by signatures, to who pushed; the debt is waited off, and what a block orders is not charged."""
    verifier = CountingVerifier()
    verifier.weight = SIGNATURES_AT_ONCE
    async with around(verifier) as here:
        for i in range(3):
            here.room.on_push(A, PushBatch(batch=Batch(items=(make_item(i), make_item(100 + i)))))
        await until(lambda: here.held_calls == 1)
        here.room.on_push(B, PushBatch(batch=Batch(items=(make_item(3),))))
        await until(lambda: here.held_calls == 2)
        await asyncio.sleep(0.05)
        assert here.held_calls == 2, "A is in debt by as much as it may spend in one go"
        held = make_held([make_item(5)])
        wanted = asyncio.create_task(here.room.obtain(held.ref, (A,)))
        await until(lambda: here.asked() == [A])
        here.room.on_reply(A, BatchReply(digest=held.digest, batch=held.batch))
        assert (await wanted).digest == held.digest
        here.now_ms += 1_000 * SIGNATURES_AT_ONCE // SIGNATURES_PER_S + 2
        here.room.on_push(B, PushBatch(batch=held.batch))  # wakes the room; held already
        await until(lambda: here.held_calls == 4)


def test_an_allowance_is_overdrawn_once_waited_off_and_never_grows_beyond_its_bound() -> None:
    """The wait ends to the millisecond; a clock that stands still gives nothing."""
    allowance = Allowance(per_second=1_000, bound=10, now_ms=0)
    allowance.spend(30, 0)
    assert allowance.calculate_wait_ms(0) == 21
    assert allowance.calculate_wait_ms(20) == 1
    assert allowance.calculate_wait_ms(21) == 0
    allowance.spend(1, 10_000)
    allowance.spend(9, 10_000)
    assert allowance.calculate_wait_ms(10_000) == 1, "ten at most had gathered"


async def test_signatures_are_counted_before_they_are_verified_and_known_ones_are_free() -> None:
    """Sender and co-signers each; garbage counts as one."""
    verifier = Verifier(CHAIN)
    alone = make_item(1)
    others = tuple(sorted((KeySigner(bytes([i]) * 32) for i in (1, 2)), key=lambda one: one.public_key))
    body = msgspec.structs.replace(make_transaction(alone).body, cosigners=tuple(one.public_key for one in others))
    together = BatchItem(transaction=sign_transaction(body, SENDER, others))
    items = [alone, together, BatchItem(transaction=b"\xc1")]
    assert verifier.open(items).signatures == 1 + 3 + 1
    await verifier.check(items)
    assert verifier.open(items).signatures == 1


async def test_a_batch_on_its_way_is_awaited_and_not_asked_for() -> None:
    """A push that arrives within the grace costs no request."""
    async with around() as here:
        held = make_held([make_item(1)])
        assert here.room._grace_s == PUSH_GRACE_S
        here.room._grace_s = 30.0
        wanted = asyncio.create_task(here.room.obtain(held.ref, (A,)))
        await asyncio.sleep(PUSH_GRACE_S / 4)
        here.room.on_push(A, PushBatch(batch=held.batch))
        assert (await wanted).digest == held.digest
        assert here.asked() == []


async def test_a_missing_batch_is_asked_of_the_proposer_and_then_of_others() -> None:
    """ "Not here" is answered by asking the next at once; the one who brings it ends the search."""
    async with around() as here:
        held = make_held([make_item(1)])
        wanted = asyncio.create_task(here.room.obtain(held.ref, (B,)))
        await until(lambda: here.asked() == [B])
        here.room.on_reply(B, BatchReply(digest=held.digest, batch=None))
        await until(lambda: len(here.asked()) == 2)
        other = here.asked()[1]
        here.room.on_reply(other, BatchReply(digest=held.digest, batch=Batch(items=(make_item(2),))))
        await until(lambda: len(here.asked()) == 3)
        here.room.on_reply(here.asked()[2], BatchReply(digest=held.digest, batch=held.batch))
        assert (await wanted).digest == held.digest
        assert set(here.asked()) == {A, B, C}
        assert here.mempool.get(held.digest) is not None


async def test_a_copy_with_wrong_sidecars_is_asked_for_elsewhere_but_a_wrong_digest_is_invalid_for_good() -> None:
    """Ids do not cover sidecars, so only a transaction's own bytes can make a batch invalid."""
    async with around() as here:
        held = make_held([make_item(1)])
        wanted = asyncio.create_task(here.room.obtain(held.ref, (A,)))
        await until(lambda: here.asked() == [A])
        stray = Batch(items=(BatchItem(transaction=make_item(1).transaction, sidecars=(SIDECAR,)),))
        here.room.on_reply(A, BatchReply(digest=held.digest, batch=stray))
        await until(lambda: len(here.asked()) == 2)
        here.room.on_reply(here.asked()[1], BatchReply(digest=held.digest, batch=held.batch))
        assert (await wanted).batch == held.batch
        foreign = make_held([make_item(2, chain=ChainId(bytes(32)))])
        wanted = asyncio.create_task(here.room.obtain(foreign.ref, (A,)))
        await until(lambda: len(here.asked()) == 3)
        here.room.on_reply(A, BatchReply(digest=foreign.digest, batch=foreign.batch))
        with pytest.raises(BatchInvalidError):
            await wanted


async def test_unasked_replies_are_not_looked_at_and_copies_are_handed_from_pool_and_store() -> None:
    """A reply without a question changes nothing; a question is answered from wherever the batch lies."""
    async with around() as here:
        held, stored = make_held([make_item(1)]), make_held([make_item(2)])
        here.room.on_reply(A, BatchReply(digest=held.digest, batch=held.batch))
        await asyncio.sleep(0.02)
        assert here.mempool.get(held.digest) is None
        here.mempool.add_batch(held)
        here.stored[stored.digest] = stored.raw
        nowhere = BatchDigest(bytes(32))
        for digest in (held.digest, stored.digest, nowhere):
            await here.room.on_get(C, GetBatch(digest=digest))
        assert [message for _, message in here.sent] == [
            BatchReply(digest=held.digest, batch=held.batch),
            BatchReply(digest=stored.digest, batch=stored.batch),
            BatchReply(digest=nowhere, batch=None),
        ]
        ref = BatchRef(digest=stored.digest, tx_count=1, size=1)
        assert (await here.room.obtain(ref)).raw == stored.raw
        assert here.asked() == []


async def test_a_peer_has_one_reply_to_a_question_waiting() -> None:
    """Each may be a megabyte, and nobody has the room for hundreds; another peer's is taken beside it."""
    async with around() as here:
        held, junk = make_held([make_item(1)]), make_held([make_item(2)])
        wanted = asyncio.create_task(here.room.obtain(BatchRef(digest=held.digest, tx_count=1, size=1), (A,)))
        await until(lambda: A in here.asked())
        for peer in (A, A, A, B):
            here.room.on_reply(peer, BatchReply(digest=held.digest, batch=junk.batch))
        assert [peer for peer, _ in here.room._replies] == [A, B]
        await until(lambda: not here.room._replies)
        here.room.on_reply(A, BatchReply(digest=held.digest, batch=held.batch))
        assert (await wanted).digest == held.digest


async def test_batches_of_a_final_block_are_asked_for_in_one_message_and_those_of_the_next_of_another() -> None:
    """They come in order, whoever brought which; those that are held or saved here are not asked for."""
    async with around() as here:
        pooled, stored, *others = (make_held([make_item(i)]) for i in range(6))
        here.mempool.add_batch(pooled)
        here.stored[stored.digest] = stored.raw
        refs = [one.ref for one in (others[0], pooled, others[1], stored, others[2])]
        wanted = asyncio.create_task(here.room.obtain_final(refs))
        await until(lambda: len(here.sent) == 1)
        ((peer, message),) = here.sent
        assert message == GetBatches(digests=tuple(one.digest for one in others[:3]))
        brought = [BatchReply(digest=one.digest, batch=one.batch) for one in others[:2]]
        here.room.on_replies(peer, Batches(replies=(*brought, BatchReply(digest=others[2].digest, batch=None))))
        await until(lambda: len(here.sent) == 2)
        other, message = here.sent[1]
        assert other != peer
        assert message == GetBatch(digest=others[2].digest)
        here.room.on_reply(other, BatchReply(digest=others[2].digest, batch=others[2].batch))
        assert [one.digest for one in await wanted] == [ref.digest for ref in refs]
        following = asyncio.create_task(here.room.obtain_final([others[3].ref]))
        await until(lambda: len(here.sent) == 3)
        assert here.sent[2][0] != peer
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_several_batches_are_handed_out_as_far_as_a_frame_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first there is goes whatever it weighs, others while there is room; what is left out is said not to be."""
    async with around() as here:
        held = [make_held([make_item(i)]) for i in range(4)]
        for one in held[:2]:
            here.mempool.add_batch(one)
        here.stored = {one.digest: one.raw for one in held[2:]}
        nowhere = BatchDigest(bytes(32))
        message = GetBatches(digests=(nowhere, *(one.digest for one in held)))
        for room, count in ((1, 1), (2 * len(held[0].raw), 2), (REPLY_BYTES, 4)):
            monkeypatch.setattr(batches_module, "REPLY_BYTES", room)
            await here.room.on_get_several(C, message)
            there = [BatchReply(digest=one.digest, batch=one.batch) for one in held[:count]]
            gone = [BatchReply(digest=one.digest, batch=None) for one in held[count:]]
            expected = Batches(replies=(BatchReply(digest=nowhere, batch=None), *there, *gone))
            assert here.sent.pop() == (C, expected)


async def test_a_peer_that_asks_for_much_makes_this_node_read_little_more_than_it_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Strangers may ask, and what is read is decoded between two votes."""
    async with around() as here:
        held = [make_held([make_item(i)]) for i in range(40)]
        here.stored = {one.digest: one.raw for one in held}
        read: list[BatchDigest] = []
        read_batches = here.read_batches

        async def count(digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
            read.extend(digests)
            return await read_batches(digests)

        monkeypatch.setattr(here, "read_batches", count)
        monkeypatch.setattr(batches_module, "REPLY_BYTES", len(held[0].raw))
        await here.room.on_get_several(C, GetBatches(digests=tuple(one.digest for one in held)))
        assert read == [one.digest for one in held[:LOOKED_UP_AT_ONCE]]


async def test_one_damaged_row_does_not_keep_the_others_of_its_block_from_being_read() -> None:
    """Each is then read by itself."""
    async with around() as here:
        good, bad = make_held([make_item(1)]), make_held([make_item(2)])
        here.stored = {good.digest: good.raw, bad.digest: b"\xc1"}
        await here.room.on_get_several(C, GetBatches(digests=(bad.digest, good.digest)))
        replies = (BatchReply(digest=bad.digest, batch=None), BatchReply(digest=good.digest, batch=good.batch))
        assert here.sent == [(C, Batches(replies=replies))]


async def test_a_signature_is_verified_once_and_sidecars_every_time() -> None:
    """The verdict is remembered by id, which does not cover sidecars."""
    verifier = Verifier(CHAIN)
    items = [make_item(i, sender=KeySigner(bytes([i + 1]) * 32)) for i in range(40)]
    bad = BatchItem(transaction=items[0].transaction, sidecars=(SIDECAR,))
    first = await verifier.check(items)
    assert [one.id for one in first if isinstance(one, Transaction)] == [make_transaction(one).id for one in items]
    again = await verifier.check([items[0], bad, items[1]])
    assert again[0] is first[0]
    assert again[1] is Rejection.SIDECAR_MISMATCH
    assert again[2] is first[1]
    assert REMEMBERED_MAX > 0


async def test_a_damaged_row_is_asked_of_peers_and_a_failing_disk_is_a_fault() -> None:
    """Sidecars that the disk has changed make the batch unreadable here, not everywhere."""
    async with around() as here:
        batch = Batch(items=(make_item(1),))
        held = make_held([make_item(1)])
        here.fault = StoreError("database_damaged", "a row is damaged")
        wanted = asyncio.create_task(here.room.obtain_final([held.ref]))
        await until(lambda: here.asked() != [])
        here.room.on_reply(here.asked()[0], BatchReply(digest=held.digest, batch=batch))
        assert (await wanted)[0].digest == held.digest
        here.fault = StoreError("disk_failed", "the disk failed")
        with pytest.raises(StoreError):
            await here.room.obtain_final([make_held([make_item(2)]).ref])
