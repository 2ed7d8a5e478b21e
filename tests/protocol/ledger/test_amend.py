"""Amendments by hand-computed figures: other terms for what is left, and defaults that are cured."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.servicing import calculate_loan_class
from protocol.ledger.state import AMENDMENTS, POOLS
from protocol.loans.delinquency import AssetClass, DelinquencyBucket
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation, ExcessRule
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.servicing import DistressKind, Treatment
from tests.protocol.ledger.changes import (
    amend,
    answer,
    bring,
    contest,
    late_loan,
    lawful_do,
    owed,
    pay,
    payoff,
    plan,
    proposal,
    refusal,
)
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import DEFAULT_DAY, distress, give_cover, lend, lend_and_default, set_pool
from tests.protocol.ledger.world import DAY_MS, change

R = Rejection
CAPITALISE, CARRY, GIVE_UP = Treatment.CAPITALISE, Treatment.CARRY, Treatment.WAIVE

# ---------------------------------------------------------------------- restructuring


@pytest.mark.parametrize(("by", "answered_by"), [("harbour", "ann"), ("ann", "harbour")])
def test_what_is_left_goes_on_new_rows_from_today(by: str, answered_by: str) -> None:
    """Interest is capitalised, late charges are given up: one version more, another schedule, current again."""
    with lawful() as world:
        loan = late_loan(world)
        before = bring(world, loan)
        due = [row for row in before.rows if row.due_on <= before.accrual.as_of]
        interest = sum(row.interest_due - row.interest_paid for row in due)
        terms = proposal(loan, rate_ppm=Ppm(60_000), instalments=24, penalties=GIVE_UP)
        found = plan(world, terms)
        # Beside what was due, two days of the running week have earned interest on all principal.
        running = 600_000 * 2 * 72_000 * 7 // (7 * 364 * 1_000_000)
        assert abs(sum(found.capitalised) - interest - running) <= 1
        assert found.waived.penalty == sum(row.penalty_due for row in before.rows) > 2_000
        amend(world, terms, by=by, answered_by=answered_by)
        after, contract = world.loan(loan), world.contract(loan)
        principal = 600_000 + sum(found.capitalised)
        assert (after.principal_out, owed(world), world.pool("harbour").principal) == (principal,) * 3
        assert (contract.version, contract.disclosure.schedule.principal) == (2, principal)
        assert contract.disclosure.total_cost == sum(row.interest_due for row in after.rows)
        assert [row.due_on for row in after.rows] == [before.accrual.as_of + 7 * (i + 1) for i in range(24)]
        assert (after.bucket, after.days_past_due_before, after.days_past_due_max) == (
            DelinquencyBucket.CURRENT,
            23,
            23,
        )
        assert (after.restructures, after.restructured_on) == (1, before.accrual.as_of)
        assert after.dropped == after.paid == before.paid
        assert world.last("loan_amended").data["capitalised"] == sum(found.capitalised)
        assert world.last("loan_current").data["loan"] == loan.hex()
        assert world.book(world.pool_id("harbour"), Book.INTEREST) == sum(found.capitalised) + before.paid[1]


def test_an_amended_loan_is_paid_to_its_end() -> None:
    """Row by row on the due days, everything carried along: it is repaid, and what was shown is what was paid."""
    with lawful() as world:
        loan = late_loan(world)
        terms = proposal(loan, instalments=6, interest=CARRY, penalties=CARRY)
        shown = plan(world, terms)
        amend(world, terms)
        before = sum(world.loan(loan).paid)
        for index in range(1, 7):
            world.pay_row("ann", loan, index)
        assert world.loan(loan).state is LoanState.REPAID
        assert sum(world.loan(loan).paid) - before == shown.disclosure.total_payable


def test_interest_that_is_carried_is_owed_on_any_day() -> None:
    """Payoff on the day of the amendment is what it was before; a prepayment does not make it vanish."""
    with lawful() as world:
        loan = late_loan(world)
        before = payoff(world, loan)
        amend(world, proposal(loan, interest=CARRY, penalties=CARRY))
        assert payoff(world, loan) == before
        world.pass_days(3)
        carried = world.loan(loan).carried
        pay(world, "ann", loan, 50_000)
        after = world.loan(loan)
        # Interest earned comes first, the carried one with it; then principal of the last row.
        assert after.rows[0].interest_paid > carried
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID


def test_carried_charges_stand_on_the_first_new_row() -> None:
    """They fall due with it and not before."""
    with lawful() as world:
        loan = late_loan(world)
        terms = proposal(loan, interest=CARRY, penalties=CARRY)
        found = plan(world, terms)
        amend(world, terms)
        first = world.loan(loan).rows[0]
        assert first.interest_due == found.disclosure.instalments[0].interest_due + found.carried.interest
        assert first.penalty_due == found.carried.penalty
        assert found.carried.interest == world.loan(loan).carried > 0
        assert world.loan(loan).principal_out == 600_000


def test_charges_that_are_given_up_are_owed_by_nobody() -> None:
    """The payoff falls to the principal."""
    with lawful() as world:
        loan = late_loan(world)
        amend(world, proposal(loan, interest=GIVE_UP, penalties=GIVE_UP))
        assert payoff(world, loan) == world.loan(loan).principal_out == 600_000
        assert world.loan(loan).capitalised == 0


def test_forgiven_principal_is_the_pools_loss_by_share() -> None:
    """A third of 100,000 is Jade's loss; exposure falls with it."""
    with lawful() as world:
        loan = late_loan(world, partner_ppm=333_333)
        amend(world, proposal(loan, forgiven=Amount(100_000), interest=GIVE_UP, penalties=GIVE_UP), partners=("jade",))
        after = world.loan(loan)
        assert (after.principal_out, after.forgiven, owed(world)) == (500_000, 100_000, 500_000)
        losses = [world.book(world.pool_id(one), Book.LOSS) for one in ("harbour", "jade")]
        # Jade holds a floored third before and after: 199,999 and 166,666.
        assert losses == [66_667, 33_333]
        assert [one.principal for one in after.holdings] == [333_334, 166_666]


def test_capitalised_charges_are_split_by_share_and_by_kind() -> None:
    """Each pool's principal grows by its part; interest and late charges are its income, not in cash."""
    with lawful() as world:
        loan = late_loan(world, partner_ppm=333_333)
        cash = world.pool("jade").cash
        found = plan(world, proposal(loan))
        amend(world, proposal(loan), partners=("jade",))
        jade = world.loan(loan).holdings[1].principal
        assert jade == world.loan(loan).principal_out * 333_333 // 1_000_000
        assert world.pool("jade").cash == cash
        more = jade - 199_999
        booked = [world.book(world.pool_id("jade"), one) for one in (Book.INTEREST, Book.PENALTIES)]
        assert sum(booked) == more + world.loan(loan).paid[1] * 333_333 // 1_000_000
        assert abs(booked[1] - found.capitalised.penalty // 3) <= 1


def test_an_amended_loan_is_observed_for_the_policys_days() -> None:
    """Of special mention for a year, however well it is paid; its haircut is that class's."""
    with lawful(observation_days=30) as world:
        loan = late_loan(world)
        amend(world, proposal(loan, interest=GIVE_UP, penalties=GIVE_UP))
        assert world.pool("harbour").haircut == 600_000 * 3 // 100
        days = world.ledger.books.policy.observation_days
        today = world.loan(loan)
        assert calculate_loan_class(world.contract(loan), today, days) is AssetClass.SPECIAL_MENTION
        for index in range(1, 5):
            world.pay_row("ann", loan, index)
        world.pass_days(2)
        assert calculate_loan_class(world.contract(loan), bring(world, loan), days) is AssetClass.NORMAL


def test_interest_runs_on_from_the_amendment_day_by_day() -> None:
    """A week later the first row asks for exactly a week's interest of the new principal."""
    with lawful() as world:
        loan = late_loan(world)
        amend(world, proposal(loan, instalments=10))
        first = world.loan(loan).rows[0]
        principal = world.loan(loan).principal_out
        assert abs(first.interest_due - principal * 72_000 * 7 // (364 * 1_000_000)) <= 1
        world.pass_days(7)
        assert payoff(world, loan) == principal + first.interest_due


def test_a_first_due_day_can_be_put_off() -> None:
    """By up to a year; the first row then bears the interest of all those days."""
    with lawful() as world:
        loan = late_loan(world)
        today = bring(world, loan).accrual.as_of
        amend(world, proposal(loan, first_due=today + 60, interest=GIVE_UP, penalties=GIVE_UP))
        rows = world.loan(loan).rows
        assert [row.due_on - today for row in rows[:3]] == [60, 67, 74]
        assert abs(rows[0].interest_due - 600_000 * 72_000 * 60 // (364 * 1_000_000)) <= 1
        for other in (today, today + 367):
            terms = proposal(loan, first_due=other)
            assert refusal(world, "harbour", terms) is R.AMENDMENT_TERMS_INVALID


def test_a_lease_keeps_its_residual_when_it_is_amended() -> None:
    """The last row stays the residual, so that the end options keep their meaning."""
    with lawful() as world:
        loan = world.lease()
        world.pass_days(20)
        amend(world, proposal(loan, instalments=8, interest=GIVE_UP, penalties=GIVE_UP))
        schedule = world.contract(loan).disclosure.schedule
        assert schedule.amortisation is Amortisation.BALLOON
        assert world.loan(loan).rows[-1].principal_due == schedule.residual == 300_000


def test_an_amendment_ends_reversals_and_other_proposals() -> None:
    """What the other side had proposed was for another loan."""
    with lawful() as world:
        loan = late_loan(world)
        lawful_do(world, "ann", proposal(loan, rate_ppm=Ppm(0)))
        old = world.made("amendment", "ann")
        amend(world, proposal(loan))
        assert world.ledger.books.state.need(AMENDMENTS, old).accepted is False
        given = answer(world, old, terms_hash=ZERO_DIGEST)
        assert refusal(world, "harbour", given) is R.AMENDMENT_CLOSED


def test_a_side_has_one_open_proposal_and_its_next_one_replaces_it() -> None:
    """The first can no longer be accepted."""
    with lawful() as world:
        loan = late_loan(world)
        lawful_do(world, "harbour", proposal(loan))
        first = world.made("amendment", "harbour")
        lawful_do(world, "harbour", proposal(loan, instalments=20))
        assert refusal(world, "ann", answer(world, first)) is R.AMENDMENT_CLOSED
        lawful_do(world, "ann", answer(world, world.made("amendment", "harbour")))


def test_a_proposal_can_be_rejected_by_both_and_lapses_by_itself() -> None:
    """Its own side may take it back; on the day after its last it is closed."""
    with lawful() as world:
        loan = late_loan(world)
        for who in ("ann", "harbour"):
            lawful_do(world, "harbour", proposal(loan))
            made = world.made("amendment", "harbour")
            lawful_do(world, who, answer(world, made, accept=False))
            assert world.last("amendment_rejected").data["by"] == world.account(who).hex()
            assert refusal(world, "ann", answer(world, made)) is R.AMENDMENT_CLOSED
        lawful_do(world, "harbour", proposal(loan, valid_days=2))
        made = world.made("amendment", "harbour")
        world.pass_days(3)
        assert refusal(world, "ann", answer(world, made)) is R.AMENDMENT_CLOSED


def test_who_signs_yesterdays_terms_signs_nothing() -> None:
    """Interest has run for a day: the schedule is another one, and so is its hash."""
    with lawful() as world:
        loan = late_loan(world)
        lawful_do(world, "harbour", proposal(loan))
        given = answer(world, world.made("amendment", "harbour"))
        world.pass_days(1)
        assert refusal(world, "ann", given) is R.TERMS_MISMATCH
        lawful_do(world, "ann", answer(world, given.amendment))


def test_a_loan_is_restructured_no_more_often_than_policy_allows() -> None:
    """Twice; the third proposal is refused."""
    with lawful() as world:
        loan = late_loan(world)
        for _ in range(2):
            amend(world, proposal(loan))
        assert refusal(world, "harbour", proposal(loan)) is R.RESTRUCTURES_TOO_MANY


def test_all_that_a_loan_costs_stays_within_what_was_disclosed() -> None:
    """A longer time would cost more than the cap: no such schedule is lawful, a cheaper one is."""
    with lawful(cost_cap_ppm=Ppm(30_000)) as world:
        loan = late_loan(world, late_fee=Amount(0))
        assert refusal(world, "harbour", proposal(loan, instalments=52)) is R.AMENDMENT_TERMS_INVALID
        amend(world, proposal(loan, instalments=52, rate_ppm=Ppm(0)))


def test_capitalised_interest_does_not_pass_the_cap_on_debt() -> None:
    """At the cap, charges can be carried but become no principal."""
    with lawful(debt_cap=Amount(600_000)) as world:
        loan = late_loan(world)
        lawful_do(world, "harbour", proposal(loan))
        given = answer(world, world.made("amendment", "harbour"))
        assert refusal(world, "ann", given) is R.CAP_DEBT
        amend(world, proposal(loan, interest=CARRY, penalties=CARRY))


def test_a_loan_with_an_open_dispute_can_be_amended() -> None:
    """Agreeing is the best end of a dispute; what is contested stays open until it is resolved."""
    with lawful() as world:
        loan = late_loan(world)
        lawful_do(world, "ann", contest(loan, 5_000))
        amend(world, proposal(loan))
        assert world.loan(loan).dispute is not None


# ---------------------------------------------------------------------- cures


def test_a_cured_loan_is_back_in_its_pools_books() -> None:
    """A tenth had been paid by cover: it has that back out of the pool's cash, the loss is undone, it runs again."""
    with lawful() as world:
        give_cover(world, 60_000)
        set_pool(world, rate=100_000)
        loan = lend_and_default(world)
        pay(world, "ann", loan, 40_000)
        claim = world.loan(loan).holdings[0]
        assert (claim.lost, claim.covered) == (500_000, 60_000)
        cash = world.pool("harbour").cash
        amend(world, proposal(loan, interest=GIVE_UP, penalties=GIVE_UP))
        after, pool = world.loan(loan), world.pool("harbour")
        assert (after.state, after.defaulted_on, after.principal_out) == (LoanState.ACTIVE, None, 560_000)
        assert (pool.principal, pool.cover, pool.cash) == (560_000, 60_000, cash - 60_000)
        assert world.book(world.pool_id("harbour"), Book.LOSS) == 0
        assert (owed(world), after.days_past_due_before, pool.lost) == (560_000, 90, 0)
        assert world.last("loan_amended").data["cured"] is True
        pay(world, "ann", loan, payoff(world, loan))
        assert world.loan(loan).state is LoanState.REPAID


def test_a_cure_waits_for_the_cash_that_cover_has_to_get_back() -> None:
    """The pool has lent it on."""
    with lawful() as world:
        give_cover(world, 60_000)
        set_pool(world, rate=100_000)
        loan = lend_and_default(world)
        lawful_do(world, "harbour", proposal(loan))
        given = answer(world, world.made("amendment", "harbour"))
        pool = world.pool_id("harbour")
        change(world, POOLS, pool, reserved=Amount(world.pool("harbour").cash - 59_999))
        assert world.do("ann", given).rejection is R.LIQUIDITY_SHORT
        change(world, POOLS, pool, reserved=Amount(0))


def test_a_claim_that_is_written_off_can_only_be_settled() -> None:
    """Its time for other terms is over."""
    with lawful(writeoff_days=0) as world:
        loan = lend_and_default(world)
        lawful_do(world, "harbour", distress(loan, DistressKind.WRITE_OFF))
        assert refusal(world, "harbour", proposal(loan)) is R.LOAN_STATE


# ---------------------------------------------------------------------- all of it, at random


LIVES = st.fixed_dictionaries(
    {
        "days": st.integers(4, 120),
        "paid": st.integers(0, 300_000),
        "interest": st.sampled_from(Treatment),
        "penalties": st.sampled_from(Treatment),
        "forgiven": st.integers(0, 300_000),
        "instalments": st.integers(1, 40),
        "rate_ppm": st.integers(0, 300_000),
        "form": st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
        "later": st.integers(0, 90),
    }
)


@settings(max_examples=60, deadline=None)
@given(life=LIVES)
def test_amended_loans_obey_every_law_until_they_end(life: dict[str, Any]) -> None:
    """Whatever is proposed: no unit is lost, in running loans and in cured claims, and what was shown is owed."""
    world = Goods()
    give_cover(world, 20_000)
    days, paid, form, later = (life.pop(name) for name in ("days", "paid", "form", "later"))
    loan = lend(world, partner_ppm=333_333, amortisation=form)
    world.block(ms=days * DAY_MS)
    if paid:
        pay(world, "ann", loan, paid)
    if days >= DEFAULT_DAY:
        world.do("eye", distress(loan))
    terms = proposal(loan, **life)
    if world.do("harbour", terms, cosigners=("jade",)).rejection is not None:
        return
    shown = plan(world, terms)
    lawful_do(world, "ann", answer(world, world.made("amendment", "harbour")))
    assert sum(row.unpaid for row in world.loan(loan).rows) == shown.disclosure.total_payable
    world.mint("ann", 3_000_000, "wealth")
    world.block(ms=later * DAY_MS)
    world.pay("ann", loan, 77_777, ExcessRule.NEXT)
    assert find_violations(world.ledger) == {}
    world.block(ms=DAY_MS)
    world.pay("ann", loan, payoff(world, loan))
    assert world.loan(loan).state is LoanState.REPAID
    assert find_violations(world.ledger) == {}


def test_the_hash_covers_the_whole_disclosure() -> None:
    """Any other hash is refused, the original contract's too."""
    with lawful() as world:
        loan = late_loan(world)
        lawful_do(world, "harbour", proposal(loan))
        made = world.made("amendment", "harbour")
        for other in (ZERO_DIGEST, calculate_hash("else")):
            assert refusal(world, "ann", answer(world, made, terms_hash=other)) is R.TERMS_MISMATCH
