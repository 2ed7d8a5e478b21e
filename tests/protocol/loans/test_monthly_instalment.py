"""The monthly equivalent of any loan's instalment, which scores use instead of a price."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.loans.calendar import Period, calculate_monthly_instalment
from protocol.loans.terms import PeriodUnit


def test_months_count_as_they_are() -> None:
    """12,000.00 over 12 months is 1,000.00 a month; every second month over the same 12 instalments half of it."""
    assert calculate_monthly_instalment(1_200_000, 12, Period(unit=PeriodUnit.MONTH, every=1)) == 100_000
    assert calculate_monthly_instalment(1_200_000, 12, Period(unit=PeriodUnit.MONTH, every=2)) == 50_000


def test_weeks_count_by_thirty_days() -> None:
    """26 weeks are 182 days: a month takes 30 of them."""
    assert calculate_monthly_instalment(1_820_000, 26, Period(unit=PeriodUnit.WEEK, every=1)) == 300_000


@given(
    amount=st.integers(1, 2**53 - 1),
    n=st.integers(1, 480),
    unit=st.sampled_from(PeriodUnit),
    every=st.integers(1, 366),
)
def test_never_nothing_and_never_more_than_the_loan(amount: int, n: int, unit: PeriodUnit, every: int) -> None:
    """A month takes at least one unit and at most the whole loan."""
    assert 1 <= calculate_monthly_instalment(amount, n, Period(unit=unit, every=every)) <= amount
