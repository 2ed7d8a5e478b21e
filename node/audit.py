"""The audit of one database: all that is final, checked again from the genesis on, trusting no saved root.

Each block's place in the chain, each batch, every signature and sidecar are verified, every transaction is executed
again (so every application is scored again from its sidecar), and receipts, events, roots, finalizations and the saved
books are compared. What could not be computed again is named with its reason (`node.auditpart`). Reads only, beside a
running node too. Never trust here what can be computed.
"""

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from consensus.rules import check_block
from node.auditpart import LAWFUL, Bare, Gap, audit_part, explain_bare, find_beginning
from node.store.inspect import read_block_events, read_block_receipts, read_picture
from node.store.sidecars import read_whole_batch
from protocol.batch import Batch, BatchItem, Sidecar, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block, Header, calculate_genesis_digest
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode, encode
from protocol.epochs import is_finalised
from protocol.genesis import Genesis
from protocol.ids import BlockDigest, Digest, Height
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Execution, Receipt
from protocol.merkle import NO_MOUNTAINS
from protocol.rejections import Rejection
from protocol.transactions.envelope import Transaction, check_stateless, is_bare
from protocol.transactions.lending import Apply, Attest
from protocol.validators import make_validator_set

READ_BLOCKS: Final = 64
COUNTED: Final = ("transactions", "refused", "signatures", "applications", "erased", "attestations")

SENTENCES: Final[dict[str, str]] = {
    "block_missing": "The database holds no block of this height: it was pruned, or lost.",
    "block_damaged": "The block cannot be decoded.",
    "block_digest": "The block is not the one it is saved as.",
    "block_chain": "The block does not follow from the one before.",
    "block_references": "The block's batches are not those its header vouches for.",
    "history_root": "The header's history is not that of the blocks before.",
    "batch_missing": "A batch that the block orders is not there.",
    "batch_digest": "A batch is not the one the block orders.",
    "sidecar_erased": "An application's sidecars are erased, and no receipt says what they scored.",
    "transaction_invalid": "A transaction's signatures or sidecars do not hold.",
    "receipts_differ": "Executed again, the block leaves other receipts than those saved.",
    "events_differ": "Executed again, the block causes other events than those saved.",
    "exec_root_differs": "Executed again, the block leads to another state than the one saved.",
    "named_root_differs": "The header names another executed state than the one its ancestors lead to.",
    "validators_differ": "The header names other validators to come than the executed state plans.",
    "finalization_invalid": "The saved finalization proves nothing.",
    "books_differ": "The saved books are not those the blocks lead to.",
    "part_damaged": "What is here of the history is not whole.",
    "score_differs": "An application's bins give another score than its receipt says.",
}


class AuditFault(NamedTuple):
    """The first thing that does not hold; what comes after it cannot be judged."""

    height: int
    code: str
    detail: str

    @property
    def sentence(self) -> str:
        """For people."""
        return SENTENCES[self.code] + (f" ({self.detail})" if self.detail else "")


class AuditReport(NamedTuple):
    """What was checked, up to the first fault."""

    height: int
    exec_root: Digest
    epoch: int
    transactions: int
    refused: int
    """Of these: whose receipt is a rejection."""
    signatures: int
    applications: int
    """Accepted, each with all its sidecars scored again but for those that are erased."""
    erased: int
    """Applications, accepted or not, whose sidecars are erased: their scores are those of the saved receipts, which the
    quorum's roots bind, and were not recomputed."""
    attestations: int
    finalizations: int
    unproven: int
    """Newest blocks that no saved finalization names: a descendant's covers them."""
    fault: AuditFault | None
    gaps: tuple[Gap, ...] = ()
    """What was not computed again, and why."""

    @property
    def is_whole(self) -> bool:
        """Whether all was computed again but for what the network's own rules have erased."""
        return self.fault is None and all(one.why in LAWFUL for one in self.gaps)


class FaultError(Exception):
    """Something does not hold, by a code of SENTENCES."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


class Audit:
    """One pass over a database."""

    def __init__(self, genesis: Genesis, path: Path) -> None:
        self._genesis = genesis
        self._path = path
        self._ledger = Ledger.from_genesis(genesis)
        self._chain_id = genesis.calculate_chain_id()
        self._parent: Header | None = None
        self._digest: BlockDigest = calculate_genesis_digest(self._chain_id)
        self._validators = make_validator_set(genesis.calculate_validator_keys(), self._digest)
        self._mountains = NO_MOUNTAINS
        self._roots: dict[Height, Digest] = {Height(0): self._ledger.exec_root}
        self._counts = dict.fromkeys(COUNTED, 0)
        self._finalizations = self._unproven = 0
        self._erased_at = Height(0)
        self._bare: list[Bare] = []

    def run(self, progress: Callable[[int, int], None] | None = None) -> AuditReport:
        """Audit all blocks, then the books. `progress` is told (height, last height). Raises sqlite3.Error.

        A history that does not begin with the genesis is checked in part, and says so in its gaps.
        """
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, isolation_level=None)
        fault = None
        try:
            if find_beginning(connection)[0]:
                return self._run_part()
            while True:
                (last,) = connection.execute("SELECT COALESCE(MAX(height), 0) FROM blocks").fetchone()
                if last > self._ledger.height:
                    self._run_to(connection, last, progress)
                elif self._check_books():
                    self._check_erased()
                    break
        except FaultError as found:
            fault = AuditFault(self._ledger.height + (found.code != "books_differ"), found.code, found.detail)
        finally:
            connection.close()
        return AuditReport(
            height=self._ledger.height,
            exec_root=self._ledger.exec_root,
            epoch=self._ledger.epoch_row.epoch,
            finalizations=self._finalizations,
            unproven=self._unproven,
            fault=fault,
            gaps=tuple(explain_bare(self._ledger.books, one) for one in self._bare),
            **self._counts,
        )

    def _run_part(self) -> AuditReport:
        part = audit_part(self._genesis, self._path)
        return AuditReport(
            height=part.height,
            exec_root=Digest(part.exec_root),
            epoch=part.epoch,
            finalizations=0,
            unproven=0,
            fault=None if part.fault is None else AuditFault(*part.fault),
            gaps=part.gaps,
            **part.counts,
        )

    def _run_to(self, connection: sqlite3.Connection, last: int, progress: Callable[[int, int], None] | None) -> None:
        for digest, block, proof, exec_root in self._read_blocks(connection, last):
            header = block.header
            self._check_place(block, digest)
            execution = self._execute(connection, block)
            self._compare(connection, execution, exec_root)
            self._mountains = self._mountains.append(digest)
            self._parent, self._digest = header, digest
            self._check_finalization(proof)
            if header.is_boundary:
                keys = self._ledger.next_validators
                if make_validator_set(keys, digest).calculate_hash() != header.next_validators_hash:
                    raise FaultError("validators_differ")
                self._validators = make_validator_set(keys, digest)
            if progress is not None:
                progress(header.height, last)

    def _read_blocks(
        self, connection: sqlite3.Connection, last: int
    ) -> Iterator[tuple[BlockDigest, Block, Certificate | None, bytes]]:
        while (at := self._ledger.height) < last:
            rows = connection.execute(
                "SELECT height, digest, block, finalization, exec_root FROM blocks WHERE height > ?"
                " ORDER BY height LIMIT ?",
                (at, READ_BLOCKS),
            ).fetchall()
            for height, digest, raw, proof, exec_root in rows:
                if height != self._ledger.height + 1:
                    raise FaultError("block_missing")
                try:
                    certificate = None if proof is None else decode(proof, Certificate)
                    yield BlockDigest(digest), decode(raw, Block), certificate, exec_root
                except CodecError as error:
                    raise FaultError("block_damaged", str(error)) from error

    # ------------------------------------------------------------------ one block

    def _check_place(self, block: Block, digest: BlockDigest) -> None:
        header = block.header
        if header.calculate_digest() != digest:
            raise FaultError("block_digest")
        follows = header.parent_digest == self._digest and header.height == self._ledger.height + 1
        later = self._parent is None or header.time_ms > self._parent.time_ms
        epoch = 0 if self._parent is None else self._parent.epoch + self._parent.is_boundary
        if not follows or not later or header.chain_id != self._chain_id or header.epoch != epoch:
            raise FaultError("block_chain")
        if check_block(block) is not None:
            raise FaultError("block_references")
        if header.history_root != self._mountains.calculate_root():
            raise FaultError("history_root")
        if self._roots.get(header.exec_height) != header.exec_root:
            raise FaultError("named_root_differs", f"height {header.exec_height}")
        self._roots = {height: root for height, root in self._roots.items() if height >= header.exec_height}

    def _execute(self, connection: sqlite3.Connection, block: Block) -> Execution:
        ledger, counts = self._ledger, self._counts
        batches = [self._read_batch(connection, ref.digest, ref.tx_count) for ref in block.batches]
        transactions = []
        for batch in batches:
            for item in batch.items:
                checked = self._check_item(item)
                counts["signatures"] += 1 + len(checked.cosigners)
                transactions.append((checked, item.sidecars))
        ledger.open_block(block.header)
        while ledger.run_due(1_000):
            pass
        for transaction, sidecars in transactions:
            receipt = self._execute_one(connection, transaction, sidecars)
            if receipt is None:
                continue
            counts["transactions"] += 1
            counts["erased"] += is_bare(transaction, sidecars)
            if receipt.rejection is not None:
                counts["refused"] += 1
            elif isinstance(transaction.body.payload, Apply):
                counts["applications"] += 1
            elif isinstance(transaction.body.payload, Attest):
                counts["attestations"] += 1
        return ledger.end_block()

    def _check_item(self, item: BatchItem) -> Transaction:
        """The transaction, whose signatures hold, and whose sidecars do unless they are erased."""
        checked = check_stateless(item, self._chain_id, may_be_bare=True)
        if isinstance(checked, Rejection):
            raise FaultError("transaction_invalid", checked.code)
        return checked

    def _execute_one(
        self, connection: sqlite3.Connection, transaction: Transaction, sidecars: tuple[Sidecar, ...]
    ) -> Receipt | None:
        """Where bins are erased, what they scored is taken from the saved receipt: a later header's root proves it."""
        if not is_bare(transaction, sidecars) or self._ledger.would_skip(transaction):
            return self._ledger.execute(transaction, sidecars)
        try:
            saved = [decode(one, Receipt) for one in read_block_receipts(connection, self._ledger.books.height)]
        except CodecError as error:
            raise FaultError("block_damaged", str(error)) from error
        recorded = next((one for one in saved if one.transaction_id == transaction.id), None)
        if recorded is None:
            raise FaultError("sidecar_erased", transaction.id.hex()[:16])
        self._erased_at = self._ledger.books.height
        payload = transaction.body.payload
        assert isinstance(payload, Apply), "bare"
        time_ms = self._ledger.books.now_ms
        self._bare.append(Bare(self._erased_at, time_ms, transaction.id, tuple(payload.data)))
        return self._ledger.execute(transaction, sidecars, recorded)

    def _check_erased(self) -> None:
        """Nothing is erased before a header names the state that holds its result: else nobody vouches for it."""
        named = Height(0) if self._parent is None else self._parent.exec_height
        if self._erased_at > named:
            raise FaultError("sidecar_erased", f"height {self._erased_at}, up to {named} named")

    def _read_batch(self, connection: sqlite3.Connection, digest: bytes, count: int) -> Batch:
        try:
            raw = read_whole_batch(connection, digest)
            if raw is None:
                raise FaultError("batch_missing", digest.hex()[:16])
            batch = decode(raw, Batch)
        except CodecError as error:
            raise FaultError("batch_digest", str(error)) from error
        ids = [calculate_transaction_id(item.transaction) for item in batch.items]
        if len(ids) != count or calculate_batch_digest(ids) != digest:
            raise FaultError("batch_digest", digest.hex()[:16])
        return batch

    def _compare(self, connection: sqlite3.Connection, execution: Execution, exec_root: bytes) -> None:
        try:
            receipts = read_block_receipts(connection, execution.height)
            events = read_block_events(connection, execution.height)
        except CodecError as error:
            raise FaultError("block_damaged", str(error)) from error
        self._roots[execution.height] = execution.exec_root
        if receipts != [encode(one) for one in execution.receipts]:
            raise FaultError("receipts_differ")
        if execution.exec_root != exec_root:
            raise FaultError("exec_root_differs")
        if events != [(one.index, one.kind, msgspec.json.encode(one.data)) for one in execution.events]:
            raise FaultError("events_differ")

    def _check_finalization(self, proof: Certificate | None) -> None:
        self._unproven += 1
        if proof is None:
            return
        header = self._parent
        assert header is not None, "a block was just audited"
        if not is_finalised(header, proof, self._validators):
            raise FaultError("finalization_invalid")
        self._finalizations += 1
        self._unproven = 0

    # ------------------------------------------------------------------ the books

    def _check_books(self) -> bool:
        """Whether the saved books are of the audited height; a running node may have saved more meanwhile."""
        picture = read_picture(self._path)
        if picture is None:
            return True
        if picture.height != self._ledger.height:
            return False
        own = {(family, key): value for family, key, value in self._ledger.rows()}
        saved = {(family, key): value for family, key, value in picture.rows}
        if own != saved:
            differing = sum(own.get(place) != saved.get(place) for place in {**own, **saved})
            raise FaultError("books_differ", f"{differing} rows")
        return True
