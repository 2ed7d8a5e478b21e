"""What must hold after every event, in arithmetic of its own, so that a helper's bug cannot hide.

Nothing of `consensus` decides here: quorums are literals, safety is judged from what is sent and what is durable.
"""

from typing import TYPE_CHECKING

from protocol.block import Block, calculate_batches_root
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import BatchDigest, BlockDigest, Digest, Height, PublicKey, View
from protocol.merkle import calculate_root
from protocol.messages import Propose
from tests.sim.disk import Disk
from tests.sim.keys import Scheme

if TYPE_CHECKING:
    from tests.sim.node import SimNode

TIME_BEHIND_MS_MAX = 10_000  # two seconds, the longest D, and writes that stall
QUORUMS = {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 13: 9, 16: 11, 20: 14}


class BrokenLawError(AssertionError):
    """A law is broken."""


class Judge:
    """Watches all honest nodes of one run."""

    def __init__(self, size: int, scheme: Scheme, keys: tuple[PublicKey, ...], chain_id: bytes) -> None:
        self.size = size
        self.scheme = scheme
        self.keys = keys
        self.chain_id = chain_id
        self.common = (chain_id, calculate_hash("validators", encode(keys)), bytes(32))
        """What every header repeats: network, validators and parameters."""
        self.proven: dict[tuple[VoteKind, View, BlockDigest, int], bool] = {}
        self.finals: dict[Height, BlockDigest] = {}
        self.roots: dict[Height, Digest] = {}
        self.notarized: dict[View, BlockDigest] = {}
        self.said: dict[tuple[int, View, VoteKind], BlockDigest] = {}
        self.proposed: dict[tuple[int, View], BlockDigest] = {}
        self.blocks: dict[BlockDigest, Block] = {}
        self.heights: dict[str, Height] = {}
        self.invalid: dict[BatchDigest, bool] = {}
        """Batches that can never be valid."""

    # ------------------------------------------------------------------ speech

    def on_vote(self, node: "SimNode", vote: Vote) -> None:
        """An honest key sends a vote."""
        index, kind, view = node.index, vote.kind, vote.view
        assert index is not None, "an observer never votes"
        if vote.index != index:
            raise BrokenLawError(f"node {index} votes as {vote.index}")
        again = (index, view, kind) in self.said
        before = self.said.setdefault((index, view, kind), vote.digest)
        if before != vote.digest:
            raise BrokenLawError(f"S1: node {index} said {kind.name} twice in view {view}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(kind)
        if other is not None and (index, view, other) in self.said:
            raise BrokenLawError(f"S2: node {index} said both NULLIFY and FINALIZE in view {view}")
        if node.disk.votes.get((kind, view)) != vote.digest:
            raise BrokenLawError(f"S5: node {index} sent {kind.name} of view {view} before it was durable")
        if again or (kind, view) in node.promised:
            return  # identical bytes; what it needed was durable the first time
        if kind is VoteKind.FINALIZE:
            self._check_s3(index, vote, node.disk, node.final)
        elif kind is VoteKind.NOTARIZE:
            self._check_s4(node, vote.view, vote.digest)
            self._check_vouched(node, self.blocks[vote.digest])

    def _check_vouched(self, node: "SimNode", block: Block) -> None:
        """A Notarize means: I hold every batch, I executed what the header names, and my clock agrees."""
        header, name = block.header, f"{node.name} notarizes in view {block.header.view}"
        parent = self.blocks.get(header.parent_digest)
        refs = block.batches
        if parent is not None and parent.header.height > node.final:
            refs = (*refs, *parent.batches)
        if any(ref.digest not in node.held or ref.digest in self.invalid for ref in refs):
            raise BrokenLawError(f"{name} without a valid batch")
        if header.exec_height > len(node.disk.saved) or self.roots.get(header.exec_height) != header.exec_root:
            raise BrokenLawError(f"{name} a root it does not know")
        if not node.now_ms - TIME_BEHIND_MS_MAX <= header.time_ms <= node.now_ms + 500:
            raise BrokenLawError(f"{name} a block of another time")

    def _check_s3(self, index: int, vote: Vote, disk: Disk, final: Height) -> None:
        """A certificate for it, and every block and batch above the last final one, must be durable by now."""
        known = (
            disk.certificates.get((VoteKind.NOTARIZE, vote.view)),
            disk.certificates.get((VoteKind.FINALIZE, vote.view)),
        )
        at_final = self.blocks.get(self.finals.get(final, BlockDigest(b"")))
        if vote.digest not in known and (at_final is None or at_final.header.view < vote.view):
            raise BrokenLawError(f"S3: node {index} finalizes in view {vote.view} without a notarization")
        at = vote.digest
        while True:
            block = self.blocks.get(at)
            if block is None or block.header.height <= final:
                return
            if at not in disk.blocks:
                raise BrokenLawError(
                    f"S3: node {index} finalizes in view {vote.view}, height {block.header.height} not held"
                )
            if any(ref.digest not in disk.batches or ref.digest in self.invalid for ref in block.batches):
                raise BrokenLawError(f"S3: node {index} finalizes in view {vote.view} without a batch")
            at = block.header.parent_digest

    def _check_s4(self, node: "SimNode", view: View, digest: BlockDigest) -> None:
        """Of a Notarize, and of one's own proposal: nobody may be asked for what one would refuse."""
        disk, name = node.disk, f"S4: {node.name} stands up in view {view}"
        block = self.blocks.get(digest)
        if block is None:
            raise BrokenLawError(f"{name} for a block nobody proposed")
        parent = self.blocks.get(block.header.parent_digest)
        parent_view = parent.header.view if parent is not None else View(0)
        finals = [at for kind, at in disk.certificates if kind is VoteKind.FINALIZE]
        finals += [one.block.header.view for one in disk.saved[-1:]]
        final_view = max(finals, default=View(0))
        if parent_view < max((at for at in finals if at < view), default=View(0)):
            raise BrokenLawError(f"{name} beside a final block")
        if parent is not None and parent_view > final_view:
            held = (
                disk.certificates.get((VoteKind.NOTARIZE, parent_view)),
                disk.certificates.get((VoteKind.FINALIZE, parent_view)),
            )
            if block.header.parent_digest not in held:
                raise BrokenLawError(f"{name}, parent not notarized")
        for at in range(max(parent_view, final_view) + 1, view):
            if (VoteKind.NULLIFY, View(at)) not in disk.certificates:
                raise BrokenLawError(f"{name}, view {at} not nullified")

    def on_proposal(self, node: "SimNode", propose: Propose) -> None:
        """An honest key sends a proposal."""
        digest = propose.block.header.calculate_digest()
        self.blocks[digest] = propose.block
        again = (node.place, propose.view) in self.proposed
        if self.proposed.setdefault((node.place, propose.view), digest) != digest:
            raise BrokenLawError(f"{node.name} proposed twice in view {propose.view}")
        if node.disk.proposals.get(propose.view) != digest:
            raise BrokenLawError(f"S5: {node.name} proposed in view {propose.view} before it was durable")
        if not again and propose.view not in node.promised_proposals:
            self._check_s4(node, propose.view, digest)
        ordered = [ref.digest for ref in propose.block.batches]
        at = self.blocks.get(propose.block.header.parent_digest)
        while at is not None and at.header.height > node.final:
            if any(ref.digest in ordered for ref in at.batches):
                raise BrokenLawError(f"{node.name} orders in view {propose.view} what an ancestor orders")
            at = self.blocks.get(at.header.parent_digest)

    def on_foreign_block(self, block: Block) -> None:
        """A Byzantine leader sends a block."""
        self.blocks[block.header.calculate_digest()] = block

    def on_certificate(self, index: int, certificate: Certificate) -> None:
        """An honest node sends a certificate."""
        voters = bin(certificate.signers).count("1")
        if voters != QUORUMS[self.size] or len(certificate.signatures) != voters:
            raise BrokenLawError(f"node {index} sent a certificate of {voters} votes")
        name = (certificate.kind, certificate.view, certificate.digest, certificate.signers)
        if name not in self.proven:
            self.proven[name] = True
            self._check_signatures(index, certificate)
        if certificate.kind is not VoteKind.NULLIFY:
            before = self.notarized.setdefault(certificate.view, certificate.digest)
            if before != certificate.digest:
                raise BrokenLawError(f"two certified blocks in view {certificate.view}")

    def _check_signatures(self, index: int, certificate: Certificate) -> None:
        """Every signature over the 80 bytes, laid out here once more."""
        raw = b"LS1" + bytes((int(certificate.kind),)) + self.chain_id + certificate.epoch.to_bytes(4, "big")
        raw += certificate.view.to_bytes(8, "big") + certificate.digest
        places = [place for place in range(self.size) if certificate.signers >> place & 1]
        for place, signature in zip(places, certificate.signatures, strict=True):
            if not self.scheme.verify(self.keys[place], raw, signature):
                raise BrokenLawError(f"node {index} sent a certificate with a false signature")

    # ------------------------------------------------------------------ finality

    def on_commit(self, name: str, height_before: Height, blocks: tuple[Block, ...], latest_ms: int) -> None:
        """A node commits blocks on top of `height_before`; no honest clock shows more than `latest_ms`."""
        height = height_before
        for block in blocks:
            header, digest = block.header, block.header.calculate_digest()
            if header.height != height + 1:
                raise BrokenLawError(f"{name} commits height {header.height} after {height}")
            height = header.height
            if self.finals.setdefault(height, digest) != digest:
                raise BrokenLawError(f"agreement: {name} commits another block at height {height}")
            self._check_final_header(name, block, latest_ms)
            if height > 1 and self.finals.get(Height(height - 1)) != header.parent_digest:
                raise BrokenLawError(f"prefix: {name} commits height {height} on another parent")

    def _check_final_header(self, name: str, block: Block, latest_ms: int) -> None:
        header = block.header
        if (header.chain_id, header.next_validators_hash, header.params_hash) != self.common:
            raise BrokenLawError(f"{name} commits height {header.height} of another network")
        if header.exec_height >= header.height:
            raise BrokenLawError(f"{name} commits height {header.height} that names its own execution")
        if self.roots.get(header.exec_height, header.exec_root) != header.exec_root:
            raise BrokenLawError(f"{name} commits height {header.height} with a false exec_root")
        if header.time_ms > latest_ms + 500:
            raise BrokenLawError(f"{name} commits height {header.height} from the future")
        if header.batch_count and header.height - header.exec_height > 16:
            raise BrokenLawError(f"{name} commits height {header.height} though execution lags")
        if header.height <= 40:
            below = [self.finals[Height(height)] for height in range(1, header.height)]
            if header.history_root != calculate_root(below):
                raise BrokenLawError(f"{name} commits height {header.height} with a false history")
        parent = self.blocks.get(header.parent_digest)
        if parent is not None and parent.header.time_ms >= header.time_ms:
            raise BrokenLawError(f"{name} commits height {header.height} before its parent's time")
        if parent is not None and parent.header.exec_height > header.exec_height:
            raise BrokenLawError(f"{name} commits height {header.height} that knows less than its parent")
        if header.batch_count != len(block.batches) or header.batches_root != calculate_batches_root(block.batches):
            raise BrokenLawError(f"{name} commits height {header.height} with other batches")

    def on_executed(self, name: str, height: Height, root: Digest) -> None:
        """A node executed a block."""
        if self.roots.setdefault(height, root) != root:
            raise BrokenLawError(f"{name} has another root at height {height}")
