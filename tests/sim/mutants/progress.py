"""Bugs of progress and of bounds: a network that stops, one that never rests, memory that grows.

Each function patches one habit away. Never import this outside the mutation gate.
"""

from typing import Any

import pytest

from consensus import certifying, leading, pacing, voting
from consensus.chain import Chain
from consensus.events import TimerName
from consensus.machine import Machine
from consensus.pacemaker import Pacemaker
from consensus.tally import Tally
from protocol.certificate import VoteKind
from protocol.ids import View

Patch = pytest.MonkeyPatch


def no_window(patch: Patch) -> None:
    patch.setattr(Machine, "view_max", property(lambda _: View(2**53)))


def never_repeat(patch: Patch) -> None:
    patch.setattr(pacing, "repeat", lambda *_: None)
    patch.setattr(certifying, "help_laggard", lambda *_: None)


def never_nullify(patch: Patch) -> None:
    patch.setattr(voting, "try_nullify", lambda *_: None)


def never_fetch(patch: Patch) -> None:
    patch.setattr(Machine, "fetch_block", lambda *_: None)
    patch.setattr(Machine, "fetch_certificates", lambda *_: None)
    patch.setattr(Machine, "fetch_blocks", lambda *_: None)


def surplus_signatures(patch: Patch) -> None:
    honest = Machine.open_epoch

    def open_epoch(self: Machine, epoch: Any, validators: Any) -> None:
        honest(self, epoch, validators)
        self.quorum = self.size

    patch.setattr(Machine, "open_epoch", open_epoch)


def parent_below(patch: Patch) -> None:
    honest = leading.find_parent

    def find(m: Machine) -> Any:
        found = honest(m)
        return found if found is None else leading.Parent(m.chain.final, None, m.chain.final.view, None, ())

    patch.setattr(leading, "find_parent", find)


# ---------------------------------------------------------------------- leaders


def order_twice(patch: Patch) -> None:
    patch.setattr(Chain, "collect_batches", lambda *_: ())


def leap_over_a_gap(patch: Patch) -> None:
    """A leader that does not mind views nobody gave up."""
    honest = leading.find_parent

    def find(m: Machine) -> Any:
        found = honest(m)
        if found is not None:
            return found
        return leading.Parent(m.chain.final, None, m.chain.final.view, m.chain.finalization, ())

    patch.setattr(leading, "find_parent", find)


def lead_while_behind(patch: Patch) -> None:
    """On the last block it holds, although a later one is final. (The check in `try_lead` is a second net: without it
    `find_parent` finds no parent, so both must go before anything happens.)"""
    honest_lead, honest_find = leading.try_lead, leading.find_parent

    def lead(m: Machine, urgent: bool) -> None:
        kept, m.finalization = m.finalization, None
        honest_lead(m, urgent)
        m.finalization = kept

    def find(m: Machine) -> Any:
        held = m.chain.final
        return honest_find(m) or leading.Parent(held, None, held.view, m.chain.finalization, ())

    patch.setattr(leading, "try_lead", lead)
    patch.setattr(leading, "find_parent", find)


# ---------------------------------------------------------------------- views and timers


def one_claim_moves_a_view(patch: Patch) -> None:
    honest = certifying.on_vote

    def on_vote(m: Machine, vote: Any, now_ms: Any) -> None:
        honest(m, vote, now_ms)
        if vote.kind is VoteKind.NULLIFY and m.view < vote.view <= m.view_max:
            m.view = View(vote.view)
            m.turn = pacing.Turn(m.view)
            m.dirty = True

    patch.setattr(certifying, "on_vote", on_vote)


def _deaf_to(name: TimerName) -> Any:
    def apply(patch: Patch) -> None:
        honest = pacing.on_timer

        def on_timer(m: Machine, fired: TimerName, view: Any, now_ms: Any) -> None:
            if fired is not name:
                honest(m, fired, view, now_ms)

        patch.setattr(pacing, "on_timer", on_timer)

    return apply


no_lead_timer = _deaf_to(TimerName.LEAD)
no_view_timer = _deaf_to(TimerName.VIEW)
no_retry_timer = _deaf_to(TimerName.RETRY)
no_heartbeat = _deaf_to(TimerName.HEARTBEAT)


def views_put_the_retry_off(patch: Patch) -> None:
    honest = pacing.disarm

    def disarm(m: Machine) -> None:
        honest(m)
        if m.retry_armed:
            m.retry_armed = False
            m.out.append(pacing.StopTimer(name=TimerName.RETRY))

    patch.setattr(pacing, "disarm", disarm)


def never_rest(patch: Patch) -> None:
    patch.setattr(pacing, "has_work", lambda _: True)


def wait_for_the_dead(patch: Patch) -> None:
    honest = voting._is_over

    def is_over(m: Machine) -> bool:
        m.heard[m.leader] = m.view
        return honest(m)

    patch.setattr(voting, "_is_over", is_over)


def wait_for_who_gave_up(patch: Patch) -> None:
    honest = voting._is_over

    def is_over(m: Machine) -> bool:
        slot = m.slots.get(m.view)
        given_up = None if slot is None else slot.nullifies.first.pop(m.leader, None)
        found = honest(m)
        if slot is not None and given_up is not None:
            slot.nullifies.first[m.leader] = given_up
        return found

    patch.setattr(voting, "_is_over", is_over)


def spin_on_bad_payloads(patch: Patch) -> None:
    honest = voting._is_over

    def is_over(m: Machine) -> bool:
        slot = m.slots.get(m.view)
        bad = slot is not None and bool(slot.proposals) and not voting._has_hopeful_proposal(m, slot)
        return bad or honest(m)

    patch.setattr(voting, "_is_over", is_over)


def wait_without_a_cap(patch: Patch) -> None:
    honest = Pacemaker.calculate_delay_ms

    def calculate(self: Pacemaker) -> int:
        k, self.nullified_in_a_row = self.nullified_in_a_row, 0
        base = honest(self)
        self.nullified_in_a_row = k
        return base * 3**k // 2**k

    patch.setattr(Pacemaker, "calculate_delay_ms", calculate)


def never_forgive_the_wait(patch: Patch) -> None:
    """Each nullified view lengthens D, and no notarization shortens it again."""

    def put(pace: Pacemaker, value: int) -> None:
        pace.__dict__["k"] = max(value, pace.__dict__.get("k", 0))

    class Growing(Pacemaker):
        __slots__ = ("__dict__",)
        nullified_in_a_row = property(lambda pace: pace.__dict__.get("k", 0), put)  # type: ignore[assignment]

    patch.setattr("consensus.machine.Pacemaker", Growing)


def forgive_the_wait_too_soon(patch: Patch) -> None:
    """A notarization that came too late to finalize its view counts as success."""
    patch.setattr(pacing, "_was_given_up", lambda _, certificate: certificate.kind is VoteKind.NULLIFY)


def help_without_end(patch: Patch) -> None:
    honest = certifying.help_laggard

    def help_laggard(m: Machine, now_ms: Any) -> None:
        m.helped_ms = type(now_ms)(-(10**12))
        honest(m, now_ms)

    patch.setattr(certifying, "help_laggard", help_laggard)


def wait_for_the_lost(patch: Patch) -> None:
    patch.setattr(pacing, "nullify_what_nobody_holds", lambda _: None)


# ---------------------------------------------------------------------- bounds


def keep_every_proposal(patch: Patch) -> None:
    patch.setattr(certifying, "PROPOSALS_MAX", 10**6)


def keep_every_contradiction(patch: Patch) -> None:
    def has_room(self: Tally, vote: Any) -> bool:
        return self.find(vote.index, vote.digest) is None

    patch.setattr(Tally, "has_room", has_room)


def keep_every_view(patch: Patch) -> None:
    honest = Machine.prune

    def prune(self: Machine) -> None:
        kept = self.slots
        honest(self)
        self.slots = kept

    patch.setattr(Machine, "prune", prune)


def keep_every_root(patch: Patch) -> None:
    patch.setattr(Chain, "_forget_roots", lambda _: None)
