"""From one set of validators to the next: the block that ends an epoch, the time between, and the first view after it.

An epoch ends with the finalization of its boundary block and begins when one's own execution says who follows; between
the two nothing is voted for and nothing is taken. The laws of headers are in `rules`. Never decide here what is final.
"""

from consensus import pacing, replaying
from consensus.machine import Machine, Past
from consensus.pacemaker import Turn
from consensus.records import CertificateRecord
from protocol.block import Header
from protocol.certificate import Certificate
from protocol.ids import Epoch, TimeMs, View
from protocol.validators import make_validator_set


def end(m: Machine, header: Header, finalization: Certificate) -> None:
    """The boundary block is final: what else was heard of its epoch is void, and those left behind are shown why."""
    assert finalization.digest == m.chain.final.digest, "a boundary block is finalised directly"
    m.past = Past(m.epoch, finalization, m.index)
    m.ended = header
    m.slots, m.open_views, m.chain.entries, m.chain.known = {}, [], {}, {}
    m.entry = m.next_entry = m.finalization = None
    m.asked_blocks, m.asked_certificates, m.asked_sync = {}, None, False
    pacing.disarm(m)
    m.view = View(finalization.view + 1)
    m.turn = Turn(m.view)
    m.dirty = True


def try_begin(m: Machine, now_ms: TimeMs) -> bool:
    """Whether an epoch is under way: the next one begins once the state that planned its validators is executed."""
    header, succession = m.ended, m.chain.succession
    if header is None:
        return True
    if not succession.keys:
        return False
    if succession.next_hash != header.next_validators_hash:
        m.raise_alarm(header, "validators_diverged")
        return False
    begin(m)
    pacing.take_part(m, now_ms)
    return True


def begin(m: Machine) -> None:
    """View 1 of the epoch that the last final block opens, with whatever the vote log already binds me to in it."""
    validators = make_validator_set(m.chain.succession.keys, m.chain.final.digest)
    m.chain.begin_epoch(validators)
    m.pace.nullified_in_a_row = 0
    m.open_epoch(Epoch(m.epoch + 1), validators)
    if m.past is not None:
        m.persist(CertificateRecord(certificate=m.past.finalization))
    records, m.later = m.later, []
    replaying.restore(m, records)


def resume(m: Machine) -> None:
    """A floor that ends its epoch: everything up to it is executed, so the next one begins at once."""
    if m.chain.final.is_boundary:
        assert m.chain.succession.keys, "the executed state knows who follows"
        if m.chain.finalization is not None:
            m.past = Past(m.epoch, m.chain.finalization, m.index)
        begin(m)
