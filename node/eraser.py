"""The eraser: on an order that fell due, takes out of this node's disk all that it holds of the data, and says so.

    erasure_due -> wait until a final header names that state -> statement, grants, bins, logs, copies -> receipt

Bins whose days are over, and statements that nothing rests on any more, go without an order. What is erased is looked
for again at each start, so that a restored copy does not bring it back. Never decide here whether an order is due: the
ledger does.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from node.api.ports import Busy, Submission
from node.client.wallet import Wallet
from node.shredding import erase_copies
from node.store.chain import ChainStore, StoredTransaction, StoreError
from node.store.payloadlog import PayloadLog
from node.telemetry import get_logger
from node.vault.store import Vault, VaultError
from protocol.batch import BatchItem
from protocol.codec import CodecError, decode
from protocol.ids import AccountId, Digest, Height, ObjectId, PublicKey, TimeMs, TransactionId
from protocol.ledger.erasure import rests_on
from protocol.ledger.execute import Execution, Ledger
from protocol.ledger.keys import find_signer
from protocol.ledger.records import Receipt
from protocol.ledger.state import APPLICATIONS, DATA, ERASURES, KEYS
from protocol.limits import ERASED_DOCUMENTS_MAX, ERASED_SIDECARS_MAX
from protocol.rejections import Rejection
from protocol.transactions.data import ErasureReceipt
from protocol.vault import VaultEnvelope

LOOK_S: Final = 1.0
"""How often what waits is looked at: for a header that names the state, or a reader that holds a journal."""
RETENTION_S: Final = 60.0
FINAL_S: Final = 10.0
FOREVER: Final = (Rejection.ERASED_ALREADY, Rejection.ERASURE_NOT_YOURS, Rejection.ERASURE_UNKNOWN)
SLICE: Final = 512
"""Rows of the books looked at between two turns of the loop."""


class Port(Protocol):
    """What is asked of the node."""

    @property
    def ledger(self) -> Ledger:
        """The books after the last executed block."""

    async def submit(self, items: list[BatchItem]) -> list[Submission]:
        """Check at the door and pool. Raises Busy."""

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> StoredTransaction | None:
        """The transaction once it is executed and saved."""


class Places(NamedTuple):
    """Where a node holds data."""

    store: ChainStore
    vault: Vault
    payloads: PayloadLog
    directory: Path
    forget_alerts: Callable[[bytes], Coroutine[Any, Any, int]] | None = None
    """Evidence of alerts, where this node watches loans."""


class Commitment(NamedTuple):
    """A sealed document that the ledger names: a statement, or the features of an application."""

    document: Digest
    data: tuple[ObjectId, ...]
    """What it says something of; when one of these is erased, it goes as well."""
    owner: AccountId
    since_ms: TimeMs


class ErasureDesk:
    """Orders that fell due, until the eraser takes them up."""

    def __init__(self) -> None:
        self.due: dict[ObjectId, Height] = {}
        """Data whose erasure fell due in the block of that height."""
        self.news = asyncio.Event()

    def on_executed(self, execution: Execution) -> None:
        """A block is saved."""
        for event in execution.events:
            if event.kind == "erasure_due":
                self.add(ObjectId(bytes.fromhex(event.data["data"])), execution.height)

    def add(self, data: ObjectId, height: Height) -> None:
        """An order that is due since `height`, or before."""
        self.due[data] = height
        self.news.set()


class Eraser:
    """One node's eraser. `wallet` is the attester's; without one the member's officer signs the receipts."""

    def __init__(
        self,
        *,
        desk: ErasureDesk,
        port: Port,
        places: Places,
        wallet: Wallet | None,
        find_height: Callable[[], Height],
    ) -> None:
        self._desk = desk
        self._port = port
        self._places = places
        self._wallet = wallet
        self._find_height = find_height
        self._owed: dict[ObjectId, None] = {}
        """Erased here; the receipt is still to be given."""
        self._log = get_logger("eraser")

    async def run(self) -> None:
        """Erase until cancelled."""
        await self.recall()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_orders())
            group.create_task(self._run_retention())

    async def recall(self) -> None:
        """Take up all that is due in the books, done or not: what was erased may have been put back."""
        due = [(ObjectId(key), row.due_ms) for key, row in self._port.ledger.books.state.items(ERASURES)]
        height, named = self._find_height(), await self._find_named()
        block = await self._places.store.read_block(named)
        proved_ms = 0 if block is None else block.header.time_ms
        for data, due_ms in due:
            if due_ms is not None:
                self._desk.add(data, named if due_ms <= proved_ms else height)

    async def _run_orders(self) -> None:
        while True:
            self._desk.news.clear()
            await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S if self._desk.due or self._owed else None):
                    await self._desk.news.wait()

    async def look(self) -> None:
        """Erase what is due and proved by now, and give the receipts that are owed."""
        named = await self._find_named()
        ready = [data for data, height in self._desk.due.items() if height <= named]
        try:
            await self._erase_all(ready)
        except (StoreError, VaultError) as error:
            self._log.warning("erasure_delayed", code=error.code, reason=error.sentence)
        except OSError as error:
            self._log.error("erasure_delayed", code="disk_failed", reason=str(error))
        for data in list(self._owed):
            if await self._give_receipt(data):
                self._owed.pop(data, None)

    async def _find_named(self) -> Height:
        """Up to where a final header proves what was executed: from there on a receipt can take the bins' place."""
        block = await self._places.store.read_block(self._find_height())
        return Height(0) if block is None else Height(block.header.exec_height)

    async def _erase_all(self, ready: list[ObjectId]) -> None:
        """Erase these, in copies beside the databases first; each is owed a receipt then."""
        if not ready:
            return
        orders = await self._find_documents(ready)
        await asyncio.to_thread(erase_copies, self._places.directory, list(orders.items()))
        await self._places.payloads.shred(self._find_height())
        for data, documents in orders.items():
            if await self._is_to_do(data, documents):
                await self._erase(data, documents)
            self._desk.due.pop(data, None)
            self._owed[data] = None

    async def _walk_commitments(self) -> AsyncIterator[Commitment]:
        """Every sealed document that the ledger names, as often as it is named."""
        state = self._port.ledger.books.state
        for count, (key, row) in enumerate(list(state.walk(DATA))):
            if not count % SLICE:
                await asyncio.sleep(0)
            document, owner = Digest(row.anchor.document), AccountId(row.owner)
            yield Commitment(document, (ObjectId(key),), owner, TimeMs(row.anchored_ms))
        for count, (_, one) in enumerate(list(state.walk(APPLICATIONS))):
            if not count % SLICE:
                await asyncio.sleep(0)
            features = one.request.features
            if features is not None:
                data = tuple(ObjectId(each) for each in one.request.data)
                yield Commitment(Digest(features.document), data, AccountId(one.borrower), TimeMs(one.opened_ms))

    async def _find_documents(self, ready: list[ObjectId]) -> dict[ObjectId, tuple[Digest, ...]]:
        """What goes with each of these data; nothing that the owner commits to elsewhere where no erasure is due."""
        state = self._port.ledger.books.state
        found: dict[ObjectId, dict[Digest, None]] = {data: {} for data in ready}
        live: dict[Digest, set[AccountId]] = {}
        async for one in self._walk_commitments():
            for data in one.data:
                if data in found:
                    found[data][one.document] = None
            orders = [state.get(ERASURES, data) for data in one.data]
            if all(order is None or order.due_ms is None for order in orders):
                live.setdefault(one.document, set()).add(one.owner)
        going: dict[ObjectId, tuple[Digest, ...]] = {}
        for data, some in found.items():
            owner = AccountId(state.need(DATA, data).owner)
            going[data] = tuple([each for each in sorted(some) if await self._may_go(each, owner, live.get(each, ()))])
        return going

    async def _may_go(self, document: Digest, owner: AccountId, live: Collection[AccountId]) -> bool:
        """Whether none of those who still commit to a document counts: digests are public, and whoever names another's
        keeps nothing of that one from being erased. Whose it is says the key that sealed it.
        """
        if not live or owner in live:
            return not live
        try:
            raw = await self._places.vault.get(document)
            sealer = None if raw is None else decode(raw, VaultEnvelope).owner
        except (VaultError, CodecError):
            return False
        return sealer is not None and find_signer(self._port.ledger.books, PublicKey(sealer)) == owner

    async def _is_to_do(self, data: ObjectId, documents: tuple[Digest, ...]) -> bool:
        """Whether it was never erased here, or is here again."""
        places = self._places
        if await places.vault.read_erasure(data) is None or await places.store.count_sidecars(data):
            return True
        return bool(await self._list_held(documents))

    async def _list_held(self, documents: tuple[Digest, ...]) -> list[Digest]:
        return [one for one in documents if await self._places.vault.holds(one)]

    async def _erase(self, data: ObjectId, documents: tuple[Digest, ...]) -> None:
        """Erase in the open databases."""
        places = self._places
        if places.forget_alerts is not None:
            await places.forget_alerts(data)
        held = len(await self._list_held(documents))
        sidecars = await places.store.count_sidecars(data)
        await places.vault.note_erasure(data, held, sidecars)  # before: afterwards nothing is left to be counted
        for document in documents:
            await places.vault.erase(document, for_ever=True)
        await places.store.erase_sidecars(data)
        self._log.info("data_erased", data=data, documents=held, sidecars=sidecars)

    # ------------------------------------------------------------------ receipts

    def _find_own(self) -> AccountId | None:
        if self._wallet is None:
            return None
        key = self._port.ledger.books.state.get(KEYS, self._wallet.public_key)
        return None if key is None or key.account is None else AccountId(key.account)

    async def _give_receipt(self, data: ObjectId) -> bool:
        """Whether no receipt is owed any more: it stands, or this member owes none."""
        row, own = self._port.ledger.books.state.get(ERASURES, data), self._find_own()
        if row is None or self._wallet is None:
            self._log.warning(
                "erasure_receipt_unsigned",
                data=data,
                reason="this node has no attester key: its officer may say so with liushui data receipt",
            )
            return True
        if own not in row.holders or any(one.account == own for one in row.receipts):
            return True
        documents, sidecars = await self._places.vault.read_erasure(data) or (0, 0)
        payload = ErasureReceipt(
            data=data,
            documents=min(documents, ERASED_DOCUMENTS_MAX),
            sidecars=min(sidecars, ERASED_SIDECARS_MAX),
        )
        intent = self._wallet.build(payload)
        try:
            (submission,) = await self._port.submit([intent.item])
        except Busy:
            return False
        rejection = submission.rejection
        if rejection is None and submission.status != "busy":
            stored = await self._port.wait_final(intent.id, FINAL_S)
            if stored is None:
                return False
            rejection = decode(stored.receipt, Receipt).rejection
            if rejection is None:
                self._log.info("erasure_receipted", data=data)
                return True
        if rejection in FOREVER:
            return True
        key = self._port.ledger.books.state.get(KEYS, self._wallet.public_key)
        self._wallet.nonce_next = max(self._wallet.nonce_next, 0 if key is None else key.top + 1)
        return False

    # ------------------------------------------------------------------ retention

    async def _run_retention(self) -> None:
        while True:
            try:
                await self.prune()
            except (StoreError, VaultError) as error:
                self._log.warning("retention_delayed", code=error.code, reason=error.sentence)
            await asyncio.sleep(RETENTION_S)

    async def prune(self) -> None:
        """Erase bins whose days are over, and statements that nobody has needed for as long as the policy says."""
        books, places = self._port.ledger.books, self._places
        policy, day_ms = books.policy, books.genesis.day_ms
        days = max(policy.sidecar_days, policy.application_days)
        first = await places.store.read_sidecars_from()
        last = await self._find_last_before(TimeMs(books.now_ms - days * day_ms), first)
        if last >= first:
            await places.payloads.shred(last)
            count = await places.store.erase_sidecars_up_to(first, last)
            if count:
                self._log.info("sidecars_pruned", height_from=first, height_to=last, applications=count)
        held = await places.vault.list_documents()
        for document in await self._find_unused(frozenset(held), TimeMs(books.now_ms - policy.statement_days * day_ms)):
            await places.vault.erase(document)
            self._log.info("statement_pruned", document=document)

    async def _find_last_before(self, time_ms: TimeMs, first: Height) -> Height:
        """The last saved block that is older, and whose state a final header names; below `first` when none is."""
        low, high = first - 1, int(await self._find_named())
        while low < high:
            middle = (low + high + 1) // 2
            block = await self._places.store.read_block(Height(middle))
            if block is None or block.header.time_ms < time_ms:  # before this node's history begins
                low = middle
            else:
                high = middle - 1
        return Height(low)

    async def _find_unused(self, held: frozenset[Digest], before_ms: TimeMs) -> list[Digest]:
        """Documents here whose every anchor is older, with no claim since and nothing open; strangers' are kept."""
        books = self._port.ledger.books
        used: set[Digest] = set()
        named: set[Digest] = set()
        if not held:
            return []
        async for one in self._walk_commitments():
            if one.document in held:
                named.add(one.document)
                claims = [books.state.need(DATA, data).claim_ms or 0 for data in one.data]
                last_ms = max(one.since_ms, *claims)
                if last_ms > before_ms or any(rests_on(books, one.owner, data) for data in one.data):
                    used.add(one.document)
        return sorted(named - used)
