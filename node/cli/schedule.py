"""`liushui schedule`: a repayment schedule and its APR from the command line, by the ledger's own arithmetic.

It touches no network, no key and no file. There must never be a formula here: this file reads options, calls
`protocol.loans` and prints.
"""

import datetime
import json
import re
from collections.abc import Callable
from typing import Any

import click

from protocol.limits import INSTALMENTS_MAX
from protocol.loans.apr import calculate_apr_effective_ppm
from protocol.loans.calendar import DAY_MAX, DAY_MIN, EVERY_MAX, Period, calculate_due_dates
from protocol.loans.schedule import RATE_PPM_MAX, Instalment, ScheduleFault, ScheduleTerms, calculate_schedule
from protocol.loans.terms import Amortisation, DayCount, PeriodUnit, RoundingProfile
from protocol.money import AMOUNT_MAX

_DAY_COUNTS = {
    "30/360": DayCount.THIRTY_360,
    "ACT/365F": DayCount.ACT_365F,
    "ACT/360": DayCount.ACT_360,
    "ACT/ACT": DayCount.ACT_ACT,
    "7/364": DayCount.SEVEN_364,
}
_UNITS = {"d": PeriodUnit.DAY, "w": PeriodUnit.WEEK, "m": PeriodUnit.MONTH}
_AMORTISATIONS = {
    "level": Amortisation.LEVEL,
    "equal_principal": Amortisation.EQUAL_PRINCIPAL,
    "bullet": Amortisation.BULLET,
    "balloon": Amortisation.BALLOON,
}
_FAULTS = {
    ScheduleFault.PRINCIPAL_RANGE: f"--principal-minor must be from 1 to {AMOUNT_MAX}.",
    ScheduleFault.RATE_RANGE: f"--rate-ppm must be from 0 to {RATE_PPM_MAX}.",
    ScheduleFault.RESIDUAL_RANGE: "--residual-minor must be from 0 to the principal; a bullet has none, a balloon one.",
    ScheduleFault.PERIOD_RANGE: f"--every must be from 1 to {EVERY_MAX} units.",
    ScheduleFault.ROWS_RANGE: f"--periods must be from 1 to {INSTALMENTS_MAX}; a balloon needs at least 2.",
    ScheduleFault.DATES_ORDER: "--due dates must be strictly increasing and all of them after --start.",
    ScheduleFault.DATES_RANGE: "--start and the due dates must lie between 1900-01-01 and 2299-12-31.",
    ScheduleFault.PAYMENT_ZERO: "--principal-minor is too small for so many --periods: a payment rounds to nothing.",
    ScheduleFault.PAYMENT_BELOW_INTEREST: "--rate-ppm is too high: the payment does not exceed the first interest.",
    ScheduleFault.ROW_NEGATIVE: "--principal-minor is too small for so many --periods: a later row would be negative.",
    ScheduleFault.ROW_EMPTY: "--principal-minor is too small for so many --periods: a row would ask for nothing.",
}


class _RefusalError(click.ClickException):
    """Wrong input: one sentence on stderr, exit code 2."""

    exit_code = 2


class _OneSentenceCommand(click.Command):
    """A command whose usage errors are one sentence, without the usage text before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _RefusalError(error.format_message()) from error


def _parse_date(text: str) -> int:
    """Return an ISO date as an ordinal, or refuse with the option's name (click adds it)."""
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text.strip(), re.ASCII):
        raise click.BadParameter(f"{text!r} is not a date like 2024-01-31.")
    try:
        day = datetime.date.fromisoformat(text.strip()).toordinal()
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day of the calendar.") from None
    if not DAY_MIN <= day <= DAY_MAX:
        raise click.BadParameter(f"{text!r} is not between 1900-01-01 and 2299-12-31.")
    return day


def _on_date(_ctx: click.Context, _param: click.Parameter, text: str | None) -> int | None:
    return None if text is None else _parse_date(text)


def _on_dates(_ctx: click.Context, _param: click.Parameter, text: str | None) -> tuple[int, ...] | None:
    return None if text is None else tuple(_parse_date(part) for part in text.split(","))


def _on_every(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Period | None:
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,3})([dwm])", text.strip().lower(), re.ASCII)
    if found is None or not 1 <= int(found[1]) <= EVERY_MAX:
        raise click.BadParameter(f"{text!r} is not a period like 30d, 2w or 1m.")
    return Period(unit=_UNITS[found[2]], every=int(found[1]))


def _resolve_due_dates(
    start: int, period: Period, periods: int | None, due: tuple[int, ...] | None, first_due: int | None
) -> tuple[int, ...]:
    """Return the due dates that the options name, or refuse with a sentence."""
    if due is not None:
        if first_due is not None:
            raise _RefusalError("--first-due is the first of the --due dates already; give one of the two.")
        if periods is not None and periods != len(due):
            raise _RefusalError(f"--periods is {periods}, but --due names {len(due)} dates.")
        return due
    if periods is None:
        raise _RefusalError("--periods is needed when --due is not given.")
    if not 1 <= periods <= INSTALMENTS_MAX:
        raise _RefusalError(_FAULTS[ScheduleFault.ROWS_RANGE])
    if first_due is not None and first_due <= start:
        raise _RefusalError("--first-due must be after --start.")
    longest_days = periods * period.every * {PeriodUnit.DAY: 1, PeriodUnit.WEEK: 7, PeriodUnit.MONTH: 31}[period.unit]
    if (first_due or start) + longest_days > DAY_MAX:
        raise _RefusalError(_FAULTS[ScheduleFault.DATES_RANGE])
    return calculate_due_dates(start, period, periods, first_due=first_due)


def _count_multiples(option: str, amount: int, multiple: int) -> int:
    """Return the amount in whole multiples, or refuse with the option's name."""
    if amount % multiple:
        raise _RefusalError(f"{option} must be a multiple of --multiple-minor, which is {multiple}.")
    return amount // multiple


def _describe(rows: tuple[Instalment, ...], terms: ScheduleTerms, multiple: int) -> dict[str, Any]:
    """Return the answer as plain data; money in minor units, of which the rows hold whole multiples."""
    payments = [(row.due_on, row.total_due) for row in rows]
    return {
        "rows": [
            {
                "due_on": datetime.date.fromordinal(row.due_on).isoformat(),
                "due": row.total_due * multiple,
                "interest": row.interest_due * multiple,
                "principal": row.principal_due * multiple,
                "balance": row.balance_after * multiple,
            }
            for row in rows
        ],
        "total_due": multiple * sum(row.total_due for row in rows),
        "total_interest": multiple * sum(row.interest_due for row in rows),
        "apr_effective_ppm": calculate_apr_effective_ppm([(terms.start, terms.principal)], payments),
    }


def _print_table(answer: dict[str, Any]) -> None:
    """Print the schedule for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Repayment schedule, minor units")
    table.add_column("due on")
    names = ("due", "interest", "principal", "balance")
    for name in names:
        table.add_column(name, justify="right")
    for row in answer["rows"]:
        table.add_row(row["due_on"], *(f"{row[name]:,}" for name in names))
    apr_ppm = answer["apr_effective_ppm"]
    rate = "none below 100,000,000 %" if apr_ppm is None else f"{apr_ppm // 10_000}.{apr_ppm % 10_000:04d} %"
    console = Console()
    console.print(table)
    console.print(f"total {answer['total_due']:,}, of it interest {answer['total_interest']:,}; effective APR {rate}")


_DATE_OPTIONS = (
    click.option("--periods", type=int, help="Number of instalments; may be left out with --due."),
    click.option(
        "--every",
        metavar="Nd|Nw|Nm",
        callback=_on_every,
        help="Distance of due dates: days, weeks or months.  [default: 1m with --due]",
    ),
    click.option(
        "--start", metavar="DATE", callback=_on_date, required=True, help="Day of disbursement; interest runs from it."
    ),
    click.option(
        "--due",
        metavar="DATE,DATE,...",
        callback=_on_dates,
        help="All due dates, where they do not follow from --every.",
    ),
    click.option(
        "--first-due",
        metavar="DATE",
        callback=_on_date,
        help="First due date, where it is not one period after the start; the first row is then shorter or longer.",
    ),
)


def _with_dates(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that due dates follow from, in the order they are listed in."""
    for option in reversed(_DATE_OPTIONS):
        command = option(command)
    return command


@click.command("schedule", cls=_OneSentenceCommand)
@click.option("--principal-minor", type=int, required=True, help="Amount lent, in minor units.")
@click.option("--rate-ppm", type=int, required=True, help="Nominal rate per year in millionths: 24 % is 240000.")
@_with_dates
@click.option("--day-count", type=click.Choice(list(_DAY_COUNTS), case_sensitive=False), required=True)
@click.option("--profile", type=click.Choice(["A", "B"], case_sensitive=False), required=True, help="Rounding profile.")
@click.option(
    "--amortisation",
    type=click.Choice(list(_AMORTISATIONS)),
    default="level",
    show_default=True,
    help="Equal payments, equal parts of principal, interest only, or equal payments down to the residual.",
)
@click.option("--residual-minor", type=int, default=0, show_default=True, help="Left for the last instalment.")
@click.option(
    "--multiple-minor",
    type=click.IntRange(min=1, max=AMOUNT_MAX),
    default=1,
    show_default=True,
    help="Smallest amount paid: every figure of the schedule is a whole multiple of so many minor units.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
def schedule(
    *,
    principal_minor: int,
    rate_ppm: int,
    periods: int | None,
    every: Period | None,
    start: int,
    due: tuple[int, ...] | None,
    first_due: int | None,
    day_count: str,
    profile: str,
    amortisation: str,
    residual_minor: int,
    multiple_minor: int,
    as_json: bool,
) -> None:
    """Calculate a repayment schedule and its effective APR.

    Money is in minor units, rates are in millionths a year; a rate per day times 365 is one of a year of ACT/365F.
    """
    if every is None:
        if due is None:
            raise _RefusalError("--every is needed when --due is not given.")
        every = Period(unit=PeriodUnit.MONTH, every=1)
    if principal_minor > AMOUNT_MAX:
        raise _RefusalError(_FAULTS[ScheduleFault.PRINCIPAL_RANGE])
    terms = ScheduleTerms(
        principal=_count_multiples("--principal-minor", principal_minor, multiple_minor),
        rate_ppm=rate_ppm,
        start=start,
        due_dates=_resolve_due_dates(start, every, periods, due, first_due),
        day_count=_DAY_COUNTS[day_count],
        period=every,
        profile=RoundingProfile[profile],
        amortisation=_AMORTISATIONS[amortisation],
        residual=_count_multiples("--residual-minor", residual_minor, multiple_minor),
    )
    rows = calculate_schedule(terms)
    if isinstance(rows, ScheduleFault):
        raise _RefusalError(_FAULTS[rows])
    answer = _describe(rows, terms, multiple_minor)
    if as_json:
        click.echo(json.dumps(answer))
    else:
        _print_table(answer)
