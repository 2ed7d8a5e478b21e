"""The ledger: blocks in, books and exec_root out. Dispatch only; each family's rules stand in a module of its own.

    begin_block   what fell due happens first, at most DAY_EVENTS_PER_BLOCK_MAX of it; the rest waits for the next block
    execute       one transaction: a used nonce is skipped, a failure changes nothing but its nonce
    end_block     (close_block in pieces) changed rows into the tree, receipts into theirs, both into the chain of roots

Deterministic and without IO: block time is the only clock. Never add a rule here; add it to its family's module.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from protocol.batch import Sidecar
from protocol.block import Header
from protocol.codec import CodecError, encode
from protocol.genesis import RULES_VERSION, Genesis
from protocol.ids import ZERO_DIGEST, AccountId, ChainId, Digest, Height, PublicKey, TimeMs
from protocol.ledger import (
    accept,
    accounts,
    adjust,
    amend,
    applications,
    assets,
    assign,
    cover,
    data,
    disputes,
    distress,
    erasure,
    evidence,
    exits,
    funding,
    governance,
    keys,
    leases,
    lines,
    money,
    officers,
    payments,
    pools,
    products,
    sales,
    seats,
    upgrades,
)
from protocol.ledger.books import Books, Call
from protocol.ledger.proofs import ProvedRows, prove_rows
from protocol.ledger.records import (
    Execution,
    Fact,
    LedgerEvent,
    Receipt,
    calculate_exec_root,
    calculate_receipts_root,
)
from protocol.ledger.rows import Key, Tip
from protocol.ledger.rules import Due, Rule, Rules
from protocol.ledger.rulesrow import RulesRow
from protocol.ledger.seatrows import EpochRow, list_keys
from protocol.ledger.state import ACCOUNTS, KEYS, MEMBERS, TABLES, TIP, TIP_KEY, Place
from protocol.ledger.tree import StateProof, StateTree
from protocol.limits import DAY_EVENTS_PER_BLOCK_MAX
from protocol.merkle import EMPTY_ROOT
from protocol.rejections import Rejection
from protocol.transactions.accounts import AccountKind, AccountOpen
from protocol.transactions.envelope import Transaction, check_valid_to, is_bare

__all__ = ["Execution", "Ledger", "LedgerError", "LedgerEvent", "MemberNode", "Receipt"]


class LedgerError(Exception):
    """Rows that are not the books they claim to be; the message says which figure differs."""


_FAMILIES: Rules = {
    **accounts.RULES,
    **keys.RULES,
    **governance.RULES,
    **evidence.RULES,
    **money.RULES,
    **pools.RULES,
    **exits.RULES,
    **cover.RULES,
    **products.RULES,
    **data.RULES,
    **erasure.RULES,
    **applications.RULES,
    **officers.RULES,
    **accept.RULES,
    **lines.RULES,
    **funding.RULES,
    **payments.RULES,
    **sales.RULES,
    **adjust.RULES,
    **distress.RULES,
    **amend.RULES,
    **assign.RULES,
    **disputes.RULES,
    **assets.RULES,
    **leases.RULES,
}
"""Every payload but AccountOpen, whose signer has no account yet."""
RULES: Rules = {kind: rule._replace(roles=int(rule.roles), pause=int(rule.pause)) for kind, rule in _FAMILIES.items()}
"""The same with plain numbers: asking a flag for a bit is a slow call, and it is asked of every transaction."""

DUE: Due = {
    **keys.DUE,
    **governance.DUE,
    **exits.DUE,
    **applications.DUE,
    **erasure.DUE,
    **lines.DUE,
    **funding.DUE,
    **payments.DUE,
}
"""What happens by time alone."""


class MemberNode(NamedTuple):
    """A member's node as the books know it."""

    account: AccountId
    name: str
    node_key: PublicKey
    validator_key: PublicKey | None
    """Of its seat in the present epoch; None for a node that does not validate."""


class Ledger:
    """The books after some height, and their commitment. One writer: blocks strictly in order."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.genesis: Genesis = books.genesis
        self.chain_id: ChainId = books.chain_id
        self.height = Height(0)
        self.exec_root: Digest = ZERO_DIGEST
        self._tree = StateTree()
        self._receipts: list[Receipt] = []
        self._open = False
        self._due_left = 0
        self.rules_known = RULES_VERSION
        """The newest rules that this software executes."""

    @classmethod
    def from_genesis(cls, genesis: Genesis) -> "Ledger":
        """The books at height 0: the members' accounts and keys, and nothing else."""
        ledger = cls(Books(genesis))
        ledger.books.apply_genesis()
        accounts.apply_genesis_members(ledger.books)
        seats.apply_genesis_seats(ledger.books)
        upgrades.apply_genesis_rules(ledger.books)
        _run_to_end(ledger._close_books(genesis.time_ms, EMPTY_ROOT))
        return ledger

    @classmethod
    def from_rows(
        cls, genesis: Genesis, rows: Iterable[tuple[int, bytes, bytes]], *, height: Height, exec_root: Digest
    ) -> "Ledger":
        """The books of saved rows. Raises LedgerError when they are not exactly those of this height and root."""
        ledger = cls(Books(genesis))
        state = ledger.books.state
        kept = list(rows)
        try:
            state.load(kept)
        except (CodecError, KeyError) as error:
            raise LedgerError(f"a saved row is damaged: {error}") from error
        tip = state.get(TIP, TIP_KEY)
        if tip is None or tip.height != height:
            raise LedgerError(f"saved rows are of height {None if tip is None else tip.height}, not {height}")
        state_root = ledger._tree.update(kept)
        found = calculate_exec_root(height, state_root, tip.receipts_root, tip.previous_exec_root)
        if found != exec_root:
            raise LedgerError(f"saved rows give exec_root {found.hex()}, not {exec_root.hex()}")
        ledger.height, ledger.exec_root = height, exec_root
        ledger.books.set_time(height, tip.time_ms)
        ledger.books.load_governed()
        ledger.books.load_queue()
        return ledger

    @property
    def time_ms(self) -> TimeMs:
        """Time of the last block; the genesis' own before the first."""
        return self.books.state.need(TIP, TIP_KEY).time_ms

    # ------------------------------------------------------------------ a block

    def begin_block(self, header: Header) -> None:
        """Open the block after the last one and let what fell due happen first."""
        self.open_block(header)
        while self.run_due(DAY_EVENTS_PER_BLOCK_MAX):
            pass

    def open_block(self, header: Header) -> None:
        """Open the block after the last one; `run_due` must come to its end before the first transaction.

        Raises RulesUnknownError where the block is executed by rules that this software does not know.
        """
        assert not self._open, "one block at a time"
        assert header.height == self.height + 1, "blocks are executed in order"
        upgrades.begin_rules(self.books, header.height, self.rules_known)
        self._open = True
        self._due_left = DAY_EVENTS_PER_BLOCK_MAX
        self.books.set_time(header.height, header.time_ms)
        if header.epoch != self.epoch_row.epoch:
            assert header.epoch == self.epoch_row.epoch + 1, "epochs follow one another"
            governance.begin_epoch(self.books)

    def run_due(self, count_max: int) -> bool:
        """Let up to so many due events happen; whether more may follow. Their slices do not change the books."""
        for _ in range(min(count_max, self._due_left)):
            due = self.books.take_due()
            if due is None:
                self._due_left = 0
                break
            kind, subject = due
            DUE[kind](self.books, subject)
            self._due_left -= 1
        self.books.state.keep()
        return self._due_left > 0

    def execute(
        self, transaction: Transaction, sidecars: tuple[Sidecar, ...], recorded: Receipt | None = None
    ) -> Receipt | None:
        """Execute one transaction whose signatures and sidecars were checked; its receipt, or None when skipped.

        Skipped: a nonce that was used or lies too far ahead, or a sender whom nobody has vouched for. `recorded` is
        the receipt of an earlier execution, needed only where erased sidecars can no longer be scored.
        """
        assert self._open, "inside a block"
        assert self._due_left == 0, "after what fell due"
        books, body = self.books, transaction.body
        key = self._find_key(transaction)
        if key is None or accounts.check_nonce(key, body.nonce) is not None:
            return None
        if is_bare(transaction, sidecars) and recorded is None:
            raise LedgerError("an application's sidecars are erased: execute it with its recorded receipt")
        books.state.put(KEYS, body.sender, accounts.apply_nonce(key, body.nonce))
        books.state.keep()
        told = len(books.events)
        result = check_valid_to(transaction, books.now_ms) or self._run(transaction, sidecars, recorded)
        if isinstance(result, Rejection):
            books.state.undo()
            del books.events[told:]
        else:
            books.state.keep()
        receipt = Receipt(
            transaction_id=transaction.id,
            height=books.height,
            index=len(self._receipts),
            rejection=result if isinstance(result, Rejection) else None,
            outcome=() if isinstance(result, Rejection) else result,
        )
        self._receipts.append(receipt)
        return receipt

    def would_skip(self, transaction: Transaction) -> bool:
        """Whether `execute` would skip it now, and so leave no receipt."""
        key = self._find_key(transaction)
        return key is None or accounts.check_nonce(key, transaction.body.nonce) is not None

    def _find_key(self, transaction: Transaction) -> Key | None:
        """The sender's key row. A new key gets one when an issuer signed with it: that is what bounds their number."""
        key = self.books.state.get(KEYS, transaction.body.sender)
        if key is not None or not isinstance(transaction.body.payload, AccountOpen):
            return key
        vouched = accounts.find_issuer(self.books, transaction.cosigners) is not None
        return Key(account=None, attester=False, top=-1, used=accounts.NO_NONCES) if vouched else None

    def _run(
        self, transaction: Transaction, sidecars: tuple[Sidecar, ...], recorded: Receipt | None
    ) -> Rejection | tuple[Fact, ...]:
        books, body, cosigners = self.books, transaction.body, transaction.cosigners
        payload = body.payload
        if isinstance(payload, AccountOpen):
            return accounts.check_account_open(books, body.sender, cosigners, payload) or accounts.apply_account_open(
                books, body.sender, cosigners, payload
            )
        key = books.state.need(KEYS, body.sender)
        if key.account is None:
            return Rejection.ACCOUNT_UNKNOWN
        row = books.state.need(ACCOUNTS, key.account)
        call = Call(PublicKey(body.sender), key.account, row, body.nonce, cosigners, sidecars, recorded)
        rule = RULES[type(payload)]
        refused = _check_signer(books, call, key, rule) or rule.check(books, call, payload)
        return refused if refused is not None else rule.apply(books, call, payload)

    def end_block(self) -> Execution:
        """Close the block: roots, receipts, changed rows and events."""
        return _run_to_end(self.close_block())

    def close_block(self) -> Generator[None, None, Execution]:
        """The same in pieces of about a millisecond; there is no root to read before the last of them."""
        assert self._open, "inside a block"
        assert self._due_left == 0, "after what fell due"
        self._open = False
        receipts = tuple(self._receipts)
        self._receipts.clear()
        receipts_root = calculate_receipts_root(tuple(encode(one) for one in receipts))
        yield
        return (yield from self._close_books(self.books.now_ms, receipts_root, receipts))

    def _close_books(
        self, time_ms: TimeMs, receipts_root: Digest, receipts: tuple[Receipt, ...] = ()
    ) -> Generator[None, None, Execution]:
        books, previous = self.books, self.exec_root
        tip = Tip(height=books.height, time_ms=time_ms, receipts_root=receipts_root, previous_exec_root=previous)
        books.state.put(TIP, TIP_KEY, tip)
        books.state.keep()
        changes = books.state.take_changes()
        yield from self._tree.update_in_steps(changes)
        state_root = self._tree.root
        self.height = books.height
        self.exec_root = calculate_exec_root(self.height, state_root, receipts_root, previous)
        return Execution(
            height=self.height,
            state_root=state_root,
            receipts_root=receipts_root,
            previous_exec_root=previous,
            exec_root=self.exec_root,
            receipts=receipts,
            changes=changes,
            events=books.take_events(),
            next_validators=self.next_validators,
            rules=self.rules.entries,
            suspects=self.suspects,
        )

    # ------------------------------------------------------------------ questions

    @property
    def state_root(self) -> Digest:
        """Root of all rows after the last block."""
        return self._tree.root

    @property
    def epoch_row(self) -> EpochRow:
        """Who validates after the last block, who did before, and who is planned."""
        return seats.read_epoch(self.books)

    @property
    def rules(self) -> RulesRow:
        """Which rules are in force, and which are to come."""
        return upgrades.read_rules(self.books)

    @property
    def next_validators(self) -> tuple[PublicKey, ...]:
        """Keys planned for the epoch to come, ascending; none while nothing is planned."""
        planned = self.epoch_row.next
        return () if planned is None else list_keys(planned)

    @property
    def suspects(self) -> tuple[PublicKey, ...]:
        """Keys among the present validators' that evidence has convicted, ascending."""
        return tuple(PublicKey(key) for key in self.epoch_row.suspects)

    def list_nodes(self) -> tuple[MemberNode, ...]:
        """The members' nodes in the order of their accounts: who may connect, and which of them validates now."""
        keys = {one.account: PublicKey(one.validator_key) for one in self.epoch_row.seats}
        return tuple(
            MemberNode(AccountId(account), one.name, PublicKey(one.node_key), keys.get(AccountId(account)))
            for account, one in self.books.state.items(MEMBERS)
            if one.node_key is not None
        )

    def check_door(self, transaction: Transaction, now_ms: TimeMs) -> Rejection | None:
        """Cheap checks on the present books, for a node's door: what cannot succeed a moment later either."""
        body, books = transaction.body, self.books
        refused = check_valid_to(transaction, now_ms)
        if refused is not None:
            return refused
        key = self._find_key(transaction)
        if key is None:
            opens = isinstance(body.payload, AccountOpen)
            return Rejection.ISSUER_UNKNOWN if opens else Rejection.ACCOUNT_UNKNOWN
        refused = accounts.check_nonce(key, body.nonce)
        if refused is not None:
            return refused
        if isinstance(body.payload, AccountOpen):
            return accounts.check_account_open(books, body.sender, transaction.cosigners, body.payload)
        if key.account is None:
            return Rejection.ACCOUNT_UNKNOWN
        account = books.state.need(ACCOUNTS, key.account)
        call = Call(PublicKey(body.sender), key.account, account, body.nonce, transaction.cosigners, (), None)
        return _check_signer(books, call, key, RULES[type(body.payload)])

    def has_due_events(self, now_ms: TimeMs) -> bool:
        """Whether a block at `now_ms` would have something to do by itself."""
        due_ms = self.next_due_ms()
        return due_ms is not None and due_ms <= now_ms

    def next_due_ms(self) -> TimeMs | None:
        """When the next event falls due, or None when nothing is scheduled."""
        key = self.books.next_due()
        return None if key is None else TimeMs(int.from_bytes(key[:8], "big"))

    def rows(self) -> Iterator[tuple[int, bytes, bytes]]:
        """Every state row as (table, key, canonical bytes), in the order of table and key."""
        return self.books.state.encode_rows()

    def prove(self, table: int, key: bytes) -> StateProof | None:
        """Proof of a row, or of its absence, under `state_root`; None for a table that does not exist."""
        found = self.prove_rows([(table, key)], self.height) if table in TABLES else None
        return None if found is None else found.proofs[0]

    def prove_rows(self, places: Sequence[Place], height: Height) -> ProvedRows | None:
        """Proofs of rows of tables that exist, as they were after `height`; None when that is not kept any more."""
        assert not self._open, "between two blocks"
        return prove_rows(self.books.state, self._tree, places, self.height - height)


def _run_to_end(steps: Generator[None, None, Execution]) -> Execution:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            execution: Execution = end.value
            return execution


def _check_signer(books: Books, call: Call, key: Key, rule: Rule) -> Rejection | None:
    """Standing of the signer: the account's, and whether this key may sign for it."""
    refused = accounts.check_standing(
        books, call, frozen_may=rule.frozen_may, roles=rule.roles, credential=rule.credential
    )
    if refused is Rejection.ACCOUNT_FROZEN:
        return refused
    if key.attester and not rule.attester_may:
        return Rejection.ROLE_MISSING
    if rule.borrower and call.row.kind is AccountKind.ORGANISATION:
        return Rejection.ROLE_MISSING
    if refused is None and rule.pause & books.paused:
        return Rejection.PAUSED
    return refused
