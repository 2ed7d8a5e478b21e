"""Recorded receipts between nodes: what an application scored, where its bins are erased everywhere.

A node that executes the chain anew asks for the receipt with its way to an executed state that one of its own final
headers names, and believes nothing that leads elsewhere. So an erasure costs no node its history, and nobody can give
an erased application another score. Never execute anything here.
"""

from typing import Final, NamedTuple

from node.batches import Mesh
from node.gossip.fetch import Fetcher
from node.store.chain import ChainStore
from protocol.block import Header
from protocol.codec import decode
from protocol.ids import Digest, Height, PublicKey, TransactionId
from protocol.ledger.records import ExecLink, Receipt
from protocol.limits import RECORDED_LINKS_MAX
from protocol.merkle import calculate_path, calculate_root
from protocol.messages import GetOutcome, OutcomeReply
from protocol.recorded import RecordedReceipt, find_named

FETCH_S: Final = 10.0


class Wanted(NamedTuple):
    """What an answer must lead to."""

    height: Height
    named: Height
    root: Digest


class OutcomeRoom:
    """Serves and fetches recorded receipts for one node. `genesis_root` is that of the state before the first block."""

    def __init__(self, store: ChainStore, mesh: Mesh, genesis_root: Digest) -> None:
        self._store = store
        self._mesh = mesh
        self._genesis_root = genesis_root
        self._wanted: dict[TransactionId, Wanted] = {}
        self._fetcher: Fetcher[TransactionId, Receipt] = Fetcher(self._ask, mesh.get_connected)

    async def fetch(
        self, transaction: TransactionId, height: Height, naming: Header, *, rounds_max: int | None = None
    ) -> Receipt:
        """The receipt of a transaction that was executed at `height`, as the state that `naming` names holds it.

        `naming` is final and names that height or a later one. Raises NobodyHasItError.
        """
        assert naming.exec_height >= height, "it names a state that holds the receipt"
        self._wanted[transaction] = Wanted(height, Height(naming.exec_height), Digest(naming.exec_root))
        try:
            return await self._fetcher.fetch(transaction, give_up_s=FETCH_S, rounds_max=rounds_max)
        finally:
            self._wanted.pop(transaction, None)

    def _ask(self, peer: PublicKey, transaction: TransactionId) -> bool:
        wanted = self._wanted.get(transaction)
        if wanted is None:
            return False
        return self._mesh.send(peer, GetOutcome(transaction=transaction, height=wanted.height, named=wanted.named))

    def on_reply(self, peer: PublicKey, message: OutcomeReply) -> None:
        """A peer's answer: it counts when it leads to the root that the final header names."""
        transaction = TransactionId(message.transaction)
        wanted, recorded = self._wanted.get(transaction), message.recorded
        if wanted is None:
            return
        receipt = None
        if recorded is not None and recorded.receipt.transaction_id == transaction:
            stands = recorded.receipt.height == wanted.height
            receipt = recorded.receipt if stands and find_named(recorded) == (wanted.named, wanted.root) else None
        self._fetcher.offer(transaction, peer, receipt)

    async def on_get(self, peer: PublicKey, message: GetOutcome) -> None:
        """Hand the receipt to a peer, or say that there is none of that transaction at that height."""
        transaction = TransactionId(message.transaction)
        recorded = await record_outcome(
            self._store, transaction, Height(message.height), Height(message.named), self._genesis_root
        )
        self._mesh.send(peer, OutcomeReply(transaction=transaction, recorded=recorded))

    async def close(self) -> None:
        """End all searches."""
        await self._fetcher.close()


async def record_outcome(
    store: ChainStore, transaction: TransactionId, height: Height, named: Height, genesis_root: Digest
) -> RecordedReceipt | None:
    """What the store has of a transaction executed at `height`, with its way to the state after `named`."""
    if not height <= named <= height + RECORDED_LINKS_MAX:
        return None
    receipts = await store.read_block_receipts(height)
    index = next((i for i, raw in enumerate(receipts) if decode(raw, Receipt).transaction_id == transaction), None)
    rows = await store.read_exec_rows(Height(height - 1), named)
    if index is None or not rows or rows[-1].height != named:
        return None
    if height == 1:
        previous = genesis_root
    elif rows[0].height == height - 1:
        previous, rows = rows[0].exec_root, rows[1:]
    else:
        return None  # the history here begins with this very block
    return RecordedReceipt(
        receipt=decode(receipts[index], Receipt),
        receipts_count=len(receipts),
        receipts_tree_root=calculate_root(receipts),
        path=calculate_path(receipts, index),
        state_root=rows[0].state_root,
        previous_exec_root=previous,
        links=tuple(ExecLink(state_root=row.state_root, receipts_root=row.receipts_root) for row in rows[1:]),
    )
