"""What is final: from a finalization down to the last final block, by consensus or by sync. The only committer.

Never move a view here; only certificates do.
"""

from typing import Final

from consensus import epochs
from consensus.certifying import accept_certificate, prove_certificate
from consensus.chain import RootState
from consensus.effects import Commit
from consensus.events import Executed
from consensus.machine import Machine
from consensus.rules import check_block
from consensus.voting import list_undecided
from protocol.block import Header
from protocol.certificate import Certificate, VoteKind
from protocol.ids import BlockDigest, Height
from protocol.messages import Blocks

HOLE_BLOCKS_MAX: Final = 16  # a hole this small is filled block by block while sync begins


def try_commit(m: Machine) -> None:
    """Commit what the highest finalization covers, or ask for what lacks."""
    finalization = m.finalization
    if finalization is None:
        return
    if finalization.view <= m.chain.final.view:
        m.finalization = None
        return
    path = m.chain.find_path(finalization.digest)
    if path.forked:
        m.raise_alarm(path.entries[0].header, "finalization_forks_chain")
        return
    if path.missing is None:
        _commit(m, finalization.digest, finalization)
        return
    lowest = path.entries[0].height if path.entries else m.chain.final.height + 1
    if lowest - m.chain.final.height <= HOLE_BLOCKS_MAX:
        m.fetch_block(path.missing)
    m.fetch_blocks()


def _commit(m: Machine, last: BlockDigest, finalization: Certificate) -> None:
    """Make the whole path to `last`, which `finalization` covers, final: each block once and in order."""
    path = m.chain.find_path(last)
    assert path.is_whole, "only a whole path is committed"
    for entry in path.entries:
        if m.chain.check_root(entry.header) is RootState.BAD:
            _alarm(m, entry.header)
        if entry.header.is_boundary and entry.digest != finalization.digest:
            m.raise_alarm(entry.header, "epoch_outlived")
            return
    m.chain.advance(path.entries, finalization)
    m.out.append(Commit(blocks=tuple(entry.block for entry in path.entries), finalization=finalization))
    if m.finalization is not None and m.finalization.view <= m.chain.final.view:
        m.finalization = None
    m.prune()
    m.asked_sync = False
    m.dirty = True
    if m.chain.final.is_boundary:
        epochs.end(m, path.entries[-1].header, finalization)


def on_blocks(m: Machine, blocks: Blocks) -> None:
    """A stretch from sync: a hash chain from the last final block up to what a finalization covers.

    Its upper end is the finalization's own block, or one that headers tied to a finalization before. Headers alone
    tie what stands below them; they make nothing final here.
    """
    finalization = blocks.finalization
    if finalization is None or finalization.kind is not VoteKind.FINALIZE or finalization.epoch != m.epoch:
        return
    if finalization.view <= m.chain.final.view or m.ended is not None:
        return
    above = tuple(block for block in blocks.blocks if block.header.height > m.chain.final.height)
    if any(check_block(block) is not None for block in above) or (blocks.blocks and not above):
        return
    headers = (*(block.header for block in above), *blocks.trailing)
    if any(header.epoch != m.epoch for header in headers):
        return  # another epoch's blocks stand under another set's finalization
    digests = _link(headers)
    proof = _prove(m, headers[-1], digests[-1], finalization) if digests else None
    if proof is None:
        return
    if not above:
        _know(m, headers[0])
    elif headers[0].parent_digest == m.chain.final.digest and headers[0].height == m.chain.final.height + 1:
        for digest, block in zip(digests, above, strict=False):
            m.chain.add(digest, block)
        _commit(m, digests[len(above) - 1], proof)


def _link(headers: tuple[Header, ...]) -> tuple[BlockDigest, ...]:
    """The headers' digests; none when one does not follow from the one before."""
    digests: list[BlockDigest] = []
    for place, header in enumerate(headers):
        if digests and (header.parent_digest != digests[-1] or header.height != headers[place - 1].height + 1):
            return ()
        digests.append(header.calculate_digest())
    return tuple(digests)


def _prove(m: Machine, last: Header, digest: BlockDigest, finalization: Certificate) -> Certificate | None:
    """The proven finalization that covers the last header: the one given, or that which made the header known."""
    if m.chain.known.get(last.height) == digest:
        assert m.finalization is not None, "what is known hangs below a finalization still to be committed"
        return m.finalization
    if finalization.digest != digest:
        return None
    if finalization.view != last.view and not (last.is_boundary and finalization.view > last.view):
        return None
    slot = m.slots.get(finalization.view)
    held = slot.finalization if slot is not None else None
    if held is not None:
        return held if held.digest == digest else None
    if not prove_certificate(m, slot, finalization):
        return None
    accept_certificate(m, m.open_slot(finalization.view), finalization)
    return finalization


def _know(m: Machine, lowest: Header) -> None:
    """A page of headers hangs together and from what is final: its lowest parent is final too."""
    below = Height(lowest.height - 1)
    if below > m.chain.final.height and below not in m.chain.known:
        m.chain.known[below] = lowest.parent_digest
        m.asked_sync = False
        m.dirty = True


def check_divergence(m: Machine) -> None:
    """A certified header that names another state than my own execution's: alarm. Uncertified ones are merely bad."""
    for view in list_undecided(m):
        digest = m.slots[view].certified
        entry = m.chain.entries.get(digest) if digest is not None else None
        if entry is not None and m.chain.check_root(entry.header) is RootState.BAD:
            _alarm(m, entry.header)


def _alarm(m: Machine, header: Header) -> None:
    """Alarm: what a quorum certified is not what I executed."""
    chain = m.chain
    reason = "rules_diverged"
    if chain.roots[header.exec_height] != header.exec_root:
        reason = "exec_root_diverged"
    elif chain.succession.calculate_hash_at(header.exec_height) != header.next_validators_hash:
        reason = "validators_diverged"
    m.raise_alarm(header, reason)


def on_executed(m: Machine, event: Executed) -> None:
    """My own execution went on: headers that waited for this state can be judged."""
    contradicted = m.chain.on_executed(event.height, event.exec_root, event.next_validators, event.params)
    if event.suspects != m.convicted:
        m.convicted = event.suspects
        m.suspect_convicted()
    if contradicted is not None:
        _alarm(m, contradicted)
    m.dirty = True
