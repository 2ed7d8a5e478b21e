"""The laws as pure questions: S1 to S5, and what makes a block, a header and a clock acceptable.

S1 at most one Notarize digest per view per key.
S2 never both Nullify(v) and Finalize(v).
S3 Finalize(v, d) only with notarization(v, d), payload verified and durable, and that of every unfinalised ancestor.
S4 Notarize(v, d) only when the parent is notarized and every skipped view is nullified.
S5 nothing is sent before the record that forbids its opposite is durable (the order of effects).

Each `check_` gives a reason or None. Never keep state here and never count votes.
"""

from collections.abc import Sequence

from consensus.chain import Chain, Entry, Path, Point, RootState, Succession
from consensus.events import Params, Verdict
from consensus.slot import Slot
from protocol.block import HEADER_VERSION, Block, Header, calculate_batches_root
from protocol.ids import BlockDigest, ChainId, Digest, Epoch, Height, TimeMs, ValidatorIndex, View
from protocol.limits import BLOCK_TIME_AHEAD_MS_MAX, EXECUTION_LAG_MAX
from protocol.messages import Propose

# ---------------------------------------------------------------------- the five safety rules


def check_may_notarize(slot: Slot, view: View) -> str | None:
    """S1, and only in the current view. A Notarize after one's own Nullify is allowed."""
    if slot.view != view:
        return "view_not_current"
    return "already_notarized" if slot.mine.notarized is not None else None


def check_may_nullify(slot: Slot) -> str | None:
    """S2, first half."""
    if slot.mine.finalized is not None:
        return "already_finalized"
    return "already_nullified" if slot.mine.nullified else None


def check_may_finalize(slot: Slot, digest: BlockDigest, path: Path) -> str | None:
    """S2, second half, and S3; durability is the order of effects that the caller keeps."""
    if slot.mine.finalized is not None:
        return "already_finalized"
    if slot.mine.nullified:
        return "already_nullified"
    if slot.notarization is None or slot.notarization.digest != digest:
        return "not_notarized"
    if slot.equivocation:
        return "leader_equivocated"
    if not path.is_whole:
        return "ancestor_unknown"
    if any(entry.verdict is not Verdict.OK for entry in path.entries):
        return "payload_not_verified"
    return None


def find_unproven_view(slots: dict[View, Slot], chain: Chain, propose: Propose) -> View | None:
    """S4: the first view whose certificate I lack for `propose`, or None when parent and skipped views are proven.

    Where the parent stands is read from certificates: the leader signs the header alone, and whoever relays a
    proposal may write anything beside it. Its `parent_view` says only where to begin asking. A block that is proposed
    again stands on itself.
    """
    final, header = chain.final, propose.block.header
    digest = header.calculate_digest() if is_proposed_again(propose) else header.parent_digest
    lacking: View | None = None
    for at in range(propose.view - 1, final.view, -1):
        slot = slots.get(View(at))
        if slot is not None and slot.certified == digest:
            return lacking
        if slot is None or slot.nullification is None:
            lacking = View(at)
    if digest == final.digest:
        return lacking
    return View(max(final.view + 1, min(propose.parent_view, propose.view - 1)))


def check_parent(chain: Chain, header: Header) -> str | None:
    """Right above the last finalised block only its own child can become final; the rest needs the parent known."""
    is_child = header.parent_digest == chain.final.digest
    return "parent_forked" if (header.height == chain.final.height + 1) != is_child else None


def is_proposed_again(propose: Propose) -> bool:
    """Whether a later leader shows the block that ends the epoch once more, because no child may carry it on."""
    header = propose.block.header
    return header.is_boundary and propose.view > header.view


# ---------------------------------------------------------------------- blocks


def check_block(block: Block) -> str | None:
    """Whether the references are the ones the header vouches for."""
    header = block.header
    if header.batch_count != len(block.batches):
        return "batch_count"
    if header.tx_count != sum(ref.tx_count for ref in block.batches):
        return "tx_count"
    return None if header.batches_root == calculate_batches_root(block.batches) else "batches_root"


def check_header(
    header: Header,
    *,
    chain_id: ChainId,
    epoch: Epoch,
    view: View,
    leader: ValidatorIndex,
    params: Sequence[Params],
) -> str | None:
    """What can be said of a header without its parent."""
    if header.version != HEADER_VERSION or header.chain_id != chain_id or header.epoch != epoch:
        return "header_chain"
    if header.view != view or header.proposer != leader:
        return "header_view"
    if all(header.params_hash != one.params_hash for one in params):  # which of them, `check_root` says
        return "header_params"
    return "header_exec_height" if header.exec_height >= header.height else None


def check_child(header: Header, parent: Point) -> str | None:
    """Whether the header follows from its parent. Time is Byzantine-proof only in order, never in value."""
    if header.parent_digest != parent.digest or header.height != parent.height + 1:
        return "parent_height"
    if header.view <= parent.view:
        return "parent_view"
    if header.time_ms <= parent.time_ms:
        return "time_order"
    if header.history_root != parent.mountains.calculate_root():
        return "history_root"
    if header.exec_height < parent.exec_height:
        return "exec_height_falls"
    if header.batch_count and header.height - header.exec_height > EXECUTION_LAG_MAX:
        return "execution_lag"
    return None


def calculate_epoch_end(parent: Point, next_validators_hash: Digest, succession: Succession) -> Height:
    """Where a child's epoch ends: as its parent says, or a notice after the header that first announces others."""
    if parent.epoch_end or next_validators_hash == succession.current_hash:
        return parent.epoch_end
    return Height(parent.height + 1 + succession.notice)


def check_epoch(header: Header, parent: Point, succession: Succession) -> str | None:
    """Nothing stands on the block that ends an epoch, and every header repeats where that will be."""
    if parent.is_boundary:
        return "epoch_over"
    end = calculate_epoch_end(parent, header.next_validators_hash, succession)
    return None if header.epoch_end == end else "epoch_end"


def is_timely(header: Header, now_ms: TimeMs, behind_ms: int) -> bool:
    """parent.time < time <= local + 500 ms and >= local - behind. Gates my own Notarize; never makes a payload bad."""
    return now_ms - behind_ms <= header.time_ms <= now_ms + BLOCK_TIME_AHEAD_MS_MAX


def check_payload(chain: Chain, entry: Entry) -> Verdict | None:
    """OK, BAD, or None while something is still unknown. Needs `judge_soundness` first."""
    if entry.sound is False or entry.verdict is Verdict.BAD:
        return Verdict.BAD
    if entry.sound is None:
        return None
    root = chain.check_root(entry.header)
    if root is RootState.BAD:
        return Verdict.BAD
    return entry.verdict if root is RootState.OK else None


def judge_soundness(chain: Chain, entry: Entry) -> None:
    """Fill `entry.sound` once the parent is known."""
    if entry.sound is None:
        parent = chain.find_point(entry.header.parent_digest)
        if parent is not None:
            reason = check_child(entry.header, parent) or check_epoch(entry.header, parent, chain.succession)
            entry.sound = reason is None
