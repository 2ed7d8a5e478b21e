"""Third-party numbers of ../shared/vectors/lending.json, one test each; docs/vectors.md tells how each one stands.

LIUSHUI_VECTORS names another file of the same layout: a vector of a known kind is checked without new code, one that
says what is not known how to read is skipped by name. The file is not part of this repository, and no figure of it may
be copied here; the figures below are ours, where ours differ.
"""

import os
from typing import Any

import pytest

from tests.protocol.loans.vector_kinds import EXPLANATIONS, FILE, KINDS, explain_schedule, load_vectors
from tests.protocol.loans.vector_schedules import LayoutError, compare_schedule

DIFFERENCES: dict[str, dict[str, Any]] = {
    # The source takes interest to the next due date; the ledger charges it to the day, for fourteen of 29 days.
    "E02": {"total": 8_381, "interest": 24},
    # Signed parts of principal stay: the source keeps the payments equal and moves principal to the last row.
    "E09": {
        "late": [[248_276, 4_615], [249_422, 4_615], [250_573, 2_318], [251_729, 1_162]],
        # And interest of the early payment runs to its own day, not to the next due date.
        "early": [[248_276, 4_615], [399_009, 2_154], [100_986, 1_628], [251_729, 1_162]],
    },
    # The oldest row is finished first; the source's vertical order would take every penalty before any principal.
    "A06": {"split": {"penalty": 20, "principal": 15}, "rows_paid": [35, 0, 0]},
}
"""What we find where a source has a rule that the ledger has not, by vector and by what it states."""


VECTORS = load_vectors()


def test_the_reference_numbers_are_there() -> None:
    """Without the file there is nothing to compare, which is no failure; but a file that is named must be there."""
    if not VECTORS and "LIUSHUI_VECTORS" not in os.environ:
        pytest.skip("the reference numbers ../shared/vectors/lending.json are not beside this repository")
    assert VECTORS, FILE


@pytest.mark.parametrize("vector_id", VECTORS)
def test_vector(vector_id: str) -> None:
    """Every figure the vector states comes out; or it differs by exactly what the tables above say."""
    vector = VECTORS[vector_id]
    kind = vector["kind"]
    if kind not in KINDS:
        pytest.skip(f"{vector_id}: the kind {kind!r} is not known")
    try:
        pairs = KINDS[kind](vector, VECTORS)
    except LayoutError as error:
        pytest.skip(f"{vector_id} ({kind}): not read: {error}")
    assert pairs, "a vector states something"
    wrong = [(name, stated, found) for name, stated, found in pairs if stated != found]
    if vector_id in DIFFERENCES:
        assert wrong, f"{vector_id} differs no longer: take it from the table"
        assert all(DIFFERENCES[vector_id].get(name) == found for name, _, found in wrong), wrong
    elif wrong:
        assert kind in EXPLANATIONS, wrong
        assert EXPLANATIONS[kind](vector, wrong), wrong


def test_a_wrong_figure_is_found() -> None:
    """The comparison can fail: a figure that is a cent off is a difference that nothing explains."""
    vector = {
        "id": "own",
        "kind": "schedule",
        "principal": 100,
        "annual_rate_pct": 12,
        "periods": {"n": 2, "unit": "MONTH", "day_count": "30/360", "start": "2024-01-01"},
        "rounding_profile": "A",
        "columns": ["due_total", "interest", "principal", "balance_after"],
        "rows": [[50.75, 1, 49.75, 50.25], [50.75, 0.5, 50.25, 0]],
    }
    assert [stated == found for _, stated, found in compare_schedule(vector, {})] == [True]
    vector["rows"] = [[50.75, 1, 49.75, 50.25], [50.76, 0.51, 50.25, 0]]
    wrong = [pair for pair in compare_schedule(vector, {}) if pair[1] != pair[2]]
    assert [name for name, _, _ in wrong] == ["rows"]
    assert not explain_schedule(vector, wrong)
    with pytest.raises(LayoutError):
        compare_schedule({**vector, "grace": 1}, {})


def test_the_rule_that_spreads_the_rest_is_the_sources() -> None:
    """apache/fineract ProgressiveEMICalculatorTest, every two weeks: a payment of 33.57 where the nearest is 33.58."""
    vector = {
        "id": "own",
        "kind": "schedule",
        "principal": 100,
        "annual_rate_pct": 9.4822,
        "periods": {"n": 3, "unit": "2 weeks", "day_count": "14/364", "start": "2024-01-01"},
        "rounding_profile": "A",
        "columns": ["due_total", "interest", "principal", "balance_after"],
        "rows": [[33.57, 0.36, 33.21, 66.79], [33.57, 0.24, 33.33, 33.46], [33.58, 0.12, 33.46, 0]],
    }
    wrong = [pair for pair in compare_schedule(vector, {}) if pair[1] != pair[2]]
    assert [row[0] for row in wrong[0][2]] == [3_358, 3_358, 3_356]
    assert explain_schedule(vector, wrong)
