"""What the API takes and gives: msgspec types, from which the OpenAPI document is made.

Ids, keys and digests are lower-case hex; money is integer minor units; days are ISO dates. Every read carries the
height it was read at. Never behaviour here, and never a type of the wire between nodes.
"""

from typing import Annotated, Any, Literal

import msgspec

from node.api.whereabouts import Progress, Why
from protocol.limits import BATCH_TRANSACTIONS_MAX, SIDECAR_BINS_MAX, SIDECARS_PER_APPLICATION_MAX

Hex32 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$", description="32 bytes as lower-case hex")]
Minor = Annotated[int, msgspec.Meta(description="minor units of the currency")]
IsoDay = Annotated[str, msgspec.Meta(description="ISO 8601 date of the contract's calendar")]


class SidecarIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Binned features beside an application."""

    model: Hex32
    salt: Hex32
    bins: Annotated[list[Annotated[int, msgspec.Meta(ge=0, le=65_535)]], msgspec.Meta(max_length=SIDECAR_BINS_MAX)]


class TransactionIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One signed transaction to submit."""

    transaction: bytes
    """Canonical bytes, base64 (RFC 4648)."""
    sidecars: Annotated[list[SidecarIn], msgspec.Meta(max_length=SIDECARS_PER_APPLICATION_MAX)] = []


class SubmitRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transactions that are checked, pooled and ordered in the order given."""

    transactions: Annotated[list[TransactionIn], msgspec.Meta(min_length=1, max_length=BATCH_TRANSACTIONS_MAX)]


class RejectionView(msgspec.Struct, frozen=True, kw_only=True):
    """Why a transaction was refused."""

    number: int
    code: str
    sentence: str


class SubmitResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one submitted transaction."""

    id: Hex32 | None
    """None when the bytes are no transaction."""
    status: Literal["accepted", "finalised", "rejected", "busy"]
    """`finalised`: executed with success in a finalised block. `rejected`: refused at the door or in execution.
    `busy`: not taken; send it again."""
    rejection: RejectionView | None = None
    height: int | None = None
    """Block that executed it; None while it waits, or when the door refused it."""
    index: int | None = None


class SubmitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One result per transaction, in order."""

    height: int
    results: list[SubmitResult]
    retry_after_ms: int | None = None
    """When to send again what is `busy`; None when nothing is."""


class TransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """An executed transaction with its receipt."""

    id: Hex32
    height: int
    index: int
    type: str
    sender: Hex32
    nonce: int
    cosigners: list[Hex32]
    payload: Any
    """Fields of the payload by name; bytes as hex."""
    success: bool
    rejection: RejectionView | None
    receipt: Any
    """Fields of the receipt by name; bytes as hex."""
    read_height: int


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One peer of this node."""

    name: str
    connected: bool
    height: int
    silent_ms: int


class RulesNextView(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that the validators have decided on."""

    version: int
    since: int
    """The first block that is executed by them."""


class RulesView(msgspec.Struct, frozen=True, kw_only=True):
    """By which rules the network executes."""

    version: int
    since: int
    """The first block that was executed by them; 0 for the genesis."""
    next: RulesNextView | None
    known: int
    """The newest rules that this node's software executes. Below `next`, it stops before they begin: update it."""


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """Where this node stands."""

    name: str
    role: str
    version: str
    chain_id: Hex32
    height: int
    view: int
    exec_height: int
    exec_root: Hex32
    final_digest: Hex32
    leader: str
    waiting_for: str
    why: Why | None
    """What consensus waits for, whose word lacks and since when; null when for nothing."""
    sync: Progress | None
    """How far this node has caught up."""
    sync_state: Literal["starting", "isolated", "syncing", "following", "participating", "stopped"]
    epoch: int
    voting_stopped: str
    """Code of why this node does not vote though it could; empty while nothing keeps it from it."""
    voting_advice: str
    """What to do about that, in a sentence."""
    rules: RulesView
    pool_transactions: int
    not_recomputed: int
    """Applications executed since this node started whose bins are erased: certified receipts say their result."""
    gossip_bytes_sent: int
    """To peers since this node started."""
    gossip_bytes_received: int
    peers: list[PeerView]
    guests: int
    """Nodes of nobody in the books that read from here now; a token with `monitor` sees which."""


class ReadyView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the node can serve, and if not, why."""

    ready: bool
    reasons: list[str]
    height: int


class LiveView(msgspec.Struct, frozen=True, kw_only=True):
    """The process answers."""

    live: bool


class BatchView(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as a block names it."""

    digest: Hex32
    tx_count: int
    size: int


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """A finalised block."""

    height: int
    view: int
    time_ms: int
    digest: Hex32
    parent_digest: Hex32
    exec_height: int
    exec_root: Hex32
    history_root: Hex32
    proposer: int
    tx_count: int
    batches: list[BatchView]
    receipts: list[Any]
    read_height: int


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the ledger; its position is the id a stream resumes from."""

    height: int
    index: int
    kind: str
    data: Any


class NonceView(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may sign next."""

    key: Hex32
    next: int
    """One above the highest nonce used; all lower ones may be counted as used by a client with one device."""
    height: int


class ListView(msgspec.Struct, frozen=True, kw_only=True):
    """A page of objects, in order of id."""

    height: int
    items: list[Any]
    next: str | None = None
    """Pass as `after` for the next page; None on the last."""


class DocumentView(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope that this node keeps."""

    digest: Hex32
    size: int
    height: int


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One opening of a document, as the node that opened it signed it."""

    serial: int
    time_ms: int
    reader: Hex32
    """Account that opened it."""
    reader_name: str | None
    purpose: str
    document: Hex32
    previous: Hex32
    """Hash of the entry before; zero for the first."""
    digest: Hex32
    signature: str
    key: Hex32
    """Node key that signed."""


class DataView(msgspec.Struct, frozen=True, kw_only=True):
    """A statement's anchor on the ledger."""

    height: int
    id: Hex32
    owner: Hex32
    document: Hex32
    """Digest by which the vault names the sealed document."""
    rows_root: Hex32
    currency: str
    first_day: IsoDay
    last_day: IsoDay
    """The statement's own end."""
    provenance: int
    """Grade: 1 signed by its provider, 2 with a balance chain, 3 a file without one, 4 a scan."""
    anchored_ms: int


class AccessLogView(msgspec.Struct, frozen=True, kw_only=True):
    """All openings of one data object by this node, oldest first."""

    data: Hex32
    height: int
    entries: list[AccessEntry]
