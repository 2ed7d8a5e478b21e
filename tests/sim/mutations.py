"""Protocol bugs, injected by hand: each a patch of one law. The simulator must catch every one of them.

Never use a mutation outside the gate; `None` below is "no objection".
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from consensus import certifying, committing, leading, pacing, replaying, rules, voting
from consensus.chain import Chain, RootState
from consensus.effects import Persist, PersistPayload
from consensus.machine import Machine
from consensus.records import CertificateRecord, VoteRecord
from protocol.certificate import VoteKind
from protocol.ids import View

Patch = pytest.MonkeyPatch


class Mutation(NamedTuple):
    """One bug, and where it shows soonest."""

    name: str
    apply: Callable[[Patch], None]
    size: int = 4
    byzantine: str | None = None


def _drop_s1(patch: Patch) -> None:
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


def _quorum_minus_one(patch: Patch) -> None:
    start = Machine.__init__

    def init(self: Machine, **given: Any) -> None:
        start(self, **given)
        self.quorum = max(1, self.quorum - 1)

    patch.setattr(Machine, "__init__", init)


def _forget_nullifications(patch: Patch) -> None:
    patch.setattr(voting, "find_unproven_view", lambda *_: None)


def _vote_without_record(patch: Patch) -> None:
    def persist(self: Machine, record: Any) -> None:
        if self.signer is not None and not isinstance(record, VoteRecord):
            self.out.append(Persist(record=record))

    patch.setattr(Machine, "persist", persist)


def _finalize_after_nullify(patch: Patch) -> None:
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


def _nullify_after_finalize(patch: Patch) -> None:
    def late(m: Machine) -> None:
        for view in m.open_views:
            slot = m.slots[view]
            if not slot.mine.nullified and m.may_vote:
                slot.mine.nullified = True
                voting.cast(m, slot, VoteKind.NULLIFY, voting.NO_BLOCK)

    patch.setattr(pacing, "nullify_what_nobody_holds", late)


def _finalize_unverified(patch: Patch) -> None:
    honest = voting.check_may_finalize

    def check(slot: Any, digest: Any, path: Any) -> str | None:
        reason = honest(slot, digest, path)
        return None if reason == "payload_not_verified" else reason

    patch.setattr(voting, "check_may_finalize", check)
    patch.setattr(voting, "check_payload", lambda *_: voting.Verdict.OK)


def _forget_payload(patch: Patch) -> None:
    honest = voting._try_finalize

    def finalize(m: Machine, slot: Any, entry: Any) -> None:
        honest(m, slot, entry)
        m.out = [effect for effect in m.out if not isinstance(effect, PersistPayload)]

    patch.setattr(voting, "_try_finalize", finalize)


def _payload_without_ancestors(patch: Patch) -> None:
    honest = voting._try_finalize

    def finalize(m: Machine, slot: Any, entry: Any) -> None:
        honest(m, slot, entry)
        m.out = [
            PersistPayload(blocks=effect.blocks[-1:]) if isinstance(effect, PersistPayload) else effect
            for effect in m.out
        ]

    patch.setattr(voting, "_try_finalize", finalize)


def _believe_unsigned_votes(patch: Patch) -> None:
    honest = certifying.on_vote

    def on_vote(m: Machine, vote: Any, now_ms: Any) -> None:
        verify, m.verify = m.verify, lambda *_: True
        honest(m, vote, now_ms)
        m.verify = verify

    patch.setattr(certifying, "on_vote", on_vote)


def _forget_votes(patch: Patch) -> None:
    patch.setattr(replaying, "_restore_vote", lambda *_: None)


def _forget_proposals(patch: Patch) -> None:
    patch.setattr(replaying, "_restore_proposal", lambda *_: None)


def _accuse_the_innocent(patch: Patch) -> None:
    def find(slot: Any, vote: Any) -> Any:
        return slot.notarizes.first.get(vote.index) if vote.kind is VoteKind.NULLIFY else None

    patch.setattr(certifying, "find_contradiction", find)


def _no_window(patch: Patch) -> None:
    patch.setattr(Machine, "view_max", property(lambda _: View(2**53)))


def _any_root(patch: Patch) -> None:
    patch.setattr(Chain, "check_root", lambda *_: RootState.OK)


def _any_clock(patch: Patch) -> None:
    patch.setattr(voting, "is_timely", lambda *_: True)


def _any_child(patch: Patch) -> None:
    patch.setattr(rules, "check_child", lambda *_: None)


def _believe_sync(patch: Patch) -> None:
    def on_blocks(m: Machine, blocks: Any) -> None:
        given = blocks.finalization
        if given is None or not blocks.blocks or given.view <= m.chain.final.view:
            return
        at = m.chain.final.digest
        for block in blocks.blocks:
            if block.header.height > m.chain.final.height:
                if block.header.parent_digest != at:
                    return
                at = block.header.calculate_digest()
                m.chain.add(at, block)
        path = m.chain.find_path(at)
        if path.is_whole and path.entries:
            committing._commit(m, given)

    def commit(m: Machine, given: Any) -> None:
        last = max(m.chain.entries.values(), key=lambda entry: entry.height)
        path = m.chain.find_path(last.digest)
        m.chain.advance(path.entries, given)
        m.out.append(committing.Commit(blocks=tuple(entry.block for entry in path.entries), finalization=given))
        m.prune()

    patch.setattr(committing, "on_blocks", on_blocks)
    patch.setattr(committing, "_commit", commit)


def _entry_not_logged(patch: Patch) -> None:
    def persist(self: Machine, record: Any) -> None:
        if self.signer is not None and not isinstance(record, CertificateRecord):
            self.out.append(Persist(record=record))

    patch.setattr(Machine, "persist", persist)


def _never_repeat(patch: Patch) -> None:
    patch.setattr(pacing, "repeat", lambda *_: None)
    patch.setattr(certifying, "help_laggard", lambda *_: None)


def _never_nullify(patch: Patch) -> None:
    patch.setattr(voting, "try_nullify", lambda *_: None)


def _never_fetch(patch: Patch) -> None:
    patch.setattr(Machine, "fetch_block", lambda *_: None)
    patch.setattr(Machine, "fetch_certificates", lambda *_: None)
    patch.setattr(Machine, "fetch_blocks", lambda *_: None)


def _commit_at_notarization(patch: Patch) -> None:
    honest = certifying.install_certificate

    def install(m: Machine, slot: Any, certificate: Any) -> None:
        honest(m, slot, certificate)
        if certificate.kind is VoteKind.NOTARIZE and m.finalization is None:
            m.finalization = certificate

    patch.setattr(certifying, "install_certificate", install)


def _surplus_signatures(patch: Patch) -> None:
    start = Machine.__init__

    def init(self: Machine, **given: Any) -> None:
        start(self, **given)
        self.quorum = self.size

    patch.setattr(Machine, "__init__", init)


def _parent_below(patch: Patch) -> None:
    honest = leading.find_parent

    def find(m: Machine) -> Any:
        found = honest(m)
        return found if found is None else leading.Parent(m.chain.final, None, m.chain.final.view, None, ())

    patch.setattr(leading, "find_parent", find)


MUTATIONS = (
    Mutation("S1 dropped", _drop_s1, byzantine="equivocator"),
    Mutation("quorum off by one", _quorum_minus_one),
    Mutation("skipped views need no nullification", _forget_nullifications, byzantine="invalid"),
    Mutation("votes are sent without a record", _vote_without_record),
    Mutation("Finalize after Nullify", _finalize_after_nullify),
    Mutation("Nullify after Finalize", _nullify_after_finalize),
    Mutation("Finalize without a verified payload", _finalize_unverified),
    Mutation("Finalize without a durable payload", _forget_payload),
    Mutation("Finalize without durable ancestors", _payload_without_ancestors),
    Mutation("votes are not verified", _believe_unsigned_votes, byzantine="impersonator"),
    Mutation("a restart forgets votes", _forget_votes),
    Mutation("a restart forgets proposals", _forget_proposals),
    Mutation("Nullify beside Notarize is evidence", _accuse_the_innocent),
    Mutation("no window for views", _no_window, byzantine="huge"),
    Mutation("any exec_root will do", _any_root, byzantine="invalid"),
    Mutation("any clock will do", _any_clock, byzantine="invalid"),
    Mutation("any child will do", _any_child, byzantine="invalid"),
    Mutation("sync is believed", _believe_sync, byzantine="liar"),
    Mutation("certificates are not logged", _entry_not_logged),
    Mutation("nothing is said again", _never_repeat),
    Mutation("no view is given up", _never_nullify),
    Mutation("nothing is fetched", _never_fetch),
    Mutation("a notarization commits", _commit_at_notarization),
    Mutation("certificates wait for everybody", _surplus_signatures, byzantine="withholder"),
    Mutation("a leader ignores notarized parents", _parent_below),
)
