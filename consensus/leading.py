"""When I lead: choose the parent, ask for content, propose once.

A leader proposes at once when there is something new to order or a root to carry, and waits D when only an ancestor
waits to become final: then the finalization usually comes first and the network falls silent.
"""

from typing import NamedTuple

from consensus.chain import Point
from consensus.effects import BuildPayload
from consensus.events import PayloadBuilt, Verdict
from consensus.machine import Machine
from consensus.records import ProposalRecord
from consensus.rules import calculate_epoch_end
from protocol.batch import BatchRef
from protocol.block import HEADER_VERSION, Block, Header, calculate_batches_root
from protocol.certificate import Certificate, VoteKind, calculate_vote_bytes
from protocol.ids import BlockDigest, Digest, Height, TimeMs, View
from protocol.limits import EXECUTION_LAG_MAX
from protocol.messages import Propose, ViewWindow


class Parent(NamedTuple):
    """What the next block builds on."""

    point: Point
    claim: Header | None
    """Its header, which names an executed state; None for the last finalised block."""
    view: View
    certificate: Certificate | None
    skipped: tuple[Certificate, ...]
    """Nullifications of every view between, ascending."""


def find_parent(m: Machine) -> Parent | None:
    """The highest certified block whose payload is held, with every view above it nullified; asks for what lacks."""
    skipped: list[Certificate] = []
    final = m.chain.final
    for at in range(m.view - 1, final.view, -1):
        view = View(at)
        slot = m.slots.get(view)
        digest = slot.certified if slot is not None else None
        if slot is not None and digest is not None:
            entry = m.chain.entries.get(digest)
            if entry is None:
                m.fetch_block(digest)
            elif entry.verdict is Verdict.OK:
                point = m.chain.find_point(digest)
                if point is not None:
                    return Parent(
                        point, entry.header, view, slot.finalization or slot.notarization, tuple(reversed(skipped))
                    )
                missing = m.chain.find_path(digest).missing
                if missing is not None:
                    m.fetch_block(missing)
        if slot is None or slot.nullification is None:
            if digest is None:
                m.fetch_certificates(view)
            return None
        skipped.append(slot.nullification)
    at_final = m.slots.get(final.view)
    certificate = m.chain.finalization or (at_final.notarization if at_final is not None else None)
    return Parent(final, None, final.view, certificate, tuple(reversed(skipped)))


def try_lead(m: Machine, urgent: bool) -> None:
    """Ask for content when it is my turn and there is a reason; `urgent` overrules an empty pool."""
    turn = m.turn
    if not m.may_vote or not m.is_leader or turn.proposed or turn.asked_payload:
        return
    slot = m.slots.get(m.view)
    if slot is not None and (slot.mine.nullified or slot.mine.propose is not None):
        return
    if m.finalization is not None:
        return  # behind: the blocks that are final already come first
    if not urgent and (turn.payload_was_empty or not m.work):
        return
    parent = find_parent(m)
    if parent is None:
        return
    if parent.point.is_boundary:
        _propose_again(m, parent)
        return
    if parent.claim is None and m.chain.executed < m.chain.final.exec_height:
        return  # no header may name less than its parent
    height, claim = parent.point.height + 1, find_claim(m, parent)
    params = m.chain.find_params(claim.height, Height(height))
    if params is None or not params.is_known:
        return  # those who can execute it lead
    empty = height - claim.height > EXECUTION_LAG_MAX
    if empty and not urgent:
        return
    turn.asked_payload = True
    m.out.append(
        BuildPayload(
            view=m.view,
            parent_digest=parent.point.digest,
            excluded=m.chain.collect_batches(parent.point.digest),
            empty=empty,
        )
    )


def on_payload_built(m: Machine, built: PayloadBuilt, urgent: bool, now_ms: TimeMs) -> None:
    """Propose, unless the world has moved on or an empty block would serve nobody yet."""
    turn = m.turn
    if built.view != m.view or not turn.asked_payload or turn.proposed or not m.may_vote:
        return
    turn.asked_payload = False
    slot = m.open_slot(m.view)
    if slot.mine.nullified or slot.mine.propose is not None:
        return
    parent = find_parent(m)
    if parent is None or parent.point.digest != built.parent_digest:
        m.dirty = True
        return
    if not built.batches and not urgent:
        turn.payload_was_empty = True
        return
    block = make_block(m, parent, built.batches, now_ms)
    digest = block.header.calculate_digest()
    entry = m.chain.add(digest, block)
    assert entry is not None, "a child stands above the last finalised block"
    entry.verdict, entry.asked = Verdict.OK, True  # chosen from what is held
    _propose(m, parent, block, digest)


def _propose_again(m: Machine, parent: Parent) -> None:
    """The block that ends the epoch has no children: it is shown unchanged until it is final, which D often suffices
    for."""
    if m.turn.engaged or m.turn.lead_over:
        m.open_slot(m.view)
        _propose(m, parent, m.chain.entries[parent.point.digest].block, parent.point.digest)


def _propose(m: Machine, parent: Parent, block: Block, digest: BlockDigest) -> None:
    """Sign, log, send."""
    assert m.signer is not None, "an observer never leads"
    propose = Propose(
        epoch=m.epoch,
        view=m.view,
        block=block,
        parent_view=parent.view,
        parent_cert=parent.certificate,
        finalization=m.chain.finalization,
        nullifications=parent.skipped[:ViewWindow],
        signature=m.signer.sign(calculate_vote_bytes(VoteKind.PROPOSE, m.chain_id, m.epoch, m.view, digest)),
    )
    m.turn.proposed = True
    m.slots[m.view].mine.propose = propose
    m.persist(ProposalRecord(propose=propose))
    m.broadcast(propose)


class Claim(NamedTuple):
    """What a header says of an executed state."""

    height: Height
    root: Digest
    next_validators_hash: Digest


def find_claim(m: Machine, parent: Parent) -> Claim:
    """The executed state to name: my own, or the parent's when a quorum saw further than I have."""
    height = Height(min(m.chain.executed, m.chain.final.height))
    own, above = m.chain.roots.get(height), parent.claim
    if above is not None and (own is None or above.exec_height > height):
        return Claim(above.exec_height, above.exec_root, above.next_validators_hash)
    assert own is not None, "the root of what is executed is known"
    return Claim(height, own, m.chain.succession.calculate_hash_at(height))


def make_block(m: Machine, parent: Parent, batches: tuple[BatchRef, ...], now_ms: TimeMs) -> Block:
    """The block over `batches` on `parent`, with a time after its parent's."""
    assert m.index is not None, "an observer never leads"
    point = parent.point
    claim = find_claim(m, parent)
    params = m.chain.find_params(claim.height, Height(point.height + 1))
    assert params is not None, "asked before there was content"
    header = Header(
        version=HEADER_VERSION,
        chain_id=m.chain_id,
        epoch=m.epoch,
        height=Height(point.height + 1),
        view=m.view,
        parent_digest=point.digest,
        time_ms=TimeMs(max(now_ms, point.time_ms + 1)),
        batches_root=calculate_batches_root(batches),
        batch_count=len(batches),
        tx_count=sum(ref.tx_count for ref in batches),
        exec_height=claim.height,
        exec_root=claim.root,
        history_root=point.mountains.calculate_root(),
        next_validators_hash=claim.next_validators_hash,
        epoch_end=calculate_epoch_end(point, claim.next_validators_hash, m.chain.succession),
        params_hash=params.params_hash,
        proposer=m.index,
    )
    return Block(header=header, batches=batches)
