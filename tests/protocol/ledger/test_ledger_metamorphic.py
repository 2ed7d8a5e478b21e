"""The same deeds in another form give the same books: split payments, swapped neighbours, events carried over."""

from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ids import Day
from protocol.ledger import execute
from protocol.ledger.invariants import find_violations
from protocol.ledger.servicing import calculate_cost, calculate_loan_at
from protocol.ledger.state import BALANCES, CONTRACTS, LOANS, QUEUE
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, RoundingProfile, WaterfallOrder
from protocol.money import Amount, Ppm
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import DAY_MS, LENDERS, World


def make_world(**terms: object) -> World:
    """Three lenders with the same product."""
    world = World()
    for lender in LENDERS:
        world.found_lender(lender, **terms)
    return world


FORMS = st.fixed_dictionaries(
    {
        "waterfall": st.sampled_from(WaterfallOrder),
        "profile": st.sampled_from(RoundingProfile),
        "day_count": st.sampled_from(DayCount),
        "amortisation": st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
        "grace_days": st.integers(0, 3),
    }
)


@settings(deadline=None, max_examples=60)
@given(
    form=FORMS,
    excess=st.sampled_from((ExcessRule.NEXT, ExcessRule.LAST)),
    days=st.tuples(st.integers(0, 120), st.integers(0, 40)),
    parts=st.tuples(st.integers(1, 900_000), st.integers(1, 900_000)),
)
def test_paying_in_two_parts_on_a_day_is_paying_once(
    form: dict[str, object], excess: ExcessRule, days: tuple[int, int], parts: tuple[int, int]
) -> None:
    """Whatever the product, the day and the lateness: rows and balances are equal, and stay so."""
    ends = []
    for amounts in (parts, (sum(parts),)):
        world = make_world(**form)
        world.open_account("ann")
        loan = world.borrow("ann")
        world.mint("ann", 2_000_000, "wealth")
        world.block(ms=days[0] * DAY_MS + 1)
        for amount in amounts:
            world.pay("ann", loan, amount, excess)
        world.block(ms=days[1] * DAY_MS + 1)
        world.pay("ann", loan, 1, excess)
        assert find_violations(world.ledger) == {}
        state = world.ledger.books.state
        # A part may leave an event that comes too early, looks and goes: when it comes is no part of the law.
        after = msgspec.structs.replace(state.need(LOANS, loan), closed_ms=None, due_ms=None, payments=0)
        ends.append((after, list(state.items(BALANCES))))
    assert ends[0] == ends[1]


@settings(deadline=None, max_examples=40)
@given(
    form=FORMS,
    cap=st.sampled_from((15_000, 50_000, 1_000_000)),
    paid=st.integers(0, 400_000),
    days=st.lists(st.integers(1, 150), min_size=1, max_size=8),
)
def test_a_loan_brought_to_a_day_in_steps_is_the_loan_brought_there_at_once(
    form: dict[str, object], cap: int, paid: int, days: list[int]
) -> None:
    """Interest, late charges and lateness depend on the days alone; under a binding cap, their sum does."""
    world = World(cost_cap_ppm=Ppm(cap))
    for lender in LENDERS:
        world.found_lender(lender, **form)
    world.open_account("ann")
    offers = world.offer("ann")
    if not offers:
        return  # the interest alone would pass the cap: no such loan is offered
    assert world.accept("ann", offers[0]).rejection is None
    loan_id = world.made("loan", "ann")
    if paid:
        world.pay("ann", loan_id, paid)
    state, materiality = world.ledger.books.state, world.genesis.policy.materiality
    contract, stepped = state.need(CONTRACTS, loan_id), state.need(LOANS, loan_id)
    start = stepped
    for day in days:
        stepped = calculate_loan_at(contract, stepped, Day(stepped.accrual.as_of + day), materiality)
    at_once = calculate_loan_at(contract, start, Day(stepped.accrual.as_of), materiality)
    assert calculate_cost(contract, stepped, stepped.rows) == calculate_cost(contract, at_once, at_once.rows)
    assert stepped.days_past_due_max == at_once.days_past_due_max
    if cap == 1_000_000:
        assert stepped == at_once


def test_independent_transactions_may_change_places() -> None:
    """Payments on different loans in one block: every order ends in the same balances and loans."""
    ends = []
    for order in permutations(("ann", "bob", "cai")):
        world = make_world()
        loans = {}
        for name in ("ann", "bob", "cai"):
            world.open_account(name)
            loans[name] = world.borrow(name)
        world.pass_days(9)
        calls = {
            name: world.transaction(name, Pay(loan=loan, amount=Amount(90_000), excess=ExcessRule.LAST))
            for name, loan in loans.items()
        }
        world.block(*((calls[name], ()) for name in order))
        state = world.ledger.books.state
        ends.append((list(state.items(BALANCES)), list(state.items(LOANS)), list(state.items(QUEUE))))
    assert all(end == ends[0] for end in ends)


def test_due_events_beyond_the_limit_are_carried_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """One event per block instead of all at once: the same loans in the end, and a payment never comes too early."""
    ends = []
    for limit in (1, 1_000):
        monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", limit)
        world = make_world()
        loans = {}
        for name in ("ann", "bob", "cai"):
            world.open_account(name)
            loans[name] = world.borrow(name)
        world.block(ms=9 * DAY_MS)
        waiting = world.ledger.has_due_events(world.now_ms)  # type: ignore[arg-type]
        assert waiting == (limit == 1)
        for name, loan in loans.items():
            assert world.pay(name, loan, 68_000).rejection is None
        for _ in range(10):
            world.block(ms=1)
        assert not world.ledger.has_due_events(world.now_ms)  # type: ignore[arg-type]
        assert find_violations(world.ledger) == {}
        state = world.ledger.books.state
        ends.append([state.need(LOANS, loan).rows for loan in loans.values()])
        fees = [event for event in world.events if event.kind == "late_fee_charged"]
        assert len(fees) == 3
    assert ends[0] == ends[1]


def test_the_cap_on_cost_ends_all_charges() -> None:
    """A loan nobody pays for three years never costs more than was disclosed, and the books stay lawful."""
    world = World(cost_cap_ppm=Ppm(60_000))
    for lender in LENDERS:
        world.found_lender(lender)
    world.open_account("ann")
    loan = world.borrow("ann")
    for _ in range(37):
        world.block(ms=30 * DAY_MS)
        assert find_violations(world.ledger) == {}
    world.mint("ann", 900_000)
    receipt = world.pay("ann", loan, 900_000)
    assert receipt.rejection is None
    assert sum(world.ledger.books.state.need(LOANS, loan).paid) + 4_000 == 848_000
    assert find_violations(world.ledger) == {}
