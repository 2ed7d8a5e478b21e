"""A loan lived through by random payments: schedule, accrual and waterfall together keep their promises."""

import datetime
from fractions import Fraction

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.loans.accrual import (
    Accrual,
    apply_days,
    calculate_accrual_period_at,
    calculate_interest_accrued,
    calculate_interest_ahead,
)
from protocol.loans.calendar import Period, calculate_due_dates
from protocol.loans.schedule import ScheduleTerms, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.loans.waterfall import Row, calculate_allocation, calculate_payoff, open_row

START = datetime.date(2024, 1, 31).toordinal()


class Life:
    """The rows of one loan and the accrual of the running period, as a ledger would hold them."""

    def __init__(self, terms: ScheduleTerms) -> None:
        instalments = calculate_schedule(terms)
        assert isinstance(instalments, tuple)
        self.terms = terms
        self.rows: tuple[Row, ...] = tuple(open_row(instalment) for instalment in instalments)
        self.accrual = Accrual(as_of=terms.start)
        self.exact_interest = Fraction(0)

    @property
    def balance(self) -> int:
        return sum(row.principal_unpaid for row in self.rows)

    def accrued(self) -> int:
        period = calculate_accrual_period_at(self.terms, self.accrual.as_of)
        return calculate_interest_accrued(
            self.accrual, period, rate_ppm=self.terms.rate_ppm, profile=self.terms.profile
        )

    def advance(self, today: int) -> None:
        """Let days pass, one period at a time."""
        while self.accrual.as_of < today:
            period = calculate_accrual_period_at(self.terms, self.accrual.as_of)
            until = min(today, period.end)
            days = until - self.accrual.as_of
            yearly = Fraction(self.terms.rate_ppm * period.num, 10**6 * period.den)
            self.exact_interest += self.balance * yearly * days / period.days
            self.accrual = apply_days(self.accrual, self.balance, until)
            if until == period.end:
                self.accrual = Accrual(as_of=until)

    def recalculate(self) -> None:
        """Put the interest that follows from today's balance into the rows that are not due."""
        today = self.accrual.as_of
        ahead = calculate_interest_ahead(self.terms, [row.principal_unpaid for row in self.rows], self.accrual)
        due = [row for row in self.rows if row.due_on <= today]
        future = [row for row in self.rows if row.due_on > today]
        self.rows = (
            *due,
            *(msgspec.structs.replace(row, interest_due=i) for row, i in zip(future, ahead, strict=True)),
        )

    def pay(self, amount: int, order: WaterfallOrder, excess: ExcessRule) -> int:
        found = calculate_allocation(
            self.rows,
            amount,
            today=self.accrual.as_of,
            order=order,
            excess=excess,
            interest_accrued=self.accrued(),
        )
        self.rows = found.rows
        self.recalculate()
        return found.taken


@settings(deadline=None)
@given(
    day_count=st.sampled_from(DayCount),
    profile=st.sampled_from(RoundingProfile),
    order=st.sampled_from(WaterfallOrder),
    payments=st.lists(st.tuples(st.integers(0, 45), st.integers(1, 300_000), st.sampled_from(ExcessRule)), max_size=12),
)
def test_any_life_of_a_loan_ends_paid_to_the_unit(
    day_count: DayCount,
    profile: RoundingProfile,
    order: WaterfallOrder,
    payments: list[tuple[int, int, ExcessRule]],
) -> None:
    """Early, late, large or small: nothing is paid above its due, interest is that of the days, the payoff ends it."""
    period = Period(unit=PeriodUnit.MONTH, every=1)
    terms = ScheduleTerms(
        principal=1_000_000,
        rate_ppm=240_000,
        start=START,
        due_dates=calculate_due_dates(START, period, 9),
        day_count=day_count,
        period=period,
        profile=profile,
        amortisation=Amortisation.LEVEL,
    )
    life, paid = Life(terms), 0
    for days, amount, excess in payments:
        today = min(life.accrual.as_of + days, terms.due_dates[-1] - 1)
        while life.accrual.as_of < today:
            # The ledger's day-roll: interest of the running row is settled on what was unpaid, due date by due date.
            stop = min(today, next(due for due in terms.due_dates if due > life.accrual.as_of))
            life.advance(stop)
            life.recalculate()
        paid += life.pay(amount, order, excess)
        for row in life.rows:
            assert row.principal_paid <= row.principal_due
            assert row.interest_paid <= row.interest_due
    payoff = calculate_payoff(life.rows, today=life.accrual.as_of, interest_accrued=life.accrued())
    assert life.pay(payoff + 5, order, ExcessRule.LAST) == payoff
    assert life.balance == 0
    interest = sum(row.interest_paid for row in life.rows)
    assert paid + payoff == terms.principal + interest
    assert abs(interest - life.exact_interest) <= len(life.rows)
