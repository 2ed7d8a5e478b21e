"""What must hold after every event, in arithmetic of its own, so that a helper's bug cannot hide.

Nothing of `consensus` decides here: quorums are literals, safety is judged from what is sent and what is durable, and
who validates when is followed along the final blocks.
"""

from typing import TYPE_CHECKING

from protocol.block import Block, Header, calculate_batches_root
from protocol.certificate import Certificate, Vote, VoteKind
from protocol.codec import encode
from protocol.crypto import calculate_hash
from protocol.ids import BatchDigest, BlockDigest, Digest, Epoch, Height, PublicKey, View
from protocol.merkle import calculate_root
from protocol.messages import Propose
from tests.sim.disk import Disk
from tests.sim.keys import Scheme
from tests.sim.seats import Decide, Seats, Step, execute

if TYPE_CHECKING:
    from tests.sim.node import SimNode

TIME_BEHIND_MS_MAX = 10_000  # two seconds, the longest D, and writes that stall
QUORUMS = {1: 1, 2: 2, 3: 2, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 11: 8, 12: 8, 13: 9, 14: 10}
QUORUMS |= {15: 10, 16: 11, 17: 12, 18: 12, 19: 13, 20: 14, 21: 14, 22: 15, 23: 16}


class BrokenLawError(AssertionError):
    """A law is broken."""


class Judge:
    """Watches all honest nodes of one run."""

    def __init__(self, scheme: Scheme, chain_id: bytes, seats: Seats, notice: int, decide: Decide) -> None:
        self.scheme = scheme
        self.chain_id = chain_id
        self.notice = notice
        self.decide = decide
        self.changes: dict[BatchDigest, tuple[Step, ...]] = {}
        """What batches do to the seats."""
        self.states: dict[Height, Seats] = {Height(0): seats}
        """Seats after each final height."""
        self.sets: dict[Epoch, tuple[PublicKey, ...]] = {seats.epoch: seats.keys}
        """Validators of every epoch that has begun."""
        self.geneses: dict[Epoch, BlockDigest] = {seats.epoch: seats.genesis}
        self.began: dict[Epoch, Height] = {seats.epoch: Height(0)}
        """The height that each epoch stands on."""
        self.ends: dict[Epoch, Height] = {}
        """The height that ends each epoch, once a final header announced it."""
        self.proven: dict[tuple[VoteKind, Epoch, View, BlockDigest, int], bool] = {}
        self.finals: dict[Height, BlockDigest] = {}
        self.roots: dict[Height, Digest] = {}
        self.notarized: dict[tuple[Epoch, View], BlockDigest] = {}
        self.said: dict[tuple[PublicKey, Epoch, View, VoteKind], BlockDigest] = {}
        self.proposed: dict[tuple[int, Epoch, View], BlockDigest] = {}
        self.blocks: dict[BlockDigest, Block] = {}
        self.again = 0
        """Proposals of a block that had been proposed before."""
        self.invalid: dict[BatchDigest, bool] = {}
        """Batches that can never be valid."""

    # ------------------------------------------------------------------ speech

    def on_vote(self, node: "SimNode", vote: Vote) -> None:
        """An honest node sends a vote."""
        epoch, kind, view = vote.epoch, vote.kind, vote.view
        key = self.find_voter(node, epoch, vote.index)
        again = (key, epoch, view, kind) in self.said
        before = self.said.setdefault((key, epoch, view, kind), vote.digest)
        if before != vote.digest:
            raise BrokenLawError(f"S1: {node.name} said {kind.name} twice in view {view} of epoch {epoch}")
        other = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(kind)
        if other is not None and (key, epoch, view, other) in self.said:
            raise BrokenLawError(f"S2: {node.name} said both NULLIFY and FINALIZE in view {view} of epoch {epoch}")
        if node.disk.votes.get((epoch, kind, view)) != vote.digest:
            raise BrokenLawError(f"S5: {node.name} sent {kind.name} of view {view} before it was durable")
        if again or (epoch, kind, view) in node.promised:
            return  # identical bytes; what it needed was durable the first time
        self._check_epoch_is_open(node, epoch)
        if kind is VoteKind.FINALIZE:
            self._check_s3(node.name, vote, node.disk, node.final)
        elif kind is VoteKind.NOTARIZE:
            self._check_s4(node, epoch, view, vote.digest)
            self._check_vouched(node, self.blocks[vote.digest], view)

    def find_voter(self, node: "SimNode", epoch: Epoch, index: int | None) -> PublicKey:
        """The key that speaks: one of the node's own, with a seat in that very epoch."""
        if epoch not in self.sets:
            raise BrokenLawError(f"{node.name} speaks in epoch {epoch}, which nobody has reached")
        keys = self.sets[epoch]
        own = [place for place, key in enumerate(keys) if key in node.keys]
        if not own:
            raise BrokenLawError(f"{node.name} speaks in epoch {epoch}, where it has no seat")
        if index is not None and index != own[0]:
            raise BrokenLawError(f"{node.name} speaks as {index} in epoch {epoch}")
        return keys[own[0]]

    def _check_epoch_is_open(self, node: "SimNode", epoch: Epoch) -> None:
        """New words are said only between the commit of the block that an epoch stands on and that of its last one."""
        if node.final < self.began[epoch]:
            raise BrokenLawError(f"{node.name} speaks in epoch {epoch} before it came there")
        if node.final >= self.ends.get(epoch, node.final + 1):
            raise BrokenLawError(f"{node.name} speaks in epoch {epoch} after its end")

    def _check_vouched(self, node: "SimNode", block: Block, view: View) -> None:
        """A Notarize means: I hold every batch, I executed what the header names, and my clock agrees."""
        header, name = block.header, f"{node.name} notarizes in view {view}"
        parent = self.blocks.get(header.parent_digest)
        refs = block.batches
        if parent is not None and parent.header.height > node.final:
            refs = (*refs, *parent.batches)
        if any(ref.digest not in node.held or ref.digest in self.invalid for ref in refs):
            raise BrokenLawError(f"{name} without a valid batch")
        if header.exec_height > len(node.disk.saved) or self.roots.get(header.exec_height) != header.exec_root:
            raise BrokenLawError(f"{name} a root it does not know")
        if header.next_validators_hash != self._find_next(header.exec_height):
            raise BrokenLawError(f"{name} validators that its state does not plan")
        if parent is not None and (parent.header.epoch, parent.header.epoch_end) == (
            header.epoch,
            parent.header.height,
        ):
            raise BrokenLawError(f"{name} a child of the block that ends its epoch")
        if header.view == view and not node.now_ms - TIME_BEHIND_MS_MAX <= header.time_ms <= node.now_ms + 500:
            raise BrokenLawError(f"{name} a block of another time")

    def _find_next(self, height: Height) -> Digest:
        """What a header that names the state after `height` says of the validators to come."""
        seats = self.states[height]
        return calculate_hash("validators", encode(seats.next or seats.keys))

    def _check_s3(self, name: str, vote: Vote, disk: Disk, final: Height) -> None:
        """A certificate for it, and every block and batch above the last final one, must be durable by now."""
        known = (
            disk.certificates.get((vote.epoch, VoteKind.NOTARIZE, vote.view)),
            disk.certificates.get((vote.epoch, VoteKind.FINALIZE, vote.view)),
        )
        at_final = self.blocks.get(self.finals.get(final, BlockDigest(b"")))
        is_settled = at_final is not None and (at_final.header.epoch, at_final.header.view) >= (vote.epoch, vote.view)
        if vote.digest not in known and not is_settled:
            raise BrokenLawError(f"S3: {name} finalizes in view {vote.view} without a notarization")
        at = vote.digest
        while True:
            block = self.blocks.get(at)
            if block is None or block.header.height <= final:
                return
            if at not in disk.blocks:
                raise BrokenLawError(f"S3: {name} finalizes in view {vote.view}, height {block.header.height} not held")
            if any(ref.digest not in disk.batches or ref.digest in self.invalid for ref in block.batches):
                raise BrokenLawError(f"S3: {name} finalizes in view {vote.view} without a batch")
            at = block.header.parent_digest

    def _check_s4(self, node: "SimNode", epoch: Epoch, view: View, digest: BlockDigest) -> None:
        """Of a Notarize, and of one's own proposal: nobody may be asked for what one would refuse."""
        disk, name = node.disk, f"S4: {node.name} stands up in view {view}"
        block = self.blocks.get(digest)
        if block is None:
            raise BrokenLawError(f"{name} for a block nobody proposed")
        header = block.header
        parent = self.blocks.get(header.parent_digest)
        if header.epoch != epoch or (header.view != view and header.height != header.epoch_end):
            raise BrokenLawError(f"{name} for a block of another view")
        finals = [at for era, kind, at in disk.certificates if kind is VoteKind.FINALIZE and era == epoch]
        finals += [one.block.header.view for one in disk.saved[-1:] if one.block.header.epoch == epoch]
        below, parent_view = header.parent_digest, View(0)
        if header.view != view:  # the block that ends the epoch, once more: it stands on itself
            below, parent_view = digest, self._find_vouched(disk, epoch, view, digest)
        elif parent is not None and parent.header.epoch == epoch:
            parent_view = parent.header.view
        final_view = max(finals, default=View(0))
        if parent_view < max((at for at in finals if at < view), default=View(0)):
            raise BrokenLawError(f"{name} beside a final block")
        if parent_view > final_view or header.view != view:
            held = (
                disk.certificates.get((epoch, VoteKind.NOTARIZE, parent_view)),
                disk.certificates.get((epoch, VoteKind.FINALIZE, parent_view)),
            )
            if below not in held:
                raise BrokenLawError(f"{name}, parent not notarized")
        for at in range(max(parent_view, final_view) + 1, view):
            if (epoch, VoteKind.NULLIFY, View(at)) not in disk.certificates:
                raise BrokenLawError(f"{name}, view {at} not nullified")

    def _find_vouched(self, disk: Disk, epoch: Epoch, view: View, digest: BlockDigest) -> View:
        """The last view below `view` whose certificate names the block; 0 when there is none."""
        return max(
            (
                at
                for (era, kind, at), said in disk.certificates.items()
                if era == epoch and kind is not VoteKind.NULLIFY and said == digest and at < view
            ),
            default=View(0),
        )

    def on_proposal(self, node: "SimNode", propose: Propose) -> None:
        """An honest node sends a proposal."""
        header, place = propose.block.header, (node.place, propose.epoch, propose.view)
        digest = header.calculate_digest()
        self.find_voter(node, propose.epoch, None)
        if header.view != propose.view and digest not in self.blocks:
            raise BrokenLawError(f"{node.name} proposes again in view {propose.view} what nobody proposed")
        self.again += header.view != propose.view
        self.blocks[digest] = propose.block
        again = place in self.proposed
        if self.proposed.setdefault(place, digest) != digest:
            raise BrokenLawError(f"{node.name} proposed twice in view {propose.view}")
        if node.disk.proposals.get((propose.epoch, propose.view)) != digest:
            raise BrokenLawError(f"S5: {node.name} proposed in view {propose.view} before it was durable")
        if not again and (propose.epoch, propose.view) not in node.promised_proposals:
            self._check_epoch_is_open(node, propose.epoch)
            self._check_s4(node, propose.epoch, propose.view, digest)
        ordered = [ref.digest for ref in propose.block.batches]
        at = self.blocks.get(header.parent_digest)
        while at is not None and at.header.height > node.final:
            if any(ref.digest in ordered for ref in at.batches):
                raise BrokenLawError(f"{node.name} orders in view {propose.view} what an ancestor orders")
            at = self.blocks.get(at.header.parent_digest)

    def on_foreign_block(self, block: Block) -> None:
        """A Byzantine leader sends a block."""
        self.blocks[block.header.calculate_digest()] = block

    def on_certificate(self, name: str, certificate: Certificate) -> None:
        """An honest node sends a certificate."""
        epoch, view = certificate.epoch, certificate.view
        if epoch not in self.sets:
            raise BrokenLawError(f"{name} sent a certificate of epoch {epoch}, which nobody has reached")
        voters = bin(certificate.signers).count("1")
        if voters != QUORUMS[len(self.sets[epoch])] or len(certificate.signatures) != voters:
            raise BrokenLawError(f"{name} sent a certificate of {voters} votes")
        known = (certificate.kind, epoch, view, certificate.digest, certificate.signers)
        if known not in self.proven:
            self.proven[known] = True
            self._check_signatures(name, certificate)
        if certificate.kind is not VoteKind.NULLIFY:
            before = self.notarized.setdefault((epoch, view), certificate.digest)
            if before != certificate.digest:
                raise BrokenLawError(f"two certified blocks in view {view} of epoch {epoch}")

    def _check_signatures(self, name: str, certificate: Certificate) -> None:
        """Every signature over the 80 bytes, laid out here once more, by the validators of that epoch."""
        raw = b"LS1" + bytes((int(certificate.kind),)) + self.chain_id + certificate.epoch.to_bytes(4, "big")
        raw += certificate.view.to_bytes(8, "big") + certificate.digest
        keys = self.sets[certificate.epoch]
        voters = [key for place, key in enumerate(keys) if certificate.signers >> place & 1]
        for key, signature in zip(voters, certificate.signatures, strict=True):
            if not self.scheme.verify(key, raw, signature):
                raise BrokenLawError(f"{name} sent a certificate with a false signature")

    # ------------------------------------------------------------------ finality

    def on_commit(
        self, name: str, height_before: Height, blocks: tuple[Block, ...], proof: Certificate, latest_ms: int
    ) -> None:
        """A node commits blocks on top of `height_before`; no honest clock shows more than `latest_ms`."""
        height = height_before
        for block in blocks:
            header, digest = block.header, block.header.calculate_digest()
            if header.height != height + 1:
                raise BrokenLawError(f"{name} commits height {header.height} after {height}")
            height = header.height
            is_new = height not in self.finals
            if self.finals.setdefault(height, digest) != digest:
                raise BrokenLawError(f"agreement: {name} commits another block at height {height}")
            if height > 1 and self.finals.get(Height(height - 1)) != header.parent_digest:
                raise BrokenLawError(f"prefix: {name} commits height {height} on another parent")
            if proof.epoch != header.epoch:
                raise BrokenLawError(f"{name} commits height {height} under a finalization of epoch {proof.epoch}")
            self._check_final_header(name, block, latest_ms)
            if is_new:
                self._follow(name, block)

    def _follow(self, name: str, block: Block) -> None:
        """Where the new final block leaves the epochs and the seats."""
        header = block.header
        below = self.states[Height(header.height - 1)]
        over = self.ends.get(below.epoch) == header.height - 1
        epoch = Epoch(below.epoch + over)
        if header.epoch != epoch:
            raise BrokenLawError(f"{name} commits height {header.height} in epoch {header.epoch} instead of {epoch}")
        own = calculate_hash("validators", encode(self.sets[epoch]))
        if epoch not in self.ends and header.next_validators_hash != own:
            self.ends[epoch] = Height(header.height + self.notice)
        if header.epoch_end != self.ends.get(epoch, 0):
            raise BrokenLawError(f"{name} commits height {header.height} with end {header.epoch_end}")
        if header.next_validators_hash != self._find_next(header.exec_height):
            raise BrokenLawError(f"{name} commits height {header.height} with other validators to come")
        if epoch in self.ends and header.next_validators_hash == own:
            raise BrokenLawError(f"{name} commits height {header.height} that takes the plan back")
        seats = execute(below, block, self.changes, self.decide)
        self.states[header.height] = seats
        if self.ends.get(epoch) == header.height:
            following = Epoch(epoch + 1)
            self.sets[following] = tuple(sorted(seats.next))
            self.geneses[following] = header.calculate_digest()
            self.began[following] = header.height

    def _check_final_header(self, name: str, block: Block, latest_ms: int) -> None:
        header: Header = block.header
        if (header.chain_id, header.params_hash) != (self.chain_id, bytes(32)):
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
