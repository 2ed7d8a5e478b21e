"""Bugs that break a promise: the five safety rules, their order, and what a restart remembers.

Each function patches one law away. Never import this outside the mutation gate.
"""

from typing import Any

import pytest

from consensus import certifying, leading, pacing, replaying, rules, voting
from consensus.effects import Broadcast, Effect, Persist, PersistPayload
from consensus.machine import Machine
from consensus.records import CertificateRecord, ProposalRecord, VoteRecord
from consensus.slot import Mine
from protocol.certificate import Certificate, VoteKind
from protocol.ids import View
from protocol.messages import Propose
from tests.sim.node import SimNode

Patch = pytest.MonkeyPatch


def drop_s1(patch: Patch) -> None:
    def check(slot: Any, view: View) -> str | None:
        voted = {vote.digest for vote in slot.mine.votes.values() if vote.kind is VoteKind.NOTARIZE}
        fresh = [digest for digest in slot.proposals if digest not in voted]
        return None if slot.view == view and fresh else "nothing new"

    def notarize(m: Machine, now_ms: Any) -> None:
        slot = m.slots.get(m.view)
        if slot is not None and m.may_vote and check(slot, m.view) is None:
            for digest, propose in slot.proposals.items():
                if digest != slot.mine.notarized and voting._is_acceptable(m, digest, propose, now_ms):
                    slot.mine.notarized = digest
                    voting.cast(m, slot, VoteKind.NOTARIZE, digest)
                    return

    patch.setattr(voting, "try_notarize", notarize)


def quorum_minus_one(patch: Patch) -> None:
    honest = Machine.open_epoch

    def open_epoch(self: Machine, epoch: Any, validators: Any) -> None:
        honest(self, epoch, validators)
        self.quorum = max(1, self.quorum - 1)

    patch.setattr(Machine, "open_epoch", open_epoch)


def forget_nullifications(patch: Patch) -> None:
    patch.setattr(voting, "find_unproven_view", lambda *_: None)


def vote_without_record(patch: Patch) -> None:
    def persist(self: Machine, record: Any) -> None:
        if self.signer is not None and not isinstance(record, VoteRecord):
            self.out.append(Persist(record=record))

    patch.setattr(Machine, "persist", persist)


def finalize_after_nullify(patch: Patch) -> None:
    honest = voting.check_may_finalize

    def check(slot: Any, digest: Any, path: Any) -> str | None:
        reason = honest(slot, digest, path)
        return None if reason == "already_nullified" else reason

    patch.setattr(voting, "check_may_finalize", check)

    def try_all(m: Machine) -> None:
        for view in m.open_views:
            slot = m.slots[view]
            entry = m.chain.entries.get(slot.certified) if slot.certified else None
            if entry is not None and m.may_vote and slot.mine.finalized is None:
                rules.judge_soundness(m.chain, entry)
                voting._try_finalize(m, slot, entry)

    patch.setattr(voting, "try_finalize_all", try_all)


def nullify_after_finalize(patch: Patch) -> None:
    def late(m: Machine) -> None:
        for view in m.open_views:
            slot = m.slots[view]
            if not slot.mine.nullified and m.may_vote:
                slot.mine.nullified = True
                voting.cast(m, slot, VoteKind.NULLIFY, voting.NO_BLOCK)

    patch.setattr(pacing, "nullify_what_nobody_holds", late)


def finalize_unverified(patch: Patch) -> None:
    honest = voting.check_may_finalize

    def check(slot: Any, digest: Any, path: Any) -> str | None:
        reason = honest(slot, digest, path)
        return None if reason == "payload_not_verified" else reason

    patch.setattr(voting, "check_may_finalize", check)
    patch.setattr(voting, "check_payload", lambda *_: voting.Verdict.OK)


def forget_payload(patch: Patch) -> None:
    honest = voting._try_finalize

    def finalize(m: Machine, slot: Any, entry: Any) -> None:
        honest(m, slot, entry)
        m.out = [effect for effect in m.out if not isinstance(effect, PersistPayload)]

    patch.setattr(voting, "_try_finalize", finalize)


def payload_without_ancestors(patch: Patch) -> None:
    honest = voting._try_finalize

    def finalize(m: Machine, slot: Any, entry: Any) -> None:
        honest(m, slot, entry)
        m.out = [
            PersistPayload(blocks=effect.blocks[-1:]) if isinstance(effect, PersistPayload) else effect
            for effect in m.out
        ]

    patch.setattr(voting, "_try_finalize", finalize)


def forget_votes(patch: Patch) -> None:
    patch.setattr(replaying, "_restore_vote", lambda *_: None)


def forget_proposals(patch: Patch) -> None:
    patch.setattr(replaying, "_restore_proposal", lambda *_: None)


def entry_not_logged(patch: Patch) -> None:
    def persist(self: Machine, record: Any) -> None:
        if self.signer is not None and not isinstance(record, CertificateRecord):
            self.out.append(Persist(record=record))

    patch.setattr(Machine, "persist", persist)


def check_nearest_view_only(patch: Patch) -> None:
    honest = rules.find_unproven_view

    def find(slots: Any, chain: Any, propose: Any) -> View | None:
        lacking = honest(slots, chain, propose)
        below = slots.get(View(propose.view - 1))
        return None if below is not None and below.nullification is not None else lacking

    patch.setattr(voting, "find_unproven_view", find)


def any_known_parent(patch: Patch) -> None:
    honest = rules.find_unproven_view

    def find(slots: Any, chain: Any, propose: Any) -> View | None:
        parent = chain.entries.get(propose.block.header.parent_digest)
        return None if parent is not None else honest(slots, chain, propose)

    patch.setattr(voting, "find_unproven_view", find)


def fork_below_final(patch: Patch) -> None:
    patch.setattr(voting, "check_parent", lambda *_: None)
    patch.setattr(voting, "judge_soundness", lambda _, entry: setattr(entry, "sound", True))
    patch.setattr(voting, "find_unproven_view", lambda *_: None)


def finalize_at_notarize(patch: Patch) -> None:
    honest = voting.cast

    def cast(m: Machine, slot: Any, kind: VoteKind, digest: Any) -> None:
        honest(m, slot, kind, digest)
        if kind is VoteKind.NOTARIZE and slot.mine.finalized is None and not slot.mine.nullified:
            slot.mine.finalized = digest
            honest(m, slot, VoteKind.FINALIZE, digest)

    patch.setattr(voting, "cast", cast)


def finalize_with_unverified_ancestors(patch: Patch) -> None:
    honest = voting.check_may_finalize

    def check(slot: Any, digest: Any, path: Any) -> str | None:
        return honest(slot, digest, path._replace(entries=path.entries[-1:]))

    patch.setattr(voting, "check_may_finalize", check)


def finalize_despite_equivocation(patch: Patch) -> None:
    honest = voting.check_may_finalize

    def check(slot: Any, digest: Any, path: Any) -> str | None:
        seen, slot.equivocation = slot.equivocation, False
        reason = honest(slot, digest, path)
        slot.equivocation = seen
        return reason

    patch.setattr(voting, "check_may_finalize", check)


# ---------------------------------------------------------------------- order


def _move(m: Machine, of: type[Effect], wanted: Any, to: int | None) -> None:
    """Move the effects that `wanted` names to the front of what is to be carried out, or to its end."""
    chosen = [effect for effect in m.out if isinstance(effect, of) and wanted(effect)]
    others = [effect for effect in m.out if effect not in chosen]
    m.out = chosen + others if to == 0 else others + chosen


def word_before_record(patch: Patch) -> None:
    honest = voting.cast

    def cast(m: Machine, slot: Any, kind: VoteKind, digest: Any) -> None:
        honest(m, slot, kind, digest)
        m.out[-2:] = m.out[:-3:-1]

    patch.setattr(voting, "cast", cast)


def proposal_before_record(patch: Patch) -> None:
    honest = leading.on_payload_built

    def build(m: Machine, *given: Any) -> None:
        honest(m, *given)
        _move(m, Broadcast, lambda effect: isinstance(effect.message, Propose), 0)

    patch.setattr(leading, "on_payload_built", build)


def certificate_before_record(patch: Patch) -> None:
    honest = Machine.broadcast

    def broadcast(self: Machine, message: Any) -> None:
        honest(self, message)
        _move(self, Broadcast, lambda effect: isinstance(effect.message, Certificate), 0)

    patch.setattr(Machine, "broadcast", broadcast)


def payload_after_record(patch: Patch) -> None:
    honest = voting._try_finalize

    def finalize(m: Machine, slot: Any, entry: Any) -> None:
        honest(m, slot, entry)
        _move(m, PersistPayload, lambda _: True, None)

    patch.setattr(voting, "_try_finalize", finalize)


def proposal_without_record(patch: Patch) -> None:
    def persist(self: Machine, record: Any) -> None:
        if self.signer is not None and not isinstance(record, ProposalRecord):
            self.out.append(Persist(record=record))

    patch.setattr(Machine, "persist", persist)


# ---------------------------------------------------------------------- restarts


def _forget_kind(kind: VoteKind) -> Any:
    def apply(patch: Patch) -> None:
        honest = replaying._restore_vote

        def restore(m: Machine, vote: Any) -> None:
            if vote.kind is not kind:
                honest(m, vote)

        patch.setattr(replaying, "_restore_vote", restore)

    return apply


forget_notarizes = _forget_kind(VoteKind.NOTARIZE)
forget_nullifies = _forget_kind(VoteKind.NULLIFY)
forget_finalizes = _forget_kind(VoteKind.FINALIZE)


def forget_past_views(patch: Patch) -> None:
    honest = replaying.replay

    def replay(m: Machine, records: Any) -> None:
        honest(m, records)
        for view, slot in m.slots.items():
            if view < m.view:
                slot.mine = Mine()

    patch.setattr(replaying, "replay", replay)


def forget_present_view(patch: Patch) -> None:
    honest = replaying.replay

    def replay(m: Machine, records: Any) -> None:
        honest(m, records)
        if m.view in m.slots:
            m.slots[m.view].mine = Mine()

    patch.setattr(replaying, "replay", replay)


def forget_certificates(patch: Patch) -> None:
    patch.setattr(replaying, "_restore_certificate", lambda *_: None)


def restart_in_silence(patch: Patch) -> None:
    honest = pacing.start

    def start(m: Machine, now_ms: Any) -> None:
        honest(m, now_ms)
        m.out = [effect for effect in m.out if not isinstance(effect, Broadcast)]

    patch.setattr(pacing, "start", start)


def count_own_vote_at_once(patch: Patch) -> None:
    honest = voting.cast

    def cast(m: Machine, slot: Any, kind: VoteKind, digest: Any) -> None:
        honest(m, slot, kind, digest)
        certifying.on_vote(m, slot.mine.votes[kind], m.helped_ms)

    patch.setattr(voting, "cast", cast)


# ---------------------------------------------------------------------- the shell


def log_without_checksums(patch: Patch) -> None:
    patch.setattr("node.store.appendlog._checksum", lambda *_: 0)


def send_before_the_disk_answers(patch: Patch) -> None:
    honest = SimNode.carry_out

    def carry_out(self: SimNode, effects: list[Effect]) -> None:
        self._perform([effect for effect in effects if isinstance(effect, Broadcast)])
        honest(self, [effect for effect in effects if not isinstance(effect, Broadcast)])

    patch.setattr(SimNode, "carry_out", carry_out)
