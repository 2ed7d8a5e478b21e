"""The catalogue of metrics: every series that /metrics ever shows, with its labels and all their values.

A series that is not in it cannot be shown, and each one in it is shown from the first scrape on, as zero. Labels have
few and fixed values: never a peer, a key, an address, an account or an id. The table in docs/operations.md is made from
this one.
"""

from bisect import bisect_right
from typing import Final, Literal, NamedTuple, get_args

from consensus.departures import Departure
from node.api.ports import BusyReason, SyncState
from node.api.whereabouts import STAGES
from node.gossip.handshake import CloseCode
from node.meters import DISK_S, FINALITY_S, WORK_S
from node.stops import SENTENCES
from protocol.messages import Hello, HelloProof, Message
from protocol.rejections import Rejection

PREFIX: Final = "liushui"
Kind = Literal["counter", "gauge", "histogram", "info"]
"""`info` is a gauge that is always one and carries words, shown as soon as they are known."""

FAMILIES: Final = (
    (100, "envelope"),
    (200, "accounts"),
    (300, "money"),
    (400, "pools"),
    (500, "products"),
    (600, "data"),
    (700, "applications"),
    (800, "offers"),
    (900, "loans"),
    (930, "governance"),
    (950, "assets"),
    (970, "disputes"),
    (9_999, "unknown"),
)
"""The first number of each family of rejections (docs/rejections.md)."""
SUCCESS: Final = "success"
OTHER: Final = "other"
STATUS_CLASSES: Final = ("2xx", "3xx", "4xx", "5xx")
ANSWERS: Final = ("accepted", "known", "rejected", "busy")
RESULTS: Final = (
    "attested",
    "features_verified",
    "rejected",
    "failed",
    "several_documents",
    "consent_ended",
    "envelope_malformed",
    "not_granted",
    "cannot_unseal",
    "cannot_decrypt",
    "plain_malformed",
    "rows_malformed",
    "rows_root_differs",
    "owner_differs",
    "document_differs",
    "period_differs",
    "currency_differs",
    "provenance_differs",
    "provenance_unproven",
    "statement_empty",
    "statement_future",
    "statement_stale",
    "statement_quiet",
    "statement_short",
    "model_unknown",
    "document_scope",
    "features_root_differs",
    "features_spec",
    "score_differs",
    "commitment_differs",
    "sidecar_erased",
    "history_pruned",
)
"""What becomes of an application at an attester; `rejected` is the ledger's word, of whatever reason."""
DATABASES: Final = ("ledger", "vault", "votes", "payload", "snapshots")
PORTS: Final = ("gossip", "api")


class Label(NamedTuple):
    """A label and everything it can say."""

    name: str
    values: tuple[str, ...]


class Metric(NamedTuple):
    """One family of series; `name` is without the prefix and, of counters, without `_total`."""

    name: str
    kind: Kind
    text: str
    labels: tuple[Label, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As it is written in a query."""
        return f"{PREFIX}_{self.name}" + {"counter": "_total", "info": "_info"}.get(self.kind, "")


def name_family(number: int) -> str:
    """The family of a rejection's number."""
    return FAMILIES[max(0, bisect_right([first for first, _ in FAMILIES], number) - 1)][1]


def name_result(code: str) -> str:
    """The result of an attestation as a label."""
    if code in RESULTS:
        return code
    return "rejected" if code.upper() in Rejection.__members__ else OTHER


def name_close(code: str) -> str:
    """The reason of a closed link as a label."""
    return code if code in _CLOSES else OTHER


def _name_message(kind: type[object]) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in kind.__name__).lstrip("_")


MESSAGES: Final[dict[type[object], str]] = {
    kind: _name_message(kind) for kind in get_args(Message) if kind not in (Hello, HelloProof)
}
"""Everything that may be said on an established link."""
_CLOSES: Final = tuple(one.name.lower() for one in CloseCode)
_FAMILY: Final = tuple(name for _, name in FAMILIES)
_KIND: Final = (Label("direction", ("sent", "received")), Label("kind", tuple(MESSAGES.values())))

CONSENSUS: Final = (
    Metric("height_finalised", "gauge", "Height of the last final block this node knows of."),
    Metric("height_executed", "gauge", "Height of the last block executed and saved."),
    Metric("last_block_age_seconds", "gauge", "How old the last final block is by its own time."),
    Metric("view", "gauge", "The consensus view."),
    Metric("epoch", "gauge", "The consensus epoch; it ends when the validators change."),
    Metric("validators", "gauge", "Validators of this epoch."),
    Metric("validating", "gauge", "1 while this node holds a seat and votes."),
    Metric("voting_stopped", "gauge", "1 for the reason this node does not vote.", (Label("code", tuple(SENTENCES)),)),
    Metric("waiting_validators", "gauge", "Validators whose word the next step of consensus waits for."),
    Metric("consensus_delay_seconds", "gauge", "D: how long consensus waits for one step."),
    Metric(
        "views_left",
        "counter",
        "Views left, by why; all but notarized and caught_up brought no block.",
        (Label("reason", tuple(one.value for one in Departure)),),
    ),
    Metric("blocks_finalised", "counter", "Blocks that became final here."),
    Metric(
        "block_finality_seconds",
        "histogram",
        "From a block's own time to its finality here, while in step.",
        bounds=FINALITY_S,
    ),
    Metric("equivocations_seen", "counter", "Pairs of words of one validator that exclude each other."),
    Metric("false_signatures", "counter", "Words of peers with a signature that does not hold."),
)
TRANSACTIONS: Final = (
    Metric("submissions", "counter", "Transactions submitted here, by the answer.", (Label("answer", ANSWERS),)),
    Metric(
        "submissions_busy",
        "counter",
        "Transactions of groups of which nothing was taken, by why.",
        (Label("reason", get_args(BusyReason)),),
    ),
    Metric(
        "submissions_rejected",
        "counter",
        "Transactions rejected at the door, by family of the reason.",
        (Label("family", _FAMILY),),
    ),
    Metric(
        "transactions_executed",
        "counter",
        "Transactions in final blocks, by outcome: success or the family of the reason.",
        (Label("outcome", (SUCCESS, *_FAMILY)),),
    ),
    Metric("pool_transactions", "gauge", "Transactions that wait to be ordered and executed."),
    Metric("pool_transactions_max", "gauge", "How many may wait before the door is busy."),
    Metric("pool_batches", "gauge", "Batches held."),
    Metric("pool_bytes", "gauge", "Bytes of what waits."),
    Metric("batches_sealed", "counter", "Batches made of transactions submitted here."),
    Metric("batches_dropped", "counter", "Batches pushed by peers for which there was no room."),
    Metric(
        "batch_final_seconds",
        "histogram",
        "From a batch being sealed here to its execution being saved here.",
        bounds=FINALITY_S,
    ),
)
EXECUTION: Final = (
    Metric("block_execution_seconds", "histogram", "Executing one block, with what took turns with it.", bounds=WORK_S),
    Metric("block_save_seconds", "histogram", "One durable save of executed blocks.", bounds=DISK_S),
    Metric("execution_lag_blocks", "gauge", "Final blocks that are not executed yet."),
)
NETWORK: Final = (
    Metric("sync_state", "gauge", "1 for where this node stands.", (Label("state", get_args(SyncState)),)),
    Metric("sync_stage", "gauge", "1 for the stage of catching up.", (Label("stage", STAGES),)),
    Metric("sync_target_height", "gauge", "The height that believed peers have reached."),
    Metric("peers_connected", "gauge", "Peers with a link."),
    Metric("peers_known", "gauge", "Peers this node is to have links with."),
    Metric("gossip_frames", "counter", "Frames on established links, by kind of message.", _KIND),
    Metric("gossip_frame_bytes", "counter", "Bytes of messages in those frames.", _KIND),
    Metric("links_closed", "counter", "Links that ended, by why.", (Label("reason", (*_CLOSES, OTHER)),)),
    Metric("peers_banned", "counter", "Bans of peers for false signatures."),
    Metric("peer_messages_unheard", "counter", "Messages beyond their sender's rate."),
    Metric("peer_requests_dropped", "counter", "Requests of a peer beyond what is answered at once."),
    Metric("connections_refused", "counter", "Connections beyond the bounds of a port.", (Label("port", PORTS),)),
    Metric("connections_malformed", "counter", "Connections that brought no sound request.", (Label("port", PORTS),)),
)
STORAGE: Final = (
    Metric("disk_free_bytes", "gauge", "Free on the disk of the data directory."),
    Metric("disk_size_bytes", "gauge", "Size of the disk of the data directory."),
    Metric("file_bytes", "gauge", "Bytes in files of the data directory.", (Label("file", DATABASES),)),
    Metric("vote_log_records", "counter", "Records written to the vote log."),
    Metric("vote_log_sync_seconds", "histogram", "Writing one group of votes and fdatasync.", bounds=DISK_S),
    Metric("vault_documents", "gauge", "Sealed statements kept."),
    Metric("snapshots_kept", "gauge", "Snapshots that peers can fetch here."),
    Metric("snapshot_height", "gauge", "Height of the newest of them."),
    Metric("snapshot_fetch_bytes", "gauge", "Bytes of a snapshot that is being fetched, so far."),
    Metric("snapshot_fetch_size_bytes", "gauge", "Bytes of the whole snapshot that is being fetched."),
    Metric(
        "attestations",
        "counter",
        "Applications this node's attester dealt with, by result.",
        (Label("result", (*RESULTS, OTHER)),),
    ),
)
ALERTS: Final = (
    Metric("early_warnings", "gauge", "Early warnings about this lender's loans that are kept here."),
    Metric("webhooks", "gauge", "Addresses that early warnings are posted to."),
    Metric("webhooks_failing", "gauge", "Of those, how many did not take the last one."),
    Metric("webhook_backlog", "gauge", "Early warnings that the slowest of them has yet to take."),
    Metric("webhook_dropped", "gauge", "Early warnings given up, over all addresses and restarts."),
)
PROCESS: Final = (
    Metric("event_loop_lag_seconds", "histogram", "How much too late the process came back to work.", bounds=WORK_S),
    Metric("build", "info", "Version of the program and of Python.", (Label("version", ()), Label("python", ()))),
)


def make_catalog(routes: tuple[str, ...]) -> tuple[Metric, ...]:
    """All metrics of a node whose API has these addresses."""
    api = (
        Metric(
            "api_requests",
            "counter",
            "Requests, by address as it stands in the API's table, and class of status.",
            (Label("route", (*routes, OTHER)), Label("status", STATUS_CLASSES)),
        ),
        Metric("api_limited", "counter", "Requests refused because their caller had asked for more than its share."),
        Metric("api_read_seconds", "histogram", "Answering a read that waits for nothing.", bounds=WORK_S),
    )
    return (*CONSENSUS, *TRANSACTIONS, *EXECUTION, *NETWORK, *api, *STORAGE, *ALERTS, *PROCESS)
