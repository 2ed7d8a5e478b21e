"""The mutation gate: protocol bugs injected by hand, each with the one campaign that must catch it.

A bug that no campaign catches is a finding about the simulator: strengthen it, never drop the bug. The patches stand in
`mutants/`, by what they break.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from protocol.certificate import VoteKind
from tests.consensus import test_certificates_and_evidence as votes
from tests.consensus import test_epochs_begin as beginning
from tests.consensus import test_epochs_end as ending
from tests.consensus import test_leading_and_finality as leading
from tests.consensus import test_proposals_and_timers as timers
from tests.consensus import test_restarts as restarts
from tests.consensus import test_safety_rules as safety
from tests.sim import test_latency_and_silence as silence
from tests.sim.boundaries import find_boundaries
from tests.sim.gate import Mutation
from tests.sim.mutants import epochs, judgement, progress, promises
from tests.sim.runner import run_boundary, run_case, run_seed


class Seeds(NamedTuple):
    """Seeds from 0 on, beside one kind of actor."""

    byzantine: str | None = None
    count: int = 60
    size: int = 4
    changing: bool | None = None
    """Whether validators change, instead of the seed's choice."""

    def find(self) -> str | None:
        """The first seed that fails."""
        for seed in range(self.count):
            failure = run_seed(seed, size=self.size, byzantine=self.byzantine, changing=self.changing).failure
            if failure:
                return failure
        return None


class Twins(NamedTuple):
    """Cases from 0 on."""

    count: int = 400

    def find(self) -> str | None:
        """The first case that fails."""
        return next((failure for seed in range(self.count) if (failure := run_case(seed).failure)), None)


class Crashes(NamedTuple):
    """Every `stride`-th crash boundary of a scenario."""

    scenario: str
    stride: int

    def find(self) -> str | None:
        """The first boundary that fails; a scenario that cannot even run undisturbed fails too."""
        try:
            boundaries = find_boundaries(self.scenario)
        except AssertionError as error:
            return f"{self.scenario}: {error}"
        return next((failure for one in boundaries[:: self.stride] if (failure := run_boundary(one).failure)), None)


class Law(NamedTuple):
    """One test of the engine by itself, for what harms nobody's safety and shows to nobody in a crowd."""

    test: Callable[..., None]
    given: tuple[Any, ...] = ()

    def find(self) -> str | None:
        """How the test fails."""
        try:
            self.test(*self.given)
        except AssertionError as error:
            return f"{self.test.__name__}: {error}"
        return None


PROMISES = (
    Mutation("S1 dropped", promises.drop_s1, Seeds("equivocator")),
    Mutation("quorum off by one", promises.quorum_minus_one, Seeds()),
    Mutation("skipped views need no nullification", promises.forget_nullifications, Seeds("invalid")),
    Mutation("only the view right below must be given up", promises.check_nearest_view_only, Seeds("forker")),
    Mutation("any known block is a parent", promises.any_known_parent, Seeds("forker")),
    Mutation("a block beside a final one gets a vote", promises.fork_below_final, Seeds("forker")),
    Mutation("votes are sent without a record", promises.vote_without_record, Seeds()),
    Mutation("proposals are sent without a record", promises.proposal_without_record, Seeds()),
    Mutation("certificates are not logged", promises.entry_not_logged, Seeds()),
    Mutation("a vote stands before its record", promises.word_before_record, Seeds()),
    Mutation("a proposal stands before its record", promises.proposal_before_record, Seeds()),
    Mutation("a certificate stands before its record", promises.certificate_before_record, Seeds()),
    Mutation("a Finalize is recorded before its payload", promises.payload_after_record, Seeds()),
    Mutation("Finalize after Nullify", promises.finalize_after_nullify, Seeds()),
    Mutation("Nullify after Finalize", promises.nullify_after_finalize, Seeds()),
    Mutation("Finalize without a notarization", promises.finalize_at_notarize, Seeds()),
    Mutation("Finalize without a verified payload", promises.finalize_unverified, Seeds()),
    Mutation("Finalize without verified ancestors", promises.finalize_with_unverified_ancestors, Seeds()),
    Mutation("Finalize without a durable payload", promises.forget_payload, Seeds()),
    Mutation("Finalize without durable ancestors", promises.payload_without_ancestors, Seeds()),
    Mutation(
        "Finalize although the leader contradicts itself",
        promises.finalize_despite_equivocation,
        Law(safety.test_a_contradiction_heard_late_still_keeps_me_from_finalizing),
    ),
    Mutation(
        "one's own vote counts before it is durable",
        promises.count_own_vote_at_once,
        Law(safety.test_ones_own_vote_counts_only_when_it_comes_back),
    ),
    Mutation("a restart forgets votes", promises.forget_votes, Crashes("slow", 20)),
    Mutation("a restart forgets proposals", promises.forget_proposals, Crashes("calm", 20)),
    Mutation("a restart forgets every Notarize", promises.forget_notarizes, Crashes("two-faced", 5)),
    Mutation("a restart forgets every Nullify", promises.forget_nullifies, Crashes("slow", 5)),
    Mutation(
        "a restart forgets every Finalize",
        promises.forget_finalizes,
        Law(restarts.test_a_restarted_node_never_gives_up_what_it_finalized),
    ),
    Mutation("a restart forgets the views it left", promises.forget_past_views, Crashes("slow", 5)),
    Mutation("a restart forgets the view it is in", promises.forget_present_view, Crashes("slow", 5)),
    Mutation("a restart forgets certificates", promises.forget_certificates, Crashes("calm", 20)),
    Mutation(
        "a restart says nothing",
        promises.restart_in_silence,
        Law(restarts.test_a_restarted_node_says_again_the_same_bytes),
    ),
    Mutation("a log has no checksums", promises.log_without_checksums, Crashes("calm", 20)),
    Mutation("the shell sends before the disk answers", promises.send_before_the_disk_answers, Seeds()),
)

JUDGEMENT = (
    Mutation("votes are not verified", judgement.believe_unsigned_votes, Seeds("impersonator")),
    Mutation("proposals are not verified", judgement.believe_unsigned_proposals, Seeds("impersonator")),
    Mutation("certificates are not verified", judgement.believe_certificates, Seeds("garbage")),
    Mutation("one signature speaks for a quorum", judgement.one_signature_for_all, Seeds("garbage")),
    Mutation(
        "surplus signatures are welcome",
        judgement.surplus_is_welcome,
        Law(votes.test_a_certificate_has_exactly_a_quorum, (4,)),
    ),
    Mutation("a signature does not name its kind", judgement.kinds_share_bytes, Seeds()),
    Mutation("a signature does not name its view", judgement.views_share_bytes, Seeds()),
    Mutation("a notarization commits", judgement.commit_at_notarization, Twins()),
    Mutation("only the tip is committed", judgement.commit_the_tip_only, Seeds()),
    Mutation("any header will do", judgement.any_header, Seeds("invalid")),
    Mutation("any batches stand under a header", judgement.any_batches, Seeds("invalid")),
    Mutation("any exec_root will do", judgement.any_root, Seeds("invalid")),
    Mutation("a root not executed yet will do", judgement.pending_roots_will_do, Seeds()),
    Mutation("any clock will do", judgement.any_clock, Seeds("invalid")),
    Mutation("any child will do", judgement.any_child, Seeds("invalid")),
    Mutation("a child of any time will do", judgement.child_of_any_time, Seeds("invalid")),
    Mutation("a child of any height will do", judgement.child_of_any_height, Seeds("invalid", 300)),
    Mutation("a child of any history will do", judgement.child_of_any_history, Seeds("invalid")),
    Mutation("a child may know less than its parent", judgement.child_that_knows_less, Seeds("invalid")),
    Mutation("execution lags at will", judgement.execution_lags_at_will, Seeds(size=1)),
    Mutation("Notarize without holding the batches", judgement.notarize_unheld, Seeds()),
    Mutation("Notarize on a parent not held", judgement.parent_unheld, Seeds()),
    Mutation("bad batches will do", judgement.bad_batches_will_do, Seeds("invalid")),
    Mutation("sync is believed", judgement.believe_sync, Seeds("liar")),
    Mutation("pages of headers are believed", judgement.believe_header_pages, Seeds("liar")),
    Mutation(
        "blocks nobody wants are kept",
        judgement.take_unwanted_blocks,
        Law(leading.test_a_certified_block_that_is_missing_is_fetched_and_taken_only_if_wanted),
    ),
    Mutation("Nullify beside Notarize is evidence", judgement.accuse_the_innocent, Seeds()),
    Mutation(
        "contradictions are overlooked",
        judgement.overlook_contradictions,
        Law(votes.test_contradictions_are_evidence_once, ((VoteKind.NOTARIZE, 1), (VoteKind.NOTARIZE, 2), True)),
    ),
    Mutation(
        "a divergence is overlooked",
        judgement.overlook_divergence,
        Law(timers.test_only_a_certified_header_with_another_root_is_a_divergence),
    ),
    Mutation(
        "a node speaks after its alarm",
        judgement.speak_after_an_alarm,
        Law(timers.test_only_a_certified_header_with_another_root_is_a_divergence),
    ),
)

PROGRESS = (
    Mutation("no window for views", progress.no_window, Seeds("huge")),
    Mutation("every proposal is kept", progress.keep_every_proposal, Seeds("flooder")),
    Mutation("every contradiction is kept", progress.keep_every_contradiction, Seeds("flooder")),
    Mutation("every view is kept", progress.keep_every_view, Seeds()),
    Mutation("every root is kept", progress.keep_every_root, Seeds()),
    Mutation("nothing is said again", progress.never_repeat, Seeds()),
    Mutation("no view is given up", progress.never_nullify, Seeds()),
    Mutation("nothing is fetched", progress.never_fetch, Seeds()),
    Mutation("certificates wait for everybody", progress.surplus_signatures, Seeds("withholder")),
    Mutation("a leader ignores notarized parents", progress.parent_below, Seeds()),
    Mutation("a leader leaps over a gap", progress.leap_over_a_gap, Seeds()),
    Mutation("a leader orders what its ancestors order", progress.order_twice, Seeds()),
    Mutation(
        "a leader leads while it is behind",
        progress.lead_while_behind,
        Law(leading.test_a_leader_that_is_behind_does_not_lead),
    ),
    Mutation("one claim moves a view", progress.one_claim_moves_a_view, Seeds("huge")),
    Mutation("T_lead never comes", progress.no_lead_timer, Law(timers.test_no_proposal_by_t_lead_is_a_timeout)),
    Mutation("T_view never comes", progress.no_view_timer, Seeds()),
    Mutation(
        "views that pass put the retry off",
        progress.views_put_the_retry_off,
        Law(timers.test_what_is_missing_is_asked_for_again_however_fast_views_pass),
    ),
    Mutation("T_retry never comes", progress.no_retry_timer, Seeds()),
    Mutation("no heartbeat", progress.no_heartbeat, Law(silence.test_an_idle_chain_beats_every_ten_seconds)),
    Mutation("the chain never rests", progress.never_rest, Law(silence.test_one_batch_costs_two_blocks_then_silence)),
    Mutation(
        "everybody waits for the dead",
        progress.wait_for_the_dead,
        Law(silence.test_a_dead_leader_costs_one_timeout_and_later_none),
    ),
    Mutation(
        "everybody waits for a leader that gave up",
        progress.wait_for_who_gave_up,
        Law(timers.test_the_leaders_own_nullify_ends_its_view),
    ),
    Mutation(
        "views spin on bad payloads", progress.spin_on_bad_payloads, Law(timers.test_a_bad_payload_waits_for_t_lead)
    ),
    Mutation(
        "D grows without a cap",
        progress.wait_without_a_cap,
        Law(timers.test_the_delay_is_clamped_grows_by_half_and_is_capped),
    ),
    Mutation("D never shrinks", progress.never_forgive_the_wait, Law(timers.test_any_notarization_resets_the_growth)),
    Mutation(
        "D shrinks by late notarizations",
        progress.forgive_the_wait_too_soon,
        Law(timers.test_a_notarization_that_comes_after_one_gave_its_view_up_lengthens_d),
    ),
    Mutation(
        "help without end",
        progress.help_without_end,
        Law(timers.test_a_repeated_vote_of_an_old_view_is_answered_with_what_let_me_go_on),
    ),
    Mutation(
        "everybody waits for a block that is lost",
        progress.wait_for_the_lost,
        Law(leading.test_a_notarized_block_that_nobody_can_show_is_nullified_late),
    ),
)

EPOCHS = (
    Mutation("anybody may be announced", epochs.announce_anybody, Seeds("border", changing=True)),
    Mutation("the newest plan is announced under any state", epochs.announce_what_is_not_named, Seeds(changing=True)),
    Mutation("any end of an epoch will do", epochs.any_end, Seeds("border", changing=True)),
    Mutation("the end of an epoch moves on", epochs.move_the_end, Seeds(changing=True)),
    Mutation(
        "nobody hurries to the end of an epoch",
        epochs.crawl_to_the_end,
        Law(ending.test_a_fixed_end_is_work_and_empty_blocks_are_proposed_at_once),
    ),
    Mutation("an epoch goes on after its boundary", epochs.outlive_the_end, Seeds("border", changing=True)),
    Mutation(
        "a boundary block is voted for again without proof",
        epochs.repeat_the_unproven,
        Seeds("border", changing=True),
    ),
    Mutation(
        "any block may be proposed again",
        epochs.repeat_any_block,
        Law(ending.test_an_earlier_block_is_never_proposed_again),
    ),
    Mutation(
        "a boundary block is never proposed again",
        epochs.never_propose_again,
        Law(ending.test_a_leader_proposes_the_boundary_block_again_after_d_and_never_a_child),
    ),
    Mutation(
        "a boundary block grows too old",
        epochs.time_the_repeated,
        Law(ending.test_a_later_leader_proposes_it_again_and_gets_a_vote),
    ),
    Mutation(
        "sync refuses a boundary that became final late",
        epochs.refuse_late_finality,
        Law(ending.test_sync_takes_a_boundary_under_a_finalization_of_a_later_view, (5,)),
    ),
    Mutation("an epoch never ends", epochs.never_end, Seeds(changing=True)),
    Mutation("the views of an epoch go on from the last one's", epochs.keep_the_views, Seeds(changing=True)),
    Mutation("every epoch has the same first leader", epochs.keep_the_first_leader, Seeds(changing=True)),
    Mutation(
        "a node takes part between two epochs",
        epochs.speak_between,
        Law(beginning.test_between_epochs_a_node_waits_for_its_own_execution),
    ),
    Mutation(
        "a node follows whom it planned, not whom all announced",
        epochs.follow_anybody,
        Law(beginning.test_a_node_that_executed_another_plan_than_the_boundary_announced_goes_no_further),
    ),
    Mutation("a removed validator speaks on", epochs.speak_without_a_seat, Seeds(changing=True)),
    Mutation("a rotated key signs on", epochs.speak_with_the_old_key, Seeds(changing=True)),
    Mutation(
        "the convicted are waited for",
        epochs.trust_the_convicted,
        Law(beginning.test_evidence_in_the_ledger_ends_the_views_of_its_key_at_once),
    ),
    Mutation("a signature does not name its epoch", epochs.epochs_share_bytes, Seeds(changing=True)),
    Mutation("certificates of other epochs are believed", epochs.believe_other_epochs, Seeds(changing=True)),
    Mutation(
        "a restart forgets what it said in a later epoch",
        epochs.forget_later_epochs,
        Law(beginning.test_a_log_that_spans_the_switch_keeps_the_promises_of_the_later_epoch),
    ),
    Mutation("a restart takes all epochs for one", epochs.mix_epochs_in_the_log, Seeds(changing=True)),
    Mutation(
        "what opened an epoch is not logged",
        epochs.enter_without_a_record,
        Law(beginning.test_an_added_validator_votes_from_the_first_view_on),
    ),
    Mutation(
        "whoever is left in an epoch gets no answer",
        epochs.help_nobody_behind,
        Law(beginning.test_a_vote_of_the_former_epoch_is_answered_with_what_ended_it),
    ),
    Mutation(
        "a peer's answer goes on beyond an epoch",
        epochs.answer_across_the_end,
        Law(beginning.test_a_peer_answers_no_further_than_the_end_of_an_epoch),
    ),
)

MUTATIONS = (*PROMISES, *JUDGEMENT, *PROGRESS, *EPOCHS)
