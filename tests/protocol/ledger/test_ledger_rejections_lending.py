"""What an acceptance and a payment are refused for, and what a decision declines for, in order of precedence."""

from typing import Any

import msgspec
import pytest

from protocol.crypto import calculate_hash
from protocol.ids import ZERO_DIGEST, ObjectId
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import OFFERS, POOLS, PRODUCTS
from protocol.loans.terms import ExcessRule
from protocol.money import AMOUNT_MAX, Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.lending import Accept, ApplyWithdraw
from protocol.transactions.products import BandPrice
from protocol.transactions.servicing import Pay
from tests.protocol.ledger.world import (
    MODEL_ID,
    World,
    change,
    refused,
)

NOTHING = ObjectId(ZERO_DIGEST)


@pytest.fixture
def world() -> World:
    """Two lenders, Ann with money, Bob."""
    made = World()
    for lender in ("harbour", "jade"):
        made.found_lender(lender)
    for person in ("ann", "bob"):
        assert made.open_account(person).rejection is None
    made.mint("ann", 1_000_000, "first")
    return made


def test_accept_refuses_in_order_of_precedence(world: World) -> None:
    """All that can be wrong is wrong at first; each cause is taken away, and the next one is named."""
    offers = world.offer("ann")
    offer = offers[0]
    state, policy = world.ledger.books.state, world.ledger.books.policy
    row = state.need(OFFERS, offer)
    disclosure, books = row.disclosure, world.ledger.books
    pool = state.need(POOLS, disclosure.pool)
    assert world.accept("bob", offer).rejection is Rejection.OFFER_UNKNOWN
    change(world, PRODUCTS, disclosure.product, terms=world.product(disclosure.pool, auto_budget=Amount(1)))
    change(world, POOLS, disclosure.pool, cash=0, borrower_max=0)

    def accept(terms: Any = None, **changes: Any) -> Rejection | None:
        books.policy = msgspec.structs.replace(books.policy, **changes)
        return world.do("ann", Accept(offer=offer, terms_hash=terms or row.terms_hash)).rejection

    tight = {"debt_cap": 1, "instalment_share_ppm": 0}
    assert accept(calculate_hash("other terms"), **tight) is Rejection.TERMS_MISMATCH
    assert accept() is Rejection.CAP_DEBT
    assert accept(debt_cap=policy.debt_cap) is Rejection.CAP_INSTALMENTS
    assert accept(instalment_share_ppm=policy.instalment_share_ppm) is Rejection.BUDGET_SPENT
    change(world, PRODUCTS, disclosure.product, terms=world.product(disclosure.pool))
    assert accept() is Rejection.LIQUIDITY_SHORT
    change(world, POOLS, disclosure.pool, cash=pool.cash)
    assert accept() is Rejection.CAP_POOL
    change(world, POOLS, disclosure.pool, borrower_max=pool.borrower_max)
    world.pass_days(2)
    assert accept(apr_cap_ppm=Ppm(disclosure.apr_ppm)) is Rejection.RATE_TOO_HIGH
    assert accept(apr_cap_ppm=policy.apr_cap_ppm) is None
    assert accept() is Rejection.OFFER_TAKEN
    world.pass_days(5)
    assert accept() is Rejection.OFFER_EXPIRED
    assert find_violations(world.ledger) == {}


def test_caps_on_lenders_and_acceptances_a_day() -> None:
    """A third lender is one too many, a fourth acceptance in a day as well; on the next day it passes."""
    world = World(lenders_max=2, accepts_per_day_max=3)
    for lender in ("harbour", "jade", "plum"):
        world.found_lender(lender, attestations_min=1)
    world.open_account("ann")
    for lender, code in (("harbour", None), ("jade", None), ("plum", Rejection.CAP_LENDERS), ("jade", None)):
        assert take_from(world, lender) is code
    assert take_from(world, "jade") is Rejection.CAP_DAILY
    world.pass_days(1)
    assert take_from(world, "jade") is None
    assert find_violations(world.ledger) == {}


def take_from(world: World, lender: str) -> Rejection | None:
    """Ask, be attested by one lender alone, accept; then let the application go if it still stands."""
    application = world.apply("ann", amount=20_000)
    decided = world.attest(application, "ann", lenders=(lender,))
    assert decided[0].offer is not None
    rejection = world.accept("ann", decided[0].offer).rejection
    if rejection is not None:
        world.must("ann", ApplyWithdraw(application=application))
    return rejection


def test_decisions_decline_for_limits_with_a_rule_or_a_reason() -> None:
    """Too much for the band, nothing left in the budget, an instalment nobody can carry, a rate above the policy."""
    for terms, capacity30, reasons, rule in (
        ({"bands": (BandPrice(rate_ppm=Ppm(100_000), amount_max=Amount(10)),)}, 900_000, (6,), None),
        ({"auto_budget": Amount(700_000)}, 900_000, (), Rejection.BUDGET_SPENT),
        ({}, 1_000, (5,), None),
        ({"origination_fee_ppm": Ppm(300_000)}, 900_000, (), Rejection.POLICY_BROKEN),
    ):
        world = World()
        world.found_lender("harbour", attestations_min=1, **terms)
        world.open_account("ann")
        application = world.apply("ann")
        (decided,) = world.attest(application, "ann", lenders=("harbour",), capacity30=capacity30)
        assert (decided.offer, decided.reasons, decided.rule) == (None, reasons, rule)
        assert find_violations(world.ledger) == {}


def test_pay(world: World) -> None:
    """An amount, a loan, the money for it."""
    loan = world.borrow("ann")
    for who, payload, code in (
        ("ann", Pay(loan=loan, amount=Amount(0), excess=ExcessRule.LAST), Rejection.AMOUNT_ZERO),
        ("ann", Pay(loan=NOTHING, amount=Amount(1), excess=ExcessRule.LAST), Rejection.LOAN_UNKNOWN),
        ("bob", Pay(loan=loan, amount=Amount(1), excess=ExcessRule.LAST), Rejection.FUNDS_SHORT),
        ("ann", Pay(loan=loan, amount=Amount(AMOUNT_MAX), excess=ExcessRule.LAST), None),
        ("ann", Pay(loan=loan, amount=Amount(1), excess=ExcessRule.LAST), Rejection.LOAN_CLOSED),
    ):
        assert refused(world, who, payload) is code


def test_model_of_the_tests_is_registered(world: World) -> None:
    """The books know the model under its own id."""
    assert MODEL_ID in world.ledger.books.models
