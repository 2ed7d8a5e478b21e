"""Kinds of third-party vectors about what happens to a loan: allocations, payoffs, arrears, settlements, due dates.

As `vector_schedules`: stated figures come from the vector alone, and what is not known how to read is refused.
"""

import datetime
import re
from collections.abc import Iterable, Mapping
from typing import Any

from protocol.loans.accrual import (
    Accrual,
    AccrualPeriod,
    apply_days,
    calculate_accrual_period_at,
    calculate_interest_accrued,
    calculate_interest_ahead,
)
from protocol.loans.calendar import calculate_due_dates, shift_months
from protocol.loans.schedule import Instalment, ScheduleTerms
from protocol.loans.terms import ExcessRule, WaterfallOrder
from protocol.loans.waterfall import Row, calculate_allocation
from tests.protocol.loans.vector_schedules import (
    MONTH,
    LayoutError,
    Pair,
    Vector,
    check_keys,
    day,
    make_terms,
    minor,
    rows_of,
)


def compare_allocation(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """Where money above the due rows goes, or which row is served first."""
    if "overdue" in vector:
        return _compare_order(vector)
    check_keys(vector, "pay paid_after", "rows_due paid_first of")
    words = {"NEXT_INSTAL": ExcessRule.NEXT, "LAST_INSTAL": ExcessRule.LAST, "REAMORTI": ExcessRule.REAMORTISE}
    rules = [rule for word, rule in words.items() if word in vector["source"].upper()]
    amount, when = vector["pay"]
    moment = re.fullmatch(r"(on|before).*row (\d+).*", when)
    if len(rules) != 1 or moment is None:
        raise LayoutError("no one rule for the excess in the source, or no moment of the payment")
    due = vector.get("rows_due") or every.get("A01", {}).get("rows_due") or [100] * len(vector["paid_after"])
    rows = [
        Row(index=i, due_on=100 * i, principal_due=part, principal_paid=part if i == 1 else 0)
        for i, part in enumerate(due, start=1)
    ]
    today = 100 * int(moment[2]) - (5 if moment[1] == "before" else 0)
    allocation = calculate_allocation(rows, amount, today=today, order=WaterfallOrder.IPF, excess=rules[0])
    return [("paid_after", vector["paid_after"], [row.principal_paid for row in allocation.rows])]


def _compare_order(vector: Vector) -> list[Pair]:
    check_keys(vector, "overdue due_today_penalty pay split", "rows_paid")
    rows = [
        Row(index=i, due_on=10 * i, principal_due=row["principal"], penalty_due=row["penalty"])
        for i, row in enumerate(vector["overdue"], start=1)
    ]
    today = 10 * (len(rows) + 1)
    last = Row(index=len(rows) + 1, due_on=today, principal_due=250, penalty_due=vector["due_today_penalty"])
    allocation = calculate_allocation(
        [*rows, last], vector["pay"], today=today, order=WaterfallOrder.FIP, excess=ExcessRule.LAST
    )
    found = {
        name: total
        for name in ("penalty", "interest", "fee", "principal")
        if (total := sum(getattr(take, name) for take in allocation.takes)) or name in vector["split"]
    }
    pairs: list[Pair] = [("split", vector["split"], found)]
    if "rows_paid" in vector:
        paid = [row.principal_paid + row.penalty_paid for row in allocation.rows]
        pairs.append(("rows_paid", vector["rows_paid"], paid))
    return pairs


def compare_due_dates(vector: Vector, _all: Mapping[str, Vector]) -> list[Pair]:
    """Months from an earlier seed day, from the first due date as a whole month after one, and from itself."""
    check_keys(vector, "seed_day due")
    stated = tuple(day(text) for text in vector["due"])
    # The nearest earlier month that has the seed day; the first due date is whole months after it.
    start = next(
        earlier
        for back in range(1, 13)
        if datetime.date.fromordinal(earlier := shift_months(stated[0], -back, anchor_day=vector["seed_day"])).day
        == vector["seed_day"]
    )
    found = calculate_due_dates(start, MONTH, len(stated), first_due=stated[0])
    pairs: list[Pair] = [("first_due", stated, found)]
    if datetime.date.fromordinal(stated[0]).day == vector["seed_day"]:
        pairs.append(("start", stated[1:], calculate_due_dates(stated[0], MONTH, len(stated) - 1)))
    return pairs


def get_reference(vector: Vector, every: Mapping[str, Vector]) -> ScheduleTerms:
    """The loan that an event is about: in the file, or one of those which `REFERENCES` describes."""
    if vector["of"] in every:
        return make_terms(every[vector["of"]])
    if vector["of"] not in REFERENCES:
        raise LayoutError(f"the loan {vector['of']}, which is not in the file")
    return make_terms(REFERENCES[vector["of"]])


REFERENCES: dict[str, dict[str, Any]] = {
    "F02": {
        "principal": 100,
        "annual_rate_pct": 7,
        "periods": {"n": 6, "unit": "month", "day_count": "30/360", "start": "2024-01-01"},
    },
    "F11": {
        "principal": 10_000,
        "annual_rate_pct": 24,
        "periods": {"n": 4, "unit": "week", "day_count": "7/364", "start": "2024-01-01"},
    },
    "P03": {
        "principal": 250,
        "annual_rate_pct": "0.8 per day",
        "periods": {"n": 4, "days": [24, 55, 86, 115], "start": "2023-11-28"},
        "rounding_profile": "B",
    },
}
"""Loans that events of the sources are about, as the sources describe them."""


def count_paid(rows: tuple[Instalment, ...], paid: Iterable[tuple[str, Any]]) -> int:
    """The rows that the payments settle, each on its day and in full; anything else is not known how to read."""
    payments = [(day(date), minor(amount)) for date, amount in paid]
    if payments != [(row.due_on, row.total_due) for row in rows[: len(payments)]]:
        raise LayoutError("payments that are not the first rows' own")
    return len(payments)


def compare_payoff(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """Interest to the day, by the row's own days."""
    check_keys(vector, "of paid payoff_date payoff")
    terms = get_reference(vector, every)
    rows, today = rows_of(terms), day(vector["payoff_date"])
    settled = count_paid(rows, vector["paid"])
    balance = terms.principal if settled == 0 else rows[settled - 1].balance_after
    period = calculate_accrual_period_at(terms, today)
    if period.start != (terms.start, *terms.due_dates)[settled]:
        raise LayoutError("a payoff in arrears")
    accrual = apply_days(Accrual(as_of=period.start), balance, today)
    interest = calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
    found = {"total": balance + interest, "principal": balance, "interest": interest}
    return [(key, minor(stated), found.get(key)) for key, stated in vector["payoff"].items()]


def compare_overdue(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """Rows of a borrower who stopped paying: interest runs on all unpaid principal, signed parts stay."""
    check_keys(vector, "of asof interest principal due", "nothing_paid paid")
    terms, today = get_reference(vector, every), day(vector["asof"])
    rows = rows_of(terms)
    settled = count_paid(rows, vector.get("paid", []))
    if "nothing_paid" in vector and vector["nothing_paid"] is not (settled == 0):
        raise LayoutError("something was paid, but not what")
    unpaid = [row.principal_due if row.index > settled else 0 for row in rows]
    interest = [row.interest_due for row in rows[:settled]]
    for index in range(settled, len(rows)):
        # A row whose days have begun bears interest on all; later rows take what is overdue as paid with the next.
        begun = min((terms.start, *terms.due_dates)[index], today)
        ahead = calculate_interest_ahead(terms, unpaid, Accrual(as_of=begun))
        interest.append(ahead[index - len(rows)])
    principal = [row.principal_due for row in rows]
    found = {"interest": interest, "principal": principal}
    found["due"] = [a + b for a, b in zip(principal, interest, strict=True)]
    pairs: list[Pair] = [(key, [minor(cell) for cell in vector[key]], found[key]) for key in found]
    return [*pairs, ("sum of due", sum(minor(cell) for cell in vector["due"]), sum(found["due"]))]


def compare_late_then_early(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """A first week nothing was paid for; and a first payment in time with a large one two days later."""
    later = "then_pay_first_on_time_and_4000_two_days_later"
    check_keys(vector, f"of late_first_week {later}")
    terms = get_reference(vector, every)
    rows = rows_of(terms)
    parts = [row.principal_due for row in rows]
    ahead = calculate_interest_ahead(terms, parts, Accrual(as_of=rows[0].due_on))
    late = zip(parts, (rows[0].interest_due, *ahead), strict=True)

    balance, today = rows[0].balance_after, rows[0].due_on + 2
    period = calculate_accrual_period_at(terms, today)
    accrual = apply_days(Accrual(as_of=period.start), balance, today)
    interest = calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
    open_rows = [Row(index=row.index, due_on=row.due_on, principal_due=row.principal_due) for row in rows[1:]]
    allocation = calculate_allocation(
        open_rows,
        minor(4_000),
        today=today,
        order=WaterfallOrder.IPF,
        excess=ExcessRule.NEXT,
        interest_accrued=interest,
    )
    ahead = calculate_interest_ahead(terms, [0, *(row.principal_unpaid for row in allocation.rows)], accrual)
    early_principal = [
        parts[0],
        allocation.taken - interest,
        *(row.principal_unpaid for row in allocation.rows if row.principal_unpaid),
    ]
    early = zip(early_principal, (rows[0].interest_due, *ahead), strict=True)
    return [
        (
            name,
            [[minor(cell) for cell in row] for row in vector[key]["rows_principal_interest"]],
            [list(r) for r in rows_],
        )
        for name, key, rows_ in (("late", "late_first_week", late), ("early", later, early))
    ]


def compare_settlement(vector: Vector, every: Mapping[str, Vector]) -> list[Pair]:
    """Principal and interest by the day, rounded down, since the last row that was paid."""
    keys = [key for key in vector if key.startswith("settle_")]
    check_keys(vector, "of after_payments", " ".join(keys))
    terms = get_reference(vector, every)
    last = rows_of(terms)[vector["after_payments"] - 1]
    pairs: list[Pair] = []
    for key in keys:
        # "next" is a week after the last row, the day on which the source asks again.
        text = key.removeprefix("settle_day_")
        on = terms.due_dates[-1] + 7 if key == "settle_next" else terms.start + int(text) if text.isdigit() else 0
        if on <= last.due_on:
            raise LayoutError(f"the day of {key}")
        period = AccrualPeriod(start=last.due_on, end=on, num=on - last.due_on, den=365)
        accrual = apply_days(Accrual(as_of=period.start), last.balance_after, on)
        interest = calculate_interest_accrued(accrual, period, rate_ppm=terms.rate_ppm, profile=terms.profile)
        found = {"total": last.balance_after + interest, "principal": last.balance_after, "interest": interest}
        pairs += [(f"{key} {name}", minor(stated), found.get(name)) for name, stated in vector[key].items()]
    return pairs
