"""Entering views, whether there is work, and the four timers.

No timer but the heartbeat runs without work. Never decide here whether a vote is safe.
"""

from consensus.certifying import keep_block
from consensus.departures import Departure
from consensus.effects import SetTimer, StopTimer
from consensus.events import TimerName
from consensus.machine import Machine
from consensus.pacemaker import Turn
from consensus.slot import Slot
from consensus.voting import nullify_what_nobody_holds
from protocol.block import GENESIS_HEIGHT
from protocol.certificate import Certificate, VoteKind
from protocol.ids import TimeMs, View
from protocol.limits import EXECUTION_LAG_MAX, VIEW_WINDOW_PAST


def try_enter(m: Machine, now_ms: TimeMs) -> None:
    """ENTER the view after the highest certificate."""
    certificate = m.next_entry
    if certificate is None or certificate.view < m.view:
        return
    m.next_entry = None
    m.entry = certificate
    _count_departure(m, certificate)
    m.pace.nullified_in_a_row = m.pace.nullified_in_a_row + 1 if _was_given_up(m, certificate) else 0
    m.view = View(certificate.view + 1)
    disarm(m)
    m.turn = Turn(m.view)
    m.asked_certificates = None
    slot = m.slots.get(m.view)
    if slot is not None and _has_foreign(m, slot):
        m.turn.engaged = True
    set_heartbeat(m, now_ms)


def _count_departure(m: Machine, certificate: Certificate) -> None:
    m.departures[Departure.CAUGHT_UP] += certificate.view - m.view
    slot = m.slots.get(certificate.view)
    if certificate.kind is not VoteKind.NULLIFY:
        why = Departure.NOTARIZED
    elif certificate.view == m.view and slot is not None and slot.mine.nullified and m.turn.why is not None:
        why = m.turn.why
    else:
        why = Departure.BY_OTHERS
    m.departures[why] += 1


def _was_given_up(m: Machine, certificate: Certificate) -> bool:
    """Whether the view did not last: nullified, or notarized only after I gave it up and could not finalize it.

    Where messages take longer than D, every view may be notarized too late: only a longer D leads out of that.
    """
    slot = m.slots.get(certificate.view)
    late = certificate.kind is VoteKind.NOTARIZE and slot is not None and slot.mine.nullified
    return late or certificate.kind is VoteKind.NULLIFY


def _has_foreign(m: Machine, slot: Slot) -> bool:
    if slot.proposals:
        return True
    return any(index != m.index for tally in (slot.notarizes, slot.nullifies, slot.finalizes) for index in tally.first)


def set_heartbeat(m: Machine, now_ms: TimeMs) -> None:
    """One block per heartbeat shows that an idle chain lives."""
    if m.may_vote:
        due = TimeMs(now_ms + m.timing.heartbeat_ms)
        m.out.append(SetTimer(name=TimerName.HEARTBEAT, view=m.view, due_ms=due))


# ---------------------------------------------------------------------- work


def is_root_due(m: Machine) -> bool:
    """Everything that was ordered is executed and no finalised header says so yet."""
    chain = m.chain
    return chain.final.exec_height < chain.full_height <= chain.executed


def is_change_due(m: Machine) -> bool:
    """Other validators are planned, and the block that ends this epoch is not final."""
    return m.chain.final.epoch_end > GENESIS_HEIGHT or bool(m.chain.succession.keys)


def has_work(m: Machine) -> bool:
    """Whether the current view has a reason to end."""
    if m.turn.engaged or is_root_due(m) or is_change_due(m):
        return True
    chain = m.chain
    if m.work and chain.final.height + 1 - chain.executed <= EXECUTION_LAG_MAX:
        return True
    for view in m.open_views:
        digest = m.slots[view].certified
        entry = chain.entries.get(digest) if digest is not None else None
        if entry is None or entry.is_full:
            return True  # unknown content may be anything
    return False


def is_urgent(m: Machine) -> bool:
    """Whether a leader should propose even an empty block now."""
    if m.turn.engaged or m.turn.lead_over or is_change_due(m):
        return True
    if not is_root_due(m):
        return False
    # A notarized block that carries the root already only needs time to become final.
    for view in m.open_views:
        digest = m.slots[view].certified
        entry = m.chain.entries.get(digest) if digest is not None else None
        if entry is not None and entry.header.exec_height >= m.chain.full_height:
            return False
    return True


# ---------------------------------------------------------------------- timers


def arm(m: Machine, now_ms: TimeMs) -> None:
    """Start or stop the view's timers as work comes and goes, and the retry while anything is missing."""
    turn, delay_ms = m.turn, m.pace.calculate_delay_ms()
    busy = has_work(m)
    if m.may_vote:
        if busy and not turn.armed:
            turn.armed = True
            lead_ms = delay_ms if m.is_leader else 2 * delay_ms
            _set(m, TimerName.LEAD, now_ms + lead_ms)
            _set(m, TimerName.VIEW, now_ms + 3 * delay_ms)
            m.dirty = True
        elif turn.armed and not busy:
            disarm(m)
    if not m.retry_armed and (turn.armed or _is_missing_blocks(m)):
        m.retry_armed = True
        _set(m, TimerName.RETRY, now_ms + 2 * delay_ms)


def _is_missing_blocks(m: Machine) -> bool:
    """Whether something was asked for that others hold."""
    return m.finalization is not None or bool(m.asked_blocks)


def disarm(m: Machine) -> None:
    """The view's timers stop. A retry of what is missing goes on: views may pass faster than it comes due."""
    if m.turn.armed:
        m.turn.armed = False
        m.out.append(StopTimer(name=TimerName.LEAD))
        m.out.append(StopTimer(name=TimerName.VIEW))
    if m.retry_armed and not _is_missing_blocks(m):
        m.retry_armed = False
        m.out.append(StopTimer(name=TimerName.RETRY))


def _set(m: Machine, name: TimerName, due_ms: int) -> None:
    m.out.append(SetTimer(name=name, view=m.view, due_ms=TimeMs(due_ms)))


def on_timer(m: Machine, name: TimerName, view: View, now_ms: TimeMs) -> None:
    """A timer of a view that is over means nothing, but a retry: what is missing is missing in every view."""
    if name is TimerName.RETRY and m.retry_armed:
        m.retry_armed = False
        retry(m, view == m.view)
        m.dirty = True
        return
    if view != m.view:
        return
    turn = m.turn
    match name:
        case TimerName.LEAD if turn.armed:
            turn.lead_over = True
        case TimerName.VIEW if turn.armed:
            turn.view_over = True
        case TimerName.HEARTBEAT:
            turn.engaged = True
    m.dirty = True


def retry(m: Machine, is_stuck: bool) -> None:
    """Ask again for what is missing and, while the view is stuck, say again what may have been lost."""
    m.asked_blocks = {}
    m.asked_certificates = None
    m.asked_sync = False
    m.turn.asked_payload = False
    if m.may_vote and m.turn.armed:
        nullify_what_nobody_holds(m)
        if is_stuck:
            repeat(m)


def repeat(m: Machine) -> None:
    """The entry certificate, the last finalization, and every own message that no certificate has settled."""
    ended = m.past.finalization if m.past is not None else None
    for certificate in (m.chain.finalization or ended, m.entry):
        if certificate is not None:
            m.broadcast(certificate)
    lowest = max(m.chain.final.view + 1, m.view - VIEW_WINDOW_PAST)
    for view in sorted(view for view in m.slots if view >= lowest):
        slot = m.slots[view]
        if slot.mine.propose is not None and slot.notarization is None:
            m.broadcast(slot.mine.propose)
        for kind, vote in slot.mine.votes.items():
            if slot.get_certificate(kind) is None:
                m.broadcast(vote)


def start(m: Machine, now_ms: TimeMs) -> None:
    """The logs are read and peers can be reached."""
    m.started = True
    take_part(m, now_ms)


def take_part(m: Machine, now_ms: TimeMs) -> None:
    """Check what the logs brought back, say again what may never have left, run the heartbeat."""
    for entry in list(m.chain.entries.values()):
        if not entry.asked:
            keep_block(m, entry.block)
    if m.may_vote:
        repeat(m)
    set_heartbeat(m, now_ms)
    m.dirty = True
