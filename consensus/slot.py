"""Everything remembered of one view: proposals by digest, votes, certificates, and what I said myself.

Data only; the laws over it are in `rules`. Never put anything here that a peer can make grow without bound.
"""

from typing import Final

from consensus.tally import Tally
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import ZERO_DIGEST, BlockDigest, ValidatorIndex, View
from protocol.messages import Propose

NO_BLOCK: Final = BlockDigest(ZERO_DIGEST)  # what a Nullify names
PROPOSALS_MAX: Final = 2  # the leader's first and one that contradicts it


class Mine:
    """What I bound myself to in one view; restored from the vote log."""

    __slots__ = ("finalized", "notarized", "nullified", "propose", "votes")

    def __init__(self) -> None:
        self.notarized: BlockDigest | None = None
        self.nullified = False
        self.finalized: BlockDigest | None = None
        self.propose: Propose | None = None
        self.votes: dict[VoteKind, Vote] = {}
        """The very bytes: what is said again is said identically."""


class Slot:
    """One view."""

    __slots__ = (
        "accused",
        "equivocation",
        "finalization",
        "finalizes",
        "mine",
        "notarization",
        "notarizes",
        "nullification",
        "nullifies",
        "proposals",
        "view",
    )

    def __init__(self, view: View) -> None:
        self.view = view
        self.proposals: dict[BlockDigest, Propose] = {}
        self.equivocation = False
        """The leader proposed two blocks: I finalize neither."""
        self.notarizes = Tally()
        self.nullifies = Tally()
        self.finalizes = Tally()
        self.notarization: Certificate | None = None
        self.nullification: Certificate | None = None
        self.finalization: Certificate | None = None
        self.mine = Mine()
        self.accused: dict[ValidatorIndex, bool] = {}
        """Validators whose contradiction in this view was reported."""

    def get_tally(self, kind: VoteKind) -> Tally:
        """The votes of a kind."""
        if kind is VoteKind.NOTARIZE:
            return self.notarizes
        return self.nullifies if kind is VoteKind.NULLIFY else self.finalizes

    def get_certificate(self, kind: VoteKind) -> Certificate | None:
        """The certificate of a kind."""
        if kind is VoteKind.NOTARIZE:
            return self.notarization
        return self.nullification if kind is VoteKind.NULLIFY else self.finalization

    def set_certificate(self, certificate: Certificate) -> None:
        """Keep the first certificate of its kind."""
        assert self.get_certificate(certificate.kind) is None, "one certificate of each kind"
        match certificate.kind:
            case VoteKind.NOTARIZE:
                self.notarization = certificate
            case VoteKind.NULLIFY:
                self.nullification = certificate
            case _:
                self.finalization = certificate

    @property
    def certified(self) -> BlockDigest | None:
        """The one block of this view that a quorum vouched for."""
        if self.finalization is not None:
            return self.finalization.digest
        return self.notarization.digest if self.notarization is not None else None
