"""The figures of a bench as data: what `--json` prints. Names carry their units; the schema's number changes with them.

A field is never taken away or given another meaning under one number. Never a measurement or a sentence here.
"""

import msgspec

SCHEMA: int = 1


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured."""

    cores: int
    python: str
    platform: str
    filesystem: str
    """Of the nodes' data; a file system in memory makes fsync free."""
    load_average_before: float
    signature_check_us: float
    """Processor time of one Ed25519 verification just before: where others share the cores it grows, and with it all
    that is told per transaction."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for."""

    validators: int
    observer: bool
    kind: str
    rate_tx_per_s: int
    transactions_per_load: int
    accounts: int
    """Senders of the load: accounts, or borrowers with one loan each."""
    set_up_transactions: int
    """Submitted before anything was measured, attestations apart."""


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to do."""

    seconds: float
    processor_percent_of_core_per_node: dict[str, float]
    processor_percent_of_core_max: float


class Lone(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction at a time on the idle network, submitted and waited for at each node in turn."""

    rounds: int
    latency_p50_ms: float
    latency_p95_ms: float
    latency_max_ms: float


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """The load was signed beforehand, by processes of their own."""

    seconds: float
    processor_s: float
    bytes_per_transaction: float


class NodeUse(msgspec.Struct, frozen=True, kw_only=True):
    """One node during a load, and its memory since it began."""

    role: str
    processor_s: float
    processor_us_per_transaction: float
    memory_now_mb: float
    memory_peak_mb: float
    disk_written_bytes: int
    """Handed to the disk: rows go to the write-ahead log first, and then to the database."""
    gossip_sent_bytes: int
    gossip_received_bytes: int


class LoadFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One load: submitted + not_taken = planned, accepted + refused = submitted, final + failed + lost = accepted."""

    validators_dead: int
    group_transactions: int
    planned: int
    submitted: int
    """Answered for good."""
    not_taken: int
    """Busy, or without an answer, until the load's time was up."""
    accepted: int
    refused: int
    refused_by_code: dict[str, int]
    final: int
    """Accepted, executed with success and saved."""
    failed: int
    """Accepted, executed and refused by the ledger."""
    failed_by_code: dict[str, int]
    lost: int
    """Accepted and never seen again."""
    executed_twice: int
    final_without_answer: int
    """Executed although no answer came to the submission."""
    events_of_others: int
    """Of nothing that this load sent: what an earlier load had given up may be executed later."""
    stream_breaks: int
    """How often the event stream had to be resumed."""
    busy_answers: int
    unanswered_requests: int
    submit_seconds: float
    seconds: float
    """From the first group due to the last transaction final."""
    backlog_at_end_of_submission: int
    final_tx_per_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    latency_max_ms: float | None
    sent_late_max_ms: float
    blocks: int
    views: int
    blocks_per_s: float
    views_per_s: float
    signing: Signing
    nodes: dict[str, NodeUse]
    validator_processor_us_per_transaction: float
    """Mean of the live validators, as the next three."""
    validator_gossip_sent_bytes_per_transaction: float
    validator_gossip_received_bytes_per_transaction: float
    validator_disk_written_bytes_per_transaction: float
    generator_processor_s: float
    generator_processor_percent_of_core: float
    bench_processor_percent_of_machine: float
    machine_processor_percent: float
    """Of all cores, by whomever."""


class Sync(msgspec.Struct, frozen=True, kw_only=True):
    """A new observer with an empty disk caught up with the whole chain, verifying everything."""

    transactions: int
    """Of the chain, attestations of a set-up with loans apart."""
    blocks: int
    seconds: float
    """From the first answer of its API to the height the others stood at."""
    start_seconds: float
    """From the start of the process to that first answer."""
    processor_s: float
    tx_per_s: float
    tx_per_core_s: float
    """Transactions per second of its processor time."""
    signature_check_us: float
    """Processor time of one Ed25519 verification meanwhile: cores that are shared are slower for everything alike."""
    signature_checks_per_transaction: float
    """Its processor time per transaction in such verifications, of which each transaction needs one."""
    validators_processor_s: float
    """What all that served it used meanwhile."""
    memory_peak_mb: float


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """What one validator keeps, after a clean stop at the very end has folded its write-ahead log in."""

    transactions: int
    """Of the whole chain, attestations of a set-up with loans apart."""
    kept_bytes: int
    kept_bytes_per_transaction: float
    kept_bytes_by_file: dict[str, int]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All of a bench."""

    schema: int
    machine: Machine
    asked: Asked
    idle: Idle | None
    lone: Lone | None
    loads: list[LoadFigures]
    sync: Sync | None
    disk: Disk
    nodes_agree: bool
    sound: bool
    """Nothing lost, nothing executed twice, and all nodes stand at one height with one root."""
    warnings: list[str]
