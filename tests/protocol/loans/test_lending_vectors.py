"""The third-party numbers of ../shared/vectors/lending.json, each by its id; docs/vectors.md tells how each one stands.

The file is not part of this repository. Where it is absent these tests skip. No figure of it may be copied here.
"""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from protocol.loans.accrual import (
    Accrual,
    AccrualPeriod,
    apply_days,
    calculate_accrual_period_at,
    calculate_interest_accrued,
    calculate_interest_ahead,
    calculate_late_interest,
)
from protocol.loans.apr import (
    AprInterval,
    UnitFlow,
    UnitPeriod,
    calculate_apr_effective_ppm,
    calculate_apr_us_actuarial_ppm,
    calculate_unit_periods,
)
from protocol.loans.calendar import Period, calculate_due_dates, calculate_year_fraction
from protocol.loans.delinquency import calculate_first_loss
from protocol.loans.revenue import (
    RevenueTerms,
    calculate_revenue_earned,
    calculate_revenue_factor,
    calculate_revenue_schedule,
)
from protocol.loans.schedule import Instalment, ScheduleTerms, calculate_level_payment, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, ExcessRule, PeriodUnit, RoundingProfile, WaterfallOrder
from protocol.loans.waterfall import Row, calculate_allocation

FILE = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "lending.json"
MONTH = Period(unit=PeriodUnit.MONTH, every=1)
WEEK = Period(unit=PeriodUnit.WEEK, every=1)
DAY_COUNTS = {
    "30/360": DayCount.THIRTY_360,
    "ACT/365": DayCount.ACT_365F,
    "ACT/365F": DayCount.ACT_365F,
    "days/365": DayCount.ACT_365F,
    "ACT/360": DayCount.ACT_360,
    "ACT/ACT (2025)": DayCount.ACT_ACT,
    "7/364": DayCount.SEVEN_364,
}


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    """All vectors by id."""
    if not FILE.exists():
        pytest.skip("the reference numbers ../shared/vectors/lending.json are not beside this repository")
    return {vector["id"]: vector for vector in json.loads(FILE.read_text())["vectors"]}


def minor(value: Any, scale: int = 100) -> int:
    """An amount as the source prints it, in units of 1 / scale."""
    units = Decimal(str(value)) * scale
    assert units == int(units)
    return int(units)


def day(text: str) -> int:
    """An ISO date as an ordinal."""
    return datetime.date.fromisoformat(text).toordinal()


def make_terms(vector: dict[str, Any], scale: int = 100) -> ScheduleTerms:
    """The terms that a schedule vector describes."""
    periods = vector["periods"]
    anchor = day(periods["start"])
    start = day(periods["disbursed"]) if "disbursed" in periods else anchor
    weekly = periods.get("unit") == "7 days"
    period = WEEK if weekly else MONTH
    if "due" in periods:
        dates = tuple(day(text) for text in periods["due"])
    elif "days" in periods:
        dates = tuple(start + offset for offset in periods["days"])
    else:
        dates = calculate_due_dates(anchor, period, periods["n"])
    rate = str(vector["annual_rate_pct"])
    per_day = rate.endswith("per DAY simple")
    return ScheduleTerms(
        principal=minor(vector["principal"], scale),
        # A simple rate per day is an exact rate per year of 365 days: 0.798 % a day is 2,912,700 ppm.
        rate_ppm=minor(rate.split(maxsplit=1)[0], 10_000) * (365 if per_day else 1),
        start=start,
        due_dates=dates,
        day_count=DayCount.ACT_365F if per_day else DAY_COUNTS[periods["day_count"]],
        period=period,
        profile=RoundingProfile[vector["rounding_profile"]],
        amortisation=Amortisation.LEVEL,
    )


def rows_of(terms: ScheduleTerms) -> tuple[Instalment, ...]:
    """The schedule, which must exist."""
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple), rows
    return rows


@pytest.mark.parametrize("vector_id", ["F01", "F03", "F04", "F08", "F09", "F13", "F14", "F16", "P01"])
def test_schedule_rows_equal_the_vector(vectors: dict[str, Any], vector_id: str) -> None:
    """Every row of the source's schedule comes out to the cent: due, interest, principal and balance."""
    vector = vectors[vector_id]
    terms = make_terms(vector)
    if vector_id == "F16":
        terms = ScheduleTerms(
            **{**{f: getattr(terms, f) for f in terms.__struct_fields__}, "amortisation": Amortisation.BULLET}
        )
    rows = rows_of(terms)
    found = [[row.total_due, row.interest_due, row.principal_due, row.balance_after] for row in rows]
    assert found == [[minor(cell) for cell in row] for row in vector["rows"]]
    if "apr_eu" in vector:
        payments = [(row.due_on, row.total_due) for row in rows]
        apr_ppm = calculate_apr_effective_ppm([(terms.start, terms.principal)], payments)
        assert apr_ppm is not None
        assert round(Decimal(apr_ppm) / 10_000, 1) == Decimal(str(vector["apr_eu"]))


def test_f17_equal_principal(vectors: dict[str, Any]) -> None:
    """Equal parts of principal and falling interest, in a currency whose smallest part is 100."""
    vector = vectors["F17"]
    start = day("2024-01-01")
    rows = rows_of(
        ScheduleTerms(
            principal=vector["principal"] // 100,
            rate_ppm=vector["annual_rate_pct"] * 10_000,
            start=start,
            due_dates=calculate_due_dates(start, MONTH, vector["periods"]),
            day_count=DayCount.THIRTY_360,
            period=MONTH,
            profile=RoundingProfile.A,
            amortisation=Amortisation.EQUAL_PRINCIPAL,
        )
    )
    for index, expected in vector["expected"].items():
        row = rows[int(index) - 1]
        assert [row.principal_due * 100, row.interest_due * 100] == expected


def test_f21_without_interest_the_last_row_is_smaller(vectors: dict[str, Any]) -> None:
    """At a rate of zero the parts are equal and only the last is smaller."""
    vector = vectors["F21"]
    start = day("2024-01-01")
    terms = ScheduleTerms(
        principal=vector["principal"],
        rate_ppm=0,
        start=start,
        due_dates=calculate_due_dates(start, MONTH, vector["n"]),
        day_count=DayCount.THIRTY_360,
        period=MONTH,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
    )
    assert [row.total_due for row in rows_of(terms)] == vector["rows"]


@pytest.mark.parametrize(("vector_id", "off_by_max"), [("M01", 3), ("M04", 2)])
def test_schedule_at_six_decimals(vectors: dict[str, Any], vector_id: str, off_by_max: int) -> None:
    """At 10^6 parts the payment is equal; parts differ by rounding alone, the last by the rest of all rows."""
    vector = vectors[vector_id]
    period = Period(unit=PeriodUnit.DAY, every=vector["interval_days"])
    scale = 10**6
    terms = ScheduleTerms(
        principal=minor(vector["principal"], scale),
        rate_ppm=minor(vector["annual_rate_pct"], 10_000),
        start=day("2024-01-01"),
        due_dates=calculate_due_dates(day("2024-01-01"), period, vector["n"]),
        day_count=DAY_COUNTS[vector["day_count"]],
        period=period,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
        residual=minor(vector["ending_principal"], scale),
    )
    rows = rows_of(terms)
    assert rows[0].total_due == minor(vector["payment"], scale)
    for row, principal, interest in zip(rows, vector["principal_parts"], vector["interest_parts"], strict=True):
        assert abs(row.principal_due - minor(principal, scale)) <= off_by_max
        assert abs(row.interest_due - minor(interest, scale)) <= 1
    if "late" in vector:
        late = vector["late"]
        principal_days = minor(late["outstanding_before"], scale) * late["days_late"]
        assert calculate_late_interest(principal_days, late["rate_pct"] * 10_000) == minor(late["late_interest"], scale)


def test_x02_payment_of_a_rate_by_seconds(vectors: dict[str, Any]) -> None:
    """The exact payment takes any rational rate: 30 days of seconds over a year of seconds."""
    vector = vectors["X02"]
    rate = (vector["annual_rate_pct"] * vector["interval_s"], 100 * vector["year_s"])
    numerator, denominator = calculate_level_payment(vector["principal"], 0, [rate] * vector["n"])
    assert abs(Decimal(numerator) / denominator - Decimal(vector["payment"])) < Decimal("1e-15")


def test_x11_first_loss_with_the_product_of_both_rates(vectors: dict[str, Any]) -> None:
    """One cover rate equal to the product of the source's two gives its covered amount and loss."""
    vector = vectors["X11"]
    both_ppm = int(Decimal(vector["cover_rate_min"]) * Decimal(vector["cover_rate_liq"]) * 1_000_000)
    available = minor(vector["cover_available"])
    covered, loss = calculate_first_loss(
        minor(vector["default_amount"]), cover_rate_ppm=both_ppm, cover_available=available
    )
    assert (covered, loss) == (minor(vector["covered"]), minor(vector["loss"]))
    assert available - covered == minor(vector["cover_after"])


def test_p04_settlement_on_a_day(vectors: dict[str, Any]) -> None:
    """The payoff is principal and interest to the day, rounded down, 0.8 % a day since day 86."""
    vector = vectors["P04"]
    period = AccrualPeriod(start=86, end=122, num=36, den=365)
    principal = minor(vector["settle_next"]["principal"])
    for settled_on, key in ((112, "settle_day_112"), (122, "settle_next")):
        accrual = apply_days(Accrual(as_of=period.start), principal, settled_on)
        interest = calculate_interest_accrued(accrual, period, rate_ppm=8_000 * 365, profile=RoundingProfile.B)
        assert interest == minor(vector[key]["interest"])
        assert principal + interest == minor(vector[key]["total"])


def make_f02() -> ScheduleTerms:
    """The loan that E01 and E03 are about: 100 at 7 %, six months from 1 January 2024, 30/360."""
    start = day("2024-01-01")
    return ScheduleTerms(
        principal=10_000,
        rate_ppm=70_000,
        start=start,
        due_dates=calculate_due_dates(start, MONTH, 6),
        day_count=DayCount.THIRTY_360,
        period=MONTH,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
    )


def test_e01_payoff_takes_interest_to_the_day(vectors: dict[str, Any]) -> None:
    """Fourteen days of the row's twenty-nine, not fourteen of a year."""
    vector = vectors["E01"]
    terms = make_f02()
    first = rows_of(terms)[0]
    assert [first.due_on, first.total_due] == [day(vector["paid"][0][0]), minor(vector["paid"][0][1])]
    today = day(vector["payoff_date"])
    period = calculate_accrual_period_at(terms, today)
    accrual = apply_days(Accrual(as_of=period.start), first.balance_after, today)
    interest = calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
    assert first.balance_after == minor(vector["payoff"]["principal"])
    assert interest == minor(vector["payoff"]["interest"])
    assert first.balance_after + interest == minor(vector["payoff"]["total"])


def test_e03_interest_runs_on_when_nothing_is_paid(vectors: dict[str, Any]) -> None:
    """Every row bears interest on all unpaid principal; the sum due equals the source's (the split is ours)."""
    vector = vectors["E03"]
    terms = make_f02()
    unpaid = [row.principal_due for row in rows_of(terms)]
    starts = (terms.start, *terms.due_dates[:-1])
    interest = [calculate_interest_ahead(terms, unpaid, Accrual(as_of=start))[0] for start in starts]
    assert interest == [minor(value) for value in vector["interest"]]
    assert sum(unpaid) + sum(interest) == sum(minor(value) for value in vector["due"])


def test_e09_late_first_week_interest(vectors: dict[str, Any]) -> None:
    """A week nothing was paid for costs interest on the whole principal in the next week too."""
    expected = vectors["E09"]["late_first_week"]["rows_principal_interest"]
    start = day("2024-01-01")
    terms = ScheduleTerms(
        principal=1_000_000,
        rate_ppm=240_000,
        start=start,
        due_dates=calculate_due_dates(start, WEEK, 4),
        day_count=DayCount.SEVEN_364,
        period=WEEK,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
    )
    rows = rows_of(terms)
    assert [rows[0].principal_due, rows[0].interest_due] == [minor(cell) for cell in expected[0]]
    ahead = calculate_interest_ahead(terms, [row.principal_due for row in rows], Accrual(as_of=rows[0].due_on))
    assert ahead[0] == minor(expected[1][1])


@pytest.mark.parametrize(
    ("vector_id", "excess", "days_before"), [("A01", ExcessRule.NEXT, 0), ("A03", ExcessRule.REAMORTISE, 5)]
)
def test_allocation_of_an_excess(vectors: dict[str, Any], vector_id: str, excess: ExcessRule, days_before: int) -> None:
    """What is above the due rows goes where the payer said."""
    vector = vectors[vector_id]
    due = vectors["A01"]["rows_due"]
    rows = [
        Row(index=i, due_on=100 * i, principal_due=amount, principal_paid=amount if i == 1 else 0)
        for i, amount in enumerate(due, start=1)
    ]
    allocation = calculate_allocation(
        rows, vector["pay"][0], today=200 - days_before, order=WaterfallOrder.IPF, excess=excess
    )
    assert [row.principal_paid for row in allocation.rows] == vector["paid_after"]


def test_a05_oldest_row_first(vectors: dict[str, Any]) -> None:
    """A payment finishes the oldest row before it touches the next one's penalty."""
    vector = vectors["A05"]
    rows = [
        Row(index=i, due_on=10 * i, principal_due=row["principal"], penalty_due=row["penalty"])
        for i, row in enumerate(vector["overdue"], start=1)
    ]
    rows.append(Row(index=3, due_on=30, principal_due=250, penalty_due=vector["due_today_penalty"]))
    allocation = calculate_allocation(rows, vector["pay"], today=30, order=WaterfallOrder.FIP, excess=ExcessRule.LAST)
    (take,) = allocation.takes
    assert {"penalty": take.penalty, "principal": take.principal} == vector["split"]
    assert [row.principal_paid + row.penalty_paid for row in allocation.rows] == vector["rows_paid"]


def test_d01_months_stay_on_the_thirty_first(vectors: dict[str, Any]) -> None:
    """A due day of 31 falls on each month's last day and returns to the 31st."""
    expected = tuple(day(text) for text in vectors["D01"]["due"])
    assert calculate_due_dates(day("2022-12-31"), MONTH, len(expected)) == expected
    assert calculate_due_dates(day("2023-01-10"), MONTH, len(expected), first_due=expected[0]) == expected
    assert calculate_due_dates(expected[0], MONTH, len(expected) - 1) == expected[1:]


UNITS = {
    "month": UnitPeriod(unit=PeriodUnit.MONTH, every=1),
    "semimonth": UnitPeriod(unit=PeriodUnit.MONTH, every=1, semimonth=True),
    "week": UnitPeriod(unit=PeriodUnit.WEEK, every=1),
    "4 weeks": UnitPeriod(unit=PeriodUnit.WEEK, every=4),
}


@pytest.mark.parametrize("vector_id", ["U01", "U03", "U05", "U07"])
def test_us_actuarial_rate(vectors: dict[str, Any], vector_id: str) -> None:
    """The worked examples of Regulation Z, Appendix J (c), to the hundredth of a per cent they state."""
    vector = vectors[vector_id]
    unit = UNITS[vector["unit"]]
    advanced, first = (day(text) for text in vector["dates"])
    full, num, den = calculate_unit_periods(unit, advanced, first)
    amounts = [minor(amount) for amount, count in vector["payments"] for _ in range(count)]
    payments = [UnitFlow(amount=amount, full=full + i, num=num, den=den) for i, amount in enumerate(amounts)]
    advances = [UnitFlow(amount=minor(vector["advance"]), full=0)]
    apr_ppm = calculate_apr_us_actuarial_ppm(advances, payments, unit)
    assert apr_ppm is not None
    assert round(Decimal(apr_ppm) / 10_000, 2) == Decimal(str(vector["apr_pct"]))


def test_q01_effective_rate_by_days(vectors: dict[str, Any]) -> None:
    """The Commission's first example counts 546 days; by the ledger's rule the same term is 18 months, 12.92 %."""
    vector = vectors["Q01"]
    lent, repaid = (day(text) for text in vector["dates"])
    assert repaid - lent == vector["days"]
    flows = [(lent, minor(vector["advance"]))], [(repaid, minor(vector["pay"]))]
    apr_ppm = calculate_apr_effective_ppm(*flows, interval=AprInterval.DAYS)
    assert apr_ppm is not None
    assert round(Decimal(apr_ppm) / 10_000, 2) == Decimal(str(vector["apr_pct"]))
    assert calculate_apr_effective_ppm(*flows) == 129_243


def test_q03_fee_kept_back_raises_the_rate(vectors: dict[str, Any]) -> None:
    """A fee at the start lowers what is advanced; 240 monthly payments, to the tenth of a per cent."""
    vector = vectors["Q03"]
    ((amount, count, _),) = vector["payments"]
    start = day("2024-01-01")
    payments = [(due, minor(amount)) for due in calculate_due_dates(start, MONTH, count)]
    apr_ppm = calculate_apr_effective_ppm([(start, minor(vector["advance"] - vector["fee0"]))], payments)
    assert apr_ppm is not None
    assert round(Decimal(apr_ppm) / 10_000, 1) == Decimal(str(vector["apr_pct"]))


def test_y01_day_counts(vectors: dict[str, Any]) -> None:
    """The year fractions of the conventions that products may use; the other conventions are not offered."""
    checked = 0
    for name, start, end, expected in vectors["Y01"]["cases"]:
        if name in DAY_COUNTS:
            num, den = calculate_year_fraction(DAY_COUNTS[name], day(start), day(end))
            assert round(Decimal(num) / den, 10) == Decimal(expected), (name, start, end)
            checked += 1
    assert checked == 10


def make_w01(vector: dict[str, Any]) -> RevenueTerms:
    """The revenue loan of W01 and W04."""
    return RevenueTerms(
        net=minor(vector["net"]),
        discount=minor(vector["discount"]),
        volume=minor(vector["total_payment_volume"]),
        share_ppm=minor(vector["rate_pct"], 10_000),
        volume_days=vector["npv_day_count"],
    )


def test_w01_revenue_share_rows(vectors: dict[str, Any]) -> None:
    """Daily payments by share of sales, and the discount earned at the rate that discounts them to the net amount."""
    vector = vectors["W01"]
    rows = calculate_revenue_schedule(make_w01(vector))
    assert len(rows) == vector["n"]
    assert rows[0].payment == minor(vector["payment"])
    assert rows[-1].payment == minor(vector["last"])
    for index, expected in vector["rows"].items():
        row = rows[int(index) - 1]
        assert [row.earned, row.balance, row.unearned] == [minor(cell) for cell in expected], index


def test_w04_discount_is_earned_by_payment_unit(vectors: dict[str, Any]) -> None:
    """A payment of 24.68 units earns the first 24 rows' discount and 0.68 of the 25th's."""
    vector, terms = vectors["W04"], make_w01(vectors["W01"])
    factor = calculate_revenue_factor(terms)
    earned = calculate_revenue_earned(terms, factor, minor(1234))
    assert terms.net + earned - minor(1234) == minor(vector["actual_balance"])
    assert terms.discount - earned == minor(vector["actual_unearned"])
    payment, balance, amortised, unearned = (minor(cell) for cell in vector["next_expected"])
    earned_next = calculate_revenue_earned(terms, factor, minor(1234) + payment)
    assert earned_next - earned == amortised
    assert terms.net + earned_next - minor(1234) - payment == balance
    assert terms.discount - earned_next == unearned
    rows, last = divmod(terms.net + terms.discount - minor(1234), payment)
    assert 1 + rows + 1 == vector["total_rows"]
    assert last == minor(vector["last"])
