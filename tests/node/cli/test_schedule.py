"""Laws of `liushui schedule`: the ledger's own rows, and one sentence for every wrong option."""

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.cli.schedule import schedule

FILE = Path(__file__).resolve().parents[3].parent / "shared" / "vectors" / "lending.json"
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


DAY_COUNTS = {"ACT/365": "ACT/365F", "ACT/ACT (2025)": "ACT/ACT"}


@pytest.mark.parametrize("vector_id", ["F01", "F03", "F04", "F08", "F09", "F13", "F14", "F16", "P01"])
def test_third_party_schedules_come_out_of_the_command(vector_id: str) -> None:
    """The reference schedules, asked for as a reader of them would ask, to the minor unit."""
    if not FILE.exists():
        pytest.skip("the reference numbers ../shared/vectors/lending.json are not beside this repository")
    (vector,) = (v for v in json.loads(FILE.read_text())["vectors"] if v["id"] == vector_id)
    periods = vector["periods"]
    rate, *per_day = str(vector["annual_rate_pct"]).split(" ", 1)
    options: dict[str, str | None] = {
        "--principal-minor": str(int(Decimal(str(vector["principal"])) * 100)),
        "--rate-ppm": str(int(Decimal(rate) * 10_000 * (365 if per_day else 1))),
        "--periods": str(periods["n"]),
        "--every": "1w" if periods.get("unit") == "7 days" else "1m",
        "--start": periods.get("disbursed", periods["start"]),
        "--day-count": "ACT/365F" if per_day else DAY_COUNTS.get(periods["day_count"], periods["day_count"]),
        "--profile": vector["rounding_profile"],
        "--amortisation": "bullet" if vector_id == "F16" else "level",
    }
    if "due" in periods:
        options["--due"] = ",".join(periods["due"])
    if "days" in periods:
        start = datetime.date.fromisoformat(periods["start"])
        options["--due"] = ",".join((start + datetime.timedelta(offset)).isoformat() for offset in periods["days"])
    if "disbursed" in periods:
        options["--first-due"] = "2024-02-01"
    found = [[row["due"], row["interest"], row["principal"], row["balance"]] for row in answer_of(options)["rows"]]
    assert found == [[int(Decimal(str(cell)) * 100) for cell in row] for row in vector["rows"]]
