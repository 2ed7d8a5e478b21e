"""What the API, the attester and the vault's readers need from a running node, and nothing more.

The runtime implements `NodePort`; tests implement it over a real ledger without a network. Never import the runtime,
a socket or a task here: this file is the seam between the rooms.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from node.api.whereabouts import Progress, Why
from protocol.batch import BatchItem
from protocol.genesis import Genesis
from protocol.ids import BlockDigest, ChainId, Digest, Height, PublicKey, TransactionId, View
from protocol.rejections import Rejection

if TYPE_CHECKING:
    from node.metrics.readings import Readings
    from node.monitor.desk import AlertDesk
    from node.operating import OperatorDesk
    from node.store.chain import ChainStore, StoredTransaction
    from node.vault.store import Vault
    from protocol.ledger.execute import Ledger

SyncState = Literal["starting", "isolated", "syncing", "following", "participating", "stopped"]
"""`starting`: it has not heard a quorum of validators yet. `isolated`: it heard one, and does not now."""
SubmissionStatus = Literal["accepted", "known", "rejected", "busy"]
BusyReason = Literal[
    "starting", "isolated", "syncing", "executing", "saturated", "verifying", "pool_full", "stopping", "guest"
]


class Busy(Exception):  # noqa: N818  (not an error of anybody: the node cannot take transactions for a moment)
    """Nothing of a submission was taken; try again after `retry_after_ms`."""

    def __init__(self, retry_after_ms: int, reason: BusyReason = "pool_full") -> None:
        super().__init__(f"busy ({reason}): retry after {retry_after_ms} ms")
        self.retry_after_ms = retry_after_ms
        self.reason: BusyReason = reason


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What the door says of one transaction."""

    id: TransactionId | None
    """None when the bytes are no transaction."""
    status: SubmissionStatus
    """`known`: waiting or executed already, which is no fault. `busy`: not taken, though others of its group were."""
    rejection: Rejection | None = None


class PeerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One peer as this node sees it."""

    name: str
    connected: bool
    height: Height
    """Its last reported final height; 0 when it never reported."""
    silent_ms: int
    """Since its last frame; -1 when it never spoke."""


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a node stands. One record feeds the API, the command line and the readiness probe."""

    name: str
    role: str
    height: Height
    """Last finalised."""
    view: View
    exec_height: Height
    """Last executed and saved."""
    exec_root: Digest
    final_digest: BlockDigest
    peers: tuple[PeerStatus, ...]
    leader: str
    """Name of the member that leads the current view; empty when not known."""
    waiting_for: str
    """What consensus waits for, in words; empty when for nothing."""
    sync_state: SyncState
    pool_transactions: int
    version: str
    gossip_bytes_sent: int
    """To peers since the start, as whole websocket frames."""
    gossip_bytes_received: int
    why: Why | None = None
    """The same with all that is known of it; None when for nothing."""
    progress: Progress | None = None
    """How far it has caught up."""
    epoch: int = 0
    """The consensus epoch: it ends when the validators change."""
    voting_stopped: str = ""
    """Code of why this node does not vote though it could (node.stops); empty while nothing keeps it from it."""
    guests: int = 0
    """Nodes of nobody in the books that read from here now."""
    not_recomputed: int = 0
    """Applications executed since the start whose erased bins could not be scored again: receipts say the result."""


class NodePort(Protocol):
    """A running node, as its inner clients see it."""

    @property
    def genesis(self) -> Genesis:
        """The network's founding document."""

    @property
    def chain_id(self) -> ChainId:
        """SHA-256 of the genesis."""

    @property
    def name(self) -> str:
        """The member's name."""

    @property
    def role(self) -> str:
        """`validator` or `observer`."""

    @property
    def node_key(self) -> PublicKey:
        """The node's own key: it speaks for the member whose node it is."""

    @property
    def ledger(self) -> "Ledger":
        """The books after the last executed block. Read only, and never held across an await."""

    @property
    def store(self) -> "ChainStore":
        """Finalised blocks, receipts and events."""

    @property
    def vault(self) -> "Vault":
        """Encrypted documents this node keeps."""

    @property
    def operator(self) -> "OperatorDesk":
        """What whoever runs this node may see and do of its peers."""

    @property
    def alerts(self) -> "AlertDesk | None":
        """Early warnings of this node's member; None on a node that watches nothing."""

    async def submit(self, items: Sequence[BatchItem]) -> list[Submission]:
        """Check at the door and pool; one answer per item, in order. Raises Busy, and has taken nothing then."""

    async def wait_settled(self) -> None:
        """Return when the books stand between two saved blocks: they do until the caller's next await."""

    async def wait_height_beyond(self, height: Height, timeout_s: float) -> Height:
        """The saved height as soon as it passes `height`, or the present one when time is up."""

    async def wait_final(self, transaction_id: TransactionId, timeout_s: float) -> "StoredTransaction | None":
        """The transaction once it is executed and saved, or None when time is up."""

    async def make_receipt_file(self, transaction_id: TransactionId) -> bytes | None:
        """A receipt that verifies offline, or None while the transaction is not covered by a finalization."""

    async def fetch_document(self, digest: Digest) -> bytes | None:
        """The envelope by its digest: from the vault, else from peers over authenticated links; then kept."""

    def status(self) -> NodeStatus:
        """Where the node stands at this moment."""

    async def read_metrics(self) -> "Readings":
        """What its rooms count and measure, for /metrics."""
