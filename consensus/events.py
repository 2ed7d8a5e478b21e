"""Everything the engine can be told. An event is a fact; what to do about it is the engine's business.

Time enters with each step (`engine.step(event, now_ms)`), never through a clock.
"""

from enum import Enum

import msgspec

from protocol.batch import BatchRef
from protocol.block import Block
from protocol.certificate import Certificate, Vote
from protocol.ids import BlockDigest, Digest, Height, PublicKey, View
from protocol.messages import Blocks, Certificates, Propose


class Verdict(Enum):
    """What the shell says of a block's payload."""

    OK = "ok"  # every batch is held, stateless-valid and durable enough to be served
    BAD = "bad"  # some batch can never be valid


class TimerName(Enum):
    """Timers the engine sets; a fired timer names the view it was set for."""

    LEAD = "lead"  # 2D: no proposal came
    VIEW = "view"  # 3D: the view takes too long
    RETRY = "retry"  # 2D: say again what may have been lost
    HEARTBEAT = "heartbeat"  # an idle chain shows that it lives


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """The vote log is replayed and peers can be reached: take part."""


class ReceivedProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal arrived, from whomever; its signature is checked by the engine."""

    propose: Propose


class ReceivedVote(msgspec.Struct, frozen=True, kw_only=True):
    """A vote arrived, or one's own vote was made durable and sent (`Broadcast` carried out)."""

    vote: Vote


class ReceivedCertificate(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate arrived."""

    certificate: Certificate


class ReceivedCertificates(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to `FetchCertificates`."""

    certificates: Certificates


class ReceivedBlock(msgspec.Struct, frozen=True, kw_only=True):
    """An answer to `FetchBlock`; the engine checks that the header hashes to a digest it wants."""

    block: Block


class ReceivedBlocks(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of finalised blocks from sync: checked by hash chain and finalization, then committed."""

    blocks: Blocks


class PayloadChecked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `CheckPayload`."""

    digest: BlockDigest
    verdict: Verdict


class PayloadBuilt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `BuildPayload`: batches to order, perhaps none."""

    view: View
    parent_digest: BlockDigest
    batches: tuple[BatchRef, ...]


class WorkChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Whether batches wait to be ordered or ledger events are due.

    Best said again for each batch that arrives: a leader whose pool was empty looks into it again at once.
    """

    has_work: bool


class Params(msgspec.Struct, frozen=True):
    """What headers name as their parameters from a height on."""

    planned_at: Height
    """The height whose execution decided it: headers that name an older state do not know it."""
    since: Height
    params_hash: Digest
    is_known: bool = True
    """Whether this node can execute blocks under them; it votes for none that it cannot."""


class Executed(msgspec.Struct, frozen=True, kw_only=True):
    """Block `height` is executed and saved; its root may be named in headers."""

    height: Height
    exec_root: Digest
    next_validators: tuple[PublicKey, ...] = ()
    """Keys that the state after `height` plans for the next epoch; () when it plans none."""
    suspects: tuple[PublicKey, ...] = ()
    """Keys convicted of equivocation by that state: their views are given up at once."""
    params: tuple[Params, ...] = ()
    """What that state says of headers' parameters from which height on; () leaves what was known."""


class TimerFired(msgspec.Struct, frozen=True, kw_only=True):
    """A timer set by `SetTimer` is due."""

    name: TimerName
    view: View


Event = (
    Started
    | ReceivedProposal
    | ReceivedVote
    | ReceivedCertificate
    | ReceivedCertificates
    | ReceivedBlock
    | ReceivedBlocks
    | PayloadChecked
    | PayloadBuilt
    | WorkChanged
    | Executed
    | TimerFired
)
