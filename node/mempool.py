"""What waits to be ordered: transactions being sealed into batches, and the batches that this node holds.

Decisions only, no IO and no clock: time comes in with each call. Every number held here is bounded, and reaching a
bound is a normal answer. Verified transactions come in; verifying them is `node.verifier`'s.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final

from node.meters import FINALITY_S, Buckets
from protocol.batch import Batch, BatchItem, BatchRef, calculate_batch_digest
from protocol.codec import encode
from protocol.ids import BatchDigest, TransactionId
from protocol.limits import (
    BATCH_BYTES_MAX,
    BATCH_TRANSACTIONS_MAX,
    BATCHES_HELD_MAX,
    BLOCK_BATCHES_MAX,
    BLOCK_TRANSACTIONS_MAX,
    POOL_BYTES_MAX,
    POOL_TRANSACTIONS_MAX,
)
from protocol.transactions.envelope import Transaction

SEAL_EVERY_MS: Final = 10  # a lone transaction is sealed at once; a stream of them, a hundred times a second
SEAL_LATEST_MS: Final = 50
"""While own batches wait for a block another one waits longer, up to this: a block has room for so many batches, and
each costs every node a push, a check of its digest and a place in the log."""
ORIGIN_BATCHES_MAX: Final = BATCHES_HELD_MAX // 4  # one organisation cannot fill everybody's pool
EXECUTED_REMEMBERED_MAX: Final = 65_536  # a batch that arrives after its transactions were executed is useless
DEAD_REST_MS: Final = 60_000
PUSH_AGAIN_MS: Final = 3_000
PUSH_AGAIN_DOUBLINGS_MAX: Final = 4  # 48 s: what is late because everybody is busy must not make them busier
PUSHED_AGAIN_MAX: Final = 32  # batches at once: half of what a peer's inbox holds, so that fresh ones find room
PUSHED_AGAIN_BYTES_MAX: Final = 1_048_576  # the same by bytes, of more than one
STRAGGLER_MS: Final = 60_000  # a batch that waits for longer was lost somehow, and says nothing of how others fare
OWN: Final = b""
"""The origin of batches sealed here."""


class HeldBatch:
    """A batch with its verified transactions."""

    __slots__ = (
        "again_ms",
        "arrived_ms",
        "bare",
        "batch",
        "digest",
        "doublings",
        "height",
        "live",
        "ordered",
        "origin",
        "raw",
        "transactions",
    )

    def __init__(
        self,
        batch: Batch,
        transactions: tuple[Transaction, ...],
        origin: bytes,
        arrived_ms: int,
        raw: bytes,
        *,
        digest: BatchDigest | None = None,
    ) -> None:
        """`digest` is the batch's own, when the caller has calculated it."""
        assert len(batch.items) == len(transactions)
        self.batch = batch
        self.transactions = transactions
        self.digest = calculate_batch_digest([one.id for one in transactions]) if digest is None else digest
        self.raw = raw
        self.origin = origin
        self.arrived_ms = arrived_ms
        self.bare = False
        """Sidecars of it are erased: it can be executed with recorded receipts, and never be voted for."""
        self.ordered = False
        """A final block orders it: no other may."""
        self.live = len(transactions)
        """How many of its transactions are not executed yet."""
        self.height = 0
        """The highest block seen that names it: until that height is executed, somebody may need it."""
        self.again_ms = arrived_ms + PUSH_AGAIN_MS
        """Not to be pushed again before."""
        self.doublings = 0
        """How often it was."""

    @property
    def ref(self) -> BatchRef:
        """What a block says of it."""
        return BatchRef(digest=self.digest, tx_count=len(self.transactions), size=len(self.raw))


class Mempool:
    """Pending transactions and held batches of one node."""

    def __init__(self) -> None:
        self._pending: deque[tuple[Transaction, BatchItem, int]] = deque()
        self._sealed_ms = -SEAL_EVERY_MS
        self._held: OrderedDict[BatchDigest, HeldBatch] = OrderedDict()
        self._by_origin: Counter[bytes] = Counter()
        self._where: dict[TransactionId, list[BatchDigest]] = {}
        self._pending_ids: set[TransactionId] = set()
        self._executed: OrderedDict[TransactionId, None] = OrderedDict()
        self._choosable = 0
        self._pending_bytes = 0
        self._bytes = 0
        """Of what waits, sealed or not."""
        self._own_unordered = 0
        self._line: deque[HeldBatch] = deque()
        """Own batches in the order they were sealed, from the first behind the latest one executed."""
        self._ordered: dict[BatchDigest, None] = {}
        """Batches of final blocks that are not executed yet, held or not."""
        self.sealed = 0
        self.waited = Buckets(FINALITY_S)
        """How long own batches waited to be executed and saved."""

    # ------------------------------------------------------------------ own transactions

    @property
    def transactions(self) -> int:
        """How many distinct transactions wait, sealed or not."""
        return len(self._pending_ids) + len(self._where)

    @property
    def batches(self) -> int:
        """How many batches are held."""
        return len(self._held)

    @property
    def size(self) -> int:
        """Bytes of what waits, sealed or not."""
        return self._bytes

    def calculate_room(self) -> int:
        """How many more transactions may be taken in: none while as many own batches wait as others would hold."""
        if self._by_origin[OWN] >= ORIGIN_BATCHES_MAX or self._bytes >= POOL_BYTES_MAX:
            return 0
        return max(0, POOL_TRANSACTIONS_MAX - self.transactions)

    def is_known(self, transaction_id: TransactionId) -> bool:
        """Whether it waits here, or was executed not long ago."""
        return transaction_id in self._pending_ids or transaction_id in self._where or transaction_id in self._executed

    def was_executed(self, transaction_id: TransactionId) -> bool:
        """Whether it was executed not long ago."""
        return transaction_id in self._executed

    def try_add(self, transaction: Transaction, item: BatchItem) -> bool:
        """Queue a verified transaction for sealing; False when it is known already."""
        if self.is_known(transaction.id):
            return False
        assert self.calculate_room(), "the door asks first"
        weight = len(encode(item))
        self._pending.append((transaction, item, weight))
        self._pending_ids.add(transaction.id)
        self._pending_bytes += weight
        self._bytes += weight
        return True

    def calculate_seal_due_ms(self) -> int | None:
        """When the next batch should be sealed, or None when nothing waits."""
        if not self._pending:
            return None
        if len(self._pending) >= BATCH_TRANSACTIONS_MAX or self._pending_bytes >= BATCH_BYTES_MAX:
            return self._sealed_ms  # as large as a batch gets
        return self._sealed_ms + min(SEAL_LATEST_MS, SEAL_EVERY_MS * max(1, self._own_unordered))

    def try_seal(self, now_ms: int) -> HeldBatch | None:
        """Seal and hold the next batch, in the order of arrival, or None when nothing waits."""
        if not self._pending:
            return None
        items: list[BatchItem] = []
        transactions: list[Transaction] = []
        size = 8
        while self._pending and len(items) < BATCH_TRANSACTIONS_MAX:
            transaction, item, weight = self._pending[0]
            if items and size + weight > BATCH_BYTES_MAX:
                break
            self._pending.popleft()
            self._pending_ids.discard(transaction.id)
            self._pending_bytes -= weight
            self._bytes -= weight
            items.append(item)
            transactions.append(transaction)
            size += weight
        if not self._pending:
            self._sealed_ms = now_ms  # a rest that did not fit is due at once
        batch = Batch(items=tuple(items))
        held = HeldBatch(batch, tuple(transactions), OWN, now_ms, encode(batch))
        same = self._held.get(held.digest)
        self.sealed += 1
        if same is None:
            self._hold(held)
            self._line.append(held)
            return held
        self._own(same)
        return same

    def _own(self, held: HeldBatch) -> None:
        """A peer has sealed the very same transactions: counted once, and from now on pushed again by this node too."""
        if held.origin != OWN:
            self._by_origin[held.origin] -= 1
            held.origin = OWN
            self._by_origin[OWN] += 1
            self._own_unordered += not held.ordered

    def find_unordered_own(self, arrived_before_ms: int) -> list[HeldBatch]:
        """Own batches that no final block orders yet and that are older than this: to be pushed again."""
        return [
            held
            for held in self._held.values()
            if held.origin == OWN and not held.ordered and held.live and held.arrived_ms < arrived_before_ms
        ]

    def choose_again(self, now_ms: int) -> list[HeldBatch]:
        """Own batches to be pushed again now, the oldest first: few at once, and each later and later."""
        chosen: list[HeldBatch] = []
        size = 0
        for held in self.find_unordered_own(now_ms - PUSH_AGAIN_MS + 1):
            if held.again_ms > now_ms:
                continue
            size += len(held.raw)
            if len(chosen) == PUSHED_AGAIN_MAX or (chosen and size > PUSHED_AGAIN_BYTES_MAX):
                break
            held.doublings = min(held.doublings + 1, PUSH_AGAIN_DOUBLINGS_MAX)
            held.again_ms = now_ms + (PUSH_AGAIN_MS << held.doublings)
            chosen.append(held)
        return chosen

    def calculate_wait_ms(self, now_ms: int) -> int:
        """How long the next own batch to be executed has waited; 0 when none waits.

        Batches are ordered as they come, so one that later ones have overtaken was lost on its way and does not count.
        """
        line = self._line
        while line and (self._held.get(line[0].digest) is not line[0] or not line[0].live):
            line.popleft()
        while line and now_ms - line[0].arrived_ms > STRAGGLER_MS:
            line.popleft()
        return max(0, now_ms - line[0].arrived_ms) if line else 0

    # ------------------------------------------------------------------ batches

    def get(self, digest: BatchDigest) -> HeldBatch | None:
        """A held batch."""
        return self._held.get(digest)

    def check_push(self, origin: bytes, count: int) -> str | None:
        """Why a pushed batch of `count` transactions is not taken, or None."""
        if len(self._held) >= BATCHES_HELD_MAX or self._bytes >= 2 * POOL_BYTES_MAX:
            return "pool_full"
        if self.transactions + count > 2 * POOL_TRANSACTIONS_MAX:
            return "pool_full"
        return "origin_quota" if self._by_origin[origin] >= ORIGIN_BATCHES_MAX else None

    def add_batch(self, held: HeldBatch) -> bool:
        """Hold a verified batch of another node; False when it is held already or all of it was executed."""
        if held.digest in self._held or all(one.id in self._executed for one in held.transactions):
            return False
        self._hold(held)
        return True

    def add_wanted(self, held: HeldBatch) -> None:
        """Hold a batch that a block orders, whatever the bounds: blocks are bounded themselves."""
        if held.digest not in self._held:
            self._hold(held)

    def _hold(self, held: HeldBatch) -> None:
        held.live = 0
        for one in held.transactions:
            if one.id not in self._executed:
                held.live += 1
                self._where.setdefault(one.id, []).append(held.digest)
        self._held[held.digest] = held
        self._by_origin[held.origin] += 1
        self._bytes += len(held.raw)
        held.ordered = held.digest in self._ordered  # it comes after the block that orders it
        if not held.ordered:
            self._own_unordered += held.origin == OWN
            self._choosable += held.live > 0

    def has_work(self) -> bool:
        """Whether some batch waits to be ordered."""
        return self._choosable > 0 or bool(self._pending)

    def choose(self, excluded: Iterable[BatchDigest]) -> tuple[BatchRef, ...]:
        """References for the next block, oldest batch first, within the limits of a block."""
        skipped = frozenset(excluded)
        chosen: list[BatchRef] = []
        count = 0
        for digest, held in self._held.items():
            if held.ordered or not held.live or digest in skipped:
                continue
            if len(chosen) == BLOCK_BATCHES_MAX or count + len(held.transactions) > BLOCK_TRANSACTIONS_MAX:
                break  # in order of arrival: a large batch is never passed by for ever
            chosen.append(held.ref)
            count += len(held.transactions)
        return tuple(chosen)

    def pin(self, digests: Iterable[BatchDigest], height: int) -> None:
        """A block of `height`, perhaps not final yet, names these."""
        for digest in digests:
            held = self._held.get(digest)
            if held is not None:
                held.height = max(held.height, height)

    def on_ordered(self, digests: Sequence[BatchDigest]) -> None:
        """A final block orders these: nobody may order them again."""
        for digest in digests:
            self._ordered[digest] = None
            held = self._held.get(digest)
            if held is not None and not held.ordered:
                held.ordered = True
                self._own_unordered -= held.origin == OWN
                self._choosable -= held.live > 0

    def on_executed(
        self, digests: Sequence[BatchDigest], ids: Sequence[TransactionId], height: int, now_ms: int
    ) -> None:
        """A block is saved: forget its batches, and every transaction of it wherever else it waits."""
        for one in ids:
            self._executed[one] = None
            for digest in self._where.pop(one, ()):
                held = self._held[digest]
                held.live -= 1
                if not held.live and not held.ordered:
                    self._choosable -= 1
        if not self._pending_ids.isdisjoint(ids):
            self._pending = deque(entry for entry in self._pending if entry[0].id not in self._executed)
            self._pending_ids.difference_update(ids)
            left = sum(weight for _, _, weight in self._pending)
            self._bytes -= self._pending_bytes - left
            self._pending_bytes = left
        while len(self._executed) > EXECUTED_REMEMBERED_MAX:
            self._executed.popitem(last=False)
        for digest in digests:
            self._ordered.pop(digest, None)
            if (mine := self._held.get(digest)) is not None and mine.origin == OWN:
                self.waited.observe((now_ms - mine.arrived_ms) / 1000)
                while self._line and self._line[0].arrived_ms <= mine.arrived_ms:
                    self._line.popleft()
            self._forget(digest)
        for digest in [one.digest for one in self._held.values() if self._is_dead(one, height, now_ms)]:
            self._forget(digest)

    def _is_dead(self, held: HeldBatch, height: int, now_ms: int) -> bool:
        """All of it came in other batches, and no block that may still become final names it.

        Forgotten too early it could be gone from every node while a block waits to be executed, so it also rests.
        """
        return not held.live and not held.ordered and held.height <= height and now_ms - held.arrived_ms > DEAD_REST_MS

    def _forget(self, digest: BatchDigest) -> None:
        held = self._held.pop(digest, None)
        if held is None:
            return
        self._by_origin[held.origin] -= 1
        self._bytes -= len(held.raw)
        if not held.ordered:
            self._own_unordered -= held.origin == OWN
            self._choosable -= held.live > 0
        for one in held.transactions:
            places = self._where.get(one.id)
            if places is not None and digest in places:
                places.remove(digest)
                if not places:
                    del self._where[one.id]
