"""Laws of interest between due dates, late charges and arrears."""

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.accrual import (
    Accrual,
    apply_days,
    calculate_accrual_period_at,
    calculate_accrual_periods,
    calculate_cooling_off_amount,
    calculate_cost_room,
    calculate_days_late,
    calculate_interest_accrued,
    calculate_interest_ahead,
    calculate_late_fee,
    calculate_late_interest,
    calculate_prepayment_fee,
)
from protocol.loans.calendar import Period, calculate_due_dates
from protocol.loans.delinquency import (
    AssetClass,
    DelinquencyBucket,
    calculate_bucket,
    calculate_class,
    calculate_days_past_due,
    calculate_first_loss,
    calculate_haircut,
    calculate_stage,
)
from protocol.loans.schedule import ScheduleTerms, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile
from protocol.loans.waterfall import Row

START = datetime.date(2024, 1, 31).toordinal()
MONTH = Period(unit=PeriodUnit.MONTH, every=1)


def make_terms(
    day_count: DayCount = DayCount.THIRTY_360, profile: RoundingProfile = RoundingProfile.A, period: Period = MONTH
) -> ScheduleTerms:
    """10,000.00 at 24 % in twelve rows."""
    return ScheduleTerms(
        principal=1_000_000,
        rate_ppm=240_000,
        start=START,
        due_dates=calculate_due_dates(START, period, 12),
        day_count=day_count,
        period=period,
        profile=profile,
        amortisation=Amortisation.LEVEL,
    )


terms_strategy = st.builds(make_terms, st.sampled_from(DayCount), st.sampled_from(RoundingProfile))


@settings(deadline=None)
@given(terms=terms_strategy, cuts=st.lists(st.integers(0, 31), max_size=6))
def test_interest_over_split_intervals_equals_interest_over_the_whole(terms: ScheduleTerms, cuts: list[int]) -> None:
    """However a row's days are cut up, the last day reaches exactly the row's interest."""
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    for row, period in zip(rows, calculate_accrual_periods(terms), strict=True):
        balance, accrual = row.balance_after + row.principal_due, Accrual(as_of=period.start)
        for cut in sorted(cuts):
            accrual = apply_days(accrual, balance, min(period.start + cut, period.end))
        accrual = apply_days(accrual, balance, period.end)
        interest = calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
        assert interest == row.interest_due


@settings(deadline=None)
@given(terms=terms_strategy)
def test_interest_ahead_of_an_untouched_loan_is_the_schedule(terms: ScheduleTerms) -> None:
    """With nothing paid early or late the recalculated interest is the signed one, from every due date on."""
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    for paid in range(len(rows)):
        as_of = terms.start if paid == 0 else rows[paid - 1].due_on
        unpaid = [0 if row.index <= paid else row.principal_due for row in rows]
        ahead = calculate_interest_ahead(terms, unpaid, Accrual(as_of=as_of))
        assert ahead == tuple(row.interest_due for row in rows[paid:])


@settings(deadline=None)
@given(
    terms=terms_strategy,
    elapsed=st.integers(0, 28),
    row=st.integers(0, 11),
    prepaid=st.integers(0, 10**5),
)
def test_a_prepayment_never_raises_interest(terms: ScheduleTerms, elapsed: int, row: int, prepaid: int) -> None:
    """Wherever early principal is placed, no row's interest rises, and a larger row's reduction stays within it."""
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    unpaid = [each.principal_due for each in rows]
    accrual = apply_days(Accrual(as_of=terms.start), terms.principal, terms.start + elapsed)
    before = calculate_interest_ahead(terms, unpaid, accrual)
    unpaid[row] -= min(prepaid, unpaid[row])
    after = calculate_interest_ahead(terms, unpaid, accrual)
    assert all(new <= old for new, old in zip(after, before, strict=True))


def test_periods_go_on_after_the_last_due_date() -> None:
    """Interest keeps running on unpaid principal in periods of the same length and anchor."""
    terms = make_terms()
    last = terms.due_dates[-1]
    assert datetime.date.fromordinal(last) == datetime.date(2025, 1, 31)
    period = calculate_accrual_period_at(terms, datetime.date(2025, 3, 15).toordinal())
    assert datetime.date.fromordinal(period.start) == datetime.date(2025, 2, 28)
    assert datetime.date.fromordinal(period.end) == datetime.date(2025, 3, 31)
    assert (period.num, period.den) == (30, 360)
    weekly = make_terms(DayCount.SEVEN_364, period=Period(unit=PeriodUnit.WEEK, every=2))
    period = calculate_accrual_period_at(weekly, weekly.due_dates[-1] + 14)
    assert (period.start, period.end) == (weekly.due_dates[-1] + 14, weekly.due_dates[-1] + 28)


@settings(deadline=None)
@given(terms=terms_strategy, day=st.integers(0, 900))
def test_a_day_is_in_exactly_one_period(terms: ScheduleTerms, day: int) -> None:
    """The period of a day contains it, and a due date begins a period."""
    period = calculate_accrual_period_at(terms, START + day)
    assert period.start <= START + day < period.end
    if START + day in terms.due_dates:
        assert period.start == START + day


def test_cooling_off_costs_interest_by_the_day() -> None:
    """Withdrawing at once returns the principal; after a whole row, the row's interest comes on top."""
    terms = make_terms()
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple)
    assert calculate_cooling_off_amount(terms, START) == terms.principal
    assert calculate_cooling_off_amount(terms, terms.due_dates[0]) == terms.principal + rows[0].interest_due
    assert calculate_cooling_off_amount(terms, START + 14) == 1_000_000 + round(20_000 * 14 / 29)


def test_lateness_is_exclusive_of_the_due_day_and_of_grace() -> None:
    """A payment on its due day, or within grace, is not late."""
    assert calculate_days_late(100, 100, grace_days=0) == 0
    assert calculate_days_late(100, 101, grace_days=0) == 1
    assert calculate_days_late(100, 103, grace_days=3) == 0
    assert calculate_days_late(100, 104, grace_days=3) == 1


@settings(deadline=None)
@given(principal=st.integers(0, 10**9), days=st.lists(st.integers(0, 60), max_size=8), rate_ppm=st.integers(0, 10**6))
def test_late_interest_does_not_depend_on_how_often_it_is_counted(
    principal: int, days: list[int], rate_ppm: int
) -> None:
    """Days added one by one give the late interest of all of them at once."""
    accrual = Accrual(as_of=0)
    for step in days:
        accrual = apply_days(accrual, principal, accrual.as_of + step)
    expected = principal * sum(days) * rate_ppm // (365 * 10**6)
    assert calculate_late_interest(accrual.principal_days, rate_ppm) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 500), ({"today": 103}, 0), ({"unpaid": 0}, 0), ({"charged": True}, 0), ({"held": True}, 0)],
)
def test_a_late_fee_is_charged_once_and_never_during_a_hold(changes: dict[str, int], expected: int) -> None:
    """The fee needs a row that is late after grace, unpaid, not yet charged and not disputed."""
    facts = {"due_on": 100, "today": 104, "grace_days": 3, "unpaid": 1, "fee": 500, "charged": False, "held": False}
    assert calculate_late_fee(**{**facts, **changes}) == expected  # type: ignore[arg-type]


def test_fees_for_paying_early_and_room_under_the_cap() -> None:
    """The lower rate counts, the interest saved bounds it; a cap that is used up leaves nothing."""
    assert calculate_prepayment_fee(100_000, product_ppm=10_000, policy_ppm=5_000, interest_saved=9_999) == 500
    assert calculate_prepayment_fee(100_000, product_ppm=10_000, policy_ppm=5_000, interest_saved=30) == 30
    assert calculate_cost_room(100_000, cost_cap_ppm=1_000_000, charged=99_000) == 1_000
    assert calculate_cost_room(100_000, cost_cap_ppm=1_000_000, charged=101_000) == 0


def test_days_past_due_count_from_the_oldest_material_row() -> None:
    """Paid and immaterial rows do not count, nor does a row on its due day."""
    rows = [
        Row(index=1, due_on=10, principal_due=100, principal_paid=100),
        Row(index=2, due_on=20, principal_due=100, principal_paid=99),
        Row(index=3, due_on=30, principal_due=100),
    ]
    assert calculate_days_past_due(rows, 50) == 30
    assert calculate_days_past_due(rows, 50, materiality=1) == 20
    assert calculate_days_past_due(rows, 20) == 0
    assert calculate_days_past_due(rows[:1], 50) == 0


@pytest.mark.parametrize(
    ("days", "bucket", "asset_class", "stage"),
    [
        (0, DelinquencyBucket.CURRENT, AssetClass.NORMAL, 1),
        (1, DelinquencyBucket.TO_7, AssetClass.NORMAL, 1),
        (7, DelinquencyBucket.TO_7, AssetClass.NORMAL, 1),
        (8, DelinquencyBucket.TO_30, AssetClass.SPECIAL_MENTION, 1),
        (30, DelinquencyBucket.TO_30, AssetClass.SPECIAL_MENTION, 1),
        (31, DelinquencyBucket.TO_60, AssetClass.SPECIAL_MENTION, 2),
        (61, DelinquencyBucket.TO_90, AssetClass.SPECIAL_MENTION, 2),
        (90, DelinquencyBucket.TO_90, AssetClass.SPECIAL_MENTION, 2),
        (91, DelinquencyBucket.TO_180, AssetClass.SUBSTANDARD, 3),
        (181, DelinquencyBucket.TO_270, AssetClass.SUBSTANDARD, 3),
        (270, DelinquencyBucket.TO_270, AssetClass.SUBSTANDARD, 3),
        (271, DelinquencyBucket.TO_360, AssetClass.DOUBTFUL, 3),
        (360, DelinquencyBucket.TO_360, AssetClass.DOUBTFUL, 3),
        (361, DelinquencyBucket.ABOVE_360, AssetClass.LOSS, 3),
    ],
)
def test_bucket_class_and_stage(days: int, bucket: DelinquencyBucket, asset_class: AssetClass, stage: int) -> None:
    """Every bound of the three scales, from both sides."""
    assert calculate_bucket(days) is bucket
    assert calculate_class(days) is asset_class
    assert calculate_stage(days) == stage


def test_circumstances_and_the_lender_can_only_worsen_a_class() -> None:
    """A restructured loan is at least watched; a lender's better opinion changes nothing."""
    assert calculate_class(0, restructured=True) is AssetClass.SPECIAL_MENTION
    assert calculate_class(0, other_loan_impaired=True) is AssetClass.SPECIAL_MENTION
    assert calculate_class(0, lender_class=AssetClass.DOUBTFUL) is AssetClass.DOUBTFUL
    assert calculate_class(300, restructured=True, lender_class=AssetClass.NORMAL) is AssetClass.DOUBTFUL


@settings(deadline=None)
@given(principal=st.integers(0, 10**12), rate=st.integers(0, 2 * 10**6), available=st.integers(0, 10**12))
def test_first_loss_is_split_without_rest(principal: int, rate: int, available: int) -> None:
    """Covered and lost sum to the principal, and the cover is never overdrawn."""
    covered, loss = calculate_first_loss(principal, cover_rate_ppm=rate, cover_available=available)
    assert covered + loss == principal
    assert 0 <= covered <= available
    assert loss >= 0


def test_haircut_is_by_class_and_rounded_against_the_redeemer() -> None:
    """The policy's share of the class, rounded up, and all of a lost loan."""
    haircuts = (10_000, 30_000, 300_000, 600_000, 1_000_000)
    assert calculate_haircut(101, AssetClass.NORMAL, haircuts) == 2
    assert calculate_haircut(101, AssetClass.LOSS, haircuts) == 101
