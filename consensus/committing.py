"""What is final: from a finalization down to the last final block, by consensus or by sync. The only committer.

Never move a view here; only certificates do.
"""

from typing import Final

from consensus.certifying import accept_certificate, prove_certificate
from consensus.chain import RootState
from consensus.effects import Commit
from consensus.machine import Machine
from consensus.rules import check_block
from protocol.certificate import Certificate, VoteKind
from protocol.ids import BlockDigest, Digest, Height
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
        _commit(m, finalization)
        return
    lowest = path.entries[0].height if path.entries else m.chain.final.height + 1
    if lowest - m.chain.final.height <= HOLE_BLOCKS_MAX:
        m.fetch_block(path.missing)
    m.fetch_blocks()


def _commit(m: Machine, finalization: Certificate) -> None:
    """Make the whole path to `finalization` final, each block once and in order."""
    path = m.chain.find_path(finalization.digest)
    assert path.is_whole, "only a whole path is committed"
    for entry in path.entries:
        if m.chain.check_root(entry.header) is RootState.BAD:
            m.raise_alarm(entry.header, "exec_root_diverged")
    m.chain.advance(path.entries, finalization)
    m.out.append(Commit(blocks=tuple(entry.block for entry in path.entries), finalization=finalization))
    if m.finalization is not None and m.finalization.view <= finalization.view:
        m.finalization = None
    m.prune()
    m.asked_sync = False
    m.dirty = True


def on_blocks(m: Machine, blocks: Blocks) -> None:
    """A stretch from sync: hash chain from the last final block to a finalization of one of its blocks."""
    finalization = blocks.finalization
    if finalization is None or finalization.kind is not VoteKind.FINALIZE or finalization.epoch != m.epoch:
        return
    if finalization.view <= m.chain.final.view:
        return
    digests: list[BlockDigest] = []
    at: BlockDigest = m.chain.final.digest
    height = m.chain.final.height
    above = [block for block in blocks.blocks if block.header.height > height]
    for block in above:
        header = block.header
        height = Height(height + 1)
        if header.height != height or header.parent_digest != at or check_block(block) is not None:
            return
        at = header.calculate_digest()
        digests.append(at)
        if at == finalization.digest:
            break
    if not digests or digests[-1] != finalization.digest or above[len(digests) - 1].header.view != finalization.view:
        return
    slot = m.slots.get(finalization.view)
    held = slot.finalization if slot is not None else None
    if held is None:
        if not prove_certificate(m, slot, finalization):
            return
        accept_certificate(m, m.open_slot(finalization.view), finalization)
    elif held.digest != finalization.digest:
        return
    for digest, block in zip(digests, above, strict=False):
        m.chain.add(digest, block)
    _commit(m, held or finalization)


def check_divergence(m: Machine) -> None:
    """A certified header that names another root than my own execution's: alarm. Uncertified ones are merely bad."""
    for view in m.open_views:
        digest = m.slots[view].certified
        entry = m.chain.entries.get(digest) if digest is not None else None
        if entry is not None and m.chain.check_root(entry.header) is RootState.BAD:
            m.raise_alarm(entry.header, "exec_root_diverged")


def on_executed(m: Machine, height: Height, root: Digest) -> None:
    """My own execution went on: headers that waited for this root can be judged."""
    contradicted = m.chain.on_executed(height, root)
    if contradicted is not None:
        m.raise_alarm(contradicted, "exec_root_diverged")
    m.dirty = True
