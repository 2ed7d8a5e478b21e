"""What must hold of the whole ledger after every executed block, in arithmetic of its own.

It sees what nodes say, what they save and what clients were told, and trusts no figure that a node calculated: who
was paid what is added up from the saved rows, and who may be passed over from the transactions themselves.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from protocol.batch import Batch, calculate_transaction_id
from protocol.block import Block
from protocol.certificate import VoteKind
from protocol.codec import decode, encode
from protocol.ids import BatchDigest, BlockDigest, Digest, Epoch, Height, PublicKey, Signature, TransactionId, View
from protocol.ledger.execute import Ledger
from protocol.ledger.invariants import find_violations
from protocol.ledger.records import Receipt
from protocol.transactions.accounts import AccountOpen, KeyRecover, KeyRotate
from protocol.transactions.envelope import SignedTransaction, Transaction, decode_transaction
from tests.sim.invariants import BrokenLawError
from tests.sim.keys import Scheme
from tests.sim.ledger.disk import SavedBlock

if TYPE_CHECKING:
    from tests.sim.ledger.node import LedgerNode

BALANCES = 4
"""Number of the table of balances: its rows of one currency sum to zero."""
WINDOW = 256
LAWS_EVERY = 61
"""Heights between two looks at all laws of the books."""


class Place(NamedTuple):
    """Where a transaction was executed."""

    height: Height
    index: int


class LedgerJudge:
    """Watches all honest nodes of one run."""

    def __init__(self, genesis: Any, genesis_root: Digest, scheme: Scheme) -> None:
        self.genesis = genesis
        self.scheme = scheme
        self.ordered: dict[BatchDigest, Height] = {}
        """The first final block that orders a batch."""
        self.said: dict[tuple[PublicKey, Epoch, View, VoteKind], BlockDigest] = {}
        self.finals: dict[Height, BlockDigest] = {}
        self.roots: dict[Height, Digest] = {Height(0): genesis_root}
        self.receipts: dict[Height, tuple[bytes, ...]] = {}
        self.executed: dict[TransactionId, Place] = {}
        self.last = Place(Height(0), 0)
        self.passed: dict[TransactionId, str] = {}
        """Transactions that a final block orders and that left no trace, each with the reason."""
        self.used: dict[tuple[PublicKey, int], TransactionId] = {}
        self.top: dict[PublicKey, int] = {}
        self.known: dict[PublicKey, bool] = {
            PublicKey(key): True
            for one in genesis.members
            for key in (one.officer_key, one.attester_key)
            if key is not None
        }
        """Keys that have a row."""
        self.coming: dict[PublicKey, bool] = {}
        """Keys that get one by time, unless somebody objects."""
        self.balances: dict[bytes, int] = {}
        self.rejected: Counter[str] = Counter()
        self.looked_at = 0

    # ------------------------------------------------------------------ what nodes say

    def on_word(self, node: "LedgerNode", epoch: Epoch, view: View, kind: VoteKind, digest: BlockDigest) -> None:
        """S1, S2 and S5 of an honest node, from what it says and what its disk holds."""
        if not node.honest:
            return
        key = node.voter.public_key
        if self.said.setdefault((key, epoch, view, kind), digest) != digest:
            raise BrokenLawError(f"S1: {node.name} said {kind.name} twice in view {view}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(kind)
        if other is not None and (key, epoch, view, other) in self.said:
            raise BrokenLawError(f"S2: {node.name} said both NULLIFY and FINALIZE in view {view}")
        if node.disk.said.get((epoch, view, kind)) != digest:
            raise BrokenLawError(f"S5: {node.name} said {kind.name} of view {view} before it was durable")

    def on_proposal(self, node: "LedgerNode", block: Block) -> None:
        """An honest leader proposes nothing that a final block orders which waits for its execution here.

        (What was executed may come again: a batch of transactions that were passed over leaves no trace.)
        """
        for ref in block.batches:
            height = self.ordered.get(BatchDigest(ref.digest))
            if node.honest and height is not None and node.height < height <= node.core.tip.height:
                raise BrokenLawError(f"{node.name} orders at height {block.header.height} what height {height} orders")

    # ------------------------------------------------------------------ what nodes save

    def on_saved(self, node: "LedgerNode", saved: SavedBlock, outcome: Any) -> None:
        """An honest node executed and saved a block."""
        header = saved.block.header
        height, name = header.height, node.name
        if saved.digest != header.calculate_digest():
            raise BrokenLawError(f"{name} saves height {height} under another digest")
        is_new = height not in self.finals
        if self.finals.setdefault(height, saved.digest) != saved.digest:
            raise BrokenLawError(f"agreement: {name} saves another block at height {height}")
        if height > 1 and self.finals.get(Height(height - 1)) != header.parent_digest:
            raise BrokenLawError(f"prefix: {name} saves height {height} on another parent")
        execution = outcome.execution
        if execution.previous_exec_root != self.roots[Height(height - 1)]:
            raise BrokenLawError(f"{name} continues height {height} from another state")
        if self.roots.setdefault(height, saved.exec_root) != saved.exec_root:
            raise BrokenLawError(f"{name} has another exec_root at height {height}")
        receipts = tuple(encode(one) for one in saved.receipts)
        if self.receipts.setdefault(height, receipts) != receipts:
            raise BrokenLawError(f"{name} has other receipts at height {height}")
        if self.roots.get(header.exec_height, header.exec_root) != header.exec_root:
            raise BrokenLawError(f"{name} saves height {height}, whose header names a false state")
        listed = [(one.id, receipt) for one, receipt, _ in outcome.transactions]
        if listed != [(one.transaction_id, one) for one in saved.receipts]:
            raise BrokenLawError(f"{name} lists other transactions than it has receipts for at height {height}")
        if is_new:
            self._follow(name, saved, outcome)
        if height % LAWS_EVERY == node.place % LAWS_EVERY or (not saved.receipts and height % LAWS_EVERY == 0):
            self.check_books(node)

    def _follow(self, name: str, saved: SavedBlock, outcome: Any) -> None:
        """The first node that comes to a height: what was executed is what the block orders, each once, in order."""
        height, receipts = saved.block.header.height, list(saved.receipts)
        given = [digest for digest, _ in outcome.batches]
        if given != [ref.digest for ref in saved.block.batches]:
            raise BrokenLawError(f"{name} executes other batches than height {height} orders")
        for digest, raw in outcome.batches:
            self.ordered.setdefault(digest, height)
            for item in decode(raw, Batch).items:
                transaction = decode_transaction(item.transaction)
                if not isinstance(transaction, Transaction):
                    raise BrokenLawError(f"{name} executes a batch at height {height} with what is no transaction")
                if receipts and receipts[0].transaction_id == calculate_transaction_id(item.transaction):
                    self._note(name, transaction, receipts.pop(0), height)
                else:
                    self._check_passed(name, transaction, height)
        if receipts:
            raise BrokenLawError(f"{name} has receipts at height {height} that nothing there is for, or in disorder")
        self._add_up(name, height, outcome.execution.changes)

    def _note(self, name: str, transaction: Transaction, receipt: Receipt, height: Height) -> None:
        body, place = transaction.body, Place(height, receipt.index)
        if transaction.id in self.executed:
            raise BrokenLawError(f"{name} executes a transaction twice: {self.executed[transaction.id]} and {place}")
        if (PublicKey(body.sender), body.nonce) in self.used:
            raise BrokenLawError(f"{name} executes two transactions of one nonce at height {height}")
        reason = self._find_reason(transaction)
        may_come = isinstance(body.payload, AccountOpen) or PublicKey(body.sender) in self.coming
        if reason is not None and not (reason == "unknown" and may_come):
            raise BrokenLawError(f"{name} executes at height {height} what it should pass over: {reason}")
        expected = self.last.index + 1 if self.last.height == height else 0
        self.last = place
        if (receipt.height, receipt.index) != (height, expected):
            raise BrokenLawError(f"{name} numbers a receipt {receipt.height}/{receipt.index} at height {height}")
        self._check_signed(name, transaction, height)
        sender = PublicKey(body.sender)
        self.executed[transaction.id] = place
        self.passed.pop(transaction.id, None)
        self.used[sender, body.nonce] = transaction.id
        self.top[sender] = max(self.top.get(sender, -1), body.nonce)
        self.known[sender] = True
        self.rejected["ok" if receipt.rejection is None else receipt.rejection.code] += 1
        if receipt.rejection is None and isinstance(body.payload, KeyRotate):
            self.known[PublicKey(body.payload.new_key)] = True
        if receipt.rejection is None and isinstance(body.payload, KeyRecover):
            self.coming[PublicKey(body.payload.new_key)] = True

    def _check_signed(self, name: str, transaction: Transaction, height: Height) -> None:
        """Whoever it speaks for has signed it, and so has everybody it names."""
        signed, body = decode(transaction.raw, SignedTransaction), transaction.body
        said = b"LST1" + signed.body
        words = [(body.sender, signed.signature), *((one.key, one.signature) for one in signed.cosignatures)]
        if tuple(key for key, _ in words[1:]) != body.cosigners or not all(
            self.scheme.verify(PublicKey(key), said, Signature(signature)) for key, signature in words
        ):
            raise BrokenLawError(f"{name} executes at height {height} what nobody signed")

    def _check_passed(self, name: str, transaction: Transaction, height: Height) -> None:
        """It was ordered and left no trace: that needs a reason."""
        if transaction.id in self.executed:
            return
        reason = self._find_reason(transaction)
        if reason is None:
            raise BrokenLawError(f"{name} passes over a transaction at height {height} without a reason")
        self.passed[transaction.id] = reason

    def _find_reason(self, transaction: Transaction) -> str | None:
        """Why a transaction could not be executed now, from nothing but those that were."""
        sender, nonce = PublicKey(transaction.body.sender), transaction.body.nonce
        if (sender, nonce) in self.used:
            return "nonce used"
        if sender not in self.known:
            return "unknown"
        top = self.top.get(sender, -1)
        if nonce > top + WINDOW or nonce <= top - WINDOW:
            return "nonce out of reach"
        return None

    def is_dead(self, transaction: Transaction) -> bool:
        """Whether another transaction was executed with its nonce."""
        used = self.used.get((PublicKey(transaction.body.sender), transaction.body.nonce))
        return used is not None and used != transaction.id

    def _add_up(self, name: str, height: Height, changes: Any) -> None:
        """Money is moved, never made: what balances change by is nothing, currency by currency."""
        moved: Counter[bytes] = Counter()
        for table, key, value in changes:
            if table == BALANCES:
                amount = 0 if value is None else decode(value, int)
                moved[key[-3:]] += amount - self.balances.get(key, 0)
                self.balances[key] = amount
        if any(moved.values()):
            raise BrokenLawError(f"{name} makes money at height {height}: {dict(moved)}")

    # ------------------------------------------------------------------ now and then

    def check_books(self, node: "LedgerNode") -> None:
        """The saved rows are books of this very root, and all laws of the ledger hold in them."""
        disk = node.disk
        if not disk.saved:
            return
        rows = [(table, key, value) for (table, key), value in disk.rows.items()]
        ledger = Ledger.from_rows(self.genesis, rows, height=disk.height, exec_root=disk.saved[-1].exec_root)
        broken = find_violations(ledger)
        if broken:
            raise BrokenLawError(f"{node.name}: laws broken at height {disk.height}: {broken}")
        self.looked_at += 1

    def check_memory(self, node: "LedgerNode") -> None:
        """Pools are bounded whatever peers push, and their counts are those of what they hold."""
        pool = node.core.mempool
        from node import mempool as bounds

        held = pool._held
        waiting = sum(len(ids) for ids in (pool._pending_ids, pool._where))
        if waiting != pool.transactions or len(pool._pending) != len(pool._pending_ids):
            raise BrokenLawError(f"{node.name} counts its pool wrongly")
        # What a block names is held whatever the bounds, since blocks are bounded themselves; no push is.
        pushed = Counter(one.origin for one in held.values() if not one.ordered and not one.height)
        if sum(pushed.values()) > bounds.BATCHES_HELD_MAX + WANTED_MAX:
            raise BrokenLawError(f"{node.name} holds {sum(pushed.values())} batches that no block names")
        peers = [count for origin, count in pushed.items() if origin != bounds.OWN]
        if max(peers, default=0) > bounds.ORIGIN_BATCHES_MAX + WANTED_MAX:
            raise BrokenLawError(f"{node.name} holds {max(peers)} batches of one peer that no block names")
        if len(pool._executed) > bounds.EXECUTED_REMEMBERED_MAX:
            raise BrokenLawError(f"{node.name} remembers {len(pool._executed)} executed transactions")
        choosable = sum(one.live > 0 and not one.ordered for one in held.values())
        if choosable != pool._choosable:
            raise BrokenLawError(f"{node.name} believes {pool._choosable} batches wait, {choosable} do")
        by_origin = Counter(one.origin for one in held.values())
        if +pool._by_origin != +by_origin:
            raise BrokenLawError(f"{node.name} counts batches of origins wrongly")
        live = {(one.id, batch.digest) for batch in held.values() for one in batch.transactions}
        if any((one, digest) not in live for one, digests in pool._where.items() for digest in digests):
            raise BrokenLawError(f"{node.name} remembers transactions of batches it does not hold")


WANTED_MAX = 8
"""Batches that a block wants whose check is not done yet: it names them for the pool when it is."""
