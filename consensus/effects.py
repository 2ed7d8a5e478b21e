"""Everything the engine can ask for, as data, to be carried out in order.

The order is the safety rule S5 made visible: whatever stands after a `Persist` must not happen before that record is
durable. A shell may group the persists of one list (and of several steps) into one fsync, never reorder them
behind a send.
"""

import msgspec

from consensus.events import TimerName
from consensus.records import Record
from protocol.block import FIRST_EPOCH, GENESIS_HEIGHT, Block, Header
from protocol.certificate import Certificate, Vote
from protocol.ids import BatchDigest, BlockDigest, Epoch, Height, TimeMs, View
from protocol.messages import Propose


class Persist(msgspec.Struct, frozen=True, kw_only=True):
    """Append a record to the vote log; durable before anything that follows."""

    record: Record


class PersistPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Make these blocks and their batches durable in the payload log, before anything that follows (rule S3)."""

    blocks: tuple[Block, ...]


class Broadcast(msgspec.Struct, frozen=True, kw_only=True):
    """Send to every validator, then feed it back to the engine as received: only now does one's own vote count."""

    message: Propose | Vote | Certificate


class SetTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Fire `TimerFired(name, view)` at `due_ms`; replaces the timer of that name."""

    name: TimerName
    view: View
    due_ms: TimeMs


class StopTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Forget the timer of that name."""

    name: TimerName


class BuildPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Choose batches for a block on `parent`; answer with `PayloadBuilt`."""

    view: View
    parent_digest: BlockDigest
    excluded: tuple[BatchDigest, ...]
    """Batches that unfinalised ancestors already order."""
    empty: bool
    """Execution lags: the block must order nothing."""


class CheckPayload(msgspec.Struct, frozen=True, kw_only=True):
    """Obtain and check every batch of `block`; answer with `PayloadChecked`, however late."""

    block: Block


class FetchBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A certified block's content is missing: one's own payload log first, then peers, until `ReceivedBlock` brings it.

    Asked again while it is wanted; after a power failure everywhere the logs may be the only place.
    """

    digest: BlockDigest


class FetchCertificates(msgspec.Struct, frozen=True, kw_only=True):
    """Ask peers for the certificates of an epoch's views from `view_from` on."""

    view_from: View
    epoch: Epoch = FIRST_EPOCH


class FetchBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """A finalization was seen whose ancestors are unknown: catch up by sync from the last finalised height."""

    known: Height = GENESIS_HEIGHT
    """The lowest height above it whose digest is known to be final; 0 when none is but the finalization's own."""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """These blocks, ascending, are final: execute and save them, each once, in this order.

    Batches that `CheckPayload` was not answered for yet are still to be obtained: finality does not wait for them.
    """

    blocks: tuple[Block, ...]
    finalization: Certificate
    """Of the last block, or of a descendant that is not among them."""


class ReportEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Two signed messages of one validator that contradict each other."""

    first: Vote | Propose
    second: Vote | Propose


class RaiseAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A certified header names another root, or other validators to come, than one's own execution: stop voting, keep
    everything, call a person."""

    header: Header
    reason: str


Effect = (
    Persist
    | PersistPayload
    | Broadcast
    | SetTimer
    | StopTimer
    | BuildPayload
    | CheckPayload
    | FetchBlock
    | FetchCertificates
    | FetchBlocks
    | Commit
    | ReportEvidence
    | RaiseAlarm
)
