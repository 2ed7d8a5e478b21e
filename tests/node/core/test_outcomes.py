"""Applications whose sidecars are erased: executed again with certified receipts alone, and with nothing else."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import msgspec
import pytest

from consensus.chain import make_genesis_floor
from node.batches import BatchRoom
from node.executor import Executor
from node.gossip.fetch import NobodyHasItError
from node.mempool import OWN, HeldBatch, Mempool
from node.outcomes import OutcomeRoom, record_outcome
from node.store.chain import ChainStore, ExecRow
from node.store.outcome import Outcome
from node.verifier import Verifier
from protocol.batch import Batch, BatchItem, BatchRef
from protocol.block import Block, Header
from protocol.codec import encode
from protocol.ids import ZERO_DIGEST, BatchDigest, BlockDigest, Digest, Height, PublicKey, TransactionId
from protocol.ledger.execute import Ledger
from protocol.ledger.records import Assessed, Receipt
from protocol.messages import BatchReply, GetBatch, GetOutcome, Message, OutcomeReply
from protocol.transactions.envelope import Transaction
from protocol.validators import make_validator_set
from tests.node.core.chaintools import until
from tests.node.core.test_executor import FINALIZATION
from tests.protocol.ledger.world import World

PEER = PublicKey(b"p" * 32)
OTHER = PublicKey(b"q" * 32)


class History:
    """A peer's chain: an application between other transactions, with what a store says of it."""

    def __init__(self) -> None:
        self.world = world = World()
        world.open_account("ann")
        world.mint("ann", 9)
        data, consent = world.anchor("ann")
        self.rows, self.before = list(world.ledger.rows()), world.ledger.height
        self.root = world.ledger.exec_root
        self.sidecar = world.sidecar("ann")
        payload = world.application("ann", data, consent, sidecar=self.sidecar)
        self.transaction = self.real(world.transaction("ann", payload))
        self.exec_rows: list[ExecRow] = [ExecRow(Height(self.before), ZERO_DIGEST, ZERO_DIGEST, self.root)]
        self.receipts: dict[int, list[bytes]] = {}
        self.headers: list[Header] = []
        self.block((self.transaction, (self.sidecar,)))
        for _ in range(3):
            self.block()

    def real(self, transaction: Transaction) -> Transaction:
        """The same, with signatures."""
        raw = self.world.sign(transaction, "ann")
        from protocol.batch import calculate_transaction_id

        return msgspec.structs.replace(transaction, raw=raw, id=calculate_transaction_id(raw))

    def block(self, *transactions: Any) -> None:
        """Execute one and keep what a store would."""
        self.headers.append(self.world.header())
        self.world.block(*transactions)
        execution = self.world.execution
        assert execution is not None
        self.headers[-1] = msgspec.structs.replace(self.headers[-1], time_ms=self.world.now_ms)
        self.receipts[execution.height] = [encode(one) for one in execution.receipts]
        roots = (execution.state_root, execution.receipts_root, execution.exec_root)
        self.exec_rows.append(ExecRow(execution.height, *roots))

    async def read_block_receipts(self, height: Height) -> list[bytes]:
        return self.receipts.get(height, [])

    async def read_exec_rows(self, height_from: Height, height_to: Height) -> list[ExecRow]:
        return [one for one in self.exec_rows if height_from <= one.height <= height_to]

    def name(self, height: int, root: Digest | None = None) -> Header:
        """A later header that names the state after `height`."""
        (row,) = [one for one in self.exec_rows if one.height == height]
        return msgspec.structs.replace(
            self.headers[-1], height=Height(height + 9), exec_height=Height(height), exec_root=root or row.exec_root
        )


class Wire:
    """A mesh whose peers answer as the test says."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.asked: list[GetOutcome] = []
        self.liar: Any = None
        self.room = OutcomeRoom(cast("ChainStore", self), self, ZERO_DIGEST)

    def get_connected(self) -> tuple[PublicKey, ...]:
        return (PEER,) if self.liar is None else (PEER, OTHER)

    def is_connected(self, peer: PublicKey) -> bool:
        return True

    def broadcast(self, message: Message, peers: Sequence[PublicKey]) -> int:
        return 0

    def send(self, peer: PublicKey, message: Message) -> bool:
        assert isinstance(message, GetOutcome)
        self.asked.append(message)
        asyncio.get_running_loop().create_task(self.answer(peer, message))
        return True

    async def answer(self, peer: PublicKey, message: GetOutcome) -> None:
        recorded = await record_outcome(
            cast("ChainStore", self.history),
            TransactionId(message.transaction),
            Height(message.height),
            Height(message.named),
            ZERO_DIGEST,
        )
        if self.liar is not None and peer == OTHER and recorded is not None:
            recorded = self.liar(recorded)
        self.room.on_reply(peer, OutcomeReply(transaction=message.transaction, recorded=recorded))


class Follower:
    """A node that executes the peer's blocks anew, from the books before the application."""

    def __init__(self, history: History) -> None:
        self.history = history
        world = history.world
        self.ledger = Ledger.from_rows(world.genesis, history.rows, height=history.before, exec_root=history.root)
        self.wire = Wire(history)
        self.saves: list[Outcome] = []
        self.held: dict[BatchDigest, HeldBatch] = {}
        keys = tuple(one.validator_key for one in world.genesis.members if one.validator_key is not None)
        validators = make_validator_set(keys, BlockDigest(ZERO_DIGEST))
        floor = make_genesis_floor(self.ledger.chain_id, self.ledger.exec_root, validators)
        self.executor = Executor(
            ledger=self.ledger,
            store=cast("ChainStore", self),
            floor=msgspec.structs.replace(floor, exec_height=Height(history.before)),
            genesis_rows=(),
            batches=self,
            outcomes=self.wire.room,
            mempool=Mempool(),
            clock_ms=lambda: 0,
            on_executed=lambda _execution, _block: None,
        )

    async def obtain_final(self, refs: Sequence[BatchRef]) -> list[HeldBatch]:
        return [self.held[ref.digest] for ref in refs]

    async def save_blocks(self, outcomes: Sequence[Outcome], genesis_rows: Sequence[Any]) -> None:
        self.saves += outcomes

    def make_block(self, *transactions: Transaction) -> Block:
        """The peer's block of the application, its sidecars gone."""
        batch = Batch(items=tuple(BatchItem(transaction=one.raw) for one in transactions))
        held = HeldBatch(batch, transactions, OWN, 0, encode(batch))
        held.bare = True
        self.held[held.digest] = held
        return Block(header=self.history.headers[0], batches=(held.ref,))


def empty(header: Header) -> Block:
    """A block without batches."""
    return Block(header=header, batches=())


async def test_an_erased_application_is_executed_with_its_certified_receipt() -> None:
    """Same score, same root; it waits for a final header that names the state, and says that it did not recompute."""
    history = History()
    here = Follower(history)
    second, third, fourth = history.headers[1:]
    third = msgspec.structs.replace(third, exec_height=Height(second.height), exec_root=history.exec_rows[2].exec_root)
    running = asyncio.create_task(here.executor.run())
    try:
        here.executor.enqueue([here.make_block(history.transaction), empty(second)], FINALIZATION)
        await asyncio.sleep(0.05)
        assert here.saves == []
        assert here.wire.asked == [], "nobody is believed before a final header names the state"
        here.executor.enqueue([empty(third), empty(fourth)], FINALIZATION)
        await until(lambda: here.executor.height == fourth.height)
    finally:
        running.cancel()
        await here.executor.close()
    assert [one.execution.exec_root for one in here.saves] == [one.exec_root for one in history.exec_rows[1:]]
    (receipt,) = here.saves[0].execution.receipts
    assert any(isinstance(fact, Assessed) for fact in receipt.outcome)
    assert here.executor.not_recomputed == 1
    assert [one.named for one in here.wire.asked] == [second.height]


async def test_an_erased_copy_of_what_is_skipped_needs_no_receipt() -> None:
    """Ordered twice, the second one is skipped: no peer has a receipt of it at that height."""
    history = History()
    here = Follower(history)
    block = here.make_block(history.transaction, history.transaction)
    naming = history.name(history.headers[0].height)
    rest = [empty(one) for one in history.headers[1:3]]
    last = empty(
        msgspec.structs.replace(history.headers[3], exec_height=naming.exec_height, exec_root=naming.exec_root)
    )
    running = asyncio.create_task(here.executor.run())
    try:
        here.executor.enqueue([block, *rest, last], FINALIZATION)
        await until(lambda: len(here.saves) == 4)
    finally:
        running.cancel()
        await here.executor.close()
    assert len(here.saves[0].execution.receipts) == 1


def other_score(recorded: Any) -> Any:
    """The liar's receipt says a better score."""
    receipt: Receipt = recorded.receipt
    outcome = tuple(
        msgspec.structs.replace(fact, points=9_999) if isinstance(fact, Assessed) else fact for fact in receipt.outcome
    )
    return msgspec.structs.replace(recorded, receipt=msgspec.structs.replace(receipt, outcome=outcome))


def other_state(recorded: Any) -> Any:
    """A receipt that stands in its own block, of a state that never was."""
    return msgspec.structs.replace(recorded, state_root=Digest(b"x" * 32))


def other_links(recorded: Any) -> Any:
    """The way is cut short."""
    return msgspec.structs.replace(recorded, links=recorded.links[:-1])


@pytest.mark.parametrize("lie", [other_score, other_state, other_links, lambda _recorded: None])
async def test_who_brings_another_receipt_is_not_believed(lie: Any) -> None:
    """Whatever the liar changes, the root differs from the one the final header names; the honest peer's counts."""
    history = History()
    wire = Wire(history)
    wire.liar = lie
    height = Height(history.headers[0].height)
    for _ in range(2):  # each peer is the first to be asked once
        receipt = await wire.room.fetch(history.transaction.id, height, history.name(height + 2))
        assert encode(receipt) == history.receipts[height][0]
    assert len(wire.asked) == 3


async def test_a_receipt_under_another_root_is_nobodys() -> None:
    """Peers that all agree on a state that the header does not name have brought nothing."""
    history = History()
    wire = Wire(history)
    height = Height(history.headers[0].height)
    with pytest.raises(NobodyHasItError):
        await wire.room.fetch(history.transaction.id, height, history.name(height, Digest(b"y" * 32)), rounds_max=1)


async def test_what_a_store_does_not_hold_is_not_recorded() -> None:
    """Another height, another transaction, a state that is not there yet."""
    history = History()
    store, height = cast("ChainStore", history), Height(history.headers[0].height)
    one = history.transaction.id
    assert await record_outcome(store, one, height, height, ZERO_DIGEST) is not None
    assert await record_outcome(store, one, Height(height + 1), Height(height + 1), ZERO_DIGEST) is None
    assert await record_outcome(store, TransactionId(ZERO_DIGEST), height, height, ZERO_DIGEST) is None
    assert await record_outcome(store, one, height, Height(height + 9), ZERO_DIGEST) is None
    assert await record_outcome(store, one, height, Height(height - 1), ZERO_DIGEST) is None


class Batches:
    """A batch room whose one peer has the batch without its sidecars."""

    def __init__(self, history: History) -> None:
        self.bare = Batch(items=(BatchItem(transaction=history.transaction.raw),))
        self.room = BatchRoom(
            mempool=Mempool(),
            verifier=Verifier(history.world.ledger.chain_id),
            store=self,
            mesh=self,
            validators=(),
            clock_ms=lambda: 0,
            on_held=lambda: None,
            is_pushed_to=False,
        )

    async def read_batches(self, digests: Sequence[BatchDigest]) -> dict[BatchDigest, bytes]:
        return {}

    def get_connected(self) -> tuple[PublicKey, ...]:
        return (PEER,)

    def is_connected(self, peer: PublicKey) -> bool:
        return True

    def broadcast(self, message: Message, peers: Sequence[PublicKey]) -> int:
        return 0

    def send(self, peer: PublicKey, message: Message) -> bool:
        assert isinstance(message, GetBatch)
        self.room.on_reply(peer, BatchReply(digest=message.digest, batch=self.bare))
        return True


async def test_an_erased_copy_is_for_execution_and_never_for_a_vote() -> None:
    """Who executes what is final takes it; who would vote on it hears that nobody has the batch."""
    history = History()
    here = Batches(history)
    held = HeldBatch(here.bare, (history.transaction,), OWN, 0, encode(here.bare))
    intake = asyncio.create_task(here.room.run_intake())
    try:
        (found,) = await here.room.obtain_final([held.ref])
        assert found.bare
        assert found.transactions[0].id == history.transaction.id
        with pytest.raises(NobodyHasItError):
            await here.room.obtain(held.ref)
        fresh = Batches(history)
        fresh_intake = asyncio.create_task(fresh.room.run_intake())
        asked = asyncio.create_task(fresh.room.obtain(held.ref))
        await asyncio.sleep(0.3)
        assert not asked.done()
        for task in (asked, fresh_intake):
            task.cancel()
        await fresh.room.close()
    finally:
        intake.cancel()
        await here.room.close()
