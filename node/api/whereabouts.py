"""Where a node stands, as data: how far it has caught up, and what consensus waits for. Said by the API as it is.

Never behaviour here: `node.progress` and `node.why` fill these in.
"""

from typing import Final, Literal, get_args

import msgspec

from protocol.ids import Height, View

SyncStage = Literal["looking_for_peers", "snapshot", "blocks", "executing", "following"]
STAGES: Final[tuple[str, ...]] = get_args(SyncStage)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where catching up stands."""

    stage: SyncStage
    validators_heard: int
    """Of the validators, this node among them if it is one, how many were heard lately."""
    validators_needed: int
    height: Height
    """Executed and saved here."""
    target: Height
    """What the network has reached, as far as believed peers say; never below `height`."""
    blocks_per_s: float
    """Over the last seconds; 0 when nothing moved."""
    bytes_done: int = 0
    """Of a snapshot that is being fetched."""
    bytes_size: int = 0
    bytes_per_s: float = 0.0
    left_s: int | None = None
    """Until the stage's end at this pace; None while there is none or it cannot be told."""


class Silent(msgspec.Struct, frozen=True, kw_only=True):
    """A validator whose word lacks."""

    name: str
    is_self: bool
    connected: bool
    silent_ms: int
    """Since its last message of any kind; -1 when it never spoke, 0 for this node."""
    voted_view: View
    """The highest view in which it signed anything."""


class Why(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is final yet."""

    what: str
    """votes, proposal, payload, blocks, execution or voting_stopped."""
    sentence: str
    view: View
    vote: str
    """Which kind of vote lacks; empty when something else does."""
    lacking: int
    """How many more of them."""
    since_ms: int
    """For how long this node has been in this view at this height."""
    silent: tuple[Silent, ...]
