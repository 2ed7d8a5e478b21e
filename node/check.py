"""Whether the database of a node is whole: pages, chain, batches, receipts, roots, proofs, indexes and books.

Every row is compared with what vouches for it: hashes lead from the finalised headers to blocks, batches, receipts and
state. Events alone stand under no hash (`liushui audit` makes them again). Reads only, beside a running node too, and
goes on behind what is damaged, so that all of it is told. Never repair here.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from consensus.rules import check_block
from node.examine import open_read_only
from node.store.inspect import read_block_events, read_block_receipts
from node.store.parts import POSITION_MASK, Place, shorten
from node.store.schema import SCHEMA_VERSION
from protocol.batch import Batch, calculate_batch_digest, calculate_transaction_id
from protocol.block import Block, Header, calculate_genesis_digest
from protocol.certificate import Certificate
from protocol.codec import CodecError, decode
from protocol.epochs import EpochFault, EpochProof, follow_epochs, is_finalised
from protocol.genesis import Genesis
from protocol.ids import BlockDigest, Digest, Height, PublicKeyField
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Receipt, calculate_exec_root, calculate_receipts_root
from protocol.ledger.tree import StateTree
from protocol.merkle import NO_MOUNTAINS
from protocol.validators import ValidatorSet

FAULTS_MAX: Final = 64
ROOTS_KEPT: Final = 256
"""Heights whose roots a later header may still name; honest ones stay under 16."""
SENTENCES: Final[dict[str, str]] = {
    "pages": "Pages of the file are damaged.",
    "schema": "The tables are of another release.",
    "block": "Blocks are missing, damaged, or do not follow from one another.",
    "batch": "Batches that blocks order are missing or damaged.",
    "receipts": "Receipts are not those that the executed state vouches for.",
    "events": "Events cannot be read.",
    "roots": "Executed states do not follow from one another, or are not those that headers name.",
    "proofs": "Finalizations or changes of validators prove nothing.",
    "index": "Transactions are not found where they stand.",
    "history": "The summary of all headers is not that of the blocks.",
    "books": "The books are not those of the last executed state.",
}
ESSENTIAL: Final = frozenset({"block", "batch"})
"""What cannot be made again from the rest of the database."""


class Fault(NamedTuple):
    """Something that does not hold, for a stretch of heights; 0 where it has none."""

    code: str
    height_from: int
    height_to: int
    detail: str

    @property
    def sentence(self) -> str:
        """For people."""
        return SENTENCES[self.code] + (f" ({self.detail})" if self.detail else "")


class CheckReport(NamedTuple):
    """What was looked at."""

    height: int
    base: int
    """Nothing is kept of the blocks up to this one."""
    blocks: int
    transactions: int
    rows: int
    faults: tuple[Fault, ...]

    @property
    def sound_to(self) -> int:
        """Up to here all blocks and batches are there: what can be executed again."""
        first = min((one.height_from for one in self.faults if one.code in ESSENTIAL), default=self.height + 1)
        return min(self.height, first - 1)


class Check:
    """One pass over a database."""

    def __init__(self, genesis: Genesis, path: Path) -> None:
        self._genesis = genesis
        self._path = path
        self._faults: list[Fault] = []
        self._blocks = self._transactions = self._rows = 0
        self._index: list[int] = [0, 0]
        """How many transactions were seen, and the sum of what their places in the index must be."""

    def run(self) -> CheckReport:
        """Look at everything. Raises sqlite3.Error only when nothing at all can be read."""
        with closing(open_read_only(self._path)) as connection:
            connection.execute("BEGIN")
            schema = self._read_meta(connection, "schema")
            if schema is None or int(schema) != SCHEMA_VERSION:
                self._note("schema", 0, f"schema {'unknown' if schema is None else int(schema)}")
                return CheckReport(0, 0, 0, 0, 0, tuple(self._faults))
            base = Height(int(self._read_meta(connection, "base") or b"0"))
            (last,) = connection.execute("SELECT COALESCE(MAX(height), 0) FROM blocks").fetchone()
            self._check_pages(connection)
            sets = self._check_epochs(connection)
            self._check_chain(connection, base, Height(last), sets)
            self._try("index", lambda: self._check_index(connection, base))
            self._try("books", lambda: self._check_books(connection, Height(last)))
        return CheckReport(last, base, self._blocks, self._transactions, self._rows, tuple(self._faults))

    def _read_meta(self, connection: sqlite3.Connection, key: str) -> bytes | None:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0] if isinstance(row[0], bytes) else str(row[0]).encode()

    def _note(self, code: str, height: int, detail: object = "") -> None:
        """One more fault; of the same kind as the last and right behind it, a longer one."""
        last = self._faults[-1] if self._faults else None
        if last is not None and last.code == code and 0 < height == last.height_to + 1:
            self._faults[-1] = last._replace(height_to=height)
        elif len(self._faults) < FAULTS_MAX:
            self._faults.append(Fault(code, height, height, str(detail)))

    def _try(self, code: str, look: Callable[[], None]) -> None:
        """Whatever cannot be read is a fault of its own, and the rest is still looked at."""
        try:
            look()
        except (sqlite3.Error, CodecError, msgspec.MsgspecError) as error:
            self._note(code, 0, error)

    def _check_pages(self, connection: sqlite3.Connection) -> None:
        try:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check(8)")]
        except sqlite3.Error as error:
            found = [str(error)]
        if found != ["ok"]:
            self._note("pages", 0, found[0].splitlines()[-1] if found else "no answer")

    # ------------------------------------------------------------------ the chain

    def _check_epochs(self, connection: sqlite3.Connection) -> tuple[ValidatorSet, ...]:
        """The validators of every epoch, as far as the saved proofs lead."""
        proofs: list[EpochProof] = []
        try:
            for header, finalization, validators in connection.execute(
                "SELECT header, finalization, validators FROM epochs ORDER BY epoch"
            ):
                proofs.append(
                    EpochProof(
                        header=decode(header, Header),
                        finalization=decode(finalization, Certificate),
                        validators=decode(validators, tuple[PublicKeyField, ...]),
                    )
                )
        except (sqlite3.Error, CodecError) as error:
            self._note("proofs", 0, error)
        for count in range(len(proofs), -1, -1):
            sets = follow_epochs(self._genesis, proofs[:count])
            if not isinstance(sets, EpochFault):
                break
            self._note("proofs", proofs[count - 1].header.height, sets.code)
        assert not isinstance(sets, EpochFault), "no proof at all leads to the first set"
        return sets

    def _check_chain(
        self, connection: sqlite3.Connection, base: Height, last: Height, sets: tuple[ValidatorSet, ...]
    ) -> None:
        walk = _Walk(self._genesis, base)
        for height in range(walk.first, last + 1):
            block = self._check_block(connection, walk, Height(height), sets)
            if block is None:
                walk.lose()
            else:
                self._blocks += 1
        if base == 0 and walk.is_whole:
            saved = self._read_meta(connection, "mountains")
            whole = walk.mountains
            if saved != msgspec.msgpack.encode((whole.size, whole.peaks)):
                self._note("history", last)

    def _check_block(
        self, connection: sqlite3.Connection, walk: "_Walk", height: Height, sets: tuple[ValidatorSet, ...]
    ) -> Block | None:
        try:
            row = connection.execute(
                "SELECT digest, block, finalization, state_root, receipts_root, exec_root FROM blocks WHERE height = ?",
                (height,),
            ).fetchone()
            if row is None:
                if walk.is_begun:
                    self._note("block", height, "missing")
                return None
            block = decode(row[1], Block)
        except (sqlite3.Error, CodecError) as error:
            self._note("block", height, error)
            return None
        digest = block.header.calculate_digest()
        if digest != row[0] or block.header.height != height or check_block(block) is not None:
            self._note("block", height, "another block stands there")
            return None
        if not walk.follows(block.header):
            self._note("block", height, "it does not follow from the one before")
        if height > walk.base:
            self._check_batches(connection, block)
            self._check_outcome(connection, height, row[4])
        if not walk.take_roots(block.header, *(Digest(one) for one in row[3:6])):
            self._note("roots", height)
        self._check_proof(block.header, row[2], sets)
        walk.step(block.header, digest)
        return block

    def _check_batches(self, connection: sqlite3.Connection, block: Block) -> None:
        height = block.header.height
        for ref in block.batches:
            try:
                row = connection.execute("SELECT raw FROM batches WHERE digest = ?", (ref.digest,)).fetchone()
                items = () if row is None else decode(row[0], Batch).items
            except (sqlite3.Error, CodecError) as error:
                self._note("batch", height, error)
                continue
            ids = [calculate_transaction_id(item.transaction) for item in items]
            if len(ids) != ref.tx_count or calculate_batch_digest(ids) != ref.digest:
                self._note("batch", height, "missing" if row is None else "another batch stands there")

    def _check_outcome(self, connection: sqlite3.Connection, height: Height, receipts_root: bytes) -> None:
        try:
            receipts = read_block_receipts(connection, height)
        except (sqlite3.Error, CodecError) as error:
            self._note("receipts", height, error)
        else:
            if calculate_receipts_root(receipts) != receipts_root:
                self._note("receipts", height, "others stand there")
            for i, raw in enumerate(receipts):
                self._transactions += 1
                short = shorten(decode(raw, Receipt).transaction_id)
                self._index[0] += 1
                self._index[1] += _mix(short, Place(height, i).to_number())
        try:
            read_block_events(connection, height)
        except (sqlite3.Error, CodecError) as error:
            self._note("events", height, error)

    def _check_proof(self, header: Header, raw: bytes | None, sets: tuple[ValidatorSet, ...]) -> None:
        if raw is None or header.epoch >= len(sets):
            return
        try:
            holds = is_finalised(header, decode(raw, Certificate), sets[header.epoch])
        except CodecError:
            holds = False
        if not holds:
            self._note("proofs", header.height)

    # ------------------------------------------------------------------ what follows from it

    def _check_index(self, connection: sqlite3.Connection, base: Height) -> None:
        count = total = 0
        last = Place(base, POSITION_MASK).to_number()
        for short, place in connection.execute("SELECT short, place FROM transaction_places WHERE place > ?", (last,)):
            count += 1
            total += _mix(short, place)
        if [count, total] != self._index:
            self._note("index", 0, f"{count} places of {self._index[0]} transactions")

    def _check_books(self, connection: sqlite3.Connection, last: Height) -> None:
        if last == 0:
            return
        (root,) = connection.execute("SELECT state_root FROM blocks WHERE height = ?", (last,)).fetchone()
        if StateTree().update(self._read_rows(connection)) != root:
            self._note("books", last)

    def _read_rows(self, connection: sqlite3.Connection) -> Iterator[tuple[int, bytes, bytes]]:
        for family, key, value in connection.execute("SELECT family, key, value FROM state"):
            self._rows += 1
            yield family, key, value


def _mix(short: int, place: int) -> int:
    """A number that two different entries of an index hardly share; sums of them do not depend on the order."""
    return (short * 0x9E3779B97F4A7C15 ^ place * 0xC2B2AE3D27D4EB4F) & (1 << 64) - 1


class _Walk:
    """Where a pass over the chain has come to, and what the next block must follow from."""

    def __init__(self, genesis: Genesis, base: Height) -> None:
        ledger = Ledger.from_genesis(genesis)
        self.base = base
        self.first = 1 if base == 0 else max(1, base - ROOTS_KEPT)
        """A snapshot brings the few blocks before its height whose roots later headers name."""
        self.mountains = NO_MOUNTAINS
        self.is_whole = base == 0
        self.is_begun = base == 0
        self._parent: tuple[Header, BlockDigest] | None = None
        self._genesis_digest = calculate_genesis_digest(genesis.calculate_chain_id())
        self._roots: dict[int, Digest] = {0: ledger.exec_root}
        self._knows_parent = base == 0

    def lose(self) -> None:
        """Nothing is known of a block: the next one follows from what is not here."""
        self.is_whole = False
        self._parent, self._knows_parent = None, False

    def follows(self, header: Header) -> bool:
        """Whether the header is the child of the block before, where that is known."""
        if not self._knows_parent:
            return True
        digest = self._genesis_digest if self._parent is None else self._parent[1]
        later = self._parent is None or header.time_ms > self._parent[0].time_ms
        history = not self.is_whole or header.history_root == self.mountains.calculate_root()
        return header.parent_digest == digest and later and history

    def take_roots(self, header: Header, state_root: Digest, receipts_root: Digest, exec_root: Digest) -> bool:
        """Whether the roots follow from those before and are what the header names, where those are known."""
        before = self._roots.get(header.height - 1)
        follows = before is None or calculate_exec_root(header.height, state_root, receipts_root, before) == exec_root
        named = self._roots.get(header.exec_height)
        self._roots[header.height] = exec_root
        self._roots.pop(header.height - ROOTS_KEPT, None)
        return follows and (named is None or named == header.exec_root)

    def step(self, header: Header, digest: BlockDigest) -> None:
        """This block is the last one seen."""
        self._parent, self._knows_parent, self.is_begun = (header, digest), True, True
        self.mountains = self.mountains.append(digest)
