"""The file of third-party vectors, what checks each kind of them, and what explains a difference of a whole kind.

A difference is explained when the one rule that the source has more, and the ledger has not, gives exactly what it
states. Nothing here may hold a figure of the file.
"""

import json
import os
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path

from tests.protocol.loans.vector_events import (
    compare_allocation,
    compare_due_dates,
    compare_late_then_early,
    compare_overdue,
    compare_payoff,
    compare_settlement,
)
from tests.protocol.loans.vector_rates import (
    compare_day_counts,
    compare_effective,
    compare_revenue,
    compare_revenue_event,
    compare_us_actuarial,
    read_flows,
)
from tests.protocol.loans.vector_schedules import (
    Pair,
    Vector,
    calculate_spread_again,
    compare_equal_principal,
    compare_first_loss,
    compare_formula,
    compare_multiple,
    compare_rates,
    compare_schedule,
    compare_six_decimals,
    make_terms,
    minor,
)

BESIDE = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "lending.json"
FILE = Path(os.environ.get("LIUSHUI_VECTORS", BESIDE))

KINDS: dict[str, Callable[[Vector, Mapping[str, Vector]], list[Pair]]] = {
    "schedule": compare_schedule,
    "equal_principal": compare_equal_principal,
    "equal_principal_multiple": compare_multiple,
    "schedule6dp": compare_six_decimals,
    "formula": compare_formula,
    "first_loss": compare_first_loss,
    "revenue_based": compare_revenue,
    "revenue_based_event": compare_revenue_event,
    "event_payoff": compare_payoff,
    "event_overdue": compare_overdue,
    "event_late_then_early": compare_late_then_early,
    "allocation": compare_allocation,
    "due_dates": compare_due_dates,
    "apr_us_actuarial": compare_us_actuarial,
    "apr_effective": compare_effective,
    "day_count": compare_day_counts,
    "settlement": compare_settlement,
}


def explain_schedule(vector: Vector, wrong: list[Pair]) -> bool:
    """Apache Fineract spreads the rest of the last row over all rows; with that step its rows come out."""
    if [name for name, _, _ in wrong] != ["rows"] or vector.get("rounding_profile") != "A":
        return False
    stated = [
        [minor(row[vector["columns"].index(name)]) for name in ("principal", "interest")] for row in vector["rows"]
    ]
    return stated == [list(row) for row in calculate_spread_again(make_terms(vector))]


def explain_overdue(_vector: Vector, wrong: list[Pair]) -> bool:
    """Interest and the sum of what is due are the source's; only the split differs, since signed parts stay."""
    return {name for name, _, _ in wrong} <= {"principal", "due"}


def explain_effective(vector: Vector, wrong: list[Pair]) -> bool:
    """The source counts by days what are whole months, or has a year of 365.25 days; with that its rate comes out."""
    flows, stated = read_flows(vector), {name: rate for name, rate, _ in wrong}
    if all(rate == found for _, rate, found in compare_rates(stated, flows, by_days=True)):
        return True
    if len(flows[1]) != 1:
        return False
    ((start, advance),), ((on, payment),) = flows
    rate = ((Decimal(payment) / advance) ** (Decimal("365.25") / (on - start)) - 1) * 100
    return all(round(rate, -int(value.as_tuple().exponent)) == value for value in stated.values())


EXPLANATIONS: dict[str, Callable[[Vector, list[Pair]], bool]] = {
    "schedule": explain_schedule,
    "event_overdue": explain_overdue,
    "apr_effective": explain_effective,
}
"""Differences of a whole kind: whether the one rule that the source has more gives exactly what it states."""


def load_vectors() -> dict[str, Vector]:
    """All vectors by id; none where the file is absent."""
    if not FILE.exists():
        return {}
    return {vector["id"]: vector for vector in json.loads(FILE.read_text("utf-8"))["vectors"]}
