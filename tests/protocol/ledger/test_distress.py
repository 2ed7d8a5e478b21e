"""Loans in trouble by hand-computed figures: impairment, default by rule and before it, what comes back, write-off."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.crypto import calculate_hash
from protocol.ids import Day
from protocol.ledger.exposure import calculate_due30
from protocol.ledger.invariants import find_violations
from protocol.ledger.journal import Book
from protocol.ledger.loans import load_loan
from protocol.ledger.records import Repaid
from protocol.ledger.recovery import calculate_claim
from protocol.ledger.rows import Role
from protocol.ledger.servicing import calculate_loan_payoff
from protocol.ledger.state import ACCOUNTS, BALANCES, EXPOSURES, LOANS, LOSSES, POOLS, replace
from protocol.loans.delinquency import AssetClass
from protocol.loans.lifecycle import LoanState
from protocol.loans.terms import Amortisation, ExcessRule
from protocol.money import Amount
from protocol.rejections import Rejection
from protocol.transactions.servicing import AdjustKind, DistressKind, LoanAdjust
from tests.protocol.ledger.goods import Goods, lawful
from tests.protocol.ledger.troubled import (
    DEFAULT_DAY,
    distress,
    give_cover,
    lend,
    lend_and_default,
    nav,
    set_pool,
)
from tests.protocol.ledger.world import change, refused

INTEREST = 11_515
"""Of 600,000 over 97 days that nobody paid: twelve weeks and one more at 830.77, six days at 712.09, each rounded."""


@pytest.fixture
def world() -> Iterator[Goods]:
    """Lawful in the end, and again from its rows."""
    with lawful() as goods:
        yield goods


# ---------------------------------------------------------------------- impairment


def test_an_impairment_changes_the_haircut_and_no_date(world: Goods) -> None:
    """1 % of a normal loan of 600,000 becomes 60 % of a doubtful one, and 1 % again when it is taken back."""
    loan = lend(world)
    dates = [(row.due_on, row.unpaid) for row in world.loan(loan).rows]
    assert world.pool("harbour").haircut == 6_000
    world.must("harbour", distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.DOUBTFUL))
    assert world.pool("harbour").haircut == 360_000
    assert world.loan(loan).impaired is AssetClass.DOUBTFUL
    assert [(row.due_on, row.unpaid) for row in world.loan(loan).rows] == dates
    # A lender may think again, as long as it stays worse than the rule.
    world.must("harbour", distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.SPECIAL_MENTION))
    assert world.pool("harbour").haircut == 18_000
    assert find_violations(world.ledger) == {}
    world.must("harbour", distress(loan, DistressKind.UNIMPAIR, asset_class=AssetClass.LOSS))
    assert (world.pool("harbour").haircut, world.loan(loan).impaired) == (6_000, None)
    assert world.last("loan_unimpaired").data == {"loan": loan.hex(), "class": None}


def test_a_lender_only_worsens(world: Goods) -> None:
    """No class, the rule's own, and a better one are refused; eight days late the rule says special mention itself."""
    loan = lend(world)
    for asset_class in (None, AssetClass.NORMAL):
        payload = distress(loan, DistressKind.IMPAIR, asset_class=asset_class)
        assert refused(world, "harbour", payload) is Rejection.CLASS_NOT_WORSE
    mention = distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.SPECIAL_MENTION)
    assert refused(world, "harbour", mention) is None
    world.pass_days(15)
    assert refused(world, "harbour", mention) is Rejection.CLASS_NOT_WORSE
    assert refused(world, "jade", mention) is Rejection.LOAN_NOT_YOURS
    assert refused(world, "harbour", distress(loan, DistressKind.UNIMPAIR)) is None
    assert refused(world, "harbour", distress(loan, DistressKind.UNIMPAIR)) is Rejection.LOAN_STATE


# ---------------------------------------------------------------------- default


def test_the_rule_is_met_on_one_day_and_not_before(world: Goods) -> None:
    """Eighty-nine days past due is too soon for everybody; on the ninetieth an observer is enough."""
    loan = lend(world)
    world.pass_days(DEFAULT_DAY - 1)
    for who in ("harbour", "eye"):
        assert refused(world, who, distress(loan)) is Rejection.TOO_SOON
    world.pass_days(1)
    for who in ("ann", "agent", "issuer"):
        assert refused(world, who, distress(loan)) is Rejection.LOAN_NOT_YOURS
    assert refused(world, "eye", distress(loan)) is None
    ground = world.loan(loan).default_ground
    assert ground is not None
    assert (ground.days_past_due, ground.arbiter, ground.evidence) == (90, None, None)
    assert refused(world, "eye", distress(loan)) is Rejection.LOAN_STATE


@pytest.mark.parametrize("who", ["harbour", "jade", "eye", "court"])
def test_every_organisation_that_watches_may_trigger(who: str) -> None:
    """The lender, another validator, the observer, the arbiter: a bad loan is nobody's secret."""
    with lawful() as world:
        loan = lend(world)
        world.pass_days(DEFAULT_DAY)
        assert refused(world, who, distress(loan)) is None


def test_a_lender_that_lost_its_roles_still_defaults_its_loans(world: Goods) -> None:
    """Whose loan it is decides."""
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    change(world, ACCOUNTS, world.account("harbour"), roles=int(Role.VALIDATOR | Role.ISSUER))
    assert refused(world, "harbour", distress(loan)) is None


def test_an_unpaid_rest_that_is_immaterial_is_no_default(world: Goods) -> None:
    """With all but 50 of each row paid on time, nothing is late, however long it lasts."""
    loan = lend(world)
    world.mint("ann", 700_000)
    for index in range(12):
        world.pass_days(7)
        due = sum(row.unpaid for row in world.loan(loan).rows[: index + 1])
        assert world.pay("ann", loan, due - 50).rejection is None
    world.pass_days(DEFAULT_DAY)
    assert world.loan(loan).state is LoanState.ACTIVE
    assert refused(world, "eye", distress(loan)) is Rejection.TOO_SOON


def test_a_default_by_hand(world: Goods) -> None:
    """600,000 with 10 % of cover: 60,000 come from the lender, 540,000 are lost, and the claim stands still."""
    set_pool(world, rate=100_000)
    give_cover(world, 100_000)
    before = world.pool("harbour")
    loan = lend_and_default(world)
    pool, row, harbour = world.pool("harbour"), world.loan(loan), world.pool_id("harbour")
    # The origination fee of 3,000 is income of the pool.
    assert nav(pool) == nav(before) + 3_000 - 540_000
    assert (pool.principal, pool.cover, pool.haircut, pool.lost, pool.loans_open) == (0, 40_000, 0, 540_000, 1)
    assert (world.book(harbour, Book.PRINCIPAL), world.book(harbour, Book.LOSS)) == (0, 540_000)
    assert world.book(harbour, Book.COVER) == 40_000
    (holding,) = row.holdings
    assert (holding.principal, holding.covered, holding.lost, holding.haircut) == (600_000, 60_000, 540_000, 0)
    assert (row.state, row.principal_out, row.due_ms) == (LoanState.DEFAULTED, 600_000, None)
    assert row.defaulted_on == world.today
    told = world.last("loan_defaulted").data
    assert (told["ead"], told["covered"], told["loss"]) == (600_000 + INTEREST, 60_000, 540_000)
    assert (told["days_past_due"], told["early"]) == (90, False)
    exposure = world.ledger.books.state.need(EXPOSURES, world.contract(loan).subject_tag)
    assert (exposure.principal_open, exposure.loans) == (600_000, (loan,))
    claim = calculate_claim(row)
    world.pass_days(200)
    assert world.loan(loan) == row
    assert calculate_claim(world.loan(loan)) == claim
    # The claim is due as a whole.
    assert calculate_due30(world.ledger.books, exposure) == claim


def test_cover_pays_no_more_than_there_is(world: Goods) -> None:
    """40,000 of cover where the rate asks for 60,000: the rest is lost."""
    set_pool(world, rate=100_000)
    give_cover(world, 60_000)
    loan = lend(world)
    set_pool(world, rate=200_000)
    world.pass_days(DEFAULT_DAY)
    world.must("harbour", distress(loan))
    (holding,) = world.loan(loan).holdings
    assert (holding.covered, holding.lost, world.pool("harbour").cover) == (60_000, 540_000, 0)


def test_the_published_first_loss_figure(world: Goods) -> None:
    """X11: of 1,090 the source's two rates of 10 % cover 10.9; their product as one rate covers 1,090 of 109,000."""
    set_pool(world, rate=10_000)
    give_cover(world, 100_000)
    loan = lend_and_default(world, amount=109_000)
    (holding,) = world.loan(loan).holdings
    assert (holding.covered, holding.lost) == (1_090, 107_910)


def test_each_pool_has_its_own_cover(world: Goods) -> None:
    """A third is Jade's: 199,999 of which 5 % are covered, rounded up; Harbour's 400,001 are covered by 10 %."""
    set_pool(world, rate=100_000)
    set_pool(world, "jade", rate=50_000)
    give_cover(world, 50_000)
    give_cover(world, 50_000, "jade")
    loan = lend_and_default(world, partner_ppm=333_333)
    lead, partner = world.loan(loan).holdings
    assert (lead.principal, lead.covered, lead.lost) == (400_001, 40_001, 360_000)
    assert (partner.principal, partner.covered, partner.lost) == (199_999, 10_000, 189_999)
    assert (world.pool("harbour").lost, world.pool("jade").lost) == (360_000, 189_999)


# ---------------------------------------------------------------------- before the rule


def test_an_early_default_freezes_what_is_not_due(world: Goods) -> None:
    """On day 10 the first row is due with 831; three days of the second have earned 356.04; later rows ask for none."""
    loan = lend(world)
    world.pass_days(10)
    row = world.loan(loan)
    world.must("harbour", distress(loan, DistressKind.DEFAULT_EARLY), cosigners=("court",))
    after = world.loan(loan)
    assert [one.interest_due for one in after.rows] == [831, 356, *[0] * 10]
    assert [one.principal_due for one in after.rows] == [one.principal_due for one in row.rows]
    assert [one.due_on for one in after.rows] == [one.due_on for one in row.rows]
    assert world.last("loan_defaulted").data["ead"] == 600_000 + 831 + 356
    ground = after.default_ground
    assert ground is not None
    assert (ground.days_past_due, ground.arbiter) == (3, world.account("court"))
    assert ground.evidence == calculate_hash("evidence")


def test_an_early_default_needs_evidence_and_another_that_vouches(world: Goods) -> None:
    """Not while the borrower may withdraw; not without evidence; nobody vouches for itself."""
    loan = lend(world)
    early = distress(loan, DistressKind.DEFAULT_EARLY)
    world.pass_days(3)
    assert refused(world, "harbour", early, cosigners=("court",)) is Rejection.TOO_SOON
    world.pass_days(1)
    assert refused(world, "harbour", replace(early, evidence=None), cosigners=("court",)) is Rejection.ARBITER_MISSING
    for others in ((), ("eye",), ("jade", "issuer")):
        assert refused(world, "harbour", early, cosigners=others) is Rejection.ARBITER_MISSING
    change(world, ACCOUNTS, world.account("harbour"), roles=int(Role.VALIDATOR | Role.LENDER | Role.ARBITER))
    assert refused(world, "harbour", early, cosigners=("harbour",)) is Rejection.ARBITER_MISSING
    assert refused(world, "court", early, cosigners=("eye",)) is Rejection.LOAN_NOT_YOURS
    change(world, ACCOUNTS, world.account("court"), frozen=True)
    assert refused(world, "harbour", early, cosigners=("court",)) is Rejection.ARBITER_MISSING
    change(world, ACCOUNTS, world.account("court"), frozen=False)
    assert refused(world, "harbour", early, cosigners=("court",)) is None


@pytest.mark.parametrize(("short", "wanted"), [(101, None), (100, Rejection.ON_HOLD), (-(10**9), Rejection.ON_HOLD)])
def test_a_dispute_holds_a_default_for_what_it_contests(short: int, wanted: Rejection | None) -> None:
    """With the oldest row contested but for 100 units the next is only 83 days late; for 101 it is still the oldest."""
    world = Goods()
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    # A step that brings the rows to the day.
    world.must("harbour", distress(loan, DistressKind.IMPAIR, asset_class=AssetClass.LOSS))
    contested = Amount(world.loan(loan).rows[0].unpaid - short)
    change(world, LOANS, loan, hold_until=Day(world.today + 2), contested=contested)
    assert world.do("eye", distress(loan)).rejection is wanted


def test_a_hold_ends_with_its_day() -> None:
    """An early default waits for it too, whatever is contested."""
    world = Goods()
    loan = lend(world)
    world.pass_days(DEFAULT_DAY)
    change(world, LOANS, loan, hold_until=Day(world.today + 2), contested=Amount(10**9))
    early = distress(loan, DistressKind.DEFAULT_EARLY)
    world.pass_days(1)
    assert world.do("harbour", early, cosigners=("court",)).rejection is Rejection.ON_HOLD
    assert world.do("eye", distress(loan)).rejection is Rejection.ON_HOLD
    world.pass_days(1)
    assert world.do("eye", distress(loan)).rejection is None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    days=st.integers(4, 130),
    paid=st.integers(0, 500_000),
    excess=st.sampled_from(ExcessRule),
    amortisation=st.sampled_from((Amortisation.LEVEL, Amortisation.EQUAL_PRINCIPAL, Amortisation.BULLET)),
)
def test_a_claim_is_what_would_have_closed_the_loan_that_day(
    days: int, paid: int, excess: ExcessRule, amortisation: Amortisation
) -> None:
    """Nobody owes more or less by a default than by paying everything off: interest to the day, no more."""
    world = Goods()
    loan = lend(world, amortisation=amortisation)
    world.mint("ann", 700_000)
    world.pass_days(days // 2)
    if paid:
        world.pay("ann", loan, paid, excess)
    world.pass_days(days - days // 2)
    owed = calculate_loan_payoff(*load_loan(world.ledger.books, loan))
    world.must("harbour", distress(loan, DistressKind.DEFAULT_EARLY), cosigners=("court",))
    assert calculate_claim(world.loan(loan)) == owed
    assert world.pay("ann", loan, owed).rejection is None
    assert world.loan(loan).state is LoanState.RECOVERED
    assert find_violations(world.ledger) == {}


# ---------------------------------------------------------------------- what comes back


def test_a_recovery_pays_costs_loss_cover_and_income(world: Goods) -> None:
    """By hand, on a claim of 600,000 of which cover had paid 60,000; nothing above the claim is taken."""
    set_pool(world, rate=100_000, fee=100_000)
    give_cover(world, 100_000)
    loan = lend_and_default(world)
    cost = LoanAdjust(loan=loan, kind=AdjustKind.COST, amount=Amount(5_000), reference=calculate_hash("bill"))
    world.must("harbour", cost)
    world.mint("bob", 1_000_000)
    first = world.pool("harbour")
    penalty = sum(row.penalty_unpaid for row in world.loan(loan).rows)
    # Twelve late fees of 2,000, and simple late interest.
    assert penalty > 24_000

    def pay(amount: int) -> tuple[Repaid, int, int, int]:
        before, cash = world.pool("harbour"), world.cash("harbour")
        fact = world.pay("bob", loan, amount).outcome[0]
        after = world.pool("harbour")
        assert isinstance(fact, Repaid)
        assert find_violations(world.ledger) == {}
        return fact, after.cash - before.cash, after.cover - before.cover, world.cash("harbour") - cash

    fact, pool, cover, lender = pay(100_000)
    assert (fact.costs, fact.principal, pool, cover, lender) == (5_000, 95_000, 95_000, 0, 5_000)
    fact, pool, cover, lender = pay(460_000)
    assert (fact.costs, fact.principal, pool, cover, lender) == (0, 460_000, 445_000, 15_000, 0)
    assert (world.pool("harbour").lost, world.loan(loan).holdings[0].covered) == (0, 45_000)
    had = world.cash("bob")
    fact, pool, cover, lender = pay(440_000)
    # No management fee of what comes back: the lender has its costs.
    assert (fact.principal, pool, cover, lender) == (45_000, INTEREST + penalty, 45_000, 0)
    assert (fact.closed, had - world.cash("bob")) == (True, 45_000 + INTEREST + penalty)
    assert world.loan(loan).state is LoanState.RECOVERED
    last = world.pool("harbour")
    assert (last.cover, last.loans_open, last.lost) == (100_000, 0, 0)
    assert nav(last) - nav(first) == 540_000 + INTEREST + penalty
    assert world.ledger.books.state.need(EXPOSURES, world.contract(loan).subject_tag).loans == ()


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rates=st.tuples(st.integers(0, 1_000_000), st.integers(0, 300_000)),
    covers=st.tuples(st.integers(1, 400_000), st.integers(1, 200_000)),
    partner_ppm=st.integers(1, 999_999),
    parts=st.tuples(st.integers(1, 700_000), st.integers(1, 700_000)),
)
def test_shared_claims_to_the_unit_in_one_payment_or_two(
    rates: tuple[int, int], covers: tuple[int, int], partner_ppm: int, parts: tuple[int, int]
) -> None:
    """Whatever the rates, the cover and the shares: first loss conserves principal, and two halves pay as one."""
    ends = []
    for amounts in (parts, (sum(parts),)):
        world = Goods()
        for lender, amount in zip(("harbour", "jade"), covers, strict=True):
            give_cover(world, amount, lender)
        loan = lend(world, partner_ppm=partner_ppm)
        for lender, rate in zip(("harbour", "jade"), rates, strict=True):
            set_pool(world, lender, rate=rate)
        world.pass_days(DEFAULT_DAY)
        before = [nav(world.pool(lender)) for lender in ("harbour", "jade")]
        world.must("eye", distress(loan))
        after = [nav(world.pool(lender)) for lender in ("harbour", "jade")]
        holdings = world.loan(loan).holdings
        assert [was - now for was, now in zip(before, after, strict=True)] == [one.lost for one in holdings]
        for one, rate, amount in zip(holdings, rates, covers, strict=True):
            assert one.covered == min(one.principal, -(-one.principal * rate // 1_000_000), amount)
        world.mint("bob", 1_400_000)
        for amount in amounts:
            world.pay("bob", loan, amount)
        assert find_violations(world.ledger) == {}
        state = world.ledger.books.state
        row = replace(state.need(LOANS, loan), payments=0, closed_ms=None)
        ends.append((row, list(state.items(POOLS)), list(state.items(BALANCES)), list(state.items(LOSSES))))
    assert ends[0] == ends[1]


def test_a_leases_deposit_pays_at_its_default(world: Goods) -> None:
    """The first fortnight's row is ninety days late on day 104; 60,000 of deposit come back of the claim at once."""
    loan = world.lease()
    world.pass_days(104)
    (fact,) = world.must("eye", distress(loan)).outcome
    assert isinstance(fact, Repaid)
    assert (fact.principal, fact.closed, world.loan(loan).deposit) == (60_000, False, 0)
    assert (world.loan(loan).principal_out, world.pool("harbour").lost) == (540_000, 540_000)
    assert world.book(world.account("ann"), Book.DEPOSIT) == 0


def test_a_deposit_that_serves_the_claim_ends_the_lease_at_its_default(world: Goods) -> None:
    """With 20,000 of principal left the claim is served; the rest of the deposit is the lessee's again."""
    loan = world.lease(residual_ppm=10_000)
    world.mint("ann", 600_000)
    assert world.pay("ann", loan, 580_000).rejection is None
    world.pass_days(20)
    left, had = world.loan(loan).principal_out, world.cash("ann")
    (fact,) = world.must("harbour", distress(loan, DistressKind.DEFAULT_EARLY), cosigners=("court",)).outcome
    assert isinstance(fact, Repaid)
    assert (fact.principal, fact.closed) == (left, True)
    assert world.loan(loan).state is LoanState.RECOVERED
    assert world.cash("ann") - had == 60_000 - fact.principal - fact.interest - fact.penalty


# ---------------------------------------------------------------------- write-off


def test_a_write_off_moves_nothing_and_keeps_the_claim(world: Goods) -> None:
    """On the 180th day, not before, and by the lender; what comes later still goes to those who lost."""
    loan = lend_and_default(world)
    write_off = distress(loan, DistressKind.WRITE_OFF)
    world.pass_days(179)
    assert refused(world, "harbour", write_off) is Rejection.TOO_SOON
    world.pass_days(1)
    assert refused(world, "eye", write_off) is Rejection.LOAN_NOT_YOURS
    before, row = world.pool("harbour"), world.loan(loan)
    assert refused(world, "harbour", write_off) is None
    assert refused(world, "harbour", write_off) is Rejection.LOAN_STATE
    assert world.loan(loan) == replace(row, state=LoanState.WRITTEN_OFF)
    # It no longer counts as something that may come back.
    assert world.pool("harbour") == replace(before, lost=Amount(0))
    told = world.last("loan_written_off").data
    assert (told["principal"], told["loss"]) == (600_000, 600_000)
    exposure = world.ledger.books.state.need(EXPOSURES, world.contract(loan).subject_tag)
    assert exposure.principal_open == 600_000
    world.mint("ann", 1_000_000)
    world.pay("ann", loan, 1)
    assert world.loan(loan).state is LoanState.WRITTEN_OFF
    world.pay("ann", loan, 1_000_000)
    assert world.loan(loan).state is LoanState.RECOVERED
    assert refused(world, "harbour", write_off) is Rejection.LOAN_CLOSED
