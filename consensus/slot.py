"""One view's memory: proposals by digest, votes by kind and digest, certificates, and what I myself did in it.

Bounded whatever peers send: per validator and kind one vote and at most one conflicting one; at most two proposals.
Never decide anything here; rules live in `consensus.engine`.
"""

from enum import Enum

from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import BlockDigest, Signature, TimeMs, ValidatorIndex, View
from protocol.messages import Propose


class Payload(Enum):
    """What is known of a block's payload."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    OK = "ok"
    BAD = "bad"


class Slot:
    """State of one view."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.proposals: dict[BlockDigest, Propose] = {}
        self.payload: dict[BlockDigest, Payload] = {}
        self.votes: dict[tuple[VoteKind, BlockDigest], dict[ValidatorIndex, Signature]] = {}
        self.cast: dict[tuple[VoteKind, ValidatorIndex], list[Vote]] = {}
        self.notarizations: dict[BlockDigest, Certificate] = {}
        self.nullification: Certificate | None = None
        self.finalization: Certificate | None = None
        self.equivocated = False
        self.notarized: BlockDigest | None = None
        self.notarized_ms: TimeMs | None = None
        self.nullified = False
        self.finalized: BlockDigest | None = None
        self.proposed = False
        self.building = False

    def wants(self, vote: Vote) -> bool:
        """Whether a vote is new and within the bound of two per validator and kind."""
        cast = self.cast.get((vote.kind, vote.index), [])
        return len(cast) < 2 and all(one.digest != vote.digest for one in cast)

    def holds(self, kind: VoteKind, digest: BlockDigest) -> bool:
        """Whether the certificate of this kind and digest is here."""
        if kind is VoteKind.NOTARIZE:
            return digest in self.notarizations
        return (self.nullification if kind is VoteKind.NULLIFY else self.finalization) is not None

    def is_decided(self) -> bool:
        """Whether some certificate lets a node pass this view."""
        return bool(self.notarizations) or self.nullification is not None or self.finalization is not None

    def add_vote(self, vote: Vote) -> Vote | None:
        """Count a verified vote; returns the earlier vote it conflicts with, if any. Repeats change nothing."""
        cast = self.cast.setdefault((vote.kind, vote.index), [])
        if any(one.digest == vote.digest for one in cast):
            return None
        if len(cast) >= 2:
            return None
        cast.append(vote)
        self.votes.setdefault((vote.kind, vote.digest), {})[vote.index] = vote.signature
        return cast[0] if len(cast) == 2 else None
