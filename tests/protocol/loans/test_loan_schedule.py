"""Laws of schedules, beside a naive oracle in fractions."""

import datetime
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.calendar import Period, calculate_due_dates
from protocol.loans.schedule import (
    RATE_PPM_MAX,
    Instalment,
    ScheduleFault,
    ScheduleTerms,
    calculate_level_payment,
    calculate_period_rates,
    calculate_schedule,
)
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile
from protocol.money import AMOUNT_MAX

START = datetime.date(2024, 1, 31).toordinal()
MONTH = Period(unit=PeriodUnit.MONTH, every=1)


def make_terms(**changes: object) -> ScheduleTerms:
    """Terms of an ordinary loan: 10,000.00 at 24 % over twelve months, with changes."""
    fields: dict[str, object] = {
        "principal": 1_000_000,
        "rate_ppm": 240_000,
        "start": START,
        "due_dates": calculate_due_dates(START, MONTH, 12),
        "day_count": DayCount.ACT_365F,
        "period": MONTH,
        "profile": RoundingProfile.A,
        "amortisation": Amortisation.LEVEL,
    }
    return ScheduleTerms(**{**fields, **changes})  # type: ignore[arg-type]


def rows_of(terms: ScheduleTerms) -> tuple[Instalment, ...]:
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple), rows
    return rows


@st.composite
def terms_strategy(draw: st.DrawFn, level_b: bool = False) -> ScheduleTerms:
    period = Period(unit=draw(st.sampled_from(PeriodUnit)), every=draw(st.integers(1, 6)))
    start = draw(st.integers(START - 2000, START + 2000))
    dates = calculate_due_dates(start, period, draw(st.integers(1, 36)))
    principal = draw(st.integers(1, 10**10))
    amortisation = Amortisation.LEVEL if level_b else draw(st.sampled_from(Amortisation))
    residual = 0 if level_b or amortisation is Amortisation.BULLET else draw(st.integers(0, principal) | st.just(0))
    return make_terms(
        principal=principal,
        rate_ppm=draw(st.integers(0, 3_000_000) | st.just(0)),
        start=start,
        due_dates=dates,
        day_count=draw(st.sampled_from(DayCount)),
        period=period,
        profile=RoundingProfile.B if level_b else draw(st.sampled_from(RoundingProfile)),
        amortisation=amortisation,
        residual=residual,
    )


@settings(deadline=None)
@given(terms=terms_strategy())
def test_a_schedule_conserves_principal_and_is_never_negative(terms: ScheduleTerms) -> None:
    """Principal parts sum to the principal, balances follow from them to zero, and every row asks for something."""
    rows = calculate_schedule(terms)
    if isinstance(rows, ScheduleFault):
        return
    assert sum(row.principal_due for row in rows) == terms.principal
    balance = terms.principal
    for row, due_on in zip(rows, terms.due_dates, strict=True):
        balance -= row.principal_due
        assert row.balance_after == balance
        assert row.due_on == due_on
        assert row.principal_due >= 0
        assert row.interest_due >= 0
        assert row.total_due > 0
    assert balance == 0


@settings(deadline=None)
@given(terms=terms_strategy(level_b=True))
def test_profile_b_never_ends_higher(terms: ScheduleTerms) -> None:
    """In profile B the last row is at most the level one, and one unit less would make it higher."""
    rows = calculate_schedule(terms)
    if isinstance(rows, ScheduleFault) or len(rows) == 1:
        return
    level = rows[0].total_due
    assert all(row.total_due == level for row in rows[:-1])
    assert rows[-1].total_due <= level
    balance = terms.principal
    rates = calculate_period_rates(terms)
    for num, den in rates[:-1]:
        balance += balance * num // den - (level - 1)
    assert balance + balance * rates[-1][0] // rates[-1][1] > level - 1


@settings(deadline=None)
@given(
    principal=st.integers(1, 10**12),
    share=st.fractions(0, 1),
    rates=st.lists(st.tuples(st.integers(0, 10**6), st.integers(10**6, 10**9)), min_size=1, max_size=40),
)
def test_level_payment_solves_the_annuity(principal: int, share: Fraction, rates: list[tuple[int, int]]) -> None:
    """Paying E* each period leaves exactly the residual: the oracle runs the balance in fractions."""
    residual = int(principal * share)
    payment = Fraction(*calculate_level_payment(principal, residual, rates))
    balance = Fraction(principal)
    for num, den in rates:
        balance = balance * (1 + Fraction(num, den)) - payment
    assert balance == residual


@settings(deadline=None)
@given(terms=terms_strategy())
def test_interest_is_the_rounded_balance_times_rate(terms: ScheduleTerms) -> None:
    """Each row's interest is within half a unit (profile A) or below by less than one (B) of the exact product."""
    rows = calculate_schedule(terms)
    if isinstance(rows, ScheduleFault):
        return
    for row, rate in zip(rows, calculate_period_rates(terms), strict=True):
        exact = (row.balance_after + row.principal_due) * Fraction(*rate)
        if terms.profile is RoundingProfile.A:
            assert abs(row.interest_due - exact) <= Fraction(1, 2)
        else:
            assert 0 <= exact - row.interest_due < 1


def test_balloon_leaves_exactly_the_residual_for_the_end() -> None:
    """A balloon's last principal is the residual; a level loan with a residual pays it on top of the last part."""
    balloon = rows_of(make_terms(amortisation=Amortisation.BALLOON, residual=400_000))
    assert balloon[-1].principal_due == 400_000
    assert len({row.total_due for row in balloon[:-2]}) == 1
    level = rows_of(make_terms(residual=400_000))
    assert abs(level[-1].total_due - 400_000 - level[0].total_due) <= len(level)


def test_residual_of_the_whole_principal_is_interest_only() -> None:
    """A level loan whose residual is the principal equals a bullet loan."""
    assert rows_of(make_terms(residual=1_000_000)) == rows_of(make_terms(amortisation=Amortisation.BULLET))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"principal": 0}, ScheduleFault.PRINCIPAL_RANGE),
        ({"principal": AMOUNT_MAX + 1}, ScheduleFault.PRINCIPAL_RANGE),
        ({"principal": 0, "rate_ppm": -1}, ScheduleFault.PRINCIPAL_RANGE),
        ({"rate_ppm": -1}, ScheduleFault.RATE_RANGE),
        ({"rate_ppm": RATE_PPM_MAX + 1}, ScheduleFault.RATE_RANGE),
        ({"residual": -1}, ScheduleFault.RESIDUAL_RANGE),
        ({"residual": 1_000_001}, ScheduleFault.RESIDUAL_RANGE),
        ({"amortisation": Amortisation.BALLOON}, ScheduleFault.RESIDUAL_RANGE),
        ({"amortisation": Amortisation.BULLET, "residual": 5}, ScheduleFault.RESIDUAL_RANGE),
        ({"period": Period(unit=PeriodUnit.DAY, every=0)}, ScheduleFault.PERIOD_RANGE),
        ({"due_dates": ()}, ScheduleFault.ROWS_RANGE),
        ({"due_dates": tuple(range(START + 1, START + 482))}, ScheduleFault.ROWS_RANGE),
        ({"due_dates": (START,)}, ScheduleFault.DATES_ORDER),
        ({"due_dates": (START + 2, START + 2)}, ScheduleFault.DATES_ORDER),
        ({"due_dates": (START + 3, START + 2)}, ScheduleFault.DATES_ORDER),
        ({"due_dates": (START + 200_000,)}, ScheduleFault.DATES_RANGE),
        ({"principal": 5, "rate_ppm": 0, "amortisation": Amortisation.EQUAL_PRINCIPAL}, ScheduleFault.PAYMENT_ZERO),
        ({"rate_ppm": RATE_PPM_MAX, "day_count": DayCount.THIRTY_360}, ScheduleFault.PAYMENT_BELOW_INTEREST),
        ({"rate_ppm": 0, "principal": 20}, ScheduleFault.ROW_NEGATIVE),
        ({"rate_ppm": 0, "principal": 22}, ScheduleFault.ROW_EMPTY),
        ({"rate_ppm": 0, "amortisation": Amortisation.BULLET}, ScheduleFault.ROW_EMPTY),
    ],
)
def test_terms_without_a_schedule_are_refused_with_a_reason(changes: dict[str, object], fault: ScheduleFault) -> None:
    """Each fault has terms that show it; the first in order of precedence is given."""
    assert calculate_schedule(make_terms(**changes)) is fault


def test_every_fault_is_reachable() -> None:
    """The table above names every member of the enum."""
    marks = test_terms_without_a_schedule_are_refused_with_a_reason.pytestmark  # type: ignore[attr-defined]
    assert {fault for _, fault in marks[0].args[1]} == set(ScheduleFault)


def test_the_longest_schedule_is_fast() -> None:
    """480 rows of unequal months take a few milliseconds, so a schedule can be recomputed by every node."""
    terms = make_terms(due_dates=calculate_due_dates(START, MONTH, 480), day_count=DayCount.ACT_ACT, rate_ppm=60_000)
    best = min(_seconds(terms) for _ in range(5))
    assert best < 0.05


def _seconds(terms: ScheduleTerms) -> float:
    begun = time.process_time()
    rows_of(terms)
    return time.process_time() - begun
