"""The caps hold against whoever tries to get round them: far first dates, one lender's word, junk before others."""

import datetime

import pytest

from protocol.ids import Day, ObjectId
from protocol.ledger import execute
from protocol.ledger.exposure import Due, calculate_burden, calculate_due30
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, EXPOSURES, POOLS
from protocol.loans.calendar import Period
from protocol.loans.terms import Amortisation, PeriodUnit
from protocol.money import Amount, Ppm
from protocol.rejections import Rejection
from protocol.transactions.pools import PoolOpen
from protocol.transactions.products import BandPrice
from scoring.reasons import AFFORDABILITY
from tests.protocol.ledger.world import CNY, LENDERS, World


def pass_to_a_long_month(world: World) -> None:
    """Days pass until a month from today has 31 days."""
    while (date := datetime.date.fromordinal(world.today)).month != 1 or date.day != 15:
        world.pass_days(1)


def ask_monthly(world: World, amount: int, instalments: int = 12) -> ObjectId:
    """Ann applies for a loan in months."""
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application(
        "ann", data, consent, amount=amount, sidecar=sidecar, period_unit=PeriodUnit.MONTH, instalments=instalments
    )
    world.must("ann", payload, sidecars=(sidecar,))
    return world.made("application", "ann")


@pytest.mark.parametrize("amortisation", [Amortisation.LEVEL, Amortisation.BULLET])
def test_a_monthly_loan_in_a_long_month_weighs_its_instalment(amortisation: Amortisation) -> None:
    """With no cash flow at all there is no offer, with a first date 31 days ahead or interest alone due."""
    world = World()
    world.found_lender("harbour", period_unit=PeriodUnit.MONTH, tz_offset_min=0, amortisation=amortisation)
    world.open_account("ann")
    pass_to_a_long_month(world)
    decided = world.attest(ask_monthly(world, 1_200_000), "ann", capacity30=70_000)
    # 60 % of 70,000 are 42,000; a twelfth of the principal alone is 100,000.
    assert [(one.offer, one.reasons) for one in decided] == [(None, (AFFORDABILITY,))]


def test_monthly_loans_add_up_in_a_long_month() -> None:
    """Three loans of 31-day first periods on one day: the one that would pass the share of cash flow is refused."""
    world = World(debt_cap=20_000_000, lenders_max=3)
    world.open_account("ann")
    for lender in LENDERS:
        world.found_lender(lender, period_unit=PeriodUnit.MONTH, tz_offset_min=0, cash=10**8, borrower_max=10**8)
    pass_to_a_long_month(world)
    outcomes = []
    for lender in LENDERS:
        decided = world.attest(ask_monthly(world, 2_000_000), "ann", capacity30=600_000)
        offer = next(one.offer for one in decided if one.lender == world.account(lender))
        assert offer is not None
        outcomes.append(world.accept("ann", offer).rejection)
    # An instalment is about 173,000 of the 360,000 allowed: two fit, three do not.
    assert outcomes == [None, None, Rejection.CAP_INSTALMENTS]
    assert find_violations(world.ledger) == {}


def test_a_burden_is_what_falls_due_or_the_monthly_equivalent() -> None:
    """Overdue and due rows count whole; a far date counts by its share of a month; a paid loan weighs nothing."""
    year = Period(unit=PeriodUnit.MONTH, every=12)
    assert calculate_burden((Due(765, 1_200),), year, Day(400)) == 100
    assert calculate_burden((Due(431, 1_200),), year, Day(400)) == 1_200
    assert calculate_burden((Due(300, 0), Due(400, 700), Due(765, 500)), year, Day(400)) == 700
    assert calculate_burden((Due(300, 0),), year, Day(400)) == 0


def test_late_charges_count_before_their_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day roll that is carried over hides no late fee from the instalment cap."""
    world = World()
    world.open_account("ann")
    world.found_lender("harbour", late_fee=Amount(50_000))
    world.borrow("ann")
    tag = world.ledger.books.state.need(ACCOUNTS, world.account("ann")).subject_tag
    exposure = world.ledger.books.state.need(EXPOSURES, tag)
    monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 0)
    world.pass_days(20)
    pending = calculate_due30(world.ledger.books, exposure)
    monkeypatch.undo()
    world.block()
    assert pending == calculate_due30(world.ledger.books, exposure)


def test_a_lenders_own_word_opens_no_cap() -> None:
    """Two say 1,000, a lender that decides alone says more than anybody earns: no offer. Said first: no acceptance."""
    orders: tuple[tuple[str, ...], ...] = (("harbour", "plum", "jade"), ("jade", "harbour", "plum"))
    for order in orders:
        world = World()
        world.open_account("ann")
        world.found_lender("jade", attestations_min=1)
        application = world.apply("ann")
        offers = [
            one.offer
            for lender in order
            for one in world.attest(
                application, "ann", lenders=(lender,), capacity30=9 * 10**15 if lender == "jade" else 1_000
            )
        ]
        if order[0] == "jade":
            assert offers[0] is not None
            assert world.accept("ann", offers[0]).rejection is Rejection.CAP_INSTALMENTS
        else:
            assert offers == [None]
        assert find_violations(world.ledger) == {}


@pytest.mark.parametrize(("floor", "given", "code"), [(2, 1, Rejection.POLICY_BROKEN), (2, 2, None), (9, 3, None)])
def test_a_product_decides_on_no_fewer_attestations_than_the_policy(
    floor: int, given: int, code: Rejection | None
) -> None:
    """Below the policy's floor a product is refused; three organisations can never be asked for nine."""
    world = World(attestations_floor=floor)
    world.must("harbour", PoolOpen(currency=CNY, borrower_max=Amount(1)))
    payload = world.product(world.made("pool", "harbour"), attestations_min=given)
    assert world.do("harbour", payload).rejection is code


@pytest.mark.parametrize(("band_max", "answers"), [(1, 16), (2_000_000, 4)])
def test_a_lenders_many_products_leave_room_for_the_others(band_max: int, answers: int) -> None:
    """Whoever attests first with 20 products gives 16 declines or 4 offers; another lender still makes its offer."""
    world = World()
    world.open_account("ann")
    bands = (BandPrice(rate_ppm=Ppm(72_000), amount_max=Amount(band_max)),)
    world.found_lender("jade", attestations_min=1, bands=bands)
    pool = ObjectId(next(key for key, _ in world.ledger.books.state.items(POOLS)))
    for _ in range(19):
        world.must("jade", world.product(pool, attestations_min=1, bands=bands))
    world.found_lender("harbour")
    application = world.apply("ann")
    assert len(world.attest(application, "ann", lenders=("jade",))) == answers
    decided = world.attest(application, "ann", lenders=("harbour", "plum"))
    assert [one.offer is not None for one in decided if one.lender == world.account("harbour")] == [True]
    assert find_violations(world.ledger) == {}
