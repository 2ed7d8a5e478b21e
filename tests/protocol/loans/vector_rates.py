"""Kinds of third-party vectors about rates, day counts and revenue shares.

As `vector_schedules`: stated figures come from the vector alone, and what is not known how to read is refused.
"""

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from protocol.loans.apr import (
    UnitFlow,
    UnitPeriod,
    calculate_annual_ppm,
    calculate_apr_us_actuarial_ppm,
    calculate_unit_periods,
)
from protocol.loans.calendar import calculate_due_dates, calculate_year_fraction
from protocol.loans.revenue import (
    RevenueTerms,
    calculate_revenue_earned,
    calculate_revenue_factor,
    calculate_revenue_schedule,
)
from protocol.loans.terms import PeriodUnit
from protocol.money import divide_ceil
from tests.protocol.loans.vector_schedules import (
    DAY_COUNTS,
    Flows,
    LayoutError,
    Pair,
    Vector,
    check_keys,
    compare_rates,
    day,
    minor,
    read_period,
)

START = datetime.date(2024, 1, 1).toordinal()


def _read_unit_period(text: str, payments: int, term_days: int) -> UnitPeriod:
    """A unit-period by its name. Of a single payment within a year it is the term itself (Appendix J (b)(4)(ii))."""
    if text == "semimonth":
        return UnitPeriod(unit=PeriodUnit.MONTH, every=1, semimonth=True)
    if payments == 1 and text in {"day", "days", "term", "single"}:
        return UnitPeriod(unit=PeriodUnit.DAY, every=term_days)
    period = read_period(text)
    return UnitPeriod(unit=period.unit, every=period.every)


def compare_us_actuarial(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """The worked examples of Regulation Z, Appendix J (c), to the hundredth of a per cent they state."""
    check_keys(vector, "advance payments unit dates apr_pct")
    if len(vector["dates"]) != 2:
        raise LayoutError("dates other than of the advance and the first payment")
    advanced, first = (day(text) for text in vector["dates"])
    amounts = [minor(amount) for amount, count in vector["payments"] for _ in range(count)]
    unit = _read_unit_period(vector["unit"], len(amounts), first - advanced)
    full, num, den = calculate_unit_periods(unit, advanced, first)
    payments = [UnitFlow(amount=amount, full=full + i, num=num, den=den) for i, amount in enumerate(amounts)]
    apr_ppm = calculate_apr_us_actuarial_ppm([UnitFlow(amount=minor(vector["advance"]), full=0)], payments, unit)
    stated = Decimal(str(vector["apr_pct"]))
    return [("apr_pct", stated, None if apr_ppm is None else round(Decimal(apr_ppm) / 10_000, 2))]


def read_flows(vector: Vector) -> tuple[Flows, Flows]:
    """Advances and payments of an effective-rate vector; a fee at the start is kept back from the advance."""
    dates = [day(text) for text in vector.get("dates", [])]
    start = dates[0] if dates else START
    payments: Flows = []
    if "pay" in vector:
        amounts = vector["pay"] if isinstance(vector["pay"], list) else [vector["pay"]]
        due = dates[1:] or [start + offset for offset in _listed(vector.get("days", []))]
        if len(due) != len(amounts):
            raise LayoutError("another number of payments than of dates")
        payments = [(on, minor(amount)) for on, amount in zip(due, amounts, strict=True)]
    for item in vector.get("payments", []):
        payments += _read_payment(item, start)
    if not payments:
        raise LayoutError("no payments")
    return [(start, minor(vector["advance"]) - minor(vector.get("fee0", 0)))], payments


def _listed(value: Any) -> list[int]:
    return value if isinstance(value, list) else [value]


def _read_payment(item: Any, start: int) -> Flows:
    """[amount, count, unit] from the start on, or [date, amount] in either order."""
    if isinstance(item, list) and len(item) == 3:
        amount, count, unit = item
        return [(due, minor(amount)) for due in calculate_due_dates(start, read_period(unit), count)]
    if isinstance(item, list) and len(item) == 2 and any(isinstance(part, str) and "-" in part for part in item):
        date, amount = item if isinstance(item[0], str) else reversed(item)
        return [(day(date), minor(amount))]
    raise LayoutError(f"the payment {item!r}")


def compare_effective(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """The effective rate by the ledger's intervals; by days where the vector states the days."""
    stated = {key: vector[key] for key in vector if key.startswith("apr_")}
    check_keys(vector, "advance", " ".join(("fee0 dates pay days payments", *stated)))
    flows = read_flows(vector)
    pairs = compare_rates(stated, flows, by_days="days" in vector)
    if "days" in vector and len(flows[1]) == 1:
        pairs.append(("days", vector["days"], flows[1][0][0] - flows[0][0][0]))
    return pairs


def compare_day_counts(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """The year fractions of the conventions that products may use; the others are not offered."""
    check_keys(vector, "cases")
    pairs: list[Pair] = []
    for name, start, end, text in vector["cases"]:
        if name in DAY_COUNTS:
            num, den = calculate_year_fraction(DAY_COUNTS[name], day(start), day(end))
            stated, found = Decimal(text), Decimal(num) / den
            near = abs(found - stated) < Decimal("1e-10")
            pairs.append((f"{name} {start} {end}", stated, stated if near else found))
    if not pairs:
        raise LayoutError("no convention that products may use")
    return pairs


W01 = {"net": 9000, "discount": 1000, "total_payment_volume": 100_000, "rate_pct": 18, "npv_day_count": 360}
"""The revenue loan that events of the source are about."""


def make_revenue(vector: Vector) -> RevenueTerms:
    """The terms that a revenue vector describes."""
    return RevenueTerms(
        net=minor(vector["net"]),
        discount=minor(vector["discount"]),
        volume=minor(vector["total_payment_volume"]),
        share_ppm=minor(vector["rate_pct"], 10_000),
        volume_days=vector["npv_day_count"],
    )


def compare_revenue(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """Daily payments by share of sales, and the discount earned at the rate that discounts them to the net amount."""
    check_keys(vector, "net discount total_payment_volume rate_pct npv_day_count", "payment n last rows annual_eir")
    terms = make_revenue(vector)
    rows = calculate_revenue_schedule(terms)
    if not rows:
        raise LayoutError("terms without rows")
    pairs: list[Pair] = [
        (key, minor(vector[key], scale), found)
        for key, scale, found in (
            ("payment", 100, rows[0].payment),
            ("n", 1, len(rows)),
            ("last", 100, rows[-1].payment),
        )
        if key in vector
    ]
    names = {"amortisation": "earned", "balance": "balance", "unearned_discount": "unearned", "payment": "payment"}
    if "rows" in vector and any(column not in names for column in vector["columns"]):
        raise LayoutError(f"the columns {vector['columns']}")
    for index, stated in vector.get("rows", {}).items():
        found = [getattr(rows[int(index) - 1], names[column]) for column in vector["columns"]]
        pairs.append((index, [minor(cell) for cell in stated], found))
    if "annual_eir" in vector:
        annual = calculate_annual_ppm(calculate_revenue_factor(terms), terms.volume_days)
        pairs.append(("annual_eir", round(Decimal(str(vector["annual_eir"])) * 10**6), annual))
    return pairs


def compare_revenue_event(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """A payment earns the discount of its units; so does the next expected one."""
    check_keys(vector, "of event", "actual_balance actual_unearned earned amortisation next_expected total_rows last")
    of = every.get(vector["of"], W01 if vector["of"] == "W01" else None)
    event = re.fullmatch(r"pay ([\d.]+) on day 1", vector["event"])
    if of is None or event is None:
        raise LayoutError(f"the event {vector['event']!r} of {vector['of']}")
    terms = make_revenue(of)
    factor, total = calculate_revenue_factor(terms), terms.net + terms.discount
    paid = min(minor(event[1]), total)
    payment = calculate_revenue_schedule(terms)[0].payment
    earned = calculate_revenue_earned(terms, factor, paid)
    after = min(paid + payment, total)
    earned_after = calculate_revenue_earned(terms, factor, after)
    rest = total - paid
    found = {
        "actual_balance": terms.net + earned - paid,
        "actual_unearned": terms.discount - earned,
        "earned": earned,
        "amortisation": earned,
        "last": rest - (divide_ceil(rest, payment) - 1) * payment if rest else payment,
    }
    pairs: list[Pair] = [(key, minor(vector[key]), found[key]) for key in found if key in vector]
    if "next_expected" in vector:
        row = [after - paid, terms.net + earned_after - after, earned_after - earned, terms.discount - earned_after]
        pairs.append(("next_expected", [minor(cell) for cell in vector["next_expected"]], row))
    if "total_rows" in vector:
        pairs.append(("total_rows", vector["total_rows"], 1 + divide_ceil(rest, payment)))
    return pairs
