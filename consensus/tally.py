"""Votes of one kind in one view: one per validator and at most one that contradicts it, counted per digest.

Only verified votes come in. Never decide here what a quorum means.
"""

from protocol.certificate import Certificate, Vote, VoteKind
from protocol.ids import BlockDigest, Epoch, Signature, ValidatorIndex, View


class Tally:
    """Bounded by 2n votes, whatever peers send."""

    __slots__ = ("_by_digest", "first", "second")

    def __init__(self) -> None:
        self.first: dict[ValidatorIndex, Vote] = {}
        self.second: dict[ValidatorIndex, Vote] = {}
        """Of validators that contradict themselves."""
        self._by_digest: dict[BlockDigest, dict[ValidatorIndex, Signature]] = {}

    def has_room(self, vote: Vote) -> bool:
        """Whether the vote is new here: the validator's first, or its first contradiction."""
        held = self.first.get(vote.index)
        return held is None or (held.digest != vote.digest and vote.index not in self.second)

    def add(self, vote: Vote) -> int:
        """Count a vote there is room for; how many validators vote for its digest now."""
        index = vote.index
        if index in self.first:
            self.second[index] = vote
        else:
            self.first[index] = vote
        votes = self._by_digest.get(vote.digest)
        if votes is None:
            votes = self._by_digest[vote.digest] = {}
        votes[index] = vote.signature
        return len(votes)

    def find(self, index: ValidatorIndex, digest: BlockDigest) -> Signature | None:
        """The verified signature of `index` for `digest`, if it came as a vote."""
        votes = self._by_digest.get(digest)
        return None if votes is None else votes.get(index)

    def find_best(self) -> tuple[BlockDigest | None, tuple[ValidatorIndex, ...]]:
        """The digest with the most votes and who gave them, ascending."""
        best: BlockDigest | None = None
        voters: tuple[ValidatorIndex, ...] = ()
        for digest, votes in self._by_digest.items():
            if len(votes) > len(voters):
                best, voters = digest, tuple(sorted(votes))
        return best, voters

    def make_certificate(
        self, kind: VoteKind, epoch: Epoch, view: View, digest: BlockDigest, quorum: int
    ) -> Certificate:
        """The certificate over the `quorum` lowest indices that voted for `digest`."""
        votes = self._by_digest[digest]
        assert len(votes) >= quorum, "a certificate needs its quorum"
        indices = sorted(votes)[:quorum]
        signers = 0
        for index in indices:
            signers |= 1 << index
        return Certificate(
            kind=kind,
            epoch=epoch,
            view=view,
            digest=digest,
            signers=signers,
            signatures=tuple(votes[index] for index in indices),
        )
