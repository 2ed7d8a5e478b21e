"""Bugs of epochs: what is announced, where an epoch ends, how the next begins, who speaks in it and who is helped.

Each function patches one law away. Never import this outside the mutation gate.
"""

from typing import Any

import pytest

from consensus import certifying, committing, epochs, leading, pacing, replaying, rules, voting
from consensus.chain import Chain, RootState, Succession
from consensus.machine import Machine
from consensus.replaying import find_epoch
from protocol.messages import Blocks, GetBlocks
from protocol.validators import make_validator_set
from tests.sim.mutants.judgement import _sign_less

Patch = pytest.MonkeyPatch


# ---------------------------------------------------------------------- announcing


def announce_anybody(patch: Patch) -> None:
    def check(self: Chain, header: Any) -> RootState:
        own = self.roots.get(header.exec_height) if header.exec_height <= self.executed else None
        if own is None:
            return RootState.PENDING
        return RootState.OK if own == header.exec_root else RootState.BAD

    patch.setattr(Chain, "check_root", check)


def announce_what_is_not_named(patch: Patch) -> None:
    """The newest plan stands under a state that knew nothing of it."""

    def calculate(self: Succession, height: Any) -> Any:
        return self.next_hash if self.keys else self.current_hash

    patch.setattr(Succession, "calculate_hash_at", calculate)


def any_end(patch: Patch) -> None:
    honest = rules.check_epoch

    def check(header: Any, parent: Any, succession: Any) -> str | None:
        found = honest(header, parent, succession)
        return None if found == "epoch_end" else found

    patch.setattr(rules, "check_epoch", check)


def move_the_end(patch: Patch) -> None:
    """Every header fixes the end anew."""

    def calculate(parent: Any, next_validators_hash: Any, succession: Any) -> Any:
        if next_validators_hash == succession.current_hash:
            return type(parent.height)(0)
        return type(parent.height)(parent.height + 1 + succession.notice)

    patch.setattr(rules, "calculate_epoch_end", calculate)
    patch.setattr(leading, "calculate_epoch_end", calculate)


def crawl_to_the_end(patch: Patch) -> None:
    patch.setattr(pacing, "is_change_due", lambda _: False)


# ---------------------------------------------------------------------- the boundary block


def outlive_the_end(patch: Patch) -> None:
    honest = rules.check_epoch

    def check(header: Any, parent: Any, succession: Any) -> str | None:
        return None if parent.is_boundary else honest(header, parent, succession)

    patch.setattr(rules, "check_epoch", check)


def repeat_the_unproven(patch: Patch) -> None:
    honest = voting.find_unproven_view

    def find(slots: Any, chain: Any, propose: Any) -> Any:
        return None if rules.is_proposed_again(propose) else honest(slots, chain, propose)

    patch.setattr(voting, "find_unproven_view", find)


def repeat_any_block(patch: Patch) -> None:
    def is_again(propose: Any) -> bool:
        return bool(propose.view > propose.block.header.view)

    for module in (rules, voting, certifying):
        patch.setattr(module, "is_proposed_again", is_again)


def never_propose_again(patch: Patch) -> None:
    patch.setattr(leading, "_propose_again", lambda *_: None)


def time_the_repeated(patch: Patch) -> None:
    patch.setattr(voting, "is_proposed_again", lambda _: False)


def refuse_late_finality(patch: Patch) -> None:
    honest = committing._prove

    def prove(m: Machine, last: Any, digest: Any, finalization: Any) -> Any:
        return honest(m, last, digest, finalization) if finalization.view == last.view else None

    patch.setattr(committing, "_prove", prove)


# ---------------------------------------------------------------------- the switch


def never_end(patch: Patch) -> None:
    def end(m: Machine, header: Any, finalization: Any) -> None:
        m.finalization = None
        m.dirty = True

    patch.setattr(epochs, "end", end)


def keep_the_views(patch: Patch) -> None:
    honest = Chain.begin_epoch

    def begin(self: Chain, validators: Any) -> None:
        view = self.final.view
        honest(self, validators)
        self.final = self.final._replace(view=view)

    patch.setattr(Chain, "begin_epoch", begin)


def keep_the_first_leader(patch: Patch) -> None:
    def make(keys: Any, _: Any) -> Any:
        return make_validator_set(keys, type(_)(bytes(32)))

    patch.setattr(epochs, "make_validator_set", make)


def speak_between(patch: Patch) -> None:
    """What is heard after the end of an epoch is taken as if nothing had ended."""
    honest = epochs.end

    def end(m: Machine, header: Any, finalization: Any) -> None:
        honest(m, header, finalization)
        if not m.chain.succession.keys:
            m.ended = None

    patch.setattr(epochs, "end", end)


def follow_anybody(patch: Patch) -> None:
    """The validators of one's own plan, whatever the boundary block announced."""

    def try_begin(m: Machine, now_ms: Any) -> bool:
        if m.ended is None or not m.chain.succession.keys:
            return m.ended is None
        epochs.begin(m)
        pacing.take_part(m, now_ms)
        return True

    patch.setattr(epochs, "try_begin", try_begin)


# ---------------------------------------------------------------------- who speaks


def speak_without_a_seat(patch: Patch) -> None:
    honest = Machine.open_epoch

    def open_epoch(self: Machine, epoch: Any, validators: Any) -> None:
        before = self.__dict__.get("signer"), self.__dict__.get("index")
        honest(self, epoch, validators)
        if self.signer is None and before[1] is not None and before[1] < self.size:
            self.signer, self.index = before

    patch.setattr(Machine, "open_epoch", open_epoch)


def speak_with_the_old_key(patch: Patch) -> None:
    honest = Machine.open_epoch

    def open_epoch(self: Machine, epoch: Any, validators: Any) -> None:
        honest(self, epoch, validators)
        if self.signer is not None:
            self.signer = self.signers[0]

    patch.setattr(Machine, "open_epoch", open_epoch)


def trust_the_convicted(patch: Patch) -> None:
    patch.setattr(Machine, "suspect_convicted", lambda _: None)


# ---------------------------------------------------------------------- what crosses a boundary


epochs_share_bytes = _sign_less(lambda kind, chain, epoch, view, digest: (kind, chain, 0, view, digest))


def believe_other_epochs(patch: Patch) -> None:
    honest = certifying.on_certificate

    def on_certificate(m: Machine, certificate: Any) -> bool:
        kept, m.epoch = m.epoch, certificate.epoch
        try:
            return honest(m, certificate)
        finally:
            m.epoch = kept

    patch.setattr(certifying, "on_certificate", on_certificate)


def forget_later_epochs(patch: Patch) -> None:
    honest = replaying.restore

    def restore(m: Machine, records: Any) -> None:
        honest(m, [one for one in records if find_epoch(one) <= m.epoch])

    patch.setattr(replaying, "restore", restore)


def mix_epochs_in_the_log(patch: Patch) -> None:
    honest = replaying.restore

    def restore(m: Machine, records: Any) -> None:
        everything = list(records)
        patch.setattr(replaying, "find_epoch", lambda _: m.epoch)
        honest(m, everything)
        patch.setattr(replaying, "find_epoch", find_epoch)

    patch.setattr(replaying, "restore", restore)


def enter_without_a_record(patch: Patch) -> None:
    honest = epochs.begin

    def begin(m: Machine) -> None:
        out, m.out = m.out, []
        honest(m)
        m.out = out

    patch.setattr(epochs, "begin", begin)


def help_nobody_behind(patch: Patch) -> None:
    honest = certifying.help_laggard

    def help_laggard(m: Machine, now_ms: Any, ended: Any = None) -> None:
        if ended is None:
            honest(m, now_ms)

    patch.setattr(certifying, "help_laggard", help_laggard)


def answer_across_the_end(patch: Patch) -> None:
    """A peer's stretch of blocks goes on into the next epoch, under a finalization of that one."""

    async def read(store: Any, wanted: GetBlocks) -> Blocks:
        found = await store.read_finalization(wanted.height_from + wanted.count - 1)
        at = wanted.height_from
        while found is None and (one := await store.read_finalization(at)) is not None:
            last, at = one, one[0] + 1
            if await store.read_finalization(at) is None:
                found = last
        if found is None:
            return Blocks(blocks=(), finalization=None)
        blocks = await store.read_blocks(wanted.height_from, found[0] - wanted.height_from + 1)
        return Blocks(blocks=blocks, finalization=found[1])

    patch.setattr("tests.sim.disk.read_stretch", read)
    patch.setattr("node.reception.read_stretch", read)
