"""Kinds of third-party vectors about schedules: a vector in, pairs of what it states and what our functions find out.

A key that is not known here makes the whole vector unread (LayoutError): half-read it would prove nothing. Stated
figures come from the vector alone; nothing here may hold one, nor decide whether a difference is a good one.
"""

import datetime
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from protocol.loans.accrual import calculate_late_interest
from protocol.loans.apr import AprInterval, calculate_apr_effective_ppm
from protocol.loans.calendar import Period, calculate_due_dates, calculate_row_fractions
from protocol.loans.delinquency import calculate_first_loss
from protocol.loans.schedule import (
    Instalment,
    ScheduleTerms,
    calculate_level_payment,
    calculate_period_rates,
    calculate_schedule,
)
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile
from protocol.money import divide_half_even

Vector = Mapping[str, Any]
Pair = tuple[str, Any, Any]
"""(what, stated, found)."""
Flows = list[tuple[int, int]]
"""(day, minor units)."""

PRINCIPAL_OFF_BY_MAX = 3
"""Six decimals: the source rounds each row from a closed form of its own, so parts differ by units of 10^-6."""
INTEREST_OFF_BY_MAX = 1

DAY_COUNTS = {
    "30/360": DayCount.THIRTY_360,
    "ACT/365": DayCount.ACT_365F,
    "ACT/365F": DayCount.ACT_365F,
    "days/365": DayCount.ACT_365F,
    "ACT/360": DayCount.ACT_360,
    "days/360": DayCount.ACT_360,
    "ACT/ACT": DayCount.ACT_ACT,
    "ACT/ACT ISDA": DayCount.ACT_ACT,
    "7/364": DayCount.SEVEN_364,
    "days/364": DayCount.SEVEN_364,
    "ACT/364": DayCount.SEVEN_364,
}
_ABOUT = ("id", "kind", "source", "note", "rule", "columns", "tolerance", "verified_by_independent_integer_code")
MONTH = Period(unit=PeriodUnit.MONTH, every=1)


class LayoutError(Exception):
    """The vector says something that is not known how to read."""


def check_keys(vector: Vector, required: str, optional: str = "") -> None:
    """Refuse a vector that lacks a key or has one that nobody reads."""
    missing = [key for key in required.split() if key not in vector]
    unread = [key for key in vector if key not in (*_ABOUT, *required.split(), *optional.split())]
    if missing or unread:
        raise LayoutError(f"missing {missing}, unread {unread}")


def minor(value: Any, scale: int | Fraction = 100) -> int:
    """An amount as the source prints it, in units of 1 / scale."""
    amount = Fraction(str(value)) * scale
    if amount.denominator != 1:
        raise LayoutError(f"{value} has more digits than units of 1/{scale}")
    return int(amount)


def day(text: str) -> int:
    """An ISO date as an ordinal."""
    return datetime.date.fromisoformat(text).toordinal()


def read_period(text: str) -> Period:
    """MONTH, week, 2 weeks, 15 days, quarter, year."""
    found = re.fullmatch(r"(?:(\d+)[ -]?)?(day|week|month|quarter|year)s?", text.strip().lower())
    if found is None:
        raise LayoutError(f"the period {text!r}")
    every = int(found[1] or 1) * {"quarter": 3, "year": 12}.get(found[2], 1)
    unit = {"day": PeriodUnit.DAY, "week": PeriodUnit.WEEK}.get(found[2], PeriodUnit.MONTH)
    return Period(unit=unit, every=every)


def read_day_count(text: str) -> DayCount:
    """The day count behind a name; a remark in brackets, as in ACT/ACT (2025), says nothing new.

    A period's days over those of a year (15/360) are actual days; of 30 days that is the bond basis, another thing.
    """
    name = text.split(" (", maxsplit=1)[0]
    actual = re.fullmatch(r"(?!30/)\d+/(360|364|365)", name)
    name = f"ACT/{actual[1]}" if actual else name
    if name not in DAY_COUNTS:
        raise LayoutError(f"the day count {text!r}")
    return DAY_COUNTS[name]


def make_terms(vector: Vector, scale: int = 100) -> ScheduleTerms:
    """The terms that a schedule vector describes."""
    periods = vector["periods"]
    check_keys(
        periods, "", "n unit day_count start disbursed first_period_fraction due days month_end first_due end_of_month"
    )
    anchor = day(periods["start"])
    start = day(periods["disbursed"]) if "disbursed" in periods else anchor
    period = read_period(periods["unit"]) if "unit" in periods else MONTH
    if "due" in periods:
        dates = tuple(day(text) for text in periods["due"])
    elif "days" in periods:
        dates = tuple(start + offset for offset in periods["days"])
    else:
        first_due = day(periods["first_due"]) if "first_due" in periods else None
        dates = calculate_due_dates(anchor, period, periods["n"], first_due=first_due)
    if "n" in periods and len(dates) != periods["n"]:
        raise LayoutError("another number of dates than of rows")
    rate = str(vector["annual_rate_pct"])
    per_day = "per day" in rate.lower()
    parts = [row[vector["columns"].index("principal")] for row in vector["rows"]] if "rows" in vector else []
    return ScheduleTerms(
        principal=minor(vector["principal"], scale),
        # A simple rate per day is an exact rate per year of 365 days: 0.798 % a day is 2,912,700 ppm.
        rate_ppm=minor(rate.split(maxsplit=1)[0], 10_000) * (365 if per_day else 1),
        start=start,
        due_dates=dates,
        day_count=DayCount.ACT_365F if per_day else read_day_count(periods["day_count"]),
        period=period,
        profile=RoundingProfile[vector.get("rounding_profile", "A")],
        # No principal before the last row is what makes a loan interest only.
        amortisation=Amortisation.LEVEL if len(parts) < 2 or any(parts[:-1]) else Amortisation.BULLET,
    )


def rows_of(terms: ScheduleTerms) -> tuple[Instalment, ...]:
    """The schedule, which must exist."""
    rows = calculate_schedule(terms)
    assert isinstance(rows, tuple), rows
    return rows


def list_cells(rows: Iterable[Instalment], columns: Iterable[str]) -> list[list[int]]:
    """The named figures of each row."""
    names = {
        "due_total": "total_due",
        "interest": "interest_due",
        "principal": "principal_due",
        "balance_after": "balance_after",
    }
    if any(column not in names for column in columns):
        raise LayoutError(f"the columns {list(columns)}")
    return [[getattr(row, names[column]) for column in columns] for row in rows]


def compare_rates(stated: Vector, flows: tuple[Flows, Flows], *, by_days: bool) -> list[Pair]:
    """Each stated effective rate, a number in per cent, to the digit it is stated to."""
    interval = AprInterval.DAYS if by_days else AprInterval.MONTHS_ELSE_DAYS
    pairs: list[Pair] = []
    for key, value in stated.items():
        rate = Decimal(str(value))
        apr_ppm = calculate_apr_effective_ppm(*flows, interval=interval)
        digits = -int(rate.as_tuple().exponent)
        pairs.append((key, rate, None if apr_ppm is None else round(Decimal(apr_ppm) / 10_000, digits)))
    return pairs


def compare_schedule(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """Every row to the cent, the share of the first one, and the effective rate where it is stated."""
    check_keys(vector, "principal annual_rate_pct periods rows columns", "rounding_profile apr_eu apr_uk payment")
    terms = make_terms(vector)
    rows = rows_of(terms)
    stated = [[minor(cell) for cell in row] for row in vector["rows"]]
    pairs: list[Pair] = [("rows", stated, list_cells(rows, vector["columns"]))]
    if "first_period_fraction" in vector["periods"]:
        num, den = calculate_row_fractions(terms.day_count, terms.period, terms.start, terms.due_dates)[0]
        share = Fraction(vector["periods"]["first_period_fraction"])
        pairs.append(("first_period_fraction", share, Fraction(num, den) * 12 / terms.period.every))
    if "payment" in vector:
        pairs.append(("payment", minor(vector["payment"]), rows[0].total_due))
    flows = [(terms.start, terms.principal)], [(row.due_on, row.total_due) for row in rows]
    return pairs + compare_rates({key: vector[key] for key in vector if key.startswith("apr_")}, flows, by_days=False)


def calculate_spread_again(terms: ScheduleTerms) -> list[tuple[int, int]]:
    """(principal, interest) of each row by Apache Fineract's rule, which profile A does not have.

    Where the last payment is off the level one by more than half a unit a row, the difference is spread over all rows
    and the new payment kept if it comes closer.
    """
    rates = calculate_period_rates(terms)
    numerator, denominator = calculate_level_payment(terms.principal, terms.residual, rates)

    def spread(payment: int) -> tuple[int, list[tuple[int, int]]]:
        rows, balance = [], terms.principal
        for num, den in rates:
            interest = divide_half_even(balance * num, den)
            rows.append((payment - interest if len(rows) < len(rates) - 1 else balance, interest))
            balance -= rows[-1][0]
        return sum(rows[-1]) - payment, rows

    payment = divide_half_even(numerator, denominator)
    off, rows = spread(payment)
    if abs(off) > len(rates) // 2:
        off_again, rows_again = spread(payment + round(Fraction(off, len(rates))) or payment)
        for better in (payment - 1, payment + 1):
            if abs(spread(better)[0]) < abs(off_again):
                off_again, rows_again = spread(better)
        rows = rows_again if abs(off_again) < abs(off) else rows
    return rows


def compare_equal_principal(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """Named rows of equal parts of principal, calculated in the unit that the source rounds to."""
    check_keys(vector, "principal annual_rate_pct periods unit rounding expected", "day_count start residual")
    found = re.fullmatch(r"nearest (\d+(?:\.\d+)?)", vector["rounding"])
    if found is None or list(vector["columns"]) != ["principal", "interest"]:
        raise LayoutError(f"the rounding {vector['rounding']!r} or the columns")
    scale, period = 1 / Fraction(found[1]), read_period(vector["unit"])
    start = day(vector.get("start", "2024-01-01"))
    rows = rows_of(
        ScheduleTerms(
            principal=minor(vector["principal"], scale),
            rate_ppm=minor(vector["annual_rate_pct"], 10_000),
            start=start,
            due_dates=calculate_due_dates(start, period, vector["periods"]),
            day_count=read_day_count(vector.get("day_count", "30/360")),
            period=period,
            profile=RoundingProfile.A,
            amortisation=Amortisation.EQUAL_PRINCIPAL,
            residual=minor(vector.get("residual", 0), scale),
        )
    )
    pairs: list[Pair] = []
    for index, stated in vector["expected"].items():
        row = rows[int(index) - 1]
        pairs.append((index, [minor(cell, scale) for cell in stated], [row.principal_due, row.interest_due]))
    return pairs


def compare_multiple(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """Equal parts without interest, in whole multiples, the last one smaller."""
    check_keys(vector, "principal n multiple rows")
    scale = 1 / Fraction(str(vector["multiple"]))
    terms = ScheduleTerms(
        principal=minor(vector["principal"], scale),
        rate_ppm=0,
        start=day("2024-01-01"),
        due_dates=calculate_due_dates(day("2024-01-01"), MONTH, vector["n"]),
        day_count=DayCount.THIRTY_360,
        period=MONTH,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
    )
    return [("rows", [minor(cell, scale) for cell in vector["rows"]], [row.total_due for row in rows_of(terms)])]


def compare_six_decimals(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """A schedule in units of 10^-6: the payment equal, parts within rounding; late interest on the stated base."""
    check_keys(
        vector,
        "principal ending_principal annual_rate_pct interval_days n day_count payment",
        "principal_parts interest_parts late",
    )
    period, scale = Period(unit=PeriodUnit.DAY, every=vector["interval_days"]), 10**6
    terms = ScheduleTerms(
        principal=minor(vector["principal"], scale),
        rate_ppm=minor(vector["annual_rate_pct"], 10_000),
        start=day("2024-01-01"),
        due_dates=calculate_due_dates(day("2024-01-01"), period, vector["n"]),
        day_count=read_day_count(vector["day_count"]),
        period=period,
        profile=RoundingProfile.A,
        amortisation=Amortisation.LEVEL,
        residual=minor(vector["ending_principal"], scale),
    )
    rows = rows_of(terms)
    pairs: list[Pair] = [("payment", minor(vector["payment"], scale), rows[0].total_due)]
    for name, found, off_by_max in (
        ("principal_parts", [row.principal_due for row in rows], PRINCIPAL_OFF_BY_MAX),
        ("interest_parts", [row.interest_due for row in rows], INTEREST_OFF_BY_MAX),
    ):
        stated = [minor(part, scale) for part in vector.get(name, [])]
        near = [a if abs(a - b) <= off_by_max else b for a, b in zip(stated, found, strict=False)]
        pairs.append((name, stated, near))
    if "late" in vector:
        late = vector["late"]
        check_keys(late, "days_late rate_pct outstanding_before late_interest")
        principal_days = minor(late["outstanding_before"], scale) * late["days_late"]
        found_late = calculate_late_interest(principal_days, minor(late["rate_pct"], 10_000))
        pairs.append(("late_interest", minor(late["late_interest"], scale), found_late))
    return pairs


def compare_formula(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """The exact level payment of any rational rate, to fifteen digits after the point."""
    if "interval_s" in vector:
        check_keys(vector, "principal annual_rate_pct interval_s year_s n payment")
        rate = Fraction(str(vector["annual_rate_pct"])) / 100 * Fraction(vector["interval_s"], vector["year_s"])
        key = "payment"
    else:
        key = "payment" if "payment" in vector else "factor"
        check_keys(vector, f"periodic_rate n {key}", "principal")
        rate = Fraction(str(vector["periodic_rate"]))
    principal = vector.get("principal", 1)
    numerator, denominator = calculate_level_payment(principal, 0, [(rate.numerator, rate.denominator)] * vector["n"])
    stated, found = Decimal(str(vector[key])), Decimal(numerator) / denominator
    return [(key, stated, stated if abs(found - stated) < Decimal("1e-15") else found)]


def compare_first_loss(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """One cover rate equal to the product of the source's two."""
    check_keys(
        vector,
        "cover_rate_min cover_rate_liq cover_available default_amount covered loss",
        "debt_total cover_after",
    )
    both_ppm = minor(Fraction(vector["cover_rate_min"]) * Fraction(vector["cover_rate_liq"]), 10**6)
    available = minor(vector["cover_available"])
    covered, loss = calculate_first_loss(
        minor(vector["default_amount"]), cover_rate_ppm=both_ppm, cover_available=available
    )
    found = {"covered": covered, "loss": loss, "cover_after": available - covered}
    return [(key, minor(vector[key]), found[key]) for key in found if key in vector]
