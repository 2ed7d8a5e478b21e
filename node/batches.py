"""Where batches come from: pushed by the node that sealed them, asked of peers, or read from the store.

Every batch is verified before it is held, and a copy that does not match its digest is asked for elsewhere, never
called invalid: only a digest can be. Never order or execute anything here.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from node.allowance import Allowance
from node.gossip.fetch import Fetcher, NobodyHasItError
from node.mempool import OWN, HeldBatch, Mempool
from node.store.chain import StoreError
from node.verifier import Verifier
from protocol.batch import Batch, BatchRef, calculate_batch_digest, calculate_transaction_id
from protocol.codec import CodecError, decode, encode
from protocol.ids import BatchDigest, PublicKey, TransactionId
from protocol.limits import BATCH_BYTES_MAX, BATCHES_PER_REPLY_MAX, FRAME_BYTES_MAX, TRANSACTION_BYTES_MAX
from protocol.messages import Batches, BatchReply, GetBatch, GetBatches, Message, PushBatch
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, is_bare

INBOX_MAX: Final = 64  # pushed batches waiting for verification, per peer; a dropped one is asked for once ordered
INBOX_BYTES_MAX: Final = 4_194_304  # the same by bytes, of more than one: sixteen full ones
PUSH_GRACE_S: Final = 0.02  # a batch that a proposal names is usually on its way: its push travels behind
LOOK_AGAIN_MS: Final = 1_000  # how often it is asked what is to be pushed again
SIGNATURES_PER_S: Final = 4_096  # of pushed batches, per peer: under a quarter of one core (55 us each)
SIGNATURES_AT_ONCE: Final = 8_192  # what a peer that was quiet may cause in one go
REPLIES_MAX: Final = 4 * BATCHES_PER_REPLY_MAX  # asked for and waiting for verification; a dropped one is asked again
REPLY_BYTES: Final = FRAME_BYTES_MAX // 2  # of several batches in one frame: a vote never waits longer behind it
LOOKED_UP_AT_ONCE: Final = 8  # of what one peer asks: two megabytes at most, however much it asks for
BATCH_WEIGHT_MAX: Final = BATCH_BYTES_MAX + TRANSACTION_BYTES_MAX + 65_536


class BatchInvalidError(Exception):
    """A batch whose digest commits to something that can never be valid."""


class Named(NamedTuple):
    """What a batch's transactions say it is, whatever it was called."""

    ids: list[TransactionId]
    digest: BatchDigest

    @classmethod
    def of(cls, batch: Batch) -> "Named":
        """Hashes every transaction once."""
        ids = [calculate_transaction_id(item.transaction) for item in batch.items]
        return cls(ids, calculate_batch_digest(ids))


class BatchStore(Protocol):
    """What is asked of the database."""

    async def read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
        """Canonical bytes of those batches that saved blocks order."""


class Mesh(Protocol):
    """What is asked of the network."""

    def send(self, peer: PublicKey, message: Message) -> bool:
        """Queue a message for one peer."""

    def broadcast(self, message: Message, peers: Sequence[PublicKey]) -> int:
        """Queue a message for several."""

    def get_connected(self) -> tuple[PublicKey, ...]:
        """Peers that can be reached."""

    def is_connected(self, peer: PublicKey) -> bool:
        """Whether a peer can be reached."""


class BatchRoom:
    """Brings verified batches into the pool, and hands copies to peers."""

    def __init__(
        self,
        *,
        mempool: Mempool,
        verifier: Verifier,
        store: BatchStore,
        mesh: Mesh,
        validators: Sequence[PublicKey],
        clock_ms: Callable[[], int],
        on_held: Callable[[], None],
        is_pushed_to: bool,
    ) -> None:
        self._mempool = mempool
        self._verifier = verifier
        self._store = store
        self._mesh = mesh
        self._clock_ms = clock_ms
        self._on_held = on_held
        self._inbox: dict[PublicKey, deque[tuple[Batch, int]]] = {}
        self._inbox_bytes: Counter[PublicKey] = Counter()
        self._replies: deque[tuple[PublicKey, BatchReply]] = deque()
        self._said: set[tuple[PublicKey, BatchDigest]] = set()
        """Whose replies wait and to what: one of each, for each may be a megabyte."""
        self._allowances: dict[PublicKey, Allowance] = {}
        self._pushed = asyncio.Event()
        self._replied = asyncio.Event()
        self._submitted = asyncio.Event()
        self._waiters: dict[BatchDigest, asyncio.Event] = {}
        self._final: Counter[BatchDigest] = Counter()
        """Wanted for execution: copies without sidecars will do."""
        self._asking: dict[PublicKey, list[BatchDigest]] = {}
        """What is asked of whom in this turn of the loop: what goes to one peer is one message."""
        self._turn = 0
        self._fetcher: Fetcher[BatchDigest, HeldBatch | BatchInvalidError] = Fetcher(self._ask, mesh.get_connected)
        self.pushes_dropped = 0
        self.set_validators(validators, is_pushed_to=is_pushed_to)

    def set_validators(self, validators: Sequence[PublicKey], *, is_pushed_to: bool) -> None:
        """To whom batches are pushed from now on, and whether others push to this node."""
        self._validators = tuple(validators)
        self._grace_s = PUSH_GRACE_S if is_pushed_to else 0.0

    # ------------------------------------------------------------------ own batches

    def on_submitted(self) -> None:
        """Transactions were put into the pool: seal them when due."""
        self._submitted.set()

    async def run_sealing(self) -> None:
        """Seal when due, and push again what stays unordered: a push is lost when a link breaks."""
        again_ms = self._clock_ms() + LOOK_AGAIN_MS
        while True:
            now_ms = self._clock_ms()
            due_ms = self._mempool.calculate_seal_due_ms()
            if due_ms is not None and due_ms <= now_ms:
                self._seal(now_ms)
                continue
            if now_ms >= again_ms:
                again_ms = now_ms + LOOK_AGAIN_MS
                for held in self._mempool.choose_again(now_ms):
                    self._mesh.broadcast(PushBatch(batch=held.batch), self._validators)
            self._submitted.clear()
            wait_ms = (again_ms if due_ms is None else min(due_ms, again_ms)) - now_ms
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(wait_ms, 1) / 1000):
                    await self._submitted.wait()

    def _seal(self, now_ms: int) -> None:
        held = self._mempool.try_seal(now_ms)
        assert held is not None, "something was due"
        self._on_new(held)
        self._mesh.broadcast(PushBatch(batch=held.batch), self._validators)

    def push_to(self, peer: PublicKey) -> None:
        """A validator can be reached (again): give it the own batches it may have missed."""
        if peer in self._validators:
            for held in self._mempool.find_unordered_own(self._clock_ms() + 1):
                self._mesh.send(peer, PushBatch(batch=held.batch))

    def _on_new(self, held: HeldBatch) -> None:
        if (waiter := self._waiters.get(held.digest)) is not None:
            waiter.set()
        self._fetcher.offer(held.digest, PublicKey(held.origin), held)
        self._on_held()

    # ------------------------------------------------------------------ pushed batches

    def on_push(self, peer: PublicKey, message: PushBatch) -> None:
        """A peer pushed a batch; it is verified in turn, so that its votes never wait behind it."""
        inbox = self._inbox.setdefault(peer, deque())
        weight = sum([len(item.transaction) for item in message.batch.items])
        if inbox and (len(inbox) >= INBOX_MAX or self._inbox_bytes[peer] + weight > INBOX_BYTES_MAX):
            self.pushes_dropped += 1
            return
        inbox.append((message.batch, weight))
        self._inbox_bytes[peer] += weight
        self._pushed.set()

    async def run_intake(self) -> None:
        """Verify what was asked for at once, and beside it pushed batches, one of each peer in turn."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._take_replies())
            group.create_task(self._take_pushes())

    async def _take_pushes(self) -> None:
        while True:
            self._pushed.clear()
            if (wait_ms := await self._take_round()) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_ms / 1000):
                        await self._pushed.wait()
            elif not any(self._inbox.values()):
                await self._pushed.wait()

    async def _take_round(self) -> int:
        """Take one batch of each peer that may cause work now; how long to wait when no peer that has one may."""
        waits: list[int] = []
        taken = False
        for peer, inbox in list(self._inbox.items()):
            if inbox:
                wait_ms = self._get_allowance(peer).calculate_wait_ms(self._clock_ms())
                if wait_ms:
                    waits.append(wait_ms)
                else:
                    taken = True
                    batch, weight = inbox.popleft()
                    self._inbox_bytes[peer] -= weight
                    await self._take(peer, batch)
        return 0 if taken else min(waits, default=0)

    def _get_allowance(self, peer: PublicKey) -> Allowance:
        held = self._allowances.get(peer)
        if held is None:
            held = self._allowances[peer] = Allowance(SIGNATURES_PER_S, SIGNATURES_AT_ONCE, self._clock_ms())
        return held

    async def _take(self, peer: PublicKey, batch: Batch) -> None:
        named = Named.of(batch)
        digest = named.digest
        if self._mempool.get(digest) is not None:
            return
        if digest not in self._waiters and all(map(self._mempool.was_executed, named.ids)):
            return  # it crossed the block that ordered it
        if self._mempool.check_push(peer, len(batch.items)) is not None and digest not in self._waiters:
            self.pushes_dropped += 1
            return
        held = await self._verify(batch, peer, named=named, charged=peer)
        if isinstance(held, HeldBatch):
            if digest in self._waiters:
                self._mempool.add_wanted(held)
                self._on_new(held)
            elif self._mempool.add_batch(held):
                self._on_new(held)

    async def _verify(
        self,
        batch: Batch,
        origin: bytes,
        *,
        named: Named | None = None,
        charged: PublicKey | None = None,
        may_be_bare: bool = False,
    ) -> HeldBatch | BatchInvalidError | None:
        """The batch ready to hold; None when only this copy is wrong; an error when its digest can never be valid.

        `named` is the batch's own, when it was calculated before; `charged` pays for its signatures; `may_be_bare`
        takes copies whose sidecars are erased.
        """
        raw, named = encode(batch), named or Named.of(batch)
        heavy = len(raw) > BATCH_WEIGHT_MAX  # before any signature: a large frame would cost half a second
        opening = None if heavy else self._verifier.open(batch.items, named.ids, may_be_bare=may_be_bare)
        if charged is not None:
            spent = len(batch.items) if opening is None else opening.signatures
            self._get_allowance(charged).spend(spent, self._clock_ms())
        if opening is None:
            return None  # ids do not cover sidecars: another copy may be leaner
        transactions: list[Transaction] = []
        for verdict in await self._verifier.finish(opening):
            if verdict is Rejection.SIDECAR_MISMATCH:
                return None
            if isinstance(verdict, Rejection):
                return BatchInvalidError(verdict.code)
            transactions.append(verdict)
        held = HeldBatch(batch, tuple(transactions), origin, self._clock_ms(), raw, digest=named.digest)
        pairs = zip(transactions, batch.items, strict=True) if may_be_bare else ()
        held.bare = any(is_bare(transaction, item.sidecars) for transaction, item in pairs)
        return held

    # ------------------------------------------------------------------ batches that blocks order

    async def obtain(self, ref: BatchRef, first: Sequence[PublicKey] = ()) -> HeldBatch:
        """The batch a block orders, held from now on. Raises BatchInvalidError, or NobodyHasItError to ask again.

        A validator first waits a moment for a push that is on its way. Nobody is given a batch whose sidecars are
        erased here: that is for who executes what is final.
        """
        digest = ref.digest
        if self._grace_s and self._mempool.get(digest) is None:
            await self._has_come(digest)
        held = self._mempool.get(digest) or (await self._read_saved((digest,), may_be_bare=False)).get(digest)
        held = held or await self._fetch(digest, first)
        if held.bare:
            raise NobodyHasItError
        return held

    async def obtain_final(self, refs: Sequence[BatchRef]) -> list[HeldBatch]:
        """The batches that a final block orders, in order; raises as `obtain` does. Their sidecars may be erased.

        One look into the store and one message to a peer, another one for each block, instead of so many: a node that
        follows obtains every batch of the network this way.
        """
        digests = [ref.digest for ref in refs]
        found = {one: held for one in digests if (held := self._mempool.get(one)) is not None}
        self._final.update(digests)
        try:
            found |= await self._read_saved([one for one in digests if one not in found], may_be_bare=True)
            peers, self._turn = self._mesh.get_connected(), self._turn + 1
            first = (peers[self._turn % len(peers)],) if peers else ()
            missing = [one for one in digests if one not in found]
            found |= zip(missing, await asyncio.gather(*(self._fetch(one, first) for one in missing)), strict=True)
        finally:
            self._final.subtract(digests)
            self._final = +self._final
        return [found[one] for one in digests]

    async def _fetch(self, digest: BatchDigest, first: Sequence[PublicKey]) -> HeldBatch:
        found = await self._fetcher.fetch(digest, first)
        if isinstance(found, BatchInvalidError):
            raise found
        return found

    async def _read_saved(self, digests: Sequence[BatchDigest], *, may_be_bare: bool) -> dict[BatchDigest, HeldBatch]:
        """Those of saved blocks: they were executed before, and are not held anew."""
        saved: dict[BatchDigest, HeldBatch] = {}
        for digest, batch in (await self._read_batches(digests)).items():
            held = await self._verify(batch, OWN, may_be_bare=may_be_bare)
            if isinstance(held, HeldBatch):
                saved[digest] = held
        return saved

    async def _read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, Batch]:
        """Batches of saved blocks, without those that the disk has damaged, since peers hold them too."""
        try:
            return {one: decode(raw, Batch) for one, raw in (await self._store.read_batches(digests)).items()}
        except CodecError:
            pass
        except StoreError as error:
            if error.code != "database_damaged":
                raise
        whole: dict[BatchDigest, Batch] = {}
        for one in digests if len(digests) > 1 else ():
            whole |= await self._read_batches((one,))
        return whole

    async def _has_come(self, digest: BatchDigest) -> bool:
        waiter = self._waiters.setdefault(digest, asyncio.Event())
        try:
            async with asyncio.timeout(self._grace_s):
                await waiter.wait()
        except TimeoutError:
            return False
        finally:
            if self._waiters.get(digest) is waiter:
                del self._waiters[digest]
        return True

    async def restore(self, digest: BatchDigest, raw: bytes) -> None:
        """Hold a batch found in the payload log after a restart, verified as any other."""
        held = await self._verify(decode(raw, Batch), OWN)
        if isinstance(held, HeldBatch) and held.digest == digest:
            self._mempool.add_wanted(held)

    def _ask(self, peer: PublicKey, digest: BatchDigest) -> bool:
        if not self._mesh.is_connected(peer):
            return False
        if not self._asking:
            asyncio.get_running_loop().call_soon(self._send_asked)
        self._asking.setdefault(peer, []).append(digest)
        return True

    def _send_asked(self) -> None:
        asking, self._asking = self._asking, {}
        for peer, digests in asking.items():
            for start in range(0, len(digests), BATCHES_PER_REPLY_MAX):
                some = tuple(digests[start : start + BATCHES_PER_REPLY_MAX])
                if not self._mesh.send(peer, GetBatches(digests=some) if len(some) > 1 else GetBatch(digest=some[0])):
                    for digest in some:
                        self._fetcher.offer(digest, peer, None)

    def on_reply(self, peer: PublicKey, message: BatchReply) -> None:
        """A peer's answer; unasked ones are not looked at."""
        said = (peer, message.digest)
        if self._fetcher.is_wanted(message.digest) and len(self._replies) < REPLIES_MAX and said not in self._said:
            self._said.add(said)
            self._fetcher.heed(message.digest, peer)
            self._replies.append((peer, message))
            self._replied.set()

    def on_replies(self, peer: PublicKey, message: Batches) -> None:
        """Several answers of a peer."""
        for reply in message.replies:
            self.on_reply(peer, reply)

    async def _take_replies(self) -> None:
        while True:
            await self._replied.wait()
            self._replied.clear()
            while self._replies:
                peer, message = self._replies.popleft()
                self._said.discard((peer, message.digest))
                await self._take_reply(peer, message)

    async def _take_reply(self, peer: PublicKey, message: BatchReply) -> None:
        digest, batch = message.digest, message.batch
        named = None if batch is None else Named.of(batch)
        if batch is None or named is None or named.digest != digest:
            self._fetcher.offer(digest, peer, None)
            return
        held = await self._verify(batch, peer, named=named, may_be_bare=digest in self._final)
        if isinstance(held, HeldBatch):
            self._mempool.add_wanted(held)  # whoever wanted it may have gone; the block that names it has not
            self._on_held()
        self._fetcher.offer(digest, peer, held)

    async def on_get(self, peer: PublicKey, message: GetBatch) -> None:
        """Hand a copy to a peer, or say that there is none."""
        found = await self._find_copies((message.digest,))
        self._mesh.send(peer, BatchReply(digest=message.digest, batch=found.get(message.digest)))

    async def on_get_several(self, peer: PublicKey, message: GetBatches) -> None:
        """Hand copies to a peer: the first there is, and more while the frame has room."""
        found: dict[BatchDigest, Batch] = {}
        replies: list[BatchReply] = []
        room = REPLY_BYTES
        for number, digest in enumerate(message.digests):
            if not number % LOOKED_UP_AT_ONCE:
                found = await self._find_copies(message.digests[number : number + LOOKED_UP_AT_ONCE]) if room else {}
            batch = found.get(digest)
            weight = 0 if batch is None else len(encode(batch))
            fits = weight <= room or room == REPLY_BYTES
            room = max(0, room - weight) if fits else 0  # what comes behind the first without room is not read
            replies.append(BatchReply(digest=digest, batch=batch if fits else None))
        self._mesh.send(peer, Batches(replies=tuple(replies)))

    async def _find_copies(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, Batch]:
        held = {one: there.batch for one in digests if (there := self._mempool.get(one)) is not None}
        return held | await self._read_batches([one for one in digests if one not in held])

    async def close(self) -> None:
        """End all searches."""
        await self._fetcher.close()
