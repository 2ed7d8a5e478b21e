"""What time ends is over at once, the calendar's end is a refusal, and a refusal costs little."""

import pytest

from protocol.ids import Day
from protocol.ledger import execute, offers
from protocol.ledger.invariants import find_violations
from protocol.ledger.state import ACCOUNTS, APPLICATIONS, OFFERS, POOLS
from protocol.loans.calendar import DAY_MAX
from protocol.loans.schedule import Instalment, ScheduleFault, ScheduleTerms, calculate_schedule
from protocol.loans.terms import PeriodUnit
from protocol.rejections import Rejection
from tests.protocol.ledger.world import DAY_MS, World, change


def test_an_application_that_is_over_cannot_be_taken_before_its_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its offer stands longer and its expiry waits behind other events; the acceptance is too late all the same."""
    world = World(application_days=1)
    world.open_account("ann")
    world.found_lender("harbour")
    (offer,) = world.offer("ann")
    row = world.ledger.books.state.need(OFFERS, offer)
    expires_ms = world.ledger.books.state.need(APPLICATIONS, row.disclosure.application).expires_ms
    assert expires_ms + 5_000 < row.expires_ms
    monkeypatch.setattr(execute, "DAY_EVENTS_PER_BLOCK_MAX", 0)
    world.now_ms = expires_ms
    assert world.accept("ann", offer).rejection is Rejection.OFFER_EXPIRED
    assert find_violations(world.ledger) == {}


@pytest.mark.parametrize("year_end", [DAY_MAX, 3_652_059])
def test_at_the_calendars_end_there_is_no_offer(year_end: int) -> None:
    """Due dates that no calendar holds are a refusal by policy, in 2299 as in 9999, never an error of the ledger."""
    world = World()
    world.found_lender(
        "harbour", instalments_max=480, period_unit=PeriodUnit.MONTH, tz_offset_min=0, expires_on=Day(3_652_059)
    )
    world.open_account("ann")
    world.block(ms=DAY_MS * (year_end - 10 - world.today))
    change(world, ACCOUNTS, world.account("ann"), expires_on=Day(3_652_059))
    data, consent = world.anchor("ann")
    sidecar = world.sidecar("ann")
    payload = world.application("ann", data, consent, sidecar=sidecar, period_unit=PeriodUnit.MONTH, instalments=480)
    world.must("ann", payload, sidecars=(sidecar,))
    decided = world.attest(world.made("application", "ann"), "ann")
    assert [(one.offer, one.rule) for one in decided] == [(None, Rejection.POLICY_BROKEN)]


def test_a_refused_acceptance_recomputes_no_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caps answer first; only an acceptance that passes them pays for the schedule."""
    world = World(accepts_per_day_max=1)
    world.open_account("ann")
    world.found_lender("harbour", borrower_max=1)
    (offer,) = world.offer("ann")
    counted: list[ScheduleTerms] = []

    def count(terms: ScheduleTerms) -> tuple[Instalment, ...] | ScheduleFault:
        counted.append(terms)
        return calculate_schedule(terms)

    monkeypatch.setattr(offers, "calculate_schedule", count)
    assert world.accept("ann", offer).rejection is Rejection.CAP_POOL
    assert counted == []
    pool = world.ledger.books.state.need(OFFERS, offer).disclosure.pool
    change(world, POOLS, pool, borrower_max=10**9)
    assert world.accept("ann", offer).rejection is None
    assert len(counted) == 1
