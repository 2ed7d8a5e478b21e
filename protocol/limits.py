"""Every limit of the network, in one place, each with its reason. Reaching one is a normal, tested event.

A limit that two nodes must agree on is part of the protocol: changing it is a rules version, not a tuning.
"""

from typing import Final

# Agreed: a block or transaction beyond these is invalid everywhere.
VALIDATORS_MAX: Final = 32  # O(n^2) votes; the field has 4 to 20 lenders
TRANSACTION_BYTES_MAX: Final = 16_384  # the largest honest one (a product) is under 2 KiB
COSIGNATURES_MAX: Final = 32  # one per validator at most
BATCH_BYTES_MAX: Final = 262_144  # sealed at this size: one frame, ~10 ms of verification
BATCH_TRANSACTIONS_MAX: Final = 1_024
BLOCK_BATCHES_MAX: Final = 64
BLOCK_TRANSACTIONS_MAX: Final = 4_096  # half a second of execution at the slowest measured rate
BLOCK_TIME_AHEAD_MS_MAX: Final = 500  # drift allowed to a leader's clock
RULES_NOTICE: Final = 32  # blocks at least from the decision for other rules to the first block by them
RULES_AHEAD_MAX: Final = 100_000_000  # blocks at most: years
EPOCH_NOTICE: Final = 32  # blocks from the header that announces other validators to the one that ends the epoch
EXECUTION_LAG_MAX: Final = 16  # blocks: further behind, only empty blocks are voted for
VIEW_WINDOW_PAST: Final = 16  # views kept behind the last finalised one
VIEW_WINDOW_AHEAD: Final = 16  # votes further ahead are not stored, whatever a peer sends
NONCE_WINDOW: Final = 256  # parallel submissions of one key without gaps
DAY_EVENTS_PER_BLOCK_MAX: Final = 1_000  # due events of a day-roll; the rest carries over to the next block
SIDECAR_BINS_MAX: Final = 64  # features of one model
SIDECARS_PER_APPLICATION_MAX: Final = 4
DATA_PER_APPLICATION_MAX: Final = 8
ERASED_DOCUMENTS_MAX: Final = 65_535  # sealed documents that one receipt counts: a statement, and one per application
ERASED_SIDECARS_MAX: Final = 65_535  # sets of bins that one receipt of an erasure counts; more are as good as so many
STATEMENT_ROWS_MAX: Final = 20_000  # fifty-five a day for a year; every attester reads each of them
GRANTEES_MAX: Final = 32
INSTALMENTS_MAX: Final = 480  # forty years of months
APPLICATIONS_OPEN_MAX: Final = 3  # per borrower
OFFERS_PER_LENDER_MAX: Final = 4  # on one application; a lender's own, so nobody can take the others' places
DECISIONS_PER_LENDER_MAX: Final = 16  # on one application, declines among them
DECIDED_ROWS_MAX: Final = 960  # instalments that one attestation computes, ~5 ms; other products answer a block later
PRODUCTS_PER_LENDER_MAX: Final = 32  # on sale at once; those that have expired do not count
PARTNERS_MAX: Final = 8  # pools that share one loan beside the lead
GUARANTORS_MAX: Final = 4  # per loan; each co-signs
COLLATERAL_MAX: Final = 8  # assets pledged for one loan
DEBTS_PER_SUBJECT_MAX: Final = 32  # open loans and lines of one; an acceptance brings each of them to its day
GUARANTEES_PER_SUBJECT_MAX: Final = 32  # open loans of others that one stands in for; summed at each acceptance
LINE_DRAWS_MAX: Final = 16  # draws of one line open at once; each is looked at when something is borrowed
PAYMENTS_KEPT_MAX: Final = 8  # last payments of a loan whose fiat can still be taken back
PROPOSALS_OPEN_MAX: Final = 16  # per proposer; votes on forgotten ones end by themselves
MODEL_BYTES_MAX: Final = 12_288  # a model registered by transaction; with its envelope below a transaction's limit
REASONS_MAX: Final = 4  # principal reasons of a decline (12 CFR 1002.9 commentary)
VALID_FOR_MS_MAX: Final = 7 * 86_400_000  # how far ahead a transaction's valid_to may lie

# Local: a node's own protection; two nodes may differ.
FRAME_BYTES_MAX: Final = 1_048_576  # one websocket message
DOCUMENT_BYTES_MAX: Final = 4_194_304  # an encrypted statement in the vault
STATEMENT_BYTES_MAX: Final = 20_971_520  # a statement file before parsing
REQUEST_BODY_BYTES_MAX: Final = 8_388_608  # one HTTP request
SUBMIT_BODY_BYTES_MAX: Final = 2_097_152  # one submission: eight full batches
POOL_TRANSACTIONS_MAX: Final = 50_000  # waiting to be ordered; beyond it clients hear "busy, retry after"
POOL_BYTES_MAX: Final = 16_777_216  # the same by bytes, which decoded take five times as much memory
BATCHES_HELD_MAX: Final = 4_096  # unfinalised batches in memory
GUESTS_MAX: Final = 16  # nodes that only read and belong to no member, where a node is open to them
PEER_QUEUE_FRAMES_MAX: Final = 2_048  # frames waiting for one slow peer before it is dropped
SYNC_BLOCKS_PER_REPLY_MAX: Final = 64
BATCHES_PER_REPLY_MAX: Final = 64  # all of one block; half a frame is filled with them, and at least one
SYNC_HEADERS_PER_REPLY_MAX: Final = 1_024  # at most 0.3 MiB beside the blocks' 0.2: one frame
PAST_BLOCKS_MAX: Final = 32  # blocks whose replaced rows are kept for proofs; a state is named 16 later at most
PAST_ROWS_MAX: Final = 256  # replaced rows that a proof goes back over: about three milliseconds of hashing
PROVED_ROWS_MAX: Final = 32  # rows of one proof: 2 KiB each
PROVED_KEY_BYTES_MAX: Final = 64  # the longest key: a pool or an application, and who or what
RECORDED_LINKS_MAX: Final = 256  # heights from a receipt to the state that proves it; honest ones stay under 16
HISTORY_BLOCKS: Final = 131_072  # kept whole by a pruned node: two days of blocks that are never idle
SNAPSHOT_INTERVAL: Final = 8_192  # blocks between two snapshots: a quarter of an hour of full load
SNAPSHOT_BEHIND: Final = 2_048  # blocks: further behind, a snapshot is asked for; fewer are executed sooner
SNAPSHOTS_KEPT: Final = 2  # a newcomer may still be fetching the one before the newest
SNAPSHOT_CHUNK_BYTES_MAX: Final = 524_288  # half a frame: a vote never waits longer behind it on a slow wire
SNAPSHOT_CHUNKS_MAX: Final = 4_096  # 2 GiB of rows; a larger state needs another format, and is not snapshot
SNAPSHOT_BLOCKS_MAX: Final = 64  # from the executed height that a header names to the header: honest ones stay under 16
SNAPSHOT_HEADERS_MAX: Final = 128  # from a snapshot to the finalization that covers it
SNAPSHOT_EPOCHS_MAX: Final = 256  # changes of validators; a monthly one for twenty years
SNAPSHOT_MANIFEST_BYTES_MAX: Final = 983_040  # one frame with its head
PAGE_ITEMS_MAX: Final = 200
API_UNITS_PER_S: Final = 1_000  # one caller of the API, in plain reads of 0.3 ms: under a third of a core
API_BURST_S: Final = 5  # so many seconds' units at once after a rest: a page that opens, an export that begins
API_CALLERS_MAX: Final = 4_096  # remembered with their units: a megabyte; the longest unheard is forgotten first
CORS_ORIGINS_MAX: Final = 64  # pages of other origins that may read one node; more are a mistake in the settings
TOKENS_MAX: Final = 64  # bearer tokens of one node's API; each that is shown is compared with all
