"""Laws of `liushui schedule`: the ledger's own rows, and one sentence for every wrong option."""

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.cli.schedule import _DAY_COUNTS, schedule
from protocol.loans.calendar import Period
from tests.protocol.loans.vector_kinds import KINDS, load_vectors
from tests.protocol.loans.vector_schedules import LayoutError, list_cells, make_terms, minor, rows_of

GOOD = {
    "--principal-minor": "1000000",
    "--rate-ppm": "240000",
    "--periods": "3",
    "--every": "1m",
    "--start": "2024-01-31",
    "--day-count": "30/360",
    "--profile": "A",
}


def run(options: dict[str, str | None], *flags: str) -> Result:
    """Run the command; an option that is None is left out."""
    given = [part for name, value in options.items() if value is not None for part in (name, value)]
    return CliRunner().invoke(schedule, [*given, *flags])


def answer_of(options: dict[str, str | None]) -> dict[str, Any]:
    result = run(options, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_json_holds_rows_totals_and_the_rate() -> None:
    """The object has the documented keys; totals are the sums of the rows; month ends are kept."""
    answer = answer_of(dict(GOOD))
    assert list(answer) == ["rows", "total_due", "total_interest", "apr_effective_ppm"]
    assert [list(row) for row in answer["rows"]] == [["due_on", "due", "interest", "principal", "balance"]] * 3
    assert [row["due_on"] for row in answer["rows"]] == ["2024-02-29", "2024-03-31", "2024-04-30"]
    assert [row["due"] for row in answer["rows"]] == [346_755, 346_755, 346_754]
    assert answer["total_due"] == sum(row["due"] for row in answer["rows"])
    assert answer["total_interest"] == sum(row["interest"] for row in answer["rows"])
    assert answer["apr_effective_ppm"] == 268_242  # 1.02^12 - 1 is 0.26824179...


def test_explicit_due_dates_need_neither_periods_nor_every() -> None:
    """A list of due dates is the schedule's own."""
    due = "2024-02-12,2024-03-13,2024-04-12"
    answer = answer_of({**GOOD, "--periods": None, "--every": None, "--due": due, "--day-count": "ACT/365F"})
    assert [row["due_on"] for row in answer["rows"]] == due.split(",")


def test_the_amortisations_differ() -> None:
    """Bullet pays interest only, equal principal falls, a residual waits for the last row."""
    bullet = answer_of({**GOOD, "--amortisation": "bullet"})
    assert [row["principal"] for row in bullet["rows"]] == [0, 0, 1_000_000]
    equal = answer_of({**GOOD, "--amortisation": "equal_principal"})
    assert [row["principal"] for row in equal["rows"]] == [333_333, 333_333, 333_334]
    residual = answer_of({**GOOD, "--residual-minor": "500000"})
    assert residual["rows"][-1]["due"] > 500_000


def test_without_interest_the_rate_is_zero() -> None:
    """A free loan has an APR of 0."""
    assert answer_of({**GOOD, "--rate-ppm": "0"})["apr_effective_ppm"] == 0


def test_people_get_a_table() -> None:
    """Without --json the rows, the total and the rate are printed for reading."""
    result = run(dict(GOOD))
    assert result.exit_code == 0
    for text in ("2024-02-29", "346,755", "1,040,264", "26.8242 %"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("changes", "option"),
    [
        ({"--principal-minor": None}, "--principal-minor"),
        ({"--principal-minor": "0"}, "--principal-minor"),
        ({"--principal-minor": "-5"}, "--principal-minor"),
        ({"--principal-minor": str(2**53)}, "--principal-minor"),
        ({"--principal-minor": "1.5"}, "--principal-minor"),
        ({"--principal-minor": "2"}, "--principal-minor"),
        ({"--rate-ppm": "-1"}, "--rate-ppm"),
        ({"--rate-ppm": "24%"}, "--rate-ppm"),
        ({"--rate-ppm": "100000001"}, "--rate-ppm"),
        ({"--rate-ppm": "100000000", "--periods": "12"}, "--rate-ppm"),
        ({"--periods": None}, "--periods"),
        ({"--periods": "0"}, "--periods"),
        ({"--periods": "481"}, "--periods"),
        ({"--periods": "2", "--due": "2024-02-29"}, "--periods"),
        ({"--every": None}, "--every"),
        ({"--every": "1q"}, "--every"),
        ({"--every": "0m"}, "--every"),
        ({"--every": "367d"}, "--every"),
        ({"--start": None}, "--start"),
        ({"--start": "2024-02-30"}, "--start"),
        ({"--start": "31.01.2024"}, "--start"),
        ({"--start": "1750-01-01"}, "--start"),
        ({"--start": "2299-12-01"}, "--start"),
        ({"--due": "2024-02-29,x"}, "--due"),
        ({"--due": "2024-03-29,2024-02-29", "--periods": None}, "--due"),
        ({"--due": "2024-01-31", "--periods": None}, "--due"),
        ({"--first-due": "2024-01-31"}, "--first-due"),
        ({"--first-due": "2024-02-29", "--due": "2024-02-29"}, "--first-due"),
        ({"--day-count": "30/365"}, "--day-count"),
        ({"--profile": "C"}, "--profile"),
        ({"--amortisation": "flat"}, "--amortisation"),
        ({"--residual-minor": "1000001"}, "--residual-minor"),
        ({"--amortisation": "balloon"}, "--residual-minor"),
        ({"--amortisation": "balloon", "--residual-minor": "5", "--periods": "1"}, "--periods"),
        ({"--multiple-minor": "0"}, "--multiple-minor"),
        ({"--multiple-minor": "3"}, "--multiple-minor"),
        ({"--multiple-minor": "100", "--residual-minor": "5"}, "--residual-minor"),
        ({"--multiple-minor": "1000000", "--principal-minor": "9007199255000000"}, "--principal-minor"),
        ({"--residual-minor": "5", "--amortisation": "bullet"}, "--residual-minor"),
        ({"--colour": "red"}, "--colour"),
    ],
)
def test_wrong_input_is_one_sentence_that_names_the_option(changes: dict[str, str | None], option: str) -> None:
    """Exit code 2, nothing on stdout, one line on stderr with the option's name in it."""
    result = run({**GOOD, **changes}, "--json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert option in result.stderr


def test_the_door_accepts_a_first_due_date() -> None:
    """A loan paid out between two due days starts with a short row; the later rows are whole."""
    answer = answer_of({**GOOD, "--start": "2024-01-15", "--first-due": "2024-02-01", "--rate-ppm": "120000"})
    assert [row["due_on"] for row in answer["rows"]] == ["2024-02-01", "2024-03-01", "2024-04-01"]
    assert answer["rows"][0]["interest"] == round(10_000 * 17 / 31)


def test_a_balloon_is_the_residual_and_the_rest_pays_down_to_it() -> None:
    """The last principal of a balloon is the residual itself, and the rows before it pay the loan down to it."""
    balloon = answer_of({**GOOD, "--amortisation": "balloon", "--residual-minor": "500000"})
    assert [row["balance"] for row in balloon["rows"]][-2:] == [500_000, 0]
    assert balloon["rows"][-1]["principal"] == 500_000


def test_every_figure_is_a_multiple_of_the_smallest_amount() -> None:
    """With a smallest amount of 100 the parts are whole hundreds, and the rate is that of what is paid."""
    answer = answer_of({**GOOD, "--amortisation": "equal_principal", "--multiple-minor": "100"})
    assert [row["principal"] for row in answer["rows"]] == [333_300, 333_300, 333_400]
    assert all(row[name] % 100 == 0 for row in answer["rows"] for name in ("due", "interest", "balance"))
    assert answer["total_due"] == sum(row["due"] for row in answer["rows"])
    # Rounding to hundreds moves the rate of 26.8242 % by less than a hundredth of a per cent.
    assert abs(answer["apr_effective_ppm"] - 268_242) < 100


def schedule_options(vector: dict[str, Any]) -> dict[str, str | None]:
    """A schedule vector, asked for as a reader of it would ask."""
    periods, terms = vector["periods"], make_terms(vector)
    dated = "due" in periods or "days" in periods
    return {
        "--principal-minor": str(terms.principal),
        "--rate-ppm": str(terms.rate_ppm),
        "--periods": str(len(terms.due_dates)),
        "--every": every_of(terms.period),
        "--start": periods.get("disbursed", periods["start"]),
        "--due": ",".join(iso(due) for due in terms.due_dates) if dated else None,
        "--first-due": iso(terms.due_dates[0]) if "disbursed" in periods and not dated else None,
        "--day-count": next(name for name, day_count in _DAY_COUNTS.items() if day_count is terms.day_count),
        "--profile": terms.profile.name,
        "--amortisation": terms.amortisation.name.lower(),
    }


def iso(ordinal: int) -> str:
    return datetime.date.fromordinal(ordinal).isoformat()


def every_of(period: Period) -> str:
    return f"{period.every}{period.unit.name[0].lower()}"


def is_read(vector: Any) -> bool:
    """Whether the tests of the loan mathematics know how to read the vector."""
    try:
        KINDS[vector["kind"]](vector, {})
    except LayoutError:
        return False
    return True


def vectors_of(*kinds: str) -> list[Any]:
    """The vectors of these kinds that are read; one that skips where there are none."""
    found = [vector for vector in load_vectors().values() if vector["kind"] in kinds and is_read(vector)]
    absent = pytest.mark.skip(
        reason="the reference numbers ../shared/vectors/lending.json are not beside this repository"
    )
    return [pytest.param(vector, id=vector["id"]) for vector in found] or [pytest.param({}, marks=absent)]


@pytest.mark.parametrize("vector", vectors_of("schedule"))
def test_third_party_schedules_come_out_of_the_command(vector: dict[str, Any]) -> None:
    """The rows that `tests/protocol/loans` holds against the source, asked for by the options that a reader has."""
    answer = answer_of(schedule_options(vector))
    found = [[row[name] for name in ("due", "interest", "principal", "balance")] for row in answer["rows"]]
    columns = ("due_total", "interest", "principal", "balance_after")
    assert found == list_cells(rows_of(make_terms(vector)), columns)
    if "apr_eu" in vector:
        assert round(Decimal(answer["apr_effective_ppm"]) / 10_000, 1) == Decimal(str(vector["apr_eu"]))


@pytest.mark.parametrize("vector", vectors_of("schedule6dp"))
def test_schedules_at_six_decimals_come_out_of_the_command(vector: dict[str, Any]) -> None:
    """A currency of six digits is minor units like any other; the residual and the days between rows are options."""
    answer = answer_of(
        {
            "--principal-minor": str(minor(vector["principal"], 10**6)),
            "--rate-ppm": str(minor(vector["annual_rate_pct"], 10_000)),
            "--periods": str(vector["n"]),
            "--every": f"{vector['interval_days']}d",
            "--start": "2024-01-01",
            "--day-count": "ACT/365F",
            "--profile": "A",
            "--residual-minor": str(minor(vector["ending_principal"], 10**6)),
        }
    )
    assert answer["rows"][0]["due"] == minor(vector["payment"], 10**6)


@pytest.mark.parametrize("vector", vectors_of("equal_principal", "equal_principal_multiple"))
def test_multiples_come_out_of_the_command(vector: dict[str, Any]) -> None:
    """Parts in whole multiples: of 100 units of the currency, or of one."""
    equal = vector["kind"] == "equal_principal"
    multiple = vector["rounding"].removeprefix("nearest ") if equal else vector["multiple"]
    options: dict[str, str | None] = {
        **GOOD,
        "--principal-minor": str(minor(vector["principal"])),
        "--rate-ppm": str(minor(vector.get("annual_rate_pct", 0), 10_000)),
        "--periods": str(vector["periods"] if equal else vector["n"]),
        "--start": "2024-01-01",
        "--amortisation": "equal_principal" if equal else "level",
        "--multiple-minor": str(minor(multiple)),
    }
    rows = answer_of(options)["rows"]
    if equal:
        for index, stated in vector["expected"].items():
            row = rows[int(index) - 1]
            assert [row["principal"], row["interest"]] == [minor(cell) for cell in stated], index
    else:
        assert [row["due"] for row in rows] == [minor(cell) for cell in vector["rows"]]
