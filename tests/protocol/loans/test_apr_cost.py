"""A rate is found in few steps: what a block can hold of offers depends on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.loans import apr, schedule
from protocol.loans.calendar import Period, calculate_due_dates
from protocol.loans.schedule import ScheduleTerms, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile

START = 740_000


def make_terms(count: int, rate_ppm: int) -> ScheduleTerms:
    """A consumer's loan of level instalments."""
    period = Period(unit=PeriodUnit.MONTH, every=1)
    return ScheduleTerms(
        principal=987_654_321,
        rate_ppm=rate_ppm,
        start=START,
        due_dates=calculate_due_dates(START, period, count),
        day_count=DayCount.THIRTY_360,
        period=period,
        profile=RoundingProfile.B,
        amortisation=Amortisation.LEVEL,
    )


@given(st.integers(1, 2**64), st.integers(0, 2**64), st.integers(1, 7))
def test_the_crossing_is_the_first_number_that_is_not_above_zero(high: int, root: int, power: int) -> None:
    """Of any falling value, straight or steep: what halving would find."""
    root = min(root, high - 1)
    found = apr._find_crossing(lambda at: root**power - at**power + (root == 0), high)
    assert found == (root if root else 1)


@pytest.mark.parametrize("count", [1, 12, 480])
@pytest.mark.parametrize("rate_ppm", [1, 60_000, 120_000])
def test_a_rate_takes_few_present_values(monkeypatch: pytest.MonkeyPatch, count: int, rate_ppm: int) -> None:
    """At most 30 evaluations of all flows, where halving takes 64; forty years of months are no exception."""
    terms, counted = make_terms(count, rate_ppm), list[int]()
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    value = apr._present_value

    def count_value(factor: int, steps: list[tuple[int, int]]) -> int:
        counted.append(factor)
        return value(factor, steps)

    monkeypatch.setattr(apr, "_present_value", count_value)
    payments = [(one.due_on, one.total_due) for one in rows]
    assert apr.calculate_apr_effective_ppm([(START, terms.principal * 99 // 100)], payments) is not None
    assert len(counted) <= 30


@pytest.mark.parametrize("rate_ppm", [1, 60_000, 120_000])
def test_a_consumers_payment_takes_few_schedules(monkeypatch: pytest.MonkeyPatch, rate_ppm: int) -> None:
    """The smallest lawful payment lies next to the exact one: at most 12 simulations of all rows, of 480 too."""
    counted, simulate = list[int](), schedule._rows_of_payment

    def count_rows(principal: int, payment: int, *rest: object) -> list[tuple[int, int]]:
        counted.append(payment)
        return simulate(principal, payment, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(schedule, "_rows_of_payment", count_rows)
    assert isinstance(calculate_schedule(make_terms(480, rate_ppm)), tuple)
    assert len(counted) <= 12


@given(
    st.integers(1, 60),
    st.integers(0, 300_000),
    st.integers(900_000, 1_000_000),
    st.integers(0, 40),
    st.integers(-2, 2),
)
def test_being_within_a_cap_is_having_no_higher_rate(
    count: int, rate_ppm: int, kept_ppm: int, late: int, off: int
) -> None:
    """One present value at the cap says to the unit what solving for the rate would say."""
    terms = make_terms(count, rate_ppm)
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    payments = [(one.due_on, one.total_due) for one in rows]
    advances = [(min(START + late, rows[0].due_on - 1), terms.principal * kept_ppm // 10**6)]
    apr_ppm = apr.calculate_apr_effective_ppm(advances, payments)
    # Of one row so near that no rate could be stated, none is lawful.
    cap_ppm = 10**9 if apr_ppm is None else apr_ppm + off
    assert apr.is_apr_within(advances, payments, cap_ppm) == (apr_ppm is not None and off >= 0)
