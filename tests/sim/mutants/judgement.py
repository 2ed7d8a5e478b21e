"""Bugs of judgement: what is believed of votes, certificates, blocks, clocks, roots and sync.

Each function patches one check away. Never import this outside the mutation gate.
"""

from typing import Any

import pytest

from consensus import certifying, committing, leading, rules, voting
from consensus.chain import Chain, RootState
from consensus.events import Verdict
from consensus.machine import Machine
from protocol import certificate as certificates
from protocol.certificate import VoteKind, calculate_signers

Patch = pytest.MonkeyPatch


def believe_unsigned_votes(patch: Patch) -> None:
    honest = certifying.on_vote

    def on_vote(m: Machine, vote: Any, now_ms: Any) -> None:
        verify, m.verify = m.verify, lambda *_: True
        honest(m, vote, now_ms)
        m.verify = verify

    patch.setattr(certifying, "on_vote", on_vote)


def accuse_the_innocent(patch: Patch) -> None:
    def find(slot: Any, vote: Any) -> Any:
        return slot.notarizes.first.get(vote.index) if vote.kind is VoteKind.NULLIFY else None

    patch.setattr(certifying, "find_contradiction", find)


def any_root(patch: Patch) -> None:
    patch.setattr(Chain, "check_root", lambda *_: RootState.OK)


def any_clock(patch: Patch) -> None:
    patch.setattr(voting, "is_timely", lambda *_: True)


def any_child(patch: Patch) -> None:
    patch.setattr(rules, "check_child", lambda *_: None)


def believe_sync(patch: Patch) -> None:
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


def commit_at_notarization(patch: Patch) -> None:
    honest = certifying.install_certificate

    def install(m: Machine, slot: Any, certificate: Any) -> None:
        honest(m, slot, certificate)
        if certificate.kind is VoteKind.NOTARIZE and m.finalization is None:
            m.finalization = certificate

    patch.setattr(certifying, "install_certificate", install)


def believe_unsigned_proposals(patch: Patch) -> None:
    honest = certifying.on_proposal

    def on_proposal(m: Machine, propose: Any, now_ms: Any) -> None:
        verify, m.verify = m.verify, lambda *_: True
        honest(m, propose, now_ms)
        m.verify = verify

    patch.setattr(certifying, "on_proposal", on_proposal)


def believe_certificates(patch: Patch) -> None:
    patch.setattr(certifying, "prove_certificate", lambda *_: True)


def one_signature_for_all(patch: Patch) -> None:
    """Verified like a list in which any true signature speaks for the others."""
    honest = certificates.check_certificate

    def check(certificate: Any, validators: Any, chain_id: Any, verify: Any) -> str | None:
        message = certificates.calculate_vote_bytes(
            certificate.kind, chain_id, certificate.epoch, certificate.view, certificate.digest
        )
        signed = any(verify(key, message, signature) for key in validators.keys for signature in certificate.signatures)
        return honest(certificate, validators, chain_id, lambda *_: signed)

    patch.setattr(certifying, "check_certificate", check)


def surplus_is_welcome(patch: Patch) -> None:
    def check(certificate: Any, validators: Any, chain_id: Any, verify: Any) -> str | None:
        message = certificates.calculate_vote_bytes(
            certificate.kind, chain_id, certificate.epoch, certificate.view, certificate.digest
        )
        indices = calculate_signers(certificate)
        if len(indices) < validators.quorum or len(indices) != len(certificate.signatures):
            return "certificate_quorum"
        if indices[-1] >= len(validators.keys):
            return "certificate_signer"
        pairs = zip(indices, certificate.signatures, strict=True)
        good = all(verify(validators.keys[index], message, signature) for index, signature in pairs)
        return None if good else "certificate_signature"

    patch.setattr(certifying, "check_certificate", check)


def _sign_less(lose: Any) -> Any:
    """Every place that lays out signed bytes loses the same part."""

    def apply(patch: Patch) -> None:
        honest = certificates.calculate_vote_bytes

        def calculate(kind: Any, chain_id: Any, epoch: Any, view: Any, digest: Any) -> bytes:
            return honest(*lose(kind, chain_id, epoch, view, digest))

        for module in (certificates, certifying, voting, leading):
            patch.setattr(module, "calculate_vote_bytes", calculate)

    return apply


kinds_share_bytes = _sign_less(lambda kind, chain, epoch, view, digest: (VoteKind.NOTARIZE, chain, epoch, view, digest))
views_share_bytes = _sign_less(lambda kind, chain, epoch, view, digest: (kind, chain, epoch, 0, digest))


def any_header(patch: Patch) -> None:
    patch.setattr(certifying, "check_header", lambda *_, **__: None)


def any_batches(patch: Patch) -> None:
    patch.setattr(certifying, "check_block", lambda *_: None)
    patch.setattr(committing, "check_block", lambda *_: None)


def _child_without(reason: str) -> Any:
    def apply(patch: Patch) -> None:
        honest = rules.check_child

        def check(header: Any, parent: Any) -> str | None:
            found = honest(header, parent)
            return None if found == reason else found

        patch.setattr(rules, "check_child", check)

    return apply


child_of_any_time = _child_without("time_order")
child_of_any_height = _child_without("parent_height")
child_of_any_history = _child_without("history_root")
child_that_knows_less = _child_without("exec_height_falls")


def execution_lags_at_will(patch: Patch) -> None:
    patch.setattr(rules, "EXECUTION_LAG_MAX", 10**6)
    patch.setattr(leading, "EXECUTION_LAG_MAX", 10**6)
    patch.setattr("consensus.pacing.EXECUTION_LAG_MAX", 10**6)


def pending_roots_will_do(patch: Patch) -> None:
    honest = Chain.check_root

    def check(self: Chain, header: Any) -> RootState:
        found = honest(self, header)
        return RootState.OK if found is RootState.PENDING else found

    patch.setattr(Chain, "check_root", check)


def notarize_unheld(patch: Patch) -> None:
    honest = rules.check_payload

    def check(chain: Any, entry: Any) -> Verdict | None:
        told, entry.verdict = entry.verdict, entry.verdict or Verdict.OK
        verdict = honest(chain, entry)
        entry.verdict = told
        return verdict

    patch.setattr(voting, "check_payload", check)


def bad_batches_will_do(patch: Patch) -> None:
    honest = rules.check_payload

    def check(chain: Any, entry: Any) -> Verdict | None:
        if entry.verdict is Verdict.BAD:
            entry.verdict = Verdict.OK
        return honest(chain, entry)

    patch.setattr(voting, "check_payload", check)


def parent_unheld(patch: Patch) -> None:
    honest = voting._is_acceptable

    def acceptable(m: Machine, digest: Any, propose: Any, now_ms: Any) -> bool:
        parent = m.chain.entries.get(propose.block.header.parent_digest)
        if parent is None:
            return honest(m, digest, propose, now_ms)
        told, parent.verdict = parent.verdict, Verdict.OK
        found = honest(m, digest, propose, now_ms)
        parent.verdict = told
        return found

    patch.setattr(voting, "_is_acceptable", acceptable)


def believe_header_pages(patch: Patch) -> None:
    honest = committing._prove

    def prove(m: Machine, last: Any, digest: Any, finalization: Any) -> Any:
        return honest(m, last, digest, finalization) or m.finalization

    patch.setattr(committing, "_prove", prove)


def take_unwanted_blocks(patch: Patch) -> None:
    patch.setattr(certifying, "on_block", certifying.keep_block)


def commit_the_tip_only(patch: Patch) -> None:
    honest = Chain.advance

    def advance(self: Chain, path: Any, finalization: Any) -> None:
        honest(self, path, finalization)
        for entry in path[:-1]:
            self.recent.pop(entry.digest, None)

    def commit(m: Machine, last: Any, finalization: Any) -> None:
        whole(m, last, finalization)
        m.out = [
            committing.Commit(blocks=effect.blocks[-1:], finalization=effect.finalization)
            if isinstance(effect, committing.Commit)
            else effect
            for effect in m.out
        ]

    whole = committing._commit
    patch.setattr(Chain, "advance", advance)
    patch.setattr(committing, "_commit", commit)


def overlook_divergence(patch: Patch) -> None:
    patch.setattr(committing, "check_divergence", lambda *_: None)


def speak_after_an_alarm(patch: Patch) -> None:
    patch.setattr(Machine, "may_vote", property(lambda m: m.signer is not None and m.started))


def overlook_contradictions(patch: Patch) -> None:
    patch.setattr(certifying, "find_contradiction", lambda *_: None)
